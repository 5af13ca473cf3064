//! Windows run to their end, and what came of what they agreed on, as the nodes' journals tell it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use coxswain_node::actions::{ActionRecord, Milestone};
use coxswain_protocol::{Assignment, Window, WindowResult};
use coxswain_rules::KeyHash;
use tokio::time::sleep;

use super::Fleet;

/// How long apart the journals are looked at.
const LOOK: Duration = Duration::from_millis(50);

impl Fleet {
    /// Runs the next window whose assignment is as wanted, to its end. Gives it, and all living nodes' results.
    pub(crate) async fn run_next(
        &mut self,
        wallet: KeyHash,
        wanted: impl Fn(&Assignment) -> bool,
    ) -> (Window, BTreeMap<u8, Arc<WindowResult>>) {
        let window = self.until_next(wallet, wanted).await;
        self.mine(1).await;
        self.has_sent(wallet, window).await;
        // A commitment is mined at once.
        self.catch_up().await;
        self.mine_to(window.end()).await;
        (window, self.results(wallet, window).await)
    }

    /// The action of a window, at each living node that knows it.
    pub(crate) fn actions(&self, wallet: KeyHash, index: u64) -> Vec<ActionRecord> {
        self.nodes.values().filter_map(|node| node.action(wallet, index)).collect()
    }

    /// Lets blocks come until the action has come to this at every node that lives: so many at most, and each once the nodes have had
    /// so long for the one before.
    pub(crate) async fn reach(
        &mut self,
        wallet: KeyHash,
        index: u64,
        (blocks, each): (u32, Duration),
        wanted: impl Fn(&Milestone) -> bool,
    ) {
        let all = |fleet: &Self| {
            let records = fleet.actions(wallet, index);
            let has = |record: &ActionRecord| record.reached.iter().any(|reached| wanted(&reached.milestone));
            records.len() == fleet.nodes.len() && records.iter().all(has)
        };
        for _ in 0..blocks {
            for _ in 0..each.as_millis() / LOOK.as_millis() {
                if all(self) {
                    return;
                }
                sleep(LOOK).await;
            }
            self.mine(1).await;
        }
        panic!("window {index}: {:#?} {:#?}", self.actions(wallet, index), self.lines());
    }
}
