//! Wallets' records that are read together: what a node's wallets ask first is the same of all, so that a window costs a few
//! requests instead of one for each of a thousand wallets.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::B256;
use coxswain_ethereum::{HashedHeader, Panel, SnapshotKeys, SnapshotReader};
use coxswain_rules::{Assurance, Assured, KeyHash, Snapshot, WalletRecord};

/// The records of many wallets at one block.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Held while they are read: whoever asks for the same meanwhile waits for it.
    reading: tokio::sync::Mutex<()>,
    at: Mutex<Option<At>>,
}

/// What was read at a block.
#[derive(Debug)]
struct At {
    block: B256,
    /// None, if that failed: then each wallet's record is read by itself.
    wallets: BTreeMap<KeyHash, WalletRecord>,
    /// The Bridge's parameters alone.
    parameters: Snapshot,
    assurance: Assurance,
}

impl Records {
    /// Reads the records of these wallets at this block, unless that was done.
    pub(crate) async fn read(
        &self,
        reader: &SnapshotReader,
        panel: &Panel,
        at: &HashedHeader,
        wallets: impl IntoIterator<Item = KeyHash>,
    ) {
        let _alone = self.reading.lock().await;
        let block = at.hash();
        if self.at().as_ref().is_some_and(|at| at.block == block) {
            return;
        }
        let keys = SnapshotKeys { wallets: wallets.into_iter().collect(), ..SnapshotKeys::default() };
        let read = reader.assured_snapshot(panel, at, &keys).await;
        let Assured { fact: mut parameters, assurance } =
            read.unwrap_or_else(|_| Assured { fact: Snapshot::default(), assurance: Assurance::Word });
        let wallets = mem::take(&mut parameters.wallets);
        *self.at() = Some(At { block, wallets, parameters, assurance });
    }

    /// A wallet's record at this block, with the Bridge's parameters; `None` if it wasn't read.
    pub(crate) fn of(&self, wallet: KeyHash, block: B256) -> Option<Assured<Snapshot>> {
        let at = self.at();
        let At { wallets, parameters, assurance, .. } = at.as_ref().filter(|at| at.block == block)?;
        let record = wallets.get(&wallet)?.clone();
        let fact = Snapshot { wallets: BTreeMap::from([(wallet, record)]), ..parameters.clone() };
        Some(Assured { fact, assurance: *assurance })
    }

    fn at(&self) -> MutexGuard<'_, Option<At>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
