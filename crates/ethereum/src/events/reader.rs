//! Reads the Bridge's events into a log that all who ask share: follows the chain, and reaches back.

use std::{
    collections::BTreeMap,
    mem,
    ops::RangeInclusive,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use alloy::{
    primitives::{Address, B256},
    rpc::types::Filter,
};
use coxswain_rules::units::{BlockNumber, Blocks};
use tokio::sync::Mutex;

use super::{
    event::{self, LASTING},
    kept::{CheckedLog, KeptLog, names},
    log::{EventLog, Kinds},
};
use crate::{
    error::ChainError,
    rpc::{Block, BlockSelector, End, Endpoints, LogRanges},
};

/// How many requests one step back sends at most: an endpoint that allows few blocks at once takes more steps.
const STEP_REQUESTS: usize = 100;

/// The Bridge's events, to be cloned by all who ask for them: they share one log, and what one has read no other asks for
/// again.
#[derive(Clone, Debug)]
pub struct EventReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoints: Endpoints,
    bridge: Address,
    final_depth: Blocks,
    log: StdMutex<Arc<EventLog>>,
    /// Held by whoever asks.
    asking: Mutex<Asking>,
}

#[derive(Debug)]
struct Asking {
    ranges: LogRanges,
    /// Blocks up to which the log is read, of those that may still change.
    followed: BTreeMap<BlockNumber, B256>,
    /// The newest block that was followed and doesn't change any more.
    settled: Option<(BlockNumber, B256)>,
    /// How many servers said what fewest did, apart from what one of several has told.
    said_by: usize,
}

impl EventReader {
    /// Goes on with this log. Blocks that have `final_depth` or more of the chain upon them don't change any more; those above
    /// are read anew for every block that is followed.
    pub fn new(endpoints: Endpoints, log: EventLog, final_depth: Blocks) -> Self {
        Self::of(endpoints, log, final_depth, (None, usize::MAX))
    }

    /// Goes on with a log that was kept.
    pub fn resuming(endpoints: Endpoints, log: CheckedLog, final_depth: Blocks) -> Self {
        let CheckedLog(KeptLog { log, block, kinds: _, servers: _, said_by }) = log;
        Self::of(endpoints, log, final_depth, (Some(block), said_by))
    }

    fn of(
        endpoints: Endpoints,
        log: EventLog,
        final_depth: Blocks,
        (settled, said_by): (Option<(BlockNumber, B256)>, usize),
    ) -> Self {
        let asking = Asking { ranges: LogRanges::new(), followed: BTreeMap::new(), settled, said_by };
        let bridge = log.bridge();
        let (log, asking) = (StdMutex::new(Arc::new(log)), Mutex::new(asking));
        Self(Arc::new(Shared { endpoints, bridge, final_depth, log, asking }))
    }

    /// The log with what the next run needs to go on with it. `None` if nothing has been read yet, or somebody reads just now.
    pub fn kept(&self) -> Option<KeptLog> {
        let asking = self.0.asking.try_lock().ok()?;
        let newest = asking.followed.last_key_value().map(|(number, hash)| (*number, *hash));
        let log = EventLog::clone(&self.log());
        let said_by = if log.is_word() { 1 } else { asking.said_by };
        Some(KeptLog {
            log,
            block: asking.settled.or(newest)?,
            kinds: event::all(),
            servers: names(&self.0.endpoints),
            said_by,
        })
    }

    /// Returns the endpoints that are asked.
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// Returns the Bridge's address.
    pub fn bridge(&self) -> Address {
        self.0.bridge
    }

    /// The log as it is now.
    pub fn log(&self) -> Arc<EventLog> {
        Arc::clone(&self.0.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings the log up to this block. Nothing is asked if it was brought there before. What one of several servers alone has told,
    /// as the others were silent, is read again once more of them must agree.
    ///
    /// Sends one `eth_getLogs` if the endpoint allows the range, else as many as it takes. Reads are by height: what is
    /// decided by the events is to be checked with reads by the block's hash. If it fails in the middle, the blocks already
    /// read are not read again.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer, an event can't be read, or the block isn't in the endpoint's chain, as far as
    /// the events show that. The log is then incomplete.
    pub async fn follow(&self, block: Block) -> Result<Arc<EventLog>, ChainError> {
        let mut asking = self.0.asking.lock().await;
        let doubts = self.doubt(&mut asking);
        let mut next = self.log().extent().unsettled;
        if block.number < next || asking.followed.get(&block.number) == Some(&block.hash) {
            return Ok(self.log());
        }
        let mut followed = mem::take(&mut asking.followed);
        let mut fewest = usize::MAX;
        while next <= block.number {
            let range = next..=block.number;
            let last = self.read(&mut asking, block, Kinds::All, range, End::First, |log, read| {
                log.read_to(*read.end(), block.number, self.0.final_depth);
            });
            let (read, said_by) = last.await?;
            (next, fewest) = (read.end().next(), fewest.min(said_by));
        }
        if doubts && fewest > 1 {
            self.change(|log| log.told_again_to(block.number));
        }
        let log = self.log();
        let settled = followed.range(..log.extent().unsettled).next_back();
        asking.settled = settled.map(|(number, hash)| (*number, *hash)).or(asking.settled);
        followed.retain(|height, _| (log.extent().unsettled..block.number).contains(height));
        followed.insert(block.number, block.hash);
        asking.followed = followed;
        Ok(log)
    }

    /// Takes what one server alone has told for unread, if more must agree by now. Returns whether there was any.
    fn doubt(&self, asking: &mut Asking) -> bool {
        let doubts = self.0.endpoints.required() > 1 && self.log().is_word();
        if doubts {
            asking.followed.clear();
            self.change(EventLog::unread_told_by_one);
        }
        doubts
    }

    fn change(&self, change: impl FnOnce(&mut EventLog)) {
        let mut log = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut log));
    }

    /// Reaches back towards the block `goal` for what lasts: all wallets' transactions, registrations, commitments and moves
    /// of funds. Sends up to 100 requests, newest blocks first. Nothing is asked if it was searched before. `block` is the newest.
    ///
    /// # Errors
    /// As with [`follow`](Self::follow). The blocks already read are not read again.
    pub async fn reach_back(&self, goal: BlockNumber, block: Block) -> Result<Arc<EventLog>, ChainError> {
        let mut asking = self.0.asking.lock().await;
        for _ in 0..STEP_REQUESTS {
            let Some(last) = self.log().searched().checked_sub(Blocks(1)).filter(|last| goal <= *last) else {
                break;
            };
            let range = goal..=last;
            let read = self.read(&mut asking, block, Kinds::Lasting, range, End::Last, |log, read| {
                log.searched_from(*read.start());
            });
            read.await?;
        }
        Ok(self.log())
    }

    /// Reaches back to the block `first` for events of all kinds, which are wanted from there on then. `block` is the newest.
    ///
    /// # Errors
    /// As with [`follow`](Self::follow). The blocks already read are not read again.
    pub async fn extend_to(&self, first: BlockNumber, block: Block) -> Result<Arc<EventLog>, ChainError> {
        let mut asking = self.0.asking.lock().await;
        loop {
            // Above the newest block there is nothing to read.
            let before = self.log().from_block().checked_sub(Blocks(1)).map(|last| last.min(block.number));
            let Some(last) = before.filter(|last| first <= *last) else { break };
            let range = first..=last;
            let depth = self.0.final_depth;
            let read = self.read(&mut asking, block, Kinds::All, range, End::Last, |log, read| {
                log.read_from(*read.start(), block.number, depth);
            });
            read.await?;
        }
        Ok(self.log())
    }

    /// Reads one range, as much of it as the endpoint allows, into the log. Returns which blocks were
    /// read, and how many servers said so.
    async fn read(
        &self,
        asking: &mut Asking,
        at: Block,
        kinds: Kinds,
        range: RangeInclusive<BlockNumber>,
        end: End,
        note: impl FnOnce(&mut EventLog, &RangeInclusive<BlockNumber>),
    ) -> Result<(RangeInclusive<BlockNumber>, usize), ChainError> {
        let Shared { endpoints, bridge, .. } = &*self.0;
        let signatures = match kinds {
            Kinds::All => event::all(),
            Kinds::Lasting => LASTING.to_vec(),
        };
        let filter = Filter::new().address(*bridge).event_signature(signatures);
        let (range, logs, said_by) = asking.ranges.read(endpoints, at, filter, range, end).await?;
        let logs = event::in_order(*bridge, logs, &range)?;
        if let Some(newest) = logs.values().next_back()
            && newest.block_number == Some(at.number.0)
            && newest.block_hash != Some(at.hash)
        {
            let endpoint = endpoints.name().to_owned();
            return Err(ChainError::NoBlock { endpoint, block: BlockSelector::Hash(at.hash) });
        }
        let events = event::decode(*bridge, logs)?;
        let is_word = said_by < 2 && endpoints.quorum().servers() > 1;
        if !is_word {
            asking.said_by = asking.said_by.min(said_by);
        }
        self.change(|log| {
            log.replace(&range, kinds, events);
            if is_word {
                log.told_by_one(&range);
            }
            note(log, &range);
        });
        Ok((range, said_by))
    }
}
