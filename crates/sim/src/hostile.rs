//! What hostile members say in a window.

use coxswain_protocol::{
    Assignment, Seat, SigningGroup,
    wire::{CoordinationMessage, Proposed},
};
use coxswain_rules::{
    Action, Amount, HeartbeatProposal, KeyHash, MovingFundsProposal, Proposal, RedemptionProposal, ScriptBuf,
};

use crate::{dice::Dice, member::Role};

/// Something said at a tick after the window's start.
pub(crate) struct Line {
    pub(crate) after: u64,
    pub(crate) sequence: u64,
    pub(crate) message: CoordinationMessage,
}

/// A proposal that the world finds valid from this block on. See [`valid_from`].
pub(crate) fn redemption(nonce: u64, valid_from: u64) -> Proposal {
    let script = [nonce.to_be_bytes(), valid_from.to_be_bytes()].concat();
    let scripts = vec![ScriptBuf::from_bytes(script)];
    Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(nonce) })
}

/// From which block on a proposal is valid. Those of other kinds always are.
pub(crate) fn valid_from(proposal: &Proposal) -> u64 {
    let Proposal::Redemption(redemption) = proposal else { return 0 };
    let tail = redemption.scripts.first().and_then(|script| script.as_bytes().last_chunk());
    tail.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// A hostile member's lines in a window of `ticks` ticks.
pub(crate) fn script(
    role: Role,
    me: Seat,
    assignment: &Assignment,
    group: &SigningGroup,
    ticks: u64,
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
    let act = |nonce, valid_from| Proposed::Action(redemption(nonce, valid_from).into());
    let mut lines = Vec::new();
    match role {
        Role::Equivocator if leads => {
            // Both again and again, under two sequence numbers or one.
            let second = dice.between(1, 2);
            for (sequence, nonce) in [(1, 1), (second, 2)] {
                for _ in 0..6 {
                    lines.push(Line {
                        after: dice.below(ticks),
                        sequence,
                        message: message(seat, act(nonce, 0)),
                    });
                }
            }
        }
        Role::Impersonator if !leads => {
            for sequence in 1..=dice.between(1, 3) {
                let seat = if dice.percent(20) { assignment.leader_seat } else { seat };
                lines.push(Line { after: dice.below(ticks), sequence, message: message(seat, act(3, 0)) });
            }
        }
        Role::Flooder => {
            for sequence in 1..=dice.between(40, 120) {
                let mut said = message(seat, Proposed::NoOp);
                match dice.below(5) {
                    0 => said.coordination_block = dice.below(1_000_000),
                    1 => said.wallet = KeyHash(dice.bytes()),
                    2 => said.seat = Seat::try_from(dice.between(1, 255)).expect("from 1 to 255"),
                    3 => {
                        let (targets, fee) = (vec![KeyHash([1; 20]); 255], Amount::MAX);
                        said.proposed = Proposed::Action(
                            Proposal::MovingFunds(MovingFundsProposal { targets, fee }).into(),
                        );
                    }
                    _ => said.proposed = act(100 + sequence, 0),
                }
                // As a leader it would be equivocating: it then floods without leading.
                if !leads || said.coordination_block != assignment.window.block() {
                    lines.push(Line { after: dice.below(ticks), sequence, message: said });
                }
            }
        }
        Role::Blunderer if leads => {
            let message_of_heartbeat = vec![0xff; 16];
            let heartbeat = Proposal::Heartbeat(HeartbeatProposal { message: message_of_heartbeat });
            if !assignment.checklist.contains(Action::Heartbeat) && dice.percent(70) {
                let said = message(seat, Proposed::Action(heartbeat.into()));
                lines.push(Line { after: dice.below(ticks / 2), sequence: 1, message: said });
            }
            if dice.percent(50) {
                let said = message(seat, act(4, u64::MAX));
                lines.push(Line { after: ticks / 2, sequence: 2, message: said });
            }
        }
        _ => {}
    }
    lines
}
