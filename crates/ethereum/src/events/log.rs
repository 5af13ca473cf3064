//! The Bridge's events, as far as wallets' actions follow from them: read in ranges that the endpoint allows, kept, and
//! asked for what came since.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::RangeInclusive,
};

use alloy::{
    primitives::{Address, B256, FixedBytes, IntoLogData},
    rpc::types::{Filter, Log},
    sol_types::{SolEvent, SolEventInterface},
};
use bitcoin::{consensus::encode, hashes::Hash as _};
use coxswain_bindings::bridge::Bridge::{self, BridgeEvents as Event};
use coxswain_rules::{Amount, KeyHash, OutPoint, RevealedDeposit, ScriptBuf, Txid};

use super::reveal::Revealed;
use crate::{
    error::ChainError,
    rpc::{Block, BlockSelector, End, Endpoints, LogRanges, Position},
};

/// How deep a block is when it is taken to be final: three epochs. Events above are read anew each time.
const FINALITY: u64 = 96;
/// How much further back one step of a search goes at most, in blocks: 30 days.
const SEARCH: u64 = 216_000;
/// How many requests it sends at most: an endpoint that allows few blocks at once takes more steps.
const STEP_REQUESTS: usize = 100;
/// What is still of use however old it is: wallets' transactions, their registration, and where retiring ones' funds go.
const LASTING: [B256; 6] = [
    Bridge::DepositsSwept::SIGNATURE_HASH,
    Bridge::RedemptionsCompleted::SIGNATURE_HASH,
    Bridge::MovedFundsSwept::SIGNATURE_HASH,
    Bridge::NewWalletRegistered::SIGNATURE_HASH,
    Bridge::MovingFundsCommitmentSubmitted::SIGNATURE_HASH,
    Bridge::MovingFundsCompleted::SIGNATURE_HASH,
];
/// Everything else that is kept.
const OTHERS: [B256; 2] =
    [Bridge::DepositRevealed::SIGNATURE_HASH, Bridge::RedemptionRequested::SIGNATURE_HASH];

/// `DepositRevealed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositReveal {
    /// Where the event stands.
    pub at: Position,
    /// The funding output.
    pub outpoint: OutPoint,
    /// The parts of the script that the Bridge doesn't store.
    pub revealed: Revealed,
}

/// `RedemptionRequested`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedemptionRequest {
    /// Where the event stands.
    pub at: Position,
    /// The wallet that shall pay.
    pub wallet: KeyHash,
    /// To which script, without length prefix.
    pub script: ScriptBuf,
    /// What the redeemer gave up.
    pub requested_amount: Amount,
}

/// `MovingFundsCommitmentSubmitted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Where the event stands.
    pub at: Position,
    /// The wallet that retires.
    pub source: KeyHash,
    /// The wallets that shall receive its funds, in order.
    pub targets: Vec<KeyHash>,
}

/// `MovingFundsCompleted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedMove {
    /// Where the event stands.
    pub at: Position,
    /// The wallet that moved its funds.
    pub source: KeyHash,
    /// The transaction that did.
    pub txid: Txid,
}

/// `NewWalletRegistered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewWallet {
    /// Where the event stands.
    pub at: Position,
    /// Its id in the wallet registry.
    pub ecdsa_wallet_id: B256,
    /// Its key's hash.
    pub wallet: KeyHash,
}

/// A Bitcoin transaction of a wallet that the Bridge has recorded, and that may have made its main UTXO: of `DepositsSwept`,
/// `RedemptionsCompleted` or `MovedFundsSwept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletTransaction {
    /// Where the event stands.
    pub at: Position,
    /// The wallet.
    pub wallet: KeyHash,
    /// The transaction.
    pub txid: Txid,
}

/// The Bridge's events from one block on up to another, of all wallets, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeEvents {
    bridge: Address,
    /// The first block whose events are wanted.
    from_block: u64,
    /// The first block whose events are not read, or may still change.
    unsettled: u64,
    /// The first block of which all that lasts is read.
    searched: u64,
    ranges: LogRanges,
    reveals: Vec<DepositReveal>,
    requests: Vec<RedemptionRequest>,
    commitments: Vec<Commitment>,
    completed_moves: Vec<CompletedMove>,
    new_wallets: Vec<NewWallet>,
    transactions: Vec<WalletTransaction>,
}

impl BridgeEvents {
    /// No events yet of the Bridge at this address, whose events from this block on are wanted.
    pub const fn new(bridge: Address, from_block: u64) -> Self {
        Self {
            bridge,
            from_block,
            unsettled: from_block,
            searched: from_block,
            ranges: LogRanges::new(),
            reveals: Vec::new(),
            requests: Vec::new(),
            commitments: Vec::new(),
            completed_moves: Vec::new(),
            new_wallets: Vec::new(),
            transactions: Vec::new(),
        }
    }

    /// Where the Bridge is.
    pub const fn bridge(&self) -> Address {
        self.bridge
    }

    /// The first block of which all wallets' transactions, registrations, commitments and moves of funds are read.
    pub const fn searched(&self) -> u64 {
        self.searched
    }

    /// The first block whose events are wanted.
    pub const fn from_block(&self) -> u64 {
        self.from_block
    }

    /// Brings the events up to this block: none above it is kept.
    ///
    /// Sends one `eth_getLogs` when the endpoint allows the range, else as many as it takes. The last 96 blocks are read
    /// anew each time, as they can still be reorganised. Reads are by height, so that what is decided by the events is to
    /// be checked with reads by the block's hash. When it fails in the middle, the blocks already read are not read again.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer, an event can't be read, or the block isn't in the endpoint's chain, as far as
    /// the events show that. The events are then incomplete.
    pub async fn update(&mut self, endpoint: &Endpoints, block: Block) -> Result<(), ChainError> {
        let end = block.number.saturating_add(1);
        self.unsettled = self.unsettled.min(end);
        self.forget();
        let filter = Filter::new().event_signature([&LASTING[..], &OTHERS].concat());
        let mut next = self.unsettled.max(self.from_block);
        while next < end {
            let filter = self.of_bridge(&filter);
            let range = next..=block.number;
            let (range, logs) = self.ranges.read(endpoint, Some(block), filter, range, End::First).await?;
            let logs = self.in_order(logs, &range)?;
            if let Some(log) = logs.values().next_back()
                && log.block_number == Some(block.number)
                && log.block_hash != Some(block.hash)
            {
                let endpoint = endpoint.name().to_owned();
                return Err(ChainError::NoBlock { endpoint, block: BlockSelector::Hash(block.hash) });
            }
            self.extend(logs)?;
            next = range.end().saturating_add(1);
            self.unsettled = next.min(end.saturating_sub(FINALITY)).max(self.from_block);
        }
        Ok(())
    }

    /// Searches further back, as [`earlier`](Self::earlier) does, for a wallet whose newest transaction is older than any
    /// yet read. `false`, without a request, also when the wallet's registration has been read.
    ///
    /// # Errors
    /// As with [`earlier`](Self::earlier).
    pub async fn earlier_transactions(
        &mut self,
        endpoint: &Endpoints,
        wallet: KeyHash,
    ) -> Result<bool, ChainError> {
        if self.new_wallets.iter().any(|event| event.wallet == wallet) {
            return Ok(false);
        }
        self.earlier(endpoint).await
    }

    /// Goes one step further back than any yet: reads what lasts (all wallets' transactions, registrations, commitments and
    /// moves of funds, nothing else) of up to 30 days, in up to 100 requests. `false`, without a request, when the chain's first
    /// block has been read.
    ///
    /// # Errors
    /// As with [`update`](Self::update). The blocks already read are not read again.
    pub async fn earlier(&mut self, endpoint: &Endpoints) -> Result<bool, ChainError> {
        if self.searched == 0 {
            return Ok(false);
        }
        let goal = self.searched.saturating_sub(SEARCH);
        let filter = Filter::new().event_signature(LASTING.to_vec());
        for _ in 0..STEP_REQUESTS {
            let Some(last) = self.searched.checked_sub(1).filter(|last| goal <= *last) else { break };
            let (range, logs) =
                self.ranges.read(endpoint, None, self.of_bridge(&filter), goal..=last, End::Last).await?;
            let mut earlier = Self::new(self.bridge, *range.start());
            earlier.extend(self.in_order(logs, &range)?)?;
            self.transactions.splice(..0, earlier.transactions);
            self.new_wallets.splice(..0, earlier.new_wallets);
            self.commitments.splice(..0, earlier.commitments);
            self.completed_moves.splice(..0, earlier.completed_moves);
            self.searched = *range.start();
        }
        Ok(true)
    }

    /// The wallet's deposits, oldest first.
    pub fn reveals(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &DepositReveal> {
        self.reveals.iter().filter(move |event| event.revealed.wallet == wallet)
    }

    /// What the deposit's reveal tells, if it is among the events of the block that is named for it.
    pub fn reveal(&self, deposit: RevealedDeposit) -> Option<Revealed> {
        let in_block = self.reveals.partition_point(|event| event.at.block < deposit.reveal_block);
        let events = self.reveals.get(in_block..)?.iter();
        let mut events = events.take_while(|event| event.at.block == deposit.reveal_block);
        events.find(|event| event.outpoint == deposit.outpoint).map(|event| event.revealed)
    }

    /// The redemption requests to the wallet, oldest first.
    pub fn requests(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &RedemptionRequest> {
        self.requests.iter().filter(move |event| event.wallet == wallet)
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

    /// The wallet's recorded transactions, oldest first.
    pub fn transactions(&self, wallet: KeyHash) -> impl DoubleEndedIterator<Item = &WalletTransaction> {
        self.transactions.iter().filter(move |event| event.wallet == wallet)
    }

    fn of_bridge(&self, filter: &Filter) -> Filter {
        filter.clone().address(self.bridge)
    }

    /// Drops what may have changed since it was read.
    fn forget(&mut self) {
        let settled = |at: Position| at.block < self.unsettled;
        self.reveals.retain(|event| settled(event.at));
        self.requests.retain(|event| settled(event.at));
        self.commitments.retain(|event| settled(event.at));
        self.completed_moves.retain(|event| settled(event.at));
        self.new_wallets.retain(|event| settled(event.at));
        self.transactions.retain(|event| settled(event.at));
    }

    /// What of an answer is the Bridge's, in these blocks, each event once. Anything else was not asked for.
    fn in_order(
        &self,
        logs: Vec<Log>,
        range: &RangeInclusive<u64>,
    ) -> Result<BTreeMap<Position, Log>, ChainError> {
        let mut in_order = BTreeMap::new();
        for log in logs {
            let Some(block) = log.block_number.filter(|block| range.contains(block)) else { continue };
            if log.removed || log.address() != self.bridge {
                continue;
            }
            let unreadable = |index, cause: &str| self.unreadable(Position { block, index }, cause);
            let index = log.log_index.ok_or_else(|| unreadable(0, "it has no index"))?;
            match in_order.entry(Position { block, index }) {
                Entry::Vacant(place) => {
                    place.insert(log);
                }
                Entry::Occupied(place) if *place.get() == log => {}
                Entry::Occupied(_) => return Err(unreadable(index, "there are two in its place")),
            }
        }
        Ok(in_order)
    }

    fn extend(&mut self, logs: BTreeMap<Position, Log>) -> Result<(), ChainError> {
        for (at, log) in logs {
            let known = log.topic0().is_some_and(|topic| LASTING.contains(topic) || OTHERS.contains(topic));
            if !known {
                continue;
            }
            let event = Event::decode_raw_log(log.topics(), &log.data().data)
                .map_err(|error| self.unreadable(at, &error.to_string()))?;
            if event.to_log_data() != *log.data() {
                return Err(self.unreadable(at, "it is not what its fields are encoded to"));
            }
            self.push(at, event)?;
        }
        Ok(())
    }

    fn push(&mut self, at: Position, event: Event) -> Result<(), ChainError> {
        let transaction = |wallet: FixedBytes<20>, hash: B256| WalletTransaction {
            at,
            wallet: wallet.into(),
            txid: txid(hash),
        };
        match event {
            Event::DepositRevealed(event) => self.reveals.push(DepositReveal {
                at,
                outpoint: OutPoint::new(txid(event.fundingTxHash), event.fundingOutputIndex),
                revealed: event.into(),
            }),
            Event::RedemptionRequested(event) => {
                let script = encode::deserialize(&event.redeemerOutputScript)
                    .map_err(|error| self.unreadable(at, &error.to_string()))?;
                self.requests.push(RedemptionRequest {
                    at,
                    wallet: event.walletPubKeyHash.into(),
                    script,
                    requested_amount: Amount::from_sat(event.requestedAmount),
                });
            }
            Event::MovingFundsCommitmentSubmitted(event) => self.commitments.push(Commitment {
                at,
                source: event.walletPubKeyHash.into(),
                targets: event.targetWallets.into_iter().map(KeyHash::from).collect(),
            }),
            Event::MovingFundsCompleted(event) => self.completed_moves.push(CompletedMove {
                at,
                source: event.walletPubKeyHash.into(),
                txid: txid(event.movingFundsTxHash),
            }),
            Event::NewWalletRegistered(event) => self.new_wallets.push(NewWallet {
                at,
                ecdsa_wallet_id: event.ecdsaWalletID,
                wallet: event.walletPubKeyHash.into(),
            }),
            Event::DepositsSwept(event) => {
                self.transactions.push(transaction(event.walletPubKeyHash, event.sweepTxHash));
            }
            Event::RedemptionsCompleted(event) => {
                self.transactions.push(transaction(event.walletPubKeyHash, event.redemptionTxHash));
            }
            Event::MovedFundsSwept(event) => {
                self.transactions.push(transaction(event.walletPubKeyHash, event.sweepTxHash));
            }
            _ => {}
        }
        Ok(())
    }

    fn unreadable(&self, at: Position, cause: &str) -> ChainError {
        ChainError::UnreadableEvent { bridge: self.bridge, at, cause: cause.to_owned() }
    }
}

/// A transaction's id, from its hash as contracts hold it: in internal byte order.
fn txid(hash: B256) -> Txid {
    Txid::from_byte_array(hash.0)
}
