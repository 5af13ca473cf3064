//! One wallet at one block: its proposals are generated and judged here. A session keeps what it has read, so that nothing
//! is read twice.

mod generator;
mod judge;
mod main_utxo;
mod reads;

use std::{collections::BTreeMap, sync::Arc};

use bitcoin::FeeRate;
use coxswain_bitcoin::{Backend, Known};
use coxswain_ethereum::{
    Block, ChainError, Endpoints, EventLog, EventReader, HashedHeader, Named, Panel, ProposalValidator,
    Revealed, SnapshotReader,
};
use coxswain_rules::{
    Assurance, DepositKey, DepositRecord, FeeConditions, KeyHash, OutPoint, Snapshot,
    network::Parameters,
    units::{BlockNumber, UnixTime},
};

use self::{
    generator::{Moved, Survey},
    judge::CaseAnswers,
    main_utxo::MainUtxo,
    reads::EARLIER_STEP,
};
use crate::{Assurances, Head, Memory, SessionError, records::Records};

pub use self::judge::{Assessment, Concurrence, Obstacle, Opinion, Step};
pub use self::main_utxo::main_utxo_in;

/// The chain, the Bridge and Bitcoin, as all sessions of one Bridge read them.
#[derive(Clone, Debug)]
pub struct Sources<B> {
    pub(crate) events: EventReader,
    pub(crate) panel: Panel,
    /// How far it is to be believed that the validator reads this Bridge. `None` if the caller of [`Sources::new`] vouches for it.
    pub(crate) bridge: Option<Assurance>,
    pub(crate) reader: SnapshotReader,
    pub(crate) validator: ProposalValidator,
    pub(crate) bitcoin: B,
    pub(crate) network: Parameters,
    pub(crate) fallback_fee_rate: Option<FeeRate>,
    pub(crate) records: Arc<Records>,
}

impl<B: Backend> Sources<B> {
    /// The Bridge whose events these are, on chain `chain_id`, this validator, and this Bitcoin backend, on a network with
    /// these parameters. `fallback_fee_rate` is taken for the estimate of fees if Bitcoin has none.
    pub fn new(
        events: EventReader,
        chain_id: u64,
        validator: ProposalValidator,
        bitcoin: B,
        network: Parameters,
        fallback_fee_rate: Option<FeeRate>,
    ) -> Self {
        let reader = SnapshotReader::new(events.endpoints().clone(), chain_id, events.bridge());
        let panel = Panel::of(events.endpoints(), chain_id);
        let records = Arc::default();
        Self { events, panel, bridge: None, reader, validator, bitcoin, network, fallback_fee_rate, records }
    }

    /// Reads these wallets' records at this block together, once, whoever asks: their sessions at it read none then. If that
    /// fails, each reads its own.
    pub async fn read_together(&self, at: &HashedHeader, wallets: impl IntoIterator<Item = KeyHash>) {
        self.records.read(&self.reader, &self.panel, at, wallets).await;
    }

    /// The same, by a panel of the same servers, which knows what they have proven before. By it, it is to be believed so far
    /// that the validator reads this Bridge: no verdict is known better.
    #[must_use]
    pub fn through(self, panel: Panel, bridge: Assurance) -> Self {
        // What one panel has read, another hasn't seen.
        Self { panel, bridge: Some(bridge), records: Arc::default(), ..self }
    }
}

/// One wallet at one block, with what was read of it so far.
///
/// It generates proposals ([`generate`](Self::generate)), finds what belongs to a received one
/// ([`evidence`](Self::evidence)), and judges ([`judge`](Self::judge)).
#[derive(Debug)]
pub struct Session<'a, B> {
    pub(crate) sources: &'a Sources<B>,
    pub(crate) key_hash: KeyHash,
    pub(crate) named: Named,
    pub(crate) block: Block,
    /// How far what was read is to be believed.
    pub(crate) assurances: Assurances,
    /// The Bridge's events, as they were when the session last asked. They may be of later blocks than its own.
    pub(crate) events: Arc<EventLog>,
    pub(crate) memory: &'a mut Memory,
    /// The wallet's record, and the Bridge's parameters.
    basis: Option<Snapshot>,
    fees: Option<FeeConditions>,
    /// The main UTXO, once Bitcoin has said that it is unspent.
    main_utxo: Option<MainUtxo>,
    pub(crate) survey: Option<Survey>,
    pub(crate) moved: Option<Moved>,
    /// What the events of the blocks that proposals name tell of their deposits, held against the Bridge's state.
    pub(crate) reveals: BTreeMap<(BlockNumber, OutPoint), Option<Revealed>>,
    /// The Bridge's records of proposals' deposits.
    pub(crate) deposits: BTreeMap<DepositKey, DepositRecord>,
    /// The time of the newest block that is deep enough for events to be built on.
    deep: Option<UnixTime>,
    /// What Bitcoin knows of proposals' funding transactions.
    pub(crate) funding: BTreeMap<OutPoint, Known>,
    /// The answers about the last case that was judged.
    pub(crate) heard: Option<CaseAnswers>,
    /// Whether the validator is the one deployed on mainnet.
    pub(crate) is_deployed: Option<bool>,
    /// Whether no transaction of a wallet without a main UTXO waits for its proof.
    pub(crate) none_waits: bool,
}

impl<'a, B: Backend> Session<'a, B> {
    /// The wallet as of this block, which servers name. Nothing is asked yet.
    ///
    /// The sources' events must have been brought up to the block ([`EventReader::follow`]), and reach back as far as anything
    /// pending; for what lasts, they are searched further back. `memory` is the wallet's own.
    pub fn new(sources: &'a Sources<B>, wallet: KeyHash, named: Named, memory: &'a mut Memory) -> Self {
        let events = sources.events.log();
        Self {
            sources,
            key_hash: wallet,
            block: named.header.block(),
            assurances: Assurances {
                state: sources.bridge,
                ..Assurances::at(named.named_by, named.of, named.is_given)
            },
            named,
            events,
            memory,
            basis: None,
            fees: None,
            main_utxo: None,
            survey: None,
            moved: None,
            reveals: BTreeMap::new(),
            deposits: BTreeMap::new(),
            deep: None,
            funding: BTreeMap::new(),
            heard: None,
            is_deployed: None,
            none_waits: false,
        }
    }

    /// The block that everything is read at.
    pub const fn block(&self) -> Block {
        self.block
    }

    /// How far all that was read so far is to be believed, kind by kind.
    pub const fn assurances(&self) -> Assurances {
        self.assurances
    }

    /// That something is decided by what events tell.
    pub(crate) fn count_events(&mut self) {
        // Another server may have spoken since the log was read, and another wallet may have read it again.
        let now = self.sources.panel.events_assurance();
        self.assurances.count_events(if self.events.is_word() { Assurance::Word } else { now });
    }

    /// Who is asked of Ethereum.
    pub(crate) fn endpoints(&self) -> &Endpoints {
        self.sources.events.endpoints()
    }

    /// Searches one step further back for what lasts. `false`, without a request, if the chain's first block has been read.
    pub(crate) async fn search_earlier(&mut self) -> Result<bool, ChainError> {
        let searched = self.events.searched();
        if searched == BlockNumber(0) {
            return Ok(false);
        }
        self.search_back_to(searched.saturating_sub(EARLIER_STEP)).await?;
        Ok(true)
    }

    /// Searches back towards this block for what lasts.
    pub(crate) async fn search_back_to(&mut self, goal: BlockNumber) -> Result<(), ChainError> {
        self.events = self.sources.events.reach_back(goal, self.block).await?;
        Ok(())
    }

    /// The block, as events are held against it.
    pub(crate) async fn head(&mut self) -> Result<Head, SessionError> {
        let event_depth = self.sources.network.event_depth;
        Ok(Head { block: self.block.number, deep: self.deep().await?, event_depth })
    }

    /// The time of the newest block that is deep enough for events to be built on; 0 if there is none.
    async fn deep(&mut self) -> Result<UnixTime, SessionError> {
        if let Some(deep) = self.deep {
            return Ok(deep);
        }
        let deep = match self.block.number.checked_sub(self.sources.network.event_depth) {
            Some(number) => {
                let ancestor = self.sources.panel.ancestor(&self.named.header, number).await?;
                self.assurances.count_state(ancestor.assurance);
                ancestor.fact.timestamp()
            }
            None => UnixTime(0),
        };
        Ok(*self.deep.insert(deep))
    }
}
