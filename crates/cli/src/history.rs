//! `coxswain history`, `faults` and `why`: what a node's journal tells, also while the node runs.

use std::{ffi::OsString, fmt, sync::Arc};

use anstyle::AnsiColor;
use coxswain_node::{
    actions::ActionRecord,
    inquiry::{self, Broken, Doing, PossiblySigned, Why},
    left_out::LeftOut,
    troubles::{Trouble, Troubles},
};
use coxswain_protocol::{Entry, Fault, WindowResult};
use coxswain_rules::{KeyHash, units::BlockNumber};
use coxswain_service::{
    configuration::ConfigurationError,
    journal::{OpenError, ReadError, Reader},
};
use serde::Serialize;

use crate::{
    arguments::{FaultsArguments, HistoryArguments, JournalArguments, WhyArguments},
    configure::journal_path,
    page::date,
    report::{EXIT_OK, EXIT_UNDECIDED, Report, Text, strong},
};

/// How many of a wallet's windows `why` shows.
const SHOWN: usize = 5;

/// Why the journal tells nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It can't be read.
    #[error("the journal can't be read")]
    Read(#[from] ReadError),
    /// Nothing can be judged again.
    #[cfg(feature = "proven")]
    #[error(transparent)]
    Replay(#[from] coxswain_node::replay::ReplayError),
}

impl JournalError {
    /// Of which kind the failure is. `None` if it is the caller's.
    pub const fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Configuration(_) => None,
            Self::Open(_) | Self::Read(_) => Some("journal"),
            #[cfg(feature = "proven")]
            Self::Replay(_) => Some("snapshot"),
        }
    }
}

/// Opens the journal that is asked for.
pub(crate) fn open(
    arguments: &JournalArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<Reader, JournalError> {
    Ok(Reader::open(&journal_path(arguments, variables)?)?)
}

fn wallets(reader: &Reader, wallet: Option<KeyHash>) -> Result<Vec<KeyHash>, JournalError> {
    match wallet {
        Some(wallet) => Ok(vec![wallet]),
        None => Ok(reader.wallets().map_err(ReadError::from)?),
    }
}

/// Of each window there are two entries at most.
fn results(
    reader: &Reader,
    wallet: KeyHash,
    last: u32,
) -> Result<(Vec<Arc<WindowResult>>, usize), JournalError> {
    let entries = reader.newest(wallet, last.saturating_mul(2)).map_err(ReadError::from)?;
    let damaged = entries.iter().filter(|entry| entry.is_err()).count();
    let results = entries.into_iter().rev().filter_map(|entry| match entry {
        Ok(Entry::Result(result)) => Some(result),
        Ok(Entry::Sent(_)) | Err(_) => None,
    });
    let newest = usize::try_from(last).unwrap_or(usize::MAX);
    Ok((results.take(newest).collect(), damaged))
}

/// A fault.
#[derive(Clone, Debug, Serialize)]
struct FaultFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<Text<KeyHash>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    culprit: String,
    kind: &'static str,
    says: String,
    signed: bool,
}

impl FaultFields {
    /// One that stands beside its window.
    fn beside(fault: &Fault) -> Self {
        Self {
            wallet: None,
            window: None,
            culprit: fault.culprit.to_string(),
            kind: fault.kind.name(),
            says: fault.kind.to_string(),
            signed: fault.signed.is_some(),
        }
    }

    /// One that stands alone.
    fn alone(fault: &Fault) -> Self {
        let window = fault.window.index();
        Self { wallet: Some(Text(fault.wallet)), window: Some(window), ..Self::beside(fault) }
    }
}

/// A window.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowFields {
    window: u64,
    block: BlockNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    outcome: &'static str,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    faults: Vec<FaultFields>,
    /// What we left out of what we proposed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOutFields>,
}

/// What was left out of an action's proposal.
#[derive(Clone, Debug, Serialize)]
struct LeftOutFields {
    action: &'static str,
    count: usize,
    candidates: Vec<String>,
}

impl From<&LeftOut> for LeftOutFields {
    fn from(left: &LeftOut) -> Self {
        Self { action: left.action.name(), count: left.count, candidates: left.candidates.clone() }
    }
}

impl WindowFields {
    fn new(result: &WindowResult, action: Option<&ActionRecord>, left_out: &[LeftOut]) -> Self {
        let of_window = left_out.iter().filter(|left| left.window == result.window.index());
        Self {
            window: result.window.index(),
            block: result.window.block(),
            leader: result.basis.map(|basis| basis.leader.to_string()),
            outcome: result.agreement.name(),
            says: result.agreement.to_string(),
            action: action.map(|action| action.state().milestone.to_string()),
            faults: result.faults.iter().map(FaultFields::beside).collect(),
            left_out: of_window.map(Into::into).collect(),
        }
    }
}

impl fmt::Display for WindowFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leader = self.leader.as_deref().unwrap_or("unknown");
        write!(f, "window {} at block {}, led by {leader}: {}", self.window, self.block, self.says)?;
        if let Some(action) = &self.action {
            write!(f, "; {action}")?;
        }
        for fault in &self.faults {
            write!(f, "\n    fault of {}: {}", fault.culprit, fault.says)?;
        }
        for left in &self.left_out {
            write!(f, "\n    left out of the {}: {}", left.action, left.count)?;
            for candidate in &left.candidates {
                write!(f, "\n        {candidate}")?;
            }
        }
        Ok(())
    }
}

/// A wallet's windows.
#[derive(Clone, Debug, Serialize)]
struct WalletFields {
    wallet: Text<KeyHash>,
    windows: Vec<WindowFields>,
    damaged: usize,
}

/// What the journal has.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum HistoryReport {
    /// The windows of each wallet.
    Windows(HistoryWindows),
    /// Whether every row holds.
    Verified(HistoryVerified),
}

/// The windows of each wallet.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryWindows {
    wallets: Vec<WalletFields>,
}

/// Whether every row holds.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryVerified {
    rows: u64,
    holds: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<BrokenFields>,
}

#[derive(Clone, Debug, Serialize)]
struct BrokenFields {
    table: &'static str,
    row: i64,
    says: String,
}

impl From<Broken> for BrokenFields {
    fn from(Broken { place, what }: Broken) -> Self {
        Self { table: place.table, row: place.id, says: what }
    }
}

/// Shows what became of wallets' windows, or checks every row.
///
/// # Errors
/// If the journal can't be read.
pub fn history(
    arguments: &HistoryArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<HistoryReport, JournalError> {
    let reader = open(&arguments.journal, variables)?;
    if arguments.verify {
        let (rows, broken) = inquiry::verify(&reader)?;
        let holds = broken.is_none();
        return Ok(HistoryReport::Verified(HistoryVerified { rows, holds, broken: broken.map(Into::into) }));
    }
    let mut all = Vec::new();
    for wallet in wallets(&reader, arguments.wallet)? {
        let (results, mut damaged) = results(&reader, wallet, arguments.last)?;
        let mut actions = Vec::new();
        for action in ActionRecord::newest(&reader, wallet, arguments.last)? {
            match action {
                Ok(action) => actions.push(action),
                Err(_) => damaged += 1,
            }
        }
        let left_out = LeftOut::read(&reader, wallet)?;
        let windows = results.iter().map(|result| {
            let of_window = |action: &&ActionRecord| action.agreed.window == result.window;
            WindowFields::new(result, actions.iter().find(of_window), &left_out)
        });
        all.push(WalletFields { wallet: Text(wallet), windows: windows.collect(), damaged });
    }
    Ok(HistoryReport::Windows(HistoryWindows { wallets: all }))
}

impl Report for HistoryReport {
    /// 0 shown, or all rows hold; 1 one doesn't.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Windows(_) => 0,
            Self::Verified(verified) => u8::from(!verified.holds),
        }
    }
}

impl fmt::Display for HistoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (green, red) = (strong(AnsiColor::Green), strong(AnsiColor::Red));
        match self {
            Self::Windows(HistoryWindows { wallets }) if wallets.is_empty() => {
                f.write_str("no window has ended yet")
            }
            Self::Windows(HistoryWindows { wallets }) => {
                for (number, WalletFields { wallet, windows, damaged }) in wallets.iter().enumerate() {
                    let separator = if number == 0 { "" } else { "\n" };
                    write!(f, "{separator}wallet {}", wallet.0)?;
                    for window in windows {
                        write!(f, "\n  {window}")?;
                    }
                    if *damaged > 0 {
                        write!(f, "\n  {red}{damaged} can't be read{red:#}: coxswain history --verify")?;
                    }
                }
                Ok(())
            }
            Self::Verified(HistoryVerified { rows, broken: None, .. }) => {
                write!(f, "{green}all {rows} rows hold{green:#}")
            }
            Self::Verified(HistoryVerified { broken: Some(broken), .. }) => {
                write!(f, "{red}row {} of {} doesn't hold{red:#}: {}", broken.row, broken.table, broken.says)
            }
        }
    }
}

/// Who did what wrong.
#[derive(Clone, Debug, Serialize)]
pub struct FaultsReport {
    faults: Vec<FaultFields>,
    /// How many rows can't be read: they may tell of more.
    damaged: usize,
}

/// Shows who did what wrong.
///
/// # Errors
/// If the journal can't be read.
pub fn faults(
    arguments: &FaultsArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<FaultsReport, JournalError> {
    let reader = open(&arguments.journal, variables)?;
    let mut report = FaultsReport { faults: Vec::new(), damaged: 0 };
    for wallet in wallets(&reader, arguments.wallet)? {
        let (results, damaged) = results(&reader, wallet, arguments.last)?;
        report.faults.extend(results.iter().flat_map(|result| &result.faults).map(FaultFields::alone));
        report.damaged += damaged;
    }
    Ok(report)
}

impl Report for FaultsReport {
    /// 0 none, 1 some, 3 none among the rows that can be read, and some can't.
    fn exit_code(&self) -> u8 {
        match (self.faults.is_empty(), self.damaged) {
            (true, 0) => EXIT_OK,
            (true, _) => EXIT_UNDECIDED,
            (false, _) => 1,
        }
    }
}

impl fmt::Display for FaultFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(wallet), Some(window)) = (&self.wallet, self.window) {
            write!(f, "window {window} of wallet {}: ", wallet.0)?;
        }
        let proof = if self.signed { " (signed by it)" } else { "" };
        write!(f, "{}: {}{proof}", self.culprit, self.says)
    }
}

impl fmt::Display for FaultsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<_> = self.faults.iter().map(ToString::to_string).collect();
        if lines.is_empty() {
            lines.push("no faults".to_owned());
        }
        if self.damaged > 0 {
            let red = strong(AnsiColor::Red);
            lines.push(format!("{red}{} can't be read{red:#}: coxswain history --verify", self.damaged));
        }
        f.write_str(&lines.join("\n"))
    }
}

/// What a wallet does, and why.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyReport {
    wallet: Text<KeyHash>,
    known: bool,
    state: &'static str,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    busy: Option<BusyFields>,
    /// What may be signed, and is looked for on Bitcoin.
    possibly_signed: Vec<PossiblySignedFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_window: Option<BlockNumber>,
    windows: Vec<WindowFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_fault: Option<FaultFields>,
    heard: Vec<String>,
    silent: Vec<String>,
    missed: Vec<String>,
    /// What is wrong with the node, as it recorded last.
    #[serde(skip_serializing_if = "Option::is_none")]
    troubles: Option<Troubles>,
    damaged: usize,
}

#[derive(Clone, Debug, Serialize)]
struct BusyFields {
    with: String,
    window: u64,
    state: String,
    since: BlockNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<BlockNumber>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PossiblySignedFields {
    action_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    spends: Vec<String>,
}

impl From<&PossiblySigned> for PossiblySignedFields {
    fn from(PossiblySigned { action, window, spends }: &PossiblySigned) -> Self {
        Self {
            action_id: action.to_string(),
            action: window.map(|(_, action)| action.to_string()),
            window: window.map(|(window, _)| window),
            spends: spends.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for PossiblySignedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.action, self.window) {
            (Some(action), Some(window)) => write!(f, "the {action} of window {window}")?,
            _ => write!(f, "action {}", self.action_id)?,
        }
        f.write_str(" may be signed: it is looked for until one of these is spent, six blocks deep")?;
        self.spends.iter().try_for_each(|spent| write!(f, "\n    {spent}"))
    }
}

/// Says why a wallet does what it does.
///
/// # Errors
/// If the journal can't be read.
pub fn why(
    arguments: &WhyArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<WhyReport, JournalError> {
    let reader = open(&arguments.journal, variables)?;
    Ok(WhyReport::new(inquiry::why(&reader, arguments.wallet, SHOWN)?))
}

impl WhyReport {
    fn new(why: Why) -> Self {
        let busy = match &why.doing {
            Doing::Busy(action) => Some(BusyFields {
                with: action.agreed.proposal.action().to_string(),
                window: action.agreed.window.index(),
                state: action.state().milestone.to_string(),
                since: action.state().at,
                until: action.busy_until(),
            }),
            Doing::Nothing { .. } => None,
        };
        let says = match (&why.doing, &busy) {
            (Doing::Nothing { because }, _) if why.is_known => format!("nothing, because {because}"),
            (Doing::Busy(_), Some(BusyFields { with, window, state, since, until })) => {
                let until = match until {
                    Some(until) => format!("until block {until} at the latest"),
                    None => {
                        "until its transaction, or another in its place, is in a block of Bitcoin".to_owned()
                    }
                };
                format!("busy with the {with} of window {window} ({state}), since block {since}, {until}")
            }
            _ => "the journal knows no such wallet".to_owned(),
        };
        let all = |operators: &std::collections::BTreeSet<alloy_primitives::Address>| {
            operators.iter().map(ToString::to_string).collect()
        };
        Self {
            wallet: Text(why.wallet),
            known: why.is_known,
            state: if busy.is_some() { "busy" } else { "idle" },
            says,
            busy,
            possibly_signed: why.possibly_signed.iter().map(Into::into).collect(),
            observing: why.started.as_ref().map(|started| started.observes),
            next_window: why.next_window,
            windows: why.windows.iter().map(|result| WindowFields::new(result, None, &[])).collect(),
            last_fault: why.last_fault.as_ref().map(FaultFields::alone),
            heard: all(&why.heard),
            silent: all(&why.silent),
            missed: all(&why.missed),
            troubles: why.troubles,
            damaged: why.damaged,
        }
    }
}

impl Report for WhyReport {
    /// 0 shown, 1 no such wallet.
    fn exit_code(&self) -> u8 {
        u8::from(!self.known)
    }
}

impl fmt::Display for WhyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.says)?;
        if !self.known {
            return Ok(());
        }
        for possible in &self.possibly_signed {
            write!(f, "\n{possible}")?;
        }
        if let Some(block) = self.next_window {
            write!(f, "\nthe next window begins at block {block}")?;
        }
        if !self.windows.is_empty() {
            write!(f, "\nits last windows:")?;
        }
        for window in &self.windows {
            write!(f, "\n  {window}")?;
        }
        if let Some(fault) = &self.last_fault {
            write!(f, "\nthe last fault: {fault}")?;
        }
        let of = self.heard.len() + self.silent.len();
        if of > 0 {
            write!(f, "\nheard in the last 10 windows: {} of {of} other operators", self.heard.len())?;
        }
        for operator in &self.silent {
            write!(f, "\n  silent: {operator}")?;
        }
        for operator in &self.missed {
            write!(f, "\n  not in the last one: {operator}")?;
        }
        if self.damaged > 0 {
            write!(f, "\n{} rows of it can't be read: coxswain history --verify", self.damaged)?;
        }
        let Some(Troubles { at, all, more }) = &self.troubles else { return Ok(()) };
        let well = if all.is_empty() { " nothing" } else { "" };
        write!(f, "\nwhat was wrong with the node at {}:{well}", date(*at))?;
        for Trouble { name, subject, state, since, says, remedy } in all {
            let subject = subject.iter().map(|subject| format!(" {subject}")).collect::<String>();
            write!(f, "\n  {state}: {name}{subject}, since {}: {says}", date(*since))?;
            if !remedy.is_empty() {
                write!(f, "\n    {remedy}")?;
            }
        }
        if *more > 0 {
            write!(f, "\n  and {more} more: the node's /health has all")?;
        }
        Ok(())
    }
}
