//! The operators' network over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod channels;
mod direct;
mod fuzz;
mod processes;
mod support;
