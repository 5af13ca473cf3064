//! What the demo and the world to try everything in have in common: proposals written as documents, commands out of the README, and
//! an end that leaves nothing behind.

pub mod interruption;
pub mod proposals;
pub mod readme;
pub mod world;
