//! Backends, against servers within the test's own process.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod cases;
mod conformance;
mod failover;
mod hostile;
mod in_process;
mod proofs;
mod unusable;
mod urls;
