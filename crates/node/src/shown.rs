//! The node's metrics, under the names that operators' dashboards use, and under our own; and its identity.

use std::sync::Arc;

use coxswain_coordination::{Count, Metrics};
use coxswain_ethereum::heads::Standing;
use coxswain_network::{Network, PeerId};
use coxswain_service::status::{Page, State, Status};
use serde_json::json;
use tokio::sync::watch;

use crate::watch::{BITCOIN, HEAD};

/// What dashboards have a name for, and this program doesn't have, or measure.
const NOT_HERE: [&str; 3] = [
    "performance_coordination_duration_seconds",
    "performance_incoming_message_queue_size",
    "performance_unmonitored_wallet_transactions_total",
];

/// Who a node is.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The program's version, with its commit in parentheses if it is known.
    pub(crate) version: &'static str,
    pub(crate) operator: alloy_primitives::Address,
    pub(crate) peer: PeerId,
    /// The peers that are configured.
    pub(crate) known: Vec<PeerId>,
    pub(crate) network: Network,
    pub(crate) heads: watch::Receiver<Option<Standing>>,
    pub(crate) counts: Arc<Metrics>,
    /// Whether nothing is sent.
    pub(crate) observes: bool,
    pub(crate) wallets: usize,
}

impl Shown {
    /// Shows all of it from now on.
    pub(crate) fn show(self, status: &Arc<Status>) {
        let (health, shown) = (status.health().clone(), self.clone());
        status.metrics().collect(move |page| {
            shown.go_names(page, |name| {
                let is_well =
                    health.entries().iter().any(|entry| entry.name == name && entry.state == State::Ok);
                if is_well { 1.0 } else { 0.0 }
            });
            shown.own_names(page);
        });
        status.diagnose(move |document| {
            let status = self.network.status();
            let (version, revision) = self.version_parts();
            let peers = status.peers.iter().map(|peer| {
                let addresses = peer.connections.iter().flatten();
                let addresses = addresses.map(|at| match at.ip() {
                    std::net::IpAddr::V4(ip) => format!("/ip4/{ip}/tcp/{}", at.port()),
                    std::net::IpAddr::V6(ip) => format!("/ip6/{ip}/tcp/{}", at.port()),
                });
                json!({
                    "chain_address": peer.operator,
                    "network_id": peer.peer.to_string(),
                    "multiaddrs": addresses.collect::<Vec<_>>(),
                })
            });
            let client = json!({
                "chain_address": self.operator,
                "network_id": self.peer.to_string(),
                "version": version,
                "revision": revision,
            });
            document.insert("client_info".to_owned(), client);
            document.insert("connected_peers".to_owned(), peers.collect());
            let standing = self.heads.borrow();
            let number = standing.as_ref().map(|standing| standing.named.header.number());
            document.insert("eth_chain_info".to_owned(), json!({ "latest_block_number": number }));
            document.insert("observing".to_owned(), self.observes.into());
        });
    }

    fn version_parts(&self) -> (&'static str, &'static str) {
        let (version, revision) = self.version.split_once(" (").unwrap_or((self.version, ""));
        (version, revision.trim_end_matches(')'))
    }

    fn go_names(&self, page: &mut Page, is_well: impl Fn(&str) -> f64) {
        let status = self.network.status();
        let known = status.peers.iter().filter(|peer| self.known.contains(&peer.peer)).count();
        page.gauge("connected_peers_count", "Connected peers.", number(status.peers.len()));
        page.gauge("connected_bootstrap_count", "Connected peers of the configuration.", number(known));
        page.gauge("connected_wellknown_peers_count", "Connected peers of the configuration.", number(known));
        let (ethereum, bitcoin) = (is_well(HEAD), is_well(BITCOIN));
        page.gauge("eth_connectivity", "Whether enough Ethereum servers name a fresh block.", ethereum);
        page.gauge("btc_connectivity", "Whether enough Bitcoin servers answer.", bitcoin);
        page.gauge(
            "performance_rpc_eth_healthy",
            "Whether enough Ethereum servers name a fresh block.",
            ethereum,
        );
        page.gauge("performance_rpc_btc_healthy", "Whether enough Bitcoin servers answer.", bitcoin);
        // Keys are generated elsewhere, and none in stock is none.
        page.gauge("tbtc_pre_params_count", "Pre-parameters in stock: this program has none.", 0.0);
        for name in NOT_HERE {
            page.gauge(name, "Not measured by this program.", 0.0);
        }
        let (version, revision) = self.version_parts();
        page.gauge_of(
            "client_info",
            "The program's version.",
            &[("version", version), ("revision", revision)],
            1.0,
        );
        let counts = self.counts.all();
        let all: u64 =
            counts.iter().filter(|((count, _), _)| *count == Count::Window).map(|(_, times)| *times).sum();
        let actions = self.counts.get(Count::Window, "action");
        let done = actions + self.counts.get(Count::Window, "no-op");
        page.counter("performance_coordination_windows_detected_total", "Windows of all wallets.", all);
        page.counter("performance_coordination_procedures_executed_total", "Windows that agreed.", done);
        page.counter(
            "performance_coordination_failed_total",
            "Windows that agreed on nothing.",
            all.saturating_sub(done),
        );
        page.counter(
            "performance_coordination_leader_timeout_total",
            "Windows whose leader was idle.",
            self.counts.get(Count::Fault, "leader idleness"),
        );
        page.counter("performance_wallet_actions_total", "Actions that were agreed on.", actions);
        page.counter(
            "performance_message_broadcast_total",
            "Messages that were sent.",
            self.counts.get(Count::Broadcast, "sent"),
        );
        page.counter("performance_message_received_total", "Messages that came.", status.counts.delivered);
        page.counter("performance_firewall_rejections_total", "Peers refused.", status.counts.refused_peers);
    }

    fn own_names(&self, page: &mut Page) {
        for (name, times) in self.network.status().counts.named() {
            page.counter_of(
                "coxswain_network_total",
                "What happened to frames and messages.",
                &[("what", name)],
                times,
            );
        }
        for ((count, kind), times) in self.counts.all() {
            let (name, help) = match count {
                Count::Window => ("coxswain_windows_total", "Windows, by how they ended."),
                Count::Fault => ("coxswain_faults_total", "Faults, by kind."),
                Count::Alarm => ("coxswain_alarms_total", "Alarms, by what they are about."),
                Count::Message => ("coxswain_messages_total", "Messages, by what became of them."),
                Count::Generation => {
                    ("coxswain_generations_total", "Proposals asked for, by what came of it.")
                }
                Count::Verdict => ("coxswain_verdicts_total", "Verdicts, by kind."),
                Count::SafeHash => ("coxswain_safe_hashes_total", "Readings of the safe block's hash."),
                Count::Broadcast => ("coxswain_broadcasts_total", "Messages of our own, by what came of it."),
                Count::Journal => {
                    ("coxswain_journal_entries_total", "Entries of the journal, by what came of it.")
                }
                Count::Untaken => ("coxswain_untaken_results_total", "Results that nobody took."),
            };
            page.counter_of(name, help, &[("kind", kind)], times);
        }
        if let Some(standing) = self.heads.borrow().as_ref() {
            #[allow(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
            page.gauge("coxswain_block_height", "Where the window clock stands.", standing.height.0 as f64);
        }
        page.gauge("coxswain_wallets", "Wallets that are coordinated.", number(self.wallets));
        page.gauge("coxswain_observing", "Whether nothing is sent.", f64::from(u8::from(self.observes)));
    }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
