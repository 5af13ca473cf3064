//! The game as a model: its states, and the steps from each of them. Members are the protocol's own.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::Arc,
};

use coxswain_protocol::{Command, Entry, EntryId, Event, Generation, Member, Question, Received};
use coxswain_rules::{Action as WalletAction, units::BlockNumber};
use stateright::{Model, Property};

use crate::model::{
    cast::{Cast, FIRST, HONEST, HOSTILE, LAST, Line, WINDOWS, judge},
    rules::{self, Marks, Trouble},
};

/// How often the hostile member speaks.
const MAX_LINES: u8 = 2;

/// What may go wrong in a game. Of each kind of act at most so many, and at most so many in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Acts in all.
    pub(crate) acts: u8,
    /// What the hostile member can say, twice in a game.
    pub(crate) lines: &'static [Line],
}

pub(crate) struct Game {
    pub(crate) cast: Cast,
    pub(crate) bounds: Bounds,
}

/// The state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The newest block. Members see it one by one, and all before the next one comes.
    pub(crate) clock: u64,
    /// The window whose safe block has changed, if one has.
    pub(crate) reorganised: Option<usize>,
    pub(crate) players: [Player; HONEST],
    /// What is on its way. Sorted, so that the order of sending makes no difference.
    flights: Vec<Flight>,
    /// The hostile member's messages of this window that reached anybody. When the active phase ends, they are offered to all
    /// again, as the network does.
    kept: Vec<Arc<[u8]>>,
    acts: Acts,
    pub(crate) marks: Marks,
}

/// What has gone wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Acts {
    all: u8,
    lines: u8,
    crashes: u8,
    failed_writes: u8,
    /// Lost or held up.
    lost: u8,
    repeated: u8,
    silences: u8,
}

/// A member that follows the protocol, with its journal and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Player {
    /// `None` while it is down.
    member: Option<Arc<Member>>,
    /// The block at which it crashed. It misses the rest of it.
    crashed_at: u64,
    life: u64,
    pub(crate) journal: Arc<Vec<Entry>>,
    /// What it has handed to its journal.
    writing: Vec<(EntryId, Entry)>,
    /// Its question for a safe block's hash, and the window.
    asked: Option<(Question, usize)>,
    /// The last window whose hash it has read in this life.
    read: Option<usize>,
    /// How often each window was finished.
    pub(crate) finished: [u8; WINDOWS],
    /// What it sent in each window.
    pub(crate) sent: [Option<Arc<[u8]>>; WINDOWS],
    /// The hash of all that, kept because most steps change one player only.
    print: u64,
}

impl Hash for Player {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.print);
    }
}

/// A message on its way to a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Flight {
    to: usize,
    from: usize,
    /// Whoever gets it passes it on.
    relayed: bool,
    held: Held,
    envelope: Arc<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Held {
    /// It arrives before the next block.
    No,
    /// It doesn't.
    UntilNextBlock,
    /// It arrives some time, or never.
    Over,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The next block comes.
    Tick,
    /// A member sees it.
    Block(usize),
    /// A message arrives.
    Deliver(usize),
    /// It arrives, and will once more.
    Repeat(usize),
    /// It never arrives.
    Lose(usize),
    /// It doesn't arrive before the next block.
    Hold(usize),
    /// A member reads the safe block's hash.
    ReadHash(usize),
    /// It can't, for once.
    ReadNothing(usize),
    /// A journal has written what it was handed.
    Write(usize),
    /// It says that it has not, though it may have.
    FailToWrite(usize, bool),
    /// A member crashes. What it had handed to its journal may have been written.
    Crash(usize, bool),
    /// It starts again.
    Restart(usize),
    /// The safe block changes.
    Reorganise,
    /// The hostile member says something to one, who passes it on.
    Say(Line, usize),
}

impl Model for Game {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let player = |member| Player {
            member: None,
            crashed_at: 0,
            life: 0,
            journal: Arc::default(),
            writing: Vec::new(),
            asked: None,
            read: None,
            finished: [0; WINDOWS],
            sent: [const { None }; WINDOWS],
            print: member,
        };
        let mut state = State {
            clock: FIRST,
            reorganised: None,
            players: [0_u64, 1].map(player),
            flights: Vec::new(),
            kept: Vec::new(),
            acts: Acts::default(),
            marks: Marks::default(),
        };
        for member in 0..HONEST {
            state.start(&self.cast, member);
        }
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let acts = &state.acts;
        let may_act = acts.all < self.bounds.acts;
        let window = self.cast.window(self.cast.window_of(state.clock));
        let mut settled = true;
        for (member, player) in state.players.iter().enumerate() {
            let Some(running) = &player.member else {
                if player.crashed_at < state.clock {
                    steps.push(Step::Restart(member));
                }
                continue;
            };
            if running.now() < BlockNumber(state.clock) {
                settled = false;
                steps.push(Step::Block(member));
            }
            if player.asked.is_some() {
                settled = false;
                steps.push(Step::ReadHash(member));
                if may_act && acts.silences == 0 {
                    steps.push(Step::ReadNothing(member));
                }
            }
            if !player.writing.is_empty() {
                settled = false;
                steps.push(Step::Write(member));
                if may_act && acts.failed_writes == 0 {
                    steps.extend([Step::FailToWrite(member, false), Step::FailToWrite(member, true)]);
                }
            }
            if may_act && acts.crashes == 0 {
                steps.push(Step::Crash(member, false));
                if !player.writing.is_empty() {
                    steps.push(Step::Crash(member, true));
                }
            }
        }
        for (at, flight) in state.flights.iter().enumerate() {
            if at.checked_sub(1).and_then(|before| state.flights.get(before)) == Some(flight) {
                continue;
            }
            if flight.held != Held::UntilNextBlock {
                steps.push(Step::Deliver(at));
            }
            if flight.held == Held::No {
                settled = false;
                if may_act && acts.repeated == 0 {
                    steps.push(Step::Repeat(at));
                }
                if may_act && acts.lost == 0 {
                    steps.extend([Step::Lose(at), Step::Hold(at)]);
                }
            }
        }
        if may_act
            && acts.lines < MAX_LINES
            && state.just_ticked()
            && (window.block()..window.end()).contains(&BlockNumber(state.clock))
        {
            // What it says arrives at any time before the next block.
            for member in (0..HONEST).filter(|member| state.players[*member].member.is_some()) {
                steps.extend(self.bounds.lines.iter().map(|line| Step::Say(*line, member)));
            }
        }
        if may_act && state.reorganised.is_none() && self.may_reorganise(state) {
            steps.push(Step::Reorganise);
        }
        if settled && state.clock < LAST {
            steps.push(Step::Tick);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        let cast = &self.cast;
        let window = cast.window_of(state.clock);
        state.marks.forget_sights();
        match step {
            Step::Tick => {
                state.clock += 1;
                for flight in &mut state.flights {
                    if flight.held == Held::UntilNextBlock {
                        flight.held = Held::Over;
                    }
                }
                let window = cast.window(cast.window_of(state.clock));
                if state.clock == window.block().0 {
                    state.kept.clear();
                }
                if state.clock == window.active_end().0 {
                    state.offer_again();
                }
                if state.players.iter().any(|player| player.member.is_none()) {
                    state.marks.trouble(cast.window_of(state.clock), Trouble::Crash);
                }
            }
            Step::Block(member) => state.tell(cast, member, Event::Block(BlockNumber(last.clock))),
            Step::Deliver(at) => {
                let flight = state.flights.remove(at);
                state.deliver(cast, flight);
            }
            Step::Repeat(at) => {
                state.acts.repeated += 1;
                state.marks.trouble(window, Trouble::Repeated);
                let flight = state.flights[at].clone();
                state.deliver(cast, flight);
            }
            Step::Lose(at) => {
                state.acts.lost += 1;
                state.marks.trouble(window, Trouble::Lost);
                state.marks.miss(window);
                state.flights.remove(at);
            }
            Step::Hold(at) => {
                state.acts.lost += 1;
                state.marks.trouble(window, Trouble::Held);
                state.marks.miss(window);
                state.flights[at].held = Held::UntilNextBlock;
            }
            Step::ReadHash(member) => {
                let (question, window) = state.players[member].asked.take()?;
                state.players[member].read = Some(window);
                let hashes = cast.hashes(window, state.reorganised == Some(window));
                let assurance = coxswain_protocol::Assurance::Agreed;
                state.tell(cast, member, Event::SafeHash { question, hashes, assurance });
            }
            Step::ReadNothing(member) => {
                state.acts.silences += 1;
                state.marks.trouble(window, Trouble::Silence);
                state.players[member].asked = None;
            }
            Step::Write(member) => {
                let id = state.write(cast, member, true)?;
                state.tell(cast, member, Event::Journaled(id));
            }
            Step::FailToWrite(member, written) => {
                state.acts.failed_writes += 1;
                state.marks.trouble(window, Trouble::FailedWrite);
                let id = state.write(cast, member, written)?;
                state.tell(cast, member, Event::JournalFailed(id));
            }
            Step::Crash(member, written) => {
                state.acts.crashes += 1;
                state.marks.trouble(window, Trouble::Crash);
                if written {
                    rules::on_crash_with_entry(&mut state.marks, &state.players[member].writing);
                    while state.write(cast, member, true).is_some() {}
                }
                let player = &mut state.players[member];
                (player.member, player.asked, player.read) = (None, None, None);
                player.crashed_at = state.clock;
                player.writing.clear();
                state.flights.retain(|flight| flight.to != member);
                let gone = cast.key(member).address();
                for other in (0..HONEST).filter(|other| *other != member) {
                    state.tell(cast, other, Event::Unlinked(gone));
                }
            }
            Step::Restart(member) => {
                state.start(cast, member);
                let back = cast.key(member).address();
                for other in (0..HONEST).filter(|other| *other != member) {
                    state.tell(cast, other, Event::Linked(back));
                }
            }
            Step::Reorganise => {
                state.reorganised = Some(window);
                let trouble = if state.clock < cast.window(window).block().0 {
                    Trouble::None
                } else {
                    Trouble::Reorganised
                };
                state.marks.trouble(window, trouble);
            }
            Step::Say(line, to) => {
                state.acts.lines += 1;
                state.marks.trouble(window, Trouble::Spoken);
                let envelope = cast.line(window, line);
                state.flights.push(Flight { to, from: HOSTILE, relayed: true, held: Held::No, envelope });
            }
        }
        state.acts.all = state.acts.sum() + u8::from(state.reorganised.is_some());
        state.flights.sort();
        for player in &mut state.players {
            player.take_print();
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::properties()
    }
}

impl Game {
    /// The safe block may change from the block before the window to the window's end. Within the window's first block,
    /// it changes only after all have read it: who reads it later than others can't know what they spoke under.
    fn may_reorganise(&self, state: &State) -> bool {
        let number = self.cast.window_of(state.clock);
        let window = self.cast.window(number);
        let informed = |player: &Player| match &player.member {
            Some(member) => player.read == Some(number) || member.now() > window.block(),
            // It starts again at a later block than it crashed at.
            None => state.clock > window.block().0,
        };
        state.clock + 1 == window.block().0
            || ((window.block()..window.end()).contains(&BlockNumber(state.clock))
                && state.players.iter().all(informed))
    }
}

impl Acts {
    const fn sum(&self) -> u8 {
        self.lines + self.crashes + self.failed_writes + self.lost + self.repeated + self.silences
    }
}

impl State {
    /// Whether nothing more can happen that anybody waits for.
    pub(crate) fn is_over(&self) -> bool {
        let idle = |player: &Player| {
            let seen = player.member.as_ref().is_none_or(|member| member.now() == BlockNumber(self.clock));
            seen && player.asked.is_none() && player.writing.is_empty()
        };
        self.clock == LAST
            && self.players.iter().all(idle)
            && self.flights.iter().all(|flight| flight.held != Held::No)
    }

    /// Starts a member, from its journal.
    fn start(&mut self, cast: &Cast, member: usize) {
        let player = &mut self.players[member];
        let setup = cast.setup(member, player.life);
        player.life += 1;
        let entries: Vec<_> = player.journal.iter().cloned().map(Ok).collect();
        player.member = Some(Arc::new(Member::restore(setup, entries)));
        let up = |other: &usize| *other == HOSTILE || self.players[*other].member.is_some();
        let links: Vec<_> = (0..=HOSTILE).filter(|other| *other != member && up(other)).collect();
        for other in links {
            self.tell(cast, member, Event::Linked(cast.key(other).address()));
        }
        // The other one may have started earlier, at the beginning of the game.
        if self.clock == FIRST && self.players[member].life == 1 {
            self.tell(cast, member, Event::Block(BlockNumber(FIRST)));
            for other in 0..member {
                self.tell(cast, other, Event::Linked(cast.key(member).address()));
            }
        }
        self.players[member].take_print();
    }

    /// Whether nobody has seen the newest block.
    fn just_ticked(&self) -> bool {
        self.players
            .iter()
            .filter_map(|player| player.member.as_ref())
            .all(|member| member.now() < BlockNumber(self.clock))
    }

    fn offer_again(&mut self) {
        for envelope in &self.kept {
            for to in 0..HONEST {
                if self.players[to].member.is_some() {
                    let envelope = Arc::clone(envelope);
                    self.flights.push(Flight { to, from: HOSTILE, relayed: false, held: Held::No, envelope });
                }
            }
        }
    }

    fn deliver(&mut self, cast: &Cast, flight: Flight) {
        let Flight { to, from, relayed, envelope, .. } = flight;
        let received = Received::open(cast.key(from), cast.group(), &envelope, Arc::clone(&envelope));
        let listened = self.players[to].member.as_ref().is_some_and(|member| member.window().is_some());
        if from != HOSTILE && !listened {
            self.marks.miss(cast.window_of(self.clock));
        }
        self.tell(cast, to, Event::Message(received.expect("what is sent can be opened")));
        if from == HOSTILE && !self.kept.contains(&envelope) {
            self.kept.push(Arc::clone(&envelope));
            self.kept.sort();
        }
        if relayed {
            let to = 1 - to;
            if self.players[to].member.is_some() {
                self.flights.push(Flight { to, from, relayed: false, held: Held::No, envelope });
            }
        }
    }

    /// Tells a member something, if it is up, and does what it wants done.
    fn tell(&mut self, cast: &Cast, at: usize, event: Event) {
        let player = &mut self.players[at];
        let Some(member) = &mut player.member else { return };
        let member = Arc::make_mut(member);
        let mut said = Vec::new();
        // Whether it goes by a message shows in what it does.
        drop(member.handle(event));
        while let Some(command) = member.poll() {
            match command {
                Command::ReadSafeHash { question, window } => {
                    player.asked = Some((question, cast.number(window)));
                }
                Command::Generate { question, window, action } => {
                    let generation = match action {
                        WalletAction::Redemption => {
                            Generation::Proposal(cast.proposal(cast.number(window), at))
                        }
                        _ => Generation::NotPossible,
                    };
                    drop(member.handle(Event::Generated { question, generation }));
                }
                Command::Judge { question, proposal, .. } => {
                    let (verdict, block) = (judge(&proposal), member.now());
                    drop(member.handle(Event::Judged { question, verdict, block }));
                }
                Command::Journal { id, entry } => player.writing.push((id, entry)),
                Command::Broadcast(envelope) => {
                    let window = member.window().map_or(0, |window| cast.number(window));
                    rules::on_broadcast(
                        &mut self.marks,
                        player.sent[window].as_ref(),
                        &envelope,
                        player.life,
                    );
                    player.sent[window].get_or_insert_with(|| Arc::clone(&envelope));
                    said.push(envelope);
                }
                Command::Finish(result) => {
                    let window = cast.number(result.window);
                    player.finished[window] = player.finished[window].saturating_add(1);
                    rules::on_finish(&mut self.marks, player.finished[window]);
                }
            }
        }
        for envelope in said {
            for to in 0..HONEST {
                if to == at || self.players[to].member.is_none() {
                    continue;
                }
                let envelope = Arc::clone(&envelope);
                self.flights.push(Flight { to, from: at, relayed: false, held: Held::No, envelope });
            }
        }
    }

    /// Takes the oldest entry from the journal's queue, and makes it durable or not.
    fn write(&mut self, cast: &Cast, member: usize, written: bool) -> Option<EntryId> {
        let player = &mut self.players[member];
        if player.writing.is_empty() {
            return None;
        }
        let (id, entry) = player.writing.remove(0);
        if written && player.journal.last() != Some(&entry) {
            Arc::make_mut(&mut player.journal).push(entry);
            rules::on_entry(self, cast, member);
        }
        Some(id)
    }
}

impl Player {
    fn take_print(&mut self) {
        let mut hasher = DefaultHasher::new();
        (&self.member, self.life, self.crashed_at, &self.journal, &self.writing, &self.asked)
            .hash(&mut hasher);
        (&self.finished, &self.sent, &self.read).hash(&mut hasher);
        self.print = hasher.finish();
    }
}
