//! The protocol: its member, its wire format, and the vectors of the Go client.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod check;
mod member;
mod vectors;
mod wire;
