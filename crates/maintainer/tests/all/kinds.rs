//! What each kind of transaction must be: each condition holds, then is broken alone.

use alloy::primitives::Address;
use bitcoin::{
    Amount, OutPoint, PubkeyHash, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, WScriptHash, Witness,
    absolute, hashes::Hash, transaction,
};
use coxswain_maintainer::{Judgement, Kind, Misfit, Misfits, Views, judge, keys};
use coxswain_rules::{
    DepositKey, DepositRecord, KeyHash, RedemptionKey, RedemptionRecord, SweepRequestKey, SweepRequestRecord,
    SweepRequestState, Utxo, wallet_script,
};

const WALLET: KeyHash = KeyHash([0x11; 20]);
const OTHER: KeyHash = KeyHash([0x22; 20]);
const VAULT: Address = Address::repeat_byte(0x33);

/// An outpoint that differs with the number.
fn outpoint(number: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([number; 32]), number.into())
}

const MAIN: u8 = 100;

fn main_utxo() -> Option<Utxo> {
    Some(Utxo { outpoint: outpoint(MAIN), value: Amount::from_sat(1_000_000) })
}

/// A redeemer's script that differs with the number.
fn redeemer(number: u8) -> ScriptBuf {
    ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([number; 32]))
}

fn legacy(wallet: KeyHash) -> ScriptBuf {
    ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(wallet.0))
}

fn transaction(inputs: &[OutPoint], outputs: &[ScriptBuf]) -> Transaction {
    Transaction {
        version: transaction::Version::ONE,
        lock_time: absolute::LockTime::ZERO,
        input: inputs
            .iter()
            .map(|previous_output| TxIn {
                previous_output: *previous_output,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            })
            .collect(),
        output: outputs
            .iter()
            .map(|script_pubkey| TxOut {
                value: Amount::from_sat(50_000),
                script_pubkey: script_pubkey.clone(),
            })
            .collect(),
    }
}

/// A Bridge that knows a few things.
#[derive(Clone, Default)]
struct Bridge {
    main_utxo: Option<Utxo>,
    deposits: Vec<(u8, DepositRecord)>,
    pending: Vec<u8>,
    timed_out: Vec<u8>,
    sweep_requests: Vec<(u8, SweepRequestState, KeyHash)>,
    targets: Vec<KeyHash>,
    spent: Vec<OutPoint>,
}

impl Bridge {
    fn views(&self, transaction: &Transaction) -> Views {
        let mut views = Views {
            main_utxo: self.main_utxo,
            targets: self.targets.clone(),
            spent_main_utxos: self.spent.iter().copied().collect(),
            ..Views::default()
        };
        let keys = keys(WALLET, transaction).unwrap();
        let of = |number: u8| RedemptionKey::new(WALLET, &redeemer(number));
        for key in keys.deposits {
            let known = self.deposits.iter().find(|(number, _)| DepositKey::new(outpoint(*number)) == key);
            let record = known.map(|(_, record)| record.clone()).unwrap_or_default();
            views.snapshot.deposits.insert(key, record);
        }
        for key in keys.redemptions {
            let requested_at = u32::from(self.pending.iter().any(|number| of(*number) == key));
            let record = RedemptionRecord { requested_at, ..RedemptionRecord::default() };
            views.snapshot.redemptions.insert(key, record);
        }
        for key in keys.sweep_requests {
            let known = self.sweep_requests.iter();
            let mut known = known.filter(|(number, ..)| SweepRequestKey::new(outpoint(*number)) == key);
            let (state, wallet) =
                known.next().map_or((SweepRequestState::Unknown, KeyHash([0; 20])), |(_, state, wallet)| {
                    (*state, *wallet)
                });
            let record = SweepRequestRecord { wallet, value: Amount::ZERO, state };
            views.snapshot.sweep_requests.insert(key, record);
        }
        views.timed_out = self.timed_out.iter().map(|number| of(*number)).collect();
        views
    }

    fn judge(&self, inputs: &[u8], outputs: &[ScriptBuf]) -> Judgement {
        let inputs: Vec<_> = inputs.iter().map(|number| outpoint(*number)).collect();
        let transaction = transaction(&inputs, outputs);
        judge(WALLET, &transaction, &self.views(&transaction)).unwrap()
    }

    fn misfits(&self, inputs: &[u8], outputs: &[ScriptBuf]) -> Misfits {
        match self.judge(inputs, outputs) {
            Judgement::UnknownSpend(misfits) => misfits,
            other => panic!("{other:?}"),
        }
    }
}

fn deposit(vault: Address) -> DepositRecord {
    DepositRecord { revealed_at: 1, vault, ..DepositRecord::default() }
}

fn to_wallet() -> Vec<ScriptBuf> {
    vec![wallet_script(WALLET)]
}

const fn provable(kind: Kind) -> Judgement {
    Judgement::Provable(kind)
}

#[test]
fn a_deposit_sweep_gathers_deposits_of_one_vault_and_the_main_utxo() {
    let deposits = (1..=3).map(|number| (number, deposit(VAULT))).collect();
    let sweep = provable(Kind::DepositSweep { vault: VAULT });
    let without = Bridge { deposits, ..Bridge::default() };
    let with = Bridge { main_utxo: main_utxo(), ..without.clone() };
    assert_eq!(without.judge(&[1], &to_wallet()), sweep);
    assert_eq!(without.judge(&[1, 2, 3], &[legacy(WALLET)]), sweep);
    for inputs in [[MAIN, 1, 2], [1, 2, MAIN]] {
        assert_eq!(with.judge(&inputs, &to_wallet()), sweep);
    }

    let misfit =
        |bridge: &Bridge, inputs: &[u8], outputs: &[ScriptBuf]| bridge.misfits(inputs, outputs).deposit_sweep;
    assert_eq!(misfit(&with, &[1, 2], &to_wallet()), Misfit::MainUtxoLeft);
    assert_eq!(misfit(&with, &[MAIN], &to_wallet()), Misfit::NoDeposits);
    assert_eq!(misfit(&without, &[1, 9], &to_wallet()), Misfit::NoDeposit(1));
    assert_eq!(misfit(&without, &[MAIN, 1], &to_wallet()), Misfit::NoDeposit(0));
    let to_other = Misfit::NotToWallet { output: 0, wallet: WALLET };
    assert_eq!(misfit(&without, &[1], &[wallet_script(OTHER)]), to_other);
    let twice = [to_wallet(), to_wallet()].concat();
    assert_eq!(misfit(&without, &[1], &twice), Misfit::Outputs(2));
    let mut vaults = without.clone();
    vaults.deposits[1].1 = deposit(Address::ZERO);
    assert_eq!(misfit(&vaults, &[1, 2, 3], &to_wallet()), Misfit::OtherVault(1));
    let mut hidden = without;
    hidden.deposits[0].1.revealed_at = 0;
    assert_eq!(misfit(&hidden, &[1], &to_wallet()), Misfit::NoDeposit(0));
}

#[test]
fn a_redemption_pays_requests_and_perhaps_change() {
    let bridge = Bridge { main_utxo: main_utxo(), pending: vec![1, 2], ..Bridge::default() };
    let redemption = provable(Kind::Redemption);
    for outputs in [
        vec![redeemer(1)],
        vec![redeemer(2), redeemer(1)],
        vec![wallet_script(WALLET), redeemer(1), redeemer(2)],
        vec![redeemer(1), legacy(WALLET)],
    ] {
        assert_eq!(bridge.judge(&[MAIN], &outputs), redemption);
    }
    let misfit = |inputs: &[u8], outputs: &[ScriptBuf]| bridge.misfits(inputs, outputs).redemption;
    assert_eq!(misfit(&[MAIN], &to_wallet()), Misfit::NoRequests);
    assert_eq!(misfit(&[MAIN], &[]), Misfit::NoRequests);
    assert_eq!(misfit(&[MAIN], &[redeemer(1), redeemer(3)]), Misfit::NoRequest(1));
    assert_eq!(misfit(&[MAIN], &[redeemer(1), redeemer(1)]), Misfit::PaidTwice(1));
    assert_eq!(
        misfit(&[MAIN], &[wallet_script(WALLET), redeemer(1), legacy(WALLET)]),
        Misfit::SecondChange(2)
    );
    assert_eq!(misfit(&[1], &[redeemer(1)]), Misfit::NotMainUtxo(0));
    assert_eq!(misfit(&[MAIN, 1], &[redeemer(1)]), Misfit::Inputs(2));
    let none = Bridge { main_utxo: None, ..bridge.clone() };
    assert_eq!(none.misfits(&[MAIN], &[redeemer(1)]).redemption, Misfit::NotMainUtxo(0));
}

#[test]
fn inc_41_requests_that_timed_out_are_paid_all_the_same() {
    for (pending, timed_out) in
        [(vec![1], vec![2]), (vec![], vec![1, 2]), (vec![], vec![1]), (vec![3], vec![1, 2])]
    {
        let paid: Vec<_> = pending.iter().chain(&timed_out).map(|number| redeemer(*number)).collect();
        let bridge = Bridge { main_utxo: main_utxo(), pending, timed_out, ..Bridge::default() };
        let with_change = [to_wallet(), paid.clone()].concat();
        for outputs in [paid, with_change] {
            assert_eq!(bridge.judge(&[MAIN], &outputs), provable(Kind::Redemption), "{outputs:?}");
        }
        let forgotten = Bridge { timed_out: Vec::new(), ..bridge.clone() };
        let misfits = forgotten.misfits(&[MAIN], &[redeemer(2), redeemer(1)]);
        assert!(matches!(misfits.redemption, Misfit::NoRequest(_)));
    }
}

#[test]
fn moving_funds_pays_the_targets_in_order() {
    let targets = vec![OTHER, KeyHash([0x44; 20])];
    let bridge = Bridge { main_utxo: main_utxo(), targets: targets.clone(), ..Bridge::default() };
    let [first, second] = [wallet_script(targets[0]), wallet_script(targets[1])];
    let moved = provable(Kind::MovingFunds);
    assert_eq!(bridge.judge(&[MAIN], &[first.clone(), second.clone()]), moved);
    assert_eq!(bridge.judge(&[MAIN], &[first.clone(), legacy(targets[1])]), moved);

    let misfit = |inputs: &[u8], outputs: &[ScriptBuf]| bridge.misfits(inputs, outputs).moving_funds;
    let wrong = Misfit::NotToWallet { output: 0, wallet: OTHER };
    assert_eq!(misfit(&[MAIN], &[second.clone(), first.clone()]), wrong);
    assert_eq!(misfit(&[MAIN], std::slice::from_ref(&first)), Misfit::Outputs(1));
    assert_eq!(misfit(&[MAIN], &[first.clone(), second.clone(), first.clone()]), Misfit::Outputs(3));
    assert_eq!(misfit(&[1], &[first.clone(), second.clone()]), Misfit::NotMainUtxo(0));
    assert_eq!(misfit(&[MAIN, 1], &[first.clone(), second]), Misfit::Inputs(2));
    let silent = Bridge { targets: Vec::new(), ..bridge };
    assert_eq!(silent.misfits(&[MAIN], &[first]).moving_funds, Misfit::NoTargets);
}

#[test]
fn who_asks_to_be_paid_at_a_target_makes_no_redemption_of_a_move() {
    // Somebody has the wallet redeem to the script of its own target.
    let script = wallet_script(OTHER);
    let bridge = Bridge { main_utxo: main_utxo(), targets: vec![OTHER], ..Bridge::default() };
    let transaction = transaction(&[outpoint(MAIN)], std::slice::from_ref(&script));
    let mut views = bridge.views(&transaction);
    let key = RedemptionKey::new(WALLET, &script);
    views.snapshot.redemptions.get_mut(&key).unwrap().requested_at = 1;
    assert_eq!(judge(WALLET, &transaction, &views), Ok(provable(Kind::MovingFunds)));
    views.targets = vec![KeyHash([0x44; 20])];
    assert_eq!(judge(WALLET, &transaction, &views), Ok(provable(Kind::Redemption)));
}

#[test]
fn a_moved_funds_sweep_spends_the_wallets_own_pending_request() {
    let request = |state, wallet| Bridge { sweep_requests: vec![(1, state, wallet)], ..Bridge::default() };
    let without = request(SweepRequestState::Pending, WALLET);
    let with = Bridge { main_utxo: main_utxo(), ..without.clone() };
    let sweep = provable(Kind::MovedFundsSweep);
    assert_eq!(without.judge(&[1], &to_wallet()), sweep);
    assert_eq!(with.judge(&[1, MAIN], &[legacy(WALLET)]), sweep);

    let misfit = |bridge: &Bridge, inputs: &[u8]| bridge.misfits(inputs, &to_wallet()).moved_funds_sweep;
    assert_eq!(misfit(&with, &[1]), Misfit::Inputs(1));
    assert_eq!(misfit(&with, &[MAIN, 1]), Misfit::NoSweepRequest(0));
    assert_eq!(misfit(&with, &[1, 2]), Misfit::NotMainUtxo(1));
    assert_eq!(misfit(&without, &[1, MAIN]), Misfit::Inputs(2));
    assert_eq!(misfit(&without, &[2]), Misfit::NoSweepRequest(0));
    let stolen = request(SweepRequestState::Pending, OTHER);
    assert_eq!(misfit(&stolen, &[1]), Misfit::OtherWallets { input: 0, wallet: OTHER });
    let late = request(SweepRequestState::TimedOut, WALLET);
    assert_eq!(misfit(&late, &[1]), Misfit::NoSweepRequest(0));
    let to_other = without.misfits(&[1], &[wallet_script(OTHER)]).moved_funds_sweep;
    assert_eq!(to_other, Misfit::NotToWallet { output: 0, wallet: WALLET });
    assert_eq!(without.misfits(&[1], &[]).moved_funds_sweep, Misfit::Outputs(0));
}

#[test]
fn what_the_bridge_has_booked_is_proven_whatever_else_it_is() {
    let mut swept = Bridge { deposits: vec![(1, deposit(VAULT)), (2, deposit(VAULT))], ..Bridge::default() };
    swept.deposits[1].1.swept_at = 1;
    assert_eq!(swept.judge(&[1, 2], &to_wallet()), Judgement::Proven);
    let processed =
        Bridge { sweep_requests: vec![(1, SweepRequestState::Processed, WALLET)], ..Bridge::default() };
    assert_eq!(processed.judge(&[1], &to_wallet()), Judgement::Proven);
    let spent = Bridge { spent: vec![outpoint(MAIN)], ..Bridge::default() };
    assert_eq!(spent.judge(&[MAIN], &[redeemer(1)]), Judgement::Proven);
}

#[test]
fn inc_12_a_coinbase_is_dropped_before_anything_is_looked_up() {
    let coinbase = transaction(&[OutPoint::null()], &to_wallet());
    assert!(coinbase.is_coinbase());
    assert_eq!(keys(WALLET, &coinbase), None);
    assert_eq!(judge(WALLET, &coinbase, &Views::default()), Ok(Judgement::Coinbase));
}

#[test]
fn a_transaction_of_any_size_is_judged_with_bounded_work() {
    let large = transaction(&[outpoint(1)], &vec![redeemer(1); 1_000]);
    assert_eq!(keys(WALLET, &large), None);
    let judged = judge(WALLET, &large, &Views::default()).unwrap();
    let Judgement::UnknownSpend(misfits) = judged else { panic!("{judged:?}") };
    assert_eq!(misfits.redemption, Misfit::TooLarge(1_001));
    let allowed = transaction(&[outpoint(1)], &vec![redeemer(1); 999]);
    assert!(keys(WALLET, &allowed).is_some());
}

#[test]
fn nothing_is_judged_by_what_was_not_read() {
    let spend = transaction(&[outpoint(1)], &to_wallet());
    assert!(judge(WALLET, &spend, &Views::default()).is_err());
}
