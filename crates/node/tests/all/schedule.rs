//! Windows on both sides of the block at which the checklist's schedule changes, over real sockets, a hostile member among them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy_primitives::B256;
use bitcoin::hashes::Hash;
use coxswain_coordination::{
    Advisor, Coordinator, Count, Forgetful, Metrics, Settings, Tick, Unread, Wallet,
};
use coxswain_network::{AdmissionRule, Config, Driver, Network};
use coxswain_node::{WalletChannel, channel::CoordinationChannel};
use coxswain_protocol::{
    Agreement, Assignment, Assurance, Assurances, ContentVerdict, FaultKind, Generation, Mistake, SafeHashes,
    Setup, SigningGroup, Window, WindowParameters, WindowResult,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, Proposed},
};
use coxswain_rules::{
    Action, Amount, DepositSweepProposal, KeyHash, Proposal, RevealedDeposit,
    network::Parameters,
    units::{BlockNumber, Blocks, UnixTime},
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{identity, wallet_key};

/// The last window before the change, and the first one after it.
const BEFORE: u64 = 10;
const AFTER: u64 = 11;
const HOSTILE: u8 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

fn network() -> WindowParameters {
    let parameters = Parameters {
        sweeps_every_window_from: Some(BlockNumber(AFTER * Parameters::LOCAL.frequency.0)),
        heartbeat_probability: 0.0,
        ..Parameters::LOCAL
    };
    parameters.try_into().unwrap()
}

fn wallet() -> KeyHash {
    KeyHash(bitcoin::PublicKey::new(wallet_key()).pubkey_hash().to_byte_array())
}

fn group() -> Arc<SigningGroup> {
    let holders = [1, 2, HOSTILE].map(|number| identity(number).operator().address());
    Arc::new(SigningGroup::new(holders.into()).unwrap())
}

fn window(index: u64) -> Window {
    Window::numbered(&network(), index).unwrap()
}

fn assigned(index: u64, hash: B256) -> Assignment {
    Assignment::new(&network(), window(index), wallet(), &group(), hash)
}

/// A safe hash by which this operator leads the window.
fn led_by(index: u64, number: u8) -> B256 {
    let leader = identity(number).operator().address();
    let hashes = (0..=255).map(B256::repeat_byte);
    hashes.into_iter().find(|hash| assigned(index, *hash).leader == leader).unwrap()
}

fn sweep() -> Proposal {
    let outpoint = "00000000000000000000000000000000000000000000000000000000000000ff:3".parse().unwrap();
    let deposits = vec![RevealedDeposit { outpoint, reveal_block: BlockNumber(5) }];
    Proposal::DepositSweep(DepositSweepProposal { deposits, fee: Amount::from_sat(1_000) })
}

/// There is a deposit to sweep in each window.
#[derive(Clone)]
struct Servers(Arc<BTreeMap<u64, B256>>);

impl Advisor for Servers {
    async fn safe_hash(&self, window: Window) -> Result<(SafeHashes, Assurance), Unread> {
        let hash = self.0[&window.index()];
        Ok((SafeHashes { canonical: hash, legacy_header: hash }, Assurance::Agreed))
    }

    async fn generate(&self, _: KeyHash, _: Window, action: Action) -> Generation {
        match action {
            Action::DepositSweep => Generation::Proposal(Arc::new(sweep())),
            _ => Generation::NotPossible,
        }
    }

    async fn judge(&self, _: KeyHash, window: Window, _: Arc<Proposal>) -> (ContentVerdict, BlockNumber) {
        (ContentVerdict::Valid(Assurances::of_state(Assurance::Agreed)), window.end())
    }
}

struct Node {
    clock: watch::Sender<Tick>,
    metrics: Arc<Metrics>,
    results: mpsc::Receiver<Arc<WindowResult>>,
}

impl Node {
    async fn counts(&self, count: Count, kind: &'static str) {
        let waiting = async {
            while self.metrics.get(count, kind) == 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let counted = timeout(PATIENCE, waiting).await;
        assert!(counted.is_ok(), "no {kind}: {:?}", self.metrics.all());
    }

    async fn result(&mut self) -> Arc<WindowResult> {
        timeout(PATIENCE, self.results.recv()).await.expect("a result comes").unwrap()
    }
}

/// Real sockets, linked to those before.
async fn on_sockets(number: u8, peers: &mut Vec<String>) -> Network {
    let mut config = Config::new(identity(number), SystemTime::now());
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
    config.admission = AdmissionRule::list([]).unwrap();
    let (network, driver) = Driver::bind(config).await.unwrap();
    let socket = driver.listening().next().unwrap();
    peers.push(format!("/ip4/{}/tcp/{}/p2p/{}", socket.ip(), socket.port(), identity(number).peer_id()));
    tokio::spawn(driver.run(std::future::pending()));
    network
}

fn join(network: &Network) -> CoordinationChannel {
    CoordinationChannel::join(network, self::network(), &wallet_key(), group())
}

async fn linked(network: &Network) {
    let all =
        network.until(|status| status.peers.iter().filter(|peer| peer.linked_since.is_some()).count() == 2);
    timeout(PATIENCE, all).await.expect("all are linked");
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_31_sweeps_are_on_every_windows_checklist_from_their_block_on_and_not_before() {
    let hashes = BTreeMap::from([(BEFORE, led_by(BEFORE, HOSTILE)), (AFTER, led_by(AFTER, 1))]);
    assert!(!assigned(BEFORE, hashes[&BEFORE]).checklist.contains(Action::DepositSweep));
    assert!(assigned(AFTER, hashes[&AFTER]).checklist.contains(Action::DepositSweep));
    let servers = Servers(Arc::new(hashes));
    let (mut peers, mut nodes, mut networks) = (Vec::new(), Vec::new(), Vec::new());
    for number in [1, 2] {
        let network = on_sockets(number, &mut peers).await;
        let (me, group) = (identity(number), group());
        let others = group.operators().iter().copied();
        let others = others.filter(|other| *other != me.operator().address()).collect();
        let setup = Setup {
            network: self::network(),
            wallet: wallet(),
            group: Arc::clone(&group),
            key: *me.operator(),
            first_sequence: 1,
            observes: false,
        };
        let member = Wallet { setup, channel: WalletChannel::new(join(&network), others) };
        let settings = Settings { places: 4, patience: PATIENCE, clock: Arc::new(|| UnixTime(1)) };
        let (dispatch, results) = mpsc::channel(8);
        let coordinator = Coordinator::new(servers.clone(), Forgetful, settings, [member], dispatch);
        let metrics = coordinator.metrics();
        let (clock, ticks) = watch::channel(Tick::default());
        tokio::spawn(coordinator.run(ticks));
        nodes.push(Node { clock, metrics, results });
        networks.push(network);
    }
    let network = on_sockets(HOSTILE, &mut peers).await;
    let hostile = join(&network);
    for network in networks.iter().chain([&network]) {
        linked(network).await;
    }
    let tick = |nodes: &[Node], block: u64| {
        for node in nodes {
            node.clock.send_replace(Tick { block: BlockNumber(block), set_back: 0 });
        }
    };

    // The leader sweeps a window too early.
    let before = window(BEFORE);
    tick(&nodes, before.block().0);
    for node in &nodes {
        // What comes before the seed is known is dropped.
        node.counts(Count::SafeHash, "read").await;
    }
    hostile.on_block(before.block());
    let message = CoordinationMessage {
        seat: group().first_seat(identity(HOSTILE).operator().address()).unwrap(),
        coordination_block: before.block(),
        wallet: wallet(),
        proposed: Proposed::Action(Arc::new(sweep())),
    };
    let (sender, payload) = (identity(HOSTILE).operator().compressed(), message.encode().unwrap());
    let envelope = Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence: 7 };
    hostile.send(&envelope.encode().unwrap()).unwrap();
    for node in &nodes {
        node.counts(Count::Message, "not on the checklist").await;
    }
    for block in [before.active_end(), before.end(), before.end().saturating_add(Blocks(1))] {
        tick(&nodes, block.0);
    }
    for node in &mut nodes {
        let result = node.result().await;
        assert_eq!(result.window, before);
        let mistake = FaultKind::LeaderMistake(Mistake::NotOnChecklist(Action::DepositSweep));
        assert!(result.faults.iter().any(|fault| fault.kind == mistake), "{result:#?}");
        assert!(result.agreement.proposal().is_none());
    }

    // From its block on, an honest leader does, and nobody is blamed.
    let after = window(AFTER);
    tick(&nodes, after.block().0);
    nodes[1].counts(Count::Message, "accepted").await;
    for block in [after.block().saturating_add(Blocks(1)), after.active_end(), after.end()] {
        tick(&nodes, block.0);
    }
    for node in &mut nodes {
        let result = node.result().await;
        assert!(matches!(result.agreement, Agreement::Action(..)), "{result:#?}");
        assert_eq!((result.window, result.faults.len()), (after, 0));
        assert_eq!(**result.agreement.proposal().unwrap(), sweep());
    }
}
