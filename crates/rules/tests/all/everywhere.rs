//! Every rule is everywhere: in the name of a forge test, behind a reason that a contract gives, and in the auditor's table.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, U256};
use coxswain_rules::{Action, KeyHash, Reason, RuleId, rule_of_deployed_reason};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names of all functions in the folder's Solidity tests that begin like this.
fn forge_tests(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            forge_tests(&path, prefix, names);
        } else if path.to_str().unwrap().ends_with(".t.sol") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("function ").skip(1).filter(|rest| rest.starts_with(prefix));
            names.extend(functions.map(|rest| rest.split('(').next().unwrap().to_owned()));
        }
    }
}

#[test]
fn every_rule_is_in_the_name_of_a_forge_test() {
    let mut names = Vec::new();
    forge_tests(&root().join("test"), "test", &mut names);
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

#[test]
fn the_auditors_table_has_each_rules_error_proof_and_deployed_reasons() {
    let text = fs::read_to_string(root().join("docs/audit.md")).unwrap();
    let patches = fs::read_to_string(root().join("audit/patches")).unwrap();
    let mut proofs = Vec::new();
    forge_tests(&root().join("test/symbolic"), "check_", &mut proofs);
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [rule, errors, proof, deployed] = *cells.as_slice() else { return None };
        let rule = RuleId::ALL.iter().copied().find(|known| known.id() == rule)?;
        Some((rule, errors, proof.trim_matches('`'), deployed))
    });
    let mut listed = Vec::new();
    for (rule, errors, proof, deployed) in rows {
        listed.push(rule);
        let reasons = reasons();
        let of_rule = reasons.iter().filter(|reason| reason.rule(rule.action()) == Some(rule));
        let names: BTreeSet<_> = of_rule.map(name).collect();
        assert_eq!(errors.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(), names, "{rule}");
        assert!(proofs.iter().any(|known| known == proof), "{rule}: there is no {proof}");
        assert!(patches.contains(&format!("\"{proof}\"")), "{rule}: {proof} isn't made to fail");
        for reason in deployed.split("; ").filter(|reason| !reason.starts_with("panic ")) {
            assert_eq!(rule_of_deployed_reason(rule.action(), reason), Some(rule), "{reason}");
        }
    }
    assert_eq!(listed, RuleId::ALL);
}

/// The error's name in Solidity.
fn name(reason: &Reason) -> String {
    let shown = format!("{reason:?}");
    shown.split([' ', '{']).next().unwrap().to_owned()
}
