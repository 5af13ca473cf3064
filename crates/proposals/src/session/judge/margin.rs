//! Step 7: a retiring wallet's funds stay for a while, so that redemptions and sweeps under way come to their end.

use coxswain_bitcoin::Backend;
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    Case, Objection, Snapshot, Subject,
    units::{Blocks, UnixTime},
};

use super::Obstacle;
use crate::{Session, SessionError, moving_funds, session::reads::EARLIER_SEARCHES};

impl<B: Backend> Session<'_, B> {
    /// The time that must have come before the wallet's funds are moved, with what was read to tell.
    pub(crate) async fn earliest_move(&mut self) -> Result<(UnixTime, Snapshot), SessionError> {
        let (wallet, head) = (self.key_hash, self.block.number);
        self.count_events();
        // A commitment that isn't known would let the funds go too early.
        let needed = head.saturating_sub(moving_funds::COMMITMENT_LOOK_BACK);
        while self.events.searched() > needed {
            self.search_back_to(needed).await?;
        }
        let sources = moving_funds::naming(self.events.commitments(), wallet, head);
        let wallets = sources.map(|commitment| commitment.source).collect();
        let snapshot = self.snapshot(SnapshotKeys { wallets, ..SnapshotKeys::default() }).await?;
        let after = moving_funds::earliest_move(&snapshot, wallet, head, self.events.commitments())?;
        Ok((after, snapshot))
    }

    /// How many blocks are missing on the commitment that a case of moving funds goes by, for it to be deep enough. `None` if none
    /// is, or for another case. Asked right before signing, not while a window judges.
    ///
    /// # Errors
    /// If it can't be told.
    pub async fn commitment_missing(&mut self, case: &Case) -> Result<Option<Blocks>, SessionError> {
        let Subject::MovingFunds { proposal, .. } = &case.subject else { return Ok(None) };
        self.count_events();
        let (wallet, head) = (self.key_hash, self.block.number);
        for _ in 0..EARLIER_SEARCHES {
            let newest = self.events.commitments().iter().rev().find(|commitment| {
                commitment.source == wallet
                    && commitment.targets == proposal.targets
                    && commitment.at.block <= head
            });
            if let Some(commitment) = newest {
                let depth = head.saturating_since(commitment.at.block);
                let missing = self.sources.network.event_depth.saturating_sub(depth);
                return Ok((missing > Blocks(0)).then_some(missing));
            }
            if !self.search_earlier().await? {
                break;
            }
        }
        let record = self.record().await?;
        Err(SessionError::CommitmentNotFound(record.moving_funds_target_wallets_commitment_hash))
    }

    /// Takes the step.
    pub(super) async fn check_margin(&mut self, case: &Case) -> Result<(), Obstacle> {
        let Subject::MovingFunds { .. } = case.subject else { return Ok(()) };
        let (from, _) = self.earliest_move().await?;
        let now = self.block.timestamp;
        if now < from {
            return Err(Objection::MovingFundsTooEarly { from, now }.into());
        }
        Ok(())
    }
}
