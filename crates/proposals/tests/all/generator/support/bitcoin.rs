//! A Bitcoin that is told what there is, answers from memory, and counts what it is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use bitcoin::{FeeRate, block};
use coxswain_bitcoin::{
    Answers, Backend, BackendError, Coinbase, Cursor, FeeRates, Fees, Known, MerkleBranch, Mined, Output,
    Search, Tip,
};
use coxswain_rules::{
    Assurance, Assured, OutPoint, RelayMinimum, Txid,
    units::{Confirmations, Height},
};
use coxswain_testkit::Deposit;

#[derive(Clone, Debug)]
pub(crate) struct FakeBitcoin(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) known: BTreeMap<Txid, Known>,
    pub(crate) spent: BTreeSet<OutPoint>,
    /// What it can't tell about.
    pub(crate) unanswerable: BTreeSet<OutPoint>,
    pub(crate) rates: FeeRates,
    /// How many items each call asked for, by name.
    pub(crate) calls: Vec<(&'static str, usize)>,
    /// It has no index of transactions: only by an unspent output is one found.
    pub(crate) unindexed: bool,
    /// It is down.
    pub(crate) down: bool,
}

impl FakeBitcoin {
    pub(crate) fn new() -> Self {
        let rates = FeeRates {
            relay_minimum: FeeRate::from_sat_per_vb_u32(1),
            next_block: Some(FeeRate::from_sat_per_vb_u32(10)),
        };
        let state = State {
            known: BTreeMap::new(),
            spent: BTreeSet::new(),
            unanswerable: BTreeSet::new(),
            rates,
            calls: Vec::new(),
            unindexed: false,
            down: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A transaction is in a block, this deep.
    pub(crate) fn buries(&self, transaction: &bitcoin::Transaction, confirmations: Confirmations) {
        let known = Known { transaction: transaction.clone(), confirmations };
        let mut state = self.state();
        state.spent.extend(transaction.input.iter().map(|input| input.previous_output));
        state.known.insert(transaction.compute_txid(), known);
    }

    pub(crate) fn funds<'a>(&self, deposits: impl IntoIterator<Item = &'a Deposit>) {
        deposits.into_iter().for_each(|deposit| self.buries(&deposit.funding, Confirmations(6)));
    }

    fn asked(&self, call: &'static str, items: usize) -> Result<MutexGuard<'_, State>, BackendError> {
        let mut state = self.state();
        state.calls.push((call, items));
        if state.down { Err(down(call)) } else { Ok(state) }
    }
}

fn down(method: &'static str) -> BackendError {
    BackendError::Unreachable { method, endpoint: "nowhere:1".to_owned(), cause: "down".to_owned() }
}

/// What enough servers would say.
fn agreed<T>(fact: T) -> Assured<T> {
    Assured { fact, assurance: Assurance::Agreed }
}

impl Backend for FakeBitcoin {
    async fn tip(&self) -> Result<Tip, BackendError> {
        Err(down("tip"))
    }

    async fn fees(&self) -> Result<Assured<Fees>, BackendError> {
        let FeeRates { relay_minimum, next_block } = self.asked("fees", 0)?.rates;
        Ok(agreed(Fees { relay_minimum: RelayMinimum::of_all(relay_minimum), next_block }))
    }

    async fn transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> Result<Answers<Assured<Option<Known>>>, BackendError> {
        let state = self.asked("transactions", outpoints.len())?;
        let answer = |&outpoint: &OutPoint| {
            if state.unanswerable.contains(&outpoint) {
                return Err(down("transactions"));
            }
            let known = state.known.get(&outpoint.txid).cloned();
            if state.unindexed && (known.is_none() || state.spent.contains(&outpoint)) {
                return Err(BackendError::Unindexed { endpoint: "nowhere:1".to_owned(), outpoint });
            }
            Ok(agreed(known))
        };
        Ok(outpoints.iter().map(answer).collect())
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<Assured<bool>>, BackendError> {
        let state = self.asked("unspent", outputs.len())?;
        let answer = |output: &Output| {
            let known = state.known.get(&output.outpoint.txid).map(|known| &known.transaction.output);
            let exists = known
                .and_then(|outputs| outputs.get(output.outpoint.vout as usize))
                .is_some_and(|there| there.script_pubkey == output.script);
            Ok(agreed(exists && !state.spent.contains(&output.outpoint)))
        };
        Ok(outputs.iter().map(answer).collect())
    }

    async fn branches(&self, _: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        Err(down("branches"))
    }

    async fn coinbase(&self, _: Height) -> Result<Coinbase, BackendError> {
        Err(down("coinbase"))
    }

    async fn spender(&self, _: &Output, _: Cursor) -> Result<Search, BackendError> {
        Err(down("spender"))
    }

    async fn headers(&self, _: Height, _: u32) -> Result<Vec<block::Header>, BackendError> {
        Err(down("headers"))
    }

    async fn broadcast(&self, _: &bitcoin::Transaction) -> Result<(), BackendError> {
        Err(down("broadcast"))
    }
}
