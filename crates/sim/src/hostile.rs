//! What hostile members say in a window.

use std::sync::Arc;

use coxswain_protocol::{
    Assignment, Seat, SigningGroup,
    wire::{CoordinationMessage, Proposed},
};
use coxswain_rules::{
    Action, Amount, HeartbeatProposal, KeyHash, MovingFundsProposal, Proposal, units::BlockNumber,
};

use crate::{
    advisor::{Flaw, redemption},
    dice::Dice,
    member::Role,
};

/// Something said at a tick after the window's start.
pub(crate) struct Line {
    pub(crate) after: u64,
    pub(crate) sequence: u64,
    pub(crate) payload: Vec<u8>,
}

/// A message whose proposal is these bytes.
fn with_proposal(message: &CoordinationMessage, proposal: &[u8]) -> Vec<u8> {
    let no_op = CoordinationMessage { proposed: Proposed::NoOp, ..message.clone() };
    let mut payload = no_op.encode().expect("a no-op keeps the caps");
    // An empty proposal: its tag, and a length of 0.
    payload.pop();
    payload.push(u8::try_from(proposal.len()).expect("a short one"));
    payload.extend(proposal);
    payload
}

/// A hostile member's messages in a window of `ticks` ticks. Messages are allowed in the first `active` of them.
pub(crate) fn script(
    role: Role,
    me: Seat,
    assignment: &Assignment,
    group: &SigningGroup,
    (active, ticks): (u64, u64),
    dice: &mut Dice,
) -> Vec<Line> {
    let leads = group.holder(me) == Some(assignment.leader);
    let seat = if leads { assignment.leader_seat } else { me };
    let message = |seat, proposed| CoordinationMessage {
        seat,
        coordination_block: assignment.window.block(),
        wallet: assignment.wallet,
        proposed,
    };
    let act = |nonce, flaw| Proposed::Action(redemption(nonce, flaw));
    let mut lines = Vec::new();
    let mut say = |after, sequence, payload| lines.push(Line { after, sequence, payload });
    let encoded = |message: CoordinationMessage| message.encode().expect("what is said keeps the caps");
    match role {
        Role::Equivocator if leads => {
            // Both again and again, under two sequence numbers or one; or the second when the window is all but over.
            let second = dice.between(1, 2);
            let at_the_edge = dice.percent(30);
            for (sequence, nonce) in [(1, 1), (second, 2)] {
                for _ in 0..6 {
                    let late = at_the_edge && nonce == 2;
                    let after = if late { dice.between(active, ticks - 1) } else { dice.below(active) };
                    say(after, sequence, encoded(message(seat, act(nonce, Flaw::None))));
                }
            }
        }
        Role::Impersonator if !leads => {
            for sequence in 1..=dice.between(1, 3) {
                let seat = if dice.percent(20) { assignment.leader_seat } else { seat };
                say(dice.below(active), sequence, encoded(message(seat, act(3, Flaw::None))));
            }
        }
        Role::Flooder => {
            for sequence in 1..=dice.between(40, 120) {
                let mut said = message(seat, Proposed::NoOp);
                match dice.below(8) {
                    0 => said.coordination_block = BlockNumber(dice.below(1_000_000)),
                    1 => said.wallet = KeyHash(dice.bytes()),
                    2 => said.seat = Seat::try_from(dice.between(1, 255)).expect("from 1 to 255"),
                    3 => {
                        let (targets, fee) = (vec![KeyHash([1; 20]); 255], Amount::MAX);
                        let moving = Proposal::MovingFunds(MovingFundsProposal { targets, fee });
                        said.proposed = Proposed::Action(Arc::new(moving));
                    }
                    _ => said.proposed = act(100 + sequence, Flaw::None),
                }
                // As a leader it would be equivocating: it then floods without leading.
                if !leads || said.coordination_block != assignment.window.block() {
                    say(dice.below(active), sequence, encoded(said));
                }
            }
        }
        Role::Blunderer if leads => {
            let kind = dice.below(9);
            let after = dice.below(active / 2);
            let flawed = [Flaw::Always, Flaw::HighFee, Flaw::GrossFee];
            let heartbeat = Proposal::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] });
            match kind {
                0..=1 if !assignment.checklist.contains(Action::Heartbeat) => {
                    say(after, 1, encoded(message(seat, Proposed::Action(Arc::new(heartbeat)))));
                }
                2..=3 => {
                    // Reserved, or not; with a payload of one byte.
                    let number = dice.pick(&[6, 9, 10, 77]);
                    say(after, 1, with_proposal(&message(seat, Proposed::NoOp), &[8, number, 18, 1, 1]));
                }
                4..=5 => {
                    // A redemption that ends within a field.
                    let malformed = [8, 3, 18, 2, 0xff, 0xff];
                    say(after, 1, with_proposal(&message(seat, Proposed::NoOp), &malformed));
                }
                _ => say(after, 1, encoded(message(seat, act(4, dice.pick(&flawed))))),
            }
        }
        _ => {}
    }
    lines
}
