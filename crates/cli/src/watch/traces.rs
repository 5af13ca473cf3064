//! Finds what a wallet did, by following its money: what the Bridge has recorded, and from its main UTXO on what it hasn't.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use coxswain_bitcoin::{Backend, BackendError, Backends, Cursor, Output, Search, Spender};
use coxswain_ethereum::{ChainError, EventLog, SnapshotKeys};
use coxswain_proposals::{main_utxo_in, moved_funds};
use coxswain_rules::{
    Action, DEPOSIT_MIN_AGE, DepositKey, KeyHash, RedemptionKey, ScriptBuf, Snapshot, SweepRequestKey,
    SweepRequestState,
    units::{BlockNumber, Height, UnixTime},
    wallet_script,
};

use super::{
    WatchError,
    funding::time,
    outcome::{Bounds, Deed, Stage, Trace, span},
    window::Site,
};

/// How many steps a search for one spender takes at most.
const STEPS: usize = 200;
/// How many unproven transactions are followed.
const MOST_UNPROVEN: usize = 20;
/// How many outputs of a wallet without a main UTXO are asked about.
const MOST_ROOTS: usize = 250;

/// What was found.
pub(super) struct Found {
    /// What the wallet did, the oldest first.
    pub(super) traces: Vec<Trace>,
    /// When payments to these scripts were recorded.
    pub(super) paid: BTreeMap<ScriptBuf, BlockNumber>,
}

/// A transaction of the wallet, with when it was recorded and mined.
struct Made {
    transaction: Transaction,
    recorded: Option<BlockNumber>,
    /// Whether the Bridge has it as having moved the wallet's funds.
    moved: bool,
    height: Option<Height>,
    mined: Option<UnixTime>,
}

/// Looks for traces.
pub(super) struct Finder<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) bitcoin: &'a Backends,
    pub(super) events: &'a EventLog,
    /// The Bridge as of now.
    pub(super) now: &'a Snapshot,
    /// Whether Bitcoin's clock is Ethereum's.
    pub(super) has_clock: bool,
}

impl Finder<'_> {
    /// What the wallet did from the first of these windows on.
    pub(super) async fn find(&self, stages: &[Stage]) -> Result<Found, WatchError> {
        let first = stages.first().map_or(BlockNumber(u64::MAX), |stage| stage.block);
        let mut made = self.recorded(first).await?;
        made.extend(self.unproven().await?);
        let snapshot = self.spent_and_paid(&made).await?;
        let head = self.site.head.header.number();
        let (mut traces, mut paid) = (Vec::new(), BTreeMap::new());
        let mut after = self.recorded_before(first);
        for made in &made {
            let deed = self.deed(made, &snapshot);
            let bounds = Bounds { after, ..self.bounds(made, deed, &snapshot) };
            if let (Deed::Action(Action::Redemption), Some(recorded)) = (deed, made.recorded) {
                let scripts = made.transaction.output.iter().map(|output| output.script_pubkey.clone());
                paid.extend(scripts.map(|script| (script, recorded)));
            }
            traces.push(Trace {
                deed,
                txid: Some(made.transaction.compute_txid()),
                items: self.items(made, deed),
                height: made.height,
                recorded: made.recorded,
                span: span(&bounds, stages, head),
            });
            after = made.recorded.or(after);
        }
        let commitments = self.events.commitments().iter();
        for commitment in commitments.filter(|event| event.source == self.site.wallet) {
            let recorded = Some(commitment.at.block);
            let bounds = Bounds {
                deed: Deed::Commitment,
                after: None,
                newest_event: BlockNumber(0),
                ready: UnixTime(0),
                recorded,
                mined: None,
            };
            let span = span(&bounds, stages, head);
            let items = commitment.targets.len();
            let trace = Trace { deed: Deed::Commitment, txid: None, items, height: None, recorded, span };
            traces.extend(Some(trace).filter(|trace| trace.span.is_some()));
        }
        Ok(Found { traces, paid })
    }

    /// The wallet's transactions that the Bridge has recorded, with whether they moved its funds.
    fn events(&self) -> Vec<(BlockNumber, Txid, bool)> {
        let wallet = self.site.wallet;
        let own = self.events.transactions(wallet).map(|event| (event.at.block, event.txid, false));
        let moves = self.events.completed_moves().iter().filter(|event| event.source == wallet);
        let mut all: Vec<_> = own.chain(moves.map(|event| (event.at.block, event.txid, true))).collect();
        all.sort_by_key(|(block, ..)| *block);
        all
    }

    /// When the last transaction before this block was recorded.
    fn recorded_before(&self, first: BlockNumber) -> Option<BlockNumber> {
        self.events().into_iter().map(|(block, ..)| block).rfind(|block| *block < first)
    }

    /// What was recorded from this block on.
    async fn recorded(&self, first: BlockNumber) -> Result<Vec<Made>, WatchError> {
        let events: Vec<_> = self.events().into_iter().filter(|(block, ..)| first <= *block).collect();
        let outpoints: Vec<_> = events.iter().map(|(_, txid, _)| OutPoint::new(*txid, 0)).collect();
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let tip = self.bitcoin.tip().await?.height;
        let answers = self.bitcoin.transactions(&outpoints).await?;
        let mut made = Vec::new();
        for ((recorded, txid, moved), answer) in events.into_iter().zip(answers) {
            let Some(known) = answer?.fact else { return Err(WatchError::Absent(txid)) };
            let height = tip.confirmed(known.confirmations);
            let mined = self.mined(height).await?;
            let transaction = known.transaction;
            made.push(Made { transaction, recorded: Some(recorded), moved, height, mined });
        }
        Ok(made)
    }

    /// When the block at this height was mined, where that says something.
    async fn mined(&self, height: Option<Height>) -> Result<Option<UnixTime>, BackendError> {
        match height.filter(|_| self.has_clock) {
            Some(height) => Ok(self.bitcoin.headers(height, 1).await?.first().map(time)),
            None => Ok(None),
        }
    }

    /// The wallet's transactions that the Bridge doesn't know, the oldest first.
    async fn unproven(&self) -> Result<Vec<Made>, WatchError> {
        let wallet = self.site.wallet;
        let own = wallet_script(wallet);
        let mut made: Vec<Made> = Vec::new();
        let mut roots = self.roots().await?;
        while made.len() < MOST_UNPROVEN {
            let spender = self.spender_of(&roots).await?;
            let Some(Spender { transaction, height }) = spender else { break };
            let txid = transaction.compute_txid();
            let mined = self.mined(height).await?;
            let change = (0..).zip(&transaction.output).find(|(_, output)| output.script_pubkey == own);
            roots = Vec::from_iter(change.map(|(vout, output)| {
                let outpoint = OutPoint::new(txid, vout);
                (Output { outpoint, script: output.script_pubkey.clone() }, height.unwrap_or_default(), true)
            }));
            let is_last = height.is_none();
            made.push(Made { transaction, recorded: None, moved: false, height, mined });
            if is_last {
                break;
            }
        }
        Ok(made)
    }

    /// What the wallet's next transaction spends: its main UTXO, or what it may spend without one; each with its height, and
    /// whether only the wallet can spend it.
    async fn roots(&self) -> Result<Vec<(Output, Height, bool)>, WatchError> {
        let wallet = self.site.wallet;
        let record = self.now.wallet(wallet).map_err(ChainError::from)?;
        let hash = record.main_utxo_hash;
        let outpoints: Vec<_> = if hash.is_zero() {
            let swept = |outpoint| self.now.deposit(DepositKey::new(outpoint)).is_ok_and(|d| d.swept_at != 0);
            let deposits = self.events.reveals(wallet).map(|event| event.outpoint);
            let (commitments, moves) = (self.events.commitments(), self.events.completed_moves());
            let moved = moved_funds::outputs(commitments, moves, wallet, self.site.head.header.number());
            deposits.filter(|outpoint| !swept(*outpoint)).chain(moved).take(MOST_ROOTS).collect()
        } else {
            // It is the newest recorded transaction's, unless that left none.
            let newest = self.events.transactions(wallet).rev().take(2);
            newest.map(|event| OutPoint::new(event.txid, 0)).collect()
        };
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let tip = self.bitcoin.tip().await?.height;
        let answers = self.bitcoin.transactions(&outpoints).await?;
        let mut roots = Vec::new();
        for (&outpoint, answer) in outpoints.iter().zip(answers) {
            let Some(known) = answer?.fact else { continue };
            let outpoint = if hash.is_zero() {
                outpoint
            } else {
                match main_utxo_in(&known.transaction, wallet, hash) {
                    Some(utxo) => utxo.outpoint,
                    None => continue,
                }
            };
            let vout = usize::try_from(outpoint.vout).ok();
            let Some(output) = vout.and_then(|vout| known.transaction.output.get(vout)) else { continue };
            let height = tip.confirmed(known.confirmations);
            let output = Output { outpoint, script: output.script_pubkey.clone() };
            roots.extend(height.map(|height| (output, height, !hash.is_zero())));
        }
        if roots.is_empty() && !hash.is_zero() {
            return Err(WatchError::NoMainUtxo);
        }
        Ok(roots)
    }

    /// Who spends the first of these outputs that the wallet has spent.
    async fn spender_of(&self, roots: &[(Output, Height, bool)]) -> Result<Option<Spender>, WatchError> {
        if roots.is_empty() {
            return Ok(None);
        }
        let outputs: Vec<_> = roots.iter().map(|(output, ..)| output.clone()).collect();
        let unspent = self.bitcoin.unspent(&outputs).await?;
        for ((output, height, only_wallets), unspent) in roots.iter().zip(unspent) {
            if unspent?.fact {
                continue;
            }
            let Some(spender) = self.spender(output, *height).await? else {
                return Err(WatchError::NoSpender(output.outpoint));
            };
            // A depositor who takes a deposit back doesn't pay the wallet.
            let own = wallet_script(self.site.wallet);
            let pays_wallet = spender.transaction.output.iter().any(|output| output.script_pubkey == own);
            if *only_wallets || pays_wallet {
                return Ok(Some(spender));
            }
        }
        Ok(None)
    }

    async fn spender(&self, output: &Output, height: Height) -> Result<Option<Spender>, BackendError> {
        let mut cursor = Cursor::at(height);
        for _ in 0..STEPS {
            match self.bitcoin.spender(output, cursor).await? {
                Search::Found(spender) => return Ok(Some(*spender)),
                Search::More(next) => cursor = next,
                Search::Ended(_) => break,
            }
        }
        Ok(None)
    }

    /// What the Bridge has today of what the transactions spend and pay.
    async fn spent_and_paid(&self, made: &[Made]) -> Result<Snapshot, ChainError> {
        let mut keys = SnapshotKeys::default();
        for Made { transaction, recorded, .. } in made {
            for input in &transaction.input {
                keys.deposits.insert(DepositKey::new(input.previous_output));
                keys.sweep_requests.insert(SweepRequestKey::new(input.previous_output));
            }
            if recorded.is_none() {
                let paid = transaction.output.iter().map(|output| &output.script_pubkey);
                keys.redemptions.extend(paid.map(|script| RedemptionKey::new(self.site.wallet, script)));
            }
        }
        let header = &self.site.head.header;
        Ok(self.site.reader.assured_snapshot(&self.site.panel, header, &keys).await?.fact)
    }

    /// What was done, judged from what the Bridge has of what was spent and paid; nothing is inferred from amounts.
    fn deed(&self, made: &Made, snapshot: &Snapshot) -> Deed {
        let wallet = self.site.wallet;
        let own = wallet_script(wallet);
        let Made { transaction, recorded, moved, .. } = made;
        if *moved {
            return Deed::Action(Action::MovingFunds);
        }
        let spent = || transaction.input.iter().map(|input| input.previous_output);
        let is_deposit =
            |outpoint| snapshot.deposit(DepositKey::new(outpoint)).is_ok_and(|d| d.revealed_at != 0);
        let is_moved = |outpoint| {
            let request = snapshot.sweep_request(SweepRequestKey::new(outpoint));
            request
                .is_ok_and(|request| request.state != SweepRequestState::Unknown && request.wallet == wallet)
        };
        if spent().any(is_deposit) {
            return Deed::Action(Action::DepositSweep);
        }
        if spent().any(is_moved) {
            return Deed::Action(Action::MovedFundsSweep);
        }
        let paid = || transaction.output.iter().map(|output| &output.script_pubkey);
        if recorded.is_some() {
            return Deed::Action(Action::Redemption);
        }
        let commitments = self.events.commitments().iter().rev();
        let committed = commitments.filter(|event| event.source == wallet);
        let moves =
            committed.map(|event| event.targets.iter().copied().map(wallet_script).collect::<Vec<_>>());
        if moves.into_iter().any(|targets| paid().eq(targets.iter())) {
            return Deed::Action(Action::MovingFunds);
        }
        let is_request = |script: &ScriptBuf| {
            let record = snapshot.redemption(RedemptionKey::new(wallet, script));
            let pending = record.is_ok_and(|record| record.requested_at != 0);
            // One that was reported as timed out is paid all the same.
            pending || self.events.requests(wallet).any(|event| event.script == *script)
        };
        let others: BTreeSet<_> = paid().filter(|script| **script != own).collect();
        if !others.is_empty() && others.into_iter().all(is_request) {
            return Deed::Action(Action::Redemption);
        }
        Deed::Unknown
    }

    fn bounds(&self, made: &Made, deed: Deed, snapshot: &Snapshot) -> Bounds {
        let Made { transaction, recorded, mined, .. } = made;
        let spent: BTreeSet<_> = transaction.input.iter().map(|input| input.previous_output).collect();
        let wallet = self.site.wallet;
        let (mut newest_event, mut ready) = (BlockNumber(0), UnixTime(0));
        match deed {
            Deed::Action(Action::DepositSweep) => {
                let reveals = self.events.reveals(wallet).filter(|event| spent.contains(&event.outpoint));
                newest_event = reveals.map(|event| event.at.block).max().unwrap_or_default();
                let records = spent.iter().filter_map(|spent| snapshot.deposit(DepositKey::new(*spent)).ok());
                let revealed = records.map(|record| record.revealed_at).max().unwrap_or_default();
                ready = UnixTime(u64::from(revealed).saturating_add(DEPOSIT_MIN_AGE.into()));
            }
            Deed::Action(Action::Redemption) => {
                let paid = transaction.output.iter().map(|output| &output.script_pubkey);
                let limit = recorded.unwrap_or(BlockNumber(u64::MAX));
                let request = |script: &ScriptBuf| {
                    let requests = self.events.requests(wallet).filter(|event| event.script == *script);
                    requests.map(|event| event.at.block).rfind(|block| *block <= limit)
                };
                newest_event = paid.filter_map(request).max().unwrap_or_default();
            }
            Deed::Action(Action::MovingFunds) => {
                let commitments = self.events.commitments().iter();
                let own = commitments.filter(|event| event.source == wallet);
                newest_event = own.map(|event| event.at.block).max().unwrap_or_default();
            }
            Deed::Action(Action::MovedFundsSweep) => {
                let moves = self.events.completed_moves().iter();
                let spent = moves.filter(|event| spent.iter().any(|outpoint| outpoint.txid == event.txid));
                newest_event = spent.map(|event| event.at.block).max().unwrap_or_default();
            }
            Deed::Action(Action::Heartbeat) | Deed::Commitment | Deed::Unknown => {}
        }
        Bounds { deed, after: None, newest_event, ready, recorded: *recorded, mined: *mined }
    }

    /// How many deposits, requests or target wallets it is about.
    fn items(&self, made: &Made, deed: Deed) -> usize {
        let own = wallet_script(self.site.wallet);
        let Transaction { input, output, .. } = &made.transaction;
        match deed {
            Deed::Action(Action::DepositSweep) => {
                // The main UTXO is no deposit.
                let reveals: BTreeSet<_> =
                    self.events.reveals(self.site.wallet).map(|event| event.outpoint).collect();
                let known = input.iter().filter(|input| reveals.contains(&input.previous_output)).count();
                if known > 0 { known } else { input.len() }
            }
            Deed::Action(Action::Redemption) => {
                output.iter().filter(|output| output.script_pubkey != own).count()
            }
            Deed::Action(Action::MovingFunds) => output.len(),
            Deed::Action(Action::MovedFundsSweep) => 1,
            Deed::Action(Action::Heartbeat) | Deed::Commitment | Deed::Unknown => 0,
        }
    }
}

/// The wallet's deposits that were revealed, each with whether it is swept by now.
pub(super) fn deposits(events: &EventLog, now: &Snapshot, wallet: KeyHash) -> Vec<(OutPoint, bool)> {
    let revealed: BTreeSet<_> = events.reveals(wallet).map(|event| event.outpoint).collect();
    let swept = |outpoint| now.deposit(DepositKey::new(outpoint)).is_ok_and(|record| record.swept_at != 0);
    revealed.into_iter().map(|outpoint| (outpoint, swept(outpoint))).collect()
}
