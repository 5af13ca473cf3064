//! What a report says of rules that hold, are broken, or can't be evaluated.

use alloy_primitives::{Address, B256};
use bitcoin::{Amount, hashes::Hash as _};
use coxswain_rules::{
    Case, DepositKey, DepositRecord, Finding, KeyHash, MissingError, Reason, RedemptionKey, RuleId, Ruling,
    SweepRequestKey, SweepRequestState, Value, WalletState, deposit_findings, evaluate, redemption_findings,
};

use crate::{
    common::{
        DAY, NOW, World, heartbeat, moved_funds_sweep, moving_funds, one_of_each, redeemer_script,
        redemption, wallet,
    },
    rules::{first, n, sweep},
};

#[test]
fn first_goes_by_rule_then_item_by_item() {
    let mut world = sweep(3);
    world.deposit(1).swept_at = 5;
    world.deposit(2).revealed_at = NOW;
    // DS-8 is the earlier rule, but the deposit that breaks DS-9 comes first.
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Ds9));
    world.deposit(1).revealed_at = NOW;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Ds8));
    // What is wrong with the proposal as a whole comes before what is wrong with its items.
    world.sweep().0.fee = Amount::ZERO;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Ds5));
    world.wallet().state = WalletState::Closed;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Ds1));
}

#[test]
fn every_rule_is_in_its_actions_report_and_empty_proposals_report_all_of_them_too() {
    let mut statements = Vec::new();
    for world in one_of_each() {
        let report = evaluate(&world.case, &world.snapshot).unwrap();
        let mut rules: Vec<_> = report.findings().iter().map(|finding| finding.rule).collect();
        rules.dedup();
        rules.sort();
        rules.dedup();
        statements.extend(rules.iter().map(|rule| (rule.id(), rule.statement())));
        assert!(report.findings().iter().all(|finding| finding.outcome == Ruling::Holds));
    }
    statements.sort_unstable();
    let mut expected: Vec<_> = RuleId::ALL.iter().map(|rule| (rule.id(), rule.statement())).collect();
    expected.sort_unstable();
    assert_eq!(statements, expected);

    for (world, needed) in [(sweep(0), RuleId::Ds2), (redemption(0), RuleId::Rd2)] {
        let report = evaluate(&world.case, &world.snapshot).unwrap();
        let rules: Vec<_> = report.findings().iter().map(|finding| finding.rule).collect();
        let of_action = RuleId::ALL.iter().filter(|rule| rule.action() == world.case.action());
        assert!(rules.iter().eq(of_action));
        let lacking = report.findings().iter().filter(|f| f.outcome == Ruling::NotEvaluable(needed)).count();
        assert_eq!(lacking, if needed == RuleId::Ds2 { 10 } else { 5 });
    }
}

#[test]
fn rules_are_not_evaluable_only_where_a_value_does_not_exist() {
    let lacking = |world: &World| -> Vec<_> {
        let report = evaluate(&world.case, &world.snapshot).unwrap();
        let lacking = |finding: &Finding| match finding.outcome {
            Ruling::NotEvaluable(needs) => Some((finding.rule, finding.item, needs)),
            _ => None,
        };
        report.findings().iter().filter_map(lacking).collect()
    };
    use RuleId::{Ds4, Ds7, Ds8, Ds9, Ds10, Ds11, Ds12, Ds13, Ds14, Mf2, Mf3, Ms2, Ms3, Rd6, Rd7, Rd8, Rd9};

    let mut world = sweep(2);
    *world.deposit(0) = DepositRecord::default();
    let of_first = [Ds8, Ds9, Ds11, Ds14].map(|rule| (rule, Some(0), Ds7));
    // The second one's vault has nothing to be compared with.
    assert_eq!(lacking(&world), [&of_first[..], &[(Ds14, Some(1), Ds7)]].concat());

    let mut world = sweep(2);
    world.sweep().1.pop();
    assert_eq!(lacking(&world), [Ds10, Ds11, Ds12, Ds13].map(|rule| (rule, Some(1), Ds4)));

    let mut world = redemption(2);
    world.request(1).requested_at = 0;
    assert_eq!(lacking(&world), [Rd7, Rd8, Rd9].map(|rule| (rule, Some(1), Rd6)));

    let mut world = moving_funds(2);
    world.wallet().moving_funds_target_wallets_commitment_hash = B256::ZERO;
    assert_eq!(lacking(&world), [(Mf3, None, Mf2)]);

    let mut world = moved_funds_sweep();
    world.sweep_request().state = SweepRequestState::Unknown;
    assert_eq!(lacking(&world), [(Ms3, None, Ms2)]);
}

#[test]
fn findings_show_what_they_compared_when_the_rule_holds() {
    let mut world = sweep(1);
    let report = evaluate(&world.case, &world.snapshot).unwrap();
    let compared = |rule| {
        let finding = report.findings().iter().find(|finding| finding.rule == rule).unwrap();
        (finding.actual, finding.bound)
    };
    let (number, time) = (|v| Some(Value::Number(n(v))), |v: u32| Some(Value::Time(n(v.into()))));
    let hash = Some(Value::Hash(B256::from(world.sweep().0.deposits[0].outpoint.txid.to_byte_array())));
    let own = Some(Value::Wallet(wallet()));
    let vault = Some(Value::Address(Address::repeat_byte(0xaa)));
    assert_eq!(compared(RuleId::Ds1), (Some(Value::WalletState(1)), None));
    assert_eq!(compared(RuleId::Ds2), (number(1), number(1)));
    assert_eq!(compared(RuleId::Ds3), (number(1), number(20)));
    assert_eq!(compared(RuleId::Ds4), (number(1), number(1)));
    assert_eq!(compared(RuleId::Ds5), (number(10_000), number(0)));
    assert_eq!(compared(RuleId::Ds6), (number(10_000), number(100_000)));
    assert_eq!(compared(RuleId::Ds7), (time(NOW - DAY), None));
    assert_eq!(compared(RuleId::Ds8), (time(NOW), time(NOW - DAY + 7_200)));
    assert_eq!(compared(RuleId::Ds9), (time(0), None));
    assert_eq!(compared(RuleId::Ds10), (hash, hash));
    assert_eq!(compared(RuleId::Ds11), (None, None));
    assert_eq!(compared(RuleId::Ds12), (time(NOW), time(NOW + 29 * DAY)));
    assert_eq!(compared(RuleId::Ds13), (own, own));
    assert_eq!(compared(RuleId::Ds14), (vault, vault));
    assert_eq!(compared(RuleId::Ds15), (None, None));
}

#[test]
fn what_the_snapshot_lacks_is_an_error_and_not_a_verdict() {
    let outcome = |world: &World| evaluate(&world.case, &world.snapshot).unwrap_err();

    for mut world in one_of_each() {
        let lacks_wallet = world.case.subject != heartbeat().case.subject;
        world.snapshot.wallets.clear();
        let missing = evaluate(&world.case, &world.snapshot).err();
        assert_eq!(missing, lacks_wallet.then_some(MissingError::Wallet(wallet())));
    }
    let mut world = sweep(2);
    let key = DepositKey::new(world.sweep().0.deposits[1].outpoint);
    world.snapshot.deposits.remove(&key);
    assert_eq!(outcome(&world), MissingError::Deposit(key));

    let mut world = redemption(2);
    let key = RedemptionKey::new(wallet(), &redeemer_script(1));
    world.snapshot.watchtower_delays.as_mut().unwrap().remove(&key);
    assert_eq!(outcome(&world), MissingError::WatchtowerDelay(key));
    world.snapshot.redemptions.remove(&key);
    assert_eq!(outcome(&world), MissingError::Redemption(key));

    let mut world = moved_funds_sweep();
    let key = SweepRequestKey::new(world.moved_funds_sweep().outpoint);
    world.snapshot.sweep_requests.clear();
    assert_eq!(outcome(&world), MissingError::SweepRequest(key));
}

#[test]
fn a_candidate_is_judged_alone_as_in_a_proposal() {
    let mut world = sweep(2);
    world.deposit(1).swept_at = 9;
    let outpoint = world.sweep().0.deposits[1].outpoint;
    let info = world.sweep().1[1].clone();
    let alone = deposit_findings(&world.snapshot, wallet(), outpoint, Some(&info), 0, outpoint).unwrap();
    let broken: Vec<_> = alone.iter().filter(|finding| finding.reason().is_some()).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].reason(), Some(&Reason::DepositAlreadySwept { index: n(0), swept_at: n(9) }));

    let mut world = redemption(2);
    world.request(1).requested_at = NOW;
    let script = redeemer_script(1);
    let alone = redemption_findings(&world.snapshot, wallet(), &script, 0, Amount::ZERO).unwrap();
    let reasons: Vec<_> = alone.iter().filter_map(Finding::reason).collect();
    let eligible_after = n(u64::from(NOW) + 7_200);
    assert_eq!(reasons, [&Reason::RedemptionTooYoung { index: n(0), eligible_after }]);
}

#[test]
fn a_case_of_another_wallet_reads_that_wallets_records() {
    let world = redemption(1);
    let case = Case { wallet: KeyHash([9; 20]), ..world.case };
    assert_eq!(evaluate(&case, &world.snapshot), Err(MissingError::Wallet(KeyHash([9; 20]))));
}
