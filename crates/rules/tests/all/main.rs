//! The rules, the wallets' transactions and their fees.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

mod common;
mod everywhere;
mod fees;
mod reports;
mod rules;
mod transactions;
