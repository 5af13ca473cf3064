//! What the actions of one wallet read in common: each at most once a generation.

use std::collections::BTreeMap;

use coxswain_bitcoin::{Backend, BackendError, Fees, Known, Output};
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    Assured, DepositKey, DepositRecord, FeeConditions, MissingError, NextBlock, OutPoint, RevealedDeposit,
    Snapshot, WalletRecord, WalletState, units::Blocks,
};

use super::Session;
use crate::{Nothing, SessionError, outcome::Progress};

/// How many steps one generation searches back for what is older than the events: a transaction, moved funds, a commitment, or
/// wallets. That is five years where the endpoint allows it; else the next generation goes on where this one stopped.
pub(crate) const EARLIER_SEARCHES: usize = 60;
/// How much further back one such step goes, in blocks: 30 days.
pub(crate) const EARLIER_STEP: Blocks = Blocks(216_000);

/// Whether each output is unspent, or why Bitcoin has no answer.
pub(crate) type Unspent = BTreeMap<OutPoint, Result<bool, BackendError>>;

impl<B: Backend> Session<'_, B> {
    /// The wallet's record and the Bridge's parameters.
    pub(crate) async fn basis(&mut self) -> Result<Snapshot, SessionError> {
        self.snapshot(SnapshotKeys::default()).await
    }

    /// The wallet's record.
    pub(crate) async fn record(&mut self) -> Result<WalletRecord, SessionError> {
        let wallet = self.key_hash;
        Ok(self.basis().await?.wallet(wallet)?.clone())
    }

    /// The wallet's record, when it may sweep and redeem.
    pub(crate) async fn active(&mut self) -> Progress<WalletRecord> {
        let record = self.record().await?;
        match record.state {
            WalletState::Live | WalletState::MovingFunds => Ok(record),
            state => Err(Nothing::WalletState(state).into()),
        }
    }

    /// What these keys name, with the wallet's record.
    pub(crate) async fn snapshot(&mut self, mut keys: SnapshotKeys) -> Result<Snapshot, SessionError> {
        // All is of one block, so that what is known needn't be read again.
        let known = keys.deposits.iter().filter_map(|key| Some((*key, self.deposits.get(key)?.clone())));
        let known: BTreeMap<_, _> = known.collect();
        keys.deposits.retain(|key| !known.contains_key(key));
        let mut snapshot = self.unknown(keys).await?;
        snapshot.deposits.extend(known);
        Ok(snapshot)
    }

    async fn unknown(&mut self, mut keys: SnapshotKeys) -> Result<Snapshot, SessionError> {
        let Some(basis) = &self.basis else {
            // The wallet's record comes along.
            keys.wallets.insert(self.key_hash);
            let snapshot = self.read(&keys).await?;
            let basis = Snapshot { deposits: BTreeMap::new(), ..snapshot.clone() };
            self.basis = Some(basis);
            return Ok(snapshot);
        };
        keys.wallets.remove(&self.key_hash);
        if keys == SnapshotKeys::default() {
            return Ok(basis.clone());
        }
        let mut basis = basis.wallets.clone();
        let mut snapshot = self.read(&keys).await?;
        snapshot.wallets.append(&mut basis);
        Ok(snapshot)
    }

    /// The Bridge's records of these deposits, which are kept: a proposal's are few.
    pub(crate) async fn deposit_records(
        &mut self,
        deposits: &[RevealedDeposit],
    ) -> Result<Vec<DepositRecord>, SessionError> {
        let keys: Vec<_> = deposits.iter().map(|deposit| DepositKey::new(deposit.outpoint)).collect();
        let unread = keys.iter().copied().filter(|key| !self.deposits.contains_key(key)).collect();
        let snapshot = self.snapshot(SnapshotKeys { deposits: unread, ..SnapshotKeys::default() }).await?;
        self.deposits.extend(snapshot.deposits);
        let record = |key| {
            let missing = || MissingError::Deposit(key);
            self.deposits.get(&key).cloned().ok_or_else(missing)
        };
        Ok(keys.into_iter().map(record).collect::<Result<_, _>>()?)
    }

    async fn read(&mut self, keys: &SnapshotKeys) -> Result<Snapshot, SessionError> {
        let alone = SnapshotKeys { wallets: [self.key_hash].into(), ..SnapshotKeys::default() };
        if *keys == alone
            && let Some(Assured { fact, assurance }) =
                self.sources.records.of(self.key_hash, self.named.header.hash())
        {
            self.assurances.count_state(assurance);
            return Ok(fact);
        }
        let (reader, panel) = (&self.sources.reader, &self.sources.panel);
        let read = reader.assured_snapshot(panel, &self.named.header, keys).await?;
        self.assurances.count_state(read.assurance);
        Ok(read.fact)
    }

    /// The fact, whose assurance counts from now on.
    fn believe<T>(&mut self, Assured { fact, assurance }: Assured<T>) -> T {
        self.assurances.count_bitcoin(assurance);
        fact
    }

    /// What fees are computed from.
    pub(crate) async fn fees(&mut self) -> Result<FeeConditions, SessionError> {
        if let Some(fees) = self.fees {
            return Ok(fees);
        }
        let fees = self.sources.bitcoin.fees().await?;
        let Fees { relay_minimum, next_block } = self.believe(fees);
        let next_block = NextBlock::new(next_block, self.sources.fallback_fee_rate);
        let next_block = next_block.ok_or(SessionError::NoFeeRate)?;
        Ok(*self.fees.insert(FeeConditions { relay_minimum, next_block }))
    }

    /// What Bitcoin knows of these outputs' transactions, each in its place.
    pub(crate) async fn transactions(
        &mut self,
        outpoints: &[OutPoint],
    ) -> Result<Vec<Result<Option<Known>, BackendError>>, SessionError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        let answers = complete(outpoints.len(), self.sources.bitcoin.transactions(outpoints).await?)?;
        Ok(answers.into_iter().map(|answer| answer.map(|known| self.believe(known))).collect())
    }

    /// Whether each of these outputs is unspent.
    pub(crate) async fn unspent(
        &mut self,
        outputs: &[Output],
    ) -> Result<Vec<Result<bool, BackendError>>, SessionError> {
        if outputs.is_empty() {
            return Ok(Vec::new());
        }
        let answers = complete(outputs.len(), self.sources.bitcoin.unspent(outputs).await?)?;
        Ok(answers.into_iter().map(|answer| answer.map(|unspent| self.believe(unspent))).collect())
    }

    /// Goes on only if no transaction of a wallet without a main UTXO waits for its proof. With one, it would show in that.
    pub(crate) async fn none_of_its_own_waits(&mut self, record: &WalletRecord) -> Progress<()> {
        if !record.main_utxo_hash.is_zero() {
            return Ok(());
        }
        match self.own_spent().await? {
            Some(outpoint) => Err(Nothing::Unproven(outpoint).into()),
            None => Ok(()),
        }
    }
}

/// The answers, when there is one to each question.
fn complete<T>(questions: usize, answers: Vec<T>) -> Result<Vec<T>, SessionError> {
    match answers.len() {
        answers if answers != questions => Err(SessionError::AnswersMissing { answers, questions }),
        _ => Ok(answers),
    }
}
