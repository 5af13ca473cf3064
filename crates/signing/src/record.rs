//! One action a window: what a process signs for is recorded, durably, before anything leaves it.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Mutex, PoisonError},
};

use alloy_primitives::B256;
use coxswain_rules::{KeyHash, units::BlockNumber};
use serde::{Deserialize, Serialize};

use crate::{ActionId, Refusal};

/// What is signed for in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The chain.
    pub chain_id: u64,
    /// The wallet.
    pub wallet: KeyHash,
    /// The window's first block.
    pub coordination_block: BlockNumber,
    /// The action.
    pub action_id: ActionId,
    /// Names the preimages.
    pub preimages: B256,
}

/// Why it may not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Something else of the window is recorded. It stays.
    #[error("in this window action {recorded} was signed for, or other bytes of it")]
    Other {
        /// Which action.
        recorded: ActionId,
    },
    /// It can't be told that it is recorded.
    #[error("it can't be recorded: {0}")]
    Unrecorded(String),
}

impl From<ClaimError> for Refusal {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Other { recorded } => Self::Other { recorded },
            ClaimError::Unrecorded(why) => Self::Unrecorded(why),
        }
    }
}

/// What this process has signed for. Of each chain, wallet and window there is one claim, for ever.
pub trait SigningRecord: Send + Sync {
    /// Records the claim, unless one of its window is there: then it must be the same. Returns when it is durable.
    fn claim(&self, claim: Claim) -> impl Future<Output = Result<(), ClaimError>> + Send;
}

impl<R: SigningRecord> SigningRecord for &R {
    async fn claim(&self, claim: Claim) -> Result<(), ClaimError> {
        R::claim(self, claim).await
    }
}

/// Forgets all when the process ends: for tests.
#[derive(Debug, Default)]
pub struct MemoryRecord(Mutex<BTreeMap<(u64, KeyHash, BlockNumber), Claim>>);

impl SigningRecord for MemoryRecord {
    async fn claim(&self, claim: Claim) -> Result<(), ClaimError> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (claim.chain_id, claim.wallet, claim.coordination_block);
        let recorded = *claims.entry(key).or_insert(claim);
        if recorded == claim { Ok(()) } else { Err(ClaimError::Other { recorded: recorded.action_id }) }
    }
}
