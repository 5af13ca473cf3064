//! A leader that is not heard: who is to blame, and what is counted.

use alloy_primitives::B256;
use coxswain_protocol::{
    Agreement, Alarm, Assignment, Event, FaultKind, Member, NoResult, SafeHashes, Window, WindowResult,
    wire::OperatorKey,
};
use coxswain_rules::units::BlockNumber;

use crate::member::fixture::{ACTIVE_END, C, Driven, END, Wallet, act, redemption, setup};

fn agreement(follower: &mut Driven) -> Agreement {
    follower.end().agreement.clone()
}

/// A follower that is linked to these from this block on, and listens from the window's first block.
fn linked(wallet: &Wallet, to: &[OperatorKey], since: u64) -> Driven {
    let mut follower = Driven::with(Member::new(setup(wallet, wallet.other(0))));
    follower.until(since);
    to.iter().for_each(|key| follower.take(Event::Linked(key.address())).unwrap());
    follower
}

#[test]
fn inc_21_a_silent_leader_is_recorded_as_idle() {
    let wallet = Wallet::new();
    let mut follower = Driven::follower(&wallet);
    let result = follower.end();
    let kind = FaultKind::LeaderIdleness { listened_from: BlockNumber(C) };
    assert_eq!(result.faults, [wallet.fault(wallet.leader(), kind, None)]);
    assert_eq!(result.agreement, Agreement::None(NoResult::Idle));
}

#[test]
fn inc_50_who_listens_from_block_28_on_may_blame_and_who_comes_later_has_not_heard() {
    let wallet = Wallet::new();
    let from = |block| {
        let mut follower = Driven::with(Member::new(setup(&wallet, wallet.other(0))));
        follower.link(&wallet);
        follower.block(block);
        agreement(&mut follower)
    };
    assert_eq!(from(C + 28), Agreement::None(NoResult::Idle), "last that may");
    assert_eq!(from(C + 29), Agreement::None(NoResult::NotHeard), "first that may not");
    let mut follower = Driven::follower(&wallet);
    follower.block(ACTIVE_END);
    assert_eq!(agreement(&mut follower), Agreement::None(NoResult::NotHeard), "after the active phase");
}

#[test]
fn inc_50_the_link_to_the_leader_must_hold_from_block_28_to_the_phases_end() {
    let wallet = Wallet::new();
    let leader = wallet.leader();
    let others = [wallet.other(1), wallet.other(2), leader];
    let idle = Agreement::None(NoResult::Idle);
    let not_heard = Agreement::None(NoResult::NotHeard);
    let unreachable = Agreement::None(NoResult::LeaderUnreachable);
    assert_eq!(agreement(&mut linked(&wallet, &others, C + 28)), idle, "last in time");
    assert_eq!(agreement(&mut linked(&wallet, &others, C + 29)), not_heard, "first too late");

    let broken = |block, again| {
        let mut follower = Driven::follower(&wallet);
        follower.until(block);
        follower.take(Event::Unlinked(leader.address())).unwrap();
        if again {
            follower.take(Event::Linked(leader.address())).unwrap();
        }
        agreement(&mut follower)
    };
    assert_eq!(broken(C + 28, true), idle);
    assert_eq!(broken(C + 29, true), unreachable, "a break, however short");
    assert_eq!(broken(ACTIVE_END - 1, false), unreachable, "last that counts");
    assert_eq!(broken(ACTIVE_END, false), idle, "first that doesn't");
}

#[test]
fn inc_50_without_the_leader_more_than_half_of_the_others_make_it_unreachable() {
    let wallet = Wallet::new();
    let (one, two, leader) = (wallet.other(1), wallet.other(2), wallet.leader());
    let to = |keys: &[OperatorKey]| agreement(&mut linked(&wallet, keys, C - 1));
    assert_eq!(to(&[one, two]), Agreement::None(NoResult::LeaderUnreachable));
    assert_eq!(to(&[one]), Agreement::None(NoResult::NotHeard), "half of the others");
    assert_eq!(to(&[]), Agreement::None(NoResult::NotHeard));
    assert_eq!(to(&[leader]), Agreement::None(NoResult::Idle), "the leader alone is enough");
}

/// One window after another under one leader: whether it is heard in each.
fn history(wallet: &Wallet, late: &[bool]) -> (Driven, Vec<std::sync::Arc<WindowResult>>) {
    let me = wallet.other(0);
    let mut follower = Driven::follower(wallet);
    let results = (1..).zip(late).map(|(index, late)| {
        let window = Window::numbered(&wallet.network, index).unwrap();
        let leads = |byte: &u8| {
            let hash = B256::repeat_byte(*byte);
            let (network, id) = (&wallet.network, wallet.assignment.wallet);
            Assignment::new(network, window, id, &wallet.group, hash).leader == wallet.assignment.leader
        };
        let hash = B256::repeat_byte((1..=255).find(leads).unwrap());
        follower.hashes = Some(SafeHashes { canonical: hash, legacy_header: hash });
        follower.block(window.block().0);
        follower.until(if *late { window.active_end().0 } else { window.block().0 });
        let mut message = wallet.message(wallet.assignment.leader_seat, act(redemption(5)));
        message.coordination_block = window.block();
        let _ = follower.hear(wallet.receive(wallet.leader(), index, &message));
        follower.until(window.end().next().0);
        follower.result().unwrap()
    });
    let results = results.collect();
    assert_ne!(me, wallet.leader());
    (follower, results)
}

#[test]
fn blameless_failures_raise_an_alarm_from_the_third_in_a_row_or_the_third_of_five() {
    let wallet = Wallet::new();
    let alarms = |late: &[bool]| {
        let (_, results) = history(&wallet, late);
        results.iter().map(|result| result.alarms.len()).collect::<Vec<_>>()
    };
    assert_eq!(alarms(&[true, true, true, true]), [0, 0, 1, 1]);
    assert_eq!(
        alarms(&[true, false, true, false, true]),
        [0, 0, 0, 0, 1],
        "the fifth window still counts the first"
    );
    assert_eq!(alarms(&[true, false, true, false, false, true]), [0; 6], "the sixth doesn't");
    let (_, results) = history(&wallet, &[true, true, true]);
    let leader = wallet.assignment.leader;
    assert_eq!(results[2].alarms, [Alarm::Failures { leader, of_last_five: 3 }]);
    assert_eq!((results[2].faults.len(), results[2].window.end()), (0, BlockNumber(2 * 900 + END)));
}

#[test]
fn blameless_failures_are_counted_on_after_a_restart() {
    let wallet = Wallet::new();
    let (follower, _) = history(&wallet, &[true, true]);
    let leader = wallet.assignment.leader;
    assert_eq!(follower.member.blameless_failures(leader), 2);
    let journal = follower.entries.iter().cloned().map(Ok);
    let restored = Member::restore(setup(&wallet, wallet.other(0)), journal);
    assert_eq!(restored.blameless_failures(leader), 2);
}
