//! What the node's page shows: the window clock, each wallet's last windows and what it is busy with, operators, and all entries
//! of its health. While somebody looks, it is put together at each new block, on the side.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use alloy_primitives::Address;
use coxswain_ethereum::{Block, SnapshotKeys, SnapshotReader, heads::Standing};
use coxswain_network::Network;
use coxswain_protocol::{Agreement, Alarm, Entry, WindowParameters, WindowResult};
use coxswain_rules::{
    KeyHash, WalletState,
    units::{BlockNumber, Blocks, UnixTime},
};
use coxswain_service::{
    journal::Journal,
    status::{self, Health},
    tasks::{Failure, Stop},
};
use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::{sync::watch, task::spawn_blocking, time::timeout};
use tracing::debug;

use crate::{actions::ActionRecord, clock::now, watch::Others};

/// How many windows of each wallet are shown.
const WINDOWS: usize = 50;
/// How many entries of the journal those are at most: two a window.
const ENTRIES: u32 = 100;
/// The same number of actions.
const ACTIONS: u32 = 50;
/// After how many blocks the wallets' states are read anew.
const STATES: Blocks = Blocks(25);
/// How long that may take.
const STATES_TAKE: Duration = Duration::from_secs(10);
/// How long nothing may come of the chain before the page is put together all the same, as health changes without it.
const UNCHANGED: Duration = Duration::from_secs(10);
/// How long it takes to show a change at least, so that a fast chain doesn't keep the journal busy.
const PAUSE: Duration = Duration::from_millis(500);

/// What the page is put together from.
#[derive(Debug)]
pub(crate) struct Shows {
    pub(crate) version: &'static str,
    pub(crate) operator: Address,
    pub(crate) chain_id: u64,
    pub(crate) named: Option<&'static str>,
    pub(crate) observes: bool,
    pub(crate) parameters: WindowParameters,
    pub(crate) wallets: Vec<KeyHash>,
    pub(crate) others: Others,
    pub(crate) network: Network,
    pub(crate) reader: SnapshotReader,
    pub(crate) health: Health,
    pub(crate) journal: Weak<Journal>,
}

/// All that is shown.
#[derive(Debug, Serialize)]
struct Document {
    version: &'static str,
    operator: String,
    chain: u64,
    network: Option<&'static str>,
    observes: bool,
    time: UnixTime,
    block: Option<BlockNumber>,
    window: Option<Value>,
    assurance: Option<String>,
    health: Vec<status::Entry>,
    wallets: Vec<Box<RawValue>>,
    operators: Vec<Value>,
}

impl Shows {
    /// Shows it at each block while somebody looks, until it is to stop. Otherwise nothing is read, and nothing kept.
    pub(crate) async fn run(
        self,
        shown: watch::Sender<Option<Arc<RawValue>>>,
        mut looks: watch::Receiver<usize>,
        mut heads: watch::Receiver<Option<Standing>>,
        mut stop: Stop,
    ) -> Result<(), Failure> {
        let (mut states, mut read_at) = (BTreeMap::new(), None);
        let show = async {
            loop {
                if *looks.borrow_and_update() == 0 {
                    shown.send_replace(None);
                    if looks.wait_for(|count| *count > 0).await.is_err() {
                        return;
                    }
                }
                let standing = heads.borrow_and_update().clone();
                if let Some(standing) = &standing
                    && read_at.is_none_or(|at: BlockNumber| at.saturating_add(STATES) <= standing.height)
                {
                    read_at = Some(standing.height);
                    states = self.states(standing.named.header.block()).await.unwrap_or(states);
                }
                if let Some(wallets) = self.wallets(&states).await
                    && let Ok(document) = to_raw_value(&self.document(standing.as_ref(), wallets))
                {
                    shown.send_replace(Some(document.into()));
                }
                tokio::time::sleep(PAUSE).await;
                tokio::select! {
                    _ = timeout(UNCHANGED, heads.changed()) => {}
                    Ok(()) = looks.changed() => {}
                }
            }
        };
        tokio::select! {
            () = stop.requested() => {}
            () = show => {}
        }
        Ok(())
    }

    /// The wallets' states, as one server tells them.
    async fn states(&self, block: Block) -> Option<BTreeMap<KeyHash, WalletState>> {
        let keys =
            SnapshotKeys { wallets: self.wallets.iter().copied().collect(), ..SnapshotKeys::default() };
        let read = timeout(STATES_TAKE, self.reader.snapshot(block, &keys)).await;
        let snapshot = read.ok()?.inspect_err(|error| debug!(%error, "the wallets' states can't be read"));
        Some(snapshot.ok()?.wallets.into_iter().map(|(wallet, record)| (wallet, record.state)).collect())
    }

    /// Each wallet as its journal tells, written as it is shown: the trees of many wallets take far more memory. `None` if the
    /// journal is closed.
    async fn wallets(&self, states: &BTreeMap<KeyHash, WalletState>) -> Option<Vec<Box<RawValue>>> {
        let journal = self.journal.upgrade()?;
        let wallets: Vec<_> =
            self.wallets.iter().map(|wallet| (*wallet, states.get(wallet).copied())).collect();
        let read = spawn_blocking(move || {
            let shown = wallets.into_iter().map(|(wallet, state)| of_wallet(&journal, wallet, state));
            shown.map(|wallet| to_raw_value(&wallet)).collect::<Result<_, _>>()
        });
        read.await.ok()?.ok()
    }

    fn document(&self, standing: Option<&Standing>, wallets: Vec<Box<RawValue>>) -> Document {
        let block = standing.map(|standing| standing.height);
        let window = block.and_then(|block| self.parameters.latest_window(block)).map(|window| {
            json!({
                "index": window.index(),
                "block": window.block(),
                "active_end": window.active_end(),
                "end": window.end(),
                "next": window.block().saturating_add(self.parameters.frequency),
            })
        });
        let assurance = standing.map(|standing| {
            let named = &standing.named;
            format!(
                "Block {} is decided on: {} of {} Ethereum servers name it.",
                named.header.number(),
                named.named_by,
                named.of
            )
        });
        let mut operators = BTreeMap::<Address, Vec<KeyHash>>::new();
        for (wallet, others) in &self.others {
            for operator in others {
                operators.entry(*operator).or_default().push(*wallet);
            }
        }
        let operators: Vec<_> = operators
            .into_iter()
            .map(|(operator, of)| {
                json!({
                    "address": operator.to_string(),
                    "connected": self.network.linked_since(operator).is_some(),
                    "wallets": of.iter().map(ToString::to_string).collect::<Vec<_>>(),
                })
            })
            .collect();
        Document {
            version: self.version,
            operator: self.operator.to_string(),
            chain: self.chain_id,
            network: self.named,
            observes: self.observes,
            time: now(),
            block,
            window,
            assurance,
            health: self.health.entries(),
            wallets,
            operators,
        }
    }
}

fn of_wallet(journal: &Journal, wallet: KeyHash, state: Option<WalletState>) -> Value {
    let reader = journal.reader();
    let actions = ActionRecord::newest(reader, wallet, ACTIONS).unwrap_or_default();
    let actions: BTreeMap<_, _> =
        actions.into_iter().flatten().map(|action| (action.agreed.window.index(), action)).collect();
    let entries = reader.newest(wallet, ENTRIES).unwrap_or_default();
    let results = entries.into_iter().rev().filter_map(|entry| match entry {
        Ok(Entry::Result(result)) => Some(result),
        Ok(Entry::Sent(_)) | Err(_) => None,
    });
    let windows: Vec<_> =
        results.take(WINDOWS).map(|result| of_window(&result, actions.get(&result.window.index()))).collect();
    let open = ActionRecord::open(reader, wallet).unwrap_or_default();
    let busy = open.iter().flatten().find(|action| action.is_busy()).map(|action| {
        let reached = action.state();
        json!({
            "action": action.agreed.proposal.action().name(),
            "state": reached.milestone.to_string(),
            "since": reached.at,
            "until": action.busy_until(),
        })
    });
    json!({
        "wallet": wallet.to_string(),
        "state": state.map_or_else(|| "not known".to_owned(), |state| format!("{state:?}")),
        "busy": busy,
        "windows": windows,
    })
}

fn of_window(result: &WindowResult, action: Option<&ActionRecord>) -> Value {
    let agreement = &result.agreement;
    let mut outcome = agreement.to_string();
    if let Some(action) = action {
        outcome = format!("{outcome}; {}", action.state().milestone);
    }
    let named = agreement.proposal().map(|proposal| proposal.action().name());
    let named = if matches!(agreement, Agreement::NoOp) { Some("no-op") } else { named };
    let faults: Vec<_> = result
        .faults
        .iter()
        .map(|fault| json!({ "kind": fault.kind.to_string(), "culprit": fault.culprit.to_string() }))
        .collect();
    let alarms: Vec<_> = result.alarms.iter().map(alarm).collect();
    json!({
        "index": result.window.index(),
        "leader": result.basis.map(|basis| basis.leader.to_string()),
        "action": named,
        "outcome": outcome,
        "faults": faults,
        "alarms": alarms,
    })
}

fn alarm(alarm: &Alarm) -> String {
    match alarm {
        Alarm::Failures { leader, of_last_five } => {
            format!("{of_last_five} of the last five windows of {leader} came to nothing, without a fault")
        }
        Alarm::HashRule { authors } => {
            let authors: Vec<_> = authors.iter().map(ToString::to_string).collect();
            format!("hash the safe block by the other rule: {}", authors.join(", "))
        }
    }
}
