//! Which seats never sign together again. A failed check of a multiplication tells something about what a pair of seats keeps
//! for all its signatures: with a second try a cheat learns more, and with many the other's share.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Mutex, PoisonError},
};

use coxswain_protocol::Seat;
use coxswain_rules::KeyHash;

use crate::Blame;

/// One seat, which never again signs with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ban {
    /// The chain.
    pub chain_id: u64,
    /// The wallet.
    pub wallet: KeyHash,
    /// The seat that was cheated.
    pub by: Seat,
    /// The seat that cheated it.
    pub seat: Seat,
}

/// A ban can't be kept, so that nothing may be signed any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ban can't be recorded: {0}")]
pub struct BanError(pub String);

/// The bans that a process keeps, for ever.
pub trait BanRecord: Send + Sync {
    /// Records a ban. Returns when it is durable. Recorded twice, it is one.
    fn ban(&self, ban: Ban) -> impl Future<Output = Result<(), BanError>> + Send;

    /// The seats that this one never signs with.
    fn banned(
        &self,
        chain_id: u64,
        wallet: KeyHash,
        by: Seat,
    ) -> impl Future<Output = Result<BTreeSet<Seat>, BanError>> + Send;
}

/// A ban that is not durable yet. Nothing of it can be told before it is.
#[must_use = "a ban must be made durable"]
#[derive(Debug)]
pub struct NewBan {
    pub(super) seat: Seat,
    pub(super) by: Seat,
    pub(super) reason: String,
}

impl NewBan {
    /// Makes it durable. Only then there is a blame to report.
    ///
    /// # Errors
    /// If it can't be recorded. Then nothing may be signed any more.
    pub async fn record<R: BanRecord>(
        self,
        record: &R,
        chain_id: u64,
        wallet: KeyHash,
    ) -> Result<Blame, BanError> {
        let Self { seat, by, reason } = self;
        record.ban(Ban { chain_id, wallet, by, seat }).await?;
        Ok(Blame::Ban { seat, by, reason })
    }
}

/// Forgets all when the process ends: for tests.
#[derive(Debug, Default)]
pub struct MemoryBans(Mutex<BTreeSet<Ban>>);

impl BanRecord for MemoryBans {
    async fn ban(&self, ban: Ban) -> Result<(), BanError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ban);
        Ok(())
    }

    async fn banned(&self, chain_id: u64, wallet: KeyHash, by: Seat) -> Result<BTreeSet<Seat>, BanError> {
        let bans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_us =
            bans.iter().filter(|ban| ban.chain_id == chain_id && ban.wallet == wallet && ban.by == by);
        Ok(of_us.map(|ban| ban.seat).collect())
    }
}
