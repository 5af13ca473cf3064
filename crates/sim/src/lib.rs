//! Wallet coordination without a network: [`run`] plays members, honest and hostile, on a channel that delays, drops,
//! repeats and reorders, and checks what must hold; [`statistics`] tells what many windows look like.
//!
//! All follows from a seed: the same seed plays the same game, event for event.

mod check;
mod dice;
mod hostile;
mod member;
pub mod statistics;
mod world;

pub use check::{Violation, ViolationKind};
pub use member::Role;
pub use world::{Game, Summary, run, run_traced};
