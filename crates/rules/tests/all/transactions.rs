//! The wallet's transactions: what they pay, that Bitcoin Core's own script verification accepts them once signed,
//! and how large they are then.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "only tests here")]

use crate::common::{
    DEPOSIT_KINDS, DepositKind, World, deposit_sweep, moved_funds_sweep, moving_funds, redeemer_script,
    redemption, refund_key, wallet, wallet_key, wallet_public_key,
};
use alloy_primitives::B256;
use bitcoin::{
    Amount, CompressedPublicKey, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxOut,
    WPubkeyHash, absolute,
    consensus::encode,
    ecdsa,
    hashes::Hash,
    opcodes::all::OP_PUSHNUM_1,
    script::Builder,
    secp256k1::{self, Message, Secp256k1, SecretKey},
    sighash::SighashCache,
    transaction::Version,
};
use coxswain_rules::{
    DepositKey, DepositOutputType, KeyHash, MissingError, OutputVectorError, RedemptionKey, SignError,
    Subject, SweepRequestKey, TransactionError, UnsignedTransaction, main_utxo_hash, network::DustChange,
};

fn build(world: &World) -> Result<UnsignedTransaction, TransactionError> {
    let (snapshot, wallet) = (&world.snapshot, world.case.wallet);
    match &world.case.subject {
        Subject::DepositSweep { proposal, extra_info } => {
            UnsignedTransaction::deposit_sweep(snapshot, wallet, proposal, extra_info, world.main_utxo())
        }
        Subject::Redemption(proposal) => {
            UnsignedTransaction::redemption(snapshot, wallet, proposal, world.main_utxo, DustChange::Refused)
        }
        Subject::MovingFunds { proposal, main_utxo } => {
            UnsignedTransaction::moving_funds(snapshot, wallet, proposal, *main_utxo)
        }
        Subject::MovedFundsSweep(proposal) => {
            UnsignedTransaction::moved_funds_sweep(snapshot, wallet, proposal, world.main_utxo())
        }
        Subject::Heartbeat(_) => unreachable!("a heartbeat has no transaction"),
    }
}

/// Signatures that are 71 or 72 bytes long with their sighash byte, as chance has it, or `ground` until they are 72.
fn signatures(unsigned: &UnsignedTransaction, ground: bool) -> Vec<secp256k1::ecdsa::Signature> {
    let secp = Secp256k1::new();
    let sign = |sighash: Message| {
        (0_u8..=255)
            .map(|attempt| secp.sign_ecdsa_with_noncedata(&sighash, &wallet_key(), &[attempt; 32]))
            .find(|signature| !ground || signature.serialize_der().len() == 71)
            .expect("one in two is that long")
    };
    unsigned.sighashes().into_iter().map(sign).collect()
}

/// Asks Bitcoin Core about every input.
fn verify(transaction: &Transaction, prevouts: &[TxOut]) -> Result<(), usize> {
    assert_eq!(transaction.input.len(), prevouts.len());
    let bytes = encode::serialize(transaction);
    for (index, prevout) in prevouts.iter().enumerate() {
        let flags = bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT;
        let (script, value) = (prevout.script_pubkey.as_bytes(), prevout.value.to_sat());
        bitcoinconsensus::verify_with_flags(script, value, &bytes, None, index, flags).map_err(|_| index)?;
    }
    Ok(())
}

/// Every kind of transaction, of all sizes that differ in form.
fn every_kind() -> Vec<(String, World)> {
    let mut worlds = Vec::new();
    let mut add = |name: String, world: World| {
        worlds.push((format!("{name}, with a main UTXO"), world.clone()));
        if world.case.action() != coxswain_rules::Action::Redemption
            && world.case.action() != coxswain_rules::Action::MovingFunds
        {
            worlds.push((format!("{name}, without a main UTXO"), world.without_main_utxo()));
        }
    };
    for kind in DEPOSIT_KINDS {
        add(format!("a sweep of one {kind:?}"), deposit_sweep(&[kind]));
    }
    add("a sweep of all kinds".to_owned(), deposit_sweep(&DEPOSIT_KINDS));
    let twenty: Vec<DepositKind> = DEPOSIT_KINDS.into_iter().cycle().take(20).collect();
    add("a sweep of 20".to_owned(), deposit_sweep(&twenty));
    for requests in [1, 4, 20] {
        add(format!("a redemption of {requests}"), redemption(requests));
        let mut world = redemption(requests);
        world.main_utxo.value = Amount::from_sat(1_999_000 * u64::from(requests));
        world.wallet().main_utxo_hash = main_utxo_hash(&world.main_utxo);
        add(format!("a redemption of {requests} without change"), world);
    }
    for targets in [1, 3] {
        add(format!("moving funds to {targets}"), moving_funds(targets));
    }
    add("a moved funds sweep".to_owned(), moved_funds_sweep());
    worlds
}

#[test]
fn bitcoin_core_accepts_every_kind_signed() {
    let worlds = every_kind();
    assert_eq!(worlds.len(), 2 * 6 + 6 + 2 + 2);
    for (name, world) in worlds {
        let unsigned = build(&world).unwrap();
        let signed = unsigned.sign(wallet_public_key(), &signatures(&unsigned, false)).unwrap();
        assert_eq!(verify(&signed, &unsigned.prevouts()), Ok(()), "{name}");
        // It does look: without its signatures, or with another value on the way out, it refuses the same transaction.
        assert_eq!(verify(unsigned.transaction(), &unsigned.prevouts()), Err(0), "{name}");
        let mut changed = signed.clone();
        changed.output[0].value += Amount::from_sat(1);
        assert_eq!(verify(&changed, &unsigned.prevouts()), Err(0), "{name}");
    }
}

/// The transactions that fund a sweep's deposits.
fn funding(world: &World) -> Vec<Transaction> {
    let Subject::DepositSweep { extra_info, .. } = &world.case.subject else { return Vec::new() };
    let whole = |info: &coxswain_rules::DepositExtraInfo| {
        let parts = &info.funding_transaction;
        let bytes = [&parts.version[..], &parts.input_vector, &parts.output_vector, &parts.locktime].concat();
        encode::deserialize(&bytes).unwrap()
    };
    extra_info.iter().map(whole).collect()
}

#[test]
fn a_psbt_tells_another_signer_to_sign_the_same() {
    for (name, world) in every_kind() {
        let unsigned = build(&world).unwrap();
        let psbt = unsigned.psbt(&funding(&world));
        assert_eq!(psbt.unsigned_tx, *unsigned.transaction());
        let mut cache = SighashCache::new(&psbt.unsigned_tx);
        for (index, expected) in unsigned.sighashes().into_iter().enumerate() {
            let (sighash, kind) = psbt.sighash_ecdsa(index, &mut cache).unwrap();
            assert_eq!((sighash, kind), (expected, EcdsaSighashType::All), "{name}, input {index}");
        }
        assert_eq!(bitcoin::Psbt::deserialize(&psbt.serialize()).unwrap(), psbt);
    }
}

#[test]
fn bitcoin_core_refuses_a_wrong_value_of_every_segwit_input() {
    let unsigned = build(&deposit_sweep(&DEPOSIT_KINDS)).unwrap();
    let signed = unsigned.sign(wallet_public_key(), &signatures(&unsigned, false)).unwrap();
    for (index, segwit) in [true, false, false, true, true].into_iter().enumerate() {
        let mut prevouts = unsigned.prevouts();
        prevouts[index].value += Amount::from_sat(1);
        assert_eq!(verify(&signed, &prevouts), if segwit { Err(index) } else { Ok(()) });
    }
}

#[test]
fn the_virtual_size_is_exact_for_72_byte_signatures_and_never_too_small() {
    for (name, world) in every_kind() {
        let unsigned = build(&world).unwrap();
        let size = |ground| {
            let signatures = signatures(&unsigned, ground);
            let signed = unsigned.sign(wallet_public_key(), &signatures).unwrap();
            u64::try_from(signed.vsize()).unwrap()
        };
        assert_eq!(unsigned.vsize(), size(true), "{name}");
        // A shorter signature saves a byte, which counts whole in a P2SH input and a quarter elsewhere.
        let shorter = size(false);
        let inputs = u64::try_from(unsigned.transaction().input.len()).unwrap();
        assert!(shorter <= unsigned.vsize() && unsigned.vsize() <= shorter + inputs, "{name}");
    }
}

#[test]
fn virtual_sizes_by_hand() {
    // 10 bytes of version, counts and lock time, half a vbyte of segwit marker; a P2WPKH input of 41 + 108/4 bytes, a
    // P2WPKH output of 31.
    assert_eq!(build(&moving_funds(1)).unwrap().vsize(), 110); // 10.5 + 68 + 31
    assert_eq!(build(&moved_funds_sweep()).unwrap().vsize(), 178); // 10.5 + 2 × 68 + 31
    // A P2SH input: 36 + 4 bytes, a length of 1, and pushes of 73 + 34 + (2 + 92); no witness anywhere.
    let p2sh = deposit_sweep(&[(DepositOutputType::P2sh, false)]).without_main_utxo();
    assert_eq!(build(&p2sh).unwrap().vsize(), 10 + 41 + 201 + 31);
    let p2sh = deposit_sweep(&[(DepositOutputType::P2sh, true)]).without_main_utxo();
    assert_eq!(build(&p2sh).unwrap().vsize(), 10 + 41 + 235 + 31);
    // A P2WSH input: 41 bytes, and a witness of 1 + 73 + 34 + 93 = 201, or 235.
    let p2wsh = deposit_sweep(&[(DepositOutputType::P2wsh, false)]).without_main_utxo();
    assert_eq!(build(&p2wsh).unwrap().vsize(), 133); // 10.5 + 41 + 50.25 + 31
    let p2wsh = deposit_sweep(&[(DepositOutputType::P2wsh, true)]).without_main_utxo();
    assert_eq!(build(&p2wsh).unwrap().vsize(), 142); // 10.5 + 41 + 58.75 + 31
}

#[test]
fn every_kind_has_version_1_lock_time_0_and_final_sequences() {
    for (name, world) in every_kind() {
        let unsigned = build(&world).unwrap();
        let transaction = unsigned.transaction();
        assert_eq!(transaction.version, Version::ONE, "{name}");
        assert_eq!(transaction.lock_time, absolute::LockTime::ZERO, "{name}");
        assert!(transaction.input.iter().all(|input| input.sequence == Sequence(0xffff_ffff)), "{name}");
    }
}

fn inputs(unsigned: &UnsignedTransaction) -> Vec<OutPoint> {
    unsigned.transaction().input.iter().map(|input| input.previous_output).collect()
}

fn outputs(unsigned: &UnsignedTransaction) -> Vec<(u64, ScriptBuf)> {
    let output = |output: &TxOut| (output.value.to_sat(), output.script_pubkey.clone());
    unsigned.transaction().output.iter().map(output).collect()
}

fn p2wpkh(key: KeyHash) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(key.0))
}

#[test]
fn a_deposit_sweep_merges_the_main_utxo_and_the_deposits_in_order() {
    let mut world = deposit_sweep(&DEPOSIT_KINDS);
    let deposits: Vec<_> = world.sweep().0.deposits.iter().map(|deposit| deposit.outpoint).collect();
    let unsigned = build(&world).unwrap();
    assert_eq!(inputs(&unsigned), [&[world.main_utxo.outpoint], &deposits[..]].concat());
    // 1,000,000 + 0, 1, 2, 3 each.
    let swept = 4_000_006 - 10_000;
    assert_eq!(outputs(&unsigned), [(123_456_789 + swept, p2wpkh(wallet()))]);

    let unsigned = build(&world.without_main_utxo()).unwrap();
    assert_eq!(inputs(&unsigned), deposits);
    assert_eq!(outputs(&unsigned), [(swept, p2wpkh(wallet()))]);
}

#[test]
fn a_redemption_pays_change_first_then_the_requests_in_order() {
    let mut world = redemption(3);
    world.redemption().fee = Amount::from_sat(11);
    world.request(1).requested_amount = Amount::from_sat(3_000_000);
    world.request(1).treasury_fee = Amount::from_sat(7);
    let unsigned = build(&world).unwrap();
    assert_eq!(inputs(&unsigned), [world.main_utxo.outpoint]);
    let paid = [
        (1_999_000 - 3, redeemer_script(0)),
        (2_999_993 - 3, redeemer_script(1)),
        (1_999_000 - 5, redeemer_script(2)),
    ];
    let change = [(123_456_789 - 1_999_000 - 2_999_993 - 1_999_000, p2wpkh(wallet()))];
    assert_eq!(outputs(&unsigned), [&change[..], &paid].concat());

    // No change of zero, but one of a satoshi.
    for (value, change) in [(6_997_993, None), (6_997_994, Some((1, p2wpkh(wallet()))))] {
        world.main_utxo.value = Amount::from_sat(value);
        world.wallet().main_utxo_hash = main_utxo_hash(&world.main_utxo);
        let expected: Vec<_> = change.into_iter().chain(paid.clone()).collect();
        assert_eq!(outputs(&build(&world).unwrap()), expected);
    }
}

#[test]
fn inc_37_dust_change_is_left_out_and_falls_to_the_fee_if_the_network_says_so() {
    let build_with = |change: u64, dust_change, maximum| {
        let mut world = redemption(3);
        world.redemption().fee = Amount::from_sat(11);
        world.main_utxo.value = Amount::from_sat(3 * 1_999_000 + change);
        world.wallet().main_utxo_hash = main_utxo_hash(&world.main_utxo);
        world.snapshot.redemption_parameters.redemption_tx_max_total_fee = Amount::from_sat(maximum);
        let proposal = world.redemption().clone();
        UnsignedTransaction::redemption(&world.snapshot, wallet(), &proposal, world.main_utxo, dust_change)
    };
    let shape = |change, dust_change| {
        let unsigned = build_with(change, dust_change, 100_000).unwrap();
        let dust = unsigned.dust().map(|(index, _)| index).collect::<Vec<_>>();
        (unsigned.transaction().output.len(), unsigned.fee().to_sat(), dust)
    };
    for dust_change in [DustChange::Refused, DustChange::LeftOut] {
        assert_eq!(shape(0, dust_change), (3, 11, vec![]));
        // The dust limit of P2WPKH.
        assert_eq!(shape(294, dust_change), (4, 11, vec![]));
    }
    for change in [1, 293] {
        assert_eq!(shape(change, DustChange::Refused), (4, 11, vec![0]));
        assert_eq!(shape(change, DustChange::LeftOut), (3, 11 + change, vec![]));
    }
    // The Bridge takes no higher fee than this.
    assert!(build_with(293, DustChange::LeftOut, 304).is_ok());
    let sat = Amount::from_sat;
    let error = TransactionError::ChangeNotInFee { change: sat(293), fee: sat(304), maximum: sat(303) };
    assert_eq!(build_with(293, DustChange::LeftOut, 303), Err(error));
    assert!(build_with(0, DustChange::LeftOut, 10).is_ok(), "the rules refuse that (RD-5)");
}

#[test]
fn moving_funds_pays_equal_parts_and_the_remainder_to_the_last() {
    let world = moving_funds(3);
    let unsigned = build(&world).unwrap();
    assert_eq!(inputs(&unsigned), [world.main_utxo.outpoint]);
    // 123,456,789 − 10,001 = 3 × 41,148,929 + 1
    let target = |number, value| (value, p2wpkh(KeyHash([number; 20])));
    assert_eq!(outputs(&unsigned), [target(1, 41_148_929), target(2, 41_148_929), target(3, 41_148_930)]);
}

#[test]
fn a_moved_funds_sweep_merges_the_moved_output_first() {
    let mut world = moved_funds_sweep();
    let moved = world.moved_funds_sweep().outpoint;
    let unsigned = build(&world).unwrap();
    assert_eq!(inputs(&unsigned), [moved, world.main_utxo.outpoint]);
    assert_eq!(outputs(&unsigned), [(7_000_000 + 123_456_789 - 10_000, p2wpkh(wallet()))]);

    let unsigned = build(&world.without_main_utxo()).unwrap();
    assert_eq!(inputs(&unsigned), [moved]);
    assert_eq!(outputs(&unsigned), [(7_000_000 - 10_000, p2wpkh(wallet()))]);
}

#[test]
fn a_main_utxo_that_the_bridge_does_not_know_is_refused() {
    for mut world in [deposit_sweep(&DEPOSIT_KINDS), redemption(2), moving_funds(2), moved_funds_sweep()] {
        let actual = main_utxo_hash(&world.main_utxo);
        let expected = B256::repeat_byte(1);
        world.wallet().main_utxo_hash = expected;
        assert_eq!(build(&world), Err(TransactionError::MainUtxoMismatch { expected, actual }));
    }
    // The wallet has one, but none is handed in; and the other way round.
    let world = moved_funds_sweep();
    let Subject::MovedFundsSweep(proposal) = &world.case.subject else { unreachable!() };
    let built = UnsignedTransaction::moved_funds_sweep(&world.snapshot, wallet(), proposal, None);
    let expected = main_utxo_hash(&world.main_utxo);
    assert_eq!(built, Err(TransactionError::MainUtxoMismatch { expected, actual: B256::ZERO }));

    let world = redemption(1).without_main_utxo();
    let actual = main_utxo_hash(&world.main_utxo);
    assert_eq!(build(&world), Err(TransactionError::MainUtxoMismatch { expected: B256::ZERO, actual }));
}

#[test]
fn outputs_below_zero_are_refused_and_zero_is_not() {
    let negative = |item, available, deducted| {
        Err(TransactionError::NegativeOutput {
            item,
            available: Amount::from_sat(available),
            deducted: Amount::from_sat(deducted),
        })
    };
    let mut world = deposit_sweep(&[DEPOSIT_KINDS[0]]).without_main_utxo();
    world.sweep().0.fee = Amount::from_sat(1_000_001);
    assert_eq!(build(&world), negative(None, 1_000_000, 1_000_001));
    world.sweep().0.fee = Amount::from_sat(1_000_000);
    assert!(build(&world).is_ok());

    let mut world = redemption(2);
    world.request(1).requested_amount = Amount::from_sat(5_999);
    assert_eq!(build(&world), negative(Some(1), 5_999, 6_000));
    world.request(1).requested_amount = Amount::from_sat(6_000);
    assert!(build(&world).is_ok());

    let mut world = redemption(2);
    world.request(1).requested_amount = Amount::from_sat(123_456_789);
    assert_eq!(build(&world), negative(None, 123_456_789, 123_455_789 + 1_999_000));

    let mut world = moving_funds(2);
    world.moving_funds().0.fee = Amount::from_sat(123_456_790);
    assert_eq!(build(&world), negative(None, 123_456_789, 123_456_790));

    let mut world = moved_funds_sweep().without_main_utxo();
    world.moved_funds_sweep().fee = Amount::from_sat(7_000_001);
    assert_eq!(build(&world), negative(None, 7_000_000, 7_000_001));
}

#[test]
fn sums_beyond_64_bits_are_refused() {
    let mut world = moved_funds_sweep();
    world.sweep_request().value = Amount::MAX;
    assert_eq!(build(&world), Err(TransactionError::Overflow));

    let mut world = redemption(2);
    world.request(0).treasury_fee = Amount::MAX;
    assert_eq!(build(&world), Err(TransactionError::Overflow));

    let mut world = redemption(2);
    for index in 0..2 {
        world.request(index).requested_amount = Amount::MAX;
    }
    assert_eq!(build(&world), Err(TransactionError::Overflow));
}

#[test]
fn proposals_without_items_have_no_transaction() {
    for world in [deposit_sweep(&[]), redemption(0), moving_funds(0)] {
        assert_eq!(build(&world), Err(TransactionError::NoItems));
    }
}

#[test]
fn missing_data_is_named() {
    let mut world = deposit_sweep(&DEPOSIT_KINDS);
    world.sweep().1.pop();
    assert_eq!(build(&world), Err(TransactionError::NoExtraInfo { item: 3 }));
    world.sweep().1[2].wallet = KeyHash([9; 20]);
    let other = TransactionError::DepositOfOtherWallet { item: 2, wallet: KeyHash([9; 20]) };
    assert_eq!(build(&world), Err(other));
    world.sweep().1[1].blinding_factor = [0xff; 8];
    assert_eq!(build(&world), Err(TransactionError::FundingOutputScriptMismatch { item: 1 }));
    world.sweep().1[0].funding_transaction.output_vector = vec![1];
    let source = OutputVectorError::OutOfRange { index: 1, count: 1 };
    assert_eq!(build(&world), Err(TransactionError::FundingOutputMalformed { item: 0, source }));
    let key = DepositKey::new(world.sweep().0.deposits[0].outpoint);
    world.snapshot.deposits.clear();
    assert_eq!(build(&world), Err(MissingError::Deposit(key).into()));

    let mut world = redemption(1);
    world.snapshot.redemptions.clear();
    let key = RedemptionKey::new(wallet(), &redeemer_script(0));
    assert_eq!(build(&world), Err(MissingError::Redemption(key).into()));

    let mut world = moved_funds_sweep();
    world.snapshot.sweep_requests.clear();
    let key = SweepRequestKey::new(world.moved_funds_sweep().outpoint);
    assert_eq!(build(&world), Err(MissingError::SweepRequest(key).into()));

    let mut world = moving_funds(1);
    world.snapshot.wallets.clear();
    assert_eq!(build(&world), Err(MissingError::Wallet(wallet()).into()));
}

#[test]
fn only_the_wallets_valid_signatures_make_a_transaction() {
    let unsigned = build(&deposit_sweep(&DEPOSIT_KINDS)).unwrap();
    let good = signatures(&unsigned, false);
    let key = wallet_public_key();
    assert!(unsigned.sign(key, &good).is_ok());

    let other = CompressedPublicKey(refund_key().public_key(&Secp256k1::new()));
    let actual = KeyHash(other.wpubkey_hash().to_byte_array());
    let of_other = SignError::KeyOfOtherWallet { expected: wallet(), actual };
    assert_eq!(unsigned.sign(other, &good), Err(of_other));

    let mismatch = SignError::SignatureCountMismatch { inputs: 5, signatures: 4 };
    assert_eq!(unsigned.sign(key, &good[..4]), Err(mismatch));

    let mut swapped = good.clone();
    swapped.swap(2, 3);
    assert_eq!(unsigned.sign(key, &swapped), Err(SignError::SignatureInvalid { input: 2 }));

    // The same signature with its S high is valid, but nodes don't relay it.
    let mut compact = good[1].serialize_compact();
    let s = SecretKey::from_slice(&compact[32..]).unwrap().negate();
    compact[32..].copy_from_slice(&s.secret_bytes());
    let mut high = good;
    high[1] = secp256k1::ecdsa::Signature::from_compact(&compact).unwrap();
    assert_eq!(unsigned.sign(key, &high), Err(SignError::SignatureInvalid { input: 1 }));
}

/// The depositor's way out, so that a deposit script is known to work from both sides.
#[test]
fn bitcoin_core_accepts_a_refund_after_the_lock_time_and_not_before() {
    for kind in DEPOSIT_KINDS {
        let mut world = deposit_sweep(&[kind]);
        let unsigned = build(&world.clone().without_main_utxo()).unwrap();
        let script = world.deposit_script(0);
        let locktime = u32::from_le_bytes(world.sweep().1[0].refund_locktime);
        for (at, accepted) in [(locktime - 1, false), (locktime, true)] {
            let mut refund = unsigned.transaction().clone();
            refund.lock_time = absolute::LockTime::from_consensus(at);
            refund.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
            let secp = Secp256k1::new();
            let mut cache = SighashCache::new(&refund);
            let all = EcdsaSighashType::All;
            let prevouts = unsigned.prevouts();
            let sighash = match kind.0 {
                DepositOutputType::P2sh => {
                    cache.legacy_signature_hash(0, script.as_script(), all.to_u32()).unwrap().to_byte_array()
                }
                DepositOutputType::P2wsh => cache
                    .p2wsh_signature_hash(0, script.as_script(), prevouts[0].value, all)
                    .unwrap()
                    .to_byte_array(),
            };
            let signature = secp.sign_ecdsa(&Message::from_digest(sighash), &refund_key());
            let signature = ecdsa::Signature::sighash_all(signature).serialize();
            let key = refund_key().public_key(&secp).serialize();
            match kind.0 {
                DepositOutputType::P2sh => {
                    refund.input[0].script_sig = Builder::new()
                        .push_slice(signature)
                        .push_slice(key)
                        .push_slice(
                            bitcoin::script::PushBytesBuf::try_from(script.as_script().to_bytes()).unwrap(),
                        )
                        .into_script();
                }
                DepositOutputType::P2wsh => {
                    let witness: [&[u8]; 3] = [&signature, &key, script.as_script().as_bytes()];
                    refund.input[0].witness = bitcoin::Witness::from_slice(&witness);
                }
            }
            assert_eq!(verify(&refund, &prevouts).is_ok(), accepted, "{kind:?} at {at}");
        }
    }
}

#[test]
fn the_verifier_refuses_what_should_not_verify() {
    // A spend of `OP_1` is accepted and of an empty P2WSH refused, so that `verify` is known to look at prevouts.
    let unsigned = build(&moving_funds(1)).unwrap();
    let anyone = Builder::new().push_opcode(OP_PUSHNUM_1).into_script();
    let prevout = TxOut { value: Amount::ZERO, script_pubkey: anyone.clone() };
    assert_eq!(verify(unsigned.transaction(), &[prevout]), Ok(()));
    let prevout = TxOut { value: Amount::ZERO, script_pubkey: anyone.to_p2wsh() };
    assert_eq!(verify(unsigned.transaction(), &[prevout]), Err(0));
}
