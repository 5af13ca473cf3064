//! What must hold in every state, and what must be seen in some.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use coxswain_protocol::{
    Agreement, Doubt, Entry, EntryId, Fault, FaultKind, Mistake, NoResult, NotSent, Note, Undecided,
    WindowResult,
};
use coxswain_rules::Proposal;
use stateright::{Expectation, Property};

use crate::model::{
    cast::{Cast, HONEST, HOSTILE, WINDOWS},
    game::{Game, State},
};

/// What went wrong in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None = 0,
    Lost = 1,
    Held = 2,
    Repeated = 4,
    Silence = 8,
    FailedWrite = 16,
    Crash = 32,
    /// While the window ran.
    Reorganised = 64,
    /// The hostile member said something.
    Spoken = 128,
}

/// What has been seen so far, kept because it is told when it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    troubles: [u8; WINDOWS],
    /// How many messages were lost, held up, or came to a member that hadn't seen the window's first block. At most two
    /// are counted.
    missed: [u8; WINDOWS],
    broken: u8,
    /// What the last step showed. No part of the state's hash, or else states would differ by how they were reached.
    seen: u32,
}

impl Hash for Marks {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.troubles, self.missed, self.broken).hash(state);
    }
}

impl Marks {
    pub(crate) const fn trouble(&mut self, window: usize, trouble: Trouble) {
        self.troubles[window] |= trouble as u8;
    }

    pub(crate) const fn forget_sights(&mut self) {
        self.seen = 0;
    }

    pub(crate) fn miss(&mut self, window: usize) {
        self.missed[window] = (self.missed[window] + 1).min(2);
    }

    fn had(&self, window: usize, troubles: &[Trouble]) -> bool {
        troubles.iter().any(|trouble| self.troubles[window] & *trouble as u8 != 0)
    }

    const fn break_rule(&mut self, rule: Rule) {
        self.broken |= 1 << rule as u8;
    }

    const fn see(&mut self, sight: Sight) {
        self.seen |= 1 << sight as u32;
    }
}

/// What must always hold. That a fair channel brings a result is told from the last state.
#[derive(Clone, Copy)]
enum Rule {
    Agreement,
    OnceOnly,
    NoWrongBlame,
}

/// What must be seen in some state.
#[derive(Clone, Copy)]
enum Sight {
    Agreed,
    Impersonation,
    Equivocation,
    OffChecklist,
    NoSuchAction,
    Undecodable,
    Refused,
    NotUnderstood,
    Idle,
    Late,
    Reseeded,
    OtherSeed,
    Unproven,
    Unreachable,
    NotHeard,
    SentAgain,
    RecordedNotSent,
    LossSurvived,
    RepeatSurvived,
    SilenceSurvived,
    NotJournaled,
    Reordered,
    ReadLate,
}

pub(crate) fn properties() -> Vec<Property<Game>> {
    macro_rules! always {
        ($rule:ident, $name:literal) => {
            Property::always($name, |_, state: &State| state.marks.broken & (1 << Rule::$rule as u8) == 0)
        };
    }
    macro_rules! sometimes {
        ($sight:ident, $name:literal) => {
            Property::sometimes($name, |_, state: &State| state.marks.seen & (1 << Sight::$sight as u32) != 0)
        };
    }
    vec![
        always!(Agreement, "agreement"),
        always!(OnceOnly, "once only"),
        always!(NoWrongBlame, "no wrong blame"),
        Property::always("a result", |game: &Game, state: &State| {
            !state.is_over() || has_results(&game.cast, state)
        }),
        sometimes!(Agreed, "an honest leader's proposal is agreed on"),
        sometimes!(Impersonation, "an impersonation is blamed"),
        sometimes!(Equivocation, "an equivocation is blamed"),
        sometimes!(OffChecklist, "a proposal off the checklist is blamed"),
        sometimes!(NoSuchAction, "an action that nobody knows is blamed"),
        sometimes!(Undecodable, "an undecodable proposal is blamed"),
        sometimes!(Refused, "a proposal that the contract refuses is blamed"),
        sometimes!(NotUnderstood, "a reserved action leaves the window undecided"),
        sometimes!(Idle, "a silent leader is blamed"),
        sometimes!(Late, "a message comes late"),
        sometimes!(Reseeded, "a window is agreed on after its hash changed"),
        sometimes!(OtherSeed, "a message fits an earlier hash"),
        sometimes!(Unproven, "idleness is unproven, since the hash changed"),
        sometimes!(ReadLate, "a message is not blamed, since the hash was read late"),
        sometimes!(Unreachable, "a leader that crashed is unreachable"),
        sometimes!(NotHeard, "a member that crashed has not heard"),
        sometimes!(SentAgain, "a leader that crashed sends its message again"),
        sometimes!(RecordedNotSent, "a leader crashes between recording and sending"),
        sometimes!(LossSurvived, "a window is agreed on though a message was lost"),
        sometimes!(RepeatSurvived, "a window is agreed on though a message came twice"),
        sometimes!(SilenceSurvived, "a window is agreed on though a hash could not be read"),
        sometimes!(NotJournaled, "a leader is silent, since its journal failed"),
        sometimes!(Reordered, "two members hear two messages in different order"),
    ]
}

/// What must be seen in games in which so many things go wrong.
pub(crate) fn sights(acts: u8) -> impl Iterator<Item = &'static str> {
    const TAKE_TWO: [&str; 5] = [
        "a window is agreed on after its hash changed",
        "a message fits an earlier hash",
        "an equivocation is blamed",
        "two members hear two messages in different order",
        "a message is not blamed, since the hash was read late",
    ];
    let sometimes = properties().into_iter().filter(|it| it.expectation == Expectation::Sometimes);
    sometimes.map(|property| property.name).filter(move |name| acts > 1 || !TAKE_TWO.contains(name))
}

/// What a member agreed to. The inner `None` is a no-op.
fn agreed(result: &WindowResult) -> Option<Option<&Proposal>> {
    match &result.agreement {
        Agreement::NoOp => Some(None),
        Agreement::Action(validated, _) => Some(Some(validated.proposal())),
        Agreement::None(_) | Agreement::Undecided(_) => None,
    }
}

fn results(state: &State, member: usize) -> impl Iterator<Item = &Arc<WindowResult>> {
    state.players[member].journal.iter().filter_map(|entry| match entry {
        Entry::Result(result) => Some(result),
        Entry::Sent(_) => None,
    })
}

/// A member sends something. `before` is what it sent before in the window.
pub(crate) fn on_broadcast(marks: &mut Marks, before: Option<&Arc<[u8]>>, envelope: &Arc<[u8]>, life: u64) {
    match before {
        Some(before) if before != envelope => marks.break_rule(Rule::OnceOnly),
        Some(_) if life > 1 => marks.see(Sight::SentAgain),
        _ => {}
    }
}

/// A member has a window's result dispatched, for the so-manieth time.
pub(crate) const fn on_finish(marks: &mut Marks, times: u8) {
    if times > 1 {
        marks.break_rule(Rule::OnceOnly);
    }
}

/// A member crashes right after an entry was written, before it heard of that.
pub(crate) fn on_crash_with_entry(marks: &mut Marks, writing: &[(EntryId, Entry)]) {
    if writing.iter().any(|(_, entry)| matches!(entry, Entry::Sent(_))) {
        marks.see(Sight::RecordedNotSent);
    }
}

/// A member's journal holds one more entry.
pub(crate) fn on_entry(state: &mut State, cast: &Cast, member: usize) {
    let mut marks = state.marks;
    if let Some(Entry::Result(result)) = state.players[member].journal.last() {
        check_result(state, cast, member, result, &mut marks);
        see(state, cast, member, result, &mut marks);
    }
    state.marks = marks;
}

fn check_result(state: &State, cast: &Cast, member: usize, result: &WindowResult, marks: &mut Marks) {
    let window = cast.number(result.window);
    let of_window = |other: &&Arc<WindowResult>| other.window == result.window;
    if results(state, member).filter(of_window).any(|other| **other != *result) {
        marks.break_rule(Rule::OnceOnly);
    }

    let leader = result.basis.map(|basis| basis.leader);
    let by_hostile = leader == Some(cast.key(HOSTILE).address());
    let unfair = marks
        .had(window, &[Trouble::Lost, Trouble::Held, Trouble::Crash, Trouble::Silence, Trouble::FailedWrite]);
    for other in results(state, 1 - member).filter(of_window) {
        let same_seed = result.basis.map(|it| it.safe_block_hash) == other.basis.map(|it| it.safe_block_hash);
        let differ = matches!((agreed(result), agreed(other)), (Some(one), Some(two)) if one != two);
        // What a hostile leader sends to some only is stopped when it is signed.
        if differ && same_seed && !(by_hostile && unfair) {
            marks.break_rule(Rule::Agreement);
        }
    }

    if result.faults.iter().any(|fault| is_wrong(state, cast, marks, window, leader, fault)) {
        marks.break_rule(Rule::NoWrongBlame);
    }
}

/// Whether a fault blames somebody for what it did not do.
fn is_wrong(
    state: &State,
    cast: &Cast,
    marks: &Marks,
    window: usize,
    leader: Option<alloy_primitives::Address>,
    fault: &Fault,
) -> bool {
    let honest = (0..HONEST).find(|member| cast.key(*member).address() == fault.culprit);
    match (&fault.kind, honest) {
        // A leader that sent nothing is idle, whatever kept it from it.
        (FaultKind::LeaderIdleness { .. }, Some(culprit)) => {
            // A leader sends twice at least, unless it crashes in between.
            let sendings = if marks.had(window, &[Trouble::Crash]) { 1 } else { 2 };
            let heard = state.players[culprit].sent[window].is_some() && marks.missed[window] < sendings;
            heard || leader != Some(fault.culprit)
        }
        (_, Some(_)) => true,
        (FaultKind::LeaderIdleness { .. }, None) => leader != Some(fault.culprit),
        (_, None) => !marks.had(window, &[Trouble::Spoken]),
    }
}

/// Where the leader is honest and the channel fair, all agree on what it proposes.
fn has_results(cast: &Cast, state: &State) -> bool {
    (0..WINDOWS).all(|window| {
        let leader = cast.leader(window, state.reorganised == Some(window));
        let unfair = state.marks.had(
            window,
            &[Trouble::Lost, Trouble::Held, Trouble::FailedWrite, Trouble::Crash, Trouble::Reorganised],
        );
        if unfair || leader == HOSTILE {
            return true;
        }
        let proposal = cast.proposal(window, leader);
        (0..HONEST).all(|member| {
            let mut of_window = results(state, member).filter(|result| cast.number(result.window) == window);
            let finished = state.players[member].finished[window] == 1;
            finished && of_window.next().is_some_and(|result| agreed(result) == Some(Some(&*proposal)))
        })
    })
}

fn see(state: &State, cast: &Cast, member: usize, result: &WindowResult, marks: &mut Marks) {
    let window = cast.number(result.window);
    let leader = result.basis.map(|basis| basis.leader);
    let honest_leader = leader.is_some_and(|leader| leader != cast.key(HOSTILE).address());
    for fault in &result.faults {
        match &fault.kind {
            FaultKind::LeaderImpersonation { .. } => marks.see(Sight::Impersonation),
            FaultKind::LeaderIdleness { .. } => {
                if fault.culprit == cast.key(HOSTILE).address() {
                    marks.see(Sight::Idle);
                }
            }
            FaultKind::LeaderMistake(mistake) => match mistake {
                Mistake::NotOnChecklist(_) => marks.see(Sight::OffChecklist),
                Mistake::NoSuchAction(_) => marks.see(Sight::NoSuchAction),
                Mistake::Undecodable(_) => marks.see(Sight::Undecodable),
                Mistake::Rejected { .. } => marks.see(Sight::Refused),
                Mistake::Equivocation { second } => {
                    marks.see(Sight::Equivocation);
                    let others = results(state, 1 - member).flat_map(|result| &result.faults);
                    let reordered = others.into_iter().any(|other| {
                        let theirs = match &other.kind {
                            FaultKind::LeaderMistake(Mistake::Equivocation { second }) => Some(second),
                            _ => None,
                        };
                        theirs.is_some()
                            && theirs == fault.signed.as_ref()
                            && other.signed.as_ref() == Some(second)
                    });
                    if reordered {
                        marks.see(Sight::Reordered);
                    }
                }
            },
        }
    }
    let mut reseeded = false;
    for note in &result.notes {
        match note {
            Note::Reseeded { .. } => reseeded = true,
            Note::OtherSeed { .. } => marks.see(Sight::OtherSeed),
            Note::Unproven { fault, doubt: Doubt::Reseeded | Doubt::OtherSeed } => {
                if matches!(fault.kind, FaultKind::LeaderIdleness { .. }) {
                    marks.see(Sight::Unproven);
                }
            }
            Note::Unproven { doubt: Doubt::ReadLate, .. } => marks.see(Sight::ReadLate),
            _ => {}
        }
    }
    match &result.agreement {
        Agreement::Action(..) if honest_leader && leader != Some(cast.key(member).address()) => {
            marks.see(Sight::Agreed);
            for (trouble, sight) in [
                (Trouble::Lost, Sight::LossSurvived),
                (Trouble::Repeated, Sight::RepeatSurvived),
                (Trouble::Silence, Sight::SilenceSurvived),
            ] {
                if marks.had(window, &[trouble]) {
                    marks.see(sight);
                }
            }
            if reseeded {
                marks.see(Sight::Reseeded);
            }
        }
        Agreement::None(NoResult::Late) => marks.see(Sight::Late),
        Agreement::None(NoResult::LeaderUnreachable) => marks.see(Sight::Unreachable),
        Agreement::None(NoResult::NotHeard) => marks.see(Sight::NotHeard),
        Agreement::None(NoResult::NotSent(NotSent::NotJournaled)) => marks.see(Sight::NotJournaled),
        Agreement::Undecided(Undecided::NotUnderstood) => marks.see(Sight::NotUnderstood),
        _ => {}
    }
}
