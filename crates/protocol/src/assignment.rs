//! What a wallet's members must agree on before a word is said in a window.

use std::hash::{Hash, Hasher};

use alloy_primitives::{Address, B256};
use coxswain_rules::{Action, KeyHash, network::ActionTimes};

use crate::{Checklist, Schedule, Seat, Seed, SigningGroup, Window, WindowParameters};

/// Who leads a wallet in a window, and what may be proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window.
    pub window: Window,
    /// The hash, by the network's rule, that the rest follows from.
    pub safe_block_hash: B256,
    /// The seed of all draws.
    pub seed: Seed,
    /// The operator that leads.
    pub leader: Address,
    /// The seat that it speaks through.
    pub leader_seat: Seat,
    /// What it may propose.
    pub checklist: Checklist,
    /// When what is agreed on will run.
    pub actions: ActionTimes,
}

/// All of it follows from these, on a network and in a group.
impl Hash for Assignment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.wallet, self.window, self.safe_block_hash).hash(state);
    }
}

impl Assignment {
    /// Draws a wallet's leader and checklist.
    pub fn new(
        network: &WindowParameters,
        window: Window,
        wallet: KeyHash,
        group: &SigningGroup,
        safe_block_hash: B256,
    ) -> Self {
        let seed = Seed::new(wallet, safe_block_hash);
        let leader = *group.shuffled(seed).first().expect("a group has at least one operator");
        Self {
            wallet,
            window,
            safe_block_hash,
            seed,
            leader,
            leader_seat: group.first_seat(leader).expect("the leader is one of the group's operators"),
            checklist: Checklist::new(network, window, seed),
            actions: network.actions,
        }
    }

    /// When an action runs that this window agrees on.
    pub const fn schedule(&self, action: Action) -> Schedule {
        Schedule::new(&self.window, &self.actions, action)
    }
}
