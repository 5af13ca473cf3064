//! Windows of real processes whose servers die, hang, forget and fall silent, whose blocks jump and are replaced, and which
//! are restarted themselves: each window runs once, and nobody is blamed for what our own side failed at.

use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_primitives::hex;
use coxswain_protocol::{Entry, Note, Window, WindowResult};
use coxswain_rules::{KeyHash, units::Blocks};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, Wallet, World};
use serde_json::{Value, json};

use tokio::time::timeout;

use crate::fleet::{Fleet, Member, NETWORK, Plan, operator, program, read};

const NODES: u8 = 3;
/// How often a server is asked in vain before it counts that nothing came of it.
const ASKED_AGAIN: usize = 8;

/// How a node's servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mood {
    Answer,
    /// They answer nothing at all.
    Silent,
    /// They say where the chain is, and nothing else.
    Fail,
    /// They say where the chain is, and hang at all else.
    Hang,
    /// They hang at what names this wallet.
    HangAt(KeyHash),
    /// They show this block as the newest.
    Stand(u64),
}

/// Two servers of a node, and how they are.
struct Servers {
    mood: Arc<Mutex<Mood>>,
    /// Whether the second one has died.
    dead: Arc<Mutex<bool>>,
    endpoints: [FaultyEndpoint; 2],
}

impl Servers {
    async fn start(world: &World) -> (Self, Vec<String>) {
        let (mood, dead) = (Arc::new(Mutex::new(Mood::Answer)), Arc::new(Mutex::new(false)));
        let server = async |is_second: bool| {
            let (mood, dead) = (Arc::clone(&mood), Arc::clone(&dead));
            let meet = move |method: &str, params: &Value| {
                if is_second && *dead.lock().unwrap() {
                    return Reply::Cut;
                }
                meet(&mood.lock().unwrap(), method, params)
            };
            FaultyEndpoint::start_inspecting(world.chain.url(), meet).await.unwrap()
        };
        let endpoints = [server(false).await, server(true).await];
        let urls = endpoints.iter().map(|endpoint| endpoint.url().to_string()).collect();
        (Self { mood, dead, endpoints }, urls)
    }

    fn are(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often each of them was asked.
    fn asked(&self) -> [usize; 2] {
        self.endpoints.each_ref().map(|endpoint| endpoint.methods().len())
    }
}

fn meet(mood: &Mood, method: &str, params: &Value) -> Reply {
    let is_of_blocks = matches!(
        method,
        "batch" | "eth_blockNumber" | "eth_getBlockByNumber" | "eth_getBlockByHash" | "eth_chainId"
    );
    match mood {
        Mood::Answer => Reply::Forward,
        Mood::Silent => Reply::Status(503),
        Mood::Fail if !is_of_blocks => Reply::Status(503),
        Mood::Hang if !is_of_blocks => Reply::Stall,
        Mood::HangAt(wallet) if params.to_string().contains(&hex::encode(wallet.0)) => Reply::Stall,
        Mood::Stand(block) if method == "eth_getBlockByNumber" && params[0] == "latest" => {
            Reply::Instead(json!([format!("{block:#x}"), params[1]]))
        }
        Mood::Fail | Mood::Hang | Mood::HangAt(_) | Mood::Stand(_) => Reply::Forward,
    }
}

/// Processes of wallets that have something to do, each process with servers of its own.
async fn begin(wallets: u64) -> (Fleet, Vec<KeyHash>, BTreeMap<u8, Servers>) {
    let mut world = World::start().await.unwrap();
    let mut keys = Vec::new();
    for seed in 1..=wallets {
        let wallet: Wallet = world.wallet(seed).await.unwrap();
        world.reveal(&wallet, DepositSpec::default()).await.unwrap();
        keys.push(wallet);
    }
    let mut plan = Plan::of(NODES);
    let mut servers = BTreeMap::new();
    for number in 1..=NODES {
        let (own, urls) = Servers::start(&world).await;
        plan.ethereum.insert(number, urls);
        servers.insert(number, own);
    }
    let public: Vec<_> = keys.iter().map(|wallet| wallet.public_key().0).collect();
    let fleet = Fleet::start(world, &public, plan).await;
    (fleet, keys.iter().map(Wallet::key_hash).collect(), servers)
}

fn number_of(leader: alloy_primitives::Address) -> u8 {
    (1..=NODES).find(|number| operator(*number) == leader).unwrap()
}

async fn leader(fleet: &Fleet, wallet: KeyHash, window: Window) -> u8 {
    number_of(fleet.assignment(wallet, window).await.leader)
}

fn blames_nobody(results: &BTreeMap<u8, Arc<WindowResult>>) {
    assert!(results.values().all(|result| result.faults.is_empty()), "{results:#?}");
}

/// Each result's name. Nobody is blamed.
fn names(results: &BTreeMap<u8, Arc<WindowResult>>) -> BTreeMap<u8, &'static str> {
    blames_nobody(results);
    results.iter().map(|(number, result)| (*number, result.agreement.name())).collect()
}

fn all(name: &'static str) -> BTreeMap<u8, &'static str> {
    (1..=NODES).map(|number| (number, name)).collect()
}

/// Waits until a leader is heard, and lets the rest of the window pass.
async fn finish(fleet: &mut Fleet, wallet: KeyHash, window: Window) -> BTreeMap<u8, Arc<WindowResult>> {
    fleet.has_spoken(wallet, window).await;
    fleet.mine_to(window.end()).await;
    fleet.results(wallet, window).await
}

/// Runs the next window, which opens only when the servers are no longer like this: until then, nobody says anything.
async fn opens_late(
    fleet: &mut Fleet,
    wallet: KeyHash,
    servers: &BTreeMap<u8, Servers>,
    mood: Mood,
) -> Window {
    let window = fleet.next();
    servers.values().for_each(|servers| servers.are(mood.clone()));
    fleet.mine_unseen(5).await;
    let before: Vec<_> = servers.values().flat_map(Servers::asked).collect();
    let again = |_: &Fleet| {
        let now = servers.values().flat_map(Servers::asked);
        now.zip(&before).all(|(now, before)| now >= before + ASKED_AGAIN)
    };
    fleet.until("not all servers are asked again", again).await;
    assert!(fleet.nodes.values().all(|node| node.sent(wallet, window.index()).is_none()));
    servers.values().for_each(|servers| servers.are(Mood::Answer));
    fleet.taken().await;
    assert_eq!(names(&finish(fleet, wallet, window).await), all("action"));
    window
}

/// How many results of a window a node has recorded.
fn recorded(fleet: &Fleet, number: u8, wallet: KeyHash, window: Window) -> usize {
    let of_window = |entry: &Entry| matches!(entry, Entry::Result(result) if result.window == window);
    fleet.nodes[&number].entries(wallet).iter().filter(|entry| of_window(entry)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_17_inc_22_inc_25_servers_that_die_fail_or_hang_cost_no_result_that_could_be_had() {
    let (mut fleet, wallets, servers) = begin(1).await;
    let wallet = wallets[0];

    // INC-22: those who listen can judge nothing until the passive phase.
    let window = fleet.next();
    let leads = leader(&fleet, wallet, window).await;
    let others = || servers.iter().filter(move |(number, _)| **number != leads).map(|(_, servers)| servers);
    others().for_each(|servers| servers.are(Mood::Fail));
    fleet.mine(1).await;
    fleet.has_spoken(wallet, window).await;
    fleet.mine_to(window.active_end().saturating_add(Blocks(3))).await;
    others().for_each(|servers| servers.are(Mood::Answer));
    assert_eq!(names(&finish(&mut fleet, wallet, window).await), all("action"));

    // INC-22: nor later.
    fleet.rest().await;
    let window = fleet.next();
    let leads = leader(&fleet, wallet, window).await;
    let others = || servers.iter().filter(move |(number, _)| **number != leads).map(|(_, servers)| servers);
    others().for_each(|servers| servers.are(Mood::Fail));
    fleet.mine(1).await;
    let results = finish(&mut fleet, wallet, window).await;
    others().for_each(|servers| servers.are(Mood::Answer));
    let mut expected = all("undecided: no verdict");
    expected.insert(leads, "action");
    assert_eq!(names(&results), expected);

    // INC-17: the leader's servers hang for longer than the active phase.
    fleet.rest().await;
    let window = fleet.next();
    let leads = leader(&fleet, wallet, window).await;
    servers[&leads].are(Mood::Hang);
    fleet.mine(1).await;
    let others: Vec<_> = (1..=NODES).filter(|number| *number != leads).collect();
    fleet.have_read(&others, wallet, window).await;
    fleet.mine_to(window.end()).await;
    let results = fleet.results(wallet, window).await;
    servers[&leads].are(Mood::Answer);
    for (number, result) in &results {
        let expected = if *number == leads { "not sent" } else { "leader idleness" };
        assert_eq!(result.agreement.name(), expected, "{result:#?}");
    }
    assert!(fleet.nodes.values().all(|node| node.sent(wallet, window.index()).is_none()));

    // INC-25: of each node's two servers one dies.
    fleet.rest().await;
    let window = fleet.next();
    for servers in servers.values() {
        *servers.dead.lock().unwrap() = true;
    }
    fleet.mine(1).await;
    assert_eq!(names(&finish(&mut fleet, wallet, window).await), all("action"));
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_whose_servers_hang_delays_no_other_wallets_message_by_a_block() {
    let (mut fleet, wallets, servers) = begin(2).await;
    // One leads both.
    let window = fleet
        .until_hashed(|fleet, window, hashes| {
            let leader = |wallet| fleet.assigned(wallet, window, hashes.canonical).leader;
            leader(wallets[0]) == leader(wallets[1])
        })
        .await;
    servers.values().for_each(|servers| servers.are(Mood::HangAt(wallets[0])));
    fleet.mine(1).await;
    // No block comes meanwhile.
    fleet.has_sent(wallets[1], window).await;
    let hangs = fleet.nodes.values().all(|node| node.sent(wallets[0], window.index()).is_none());
    assert!(hangs, "the other one's servers don't hang");
    fleet.has_spoken(wallets[1], window).await;
    fleet.mine_to(window.end()).await;
    assert_eq!(names(&fleet.results(wallets[1], window).await), all("action"));
    servers.values().for_each(|servers| servers.are(Mood::Answer));
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_14_inc_16_a_stream_that_stands_jumps_falls_silent_or_is_replaced_runs_each_window_once() {
    let (mut fleet, wallets, servers) = begin(1).await;
    let wallet = wallets[0];
    let once = |fleet: &Fleet, window| {
        for number in 1..=NODES {
            assert_eq!(recorded(fleet, number, wallet, window), 1);
        }
    };

    // The coordination block is skipped.
    let window = fleet.next();
    fleet.mine(3).await;
    assert_eq!(names(&finish(&mut fleet, wallet, window).await), all("action"));
    once(&fleet, window);

    // A jump of 50 blocks, from one window into the next.
    fleet.rest().await;
    let before = fleet.next();
    fleet.mine(1).await;
    fleet.has_spoken(wallet, before).await;
    fleet.mine_to(before.active_end().saturating_add(Blocks(2))).await;
    let window = fleet.next();
    fleet.mine(50).await;
    assert_eq!(fleet.height, window.block().saturating_add(Blocks(12)).0);
    assert_eq!(names(&finish(&mut fleet, wallet, window).await), all("action"));
    // Of the one before nobody could judge once more at its end: its leader alone knows what came of it.
    let mut of_before = all("undecided: no verdict");
    of_before.insert(leader(&fleet, wallet, before).await, "action");
    assert_eq!(names(&fleet.results(wallet, before).await), of_before);
    once(&fleet, before);
    once(&fleet, window);

    // The servers show the same block again and again, while others come; or they answer nothing.
    fleet.rest().await;
    let stand = Mood::Stand(fleet.next().block().saturating_sub(Blocks(1)).0);
    let window = opens_late(&mut fleet, wallet, &servers, stand).await;
    once(&fleet, window);
    fleet.rest().await;
    let window = opens_late(&mut fleet, wallet, &servers, Mood::Silent).await;
    once(&fleet, window);

    // INC-16: while the leader prepares, the chain is replaced from before the safe block on.
    fleet.rest().await;
    let window = fleet.next();
    let before = fleet.hashes(window.safe_block()).await.canonical;
    servers.values().for_each(|servers| servers.are(Mood::Hang));
    fleet.mine(1).await;
    fleet.world.chain.replace(NETWORK.safe_block_distance.saturating_add(Blocks(4)).0).await.unwrap();
    let after = fleet.hashes(window.safe_block()).await.canonical;
    assert_ne!(before, after);
    servers.values().for_each(|servers| servers.are(Mood::Answer));
    fleet.mine_to(window.block().saturating_add(Blocks(4))).await;
    let results = finish(&mut fleet, wallet, window).await;
    assert_eq!(names(&results), all("action"));
    for result in results.values() {
        assert_eq!(result.basis.unwrap().safe_block_hash, after);
        let leader = fleet.assigned(wallet, window, after).leader;
        assert_eq!(result.basis.unwrap().leader, leader);
        let suspects = result.notes.iter().any(|note| matches!(note, Note::Unproven { .. }));
        assert!(!suspects, "{result:#?}");
    }
    once(&fleet, window);
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_15_inc_50_who_restarts_joins_late_says_the_same_again_and_calls_nobody_idle() {
    let (mut fleet, wallets, _servers) = begin(1).await;
    let wallet = wallets[0];

    // INC-15: the leader dies when it has spoken.
    let window = fleet.next();
    let leads = leader(&fleet, wallet, window).await;
    fleet.mine(1).await;
    fleet.has_sent(wallet, window).await;
    let sent = fleet.nodes[&leads].sent(wallet, window.index());
    fleet.nodes.remove(&leads).unwrap().kill();
    fleet.mine(2).await;
    fleet.run(leads, &[]);
    fleet.taken().await;
    fleet.has_spoken(wallet, window).await;
    fleet.mine_to(window.end()).await;
    assert_eq!(names(&fleet.results(wallet, window).await), all("action"));
    assert_eq!(fleet.nodes[&leads].sent(wallet, window.index()), sent);
    assert_eq!(recorded(&fleet, leads, wallet, window), 1);

    // INC-50: the leader is dead, and one of the others joins late.
    fleet.rest().await;
    let window = fleet.next();
    let leads = leader(&fleet, wallet, window).await;
    let late = (1..=NODES).find(|number| *number != leads).unwrap();
    fleet.nodes.remove(&leads).unwrap().kill();
    fleet.nodes.remove(&late).unwrap().kill();
    fleet.mine_to(window.block().saturating_add(Blocks(6))).await;
    fleet.run(late, &[]);
    fleet.taken().await;
    fleet.mine_to(window.end()).await;
    let results = fleet.results(wallet, window).await;
    assert_eq!(results.len(), 2);
    blames_nobody(&results);
    assert!(results.values().all(|result| result.agreement.name() == "not heard"), "{results:#?}");
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_46_a_journal_that_is_held_or_full_lets_nothing_be_sent_that_is_not_recorded() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let plan = Plan::of(2).played(2);
    let key = wallet.key_hash();
    let mut fleet = Fleet::start(world, &[wallet.public_key().0], plan).await;

    // A second process on the journal is refused.
    let (config, second) = (fleet.config(1), fleet.folder.path().join("second.toml"));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&second, text.replace(&format!(":{}\"", fleet.port(1)), ":0\"")).unwrap();
    let output = program(&second).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("another process holds the journal"), "{stderr}");

    // Its first message has room.
    let (witness, mut heard) = Member::join(&fleet, 2, &[1], true).await;
    witness.linked(&[1]).await;
    let window = fleet.until_next(key, |it| it.leader == operator(1)).await;
    fleet.mine(1).await;
    fleet.has_sent(key, window).await;
    fleet.mine_to(window.end().next()).await;

    // From now on no more fits into the journal than is there.
    fleet.nodes.remove(&1).unwrap().kill();
    fs::write(&config, text.replace("[journal]\n", "[journal]\nmax_bytes = 4096\n")).unwrap();
    fleet.run(1, &[]);
    fleet.taken().await;
    witness.linked(&[1]).await;
    let failures = |fleet: &Fleet| {
        let full = "the journal failed: what is not recorded is not sent";
        fleet.nodes[&1].lines().iter().filter(|line| line.contains(full)).count()
    };
    // Where a long entry has no room, a shorter one may have some: it is full once a message has none.
    let mut led = 0;
    loop {
        let window = fleet.until_next(key, |it| it.leader == operator(1)).await;
        let failed = failures(&fleet);
        fleet.mine_to(window.end().next()).await;
        if failures(&fleet) > failed && fleet.nodes[&1].sent(key, window.index()).is_none() {
            break;
        }
        led += 1;
        assert!(led < 60, "it is never full");
    }
    // What is not recorded was not said.
    let receiver = heard.get_mut(&key).unwrap();
    let mut all_heard = Vec::new();
    while let Ok(heard) = timeout(Duration::from_secs(1), receiver.recv()).await {
        all_heard.push(heard.unwrap());
    }
    let recorded = fleet.nodes[&1].entries(key);
    for heard in &all_heard {
        let (author, said) = read(heard);
        let index = said.coordination_block.0 / NETWORK.frequency.0;
        let is_recorded = recorded.iter().any(|entry| {
            matches!(entry, Entry::Sent(sent) if sent.window.index() == index && sent.envelope == heard.envelope)
        });
        assert!(author == operator(1) && is_recorded, "window {index} was spoken in, and isn't recorded");
    }
    assert!(!all_heard.is_empty(), "nothing was said at all");
    witness.leave().await;
    fleet.stop();
}
