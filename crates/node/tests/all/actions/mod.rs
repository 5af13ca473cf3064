//! Actions, from what a window has agreed on to their end: the machine alone, and all wallets' machines on a real journal.

mod carrier;
mod fixture;
mod machine;
