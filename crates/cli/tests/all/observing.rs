//! A node on mainnet, beside the Go client: it has no signer, and says nothing, also where it leads and a commitment is due.

use std::time::SystemTime;

use coxswain_protocol::{Assignment, Window, WindowParameters};
use coxswain_rules::{Action, network::Parameters};
use coxswain_testkit::{DepositSpec, TestChain, World};

use crate::{
    fleet::{Fleet, Member, Plan, operator},
    support::coxswain,
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// So many wallets that we lead one of them in any window.
const WALLETS: u64 = 8;
/// In each fourth window funds may be moved.
const FOURTH: u64 = 4 * 900;
/// How old the chain is at first: it is brought up to the clock at last, as mainnet's blocks are.
const AGE: u64 = 3 * DAY;
/// How old the newest block may be, less a little.
const FRESH: u64 = 150;

fn clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mainnet_a_node_that_leads_and_has_a_commitment_to_send_sends_nothing_and_says_so() {
    let network = WindowParameters::try_from(Parameters::MAINNET).unwrap();
    let mut world = World::on(TestChain::start_as_mainnet(AGE).unwrap()).await.unwrap();
    let target = world.wallet(100).await.unwrap();
    world.reveal(&target, DepositSpec::default()).await.unwrap();
    let mut wallets = Vec::new();
    for seed in 1..=WALLETS {
        let wallet = world.funded_wallet(seed).await.unwrap();
        world.retire(&wallet).await.unwrap();
        wallets.push(wallet);
    }
    world.chain.advance(25 * HOUR).await.unwrap();
    let bridge = world.bridge.address().to_string();
    let keys: Vec<_> = wallets.iter().map(|wallet| wallet.public_key().0).collect();
    let mut fleet = Fleet::new(world, &keys, Plan::of(2).played(2)).await;
    fleet.world.chain.fund(operator(1)).await.unwrap();
    fleet.catch_up().await;

    // To the block before a window in which funds may be moved, and to the clock's time.
    let block = (fleet.height / FOURTH + 1) * FOURTH;
    let window = Window::numbered(&network, block / network.frequency.0).unwrap();
    fleet.mine_unseen(block - 2 - fleet.height).await;
    let behind = clock() - FRESH - fleet.world.chain.now().await.unwrap();
    fleet.world.chain.advance(behind).await.unwrap();
    fleet.height += 1;
    let hash = fleet.hashes(window.safe_block()).await.legacy_header;
    let leads = |wallet: &&coxswain_testkit::Wallet| {
        let assignment = Assignment::new(&network, window, wallet.key_hash(), &fleet.group(), hash);
        assignment.leader == operator(1) && assignment.checklist.contains(Action::MovingFunds)
    };
    let led = wallets.iter().filter(leads).map(|wallet| wallet.key_hash()).collect::<Vec<_>>();
    assert!(!led.is_empty(), "we lead none of {WALLETS} wallets");

    let (listener, mut receivers) = Member::join(&fleet, 2, &[], true).await;
    fleet.run(
        1,
        &[
            ("COXSWAIN_STATUS__OFF", "true"),
            ("COXSWAIN_ETHEREUM__NETWORK", "mainnet"),
            ("COXSWAIN_ETHEREUM__BRIDGE", &bridge),
            ("COXSWAIN_BITCOIN__NETWORK", "regtest"),
        ],
    );
    fleet.taken().await;
    listener.linked(&[1]).await;
    // The window's first blocks, each a slot after the other, none of them old.
    for _ in 0..FRESH / 12 {
        fleet.world.chain.advance(12).await.unwrap();
        fleet.height += 1;
        fleet.taken().await;
    }
    let told = fleet.nodes[&1].lines();
    assert!(told.iter().any(|line| line.contains("observing: nothing is sent")), "{told:#?}");
    for wallet in &wallets {
        let key_hash = wallet.key_hash();
        assert!(fleet.nodes[&1].entries(key_hash).is_empty(), "nothing is sent, nothing recorded to be");
        let heard = receivers.get_mut(&key_hash).unwrap();
        let silent = tokio::time::timeout(std::time::Duration::from_millis(20), heard.recv()).await;
        assert!(silent.is_err(), "{key_hash}: {silent:?}");
    }
    assert_eq!(fleet.world.chain.transactions_of(&[operator(1)]).await.unwrap(), (0, 0), "no commitment");

    let (wallet, journal) = (led[0].to_string(), fleet.journal(1).display().to_string());
    let run = coxswain(&["why", &wallet, "--journal", &journal, "--json"], "").await;
    let why = run.json();
    assert_eq!((run.code, &why["observing"]), (0, &true.into()), "{why:#}");
    assert!(why["says"].as_str().unwrap().contains("observing"), "{why:#}");
    listener.leave().await;
    fleet.stop();
}
