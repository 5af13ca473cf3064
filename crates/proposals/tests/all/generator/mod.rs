//! Sessions on the real Bridge. The generator: for each poison the other items are still proposed. The judge: each poison is
//! objected to.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod deposit_sweeps;
mod failover;
mod judging;
mod redemptions;
mod retirement;
mod shared_events;
mod support;
mod whole_way;
