//! Transactions of an account of ours: each is rehearsed, signed, recorded, sent, replaced while it isn't mined, and waited for
//! until it is deep.
//!
//! There is one nonce after another, and one at a time. Nobody waits for ever behind a nonce: what isn't mined is replaced
//! by itself with a higher fee, by an empty transfer to ourselves if it would revert by now, or by whatever is sent next.

mod commitment;
mod fees;
mod submitter;
#[cfg(test)]
mod tests;

pub use commitment::commitment_call;
pub use fees::{Fees, Market};
pub use submitter::{Call, Mined, Sent, SentLog, SubmitError, Submitter, Terms, Unrecorded};
