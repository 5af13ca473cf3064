//! What the testkit does, seen through the real Bridge.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use alloy::primitives::{Address, B256, U256};
use coxswain_bindings::{Bridge, bridge};
use coxswain_rules::{
    Amount, DepositKey, KeyHash, OutPoint, RedemptionKey, SweepRequestKey, SweepRequestState, Utxo,
    WalletState, main_utxo_hash, target_wallets_commitment,
};
use coxswain_testkit::{
    Bank, Deposit, DepositOutput, DepositSpec, Error, RedemptionWatchtower, TestChain, Wallet, World,
    standard_scripts,
};

const HOUR: u64 = 3600;
const FEE: Amount = Amount::from_sat(10_000);

async fn on_bridge(world: &World, wallet: &Wallet) -> bridge::Wallet {
    world.record(wallet.key_hash()).await.unwrap()
}

async fn deposit_on_bridge(world: &World, deposit: &Deposit) -> bridge::DepositRequest {
    world
        .bridge
        .ask(&Bridge::depositsCall { depositKey: DepositKey::new(deposit.outpoint).to_u256() })
        .await
        .unwrap()
}

async fn request_on_bridge(world: &World, outpoint: OutPoint) -> bridge::MovedFundsSweepRequest {
    world
        .bridge
        .ask(&Bridge::movedFundsSweepRequestsCall { requestKey: SweepRequestKey::new(outpoint).to_u256() })
        .await
        .unwrap()
}

#[tokio::test]
async fn time_moves_on_command() {
    let chain = TestChain::start().unwrap();
    let before = chain.now().await.unwrap();
    chain.advance(3 * HOUR).await.unwrap();
    let passed = chain.now().await.unwrap() - before;
    assert!((3 * HOUR..4 * HOUR).contains(&passed), "{passed} s passed");
}

#[tokio::test]
async fn a_dropped_chain_ends() {
    let chain = TestChain::start().unwrap();
    let rpc = chain.rpc().clone();
    assert_eq!(chain.height().await.unwrap(), 0);
    drop(chain);
    assert!(rpc.number("eth_blockNumber", [(); 0]).await.is_err());
}

#[tokio::test]
async fn the_bridge_is_set_up() {
    let world = World::start().await.unwrap();
    let references = world.bridge.ask(&Bridge::contractReferencesCall).await.unwrap();
    assert_eq!(references.bank, world.bank.address());
    assert_eq!(references.ecdsaWalletRegistry, world.wallet_registry);
    assert_eq!(world.bridge.ask(&Bridge::governanceCall).await.unwrap(), world.governance);
    assert_eq!(world.bridge.ask(&Bridge::treasuryCall).await.unwrap(), world.treasury);
    assert!(world.bridge.ask(&Bridge::isVaultTrustedCall { vault: world.vault }).await.unwrap());
    assert_eq!(
        world.bridge.ask(&Bridge::depositParametersCall).await.unwrap().depositDustThreshold,
        1_000_000
    );
}

#[tokio::test]
async fn wallets_are_live_and_the_newest_is_active() {
    let world = World::start().await.unwrap();
    let (first, second) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    for wallet in [&first, &second] {
        let record = on_bridge(&world, wallet).await;
        assert_eq!(WalletState::try_from(record.state), Ok(WalletState::Live));
        assert_eq!(record.ecdsaWalletID, wallet.id());
    }
    assert_eq!(
        KeyHash::from(world.bridge.ask(&Bridge::activeWalletPubKeyHashCall).await.unwrap()),
        second.key_hash()
    );
    assert_eq!(world.bridge.ask(&Bridge::liveWalletsCountCall).await.unwrap(), 2);
}

#[tokio::test]
async fn deposits_of_every_kind_are_revealed_and_swept() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let vault = world.vault;
    for vault in [Address::ZERO, vault] {
        let mut deposits = Vec::new();
        for output in [DepositOutput::P2sh, DepositOutput::P2wsh] {
            for extra_data in [B256::ZERO, B256::repeat_byte(7)] {
                let amount = Amount::from_sat(2_000_000 + deposits.len() as u64);
                let spec = DepositSpec { output, amount, extra_data, vault, ..Default::default() };
                let deposit = world.reveal(&wallet, spec).await.unwrap();
                let record = deposit_on_bridge(&world, &deposit).await;
                assert_eq!(record.depositor, world.depositor);
                assert_eq!(record.amount, amount.to_sat());
                assert_eq!(record.vault, vault);
                assert_eq!(record.extraData, extra_data);
                assert!(record.revealedAt > 0 && record.sweptAt == 0);
                let script_length = deposit.script.as_script().len();
                assert_eq!(script_length, if extra_data.is_zero() { 92 } else { 126 });
                deposits.push(deposit);
            }
        }

        let before = world.main_utxo(&wallet).map_or(Amount::ZERO, |utxo| utxo.value);
        let transaction = world.sweep(&wallet, &deposits, FEE).await.unwrap();
        let main_utxo = world.main_utxo(&wallet).unwrap();
        assert_eq!(main_utxo.outpoint, OutPoint::new(transaction.compute_txid(), 0));
        assert_eq!(main_utxo.value, before + Amount::from_sat(8_000_006) - FEE);
        assert_eq!(on_bridge(&world, &wallet).await.mainUtxoHash, main_utxo_hash(&main_utxo));
        for deposit in &deposits {
            assert!(deposit_on_bridge(&world, deposit).await.sweptAt > 0);
        }
    }
    let balance = async |owner| world.bank.ask(&Bank::balanceOfCall { owner }).await.unwrap();
    assert!(balance(world.depositor).await > U256::from(7_900_000));
    assert!(balance(vault).await > U256::from(7_900_000));
}

#[tokio::test]
async fn inc1_the_bridge_takes_deposits_that_nobody_can_spend() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    for output in [DepositOutput::P2pkh, DepositOutput::P2wpkh] {
        let deposit = world.reveal(&wallet, DepositSpec { output, ..Default::default() }).await.unwrap();
        assert!(deposit_on_bridge(&world, &deposit).await.revealedAt > 0);
        let error = world.sweep(&wallet, &[deposit], FEE).await.unwrap_err();
        assert!(matches!(error, Error::Build(_)), "{error}");
    }
}

#[tokio::test]
async fn redemptions_are_requested_and_paid() {
    let mut world = World::start().await.unwrap();
    let wallet = world.funded_wallet(1).await.unwrap();
    let mut requests = Vec::new();
    for script in standard_scripts(1) {
        let amount = Amount::from_sat(3_000_000);
        let request = world.request_redemption(&wallet, world.depositor, script, amount).await.unwrap();
        assert_eq!(request.requested_amount, amount);
        requests.push(request);
    }
    let pending = async |world: &World, script: &_| {
        let key = RedemptionKey::new(wallet.key_hash(), script);
        world
            .bridge
            .ask(&Bridge::pendingRedemptionsCall { redemptionKey: key.to_u256() })
            .await
            .unwrap()
            .requestedAt
            > 0
    };
    for request in &requests {
        assert!(pending(&world, &request.script).await);
    }

    let (now, later) = requests.split_at(3);
    let transaction = world.redeem(&wallet, now, FEE).await.unwrap();
    for request in now {
        assert!(!pending(&world, &request.script).await);
    }
    assert!(pending(&world, &later[0].script).await);
    assert_eq!(transaction.output.len(), 4, "change, and one output per request");
    let main_utxo = world.main_utxo(&wallet).unwrap();
    assert_eq!(on_bridge(&world, &wallet).await.mainUtxoHash, main_utxo_hash(&main_utxo));
}

#[tokio::test]
async fn a_watchtower_delays_redemptions_by_objections() {
    let mut world = World::start().await.unwrap();
    let wallet = world.funded_wallet(1).await.unwrap();
    assert_eq!(world.bridge.ask(&Bridge::getRedemptionWatchtowerCall).await.unwrap(), Address::ZERO);
    let watchtower = world.enable_watchtower().await.unwrap();
    assert_eq!(
        world.bridge.ask(&Bridge::getRedemptionWatchtowerCall).await.unwrap(),
        watchtower.contract.address()
    );

    let [script, ..] = standard_scripts(1);
    let amount = Amount::from_sat(3_000_000);
    world.request_redemption(&wallet, world.depositor, script.clone(), amount).await.unwrap();
    let key = RedemptionKey::new(wallet.key_hash(), &script);
    let delay = async || {
        watchtower
            .contract
            .ask(&RedemptionWatchtower::getRedemptionDelayCall { redemptionKey: key.to_u256() })
            .await
            .unwrap()
    };
    let mut delays = vec![delay().await];
    for &guardian in &watchtower.guardians[..2] {
        world.object(&watchtower, guardian, &wallet, &script).await.unwrap();
        delays.push(delay().await);
    }
    assert_eq!(delays, [2, 8, 24].map(|hours| hours * 3600));
}

#[tokio::test]
async fn funds_are_moved_and_swept() {
    let mut world = World::start().await.unwrap();
    let source = world.funded_wallet(1).await.unwrap();
    let target = world.funded_wallet(2).await.unwrap();

    world.retire(&source).await.unwrap();
    let state = async |world: &World| WalletState::try_from(on_bridge(world, &source).await.state);
    assert_eq!(state(&world).await, Ok(WalletState::MovingFunds));

    let targets = [target.key_hash()];
    world.commit_targets(&source, &targets).await.unwrap();
    assert_eq!(
        on_bridge(&world, &source).await.movingFundsTargetWalletsCommitmentHash,
        target_wallets_commitment(&targets)
    );

    let moved = world.move_funds(&source, &targets, FEE).await.unwrap();
    assert_eq!(state(&world).await, Ok(WalletState::Closing));
    assert_eq!(world.main_utxo(&source), None);
    let outpoint = OutPoint::new(moved.compute_txid(), 0);
    let request = request_on_bridge(&world, outpoint).await;
    assert_eq!(KeyHash::from(request.walletPubKeyHash), target.key_hash());
    assert_eq!(request.value, moved.output[0].value.to_sat());
    assert_eq!(SweepRequestState::try_from(request.state), Ok(SweepRequestState::Pending));

    world.sweep_moved_funds(&target, outpoint, FEE).await.unwrap();
    let request = request_on_bridge(&world, outpoint).await;
    assert_eq!(SweepRequestState::try_from(request.state), Ok(SweepRequestState::Processed));
    let Utxo { value, .. } = world.main_utxo(&target).unwrap();
    assert_eq!(value, Amount::from_sat(2 * 50_000_000 - 4 * FEE.to_sat()));
}

#[tokio::test]
async fn a_wallet_without_main_utxo_retires_to_closing() {
    let world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.retire(&wallet).await.unwrap();
    assert_eq!(WalletState::try_from(on_bridge(&world, &wallet).await.state), Ok(WalletState::Closing));
}

#[tokio::test]
async fn a_revert_says_who_was_refused_what_and_why() {
    let world = World::start().await.unwrap();
    world.wallet(1).await.unwrap();
    let error = world.wallet(1).await.unwrap_err().to_string();
    assert!(error.starts_with("__ecdsaWalletCreatedCallback from 0x"), "{error}");
    assert!(error.contains("has been already registered"), "{error}");
}
