//! The game: a chain, a channel, and members with their troubles, played tick by tick.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use alloy_primitives::B256;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use coxswain_protocol::{
    Assignment, Command, FaultKind, Generation, Ignored, Network, Objection, Outcome, Phase, Received,
    Record, SigningGroup, Verdict, Window,
    wire::{Envelope, MESSAGE_TYPE, OperatorKey},
};
use coxswain_rules::{Action, Amount, FeeObjection, KeyHash, Proposal};

use crate::{
    check::{Experience, Played, Violation, ViolationKind, check_memory},
    dice::Dice,
    hostile::{redemption, script, valid_from},
    member::{Event, Member, Role},
};

/// Time passes in quarters of a block.
const TICKS: u64 = 4;
/// Blocks played before a window and after it.
const BEFORE: u64 = 2;
const AFTER: u64 = 6;

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

/// What happened in a game, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Results and records of honest members, and what their followers ignored, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// The most bytes that a follower held.
    pub most_retained: usize,
}

impl Summary {
    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Takes in another game's numbers.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        self.most_retained = self.most_retained.max(other.most_retained);
    }
}

/// Plays a game.
///
/// # Errors
///
/// The first rule that was broken.
pub fn run(game: Game) -> Result<Summary, Violation> {
    World::new(game, None).play().0
}

/// Plays a game and tells every event of it.
pub fn run_traced(game: Game) -> (Result<Summary, Violation>, Vec<String>) {
    let (result, trace) = World::new(game, Some(Vec::new())).play();
    (result, trace.unwrap_or_default())
}

/// How bad channel and endpoints are in a game, in percent.
#[derive(Clone, Copy, Debug)]
struct Weather {
    dropped: u64,
    repeated: u64,
    max_delay: u64,
    skipped: u64,
    leaps: u64,
    restarts: u64,
    wrong_hashes: u64,
    outages: u64,
    slow: u64,
}

/// Something to happen to someone, in a life of theirs where it is an answer.
#[derive(Clone, Debug)]
enum Happening {
    Event(Event, Option<u64>),
    Down,
    Up,
    Send(Arc<[u8]>),
}

/// What a member reads as the safe block's hash.
#[derive(Clone, Copy, Debug)]
struct View {
    hash: B256,
    /// Before this tick it reads another one.
    wrong_until: u64,
    wrong: B256,
}

impl View {
    const fn at(&self, tick: u64) -> B256 {
        if tick < self.wrong_until { self.wrong } else { self.hash }
    }
}

struct World {
    game: Game,
    dice: Dice,
    weather: Weather,
    network: Network,
    wallet: KeyHash,
    group: Arc<SigningGroup>,
    roles: Vec<Role>,
    /// Honest members are played by the protocol; of hostile ones only the key is used.
    members: Vec<Member>,
    queue: BTreeMap<(u64, u64), (usize, Happening)>,
    queued: u64,
    views: Vec<View>,
    experiences: Vec<Experience>,
    spoke: Option<u64>,
    summary: Summary,
    trace: Option<Vec<String>>,
}

impl World {
    fn new(game: Game, trace: Option<Vec<String>>) -> Self {
        let mut dice = Dice::new(game.seed);
        let network = if dice.percent(10) { Network::MAINNET } else { Network::LOCAL };
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
        let roles = (0..u64::from(game.members))
            .map(|number| if number < hostile { dice.pick(&Role::HOSTILE) } else { Role::Honest });
        let roles: Vec<_> = roles.collect();
        let weather = Weather {
            dropped: dice.pick(&[0, 0, 10, 30]),
            repeated: dice.pick(&[0, 10]),
            max_delay: dice.pick(&[1, 6, 24]),
            skipped: dice.pick(&[0, 10]),
            leaps: dice.pick(&[0, 10]),
            restarts: dice.pick(&[0, 5, 20]),
            wrong_hashes: dice.pick(&[0, 0, 5, 20]),
            outages: dice.pick(&[0, 5, 20]),
            slow: dice.pick(&[0, 10]),
        };
        let wallet = KeyHash(dice.bytes());
        let trace = trace.map(|mut trace: Vec<String>| {
            let cast = keys.iter().zip(&roles).enumerate();
            trace.extend(cast.map(|(at, (key, role))| format!("member {at} is {}, {role:?}", key.address())));
            trace.push(format!("{weather:?}"));
            trace
        });
        let member = |key: &OperatorKey| Member::new(network, wallet, *key, Arc::clone(&group));
        Self {
            members: keys.iter().map(member).collect(),
            game,
            dice,
            weather,
            network,
            wallet,
            group,
            roles,
            queue: BTreeMap::new(),
            queued: 0,
            views: Vec::new(),
            experiences: Vec::new(),
            spoke: None,
            summary: Summary::default(),
            trace,
        }
    }

    fn play(mut self) -> (Result<Summary, Violation>, Option<Vec<String>>) {
        for index in 1..=self.game.windows {
            let window = Window::numbered(&self.network, index).expect("few windows have small blocks");
            if let Err(kind) = self.play_window(window) {
                return (Err(Violation { seed: self.game.seed, window: index, kind }), self.trace);
            }
        }
        self.count_up();
        (Ok(self.summary), self.trace)
    }

    fn play_window(&mut self, window: Window) -> Result<(), ViolationKind> {
        let hash = B256::from(self.dice.bytes::<32>());
        let assignment = Assignment::new(&self.network, window, self.wallet, &self.group, hash);
        self.spoke = None;
        self.prepare(window, hash);
        self.script(&assignment);
        while let Some(((tick, _), (at, happening))) = self.queue.pop_first() {
            self.happen(tick, at, happening, &assignment)?;
        }
        let leads = |(_, member): &(&Role, &Member)| member.address() == assignment.leader;
        let leader_role = self.roles.iter().zip(&self.members).find(leads).map(|(role, _)| *role);
        let members = self.members.iter().zip(&self.experiences).zip(&self.roles);
        let honest = members.filter(|(_, role)| **role == Role::Honest);
        Played {
            assignment: &assignment,
            leader_role: leader_role.unwrap_or(Role::Honest),
            honest: honest.map(|((member, experience), _)| (member, *experience)).collect(),
            lossless: self.weather.dropped == 0,
            spoke: self.spoke,
        }
        .check()
    }

    fn queue(&mut self, tick: u64, at: usize, happening: Happening) {
        self.queued += 1;
        self.queue.insert((tick, self.queued), (at, happening));
    }

    /// Lays out the window's blocks and troubles for each honest member.
    fn prepare(&mut self, window: Window, hash: B256) {
        let (first, last) = (window.block() - BEFORE, window.end() + AFTER);
        self.views.clear();
        self.experiences.clear();
        // Now and then all read the same wrong hash for a while: the chain reorganises.
        let reorganised = self.dice.below(100) < self.weather.wrong_hashes / 5;
        let common = B256::from(self.dice.bytes::<32>());
        for at in 0..self.members.len() {
            let wrong = reorganised || self.dice.percent(self.weather.wrong_hashes);
            let until = self.dice.between(window.block() * TICKS, last * TICKS);
            let until = if self.dice.percent(20) { u64::MAX } else { until };
            let wrong_hash =
                if reorganised || self.dice.percent(50) { common } else { B256::from(self.dice.bytes()) };
            self.views.push(View { hash, wrong_until: if wrong { until } else { 0 }, wrong: wrong_hash });
            let leap = self.dice.percent(self.weather.leaps);
            let (leap_from, leap_blocks) = (self.dice.between(first + 1, window.end()), self.dice.below(40));
            let is_down = self.dice.percent(self.weather.restarts);
            self.experiences.push(Experience {
                was_down: false,
                saw_active: false,
                right_hash: !wrong,
                endpoints_up: !self.dice.percent(self.weather.outages),
                steady: !leap,
            });
            if self.roles.get(at) != Some(&Role::Honest) {
                continue;
            }
            for block in first..=last {
                let skipped = self.dice.percent(self.weather.skipped)
                    || (leap && (leap_from..leap_from + leap_blocks).contains(&block));
                if skipped && block != first && block + 3 <= last {
                    continue;
                }
                let tick = block * TICKS + self.dice.below(2);
                self.queue(tick, at, Happening::Event(Event::Block(block), None));
                if self.dice.percent(3) {
                    let again = block - self.dice.below(3);
                    self.queue(tick + 1, at, Happening::Event(Event::Block(again), None));
                }
            }
            if is_down {
                let down = self.dice.between(first * TICKS, window.end() * TICKS);
                let up = down + self.dice.between(1, 20 * TICKS);
                self.queue(down, at, Happening::Down);
                self.queue(up.min(last * TICKS - 1), at, Happening::Up);
            }
        }
    }

    /// Lays out what hostile members say.
    fn script(&mut self, assignment: &Assignment) {
        let start = assignment.window.block() * TICKS;
        let ticks = (assignment.window.active_end() - assignment.window.block()) * TICKS;
        for (at, role) in self.roles.clone().into_iter().enumerate() {
            let Some(key) = self.members.get(at).map(|member| member.key) else { continue };
            let Some(seat) = self.group.first_seat(key.address()) else { continue };
            for line in script(role, seat, assignment, &self.group, ticks, &mut self.dice) {
                let payload = line.message.encode().expect("what is said keeps the caps");
                let (sender, sequence) = (key.compressed(), line.sequence);
                let envelope = Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence };
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
        let (Some(member), Some(experience), Some(view)) =
            (self.members.get_mut(at), self.experiences.get_mut(at), self.views.get(at))
        else {
            return Ok(());
        };
        let event = match happening {
            Happening::Send(envelope) => {
                self.send(tick, at, &envelope);
                return Ok(());
            }
            Happening::Down => {
                (member.up, experience.was_down) = (false, true);
                return Ok(());
            }
            Happening::Up => {
                member.restart();
                experience.saw_active = false;
                return Ok(());
            }
            Happening::Event(_, Some(life)) if life != member.life => return Ok(()),
            Happening::Event(..) if !member.up => return Ok(()),
            Happening::Event(event, _) => event,
        };
        if let Event::Block(block) = event {
            experience.saw_active |= block >= member.head && assignment.window.phase(block) == Phase::Active;
        }
        let heard = matches!(event, Event::Message(_));
        let (ignored, commands) = member.take(event, view.at(tick));
        if heard {
            let held = check_memory(member)?;
            self.summary.most_retained = self.summary.most_retained.max(held);
        }
        if let Some(ignored) = ignored {
            self.summary.count(name_of(&ignored));
        }
        for command in commands {
            self.carry_out(tick, at, command, assignment);
        }
        Ok(())
    }

    fn carry_out(&mut self, tick: u64, at: usize, command: Command, assignment: &Assignment) {
        let (Some(member), Some(experience), Some(view)) =
            (self.members.get(at), self.experiences.get(at), self.views.get(at))
        else {
            return;
        };
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{tick} member {at} wants {command:?}"));
        }
        let (life, head, view, endpoints_up) = (member.life, member.head, *view, experience.endpoints_up);
        // Within a block, or else a last verdict at the window's end would come too late to go by.
        let soon = tick + self.dice.below(3);
        let (answer, when) = match command {
            Command::Broadcast(envelope) => {
                if member.address() == assignment.leader && view.wrong_until == 0 {
                    self.spoke.get_or_insert(tick / TICKS);
                }
                return self.send(tick, at, &envelope);
            }
            Command::Generate(action) => {
                let slow = self.dice.percent(self.weather.slow);
                let patience = assignment.window.end() * TICKS - assignment.window.block() * TICKS;
                let when = if slow { tick + self.dice.below(patience) } else { soon };
                (Event::Generated(self.generate(action, head)), when)
            }
            Command::Validate(_) | Command::ConfirmSeed if !endpoints_up && self.dice.percent(50) => return,
            Command::Validate(proposal) => {
                let verdict = match endpoints_up {
                    true => judge(&proposal, head),
                    false => Verdict::Undecided("the endpoint is down".into()),
                };
                (Event::Judged(verdict, head), soon)
            }
            Command::ConfirmSeed if endpoints_up => (Event::SafeBlockHash(view.at(soon)), soon),
            Command::ConfirmSeed | Command::Record(_) | Command::Finish(_) | Command::Reseed { .. } => return,
        };
        self.queue(when, at, Happening::Event(answer, Some(life)));
    }

    fn generate(&mut self, action: Action, head: u64) -> Generation {
        match (action, self.dice.below(10)) {
            (_, 0) => Generation::Failed("the endpoint is down".into()),
            (Action::Redemption, 1..=7) => {
                let nonce = 1_000 + self.dice.below(u64::from(u32::MAX));
                Generation::Proposal(redemption(nonce, head))
            }
            _ => Generation::NotPossible,
        }
    }

    /// Hands an envelope to every other honest member: late, twice, or not at all.
    fn send(&mut self, tick: u64, from: usize, envelope: &Arc<[u8]>) {
        let Some(sender) = self.members.get(from) else { return };
        let Ok(received) = Received::open(&sender.key, &self.group, envelope, Arc::clone(envelope)) else {
            self.summary.count("unreadable");
            return;
        };
        for at in 0..self.members.len() {
            if at == from || self.roles.get(at) != Some(&Role::Honest) {
                continue;
            }
            let copies = if self.dice.percent(self.weather.repeated) { 2 } else { 1 };
            for _ in 0..copies {
                if !self.dice.percent(self.weather.dropped) {
                    let when = tick + self.dice.below(self.weather.max_delay);
                    self.queue(when, at, Happening::Event(Event::Message(received.clone()), None));
                }
            }
        }
    }

    fn count_up(&mut self) {
        let honest = self.members.iter().zip(&self.roles).filter(|(_, role)| **role == Role::Honest);
        for (member, _) in honest {
            for result in member.journal.results.values().flatten() {
                self.summary.count(match &result.outcome {
                    Outcome::NoOp => "no-op",
                    Outcome::Action(..) => "action",
                    Outcome::Undecided { .. } => "undecided",
                    Outcome::None => "no result",
                });
            }
            for record in member.journal.records.values().flatten() {
                self.summary.count(match record {
                    Record::Fault(fault) => match &fault.kind {
                        FaultKind::LeaderMistake(coxswain_protocol::Mistake::Rejected { .. }) => {
                            "rejected content"
                        }
                        kind => kind.name(),
                    },
                    Record::Equivocation { .. } => "equivocation",
                    Record::Unproven(_) => "unproven fault",
                    Record::NotGenerated { .. } => "failed generation",
                });
            }
            for (name, count) in [("restart", member.life), ("new seed", member.journal.reseeds)] {
                match self.summary.counts.entry(name) {
                    Entry::Occupied(mut entry) => *entry.get_mut() += count,
                    Entry::Vacant(entry) => drop(entry.insert(count)),
                }
            }
        }
    }
}

/// What the world's contract says of a proposal at a block.
fn judge(proposal: &Proposal, head: u64) -> Verdict {
    if valid_from(proposal) <= head {
        return Verdict::Valid;
    }
    let zero = Amount::ZERO;
    Verdict::Rejected(Objection::Fee(FeeObjection::TooLow { fee: zero, least: zero }))
}

const fn name_of(ignored: &Ignored) -> &'static str {
    match ignored {
        Ignored::NotListening => "ignored: not listening",
        Ignored::NotAMember(_) => "ignored: no member",
        Ignored::Repeat => "ignored: repeat",
        Ignored::TooMany => "ignored: too many",
        Ignored::NotACoordinationMessage => "ignored: other kind",
        Ignored::OwnSeat(_) => "ignored: own seat",
        Ignored::SeatNotHeld { .. } => "ignored: seat not held",
        Ignored::OtherWindow(_) => "ignored: other window",
        Ignored::OtherWallet => "ignored: other wallet",
        Ignored::NotTheLeader(_) => "ignored: not the leader",
        Ignored::NotOnChecklist(_) => "ignored: not on the checklist",
        Ignored::Settled => "ignored: settled",
        _ => "ignored",
    }
}
