//! The journal: its rows, its steps and facts, and what is found in it when something was changed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod actions;
mod journal;
mod walk;
