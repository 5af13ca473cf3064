//! What a wallet is signed with: its whole key, or shares of it.

use coxswain_protocol::SigningGroup;
use coxswain_rules::units::BlockNumber;
use coxswain_signing::{Job, Report, WalletSigner, WholeKeySigner};
use tokio::sync::watch;

use crate::records::SignedFor;

/// What a wallet is signed with.
#[derive(Debug)]
pub(crate) enum Signer {
    /// Its whole key.
    Whole(Box<WholeKeySigner<SignedFor>>),
    /// Shares of its key.
    #[cfg(all(unix, feature = "threshold"))]
    Shares(Box<crate::threshold::ThresholdSigner>),
}

impl WalletSigner for Signer {
    async fn sign(&self, job: &Job, seats: &SigningGroup, clock: watch::Receiver<BlockNumber>) -> Report {
        match self {
            Self::Whole(signer) => signer.sign(job, seats, clock).await,
            #[cfg(all(unix, feature = "threshold"))]
            Self::Shares(signer) => signer.sign(job, seats, clock).await,
        }
    }
}
