//! What is told of a wallet and of each window: a line of JSON, or a paragraph for people.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::Address;
use anstyle::AnsiColor;
use bitcoin::Txid;
use coxswain_ethereum::Block;
use coxswain_protocol::SigningGroup;
use coxswain_rules::{
    Action, KeyHash, RuleId,
    units::{BlockNumber, Height, UnixTime},
};
use serde::{Serialize, Serializer};

use super::{
    outcome::{Deed, Due, Outcome, Span, Stage, Trace},
    window::{Excluded, Held, History, Opened},
};
use crate::{
    page,
    report::{Report, Text, strong},
};

/// What leaves no trace.
const NO_TRACE: &str = "A no-op, an idle leader, a heartbeat and a failed signing leave no trace: from the chains alone they can't be told apart.";

/// One thing that is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// What is watched.
    Wallet(Start),
    /// What a window came to.
    Window(Box<WindowLine>),
    /// What to bear in mind, when all is told.
    End(Notice),
}

/// What is watched.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    wallet: Text<KeyHash>,
    network: &'static str,
    operators: usize,
    since: u64,
    until: u64,
    block: BlockNumber,
}

/// How much could be told.
#[derive(Clone, Debug, Default)]
pub struct Notice {
    pub(super) windows: u64,
    /// Of how many it is not known what they came to.
    pub(super) undecided: u64,
    /// Of how many nobody has the state.
    pub(super) inferred: u64,
    /// Why.
    pub(super) why: Option<String>,
}

/// What a window came to.
#[derive(Clone, Debug)]
pub struct WindowLine {
    stage: Stage,
    time: UnixTime,
    leader: Address,
    seat: u8,
    history: History,
    possible: Vec<(Action, usize, Option<String>)>,
    excluded: Vec<Excluded>,
    outcome: Outcome,
}

impl Line {
    pub(super) fn start(
        wallet: KeyHash,
        network: &'static str,
        group: &SigningGroup,
        stages: &[Stage],
        block: Block,
    ) -> Self {
        Self::Wallet(Start {
            wallet: Text(wallet),
            network,
            operators: group.operators().len(),
            since: stages.first().map_or(0, |stage| stage.index),
            until: stages.last().map_or(0, |stage| stage.index),
            block: block.number,
        })
    }

    pub(super) fn window(opened: &Opened, held: Held, outcome: Outcome) -> Self {
        let Held { history, possible, excluded } = held;
        let possible = possible.into_iter().map(|of| (of.action, of.items.len(), of.open)).collect();
        let (time, stage) = (opened.named.header.timestamp(), opened.stage.clone());
        let (leader, seat) = (opened.leader, opened.seat);
        Self::Window(Box::new(WindowLine { stage, time, leader, seat, history, possible, excluded, outcome }))
    }
}

impl Report for Line {}

impl Serialize for Notice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            windows: u64,
            undecided: u64,
            without_past_state: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            why: Option<&'a str>,
            notice: &'static str,
        }
        let Self { windows, undecided, inferred, why } = self;
        let fields = Fields {
            windows: *windows,
            undecided: *undecided,
            without_past_state: *inferred,
            why: why.as_deref(),
            notice: NO_TRACE,
        };
        fields.serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TraceFields {
    deed: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<Txid>,
    items: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_window: Option<u64>,
    or_before: bool,
}

impl From<&Trace> for TraceFields {
    fn from(trace: &Trace) -> Self {
        let Trace { deed, txid, items, height, recorded, span } = trace;
        Self {
            deed: deed.name(),
            transaction: *txid,
            items: *items,
            height: *height,
            recorded: recorded.map(|block| block.0),
            first_window: span.map(|span| span.first).filter(|_| !span.is_some_and(|span| span.or_before)),
            last_window: span.map(|span| span.last),
            or_before: span.is_none_or(|span| span.or_before),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DueFields {
    action: &'static str,
    items: usize,
    since: u64,
    all_since: bool,
    or_before: bool,
}

impl From<&Due> for DueFields {
    fn from(due: &Due) -> Self {
        let Due { action, items, since, all_since, or_before } = *due;
        Self { action: action.name(), items, since, all_since, or_before }
    }
}

#[derive(Serialize)]
struct PossibleFields<'a> {
    action: &'static str,
    items: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<&'a str>,
}

#[derive(Serialize)]
struct ExcludedFields<'a> {
    action: &'static str,
    item: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    reason: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowFields<'a> {
    window: u64,
    block: BlockNumber,
    time: UnixTime,
    leader: Text<Address>,
    seat: u8,
    checklist: Vec<&'static str>,
    /// How far the Bridge's state of then is to be believed; null if nobody has it.
    past_state: Option<&'static str>,
    possible: Vec<PossibleFields<'a>>,
    excluded: Vec<ExcludedFields<'a>>,
    outcome: &'static str,
    traces: Vec<TraceFields>,
    due: Vec<DueFields>,
    /// The block up to which something may follow still.
    #[serde(skip_serializing_if = "Option::is_none")]
    may_follow_until: Option<u64>,
    /// Why it can't be told whether there was more.
    open: &'a [String],
}

impl Serialize for WindowLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut traces, mut dues, mut until, mut why): (Vec<_>, Vec<_>, _, &[String]) =
            (Vec::new(), Vec::new(), None, &[]);
        match &self.outcome {
            Outcome::Running | Outcome::NothingDue => {}
            Outcome::Followed(of) | Outcome::MaybeFollowed(of) => {
                traces = of.iter().map(TraceFields::from).collect();
            }
            Outcome::Busy(trace) => traces = vec![trace.into()],
            Outcome::NothingFollowed { due, until: block, open } => {
                (dues, until, why) =
                    (due.iter().map(DueFields::from).collect(), block.map(|block| block.0), open);
            }
            Outcome::Undecided(open) => why = open,
        }
        let possible = self.possible.iter().map(|(action, items, open)| PossibleFields {
            action: action.name(),
            items: *items,
            open: open.as_deref(),
        });
        let excluded = self.excluded.iter().map(|Excluded { action, item, rule, reason }| ExcludedFields {
            action: action.name(),
            item,
            rule: rule.map(RuleId::id),
            reason,
        });
        let fields = WindowFields {
            window: self.stage.index,
            block: self.stage.block,
            time: self.time,
            leader: Text(self.leader),
            seat: self.seat,
            checklist: self.stage.checklist.iter().map(|action| action.name()).collect(),
            past_state: match &self.history {
                History::Read(assurance) => Some(assurance.name()),
                History::Inferred(_) => None,
            },
            possible: possible.collect(),
            excluded: excluded.collect(),
            outcome: self.outcome.name(),
            traces,
            due: dues,
            may_follow_until: until,
            open: why,
        };
        fields.serialize(serializer)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wallet(start) => {
                let Start { wallet, network, operators, since, until, block } = start;
                write!(
                    f,
                    "wallet {} of {operators} operators on network {network}, windows {since} to {until}, as of block {block}",
                    wallet.0
                )
            }
            Self::Window(line) => line.fmt(f),
            Self::End(notice) => notice.fmt(f),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { windows, undecided, inferred, why } = self;
        write!(f, "\n{NO_TRACE}")?;
        if *undecided > 0 {
            write!(f, "\nOf {undecided} of {windows} windows it can't be told what they came to.")?;
        }
        if let Some(why) = why {
            write!(
                f,
                "\nThe Bridge's state of then is known for all but {inferred} windows; for those, an archive node is needed, and \
                 what is said of them follows from events and today's state ({why})."
            )?;
        }
        Ok(())
    }
}

/// So many of what an action is about, as they wait.
fn waiting(due: &Due) -> String {
    let count = due.items;
    let s = if count == 1 { "" } else { "s" };
    let was = if count == 1 { "was" } else { "were" };
    match due.action {
        Action::Redemption => format!("{count} redemption{s} {was} payable"),
        Action::DepositSweep => format!("{count} deposit{s} {was} to be swept"),
        Action::MovedFundsSweep => format!("{count} output{s} of moved funds {was} to be swept"),
        Action::MovingFunds => "its funds were to be moved".to_owned(),
        Action::Heartbeat => "a heartbeat was allowed".to_owned(),
    }
}

fn since(due: &Due) -> String {
    let Due { since, all_since, or_before, .. } = due;
    let first = if *all_since { "" } else { ", the first of them" };
    let before = if *or_before { " or before" } else { "" };
    format!("{first} since window {since}{before}")
}

fn write_trace(f: &mut fmt::Formatter<'_>, trace: &Trace) -> fmt::Result {
    let Trace { deed, txid, items, height, recorded, .. } = trace;
    match deed {
        Deed::Action(Action::DepositSweep) => write!(f, "a sweep of {items} deposits")?,
        Deed::Action(Action::Redemption) => write!(f, "a redemption of {items} requests")?,
        Deed::Action(Action::MovingFunds) => write!(f, "its funds were moved to {items} wallets")?,
        Deed::Action(Action::MovedFundsSweep) => write!(f, "a sweep of moved funds")?,
        Deed::Action(Action::Heartbeat) => write!(f, "a heartbeat")?,
        Deed::Commitment => write!(f, "a commitment to {items} target wallets")?,
        Deed::Unknown => write!(f, "a transaction that is no action's")?,
    }
    if let Some(txid) = txid {
        write!(f, ", {txid}")?;
        match height {
            Some(height) => write!(f, ", in Bitcoin block {height}")?,
            None => write!(f, ", in no block yet")?,
        }
    }
    match recorded {
        Some(block) => write!(f, ", on the Bridge since block {block}"),
        None => write!(f, ", not proven"),
    }
}

impl fmt::Display for WindowLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stage { index, block, checklist, .. } = &self.stage;
        let (green, yellow, red) =
            (strong(AnsiColor::Green), strong(AnsiColor::Yellow), strong(AnsiColor::Red));
        write!(f, "\nwindow {index}, block {block}, {}", page::date(self.time))?;
        write!(f, "\n  leader     {}, through seat {}", self.leader, self.seat)?;
        let checklist: Vec<_> = checklist.iter().map(|action| action.name()).collect();
        write!(f, "\n  checklist  {}", checklist.join(", "))?;
        let mut left_out: BTreeMap<_, usize> = BTreeMap::new();
        for Excluded { action, rule, reason, .. } in &self.excluded {
            let why =
                rule.map_or_else(|| reason.clone(), |rule| format!("{}: {}", rule.id(), rule.statement()));
            let count = left_out.entry((action.name(), why)).or_default();
            *count = count.saturating_add(1);
        }
        for ((action, why), count) in left_out {
            write!(f, "\n  left out   {count} of {action}: {why}")?;
        }
        match &self.outcome {
            Outcome::Running => write!(f, "\n  {yellow}RUNNING{yellow:#}    it isn't over")?,
            Outcome::Followed(traces) => {
                for trace in traces {
                    write!(f, "\n  {green}FOLLOWED{green:#}   ")?;
                    write_trace(f, trace)?;
                }
            }
            Outcome::MaybeFollowed(traces) => {
                for trace in traces {
                    write!(f, "\n  {yellow}MAYBE{yellow:#}      ")?;
                    write_trace(f, trace)?;
                    if let Some(Span { first, last, or_before }) = trace.span {
                        let before = if or_before { " or an earlier one" } else { "" };
                        let of =
                            if first == last { format!("{first}") } else { format!("{first} to {last}") };
                        write!(f, ": of window {of}{before}")?;
                    }
                }
            }
            Outcome::Busy(trace) => {
                write!(f, "\n  {yellow}BUSY{yellow:#}       nothing can follow before this is proven: ")?;
                write_trace(f, trace)?;
            }
            Outcome::NothingFollowed { due, until, open } => {
                let verb = if until.is_some() { "followed yet" } else { "followed" };
                for (number, due) in due.iter().enumerate() {
                    let lead =
                        if number == 0 { format!("nothing {verb} though") } else { "and though".to_owned() };
                    let heading = if number == 0 { format!("{red}NOTHING{red:#}") } else { " ".repeat(7) };
                    write!(f, "\n  {heading}    {lead} {}{}", waiting(due), since(due))?;
                }
                if let Some(until) = until {
                    write!(f, "; it may until block {until}")?;
                }
                for open in open {
                    write!(f, "\n             and more may have been possible: {open}")?;
                }
            }
            Outcome::Undecided(why) => {
                write!(f, "\n  {yellow}UNDECIDED{yellow:#}  nothing followed; whether anything could have:")?;
                for why in why {
                    write!(f, "\n             {why}")?;
                }
            }
            Outcome::NothingDue => write!(f, "\n  NOTHING    followed, and nothing was due")?,
        }
        if let History::Inferred(_) = &self.history {
            write!(
                f,
                "\n  history    no server has the Bridge's state of then: told from events and today's state"
            )?;
        }
        if self.stage.checklist.contains(&Action::Heartbeat) {
            write!(f, "\n  heartbeat  on the checklist: it leaves no trace")?;
        }
        Ok(())
    }
}
