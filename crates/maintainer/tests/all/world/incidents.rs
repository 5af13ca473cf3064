//! What went wrong for other maintainers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{B256, U256};
use bitcoin::{
    OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute, script::Builder,
    transaction,
};
use coxswain_ethereum::{
    Endpoints,
    submit::{SubmitError, Terms},
};
use coxswain_maintainer::{ItemError, ItemState, PassError};
use coxswain_rules::{Amount, KeyHash, units::Height, wallet_script};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, Wallet, standard_scripts};

use super::unproven::{FEE, Kind, Unproven, item, minutes, sent};

const REDEEMED: Amount = Amount::from_sat(2_000_000);
/// The Bridge's default, and some.
const TIMEOUT: u64 = 5 * 24 * 3600 + 60;

/// Has the wallet sweep one more deposit, unproven.
async fn sweep(unproven: &mut Unproven, wallet: &Wallet) -> Transaction {
    let deposit = unproven.world.reveal(wallet, DepositSpec::default()).await.unwrap();
    unproven.world.sweep(wallet, &[deposit], FEE).await.unwrap()
}

fn ids(transactions: &[Transaction]) -> Vec<Txid> {
    sorted(transactions.iter().map(Transaction::compute_txid).collect())
}

fn sorted(mut txids: Vec<Txid>) -> Vec<Txid> {
    txids.sort_unstable();
    txids
}

#[tokio::test]
async fn inc_42_a_proof_that_is_dropped_is_noticed_and_its_nonce_keeps_no_one_waiting() {
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let wallets = [unproven.funded(1).await, unproven.funded(2).await, unproven.funded(3).await];
    let mut swept = Vec::new();
    for wallet in &wallets {
        swept.push(sweep(&mut unproven, wallet).await);
    }
    // A server that says that it takes transactions, and drops the first few.
    let dropped = Arc::new(AtomicUsize::new(0));
    let (count, upstream) = (Arc::clone(&dropped), unproven.world.chain.url());
    let faulty = FaultyEndpoint::start(upstream, move |method| {
        let is_sending = method == "eth_sendRawTransaction";
        if is_sending && count.fetch_add(1, Ordering::SeqCst) < 3 {
            return Reply::Result(serde_json::json!(B256::ZERO));
        }
        Reply::Forward
    });
    let faulty = faulty.await.unwrap();
    let endpoints = Endpoints::new(faulty.url().clone()).unwrap();
    let terms = Terms {
        bump_after: Duration::from_millis(300),
        patience: Duration::from_secs(1),
        ..Unproven::terms()
    };
    let mut maintainer = unproven.impatient(endpoints, terms).await;
    let first = maintainer.pass(minutes(0)).await.unwrap();
    assert!(dropped.load(Ordering::SeqCst) >= 3, "{first:?}");
    let lost: Vec<_> = first.items.iter().filter(|item| matches!(item.state, ItemState::Failed(_))).collect();
    assert!(lost.len() <= 1, "the others took the nonce that it left: {first:?}");
    // What was lost waits alone, and is proven after its pause.
    let second = maintainer.pass(minutes(1)).await.unwrap();
    assert_eq!(sorted([sent(&first), sent(&second)].concat()), ids(&swept), "{first:?} {second:?}");
    for wallet in &wallets {
        assert!(unproven.is_in_step(wallet).await);
    }
}

#[tokio::test]
async fn inc_13_and_41_one_that_reverts_waits_alone_and_one_that_timed_out_is_proven() {
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let (bad, late, good) = (unproven.funded(1).await, unproven.funded(2).await, unproven.funded(3).await);
    let redeemer = unproven.world.depositor;
    let [first, second, third, _] = standard_scripts(1);
    let request = async |unproven: &Unproven, wallet: &Wallet, script: ScriptBuf| {
        unproven.world.request_redemption(wallet, redeemer, script, REDEEMED).await.unwrap()
    };
    let greedy = request(&unproven, &bad, first.clone()).await;
    let requests = [request(&unproven, &late, second).await, request(&unproven, &late, third).await];
    // The Bridge takes no fee that large: this one can never be proven.
    let unprovable = unproven.world.redeem(&bad, &[greedy], Amount::from_sat(1_000_000)).await.unwrap();
    let paid = unproven.world.redeem(&late, &requests, FEE).await.unwrap();
    unproven.world.chain.advance(TIMEOUT).await.unwrap();
    unproven.world.report_timeout(&late, &requests[0].script).await.unwrap();
    let swept = sweep(&mut unproven, &good).await;

    let mut maintainer = unproven.maintainer(0).await;
    let pass = maintainer.pass(minutes(0)).await.unwrap();
    let proven = sent(&pass);
    assert!(proven.contains(&paid.compute_txid()) && proven.contains(&swept.compute_txid()), "{pass:?}");
    let failed = &item(&pass, &unprovable).state;
    assert!(
        matches!(failed, ItemState::Failed(ItemError::Submit(SubmitError::WouldRevert(_)))),
        "{failed:?}"
    );
    assert!(unproven.is_in_step(&late).await && unproven.is_in_step(&good).await);

    // It is set aside for a minute, then for two; others' transactions are proven meanwhile.
    let swept = sweep(&mut unproven, &good).await;
    let pass = maintainer.pass(minutes(1) - Duration::from_secs(1)).await.unwrap();
    assert!(matches!(item(&pass, &unprovable).state, ItemState::Paused));
    assert_eq!(sent(&pass), [swept.compute_txid()]);
    let pass = maintainer.pass(minutes(1)).await.unwrap();
    assert!(matches!(item(&pass, &unprovable).state, ItemState::Failed(_)));
    let pass = maintainer.pass(minutes(3) - Duration::from_secs(1)).await.unwrap();
    assert!(matches!(item(&pass, &unprovable).state, ItemState::Paused));
}

#[tokio::test]
async fn inc_41_requests_that_timed_out_are_proven_in_every_mix() {
    // How many requests there are, how many are reported, and whether there is change.
    for (seed, (count, reported)) in (10..).zip([(2, 2), (1, 1), (3, 2)]) {
        let mut unproven = Unproven::new(Kind::Electrum).await;
        let wallet = unproven.funded(seed).await;
        let redeemer = unproven.world.depositor;
        let mut requests = Vec::new();
        for script in standard_scripts(seed).into_iter().take(count) {
            let request = unproven.world.request_redemption(&wallet, redeemer, script, REDEEMED).await;
            requests.push(request.unwrap());
        }
        let paid = unproven.world.redeem(&wallet, &requests, FEE).await.unwrap();
        unproven.world.chain.advance(TIMEOUT).await.unwrap();
        for request in &requests[..reported] {
            unproven.world.report_timeout(&wallet, &request.script).await.unwrap();
        }
        let mut maintainer = unproven.maintainer(0).await;
        let pass = maintainer.pass(minutes(0)).await.unwrap();
        assert_eq!(sent(&pass), [paid.compute_txid()], "{reported} of {count}: {pass:?}");
        assert!(unproven.is_in_step(&wallet).await, "{reported} of {count}");
    }
}

#[tokio::test]
async fn inc_40_a_transaction_is_found_behind_hundreds_of_dust_payments() {
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let (wallet, other, third) =
        (unproven.funded(1).await, unproven.funded(2).await, unproven.funded(3).await);
    let dust = TxOut { value: Amount::from_sat(600), script_pubkey: wallet_script(wallet.key_hash()) };
    let flood = |count: usize| {
        for _ in 0..count {
            let payment = unproven.world.bitcoin.pay(std::slice::from_ref(&dust)).unwrap();
            unproven.world.bitcoin.mine(&[payment]).unwrap();
        }
    };
    flood(120);
    let swept = sweep(&mut unproven, &wallet).await;
    let flood = |count: usize| {
        for _ in 0..count {
            let payment = unproven.world.bitcoin.pay(std::slice::from_ref(&dust)).unwrap();
            unproven.world.bitcoin.mine(&[payment]).unwrap();
        }
    };
    flood(200);
    let others = [sweep(&mut unproven, &other).await, sweep(&mut unproven, &third).await];

    let mut maintainer = unproven.maintainer(0).await;
    let first = maintainer.pass(minutes(0)).await.unwrap();
    assert_eq!(sorted(sent(&first)), ids(&others), "{first:?}");
    assert_eq!(first.unknown.len(), 1, "the search goes on: {:?}", first.unknown);
    let second = maintainer.pass(minutes(0)).await.unwrap();
    assert_eq!(sent(&second), [swept.compute_txid()], "{second:?}");
    assert!(unproven.is_in_step(&wallet).await);
}

#[tokio::test]
async fn inc_12_a_coinbase_that_pays_the_wallet_is_dropped() {
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let (wallet, other, third) =
        (unproven.funded(1).await, unproven.funded(2).await, unproven.funded(3).await);
    let coinbase = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(210).push_int(1).into_script(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(50_000),
            script_pubkey: wallet_script(wallet.key_hash()),
        }],
    };
    let others = [sweep(&mut unproven, &other).await, sweep(&mut unproven, &third).await];
    let mut maintainer = unproven.maintainer(0).await;
    let item = maintainer.prove(coinbase, Some(Height(210)), true).await.unwrap().unwrap();
    assert!(matches!(item.state, ItemState::Coinbase), "{item:?}");
    assert_eq!(sorted(sent(&maintainer.pass(minutes(0)).await.unwrap())), ids(&others));
}

#[tokio::test]
async fn a_spend_that_fits_no_kind_is_told_and_the_others_are_proven() {
    let mut unproven = Unproven::new(Kind::Core).await;
    let (thief, other, third) =
        (unproven.funded(1).await, unproven.funded(2).await, unproven.funded(3).await);
    let stolen = unproven.world.move_funds(&thief, &[KeyHash([9; 20])], FEE).await.unwrap();
    let others = [sweep(&mut unproven, &other).await, sweep(&mut unproven, &third).await];
    let mut maintainer = unproven.maintainer(0).await;
    let pass = maintainer.pass(minutes(0)).await.unwrap();
    assert_eq!(sorted(sent(&pass)), ids(&others));
    let state = &item(&pass, &stolen).state;
    assert!(matches!(state, ItemState::UnknownSpend(_)), "{state:?}");
}

#[tokio::test]
async fn an_unconfirmed_one_waits_and_one_that_was_proven_is_no_failure() {
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let wallet = unproven.funded(1).await;
    let swept = sweep(&mut unproven, &wallet).await;
    let height = unproven.world.bitcoin.height();
    let [mut first, mut second] = [unproven.maintainer(0).await, unproven.maintainer(1).await];
    // A dry run sends nothing.
    let item = second.prove(swept.clone(), Some(height), false).await.unwrap().unwrap();
    assert!(matches!(item.state, ItemState::Ready(_)), "{item:?}");
    assert!(!unproven.is_in_step(&wallet).await);
    let item = first.prove(swept.clone(), None, true).await.unwrap().unwrap();
    assert!(matches!(item.state, ItemState::Unconfirmed), "{item:?}");
    let item = first.prove(swept.clone(), Some(height), true).await.unwrap().unwrap();
    assert!(matches!(item.state, ItemState::Sent(_)), "{item:?}");
    assert!(unproven.is_in_step(&wallet).await);
    let item = second.prove(swept, Some(height), true).await.unwrap().unwrap();
    assert!(matches!(item.state, ItemState::Proven), "{item:?}");
}

#[tokio::test]
async fn an_account_that_may_not_or_cannot_pay_sends_nothing() {
    let mut unproven = Unproven::new(Kind::Electrum).await;
    let wallet = unproven.funded(1).await;
    let swept = sweep(&mut unproven, &wallet).await;
    let (mut maintainer, account) = unproven.stranger(0);
    let refused = maintainer.pass(minutes(0)).await.unwrap_err();
    assert_eq!(refused, PassError::Unauthorised(account));

    unproven.authorise(account).await;
    unproven.world.chain.endow(account, U256::from(1_000_000_000)).await.unwrap();
    let pass = maintainer.pass(minutes(0)).await.unwrap();
    let state = &item(&pass, &swept).state;
    assert!(
        matches!(state, ItemState::Failed(ItemError::Submit(SubmitError::NoGasMoney { .. }))),
        "{state:?}"
    );
    // With money it is not set aside: the failure was ours.
    unproven.world.chain.fund(account).await.unwrap();
    assert_eq!(sent(&maintainer.pass(minutes(0)).await.unwrap()), [swept.compute_txid()]);
}
