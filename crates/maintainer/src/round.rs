//! A pass over all wallets: what is unproven is found, judged, sorted, proven and sent. One item's failure ends that item's turn
//! only.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::{
    primitives::Address,
    sol_types::{Revert, SolCall, SolError},
};
use bitcoin::{Transaction, Txid};
use coxswain_bindings::bridge::Bridge::submitMovedFundsSweepProofCall;
use coxswain_bitcoin::{
    Backend, BackendError,
    spv::{Difficulty, EPOCH, ReadError, RelayDifficulties, WorkAsked, epochs_left, read_proof},
};
use coxswain_ethereum::{
    Block, BlockSelector, ChainError, Endpoints, EventLog, EventReader, Relay, RelayState, SnapshotKeys,
    SnapshotReader, SpvMaintainers,
    submit::{Call, SentLog, SubmitError, Submitter},
};
use coxswain_rules::{
    DepositKey, KeyHash, RedemptionKey, SweepRequestKey, SweepRequestState, main_utxo_hash,
    units::{BlockNumber, Blocks, Height},
};
use futures_util::{StreamExt, stream};

use crate::{
    call::{Venue, proof_call},
    find::{Candidate, FindError, Finder, Memory},
    kind::{Judgement, Kind, Views, judge},
    order::{Deadline, Order, Pauses, rank},
    outcome::{Item, ItemState, Pass, PassError},
};

/// How many proofs are under way at a time: one waits to be mined, the others to become deep. A retarget waits for no more.
const AT_ONCE: usize = 4;
/// What the Bridge says to those from whom it takes no proofs.
const UNTRUSTED: &str = "Caller is not SPV maintainer";
/// How long another's transaction with the same call is waited for: it may never be mined.
const OTHERS_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What a maintainer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where proofs are sent.
    pub venue: Venue,
    /// The first block that has events of the Bridge.
    pub first_block: BlockNumber,
    /// How deep a block is when its events are read for the last time.
    pub final_depth: Blocks,
    /// Whether a relay may know no previous difficulty, and ask for no work then: on chains without work only.
    pub without_work: bool,
}

/// Proves what wallets did.
#[derive(Debug)]
pub struct Maintainer<B, L> {
    endpoints: Endpoints,
    reader: SnapshotReader,
    bitcoin: B,
    settings: Settings,
    /// `None`: nothing is sent.
    submitter: Option<Arc<Submitter<L>>>,
    events: EventReader,
    memory: Memory,
    pauses: Pauses,
    /// When each transaction was first seen to be provable.
    seen: BTreeMap<Txid, Duration>,
}

/// A candidate that can be proven by its kind.
struct Provable {
    candidate: Candidate,
    height: Height,
    kind: Kind,
    deadline: Deadline,
}

/// What a pass goes by.
struct Terms {
    block: Block,
    work: WorkAsked,
    /// All who may send proofs; empty if that isn't known.
    maintainers: Vec<Address>,
}

impl<B: Backend, L: SentLog> Maintainer<B, L> {
    /// Of the Bridge that this reads. Without a submitter it proves nothing, and says what it would send. Nothing is asked yet.
    pub fn new(
        endpoints: Endpoints,
        reader: SnapshotReader,
        bitcoin: B,
        submitter: Option<Arc<Submitter<L>>>,
        settings: Settings,
    ) -> Self {
        let log = EventLog::new(reader.bridge(), settings.first_block);
        let events = EventReader::new(endpoints.clone(), log, settings.final_depth);
        Self {
            endpoints,
            reader,
            bitcoin,
            settings,
            submitter,
            events,
            memory: Memory::default(),
            pauses: Pauses::default(),
            seen: BTreeMap::new(),
        }
    }

    /// Goes on with what an earlier run kept.
    #[must_use]
    pub fn resuming(mut self, memory: Memory, pauses: Pauses) -> Self {
        (self.memory, self.pauses) = (memory.checked(), pauses);
        self
    }

    /// What the next run may go on with. Without it, it takes longer.
    pub const fn kept(&self) -> (&Memory, &Pauses) {
        (&self.memory, &self.pauses)
    }

    /// Looks at all wallets, and proves what can be proven. `now` is the time since any one moment.
    ///
    /// # Errors
    /// If nothing could be proven, whatever it is.
    pub async fn pass(&mut self, now: Duration) -> Result<Pass, PassError> {
        let terms = self.terms().await?;
        let tip = self.bitcoin.tip().await;
        let mut pass = Pass {
            tip: tip.as_ref().ok().map(|tip| tip.height),
            relay_epoch: terms.work.relay.epoch,
            ..Pass::default()
        };
        let mut provable = Vec::new();
        let findings = self.finder(terms.block).find().await?;
        pass.wallets = findings.len();
        for finding in findings {
            match finding.candidate {
                Ok(None) => {}
                Err(error) => pass.unknown.push((finding.wallet, error)),
                Ok(Some(candidate)) => match self.judged(candidate, &terms, &tip).await {
                    Ok(found) => provable.push(found),
                    Err(item) => pass.items.push(*item),
                },
            }
        }
        provable.sort_by_key(|item| Order::new(item.kind, &item.deadline));
        let known = |txid| provable.iter().any(|item| item.candidate.transaction.compute_txid() == txid);
        self.pauses.keep(now, known);
        self.seen.retain(|txid, _| known(*txid));

        let mut turns = Vec::new();
        for item in provable {
            match self.turn(&item, &terms, now) {
                None => turns.push(item),
                Some(state) => pass.items.push(item.to_item(state)),
            }
        }
        // One after another, in this order: whoever asks first has the next nonce.
        let treated: Vec<_> = turns.iter().map(|item| self.treat(item, &terms, now)).collect();
        let states: Vec<_> = stream::iter(treated).buffered(AT_ONCE).collect().await;
        for (item, state) in turns.iter().zip(states) {
            pass.items.push(self.ended(item, state, now));
        }
        Ok(pass)
    }

    /// Looks at one transaction, and proves it if it can be; `send` says whether to. No turn is waited for, nor a pause.
    ///
    /// # Errors
    /// If nothing could be proven, whatever it is.
    pub async fn prove(
        &mut self,
        transaction: Transaction,
        height: Option<Height>,
        send: bool,
    ) -> Result<Option<Item>, PassError> {
        let terms = self.terms().await?;
        let tip = self.bitcoin.tip().await;
        let txid = transaction.compute_txid();
        let found = match self.finder(terms.block).of(transaction, height).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(FindError::Chain(error)) => return Err(error.into()),
            Err(error) => {
                let state = ItemState::Failed(error.into());
                let wallet = KeyHash([0; 20]);
                return Ok(Some(Item {
                    wallet,
                    txid,
                    kind: None,
                    deadline: Deadline::default(),
                    height,
                    state,
                }));
            }
        };
        let item = match self.judged(found, &terms, &tip).await {
            Ok(item) => item,
            Err(item) => return Ok(Some(*item)),
        };
        let state = match self.proof_call(&item, &terms).await {
            Err(state) => *state,
            Ok(call) if send => self.submit(&item, &call).await,
            Ok(call) => match &self.submitter {
                Some(submitter) => match submitter.rehearse(&call).await {
                    Ok(_) => ItemState::Ready(call),
                    Err(error) => ItemState::Failed(error.into()),
                },
                None => ItemState::Ready(call),
            },
        };
        Ok(Some(item.to_item(state)))
    }

    fn finder(&mut self, block: Block) -> Finder<'_, B> {
        Finder {
            reader: &self.reader,
            bitcoin: &self.bitcoin,
            events: self.events.log(),
            block,
            memory: &mut self.memory,
        }
    }

    /// The newest block, the events up to it, and what is asked of proofs there.
    async fn terms(&mut self) -> Result<Terms, PassError> {
        let block = self.endpoints.block(BlockSelector::Latest).await.map_err(ChainError::from)?;
        let block = block.ok_or(PassError::NoBlock)?;
        self.events.follow(block).await?;
        let terms = self.reader.proof_terms(block).await?;
        let relay = Relay::new(self.endpoints.clone(), terms.relay).state(block).await?;
        if relay.previous.is_zero() && !self.settings.without_work {
            return Err(PassError::RelayWithoutPrevious(terms.relay));
        }
        let relay = difficulties(&relay).ok_or(PassError::RelayOutOfRange(terms.relay))?;
        let maintainers = match (self.settings.venue, &self.submitter) {
            (Venue::Proxy(proxy), Some(submitter)) => {
                self.authorised(proxy, submitter.address(), block).await?
            }
            (Venue::Bridge(bridge), Some(submitter)) => {
                self.require_trust(bridge, submitter).await?;
                Vec::new()
            }
            (Venue::Bridge(_) | Venue::Proxy(_), None) => Vec::new(),
        };
        Ok(Terms { block, work: WorkAsked { relay, factor: terms.factor }, maintainers })
    }

    /// That the Bridge itself takes proofs from the account. It shows its list to nobody, but looks there before it looks at a
    /// proof: an empty one is refused for one reason or for another.
    async fn require_trust(&self, bridge: Address, submitter: &Submitter<L>) -> Result<(), PassError> {
        let empty = submitMovedFundsSweepProofCall::default();
        match submitter.rehearse(&Call { to: bridge, input: empty.abi_encode().into() }).await {
            Err(SubmitError::WouldRevert(data)) if is_untrusted(&data) => {
                Err(PassError::Unauthorised(submitter.address()))
            }
            Err(SubmitError::Request(error)) => Err(ChainError::from(error).into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn authorised(
        &self,
        proxy: Address,
        account: Address,
        block: Block,
    ) -> Result<Vec<Address>, PassError> {
        let maintainers = SpvMaintainers::new(self.endpoints.clone(), proxy);
        let bridge = maintainers.bridge(block).await?;
        if bridge != self.reader.bridge() {
            return Err(PassError::OtherBridge(bridge));
        }
        if !maintainers.includes(account, block).await? {
            return Err(PassError::Unauthorised(account));
        }
        Ok(maintainers.all(block).await?)
    }

    /// What a candidate is, if it can be proven; else what became of it.
    async fn judged(
        &mut self,
        candidate: Candidate,
        terms: &Terms,
        tip: &Result<coxswain_bitcoin::Tip, BackendError>,
    ) -> Result<Provable, Box<Item>> {
        let (wallet, txid) = (candidate.wallet, candidate.transaction.compute_txid());
        let mut deadline = Deadline::default();
        let height = candidate.height;
        let ended = |kind, deadline, state| Box::new(Item { wallet, txid, kind, deadline, height, state });
        let failed = |error: FindError| ended(None, Deadline::default(), ItemState::Failed(error.into()));
        let views = self.finder(terms.block).views(&candidate).await.map_err(failed)?;
        let judgement = judge(wallet, &candidate.transaction, &views);
        let kind = match judgement.map_err(|missing| failed(missing.into()))? {
            Judgement::Provable(kind) => kind,
            Judgement::Proven => return Err(ended(None, deadline, ItemState::Proven)),
            Judgement::Coinbase => return Err(ended(None, deadline, ItemState::Coinbase)),
            Judgement::UnknownSpend(misfits) => {
                return Err(ended(None, deadline, ItemState::UnknownSpend(Box::new(misfits))));
            }
        };
        deadline.redemption = redemption_deadline(wallet, &candidate.transaction, &views);
        let Some(height) = candidate.height else {
            return Err(ended(Some(kind), deadline, ItemState::Unconfirmed));
        };
        if let Some(epoch) = terms.work.relay.epoch {
            deadline.epochs_left = Some(epochs_left(height, epoch));
            let lost_at = Height((height.0 / EPOCH).saturating_add(2).saturating_mul(EPOCH));
            let tip = tip.as_ref().map_or(height, |tip| tip.height);
            deadline.blocks_left = Some(lost_at.saturating_since(tip));
        }
        Ok(Provable { candidate, height, kind, deadline })
    }

    /// What becomes of it if it is not to be proven now, or by others. `None`: it is our turn.
    fn turn(&mut self, item: &Provable, terms: &Terms, now: Duration) -> Option<ItemState> {
        let txid = item.candidate.transaction.compute_txid();
        if self.pauses.is_paused(txid, now) {
            return Some(ItemState::Paused);
        }
        let submitter = self.submitter.as_ref().filter(|_| !item.deadline.is_urgent())?;
        let since = now.saturating_sub(*self.seen.entry(txid).or_insert(now));
        let turn = rank(&terms.maintainers, submitter.address(), txid);
        turn.checked_sub(since).filter(|left| !left.is_zero()).map(ItemState::OthersTurn)
    }

    /// Proves it, unless another is about to.
    async fn treat(&self, item: &Provable, terms: &Terms, now: Duration) -> ItemState {
        let call = match self.proof_call(item, terms).await {
            Ok(call) => call,
            Err(state) => return *state,
        };
        let Some(submitter) = &self.submitter else { return ItemState::Ready(call) };
        let txid = item.candidate.transaction.compute_txid();
        let turn = rank(&terms.maintainers, submitter.address(), txid);
        let seen = self.seen.get(&txid).copied().unwrap_or(now);
        let is_patient =
            !item.deadline.is_urgent() && now.saturating_sub(seen) < turn.saturating_add(OTHERS_PATIENCE);
        if is_patient && self.is_called_by_others(&call, submitter.address()).await {
            return ItemState::OthersCall;
        }
        self.submit(item, &call).await
    }

    async fn proof_call(&self, item: &Provable, terms: &Terms) -> Result<Call, Box<ItemState>> {
        let Candidate { wallet, main_utxo, transaction, .. } = &item.candidate;
        let proof = read_proof(&self.bitcoin, transaction, item.height, &terms.work).await;
        let proof = proof.map_err(|error| {
            Box::new(match error {
                ReadError::NotProvable(reason) => ItemState::NotProvable(reason),
                other => ItemState::Failed(other.into()),
            })
        })?;
        Ok(proof_call(self.settings.venue, item.kind, *wallet, *main_utxo, &proof))
    }

    /// Whether a transaction with the same call waits in the node's pool, as far as it shows that.
    async fn is_called_by_others(&self, call: &Call, account: Address) -> bool {
        use alloy::{
            consensus::Transaction as _,
            rpc::types::{Block as RpcBlock, Transaction as RpcTransaction},
        };
        let pending: Result<Option<RpcBlock<RpcTransaction>>, _> =
            self.endpoints.request("eth_getBlockByNumber", ("pending", true)).await;
        let Ok(Some(block)) = pending else { return false };
        // One of our own that waits is replaced by the next attempt.
        let is_others = |transaction: &RpcTransaction| transaction.inner.signer() != account;
        let is_same =
            |transaction: &RpcTransaction| *transaction.inner.input() == call.input && is_others(transaction);
        block.transactions.txns().any(is_same)
    }

    async fn submit(&self, item: &Provable, call: &Call) -> ItemState {
        let Some(submitter) = &self.submitter else { return ItemState::Ready(call.clone()) };
        match submitter.send(call).await {
            Ok(mined) => ItemState::Sent(mined),
            // Whoever was faster has done it: the state tells, not the words of a revert.
            Err(
                error @ (SubmitError::WouldRevert(_) | SubmitError::Reverted(_) | SubmitError::NotDeep(_)),
            ) if self.is_booked(&item.candidate).await => ItemState::Overtaken(error),
            Err(error) => ItemState::Failed(error.into()),
        }
    }

    /// Whether the Bridge has booked by now what the transaction spends. `false` if that can't be told.
    async fn is_booked(&self, candidate: &Candidate) -> bool {
        let Ok(Some(block)) = self.endpoints.block(BlockSelector::Latest).await else { return false };
        let spent = || candidate.transaction.input.iter().map(|input| input.previous_output);
        let keys = SnapshotKeys {
            wallets: [candidate.wallet].into(),
            deposits: spent().map(DepositKey::new).collect(),
            sweep_requests: spent().map(SweepRequestKey::new).collect(),
            ..SnapshotKeys::default()
        };
        let Ok(snapshot) = self.reader.snapshot(block, &keys).await else { return false };
        let moved_on = candidate.main_utxo.is_some_and(|utxo| {
            snapshot
                .wallet(candidate.wallet)
                .is_ok_and(|record| record.main_utxo_hash != main_utxo_hash(&utxo))
        });
        let processed = |state| state == SweepRequestState::Processed;
        moved_on
            || snapshot.deposits.values().any(|deposit| deposit.swept_at != 0)
            || snapshot.sweep_requests.values().any(|request| processed(request.state))
    }

    fn ended(&mut self, item: &Provable, state: ItemState, now: Duration) -> Item {
        let txid = item.candidate.transaction.compute_txid();
        match &state {
            ItemState::Failed(error) if error.is_of_transaction() => {
                self.pauses.failed(txid, now);
            }
            ItemState::Sent(_) | ItemState::Proven | ItemState::Overtaken(_) => self.pauses.forget(txid),
            _ => {}
        }
        item.to_item(state)
    }
}

impl Provable {
    fn to_item(&self, state: ItemState) -> Item {
        Item {
            wallet: self.candidate.wallet,
            txid: self.candidate.transaction.compute_txid(),
            kind: Some(self.kind),
            deadline: self.deadline,
            height: Some(self.height),
            state,
        }
    }
}

/// Seconds until the first pending request that it pays can be reported as timed out.
fn redemption_deadline(wallet: KeyHash, transaction: &Transaction, views: &Views) -> Option<i64> {
    let timeout = i64::from(views.snapshot.redemption_parameters.redemption_timeout);
    let now = i64::try_from(views.snapshot.timestamp.0).unwrap_or(i64::MAX);
    let left = |output: &bitcoin::TxOut| {
        let record = views.snapshot.redemption(RedemptionKey::new(wallet, &output.script_pubkey)).ok()?;
        (record.requested_at != 0).then(|| i64::from(record.requested_at).saturating_add(timeout) - now)
    };
    transaction.output.iter().filter_map(left).min()
}

fn is_untrusted(data: &[u8]) -> bool {
    Revert::abi_decode_validate(data).is_ok_and(|revert| revert.reason == UNTRUSTED)
}

fn difficulties(relay: &RelayState) -> Option<RelayDifficulties> {
    let difficulty = |value| u128::try_from(value).ok().map(Difficulty);
    let epoch = relay.epoch.map(u32::try_from).transpose().ok()?;
    Some(RelayDifficulties {
        current: difficulty(relay.current)?,
        previous: difficulty(relay.previous)?,
        epoch,
    })
}
