//! Counts the redemptions that this node has proposed as a leader, under the names that operators' dashboards have.

use std::collections::BTreeMap;

use coxswain_protocol::{
    Sent,
    wire::{CoordinationMessage, Envelope},
};
use coxswain_rules::{Action, KeyHash};
use coxswain_service::status::{Counter, Metrics};

/// What is counted of a proposal that was sent: it was asked for, there was one, and it was said.
const SENT: [&str; 3] = [
    "performance_redemption_proposal_generation_total",
    "performance_redemption_proposal_generation_success_total",
    "performance_redemption_proposal_broadcast_total",
];
/// What the journal has none of: without a proposal, the next action of the checklist is tried.
const FAILED: [&str; 2] = [
    "performance_redemption_proposal_generation_failed_total",
    "performance_redemption_proposal_broadcast_failed_total",
];

/// The counts, and the window up to which each wallet's are in them.
pub(crate) struct Proposed {
    counters: [Counter; 3],
    up_to: BTreeMap<KeyHash, u64>,
}

impl Proposed {
    /// All numbers are there, as 0, from now on.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        for name in FAILED {
            metrics.counter(name, "Not counted by this program.");
        }
        let counters = SENT.map(|name| metrics.counter(name, "Redemptions that this node has proposed."));
        Self { counters, up_to: BTreeMap::new() }
    }

    /// Counts what was sent for a wallet since the last look. What the first look finds was sent before the start.
    pub(crate) fn count<'a>(&mut self, wallet: KeyHash, sent: impl IntoIterator<Item = &'a Sent>) {
        let before = self.up_to.get(&wallet).copied();
        let mut up_to = before.unwrap_or_default();
        for sent in sent {
            let index = sent.window.index();
            if before.is_some_and(|before| index > before) && action(sent) == Some(Action::Redemption) {
                self.counters.iter().for_each(Counter::increment);
            }
            up_to = up_to.max(index);
        }
        self.up_to.insert(wallet, up_to);
    }
}

fn action(sent: &Sent) -> Option<Action> {
    let envelope = Envelope::decode(&sent.envelope).ok()?;
    CoordinationMessage::decode(envelope.payload).ok()?.proposed.action()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bitcoin::{Amount, ScriptBuf};
    use coxswain_protocol::{
        Seat, Window, WindowParameters,
        wire::{MESSAGE_TYPE, Proposed as Said},
    };
    use coxswain_rules::{HeartbeatProposal, Proposal, RedemptionProposal};

    use super::*;

    const WALLET: KeyHash = KeyHash([7; 20]);

    fn sent(index: u64, proposal: Proposal) -> Sent {
        let window = Window::numbered(&WindowParameters::LOCAL, index).unwrap();
        let message = CoordinationMessage {
            seat: Seat::try_from(1).unwrap(),
            coordination_block: window.block(),
            wallet: WALLET,
            proposed: Said::Action(Arc::new(proposal)),
        };
        let payload = message.encode().unwrap();
        let envelope = Envelope { sender: [2; 33], payload: &payload, kind: MESSAGE_TYPE, sequence: 1 };
        let envelope = envelope.encode().unwrap().into();
        Sent { window, envelope, first_sent: window.block(), validity: None }
    }

    #[test]
    fn a_redemption_is_counted_once_and_what_was_sent_before_the_start_is_not() {
        let metrics = Metrics::default();
        let mut proposed = Proposed::new(&metrics);
        let script = ScriptBuf::from_bytes([&[0, 20][..], &[1; 20]].concat());
        let redemption = |index| {
            let proposal = RedemptionProposal { scripts: vec![script.clone()], fee: Amount::from_sat(1_000) };
            sent(index, Proposal::Redemption(proposal))
        };
        let heartbeat = sent(3, Proposal::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] }));
        proposed.count(WALLET, &[redemption(1)]);
        for _ in 0..2 {
            proposed.count(WALLET, &[redemption(1), redemption(2), heartbeat.clone()]);
        }
        let shown = metrics.render();
        for name in SENT {
            assert!(shown.contains(&format!("\n{name} 1\n")), "{shown}");
        }
        for name in FAILED {
            assert!(shown.contains(&format!("\n{name} 0\n")), "{shown}");
        }
    }
}
