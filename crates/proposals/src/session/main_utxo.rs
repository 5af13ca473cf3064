//! A wallet's main UTXO, which the Bridge knows only by its hash: found among the transactions that the Bridge itself has
//! recorded, never in an address's history, which anyone can flood. Then held against Bitcoin: it must be unspent.

use alloy_primitives::B256;
use bitcoin::Transaction;
use coxswain_bitcoin::{Backend, BackendError, Known, Output};
use coxswain_rules::{KeyHash, OutPoint, Utxo, WalletRecord, main_utxo_hash, wallet_script};

use super::{
    Session,
    reads::{EARLIER_SEARCHES, Unspent},
};
use crate::{Nothing, SessionError, outcome::Progress};

/// How many of the wallet's recorded transactions are looked at for its main UTXO: it is the newest one's, unless that
/// left nothing.
const MAIN_UTXO_CANDIDATES: usize = 2;

/// The wallet's main UTXO, unspent.
#[derive(Clone, Debug)]
pub(crate) struct MainUtxo {
    pub(crate) utxo: Utxo,
    /// The transaction that made it, where that was looked up.
    pub(crate) transaction: Option<Transaction>,
}

/// Where the main UTXO may be found.
pub(crate) enum Search {
    /// It is this one. `None` if the wallet has none.
    Over(Option<MainUtxo>),
    /// One of these outputs' transactions makes it.
    Among(Vec<OutPoint>),
}

impl Search {
    /// What is to be asked of Bitcoin.
    fn outpoints(&self) -> Vec<OutPoint> {
        match self {
            Self::Over(_) => Vec::new(),
            Self::Among(outpoints) => outpoints.clone(),
        }
    }
}

impl<B: Backend> Session<'_, B> {
    /// Where the wallet's main UTXO may be found.
    pub(crate) async fn search(&mut self, record: &WalletRecord) -> Result<Search, SessionError> {
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
        self.count_events();
        for _ in 0..EARLIER_SEARCHES {
            let outpoints = self.newest_outputs();
            if !outpoints.is_empty() {
                return Ok(Search::Among(outpoints));
            }
            // Before its registration it has made none.
            if self.events.registration(self.key_hash).is_some() || !self.search_earlier().await? {
                break;
            }
        }
        Err(SessionError::MainUtxoNotFound(hash))
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

    /// What Bitcoin knows of these outputs' transactions, each in its place, and in the same call what it knows of those that
    /// the main UTXO is searched among. The search is over then.
    pub(crate) async fn transactions_beside(
        &mut self,
        record: &WalletRecord,
        search: Search,
        outpoints: impl IntoIterator<Item = OutPoint>,
    ) -> Result<(Search, Vec<Result<Option<Known>, BackendError>>), SessionError> {
        let mut asked = search.outpoints();
        let searched = asked.len();
        asked.extend(outpoints);
        let mut of_search = self.transactions(&asked).await?;
        let answers = of_search.split_off(searched.min(of_search.len()));
        Ok((Search::Over(self.found(record, search, of_search)?), answers))
    }

    /// The main UTXO, if the search is over. A search that is not is given up: nothing was asked.
    pub(crate) fn main_utxo_of(
        &mut self,
        record: &WalletRecord,
        search: Search,
    ) -> Result<Option<MainUtxo>, SessionError> {
        self.found(record, search, [])
    }

    /// The main UTXO, among what Bitcoin knows of the transactions searched.
    fn found(
        &mut self,
        record: &WalletRecord,
        search: Search,
        answers: impl IntoIterator<Item = Result<Option<Known>, BackendError>>,
    ) -> Result<Option<MainUtxo>, SessionError> {
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
        Err(failed.map_or(SessionError::MainUtxoNotFound(hash), SessionError::Bitcoin))
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

    /// The main UTXO, spent or not. `None` if the wallet has none.
    pub(crate) async fn find_main_utxo(
        &mut self,
        record: &WalletRecord,
    ) -> Result<Option<MainUtxo>, SessionError> {
        let search = self.search(record).await?;
        let answers = self.transactions(&search.outpoints()).await?;
        self.found(record, search, answers)
    }

    /// The main UTXO, unspent. `None` if the wallet has none.
    pub(crate) async fn unspent_main_utxo(&mut self, record: &WalletRecord) -> Progress<Option<MainUtxo>> {
        let main_utxo = self.find_main_utxo(record).await?;
        let outputs: Vec<_> = self.unsettled(main_utxo.as_ref()).into_iter().collect();
        let answers = self.unspent(&outputs).await?;
        let unspent = outputs.into_iter().map(|output| output.outpoint).zip(answers).collect();
        self.settle(main_utxo.as_ref(), &unspent)?;
        Ok(main_utxo)
    }
}

/// The output of the transaction that hashes to what the Bridge stores. `None` if no output does.
pub fn main_utxo_in(transaction: &Transaction, wallet: KeyHash, hash: B256) -> Option<Utxo> {
    let script = wallet_script(wallet);
    let txid = transaction.compute_txid();
    (0..)
        .zip(&transaction.output)
        .filter(|(_, output)| output.script_pubkey == script)
        .map(|(vout, output)| Utxo { outpoint: OutPoint::new(txid, vout), value: output.value })
        .find(|utxo| main_utxo_hash(utxo) == hash)
}
