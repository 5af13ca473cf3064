//! All wallets of a node, each with an executor of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use coxswain_protocol::WindowResult;
use coxswain_rules::KeyHash;
use tokio::{
    sync::{mpsc, watch},
    task::{self, JoinSet},
};

use crate::{
    Advisor, Channel, Journal, Metrics, Settings, Tick, Wallet, executor::Executor, office::Office,
    shared::Shared,
};

/// All wallets of a node.
#[derive(Debug)]
pub struct Coordinator<A, J, C> {
    office: Arc<Office<A, J>>,
    wallets: BTreeMap<KeyHash, Wallet<C>>,
    gone: Option<watch::Receiver<BTreeSet<KeyHash>>>,
}

/// An executor has panicked. The state of its wallet is unknown, so the node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the executor of wallet {0} has panicked")]
pub struct Panicked(pub KeyHash);

impl<A: Advisor, J: Journal, C: Channel> Coordinator<A, J, C> {
    /// Coordinates these wallets, once each. Results go to `results`, after they are durable: one that isn't taken holds up
    /// nothing but itself.
    pub fn new(
        advisor: A,
        journal: J,
        settings: Settings,
        wallets: impl IntoIterator<Item = Wallet<C>>,
        results: mpsc::Sender<Arc<WindowResult>>,
    ) -> Self {
        let shared = Shared::new(advisor, settings.places, settings.patience);
        let office = Office { shared, journal, metrics: Arc::default(), results, settings };
        let wallets = wallets.into_iter().map(|wallet| (wallet.setup.wallet, wallet)).collect();
        Self { office: Arc::new(office), wallets, gone: None }
    }

    /// Stops coordinating wallets as soon as they are among these, which are gone for good. What the journal has in hand of one is
    /// finished; whether the channel of these is ever closed makes no difference to the others.
    #[must_use]
    pub fn dropping(self, gone: watch::Receiver<BTreeSet<KeyHash>>) -> Self {
        Self { gone: Some(gone), ..self }
    }

    /// What is counted.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.office.metrics)
    }

    /// Runs until the clock is dropped, or all wallets are. All executors have ended then, and the journal has what it was handed.
    ///
    /// # Errors
    ///
    /// As soon as an executor panics. The others are given up.
    pub async fn run(self, clock: watch::Receiver<Tick>) -> Result<(), Panicked> {
        let mut executors = JoinSet::new();
        let mut wallets = BTreeMap::<task::Id, KeyHash>::new();
        for (key_hash, wallet) in self.wallets {
            let executor = Executor::new(Arc::clone(&self.office), wallet);
            let gone = self.gone.clone();
            let is_gone = async move {
                let told = match gone {
                    Some(mut gone) => gone.wait_for(|gone| gone.contains(&key_hash)).await.is_ok(),
                    None => false,
                };
                // If nobody can tell any more, it stays.
                if !told {
                    std::future::pending::<()>().await;
                }
            };
            wallets.insert(executors.spawn(executor.run(clock.clone(), is_gone)).id(), key_hash);
        }
        drop((self.office, self.gone, clock));
        while let Some(ended) = executors.join_next().await {
            if let Err(error) = ended {
                let wallet = wallets.get(&error.id()).copied();
                return Err(Panicked(wallet.expect("each executor was noted when it began")));
            }
        }
        Ok(())
    }
}
