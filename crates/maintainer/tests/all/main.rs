//! The maintainer: its judgements by themselves, and itself on the real Bridge and on real relays.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod easy;
mod kinds;
mod mined;
mod relay;
mod world;
