//! A member as a node runs it: driven by `coordination`, in time that only passes when everyone waits. What the driver wants
//! of the world comes out as the member's own commands, and the world's answers go in as events, so that the same game is
//! played as with the protocol alone.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    fmt,
    future::pending,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use coxswain_coordination::{Advisor, Channel, Coordinator, Journal, Link, Settings, Tick, Unread, Wallet};
use coxswain_protocol::{
    Assurance, Command, ContentVerdict, Entry, EntryError, EntryId, Event, Generation, Question, Received,
    SafeHashes, Setup, Window, WindowResult,
};
use coxswain_rules::{
    Action, KeyHash, Proposal,
    units::{BlockNumber, UnixTime},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// How long a tick of the game is. Four are a block.
const TICK: Duration = Duration::from_secs(3);
/// How long a driver waits: past every answer that the world gives.
const PATIENCE: Duration = Duration::from_secs(12);
/// More messages than are sent in a window.
const HEARD: usize = 1 << 16;

type Entries = Vec<Result<Entry, EntryError>>;

/// The time of a game, shared by its members.
pub(crate) struct Time {
    runtime: Runtime,
    began: Instant,
}

impl Time {
    pub(crate) fn new() -> Rc<Self> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O needs nothing");
        let began = runtime.block_on(async { Instant::now() });
        Rc::new(Self { runtime, began })
    }

    fn pass_until(&self, tick: u64) {
        let ticks = u32::try_from(tick).expect("games are short");
        self.runtime.block_on(async { sleep_until(self.began + TICK * ticks).await });
    }

    /// Returns once all tasks wait.
    fn settle(&self) {
        self.runtime.block_on(async { sleep(Duration::from_millis(1)).await });
    }
}

/// A member that `coordination` drives.
pub(crate) struct Coordinated {
    time: Rc<Time>,
    setup: Setup,
    now: BlockNumber,
    world: World,
    clock: watch::Sender<Tick>,
    heard: mpsc::Sender<Received>,
    results: mpsc::Receiver<Arc<WindowResult>>,
    running: JoinHandle<()>,
}

impl fmt::Debug for Coordinated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinated").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Drop for Coordinated {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Coordinated {
    pub(crate) fn restore(time: Rc<Time>, setup: Setup, entries: Entries) -> Self {
        let world = World::default();
        let (heard, messages) = mpsc::channel(HEARD);
        let (results, taken) = mpsc::channel(4);
        let (clock, ticks) = watch::channel(Tick::default());
        let settings = Settings { places: 2, patience: PATIENCE, clock: Arc::new(|| UnixTime(0)) };
        let channel = Air { world: world.clone(), messages };
        let wallet = Wallet { setup: setup.clone(), channel };
        let book = Book { world: world.clone(), entries };
        let coordinator = Coordinator::new(Asks(world.clone()), book, settings, [wallet], results);
        let running =
            time.runtime.spawn(async move { coordinator.run(ticks).await.expect("nothing panics") });
        Self { time, setup, now: BlockNumber(0), world, clock, heard, results: taken, running }
    }

    pub(crate) fn restart(&mut self, setup: Setup, entries: Entries) {
        *self = Self::restore(Rc::clone(&self.time), setup, entries);
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.running.abort();
        self.time.settle();
        let mut desk = self.world.lock();
        (desk.commands, desk.open) = (VecDeque::new(), BTreeMap::new());
    }

    pub(crate) const fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(crate) const fn now(&self) -> BlockNumber {
        self.now
    }

    pub(crate) fn pass_until(&self, tick: u64) {
        self.time.pass_until(tick);
    }

    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::Block(block) => {
                self.now = self.now.max(block);
                self.clock.send_modify(|tick| tick.block = block);
            }
            Event::Message(received) => {
                self.heard.try_send(received).expect("the channel is long enough, and read");
            }
            Event::SafeHash { question, hashes, assurance } => {
                self.world.answer(Asked::Question(question), |open| {
                    if let Open::SafeHash(open) = open {
                        let _given_up = open.send((hashes, assurance));
                    }
                });
            }
            Event::Generated { question, generation } => {
                self.world.answer(Asked::Question(question), |open| {
                    if let Open::Generation(open) = open {
                        let _given_up = open.send(generation);
                    }
                });
            }
            Event::Judged { question, verdict, block } => {
                self.world.answer(Asked::Question(question), |open| {
                    if let Open::Verdict(open) = open {
                        let _given_up = open.send((verdict, block));
                    }
                });
            }
            Event::Journaled(id) => self.written(id, true),
            Event::JournalFailed(id) => self.written(id, false),
            Event::Linked(operator) => self.world.lock().links.push(Link::Up(operator)),
            Event::Unlinked(operator) => self.world.lock().links.push(Link::Down(operator)),
        }
        self.time.settle();
    }

    fn written(&self, id: EntryId, durable: bool) {
        self.world.answer(Asked::Entry(id), |open| {
            if let Open::Entry(open) = open {
                let _given_up = open.send(durable);
            }
        });
    }

    pub(crate) fn poll(&mut self) -> Option<Command> {
        let command = self.world.lock().commands.pop_front();
        command.or_else(|| self.results.try_recv().ok().map(Command::Finish))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Question(Question),
    Entry(EntryId),
}

/// Who waits for an answer.
enum Open {
    SafeHash(oneshot::Sender<(SafeHashes, Assurance)>),
    Generation(oneshot::Sender<Generation>),
    Verdict(oneshot::Sender<(ContentVerdict, BlockNumber)>),
    Entry(oneshot::Sender<bool>),
}

#[derive(Default)]
struct Desk {
    next: u64,
    commands: VecDeque<Command>,
    open: BTreeMap<Asked, Open>,
    links: Vec<Link>,
}

/// What a driver takes for the world.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Desk>>);

impl World {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, asked: Asked, give: impl FnOnce(Open)) {
        let open = self.lock().open.remove(&asked);
        if let Some(open) = open {
            give(open);
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(Question) -> Command,
        open: impl FnOnce(oneshot::Sender<T>) -> Open,
    ) -> T {
        let (sender, answer) = oneshot::channel();
        {
            let mut desk = self.lock();
            desk.next += 1;
            let question = Question::numbered(desk.next);
            desk.commands.push_back(command(question));
            desk.open.insert(Asked::Question(question), open(sender));
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => pending().await,
        }
    }
}

struct Asks(World);

impl Advisor for Asks {
    async fn safe_hash(&self, window: Window) -> Result<(SafeHashes, Assurance), Unread> {
        Ok(self.0.ask(|question| Command::ReadSafeHash { question, window }, Open::SafeHash).await)
    }

    async fn generate(&self, _: KeyHash, window: Window, action: Action) -> Generation {
        self.0.ask(|question| Command::Generate { question, window, action }, Open::Generation).await
    }

    async fn judge(
        &self,
        _: KeyHash,
        window: Window,
        proposal: Arc<Proposal>,
    ) -> (ContentVerdict, BlockNumber) {
        self.0.ask(|question| Command::Judge { question, window, proposal }, Open::Verdict).await
    }
}

struct Book {
    world: World,
    entries: Entries,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the journal failed")]
struct Failed;

impl Journal for Book {
    type Error = Failed;

    async fn restore(&self, _: KeyHash) -> Result<Entries, Failed> {
        Ok(self.entries.clone())
    }

    async fn append(&self, _: KeyHash, entry: Entry) -> Result<(), Failed> {
        let (sender, written) = oneshot::channel();
        {
            let mut desk = self.world.lock();
            desk.next += 1;
            let id = EntryId::numbered(desk.next);
            desk.commands.push_back(Command::Journal { id, entry });
            desk.open.insert(Asked::Entry(id), Open::Entry(sender));
        }
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failed),
            Err(_) => pending().await,
        }
    }
}

struct Air {
    world: World,
    messages: mpsc::Receiver<Received>,
}

impl Channel for Air {
    type Error = Infallible;

    async fn recv(&mut self) -> Option<Received> {
        self.messages.recv().await
    }

    fn send(&mut self, envelope: &[u8]) -> Result<(), Infallible> {
        self.world.lock().commands.push_back(Command::Broadcast(envelope.into()));
        Ok(())
    }

    fn on_block(&mut self, _: BlockNumber) -> Vec<Link> {
        std::mem::take(&mut self.world.lock().links)
    }
}
