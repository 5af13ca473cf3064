//! What a seat must not forget, in the journal: what it has announced, which attempts it went into, whom it has banned.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use coxswain_protocol::Seat;
use coxswain_rules::{KeyHash, units::BlockNumber};
use coxswain_service::journal::{Fact, FactKey, Journal};
use coxswain_signing::threshold::{Record, Recorded};
use serde::{Deserialize, Serialize};

/// What own seats have announced and gone into, by window.
const TOPIC: &str = "signing";
/// Who is never signed with again, by seat.
const BANS: &str = "signing_bans";
/// How often operators were in a subset that failed, by wallet.
const MARKS: &str = "signing_marks";

/// A fact of a window. A name that stands can't come to say something else: so a seat announces once an attempt, with one nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kept {
    Announced { block: u64, seat: u8, attempt: u8, nonce: B256 },
    Attempt { block: u64, attempt: u8, context: B256, seats: Vec<u8> },
}

/// The pairs of which the first seat never again signs with the second.
type Bans = BTreeSet<(u8, u8)>;

/// The record of one wallet's job.
#[derive(Clone, Debug)]
pub(super) struct JobRecord {
    pub(super) journal: Arc<Journal>,
    pub(super) chain_id: u64,
    pub(super) wallet: KeyHash,
    pub(super) block: BlockNumber,
}

/// Why nothing may be signed: what was done before isn't known, or what is done can't be recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(transparent)]
    Read(#[from] coxswain_service::journal::ReadError),
    #[error(transparent)]
    Append(#[from] coxswain_service::journal::AppendError),
    #[error("what is recorded of signing can't be read")]
    Damaged(#[from] serde_json::Error),
    #[error("the bans that are recorded can't be read")]
    Unreadable,
    #[error("a seat that is recorded is none")]
    NoSeat,
}

fn seat(number: u8) -> Result<Seat, RecordError> {
    Seat::try_from(u64::from(number)).map_err(|_| RecordError::NoSeat)
}

impl JobRecord {
    /// What is on record of the job, and of all time.
    pub(super) fn restored(&self) -> Result<Recorded, RecordError> {
        let mut recorded = Recorded::default();
        let reader = self.journal.reader();
        for body in reader.facts(TOPIC, Some(self.wallet.0))? {
            match serde_json::from_str(&body)? {
                Kept::Announced { block, seat: number, attempt, nonce } if block == self.block.0 => {
                    recorded.announced.insert((seat(number)?, attempt, nonce.0));
                }
                Kept::Attempt { block, attempt, .. } if block == self.block.0 => {
                    recorded.attempts.insert(attempt);
                }
                Kept::Announced { .. } | Kept::Attempt { .. } => {}
            }
        }
        for (by, banned) in self.bans()? {
            recorded.banned.entry(seat(by)?).or_default().insert(seat(banned)?);
        }
        recorded.marks = self.marks()?;
        Ok(recorded)
    }

    /// How often each operator was in a subset that failed.
    fn marks(&self) -> Result<BTreeMap<Address, u32>, RecordError> {
        let bodies = self.journal.reader().facts(MARKS, Some(self.wallet.0))?;
        Ok(bodies.last().map(|body| serde_json::from_str(body)).transpose()?.unwrap_or_default())
    }

    /// All bans of the wallet's seats. They stand in one row, so that none is lost without it being seen.
    fn bans(&self) -> Result<Bans, RecordError> {
        let key = FactKey { topic: BANS, owner: self.wallet.0, name: self.chain_id.to_string() };
        match self.journal.reader().fact(&key)? {
            None => Ok(Bans::new()),
            Some(Ok(body)) => Ok(serde_json::from_str(&body)?),
            Some(Err(_)) => Err(RecordError::Unreadable),
        }
    }

    fn fact(&self, topic: &'static str, name: String, body: String, replaces: bool) -> Fact {
        Fact { key: FactKey { topic, owner: self.wallet.0, name }, body, replaces }
    }

    /// Makes this durable.
    pub(super) async fn keep(&self, record: &Record) -> Result<(), RecordError> {
        let block = self.block.0;
        let chain = self.chain_id;
        let fact = match record {
            Record::Announced(seat, attempt, nonce) => {
                let kept = Kept::Announced {
                    block,
                    seat: seat.number(),
                    attempt: *attempt,
                    nonce: B256::new(*nonce),
                };
                let name = format!("{chain}/{block}/announced/{}/{attempt}", seat.number());
                self.fact(TOPIC, name, serde_json::to_string(&kept)?, false)
            }
            Record::Attempt(attempt, context, seats) => {
                let seats = seats.iter().map(|seat| seat.number()).collect();
                let kept = Kept::Attempt { block, attempt: *attempt, context: *context, seats };
                self.fact(
                    TOPIC,
                    format!("{chain}/{block}/attempt/{attempt}"),
                    serde_json::to_string(&kept)?,
                    false,
                )
            }
            Record::Ban(by, seat) => {
                let mut bans = self.bans()?;
                bans.insert((by.number(), seat.number()));
                self.fact(BANS, chain.to_string(), serde_json::to_string(&bans)?, true)
            }
            Record::Marks(operators) => return self.mark(operators).await,
        };
        Ok(self.journal.fact(fact).await?)
    }

    /// One mark more for each of these operators.
    async fn mark(&self, operators: &BTreeSet<Address>) -> Result<(), RecordError> {
        let mut marks = self.marks()?;
        for operator in operators {
            let count = marks.entry(*operator).or_default();
            *count = count.saturating_add(1);
        }
        self.write_marks(&marks).await
    }

    /// A success clears the marks of these operators.
    pub(super) async fn clear(&self, operators: &BTreeSet<Address>) -> Result<(), RecordError> {
        let mut marks = self.marks()?;
        let before = marks.len();
        marks.retain(|operator, _| !operators.contains(operator));
        if marks.len() == before { Ok(()) } else { self.write_marks(&marks).await }
    }

    async fn write_marks(&self, marks: &BTreeMap<Address, u32>) -> Result<(), RecordError> {
        let fact = self.fact(MARKS, String::new(), serde_json::to_string(marks)?, true);
        Ok(self.journal.fact(fact).await?)
    }
}

#[cfg(test)]
mod tests {
    use coxswain_service::journal::Settings;

    use super::*;

    fn at(number: u8) -> Seat {
        Seat::try_from(u64::from(number)).unwrap()
    }

    /// What is recorded stands after a restart: bans in every window of the wallet, all else in its own.
    #[tokio::test]
    async fn bans_and_nonces_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::at(folder.path().join("journal.db"));
        let record = |journal: &Arc<Journal>, chain_id, wallet, block| JobRecord {
            journal: Arc::clone(journal),
            chain_id,
            wallet: KeyHash([wallet; 20]),
            block: BlockNumber(block),
        };
        let operator = Address::repeat_byte(1);
        let journal = Arc::new(Journal::open(&settings).unwrap());
        {
            let job = record(&journal, 31337, 7, 900);
            job.keep(&Record::Announced(at(1), 1, [5; 32])).await.unwrap();
            // The same again is nothing new, and another nonce is refused.
            job.keep(&Record::Announced(at(1), 1, [5; 32])).await.unwrap();
            assert!(job.keep(&Record::Announced(at(1), 1, [6; 32])).await.is_err());
            job.keep(&Record::Attempt(1, B256::ZERO, [at(1), at(2)].into())).await.unwrap();
            job.keep(&Record::Ban(at(1), at(2))).await.unwrap();
            job.keep(&Record::Marks([operator].into())).await.unwrap();
            job.keep(&Record::Marks([operator, Address::repeat_byte(2)].into())).await.unwrap();
        }
        Arc::into_inner(journal).unwrap().close();
        let journal = Arc::new(Journal::open(&settings).unwrap());
        let restored = record(&journal, 31337, 7, 900).restored().unwrap();
        assert_eq!(restored.announced, [(at(1), 1, [5; 32])].into());
        assert_eq!(restored.attempts, [1].into());
        assert_eq!(restored.banned, [(at(1), [at(2)].into())].into());
        assert_eq!(restored.marks, [(operator, 2), (Address::repeat_byte(2), 1)].into());
        let next = record(&journal, 31337, 7, 1800);
        let restored = next.restored().unwrap();
        assert!(restored.announced.is_empty() && restored.attempts.is_empty());
        assert_eq!(restored.banned, [(at(1), [at(2)].into())].into());
        next.clear(&[operator].into()).await.unwrap();
        assert_eq!(next.restored().unwrap().marks, [(Address::repeat_byte(2), 1)].into());
        for other in [record(&journal, 1337, 7, 900), record(&journal, 31337, 8, 900)] {
            assert!(other.restored().unwrap().banned.is_empty());
        }
    }
}
