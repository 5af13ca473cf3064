//! The last windows, all wallets together, each as one object: what `/diagnostics` shows under the Go client's names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use coxswain_protocol::{Agreement, Entry, WindowResult};
use coxswain_rules::KeyHash;
use coxswain_service::journal::Journal;
use serde_json::{Value, json};

/// How many windows are shown, and how many entries of each wallet those are at most: two a window.
const WINDOWS: usize = 10;
const ENTRIES: u32 = 20;

/// The newest windows, the newest first. None if the journal is closed.
pub(crate) fn windows(journal: &Weak<Journal>, wallets: &[KeyHash]) -> Value {
    let Some(journal) = journal.upgrade() else { return json!([]) };
    let mut windows = BTreeMap::<u64, Vec<Arc<WindowResult>>>::new();
    for wallet in wallets {
        for entry in journal.reader().newest(*wallet, ENTRIES).unwrap_or_default() {
            if let Ok(Entry::Result(result)) = entry {
                windows.entry(result.window.index()).or_default().push(result);
            }
        }
    }
    windows.values().rev().take(WINDOWS).map(|results| window(results)).collect()
}

fn window(results: &[Arc<WindowResult>]) -> Value {
    let mut leaders = BTreeMap::<String, usize>::new();
    let mut actions = BTreeMap::<&str, usize>::new();
    let mut kinds = BTreeMap::<String, usize>::new();
    let mut culprits = BTreeMap::<String, usize>::new();
    let mut successful = 0;
    for result in results {
        if let Some(basis) = result.basis {
            *leaders.entry(basis.leader.to_string()).or_default() += 1;
        }
        match &result.agreement {
            Agreement::NoOp => {
                successful += 1;
                *actions.entry("no-op").or_default() += 1;
            }
            agreement => {
                if let (Agreement::Action(..), Some(proposal)) = (agreement, agreement.proposal()) {
                    successful += 1;
                    *actions.entry(proposal.action().name()).or_default() += 1;
                }
            }
        }
        for fault in &result.faults {
            *kinds.entry(fault.kind.to_string()).or_default() += 1;
            *culprits.entry(fault.culprit.to_string()).or_default() += 1;
        }
    }
    let first = results.first().map(|result| result.window);
    json!({
        "window_index": first.map(|window| window.index()),
        "coordination_block": first.map(|window| window.block()),
        "wallets_coordinated": results.len(),
        "wallets_successful": successful,
        "wallets_failed": results.len() - successful,
        "leaders": leaders,
        "action_types": actions,
        "total_faults": kinds.values().sum::<usize>(),
        "faults_by_type": kinds,
        "faults_by_culprit": culprits,
    })
}
