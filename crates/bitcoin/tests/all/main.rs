//! Bitcoin as the library sees it: backends, the header chain, proofs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod backends;
mod chain;
mod follow;
mod merkle;
mod spv;
