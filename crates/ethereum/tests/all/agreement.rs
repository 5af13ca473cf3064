//! The same Rust validator, asked of our contract and of the one deployed on mainnet, on the real Bridge: the same
//! verdicts, and for each way to say no the same rule. Their one difference (INC-1) has a test of its own.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use crate::validators::{Validators, ask_everything};
use alloy::primitives::{B256, U256};
use coxswain_ethereum::{BlockSelector, ContractVerdict};
use coxswain_rules::{Action, Amount, Case, Cause, Reason, RuleId, Subject};
use coxswain_testkit::sweep;

#[tokio::test]
async fn both_validators_give_the_same_verdict_and_every_reason_its_rule() {
    ask_everything(&mut Validators::observed(()).await).await;
}

#[tokio::test]
async fn inc_1_a_deposit_that_nobody_can_spend_is_the_one_difference() {
    let mut validators = Validators::observed(()).await;
    let case = Case {
        wallet: validators.scene.working.key_hash(),
        subject: sweep(&[validators.scene.deposits[0].clone(), validators.scene.unspendable.clone()]),
    };
    let [ours, deployed] = validators.verdicts(&case).await;
    assert_eq!(deployed, ContractVerdict::Valid);
    let ContractVerdict::Rejected(rejection) = ours else { panic!("{ours:?}") };
    assert_eq!(rejection.rule, Some(RuleId::Ds11));
    assert_eq!(rejection.cause, Cause::Reason(Reason::FundingOutputScriptMismatch { index: U256::ONE }));
}

#[tokio::test]
async fn what_is_accepted_can_be_carried_out() {
    let mut validators = Validators::observed(()).await;
    let wallets = [validators.scene.working.clone(), validators.scene.retiring.clone()];
    for action in Action::ALL {
        let case = validators.case(action);
        validators.valid(case.clone()).await;
        let wallet = wallets.iter().find(|wallet| wallet.key_hash() == case.wallet).unwrap();
        validators.scene.world.carry_out(wallet, &case.subject).await.unwrap();
    }
}

#[tokio::test]
async fn a_judgement_names_the_block_and_holds_for_it_alone() {
    let validators = Validators::observed(()).await;
    let case = Case {
        wallet: validators.scene.working.key_hash(),
        subject: Subject::Redemption(coxswain_rules::RedemptionProposal {
            scripts: vec![validators.scene.young_request.script.clone()],
            fee: Amount::from_sat(1000),
        }),
    };
    let before = validators.ours.validate(&case, BlockSelector::Latest).await;
    let young = before.block.unwrap();
    validators.scene.world.chain.advance(601).await.unwrap();
    let after = validators.ours.validate(&case, BlockSelector::Latest).await;
    assert_eq!(after.verdict, ContractVerdict::Valid);
    assert!(after.block.unwrap().number > young.number);

    for selector in [BlockSelector::Hash(young.hash), BlockSelector::Number(young.number)] {
        assert_eq!(validators.ours.validate(&case, selector).await, before, "{selector}");
    }
    let unknown = validators.ours.validate(&case, BlockSelector::Hash(B256::repeat_byte(1))).await;
    assert_eq!(unknown.block, None);
    assert!(matches!(unknown.verdict, ContractVerdict::Undecided(error) if error.kind() == "no-block"));
}
