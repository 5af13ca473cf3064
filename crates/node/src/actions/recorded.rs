//! Actions as the journal has them: what `coxswain why` and `history` tell, and where a node goes on after a restart.

use std::collections::BTreeMap;

use coxswain_rules::{KeyHash, units::BlockNumber};
use coxswain_service::journal::{Fact, FactKey, ReadError, ReadStep, Reader, Step};

use super::milestone::{Agreed, Alive, End, Milestone, Reached, SignedTransaction};

/// A wallet's last heartbeat.
const HEARTBEAT: &str = "heartbeats";

/// An action, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionRecord {
    /// The wallet.
    pub wallet: KeyHash,
    /// What was agreed on.
    pub agreed: Agreed,
    /// What was reached, in order; the first of it is that it was agreed on.
    pub reached: Vec<Reached>,
}

/// Why an action can't be read from the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step} of the action of window {window} of wallet {wallet} can't be read")]
pub struct DamagedAction {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window's index.
    pub window: u64,
    /// Which step.
    pub step: u32,
}

impl ActionRecord {
    /// An action that was just agreed on.
    pub fn new(wallet: KeyHash, agreed: Agreed, at: BlockNumber) -> Self {
        let first = Reached { at, milestone: Milestone::Agreed(agreed.clone()) };
        Self { wallet, agreed, reached: vec![first] }
    }

    /// What it has come to.
    pub fn state(&self) -> &Reached {
        self.reached.last().expect("an action was agreed on")
    }

    /// How it has ended. `None` if it hasn't.
    pub fn end(&self) -> Option<&End> {
        match &self.state().milestone {
            Milestone::Over(end) => Some(end),
            _ => None,
        }
    }

    /// Whether it keeps the wallet from all else: from when it is agreed on until it is over, or its transaction is confirmed.
    pub fn is_busy(&self) -> bool {
        !matches!(self.state().milestone, Milestone::Over(_) | Milestone::Confirmed { .. })
    }

    /// Until which block it keeps the wallet busy at the latest. `None` if that ends with a block of Bitcoin.
    pub fn busy_until(&self) -> Option<BlockNumber> {
        match self.state().milestone {
            Milestone::Agreed(_) | Milestone::Waiting | Milestone::Assembled(_) | Milestone::Signed(_) => {
                Some(self.agreed.expiry())
            }
            Milestone::Broadcast { .. }
            | Milestone::InMempool { .. }
            | Milestone::Stuck(_)
            | Milestone::Confirmed { .. }
            | Milestone::Over(_) => None,
        }
    }

    /// What was signed, if anything is.
    pub fn signed(&self) -> Option<&SignedTransaction> {
        self.reached.iter().rev().find_map(|reached| match &reached.milestone {
            Milestone::Signed(signed) => Some(signed),
            _ => None,
        })
    }

    /// Its step, as the journal takes it.
    pub fn step(&self, number: usize) -> Result<Step, serde_json::Error> {
        let reached = self.reached.get(number);
        Ok(Step {
            wallet: self.wallet,
            window: self.agreed.window.index(),
            number: u32::try_from(number).unwrap_or(u32::MAX),
            is_last: reached.is_some_and(|reached| matches!(reached.milestone, Milestone::Over(_))),
            body: serde_json::to_string(&reached)?,
        })
    }

    /// The actions that these steps make up, by window.
    pub fn from_steps(steps: Vec<ReadStep>) -> Vec<Result<Self, DamagedAction>> {
        let mut windows = BTreeMap::<(KeyHash, u64), Result<Vec<Reached>, DamagedAction>>::new();
        for ReadStep { wallet, window, number, step } in steps {
            let so_far = windows.entry((wallet, window)).or_insert_with(|| Ok(Vec::new()));
            let Ok(reached) = so_far else { continue };
            let read = step.ok().and_then(|step| serde_json::from_str(&step.body).ok());
            match read {
                Some(next) if u32::try_from(reached.len()) == Ok(number) => reached.push(next),
                _ => *so_far = Err(DamagedAction { wallet, window, step: number }),
            }
        }
        let action = |((wallet, window), reached): (_, Result<Vec<Reached>, _>)| {
            let reached = reached?;
            match reached.first().map(|first| first.milestone.clone()) {
                Some(Milestone::Agreed(agreed)) => Ok(Self { wallet, agreed, reached }),
                _ => Err(DamagedAction { wallet, window, step: 0 }),
            }
        };
        windows.into_iter().map(action).collect()
    }

    /// A wallet's actions that are not over, the oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn open(reader: &Reader, wallet: KeyHash) -> Result<Vec<Result<Self, DamagedAction>>, ReadError> {
        Ok(Self::from_steps(reader.open_actions(wallet)?))
    }

    /// A wallet's newest actions, at most so many, the oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn newest(
        reader: &Reader,
        wallet: KeyHash,
        limit: u32,
    ) -> Result<Vec<Result<Self, DamagedAction>>, ReadError> {
        Ok(Self::from_steps(reader.newest_actions(wallet, limit)?))
    }
}

/// Why a wallet's last heartbeat isn't known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeartbeatError {
    /// The journal can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its row can't be.
    #[error("its row in the journal can't be read")]
    Damaged,
}

impl Alive {
    fn key(wallet: KeyHash) -> FactKey {
        FactKey { topic: HEARTBEAT, owner: wallet.0, name: String::new() }
    }

    /// As the journal takes it: in place of the wallet's heartbeat before, however many actions were between.
    pub(super) fn fact(&self, wallet: KeyHash) -> Result<Fact, serde_json::Error> {
        Ok(Fact { key: Self::key(wallet), body: serde_json::to_string(self)?, replaces: true })
    }

    /// A wallet's last heartbeat. `None` if there was none.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn last(reader: &Reader, wallet: KeyHash) -> Result<Option<Self>, HeartbeatError> {
        let Some(body) = reader.fact(&Self::key(wallet))? else { return Ok(None) };
        let read = body.ok().and_then(|body| serde_json::from_str(&body).ok());
        read.map(Some).ok_or(HeartbeatError::Damaged)
    }
}

impl Agreed {
    /// Nothing is done before this block.
    pub const fn start(&self) -> BlockNumber {
        self.schedule.start
    }

    /// Signing may start here.
    pub const fn signing_start(&self) -> BlockNumber {
        self.schedule.signing_start
    }

    /// Signing must have ended before this block.
    pub const fn signing_end(&self) -> BlockNumber {
        self.schedule.signing_end
    }

    /// If its transaction was not broadcast before this block, the action is over.
    pub const fn expiry(&self) -> BlockNumber {
        self.schedule.expiry
    }
}
