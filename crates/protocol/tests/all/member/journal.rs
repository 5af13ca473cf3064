//! What is durable before anything else happens, and what a restart makes of it.

use coxswain_protocol::{
    Agreement, Command, Entry, EntryError, EntryId, Event, Generation, Member, NoResult, NotSent, Note,
};
use coxswain_rules::{Action, units::BlockNumber};

use crate::member::fixture::{ACTIVE_END, C, Driven, END, Wallet, act, action, redemption, setup};

fn start(wallet: &Wallet) -> Driven {
    let mut leader = Driven::leader(wallet);
    generates(&mut leader);
    leader
}

fn generates(leader: &mut Driven) {
    leader.generations.insert(Action::Redemption, Generation::Proposal(redemption(5)));
}

/// What the journal was asked to take last.
fn asked(driven: &Driven) -> EntryId {
    let id = driven.log.iter().rev().find_map(|command| match command {
        Command::Journal { id, .. } => Some(*id),
        _ => None,
    });
    id.expect("something was to be written")
}

/// The same member after a restart at this block, from this journal.
fn restarted(
    wallet: &Wallet,
    journal: impl IntoIterator<Item = Result<Entry, EntryError>>,
    block: u64,
) -> Driven {
    let mut setup = setup(wallet, wallet.leader());
    setup.first_sequence = 1_000;
    let mut leader = Driven::with(Member::restore(setup, journal));
    generates(&mut leader);
    leader.block(block);
    leader
}

#[test]
fn nothing_is_sent_before_it_is_durable() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.journal = None;
    leader.block(C);
    leader.until(C + 5);
    assert_eq!((leader.broadcasts(), leader.entries.len()), (0, 1), "one entry an envelope");
    let id = asked(&leader);
    leader.take(Event::Journaled(id)).unwrap();
    assert_eq!(leader.broadcasts(), 1);
    let Entry::Sent(sent) = &leader.entries[0] else { panic!() };
    assert_eq!(
        (sent.first_sent, sent.validity.unwrap().block, sent.window.block()),
        (BlockNumber(C), BlockNumber(C), BlockNumber(C))
    );
    assert_eq!(leader.log.last(), Some(&Command::Broadcast(sent.envelope.clone())));
}

#[test]
fn what_is_durable_too_late_is_not_sent() {
    let wallet = Wallet::new();
    let durable_at = |block| {
        let mut leader = start(&wallet);
        leader.journal = None;
        leader.until(block);
        let id = asked(&leader);
        leader.take(Event::Journaled(id)).unwrap();
        leader.broadcasts()
    };
    assert_eq!((durable_at(C + 69), durable_at(C + 70)), (1, 0));
}

#[test]
fn inc_46_after_a_failed_write_the_leader_is_silent_and_records_that() {
    let wallet = Wallet::new();
    let mut leader = start(&wallet);
    leader.journal = Some(false);
    leader.block(C);
    leader.journal = Some(true);
    let result = leader.end();
    assert_eq!(leader.broadcasts(), 0);
    assert_eq!(result.agreement, Agreement::None(NoResult::NotSent(NotSent::NotJournaled)));
    assert_eq!(result.notes, [Note::NotJournaled(wallet.assignment.window)]);
    let sent = leader.entries.iter().filter(|entry| matches!(entry, Entry::Sent(_)));
    assert_eq!(sent.count(), 1, "it isn't tried again");
}

#[test]
fn a_result_is_dispatched_once_it_is_durable_and_tried_again_until_it_is() {
    let wallet = Wallet::new();
    let mut follower = Driven::follower(&wallet);
    follower.block(C);
    follower.hear(wallet.proposal(1, act(redemption(5)))).unwrap();
    follower.journal = Some(false);
    follower.until(END + 3);
    assert_eq!((follower.result(), follower.entries.len()), (None, 4), "at each block");
    follower.journal = Some(true);
    follower.block(END + 4);
    assert_eq!(action(&follower.result().unwrap()), &*redemption(5));
    follower.until(END + 10);
    assert_eq!(follower.entries.len(), 5);
    assert!(follower.entries.iter().all(|entry| *entry == follower.entries[0]), "the same each time");
}

#[test]
fn results_that_can_not_be_written_are_bounded_and_their_loss_is_noted() {
    let wallet = Wallet::new();
    let mut follower = Driven::follower(&wallet);
    follower.journal = Some(false);
    for window in 1..=3 {
        follower.until(900 * window + 101);
    }
    follower.journal = Some(true);
    follower.block(900 * 3 + 102);
    let lost = Note::NotJournaled(wallet.assignment.window);
    let finished = follower.log.iter().filter_map(|command| match command {
        Command::Finish(result) => Some((result.window.index(), result.notes.contains(&lost))),
        _ => None,
    });
    let finished: Vec<_> = finished.collect();
    assert_eq!(finished, [(2, false), (3, true)]);
}

#[test]
fn inc_15_a_leader_that_restarts_sends_the_recorded_bytes_again() {
    let wallet = Wallet::new();
    let mut first = start(&wallet);
    first.until(C + 4);
    let journal = || first.entries.iter().cloned().map(Ok);
    let Entry::Sent(recorded) = &first.entries[0] else { panic!() };
    let mut leader = restarted(&wallet, journal(), C + 10);
    assert_eq!(leader.log.last(), Some(&Command::Broadcast(recorded.envelope.clone())), "at once");
    let mut sent = Vec::new();
    for block in C + 11..=ACTIVE_END {
        leader.wanted();
        leader.block(block);
        sent.extend(std::iter::repeat_n(block - C, leader.broadcasts()));
    }
    assert_eq!(sent, [11, 20, 37, 70], "then on the schedule of the first sending");
    assert_eq!(leader.entries.len(), 0, "it is durable already");
    assert_eq!(action(&leader.end()), &*redemption(5));

    // In the last eighth it may not be for the first time.
    let silent = restarted(&wallet, journal(), C + 70);
    assert_eq!(silent.broadcasts(), 0);
    assert_eq!(restarted(&wallet, journal(), C + 69).broadcasts(), 1);
}

#[test]
fn inc_15_a_window_that_has_a_result_is_not_run_again() {
    let wallet = Wallet::new();
    let mut first = start(&wallet);
    first.end();
    let mut again = restarted(&wallet, first.entries.iter().cloned().map(Ok), C + 10);
    again.until(END + 1);
    assert_eq!(again.log, []);
}

#[test]
fn a_write_that_was_lost_after_it_took_effect_is_sent_by_the_next_life_only() {
    let wallet = Wallet::new();
    let mut first = start(&wallet);
    first.journal = Some(false);
    first.until(C + 3);
    assert_eq!(first.broadcasts(), 0);
    let kept = restarted(&wallet, first.entries.iter().cloned().map(Ok), C + 5);
    let Entry::Sent(recorded) = &first.entries[0] else { panic!() };
    assert_eq!(kept.log.last(), Some(&Command::Broadcast(recorded.envelope.clone())));
    // One that was lost before has never been sent: the next life begins anew.
    let lost = restarted(&wallet, [], C + 5);
    assert_eq!((lost.broadcasts(), lost.entries.len()), (1, 1));
}

#[test]
fn a_torn_write_keeps_the_leader_silent_in_the_window_that_runs() {
    let wallet = Wallet::new();
    let mut leader = restarted(&wallet, [Err(EntryError)], C + 5);
    assert_eq!((leader.broadcasts(), leader.entries.len()), (0, 0));
    let result = leader.end();
    assert_eq!(result.agreement, Agreement::None(NoResult::NotSent(NotSent::JournalDamaged)));
}
