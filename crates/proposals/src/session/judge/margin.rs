//! Step 7: a retiring wallet's funds stay for a while, so that redemptions and sweeps under way come to their end.

use coxswain_bitcoin::Backend;
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{Case, Objection, Snapshot, Subject};

use super::Obstacle;
use crate::{Session, SessionError, moving_funds};

impl<B: Backend> Session<'_, B> {
    /// The time that must have come before the wallet's funds are moved, with what was read to tell.
    pub(crate) async fn earliest_move(&mut self) -> Result<(u64, Snapshot), SessionError> {
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
