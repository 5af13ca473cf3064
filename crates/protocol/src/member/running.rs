//! One window of one member: what is known of it, and what follows from that at each step.
//!
//! Events only change what is known. [`Running::advance`] then asks and sends whatever is due, so that it doesn't matter
//! in which order things happen.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use alloy_primitives::Address;
use coxswain_rules::{Assurance, Proposal, units::BlockNumber};

use super::{
    Command, ContentVerdict, Entry, EntryId, Generation, Question, Sent, Setup,
    inbox::{Content, Inbox, Place},
    judging::Judging,
    leading::{Draft, Leading, Own, Search, Stage, eighth, listened_by, quiet_from},
    seeds::{Answer, Fit, Seeds},
};
use crate::{
    Assignment, Ignored, NotGenerated, NotSent, Note, Received, SafeHashes, Validity, Window,
    wire::{CoordinationMessage, DecodeError, Envelope, MESSAGE_TYPE, Proposed},
};

/// What a member needs in order to ask and to send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Desk {
    pub(super) now: BlockNumber,
    pub(super) next_question: u64,
    pub(super) next_entry: u64,
    pub(super) next_sequence: u64,
    pub(super) commands: VecDeque<Command>,
}

impl Desk {
    const fn question(&mut self) -> Question {
        let question = Question(self.next_question);
        self.next_question += 1;
        question
    }

    pub(super) fn journal(&mut self, entry: Entry) -> EntryId {
        let id = EntryId(self.next_entry);
        self.next_entry += 1;
        self.commands.push_back(Command::Journal { id, entry });
        id
    }
}

/// One window of one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) window: Window,
    /// The block at which the window was opened.
    pub(super) listened_from: BlockNumber,
    pub(super) seeds: Seeds,
    pub(super) inbox: Inbox,
    /// The message settled on, under the current seed.
    pub(super) settled: Option<Judging>,
    /// What to send, while we lead and have sent nothing.
    leading: Option<Leading>,
    pub(super) own: Option<Own>,
    /// Why nothing may be sent, whatever the seed.
    barred: Option<NotSent>,
    pub(super) notes: Vec<Note>,
    /// The operators that were linked without a break until the end of the active phase. `None` before it ends.
    pub(super) linked: Option<BTreeSet<Address>>,
    /// From this block on the hash is to be read again, while nothing has come of the window.
    reread_at: BlockNumber,
    /// The first block seen at which the window was over: last questions are asked there.
    closing: Option<BlockNumber>,
}

impl Running {
    pub(super) fn open(
        window: Window,
        sent: Option<Sent>,
        barred: Option<NotSent>,
        now: BlockNumber,
    ) -> Self {
        let own = sent.as_ref().map(|sent| restore(sent.clone()));
        // What can't be read back may have been sent all the same.
        let unreadable = matches!(own, Some(None)).then_some(NotSent::JournalDamaged);
        Self {
            window,
            listened_from: now,
            seeds: Seeds::default(),
            inbox: Inbox::default(),
            settled: None,
            leading: None,
            own: own.flatten(),
            barred: barred.or(unreadable),
            notes: Vec::new(),
            linked: None,
            reread_at: now.saturating_add(eighth(&window)),
            closing: None,
        }
    }

    /// The assignment under the current seed.
    pub(super) fn assignment(&self) -> Option<&Assignment> {
        self.seeds.current().map(|seen| &seen.own)
    }

    /// Why we sent nothing, if we lead.
    pub(super) fn not_sent(&self) -> NotSent {
        match (&self.barred, &self.own, &self.leading) {
            (Some(why), ..) | (None, None, Some(Leading::Silent(why))) => *why,
            (None, Some(own), _) => match own.stage {
                Stage::Recording(_) | Stage::Failed => NotSent::NotJournaled,
                Stage::Recorded => NotSent::TooLate,
                Stage::Restored | Stage::Sending { .. } => NotSent::SentBefore,
            },
            (None, None, _) => NotSent::TooLate,
        }
    }

    /// Notes who has been linked all the time, at the first block after the active phase.
    pub(super) fn on_block(&mut self, links: &BTreeMap<Address, BlockNumber>, now: BlockNumber) {
        if now >= self.window.active_end() && self.linked.is_none() {
            let by = listened_by(&self.window);
            let all_the_time = links.iter().filter(|(_, since)| **since <= by);
            self.linked = Some(all_the_time.map(|(operator, _)| *operator).collect());
        }
    }

    pub(super) fn on_message(
        &mut self,
        received: Received,
        setup: &Setup,
        desk: &Desk,
    ) -> Result<(), Ignored> {
        let place = Place {
            group: &setup.group,
            me: setup.key.address(),
            wallet: setup.wallet,
            window: self.window,
            now: desk.now,
        };
        let kept = self.inbox.take(received, &place)?;
        let fit = self.seeds.fit(&kept).ok_or(Ignored::SeedUnknown)?;
        let ignored = match fit {
            Fit::Accepted if kept.came >= self.window.active_end() => return Err(Ignored::Late),
            Fit::Accepted if self.settled.is_some() => return Err(Ignored::Settled),
            Fit::Accepted => return Ok(()),
            Fit::NotUnderstood(number) => return Err(Ignored::NotUnderstood(number)),
            Fit::Earlier(_) => Ignored::OtherSeed,
            Fit::OtherRule(rule) => Ignored::HashRuleMismatch(rule),
            Fit::Misfit(misfit) => misfit.into(),
        };
        // Before anybody is suspected, the seed is.
        self.seeds.want(Question(desk.next_question));
        Err(ignored)
    }

    pub(super) fn on_safe_hash(
        &mut self,
        question: Question,
        hashes: SafeHashes,
        assurance: Assurance,
        setup: &Setup,
        now: BlockNumber,
    ) {
        let assign = || {
            let of = |hash| Assignment::new(&setup.network, self.window, setup.wallet, &setup.group, hash);
            let rule = setup.network.hash_rule(&self.window);
            let other = rule.other();
            let differs = hashes.by(rule) != hashes.by(other);
            (of(hashes.by(rule)), differs.then(|| (other, of(hashes.by(other)))))
        };
        match self.seeds.answer(question, hashes, assurance, now, assign) {
            Answer::Stale | Answer::Same => {}
            Answer::Changed => self.leading = None,
        }
    }

    pub(super) fn on_generated(&mut self, question: Question, generation: Generation, desk: &Desk) {
        let (mut search, action) = match &self.leading {
            Some(Leading::Generating { search, action, question: Some(asked) }) if *asked == question => {
                (*search, *action)
            }
            _ => return,
        };
        let why = match generation {
            Generation::Proposal(proposal) if proposal.action() == action => {
                self.leading = Some(Leading::Judging { search, proposal, question: None });
                return;
            }
            Generation::Proposal(other) => Some(NotGenerated::OtherAction(other.action())),
            Generation::NotPossible => {
                search = search.decided();
                None
            }
            Generation::Failed(why) => Some(NotGenerated::Failed(why)),
        };
        self.notes.extend(why.map(|why| Note::NotGenerated { action, why }));
        self.try_next(search, desk);
    }

    pub(super) fn on_judged(
        &mut self,
        question: Question,
        verdict: ContentVerdict,
        block: BlockNumber,
        setup: &Setup,
        desk: &Desk,
    ) {
        let (mut search, proposal) = match &self.leading {
            Some(Leading::Judging { search, proposal, question: Some(asked) }) if *asked == question => {
                (*search, Arc::clone(proposal))
            }
            _ => {
                if let Some(judging) = &mut self.settled {
                    judging.answer(question, verdict, block);
                }
                return;
            }
        };
        let action = proposal.action();
        let why = match verdict {
            ContentVerdict::Valid(assurances) => match self.envelope(Some(&proposal), setup, desk) {
                Ok(_) => {
                    let validity = Some(Validity { block, assurances });
                    return self
                        .lead_with(Leading::Confirming(Draft { proposal: Some(proposal), validity }), desk);
                }
                Err(error) => NotGenerated::Unwritable(error),
            },
            ContentVerdict::Rejected { objection, .. } => {
                search = search.decided();
                NotGenerated::Rejected(objection)
            }
            ContentVerdict::Undecided(why) => NotGenerated::Undecided(why),
        };
        self.notes.push(Note::NotGenerated { action, why });
        self.try_next(search, desk);
    }

    /// What the journal says of our message.
    pub(super) fn on_journal(&mut self, id: EntryId, durable: bool) {
        if let Some(own) = &mut self.own
            && own.stage == Stage::Recording(id)
        {
            own.stage = if durable { Stage::Recorded } else { Stage::Failed };
            if !durable {
                self.notes.push(Note::NotJournaled(self.window));
            }
        }
    }

    /// Asks and sends what is due.
    pub(super) fn advance(&mut self, setup: &Setup, desk: &mut Desk) {
        let over = desk.now >= self.window.end();
        self.settle(desk.now);
        self.lead(setup, desk);
        let nothing_yet = self.settled.is_none() && self.own.is_none();
        if nothing_yet && (self.reread_at..self.window.active_end()).contains(&desk.now) {
            // By another hash it may be us who leads.
            self.reread_at = desk.now.saturating_add(eighth(&self.window));
            self.seeds.want(Question(desk.next_question));
        }
        if over && self.closing.is_none() {
            self.closing = Some(desk.now);
            if self.seed_matters(setup) {
                self.seeds.want(Question(desk.next_question));
            }
        }
        if let Some(judging) = &mut self.settled
            && let Some(proposal) = judging.ask(Question(desk.next_question), desk.now, over)
        {
            let question = desk.question();
            desk.commands.push_back(Command::Judge { question, window: self.window, proposal });
        }
        if self.seeds.ask(desk.now) {
            let question = desk.question();
            desk.commands.push_back(Command::ReadSafeHash { question, window: self.window });
        }
    }

    /// Whether the window is over and nothing more is waited for. Nobody waits past the block after the first one at
    /// which it was over.
    pub(super) fn is_finished(&self, now: BlockNumber) -> bool {
        let Some(closing) = self.closing else { return false };
        let judged = self.settled.as_ref().is_none_or(Judging::is_over);
        now > closing || (judged && !self.seeds.is_waiting())
    }

    /// Settles on the first of the leader's messages that passes all checks, and came in time.
    fn settle(&mut self, now: BlockNumber) {
        let leader = self.assignment().map(|assignment| assignment.leader);
        let proposals = leader.map_or(&[][..], |leader| self.inbox.proposals(leader));
        let in_time = proposals.iter().filter(|kept| kept.came < self.window.active_end());
        let accepted = in_time.into_iter().find(|kept| self.seeds.fit(kept) == Some(Fit::Accepted));
        match (accepted, &self.settled) {
            (Some(message), Some(judging)) if judging.message == *message => {}
            (None, _) => self.settled = None,
            (Some(message), _) => {
                let proposal = match &message.content {
                    Content::Proposed(Proposed::Action(proposal)) => Some(Arc::clone(proposal)),
                    Content::Proposed(Proposed::NoOp | Proposed::Unknown { .. })
                    | Content::Undecodable(_) => None,
                };
                self.settled = Some(Judging::new(Arc::clone(message), proposal, now));
            }
        }
    }

    /// Leads, if the current seed says so.
    fn lead(&mut self, setup: &Setup, desk: &mut Desk) {
        let me = setup.key.address();
        let active = desk.now < self.window.active_end();
        let Some(assignment) = self.assignment().filter(|it| it.leader == me && active).copied() else {
            return;
        };
        if self.barred.is_some() || self.seeds.exhausted {
            return;
        }
        if let Some(own) = &mut self.own {
            if own.fits(&assignment)
                && let Some(envelope) = own.broadcast(desk.now)
            {
                desk.commands.push_back(Command::Broadcast(envelope));
            }
            return;
        }
        if desk.now >= quiet_from(&self.window) {
            if !matches!(self.leading, Some(Leading::Silent(_))) {
                self.leading = Some(Leading::Silent(NotSent::TooLate));
            }
            return;
        }
        if self.leading.is_none() {
            self.try_next(Search::default(), desk);
        }
        let window = self.window;
        match &mut self.leading {
            Some(Leading::Generating { action, question: question @ None, .. }) => {
                let (asked, action) = (*question.insert(desk.question()), *action);
                desk.commands.push_back(Command::Generate { question: asked, window, action });
            }
            Some(Leading::Judging { proposal, question: question @ None, .. }) => {
                let (question, proposal) = (*question.insert(desk.question()), Arc::clone(proposal));
                desk.commands.push_back(Command::Judge { question, window, proposal });
            }
            Some(Leading::Confirming(draft)) if self.seeds.confirmed() => {
                let draft = draft.clone();
                self.record(draft, &assignment, setup, desk);
            }
            _ => {}
        }
    }

    fn try_next(&mut self, search: Search, desk: &Desk) {
        if let Some(next) = self.assignment().map(|assignment| Leading::next(search, assignment)) {
            self.lead_with(next, desk);
        }
    }

    fn lead_with(&mut self, leading: Leading, desk: &Desk) {
        if matches!(leading, Leading::Confirming(_)) {
            self.seeds.want(Question(desk.next_question));
        }
        self.leading = Some(leading);
    }

    /// Hands what is to be sent to the journal.
    fn record(&mut self, draft: Draft, assignment: &Assignment, setup: &Setup, desk: &mut Desk) {
        let Ok(envelope) = self.envelope(draft.proposal.as_ref(), setup, desk) else {
            self.leading = Some(Leading::Silent(NotSent::NothingDecided));
            return;
        };
        desk.next_sequence += 1;
        let Draft { proposal, validity } = draft;
        let sent = Sent { window: self.window, envelope, first_sent: desk.now, validity };
        let stage = Stage::Recording(desk.journal(Entry::Sent(sent.clone())));
        let content = Content::Proposed(proposal.map_or(Proposed::NoOp, Proposed::Action));
        self.own = Some(Own { seat: assignment.leader_seat, content, sent, stage });
        self.leading = None;
    }

    fn envelope(
        &self,
        proposal: Option<&Arc<Proposal>>,
        setup: &Setup,
        desk: &Desk,
    ) -> Result<Arc<[u8]>, DecodeError> {
        let me = setup.key.address();
        let message = CoordinationMessage {
            seat: setup.group.first_seat(me).expect("who leads holds a seat"),
            coordination_block: self.window.block(),
            wallet: setup.wallet,
            proposed: proposal.map_or(Proposed::NoOp, |it| Proposed::Action(Arc::clone(it))),
        };
        let (sender, sequence) = (setup.key.compressed(), desk.next_sequence);
        let envelope = Envelope { sender, payload: &message.encode()?, kind: MESSAGE_TYPE, sequence };
        Ok(envelope.encode()?.into())
    }

    /// Whether somebody might be blamed because of the seed.
    fn seed_matters(&self, setup: &Setup) -> bool {
        let Some(leader) = self.assignment().map(|assignment| assignment.leader) else { return true };
        let own = self.own.as_ref().is_some_and(Own::was_sent) && leader == setup.key.address();
        (self.settled.is_none() && !own)
            || self.inbox.messages(leader).any(|kept| matches!(self.seeds.fit(kept), Some(Fit::Misfit(_))))
    }
}

/// Reads back what was about to be sent. `None` if it can't be.
fn restore(sent: Sent) -> Option<Own> {
    let envelope = Envelope::decode(&sent.envelope).ok()?;
    let message = CoordinationMessage::decode(envelope.payload).ok()?;
    let content = Content::Proposed(message.proposed);
    Some(Own { seat: message.seat, content, sent, stage: Stage::Restored })
}
