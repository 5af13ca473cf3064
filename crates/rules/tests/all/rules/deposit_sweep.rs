//! Deposit sweeps: DS-1 to DS-15, INC-1, INC-7.

use alloy_primitives::{Address, B256, U256};
use bitcoin::{
    Amount, OutPoint, ScriptBuf, VarInt,
    consensus::encode,
    hashes::{Hash as _, hash160},
};
use coxswain_rules::{
    Cause, DepositKey, DepositOutputType, DepositRecord, Finding, KeyHash, Reason, RuleId, WalletState,
    evaluate, units::UnixTime,
};

use crate::{
    common::{DAY, DEPOSIT_KINDS, NOW, World, deposit_sweep, wallet},
    rules::{assert_accepted, assert_rejected, assert_states, first, n, sweep},
};

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
    proposal.deposits[3].reveal_block = proposal.deposits[3].reveal_block.next();
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
    world.snapshot.timestamp = UnixTime(u64::from(u32::MAX) + 1);
    assert_eq!(first(&world).unwrap().rule, Some(RuleId::Ds12));
    world.deposit(0).revealed_at = u32::MAX - 7_199;
    assert_eq!(first(&world).unwrap().cause, Cause::Reason(reason));
}
