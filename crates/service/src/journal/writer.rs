//! The one thread that writes.

use coxswain_protocol::Entry;
use coxswain_rules::KeyHash;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{AppendError, Lock, row};
use crate::point;

/// How many entries are recorded by one commit.
const BATCH: usize = 256;

/// An entry that waits, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) wallet: KeyHash,
    pub(super) entry: Entry,
    pub(super) done: oneshot::Sender<Result<(), AppendError>>,
}

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    /// Held until the last commit is done and the file is closed.
    _lock: Lock,
    keep_windows: u64,
}

impl Writer {
    pub(super) const fn new(connection: Connection, lock: Lock, keep_windows: u64) -> Self {
        Self { connection, _lock: lock, keep_windows }
    }

    /// Records what comes until nobody can bring anything any more.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut batch = Vec::new();
        while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
            let outcome = self.record(&batch);
            match outcome {
                Ok(outcomes) => {
                    for (job, outcome) in batch.drain(..).zip(outcomes) {
                        // Who no longer waits finds it in the journal.
                        let _ = job.done.send(outcome);
                    }
                }
                // One of them may be at fault: each for itself.
                Err(_) => {
                    for job in batch.drain(..) {
                        let outcome = self.record(std::slice::from_ref(&job));
                        let outcome = outcome.and_then(|outcomes| outcomes.into_iter().collect());
                        let _ = job.done.send(outcome);
                    }
                }
            }
        }
    }

    /// Records these in one commit. Those that are refused for what they are don't keep the others off.
    fn record(&mut self, jobs: &[Job]) -> Result<Vec<Result<(), AppendError>>, AppendError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let outcome = row::write(&transaction, job.wallet, &job.entry, self.keep_windows);
            match outcome {
                Err(AppendError::Conflict { .. } | AppendError::Unwritable(_)) | Ok(()) => {
                    outcomes.push(outcome)
                }
                Err(error) => return Err(error),
            }
        }
        point("append/before");
        transaction.commit()?;
        point("append/after");
        Ok(outcomes)
    }
}
