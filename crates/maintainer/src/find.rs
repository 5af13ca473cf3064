//! Finds the transactions of wallets that the Bridge doesn't know yet, by following the money.
//!
//! The Bridge has each wallet's main UTXO, as a hash. If that is unspent on Bitcoin there is nothing to prove; if it is spent,
//! the spender is the transaction. A wallet without one first spends a deposit of its own, or funds that were moved to it. No
//! address is watched, so that nobody can push a transaction out of sight; and no event is too old, as the state tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::primitives::B256;
use bitcoin::{OutPoint, ScriptBuf, Transaction};
use coxswain_bitcoin::{Backend, BackendError, Cursor, Known, Output, Search, Spender};
use coxswain_ethereum::{Block, ChainError, EventLog, SnapshotKeys, SnapshotReader};
use coxswain_proposals::{moved_funds, moving_funds::committed_targets};
use coxswain_rules::{
    DepositKey, KeyHash, MissingError, RedemptionKey, Snapshot, SweepRequestKey, Utxo, WalletRecord,
    WalletState, main_utxo_hash, units::Height,
};

use serde::{Deserialize, Serialize};

use crate::{
    kind::{Views, keys, pays},
    own::is_spent_by,
};

/// How many of a wallet's recorded transactions are looked at for its main UTXO: it is the newest one's, unless that left none.
const RECORDED: usize = 2;
/// How many transactions are looked up in a pass that are not known yet: those that were asked for longest ago.
const LOOKUPS: usize = 500;
/// How many steps a search for one spender takes in a pass if it reads blocks: 512 of them. One that reads a script's history,
/// which anyone can fill, takes one step, of 100 transactions.
const BLOCK_STEPS: usize = 64;
/// How many inputs are asked about whether they were main UTXOs.
const MOST_ASKED_INPUTS: usize = 50;

/// The state that is kept from one pass to the next, and from one run to the next. Losing it costs look-ups, nothing else.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Main UTXOs, by the hashes that the Bridge keeps of them.
    main_utxos: BTreeMap<B256, Utxo>,
    /// Outputs that only a wallet's transaction, or a refund, can spend.
    watched: BTreeMap<OutPoint, Watched>,
    /// The outputs that Bitcoin does not have, with the pass that last asked for each.
    #[serde(skip)]
    absent: BTreeMap<OutPoint, u64>,
    #[serde(skip)]
    pass: u64,
}

/// An output that is on Bitcoin.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Watched {
    script: ScriptBuf,
    /// Where the search for its spender goes on.
    cursor: Cursor,
    /// Whether its depositor took it back.
    refunded: bool,
}

/// A transaction that the Bridge doesn't know yet: a wallet's oldest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The wallet.
    pub wallet: KeyHash,
    /// The wallet's main UTXO before it.
    pub main_utxo: Option<Utxo>,
    /// The transaction.
    pub transaction: Transaction,
    /// The height of the block that has it. `None` in the mempool.
    pub height: Option<Height>,
}

/// What was found of one wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The wallet.
    pub wallet: KeyHash,
    /// Its oldest transaction that is not proven. `None` if there is none.
    pub candidate: Result<Option<Candidate>, FindError>,
}

/// Why a wallet's unproven transactions could not be determined. The findings of other wallets stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// Bitcoin gave no usable answer.
    #[error(transparent)]
    Bitcoin(#[from] BackendError),
    /// The chain gave no usable answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No recorded transaction makes the main UTXO.
    #[error("no recorded transaction of the wallet makes the main UTXO that hashes to {0}")]
    MainUtxoNotFound(B256),
    /// An output is spent, and its spender is nowhere yet. The search goes on.
    #[error("{0} is spent, and its spender is still searched for")]
    Searching(OutPoint),
    /// No event names the target wallets of the wallet's commitment.
    #[error("no event tells the target wallets that hash to {0}")]
    TargetsNotFound(B256),
    /// The snapshot is not whole.
    #[error(transparent)]
    Missing(#[from] MissingError),
}

/// Looks for unproven transactions, at one block.
#[derive(Debug)]
pub struct Finder<'a, B> {
    /// Reads the Bridge.
    pub reader: &'a SnapshotReader,
    /// Where Bitcoin is asked.
    pub bitcoin: &'a B,
    /// The Bridge's events up to the block, from its first on.
    pub events: Arc<EventLog>,
    /// The block.
    pub block: Block,
    /// What earlier passes found.
    pub memory: &'a mut Memory,
}

/// What a wallet's oldest unproven transaction must spend.
#[derive(Debug)]
struct Wallet {
    key_hash: KeyHash,
    record: WalletRecord,
    main_utxo: Result<Option<Utxo>, FindError>,
    /// Where its main UTXO may be.
    recorded: Vec<OutPoint>,
    /// The main UTXO, or else what it may spend without one.
    roots: Vec<OutPoint>,
    /// Why it is not known whether each root is spent.
    unanswered: Option<FindError>,
}

impl<B: Backend> Finder<'_, B> {
    /// The oldest unproven transaction of each wallet that is neither closed nor terminated.
    ///
    /// A pass that finds nothing asks the Bridge for all wallets in a call for 250, and Bitcoin once for its height and once for
    /// all main UTXOs.
    ///
    /// # Errors
    /// If the wallets can't be read. What concerns one wallet is that one's error.
    pub async fn find(&mut self) -> Result<Vec<Finding>, ChainError> {
        self.memory.pass += 1;
        let mut wallets = self.wallets().await?;
        if let Err(error) = self.look_up(&mut wallets).await {
            let failed = |wallet: Wallet| Finding {
                wallet: wallet.key_hash,
                candidate: Err(FindError::Bitcoin(error.clone())),
            };
            return Ok(wallets.into_iter().map(failed).collect());
        }
        self.memory.keep_what_is_of(&wallets);
        let spent = self.spent(&wallets).await;
        let mut findings = Vec::new();
        for wallet in wallets {
            let candidate = match &spent {
                Ok(spent) => self.candidate(&wallet, spent).await,
                Err(error) => Err(error.clone().into()),
            };
            findings.push(Finding { wallet: wallet.key_hash, candidate });
        }
        Ok(findings)
    }

    /// The transaction as a candidate: of the wallet whose main UTXO it spends, or else whom it pays. `None` if there is no such
    /// wallet.
    ///
    /// # Errors
    /// If the wallets, or their main UTXOs, can't be read.
    pub async fn of(
        &mut self,
        transaction: Transaction,
        height: Option<Height>,
    ) -> Result<Option<Candidate>, FindError> {
        let mut wallets = self.wallets().await?;
        let funding: BTreeSet<_> = transaction.input.iter().map(|input| input.previous_output.txid).collect();
        wallets.retain(|wallet| {
            let mut recorded = self.events.transactions(wallet.key_hash);
            let paid = transaction.output.iter().any(|output| pays(&output.script_pubkey, wallet.key_hash));
            paid || recorded.any(|event| funding.contains(&event.txid))
        });
        self.look_up(&mut wallets).await?;
        let spends =
            |utxo: Utxo| transaction.input.iter().any(|input| input.previous_output == utxo.outpoint);
        // Who spends its main UTXO; else who is paid, which is the only one of a sweep.
        let of = wallets
            .iter()
            .find(|wallet| matches!(wallet.main_utxo, Ok(Some(utxo)) if spends(utxo)))
            .or(wallets.first());
        let Some(wallet) = of else { return Ok(None) };
        let (wallet, main_utxo) = (wallet.key_hash, wallet.main_utxo.clone()?);
        Ok(Some(Candidate { wallet, main_utxo, transaction, height }))
    }

    /// What the Bridge shows of what the candidate spends and pays.
    ///
    /// # Errors
    /// If the Bridge can't be read.
    pub async fn views(&self, candidate: &Candidate) -> Result<Views, FindError> {
        let Candidate { wallet, main_utxo, transaction, .. } = candidate;
        let Some(keys) = keys(*wallet, transaction) else { return Ok(Views::default()) };
        let snapshot = self.reader.snapshot(self.block, &keys).await?;
        let record = snapshot.wallet(*wallet)?;
        let hash = record.moving_funds_target_wallets_commitment_hash;
        let targets = if hash.is_zero() {
            Vec::new()
        } else {
            committed_targets(self.events.commitments(), *wallet, self.block.number, hash)
                .ok_or(FindError::TargetsNotFound(hash))?
                .to_vec()
        };

        let spent: Vec<_> = transaction.input.iter().map(|input| input.previous_output).collect();
        let spends_main_utxo = main_utxo.is_some_and(|utxo| spent.contains(&utxo.outpoint));
        let asked = if spends_main_utxo { &[][..] } else { spent.get(..MOST_ASKED_INPUTS).unwrap_or(&spent) };
        let spent_main_utxos = self.reader.spent_main_utxos(asked, self.block).await?;
        let mut timed_out = BTreeSet::new();
        if spends_main_utxo && spent.len() == 1 {
            let mut unknown = Vec::new();
            for output in transaction.output.iter().filter(|output| !pays(&output.script_pubkey, *wallet)) {
                let key = RedemptionKey::new(*wallet, &output.script_pubkey);
                if snapshot.redemption(key)?.requested_at == 0 {
                    unknown.push(key);
                }
            }
            timed_out = self.reader.timed_out(&unknown, self.block).await?;
        }
        Ok(Views { snapshot, timed_out, spent_main_utxos, main_utxo: *main_utxo, targets })
    }

    /// All wallets that may have something to prove, with what is known of their roots.
    async fn wallets(&mut self) -> Result<Vec<Wallet>, ChainError> {
        let head = self.block.number;
        let registered = self.events.new_wallets().iter().filter(|event| event.at.block <= head);
        let registered: BTreeSet<_> = registered.map(|event| event.wallet).collect();
        let keys = SnapshotKeys { wallets: registered, ..SnapshotKeys::default() };
        let records = self.reader.snapshot(self.block, &keys).await?.wallets;
        let mut wallets = Vec::new();
        for (key_hash, record) in records {
            match record.state {
                WalletState::Closed | WalletState::Terminated => continue,
                WalletState::Unknown
                | WalletState::Live
                | WalletState::MovingFunds
                | WalletState::Closing => {}
            }
            wallets.push(self.wallet(key_hash, record));
        }
        self.add_roots(&mut wallets).await?;
        Ok(wallets)
    }

    fn wallet(&self, key_hash: KeyHash, record: WalletRecord) -> Wallet {
        let hash = record.main_utxo_hash;
        let mut wallet = Wallet {
            key_hash,
            record,
            main_utxo: Ok(None),
            recorded: Vec::new(),
            roots: Vec::new(),
            unanswered: None,
        };
        if hash.is_zero() {
            return wallet;
        }
        if let Some(utxo) = self.memory.main_utxos.get(&hash) {
            wallet.main_utxo = Ok(Some(*utxo));
            wallet.roots.push(utxo.outpoint);
            return wallet;
        }
        wallet.main_utxo = Err(FindError::MainUtxoNotFound(hash));
        let recorded = self.events.transactions(key_hash).rev();
        let recorded = recorded.filter(|event| event.at.block <= self.block.number).take(RECORDED);
        // Only a wallet's transaction with one output, or with change, leaves a main UTXO; which output it is, the hash tells.
        wallet.recorded = recorded.map(|event| OutPoint::new(event.txid, 0)).collect();
        wallet
    }

    /// What wallets without a main UTXO may spend: their deposits that are not swept, and what was moved to them.
    async fn add_roots(&self, wallets: &mut [Wallet]) -> Result<(), ChainError> {
        let head = self.block.number;
        let mut keys = SnapshotKeys::default();
        let mut candidates = Vec::new();
        for wallet in wallets.iter().filter(|wallet| wallet.record.main_utxo_hash.is_zero()) {
            let reveals = self.events.reveals(wallet.key_hash).filter(|event| event.at.block <= head);
            let deposits: BTreeSet<_> = reveals.map(|event| event.outpoint).collect();
            keys.deposits.extend(deposits.iter().copied().map(DepositKey::new));
            let moved = if wallet.record.pending_moved_funds_sweep_requests_count == 0 {
                Vec::new()
            } else {
                let (commitments, moves) = (self.events.commitments(), self.events.completed_moves());
                moved_funds::outputs(commitments, moves, wallet.key_hash, head)
            };
            keys.sweep_requests.extend(moved.iter().copied().map(SweepRequestKey::new));
            candidates.push((wallet.key_hash, deposits, moved));
        }
        if candidates.is_empty() {
            return Ok(());
        }
        let snapshot = self.reader.snapshot(self.block, &keys).await?;
        let mut roots: BTreeMap<KeyHash, Vec<OutPoint>> = BTreeMap::new();
        for (key_hash, deposits, moved) in candidates {
            let mut of_wallet = moved_funds::pending(&snapshot, key_hash, &moved)?;
            for outpoint in deposits {
                if is_unswept(&snapshot, outpoint)? {
                    of_wallet.push(outpoint);
                }
            }
            roots.insert(key_hash, of_wallet);
        }
        for wallet in wallets {
            wallet.roots.extend(roots.remove(&wallet.key_hash).into_iter().flatten());
        }
        Ok(())
    }

    /// Asks Bitcoin for the transactions of roots that are not known yet, and of main UTXOs.
    async fn look_up(&mut self, wallets: &mut [Wallet]) -> Result<(), BackendError> {
        let unknown = wallets.iter().flat_map(|wallet| wallet.recorded.iter().chain(&wallet.roots));
        let unknown: BTreeSet<_> =
            unknown.filter(|outpoint| !self.memory.watched.contains_key(outpoint)).copied().collect();
        let mut unknown: Vec<_> = unknown.into_iter().collect();
        unknown.sort_by_key(|outpoint| self.memory.absent.get(outpoint).copied().unwrap_or_default());
        unknown.truncate(LOOKUPS);
        if unknown.is_empty() {
            return Ok(());
        }
        // The height first: what is counted from it is too low by as many blocks as come in between, and misses none.
        let tip = self.bitcoin.tip().await?.height;
        let answers = self.bitcoin.transactions(&unknown).await?;
        // What is found by them is proven to the Bridge, or nothing comes of it: how far they are to be believed is not asked.
        let answers = answers.into_iter().map(|answer| answer.map(|assured| assured.fact));
        let known: BTreeMap<_, _> = unknown.into_iter().zip(answers).collect();
        for wallet in wallets {
            if wallet.main_utxo.is_err() {
                self.find_main_utxo(wallet, &known, tip);
            }
            for root in &wallet.roots {
                match known.get(root) {
                    Some(Ok(Some(found))) => self.memory.watch(*root, found, tip),
                    Some(Ok(None)) => {
                        self.memory.absent.insert(*root, self.memory.pass);
                    }
                    Some(Err(error)) => wallet.unanswered = Some(error.clone().into()),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn find_main_utxo(
        &mut self,
        wallet: &mut Wallet,
        known: &BTreeMap<OutPoint, Result<Option<Known>, BackendError>>,
        tip: Height,
    ) {
        let hash = wallet.record.main_utxo_hash;
        for outpoint in &wallet.recorded {
            match known.get(outpoint) {
                Some(Ok(Some(found))) => {
                    let Some(utxo) = output_that_hashes_to(&found.transaction, hash) else { continue };
                    self.memory.main_utxos.insert(hash, utxo);
                    self.memory.watch(utxo.outpoint, found, tip);
                    wallet.main_utxo = Ok(Some(utxo));
                    wallet.roots = vec![utxo.outpoint];
                    return;
                }
                Some(Err(error)) => wallet.main_utxo = Err(error.clone().into()),
                Some(Ok(None)) | None => {}
            }
        }
    }

    /// Which roots are spent: one question about all.
    async fn spent(
        &self,
        wallets: &[Wallet],
    ) -> Result<BTreeMap<OutPoint, Result<bool, BackendError>>, BackendError> {
        let mut outputs = Vec::new();
        for outpoint in wallets.iter().flat_map(|wallet| &wallet.roots) {
            let Some(watched) = self.memory.watched.get(outpoint) else { continue };
            if !watched.refunded {
                outputs.push(Output { outpoint: *outpoint, script: watched.script.clone() });
            }
        }
        if outputs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answers = self.bitcoin.unspent(&outputs).await?;
        let spent = answers.into_iter().map(|answer| answer.map(|unspent| !unspent.fact));
        Ok(outputs.into_iter().map(|output| output.outpoint).zip(spent).collect())
    }

    /// The spender of the first of the wallet's roots that has one.
    async fn candidate(
        &mut self,
        wallet: &Wallet,
        spent: &BTreeMap<OutPoint, Result<bool, BackendError>>,
    ) -> Result<Option<Candidate>, FindError> {
        let main_utxo = wallet.main_utxo.clone()?;
        let mut unanswered = wallet.unanswered.clone();
        for root in &wallet.roots {
            match spent.get(root) {
                None | Some(Ok(false)) => continue,
                Some(Err(error)) => {
                    unanswered = unanswered.or(Some(error.clone().into()));
                    continue;
                }
                Some(Ok(true)) => {}
            }
            match self.spender(*root).await {
                Ok(Some(Spender { transaction, height })) => {
                    // Only a wallet without a main UTXO looks at what others may spend: its deposits.
                    let is_own = main_utxo.is_some() || is_spent_by(&transaction, *root, wallet.key_hash);
                    if is_own {
                        let wallet = wallet.key_hash;
                        return Ok(Some(Candidate { wallet, main_utxo, transaction, height }));
                    }
                    self.memory.refunded(*root, height.is_some());
                }
                Ok(None) => unanswered = unanswered.or(Some(FindError::Searching(*root))),
                Err(error) => unanswered = unanswered.or(Some(error.into())),
            }
        }
        unanswered.map_or(Ok(None), Err)
    }

    /// The transaction that spends the output. `None` if it isn't found in this pass.
    async fn spender(&mut self, outpoint: OutPoint) -> Result<Option<Spender>, BackendError> {
        let Some(watched) = self.memory.watched.get_mut(&outpoint) else { return Ok(None) };
        let output = Output { outpoint, script: watched.script.clone() };
        for _ in 0..BLOCK_STEPS {
            match self.bitcoin.spender(&output, watched.cursor).await? {
                Search::Found(spender) => return Ok(Some(*spender)),
                Search::More(next) => {
                    watched.cursor = next;
                    if next.after.is_some() {
                        break;
                    }
                }
                Search::Ended(_) => {
                    // It is spent, so that the search has missed it, as when blocks were replaced: it begins anew.
                    self.memory.watched.remove(&outpoint);
                    break;
                }
            }
        }
        Ok(None)
    }
}

impl Memory {
    /// Drops each main UTXO that does not hash to its key, wherever the stored value came from.
    #[must_use]
    pub fn checked(mut self) -> Self {
        self.main_utxos.retain(|hash, utxo| main_utxo_hash(utxo) == *hash);
        self
    }

    /// Watches the output, if it is in a block.
    fn watch(&mut self, outpoint: OutPoint, Known { transaction, confirmations }: &Known, tip: Height) {
        let vout = usize::try_from(outpoint.vout).ok();
        let Some(output) = vout.and_then(|vout| transaction.output.get(vout)) else { return };
        let Some(above) = confirmations.0.checked_sub(1) else { return };
        let cursor = Cursor::at(tip.saturating_sub(above));
        let script = output.script_pubkey.clone();
        self.watched.insert(outpoint, Watched { script, cursor, refunded: false });
        self.absent.remove(&outpoint);
    }

    fn refunded(&mut self, outpoint: OutPoint, is_mined: bool) {
        if let Some(watched) = self.watched.get_mut(&outpoint) {
            watched.refunded = is_mined;
        }
    }

    /// Forgets what no wallet needs any more.
    fn keep_what_is_of(&mut self, wallets: &[Wallet]) {
        let hashes: BTreeSet<_> = wallets.iter().map(|wallet| wallet.record.main_utxo_hash).collect();
        let roots: BTreeSet<_> = wallets.iter().flat_map(|wallet| &wallet.roots).collect();
        self.main_utxos.retain(|hash, _| hashes.contains(hash));
        self.watched.retain(|outpoint, _| roots.contains(outpoint));
        self.absent.retain(|outpoint, _| roots.contains(outpoint));
    }
}

fn is_unswept(snapshot: &Snapshot, outpoint: OutPoint) -> Result<bool, MissingError> {
    let deposit = snapshot.deposit(DepositKey::new(outpoint))?;
    Ok(deposit.revealed_at != 0 && deposit.swept_at == 0)
}

/// The transaction's output that is the main UTXO of this hash. `None` if none is.
fn output_that_hashes_to(transaction: &Transaction, hash: B256) -> Option<Utxo> {
    let txid = transaction.compute_txid();
    (0..)
        .zip(&transaction.output)
        .map(|(vout, output)| Utxo { outpoint: OutPoint::new(txid, vout), value: output.value })
        .find(|utxo| main_utxo_hash(utxo) == hash)
}
