//! One wallet's windows: its member, and all that the member wants done.

use std::{
    collections::{BTreeSet, VecDeque},
    future::Future,
    sync::Arc,
};

use alloy_primitives::Address;
use coxswain_protocol::{
    Agreement, Command, Entry, EntryError, EntryId, Event, Ignored, Member, Question, Setup, Window,
    WindowResult,
};
use coxswain_rules::{KeyHash, units::BlockNumber};
use tokio::{sync::watch, task::consume_budget, time::timeout};
use tracing::{debug, error, info, warn};

use crate::{
    Advisor, Channel, Count, Journal, Link, Settings,
    office::Office,
    report::Report,
    tasks::{Done, Kind, Tasks, Written},
};

/// A wallet that is coordinated.
#[derive(Clone, Debug)]
pub struct Wallet<C> {
    /// Our own place in the group. The first sequence number is at least the clock's time at the member's start.
    pub setup: Setup,
    /// Its channel.
    pub channel: C,
}

/// Where the window clock stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// The block. 0 before the first.
    pub block: BlockNumber,
    /// How many times the clock has been set back. Members never go back, so they start again from the journal then.
    pub set_back: u64,
}

/// One wallet's task.
///
/// ```text
///              a tick             the journal is read
/// no member ─────────► restore ───────────────────────► a member: ticks, answers, messages in,
///   ▲                   │                                │        commands carried out
///   ├───────────────────┘ it can't be: again at          │
///   │                     the next tick                  │
///   └────── the clock is set back: all is given up, ◄────┤
///           what the journal has in hand is finished     │
///                                                        └─► the clock is dropped, or the wallet is gone:
///                                                            likewise, and it ends
/// ```
pub(crate) struct Executor<A, J, C> {
    office: Arc<Office<A, J>>,
    wallet: KeyHash,
    setup: Setup,
    /// `None` until what the journal holds is read.
    member: Option<Member>,
    channel: C,
    links: BTreeSet<Address>,
    tasks: Tasks,
    tick: Tick,
    /// The journal has been read in this life.
    begun: bool,
    /// A safe hash is being read. What is asked meanwhile comes next; only the newest of it counts.
    reading: bool,
    read_next: Option<(Question, Window)>,
    /// What comes after the entry in the journal's hands, in this order.
    write_next: VecDeque<(EntryId, Entry)>,
}

impl<A: Advisor, J: Journal, C: Channel> Executor<A, J, C> {
    pub(crate) fn new(office: Arc<Office<A, J>>, wallet: Wallet<C>) -> Self {
        let Wallet { setup, channel } = wallet;
        Self {
            office,
            wallet: setup.wallet,
            setup,
            member: None,
            channel,
            links: BTreeSet::new(),
            tasks: Tasks::default(),
            tick: Tick::default(),
            begun: false,
            reading: false,
            read_next: None,
            write_next: VecDeque::new(),
        }
    }

    /// Runs until the clock is dropped, or the wallet is gone. What the journal has in hand is then finished.
    pub(crate) async fn run(mut self, mut clock: watch::Receiver<Tick>, is_gone: impl Future<Output = ()>) {
        let mut hears = true;
        let mut is_gone = std::pin::pin!(is_gone);
        clock.mark_changed();
        loop {
            // In this order: a flood of messages holds up neither the clock nor an answer.
            tokio::select! {
                biased;
                changed = clock.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let tick = *clock.borrow_and_update();
                    if tick.block > BlockNumber(0) {
                        self.on_tick(tick).await;
                    }
                }
                () = &mut is_gone => {
                    info!(wallet = %self.wallet, "the wallet is closed or terminated: it is coordinated no more");
                    break;
                }
                done = self.tasks.next() => self.on_done(done),
                message = self.channel.recv(), if hears => match message {
                    Some(message) => {
                        let author = message.author();
                        let heard = self.handle(Event::Message(message));
                        let window = self.window();
                        match heard {
                            Ok(()) => {
                                self.count(Count::Message, "accepted");
                                debug!(wallet = %self.wallet, window, %author, "message accepted");
                            }
                            Err(ignored) => {
                                self.count(Count::Message, ignored.name());
                                debug!(wallet = %self.wallet, window, %author, %ignored, "message ignored");
                            }
                        }
                        // A channel that always has one more leaves the other wallets their turn.
                        consume_budget().await;
                    }
                    None => {
                        hears = false;
                        error!(wallet = %self.wallet, "the wallet's channel has ended: nothing is heard any more");
                    }
                },
            }
        }
        self.tasks.give_up_all();
        self.finish_writing().await;
    }

    async fn on_tick(&mut self, tick: Tick) {
        if tick.set_back != self.tick.set_back {
            warn!(wallet = %self.wallet, block = tick.block.0, "the clock was set back: started again from the journal");
            self.tasks.give_up_all();
            self.finish_writing().await;
            self.member = None;
        }
        self.tick = tick;
        let changes = self.channel.on_block(tick.block);
        for link in &changes {
            match *link {
                Link::Up(operator) => self.links.insert(operator),
                Link::Down(operator) => self.links.remove(&operator),
            };
        }
        let restored = self.member.is_none();
        if restored && !self.restore().await {
            return;
        }
        // What broke was broken before this block, and what stands has stood since it at the earliest.
        for link in &changes {
            if let Link::Down(operator) = *link {
                self.tell(Event::Unlinked(operator));
            }
        }
        self.tell(Event::Block(tick.block));
        // Who was linked already is told twice, which changes nothing.
        let up: Vec<_> = self.links.iter().copied().collect();
        for operator in up {
            self.tell(Event::Linked(operator));
        }
    }

    /// Starts the member from the journal. `false` if that can't be read: then it is tried again at the next block.
    async fn restore(&mut self) -> bool {
        (self.reading, self.read_next) = (false, None);
        let Settings { clock, patience, .. } = &self.office.settings;
        let failure = match timeout(*patience, self.office.journal.restore(self.wallet)).await {
            Ok(Ok(entries)) => {
                let damaged = entries.iter().filter(|entry| entry.is_err()).count();
                if damaged > 0 {
                    error!(wallet = %self.wallet, damaged, "entries of the journal can't be read");
                }
                let first_sequence = clock().0.max(self.setup.first_sequence);
                let setup = Setup { first_sequence, ..self.setup.clone() };
                if !std::mem::replace(&mut self.begun, true) {
                    self.hand_on_again(&entries);
                }
                self.member = Some(Member::restore(setup, entries));
                return true;
            }
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("no answer in {patience:?}"),
        };
        self.count(Count::Journal, "unreadable");
        error!(wallet = %self.wallet, failure, "the wallet's journal can't be read: it is not coordinated");
        false
    }

    /// Waits until the journal has all that it was to be handed.
    async fn finish_writing(&mut self) {
        while let Some(written) = self.tasks.written().await {
            self.on_written(written);
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::SafeHash { question, named } => {
                self.reading = false;
                match named {
                    Ok((hashes, assurance)) => {
                        self.count(Count::SafeHash, "read");
                        debug!(wallet = %self.wallet, window = self.window(), block = self.tick.block.0, "safe hash read");
                        self.tell(Event::SafeHash { question, hashes, assurance });
                    }
                    Err(unread) => {
                        self.count(Count::SafeHash, "failed");
                        warn!(wallet = %self.wallet, block = self.tick.block.0, "{unread}");
                    }
                }
                if let Some((question, window)) = self.read_next.take() {
                    self.read_safe_hash(question, window);
                }
            }
            Done::Generated { question, generation } => {
                self.office.metrics.count_generation(&generation);
                self.tell(Event::Generated { question, generation });
            }
            Done::Judged { question, verdict, block } => {
                let kind = self.office.metrics.count_verdict(&verdict);
                debug!(wallet = %self.wallet, window = self.window(), block = block.0, "judged: {kind}");
                self.tell(Event::Judged { question, verdict, block });
            }
            Done::Written(written) => self.on_written(written),
        }
    }

    fn on_written(&mut self, Written { id, failure }: Written) {
        match failure {
            None => {
                self.count(Count::Journal, "durable");
                self.tell(Event::Journaled(id));
            }
            Some(failure) => {
                self.count(Count::Journal, "failed");
                error!(wallet = %self.wallet, failure, "the journal failed: what is not recorded is not sent");
                self.tell(Event::JournalFailed(id));
            }
        }
        self.write();
    }

    /// The index of the window that runs.
    fn window(&self) -> Option<u64> {
        self.member.as_ref().and_then(Member::window).map(|window| window.index())
    }

    /// Tells the member of something that it can't ignore.
    fn tell(&mut self, event: Event) {
        let _only_messages_are_ignored = self.handle(event);
    }

    /// Hands the member an event, and does what it wants done.
    fn handle(&mut self, event: Event) -> Result<(), Ignored> {
        let heard = self.member.as_mut().ok_or(Ignored::NotListening)?.handle(event);
        while let Some(command) = self.member.as_mut().and_then(Member::poll) {
            self.carry_out(command);
        }
        let current = self.member.as_ref().and_then(Member::window);
        self.tasks.give_up(current, self.tick.block);
        heard
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::ReadSafeHash { question, window } => {
                if self.reading {
                    self.read_next = Some((question, window));
                } else {
                    self.read_safe_hash(question, window);
                }
            }
            Command::Generate { question, window, action } => {
                let (office, wallet) = (Arc::clone(&self.office), self.wallet);
                self.tasks.ask(Kind::Generate, window, async move {
                    let work = office.shared.advisor.generate(wallet, window, action);
                    Done::Generated { question, generation: office.shared.in_turn(work).await }
                });
            }
            Command::Judge { question, window, proposal } => {
                let (office, wallet) = (Arc::clone(&self.office), self.wallet);
                self.tasks.ask(Kind::Judge, window, async move {
                    let work = office.shared.advisor.judge(wallet, window, proposal);
                    let (verdict, block) = office.shared.in_turn(work).await;
                    Done::Judged { question, verdict, block }
                });
            }
            Command::Journal { id, entry } => {
                self.write_next.push_back((id, entry));
                self.write();
            }
            Command::Broadcast(envelope) => match self.channel.send(&envelope) {
                Ok(()) => self.count(Count::Broadcast, "sent"),
                Err(failure) => {
                    self.count(Count::Broadcast, "failed");
                    warn!(wallet = %self.wallet, %failure, "the message was not sent: it is repeated");
                }
            },
            Command::Finish(result) => self.hand_on(result),
        }
    }

    fn hand_on(&mut self, result: Arc<WindowResult>) {
        self.office.metrics.count_result(&result);
        info!(wallet = %self.wallet, "{}", Report(&result));
        self.give(result);
    }

    /// Hands on what was durable in an earlier life and may not have been taken: what runs still. Whoever takes it knows what
    /// it has taken already.
    fn hand_on_again(&mut self, entries: &[Result<Entry, EntryError>]) {
        for entry in entries {
            if let Ok(Entry::Result(result)) = entry
                && let Agreement::Action(_, schedule) = result.agreement
                && self.tick.block < schedule.expiry
            {
                debug!(wallet = %self.wallet, window = result.window.index(), "the result is handed on again");
                self.give(Arc::clone(result));
            }
        }
    }

    fn give(&mut self, result: Arc<WindowResult>) {
        let results = self.office.results.clone();
        let handed_on = self.tasks.hand_on(async move {
            // If nobody takes results any more, the node ends. The journal has it.
            let _node_ends = results.send(result).await;
        });
        if !handed_on {
            self.count(Count::Untaken, "result");
            error!(wallet = %self.wallet, "nobody takes the wallet's results: this one is in the journal only");
        }
    }

    fn read_safe_hash(&mut self, question: Question, window: Window) {
        let (office, wallet, head) = (Arc::clone(&self.office), self.wallet, self.tick.block);
        self.reading = true;
        self.tasks.read(async move {
            let named = office.shared.safe_hash(wallet, window, head).await;
            Done::SafeHash { question, named }
        });
    }

    /// Hands the journal the next entry, once it has done with the last.
    fn write(&mut self) {
        if self.tasks.is_writing() {
            return;
        }
        let Some((id, entry)) = self.write_next.pop_front() else { return };
        let (office, wallet) = (Arc::clone(&self.office), self.wallet);
        self.tasks.write(async move {
            let patience = office.settings.patience;
            let failure = match timeout(patience, office.journal.append(wallet, entry)).await {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure.to_string()),
                Err(_) => Some(format!("no answer in {patience:?}")),
            };
            Written { id, failure }
        });
    }

    fn count(&self, count: Count, kind: &'static str) {
        self.office.metrics.count(count, kind);
    }
}
