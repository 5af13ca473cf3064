//! One operator's seats in the signing of one job: attempts by block, announcements, lists, rounds, blame. No I/O, no clock:
//! events in, commands out. A command that depends on a record is given out only when that record is durable.

mod blame;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
};

use alloy_primitives::Address;
use bitcoin::secp256k1::{Secp256k1, SecretKey, ecdsa::Signature};
use coxswain_protocol::Seat;
use coxswain_rules::units::{BlockNumber, Blocks};

use super::{
    attempt::{Failure, Outgoing, Round1, Setup},
    bans::NewBan,
    batches::Batches,
    events::{Command, Event, Record, Recorded, RoundMessage, Terms},
    keys::SeatKey,
    running::{Running, Stage, Step, Taken},
};
use crate::{
    ActionId, AttemptReport, Blame, Outcome, Refusal, Report, Signed,
    group::{
        Announcement, Attempt, Board, Conflicts, Heard, Held, SignedAnnouncement, SubsetList, choose,
        is_quorum,
    },
};

/// Whether a leader's message proposes the action, as the leader may propose it under a seed that we hold.
pub type Proposes = Box<dyn Fn(&[u8], ActionId) -> bool + Send + Sync>;

/// What follows when a record is durable.
enum After {
    Announce(Box<SignedAnnouncement>),
    Begin(u8),
    Ban(NewBan, u8, Step),
    Nothing,
}

/// One operator's seats in one job.
///
/// ```text
/// attempt by attempt, each at its blocks:
///
/// Record(Announced) ──► Announce ──► List ──► Record(Attempt) ──► a batch: Open ──► round 1 ──► round 2
///   not if an operator        the convener's, the      │            ▲                              │
///   says two things, or       best of those heard      │            └──── the next batch ◄─────────┤
///   a ban isn't recorded                               │                                           │ the last
///                                                      └──► over: no quorum, or                    ▼
///                                                           one who is out is on it             round 3
///                                                                                                  │
///   a message lacks or is wrong ──► Lacking, Record(Ban) ──► the next attempt               Signatures ──► Finish: signed
///
/// signatures that hold, from whomever ──► Finish: signed
/// no attempt left ──► Finish: exhausted, or not ready      the last block is over ──► Finish: deadline
///
/// Whoever has finished says in every later attempt again what it has announced, and nothing else.
/// ```
pub struct Participant {
    terms: Terms,
    keys: BTreeMap<Seat, Arc<SeatKey>>,
    operator: SecretKey,
    us: Address,
    leader_message: Arc<[u8]>,
    proposes: Proposes,
    random: Box<dyn FnMut() -> [u8; 32] + Send>,
    threshold: usize,
    board: Board,
    recorded: Recorded,
    links: BTreeSet<Address>,
    /// Who has said, in which attempt, that it stops at which step and lacks whose messages.
    lacking: BTreeMap<(u8, Seat), (Step, BTreeSet<Seat>)>,
    block: BlockNumber,
    /// The last attempt in which we have announced anything, or said it again.
    spoken: u8,
    running: Option<Running>,
    pending: BTreeMap<u64, After>,
    records: u64,
    commands: VecDeque<Command>,
    heard: BTreeSet<Seat>,
    blames: Vec<Blame>,
    failed: Vec<AttemptReport>,
    finished: bool,
}

impl Participant {
    /// A participant that has done what is on record. `random` gives bytes that nobody foresees.
    pub fn new(
        terms: Terms,
        keys: Vec<Arc<SeatKey>>,
        operator: SecretKey,
        leader_message: Arc<[u8]>,
        proposes: Proposes,
        recorded: Recorded,
        random: Box<dyn FnMut() -> [u8; 32] + Send>,
    ) -> Self {
        let keys: BTreeMap<Seat, Arc<SeatKey>> = keys.into_iter().map(|key| (key.seat(), key)).collect();
        let public = operator.public_key(&Secp256k1::signing_only());
        let board = Board::new(keys.keys().copied().collect(), recorded.announced.clone());
        Self {
            us: crate::group::operator(&public),
            threshold: keys.values().next().map_or(usize::MAX, |key| key.threshold()),
            block: BlockNumber(0),
            spoken: 0,
            links: BTreeSet::new(),
            lacking: BTreeMap::new(),
            running: None,
            pending: BTreeMap::new(),
            records: 0,
            commands: VecDeque::new(),
            heard: BTreeSet::new(),
            blames: Vec::new(),
            failed: Vec::new(),
            finished: false,
            terms,
            keys,
            operator,
            leader_message,
            proposes,
            random,
            board,
            recorded,
        }
    }

    /// The next command.
    pub fn poll(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Takes in what happens. Once it has finished, blocks are all that it goes by.
    pub fn handle(&mut self, event: Event) {
        if self.finished {
            if let Event::Block(block) = event {
                self.repeat(block);
            }
            return;
        }
        match event {
            Event::Block(block) => self.on_block(block),
            Event::Links(links) => self.links = links,
            Event::Announcement(bytes) => self.on_announcement(&bytes),
            Event::List(bytes) => self.on_list(&bytes),
            Event::Lacking(bytes) => self.on_lacking(&bytes),
            Event::Round { operator, message } => self.on_round(operator, message),
            Event::Signatures(signatures) => self.on_signatures(signatures),
            Event::Recorded(number) => {
                if let Some(after) = self.pending.remove(&number) {
                    self.follow(after);
                }
            }
        }
    }

    fn record(&mut self, record: Record, after: After) {
        self.records += 1;
        self.pending.insert(self.records, after);
        self.commands.push_back(Command::Record(self.records, record));
    }

    fn finish(&mut self, outcome: Outcome) {
        self.finished = true;
        self.running = None;
        // What is still to be sent isn't, unless it is signed: then it helps the others.
        if !matches!(outcome, Outcome::Signed(_)) {
            self.commands.retain(|command| matches!(command, Command::Record(..) | Command::TwoFaces(_)));
        }
        let blames = std::mem::take(&mut self.blames);
        self.commands.push_back(Command::Finish(Report { outcome, blames }));
    }

    fn attempts(&self) -> u8 {
        u8::try_from(self.terms.times.attempts).unwrap_or(u8::MAX)
    }

    /// Where a step ends, in blocks after the attempt's start. Rounds have a third of the time each; batches share that of the first two.
    fn deadline(&self, (batch, round): Step, batches: usize) -> Blocks {
        let times = &self.terms.times;
        let begin = times.delay.saturating_add(times.announcement).saturating_add(times.list_wait);
        let each = times.rounds.saturating_sub(times.list_wait).0 / 3;
        let passed = match round {
            3 => each.saturating_mul(3),
            _ => {
                let steps = u64::from(batch).saturating_mul(2).saturating_add(u64::from(round));
                each.saturating_mul(steps).div_ceil(u64::try_from(batches).unwrap_or(u64::MAX).max(1))
            }
        };
        begin.saturating_add(Blocks(passed))
    }

    /// The attempt that a block is in, and how far in it the block is.
    fn place(&self, block: BlockNumber) -> Option<(u8, Blocks)> {
        let since = block.since(self.terms.start_block)?;
        let length = self.terms.times.attempt().0.max(1);
        let number = u8::try_from(since.0 / length + 1).unwrap_or(u8::MAX);
        Some((number, Blocks(since.0 % length)))
    }

    /// When seats announce that they are ready, in blocks after the attempt's start.
    fn announcing(&self) -> Range<Blocks> {
        let times = &self.terms.times;
        times.delay..times.delay.saturating_add(times.announcement)
    }

    fn on_block(&mut self, block: BlockNumber) {
        if block <= self.block {
            return;
        }
        self.block = block;
        if block > self.terms.last_block {
            return self.finish(Outcome::Deadline);
        }
        let Some((number, offset)) = self.place(block) else { return };
        if self.running.as_ref().is_none_or(|running| running.number != number) {
            self.close();
            if number > self.attempts() {
                return self.exhausted();
            }
            let mut running = Running::new(number);
            // What was begun before a restart is not gone on with.
            running.over = !self.is_new(number);
            self.running = Some(running);
        }
        let announcing = self.announcing();
        if announcing.contains(&offset) {
            self.announce();
        }
        if offset >= announcing.end {
            self.convene();
        }
        if offset >= announcing.end.saturating_add(self.terms.times.list_wait) {
            self.take();
        }
        let running = self.running.as_ref().filter(|running| !running.over);
        let Some((running, taken)) = running.and_then(|it| Some((it, it.taken.as_ref()?))) else { return };
        // Only the batch that we are in: to be behind by a whole one is to be late in this one.
        let (batch, count) = (running.batch, taken.batches.count());
        for step in [1, 2, 3].map(|round| (batch, round)) {
            if offset >= self.deadline(step, count) {
                self.end_step(step);
            }
        }
    }

    fn exhausted(&mut self) {
        if self.failed.is_empty() {
            return self.finish(Outcome::NotReady { heard: self.heard.len(), needed: self.threshold });
        }
        let failed = std::mem::take(&mut self.failed);
        self.finish(Outcome::Exhausted(failed));
    }

    /// Whether we may go into the attempt: after a restart only into one that is new to us.
    fn is_new(&self, number: u8) -> bool {
        let announced = self.recorded.announced.iter().any(|(_, attempt, _)| *attempt >= number);
        !announced && self.recorded.attempts.last().is_none_or(|last| *last < number)
    }

    fn announce(&mut self) {
        // A ban that is not durable yet is not told, nor passed over.
        let silent = self.is_banning() || self.board.is_stopped();
        let running = self.running.as_ref().filter(|running| !running.over && running.number > self.spoken);
        let Some(number) = running.map(|running| running.number) else { return };
        if silent {
            return;
        }
        self.spoken = number;
        for seat in self.keys.keys().copied().collect::<Vec<_>>() {
            let announcement = Announcement {
                window: self.terms.window,
                action_id: self.terms.action_id,
                attempt: number,
                seat,
                banned: self.recorded.banned.get(&seat).cloned().unwrap_or_default(),
                links: self.links.iter().copied().chain([self.us]).collect(),
                nonce: (self.random)(),
            };
            let record = Record::Announced(seat, number, announcement.nonce);
            if let Some(signed) = announcement.sign(&self.leader_message, &self.operator) {
                self.record(record, After::Announce(Box::new(signed)));
            }
        }
    }

    /// Says again, same bytes, what each of our seats has announced last: whoever comes late hears of the action too, and stops if it is
    /// to sign another. The announcement stays that of its attempt, so that nobody takes the seat for ready.
    fn repeat(&mut self, block: BlockNumber) {
        let Some((number, offset)) = self.place(block) else { return };
        let is_over = number > self.attempts() || block > self.terms.last_block;
        if is_over || number <= self.spoken || !self.announcing().contains(&offset) {
            return;
        }
        self.spoken = number;
        let said = self.board.own().into_values().filter_map(SignedAnnouncement::to_bytes);
        self.commands.extend(said.map(Command::Announce));
    }

    fn is_banning(&self) -> bool {
        self.pending.values().any(|after| matches!(after, After::Ban(..)))
    }

    fn follow(&mut self, after: After) {
        match after {
            After::Announce(signed) => {
                let Announcement { seat, attempt, nonce, .. } = *signed.announcement();
                self.board.recorded(seat, attempt, nonce);
                self.hear(*signed);
            }
            After::Begin(number) => self.begin(number),
            After::Ban(NewBan { seat, by, reason }, attempt, step) => {
                self.recorded.banned.entry(by).or_default().insert(seat);
                self.blames.push(Blame::Ban { seat, by, reason });
                self.say(by, attempt, step, [seat].into());
            }
            After::Nothing => {}
        }
    }

    fn on_announcement(&mut self, bytes: &[u8]) {
        let Ok(signed) = SignedAnnouncement::from_bytes(bytes) else { return };
        if signed.check(&self.terms.window, &self.terms.group, self.attempts(), &self.proposes).is_ok() {
            self.hear(signed);
        }
    }

    fn hear(&mut self, signed: SignedAnnouncement) {
        let (bytes, seat) = (signed.to_bytes(), signed.announcement().seat);
        match self.board.hear(signed) {
            Heard::New => {
                self.heard.insert(seat);
                self.commands.extend(bytes.map(Command::Announce));
            }
            Heard::TwoFaces(pair) => {
                let [one, two] = *pair;
                self.commands.push_back(Command::TwoFaces(one.operator()));
                let pair = [one, two].into_iter().filter_map(|signed| signed.to_bytes());
                self.commands.extend(pair.map(Command::Announce));
            }
            Heard::TwoActions(pair) => {
                self.finish(Outcome::Refused(Refusal::TwoActions));
                // All others must see both, and stop.
                let pair = pair.into_iter().filter_map(|signed| signed.to_bytes());
                self.commands.extend(pair.map(Command::Announce));
            }
            Heard::NotOurs => self.finish(Outcome::Refused(Refusal::NotOurs)),
            Heard::Known | Heard::Settled => {}
        }
    }

    fn convene(&mut self) {
        let Some(running) = self.running.as_mut().filter(|running| !running.listed) else { return };
        running.listed = true;
        let number = running.number;
        if !self.terms.draw.conveners(number).contains(&self.us) || !self.is_quorum() {
            return;
        }
        let ready: BTreeMap<Seat, &SignedAnnouncement> =
            self.board.ready(number).map(|signed| (signed.announcement().seat, signed)).collect();
        let announced = ready.values().map(|signed| signed.announcement());
        let conflicts = Conflicts::of(announced, &self.terms.group, &self.unlinked());
        let seats = ready.keys().copied().collect();
        let Terms { group, draw, .. } = &self.terms;
        let Some(chosen) = choose(&seats, self.threshold, group, draw, &conflicts, &self.recorded.marks)
        else {
            return;
        };
        let announcements = chosen.iter().filter_map(|seat| ready.get(seat)).map(|signed| (*signed).clone());
        let list = SubsetList::sign(announcements.collect(), &self.leader_message, &self.operator);
        if let Some(list) = list {
            self.on_list(&list.to_bytes());
        }
    }

    fn on_list(&mut self, bytes: &[u8]) {
        let Ok(list) = SubsetList::from_bytes(bytes) else { return };
        let Some(running) = &mut self.running else { return };
        let attempt = Attempt {
            window: self.terms.window,
            action_id: self.terms.action_id,
            attempt: running.number,
            group: &self.terms.group,
            threshold: self.threshold,
            draw: &self.terms.draw,
        };
        let Ok(rank) = list.check(&attempt, &self.proposes) else { return };
        let announcements = list.announcements().to_vec();
        match running.lists.hold(rank, list) {
            Held::New | Held::Second => self.commands.push_back(Command::List(bytes.to_vec())),
            Held::Known | Held::Third => return,
        }
        // It may be the first to tell us what a seat has announced to others only, and what somebody has announced with our key.
        for signed in announcements {
            if !self.finished {
                self.hear(signed);
            }
        }
    }

    fn is_quorum(&self) -> bool {
        let seats = self.terms.group.holders().len();
        !self.terms.wants_quorum || is_quorum(self.board.announced().len(), seats, self.threshold)
    }

    /// Takes the list that the attempt goes by, when the wait for lists is over.
    fn take(&mut self) {
        let quorum = self.is_quorum() && !self.board.is_stopped();
        let Some(running) = self.running.as_mut().filter(|running| running.taken.is_none()) else { return };
        let Some(list) = running.lists.take() else { return };
        let (context, seats) = (list.context(), list.seats());
        let Terms { group, digests, read_bytes, .. } = &self.terms;
        let batches = Batches::new(&seats, group, digests.len(), *read_bytes);
        running.taken = Some(Taken { context, seats: seats.clone(), batches });
        // What it announced with in this attempt is what the list must carry; and an operator that says two things is out.
        let out = seats.iter().any(|seat| {
            self.terms.group.holder(*seat).is_some_and(|holder| self.board.out().contains(&holder))
        });
        running.over |= !quorum || out;
        let number = running.number;
        self.record(Record::Attempt(number, context, seats), After::Begin(number));
    }

    fn begin(&mut self, number: u8) {
        let banning = self.is_banning();
        let running = self.running.as_ref();
        if running.is_some_and(|running| running.number == number && !running.over) && !banning {
            self.begin_batch(0);
            self.progress();
        }
    }

    /// All own seats go into the next batch.
    fn begin_batch(&mut self, number: u8) {
        let Some(running) = &mut self.running else { return };
        running.batch = number;
        let Some(Taken { context, seats, batches }) = &running.taken else { return };
        let setup = Setup { context: *context, seats: seats.clone(), digests: self.terms.digests.clone() };
        let inputs = batches.inputs(usize::from(number));
        let own: Vec<Arc<SeatKey>> =
            self.keys.values().filter(|key| setup.seats.contains(&key.seat())).cloned().collect();
        if !own.is_empty() {
            let batch = batches.batch(running.number, number, context, self.us);
            self.commands.push_back(Command::Open(batch));
        }
        for key in own {
            let seat = key.seat();
            let banned = self.recorded.banned.get(&seat).cloned().unwrap_or_default();
            match Round1::begin(key, &setup, inputs.clone(), &banned) {
                Ok((stage, out)) => self.step(seat, Stage::One(stage), out),
                Err(failure) => return self.failed(seat, (number, 1), failure),
            }
        }
    }

    /// A seat goes into a round, and its messages leave.
    fn step(&mut self, seat: Seat, stage: Stage, out: Outgoing) {
        let Some(running) = &mut self.running else { return };
        let (batch, round) = (running.batch, stage.round());
        running.stages.insert(seat, stage);
        for (to, bytes) in out {
            if self.keys.contains_key(&to) {
                running.inbox.entry(((batch, round), to)).or_default().insert(seat, bytes);
            } else if let Some(holder) = self.terms.group.holder(to) {
                let message = RoundMessage { attempt: running.number, batch, round, from: seat, to, bytes };
                self.commands.push_back(Command::Send(holder, message));
            }
        }
    }

    fn on_round(&mut self, operator: Address, message: RoundMessage) {
        let RoundMessage { attempt, batch, round, from, to, mut bytes } = message;
        let Some(running) =
            self.running.as_mut().filter(|running| running.number == attempt && !running.over)
        else {
            return;
        };
        let Some(taken) = &running.taken else { return };
        let Some(size) = taken.batches.message_bytes(usize::from(batch), round) else { return };
        // Nobody is further ahead than by a round.
        let step = (batch, round);
        let near = match running.step(to) {
            None => step == (0, 1),
            Some(at) => step == at || step == next(at, &taken.batches),
        };
        let own = self.keys.contains_key(&to) && taken.seats.contains(&to);
        if !own || self.terms.group.holder(from) != Some(operator) || !near || !taken.seats.contains(&from) {
            return;
        }
        if bytes.len() != size {
            // It is a fault whatever it is: it need not be kept.
            bytes = Vec::new();
        }
        running.inbox.entry((step, to)).or_default().entry(from).or_insert(bytes);
        self.progress();
    }

    /// Takes every seat as far as its messages reach.
    fn progress(&mut self) {
        while let Some((seat, step)) = self.complete() {
            let Some(running) = &mut self.running else { return };
            let (Some(stage), Some(taken)) = (running.stages.remove(&seat), &running.taken) else { return };
            let is_last = taken.batches.is_last(usize::from(running.batch));
            let inbox = running.inbox.remove(&(step, seat)).unwrap_or_default();
            let late = self.block.saturating_add(self.terms.times.last_round) > self.terms.last_block;
            let outcome = match stage {
                Stage::One(stage) => stage.finish(&inbox).map(|(stage, out)| Some((Stage::Two(stage), out))),
                // Round 3 begins only if there is time for it and for what follows.
                Stage::Two(_) if late => {
                    Err(Failure::Local("too few blocks are left for round 3".to_owned()))
                }
                Stage::Two(stage) => stage.finish(&inbox).map(|checked| {
                    let all = match running.checked.remove(&seat) {
                        Some(before) => before.with(checked),
                        None => checked,
                    };
                    if is_last {
                        let out = all.messages();
                        return Some((Stage::Three(all), out));
                    }
                    running.checked.insert(seat, all);
                    None
                }),
                Stage::Three(stage) => match stage.finish(&inbox) {
                    Ok(signatures) => return self.signed(signatures),
                    Err(failure) => Err(failure),
                },
            };
            match outcome {
                Ok(Some((stage, out))) => self.step(seat, stage, out),
                // All own seats go on together: what is read belongs to one batch.
                Ok(None) if running.stages.is_empty() => {
                    let next = running.batch.saturating_add(1);
                    self.begin_batch(next);
                }
                Ok(None) => {}
                Err(failure) => return self.failed(seat, step, failure),
            }
        }
    }

    /// A seat that holds all messages of its step.
    fn complete(&self) -> Option<(Seat, Step)> {
        let running = self.running.as_ref().filter(|running| !running.over)?;
        let seats = &running.taken.as_ref()?.seats;
        running.stages.iter().find_map(|(seat, stage)| {
            let step = (running.batch, stage.round());
            let inbox = running.inbox.get(&(step, *seat))?;
            let all = seats.iter().filter(|other| *other != seat).all(|other| inbox.contains_key(other));
            all.then_some((*seat, step))
        })
    }

    fn signed(&mut self, signatures: Vec<Signature>) {
        // Others may have signed in an attempt of which we have no list.
        let by = self.running.as_ref().filter(|running| running.taken.is_some());
        let attempt = by.map_or(0, |running| u64::from(running.number));
        let seats = by.map(Running::seats).unwrap_or_default().into_iter().collect();
        let heard = self.heard.iter().copied().collect();
        let signed = Signed { signatures: signatures.clone(), attempt, seats, heard };
        self.commands.push_back(Command::Signatures(signatures));
        self.finish(Outcome::Signed(signed));
    }

    /// Whoever has valid signatures is done, from whomever they come.
    fn on_signatures(&mut self, signatures: Vec<Signature>) {
        let Some(key) = self.keys.values().next() else { return };
        let secp = Secp256k1::verification_only();
        let mut pairs = self.terms.digests.iter().zip(&signatures);
        let all = signatures.len() == self.terms.digests.len()
            && pairs.all(|(digest, signature)| secp.verify_ecdsa(digest, signature, key.public()).is_ok());
        if all {
            self.signed(signatures);
        }
    }
}

/// The step behind this one.
fn next((batch, round): Step, batches: &Batches) -> Step {
    match round {
        1 => (batch, 2),
        2 if !batches.is_last(usize::from(batch)) => (batch.saturating_add(1), 1),
        _ => (batch, 3),
    }
}
