//! What a node has read of history, kept in the journal between two runs: the Bridge's events, and what generations remember. The
//! next run reads on from there. What is damaged, or can't be told to be of this chain and of these servers, is read anew.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::Address;
use coxswain_ethereum::{
    CheckedLog, Endpoints, EventReader, Extent, KeptLog, NotResumed, Panel, heads::Standing,
};
use coxswain_proposals::Memory;
use coxswain_rules::{
    KeyHash,
    units::{BlockNumber, Blocks},
};
use coxswain_service::{
    journal::{Fact, FactKey, Journal},
    tasks::{Failure, Stop},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use crate::groups::RETRY;

/// The Bridge's events.
const EVENTS: &str = "events";
/// What a wallet's generations remember.
const MEMORY: &str = "memory";
/// How often it is asked whether the events are of this chain. Then all is read anew, which asks more.
const ATTEMPTS: u32 = 3;
/// How large what is kept of one kind may be, in bytes. It is rewritten whole, and what is larger costs more than reading it anew.
const MOST_BYTES: usize = 32 << 20;

/// What is kept, of one chain.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    journal: Arc<Journal>,
    chain_id: u64,
}

impl Kept {
    /// In this journal.
    pub(crate) const fn new(journal: Arc<Journal>, chain_id: u64) -> Self {
        Self { journal, chain_id }
    }

    /// The events that an earlier run has read of this Bridge, if this one may go on with them.
    pub(crate) async fn events(
        &self,
        panel: &Panel,
        endpoints: &Endpoints,
        bridge: Address,
    ) -> Option<CheckedLog> {
        let kept: KeptLog = self.read(EVENTS, bridge.into_array())?;
        for attempt in 1..=ATTEMPTS {
            match kept.check(panel, endpoints, bridge).await {
                Ok(checked) => {
                    let Extent { from_block, unsettled, .. } = checked.log().extent();
                    info!(
                        from = from_block.0,
                        to = unsettled.0,
                        "the Bridge's events are read on from the journal"
                    );
                    return Some(checked);
                }
                Err(error @ NotResumed::Untold(_)) if attempt < ATTEMPTS => {
                    warn!(%error, "waiting for Ethereum");
                    sleep(RETRY).await;
                }
                Err(error) => {
                    warn!(%error, "the Bridge's events in the journal are not used: they are read anew");
                    return None;
                }
            }
        }
        None
    }

    /// What these wallets' generations remember.
    pub(crate) fn memories(&self, wallets: &[KeyHash]) -> BTreeMap<KeyHash, Memory> {
        let memory = |wallet: &KeyHash| Some((*wallet, self.read::<Memory>(MEMORY, wallet.0)?.resumed()));
        wallets.iter().filter_map(memory).collect()
    }

    /// Keeps what a wallet's generations remember.
    pub(crate) async fn keep_memory(&self, wallet: KeyHash, memory: &Memory) {
        self.write(MEMORY, wallet.0, memory).await;
    }

    /// Keeps the events that are read, so often at least, until it is to stop, and then.
    pub(crate) async fn keep_events(
        self,
        events: EventReader,
        every: Blocks,
        mut heads: watch::Receiver<Option<Standing>>,
        mut stop: Stop,
    ) -> Result<(), Failure> {
        let mut last: Option<Extent> = None;
        loop {
            let is_last = tokio::select! {
                () = stop.requested() => true,
                changed = heads.changed() => changed.is_err(),
            };
            let extent = events.log().extent();
            if (is_due(last, extent, every) || is_last && last != Some(extent))
                && let Some(kept) = events.kept()
            {
                self.write(EVENTS, events.bridge().into_array(), &kept).await;
                last = Some(extent);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn key(&self, topic: &'static str, owner: [u8; 20]) -> FactKey {
        FactKey { topic, owner, name: self.chain_id.to_string() }
    }

    fn read<T: DeserializeOwned>(&self, topic: &'static str, owner: [u8; 20]) -> Option<T> {
        let damage = match self.journal.reader().fact(&self.key(topic, owner)) {
            Ok(None) => return None,
            Ok(Some(Ok(body))) => match serde_json::from_str(&body) {
                Ok(kept) => return Some(kept),
                Err(error) => error.to_string(),
            },
            Ok(Some(Err(error))) => error.to_string(),
            Err(error) => error.to_string(),
        };
        warn!(topic, %damage, "what the journal keeps is damaged: it is read anew (coxswain history --verify names it)");
        None
    }

    /// That it fails costs reading once more.
    async fn write(&self, topic: &'static str, owner: [u8; 20], kept: &impl Serialize) {
        let written = match serde_json::to_string(kept) {
            Ok(body) if body.len() > MOST_BYTES => {
                warn!(topic, bytes = body.len(), "too much to be kept: the next start reads it anew");
                return;
            }
            Ok(body) => {
                let fact = Fact { key: self.key(topic, owner), body, replaces: true };
                self.journal.fact(fact).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = written {
            warn!(topic, %error, "what was read is not kept: the next start reads it anew");
        }
    }
}

/// Whether what is read is to be kept again: what was found further back at once, what is new from time to time.
fn is_due(last: Option<Extent>, now: Extent, every: Blocks) -> bool {
    let Some(last) = last else { return now.unsettled > BlockNumber(0) };
    (now.from_block, now.searched) != (last.from_block, last.searched)
        || now.unsettled >= last.unsettled.saturating_add(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_further_back_is_kept_at_once_and_what_is_new_from_time_to_time() {
        let extent = |from, searched, unsettled| Extent {
            from_block: BlockNumber(from),
            searched: BlockNumber(searched),
            unsettled: BlockNumber(unsettled),
            told_by_one: None,
        };
        let last = extent(100, 50, 1_000);
        let is_due = |now| is_due(Some(last), now, Blocks(900));
        assert!(!is_due(last));
        assert!(!is_due(extent(100, 50, 1_899)));
        assert!(is_due(extent(100, 50, 1_900)));
        assert!(is_due(extent(100, 49, 1_000)));
        assert!(is_due(extent(99, 50, 1_000)));
    }
}
