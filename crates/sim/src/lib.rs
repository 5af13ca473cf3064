//! Wallet coordination without a network: [`run`] plays members, honest and hostile, on a channel that delays, drops,
//! repeats and reorders, with endpoints that lie and journals that fail, and checks what must hold; [`statistics`] tells
//! what many windows look like, and needs no feature. The game is the feature `game`.
//!
//! All follows from a seed: the same seed plays the same game, event for event. Members are `protocol::Member`s; nothing
//! here decides for them. [`run_coordinated`] plays the same with members that `coordination` drives, as a node runs them.
//!
//! ```
//! # #[cfg(feature = "game")] {
//! use coxswain_sim::{Game, run};
//!
//! let game = Game { seed: 42, windows: 3, members: 4 };
//! let summary = run(game).expect("what must hold holds in every game");
//! assert_eq!(format!("{summary:?}"), format!("{:?}", run(game).unwrap()));
//! # }
//! ```

#[cfg(feature = "game")]
mod advisor;
#[cfg(feature = "game")]
mod check;
#[cfg(feature = "game")]
mod coordinated;
mod dice;
#[cfg(feature = "game")]
mod hostile;
#[cfg(feature = "game")]
mod journal;
#[cfg(feature = "game")]
mod member;
pub mod statistics;
#[cfg(feature = "game")]
mod summary;
#[cfg(feature = "game")]
mod world;

#[cfg(feature = "game")]
pub use check::{Violation, ViolationKind};
#[cfg(feature = "game")]
pub use member::Role;
#[cfg(feature = "game")]
pub use summary::Summary;
#[cfg(feature = "game")]
pub use world::{Game, run, run_coordinated, run_traced};
