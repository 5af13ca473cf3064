//! The one thread that writes.

use coxswain_protocol::Entry;
use coxswain_rules::KeyHash;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{AppendError, Fact, Lock, Snapshot, Step, facts, row, snapshots, steps};
use crate::point;

/// How many entries are recorded by one commit.
const BATCH: usize = 256;

/// For how many windows what verdicts rest on is kept, at most: it is the largest of all rows. About a month.
const KEEP_SNAPSHOTS: u64 = 240;

/// What is written at once, or not at all.
#[derive(Debug)]
pub(super) enum Work {
    /// How a window goes.
    Entry(KeyHash, Entry),
    /// How an action goes, and what is to be known with that.
    Step(Step, Option<Fact>),
    /// What stands alone.
    Fact(Fact),
    /// What a verdict rests on, with the code that judged.
    Snapshot(Snapshot, Vec<Vec<u8>>),
}

/// What waits to be written, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
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
            let outcome = write(&transaction, &job.work, self.keep_windows);
            match outcome {
                Ok(()) => outcomes.push(outcome),
                Err(ref error) if error.is_refusal() => outcomes.push(outcome),
                Err(error) => return Err(error),
            }
        }
        // That the node starts, or was heard of, is no point at which tests end it.
        let is_point = jobs.iter().any(|job| matches!(job.work, Work::Entry(..) | Work::Step(..)));
        if is_point {
            point("append/before");
        }
        transaction.commit()?;
        if is_point {
            point("append/after");
        }
        Ok(outcomes)
    }
}

fn write(connection: &Connection, work: &Work, keep_windows: u64) -> Result<(), AppendError> {
    match work {
        Work::Entry(wallet, entry) => row::write(connection, *wallet, entry, keep_windows),
        // If the step is refused, the fact is not written.
        Work::Step(step, fact) => {
            steps::write(connection, step, keep_windows)?;
            fact.as_ref().map_or(Ok(()), |fact| facts::write(connection, fact))
        }
        Work::Fact(fact) => facts::write(connection, fact),
        Work::Snapshot(snapshot, codes) => {
            snapshots::write(connection, snapshot, codes, keep_windows.min(KEEP_SNAPSHOTS))
        }
    }
}
