//! Listening and accepting.

use coxswain_protocol::{
    Agreement, Command, FaultKind, Ignored, MAX_MESSAGES_PER_SENDER, MAX_RETAINED_PER_SENDER, Mistake,
    NoResult, Received, ReceivedError, Schedule, Undecided,
    wire::{CoordinationMessage, DecodeError, Envelope, MAX_ITEMS, MESSAGE_TYPE, Proposed},
};
use coxswain_rules::{Action, Amount, KeyHash, Proposal, RedemptionProposal, ScriptBuf, units::BlockNumber};

use crate::member::fixture::{
    ACTIVE_END, C, Driven, END, Wallet, act, action, deposit_sweep, heartbeat, key, redemption, seat, signed,
};

/// A follower in the window's first block.
fn start(wallet: &Wallet) -> Driven {
    let mut follower = Driven::follower(wallet);
    follower.block(C);
    follower
}

#[test]
fn a_valid_proposal_becomes_the_result_at_the_windows_end() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    follower.until(END - 1);
    assert_eq!(follower.result(), None);
    follower.block(END);
    let result = follower.result().unwrap();
    let Agreement::Action(validated, schedule) = &result.agreement else { panic!("{result:?}") };
    assert_eq!((&**validated.proposal(), validated.at().block), (&*redemption(5), BlockNumber(END)));
    assert_eq!(
        *schedule,
        Schedule {
            start: BlockNumber(END),
            signing_start: BlockNumber(END),
            signing_end: BlockNumber(1300),
            expiry: BlockNumber(1600)
        }
    );
    assert_eq!((result.basis.unwrap().leader, result.faults.len()), (wallet.assignment.leader, 0));
    follower.wanted();
    follower.until(END + 20);
    assert_eq!(follower.wanted(), [], "the window is over");
}

#[test]
fn a_no_op_needs_no_verdict() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    assert_eq!(follower.hear(wallet.proposal(1, Proposed::NoOp)), Ok(()));
    follower.until(END);
    assert_eq!(follower.result().unwrap().agreement, Agreement::NoOp);
    assert_eq!(follower.judged(), 0);
}

#[test]
fn the_seven_checks_come_in_order() {
    let wallet = Wallet::new();
    let (leader, me, liar) = (wallet.leader(), wallet.other(0), wallet.other(1));
    let heard =
        |author, message: &CoordinationMessage| start(&wallet).hear(wallet.receive(author, 1, message));
    // Each message passes one check more than the one before.
    let envelope =
        Envelope { sender: liar.compressed(), payload: &[], kind: b"other", sequence: 1 }.encode().unwrap();
    let other_kind = Received::open(&liar, &wallet.group, &envelope, signed(liar, 1)).unwrap();
    assert_eq!(start(&wallet).hear(other_kind), Err(Ignored::NotACoordinationMessage));
    let mut message = wallet.message(wallet.seat_of(me), act(heartbeat()));
    message.coordination_block = BlockNumber(1);
    message.wallet = KeyHash([8; 20]);
    assert_eq!(heard(liar, &message), Err(Ignored::OwnSeat(wallet.seat_of(me))));
    message.seat = wallet.seat_of(leader);
    let not_held = Ignored::SeatNotHeld { seat: message.seat, author: liar.address() };
    assert_eq!(heard(liar, &message), Err(not_held));
    message.seat = wallet.seat_of(liar);
    assert_eq!(heard(liar, &message), Err(Ignored::OtherWindow(BlockNumber(1))));
    message.coordination_block = BlockNumber(C);
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
    let open =
        |author, bytes: &[u8]| Received::open(&author, &wallet.group, bytes, vec![0].into()).map(|_| ());
    assert_eq!(open(leader, &envelope(leader.compressed(), &message)), Ok(()));
    let theirs = envelope(stranger.compressed(), &message);
    assert_eq!(open(stranger, &theirs), Err(ReceivedError::NotAMember(stranger.address())));
    assert_eq!(open(leader, &theirs), Err(ReceivedError::OtherSender(leader.address())));
    let garbage = envelope(leader.compressed(), &[0xff]);
    assert!(matches!(open(leader, &garbage), Err(ReceivedError::Decode(DecodeError::Malformed { .. }))));
    assert!(matches!(open(leader, &[]), Err(ReceivedError::Decode(DecodeError::Identity))));
}

#[test]
fn a_message_is_accepted_to_the_active_phases_last_block_and_late_to_the_windows_last() {
    let wallet = Wallet::new();
    let at = |block| {
        let mut follower = start(&wallet);
        follower.until(block);
        let heard = follower.hear(wallet.proposal(1, act(redemption(5))));
        (heard, follower.end())
    };
    let (heard, result) = at(ACTIVE_END - 1);
    assert_eq!((heard, action(&result)), (Ok(()), &*redemption(5)), "last accepted");
    for block in [ACTIVE_END, END - 1] {
        let (heard, result) = at(block);
        assert_eq!((heard, &result.agreement), (Err(Ignored::Late), &Agreement::None(NoResult::Late)));
        assert_eq!(result.faults, []);
    }
    let (heard, result) = at(END);
    assert_eq!(heard, Err(Ignored::NotListening), "first not read");
    assert_eq!(result.agreement, Agreement::None(NoResult::Idle));
}

#[test]
fn before_the_window_nobody_listens() {
    let wallet = Wallet::new();
    let mut follower = Driven::follower(&wallet);
    assert_eq!(follower.hear(wallet.proposal(1, Proposed::NoOp)), Err(Ignored::NotListening));
}

#[test]
fn inc_14_a_window_runs_once_whether_its_block_is_skipped_repeated_or_reorganised() {
    let wallet = Wallet::new();
    for blocks in [&[C, C + 1][..], &[C + 3], &[C, C, C + 1], &[C, C - 1, C, C + 1]] {
        let mut follower = Driven::follower(&wallet);
        blocks.iter().for_each(|block| follower.block(*block));
        follower.end();
        follower.until(END + 5);
        let finished = follower.log.iter().filter(|command| matches!(command, Command::Finish(_)));
        assert_eq!(finished.count(), 1, "{blocks:?}");
    }
}

#[test]
fn inc_15_a_follower_that_joins_late_settles_on_a_retransmission() {
    let wallet = Wallet::new();
    let mut follower =
        Driven::with(coxswain_protocol::Member::new(crate::member::fixture::setup(&wallet, wallet.other(0))));
    follower.block(ACTIVE_END - 1);
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    assert_eq!(action(&follower.end()), &*redemption(5));
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
    let mut heard = 0;
    let payloads = seats.map(|seat| wallet.message(seat, act(large.clone().into())).encode().unwrap());
    for sequence in 0..250 {
        let payload = &payloads[usize::try_from(sequence % 3).unwrap()];
        let said = follower.hear(wallet.receive_bytes(flooder, sequence, payload));
        heard += usize::from(matches!(said, Err(Ignored::NotTheLeader(_) | Ignored::NothingNew)));
        assert!(follower.member.retained_bytes() <= 4 * MAX_RETAINED_PER_SENDER);
    }
    assert_eq!(heard, MAX_MESSAGES_PER_SENDER, "those of other seats are dropped free");
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    let result = follower.end();
    assert_eq!(
        (action(&result), result.faults.len()),
        (&*redemption(5), 1),
        "one fault, however many messages"
    );
}

#[test]
fn inc_18_a_repeat_has_the_same_number_and_the_same_payload() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Err(Ignored::Repeat));
    assert_eq!(
        follower.hear(wallet.proposal(2, act(redemption(5)))),
        Err(Ignored::NothingNew),
        "a retransmission"
    );
    assert_eq!(
        follower.hear(wallet.proposal(1, act(redemption(6)))),
        Err(Ignored::Settled),
        "a second message"
    );
}

#[test]
fn inc_48_old_messages_of_the_leader_use_up_nothing() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    let mut old = wallet.message(wallet.assignment.leader_seat, act(redemption(5)));
    for sequence in 0..200 {
        old.coordination_block = BlockNumber(900 * (2 + sequence));
        let heard = follower.hear(wallet.receive(wallet.leader(), sequence, &old));
        assert_eq!(heard, Err(Ignored::OtherWindow(old.coordination_block)));
    }
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    assert_eq!(action(&follower.end()), &*redemption(5));
}

#[test]
fn inc_19_a_member_that_does_not_lead_is_ignored_and_recorded_with_its_message() {
    let wallet = Wallet::new();
    let liar = wallet.other(1);
    let mut follower = start(&wallet);
    assert!(follower.hear(wallet.says(liar, 7, act(redemption(9)))).is_err());
    assert!(follower.hear(wallet.says(liar, 8, act(redemption(8)))).is_err());
    // The leader speaks through its first seat only.
    let second = wallet.message(seat(5), act(redemption(9)));
    let heard = follower.hear(wallet.receive(wallet.leader(), 1, &second));
    assert_eq!(heard, Err(Ignored::NotTheLeader(seat(5))));
    assert_eq!(follower.hear(wallet.proposal(2, Proposed::NoOp)), Ok(()), "still listening");
    let result = follower.end();
    let impersonation = |seat| FaultKind::LeaderImpersonation { seat };
    assert_eq!(
        result.faults,
        [
            wallet.fault(wallet.leader(), impersonation(seat(5)), Some(1)),
            wallet.fault(liar, impersonation(wallet.seat_of(liar)), Some(7)),
        ]
    );
    assert_eq!(result.agreement, Agreement::NoOp);
}

#[test]
fn a_misfit_is_a_fault_only_if_it_came_in_the_active_phase() {
    let wallet = Wallet::new();
    let faults = |block| {
        let mut follower = start(&wallet);
        assert_eq!(follower.hear(wallet.proposal(1, Proposed::NoOp)), Ok(()));
        follower.until(block);
        assert!(follower.hear(wallet.says(wallet.other(1), 7, Proposed::NoOp)).is_err());
        follower.end().faults.len()
    };
    assert_eq!((faults(ACTIVE_END - 1), faults(ACTIVE_END)), (1, 0));
}

/// Faults add up: what it said was wrong, and it never said what would have been right.
#[test]
fn inc_20_an_action_off_the_checklist_is_a_mistake_and_who_says_nothing_else_is_idle() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    let heard = follower.hear(wallet.proposal(1, act(deposit_sweep())));
    assert_eq!(heard, Err(Ignored::NotOnChecklist(Action::DepositSweep)));
    let result = follower.end();
    let mistake = FaultKind::LeaderMistake(Mistake::NotOnChecklist(Action::DepositSweep));
    let idleness = FaultKind::LeaderIdleness { listened_from: BlockNumber(C) };
    let leader = wallet.leader();
    assert_eq!(result.faults, [wallet.fault(leader, mistake, Some(1)), wallet.fault(leader, idleness, None)]);
    assert_eq!(result.agreement, Agreement::None(NoResult::Mistake));
}

#[test]
fn inc_35_an_action_number_from_6_to_9_is_not_understood_and_another_one_is_a_mistake() {
    let wallet = Wallet::new();
    let heard = |number| {
        let mut follower = start(&wallet);
        let heard = follower.hear(wallet.raw(wallet.leader(), 1, &[8, number, 18, 1, 1]));
        (heard, follower.end())
    };
    for number in [6, 9] {
        let (heard, result) = heard(number);
        assert_eq!(heard, Err(Ignored::NotUnderstood(u32::from(number))));
        assert_eq!(result.agreement, Agreement::Undecided(Undecided::NotUnderstood));
        assert_eq!((result.faults.len(), result.notes.len()), (0, 1));
    }
    let (heard, result) = heard(10);
    assert_eq!(heard, Err(Ignored::NoSuchAction(10)));
    let mistake = FaultKind::LeaderMistake(Mistake::NoSuchAction(10));
    assert_eq!(result.faults[0], wallet.fault(wallet.leader(), mistake, Some(1)));
    // One that doesn't lead impersonates, whatever it says.
    let mut follower = start(&wallet);
    let liar = wallet.other(1);
    assert_eq!(follower.hear(wallet.raw(liar, 1, &[8, 6])), Err(Ignored::NotTheLeader(wallet.seat_of(liar))));
}

#[test]
fn an_undecodable_proposal_of_the_leader_is_a_mistake_and_no_silence() {
    let wallet = Wallet::new();
    let truncated = [8, 3, 18, 2, 0xff, 0xff];
    let mut follower = start(&wallet);
    let heard = follower.hear(wallet.raw(wallet.leader(), 1, &truncated));
    assert!(matches!(heard, Err(Ignored::Undecodable(DecodeError::Malformed { .. }))), "{heard:?}");
    let result = follower.end();
    assert!(
        matches!(&result.faults[..], [fault] if fault.signed == Some(signed(wallet.leader(), 1))
            && matches!(fault.kind, FaultKind::LeaderMistake(Mistake::Undecodable(_)))),
        "{:?}",
        result.faults
    );
    assert_eq!(result.agreement, Agreement::None(NoResult::Mistake));
    // What can be read is still listened to.
    let mut follower = start(&wallet);
    assert!(follower.hear(wallet.raw(wallet.leader(), 1, &truncated)).is_err());
    assert_eq!(follower.hear(wallet.proposal(2, act(redemption(5)))), Ok(()));
    let result = follower.end();
    assert_eq!((action(&result), result.faults.len()), (&*redemption(5), 1));
}

#[test]
fn the_whole_group_can_misbehave_within_the_bound() {
    let wallet = Wallet::new();
    let mut follower = start(&wallet);
    let large = |fee| {
        let scripts = vec![ScriptBuf::from_bytes(vec![1; 250]); MAX_ITEMS];
        act(Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(fee) }).into())
    };
    let leader = wallet.leader();
    let own: Vec<_> = (0..70).map(|fee| wallet.proposal(fee, large(fee))).collect();
    own.into_iter().for_each(|message| drop(follower.hear(message)));
    let _ = follower.hear(wallet.receive(leader, 100, &wallet.message(seat(5), large(5))));
    let _ = follower.hear(wallet.raw(leader, 101, &[8, 3, 18, 2, 0xff, 0xff]));
    let retained = follower.member.retained_bytes();
    assert!(retained > 100_000 && retained <= MAX_RETAINED_PER_SENDER, "{retained}");
}
