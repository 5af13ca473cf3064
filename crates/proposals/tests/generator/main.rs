//! The generator on the real Bridge: for each poison the other items are still proposed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod deposit_sweeps;
mod failover;
mod redemptions;
mod retirement;
mod support;
mod whole_way;
