//! Of each of the contract's errors, one that can be, and those that can't.

use alloy_primitives::Address;
use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};

use super::*;
use crate::{
    DepositSweepProposal, FundingTransaction, HeartbeatProposal, KeyHash, MovedFundsSweepProposal,
    MovingFundsProposal, RedemptionProposal, RevealedDeposit, Utxo, rule_of_deployed_reason,
    units::BlockNumber,
};

const WALLET: KeyHash = KeyHash([1; 20]);
const OTHER: KeyHash = KeyHash([2; 20]);

fn outpoint(byte: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([byte; 32]), 0)
}

fn n(number: u64) -> U256 {
    U256::from(number)
}

fn case(subject: Subject) -> Case {
    Case { wallet: WALLET, subject }
}

/// Three deposits, the last of which repeats the first; the second pays another wallet, and its output is malformed.
fn sweep(fee: u64) -> Case {
    let deposits =
        [3, 4, 3].map(|byte| RevealedDeposit { outpoint: outpoint(byte), reveal_block: BlockNumber(1) });
    let info = |wallet, output_vector: Vec<u8>| DepositExtraInfo {
        funding_transaction: FundingTransaction {
            version: [1, 0, 0, 0],
            input_vector: vec![0],
            output_vector,
            locktime: [0; 4],
        },
        blinding_factor: [0; 8],
        wallet,
        refund_key_hash: OTHER,
        refund_locktime: [0xff; 4],
    };
    let output = [&[1][..], &[0; 8], &[1, 0x51]].concat();
    let extra_info = vec![info(WALLET, output.clone()), info(OTHER, vec![9]), info(WALLET, output)];
    let proposal = DepositSweepProposal { deposits: deposits.to_vec(), fee: Amount::from_sat(fee) };
    case(Subject::DepositSweep { proposal, extra_info })
}

fn redemption(fee: u64) -> Case {
    let scripts = [vec![0x51], vec![0x52], vec![0x51]].map(ScriptBuf::from_bytes).to_vec();
    case(Subject::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(fee) }))
}

fn moving(fee: u64) -> Case {
    let proposal = MovingFundsProposal { targets: vec![OTHER], fee: Amount::from_sat(fee) };
    let main_utxo = Utxo { outpoint: outpoint(5), value: Amount::from_sat(1_000) };
    case(Subject::MovingFunds { proposal, main_utxo })
}

fn moved(fee: u64) -> Case {
    let outpoint = outpoint(6);
    case(Subject::MovedFundsSweep(MovedFundsSweepProposal { outpoint, fee: Amount::from_sat(fee) }))
}

fn heartbeat(message: &[u8]) -> Case {
    case(Subject::Heartbeat(HeartbeatProposal { message: message.to_vec() }))
}

fn rejection(case: &Case, reason: Reason) -> Rejection {
    Rejection { rule: reason.rule(case.action()), cause: Cause::Reason(reason) }
}

/// The one can be, the others can't.
fn only(case: &Case, can: Reason, cannot: impl IntoIterator<Item = Reason>) {
    assert!(rejection(case, can.clone()).can_be(case), "{can:?}");
    for reason in cannot {
        assert!(!rejection(case, reason.clone()).can_be(case), "{reason:?}");
    }
}

#[test]
fn a_wallet_is_not_barred_for_a_state_that_it_must_be_in() {
    let in_state = |state| Reason::WalletStateNotAllowed { wallet: WALLET, state };
    let of_other = Reason::WalletStateNotAllowed { wallet: OTHER, state: 3 };
    for case in [sweep(9), redemption(9), moved(9)] {
        for state in [0, 3, 4, 5] {
            only(&case, in_state(state), [in_state(1), in_state(2), in_state(6), of_other.clone()]);
        }
    }
    for state in [0, 1, 3, 4, 5] {
        only(&moving(9), in_state(state), [in_state(2), in_state(6), of_other.clone()]);
    }
}

#[test]
fn a_fee_is_the_proposals_and_over_its_maximum() {
    for make in [redemption, moving, moved] {
        only(&make(0), Reason::FeeZero, [Reason::FeeTooHigh { fee: n(5), max_fee: n(10) }]);
        let (fee, max_fee) = (n(11), n(10));
        let not = [
            Reason::FeeZero,
            Reason::FeeTooHigh { fee: n(5), max_fee: n(10) },
            Reason::FeeTooHigh { fee: n(11), max_fee: n(11) },
            Reason::FeeTooHigh { fee: n(12), max_fee: n(10) },
        ];
        only(&make(11), Reason::FeeTooHigh { fee, max_fee }, not);
    }
    // Of 11 the largest share of three is 5.
    let not = [Reason::FeeZero, Reason::FeeTooHigh { fee: n(11), max_fee: n(4) }];
    only(&sweep(11), Reason::FeeTooHigh { fee: n(5), max_fee: n(4) }, not);
}

#[test]
fn sizes_are_the_proposals() {
    let (size, max_size) = (n(3), n(2));
    let not = [
        Reason::SweepEmpty,
        Reason::SweepTooLarge { size: n(21), max_size: n(20) },
        Reason::SweepTooLarge { size, max_size: n(3) },
    ];
    only(&sweep(9), Reason::SweepTooLarge { size, max_size }, not);
    let not = [
        Reason::RedemptionEmpty,
        Reason::RedemptionTooLarge { size: n(21), max_size: n(20) },
        Reason::RedemptionTooLarge { size, max_size: n(3) },
    ];
    only(&redemption(9), Reason::RedemptionTooLarge { size, max_size }, not);
    let mut short = sweep(9);
    if let Subject::DepositSweep { extra_info, .. } = &mut short.subject {
        extra_info.pop();
    }
    let mismatch = |deposits, extra_infos| Reason::ExtraInfoCountMismatch {
        deposits: n(deposits),
        extra_infos: n(extra_infos),
    };
    only(&short, mismatch(3, 2), [mismatch(2, 2), mismatch(3, 3), mismatch(3, 1)]);
    assert!(!rejection(&sweep(9), mismatch(3, 3)).can_be(&sweep(9)));
    let empty = case(Subject::Redemption(RedemptionProposal { scripts: vec![], fee: Amount::ZERO }));
    only(&empty, Reason::RedemptionEmpty, []);
    let proposal = DepositSweepProposal { deposits: vec![], fee: Amount::ZERO };
    only(&case(Subject::DepositSweep { proposal, extra_info: vec![] }), Reason::SweepEmpty, []);
}

#[test]
fn an_item_is_one_of_the_proposals() {
    for (index, far) in [(n(2), n(3)), (n(0), n(99)), (n(1), U256::MAX)] {
        only(&sweep(9), Reason::DepositNotRevealed { index }, [Reason::DepositNotRevealed { index: far }]);
        let not = [Reason::RedemptionNotPending { index: far }];
        only(&redemption(9), Reason::RedemptionNotPending { index }, not);
    }
}

#[test]
fn times_are_of_items_that_there_are() {
    let (time, one, far) = (n(7), n(1), n(3));
    let young = |index| Reason::DepositTooYoung { index, eligible_after: time };
    only(&sweep(9), young(one), [young(far)]);
    let young = |index| Reason::RedemptionTooYoung { index, eligible_after: time };
    only(&redemption(9), young(one), [young(far)]);
    let close = |index| Reason::RedemptionTimeoutTooClose { index, eligible_before: time };
    only(&redemption(9), close(one), [close(far)]);
    let close = |index| Reason::DepositRefundTooClose { index, sweepable_before: time };
    only(&sweep(9), close(one), [close(far)]);
    let swept = |index, swept_at| Reason::DepositAlreadySwept { index, swept_at };
    only(&sweep(9), swept(one, time), [swept(one, n(0)), swept(far, time)]);
}

#[test]
fn deposits_are_what_the_proposal_says_of_them() {
    let case = sweep(9);
    let hash = |byte| B256::repeat_byte(byte);
    let mismatch =
        |index, expected, actual| Reason::FundingTxHashMismatch { index: n(index), expected, actual };
    let not = [mismatch(1, hash(3), hash(9)), mismatch(0, hash(3), hash(3)), mismatch(3, hash(3), hash(9))];
    only(&case, mismatch(0, hash(3), hash(9)), not);
    let malformed = |index| Reason::FundingOutputMalformed { index: n(index) };
    only(&case, malformed(1), [malformed(0), malformed(3)]);
    let script = |index| Reason::FundingOutputScriptMismatch { index: n(index) };
    only(&case, script(0), [script(1), script(3)]);
    let other = |index, wallet| Reason::DepositOfOtherWallet { index: n(index), wallet };
    only(&case, other(1, OTHER), [other(0, OTHER), other(1, WALLET), other(1, KeyHash([7; 20]))]);
    let vault = |index, vault, expected| Reason::DepositVaultMismatch { index: n(index), vault, expected };
    let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
    only(&case, vault(1, one, two), [vault(0, one, two), vault(1, one, one), vault(3, one, two)]);
    let twice =
        |index, first_index| Reason::DepositDuplicated { index: n(index), first_index: n(first_index) };
    only(&case, twice(2, 0), [twice(1, 0), twice(0, 0), twice(0, 2), twice(3, 0)]);
}

#[test]
fn requests_bear_the_share_that_is_theirs() {
    let case = redemption(11);
    let share = |index, share, max_share| Reason::RedemptionFeeShareTooHigh {
        index: n(index),
        share: n(share),
        max_share: n(max_share),
    };
    only(&case, share(2, 5, 4), [share(2, 5, 5), share(1, 5, 4), share(3, 5, 4), share(2, 3, 2)]);
    let twice =
        |index, first_index| Reason::RedemptionDuplicated { index: n(index), first_index: n(first_index) };
    only(&case, twice(2, 0), [twice(1, 0), twice(0, 2), twice(3, 0)]);
}

#[test]
fn a_heartbeat_is_invalid_if_it_is() {
    let valid = [[0xff; 8], [0; 8]].concat();
    assert!(!rejection(&heartbeat(&valid), Reason::HeartbeatMessageInvalid).can_be(&heartbeat(&valid)));
    only(&heartbeat(&[0xff; 8]), Reason::HeartbeatMessageInvalid, []);
}

#[test]
fn funds_are_moved_as_the_proposal_says() {
    let case = moving(9);
    let hash = target_wallets_commitment(&[OTHER]);
    let targets = |committed, actual| Reason::TargetWalletsMismatch { committed, actual };
    only(&case, targets(B256::ZERO, hash), [targets(hash, hash), targets(B256::ZERO, B256::repeat_byte(1))]);
    only(&case, Reason::TargetWalletsNotCommitted, []);
    let Subject::MovingFunds { main_utxo, .. } = &case.subject else { panic!() };
    let hash = main_utxo_hash(main_utxo);
    let mismatch = |expected, actual| Reason::MainUtxoMismatch { expected, actual };
    let not = [mismatch(hash, hash), mismatch(B256::repeat_byte(1), B256::repeat_byte(2))];
    only(&case, mismatch(B256::repeat_byte(1), hash), not);
    let dust = |balance, dust_threshold| Reason::BalanceBelowDust {
        balance: n(balance),
        dust_threshold: n(dust_threshold),
    };
    only(&case, dust(1_000, 1_001), [dust(1_000, 1_000), dust(999, 1_001)]);
    only(&case, dust(0, 1_001), []);
}

#[test]
fn moved_funds_are_not_another_wallets_if_they_are_the_wallets() {
    let state = |state| Reason::SweepRequestNotPending { state };
    for other in [0, 2, 3] {
        only(&moved(9), state(other), [state(1), state(4)]);
    }
    let of = |wallet| Reason::SweepRequestOfOtherWallet { wallet };
    only(&moved(9), of(OTHER), [of(WALLET)]);
}

#[test]
fn a_reason_is_the_actions_and_texts_are_held_against_the_proposal_too() {
    let wrong = Rejection { rule: Some(RuleId::Rd4), cause: Cause::Reason(Reason::FeeZero) };
    assert!(!wrong.can_be(&sweep(0)));
    let told = |case: &Case, text: &str| {
        let rule = rule_of_deployed_reason(case.action(), text);
        Rejection { rule, cause: Cause::Text(text.to_owned()) }.can_be(case)
    };
    assert!(told(&sweep(0), "Proposed transaction fee cannot be zero"));
    assert!(!told(&sweep(1), "Proposed transaction fee cannot be zero"));
    assert!(!told(&sweep(0), "Proposed transaction fee is too high"));
    assert!(!told(&sweep(1), "Sweep exceeds the max size"));
    assert!(!told(&sweep(1), "Sweep below the min size"));
    assert!(!told(&sweep(1), "Each deposit key must have matching extra info"));
    assert!(told(&sweep(1), "Deposit controlled by different wallet"));
    assert!(told(&sweep(1), "Duplicated deposit") && told(&redemption(1), "Duplicated request"));
    assert!(!told(&redemption(1), "Redemption exceeds the max size"));
    assert!(!told(&heartbeat(&[0xff; 16]), "Not a valid heartbeat message"));
    assert!(!told(&heartbeat(&[0xff; 16]), "a text that is none"));
    let panic = Rejection { rule: None, cause: Cause::Panic(n(0x11)) };
    assert!(panic.can_be(&sweep(1)));
}
