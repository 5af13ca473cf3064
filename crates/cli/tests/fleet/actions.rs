//! Windows run to their end, and what came of what they agreed on, as the nodes' journals tell it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use coxswain_node::actions::{ActionRecord, Assembled, Milestone};
use coxswain_protocol::{Assignment, Window, WindowResult};
use coxswain_rules::KeyHash;
use tokio::time::Instant;

use super::{BLOCK, Fleet};

/// How long an action may take to come to something, on a busy machine: a step waits for Bitcoin's servers.
const STEPS: Duration = Duration::from_secs(300);

impl Fleet {
    /// Runs the next window whose assignment is as wanted, to its end. Gives it, and all living nodes' results.
    pub(crate) async fn run_next(
        &mut self,
        wallet: KeyHash,
        wanted: impl Fn(&Assignment) -> bool,
    ) -> (Window, BTreeMap<u8, Arc<WindowResult>>) {
        let window = self.until_next(wallet, wanted).await;
        self.mine(1).await;
        self.has_spoken(wallet, window).await;
        // A commitment is mined at once.
        self.catch_up().await;
        self.mine_to(window.end()).await;
        (window, self.results(wallet, window).await)
    }

    /// The action of a window, at each living node that knows it.
    pub(crate) fn actions(&self, wallet: KeyHash, index: u64) -> Vec<ActionRecord> {
        self.nodes.values().filter_map(|node| node.action(wallet, index)).collect()
    }

    /// How long a block lasts while the action is where it is. A round of signing with shares has one block, in which all processes share
    /// this machine.
    pub(crate) fn pace(&self, wallet: KeyHash, index: u64) -> Duration {
        if self.plan.threshold.is_none() {
            return BLOCK;
        }
        let records = self.actions(wallet, index);
        let inputs = |record: &ActionRecord| match &record.state().milestone {
            Milestone::Assembled(Assembled::Transaction { inputs, .. }) => u32::try_from(inputs.len()).ok(),
            Milestone::Assembled(Assembled::Heartbeat) => Some(1),
            _ => None,
        };
        match records.iter().filter_map(inputs).max() {
            Some(inputs) => Duration::from_secs(3) + Duration::from_millis(300) * inputs,
            None => BLOCK,
        }
    }

    /// Lets blocks come until the action has come to this at every node that lives.
    pub(crate) async fn reach(&mut self, wallet: KeyHash, index: u64, wanted: impl Fn(&Milestone) -> bool) {
        let all = |fleet: &Self| {
            let records = fleet.actions(wallet, index);
            let has = |record: &ActionRecord| record.reached.iter().any(|reached| wanted(&reached.milestone));
            records.len() == fleet.nodes.len() && records.iter().all(has)
        };
        let began = Instant::now();
        while began.elapsed() < STEPS {
            if self.within(self.pace(wallet, index), all).await {
                return;
            }
            self.mine(1).await;
        }
        panic!("window {index}: {:#?} {:#?}", self.actions(wallet, index), self.lines());
    }
}
