//! The trait of everything that signs for a wallet.

use std::future::Future;

use coxswain_protocol::SigningGroup;
use coxswain_rules::units::BlockNumber;
use tokio::sync::watch;

use crate::{Job, Report};

/// Signs a wallet's actions together with the other seats, or alone. Nothing here is of a scheme.
pub trait WalletSigner: Send + Sync {
    /// Signs the job: all of it, or nothing. `seats` is the wallet's group, `clock` the height that windows go by. Given up by
    /// being dropped, and asked again for the same job, it goes on.
    fn sign(
        &self,
        job: &Job,
        seats: &SigningGroup,
        clock: watch::Receiver<BlockNumber>,
    ) -> impl Future<Output = Report> + Send;
}

impl<S: WalletSigner> WalletSigner for &S {
    async fn sign(&self, job: &Job, seats: &SigningGroup, clock: watch::Receiver<BlockNumber>) -> Report {
        S::sign(self, job, seats, clock).await
    }
}

impl<S: WalletSigner> WalletSigner for std::sync::Arc<S> {
    async fn sign(&self, job: &Job, seats: &SigningGroup, clock: watch::Receiver<BlockNumber>) -> Report {
        S::sign(self, job, seats, clock).await
    }
}
