//! Who spends an output, looked for in as many looks as it takes: each goes on where the one before has stopped, and what was not
//! looked at yet is not taken for unspent.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bitcoin::{OutPoint, Transaction};
use coxswain_bitcoin::{Backend, BackendError, Cursor, Output, Search};
use coxswain_rules::units::Height;

/// How many steps one look takes at most.
const STEPS: usize = 10;

/// The searches that are not over.
#[derive(Debug, Default)]
pub struct Spenders(Mutex<BTreeMap<OutPoint, Cursor>>);

/// Why it isn't told who spends an output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpenderError {
    /// The servers' answers don't tell.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There is more to look at.
    #[error("what spends {outpoint} is looked for from block {height} of Bitcoin on")]
    Unfinished {
        /// The output.
        outpoint: OutPoint,
        /// Where the next look goes on.
        height: Height,
    },
}

impl Spenders {
    fn searches(&self) -> MutexGuard<'_, BTreeMap<OutPoint, Cursor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the transaction that spends this output, in a mempool or in a block from this height on. `None` if all was looked
    /// at, and none does. What an earlier look has passed over is not looked at again before that.
    ///
    /// # Errors
    /// If it can't be told, or not yet.
    pub async fn find(
        &self,
        bitcoin: &impl Backend,
        output: &Output,
        from: Height,
    ) -> Result<Option<Transaction>, SpenderError> {
        let outpoint = output.outpoint;
        let kept = self.searches().get(&outpoint).copied();
        let mut cursor = kept.unwrap_or(Cursor::at(from));
        for _ in 0..STEPS {
            match bitcoin.spender(output, cursor).await? {
                Search::Found(spender) => {
                    self.searches().remove(&outpoint);
                    return Ok(Some(spender.transaction));
                }
                // Kept at once: who asks may not wait until this look is over.
                Search::More(next) => {
                    cursor = next;
                    self.searches().insert(outpoint, cursor);
                }
                // The next search begins anew: blocks may have been replaced since.
                Search::Ended(_) => {
                    self.searches().remove(&outpoint);
                    return Ok(None);
                }
            }
        }
        Err(SpenderError::Unfinished { outpoint, height: cursor.height })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use bitcoin::{Amount, ScriptBuf, TxIn, TxOut, Witness, absolute::LockTime, transaction::Version};
    use coxswain_bitcoin::{Backends, Endpoint, Expected, Limits};
    use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn a_spender_far_ahead_is_found_by_looks_that_go_on_and_is_unknown_until_then() {
        let chain = Regtest::new();
        let anyone = ScriptBuf::from_bytes(vec![0x51]);
        let paid = TxOut { value: Amount::from_sat(50_000), script_pubkey: anyone.clone() };
        let funding = chain.pay(&[paid]).unwrap();
        chain.mine(std::slice::from_ref(&funding)).unwrap();
        let outpoint = OutPoint::new(funding.compute_txid(), 0);
        let from = chain.height();
        chain.mine_empty(200).unwrap();
        let spends = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn { previous_output: outpoint, witness: Witness::new(), ..TxIn::default() }],
            output: vec![TxOut { value: Amount::from_sat(40_000), script_pubkey: anyone.clone() }],
        };
        chain.mine(std::slice::from_ref(&spends)).unwrap();
        // Beyond so many requests the server fails.
        let (asked, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(usize::MAX)));
        let (count, bound) = (Arc::clone(&asked), Arc::clone(&most));
        let meet = move |_: &str, _: &Value| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            if number < bound.load(Ordering::Relaxed) { Reply::Forward } else { Reply::Status(500) }
        };
        let server = BitcoinServer::core(&chain, Serving::default(), meet).await.unwrap();
        let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
        let node = Backends::new(vec![endpoint], Expected::on(bitcoin::Network::Regtest));
        let output = Output { outpoint, script: anyone };
        let (spenders, mut unfinished) = (Spenders::default(), Vec::new());
        let found = loop {
            match spenders.find(&node, &output, from).await {
                Ok(found) => break found,
                Err(SpenderError::Unfinished { height, .. }) => unfinished.push(height),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(found.map(|found| found.compute_txid()), Some(spends.compute_txid()));
        // Eight blocks a step.
        assert_eq!(unfinished, [80, 160].map(|above| from.saturating_add(above)));
        assert!(spenders.searches().is_empty());

        // What a look has passed over before it failed isn't looked at again.
        most.store(asked.load(Ordering::Relaxed) + 100, Ordering::Relaxed);
        let failed = spenders.find(&node, &output, from).await;
        assert!(matches!(failed, Err(SpenderError::Backend(_))), "{failed:?}");
        let kept = spenders.searches().get(&outpoint).copied();
        assert!(
            kept.is_some_and(|kept| kept.height > from && kept.height < from.saturating_add(80)),
            "{kept:?}"
        );
    }
}
