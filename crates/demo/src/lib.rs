//! What the demo, the world to try everything in, and the network of nodes on such a world have in common: proposals written as
//! documents, commands out of the README, and an end that leaves nothing behind.

#[cfg(feature = "devnet")]
pub mod devnet;
pub mod interruption;
pub mod proposals;
pub mod readme;
pub mod world;
