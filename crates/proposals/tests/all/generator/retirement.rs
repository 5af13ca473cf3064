//! Moving funds, and sweeping what was moved; and the heartbeat, which comes last.

use std::sync::atomic::{AtomicUsize, Ordering};

use coxswain_bindings::Bridge;
use coxswain_ethereum::Endpoints;
use coxswain_proposals::{ActionOutcome, Item, Nothing, SessionError, Why};
use coxswain_rules::{
    Action, Amount, KeyHash, OutPoint, Subject, WalletState,
    units::{BlockNumber, Confirmations, UnixTime},
};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, Wallet, standard_scripts};
use serde_json::{Value, json};

use crate::generator::support::{DAY, FEE, HOUR, Stage, why};

impl Stage {
    async fn outcome(&mut self, wallet: &Wallet, action: Action) -> ActionOutcome {
        self.generate(wallet.key_hash(), &[action]).await.attempts.remove(0).outcome
    }

    async fn nothing(&mut self, wallet: &Wallet, action: Action) -> Nothing {
        match self.outcome(wallet, action).await {
            ActionOutcome::Nothing(nothing) => nothing,
            other => panic!("{other:?}"),
        }
    }

    /// The targets that the wallet must commit to.
    async fn targets_due(&mut self, wallet: &Wallet) -> Vec<KeyHash> {
        match self.outcome(wallet, Action::MovingFunds).await {
            ActionOutcome::Commitment(due) => {
                assert_eq!(Some(due.main_utxo), self.world.main_utxo(wallet));
                due.targets
            }
            other => panic!("{other:?}"),
        }
    }

    async fn set_max_btc_transfer(&self, satoshis: u64) {
        let now = self.world.bridge.ask(&Bridge::walletParametersCall).await.unwrap();
        let call = Bridge::updateWalletParametersCall {
            walletCreationPeriod: now.walletCreationPeriod,
            walletCreationMinBtcBalance: now.walletCreationMinBtcBalance,
            walletCreationMaxBtcBalance: now.walletCreationMaxBtcBalance,
            walletClosureMinBtcBalance: now.walletClosureMinBtcBalance,
            walletMaxAge: now.walletMaxAge,
            walletMaxBtcTransfer: satoshis,
            walletClosingPeriod: now.walletClosingPeriod,
        };
        self.world.govern(&call).await.unwrap();
    }
}

#[tokio::test]
async fn a_retiring_wallet_commits_and_moves_its_funds() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    let mut others = Vec::new();
    for seed in 2..=5 {
        others.push(stage.world.wallet(seed).await.unwrap().key_hash());
    }
    assert!(matches!(stage.nothing(&wallet, Action::MovingFunds).await, Nothing::WalletState(_)));
    stage.world.retire(&wallet).await.unwrap();
    let retired_at = stage.world.chain.now().await.unwrap();
    let after = retired_at + DAY;
    assert_eq!(
        stage.nothing(&wallet, Action::MovingFunds).await,
        Nothing::TooEarly { after: UnixTime(after) }
    );
    stage.world.chain.advance(DAY).await.unwrap();

    // 5 bitcoin, at most 10 a target: one, the newest.
    assert_eq!(stage.targets_due(&wallet).await, [others[3]]);
    // At most 2: three, the newest ones, ascending.
    stage.set_max_btc_transfer(2_0000_0000).await;
    let mut newest = others[1..].to_vec();
    newest.sort();
    assert_eq!(stage.targets_due(&wallet).await, newest);
    // At most 1: five, but only four are Live.
    stage.set_max_btc_transfer(1_0000_0000).await;
    let targets = stage.targets_due(&wallet).await;
    assert_eq!(targets.len(), 4);

    // Where events reach back less far than their registration, that is searched for.
    let head = stage.height().await;
    let none = stage.events_from(head - 2);
    let events = std::mem::replace(&mut stage.events, none);
    assert_eq!(stage.targets_due(&wallet).await, targets);
    stage.events = events;

    stage.world.commit_targets(&wallet, &targets).await.unwrap();
    let (proposed, _) = stage.propose(&wallet, Action::MovingFunds).await;
    let Subject::MovingFunds { proposal, .. } = &proposed.case.subject else { panic!("{proposed:?}") };
    assert_eq!(proposal.targets, targets);
    let transaction = stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap().unwrap();
    assert_eq!(transaction.output.len(), 4);

    // So is a commitment.
    let other = stage.funded_wallet(6).await;
    stage.world.retire(&other).await.unwrap();
    stage.world.chain.advance(DAY + HOUR).await.unwrap();
    let targets = stage.targets_due(&other).await;
    stage.world.commit_targets(&other, &targets).await.unwrap();
    let head = stage.height().await;
    stage.world.chain.mine(2).await.unwrap();
    stage.events = stage.events_from(head + 1);
    let (proposed, _) = stage.propose(&other, Action::MovingFunds).await;
    let Subject::MovingFunds { proposal, .. } = &proposed.case.subject else { panic!("{proposed:?}") };
    assert_eq!(proposal.targets, targets);
}

#[tokio::test]
async fn funds_are_not_moved_while_redemptions_or_deposits_wait() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    stage.world.wallet(2).await.unwrap();
    let [script, ..] = standard_scripts(1);
    let redeemer = stage.world.depositor;
    stage.world.request_redemption(&wallet, redeemer, script, Amount::from_sat(2_000_000)).await.unwrap();
    let deposit = stage.deposit(&wallet, DepositSpec::default()).await;
    // One that will never be there keeps nothing waiting.
    stage.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    stage.pass(0).await;
    stage.world.retire(&wallet).await.unwrap();
    stage.pass(DAY + HOUR).await;

    assert!(matches!(stage.nothing(&wallet, Action::MovingFunds).await, Nothing::RedemptionsPending(_)));
    let (proposed, _) = stage.propose(&wallet, Action::Redemption).await;
    let transaction = stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap().unwrap();
    stage.bitcoin.buries(&transaction, Confirmations(1));

    assert_eq!(stage.nothing(&wallet, Action::MovingFunds).await, Nothing::DepositsSweepable(1));
    stage.bitcoin.state().down = true;
    let outcome = stage.outcome(&wallet, Action::MovingFunds).await;
    assert!(matches!(outcome, ActionOutcome::Undecided(SessionError::Bitcoin(_))), "{outcome:?}");
    stage.bitcoin.state().down = false;

    // The whole checklist sweeps it first.
    let checklist = [
        Action::Redemption,
        Action::DepositSweep,
        Action::MovedFundsSweep,
        Action::MovingFunds,
        Action::Heartbeat,
    ];
    let generation = stage.generate(wallet.key_hash(), &checklist).await;
    let proposed = generation.proposed().unwrap();
    assert_eq!(crate::generator::support::swept(proposed), [deposit.outpoint]);
    let transaction = stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap().unwrap();
    stage.bitcoin.buries(&transaction, Confirmations(1));
    let generation = stage.generate(wallet.key_hash(), &checklist).await;
    assert!(generation.commitment().is_some(), "{generation:?}");
    assert_eq!(generation.attempts.len(), 4, "a commitment ends the list");
}

/// A wallet that has moved its funds to `targets`.
async fn moved(stage: &mut Stage, seed: u64, targets: &[KeyHash]) -> bitcoin::Transaction {
    let source = stage.funded_wallet(seed).await;
    stage.world.retire(&source).await.unwrap();
    stage.world.commit_targets(&source, targets).await.unwrap();
    let transaction = stage.world.move_funds(&source, targets, FEE).await.unwrap();
    stage.bitcoin.buries(&transaction, Confirmations(6));
    transaction
}

#[tokio::test]
async fn moved_funds_are_swept_into_the_main_utxo_or_make_one() {
    let mut stage = Stage::new().await;
    let target = stage.world.wallet(1).await.unwrap();
    assert_eq!(stage.nothing(&target, Action::MovedFundsSweep).await, Nothing::NoneLeft);
    let mut outputs = Vec::new();
    for seed in 2..=3 {
        let transaction = moved(&mut stage, seed, &[target.key_hash()]).await;
        outputs.push(OutPoint::new(transaction.compute_txid(), 0));
    }
    for (round, output) in outputs.iter().enumerate() {
        let (proposed, excluded) = stage.propose(&target, Action::MovedFundsSweep).await;
        let Subject::MovedFundsSweep(proposal) = &proposed.case.subject else { panic!("{proposed:?}") };
        assert_eq!((proposal.outpoint, excluded), (*output, vec![]), "the oldest first");
        let unsigned = proposed.transaction.as_ref().unwrap().unsigned.transaction().clone();
        assert_eq!(unsigned.input.len(), 1 + round);

        // Swept, but not proven.
        stage.bitcoin.state().spent.insert(*output);
        if round == 0 {
            let unproven = Nothing::Unproven(*output);
            assert_eq!(stage.nothing(&target, Action::MovedFundsSweep).await, unproven);
        } else {
            let main_utxo = stage.world.main_utxo(&target).unwrap().outpoint;
            stage.bitcoin.state().spent.insert(main_utxo);
            let spent = Nothing::MainUtxoSpent(main_utxo);
            assert_eq!(stage.nothing(&target, Action::MovedFundsSweep).await, spent);
        }
        let transaction = stage.world.carry_out(&target, &proposed.case.subject).await.unwrap().unwrap();
        stage.bitcoin.buries(&transaction, Confirmations(1));
    }
    assert_eq!(stage.nothing(&target, Action::MovedFundsSweep).await, Nothing::NoneLeft);
}

#[tokio::test]
async fn one_output_that_is_gone_does_not_keep_the_other_moved_funds_from_being_swept() {
    let mut stage = Stage::new().await;
    let target = stage.funded_wallet(1).await;
    let gone = OutPoint::new(moved(&mut stage, 2, &[target.key_hash()]).await.compute_txid(), 0);
    let there = OutPoint::new(moved(&mut stage, 3, &[target.key_hash()]).await.compute_txid(), 0);
    stage.bitcoin.state().spent.insert(gone);
    let (proposed, excluded) = stage.propose(&target, Action::MovedFundsSweep).await;
    let Subject::MovedFundsSweep(proposal) = &proposed.case.subject else { panic!("{proposed:?}") };
    assert_eq!(proposal.outpoint, there);
    assert_eq!(*why(&excluded, &Item::MovedFunds(gone)), Why::Spent);
}

impl Stage {
    /// The outpoint of the moved funds sweep proposed for the wallet.
    async fn swept_move(&mut self, wallet: &Wallet) -> OutPoint {
        let (proposed, _) = self.propose(wallet, Action::MovedFundsSweep).await;
        let Subject::MovedFundsSweep(proposal) = &proposed.case.subject else { panic!("{proposed:?}") };
        proposal.outpoint
    }

    /// Generates through an endpoint that meets each `eth_getLogs` as this says, given its number, from 0, and how many blocks it
    /// is about. Says how many it was asked.
    async fn generate_by_logs(
        &mut self,
        wallet: &Wallet,
        meet: impl Fn(usize, u64) -> Reply + Send + Sync + 'static,
    ) -> (ActionOutcome, usize) {
        let asked = AtomicUsize::default();
        let upstream = self.world.chain.url();
        let block = |parameters: &Value, name: &str| {
            u64::from_str_radix(parameters[0][name].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
        };
        let node = FaultyEndpoint::start_inspecting(upstream, move |method, parameters| match method {
            "eth_getLogs" => {
                let blocks = 1 + block(parameters, "toBlock") - block(parameters, "fromBlock");
                meet(asked.fetch_add(1, Ordering::Relaxed), blocks)
            }
            _ => Reply::Forward,
        });
        let node = node.await.unwrap();
        let endpoint = Endpoints::new(node.url().clone()).unwrap();
        let (bitcoin, checklist) = (self.bitcoin.clone(), [Action::MovedFundsSweep]);
        let generation = self.generate_through(endpoint, bitcoin, wallet.key_hash(), &checklist).await;
        let asked = node.methods().iter().filter(|method| *method == "eth_getLogs").count();
        (generation.attempts[0].outcome.clone(), asked)
    }
}

#[tokio::test]
async fn inc_32_moved_funds_are_found_behind_an_event_older_than_any_look_back() {
    let mut stage = Stage::new().await;
    let target = stage.funded_wallet(1).await;
    let old = OutPoint::new(moved(&mut stage, 2, &[target.key_hash()]).await.compute_txid(), 0);
    stage.world.chain.mine(500).await.unwrap();
    // (On mainnet 363 BTC waited behind one 273,886 blocks old.) The endpoint allows so few blocks at once that it takes
    // several steps.
    stage.forget_events().await;
    let narrow = |_, blocks| match blocks {
        ..=2 => Reply::Forward,
        _ => Reply::Error(json!({ "code": -32602, "message": "exceed maximum block range: 2" })),
    };
    let (outcome, asked) = stage.generate_by_logs(&target, narrow).await;
    assert!(matches!(outcome, ActionOutcome::Proposal(_)) && asked > 200, "{asked}: {outcome:?}");
    assert_eq!(stage.swept_move(&target).await, old);
    let searched = stage.events.log().searched();

    // A newer one makes two: the search goes on until both are found, and no further. The older comes first.
    let new = OutPoint::new(moved(&mut stage, 3, &[target.key_hash()]).await.compute_txid(), 0);
    assert_eq!(stage.swept_move(&target).await, old);
    assert_eq!(stage.events.log().searched(), searched, "both are known");
    let head = stage.height().await;
    stage.events = stage.events_from(head - 60);
    assert_eq!(stage.swept_move(&target).await, old);
    assert_eq!(stage.events.log().completed_moves().len(), 2);

    // With the old one swept, the new one alone is looked for.
    stage.bitcoin.state().spent.remove(&old);
    let (proposed, _) = stage.propose(&target, Action::MovedFundsSweep).await;
    let sweep = stage.world.carry_out(&target, &proposed.case.subject).await.unwrap().unwrap();
    stage.bitcoin.buries(&sweep, Confirmations(1));
    let head = stage.height().await;
    stage.events = stage.events_from(head - 60);
    assert_eq!(stage.swept_move(&target).await, new);
    assert_eq!(stage.events.log().searched(), BlockNumber(head - 60));
}

#[tokio::test]
async fn inc_32_a_search_that_fails_is_no_answer_and_goes_on_the_next_time() {
    let mut stage = Stage::new().await;
    let target = stage.funded_wallet(1).await;
    let gone = OutPoint::new(moved(&mut stage, 2, &[target.key_hash()]).await.compute_txid(), 0);
    stage.forget_events().await;
    let error = || Reply::Error(json!({ "code": -32000, "message": "missing trie node" }));
    // The first is the look at the newest blocks.
    let meet = move |asked, _| if asked == 0 { Reply::Forward } else { error() };
    let (outcome, _) = stage.generate_by_logs(&target, meet).await;
    assert!(matches!(outcome, ActionOutcome::Undecided(SessionError::Ethereum(_))), "{outcome:?}");
    assert_eq!(stage.swept_move(&target).await, gone);

    // An endpoint that has no logs so old shows none: the Bridge counts one all the same.
    stage.forget_events().await;
    let (outcome, asked) = stage.generate_by_logs(&target, |_, _| Reply::Result(json!([]))).await;
    let unknown = SessionError::MovedFundsNotFound { found: 0, pending: 1 };
    assert_eq!((outcome, asked), (ActionOutcome::Undecided(unknown), 2));
}

#[tokio::test]
async fn inc_32_what_is_found_is_swept_though_the_rest_is_not() {
    let mut stage = Stage::new().await;
    let target = stage.funded_wallet(1).await;
    let fresh = stage.world.wallet(9).await.unwrap();
    moved(&mut stage, 2, &[target.key_hash()]).await;
    moved(&mut stage, 3, &[fresh.key_hash()]).await;
    // The main UTXO is remembered.
    stage.swept_move(&target).await;
    stage.world.chain.mine(100).await.unwrap();
    let since = stage.height().await;
    let there = OutPoint::new(moved(&mut stage, 4, &[target.key_hash()]).await.compute_txid(), 0);
    moved(&mut stage, 5, &[fresh.key_hash()]).await;
    // Nothing older is served.
    let meet = |asked, _| if asked == 0 { Reply::Forward } else { Reply::Result(json!([])) };
    stage.events = stage.events_from(since);
    let (outcome, _) = stage.generate_by_logs(&target, meet).await;
    let ActionOutcome::Proposal(proposed) = outcome else { panic!("{outcome:?}") };
    let Subject::MovedFundsSweep(proposal) = &proposed.case.subject else { panic!("{proposed:?}") };
    assert_eq!(proposal.outpoint, there);

    // A wallet without a main UTXO may have spent the one that isn't found.
    stage.events = stage.events_from(since);
    let (outcome, _) = stage.generate_by_logs(&fresh, meet).await;
    let unknown = SessionError::MovedFundsNotFound { found: 1, pending: 2 };
    assert_eq!(outcome, ActionOutcome::Undecided(unknown));
}

#[tokio::test]
async fn a_wallet_without_a_main_utxo_sweeps_no_moved_funds_while_its_deposits_sweep_is_unproven() {
    let mut stage = Stage::new().await;
    let target = stage.world.wallet(1).await.unwrap();
    let deposit = stage.deposit(&target, DepositSpec::default()).await;
    moved(&mut stage, 2, &[target.key_hash()]).await;
    stage.pass(3 * HOUR).await;
    stage.propose(&target, Action::MovedFundsSweep).await;
    stage.bitcoin.state().spent.insert(deposit.outpoint);
    let unproven = Nothing::Unproven(deposit.outpoint);
    assert_eq!(stage.nothing(&target, Action::MovedFundsSweep).await, unproven);
    assert_eq!(stage.nothing(&target, Action::DepositSweep).await, unproven);
}

#[tokio::test]
async fn inc_6_the_heartbeat_needs_nothing_that_the_others_do() {
    let mut stage = Stage::new().await;
    let wallet = stage.funded_wallet(1).await;
    stage.deposit(&wallet, DepositSpec::default()).await;
    stage.pass(3 * HOUR).await;
    stage.bitcoin.state().down = true;
    let generation = stage.generate(wallet.key_hash(), &[Action::DepositSweep, Action::Heartbeat]).await;
    let ActionOutcome::Proposal(proposed) = &generation.attempts[1].outcome else { panic!("{generation:?}") };
    let expected = coxswain_proposals::heartbeat(wallet.key_hash(), generation.block.number);
    assert_eq!(proposed.case.subject, Subject::Heartbeat(expected));
    assert_eq!(proposed.transaction, None);

    // There is no such wallet.
    let generation = stage.generate(KeyHash([7; 20]), &[Action::Heartbeat]).await;
    let unknown = ActionOutcome::Nothing(Nothing::WalletState(WalletState::Unknown));
    assert_eq!(generation.attempts[0].outcome, unknown);
}
