//! Deposit sweeps.

use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::sol_types::SolError;
use alloy_primitives::U256;
use bitcoin::FeeRate;
use coxswain_bitcoin::FeeRates;
use coxswain_ethereum::Endpoints;
use coxswain_proposals::{
    ActionOutcome, FUNDING_CONFIRMATIONS, Item, Memory, Nothing, SessionError, Why, gas,
};
use coxswain_rules::{
    Action, Amount, KeyHash, LeaderFee, RuleId, Subject,
    units::{Blocks, Confirmations},
};
use coxswain_testkit::{Deposit, DepositOutput, DepositSpec, FaultyEndpoint, Reply, Wallet};
use serde_json::json;

use crate::generator::support::{DAY, HOUR, Stage, outpoints, swept, why};

/// Over a deposit's minimum age.
const RIPE: u64 = 2 * HOUR + 60;

fn deposit(deposit: &Deposit) -> Item {
    Item::Deposit(deposit.outpoint)
}

#[tokio::test]
async fn inc_1_a_deposit_that_nobody_can_spend_is_left_out() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let mut deposits = Vec::new();
    for output in [DepositOutput::P2wpkh, DepositOutput::P2wsh, DepositOutput::P2pkh, DepositOutput::P2sh] {
        deposits.push(stage.deposit(&wallet, DepositSpec { output, ..DepositSpec::default() }).await);
    }
    stage.pass(RIPE).await;
    // The validator deployed on mainnet would let them through.
    let deployed = coxswain_testkit::deployed_validator().unwrap();
    let deployed = stage.world.deploy_validator(&deployed).await.unwrap();
    for validator in [stage.validator, deployed] {
        stage.validator = validator;
        let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
        assert_eq!(swept(&proposed), outpoints([&deposits[1], &deposits[3]]));
        for unspendable in [&deposits[0], &deposits[2]] {
            let why = why(&excluded, &deposit(unspendable));
            assert_eq!(why.rule(), Some(RuleId::Ds11), "{why}");
        }
    }
}

#[tokio::test]
async fn inc_2_a_deposit_close_to_its_refund_or_refunded_is_left_out() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let now = stage.world.chain.now().await.unwrap();
    let refundable_at = |time: u64| DepositSpec {
        refund_locktime: Some(u32::try_from(time).unwrap()),
        ..DepositSpec::default()
    };
    let refunded = stage.deposit(&wallet, refundable_at(now + 15 * DAY + HOUR)).await;
    let close = stage.deposit(&wallet, refundable_at(now + 16 * DAY + HOUR)).await;
    let far = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(15 * DAY + 2 * HOUR).await;
    // Its depositor took it back.
    stage.bitcoin.state().spent.insert(refunded.outpoint);

    let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&far]));
    for late in [&refunded, &close] {
        let why = why(&excluded, &deposit(late));
        assert_eq!(why.rule(), Some(RuleId::Ds12), "{why}");
    }
    // What can't be swept is not looked up.
    assert_eq!(stage.bitcoin.state().calls[0], ("transactions", 1 + 1));
}

#[tokio::test]
async fn inc_3_vaults_are_swept_apart_and_none_starves() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let vault = stage.world.vault;
    let mut deposits = Vec::new();
    for number in 0..26 {
        // The vault's come first, and outnumber the others: two in three.
        let spec = if number % 3 == 2 {
            DepositSpec::default()
        } else {
            DepositSpec { vault, ..DepositSpec::default() }
        };
        deposits.push(stage.deposit(&wallet, spec).await);
    }
    let more = DepositSpec { vault, ..DepositSpec::default() };
    for _ in 0..24 {
        deposits.push(stage.deposit(&wallet, more.clone()).await);
    }
    stage.pass(RIPE).await;

    let mut vaults = Vec::new();
    for _ in 0..3 {
        let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
        let swept = swept(&proposed);
        let of_vault = |outpoint| deposits.iter().find(|deposit| deposit.outpoint == outpoint);
        let known: Vec<_> = swept.iter().filter_map(|outpoint| of_vault(*outpoint)).collect();
        let first = known[0].vault;
        assert!(known.iter().all(|deposit| deposit.vault == first), "one vault a sweep");
        assert_eq!(known.first().map(|deposit| deposit.outpoint), swept.first().copied(), "oldest first");
        assert!(excluded.iter().all(|exclusion| exclusion.why.waits()), "{excluded:?}");
        vaults.push((first == vault, swept.len()));

        let transaction = stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap().unwrap();
        stage.bitcoin.buries(&transaction, Confirmations(6));
        // Two windows with sweeps are two days apart.
        stage.pass(2 * DAY).await;
    }
    // The vault's first 20, then the others, though the vault has older ones left; then the vault's rest.
    assert_eq!(vaults, [(true, 20), (false, 8), (true, 20)]);
}

#[tokio::test]
async fn inc_8_twenty_deposits_with_a_thousand_outputs_each_are_one_batch_and_larger_ones_are_cut() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let spec = |outputs_before| DepositSpec { outputs_before, ..DepositSpec::default() };
    for _ in 0..20 {
        stage.deposit(&wallet, spec(999)).await;
    }
    stage.pass(RIPE).await;
    let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!((swept(&proposed).len(), excluded), (20, vec![]));
    let transaction = stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap().unwrap();
    stage.bitcoin.buries(&transaction, Confirmations(6));

    for _ in 0..20 {
        stage.deposit(&wallet, spec(2_499)).await;
    }
    stage.pass(RIPE).await;
    let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
    let size = swept(&proposed).len();
    assert!((5..20).contains(&size), "{size}");
    assert_eq!(excluded.len(), 20 - size);
    assert!(excluded.iter().all(|exclusion| exclusion.why == Why::Gas), "{excluded:?}");
}

#[tokio::test]
async fn inc_8_where_calls_are_allowed_less_gas_the_batch_is_cut_once_more() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    for _ in 0..20 {
        stage.deposit(&wallet, DepositSpec { outputs_before: 99, ..DepositSpec::default() }).await;
    }
    stage.pass(RIPE).await;
    // A node that allows a call less: no more than 12 of these.
    let upstream = stage.world.chain.url();
    let frugal = FaultyEndpoint::start_inspecting(upstream, |method, parameters| {
        // It proves nothing: the call would be run here, which allows as much gas as most nodes do.
        let is_too_much = method == "eth_call" && parameters.to_string().len() > 12 * 2 * 5_000;
        match is_too_much || method == "eth_getProof" {
            true => Reply::Error(json!({ "code": -32000, "message": "out of gas" })),
            false => Reply::Forward,
        }
    });
    let frugal = frugal.await.unwrap();
    let endpoint = Endpoints::new(frugal.url().clone()).unwrap();
    let bitcoin = stage.bitcoin.clone();
    let generation =
        stage.generate_through(endpoint, bitcoin, wallet.key_hash(), &[Action::DepositSweep]).await;
    let size = swept(generation.proposed().unwrap()).len();
    assert!((8..=12).contains(&size), "{size}");
    let excluded = &generation.attempts[0].excluded;
    assert_eq!(excluded.iter().filter(|exclusion| exclusion.why == Why::Gas).count(), 20 - size);
}

/// A wallet with `absent` deposits that Bitcoin doesn't know, and then one that it does.
async fn flooded(absent: u64) -> (Stage, Wallet, Deposit) {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    for _ in 0..absent {
        stage.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    }
    let there = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    (stage, wallet, there)
}

#[tokio::test]
async fn inc_10_deposits_without_a_transaction_cost_bounded_work_and_the_others_are_swept() {
    let (mut stage, wallet, there) = flooded(300).await;
    let key_hash = wallet.key_hash();
    let checklist = [Action::DepositSweep];

    // One generation asks about 250, and remembers.
    let first = stage.generate(key_hash, &checklist).await;
    assert_eq!(first.attempts[0].outcome, ActionOutcome::Nothing(Nothing::NoneLeft));
    assert_eq!(first.attempts[0].excluded.len(), 301);
    assert_eq!(*why(&first.attempts[0].excluded, &deposit(&there)), Why::NotAskedYet);
    let calls = std::mem::take(&mut stage.bitcoin.state().calls);
    assert_eq!(calls, [("transactions", 20 + 1), ("transactions", 230)]);

    // The next one asks about those not asked yet first.
    let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&there]));
    assert_eq!(excluded.len(), 300);
    let asked = |stage: &Stage| {
        stage
            .bitcoin
            .state()
            .calls
            .iter()
            .filter(|call| call.0 == "transactions")
            .map(|call| call.1)
            .sum::<usize>()
    };
    assert!(asked(&stage) <= 51 + 1, "{}", asked(&stage));

    // Those absent are asked about again when their pause is over, and not before.
    stage.bitcoin.state().calls.clear();
    stage.propose(&wallet, Action::DepositSweep).await;
    assert!(asked(&stage) <= 2, "{}", asked(&stage));
    stage.pass(HOUR).await;
    stage.bitcoin.state().calls.clear();
    stage.propose(&wallet, Action::DepositSweep).await;
    assert!((20..=41).contains(&asked(&stage)), "{}", asked(&stage));
}

#[tokio::test]
async fn inc_10_a_late_transaction_is_found() {
    let (mut stage, wallet, there) = flooded(0).await;
    stage.bitcoin.state().known.get_mut(&there.outpoint.txid).unwrap().confirmations =
        Confirmations(FUNDING_CONFIRMATIONS.0 - 1);
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    let unconfirmed = Why::Unconfirmed {
        confirmations: Confirmations(FUNDING_CONFIRMATIONS.0 - 1),
        least: FUNDING_CONFIRMATIONS,
    };
    assert_eq!(*why(&generation.attempts[0].excluded, &deposit(&there)), unconfirmed);

    stage.bitcoin.funds([&there]);
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    let postponed = why(&generation.attempts[0].excluded, &deposit(&there)).clone();
    assert!(matches!(postponed, Why::Postponed { last, .. } if *last == unconfirmed));
    stage.pass(HOUR).await;
    let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&there]));
}

#[tokio::test]
async fn inc_11_the_main_utxo_is_the_bridges_whatever_the_address_receives() {
    let (mut stage, wallet, there) = flooded(0).await;
    let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
    let main_utxo = stage.world.main_utxo(&wallet).unwrap();
    let transaction = proposed.transaction.as_ref().unwrap().unsigned.transaction();
    assert_eq!(transaction.input[0].previous_output, main_utxo.outpoint);
    assert_eq!(transaction.input[1].previous_output, there.outpoint);
    // Only transactions that the Bridge has recorded were asked for: no address, and no other transaction.
    assert_eq!(stage.bitcoin.state().calls, [("transactions", 2), ("unspent", 2), ("fees", 0)]);

    // A main UTXO that is spent on Bitcoin: the wallet's own transaction waits for its proof.
    stage.bitcoin.state().spent.insert(main_utxo.outpoint);
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    assert_eq!(
        generation.attempts[0].outcome,
        ActionOutcome::Nothing(Nothing::MainUtxoSpent(main_utxo.outpoint))
    );
}

#[tokio::test]
async fn a_wallet_without_a_main_utxo_waits_for_its_own_transaction() {
    let mut stage = Stage::new().await;
    let wallet = stage.world.wallet(1).await.unwrap();
    let vault = stage.world.vault;
    let first = stage.deposit(&wallet, DepositSpec::default()).await;
    let second = stage.deposit(&wallet, DepositSpec { vault, ..DepositSpec::default() }).await;
    stage.pass(RIPE).await;
    let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&first]));

    // Swept on Bitcoin, but not proven: nor is the other vault's then.
    for swept in [&first, &second] {
        stage.bitcoin.state().spent = [swept.outpoint].into();
        let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
        assert_eq!(generation.attempts[0].outcome, ActionOutcome::Nothing(Nothing::Unproven(swept.outpoint)));
    }
}

#[tokio::test]
async fn what_can_not_be_told_is_never_nothing_to_propose() {
    let (mut stage, wallet, there) = flooded(0).await;
    stage.bitcoin.state().unanswerable.insert(there.outpoint);
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    assert!(matches!(generation.undecided(), Some(SessionError::Bitcoin(_))), "{generation:?}");

    // But it doesn't keep the others waiting.
    let other = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&other]));
    assert!(matches!(why(&excluded, &deposit(&there)), Why::Unanswered(_)));

    stage.bitcoin.state().down = true;
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    assert!(matches!(generation.undecided(), Some(SessionError::Bitcoin(_))), "{generation:?}");

    let unknown = KeyHash([7; 20]);
    let generation = stage.generate(unknown, &[Action::DepositSweep]).await;
    assert!(matches!(generation.attempts[0].outcome, ActionOutcome::Nothing(Nothing::WalletState(_))));
}

#[tokio::test]
async fn the_youngest_reveals_and_events_wait() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let young = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(2 * HOUR - 60).await;
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    assert_eq!(why(&generation.attempts[0].excluded, &deposit(&young)).rule(), Some(RuleId::Ds8));

    stage.world.chain.advance(120).await.unwrap();
    stage.propose(&wallet, Action::DepositSweep).await;

    let shallow = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.world.chain.mine(30).await.unwrap();
    stage.world.chain.advance(RIPE).await.unwrap();
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    assert_eq!(
        *why(&generation.attempts[0].excluded, &deposit(&shallow)),
        Why::Shallow { depth: Blocks(31), least: Blocks(32) }
    );
    stage.world.chain.mine(1).await.unwrap();
    let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
    assert!(swept(&proposed).contains(&shallow.outpoint));
}

#[tokio::test]
async fn inc_23_the_fee_relays_and_burns_nothing() {
    let (mut stage, wallet, _) = flooded(0).await;
    let rate = FeeRate::from_sat_per_vb_u32;
    // 5/4 of the estimate, or of the fallback without one; 5 sat/vB over less; what the Bridge allows under more.
    // Rates in hundredths of sat/vB.
    for (estimate, expected) in
        [(Some(10), 1_250), (None, 625), (Some(0), 500), (Some(4), 500), (Some(1_000_000), 125_000_000)]
    {
        stage.bitcoin.state().rates.next_block = estimate.map(rate);
        let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
        let transaction = proposed.transaction.as_ref().unwrap();
        let floor = Amount::from_sat((expected * transaction.unsigned.vsize()).div_ceil(100));
        let amount = floor.min(Amount::from_sat(100_000));
        assert_eq!(transaction.fee, LeaderFee { amount, floor }, "{estimate:?}");
    }
    // 1.1 × the relay minimum, if that is most; no more than the Bridge allows.
    stage.bitcoin.state().rates = FeeRates { relay_minimum: rate(100), next_block: Some(rate(1)) };
    let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
    let transaction = proposed.transaction.as_ref().unwrap();
    assert_eq!(transaction.fee.amount, Amount::from_sat(110 * transaction.unsigned.vsize()));
    stage.bitcoin.state().rates.relay_minimum = rate(1_000);
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
    assert!(matches!(generation.attempts[0].outcome, ActionOutcome::Nothing(Nothing::Fee(_))));
}

#[tokio::test]
async fn a_sweep_whose_output_is_too_small_to_relay_is_not_proposed() {
    use coxswain_bindings::Bridge;
    let mut stage = Stage::new().await;
    let now = stage.world.bridge.ask(&Bridge::depositParametersCall).await.unwrap();
    let small = Bridge::updateDepositParametersCall {
        depositDustThreshold: 1_701,
        depositTreasuryFeeDivisor: 0,
        depositTxMaxFee: 1_700,
        depositRevealAheadPeriod: now.depositRevealAheadPeriod,
    };
    stage.world.govern(&small).await.unwrap();
    // 133 vbytes at 12.5 sat/vB.
    let fee = 1_663;
    for (seed, left) in [(1, 293), (2, 294)] {
        let wallet = stage.world.wallet(seed).await.unwrap();
        let amount = Amount::from_sat(fee + left);
        stage.deposit(&wallet, DepositSpec { amount, ..DepositSpec::default() }).await;
        stage.pass(RIPE).await;
        let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep]).await;
        let (value, least) = (Amount::from_sat(left), Amount::from_sat(294));
        match &generation.attempts[0].outcome {
            ActionOutcome::Nothing(nothing) => assert_eq!(*nothing, Nothing::DustOutput { value, least }),
            ActionOutcome::Proposal(proposed) => {
                let transaction = proposed.transaction.as_ref().unwrap().unsigned.transaction();
                assert_eq!((transaction.output[0].value, value), (value, least));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn inc_33_without_an_estimate_and_without_a_fallback_no_fee_is_guessed() {
    let (mut stage, wallet, _) = flooded(0).await;
    stage.bitcoin.state().rates.next_block = None;
    stage.fallback = None;
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep, Action::Heartbeat]).await;
    assert_eq!(generation.attempts[0].outcome, ActionOutcome::Undecided(SessionError::NoFeeRate));
    assert!(generation.proposed().is_some(), "a heartbeat pays no fee: {generation:?}");
    stage.bitcoin.state().rates.next_block = Some(FeeRate::from_sat_per_vb_u32(1));
    stage.propose(&wallet, Action::DepositSweep).await;
}

#[tokio::test]
async fn inc_8_the_gas_estimate_is_not_under_what_either_validator_takes() {
    use alloy::rpc::types::{TransactionInput, TransactionRequest};
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let deployed = coxswain_testkit::deployed_validator().unwrap();
    let deployed = stage.world.deploy_validator(&deployed).await.unwrap();
    let mut batches = Vec::new();
    for (count, outputs_before) in [(1, 0), (1, 999), (20, 1), (20, 499), (3, 2_499)] {
        let mut batch = Vec::new();
        for _ in 0..count {
            batch
                .push(stage.deposit(&wallet, DepositSpec { outputs_before, ..DepositSpec::default() }).await);
        }
        batches.push(batch);
    }
    stage.pass(RIPE).await;
    for batch in batches {
        let subject = coxswain_testkit::sweep(&batch);
        let Subject::DepositSweep { proposal, extra_info } = &subject else { unreachable!() };
        let estimate = std::iter::zip(&proposal.deposits, extra_info)
            .fold(gas::Estimate::default(), |gas, (deposit, info)| gas.with(deposit.outpoint.vout, info))
            .total();
        let case = coxswain_rules::Case { wallet: wallet.key_hash(), subject };
        let mut taken = Vec::new();
        for validator in [stage.validator, deployed] {
            let input = TransactionInput::new(coxswain_ethereum::calldata(&case));
            let call = TransactionRequest::default().to(validator).input(input);
            taken.push(stage.world.chain.rpc().number("eth_estimateGas", (call,)).await.unwrap());
        }
        let most = taken.iter().copied().max().unwrap();
        let shape = format!(
            "{} × {} outputs: {taken:?}, estimated {estimate}",
            batch.len(),
            batch[0].funding.output.len()
        );
        println!("{shape}");
        assert!(most <= estimate, "{shape}");
        assert!(estimate < 2 * most + 200_000, "{shape}");
    }
}

#[tokio::test]
async fn a_deposit_that_is_spent_is_left_out() {
    let (mut stage, wallet, there) = flooded(0).await;
    let spent = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    stage.bitcoin.state().spent.insert(spent.outpoint);
    let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&there]));
    assert_eq!(*why(&excluded, &deposit(&spent)), Why::Spent);
}

#[tokio::test]
async fn inc_11_a_main_utxo_older_than_the_events_is_searched_for() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let since = stage.height().await + 1;
    let there = stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    stage.events = stage.events_from(since);
    let (proposed, _) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&there]));
    let transaction = proposed.transaction.as_ref().unwrap().unsigned.transaction();
    assert_eq!(transaction.input.len(), 2);
}

#[tokio::test]
async fn without_an_index_of_transactions_what_is_absent_is_left_out_too() {
    let (mut stage, wallet, there) = flooded(3).await;
    stage.bitcoin.state().unindexed = true;
    let (proposed, excluded) = stage.propose(&wallet, Action::DepositSweep).await;
    assert_eq!((swept(&proposed), excluded.len()), (outpoints([&there]), 3));

    // A wallet without a main UTXO can't tell one that is absent from one that it has spent itself.
    let fresh = stage.world.wallet(2).await.unwrap();
    let sound = stage.deposit(&fresh, DepositSpec::default()).await;
    stage.pass(RIPE).await;
    stage.memory = Memory::default();
    let (proposed, _) = stage.propose(&fresh, Action::DepositSweep).await;
    assert_eq!(swept(&proposed), outpoints([&sound]));
    stage.bitcoin.state().spent.insert(sound.outpoint);
    let generation = stage.generate(fresh.key_hash(), &[Action::DepositSweep]).await;
    assert!(matches!(generation.undecided(), Some(SessionError::Bitcoin(_))), "{generation:?}");
}

/// An endpoint whose validator rejects what the real one accepts: this often, with this revert.
async fn disagreeing(stage: &Stage, times: usize, revert: impl SolError) -> FaultyEndpoint {
    let left = AtomicUsize::new(times);
    let validator = stage.validator.to_string().to_lowercase();
    let upstream = stage.world.chain.url();
    let data = alloy_primitives::hex::encode_prefixed(revert.abi_encode());
    let meet = move |method: &str, parameters: &serde_json::Value| {
        let to = parameters[0]["to"].as_str().unwrap_or_default().to_lowercase();
        let verdict = method == "eth_call" && to == validator;
        let taken = |left: usize| left.checked_sub(1);
        if method == "eth_getProof" {
            // What it proves would contradict it.
            return Reply::Error(json!({ "code": -32000, "message": "missing trie node" }));
        }
        match verdict && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok() {
            true => Reply::Error(json!({ "code": 3, "message": "execution reverted", "data": data })),
            false => Reply::Forward,
        }
    };
    FaultyEndpoint::start_inspecting(upstream, meet).await.unwrap()
}

#[tokio::test]
async fn an_item_that_the_contract_rejects_goes_and_the_batch_is_tried_again() {
    use coxswain_bindings::WalletProposalValidator::{DepositTooYoung, WalletStateNotAllowed};
    let (mut stage, wallet, first) = flooded(0).await;
    let mut deposits = vec![first];
    for _ in 0..5 {
        deposits.push(stage.deposit(&wallet, DepositSpec::default()).await);
    }
    stage.pass(RIPE).await;
    let checklist = [Action::DepositSweep];
    let too_young = || DepositTooYoung { index: U256::ONE, eligibleAfter: U256::from(7) };
    for (times, outcome) in [(2, None), (5, Some(Nothing::TooManyRejections(5)))] {
        stage.memory = Memory::default();
        let node = disagreeing(&stage, times, too_young()).await;
        let endpoint = Endpoints::new(node.url().clone()).unwrap();
        let bitcoin = stage.bitcoin.clone();
        let generation = stage.generate_through(endpoint, bitcoin, wallet.key_hash(), &checklist).await;
        let attempt = &generation.attempts[0];
        for rejected in &deposits[1..=times] {
            let why = why(&attempt.excluded, &deposit(rejected));
            assert!(matches!(why, Why::Contract(_)) && why.rule() == Some(RuleId::Ds8), "{why}");
        }
        match outcome {
            None => {
                let rest = [&deposits[0], &deposits[3], &deposits[4], &deposits[5]];
                assert_eq!(swept(generation.proposed().unwrap()), outpoints(rest));
            }
            Some(nothing) => assert_eq!(attempt.outcome, ActionOutcome::Nothing(nothing)),
        }
    }
    // A proposal rejected as a whole isn't tried again.
    let closing = WalletStateNotAllowed { walletPubKeyHash: wallet.key_hash().into(), state: 3 };
    let node = disagreeing(&stage, 1, closing).await;
    let endpoint = Endpoints::new(node.url().clone()).unwrap();
    let bitcoin = stage.bitcoin.clone();
    let generation = stage.generate_through(endpoint, bitcoin, wallet.key_hash(), &checklist).await;
    assert!(
        matches!(generation.attempts[0].outcome, ActionOutcome::Nothing(Nothing::Rejected(_))),
        "{generation:?}"
    );
}
