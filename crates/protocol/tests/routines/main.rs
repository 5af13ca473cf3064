//! The leader's and the follower's routines, driven block by block.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fixture;
mod follower;
mod leader;
