//! The room in which one wallet's proposals are made and judged, at one block: what was read once is there for the next
//! question.

mod generator;
mod judge;
mod main_utxo;
mod reads;

use std::collections::BTreeMap;

use alloy_primitives::Address;
use bitcoin::FeeRate;
use coxswain_bitcoin::{Backend, Known};
use coxswain_ethereum::{Block, BridgeEvents, Endpoints, ProposalValidator, Revealed, SnapshotReader};
use coxswain_rules::{FeeConditions, KeyHash, OutPoint, Snapshot, network::Parameters};

use self::{
    generator::{Moved, Survey},
    judge::CaseAnswers,
    main_utxo::MainUtxo,
};
use crate::{Head, Memory};

pub use self::judge::{Assessment, Concurrence, Obstacle, Opinion, Step};
pub use self::main_utxo::main_utxo_in;

/// Whom all sessions of one Bridge ask.
#[derive(Clone, Debug)]
pub struct Sources<B> {
    pub(crate) endpoint: Endpoints,
    pub(crate) reader: SnapshotReader,
    pub(crate) validator: ProposalValidator,
    pub(crate) bitcoin: B,
    pub(crate) network: Parameters,
    pub(crate) fallback_fee_rate: Option<FeeRate>,
}

impl<B: Backend> Sources<B> {
    /// The Bridge at `bridge` on chain `chain_id`, this validator, and this Bitcoin backend, on a network with these parameters.
    /// `fallback_fee_rate` is taken for the estimate of fees if Bitcoin has none.
    pub fn new(
        endpoint: Endpoints,
        chain_id: u64,
        bridge: Address,
        validator: ProposalValidator,
        bitcoin: B,
        network: Parameters,
        fallback_fee_rate: Option<FeeRate>,
    ) -> Self {
        let reader = SnapshotReader::new(endpoint.clone(), chain_id, bridge);
        Self { endpoint, reader, validator, bitcoin, network, fallback_fee_rate }
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
    pub(crate) block: Block,
    pub(crate) events: &'a mut BridgeEvents,
    pub(crate) memory: &'a mut Memory,
    /// The wallet's record, and the Bridge's parameters.
    basis: Option<Snapshot>,
    fees: Option<FeeConditions>,
    /// The main UTXO, once Bitcoin has said that it is unspent.
    main_utxo: Option<MainUtxo>,
    pub(crate) survey: Option<Survey>,
    pub(crate) moved: Option<Moved>,
    /// What the events of the blocks that proposals name tell of their deposits.
    pub(crate) reveals: BTreeMap<(u64, OutPoint), Option<Revealed>>,
    /// What Bitcoin knows of proposals' funding transactions.
    pub(crate) funding: BTreeMap<OutPoint, Known>,
    /// What was heard of the case asked about last.
    pub(crate) heard: Option<CaseAnswers>,
    /// Whether the validator is the one deployed on mainnet.
    pub(crate) is_deployed: Option<bool>,
    /// Whether no transaction of a wallet without a main UTXO waits for its proof.
    pub(crate) none_waits: bool,
}

impl<'a, B: Backend> Session<'a, B> {
    /// The wallet as of this block. Nothing is asked yet.
    ///
    /// `events` must have been brought up to the block, and reach back as far as anything pending; for what lasts, they are
    /// searched further back. `memory` is the wallet's own.
    pub const fn new(
        sources: &'a Sources<B>,
        wallet: KeyHash,
        block: Block,
        events: &'a mut BridgeEvents,
        memory: &'a mut Memory,
    ) -> Self {
        Self {
            sources,
            key_hash: wallet,
            block,
            events,
            memory,
            basis: None,
            fees: None,
            main_utxo: None,
            survey: None,
            moved: None,
            reveals: BTreeMap::new(),
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

    /// The block, as events are held against it.
    const fn head(&self) -> Head {
        Head { block: self.block.number, event_depth: self.sources.network.event_depth }
    }
}
