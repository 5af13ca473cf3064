//! What coordinators stand on in these tests: a channel, journals and advisors in memory, in time that only passes when
//! everyone waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use coxswain_coordination::{
    Advisor, Channel, Coordinator, Journal, Link, Metrics, Settings, Tick, Unread, Wallet,
};
use coxswain_protocol::{
    Assignment, Assurance, Assurances, ContentVerdict, Entry, EntryError, Generation, Received, SafeHashes,
    Setup, SigningGroup, Window, WindowParameters, WindowResult,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, OperatorKey, Proposed},
};
use coxswain_rules::{
    Action, Amount, KeyHash, Proposal, RedemptionProposal, ScriptBuf,
    units::{BlockNumber, UnixTime},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

pub(crate) const NETWORK: WindowParameters = WindowParameters::LOCAL;
pub(crate) const BLOCK: Duration = Duration::from_secs(12);

pub(crate) fn key(number: u8) -> OperatorKey {
    let secret = SecretKey::from_slice(&[number; 32]).unwrap();
    OperatorKey::from_compressed(secret.public_key(&Secp256k1::new()).serialize()).unwrap()
}

pub(crate) fn group(members: u8) -> Arc<SigningGroup> {
    Arc::new(SigningGroup::new((1..=members).map(|number| key(number).address()).collect()).unwrap())
}

pub(crate) fn wallet(number: u16) -> KeyHash {
    let mut bytes = [7; 20];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    KeyHash(bytes)
}

pub(crate) fn window(index: u64) -> Window {
    Window::numbered(&NETWORK, index).unwrap()
}

pub(crate) fn redemption(fee: u64) -> Arc<Proposal> {
    let scripts = vec![ScriptBuf::from_bytes(vec![0x51])];
    Arc::new(Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(fee) }))
}

/// Who leads a wallet under the hash of this byte.
pub(crate) fn leader(of: KeyHash, members: u8, index: u64, byte: u8) -> u8 {
    let hash = B256::repeat_byte(byte);
    let assignment = Assignment::new(&NETWORK, window(index), of, &group(members), hash);
    (1..=members).find(|number| key(*number).address() == assignment.leader).unwrap()
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Answers,
    Fails,
    Hangs,
}

/// What servers say. All members of a world ask the same.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) byte: Mutex<u8>,
    pub(crate) head: Mutex<BlockNumber>,
    pub(crate) generating: Mutex<BTreeMap<KeyHash, Mood>>,
    pub(crate) judging: Mutex<Mood>,
    pub(crate) hashes_read: AtomicUsize,
    pub(crate) generated: AtomicUsize,
    /// Questions that are being worked on.
    pub(crate) open: AtomicUsize,
}

/// Counts a question for as long as it is worked on.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Asks(pub(crate) Arc<Servers>);

impl Advisor for Asks {
    async fn safe_hash(&self, _: Window) -> Result<(SafeHashes, Assurance), Unread> {
        self.0.hashes_read.fetch_add(1, Ordering::SeqCst);
        let hash = B256::repeat_byte(*self.0.byte.lock().unwrap());
        Ok((SafeHashes { canonical: hash, legacy_header: hash }, Assurance::Agreed))
    }

    async fn generate(&self, wallet: KeyHash, window: Window, action: Action) -> Generation {
        let _open = Open::new(&self.0.open);
        self.0.generated.fetch_add(1, Ordering::SeqCst);
        let mood = self.0.generating.lock().unwrap().get(&wallet).copied();
        match (mood, action) {
            (Some(Mood::Hangs), _) => std::future::pending().await,
            (Some(Mood::Fails), _) => Generation::Failed("the endpoint is down".to_owned()),
            (None, Action::Redemption) => Generation::Proposal(redemption(window.index())),
            (Some(Mood::Answers), _) | (None, _) => Generation::NotPossible,
        }
    }

    async fn judge(&self, _: KeyHash, _: Window, _: Arc<Proposal>) -> (ContentVerdict, BlockNumber) {
        let _open = Open::new(&self.0.open);
        let (mood, head) = (*self.0.judging.lock().unwrap(), *self.0.head.lock().unwrap());
        match mood {
            Mood::Answers => (ContentVerdict::Valid(Assurances::of_state(Assurance::Agreed)), head),
            Mood::Fails => (ContentVerdict::Undecided("the endpoint is down".to_owned()), head),
            Mood::Hangs => std::future::pending().await,
        }
    }
}

/// What survives a node.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) entries: Arc<Mutex<BTreeMap<KeyHash, Vec<Entry>>>>,
    /// What becomes of what is written. Who waits goes on when it changes.
    pub(crate) mood: Arc<watch::Sender<Mood>>,
}

impl Default for Book {
    fn default() -> Self {
        Self { entries: Arc::default(), mood: Arc::new(watch::Sender::new(Mood::Answers)) }
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the disk is full")]
pub(crate) struct Full;

impl Journal for Book {
    type Error = Full;

    async fn restore(&self, wallet: KeyHash) -> Result<Vec<Result<Entry, EntryError>>, Full> {
        let entries = self.entries.lock().unwrap().get(&wallet).cloned().unwrap_or_default();
        Ok(entries.into_iter().map(Ok).collect())
    }

    async fn append(&self, wallet: KeyHash, entry: Entry) -> Result<(), Full> {
        let mut mood = self.mood.subscribe();
        if *mood.wait_for(|mood| *mood != Mood::Hangs).await.unwrap() == Mood::Fails {
            return Err(Full);
        }
        self.entries.lock().unwrap().entry(wallet).or_default().push(entry);
        Ok(())
    }
}

type Ends = BTreeMap<(KeyHash, Address), mpsc::Sender<Received>>;

/// An envelope, on whose channel, by whom.
pub(crate) type Said = (KeyHash, Address, Arc<[u8]>);

/// The channels of all wallets, and what was said on them first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Air {
    ends: Arc<Mutex<Ends>>,
    /// Who has said what, in order.
    pub(crate) said: Arc<Mutex<Vec<Said>>>,
}

impl Air {
    pub(crate) fn say(&self, wallet: KeyHash, author: OperatorKey, group: &SigningGroup, envelope: &[u8]) {
        self.said.lock().unwrap().push((wallet, author.address(), envelope.into()));
        let received = Received::open(&author, group, envelope, envelope.into()).unwrap();
        for ((of, operator), end) in self.ends.lock().unwrap().iter() {
            if *of == wallet && *operator != author.address() {
                // Who is gone hears nothing.
                let _ = end.try_send(received.clone());
            }
        }
    }

    /// What an operator says through its first seat, as if its node were another program.
    pub(crate) fn propose(&self, wallet: KeyHash, members: u8, author: u8, window: Window, what: Proposed) {
        let (key, group) = (key(author), group(members));
        let seat = group.first_seat(key.address()).unwrap();
        let message =
            CoordinationMessage { seat, coordination_block: window.block(), wallet, proposed: what };
        let sequence = u64::try_from(self.said.lock().unwrap().len()).unwrap();
        let payload = message.encode().unwrap();
        let envelope = Envelope { sender: key.compressed(), payload: &payload, kind: MESSAGE_TYPE, sequence };
        self.say(wallet, key, &group, &envelope.encode().unwrap());
    }

    pub(crate) fn count(&self, wallet: KeyHash) -> usize {
        self.said.lock().unwrap().iter().filter(|(of, ..)| *of == wallet).count()
    }
}

/// One operator's end of a wallet's channel.
#[derive(Debug)]
pub(crate) struct End {
    air: Air,
    wallet: KeyHash,
    key: OperatorKey,
    group: Arc<SigningGroup>,
    heard: mpsc::Receiver<Received>,
    linked: Arc<Mutex<BTreeSet<Address>>>,
    told: BTreeSet<Address>,
}

impl Channel for End {
    type Error = String;

    async fn recv(&mut self) -> Option<Received> {
        self.heard.recv().await
    }

    fn send(&mut self, envelope: &[u8]) -> Result<(), String> {
        self.air.say(self.wallet, self.key, &self.group, envelope);
        Ok(())
    }

    fn on_block(&mut self, _: BlockNumber) -> Vec<Link> {
        let linked = self.linked.lock().unwrap().clone();
        let up = linked.difference(&self.told).map(|operator| Link::Up(*operator));
        let down = self.told.difference(&linked).map(|operator| Link::Down(*operator));
        let changes = up.chain(down).collect();
        self.told = linked;
        changes
    }
}

/// A node that runs.
pub(crate) struct Node {
    pub(crate) number: u8,
    pub(crate) clock: watch::Sender<Tick>,
    pub(crate) results: mpsc::Receiver<Arc<WindowResult>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) linked: Arc<Mutex<BTreeSet<Address>>>,
    pub(crate) running: JoinHandle<()>,
}

impl Node {
    /// All results that have come.
    pub(crate) fn taken(&mut self) -> Vec<Arc<WindowResult>> {
        std::iter::from_fn(|| self.results.try_recv().ok()).collect()
    }

    pub(crate) fn result(&mut self) -> Arc<WindowResult> {
        let results = self.taken();
        assert_eq!(results.len(), 1, "{results:?}");
        results.into_iter().next().unwrap()
    }
}

/// Everything that nodes stand on.
pub(crate) struct World {
    pub(crate) members: u8,
    pub(crate) wallets: Vec<KeyHash>,
    pub(crate) servers: Arc<Servers>,
    pub(crate) air: Air,
    pub(crate) books: BTreeMap<u8, Book>,
    pub(crate) nodes: Vec<Node>,
}

impl World {
    /// Wallets of groups of so many members. Nobody runs yet.
    pub(crate) fn new(members: u8, wallets: u16) -> Self {
        let servers = Servers {
            byte: Mutex::new(1),
            head: Mutex::new(BlockNumber(0)),
            generating: Mutex::default(),
            judging: Mutex::new(Mood::Answers),
            hashes_read: AtomicUsize::new(0),
            generated: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        };
        Self {
            members,
            wallets: (1..=wallets).map(wallet).collect(),
            servers: Arc::new(servers),
            air: Air::default(),
            books: (1..=members).map(|number| (number, Book::default())).collect(),
            nodes: Vec::new(),
        }
    }

    /// A world of one wallet whose members all run but those named.
    pub(crate) fn without(members: u8, absent: &[u8]) -> Self {
        let mut world = Self::new(members, 1);
        (1..=members).filter(|number| !absent.contains(number)).for_each(|number| world.start(number));
        world
    }

    pub(crate) fn start(&mut self, number: u8) {
        let key = key(number);
        let group = group(self.members);
        let others = group.operators().iter().copied().filter(|operator| *operator != key.address());
        let linked = Arc::new(Mutex::new(others.collect::<BTreeSet<_>>()));
        let wallets = self.wallets.iter().map(|wallet| {
            let (end, heard) = mpsc::channel(16_384);
            self.air.ends.lock().unwrap().insert((*wallet, key.address()), end);
            let channel = End {
                air: self.air.clone(),
                wallet: *wallet,
                key,
                group: Arc::clone(&group),
                heard,
                linked: Arc::clone(&linked),
                told: BTreeSet::new(),
            };
            let group = Arc::clone(&group);
            let setup =
                Setup { network: NETWORK, wallet: *wallet, group, key, first_sequence: 0, observes: false };
            Wallet { setup, channel }
        });
        let sequence = self.air.said.lock().unwrap().len() as u64 + 1_000_000;
        let settings = Settings {
            places: 4,
            patience: Duration::from_secs(30),
            clock: Arc::new(move || UnixTime(sequence)),
        };
        let (results, taken) = mpsc::channel(self.wallets.len() + 64);
        let book = self.books.get(&number).unwrap().clone();
        let coordinator = Coordinator::new(Asks(self.servers.clone()), book, settings, wallets, results);
        let metrics = coordinator.metrics();
        let (clock, ticks) = watch::channel(Tick::default());
        let running = tokio::spawn(async move { coordinator.run(ticks).await.unwrap() });
        self.nodes.push(Node { number, clock, results: taken, metrics, linked, running });
    }

    /// Ends a node as a power cut does.
    pub(crate) async fn kill(&mut self, number: u8) {
        let at = self.nodes.iter().position(|node| node.number == number).unwrap();
        let node = self.nodes.remove(at);
        node.running.abort();
        assert!(node.running.await.unwrap_err().is_cancelled());
    }

    pub(crate) fn node(&mut self, number: u8) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.number == number).unwrap()
    }

    /// The next block comes to all nodes, and its time passes.
    pub(crate) async fn block(&mut self, block: u64) {
        *self.servers.head.lock().unwrap() = BlockNumber(block);
        for node in &self.nodes {
            node.clock.send_modify(|tick| tick.block = BlockNumber(block));
        }
        sleep(BLOCK).await;
    }

    pub(crate) async fn blocks(&mut self, blocks: impl IntoIterator<Item = u64>) {
        for block in blocks {
            self.block(block).await;
        }
    }

    pub(crate) fn entries(&self, number: u8, wallet: KeyHash) -> Vec<Entry> {
        self.books.get(&number).unwrap().entries.lock().unwrap().get(&wallet).cloned().unwrap_or_default()
    }
}
