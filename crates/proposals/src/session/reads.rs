//! What the actions of one wallet read in common: each at most once a generation.

use std::collections::BTreeMap;

use bitcoin::Transaction;
use coxswain_bitcoin::{Backend, BackendError, Known, Output};
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    FeeConditions, NextBlock, OutPoint, Snapshot, Utxo, WalletRecord, WalletState, main_utxo_hash,
    wallet_script,
};

use super::Session;
use crate::{Nothing, Undecided, main_utxo::main_utxo_in, outcome::Progress};

/// How many of the wallet's recorded transactions are looked at for its main UTXO: it is the newest one's, unless that
/// left nothing.
const MAIN_UTXO_CANDIDATES: usize = 2;

/// How many steps one generation searches back for what is older than the events: a transaction, moved funds, a commitment, or
/// wallets. That is five years where the endpoint allows it; else the next generation goes on where this one stopped.
pub(crate) const EARLIER_SEARCHES: usize = 60;

/// The wallet's main UTXO, unspent.
#[derive(Clone, Debug)]
pub(crate) struct MainUtxo {
    pub(crate) utxo: Utxo,
    /// The transaction that made it, where that was looked up.
    pub(crate) transaction: Option<Transaction>,
}

/// Where the main UTXO may be found.
pub(crate) enum Search {
    /// It is this one; none when the wallet has none.
    Over(Option<MainUtxo>),
    /// One of these outputs' transactions makes it.
    Among(Vec<OutPoint>),
}

impl Search {
    /// What is to be asked of Bitcoin.
    pub(crate) fn outpoints(&self) -> Vec<OutPoint> {
        match self {
            Self::Over(_) => Vec::new(),
            Self::Among(outpoints) => outpoints.clone(),
        }
    }
}

/// Whether outputs are unspent, as far as Bitcoin has an answer.
pub(crate) type Unspent = BTreeMap<OutPoint, Result<bool, BackendError>>;

impl<B: Backend> Session<'_, B> {
    /// The wallet's record and the Bridge's parameters.
    pub(crate) async fn basis(&mut self) -> Result<Snapshot, Undecided> {
        self.snapshot(SnapshotKeys::default()).await
    }

    /// The wallet's record.
    pub(crate) async fn record(&mut self) -> Result<WalletRecord, Undecided> {
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
    pub(crate) async fn snapshot(&mut self, mut keys: SnapshotKeys) -> Result<Snapshot, Undecided> {
        let Some(basis) = &self.basis else {
            // The wallet's record comes along.
            keys.wallets.insert(self.key_hash);
            let snapshot = self.sources.reader.snapshot(self.block, &keys).await?;
            let basis = Snapshot { deposits: BTreeMap::new(), ..snapshot.clone() };
            self.basis = Some(basis);
            return Ok(snapshot);
        };
        keys.wallets.remove(&self.key_hash);
        if keys == SnapshotKeys::default() {
            return Ok(basis.clone());
        }
        let mut basis = basis.wallets.clone();
        let mut snapshot = self.sources.reader.snapshot(self.block, &keys).await?;
        snapshot.wallets.append(&mut basis);
        Ok(snapshot)
    }

    /// What fees are computed from.
    pub(crate) async fn fees(&mut self) -> Result<FeeConditions, Undecided> {
        if let Some(fees) = self.fees {
            return Ok(fees);
        }
        let rates = self.sources.bitcoin.fee_rates().await?;
        let next_block = NextBlock::new(rates.next_block, self.sources.fallback_fee_rate);
        let next_block = next_block.ok_or(Undecided::NoFeeRate)?;
        Ok(*self.fees.insert(FeeConditions { relay_minimum: rates.relay_minimum, next_block }))
    }

    /// What Bitcoin knows of these outputs' transactions, each in its place.
    pub(crate) async fn transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> Result<Vec<Result<Option<Known>, BackendError>>, Undecided> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        complete(outpoints.len(), self.sources.bitcoin.transactions(outpoints).await?)
    }

    /// Whether each of these outputs is unspent.
    pub(crate) async fn unspent(
        &self,
        outputs: &[Output],
    ) -> Result<Vec<Result<bool, BackendError>>, Undecided> {
        if outputs.is_empty() {
            return Ok(Vec::new());
        }
        complete(outputs.len(), self.sources.bitcoin.unspent(outputs).await?)
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

    /// Where the wallet's main UTXO may be found.
    pub(crate) async fn search(&mut self, record: &WalletRecord) -> Result<Search, Undecided> {
        let hash = record.main_utxo_hash;
        if hash.is_zero() {
            return Ok(Search::Over(None));
        }
        if let Some(main_utxo) = &self.main_utxo {
            return Ok(Search::Over(Some(main_utxo.clone())));
        }
        if let Some(utxo) = self.memory.main_utxo().filter(|utxo| main_utxo_hash(utxo) == hash) {
            return Ok(Search::Over(Some(MainUtxo { utxo, transaction: None })));
        }
        for _ in 0..EARLIER_SEARCHES {
            let outpoints = self.newest_outputs();
            if !outpoints.is_empty() {
                return Ok(Search::Among(outpoints));
            }
            if !self.events.earlier_transactions(&self.sources.endpoint, self.key_hash).await? {
                break;
            }
        }
        Err(Undecided::MainUtxoNotFound(hash))
    }

    /// Where the wallet's newest recorded transactions pay it.
    fn newest_outputs(&self) -> Vec<OutPoint> {
        let recorded = self.events.transactions(self.key_hash).rev();
        recorded
            .filter(|recorded| recorded.at.block <= self.block.number)
            .take(MAIN_UTXO_CANDIDATES)
            .map(|recorded| OutPoint::new(recorded.txid, 0))
            .collect()
    }

    /// The main UTXO, among what Bitcoin knows of the transactions searched.
    pub(crate) fn found(
        &mut self,
        record: &WalletRecord,
        search: Search,
        answers: impl IntoIterator<Item = Result<Option<Known>, BackendError>>,
    ) -> Result<Option<MainUtxo>, Undecided> {
        if let Search::Over(main_utxo) = search {
            return Ok(main_utxo);
        }
        let hash = record.main_utxo_hash;
        let mut failed = None;
        for answer in answers {
            match answer {
                Ok(Some(Known { transaction, .. })) => {
                    if let Some(utxo) = main_utxo_in(&transaction, self.key_hash, hash) {
                        self.memory.found_main_utxo(utxo);
                        return Ok(Some(MainUtxo { utxo, transaction: Some(transaction) }));
                    }
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or(Undecided::MainUtxoNotFound(hash), Undecided::Bitcoin))
    }

    /// The main UTXO as Bitcoin is asked about it, unless it was.
    pub(crate) fn unsettled(&self, main_utxo: Option<&MainUtxo>) -> Option<Output> {
        let main_utxo = main_utxo.filter(|_| self.main_utxo.is_none())?;
        Some(Output { outpoint: main_utxo.utxo.outpoint, script: wallet_script(self.key_hash) })
    }

    /// Goes on only with a main UTXO that is unspent, or with none.
    pub(crate) fn settle(&mut self, main_utxo: Option<&MainUtxo>, unspent: &Unspent) -> Progress<()> {
        let Some(main_utxo) = main_utxo else { return Ok(()) };
        match unspent.get(&main_utxo.utxo.outpoint) {
            Some(Ok(false)) => Err(Nothing::MainUtxoSpent(main_utxo.utxo.outpoint).into()),
            Some(Err(error)) => Err(error.clone().into()),
            // It was asked about before.
            None => Ok(()),
            Some(Ok(true)) => {
                self.main_utxo = Some(main_utxo.clone());
                Ok(())
            }
        }
    }

    /// The main UTXO, spent or not; none when the wallet has none.
    pub(crate) async fn find_main_utxo(
        &mut self,
        record: &WalletRecord,
    ) -> Result<Option<MainUtxo>, Undecided> {
        let search = self.search(record).await?;
        let answers = self.transactions(&search.outpoints()).await?;
        self.found(record, search, answers)
    }

    /// The main UTXO, unspent; none when the wallet has none.
    pub(crate) async fn unspent_main_utxo(&mut self, record: &WalletRecord) -> Progress<Option<MainUtxo>> {
        let main_utxo = self.find_main_utxo(record).await?;
        let outputs: Vec<_> = self.unsettled(main_utxo.as_ref()).into_iter().collect();
        let answers = self.unspent(&outputs).await?;
        let unspent = outputs.into_iter().map(|output| output.outpoint).zip(answers).collect();
        self.settle(main_utxo.as_ref(), &unspent)?;
        Ok(main_utxo)
    }
}

/// The answers, when there is one to each question.
fn complete<T>(questions: usize, answers: Vec<T>) -> Result<Vec<T>, Undecided> {
    match answers.len() {
        answers if answers != questions => Err(Undecided::AnswersMissing { answers, questions }),
        _ => Ok(answers),
    }
}
