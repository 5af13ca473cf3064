//! The wallet's signatures. A [`WalletSigner`] is handed a [`Job`], which is one action: preimages and never digests, and the
//! blocks between which it may sign. It checks by itself what it can, and signs for one action a window, by a [`SigningRecord`]
//! that is durable before anything leaves.
//!
//! `group` is who of it signs; `store` keeps key shares at rest; `threshold` (a feature) is what a group of seats says to each other to sign.
//! [`WholeKeySigner`] holds the whole key: for local chains and tests ([`TestChain`]).
//!
//! ```
//! use coxswain_signing::{ChainRefused, TestChain};
//!
//! // A key that one process holds whole signs on test chains alone, whatever is configured.
//! assert!(TestChain::new(31337, &[]).is_ok());
//! assert_eq!(TestChain::new(1, &[1]), Err(ChainRefused::Mainnet));
//! ```

mod action_id;
mod chain;
pub mod group;
mod hash;
mod job;
mod outcome;
mod preimages;
mod record;
mod signer;
#[cfg(unix)]
pub mod store;
#[cfg(all(unix, feature = "threshold"))]
pub mod threshold;
mod whole_key;

pub use action_id::ActionId;
pub use chain::{ChainRefused, TestChain};
pub use job::Job;
pub use outcome::{AttemptReport, Blame, Outcome, Refusal, Report, Signed};
pub use preimages::{PreimageError, Preimages};
pub use record::{Claim, ClaimError, MemoryRecord, SigningRecord};
pub use signer::WalletSigner;
pub use whole_key::{KeyFileError, WholeKey, WholeKeySigner};
