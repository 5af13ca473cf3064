//! Actions, from what a window has agreed on to their end: the machine alone, and all wallets' machines on a real journal.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod carrier;
mod fixture;
mod machine;
