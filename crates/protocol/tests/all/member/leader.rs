//! The leader's routine.

use std::sync::Arc;

use coxswain_protocol::{
    Agreement, Command, FaultKind, Generation, NoResult, NotGenerated, NotSent, Note, Parameters,
    wire::{CoordinationMessage, Envelope, MAX_ITEMS, MESSAGE_TYPE, Proposed},
};
use coxswain_rules::{Action, Amount, Proposal, RedemptionProposal, RuleId, ScriptBuf, units::BlockNumber};

use crate::member::fixture::{
    ACTIVE_END, C, Driven, END, Wallet, act, action, contract, deposit_sweep, hashes, redemption, rejected,
    undecided, valid,
};

/// A leader whose generator has a redemption, before the window.
fn start(wallet: &Wallet) -> Driven {
    let mut leader = Driven::leader(wallet);
    leader.generations.insert(Action::Redemption, Generation::Proposal(redemption(5)));
    leader
}

fn envelope(wallet: &Wallet, proposed: Proposed) -> Arc<[u8]> {
    let payload = wallet.message(wallet.assignment.leader_seat, proposed).encode().unwrap();
    let sender = wallet.leader().compressed();
    Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence: 41 }.encode().unwrap().into()
}

/// The blocks up to this one at which something is broadcast, counted from the window's first.
fn sent(leader: &mut Driven, until: u64) -> Vec<u64> {
    let mut sent = Vec::new();
    for block in leader.member.now().next().0..=until {
        leader.wanted();
        leader.block(block);
        sent.extend(std::iter::repeat_n(block - C, leader.broadcasts()));
    }
    sent
}

/// The names of what is wanted.
fn names(commands: &[Command]) -> Vec<&'static str> {
    let name = |command: &Command| match command {
        Command::ReadSafeHash { .. } => "read",
        Command::Generate { .. } => "generate",
        Command::Judge { .. } => "judge",
        Command::Journal { .. } => "journal",
        Command::Broadcast(_) => "broadcast",
        Command::Finish(_) => "finish",
    };
    commands.iter().map(name).collect()
}

#[test]
fn a_proposal_is_generated_judged_confirmed_recorded_and_sent_in_this_order() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.block(C);
    assert_eq!(names(&leader.log), ["read", "generate", "judge", "read", "journal", "broadcast"]);
    assert_eq!(leader.log[5], Command::Broadcast(envelope(&wallet, act(redemption(5)))));
}

#[test]
fn a_message_is_repeated_on_schedule_and_becomes_the_result() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    assert_eq!(sent(&mut leader, ACTIVE_END), [0, 1, 3, 6, 11, 20, 37, 70]);
    let result = leader.end();
    assert_eq!((action(&result), result.faults.len()), (&*redemption(5), 0));
    let Agreement::Action(validated, schedule) = &result.agreement else { panic!() };
    assert_eq!((validated.at().block, schedule.start), (BlockNumber(C), BlockNumber(END)));
}

#[test]
fn repetitions_that_fall_due_in_skipped_blocks_are_made_up_for_by_one() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.block(C + 15);
    let at = |leader: &mut Driven, block| {
        leader.wanted();
        leader.block(block);
        leader.broadcasts()
    };
    assert_eq!(at(&mut leader, C + 15 + 19), 1);
    assert_eq!(at(&mut leader, C + 15 + 19), 0, "repeated block");
    assert_eq!(at(&mut leader, C + 15 + 10), 0, "older block");
    assert_eq!(at(&mut leader, C + 15 + 20), 1);
}

#[test]
fn a_no_op_is_sent_when_nothing_is_possible() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.generations.insert(Action::Redemption, Generation::NotPossible);
    leader.block(C);
    assert_eq!(leader.log.last(), Some(&Command::Broadcast(envelope(&wallet, Proposed::NoOp))));
    assert_eq!(leader.end().agreement, Agreement::NoOp);
}

#[test]
fn inc_6_an_action_that_fails_is_recorded_and_the_next_one_is_tried() {
    let mut wallet = Wallet::new();
    let parameters = Parameters { sweeps_every_window_from: Some(BlockNumber(1)), ..*wallet.network };
    wallet.network = parameters.try_into().unwrap();
    let mut leader = Driven::leader(&wallet);
    leader.generations.insert(Action::Redemption, Generation::Failed("no events".into()));
    leader.generations.insert(Action::DepositSweep, Generation::Proposal(deposit_sweep()));
    leader.block(C);
    assert_eq!(leader.log.last(), Some(&Command::Broadcast(envelope(&wallet, act(deposit_sweep())))));
    let (action, why) = (Action::Redemption, NotGenerated::Failed("no events".into()));
    assert_eq!(leader.end().notes, [Note::NotGenerated { action, why }]);
}

/// What is sent, and noted, if the generator and the judge say this.
fn comes_of(
    generation: Generation,
    verdict: coxswain_protocol::ContentVerdict,
) -> (usize, Agreement, Vec<Note>) {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.generations.insert(Action::Redemption, generation);
    leader.verdict = Some(verdict);
    leader.block(C);
    let (sent, result) = (leader.broadcasts(), leader.end());
    (sent, result.agreement.clone(), result.notes.clone())
}

#[test]
fn if_nothing_is_decided_the_list_is_tried_once_more_and_then_nothing_is_sent() {
    let note = |why| Note::NotGenerated { action: Action::Redemption, why };
    let nothing = Agreement::None(NoResult::NotSent(NotSent::NothingDecided));
    let failed = note(NotGenerated::Failed("down".into()));
    let generation = Generation::Failed("down".into());
    assert_eq!(comes_of(generation, valid()), (0, nothing.clone(), vec![failed.clone(), failed]));
    let doubted = note(NotGenerated::Undecided("endpoint down".into()));
    let generation = || Generation::Proposal(redemption(5));
    assert_eq!(comes_of(generation(), undecided()), (0, nothing.clone(), vec![doubted.clone(), doubted]));
    let other = note(NotGenerated::OtherAction(Action::DepositSweep));
    let generated = Generation::Proposal(deposit_sweep());
    assert_eq!(comes_of(generated, valid()), (0, nothing.clone(), vec![other.clone(), other]));
    // A rejection is a decision.
    let objection = contract(RuleId::Rd4);
    let noted = vec![note(NotGenerated::Rejected(objection.clone()))];
    assert_eq!(comes_of(generation(), rejected(objection)), (1, Agreement::NoOp, noted));
    // What nobody would read isn't sent.
    let scripts = vec![ScriptBuf::from_bytes(vec![1; 10_000]); MAX_ITEMS];
    let huge = Arc::new(Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::MAX }));
    let (sent, agreement, notes) = comes_of(Generation::Proposal(huge), valid());
    assert_eq!((sent, agreement, notes.len()), (0, nothing, 2));
}

#[test]
fn inc_17_what_is_ready_too_late_is_not_sent_and_the_leader_knows_that_it_was_idle() {
    let wallet = Wallet::new();
    let ready_at = |block| {
        let mut leader = start(&wallet);
        leader.verdict = None;
        leader.until(block - 1);
        let Some(Command::Judge { question, .. }) =
            leader.wanted().into_iter().find(|it| matches!(it, Command::Judge { .. }))
        else {
            panic!("nothing to judge")
        };
        leader.block(block);
        let verdict = valid();
        leader
            .take(coxswain_protocol::Event::Judged { question, verdict, block: BlockNumber(block) })
            .unwrap();
        (leader.broadcasts(), leader.end())
    };
    let (sent, result) = ready_at(C + 69);
    assert_eq!((sent, action(&result)), (1, &*redemption(5)), "last sent");
    let (sent, result) = ready_at(C + 70);
    assert_eq!((sent, &result.agreement), (0, &Agreement::None(NoResult::NotSent(NotSent::TooLate))));
    let idleness = FaultKind::LeaderIdleness { listened_from: BlockNumber(C) };
    assert_eq!(result.faults, [wallet.fault(wallet.leader(), idleness, None)]);
}

#[test]
fn inc_16_the_seed_is_read_again_before_anything_is_sent() {
    let wallet = Wallet::new();
    let leader = wallet.leader();
    let other = wallet.byte_where(|key| key != leader);
    let mut leader = start(&wallet);
    leader.verdict = None;
    leader.block(C);
    let Some(Command::Judge { question, .. }) = leader.wanted().pop() else { panic!() };
    leader.hashes = Some(hashes(other));
    leader
        .take(coxswain_protocol::Event::Judged { question, verdict: valid(), block: BlockNumber(C) })
        .unwrap();
    assert_eq!(names(&leader.wanted()), ["read"], "somebody else leads");
    // While the hash can't be read, nothing is sent.
    let mut leader = start(&wallet);
    leader.verdict = None;
    leader.block(C);
    let Some(Command::Judge { question, .. }) = leader.wanted().pop() else { panic!() };
    leader.hashes = None;
    leader
        .take(coxswain_protocol::Event::Judged { question, verdict: valid(), block: BlockNumber(C) })
        .unwrap();
    leader.until(C + 2);
    assert_eq!(names(&leader.wanted()), ["read", "read", "read"]);
    leader.hashes = Some(hashes(1));
    leader.block(C + 3);
    assert_eq!(names(&leader.wanted()), ["read", "journal", "broadcast"]);
}

#[test]
fn inc_16_who_has_sent_sends_nothing_else_whatever_the_hash() {
    let wallet = Wallet::new();
    let key = wallet.leader();
    let (same, other) = (wallet.byte_where(|it| it == key), wallet.byte_where(|it| it != key));
    let mut leader = start(&wallet);
    leader.block(C);
    assert_eq!(leader.broadcasts(), 1);
    let mut change_to = |byte, block| {
        leader.until(block - 1);
        leader.wanted();
        leader.hashes = Some(hashes(byte));
        // Somebody to suspect, so that the hash is read again.
        let liar = wallet.other(usize::try_from(block % 3).unwrap());
        let _ = leader.hear(wallet.raw(liar, block, &[8, 10 + byte / 2]));
        let at_once = leader.broadcasts();
        (at_once, sent(&mut leader, block + 10), leader.entries.len())
    };
    assert_eq!(change_to(other, C + 13), (0, vec![], 1), "the 20th is not repeated: we don't lead");
    assert_eq!(change_to(same, C + 30), (1, vec![37], 1), "we do again, and make up for it");
}

#[test]
fn a_member_that_observes_sends_nothing() {
    let wallet = Wallet::new();
    let mut setup = crate::member::fixture::setup(&wallet, wallet.leader());
    setup.observes = true;
    let mut leader = Driven::with(coxswain_protocol::Member::new(setup));
    leader.generations.insert(Action::Redemption, Generation::Proposal(redemption(5)));
    leader.until(C);
    let result = leader.end();
    assert_eq!(result.agreement, Agreement::None(NoResult::NotSent(NotSent::Observing)));
    assert!(!names(&leader.log).contains(&"generate"));
}

#[test]
fn a_leader_records_impersonation_too() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.block(C);
    let liar = wallet.other(1);
    assert!(leader.hear(wallet.says(liar, 7, act(redemption(9)))).is_err());
    let kind = FaultKind::LeaderImpersonation { seat: wallet.seat_of(liar) };
    assert_eq!(leader.end().faults, [wallet.fault(liar, kind, Some(7))]);
}

#[test]
fn what_is_broadcast_is_read_back_by_followers() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.block(C);
    let Some(Command::Broadcast(bytes)) = leader.wanted().pop() else { panic!() };
    let read = Envelope::decode(&bytes).unwrap();
    assert_eq!((read.sender, read.sequence), (wallet.leader().compressed(), 41));
    let message = CoordinationMessage::decode(read.payload).unwrap();
    assert_eq!(message, wallet.message(wallet.assignment.leader_seat, act(redemption(5))));
}
