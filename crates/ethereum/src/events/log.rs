//! A log of the Bridge's events that wallet actions depend on, of all wallets. Pure: what is read is handed in.
//!
//! [`EventReader`](super::EventReader) reads it. Stored and read back, it goes on where it was.

use std::{collections::BTreeMap, ops::RangeInclusive};

use alloy::primitives::Address;
use coxswain_rules::{
    KeyHash, RevealedDeposit,
    units::{BlockNumber, Blocks},
};
use serde::{Deserialize, Serialize};

use super::{
    event::{
        BridgeEvent, Commitment, CompletedMove, DepositReveal, NewWallet, RedemptionRequest,
        WalletTransaction,
    },
    reveal::Revealed,
};
use crate::rpc::Position;

/// The Bridge's events from one block on, in order. What lasts may be read from further back: wallets' transactions, their
/// registrations, commitments and moves of funds.
///
/// It may hold events of later blocks than the one that is decided on: who asks leaves those out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLog {
    bridge: Address,
    extent: Extent,
    wallets: BTreeMap<KeyHash, WalletEvents>,
    commitments: Vec<Commitment>,
    completed_moves: Vec<CompletedMove>,
    new_wallets: Vec<NewWallet>,
}

/// The blocks that a log has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The first block whose events are wanted.
    pub from_block: BlockNumber,
    /// The first block from which on all lasting events are read.
    pub searched: BlockNumber,
    /// The first block whose events are not read, or may still change.
    pub unsettled: BlockNumber,
    /// The first and the last block of what one of several servers alone has told. `None` if there is none.
    #[serde(default)]
    pub told_by_one: Option<(BlockNumber, BlockNumber)>,
}

/// A wallet's own events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct WalletEvents {
    reveals: Vec<DepositReveal>,
    requests: Vec<RedemptionRequest>,
    transactions: Vec<WalletTransaction>,
}

/// Which events of some blocks were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinds {
    All,
    Lasting,
}

/// The difference between two logs.
///
/// An event shows in it until the log that has the event is the one compared with. A caller that must handle every event keeps
/// the log that it has handled, and replaces it by the newer one only after that. Nothing is lost with a failure in between, and
/// an event that is read twice shows once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Events that are gone: their blocks no longer are in the chain.
    pub removed: Vec<BridgeEvent>,
    /// Events that were not there.
    pub added: Vec<BridgeEvent>,
    /// The blocks that have been read now.
    pub extent: Extent,
}

impl EventLog {
    /// No events yet of the Bridge at this address, whose events from this block on are wanted.
    pub const fn new(bridge: Address, from_block: BlockNumber) -> Self {
        Self {
            bridge,
            extent: Extent { from_block, searched: from_block, unsettled: from_block, told_by_one: None },
            wallets: BTreeMap::new(),
            commitments: Vec::new(),
            completed_moves: Vec::new(),
            new_wallets: Vec::new(),
        }
    }

    /// Returns the Bridge's address.
    pub const fn bridge(&self) -> Address {
        self.bridge
    }

    /// The blocks that have been read.
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// All wallets' transactions, registrations, commitments and moves of funds are read from this block on.
    pub const fn searched(&self) -> BlockNumber {
        self.extent.searched
    }

    /// The first block whose events are wanted.
    pub const fn from_block(&self) -> BlockNumber {
        self.extent.from_block
    }

    /// Whether one of several servers alone has told a part of it.
    pub const fn is_word(&self) -> bool {
        self.extent.told_by_one.is_some()
    }

    /// The wallet's deposits, oldest first.
    pub fn reveals(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &DepositReveal> {
        self.of(wallet).flat_map(|events| &events.reveals)
    }

    /// What the deposit's reveal tells, if it is among the events of the block that is named for it.
    pub fn reveal(&self, deposit: RevealedDeposit) -> Option<Revealed> {
        self.wallets.values().find_map(|events| {
            let in_block = events.reveals.partition_point(|event| event.at.block < deposit.reveal_block);
            let mut events = events.reveals.get(in_block..)?.iter();
            let mut events = events.by_ref().take_while(|event| event.at.block == deposit.reveal_block);
            events.find(|event| event.outpoint == deposit.outpoint).map(|event| event.revealed)
        })
    }

    /// The redemption requests to the wallet, oldest first.
    pub fn requests(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &RedemptionRequest> {
        self.of(wallet).flat_map(|events| &events.requests)
    }

    /// The wallet's recorded transactions, oldest first.
    pub fn transactions(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &WalletTransaction> {
        self.of(wallet).flat_map(|events| &events.transactions)
    }

    /// Which wallets are to receive the funds of retiring ones, oldest first.
    pub fn commitments(&self) -> &[Commitment] {
        &self.commitments
    }

    /// The moves of funds proven, oldest first.
    pub fn completed_moves(&self) -> &[CompletedMove] {
        &self.completed_moves
    }

    /// The wallets registered, oldest first.
    pub fn new_wallets(&self) -> &[NewWallet] {
        &self.new_wallets
    }

    /// The registration of the wallet, if it is among the events.
    pub fn registration(&self, wallet: KeyHash) -> Option<&NewWallet> {
        self.new_wallets.iter().find(|event| event.wallet == wallet)
    }

    /// All events, in order.
    pub fn events(&self) -> Vec<BridgeEvent> {
        let of_wallets = self.wallets.values().flat_map(|events| {
            let reveals = events.reveals.iter().cloned().map(BridgeEvent::Reveal);
            let requests = events.requests.iter().cloned().map(BridgeEvent::Request);
            reveals.chain(requests).chain(events.transactions.iter().copied().map(BridgeEvent::Transaction))
        });
        let mut events: Vec<_> = of_wallets
            .chain(self.commitments.iter().cloned().map(BridgeEvent::Commitment))
            .chain(self.completed_moves.iter().cloned().map(BridgeEvent::CompletedMove))
            .chain(self.new_wallets.iter().copied().map(BridgeEvent::NewWallet))
            .collect();
        events.sort_unstable_by_key(BridgeEvent::at);
        events
    }

    /// Returns the changes since the log was this one.
    pub fn changes_since(&self, earlier: &Self) -> ChangeSet {
        let by_place = |log: &Self| -> BTreeMap<Position, BridgeEvent> {
            log.events().into_iter().map(|event| (event.at(), event)).collect()
        };
        let (mut before, mut now) = (by_place(earlier), by_place(self));
        now.retain(|at, event| match before.get(at) {
            Some(same) if same == event => {
                before.remove(at);
                false
            }
            _ => true,
        });
        ChangeSet {
            removed: before.into_values().collect(),
            added: now.into_values().collect(),
            extent: self.extent,
        }
    }

    /// Makes the log the one that the changes were computed for. Applied twice, they mean the same as applied once.
    pub fn apply(&mut self, changes: &ChangeSet) {
        for event in changes.removed.iter().chain(&changes.added) {
            let at = event.at();
            self.retain(|other| other != at);
        }
        self.insert(changes.added.iter().cloned());
        self.extent = changes.extent;
    }

    /// Replaces the events of these kinds in these blocks. The new ones are in order, each once.
    pub(super) fn replace(
        &mut self,
        range: &RangeInclusive<BlockNumber>,
        kinds: Kinds,
        events: Vec<BridgeEvent>,
    ) {
        match kinds {
            Kinds::All => self.retain(|at| !range.contains(&at.block)),
            Kinds::Lasting => {
                let keep = |at: Position| !range.contains(&at.block);
                self.retain_lasting(keep);
            }
        }
        self.insert(events);
    }

    /// Events of all kinds have been read up to this block, which is the newest one known; the last `final_depth` blocks may
    /// still change.
    pub(super) fn read_to(&mut self, last: BlockNumber, newest: BlockNumber, final_depth: Blocks) {
        let next = last.next();
        let settled = next.min(newest.next().saturating_sub(final_depth));
        self.extent.unsettled = self.extent.unsettled.max(settled);
    }

    /// What lasts has been read from this block on.
    pub(super) fn searched_from(&mut self, first: BlockNumber) {
        self.extent.searched = self.extent.searched.min(first);
    }

    /// Events of all kinds have been read from this block on, up to where they were wanted from.
    pub(super) fn read_from(&mut self, first: BlockNumber, newest: BlockNumber, final_depth: Blocks) {
        let settled = newest.next().saturating_sub(final_depth).max(first);
        self.extent.from_block = self.extent.from_block.min(first);
        self.extent.unsettled = self.extent.unsettled.min(settled.max(self.extent.from_block));
        self.searched_from(first);
    }

    /// One of several servers alone has told these blocks.
    pub(super) fn told_by_one(&mut self, range: &RangeInclusive<BlockNumber>) {
        let (first, last) = self.extent.told_by_one.unwrap_or((*range.start(), *range.end()));
        self.extent.told_by_one = Some((first.min(*range.start()), last.max(*range.end())));
    }

    /// What one of several servers alone has told counts as unread. It stays until it is read again; but what lasts, and is from
    /// before the first block wanted, is searched for again only when it is asked for, and goes.
    pub(super) fn unread_told_by_one(&mut self) {
        let Extent { from_block, searched, unsettled, told_by_one } = &mut self.extent;
        let Some((mut first, last)) = *told_by_one else { return };
        let wanted = *from_block;
        let reaches_back = first < wanted;
        if reaches_back {
            *searched = wanted;
            first = wanted;
        }
        *told_by_one = (first <= last).then_some((first, last));
        if told_by_one.is_some() {
            *unsettled = (*unsettled).min(first);
        }
        if reaches_back {
            self.retain_lasting(|at| at.block >= wanted);
        }
    }

    /// Enough servers have told all blocks up to this one, of what one alone had told.
    pub(super) fn told_again_to(&mut self, block: BlockNumber) {
        let told = &mut self.extent.told_by_one;
        *told = told.map(|(_, last)| (block.next(), last)).filter(|(first, last)| first <= last);
    }

    /// Drops the reveals and requests of earlier blocks, unless newer blocks are yet to be read.
    pub(super) fn forget_before(&mut self, block: BlockNumber) {
        let block = block.min(self.extent.unsettled);
        if block <= self.extent.from_block {
            return;
        }
        for events in self.wallets.values_mut() {
            events.reveals.retain(|event| event.at.block >= block);
            events.requests.retain(|event| event.at.block >= block);
        }
        self.wallets.retain(|_, events| *events != WalletEvents::default());
        self.extent.from_block = block;
    }

    fn of(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &WalletEvents> {
        self.wallets.get(&wallet).into_iter()
    }

    fn retain(&mut self, keep: impl Fn(Position) -> bool) {
        for events in self.wallets.values_mut() {
            events.reveals.retain(|event| keep(event.at));
            events.requests.retain(|event| keep(event.at));
        }
        self.retain_lasting(keep);
    }

    fn retain_lasting(&mut self, keep: impl Fn(Position) -> bool) {
        self.wallets.retain(|_, events| {
            events.transactions.retain(|event| keep(event.at));
            *events != WalletEvents::default()
        });
        self.commitments.retain(|event| keep(event.at));
        self.completed_moves.retain(|event| keep(event.at));
        self.new_wallets.retain(|event| keep(event.at));
    }

    fn insert(&mut self, events: impl IntoIterator<Item = BridgeEvent>) {
        for event in events {
            match event {
                BridgeEvent::Reveal(event) => {
                    self.wallets.entry(event.revealed.wallet).or_default().reveals.push(event);
                }
                BridgeEvent::Request(event) => {
                    self.wallets.entry(event.wallet).or_default().requests.push(event);
                }
                BridgeEvent::Transaction(event) => {
                    self.wallets.entry(event.wallet).or_default().transactions.push(event);
                }
                BridgeEvent::Commitment(event) => self.commitments.push(event),
                BridgeEvent::CompletedMove(event) => self.completed_moves.push(event),
                BridgeEvent::NewWallet(event) => self.new_wallets.push(event),
            }
        }
        // Sorting what is sorted already, or nearly so, takes one pass.
        for events in self.wallets.values_mut() {
            events.reveals.sort_by_key(|event| event.at);
            events.requests.sort_by_key(|event| event.at);
            events.transactions.sort_by_key(|event| event.at);
        }
        self.commitments.sort_by_key(|event| event.at);
        self.completed_moves.sort_by_key(|event| event.at);
        self.new_wallets.sort_by_key(|event| event.at);
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    fn extent(from_block: u64, searched: u64, unsettled: u64, told: Option<(u64, u64)>) -> Extent {
        Extent {
            from_block: BlockNumber(from_block),
            searched: BlockNumber(searched),
            unsettled: BlockNumber(unsettled),
            told_by_one: told.map(|(first, last)| (BlockNumber(first), BlockNumber(last))),
        }
    }

    fn log(extent: Extent) -> EventLog {
        EventLog { extent, ..EventLog::new(Address::ZERO, extent.from_block) }
    }

    fn range(first: u64, last: u64) -> RangeInclusive<BlockNumber> {
        BlockNumber(first)..=BlockNumber(last)
    }

    #[test]
    fn what_one_server_told_reaches_from_the_first_such_block_to_the_last() {
        let mut log = log(extent(100, 100, 200, None));
        assert!(!log.is_word());
        log.told_by_one(&range(150, 160));
        log.told_by_one(&range(120, 130));
        log.told_by_one(&range(140, 145));
        assert!(log.is_word());
        assert_eq!(log.extent(), extent(100, 100, 200, Some((120, 160))));
    }

    #[test]
    fn what_is_told_again_is_no_more_one_servers_word_block_by_block() {
        let mut log = log(extent(100, 100, 200, Some((120, 160))));
        log.told_again_to(BlockNumber(130));
        assert_eq!(log.extent().told_by_one, Some((BlockNumber(131), BlockNumber(160))));
        log.told_again_to(BlockNumber(159));
        assert_eq!(log.extent().told_by_one, Some((BlockNumber(160), BlockNumber(160))));
        log.told_again_to(BlockNumber(160));
        assert!(!log.is_word());
    }

    #[test]
    fn what_one_server_told_counts_as_unread_from_its_first_block_on() {
        let mut told = log(extent(100, 100, 200, Some((120, 160))));
        told.unread_told_by_one();
        assert_eq!(told.extent(), extent(100, 100, 120, Some((120, 160))));
        // Nothing is read by it that wasn't.
        let mut unread = log(extent(100, 100, 110, Some((120, 160))));
        unread.unread_told_by_one();
        assert_eq!(unread.extent(), extent(100, 100, 110, Some((120, 160))));
        let mut agreed = log(extent(100, 50, 200, None));
        agreed.unread_told_by_one();
        assert_eq!(agreed.extent(), extent(100, 50, 200, None));
    }

    #[test]
    fn what_one_server_told_of_before_the_first_block_wanted_goes() {
        let registered = |block: u64| NewWallet {
            at: Position { block: BlockNumber(block), index: 0 },
            ecdsa_wallet_id: B256::ZERO,
            wallet: KeyHash([1; 20]),
        };
        let mut both = log(extent(100, 50, 200, Some((60, 160))));
        both.new_wallets = vec![registered(99), registered(100)];
        both.unread_told_by_one();
        assert_eq!(both.extent(), extent(100, 100, 100, Some((100, 160))));
        assert_eq!(both.new_wallets, [registered(100)]);
        let mut earlier = log(extent(100, 50, 200, Some((60, 99))));
        earlier.new_wallets = vec![registered(99), registered(100)];
        earlier.unread_told_by_one();
        assert_eq!(earlier.extent(), extent(100, 100, 200, None));
        assert_eq!(earlier.new_wallets, [registered(100)]);
    }
}
