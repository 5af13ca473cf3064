//! A header chain of our own: what makes Bitcoin servers' answers provable.
//!
//! From a header that is compiled in, headers are checked by the rules of consensus and counted, so that neither a chain nor a
//! height has to be believed: a forgery costs the full work of each block, or a quarter of it right after the first retarget.
//! A transaction is proven by a [`MerkleBranch`](crate::MerkleBranch). No clock but the one handed in, and no I/O:
//! [`follow`](crate::follow()) asks servers.

#[cfg(test)]
mod fuzz;
mod header_chain;
mod rules;
mod start;
mod store;

pub use header_chain::{FlawError, HeaderChain, HeaderError, StaleError, Standing};
pub use rules::HeaderRules;
pub use start::Start;
