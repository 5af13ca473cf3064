//! The leader's routine.

use std::sync::Arc;

use alloy_primitives::B256;
use coxswain_protocol::{
    Command, FaultKind, Generation, Leader, NotGenerated, Outcome, Record, ResumeError, Schedule, Verdict,
    Window, WindowResult,
    wire::{CoordinationMessage, Envelope, MAX_ITEMS, MESSAGE_TYPE, Proposed},
};
use coxswain_rules::{Action, Amount, Proposal, RedemptionProposal, ScriptBuf};

use crate::fixture::{ACTIVE_END, C, END, Wallet, act, deposit_sweep, objection, redemption};

fn start(wallet: &Wallet) -> Leader {
    let (leader, commands) = Leader::start(wallet.assignment, wallet.leader(), 41, C);
    assert_eq!(commands, [Command::Generate(Action::Redemption)]);
    leader
}

/// A leader that waits for the seed to be confirmed.
fn ready(wallet: &Wallet) -> Leader {
    let mut leader = start(wallet);
    let proposal = redemption(5);
    let validate = Command::Validate(Arc::new(proposal.clone()));
    assert_eq!(leader.on_generation(Generation::Proposal(proposal)), [validate]);
    assert_eq!(leader.on_verdict(Verdict::Valid, C + 1), [Command::ConfirmSeed]);
    leader
}

fn envelope(wallet: &Wallet, proposed: Proposed) -> Arc<[u8]> {
    let payload = wallet.message(wallet.assignment.leader_seat, proposed).encode().unwrap();
    let sender = wallet.leader().compressed();
    Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence: 41 }.encode().unwrap().into()
}

fn not_generated(why: NotGenerated) -> Command {
    Command::Record(Record::NotGenerated { action: Action::Redemption, why })
}

fn finish(commands: Vec<Command>) -> WindowResult {
    match <[Command; 1]>::try_from(commands) {
        Ok([Command::Finish(result)]) => result,
        other => panic!("{other:?}"),
    }
}

fn idle(wallet: &Wallet, commands: &[Command]) {
    let kind = FaultKind::LeaderIdleness { listened_from: C };
    let fault = wallet.fault(wallet.leader(), kind, None);
    let [Command::Record(Record::Fault(recorded)), Command::Finish(result)] = commands else {
        panic!("{commands:?}")
    };
    assert_eq!(*recorded, fault);
    assert_eq!((&result.outcome, &result.faults), (&Outcome::None, &vec![fault]));
}

#[test]
fn a_valid_proposal_is_broadcast_retransmitted_on_schedule_and_scheduled() {
    let wallet = Wallet::new();
    let mut leader = ready(&wallet);
    let bytes = envelope(&wallet, act(redemption(5)));
    let broadcast = vec![Command::Broadcast(Arc::clone(&bytes))];
    assert_eq!(leader.on_safe_block_hash(wallet.assignment.safe_block_hash), broadcast);

    let mut sent = Vec::new();
    for block in C + 1..ACTIVE_END {
        let commands = leader.on_block(block);
        if !commands.is_empty() {
            assert_eq!(commands, broadcast);
            sent.push(block - C);
        }
    }
    assert_eq!(sent, [1, 3, 6, 11, 20, 37, 70]);
    let result = finish(leader.on_block(ACTIVE_END));
    assert_eq!((result.leader, result.faults.len()), (wallet.assignment.leader, 0));
    let Outcome::Action(validated, schedule) = result.outcome else { panic!("{result:?}") };
    assert_eq!((validated.proposal(), validated.block()), (&redemption(5), C + 1));
    assert_eq!(schedule, Schedule { start: END, signing_start: END, signing_end: 1300, expiry: 1600 });
    assert_eq!(leader.on_block(END), [], "the routine is over");
}

#[test]
fn retransmissions_that_fall_due_in_skipped_blocks_are_made_up_for_by_one() {
    let wallet = Wallet::new();
    let mut leader = ready(&wallet);
    leader.on_block(C + 15);
    leader.on_safe_block_hash(wallet.assignment.safe_block_hash);
    let broadcast = [Command::Broadcast(envelope(&wallet, act(redemption(5))))];
    assert_eq!(leader.on_block(C + 15 + 19), broadcast);
    assert_eq!(leader.on_block(C + 15 + 19), [], "repeated block");
    assert_eq!(leader.on_block(C + 15 + 10), [], "older block");
    assert_eq!(leader.on_block(C + 15 + 20), broadcast);
}

#[test]
fn a_no_op_is_sent_when_nothing_is_possible() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    assert_eq!(leader.on_generation(Generation::NotPossible), [Command::ConfirmSeed]);
    let broadcast = [Command::Broadcast(envelope(&wallet, Proposed::NoOp))];
    assert_eq!(leader.on_safe_block_hash(wallet.assignment.safe_block_hash), broadcast);
    assert_eq!(finish(leader.on_block(ACTIVE_END)).outcome, Outcome::NoOp);
}

#[test]
fn inc_6_an_action_that_fails_is_recorded_and_the_next_one_is_tried() {
    let mut wallet = Wallet::new();
    // Window 16 has the sweeps on its checklist.
    let network = coxswain_protocol::Network::default();
    wallet.assignment.window = Window::numbered(&network, 16).unwrap();
    let (window, seed) = (wallet.assignment.window, wallet.assignment.seed);
    wallet.assignment.checklist = coxswain_protocol::Checklist::new(&network, window, seed);
    let (mut leader, commands) = Leader::start(wallet.assignment, wallet.leader(), 1, window.block());
    assert_eq!(commands, [Command::Generate(Action::Redemption)]);
    assert_eq!(
        leader.on_generation(Generation::Failed("no events".into())),
        [not_generated(NotGenerated::Failed("no events".into())), Command::Generate(Action::DepositSweep)]
    );
    let validate = Command::Validate(Arc::new(deposit_sweep()));
    assert_eq!(leader.on_generation(Generation::Proposal(deposit_sweep())), [validate]);
    let why = NotGenerated::Rejected(objection());
    let recorded = Command::Record(Record::NotGenerated { action: Action::DepositSweep, why });
    assert_eq!(
        leader.on_verdict(Verdict::Rejected(objection()), window.block()),
        [recorded, Command::Generate(Action::MovedFundsSweep)]
    );
    assert_eq!(leader.on_generation(Generation::NotPossible), [Command::Generate(Action::MovingFunds)]);
    assert_eq!(leader.on_generation(Generation::NotPossible), [Command::ConfirmSeed]);
}

#[test]
fn generation_is_retried_once_when_nothing_could_be_decided_then_the_leader_stays_silent() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    let failed = |leader: &mut Leader| leader.on_generation(Generation::Failed("down".into()));
    let recorded = not_generated(NotGenerated::Failed("down".into()));
    assert_eq!(failed(&mut leader), [recorded.clone(), Command::Generate(Action::Redemption)]);
    assert_eq!(failed(&mut leader), [recorded]);
    assert_eq!(failed(&mut leader), [], "nothing was asked for");
    idle(&wallet, &leader.on_block(ACTIVE_END));
}

#[test]
fn an_undecided_proposal_is_not_sent_and_decides_nothing() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.on_generation(Generation::Proposal(redemption(5)));
    assert_eq!(
        leader.on_verdict(Verdict::Undecided("timeout".into()), C),
        [not_generated(NotGenerated::Undecided("timeout".into())), Command::Generate(Action::Redemption)]
    );
}

#[test]
fn a_proposal_of_another_action_or_too_large_to_be_read_is_not_sent() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    let commands = leader.on_generation(Generation::Proposal(deposit_sweep()));
    assert_eq!(commands[0], not_generated(NotGenerated::OtherAction(Action::DepositSweep)));
    let scripts = vec![ScriptBuf::new(); MAX_ITEMS + 1];
    let large = Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::ONE_SAT });
    leader.on_generation(Generation::Proposal(large));
    let commands = leader.on_verdict(Verdict::Valid, C);
    assert!(
        matches!(
            &commands[..],
            [Command::Record(Record::NotGenerated { why: NotGenerated::Unwritable(_), .. })]
        ),
        "{commands:?}"
    );
}

#[test]
fn inc_16_the_seed_is_read_again_before_anything_is_sent() {
    let wallet = Wallet::new();
    let mut leader = ready(&wallet);
    // No answer yet: asked again at each block, and nothing is sent.
    assert_eq!(leader.on_block(C + 1), [Command::ConfirmSeed]);
    assert_eq!(leader.on_block(C + 1), []);
    assert_eq!(leader.on_block(C + 2), [Command::ConfirmSeed]);
    let other = B256::repeat_byte(0xee);
    let reseed = Command::Reseed { safe_block_hash: other, held: vec![] };
    assert_eq!(leader.on_safe_block_hash(other), [reseed]);
    assert_eq!(leader.on_block(ACTIVE_END), [], "the routine is over");
}

#[test]
fn inc_17_a_leader_that_is_too_slow_sends_nothing_and_closes_as_idle() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    assert_eq!(leader.on_block(ACTIVE_END - 1), []);
    idle(&wallet, &leader.on_block(ACTIVE_END));
    assert_eq!(leader.on_generation(Generation::Proposal(redemption(5))), []);

    let mut leader = ready(&wallet);
    assert_eq!(leader.on_block(ACTIVE_END - 1), [Command::ConfirmSeed], "the last block to send in");
    idle(&wallet, &leader.on_block(ACTIVE_END));
    assert_eq!(leader.on_safe_block_hash(wallet.assignment.safe_block_hash), []);

    let mut leader = ready(&wallet);
    leader.on_block(ACTIVE_END - 1);
    let commands = leader.on_safe_block_hash(wallet.assignment.safe_block_hash);
    assert!(matches!(commands[..], [Command::Broadcast(_)]), "first accepted: {commands:?}");

    let (_, commands) = Leader::start(wallet.assignment, wallet.leader(), 1, ACTIVE_END);
    assert!(matches!(commands[..], [Command::Record(_), Command::Finish(_)]), "{commands:?}");
}

#[test]
fn inc_15_a_leader_that_restarts_sends_the_recorded_bytes_again() {
    let wallet = Wallet::new();
    let recorded = envelope(&wallet, act(redemption(5)));
    let resume = |block| {
        Leader::resume(wallet.assignment, wallet.leader(), Arc::clone(&recorded), C + 2, C + 1, block)
            .unwrap()
    };
    let (mut leader, commands) = resume(C + 10);
    assert_eq!(commands, [Command::ConfirmSeed]);
    let broadcast = vec![Command::Broadcast(Arc::clone(&recorded))];
    assert_eq!(leader.on_safe_block_hash(wallet.assignment.safe_block_hash), broadcast);
    let sent: Vec<_> = (C + 11..ACTIVE_END).filter(|block| leader.on_block(*block) == broadcast).collect();
    assert_eq!(sent, [C + 2 + 11, C + 2 + 20, C + 2 + 37, C + 2 + 70]);
    let result = finish(leader.on_block(ACTIVE_END));
    assert!(
        matches!(result.outcome, Outcome::Action(validated, _) if *validated.proposal() == redemption(5))
    );

    let (_, commands) = resume(ACTIVE_END);
    assert!(
        matches!(finish(commands).outcome, Outcome::Action(..)),
        "nothing is sent after the active phase"
    );
    let (mut leader, _) = resume(ACTIVE_END - 1);
    assert!(matches!(finish(leader.on_block(ACTIVE_END)).outcome, Outcome::Action(..)), "it was sent before");

    let other = Wallet::with_hash(B256::repeat_byte(2));
    assert_ne!(other.assignment.leader_seat, wallet.assignment.leader_seat);
    let resumed = Leader::resume(other.assignment, other.leader(), recorded, C + 2, C + 1, C + 10);
    assert_eq!(resumed.map(|_| ()), Err(ResumeError::OtherAssignment));
}

#[test]
fn what_is_broadcast_is_read_back_by_followers() {
    let wallet = Wallet::new();
    let mut leader = ready(&wallet);
    let commands = leader.on_safe_block_hash(wallet.assignment.safe_block_hash);
    let [Command::Broadcast(bytes)] = &commands[..] else { panic!("{commands:?}") };
    let read = Envelope::decode(bytes).unwrap();
    assert_eq!((read.sender, read.sequence), (wallet.leader().compressed(), 41));
    let message = CoordinationMessage::decode(read.payload).unwrap();
    assert_eq!(message, wallet.message(wallet.assignment.leader_seat, act(redemption(5))));
}
