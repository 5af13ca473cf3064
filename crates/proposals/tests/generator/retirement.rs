//! Moving funds, and sweeping what was moved; and the heartbeat, which comes last.

use coxswain_bindings::Bridge;
use coxswain_ethereum::BridgeEvents;
use coxswain_proposals::{Item, Nothing, Outcome, Undecided, Why};
use coxswain_rules::{Action, Amount, KeyHash, OutPoint, Subject, WalletState};
use coxswain_testkit::{DepositSpec, Wallet, standard_scripts};

use crate::support::{DAY, FEE, HOUR, Stage, why};

impl Stage {
    async fn outcome(&mut self, wallet: &Wallet, action: Action) -> Outcome {
        self.generate(wallet.key_hash(), &[action]).await.attempts.remove(0).outcome
    }

    async fn nothing(&mut self, wallet: &Wallet, action: Action) -> Nothing {
        match self.outcome(wallet, action).await {
            Outcome::Nothing(nothing) => nothing,
            other => panic!("{other:?}"),
        }
    }

    /// The targets that the wallet must commit to.
    async fn targets_due(&mut self, wallet: &Wallet) -> Vec<KeyHash> {
        match self.outcome(wallet, Action::MovingFunds).await {
            Outcome::Commitment(due) => {
                assert_eq!(Some(due.main_utxo), self.world.main_utxo(wallet));
                due.targets
            }
            other => panic!("{other:?}"),
        }
    }

    async fn set_max_btc_transfer(&self, satoshis: u64) {
        let now = self.world.bridge.walletParameters().call().await.unwrap();
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
    assert_eq!(stage.nothing(&wallet, Action::MovingFunds).await, Nothing::TooEarly { after });
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
    let events =
        std::mem::replace(&mut stage.events, BridgeEvents::new(*stage.world.bridge.address(), head - 2));
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
    stage.events = BridgeEvents::new(*stage.world.bridge.address(), head + 1);
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
    stage.bitcoin.buries(&transaction, 1);

    assert_eq!(stage.nothing(&wallet, Action::MovingFunds).await, Nothing::DepositsSweepable(1));
    stage.bitcoin.state().down = true;
    let outcome = stage.outcome(&wallet, Action::MovingFunds).await;
    assert!(matches!(outcome, Outcome::Undecided(Undecided::Bitcoin(_))), "{outcome:?}");
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
    assert_eq!(crate::support::swept(proposed), [deposit.outpoint]);
    let transaction = stage.world.carry_out(&wallet, &proposed.case.subject).await.unwrap().unwrap();
    stage.bitcoin.buries(&transaction, 1);
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
    stage.bitcoin.buries(&transaction, 6);
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
        stage.bitcoin.buries(&transaction, 1);
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

    // The Bridge says that there is something, the events don't tell what.
    let head = stage.height().await;
    stage.events = BridgeEvents::new(*stage.world.bridge.address(), head);
    let outcome = stage.outcome(&target, Action::MovedFundsSweep).await;
    assert!(matches!(outcome, Outcome::Undecided(Undecided::MovedFundsNotFound(2))), "{outcome:?}");
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
    let Outcome::Proposal(proposed) = &generation.attempts[1].outcome else { panic!("{generation:?}") };
    let expected = coxswain_proposals::heartbeat(wallet.key_hash(), generation.block.number);
    assert_eq!(proposed.case.subject, Subject::Heartbeat(expected));
    assert_eq!(proposed.transaction, None);

    // There is no such wallet.
    let generation = stage.generate(KeyHash([7; 20]), &[Action::Heartbeat]).await;
    let unknown = Outcome::Nothing(Nothing::WalletState(WalletState::Unknown));
    assert_eq!(generation.attempts[0].outcome, unknown);
}
