//! A member through its windows, driven event by event.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod content;
mod equivocation;
mod fixture;
mod follower;
mod journal;
mod leader;
mod seeds;
mod silence;
