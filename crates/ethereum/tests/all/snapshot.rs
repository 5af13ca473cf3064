//! Snapshots of the real Bridge: equal to what its views say one by one, whatever the number of items, and never
//! taken from a Bridge that doesn't answer as one.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes, U256, hex, keccak256},
    rpc::types::{TransactionInput, TransactionRequest},
    sol_types::SolConstructor,
};
use bitcoin::hashes::Hash as _;
use coxswain_bindings::{Bridge, BridgeSnapshot};
use coxswain_ethereum::{Block, BlockSelector, ChainError, Endpoints, SnapshotKeys, SnapshotReader};
use coxswain_rules::{
    Action, Amount, DepositKey, KeyHash, OutPoint, RedemptionKey, Snapshot, SweepRequestKey,
    SweepRequestState, Txid, WalletState, evaluate, units::UnixTime,
};
use coxswain_testkit::{FaultyEndpoint, RedemptionWatchtower, Reply, Scene, World};
use serde_json::json;

const ANVIL: u64 = 31337;

async fn head(endpoint: &Endpoints) -> Block {
    endpoint.block(BlockSelector::Latest).await.unwrap().unwrap()
}

fn endpoint(world: &World) -> Endpoints {
    Endpoints::new(world.chain.url()).unwrap()
}

fn reader(world: &World) -> SnapshotReader {
    SnapshotReader::new(endpoint(world), ANVIL, world.bridge.address())
}

async fn snapshot(world: &World, keys: &SnapshotKeys) -> Result<Snapshot, ChainError> {
    reader(world).snapshot(head(&endpoint(world)).await, keys).await
}

#[tokio::test]
async fn a_snapshot_holds_what_the_bridges_views_say() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let Scene { world, working, retiring, retired, .. } = &scene;
    let nobody = KeyHash([9; 20]);
    let nothing = OutPoint::new(Txid::all_zeros(), 7);
    let requests = scene.requests.iter().chain([&scene.young_request]);
    let deposits = scene.deposits.iter().chain([&scene.unspendable]).map(|deposit| deposit.outpoint);
    let keys = SnapshotKeys {
        wallets: [working.key_hash(), retiring.key_hash(), retired.key_hash(), nobody].into(),
        deposits: deposits.chain([nothing]).map(DepositKey::new).collect(),
        redemptions: requests
            .map(|request| RedemptionKey::new(working.key_hash(), &request.script))
            .chain([RedemptionKey::new(nobody, &scene.young_request.script)])
            .collect(),
        sweep_requests: [scene.moved, nothing].map(SweepRequestKey::new).into(),
    };
    let read = snapshot(world, &keys).await.unwrap();

    assert_eq!(read.timestamp, UnixTime(world.chain.now().await.unwrap()));
    let p = world.bridge.ask(&Bridge::depositParametersCall).await.unwrap();
    assert_eq!(read.deposit_parameters.deposit_tx_max_fee.to_sat(), p.depositTxMaxFee);
    let (r, p) =
        (&read.redemption_parameters, world.bridge.ask(&Bridge::redemptionParametersCall).await.unwrap());
    assert_eq!(
        (r.redemption_tx_max_total_fee.to_sat(), r.redemption_timeout),
        (p.redemptionTxMaxTotalFee, p.redemptionTimeout)
    );
    let (r, p) =
        (&read.moving_funds_parameters, world.bridge.ask(&Bridge::movingFundsParametersCall).await.unwrap());
    assert_eq!(r.moving_funds_tx_max_total_fee.to_sat(), p.movingFundsTxMaxTotalFee);
    assert_eq!(r.moving_funds_dust_threshold.to_sat(), p.movingFundsDustThreshold);
    assert_eq!(r.moving_funds_timeout, p.movingFundsTimeout);
    assert_eq!(r.moved_funds_sweep_tx_max_total_fee.to_sat(), p.movedFundsSweepTxMaxTotalFee);

    assert!(read.wallets.keys().eq(&keys.wallets));
    for (key, r) in &read.wallets {
        let w = world.record(*key).await.unwrap();
        assert_eq!(r.main_utxo_hash, w.mainUtxoHash);
        assert_eq!(r.pending_redemptions_value.to_sat(), w.pendingRedemptionsValue);
        assert_eq!(r.moving_funds_requested_at, w.movingFundsRequestedAt);
        assert_eq!(r.pending_moved_funds_sweep_requests_count, w.pendingMovedFundsSweepRequestsCount);
        assert_eq!(r.state as u8, w.state);
        assert_eq!(r.moving_funds_target_wallets_commitment_hash, w.movingFundsTargetWalletsCommitmentHash);
    }
    let state = |wallet| read.wallet(wallet).unwrap().state;
    assert_eq!(state(working.key_hash()), WalletState::Live);
    assert_eq!(state(retiring.key_hash()), WalletState::MovingFunds);
    assert_eq!(state(nobody), WalletState::Unknown);

    assert!(read.deposits.keys().eq(&keys.deposits));
    for (key, r) in &read.deposits {
        let d = world.bridge.ask(&Bridge::depositsCall { depositKey: key.to_u256() }).await.unwrap();
        assert_eq!((r.depositor, r.amount.to_sat(), r.revealed_at), (d.depositor, d.amount, d.revealedAt));
        assert_eq!((r.vault, r.treasury_fee.to_sat(), r.swept_at), (d.vault, d.treasuryFee, d.sweptAt));
        assert_eq!(r.extra_data, d.extraData);
    }
    assert!(read.redemptions.keys().eq(&keys.redemptions));
    for (key, r) in &read.redemptions {
        let q =
            world.bridge.ask(&Bridge::pendingRedemptionsCall { redemptionKey: key.to_u256() }).await.unwrap();
        assert_eq!(r.requested_amount.to_sat(), q.requestedAmount);
        assert_eq!((r.treasury_fee.to_sat(), r.tx_max_fee.to_sat()), (q.treasuryFee, q.txMaxFee));
        assert_eq!(r.requested_at, q.requestedAt);
    }
    assert_eq!(read.watchtower_delays, None);
    assert!(read.sweep_requests.keys().eq(&keys.sweep_requests));
    for (key, r) in &read.sweep_requests {
        let q = world
            .bridge
            .ask(&Bridge::movedFundsSweepRequestsCall { requestKey: key.to_u256() })
            .await
            .unwrap();
        assert_eq!(
            (r.wallet, r.value.to_sat(), r.state as u8),
            (q.walletPubKeyHash.into(), q.value, q.state)
        );
    }
    assert_eq!(
        read.sweep_request(SweepRequestKey::new(scene.moved)).unwrap().state,
        SweepRequestState::Pending
    );
}

#[tokio::test]
async fn a_cases_keys_are_all_that_its_rules_read() {
    let scene = Scene::set(|_| ()).await.unwrap();
    for action in Action::ALL {
        let case = scene.case(action).unwrap();
        let read = snapshot(&scene.world, &SnapshotKeys::from(&case)).await.unwrap();
        assert_eq!(evaluate(&case, &read).unwrap().first(), None, "{action}");
    }
}

#[tokio::test]
async fn the_watchtowers_delays_are_read_of_pending_requests() {
    let scene = Scene::set(|_| ()).await.unwrap();
    let Scene { world, working, young_request: young, requests, .. } = &scene;
    let watchtower = world.enable_watchtower().await.unwrap();
    world.object(&watchtower, watchtower.guardians[0], working, &young.script).await.unwrap();
    let key = |wallet, script| RedemptionKey::new(wallet, script);
    let objected = key(working.key_hash(), &young.script);
    let plain = key(working.key_hash(), &requests[0].script);
    let absent = key(KeyHash([9; 20]), &young.script);
    let keys = SnapshotKeys { redemptions: [objected, plain, absent].into(), ..SnapshotKeys::default() };
    let read = snapshot(world, &keys).await.unwrap();
    let delay = async |key: RedemptionKey| {
        watchtower
            .contract
            .ask(&RedemptionWatchtower::getRedemptionDelayCall { redemptionKey: key.to_u256() })
            .await
            .unwrap()
    };
    let (high, low) = (delay(objected).await, delay(plain).await);
    assert!(high > low, "{high} > {low}");
    assert_eq!(read.watchtower_delay(objected), Ok(high));
    assert_eq!(read.watchtower_delay(plain), Ok(low));
    assert_eq!(read.watchtower_delay(absent), Ok(0));
    let without = snapshot(world, &SnapshotKeys::default()).await.unwrap();
    assert_eq!(without.watchtower_delays, Some([].into()), "there is one");
}

/// Keys of deposits that nobody revealed.
fn deposits(count: u32) -> SnapshotKeys {
    let txid = Txid::all_zeros();
    let deposits = (0..count).map(|vout| DepositKey::new(OutPoint::new(txid, vout))).collect();
    SnapshotKeys { deposits, ..SnapshotKeys::default() }
}

#[tokio::test]
async fn a_call_reads_250_items() {
    let world = World::start().await.unwrap();
    for (items, calls) in [(0, 1), (250, 1), (251, 2), (1000, 4)] {
        let node = FaultyEndpoint::start(world.chain.url(), |_| Reply::Forward).await.unwrap();
        let at = head(&endpoint(&world)).await;
        let bridge = world.bridge.address();
        let reader = SnapshotReader::new(Endpoints::new(node.url().clone()).unwrap(), ANVIL, bridge);
        let read = reader.snapshot(at, &deposits(items)).await.unwrap();
        assert_eq!(read.deposits.len(), items as usize);
        assert_eq!(node.methods(), vec!["eth_call"; calls], "{items}");
    }
}

#[tokio::test]
async fn a_snapshot_is_of_the_block_asked_for() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let before = head(&endpoint(&world)).await;
    let deposit = world.reveal(&wallet, Default::default()).await.unwrap();
    let after = head(&endpoint(&world)).await;
    world.sweep(&wallet, std::slice::from_ref(&deposit), Amount::from_sat(1000)).await.unwrap();
    let key = DepositKey::new(deposit.outpoint);
    let keys = SnapshotKeys { deposits: [key].into(), ..SnapshotKeys::default() };
    let [before, after] = [
        reader(&world).snapshot(before, &keys).await.unwrap().deposit(key).unwrap().clone(),
        reader(&world).snapshot(after, &keys).await.unwrap().deposit(key).unwrap().clone(),
    ];
    assert_eq!(before.revealed_at, 0);
    assert!(after.revealed_at != 0 && after.swept_at == 0, "{after:?}");
}

async fn deploy(world: &World, code: &[u8]) -> Address {
    world.chain.deploy("double", world.governance, code.to_vec().into()).await.unwrap()
}

#[tokio::test]
async fn inc_24_inc_28_a_bridge_that_is_none_is_undecided() {
    let world = World::start().await.unwrap();
    let at = head(&endpoint(&world)).await;
    let nobody = Address::repeat_byte(0xab);
    // Reverts with HeartbeatMessageInvalid's selector; answers all with one word, with none, and with 96.
    let selector = &keccak256("HeartbeatMessageInvalid()")[..4];
    let reverting = [&hex!("600b80600a5f395ff3 63")[..], selector, &hex!("5f526004601cfd")].concat();
    let doubles = [
        deploy(&world, &reverting).await,
        deploy(&world, &hex!("600880600 95f395ff3 60015f5260205ff3")).await,
        deploy(&world, &hex!("600480600 95f395ff3 5f5ff300")).await,
        deploy(&world, &hex!("600580600 95f395ff3 610c005ff3")).await,
    ];
    let at_bridge = |bridge| SnapshotReader::new(endpoint(&world), ANVIL, bridge);
    let undecided = at_bridge(nobody).snapshot(at, &SnapshotKeys::default()).await.unwrap_err();
    assert_eq!(undecided, ChainError::NoCode { address: nobody, block: at });
    let at = head(&endpoint(&world)).await;
    for bridge in doubles {
        let undecided = at_bridge(bridge).snapshot(at, &SnapshotKeys::default()).await.unwrap_err();
        assert_eq!(undecided, ChainError::UnreadableBridge { bridge, block: at });
        assert!(!undecided.is_retryable());
    }
}

/// The call that puts this question.
fn question(arguments: BridgeSnapshot::constructorCall) -> TransactionRequest {
    let code = [&BridgeSnapshot::BYTECODE[..], &arguments.abi_encode()].concat();
    TransactionRequest::default().input(TransactionInput::new(code.into()))
}

#[tokio::test]
async fn inc_28_an_answer_that_is_no_snapshot_is_undecided() {
    let world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap().key_hash();
    let bridge = world.bridge.address();
    let at = head(&endpoint(&world)).await;
    let keys = SnapshotKeys {
        wallets: [wallet].into(),
        sweep_requests: [SweepRequestKey::new(OutPoint::null())].into(),
        ..SnapshotKeys::default()
    };
    let question = question(BridgeSnapshot::constructorCall {
        bridge,
        wallets: vec![wallet.into()],
        deposits: vec![],
        redemptions: vec![],
        sweepRequests: vec![SweepRequestKey::new(OutPoint::null()).to_u256()],
    });
    let sound: Bytes = world.chain.rpc().ask("eth_call", (question, BlockId::hash(at.hash))).await.unwrap();
    let sound = sound.to_vec();
    assert_eq!(sound.len(), 15 * 32);

    let answer = async |bytes: Vec<u8>| {
        let result = json!(Bytes::from(bytes));
        let meet = move |method: &str| match method {
            "eth_call" => Reply::Result(result.clone()),
            _ => Reply::Forward,
        };
        let node = FaultyEndpoint::start(world.chain.url(), meet).await.unwrap();
        let endpoint = Endpoints::new(node.url().clone()).unwrap();
        SnapshotReader::new(endpoint, ANVIL, bridge).snapshot(at, &keys).await
    };
    let changed = |byte: usize, value: u8| {
        let mut bytes = sound.clone();
        bytes[byte] = value;
        bytes
    };
    assert_eq!(answer(sound.clone()).await.unwrap().wallet(wallet).unwrap().state, WalletState::Live);

    let malformed = [
        vec![],
        sound[..sound.len() - 1].to_vec(),
        [&sound[..], &[0]].concat(),
        sound[..11 * 32].to_vec(),
        // A watchtower, a fee and a number of seconds beyond their types; something after a wallet, and a request.
        changed(3 * 32, 1),
        changed(4 * 32 + 23, 1),
        changed(6 * 32 + 27, 1),
        changed(13 * 32 + 17, 1),
        changed(14 * 32 + 31, 1),
    ];
    for bytes in malformed {
        let length = bytes.len();
        let undecided = answer(bytes).await.unwrap_err();
        assert!(
            matches!(undecided, ChainError::UnknownSnapshot { length: l, .. } if l == length),
            "{undecided}"
        );
    }
    // Another chain, height and time; the last bit of each.
    for word in 0..3 {
        let last = 32 * word + 31;
        let undecided = answer(changed(last, sound[last] ^ 1)).await.unwrap_err();
        assert_eq!(undecided.kind(), "other-block", "{undecided}");
    }
    // The states after the last known ones.
    for (byte, state, item) in [(13 * 32 + 16, 6, "wallet "), (14 * 32 + 28, 4, "moved funds sweep request ")]
    {
        assert!(answer(changed(byte, state - 1)).await.is_ok());
        let undecided = answer(changed(byte, state)).await.unwrap_err();
        assert!(
            matches!(&undecided, ChainError::UnknownState { item: i, state: s } if i.starts_with(item) && *s == state),
            "{undecided}"
        );
    }
}

/// What a full answer costs, on which the size of a call rests.
#[tokio::test]
async fn a_full_call_is_within_every_nodes_limits() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.enable_watchtower().await.unwrap();
    let deposit = world.reveal(&wallet, Default::default()).await.unwrap();
    let bridge = world.bridge.address();
    let reading = |deposits, redemptions| {
        question(BridgeSnapshot::constructorCall {
            bridge,
            wallets: vec![],
            deposits,
            redemptions,
            sweepRequests: vec![],
        })
    };
    let revealed = DepositKey::new(deposit.outpoint).to_u256();
    let keys: Vec<U256> = deposits(249).deposits.iter().map(|key| key.to_u256()).collect();
    let sweep = reading([vec![revealed], keys.clone()].concat(), vec![]);
    let redemption = reading(vec![], [vec![revealed], keys].concat());
    for request in [sweep, redemption] {
        assert!(request.input.input().unwrap().len() <= 49_152, "{request:?}");
        let answer: Bytes = world.chain.rpc().ask("eth_call", (&request, "latest")).await.unwrap();
        assert!(answer.len() <= 24_576, "{}", answer.len());
        let gas = world.chain.rpc().number("eth_estimateGas", (request,)).await.unwrap();
        assert!(gas <= 10_000_000, "{gas}");
    }
}
