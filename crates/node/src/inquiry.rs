//! What the journal tells of a node's wallets: what keeps one busy, what its windows came to, who was heard.
//!
//! Beside windows and actions stand three kinds of facts: how the node started last, which operators were heard in a window, and
//! what is wrong with the node ([`Troubles`]).

use std::{collections::BTreeSet, fmt, ops::ControlFlow, sync::Arc};

use alloy_primitives::Address;
use bitcoin::OutPoint;
use coxswain_network::Message;
use coxswain_protocol::{
    Agreement, Entry, Fault, FaultKind, Mistake, NoResult, NotSent, WindowResult, wire::OperatorKey,
};
use coxswain_rules::{
    Action, KeyHash,
    units::{BlockNumber, Blocks, UnixTime},
};
use coxswain_service::journal::{Fact, FactKey, Place, ReadError, Reader, Record};
use coxswain_signing::ActionId;
use serde::{Deserialize, Serialize};

use crate::{
    actions::{ActionRecord, End, Milestone, Possible, PossibleError},
    troubles::Troubles,
};

/// How the node started last.
const STARTED: &str = "started";
/// Who was heard in a window.
const HEARD: &str = "heard";
/// In how many windows it is remembered who was heard.
pub(crate) const HEARD_WINDOWS: u64 = 10;

/// How a node started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its operator.
    pub operator: Address,
    /// The program's version.
    pub version: String,
    /// When.
    pub at: UnixTime,
    /// Whether it sends nothing.
    pub observes: bool,
    /// From one window to the next, in blocks.
    pub frequency: Blocks,
    /// Its wallets.
    pub wallets: Vec<StartedWallet>,
}

/// A wallet of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedWallet {
    /// The wallet.
    pub wallet: KeyHash,
    /// The other operators of its group.
    pub others: Vec<Address>,
}

impl Started {
    /// As the journal takes it: in place of the last start.
    pub fn fact(&self) -> Result<Fact, serde_json::Error> {
        let key = FactKey { topic: STARTED, owner: self.operator.into_array(), name: String::new() };
        Ok(Fact { key, body: serde_json::to_string(self)?, replaces: true })
    }

    /// The last start. `None` if there was none, or it can't be read.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn read(reader: &Reader) -> Result<Option<Self>, ReadError> {
        let starts = reader.facts(STARTED, None)?;
        let read = starts.iter().filter_map(|body| serde_json::from_str::<Self>(body).ok());
        Ok(read.max_by_key(|started| started.at))
    }
}

/// Who was heard in a wallet's window: linked to us, or the author of a message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardIn {
    /// The window's index.
    pub window: u64,
    /// The operators.
    pub operators: BTreeSet<Address>,
}

impl HeardIn {
    /// As the journal takes it: in place of that of [`HEARD_WINDOWS`] windows before.
    pub fn fact(&self, wallet: KeyHash) -> Result<Fact, serde_json::Error> {
        let name = (self.window % HEARD_WINDOWS).to_string();
        let key = FactKey { topic: HEARD, owner: wallet.0, name };
        Ok(Fact { key, body: serde_json::to_string(self)?, replaces: true })
    }
}

/// What keeps a wallet, or doesn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is busy with this.
    Busy(ActionRecord),
    /// It does nothing.
    Nothing {
        /// Why.
        because: String,
    },
}

/// A transaction that may be signed by others, whether or not we know a signature of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PossiblySigned {
    /// Whose it is.
    pub action: ActionId,
    /// The window that agreed on the action, and what that is. `None` if the journal doesn't know it any more.
    pub window: Option<(u64, Action)>,
    /// What it spends. It is looked for until one of these is spent deep enough.
    pub spends: Vec<OutPoint>,
}

impl PossiblySigned {
    fn new(possible: &Possible, results: &[Arc<WindowResult>]) -> Result<Self, PossibleError> {
        let of_window =
            |result: &&Arc<WindowResult>| Some(result.window.block()) == possible.coordination_block();
        let window = results.iter().find(of_window).and_then(|result| match &result.agreement {
            Agreement::Action(validated, _) => Some((result.window.index(), validated.proposal().action())),
            Agreement::NoOp | Agreement::None(_) | Agreement::Undecided(_) => None,
        });
        Ok(Self { action: possible.action(), window, spends: possible.spends()? })
    }
}

/// What the journal tells of a wallet.
#[derive(Clone, Debug)]
pub struct Why {
    /// The wallet.
    pub wallet: KeyHash,
    /// Whether the journal has anything of it.
    pub is_known: bool,
    /// What keeps it.
    pub doing: Doing,
    /// What may be signed, and is looked for on Bitcoin.
    pub possibly_signed: Vec<PossiblySigned>,
    /// How the node started last, if it has the wallet.
    pub started: Option<Started>,
    /// The first block of the next window, as far as is known.
    pub next_window: Option<BlockNumber>,
    /// Its last windows, the newest first.
    pub windows: Vec<Arc<WindowResult>>,
    /// The last fault of all of its windows that were looked at.
    pub last_fault: Option<Fault>,
    /// The operators heard in the last windows.
    pub heard: BTreeSet<Address>,
    /// Those that were not.
    pub silent: BTreeSet<Address>,
    /// Those that were heard in them, but not in the very last one.
    pub missed: BTreeSet<Address>,
    /// What is wrong with the node, other wallets' own troubles apart, as it recorded last.
    pub troubles: Option<Troubles>,
    /// How many rows of the wallet can't be read.
    pub damaged: usize,
}

/// How many windows are looked at for the last fault.
const LOOKED_AT: u32 = 1024;

/// What the journal tells of a wallet: its newest windows, at most so many.
///
/// # Errors
/// If it can't be read.
pub fn why(reader: &Reader, wallet: KeyHash, windows: usize) -> Result<Why, ReadError> {
    let entries = reader.newest(wallet, LOOKED_AT)?;
    let mut damaged = entries.iter().filter(|entry| entry.is_err()).count();
    let results = entries.into_iter().rev().filter_map(|entry| match entry {
        Ok(Entry::Result(result)) => Some(result),
        Ok(Entry::Sent(_)) | Err(_) => None,
    });
    let results: Vec<_> = results.collect();
    let mut actions = Vec::new();
    for action in ActionRecord::newest(reader, wallet, 8)? {
        match action {
            Ok(action) => actions.push(action),
            Err(_) => damaged += 1,
        }
    }
    let started = Started::read(reader)?;
    let of_wallet =
        |started: &Started| started.wallets.iter().find(|of| of.wallet == wallet).map(|of| of.others.clone());
    let others = started.as_ref().and_then(of_wallet);
    let all_wallets = started.iter().flat_map(|started| &started.wallets).map(|of| of.wallet);
    let other_wallets: Vec<_> = all_wallets.filter(|other| *other != wallet).collect();
    let troubles = Troubles::read(reader)?.map(|troubles| troubles.without(&other_wallets));
    let subject = Some(wallet.to_string());
    let is_in_trouble =
        troubles.iter().flat_map(|troubles| &troubles.all).any(|trouble| trouble.subject == subject);
    let newest = results.first().map(|result| result.window.index());
    let heard_in = reader.facts(HEARD, Some(wallet.0))?;
    let heard_in = heard_in.iter().filter_map(|body| serde_json::from_str::<HeardIn>(body).ok());
    // A wallet that was left for long has facts of long ago.
    let since = newest.map_or(0, |newest| (newest + 1).saturating_sub(HEARD_WINDOWS));
    let heard_in: Vec<_> = heard_in.filter(|heard| heard.window >= since).collect();
    let last = heard_in.iter().find(|heard| Some(heard.window) == newest).map(|heard| &heard.operators);
    let all: BTreeSet<_> = heard_in.iter().flat_map(|heard| &heard.operators).copied().collect();
    let missed = last.map_or_else(BTreeSet::new, |last| all.difference(last).copied().collect());
    let heard = all;
    let silent = others.iter().flatten().copied().filter(|operator| !heard.contains(operator)).collect();
    let started = others.is_some().then_some(started).flatten();
    let frequency = started.as_ref().map(|started| started.frequency);
    let next_window = results
        .first()
        .zip(frequency)
        .map(|(result, frequency)| result.window.block().saturating_add(frequency));
    // It may be older than the newest: all later ones were refused.
    let busy = ActionRecord::open(reader, wallet)?.into_iter().flatten().find(ActionRecord::is_busy);
    let possible = match Possible::read(reader, wallet) {
        Ok(possible) => possible,
        Err(PossibleError::Read(error)) => return Err(error),
        Err(
            PossibleError::Damaged
            | PossibleError::Apart(_)
            | PossibleError::TooMany
            | PossibleError::Append(_),
        ) => {
            damaged += 1;
            Vec::new()
        }
    };
    let told = possible.iter().map(|possible| PossiblySigned::new(possible, &results));
    let told: Vec<_> = told.collect();
    damaged += told.iter().filter(|told| told.is_err()).count();
    let possibly_signed: Vec<_> = told.into_iter().flatten().collect();
    let observes = started.as_ref().is_some_and(|started| started.observes);
    let doing = match busy {
        Some(action) => Doing::Busy(action),
        None => Doing::Nothing { because: because(observes, results.first(), actions.last()) },
    };
    Ok(Why {
        wallet,
        is_known: !results.is_empty()
            || !actions.is_empty()
            || !possibly_signed.is_empty()
            || others.is_some()
            || is_in_trouble
            || damaged > 0,
        doing,
        possibly_signed,
        next_window,
        last_fault: results.iter().flat_map(|result| &result.faults).next().cloned(),
        windows: results.into_iter().take(windows).collect(),
        started,
        heard,
        silent,
        missed,
        troubles,
        damaged,
    })
}

/// Why a wallet does nothing.
fn because(observes: bool, last: Option<&Arc<WindowResult>>, action: Option<&ActionRecord>) -> String {
    let Some(last) = last else {
        return if observes { "observing; no window has ended yet" } else { "no window has ended yet" }
            .to_owned();
    };
    let window = last.window.index();
    let observing = if observes { "observing: this node signs and sends nothing; " } else { "" };
    let said = match &last.agreement {
        Agreement::NoOp => format!("window {window} agreed that there is nothing to do"),
        Agreement::Action(validated, _) => {
            let name = validated.proposal().action();
            let of_window = action.filter(|action| action.agreed.window.index() == window);
            match of_window.map(|action| &action.state().milestone) {
                Some(Milestone::Over(End::Proven)) => {
                    format!("the {name} of window {window} is done, and proven")
                }
                Some(Milestone::Over(end)) => format!("the {name} of window {window} is over: {end}"),
                Some(Milestone::Confirmed { .. }) => {
                    format!("the {name} of window {window} is confirmed, and waits for its proof")
                }
                Some(_) | None => {
                    format!("the {name} that window {window} agreed on is not carried out by this node")
                }
            }
        }
        Agreement::None(NoResult::NotSent(NotSent::Observing)) => {
            format!("this node led window {window}, and sent nothing")
        }
        Agreement::None(_) | Agreement::Undecided(_) => {
            format!("window {window} agreed on nothing: {}", last.agreement)
        }
    };
    format!("{observing}{said}")
}

/// A row that doesn't hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where it stands.
    pub place: Place,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} of {}: {}", self.place.id, self.place.table, self.what)
    }
}

/// Checks every row: its checksum, the signatures that faults stand on, and the proofs of snapshots. Returns how many were checked,
/// and the first that doesn't hold.
///
/// # Errors
/// If the journal can't be read.
pub fn verify(reader: &Reader) -> Result<(u64, Option<Broken>), ReadError> {
    let mut broken = None;
    let mut snapshots = Vec::new();
    let checked = reader.each(|place, record| {
        let what = match record {
            Err(_) => Some("its checksum doesn't hold, or it can't be read".to_owned()),
            Ok(Record::Entry(Entry::Result(result))) => result.faults.iter().find_map(unfounded),
            Ok(Record::Step(step)) => serde_json::from_str::<crate::actions::Reached>(&step.body)
                .err()
                .map(|error| format!("the step can't be read: {error}")),
            Ok(Record::Snapshot(snapshot)) => {
                snapshots.push((place.clone(), snapshot.wallet, snapshot.window));
                None
            }
            Ok(Record::Entry(Entry::Sent(_)) | Record::Fact { .. } | Record::Code(_)) => None,
        };
        match what {
            Some(what) => {
                broken = Some(Broken { place: place.clone(), what });
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        }
    })?;
    #[cfg(feature = "proven")]
    for (place, wallet, window) in snapshots {
        if broken.is_some() {
            break;
        }
        if let Some(what) = crate::replay::unproven(reader, wallet, window)? {
            broken = Some(Broken { place, what });
        }
    }
    #[cfg(not(feature = "proven"))]
    drop(snapshots);
    Ok((checked, broken))
}

/// What is wrong with the messages that a fault stands on, if anything is.
fn unfounded(fault: &Fault) -> Option<String> {
    let second = match &fault.kind {
        FaultKind::LeaderMistake(Mistake::Equivocation { second }) => Some(second),
        FaultKind::LeaderMistake(_) | FaultKind::LeaderImpersonation { .. } => None,
        // Silence has no signature.
        FaultKind::LeaderIdleness { .. } => return None,
    };
    let Some(first) = &fault.signed else { return Some("a fault has no message that proves it".to_owned()) };
    for signed in [Some(first), second].into_iter().flatten() {
        if !is_signed_by(signed, fault.culprit) {
            return Some(format!("the message that proves a fault is not signed by {}", fault.culprit));
        }
    }
    None
}

/// Whether a network message is signed by this operator.
fn is_signed_by(signed: &[u8], operator: Address) -> bool {
    let Ok(message) = Message::decode(signed) else { return false };
    let Some(author) = message.author().and_then(|key| OperatorKey::from_compressed(key).ok()) else {
        return false;
    };
    author.address() == operator && message.verify(&author, &message.signed_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use coxswain_network::Identity;
    use coxswain_protocol::{Seat, WindowParameters};
    use coxswain_service::journal::{Journal, Settings};

    use super::*;

    const WALLET: KeyHash = KeyHash([7; 20]);

    fn result(agreement: Agreement, faults: Vec<Fault>) -> WindowResult {
        let window = WindowParameters::LOCAL.latest_window(BlockNumber(600)).unwrap();
        WindowResult {
            wallet: WALLET,
            window,
            basis: None,
            agreement,
            faults,
            notes: Vec::new(),
            alarms: Vec::new(),
        }
    }

    fn journal(name: &str) -> (Journal, PathBuf) {
        let folder = std::env::temp_dir().join(format!("coxswain-inquiry-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        (Journal::open(&Settings::at(folder.join("journal.db"))).unwrap(), folder)
    }

    fn started(observes: bool, others: Vec<Address>) -> Started {
        Started {
            operator: Address::repeat_byte(1),
            version: "1".to_owned(),
            at: UnixTime(9),
            observes,
            frequency: WindowParameters::LOCAL.frequency,
            wallets: vec![StartedWallet { wallet: WALLET, others }],
        }
    }

    #[tokio::test]
    async fn a_node_that_observes_says_so_and_who_was_silent() {
        let (journal, folder) = journal("observes");
        assert!(!why(journal.reader(), WALLET, 5).unwrap().is_known);
        let (heard, silent) = (Address::repeat_byte(2), Address::repeat_byte(3));
        journal.fact(started(true, vec![heard, silent]).fact().unwrap()).await.unwrap();
        let led = result(Agreement::None(NoResult::NotSent(NotSent::Observing)), Vec::new());
        let window = led.window;
        journal.append(WALLET, Entry::Result(Arc::new(led))).await.unwrap();
        for (index, operators) in
            [(window.index(), vec![heard]), (window.index() - HEARD_WINDOWS, vec![silent])]
        {
            let heard = HeardIn { window: index, operators: operators.into_iter().collect() };
            journal.fact(heard.fact(WALLET).unwrap()).await.unwrap();
        }
        let why = why(journal.reader(), WALLET, 5).unwrap();
        let Doing::Nothing { because } = &why.doing else { panic!("{why:#?}") };
        assert!(because.starts_with("observing") && because.contains("sent nothing"), "{because}");
        assert_eq!(why.next_window, Some(window.block().saturating_add(WindowParameters::LOCAL.frequency)));
        // The older takes the newer one's place: of ten windows each, the last that was written counts.
        assert_eq!((why.heard.len(), why.silent.len()), (0, 2));
        let newer = HeardIn { window: window.index(), operators: [heard].into() };
        journal.fact(newer.fact(WALLET).unwrap()).await.unwrap();
        let why = super::why(journal.reader(), WALLET, 5).unwrap();
        assert_eq!((why.heard, why.silent, why.missed), ([heard].into(), [silent].into(), [].into()));
        let before = HeardIn { window: window.index() - 1, operators: [heard, silent].into() };
        journal.fact(before.fact(WALLET).unwrap()).await.unwrap();
        let why = super::why(journal.reader(), WALLET, 5).unwrap();
        assert_eq!((why.silent, why.missed), ([].into(), [silent].into()), "not in the last one");
        journal.close();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_fault_whose_message_its_culprit_has_not_signed_is_named() {
        let (liar, other) =
            (Identity::from_secret([1; 32]).unwrap(), Identity::from_secret([2; 32]).unwrap());
        let signed: Arc<[u8]> = Message::sign(&liar, 7, b"topic", b"data").into();
        let fault = |culprit: &Identity| Fault {
            wallet: WALLET,
            window: WindowParameters::LOCAL.latest_window(BlockNumber(600)).unwrap(),
            culprit: culprit.operator().address(),
            kind: FaultKind::LeaderImpersonation { seat: Seat::try_from(1).unwrap() },
            signed: Some(Arc::clone(&signed)),
        };
        assert_eq!(unfounded(&fault(&liar)), None);
        assert!(unfounded(&fault(&other)).is_some());
        assert!(unfounded(&Fault { signed: None, ..fault(&liar) }).is_some());
        let mut changed = signed.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert!(unfounded(&Fault { signed: Some(changed.into()), ..fault(&liar) }).is_some());

        let (journal, folder) = journal("faults");
        journal
            .append(WALLET, Entry::Result(Arc::new(result(Agreement::NoOp, vec![fault(&liar)]))))
            .await
            .unwrap();
        assert_eq!(verify(journal.reader()).unwrap(), (1, None));
        let other_wallet = KeyHash([8; 20]);
        let framed = WindowResult { wallet: other_wallet, ..result(Agreement::NoOp, vec![fault(&other)]) };
        journal.append(other_wallet, Entry::Result(Arc::new(framed))).await.unwrap();
        let (_, broken) = verify(journal.reader()).unwrap();
        assert_eq!(broken.map(|broken| broken.place), Some(Place { table: "entries", id: 2 }));
        journal.close();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
