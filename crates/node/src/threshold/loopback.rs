//! A group that signs over sockets, in one process: nodes' networks and journals, and signers as a node has them. As a test, operators
//! with several seats sign in batches. As a measurement (`COXSWAIN_MEASURE=1`), groups of three sizes sign once, and 21 inputs at once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test may panic"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use alloy_primitives::{Address, B256};
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute::LockTime,
    hashes::Hash as _,
    secp256k1::{PublicKey, Secp256k1, SecretKey},
    sighash::SighashCache,
    transaction::Version,
};
use coxswain_network::{
    AdmissionRule, Bounds, Channel, Config, DriveError, Driver, Identity, Message, Network, PeerAddress,
};
use coxswain_protocol::{
    SigningGroup, Window, WindowParameters,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, Proposed},
};
use coxswain_rules::{
    HeartbeatProposal, KeyHash, Proposal,
    network::SigningTimes,
    units::{BlockNumber, Blocks},
};
use coxswain_service::journal::{Journal, Settings};
use coxswain_signing::{
    ActionId, Job, Outcome, Preimages, Report, TestChain, WalletSigner,
    group::SignedAnnouncement,
    store::{Cost, Passphrase, ShareFile},
    threshold::{Event, FRAME_BYTES, READ_BYTES, ROUND_BYTES, deal},
};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::{
    leader::AgreedBy,
    signer::{ShareSettings, ThresholdSigner},
    wire::{self, Rules},
};

const CHAIN: u64 = 31337;
const PASSPHRASE: &[u8] = b"correct horse";
/// A file is opened once: what its passphrase costs is measured elsewhere.
const COST: Cost = Cost { kib: 8, passes: 1, lanes: 1 };
/// An attempt in which nothing is pressed for time.
const TIMES: SigningTimes = SigningTimes {
    attempts: 5,
    delay: Blocks(1),
    announcement: Blocks(4),
    rounds: Blocks(902),
    pause: Blocks(1),
    list_wait: Blocks(2),
    last_round: Blocks(2),
};
/// How long a block lasts.
const BLOCK: Duration = Duration::from_millis(300);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32]).unwrap()
}

fn address(number: u8) -> Address {
    identity(number).operator().address()
}

/// Binds a node's network, which takes everybody.
async fn bind(identity: &Identity, peers: &[PeerAddress]) -> (Network, Driver) {
    let mut config = Config::new(identity.clone(), SystemTime::now());
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.peers = peers.to_vec();
    config.admission = AdmissionRule::Any;
    config.direct = true;
    // All of them dial from one address, at once.
    config.lift_rates = true;
    config.bounds =
        Bounds { handshakes: 1_000, per_address: 1_000, per_minute: 100_000, ..Bounds::default() };
    Driver::bind(config).await.unwrap()
}

struct Operator {
    network: Network,
    journal: Arc<Journal>,
    signer: Arc<ThresholdSigner>,
    driver: JoinHandle<Result<(), DriveError>>,
}

/// The operators of a wallet, all linked.
struct Group {
    operators: Vec<Operator>,
    listening: Vec<PeerAddress>,
    group: SigningGroup,
    public_key: PublicKey,
    wallet: KeyHash,
    windows: u64,
    /// That of the last window's action.
    clock: watch::Sender<BlockNumber>,
    _folder: TempDir,
}

impl Group {
    /// Each operator holds as many seats as it says here.
    async fn start(threshold: u8, held: &[usize], read_bytes: usize) -> Self {
        let numbers = 1..=u8::try_from(held.len()).unwrap();
        let holders = numbers.clone().zip(held).flat_map(|(number, seats)| vec![address(number); *seats]);
        let group = SigningGroup::new(holders.collect()).unwrap();
        let chain = TestChain::new(CHAIN, &[]).unwrap();
        let dealt = deal(chain, &group, threshold).unwrap();
        let public_key = dealt.values().next().unwrap().info().wallet_key;
        let wallet = KeyHash(bitcoin::PublicKey::new(public_key).pubkey_hash().to_byte_array());
        let folder = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new(PASSPHRASE);
        let (mut operators, mut listening) = (Vec::new(), Vec::<PeerAddress>::new());
        for number in numbers {
            let identity = identity(number);
            let own = folder.path().join(number.to_string());
            let file = dealt[&address(number)].save(&own, &passphrase, COST).unwrap();
            let journal = Arc::new(Journal::open(&Settings::at(own.join("journal.db"))).unwrap());
            let (network, driver) = bind(&identity, &listening).await;
            let socket = driver.listening().next().unwrap();
            let peer = identity.peer_id();
            listening.push(format!("/ip4/{}/tcp/{}/p2p/{peer}", socket.ip(), socket.port()).parse().unwrap());
            let settings = ShareSettings {
                chain,
                network: &network,
                identity: &identity,
                secret: SecretKey::from_slice(&[number; 32]).unwrap(),
                times: TIMES,
                read_bytes,
                journal: &journal,
            };
            let file = ShareFile::open(&file, &passphrase).unwrap();
            let signer = ThresholdSigner::new(&settings, (wallet, public_key), &group, file).unwrap();
            let driver = tokio::spawn(driver.run(std::future::pending()));
            operators.push(Operator { network, journal, signer: Arc::new(signer), driver });
        }
        let others = held.len() - 1;
        for operator in &operators {
            let linked = operator.network.until(|status| {
                status.peers.iter().filter(|peer| peer.linked_since.is_some()).count() == others
            });
            timeout(PATIENCE, linked).await.expect("all are linked");
        }
        let clock = watch::Sender::default();
        Self { operators, listening, group, public_key, wallet, windows: 1, clock, _folder: folder }
    }

    /// The last window.
    fn window(&self) -> Window {
        Window::numbered(&WindowParameters::MAINNET, self.windows).unwrap()
    }

    /// A window's action, agreed on by everybody.
    async fn agreed(&mut self, inputs: usize) -> Job {
        self.windows += 1;
        let window = self.window();
        let message = [[0xff; 8], self.windows.to_be_bytes()].concat();
        let proposal = Arc::new(Proposal::Heartbeat(HeartbeatProposal { message }));
        let (leader, wallet) = (identity(1), self.wallet);
        let action_id = ActionId::of(CHAIN, wallet, window.block(), &proposal);
        let seat = self.group.first_seat(leader.operator().address()).unwrap();
        let proposed = Proposed::Action(proposal);
        let payload = CoordinationMessage { seat, coordination_block: window.block(), wallet, proposed };
        let payload = payload.encode().unwrap();
        let sender = leader.operator().compressed();
        let envelope = Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence: 1 };
        let topic = Channel::Coordination.topic(&self.public_key);
        let message = Message::sign(&leader, 0, topic.as_bytes(), &envelope.encode().unwrap()).into();
        let leader = leader.operator().address();
        let agreed = AgreedBy { window, safe_block_hash: B256::ZERO, leader, message };
        for operator in &self.operators {
            agreed.record(&operator.journal, wallet).await.unwrap();
        }
        Job {
            chain_id: CHAIN,
            wallet,
            coordination_block: window.block(),
            action_id,
            has_main_utxo: true,
            preimages: preimages(inputs, self.windows),
            start_block: window.end(),
            last_block: window.end().saturating_add(Blocks(10_000)),
        }
    }

    /// All sign. What it took is from the block on that the attempt goes by a list.
    async fn sign(&mut self, inputs: usize) -> (Vec<Report>, Spent) {
        let job = self.agreed(inputs).await;
        self.clock = watch::Sender::new(job.start_block);
        let clock = &self.clock;
        let signing: Vec<_> = self
            .operators
            .iter()
            .map(|operator| {
                let (signer, job, group) = (Arc::clone(&operator.signer), job.clone(), self.group.clone());
                let clock = clock.subscribe();
                tokio::spawn(async move { signer.sign(&job, &group, clock).await })
            })
            .collect();
        let begun = TIMES.delay.saturating_add(TIMES.announcement).saturating_add(TIMES.list_wait);
        for block in 1..begun.0 {
            tokio::time::sleep(BLOCK).await;
            clock.send_replace(job.start_block.saturating_add(Blocks(block)));
        }
        tokio::time::sleep(BLOCK).await;
        let since = Instant::now();
        let before = Spent::by_now(since);
        clock.send_replace(job.start_block.saturating_add(begun));
        let ticking = async {
            for block in begun.0 + 1.. {
                tokio::time::sleep(BLOCK).await;
                clock.send_replace(job.start_block.saturating_add(Blocks(block)));
            }
        };
        let all = async {
            let mut reports = Vec::new();
            for signing in signing {
                reports.push(signing.await.unwrap());
            }
            reports
        };
        let reports = tokio::select! {
            reports = timeout(PATIENCE, all) => reports.expect("all come to an end"),
            () = ticking => unreachable!("blocks come for ever"),
        };
        let after = Spent::by_now(since);
        let secp = Secp256k1::verification_only();
        let messages = job.preimages.messages().unwrap();
        for report in &reports {
            let Outcome::Signed(signed) = &report.outcome else { panic!("{report:?}") };
            assert_eq!(signed.signatures.len(), inputs);
            for (message, signature) in messages.iter().zip(&signed.signatures) {
                secp.verify_ecdsa(message, signature, &self.public_key).unwrap();
            }
        }
        (reports, Spent { wall: after.wall, cpu: after.cpu - before.cpu, bytes: after.bytes - before.bytes })
    }
}

/// What is signed for each of so many inputs, in this window alone: else the signatures of the one before are these.
fn preimages(inputs: usize, window: u64) -> Preimages {
    let input = |index: usize| TxIn {
        previous_output: OutPoint::new(Txid::all_zeros(), u32::try_from(index).unwrap()),
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let transaction = Transaction {
        version: Version::ONE,
        lock_time: LockTime::ZERO,
        input: (0..inputs).map(input).collect(),
        output: vec![TxOut {
            value: Amount::from_sat(5_000),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        }],
    };
    let code = ScriptBuf::from_bytes(vec![0x76, 0xa9, 0x51, 0xac]);
    let mut cache = SighashCache::new(&transaction);
    let preimage = |index| {
        let (mut out, value) = (Vec::new(), Amount::from_sat(window));
        let all = EcdsaSighashType::All;
        cache.segwit_v0_encode_signing_data_to(&mut out, index, &code, value, all).unwrap();
        out
    };
    Preimages::Transaction((0..inputs).map(preimage).collect())
}

/// How long something has taken, and what this process and the loopback device have done meanwhile.
#[derive(Clone, Copy)]
struct Spent {
    wall: Duration,
    /// Seconds of the processor.
    cpu: f64,
    /// Bytes over the loopback device, whoever sent them.
    bytes: f64,
}

impl Spent {
    /// Since this process, and the device, have begun.
    fn by_now(since: Instant) -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
        let devices = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
        let lo = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
        let bytes = lo.and_then(|counts| counts.split_whitespace().next()?.parse().ok());
        Self { wall: since.elapsed(), cpu: ticks / 100.0, bytes: bytes.unwrap_or_default() }
    }
}

/// The most memory that this process has had since it was last forgotten, in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// Three operators have several seats of one kind or the other, and two inputs of five fit at once.
#[tokio::test(flavor = "multi_thread")]
async fn operators_with_several_seats_sign_in_batches_over_sockets() {
    let [one, two, three] = ROUND_BYTES;
    // Whoever signs with three seats has six pairs; with two of them, too.
    let read_bytes = 6 * (2 * (one + two) + 5 * three + 3 * FRAME_BYTES);
    let mut group = Group::start(5, &[3, 2, 2, 1, 1], read_bytes).await;
    for inputs in [5, 1] {
        let (reports, _) = group.sign(inputs).await;
        assert!(reports.iter().all(|report| report.blames.is_empty()), "{reports:?}");
    }
}

/// On each link that comes up, and again when a later attempt begins, though those who have signed take no part in it.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_hears_the_announcements_of_those_who_have_signed() {
    let mut group = Group::start(2, &[1, 1, 1], READ_BYTES).await;
    let away = group.operators.pop().unwrap();
    away.driver.abort();
    assert!(away.driver.await.is_err_and(|error| error.is_cancelled()));
    group.sign(1).await;

    let (network, driver) = bind(&identity(3), &group.listening[..2]).await;
    let (chain_id, wallet, members) = (CHAIN, group.wallet, group.group.clone());
    let rules = Rules { chain_id, wallet, group: members.clone(), floor: Arc::default() };
    let (_sender, mut receiver) =
        network.join(&group.public_key, Channel::Announcements, &members, Box::new(rules));
    tokio::spawn(driver.run(std::future::pending()));
    let mut heard = async || {
        let mut all = BTreeMap::new();
        while all.len() < 2 {
            let heard = timeout(PATIENCE, receiver.recv()).await.expect("both announce").unwrap();
            let Some(Event::Announcement(bytes)) = wire::event(&heard.author, &heard.envelope) else {
                continue;
            };
            let signed = SignedAnnouncement::from_bytes(&bytes).unwrap();
            all.insert(signed.announcement().seat.number(), (signed.announcement().attempt, bytes));
        }
        all
    };
    let offered = heard().await;
    let of: Vec<_> = offered.iter().map(|(seat, (attempt, _))| (*seat, *attempt)).collect();
    assert_eq!(of, [(1, 1), (2, 1)]);
    let second = group.window().end().saturating_add(TIMES.attempt());
    group.clock.send_replace(second.saturating_add(TIMES.delay));
    assert_eq!(heard().await, offered);
}

/// Beside what was measured when the library was chosen: milliseconds of the processor and kilobytes sent, of one seat for one
/// signature.
#[tokio::test(flavor = "multi_thread")]
async fn what_signatures_take_over_sockets() {
    if env::var_os("COXSWAIN_MEASURE").is_none() {
        return;
    }
    println!(
        "over sockets, all operators in this process; in brackets: times what was measured at the choice"
    );
    println!("group      inputs       CPU a seat          sent a seat     wall   peak memory of all");
    for (threshold, seats, cpu, kilobytes) in
        [(3, 5, 6.8, 160.0), (6, 10, 17.0, 401.0), (11, 20, 33.0, 802.0)]
    {
        let mut group = Group::start(threshold, &vec![1; seats], READ_BYTES).await;
        for (inputs, times) in [(1, 10), (21, 1)] {
            // The highest mark is forgotten, where that can be asked for.
            let _ = fs::write("/proc/self/clear_refs", "5");
            let mut all = Spent { wall: Duration::ZERO, cpu: 0.0, bytes: 0.0 };
            for _ in 0..times {
                let (_, spent) = group.sign(inputs).await;
                all.wall += spent.wall;
                all.cpu += spent.cpu;
                all.bytes += spent.bytes;
            }
            let of_one = f64::from(threshold) * f64::from(times);
            let (spent, sent) = (all.cpu * 1e3 / of_one, all.bytes / 1e3 / of_one);
            let expected = inputs as f64;
            println!(
                "{threshold:>3}-of-{seats:<4} {inputs:>5} {spent:>9.1} ms ({:>4.1}) {sent:>9.0} KB ({:>4.1}) {:>6.2} s {:>9} MiB",
                spent / cpu / expected,
                sent / kilobytes / expected,
                all.wall.as_secs_f64() / f64::from(times),
                peak(),
            );
        }
    }
}
