//! Every rule is everywhere: in the name of a forge test, and behind a reason that a contract gives.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use std::{collections::BTreeSet, fs, path::Path};

use alloy_primitives::{Address, B256, U256};
use coxswain_rules::{Action, KeyHash, Reason, RuleId, rule_of_deployed_reason};

/// The names of all tests in the folder's Solidity files.
fn forge_tests(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            forge_tests(&path, names);
        } else if path.to_str().unwrap().ends_with(".t.sol") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("function ").skip(1).filter(|rest| rest.starts_with("test"));
            names.extend(functions.map(|rest| rest.split('(').next().unwrap().to_owned()));
        }
    }
}

#[test]
fn every_rule_is_in_the_name_of_a_forge_test() {
    let mut names = Vec::new();
    forge_tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test"), &mut names);
    for rule in RuleId::ALL {
        let id = rule.id().replace('-', "");
        let named = |name: &&String| {
            let behind = name.split_once(&format!("_{id}")).map(|(_, behind)| behind);
            behind.is_some_and(|behind| !behind.starts_with(|next: char| next.is_ascii_digit()))
        };
        let rejections = names.iter().filter(named).filter(|name| name.contains("Revert")).count();
        assert!(rejections > 0, "no forge test's name says that {id} is broken");
    }
}

/// Each of the contract's custom errors.
fn reasons() -> [Reason; 30] {
    let (index, n, wallet, hash, address) =
        (U256::ZERO, U256::ONE, KeyHash([1; 20]), B256::ZERO, Address::ZERO);
    [
        Reason::WalletStateNotAllowed { wallet, state: 0 },
        Reason::FeeZero,
        Reason::FeeTooHigh { fee: n, max_fee: n },
        Reason::SweepEmpty,
        Reason::SweepTooLarge { size: n, max_size: n },
        Reason::ExtraInfoCountMismatch { deposits: n, extra_infos: n },
        Reason::DepositNotRevealed { index },
        Reason::DepositTooYoung { index, eligible_after: n },
        Reason::DepositAlreadySwept { index, swept_at: n },
        Reason::FundingTxHashMismatch { index, expected: hash, actual: hash },
        Reason::FundingOutputMalformed { index },
        Reason::FundingOutputScriptMismatch { index },
        Reason::DepositRefundTooClose { index, sweepable_before: n },
        Reason::DepositOfOtherWallet { index, wallet },
        Reason::DepositVaultMismatch { index, vault: address, expected: address },
        Reason::DepositDuplicated { index, first_index: n },
        Reason::RedemptionEmpty,
        Reason::RedemptionTooLarge { size: n, max_size: n },
        Reason::RedemptionNotPending { index },
        Reason::RedemptionTooYoung { index, eligible_after: n },
        Reason::RedemptionTimeoutTooClose { index, eligible_before: n },
        Reason::RedemptionFeeShareTooHigh { index, share: n, max_share: n },
        Reason::RedemptionDuplicated { index, first_index: n },
        Reason::HeartbeatMessageInvalid,
        Reason::TargetWalletsNotCommitted,
        Reason::TargetWalletsMismatch { committed: hash, actual: hash },
        Reason::MainUtxoMismatch { expected: hash, actual: hash },
        Reason::BalanceBelowDust { balance: n, dust_threshold: n },
        Reason::SweepRequestNotPending { state: 0 },
        Reason::SweepRequestOfOtherWallet { wallet },
    ]
}

#[test]
fn every_rule_is_behind_a_reason_and_every_reason_before_a_rule() {
    let reasons = reasons();
    let kinds: BTreeSet<_> = reasons.iter().map(|reason| format!("{reason:?}")).collect();
    assert_eq!(kinds.len(), reasons.len(), "no reason is listed twice");
    let mut rules = BTreeSet::new();
    for reason in &reasons {
        let of_reason: Vec<_> = Action::ALL.into_iter().filter_map(|action| reason.rule(action)).collect();
        assert!(!of_reason.is_empty(), "{reason:?} breaks no rule");
        rules.extend(of_reason);
    }
    assert_eq!(rules, RuleId::ALL.iter().copied().collect());
    for reason in &reasons {
        for action in Action::ALL {
            assert!(reason.rule(action).is_none_or(|rule| rule.action() == action), "{reason:?}, {action}");
        }
    }
}

#[test]
fn a_deployed_reason_means_nothing_for_another_action() {
    let text = "Duplicated deposit";
    assert_eq!(rule_of_deployed_reason(Action::DepositSweep, text), Some(RuleId::Ds15));
    assert_eq!(rule_of_deployed_reason(Action::Redemption, text), None);
    assert_eq!(rule_of_deployed_reason(Action::DepositSweep, "duplicated deposit"), None);
}
