//! A leader that says two things.

use coxswain_protocol::{Agreement, FaultKind, Ignored, Mistake, NoResult, WindowResult, wire::Proposed};

use crate::member::fixture::{
    ACTIVE_END, C, Driven, END, Wallet, act, action, deposit_sweep, redemption, signed,
};

fn start(wallet: &Wallet) -> Driven {
    let mut follower = Driven::follower(wallet);
    follower.block(C);
    follower
}

/// Whether the result is none because of these two messages.
fn caught(wallet: &Wallet, result: &WindowResult, first: u64, second: u64) -> bool {
    let leader = wallet.leader();
    let mistake = Mistake::Equivocation { second: signed(leader, second) };
    let fault = wallet.fault(leader, FaultKind::LeaderMistake(mistake), Some(first));
    result.agreement == Agreement::None(NoResult::Equivocation) && result.faults.contains(&fault)
}

#[test]
fn inc_49_a_second_different_message_leaves_no_result_and_both_as_evidence() {
    let wallet = Wallet::new();
    let seconds = [
        (act(redemption(6)), true),
        (Proposed::NoOp, true),
        (act(deposit_sweep()), true),
        (act(redemption(5)), false),
    ];
    for (second, is_different) in seconds {
        let mut follower = start(&wallet);
        assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
        assert!(follower.hear(wallet.proposal(2, second)).is_err());
        let result = follower.end();
        assert_eq!(caught(&wallet, &result, 1, 2), is_different, "{:?}", result.agreement);
    }
}

#[test]
fn inc_49_what_nobody_knows_differs_by_number_and_payload() {
    let wallet = Wallet::new();
    let leader = wallet.leader();
    for (second, is_different) in [
        (&[8, 6, 18, 1, 1][..], false),
        // The same, with a field that nobody knows.
        (&[8, 6, 18, 1, 1, 24, 7], false),
        (&[8, 6, 18, 1, 2], true),
        (&[8, 7, 18, 1, 1], true),
    ] {
        let mut follower = start(&wallet);
        assert!(follower.hear(wallet.raw(leader, 1, &[8, 6, 18, 1, 1])).is_err());
        assert!(follower.hear(wallet.raw(leader, 2, second)).is_err());
        assert_eq!(caught(&wallet, &follower.end(), 1, 2), is_different, "{second:?}");
    }
}

#[test]
fn inc_49_a_second_message_counts_to_the_windows_last_block() {
    let wallet = Wallet::new();
    let at = |block| {
        let mut follower = start(&wallet);
        assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
        follower.until(block);
        let heard = follower.hear(wallet.proposal(2, act(redemption(6))));
        (heard, follower.end())
    };
    let (heard, result) = at(ACTIVE_END);
    assert!(heard == Err(Ignored::Late) && caught(&wallet, &result, 1, 2));
    let (heard, result) = at(END - 1);
    assert!(heard == Err(Ignored::Late) && caught(&wallet, &result, 1, 2), "last counted");
    let (heard, result) = at(END);
    assert_eq!((heard, action(&result)), (Err(Ignored::NotListening), &*redemption(5)), "first not counted");
}

#[test]
fn inc_49_a_flood_does_not_hide_the_second_message() {
    let wallet = Wallet::new();
    let leader = wallet.leader();
    let mut follower = start(&wallet);
    for sequence in 0..200 {
        let _ = follower.hear(wallet.proposal(sequence, act(redemption(5))));
    }
    let mut third = start(&wallet);
    for sequence in 0..200 {
        let _ = third.hear(wallet.raw(leader, sequence, &[8, 3, 18, 2, 0xff, 0xff]));
    }
    assert_eq!(follower.hear(wallet.proposal(200, act(redemption(6)))), Err(Ignored::Settled));
    assert!(caught(&wallet, &follower.end(), 0, 200));
    assert_eq!(third.hear(wallet.proposal(300, act(redemption(5)))), Ok(()), "nor the first");
}

#[test]
fn two_messages_of_one_that_does_not_lead_are_one_impersonation() {
    let wallet = Wallet::new();
    let liar = wallet.other(1);
    let mut follower = start(&wallet);
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    assert!(follower.hear(wallet.says(liar, 1, act(redemption(6)))).is_err());
    assert!(follower.hear(wallet.says(liar, 2, act(redemption(7)))).is_err());
    let result = follower.end();
    assert_eq!((action(&result), result.faults.len()), (&*redemption(5), 1));
}
