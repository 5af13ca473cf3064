//! Ethereum as the library sees it: real chains, and endpoints that lie, limit or fail.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod agreement;
mod cases;
mod events;
mod failover;
mod faults;
mod fuzz;
mod panel;
mod predicates;
mod proof;
mod registry;
mod revert_shapes;
mod safe_block;
mod snapshot;
#[cfg(feature = "account")]
mod submit;
mod undecided;
mod validators;
