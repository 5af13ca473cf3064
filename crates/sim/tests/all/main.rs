//! Members in games: at random, and in every way that a small game can go.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod games;
mod model;
