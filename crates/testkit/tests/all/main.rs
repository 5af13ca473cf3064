//! What other crates' tests stand on.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod carried_out;
mod deploy_script;
mod regtest;
mod world;
