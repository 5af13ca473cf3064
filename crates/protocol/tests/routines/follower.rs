//! The follower's routine.

use std::sync::Arc;

use alloy_primitives::B256;
use coxswain_protocol::{
    Command, FaultKind, Follower, Ignored, MAX_MESSAGES_PER_SENDER, MAX_RETAINED_PER_SENDER, Mistake,
    Objection, Outcome, Received, Record, Unreadable, Verdict, WindowResult,
    wire::{
        CoordinationMessage, DecodeError, Envelope, MAX_EVIDENCE_BYTES, MAX_ITEMS, MAX_MESSAGE_BYTES,
        MESSAGE_TYPE, Proposed,
    },
};
use coxswain_rules::{Action, Amount, FeeObjection, KeyHash, Proposal, RedemptionProposal, ScriptBuf};

use crate::fixture::{
    ACTIVE_END, C, END, Wallet, act, deposit_sweep, heartbeat, key, objection, redemption, seat, signed,
};

fn start(wallet: &Wallet) -> Follower {
    let (follower, commands) = start_at(wallet, C);
    assert_eq!(commands, []);
    follower
}

fn start_at(wallet: &Wallet, block: u64) -> (Follower, Vec<Command>) {
    Follower::start(wallet.assignment, Arc::clone(&wallet.group), wallet.other(0).address(), block)
}

/// A follower that has settled on a redemption, to be judged.
fn settled(wallet: &Wallet) -> Follower {
    let mut follower = start(wallet);
    let (heard, commands) = follower.on_message(wallet.proposal(1, act(redemption(5))));
    assert_eq!((heard, commands), (Ok(()), vec![validate()]));
    follower
}

fn validate() -> Command {
    Command::Validate(Arc::new(redemption(5)))
}

fn confirm(wallet: &Wallet, follower: &mut Follower) -> Vec<Command> {
    follower.on_safe_block_hash(wallet.assignment.safe_block_hash)
}

fn finished(commands: &[Command]) -> &WindowResult {
    match commands {
        [.., Command::Finish(result)] => result,
        _ => panic!("{commands:?}"),
    }
}

fn fault(wallet: &Wallet, kind: FaultKind, sequence: Option<u64>) -> Command {
    Command::Record(Record::Fault(wallet.fault(wallet.leader(), kind, sequence)))
}

fn rejected(block: u64) -> FaultKind {
    FaultKind::LeaderMistake(Mistake::Rejected { objection: objection(), block })
}

#[test]
fn a_valid_proposal_becomes_the_result_at_the_end_of_the_active_phase() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    assert_eq!(follower.on_verdict(Verdict::Valid, C + 1), []);
    assert_eq!(follower.on_block(ACTIVE_END - 1), []);
    let commands = follower.on_block(ACTIVE_END);
    let result = finished(&commands);
    assert_eq!((result.leader, commands.len()), (wallet.assignment.leader, 1));
    assert!(
        matches!(&result.outcome, Outcome::Action(v, s) if *v.proposal() == redemption(5) && s.start == END)
    );
    assert_eq!(follower.on_block(END), [], "the routine is over");
}

#[test]
fn a_no_op_needs_no_verdict() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    assert_eq!(follower.on_message(wallet.proposal(1, Proposed::NoOp)), (Ok(()), vec![]));
    assert_eq!(finished(&follower.on_block(ACTIVE_END)).outcome, Outcome::NoOp);
}

#[test]
fn the_seven_checks_come_in_order() {
    let wallet = Wallet::new();
    let (leader, me, liar) = (wallet.leader(), wallet.other(0), wallet.other(1));
    let heard = |author, message: &CoordinationMessage| {
        start(&wallet).on_message(wallet.receive(author, 1, message)).0
    };
    // Each message passes one check more than the one before.
    let envelope =
        Envelope { sender: liar.compressed(), payload: &[], kind: b"other", sequence: 1 }.encode().unwrap();
    let other_kind = Received::open(&liar, &wallet.group, &envelope, signed(liar, 1)).unwrap();
    assert_eq!(start(&wallet).on_message(other_kind).0, Err(Ignored::NotACoordinationMessage));
    let mut message = wallet.message(wallet.seat_of(me), act(heartbeat()));
    message.coordination_block = 1;
    message.wallet = KeyHash([8; 20]);
    assert_eq!(heard(liar, &message), Err(Ignored::OwnSeat(wallet.seat_of(me))));
    message.seat = wallet.seat_of(leader);
    let not_held = Ignored::SeatNotHeld { seat: message.seat, author: liar.address() };
    assert_eq!(heard(liar, &message), Err(not_held));
    message.seat = wallet.seat_of(liar);
    assert_eq!(heard(liar, &message), Err(Ignored::OtherWindow(1)));
    message.coordination_block = C;
    assert_eq!(heard(liar, &message), Err(Ignored::OtherWallet));
    message.wallet = wallet.assignment.wallet;
    assert_eq!(heard(liar, &message), Err(Ignored::NotTheLeader(message.seat)));
    message.seat = wallet.assignment.leader_seat;
    assert_eq!(heard(leader, &message), Err(Ignored::NotOnChecklist(Action::Heartbeat)));
    message.proposed = act(redemption(1));
    assert_eq!(heard(leader, &message), Ok(()));
    // A seat that the group doesn't have is held by nobody.
    message.seat = seat(6);
    let not_held = Ignored::SeatNotHeld { seat: seat(6), author: leader.address() };
    assert_eq!(heard(leader, &message), Err(not_held));
}

#[test]
fn what_is_not_written_by_an_operator_or_cannot_be_read_is_dropped_before() {
    let wallet = Wallet::new();
    let (leader, stranger) = (wallet.leader(), key(9));
    let message = wallet.message(wallet.assignment.leader_seat, Proposed::NoOp).encode().unwrap();
    let envelope = |sender: [u8; 33], payload: &[u8]| {
        Envelope { sender, payload, kind: MESSAGE_TYPE, sequence: 1 }.encode().unwrap()
    };
    let open = |author, bytes: &[u8], length| {
        Received::open(&author, &wallet.group, bytes, vec![0; length].into()).map(|_| ())
    };
    let good = envelope(leader.compressed(), &message);
    assert_eq!(open(leader, &good, MAX_EVIDENCE_BYTES), Ok(()));
    let too_long = Unreadable::TooLong { actual: MAX_EVIDENCE_BYTES + 1 };
    assert_eq!(open(leader, &good, MAX_EVIDENCE_BYTES + 1), Err(too_long));
    let theirs = envelope(stranger.compressed(), &message);
    assert_eq!(open(stranger, &theirs, 1), Err(Unreadable::NotAMember(stranger.address())));
    assert_eq!(open(leader, &theirs, 1), Err(Unreadable::OtherSender(leader.address())));
    let garbage = envelope(leader.compressed(), &[0xff]);
    assert!(matches!(open(leader, &garbage, 1), Err(Unreadable::Decode(DecodeError::Malformed { .. }))));
    assert!(matches!(open(leader, &[], 1), Err(Unreadable::Decode(DecodeError::Identity))));
}

#[test]
fn messages_count_from_the_windows_start_to_the_end_of_the_active_phase() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    follower.on_block(ACTIVE_END - 1);
    assert_eq!(follower.on_message(wallet.proposal(1, Proposed::NoOp)).0, Ok(()), "last accepted");
    let mut follower = start(&wallet);
    follower.on_block(ACTIVE_END);
    let heard = follower.on_message(wallet.proposal(1, Proposed::NoOp)).0;
    assert_eq!(heard, Err(Ignored::NotListening), "first refused");
}

#[test]
fn inc_15_a_follower_that_joins_late_settles_on_a_retransmission() {
    let wallet = Wallet::new();
    let (mut follower, commands) = start_at(&wallet, ACTIVE_END - 1);
    assert_eq!(commands, []);
    assert_eq!(follower.on_message(wallet.proposal(1, act(redemption(5)))).0, Ok(()));
    // One that comes after the active phase has heard nothing and blames nobody.
    let (_, commands) = start_at(&wallet, ACTIVE_END);
    let result = finished(&commands);
    assert_eq!((&result.outcome, result.faults.len(), commands.len()), (&Outcome::None, 0, 1));
}

#[test]
fn inc_16_a_wrong_seed_is_shown_as_such_and_not_as_impersonation() {
    let wallet = Wallet::new();
    let liar = wallet.other(1);
    let message = wallet.message(wallet.seat_of(liar), act(redemption(5)));
    let speaks = wallet.receive(liar, 1, &message);
    let mut follower = start(&wallet);
    let (heard, commands) = follower.on_message(speaks.clone());
    assert_eq!(heard, Err(Ignored::NotTheLeader(message.seat)));
    assert_eq!(commands, [Command::ConfirmSeed], "nobody is blamed before the seed is confirmed");
    let other = B256::repeat_byte(0xee);
    let reseed = Command::Reseed { safe_block_hash: other, held: vec![speaks.clone()] };
    assert_eq!(follower.on_safe_block_hash(other), [reseed]);
    assert_eq!(follower.on_block(ACTIVE_END), [], "the routine is over");

    // A message settled on by the wrong seed is handed over too.
    let mut follower = settled(&wallet);
    let held = vec![wallet.proposal(1, act(redemption(5)))];
    assert_eq!(follower.on_safe_block_hash(other), [Command::Reseed { safe_block_hash: other, held }]);

    // While the hash can't be read, it is asked for at each block; unread to the end, nobody is blamed.
    let mut follower = start(&wallet);
    assert!(follower.on_message(speaks).0.is_err());
    assert_eq!(follower.on_block(C + 1), [Command::ConfirmSeed]);
    assert_eq!(follower.on_block(ACTIVE_END), [Command::ConfirmSeed]);
    assert_eq!(follower.on_block(END), [Command::ConfirmSeed], "a last time");
    let commands = follower.on_block(END + 1);
    let kind = FaultKind::LeaderImpersonation { seat: message.seat };
    let unproven = Command::Record(Record::Unproven(wallet.fault(liar, kind, Some(1))));
    let idleness = FaultKind::LeaderIdleness { listened_from: C };
    let idle = Command::Record(Record::Unproven(wallet.fault(wallet.leader(), idleness, None)));
    assert_eq!(commands[..2], [idle, unproven]);
    assert!(finished(&commands).faults.is_empty());
}

#[test]
fn a_result_waits_for_the_seed_while_somebody_is_suspected_but_not_past_the_windows_end() {
    let wallet = Wallet::new();
    let liar = wallet.other(1);
    let suspected = |wallet: &Wallet| {
        let mut follower = start(wallet);
        assert_eq!(follower.on_message(wallet.proposal(1, Proposed::NoOp)).0, Ok(()));
        let message = wallet.message(wallet.seat_of(liar), Proposed::NoOp);
        assert!(follower.on_message(wallet.receive(liar, 1, &message)).0.is_err());
        assert_eq!(follower.on_block(ACTIVE_END), [Command::ConfirmSeed]);
        follower
    };
    let commands = confirm(&wallet, &mut suspected(&wallet));
    assert_eq!((&finished(&commands).outcome, finished(&commands).faults.len()), (&Outcome::NoOp, 1));
    let commands = suspected(&wallet).on_block(END);
    assert!(
        matches!(commands[..], [Command::Record(Record::Unproven(_)), Command::Finish(_)]),
        "{commands:?}"
    );
    assert_eq!(finished(&commands).outcome, Outcome::NoOp);
}

#[test]
fn inc_21_a_silent_leader_is_recorded_as_idle() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    assert_eq!(follower.on_block(ACTIVE_END - 1), []);
    assert_eq!(follower.on_block(ACTIVE_END), [Command::ConfirmSeed]);
    let commands = confirm(&wallet, &mut follower);
    let kind = FaultKind::LeaderIdleness { listened_from: C };
    assert_eq!(commands[0], fault(&wallet, kind.clone(), None));
    let result = finished(&commands);
    assert_eq!(result.outcome, Outcome::None);
    assert_eq!(result.faults, [wallet.fault(wallet.leader(), kind, None)]);
}

#[test]
fn inc_18_a_flood_stays_within_its_bound_and_the_leader_still_gets_through() {
    let wallet = Wallet::new();
    let (flooder, me) = (wallet.other(1), wallet.other(0));
    let mut follower = start(&wallet);
    let large = Proposal::Redemption(RedemptionProposal {
        scripts: vec![ScriptBuf::from_bytes(vec![1; 250]); MAX_ITEMS],
        fee: Amount::MAX,
    });
    let seats = [wallet.seat_of(flooder), wallet.seat_of(me), wallet.assignment.leader_seat];
    let mut refused = 0;
    for sequence in 0..1_000 {
        let seat = seats[usize::try_from(sequence % 3).unwrap()];
        let message = wallet.message(seat, act(large.clone()));
        let (heard, commands) = follower.on_message(wallet.receive(flooder, sequence, &message));
        refused += u64::from(heard == Err(Ignored::TooMany));
        assert!(commands.is_empty() || commands == [Command::ConfirmSeed], "{commands:?}");
        assert!(follower.retained_bytes() <= MAX_RETAINED_PER_SENDER);
    }
    assert_eq!(refused, 1_000 - MAX_MESSAGES_PER_SENDER as u64);
    assert!(confirm(&wallet, &mut follower).len() == 1, "one fault, however many messages");
    assert_eq!(follower.on_message(wallet.proposal(1, act(redemption(5)))).0, Ok(()));
    assert_eq!(
        Envelope::decode(&vec![0; MAX_EVIDENCE_BYTES + 1]),
        Err(DecodeError::TooLong {
            field: "envelope",
            actual: MAX_EVIDENCE_BYTES + 1,
            max: MAX_EVIDENCE_BYTES
        }),
        "a huge one isn't even read"
    );
}

#[test]
fn inc_18_repeats_of_a_sequence_number_are_dropped_within_the_window() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    assert!(follower.on_message(wallet.proposal(1, act(heartbeat()))).0.is_err());
    assert_eq!(follower.on_message(wallet.proposal(1, act(redemption(5)))).0, Err(Ignored::Repeat));
    assert_eq!(follower.on_message(wallet.proposal(2, act(redemption(5)))).0, Ok(()));
    assert_eq!(start(&wallet).on_message(wallet.proposal(1, act(redemption(5)))).0, Ok(()), "another window");
}

#[test]
fn inc_19_a_member_that_does_not_lead_is_ignored_and_recorded_with_its_message() {
    let wallet = Wallet::new();
    let liar = wallet.other(1);
    let mut follower = start(&wallet);
    let message = wallet.message(wallet.seat_of(liar), act(redemption(9)));
    assert!(follower.on_message(wallet.receive(liar, 7, &message)).0.is_err());
    let impersonation = wallet.fault(liar, FaultKind::LeaderImpersonation { seat: message.seat }, Some(7));
    assert_eq!(confirm(&wallet, &mut follower), [Command::Record(Record::Fault(impersonation.clone()))]);
    assert_eq!(follower.on_message(wallet.receive(liar, 8, &message)).1, [], "recorded once");

    // The leader speaks through its first seat only.
    let second = wallet.message(seat(5), act(redemption(9)));
    let (heard, _) = follower.on_message(wallet.receive(wallet.leader(), 1, &second));
    assert_eq!(heard, Err(Ignored::NotTheLeader(seat(5))));
    confirm(&wallet, &mut follower);
    let kind = FaultKind::LeaderImpersonation { seat: seat(5) };
    assert_eq!(follower.on_message(wallet.proposal(2, Proposed::NoOp)).0, Ok(()), "still listening");
    let commands = follower.on_block(ACTIVE_END);
    let result = finished(&commands);
    assert_eq!(result.faults, [impersonation, wallet.fault(wallet.leader(), kind, Some(1))]);
    assert_eq!(result.outcome, Outcome::NoOp);
}

#[test]
fn inc_20_an_action_off_the_checklist_is_a_mistake_and_listening_goes_on() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    let (heard, commands) = follower.on_message(wallet.proposal(1, act(deposit_sweep())));
    assert_eq!(heard, Err(Ignored::NotOnChecklist(Action::DepositSweep)));
    assert_eq!(commands, [Command::ConfirmSeed]);
    let kind = FaultKind::LeaderMistake(Mistake::NotOnChecklist(Action::DepositSweep));
    assert_eq!(confirm(&wallet, &mut follower), [fault(&wallet, kind, Some(1))]);
    assert_eq!(follower.on_message(wallet.proposal(2, act(redemption(5)))).0, Ok(()));
}

#[test]
fn inc_20_content_still_rejected_when_the_window_ends_is_a_mistake_with_its_reason() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    assert_eq!(follower.on_verdict(Verdict::Rejected(objection()), C), []);
    for block in C + 1..END {
        assert_eq!(follower.on_block(block), [validate()], "judged again at {block}");
        assert_eq!(follower.on_block(block), []);
        assert_eq!(follower.on_verdict(Verdict::Rejected(objection()), block), []);
    }
    assert_eq!(follower.on_block(END), [validate()], "a last time");
    let commands = follower.on_verdict(Verdict::Rejected(objection()), END);
    assert_eq!(commands[0], fault(&wallet, rejected(END), Some(1)));
    let result = finished(&commands);
    assert_eq!((&result.outcome, result.faults.len()), (&Outcome::None, 1));
    let said = result.faults[0].kind.to_string();
    assert_eq!(said, "leader mistake: at block 1000, RD-4: the fee is zero");
}

#[test]
fn a_proposal_rejected_by_a_lagging_head_is_accepted_a_block_later() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    follower.on_verdict(Verdict::Rejected(objection()), C - 1);
    assert_eq!(follower.on_block(C + 1), [validate()]);
    assert_eq!(follower.on_verdict(Verdict::Valid, C + 1), []);
    let commands = follower.on_block(ACTIVE_END);
    assert!(matches!(finished(&commands).outcome, Outcome::Action(..)));
    assert!(finished(&commands).faults.is_empty());
    // Even at the last moment, and after a jump that left no chance before.
    let mut follower = settled(&wallet);
    follower.on_verdict(Verdict::Rejected(objection()), C);
    assert_eq!(follower.on_block(END + 5), [validate()]);
    assert!(matches!(finished(&follower.on_verdict(Verdict::Valid, END + 5)).outcome, Outcome::Action(..)));
}

#[test]
fn inc_22_our_own_failure_blames_nobody_and_is_retried_until_the_deadline() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    let down = || Verdict::Undecided("endpoint down".into());
    assert_eq!(follower.on_verdict(down(), C), []);
    for block in C + 1..END {
        assert_eq!(follower.on_block(block), [validate()]);
        assert_eq!(follower.on_verdict(down(), block), []);
    }
    assert_eq!(follower.on_block(END), [validate()]);
    let commands = follower.on_verdict(down(), END);
    let result = finished(&commands);
    let undecided = Outcome::Undecided { proposal: Arc::new(redemption(5)), why: "endpoint down".into() };
    assert_eq!((&result.outcome, result.faults.len(), commands.len()), (&undecided, 0, 1));

    // A verdict that was under way when the window ended leaves time for one more.
    let mut follower = settled(&wallet);
    assert_eq!(follower.on_block(END), []);
    assert_eq!(follower.on_verdict(down(), END - 1), [validate()]);
    assert!(matches!(finished(&follower.on_verdict(Verdict::Valid, END)).outcome, Outcome::Action(..)));

    // The endpoint comes back.
    let mut follower = settled(&wallet);
    follower.on_verdict(down(), C);
    follower.on_block(END - 1);
    assert!(matches!(finished(&follower.on_verdict(Verdict::Valid, END - 1)).outcome, Outcome::Action(..)));
}

#[test]
fn inc_22_a_verdict_that_never_comes_blames_nobody() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    for block in C + 1..=END {
        assert_eq!(follower.on_block(block), [], "one question at a time");
    }
    let commands = follower.on_block(END + 1);
    let result = finished(&commands);
    assert!(matches!(&result.outcome, Outcome::Undecided { why, .. } if why.starts_with("no verdict")));
    assert!(result.faults.is_empty());
    assert_eq!(follower.on_verdict(Verdict::Valid, END + 1), [], "too late");

    // A rejection known before the end, with our endpoint gone since, is not enough to blame anyone.
    let mut follower = settled(&wallet);
    follower.on_verdict(Verdict::Rejected(objection()), C);
    assert_eq!(follower.on_block(END), [validate()]);
    let commands = follower.on_block(END + 1);
    assert!(matches!(finished(&commands).outcome, Outcome::Undecided { .. }));
    assert!(finished(&commands).faults.is_empty());
}

#[test]
fn inc_23_a_fee_that_burns_the_wallets_money_or_cannot_relay_is_a_mistake() {
    let wallet = Wallet::new();
    let sats = Amount::from_sat;
    for error in [
        FeeObjection::TooHigh { fee: sats(5), most: sats(4) },
        FeeObjection::TooLow { fee: sats(5), least: sats(6) },
    ] {
        let mut follower = settled(&wallet);
        follower.on_verdict(Verdict::Rejected(Objection::Fee(error)), C);
        follower.on_block(END);
        let commands = follower.on_verdict(Verdict::Rejected(Objection::Fee(error)), END);
        let mistake = Mistake::Rejected { objection: Objection::Fee(error), block: END };
        assert_eq!(commands[0], fault(&wallet, FaultKind::LeaderMistake(mistake), Some(1)));
    }
}

#[test]
fn a_second_different_message_of_the_leader_is_kept_as_evidence_of_equivocation() {
    let wallet = Wallet::new();
    let evidence = |second| {
        vec![Command::Record(Record::Equivocation {
            leader: wallet.assignment.leader,
            first: signed(wallet.leader(), 1),
            second: signed(wallet.leader(), second),
        })]
    };
    let mut follower = settled(&wallet);
    let same = follower.on_message(wallet.proposal(2, act(redemption(5))));
    assert_eq!(same, (Err(Ignored::Settled), vec![]), "said twice");
    let other = follower.on_message(wallet.proposal(3, act(redemption(6))));
    assert_eq!(other, (Err(Ignored::Settled), evidence(3)));
    let third = follower.on_message(wallet.proposal(4, act(redemption(7))));
    assert_eq!(third, (Err(Ignored::Settled), vec![]), "kept once");
    follower.on_verdict(Verdict::Valid, C);
    let commands = follower.on_block(ACTIVE_END);
    assert!(matches!(&finished(&commands).outcome, Outcome::Action(v, _) if *v.proposal() == redemption(5)));

    // Under the same sequence number it is a repeat, and evidence all the same.
    let mut follower = settled(&wallet);
    let repeat = follower.on_message(wallet.proposal(1, act(redemption(6))));
    assert_eq!(repeat, (Err(Ignored::Repeat), evidence(1)));
}

#[test]
fn the_whole_group_can_misbehave_within_the_bound() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    let large = Proposal::Redemption(RedemptionProposal {
        scripts: vec![ScriptBuf::from_bytes(vec![1; 250]); MAX_ITEMS],
        fee: Amount::MAX,
    });
    let mut off_checklist = wallet.message(wallet.assignment.leader_seat, act(deposit_sweep()));
    assert!(follower.on_message(wallet.receive(wallet.leader(), 1, &off_checklist)).0.is_err());
    off_checklist.seat = seat(5);
    off_checklist.proposed = act(large.clone());
    assert!(follower.on_message(wallet.receive(wallet.leader(), 2, &off_checklist)).0.is_err());
    assert!(follower.on_message(wallet.proposal(3, act(large))).0.is_ok());
    let retained = follower.retained_bytes();
    assert!(retained > 3 * MAX_MESSAGE_BYTES / 2 && retained <= MAX_RETAINED_PER_SENDER, "{retained}");
}
