//! How many actions were begun, and how they ended, since the start: what the metrics show.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use coxswain_rules::Action;
use coxswain_service::status::Page;

use super::{
    milestone::{End, Milestone, Reached},
    recorded::ActionRecord,
};

/// How long a block takes, in seconds: an action's time is told in blocks.
const SLOT: f64 = 12.0;

/// Actions, counted.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    by_action: BTreeMap<Action, Count>,
    refused: u64,
    heartbeats: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    begun: u64,
    succeeded: u64,
    failed: u64,
    /// How many blocks the last one took that succeeded.
    blocks: u64,
}

/// The names of an action's numbers: all, those that succeeded and failed, and how long the last one took.
const fn names(action: Action) -> [&'static str; 4] {
    match action {
        Action::Heartbeat => [
            "performance_wallet_action_heartbeat_total",
            "performance_wallet_action_heartbeat_success_total",
            "performance_wallet_action_heartbeat_failed_total",
            "performance_wallet_action_heartbeat_duration_seconds",
        ],
        Action::DepositSweep => [
            "performance_wallet_action_deposit_sweep_total",
            "performance_wallet_action_deposit_sweep_success_total",
            "performance_wallet_action_deposit_sweep_failed_total",
            "performance_wallet_action_deposit_sweep_duration_seconds",
        ],
        Action::Redemption => [
            "performance_wallet_action_redemption_total",
            "performance_wallet_action_redemption_success_total",
            "performance_wallet_action_redemption_failed_total",
            "performance_wallet_action_redemption_duration_seconds",
        ],
        Action::MovingFunds => [
            "performance_wallet_action_moving_funds_total",
            "performance_wallet_action_moving_funds_success_total",
            "performance_wallet_action_moving_funds_failed_total",
            "performance_wallet_action_moving_funds_duration_seconds",
        ],
        Action::MovedFundsSweep => [
            "performance_wallet_action_moved_funds_sweep_total",
            "performance_wallet_action_moved_funds_sweep_success_total",
            "performance_wallet_action_moved_funds_sweep_failed_total",
            "performance_wallet_action_moved_funds_sweep_duration_seconds",
        ],
    }
}

const ACTIONS: [Action; 5] = [
    Action::Heartbeat,
    Action::DepositSweep,
    Action::Redemption,
    Action::MovingFunds,
    Action::MovedFundsSweep,
];

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what an action has come to, once that is recorded.
    pub(super) fn count(&self, record: &ActionRecord, reached: Option<&Reached>) {
        let Some(state) = reached else { return };
        let counts = &mut *self.counts();
        let count = counts.by_action.entry(record.agreed.proposal.action()).or_default();
        match &state.milestone {
            Milestone::Over(End::Busy { .. }) => counts.refused += 1,
            Milestone::Over(End::NoSigner) => {}
            // It is never begun.
            Milestone::Agreed(_) if matches!(record.end(), Some(End::Busy { .. } | End::NoSigner)) => {}
            Milestone::Agreed(_) => count.begun += 1,
            Milestone::Over(End::Proven | End::Alive(_)) => {
                count.succeeded += 1;
                let first = record.reached.first().map_or(state.at, |first| first.at);
                count.blocks = state.at.saturating_since(first).0;
                if let Milestone::Over(End::Alive(alive)) = &state.milestone
                    && alive.low_in_a_row > 0
                {
                    counts.heartbeats += 1;
                }
            }
            Milestone::Over(
                End::Rejected(_) | End::Skipped(_) | End::Failed(_) | End::Expired(_) | End::Replaced(_),
            ) => count.failed += 1,
            Milestone::Waiting
            | Milestone::Assembled(_)
            | Milestone::Signed(_)
            | Milestone::Broadcast { .. }
            | Milestone::InMempool { .. }
            | Milestone::Stuck(_)
            | Milestone::Confirmed { .. } => {}
        }
    }

    /// Shows all of it, under the names that operators' dashboards use.
    pub(crate) fn show(&self, page: &mut Page) {
        let counts = self.counts();
        let (mut succeeded, mut failed, mut longest) = (0, 0, 0.0);
        for action in ACTIONS {
            let count = counts.by_action.get(&action).copied().unwrap_or_default();
            let [all, well, ill, took] = names(action);
            page.counter(all, "Actions of this kind that were begun.", count.begun);
            page.counter(well, "Actions of this kind that were proven, or signed.", count.succeeded);
            page.counter(ill, "Actions of this kind that came to nothing.", count.failed);
            #[allow(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
            let seconds = count.blocks as f64 * SLOT;
            page.gauge(took, "How long the last one took, by blocks.", seconds);
            longest = f64::max(longest, seconds);
            succeeded += count.succeeded;
            failed += count.failed;
        }
        page.counter("performance_wallet_action_success_total", "Actions proven, or signed.", succeeded);
        page.counter("performance_wallet_action_failed_total", "Actions that came to nothing.", failed);
        page.gauge(
            "performance_wallet_action_duration_seconds",
            "The longest of each kind's last one, by blocks.",
            longest,
        );
        page.counter(
            "performance_wallet_dispatcher_rejected_total",
            "Actions refused, since the wallet was busy.",
            counts.refused,
        );
        page.counter(
            "performance_wallet_heartbeat_failures_total",
            "Heartbeats for which too few seats were ready.",
            counts.heartbeats,
        );
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coxswain_protocol::{Schedule, Window, WindowParameters};
    use coxswain_rules::{HeartbeatProposal, KeyHash, Proposal, units::BlockNumber};
    use coxswain_signing::ActionId;

    use super::*;
    use crate::actions::{Agreed, Alive, Reached};

    /// Counts a heartbeat that was agreed on at block 1 and ended at block 11.
    fn count(tally: &Tally, end: End) {
        let window = Window::numbered(&WindowParameters::LOCAL, 1).unwrap();
        let agreed = Agreed {
            window,
            action_id: ActionId(B256::ZERO),
            proposal: Proposal::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] }),
            schedule: Schedule::new(&window, &WindowParameters::LOCAL.actions, Action::Heartbeat),
        };
        let mut record = ActionRecord::new(KeyHash([7; 20]), agreed, BlockNumber(1));
        record.reached.push(Reached { at: BlockNumber(11), milestone: Milestone::Over(end) });
        for reached in &record.reached {
            tally.count(&record, Some(reached));
        }
    }

    #[test]
    fn each_action_is_counted_once_by_how_it_ended() {
        let tally = Tally::default();
        let alive = |low_in_a_row| Alive { active: 3, of: 5, silent: Vec::new(), low_in_a_row };
        count(&tally, End::Alive(alive(0)));
        count(&tally, End::Alive(alive(1)));
        count(&tally, End::Rejected("contract: HB-2".to_owned()));
        count(&tally, End::Busy { with: 0 });
        count(&tally, End::NoSigner);
        let mut page = Page::default();
        tally.show(&mut page);
        let shown = page.to_string();
        for line in [
            "performance_wallet_action_heartbeat_total 3",
            "performance_wallet_action_heartbeat_success_total 2",
            "performance_wallet_action_heartbeat_failed_total 1",
            "performance_wallet_action_heartbeat_duration_seconds 120",
            "performance_wallet_action_redemption_total 0",
            "performance_wallet_action_success_total 2",
            "performance_wallet_action_failed_total 1",
            "performance_wallet_dispatcher_rejected_total 1",
            "performance_wallet_heartbeat_failures_total 1",
        ] {
            assert!(shown.lines().any(|other| other == line), "{line}: {shown}");
        }
    }
}
