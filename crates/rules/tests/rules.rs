//! Every rule, broken alone: last rejected, first accepted.

#![allow(clippy::unwrap_used, reason = "only tests here")]

mod common;

use alloy_primitives::{Address, B256, U256};
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Txid, VarInt,
    consensus::encode,
    hashes::{Hash, hash160},
};
use common::{
    DAY, DEPOSIT_KINDS, MAX_FEE, NOW, World, deposit_sweep, heartbeat, moved_funds_sweep, moving_funds,
    one_of_each, redeemer_script, redemption, wallet,
};
use coxswain_rules::{
    Case, Cause, DepositKey, DepositOutputType, DepositRecord, Finding, KeyHash, Missing, Outcome, Reason,
    RedemptionKey, RedemptionRecord, Rejection, RuleId, Subject, SweepRequestKey, SweepRequestState, Value,
    WalletState, deposit_findings, evaluate, redemption_findings,
};

fn n(number: u64) -> U256 {
    U256::from(number)
}

fn first(world: &World) -> Option<Rejection> {
    evaluate(&world.case, &world.snapshot).unwrap().first()
}

#[track_caller]
fn assert_accepted(world: &World) {
    assert_eq!(first(world), None);
}

/// The rule is the first one broken, for this reason, and no other rule is broken: the world was changed in one place.
#[track_caller]
fn assert_rejected(world: &World, rule: RuleId, reason: Reason) {
    let rejection = Rejection { rule: Some(rule), cause: Cause::Reason(reason.clone()) };
    assert_eq!(first(world), Some(rejection));
    let report = evaluate(&world.case, &world.snapshot).unwrap();
    let broken: Vec<_> = report.findings().iter().filter(|finding| finding.reason().is_some()).collect();
    assert_eq!(broken.len(), 1, "{broken:#?}");
    assert_eq!(reason.rule(world.case.action()), Some(rule));
}

fn sweep(deposits: usize) -> World {
    deposit_sweep(&DEPOSIT_KINDS.into_iter().cycle().take(deposits).collect::<Vec<_>>())
}

/// Checks a rule about the wallet's state in all six states.
fn assert_states(mut world: World, rule: RuleId, allowed: &[WalletState]) {
    use WalletState::{Closed, Closing, Live, MovingFunds, Terminated, Unknown};
    for state in [Unknown, Live, MovingFunds, Closing, Closed, Terminated] {
        world.wallet().state = state;
        if allowed.contains(&state) {
            assert_accepted(&world);
        } else {
            let reason = Reason::WalletStateNotAllowed { wallet: wallet(), state: state as u8 };
            assert_rejected(&world, rule, reason);
        }
    }
}

#[test]
fn the_worlds_to_break_are_valid() {
    for world in one_of_each() {
        assert_accepted(&world);
    }
}

#[test]
fn ds_1_wallet_state() {
    assert_states(sweep(1), RuleId::Ds1, &[WalletState::Live, WalletState::MovingFunds]);
}

#[test]
fn ds_2_no_deposit() {
    assert_rejected(&sweep(0), RuleId::Ds2, Reason::SweepEmpty);
    assert_accepted(&sweep(1));
}

#[test]
fn ds_3_number_of_deposits() {
    let reason = Reason::SweepTooLarge { size: n(21), max_size: n(20) };
    assert_rejected(&sweep(21), RuleId::Ds3, reason);
    assert_accepted(&sweep(20));
}

#[test]
fn ds_4_number_of_extra_infos() {
    let mut world = sweep(2);
    let info = world.sweep().1.pop().unwrap();
    let reason = Reason::ExtraInfoCountMismatch { deposits: n(2), extra_infos: n(1) };
    assert_rejected(&world, RuleId::Ds4, reason);

    world.sweep().1.push(info.clone());
    assert_accepted(&world);

    world.sweep().1.push(info);
    let reason = Reason::ExtraInfoCountMismatch { deposits: n(2), extra_infos: n(3) };
    assert_rejected(&world, RuleId::Ds4, reason);
}

#[test]
fn ds_5_fee_zero() {
    let mut world = sweep(2);
    world.sweep().0.fee = Amount::ZERO;
    assert_rejected(&world, RuleId::Ds5, Reason::FeeZero);
    world.sweep().0.fee = Amount::from_sat(1);
    assert_accepted(&world);
}

#[test]
fn ds_6_largest_share() {
    let mut world = sweep(3);
    // 99,999 each, and 2 more for one.
    world.sweep().0.fee = Amount::from_sat(3 * 99_999 + 2);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Ds6, reason);
    world.sweep().0.fee = Amount::from_sat(3 * 99_999 + 1);
    assert_accepted(&world);
    world.sweep().0.fee = Amount::from_sat(3 * 100_000);
    assert_accepted(&world);
    world.sweep().0.fee = Amount::from_sat(3 * 100_000 + 1);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Ds6, reason);
}

#[test]
fn ds_7_not_revealed() {
    let mut world = sweep(3);
    world.deposit(1).revealed_at = 0;
    assert_rejected(&world, RuleId::Ds7, Reason::DepositNotRevealed { index: n(1) });
    world.deposit(1).revealed_at = 1;
    assert_accepted(&world);
    *world.deposit(1) = DepositRecord::default();
    assert_rejected(&world, RuleId::Ds7, Reason::DepositNotRevealed { index: n(1) });
}

#[test]
fn ds_8_too_young() {
    let mut world = sweep(3);
    world.deposit(2).revealed_at = NOW - 7_200;
    let reason = Reason::DepositTooYoung { index: n(2), eligible_after: n(NOW.into()) };
    assert_rejected(&world, RuleId::Ds8, reason);
    world.deposit(2).revealed_at = NOW - 7_201;
    assert_accepted(&world);
}

#[test]
fn ds_9_already_swept() {
    let mut world = sweep(2);
    world.deposit(1).swept_at = 1;
    assert_rejected(&world, RuleId::Ds9, Reason::DepositAlreadySwept { index: n(1), swept_at: n(1) });
    world.deposit(1).swept_at = 0;
    assert_accepted(&world);
}

#[test]
fn ds_10_funding_transaction_hash() {
    type Part = fn(&mut coxswain_rules::FundingTransaction) -> &mut u8;
    let parts: [Part; 4] = [
        |funding| &mut funding.version[0],
        |funding| &mut funding.input_vector[1],
        // The value of the first output, which is not the deposit's.
        |funding| &mut funding.output_vector[1],
        |funding| &mut funding.locktime[3],
    ];
    for part in parts {
        let mut world = sweep(2);
        let expected = B256::from(world.sweep().0.deposits[1].outpoint.txid.to_byte_array());
        *part(&mut world.sweep().1[1].funding_transaction) ^= 1;
        let funding = world.sweep().1[1].funding_transaction.clone();
        let bytes = [&funding.version[..], &funding.input_vector, &funding.output_vector, &funding.locktime];
        let actual = B256::from(bitcoin::hashes::sha256d::Hash::hash(&bytes.concat()).to_byte_array());
        let reason = Reason::FundingTxHashMismatch { index: n(1), expected, actual };
        assert_rejected(&world, RuleId::Ds10, reason);
        *part(&mut world.sweep().1[1].funding_transaction) ^= 1;
        assert_accepted(&world);
    }
}

#[test]
fn ds_11_output_script_of_another_deposit() {
    for change in [
        |world: &mut World| world.deposit(1).depositor = Address::ZERO,
        |world: &mut World| world.deposit(1).extra_data = B256::repeat_byte(1),
        |world: &mut World| world.deposit(1).extra_data = B256::ZERO,
        |world: &mut World| world.sweep().1[1].blinding_factor[7] ^= 1,
        |world: &mut World| world.sweep().1[1].refund_key_hash.0[0] ^= 1,
        |world: &mut World| world.sweep().1[1].refund_locktime[0] ^= 1,
    ] {
        let mut world = sweep(2);
        change(&mut world);
        assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputScriptMismatch { index: n(1) });
    }
}

#[test]
fn ds_11_both_output_types_and_nothing_else() {
    let mut world = sweep(2);
    let script = world.deposit_script(1);
    for output_type in [DepositOutputType::P2sh, DepositOutputType::P2wsh] {
        let good = script.output_script(output_type);
        world.fund_by_script(1, good.clone());
        assert_accepted(&world);
        let mut longer = good.to_bytes();
        longer.push(0x87);
        let shorter = good.as_bytes()[..good.len() - 1].to_vec();
        for bad in [longer, shorter, script.as_script().to_bytes(), Vec::new(), vec![0x51; 300]] {
            world.fund_by_script(1, ScriptBuf::from_bytes(bad));
            assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputScriptMismatch { index: n(1) });
        }
        for position in 0..good.len() {
            let mut bad = good.to_bytes();
            bad[position] ^= 1;
            world.fund_by_script(1, ScriptBuf::from_bytes(bad));
            assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputScriptMismatch { index: n(1) });
        }
    }
}

#[test]
fn inc_1_key_hash_outputs_over_the_deposit_script_are_rejected() {
    for kind in DEPOSIT_KINDS {
        let mut world = deposit_sweep(&[DEPOSIT_KINDS[0], kind]);
        let hash = hash160::Hash::hash(world.deposit_script(1).as_script().as_bytes());
        let p2pkh = ScriptBuf::new_p2pkh(&bitcoin::PubkeyHash::from(hash));
        let p2wpkh = ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from(hash));
        for unspendable in [p2pkh, p2wpkh] {
            world.fund_by_script(1, unspendable);
            assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputScriptMismatch { index: n(1) });
        }
        let spendable = world.deposit_script(1).output_script(kind.0);
        world.fund_by_script(1, spendable);
        assert_accepted(&world);
    }
}

/// An output with this compact size before its script.
fn output(length: &[u8], script: &[u8]) -> Vec<u8> {
    [&[0; 8], length, script].concat()
}

fn compact(size: usize) -> Vec<u8> {
    encode::serialize(&VarInt::from(size))
}

#[test]
fn ds_11_output_index() {
    let mut world = sweep(1);
    let script = world.deposit_script(0).output_script(DepositOutputType::P2wsh);
    let good = output(&[34], script.as_bytes());
    let two = [vec![2], good.clone(), good.clone()].concat();
    world.fund(0, two.clone(), 2);
    assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputMalformed { index: n(0) });
    world.fund(0, two, 1);
    assert_accepted(&world);
    // The count says one, though another follows.
    world.fund(0, [vec![1], good.clone(), good.clone()].concat(), 1);
    assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputMalformed { index: n(0) });
    for empty in [vec![], vec![0], [vec![0], good].concat()] {
        world.fund(0, empty, 0);
        assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputMalformed { index: n(0) });
    }
    world.fund(0, vec![0xff; 9], u32::MAX);
    assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputMalformed { index: n(0) });
}

#[test]
fn ds_11_vector_cut_at_every_byte() {
    let mut world = sweep(1);
    let script = world.deposit_script(0).output_script(DepositOutputType::P2sh);
    let vector = [vec![2], output(&[3], &[0x51; 3]), output(&[23], script.as_bytes())].concat();
    for length in 0..vector.len() {
        world.fund(0, vector[..length].to_vec(), 1);
        assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputMalformed { index: n(0) });
    }
    world.fund(0, vector, 1);
    assert_accepted(&world);
}

#[test]
fn ds_11_what_follows_the_output_does_not_matter() {
    let mut world = sweep(1);
    let script = world.deposit_script(0).output_script(DepositOutputType::P2sh);
    let good = output(&[23], script.as_bytes());
    for (count, tail) in
        [(vec![1], vec![0xff]), (vec![200], vec![]), (vec![0xff; 9], vec![]), (vec![2], vec![0; 7])]
    {
        world.fund(0, [count, good.clone(), tail].concat(), 0);
        assert_accepted(&world);
    }
}

#[test]
fn ds_11_longer_forms_of_count_and_lengths() {
    let mut world = sweep(1);
    let script = world.deposit_script(0).output_script(DepositOutputType::P2wsh);
    let good = output(&[34], script.as_bytes());
    // Of 2, and of 34.
    let long = |small: u8| {
        [vec![0xfd, small, 0], vec![0xfe, small, 0, 0, 0], vec![0xff, small, 0, 0, 0, 0, 0, 0, 0]]
    };
    for count in long(2) {
        world.fund(0, [count.clone(), good.clone(), good.clone()].concat(), 1);
        assert_accepted(&world);
    }
    for length in long(34) {
        let longer = output(&length, script.as_bytes());
        world.fund(0, [vec![2], longer.clone(), good.clone()].concat(), 1);
        assert_accepted(&world);
        world.fund(0, [vec![2], longer, good.clone()].concat(), 0);
        assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputMalformed { index: n(0) });
    }
}

#[test]
fn ds_11_shortest_forms_at_their_boundaries() {
    // Well formed, and so a mismatch, only where the form is needed for the length.
    let mut world = sweep(1);
    for (length, form, well_formed) in [
        (0xfc, vec![0xfd, 0xfc, 0x00], false),
        (0xfd, vec![0xfd, 0xfd, 0x00], true),
        (0xffff, vec![0xfe, 0xff, 0xff, 0, 0], false),
        (0x1_0000, vec![0xfe, 0, 0, 1, 0], true),
        (0x1_0000, vec![0xff, 0, 0, 1, 0, 0, 0, 0, 0], false),
    ] {
        world.fund(0, [vec![1], output(&form, &vec![0x51; length])].concat(), 0);
        let reason = if well_formed {
            Reason::FundingOutputScriptMismatch { index: n(0) }
        } else {
            Reason::FundingOutputMalformed { index: n(0) }
        };
        assert_rejected(&world, RuleId::Ds11, reason);
    }
    // A length that nothing can hold, and one that would wrap a 64-bit position.
    for length in [vec![0xff, 0, 0, 0, 0, 1, 0, 0, 0], vec![0xff; 9]] {
        world.fund(0, [vec![2], output(&length, &[0; 64])].concat(), 1);
        assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputMalformed { index: n(0) });
    }
}

#[test]
fn ds_11_the_last_of_a_thousand_outputs() {
    let mut world = sweep(1);
    let script = world.deposit_script(0).output_script(DepositOutputType::P2wsh);
    let mut vector = compact(1_000);
    for index in 0..999 {
        let script = vec![0x51; index % 300];
        vector.extend(output(&compact(script.len()), &script));
    }
    vector.extend(output(&[34], script.as_bytes()));
    world.fund(0, vector.clone(), 999);
    assert_accepted(&world);
    world.fund(0, vector, 998);
    assert_rejected(&world, RuleId::Ds11, Reason::FundingOutputScriptMismatch { index: n(0) });
}

#[test]
fn ds_12_refund_too_close() {
    let mut world = sweep(2);
    world.remake_deposit(1, |info| info.refund_locktime = (NOW + DAY).to_le_bytes());
    let reason = Reason::DepositRefundTooClose { index: n(1), sweepable_before: n(NOW.into()) };
    assert_rejected(&world, RuleId::Ds12, reason);
    world.remake_deposit(1, |info| info.refund_locktime = (NOW + DAY + 1).to_le_bytes());
    assert_accepted(&world);
}

#[test]
fn ds_13_deposit_of_another_wallet() {
    let mut world = sweep(2);
    let other = KeyHash([9; 20]);
    world.remake_deposit(1, |info| info.wallet = other);
    assert_rejected(&world, RuleId::Ds13, Reason::DepositOfOtherWallet { index: n(1), wallet: other });
    world.remake_deposit(1, |info| info.wallet = wallet());
    assert_accepted(&world);
}

#[test]
fn ds_14_another_vault() {
    let mut world = sweep(3);
    for vault in [Address::ZERO, Address::repeat_byte(0xab)] {
        world.deposit(1).vault = vault;
        let reason =
            Reason::DepositVaultMismatch { index: n(1), vault, expected: Address::repeat_byte(0xaa) };
        assert_rejected(&world, RuleId::Ds14, reason);
    }
    for index in 0..3 {
        world.deposit(index).vault = Address::ZERO;
    }
    assert_accepted(&world);
}

#[test]
fn ds_15_repeated_deposit() {
    let mut world = sweep(4);
    let (proposal, extra_info) = world.sweep();
    proposal.deposits[3] = proposal.deposits[1];
    // Another block doesn't make it another deposit.
    proposal.deposits[3].reveal_block += 1;
    extra_info[3] = extra_info[1].clone();
    let reason = Reason::DepositDuplicated { index: n(3), first_index: n(1) };
    assert_rejected(&world, RuleId::Ds15, reason);

    let mut world = sweep(4);
    let vector = world.sweep().1[1].funding_transaction.output_vector.clone();
    let script = world.deposit_script(1).output_script(DepositOutputType::P2sh);
    let twice =
        [vec![3], output(&[23], script.as_bytes()), output(&[23], script.as_bytes()), vector].concat();
    world.fund(1, twice.clone(), 0);
    let record = world.deposit(1).clone();
    let (proposal, extra_info) = world.sweep();
    proposal.deposits[3].outpoint = OutPoint { vout: 1, ..proposal.deposits[1].outpoint };
    extra_info[3] = extra_info[1].clone();
    let key = DepositKey::new(proposal.deposits[3].outpoint);
    world.snapshot.deposits.insert(key, record);
    assert_accepted(&world);
}

#[test]
fn ds_15_names_the_first_occurrence() {
    let mut world = sweep(3);
    let (proposal, extra_info) = world.sweep();
    for index in 1..3 {
        proposal.deposits[index] = proposal.deposits[0];
        extra_info[index] = extra_info[0].clone();
    }
    let report = evaluate(&world.case, &world.snapshot).unwrap();
    let reasons: Vec<_> = report.findings().iter().filter_map(Finding::reason).cloned().collect();
    let repeated = |index| Reason::DepositDuplicated { index: n(index), first_index: n(0) };
    assert_eq!(reasons, [repeated(1), repeated(2)]);
}

#[test]
fn inc_7_refund_locktime_that_would_wrap() {
    let mut world = sweep(1);
    for locktime in [0, 1, DAY - 1, DAY] {
        world.remake_deposit(0, |info| info.refund_locktime = locktime.to_le_bytes());
        let reason = Reason::DepositRefundTooClose { index: n(0), sweepable_before: n(0) };
        assert_rejected(&world, RuleId::Ds12, reason);
    }
    world.remake_deposit(0, |info| info.refund_locktime = (DAY + 1).to_le_bytes());
    let reason = Reason::DepositRefundTooClose { index: n(0), sweepable_before: n(1) };
    assert_rejected(&world, RuleId::Ds12, reason);
    world.remake_deposit(0, |info| info.refund_locktime = u32::MAX.to_le_bytes());
    assert_accepted(&world);
}

#[test]
fn inc_7_reveal_time_that_would_wrap() {
    let mut world = sweep(1);
    world.remake_deposit(0, |info| info.refund_locktime = u32::MAX.to_le_bytes());
    world.deposit(0).revealed_at = u32::MAX - 7_199;
    let reason = Reason::DepositTooYoung { index: n(0), eligible_after: U256::MAX };
    assert_rejected(&world, RuleId::Ds8, reason.clone());
    world.deposit(0).revealed_at = u32::MAX - 7_200;
    let young = Reason::DepositTooYoung { index: n(0), eligible_after: n(u32::MAX.into()) };
    assert_rejected(&world, RuleId::Ds8, young);
    // Once block times are above 32 bits, the sum decides, not the comparison. (No refund is far by then.)
    world.snapshot.timestamp = u64::from(u32::MAX) + 1;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Ds12));
    world.deposit(0).revealed_at = u32::MAX - 7_199;
    assert_eq!(first(&world).unwrap().cause, Cause::Reason(reason));
}

#[test]
fn inc_7_request_time_that_would_wrap() {
    let mut world = redemption(1);
    // The minimum age.
    *world.delay(0) = 0;
    world.snapshot.redemption_parameters.redemption_timeout = 0;
    world.snapshot.timestamp = u64::MAX;
    world.request(0).requested_at = u32::MAX - 599;
    let young = Reason::RedemptionTooYoung { index: n(0), eligible_after: U256::MAX };
    assert_eq!(first(&world).unwrap().cause, Cause::Reason(young.clone()));
    world.request(0).requested_at = u32::MAX - 600;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Rd8));
    // The watchtower's delay.
    world.request(0).requested_at = NOW;
    *world.delay(0) = u32::MAX - NOW + 1;
    assert_eq!(first(&world).unwrap().cause, Cause::Reason(young));
    *world.delay(0) = u32::MAX - NOW;
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Rd8));
}

#[test]
fn inc_7_timeout_that_would_wrap() {
    let mut world = redemption(1);
    let late = Reason::RedemptionTimeoutTooClose { index: n(0), eligible_before: n(0) };
    let requested_at = world.request(0).requested_at;
    world.snapshot.redemption_parameters.redemption_timeout = u32::MAX - requested_at + 1;
    assert_rejected(&world, RuleId::Rd8, late.clone());
    world.snapshot.redemption_parameters.redemption_timeout = u32::MAX - requested_at;
    assert_accepted(&world);
    // A sum below its margin.
    world.snapshot.timestamp = 8_000;
    world.request(0).requested_at = 1;
    *world.delay(0) = 0;
    for timeout in [0, 7_198, 7_199] {
        world.snapshot.redemption_parameters.redemption_timeout = timeout;
        assert_rejected(&world, RuleId::Rd8, late.clone());
    }
    world.snapshot.redemption_parameters.redemption_timeout = 7_200;
    let late = Reason::RedemptionTimeoutTooClose { index: n(0), eligible_before: n(1) };
    assert_rejected(&world, RuleId::Rd8, late);
}

#[test]
fn rd_1_wallet_state() {
    assert_states(redemption(1), RuleId::Rd1, &[WalletState::Live, WalletState::MovingFunds]);
}

#[test]
fn rd_2_no_request() {
    assert_rejected(&redemption(0), RuleId::Rd2, Reason::RedemptionEmpty);
    assert_accepted(&redemption(1));
}

#[test]
fn rd_3_number_of_requests() {
    let reason = Reason::RedemptionTooLarge { size: n(21), max_size: n(20) };
    assert_rejected(&redemption(21), RuleId::Rd3, reason);
    assert_accepted(&redemption(20));
}

#[test]
fn rd_4_fee_zero() {
    let mut world = redemption(2);
    world.redemption().fee = Amount::ZERO;
    assert_rejected(&world, RuleId::Rd4, Reason::FeeZero);
    world.redemption().fee = Amount::from_sat(1);
    assert_accepted(&world);
}

#[test]
fn rd_5_total_fee() {
    let mut world = redemption(2);
    world.redemption().fee = MAX_FEE + Amount::from_sat(1);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Rd5, reason);
    world.redemption().fee = MAX_FEE;
    assert_accepted(&world);
}

#[test]
fn rd_6_not_pending() {
    let mut world = redemption(2);
    *world.request(1) = RedemptionRecord::default();
    assert_rejected(&world, RuleId::Rd6, Reason::RedemptionNotPending { index: n(1) });
    *world.request(1) = RedemptionRecord { requested_at: 1, ..world.request(0).clone() };
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Rd8));
}

#[test]
fn rd_7_minimum_age() {
    for delay in [0, 600] {
        let mut world = redemption(2);
        *world.delay(1) = delay;
        world.request(1).requested_at = NOW - 600;
        let reason = Reason::RedemptionTooYoung { index: n(1), eligible_after: n(NOW.into()) };
        assert_rejected(&world, RuleId::Rd7, reason);
        world.request(1).requested_at = NOW - 601;
        assert_accepted(&world);
    }
}

#[test]
fn rd_7_watchtower_delay() {
    let mut world = redemption(2);
    *world.delay(1) = 601;
    world.request(1).requested_at = NOW - 601;
    let reason = Reason::RedemptionTooYoung { index: n(1), eligible_after: n(NOW.into()) };
    assert_rejected(&world, RuleId::Rd7, reason);
    world.request(1).requested_at = NOW - 602;
    assert_accepted(&world);
    // Without a watchtower, only the minimum age counts.
    world.request(1).requested_at = NOW - 601;
    world.snapshot.watchtower_delays = None;
    assert_accepted(&world);
}

#[test]
fn rd_8_timeout_too_close() {
    let mut world = redemption(2);
    world.request(1).requested_at = NOW - 5 * DAY + 7_200;
    let reason = Reason::RedemptionTimeoutTooClose { index: n(1), eligible_before: n(NOW.into()) };
    assert_rejected(&world, RuleId::Rd8, reason);
    world.request(1).requested_at += 1;
    assert_accepted(&world);
}

#[test]
fn rd_9_fee_share() {
    let mut world = redemption(3);
    world.redemption().fee = Amount::from_sat(11);
    world.request(0).tx_max_fee = Amount::from_sat(2);
    let reason = Reason::RedemptionFeeShareTooHigh { index: n(0), share: n(3), max_share: n(2) };
    assert_rejected(&world, RuleId::Rd9, reason);
    world.request(0).tx_max_fee = Amount::from_sat(3);
    assert_accepted(&world);
    // The last one bears the remainder too.
    world.request(2).tx_max_fee = Amount::from_sat(4);
    let reason = Reason::RedemptionFeeShareTooHigh { index: n(2), share: n(5), max_share: n(4) };
    assert_rejected(&world, RuleId::Rd9, reason);
    world.request(2).tx_max_fee = Amount::from_sat(5);
    assert_accepted(&world);
}

#[test]
fn rd_10_repeated_request() {
    let mut world = redemption(3);
    world.redemption().scripts[2] = redeemer_script(0);
    let reason = Reason::RedemptionDuplicated { index: n(2), first_index: n(0) };
    assert_rejected(&world, RuleId::Rd10, reason);
    world.redemption().scripts[2] = redeemer_script(2);
    assert_accepted(&world);
}

#[test]
fn hb_1_message() {
    let mut world = heartbeat();
    let mut set = |message: Vec<u8>| {
        let Subject::Heartbeat(proposal) = &mut world.case.subject else { unreachable!() };
        proposal.message = message;
        world.clone()
    };
    for length in [0, 7, 8, 15, 17, 80] {
        assert_rejected(&set(vec![0xff; length]), RuleId::Hb1, Reason::HeartbeatMessageInvalid);
    }
    for position in 0..16 {
        let mut message = vec![0xff; 16];
        message[position] = 0xfe;
        if position < 8 {
            assert_rejected(&set(message), RuleId::Hb1, Reason::HeartbeatMessageInvalid);
        } else {
            assert_accepted(&set(message));
        }
    }
}

#[test]
fn mf_1_wallet_state() {
    assert_states(moving_funds(2), RuleId::Mf1, &[WalletState::MovingFunds]);
}

#[test]
fn mf_2_not_committed() {
    let mut world = moving_funds(2);
    world.wallet().moving_funds_target_wallets_commitment_hash = B256::ZERO;
    assert_rejected(&world, RuleId::Mf2, Reason::TargetWalletsNotCommitted);
}

#[test]
fn mf_3_other_targets() {
    let mut world = moving_funds(2);
    let committed = world.wallet().moving_funds_target_wallets_commitment_hash;
    let [one, two] = [KeyHash([1; 20]), KeyHash([2; 20])];
    for targets in [vec![], vec![one], vec![two, one], vec![one, two, two]] {
        let actual = coxswain_rules::target_wallets_commitment(&targets);
        world.moving_funds().0.targets = targets;
        let reason = Reason::TargetWalletsMismatch { committed, actual };
        assert_rejected(&world, RuleId::Mf3, reason);
    }
    world.moving_funds().0.targets = vec![one, two];
    assert_accepted(&world);
}

#[test]
fn mf_4_other_main_utxo() {
    for change in [
        |utxo: &mut coxswain_rules::Utxo| utxo.outpoint.txid = Txid::all_zeros(),
        |utxo: &mut coxswain_rules::Utxo| utxo.outpoint.vout += 1,
        |utxo: &mut coxswain_rules::Utxo| utxo.value += Amount::from_sat(1),
    ] {
        let mut world = moving_funds(2);
        change(world.moving_funds().1);
        let (expected, utxo) = (world.wallet().main_utxo_hash, *world.moving_funds().1);
        let actual = coxswain_rules::main_utxo_hash(&utxo);
        assert_rejected(&world, RuleId::Mf4, Reason::MainUtxoMismatch { expected, actual });
    }
    // Without one, what is named doesn't matter; only the dust threshold stands in the way.
    let mut world = moving_funds(2).without_main_utxo();
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = Amount::ZERO;
    assert_accepted(&world);
}

#[test]
fn mf_5_dust() {
    let mut world = moving_funds(2);
    let value = world.main_utxo.value;
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = value + Amount::from_sat(1);
    let reason =
        Reason::BalanceBelowDust { balance: n(value.to_sat()), dust_threshold: n(value.to_sat() + 1) };
    assert_rejected(&world, RuleId::Mf5, reason);
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = value;
    assert_accepted(&world);
    // A wallet without a main UTXO has no balance, whatever is named.
    world.snapshot.moving_funds_parameters.moving_funds_dust_threshold = Amount::from_sat(1);
    let reason = Reason::BalanceBelowDust { balance: n(0), dust_threshold: n(1) };
    assert_rejected(&world.without_main_utxo(), RuleId::Mf5, reason);
}

#[test]
fn mf_6_fee_zero() {
    let mut world = moving_funds(2);
    world.moving_funds().0.fee = Amount::ZERO;
    assert_rejected(&world, RuleId::Mf6, Reason::FeeZero);
    world.moving_funds().0.fee = Amount::from_sat(1);
    assert_accepted(&world);
}

#[test]
fn mf_7_fee() {
    let mut world = moving_funds(2);
    world.snapshot.moving_funds_parameters.moved_funds_sweep_tx_max_total_fee = Amount::ZERO;
    world.moving_funds().0.fee = MAX_FEE + Amount::from_sat(1);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Mf7, reason);
    world.moving_funds().0.fee = MAX_FEE;
    assert_accepted(&world);
}

#[test]
fn ms_1_wallet_state() {
    assert_states(moved_funds_sweep(), RuleId::Ms1, &[WalletState::Live, WalletState::MovingFunds]);
}

#[test]
fn ms_2_not_pending() {
    let mut world = moved_funds_sweep();
    for state in [SweepRequestState::Unknown, SweepRequestState::Processed, SweepRequestState::TimedOut] {
        world.sweep_request().state = state;
        assert_rejected(&world, RuleId::Ms2, Reason::SweepRequestNotPending { state: state as u8 });
    }
    world.sweep_request().state = SweepRequestState::Pending;
    assert_accepted(&world);
}

#[test]
fn ms_3_request_of_another_wallet() {
    let mut world = moved_funds_sweep();
    let other = KeyHash([9; 20]);
    world.sweep_request().wallet = other;
    assert_rejected(&world, RuleId::Ms3, Reason::SweepRequestOfOtherWallet { wallet: other });
}

#[test]
fn ms_4_fee_zero() {
    let mut world = moved_funds_sweep();
    world.moved_funds_sweep().fee = Amount::ZERO;
    assert_rejected(&world, RuleId::Ms4, Reason::FeeZero);
    world.moved_funds_sweep().fee = Amount::from_sat(1);
    assert_accepted(&world);
}

#[test]
fn ms_5_fee() {
    let mut world = moved_funds_sweep();
    world.snapshot.moving_funds_parameters.moving_funds_tx_max_total_fee = Amount::ZERO;
    world.moved_funds_sweep().fee = MAX_FEE + Amount::from_sat(1);
    let reason = Reason::FeeTooHigh { fee: n(100_001), max_fee: n(100_000) };
    assert_rejected(&world, RuleId::Ms5, reason);
    world.moved_funds_sweep().fee = MAX_FEE;
    assert_accepted(&world);
}

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
        assert!(report.findings().iter().all(|finding| finding.outcome == Outcome::Holds));
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
        let lacking = report.findings().iter().filter(|f| f.outcome == Outcome::NotEvaluable(needed)).count();
        assert_eq!(lacking, if needed == RuleId::Ds2 { 10 } else { 5 });
    }
}

#[test]
fn rules_are_not_evaluable_only_where_a_value_does_not_exist() {
    let lacking = |world: &World| -> Vec<_> {
        let report = evaluate(&world.case, &world.snapshot).unwrap();
        let lacking = |finding: &Finding| match finding.outcome {
            Outcome::NotEvaluable(needs) => Some((finding.rule, finding.item, needs)),
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
        assert_eq!(missing, lacks_wallet.then_some(Missing::Wallet(wallet())));
    }
    let mut world = sweep(2);
    let key = DepositKey::new(world.sweep().0.deposits[1].outpoint);
    world.snapshot.deposits.remove(&key);
    assert_eq!(outcome(&world), Missing::Deposit(key));

    let mut world = redemption(2);
    let key = RedemptionKey::new(wallet(), &redeemer_script(1));
    world.snapshot.watchtower_delays.as_mut().unwrap().remove(&key);
    assert_eq!(outcome(&world), Missing::WatchtowerDelay(key));
    world.snapshot.redemptions.remove(&key);
    assert_eq!(outcome(&world), Missing::Redemption(key));

    let mut world = moved_funds_sweep();
    let key = SweepRequestKey::new(world.moved_funds_sweep().outpoint);
    world.snapshot.sweep_requests.clear();
    assert_eq!(outcome(&world), Missing::SweepRequest(key));
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
    assert_eq!(evaluate(&case, &world.snapshot), Err(Missing::Wallet(KeyHash([9; 20]))));
}
