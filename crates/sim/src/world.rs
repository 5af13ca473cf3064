//! The game: a chain, a channel, and members with their troubles, played tick by tick.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use bitcoin::secp256k1::{Secp256k1, SecretKey};
use coxswain_protocol::{
    Assignment, Assurance, Command, ContentVerdict, Event, Parameters, Phase, Received, Setup, SigningGroup,
    Window, WindowParameters,
    wire::{Envelope, MESSAGE_TYPE, OperatorKey},
};
use coxswain_rules::{KeyHash, units::BlockNumber};

use crate::{
    advisor::{View, generate, hashes, judge},
    check::{Experience, Played, Violation, ViolationKind, check_broadcast, check_memory},
    coordinated::Time,
    dice::Dice,
    hostile::script,
    journal::Write,
    member::{Driver, Player, Role},
    summary::Summary,
};

/// Time passes in quarters of a block.
const TICKS: u64 = 4;
/// Blocks played before a window and after it.
const BEFORE: u64 = 2;
const AFTER: u64 = 6;
/// How many messages of earlier windows are remembered, to be replayed.
const REMEMBERED: usize = 200;

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Game {
    /// What everything follows from.
    pub seed: u64,
    /// How many windows.
    pub windows: u64,
    /// How many members. Up to a third of them are hostile.
    pub members: u8,
}

/// Plays a game.
///
/// # Errors
///
/// The first rule that was broken.
pub fn run(game: Game) -> Result<Summary, Violation> {
    World::new(game, None, None).play().0
}

/// Plays a game with members that `coordination` drives.
///
/// # Errors
///
/// The first rule that was broken.
pub fn run_coordinated(game: Game) -> Result<Summary, Violation> {
    World::new(game, None, Some(Time::new())).play().0
}

/// Plays a game and tells every event of it.
pub fn run_traced(game: Game) -> (Result<Summary, Violation>, Vec<String>) {
    let (result, trace) = World::new(game, Some(Vec::new()), None).play();
    (result, trace.unwrap_or_default())
}

/// How bad channel, endpoints and journals are in a game, in percent.
#[derive(Clone, Copy, Debug)]
struct Troubles {
    dropped: u64,
    repeated: u64,
    max_delay: u64,
    skipped: u64,
    leaps: u64,
    restarts: u64,
    wrong_hashes: u64,
    late_hashes: u64,
    words: u64,
    outages: u64,
    slow: u64,
    unlinked: u64,
    failing_writes: u64,
}

/// Something to happen to someone, in a life of theirs if it is an answer.
#[derive(Clone, Debug)]
enum Happening {
    Event(Event, Option<u64>),
    Down,
    Up,
    Send(Arc<[u8]>),
    /// Sends what another member has signed.
    Replay(usize, Arc<[u8]>),
    /// Loses the links to all others, or gets them back.
    Alone(bool),
}

struct World {
    game: Game,
    dice: Dice,
    troubles: Troubles,
    network: WindowParameters,
    wallet: KeyHash,
    group: Arc<SigningGroup>,
    /// Of hostile members only the key is used.
    players: Vec<Player>,
    queue: BTreeMap<(u64, u64), (usize, Happening)>,
    queued: u64,
    views: Vec<View>,
    experiences: Vec<Experience>,
    /// Who has no links now.
    alone: BTreeSet<usize>,
    /// What was said in earlier windows, and by whom.
    said: VecDeque<(usize, Arc<[u8]>)>,
    /// The chain's block when the honest leader spoke first.
    spoke: Option<u64>,
    summary: Summary,
    trace: Option<Vec<String>>,
}

impl World {
    fn new(game: Game, trace: Option<Vec<String>>, time: Option<Rc<Time>>) -> Self {
        let mut dice = Dice::new(game.seed);
        let network = if dice.percent(10) { WindowParameters::MAINNET } else { WindowParameters::LOCAL };
        let secp = Secp256k1::signing_only();
        let keys: Vec<_> = (0..game.members)
            .map(|_| {
                loop {
                    // All but a few in 2¹²⁸ numbers are keys.
                    if let Ok(secret) = SecretKey::from_slice(&dice.bytes::<32>()) {
                        let key = secret.public_key(&secp).serialize();
                        break OperatorKey::from_compressed(key).expect("a public key is a point");
                    }
                }
            })
            .collect();
        let mut holders: Vec<_> = keys.iter().map(OperatorKey::address).collect();
        for _ in 0..dice.below(20) {
            holders.push(dice.pick(&holders));
        }
        let group = Arc::new(SigningGroup::new(holders).expect("from 1 to 255 seats"));
        let hostile = dice.below(u64::from(game.members) / 3 + 1);
        let other_rule = if dice.percent(20) { hostile + dice.between(1, 2) } else { hostile };
        let role = |number: u64, dice: &mut Dice| match number {
            // There are more ways to blunder than to do anything else.
            _ if number < hostile && dice.percent(25) => Role::Blunderer,
            _ if number < hostile => dice.pick(&Role::HOSTILE),
            _ if number < other_rule => Role::OtherRule,
            _ => Role::Honest,
        };
        let roles: Vec<_> = (0..u64::from(game.members)).map(|number| role(number, &mut dice)).collect();
        let troubles = Troubles {
            dropped: dice.pick(&[0, 0, 10, 30]),
            repeated: dice.pick(&[0, 10]),
            max_delay: dice.pick(&[1, 6, 24]),
            skipped: dice.pick(&[0, 10]),
            leaps: dice.pick(&[0, 10]),
            restarts: dice.pick(&[0, 5, 20]),
            wrong_hashes: dice.pick(&[0, 0, 5, 20]),
            late_hashes: dice.pick(&[0, 0, 10]),
            words: dice.pick(&[0, 0, 10, 50]),
            outages: dice.pick(&[0, 5, 20]),
            slow: dice.pick(&[0, 10]),
            unlinked: dice.pick(&[0, 0, 10]),
            failing_writes: dice.pick(&[0, 0, 5, 30]),
        };
        let wallet = KeyHash(dice.bytes());
        let trace = trace.map(|mut trace: Vec<String>| {
            let cast = keys.iter().zip(&roles).enumerate();
            trace.extend(cast.map(|(at, (key, role))| format!("member {at} is {}, {role:?}", key.address())));
            trace.push(format!("{troubles:?}"));
            trace
        });
        let player = |(key, role): (&OperatorKey, &Role)| {
            let hash_rule = match role {
                Role::OtherRule => network.hash_rule.other(),
                _ => network.hash_rule,
            };
            let network =
                WindowParameters::try_from(Parameters { hash_rule, ..*network }).expect("of a preset");
            let group = Arc::clone(&group);
            let setup = Setup { network, wallet, group, key: *key, first_sequence: 0, observes: false };
            Player::new(setup, *role, time.clone())
        };
        let mut world = Self {
            players: keys.iter().zip(&roles).map(player).collect(),
            game,
            dice,
            troubles,
            network,
            wallet,
            group: Arc::clone(&group),
            queue: BTreeMap::new(),
            queued: 0,
            views: Vec::new(),
            experiences: Vec::new(),
            alone: BTreeSet::new(),
            said: VecDeque::new(),
            spoke: None,
            summary: Summary::default(),
            trace,
        };
        for at in 0..world.players.len() {
            world.link(at);
        }
        world
    }

    fn play(mut self) -> (Result<Summary, Violation>, Option<Vec<String>>) {
        for index in 1..=self.game.windows {
            let window = Window::numbered(&self.network, index).expect("few windows have small blocks");
            if let Err(kind) = self.play_window(window) {
                return (Err(Violation { seed: self.game.seed, window: index, kind }), self.trace);
            }
        }
        self.summary.count_up(&self.players);
        (Ok(self.summary), self.trace)
    }

    fn play_window(&mut self, window: Window) -> Result<(), ViolationKind> {
        let right = hashes(&mut self.dice);
        let hash = right.by(self.network.hash_rule(&window));
        let assignment = Assignment::new(&self.network, window, self.wallet, &self.group, hash);
        self.spoke = None;
        self.prepare(window, right);
        self.script(&assignment);
        while let Some(((tick, _), (at, happening))) = self.queue.pop_first() {
            self.happen(tick, at, happening, &assignment)?;
        }
        let played = self.players.iter().zip(&self.experiences);
        Played {
            assignment: &assignment,
            leader: self.players.iter().find(|player| player.address() == assignment.leader),
            members: played.filter(|(player, _)| player.role.is_played()).collect(),
            lossless: self.troubles.dropped == 0,
            spoke: self.spoke,
        }
        .check()
    }

    fn queue(&mut self, tick: u64, at: usize, happening: Happening) {
        self.queued += 1;
        self.queue.insert((tick, self.queued), (at, happening));
    }

    /// Lays out the window's blocks and troubles for each member that is played.
    fn prepare(&mut self, window: Window, right: coxswain_protocol::SafeHashes) {
        let (start, end) = (window.block().0, window.end().0);
        let (first, last) = (start - BEFORE, end + AFTER);
        self.views.clear();
        self.experiences.clear();
        // Now and then all read the same wrong hash for a while: the chain reorganises.
        let reorganised = self.dice.below(100) < self.troubles.wrong_hashes / 5;
        let common = hashes(&mut self.dice);
        for at in 0..self.players.len() {
            let mut until = Vec::new();
            let wrong = reorganised || self.dice.percent(self.troubles.wrong_hashes);
            if wrong {
                if self.dice.percent(30) {
                    // Another one every few blocks.
                    let mut tick = start * TICKS;
                    while tick < end * TICKS {
                        tick += self.dice.between(1, 4 * TICKS);
                        until.push((tick, Some(hashes(&mut self.dice))));
                    }
                } else {
                    let tick = self.dice.between(start * TICKS, last * TICKS);
                    let tick = if self.dice.percent(20) { u64::MAX } else { tick };
                    let own = hashes(&mut self.dice);
                    until.push((tick, Some(if reorganised || self.dice.percent(50) { common } else { own })));
                }
            }
            let late = self.dice.percent(self.troubles.late_hashes);
            if late {
                let tick = self.dice.between(start * TICKS, last * TICKS);
                until.push((if self.dice.percent(20) { u64::MAX } else { tick }, None));
            }
            until.sort_by_key(|(tick, _)| *tick);
            let word = self.dice.percent(self.troubles.words);
            let assured = self.dice.pick(&[Assurance::Agreed, Assurance::Proven]);
            let assurance = if word { Assurance::Word } else { assured };
            self.views.push(View { until, then: right, assurance });
            let leap = self.dice.percent(self.troubles.leaps);
            let (leap_from, leap_blocks) = (self.dice.between(first + 1, end), self.dice.below(40));
            let goes_down = self.dice.percent(self.troubles.restarts);
            let alone = self.dice.percent(self.troubles.unlinked);
            self.experiences.push(Experience {
                was_down: false,
                saw_active: false,
                right_hash: !wrong && !late,
                assurance,
                endpoints_up: !self.dice.percent(self.troubles.outages),
                steady: !leap,
                linked: !alone,
                journal_failed: false,
            });
            if !self.players.get(at).is_some_and(|player| player.role.is_played()) {
                continue;
            }
            for block in first..=last {
                let skipped = self.dice.percent(self.troubles.skipped)
                    || (leap && (leap_from..leap_from + leap_blocks).contains(&block));
                if skipped && block != first && block + 3 <= last {
                    continue;
                }
                let tick = block * TICKS + self.dice.below(2);
                self.queue(tick, at, Happening::Event(Event::Block(BlockNumber(block)), None));
                if self.dice.percent(3) {
                    let again = block - self.dice.below(3);
                    self.queue(tick + 1, at, Happening::Event(Event::Block(BlockNumber(again)), None));
                }
            }
            if goes_down {
                let down = self.dice.between(first * TICKS, end * TICKS);
                let up = down + self.dice.between(1, 20 * TICKS);
                self.queue(down, at, Happening::Down);
                self.queue(up.min(last * TICKS - 1), at, Happening::Up);
            }
            if alone {
                let from = self.dice.between(first * TICKS, end * TICKS);
                let to = from + self.dice.between(1, 40 * TICKS);
                self.queue(from, at, Happening::Alone(true));
                self.queue(to.min(last * TICKS - 1), at, Happening::Alone(false));
            }
        }
    }

    /// Lays out what hostile members say.
    fn script(&mut self, assignment: &Assignment) {
        let window = assignment.window;
        let (block, active_end, end) = (window.block().0, window.active_end().0, window.end().0);
        let start = block * TICKS;
        let (active, ticks) = ((active_end - block) * TICKS, (end - block) * TICKS);
        for at in 0..self.players.len() {
            let Some((role, key)) = self.players.get(at).map(|player| (player.role, player.key)) else {
                continue;
            };
            let Some(seat) = self.group.first_seat(key.address()) else { continue };
            if role == Role::Replayer {
                for (author, envelope) in self.said.clone() {
                    let tick = start + self.dice.below(active);
                    self.queue(tick, at, Happening::Replay(author, envelope));
                }
            }
            for line in script(role, seat, assignment, &self.group, (active, ticks), &mut self.dice) {
                let (sender, sequence) = (key.compressed(), line.sequence);
                let envelope = Envelope { sender, payload: &line.payload, kind: MESSAGE_TYPE, sequence };
                let envelope = envelope.encode().expect("what is said keeps the caps");
                self.queue(start + line.after, at, Happening::Send(envelope.into()));
            }
        }
    }

    fn happen(
        &mut self,
        tick: u64,
        at: usize,
        happening: Happening,
        assignment: &Assignment,
    ) -> Result<(), ViolationKind> {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{tick} member {at}: {happening:?}"));
        }
        let (Some(player), Some(experience)) = (self.players.get_mut(at), self.experiences.get_mut(at))
        else {
            return Ok(());
        };
        let event = match happening {
            Happening::Send(envelope) => {
                self.send(tick, at, at, &envelope);
                return Ok(());
            }
            Happening::Replay(author, envelope) => {
                self.send(tick, at, author, &envelope);
                return Ok(());
            }
            Happening::Down => {
                (player.up, experience.was_down) = (false, true);
                player.member.kill();
                return Ok(());
            }
            Happening::Up => {
                player.restart(tick);
                experience.saw_active = false;
                self.link(at);
                return Ok(());
            }
            Happening::Alone(alone) => {
                if alone {
                    self.alone.insert(at);
                } else {
                    self.alone.remove(&at);
                }
                self.relink(at, alone);
                return Ok(());
            }
            Happening::Event(_, Some(life)) if life != player.life => return Ok(()),
            Happening::Event(..) if !player.up => return Ok(()),
            Happening::Event(event, _) => event,
        };
        player.member.pass_until(tick);
        if let Event::Block(BlockNumber(block)) = event {
            experience.saw_active |= block >= player.member.now().0
                && assignment.window.phase(BlockNumber(block)) == Phase::Active;
        }
        let heard = matches!(event, Event::Message(_));
        if let Err(ignored) = player.member.handle(event) {
            self.summary.count_ignored(&ignored);
        }
        if heard {
            let held = check_memory(player)?;
            self.summary.most_retained = self.summary.most_retained.max(held);
        }
        while let Some(command) = self.players.get_mut(at).and_then(|player| player.member.poll()) {
            self.carry_out(tick, at, command, assignment)?;
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        tick: u64,
        at: usize,
        command: Command,
        assignment: &Assignment,
    ) -> Result<(), ViolationKind> {
        let (Some(player), Some(experience), Some(view)) =
            (self.players.get_mut(at), self.experiences.get_mut(at), self.views.get(at))
        else {
            return Ok(());
        };
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{tick} member {at} wants {command:?}"));
        }
        let (life, head, endpoints_up) = (player.life, player.member.now(), experience.endpoints_up);
        // Within a block, or else a last verdict at the window's end would come too late to go by.
        let soon = tick + self.dice.below(3);
        let (answer, when) = match command {
            Command::Broadcast(envelope) => {
                check_broadcast(player, head.0, &envelope)?;
                player.broadcast.entry(assignment.window).or_default().insert(Arc::clone(&envelope));
                if player.address() == assignment.leader && experience.right_hash {
                    self.spoke.get_or_insert(tick / TICKS);
                }
                self.send(tick, at, at, &envelope);
                return Ok(());
            }
            Command::Finish(result) => {
                player.finished.entry(result.window).or_default().push(result);
                return Ok(());
            }
            Command::Journal { id, entry } => {
                let write = player.journal.append(entry, self.troubles.failing_writes, &mut self.dice);
                self.summary.count(write.name());
                experience.journal_failed |= write != Write::Durable;
                match write {
                    Write::Durable => (Event::Journaled(id), soon),
                    Write::Lost | Write::LostAfter | Write::Torn => (Event::JournalFailed(id), soon),
                    Write::Unanswered => return Ok(()),
                }
            }
            Command::Generate { question, action, .. } => {
                let slow = self.dice.percent(self.troubles.slow);
                let patience = assignment.window.end().saturating_since(assignment.window.block()).0 * TICKS;
                let when = if slow { tick + self.dice.below(patience) } else { soon };
                let generation = generate(action, head.0, assignment.window.end().0, &mut self.dice);
                (Event::Generated { question, generation }, when)
            }
            Command::Judge { .. } | Command::ReadSafeHash { .. }
                if !endpoints_up && self.dice.percent(50) =>
            {
                return Ok(());
            }
            Command::Judge { question, proposal, .. } => {
                let verdict = match endpoints_up {
                    true => judge(&proposal, head.0, view.assurance),
                    false => ContentVerdict::Undecided("the endpoint is down".into()),
                };
                (Event::Judged { question, verdict, block: head }, soon)
            }
            Command::ReadSafeHash { question, .. } => match view.at(soon) {
                Some(hashes) => (Event::SafeHash { question, hashes, assurance: view.assurance }, soon),
                None => return Ok(()),
            },
        };
        self.queue(when, at, Happening::Event(answer, Some(life)));
        Ok(())
    }

    /// Hands an envelope to every other member that is played: late, twice, or not at all.
    fn send(&mut self, tick: u64, from: usize, author: usize, envelope: &Arc<[u8]>) {
        let Some(signer) = self.players.get(author).map(|player| player.key) else { return };
        let received = match Received::open(&signer, &self.group, envelope, Arc::clone(envelope)) {
            Ok(received) => received,
            Err(unreadable) => return self.summary.count(unreadable.name()),
        };
        if from == author {
            self.said.push_back((author, Arc::clone(envelope)));
            if self.said.len() > REMEMBERED {
                self.said.pop_front();
            }
        }
        for at in 0..self.players.len() {
            let listens = self.players.get(at).is_some_and(|player| player.role.is_played());
            if at == from || !listens || self.alone.contains(&at) || self.alone.contains(&from) {
                continue;
            }
            let copies = if self.dice.percent(self.troubles.repeated) { 2 } else { 1 };
            for _ in 0..copies {
                if !self.dice.percent(self.troubles.dropped) {
                    let when = tick + self.dice.below(self.troubles.max_delay);
                    self.queue(when, at, Happening::Event(Event::Message(received.clone()), None));
                }
            }
        }
    }

    /// Tells a member that has started who is linked.
    fn link(&mut self, at: usize) {
        let keys: Vec<_> = self.players.iter().map(Player::address).collect();
        let Some(player) = self.players.get_mut(at) else { return };
        for (other, address) in keys.into_iter().enumerate() {
            if other != at && !self.alone.contains(&other) && !self.alone.contains(&at) {
                tell(&mut player.member, Event::Linked(address));
            }
        }
    }

    /// Cuts a member off from all others, or links it to them again.
    fn relink(&mut self, at: usize, alone: bool) {
        let keys: Vec<_> = self.players.iter().map(Player::address).collect();
        for (one, player) in self.players.iter_mut().enumerate() {
            for (other, address) in keys.iter().enumerate() {
                if one == other || (one != at && other != at) {
                    continue;
                }
                let apart = alone || self.alone.contains(&one) || self.alone.contains(&other);
                let event = if apart { Event::Unlinked(*address) } else { Event::Linked(*address) };
                tell(&mut player.member, event);
            }
        }
    }
}

/// Tells a member of a link.
fn tell(member: &mut Driver, link: Event) {
    member.handle(link).expect("only messages are ignored");
}
