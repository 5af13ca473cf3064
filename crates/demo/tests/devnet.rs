//! The devnet as a person meets it: what arrives is carried out and proven without a hand, who lies is blamed, who is killed is
//! missed, and nothing is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use coxswain_demo::{
    readme::{Place, commands},
    world::run,
};
use coxswain_ethereum::Endpoints;
use coxswain_protocol::{Assignment, SafeHashes, SigningGroup, Window, WindowParameters};
use coxswain_testkit::Remote;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const NODES: [u8; 5] = [1, 2, 3, 4, 5];
/// Those that neither lie nor are killed.
const WITNESSES: [u8; 3] = [1, 2, 3];
const MAINTAINER: u8 = 9;
/// Blocks from one window to the next, and from a window's first to its action's start.
const WINDOW: u64 = 60;
const LENGTH: u64 = 30;
/// The names that operators' dashboards have for a node, in the Go client's words.
const DASHBOARD: [&str; 34] = [
    "connected_peers_count",
    "connected_bootstrap_count",
    "connected_wellknown_peers_count",
    "eth_connectivity",
    "btc_connectivity",
    "tbtc_pre_params_count",
    "client_info",
    "performance_rpc_eth_healthy",
    "performance_rpc_btc_healthy",
    "performance_rpc_eth_last_check_timestamp_seconds",
    "performance_rpc_btc_last_check_timestamp_seconds",
    "performance_coordination_windows_detected_total",
    "performance_coordination_procedures_executed_total",
    "performance_coordination_failed_total",
    "performance_coordination_leader_timeout_total",
    "performance_coordination_duration_seconds",
    "performance_wallet_actions_total",
    "performance_wallet_action_success_total",
    "performance_wallet_action_failed_total",
    "performance_wallet_action_duration_seconds",
    "performance_wallet_dispatcher_active_actions",
    "performance_wallet_dispatcher_rejected_total",
    "performance_wallet_heartbeat_failures_total",
    "performance_stuck_wallet_transactions_total",
    "performance_unmonitored_wallet_transactions_total",
    "performance_message_broadcast_total",
    "performance_message_received_total",
    "performance_incoming_message_queue_size",
    "performance_firewall_rejections_total",
    "performance_redemption_proposal_generation_total",
    "performance_redemption_proposal_generation_success_total",
    "performance_redemption_proposal_generation_failed_total",
    "performance_redemption_proposal_broadcast_total",
    "performance_redemption_proposal_broadcast_failed_total",
];
/// How long a block lasts at most, where one after the other is needed.
const BLOCK: Duration = Duration::from_millis(500);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A devnet whose blocks come by command alone.
struct Devnet {
    child: Child,
    orders: ChildStdin,
    base: u16,
    folder: TempDir,
    remote: Remote,
    height: u64,
}

impl Devnet {
    fn start() -> Self {
        // Below the ports that the system gives away, and apart from those of another run.
        let base = 20_000 + u16::try_from(std::process::id() % 300).unwrap() * 40;
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_coxswain-devnet"))
            .args(["--pace", "0", "--port-base", &base.to_string(), "--dir"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut last = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            last = line;
            if last.starts_with("page: ") {
                break;
            }
        }
        assert_eq!(last, format!("page: http://127.0.0.1:{}/", base + 21));
        let (ethereum, bitcoin) = (format!("http://127.0.0.1:{base}"), base + 2);
        let bitcoin = format!("http://coxswain:secret@127.0.0.1:{bitcoin}");
        let remote = Remote::new(ethereum.parse().unwrap(), bitcoin.parse().unwrap());
        let orders = child.stdin.take().unwrap();
        Self { child, orders, base, folder, remote, height: 0 }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    async fn mine(&mut self, blocks: u64) {
        (self.height, _) = self.remote.mine(u32::try_from(blocks).unwrap()).await.unwrap();
    }

    /// Mines up to the block before the next window's first.
    async fn rest(&mut self) {
        self.mine(WINDOW - 1 - self.height % WINDOW).await;
    }

    /// Mines up to the next window's first block. Gives its index.
    async fn next_window(&mut self) -> u64 {
        self.mine(WINDOW - self.height % WINDOW).await;
        self.height / WINDOW
    }

    /// What a node answers. Nothing if it doesn't run, starts or ends.
    fn get(&self, number: u8, path: &str) -> String {
        let asked = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.base + 20 + u16::from(number)))?;
            // What the node has to put together first has no length: by 1.1 it would come in chunks.
            write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        asked().ok().and_then(|answer| Some(answer.split_once("\r\n\r\n")?.1.to_owned())).unwrap_or_default()
    }

    fn page(&self, number: u8) -> Value {
        serde_json::from_str(&self.get(number, "/page.json")).unwrap_or_default()
    }

    fn operator(&self, number: u8) -> String {
        self.page(number)["operator"].as_str().unwrap().to_owned()
    }

    /// The operators that a node is connected to.
    fn connected(&self, number: u8) -> Vec<String> {
        let page = self.page(number);
        let others = page["operators"].as_array().into_iter().flatten();
        others
            .filter(|of| of["connected"] == true)
            .map(|of| of["address"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Who leads a window, and who would by the other rule of hashing. Its safe block must be there.
    async fn leaders(&self, index: u64) -> [String; 2] {
        let network = WindowParameters::LOCAL;
        let window = Window::numbered(&network, index).unwrap();
        let url = format!("http://127.0.0.1:{}", self.base).parse().unwrap();
        let header = Endpoints::new(url).unwrap().header(window.safe_block()).await.unwrap().unwrap();
        let group = fs::read_to_string(self.folder.path().join("group.txt")).unwrap();
        let group = SigningGroup::new(group.lines().map(|seat| seat.parse().unwrap()).collect()).unwrap();
        let wallet = serde_json::from_value(self.page(1)["wallets"][0]["wallet"].clone()).unwrap();
        let hashes = SafeHashes::of(&header);
        [hashes.canonical, hashes.legacy_header]
            .map(|hash| Assignment::new(&network, window, wallet, &group, hash).leader.to_string())
    }

    fn log(&self, number: u8) -> String {
        fs::read_to_string(self.folder.path().join(format!("node{number}.log"))).unwrap()
    }

    /// Whether a line of a node's log about a window has both of these.
    fn has_told(&self, number: u8, index: u64, message: &str, field: &str) -> bool {
        let (log, of_window) = (self.log(number), format!(" window={index} "));
        let mut lines = log.lines().map(|line| format!("{line} ")).filter(|line| line.contains(&of_window));
        lines.any(|line| line.contains(message) && line.contains(field))
    }

    /// A window as a node's page shows it, once it does.
    fn window(&self, number: u8, index: u64) -> Option<Value> {
        let page = self.page(number);
        page["wallets"][0]["windows"].as_array()?.iter().find(|window| window["index"] == index).cloned()
    }

    /// How often something happened, by all nodes' metrics together.
    fn counted(&self, name: &str) -> u64 {
        let of = |number| {
            let page = self.get(number, "/metrics");
            page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        NODES.into_iter().filter_map(of).sum()
    }

    /// Waits until it is so, for so long at most. Gives whether it is.
    async fn within(&self, patience: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let so = async {
            while !is_so(self) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(patience, so).await.is_ok()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        assert!(self.within(PATIENCE, is_so).await, "{what}: never; {}", self.story());
    }

    /// What each node has come to and logged last.
    fn story(&self) -> String {
        let of = |number| {
            let windows = &self.page(number)["wallets"][0]["windows"];
            let log = self.log(number);
            let from = log.lines().count().saturating_sub(60);
            let lines = log.lines().skip(from).collect::<Vec<_>>().join("\n");
            format!("\nnode{number} {windows}\n{lines}")
        };
        NODES.map(of).concat()
    }

    /// Ends it by a signal. Nothing is left then.
    fn end(mut self) {
        let pid = self.child.id().to_string();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let runs = |process: &str| {
            let stat = fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
        };
        assert!(
            !cfg!(target_os = "linux") || children.split_whitespace().filter(|child| runs(child)).count() > 5
        );
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        for child in children.split_whitespace() {
            assert!(!runs(child), "{child}");
        }
        for port in
            [self.base, self.base + 1, self.base + 2].into_iter().chain((9..30).map(|more| self.base + more))
        {
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{port}");
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        // A test that fails: it ends its own processes when it is told to.
        let pid = self.child.id().to_string();
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
            let _ = self.child.wait();
        }
    }
}

#[tokio::test]
async fn a_deposit_is_swept_and_proven_a_liar_blamed_and_the_dead_missed_and_nothing_is_left_behind() {
    let mut devnet = Devnet::start();
    let all_connected =
        |devnet: &Devnet| NODES.iter().all(|&number| devnet.connected(number).len() == NODES.len() - 1);
    devnet.until("all are connected", all_connected).await;

    (devnet.height, _) = devnet.remote.advance(3 * 3600).await.unwrap();
    let window = devnet.next_window().await;
    devnet
        .until("the leader speaks", |devnet| devnet.counted("coxswain_broadcasts_total{kind=\"sent\"}") == 1)
        .await;
    // Who has not heard it yet hears it again with the next block.
    let judged = |devnet: &Devnet| devnet.counted("coxswain_verdicts_total{kind=\"valid\"}") >= 4;
    for block in 0.. {
        if devnet.within(4 * BLOCK, judged).await {
            break;
        }
        assert!(block < 15, "{}", devnet.story());
        devnet.mine(1).await;
    }
    devnet.mine(LENGTH).await;
    let sweeps = |devnet: &Devnet, number| {
        devnet
            .window(number, window)
            .is_some_and(|of| of["action"] == "deposit-sweep" && of["faults"] == Value::Array(Vec::new()))
    };
    devnet.until("all agree on a sweep", |devnet| NODES.iter().all(|&number| sweeps(devnet, number))).await;
    // Actions go by blocks; and Bitcoin's come with them.
    let proven = |devnet: &Devnet, number| {
        devnet.window(number, window).is_some_and(|of| of["outcome"].as_str().unwrap().ends_with("proven"))
    };
    // The nodes may see it before the maintainer counts it.
    let counted = |devnet: &Devnet| {
        let line = "performance_deposit_sweep_proof_submissions_success_total 1\n";
        devnet.get(MAINTAINER, "/metrics").contains(line)
    };
    let all_proven = |devnet: &Devnet| NODES.iter().all(|&number| proven(devnet, number)) && counted(devnet);
    for block in 0.. {
        if devnet.within(BLOCK, all_proven).await {
            break;
        }
        assert!(block < 200, "{}", devnet.story());
        devnet.mine(1).await;
    }
    let metrics = devnet.get(1, "/metrics");
    let kinds = ["heartbeat", "deposit_sweep", "redemption", "moving_funds", "moved_funds_sweep"];
    let of_kind = |kind| {
        ["total", "success_total", "failed_total", "duration_seconds"]
            .map(|what| format!("performance_wallet_action_{kind}_{what}"))
    };
    let names = kinds.into_iter().flat_map(of_kind).chain(DASHBOARD.map(str::to_owned));
    let missing: Vec<_> = names.filter(|name| !metrics.contains(&format!("\n# TYPE {name} "))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let swept = "performance_wallet_action_deposit_sweep_success_total 1\n";
    devnet.until("the sweep is counted", |devnet| devnet.get(1, "/metrics").contains(swept)).await;

    for block in commands(Place::Devnet) {
        let run = run(&block, &devnet.folder.path().join("env")).await.unwrap();
        assert_eq!(run.status.code(), Some(block.exit_code), "{block:?}: {run:?}");
    }
    (devnet.height, _) = devnet.remote.mine(1).await.unwrap();

    let operators = NODES.map(|number| devnet.operator(number));
    let [.., dead, liar] = &operators;
    devnet.order("lie node5");
    devnet.order("kill node4");
    devnet
        .until("the dead is missed, and the liar there", |devnet| {
            let ended = [4, 5].iter().all(|&number| devnet.get(number, "/metrics").is_empty());
            let seen = |number: &u8| {
                let others = devnet.connected(*number);
                others.contains(liar) && !others.contains(dead)
            };
            ended && WITNESSES.iter().all(seen)
        })
        .await;
    // What fits the other rule of hashing is no fault: a window in which the liar doesn't lead by that.
    let leader = loop {
        devnet.rest().await;
        let [leader, by_other_rule] = devnet.leaders(devnet.height / WINDOW + 1).await;
        if by_other_rule != *liar {
            break leader;
        }
        devnet.mine(1).await;
    };
    let window = devnet.next_window().await;
    // Who reads a window's hash at a later block than its first blames nobody for what follows from it.
    let has_read = |devnet: &Devnet, number: u8| devnet.has_told(number, window, "safe hash read", "");
    devnet.until("all have started", |devnet| WITNESSES.iter().all(|&number| has_read(devnet, number))).await;
    // The liar speaks three blocks into the window, once. A leader says again at each block what it has said.
    devnet.mine(4).await;
    let hears = |devnet: &Devnet, number: u8, message: &str, author: &String| {
        devnet.has_told(number, window, message, &format!(" author={author} "))
    };
    // What counts of the liar's is a mistake to those alone that judge it at once.
    let has_heard = |devnet: &Devnet, number: u8| {
        let leads = leader == *dead || leader == devnet.operator(number);
        (leads || hears(devnet, number, "message ", &leader))
            && hears(devnet, number, "message ", liar)
            && (!hears(devnet, number, "message accepted", liar)
                || devnet.has_told(number, window, "judged: ", ""))
    };
    for block in 4.. {
        if devnet.within(4 * BLOCK, |devnet| WITNESSES.iter().all(|&number| has_heard(devnet, number))).await
        {
            break;
        }
        assert!(block < 16, "{leader} leads, {liar} lies: {}", devnet.story());
        devnet.mine(1).await;
    }
    devnet.mine(LENGTH).await;
    // If it happens to lead, it has made a mistake; and it has said nothing that counts, unless a heartbeat, as which it lies, is
    // on the window's checklist.
    let blamed = |devnet: &Devnet, number| {
        let window = devnet.window(number, window)?;
        let faults = window["faults"].as_array()?;
        let by_liar = faults.iter().filter(|fault| fault["culprit"] == liar.as_str()).count();
        let counts =
            faults.iter().any(|fault| fault["kind"].as_str().is_some_and(|kind| kind.contains("HB-1")));
        let expected = if leader == *liar && !counts { 2 } else { 1 };
        Some(by_liar == faults.len() && by_liar == expected)
    };
    devnet
        .until("the liar is blamed", |devnet| {
            WITNESSES.iter().all(|&number| blamed(devnet, number) == Some(true))
        })
        .await;

    for name in ["node4", "node5"] {
        devnet.order(&format!("start {name}"));
    }
    devnet.until("all are back", all_connected).await;
    devnet.end();
}
