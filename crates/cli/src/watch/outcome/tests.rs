//! Which windows a trace can be of, and what a window is said to have come to.

use bitcoin::hashes::Hash as _;
use coxswain_rules::units::Height;

use super::*;

/// Windows of 900 blocks, 12 s apart: window `index` begins at block 900 · index.
fn stage(index: u64) -> Stage {
    let end = index * 900 + 100;
    Stage {
        index,
        block: BlockNumber(index * 900),
        end: BlockNumber(end),
        ended: Some(UnixTime(end * 12)),
        expires: BlockNumber(end + 1_200),
        checklist: vec![Action::Redemption, Action::DepositSweep],
    }
}

fn stages() -> Vec<Stage> {
    (10..=14).map(stage).collect()
}

/// A redemption that was recorded at this block, and depends on nothing but old events.
fn redemption(recorded: u64) -> Bounds {
    Bounds {
        deed: Deed::Action(Action::Redemption),
        after: None,
        newest_event: BlockNumber(0),
        ready: UnixTime(0),
        recorded: Some(BlockNumber(recorded)),
        mined: None,
    }
}

const HEAD: BlockNumber = BlockNumber(14 * 900 + 500);

fn windows(bounds: &Bounds) -> Option<(u64, u64, bool)> {
    span(bounds, &stages(), HEAD).map(|span| (span.first, span.last, span.or_before))
}

#[test]
fn a_trace_is_of_no_window_that_ended_after_it_showed() {
    assert_eq!(windows(&redemption(12 * 900 + 99)), Some((10, 11, true)));
    assert_eq!(windows(&redemption(12 * 900 + 100)), Some((10, 12, true)));
    assert_eq!(windows(&redemption(10 * 900 + 99)), None, "an earlier window's");
    let unproven = Bounds { recorded: None, ..redemption(0) };
    assert_eq!(windows(&unproven), Some((10, 14, true)));
}

#[test]
fn a_trace_is_of_no_window_in_which_the_one_before_it_was_not_proven() {
    let after = |after| Bounds { after: Some(BlockNumber(after)), ..redemption(13 * 900 + 500) };
    assert_eq!(windows(&after(12 * 900 + 99)), Some((12, 13, false)));
    assert_eq!(windows(&after(12 * 900 + 100)), Some((13, 13, false)));
}

#[test]
fn a_trace_is_of_no_window_before_what_it_depends_on() {
    let bounds = redemption(13 * 900 + 500);
    let event = |block| Bounds { newest_event: BlockNumber(block), ..bounds };
    assert_eq!(windows(&event(12 * 900 + 99)), Some((12, 13, false)));
    assert_eq!(windows(&event(12 * 900 + 100)), Some((13, 13, false)));
    let ready = |time| Bounds { ready: UnixTime(time), ..bounds };
    assert_eq!(windows(&ready((12 * 900 + 100) * 12)), Some((12, 13, false)));
    assert_eq!(windows(&ready((12 * 900 + 100) * 12 + 1)), Some((13, 13, false)));
}

#[test]
fn a_trace_is_of_no_window_that_ended_after_its_block_was_mined_as_far_as_bitcoins_clock_tells() {
    let ended = (12 * 900 + 100) * 12;
    let mined = |time| Bounds { mined: Some(UnixTime(time)), ..redemption(14 * 900 + 500) };
    assert_eq!(windows(&mined(ended - BITCOIN_CLOCK.as_secs())), Some((10, 12, true)));
    assert_eq!(windows(&mined(ended - BITCOIN_CLOCK.as_secs() - 1)), Some((10, 11, true)));
}

#[test]
fn a_trace_is_of_no_window_whose_checklist_lacks_its_action() {
    let mut stages = stages();
    stages[1].checklist = vec![Action::Redemption];
    let sweep = Bounds {
        deed: Deed::Action(Action::DepositSweep),
        newest_event: BlockNumber(10 * 900 + 500),
        ..redemption(12 * 900 + 500)
    };
    let of = |stages: &[Stage]| span(&sweep, stages, HEAD).map(|span| (span.first, span.last));
    assert_eq!(of(&stages), Some((12, 12)));
    // None is left that allows it: then those that were in time.
    stages[2].checklist = vec![Action::Redemption];
    assert_eq!(of(&stages[1..3]), Some((11, 12)));
}

#[test]
fn a_commitment_is_of_the_window_that_its_block_is_in() {
    let commitment = |block| Bounds { deed: Deed::Commitment, ..redemption(block) };
    assert_eq!(windows(&commitment(12 * 900)), Some((12, 12, false)));
    assert_eq!(windows(&commitment(12 * 900 - 1)), Some((11, 11, false)));
    assert_eq!(windows(&commitment(10 * 900 - 1)), None);
}

fn trace(span: Option<(u64, u64)>, recorded: Option<u64>) -> Trace {
    Trace {
        deed: Deed::Action(Action::Redemption),
        txid: Some(Txid::all_zeros()),
        items: 1,
        height: Some(Height(7)),
        recorded: recorded.map(BlockNumber),
        span: span.map(|(first, last)| Span { first, last, or_before: false }),
    }
}

fn payable(scripts: &[&str]) -> Vec<Possible> {
    let items = scripts.iter().map(|script| (*script).to_owned()).collect();
    vec![Possible { action: Action::Redemption, items, open: None }]
}

fn due(items: usize, since: u64, all_since: bool, or_before: bool) -> Vec<Due> {
    vec![Due { action: Action::Redemption, items, since, all_since, or_before }]
}

/// What windows 10 and on came to.
fn outcomes(traces: Vec<Trace>, possible: &[Vec<Possible>]) -> Vec<Outcome> {
    let mut judge = Judge::new(traces, HEAD, 10);
    stages().iter().zip(possible).map(|(stage, possible)| judge.outcome(stage, possible)).collect()
}

#[test]
fn nothing_followed_though_redemptions_were_payable_since_a_window() {
    let possible = [payable(&[]), payable(&["a"]), payable(&["a", "b"]), payable(&["b"]), payable(&["b"])];
    let nothing = |due, until| Outcome::NothingFollowed { due, until, open: Vec::new() };
    let may_follow = Some(BlockNumber(14 * 900 + 1_300));
    assert_eq!(
        outcomes(Vec::new(), &possible),
        [
            Outcome::NothingDue,
            nothing(due(1, 11, true, false), None),
            nothing(due(2, 11, false, false), None),
            nothing(due(1, 12, true, false), None),
            nothing(due(1, 12, true, false), may_follow),
        ]
    );
    let watched_from_then = outcomes(Vec::new(), &[payable(&["a"])]);
    assert_eq!(watched_from_then, [nothing(due(1, 10, true, true), None)]);
}

#[test]
fn a_window_that_a_trace_may_be_of_is_never_said_to_have_come_to_nothing() {
    let possible = vec![payable(&["a"]); 4];
    let certain = trace(Some((12, 12)), Some(12 * 900 + 300));
    let outcome = outcomes(vec![certain.clone()], &possible);
    assert!(matches!(outcome[1], Outcome::NothingFollowed { .. }), "{outcome:?}");
    assert_eq!(outcome[2], Outcome::Followed(vec![certain]));
    let doubtful = trace(Some((11, 12)), Some(12 * 900 + 300));
    let outcome = outcomes(vec![doubtful.clone()], &possible);
    let maybe = Outcome::MaybeFollowed(vec![doubtful]);
    assert_eq!((&outcome[1], &outcome[2]), (&maybe, &maybe));
    assert!(matches!(outcome[3], Outcome::NothingFollowed { .. }), "{outcome:?}");
}

#[test]
fn a_wallet_whose_last_transaction_is_not_proven_is_busy() {
    let possible = vec![payable(&["a"]); 4];
    for (recorded, busy) in [(None, true), (Some(12 * 900 + 100), true), (Some(12 * 900 + 99), false)] {
        let earlier = trace(Some((11, 11)), recorded);
        let outcome = outcomes(vec![earlier.clone()], &possible);
        assert_eq!(outcome[2] == Outcome::Busy(earlier), busy, "{recorded:?}: {outcome:?}");
        assert_eq!(matches!(outcome[2], Outcome::Undecided(_)), !busy, "{outcome:?}");
    }
    // One that was recorded before the window began, be it in its first block, keeps it from nothing.
    let earlier = trace(Some((11, 11)), Some(12 * 900));
    assert!(matches!(outcomes(vec![earlier], &possible)[2], Outcome::NothingFollowed { .. }));
}

#[test]
fn what_cannot_be_told_is_neither_something_nor_nothing() {
    let open = |items: &[&str]| {
        let possible = payable(items).pop().unwrap();
        vec![Possible { open: Some("no state of the past".to_owned()), ..possible }]
    };
    let outcome = outcomes(Vec::new(), &[open(&[]), open(&["a"])]);
    let why = vec!["no state of the past".to_owned()];
    assert_eq!(outcome[0], Outcome::Undecided(why.clone()));
    assert_eq!(outcome[1], Outcome::NothingFollowed { due: due(1, 11, true, false), until: None, open: why });
}

#[test]
fn a_window_that_is_not_over_has_come_to_nothing_yet() {
    let mut judge = Judge::new(Vec::new(), BlockNumber(12 * 900 + 99), 12);
    assert_eq!(judge.outcome(&stage(12), &payable(&["a"])), Outcome::Running);
    judge.head = BlockNumber(12 * 900 + 100);
    assert!(matches!(judge.outcome(&stage(12), &payable(&["a"])), Outcome::NothingFollowed { .. }));
}
