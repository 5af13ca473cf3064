//! Judging what was accepted: each row of the table, and when a verdict is asked for.

use std::sync::Arc;

use coxswain_protocol::{
    Agreement, Assurance, ContentVerdict, FaultKind, Mistake, NoResult, Objection, Undecided,
};
use coxswain_rules::{Amount, FeeObjection, RuleId, units::BlockNumber};

use crate::member::fixture::{
    C, Driven, END, Wallet, act, action, contract, redemption, rejected, undecided, valid,
};

/// A follower that settles on a redemption in the window's first block.
fn settled(wallet: &Wallet) -> Driven {
    let mut follower = Driven::follower(wallet);
    follower.block(C);
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    follower
}

/// What comes of these verdicts: at the first block after the message came, and from then on.
fn came_to(first: ContentVerdict, then: ContentVerdict) -> (Agreement, Vec<FaultKind>) {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    follower.verdict = Some(first);
    follower.block(C + 1);
    follower.verdict = Some(then);
    let result = follower.end();
    (result.agreement.clone(), result.faults.iter().map(|fault| fault.kind.clone()).collect())
}

fn mistake(objection: Arc<Objection>) -> (Agreement, Vec<FaultKind>) {
    let kind = FaultKind::LeaderMistake(Mistake::Rejected { objection, block: BlockNumber(END) });
    (Agreement::None(NoResult::Mistake), vec![kind])
}

fn later(objection: Arc<Objection>) -> (Agreement, Vec<FaultKind>) {
    (Agreement::None(NoResult::CameUpLater(objection)), vec![])
}

#[test]
fn inc_20_content_rejected_from_the_first_block_to_the_last_is_a_mistake_with_its_reason() {
    let objection = contract(RuleId::Rd4);
    assert_eq!(came_to(rejected(objection.clone()), rejected(objection.clone())), mistake(objection.clone()));
    let said = mistake(objection).1[0].to_string();
    assert_eq!(said, "leader mistake: at block 1000, RD-4: the fee is zero");
}

#[test]
fn what_was_not_there_from_the_start_blames_nobody() {
    let objection = contract(RuleId::Rd6);
    assert_eq!(came_to(valid(), rejected(objection.clone())), later(objection.clone()));
    assert_eq!(came_to(undecided(), rejected(objection.clone())), later(objection.clone()));
    let another = rejected(contract(RuleId::Rd4));
    assert_eq!(came_to(another, rejected(objection.clone())), later(objection.clone()), "another objection");
    let word = ContentVerdict::Rejected { objection: objection.clone(), assurance: Assurance::Word };
    assert_eq!(came_to(word, rejected(objection.clone())), later(objection), "on a word at first");
}

#[test]
fn what_comes_with_time_blames_nobody_even_if_it_was_there_at_once() {
    for rule in [RuleId::Ds12, RuleId::Rd8] {
        let objection = contract(rule);
        assert_eq!(came_to(rejected(objection.clone()), rejected(objection.clone())), later(objection));
    }
}

#[test]
fn one_servers_word_decides_nothing() {
    let objection = contract(RuleId::Rd4);
    for (assurance, decides) in
        [(Assurance::Word, false), (Assurance::Agreed, true), (Assurance::Proven, true)]
    {
        let verdict = ContentVerdict::Rejected { objection: objection.clone(), assurance };
        let (agreement, faults) = came_to(verdict.clone(), verdict);
        assert_eq!(faults.len(), usize::from(decides));
        let (proposal, objection) = (redemption(5), objection.clone());
        let word = Agreement::Undecided(Undecided::OneWord { proposal, objection });
        assert_eq!(agreement == word, !decides, "{agreement:?}");
    }
}

#[test]
fn inc_23_a_fee_blames_only_if_it_is_gross_at_first_and_at_the_end() {
    let fee = |sat| {
        let (fee, most) = (Amount::from_sat(sat), Amount::from_sat(100));
        Arc::new(Objection::Fee(FeeObjection::TooHigh { fee, most }))
    };
    let (high, gross) = (fee(200), fee(201));
    let differ = |objection| (Agreement::None(NoResult::FeeDisagreement(objection)), vec![]);
    assert_eq!(came_to(rejected(gross.clone()), rejected(gross.clone())), mistake(gross.clone()));
    assert_eq!(came_to(rejected(high.clone()), rejected(high.clone())), differ(high.clone()));
    assert_eq!(came_to(rejected(high.clone()), rejected(gross.clone())), differ(gross.clone()));
    assert_eq!(came_to(rejected(gross), rejected(high.clone())), differ(high));
    let low = |sat| {
        let (fee, least) = (Amount::from_sat(sat), Amount::from_sat(100));
        Arc::new(Objection::Fee(FeeObjection::TooLow { fee, least }))
    };
    assert_eq!(came_to(rejected(low(49)), rejected(low(49))), mistake(low(49)));
    assert_eq!(came_to(rejected(low(50)), rejected(low(50))), differ(low(50)));
}

#[test]
fn a_rejection_that_is_lifted_leaves_no_trace() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    follower.verdict = Some(rejected(contract(RuleId::Rd7)));
    follower.until(C + 50);
    follower.verdict = Some(valid());
    let result = follower.end();
    assert_eq!((action(&result), result.faults.len()), (&*redemption(5), 0));
}

#[test]
fn a_verdict_is_asked_for_at_the_first_block_at_each_new_one_while_time_can_help_and_at_the_end() {
    let wallet = Wallet::new();
    let asked = |verdict| {
        let mut follower = settled(&wallet);
        assert_eq!(follower.judged(), 0, "not by the head at which the message came");
        follower.verdict = Some(verdict);
        let mut asked = Vec::new();
        for block in C + 1..=END + 1 {
            follower.wanted();
            follower.block(block);
            follower.block(block);
            asked.extend(std::iter::repeat_n(block, follower.judged()));
        }
        asked
    };
    assert_eq!(asked(valid()), [C + 1, END]);
    assert_eq!(asked(rejected(contract(RuleId::Rd4))), [C + 1, END]);
    assert_eq!(asked(rejected(contract(RuleId::Rd8))), [C + 1, END]);
    let each: Vec<_> = (C + 1..=END).collect();
    assert_eq!(asked(rejected(contract(RuleId::Rd7))), each);
    assert_eq!(asked(undecided()), each);
}

#[test]
fn a_verdict_by_a_head_that_lags_does_not_count_as_the_first() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    follower.verdict = None;
    follower.block(C + 1);
    let coxswain_protocol::Command::Judge { question, .. } = follower.wanted().pop().unwrap() else {
        panic!()
    };
    let objection = contract(RuleId::Ds7);
    let verdict = rejected(objection.clone());
    let judged =
        coxswain_protocol::Event::Judged { question, verdict: verdict.clone(), block: BlockNumber(C) };
    follower.take(judged).unwrap();
    follower.verdict = Some(valid());
    follower.block(C + 2);
    assert_eq!(follower.judged(), 1, "asked again");
    follower.verdict = Some(verdict);
    assert_eq!(follower.end().agreement, Agreement::None(NoResult::CameUpLater(objection)));
}

#[test]
fn inc_22_our_own_failure_blames_nobody_and_is_retried_until_the_deadline() {
    let why = || "endpoint down".to_owned();
    let no_verdict =
        |why| (Agreement::Undecided(Undecided::NoVerdict { proposal: redemption(5), why }), vec![]);
    assert_eq!(came_to(undecided(), undecided()), no_verdict(why()));
    assert_eq!(came_to(rejected(contract(RuleId::Rd4)), undecided()), no_verdict(why()));
    assert_eq!(came_to(valid(), undecided()), no_verdict(why()));
    assert!(matches!(came_to(undecided(), valid()).0, Agreement::Action(..)), "it came back");
}

#[test]
fn inc_22_a_verdict_that_never_comes_blames_nobody_and_keeps_nobody_waiting() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    follower.verdict = None;
    follower.until(END - 1);
    assert_eq!(follower.judged(), 1, "one question at a time");
    follower.block(END);
    assert_eq!((follower.judged(), follower.result()), (2, None), "a last one");
    follower.block(END + 1);
    let result = follower.result().unwrap();
    let Agreement::Undecided(Undecided::NoVerdict { why, .. }) = &result.agreement else {
        panic!("{result:?}")
    };
    assert!(why.starts_with("no verdict") && result.faults.is_empty());
}

#[test]
fn a_head_that_leaps_past_the_windows_end_leaves_time_for_one_verdict() {
    let wallet = Wallet::new();
    let mut follower = settled(&wallet);
    follower.block(END + 5);
    assert_eq!(action(&follower.result().unwrap()), &*redemption(5));
    let objection = contract(RuleId::Rd4);
    let mut follower = settled(&wallet);
    follower.verdict = Some(rejected(objection.clone()));
    follower.block(END + 5);
    let kind = FaultKind::LeaderMistake(Mistake::Rejected { objection, block: BlockNumber(END + 5) });
    assert_eq!(follower.result().unwrap().faults, [wallet.fault(wallet.leader(), kind, Some(1))]);
}
