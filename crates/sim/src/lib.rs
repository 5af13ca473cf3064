//! Wallet coordination without a network: [`run`] plays members, honest and hostile, on a channel that delays, drops,
//! repeats and reorders, with endpoints that lie and journals that fail, and checks what must hold; [`statistics`] tells
//! what many windows look like.
//!
//! All follows from a seed: the same seed plays the same game, event for event. Members are `protocol::Member`s; nothing
//! here decides for them. [`run_coordinated`] plays the same with members that `coordination` drives, as a node runs them.
//!
//! ```
//! use coxswain_sim::{Game, run};
//!
//! let game = Game { seed: 42, windows: 3, members: 4 };
//! let summary = run(game).expect("what must hold holds in every game");
//! assert_eq!(format!("{summary:?}"), format!("{:?}", run(game).unwrap()));
//! ```

mod advisor;
mod check;
mod coordinated;
mod dice;
mod hostile;
mod journal;
mod member;
pub mod statistics;
mod summary;
mod world;

pub use check::{Violation, ViolationKind};
pub use member::Role;
pub use summary::Summary;
pub use world::{Game, run, run_coordinated, run_traced};
