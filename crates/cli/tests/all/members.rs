//! Windows of real processes with a hostile member among them, on real sockets: what it does is recorded by all others, the
//! same everywhere, and keeps nobody from the result.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bitcoin::ScriptBuf;
use coxswain_protocol::{
    Agreement, FaultKind, Mistake, Note, Window, WindowResult,
    wire::{CoordinationMessage, Proposed},
};
use coxswain_rules::{Action, Amount, KeyHash, MovingFundsProposal, Proposal, RedemptionProposal};
use coxswain_testkit::{DepositSpec, FaultyEndpoint, Reply, World, standard_scripts};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use crate::fleet::{
    self, Fleet, Member, PATIENCE, Plan, operator,
    status::{asked, free},
};

const HOSTILE: u8 = 4;
const HONEST: [u8; 3] = [1, 2, 3];

/// Messages are not logged: a flood is not to be one of the log, too.
const QUIET: [(&str, &str); 1] = [("COXSWAIN_LOG__LEVEL", "info,coxswain_node=debug")];

/// How long a member floods.
fn flood_time() -> Duration {
    Duration::from_secs(env::var("COXSWAIN_FLOOD_SECONDS").map_or(4, |text| text.parse().unwrap()))
}

/// Three processes and a hostile member of one wallet that has something to do. Each process has two servers, so that what
/// follows from a block is no server's word alone. Gives where the processes say how they are, too.
async fn begin(
    variables: &[(&str, &str)],
) -> (Fleet, KeyHash, BTreeMap<u8, SocketAddr>, Vec<FaultyEndpoint>) {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let mut plan = Plan::of(4).played(HOSTILE);
    let mut servers = Vec::new();
    for number in HONEST {
        let server = FaultyEndpoint::start(world.chain.url(), |_| Reply::Forward);
        let server = server.await.unwrap();
        plan.ethereum.insert(number, vec![world.chain.endpoint(), server.url().to_string()]);
        servers.push(server);
    }
    let mut fleet = Fleet::new(world, &[wallet.public_key().0], plan).await;
    let statuses = BTreeMap::from(HONEST.map(|number| (number, free())));
    for (number, at) in &statuses {
        let listen = at.to_string();
        fleet.run(*number, &[variables, &[("COXSWAIN_STATUS__LISTEN", &listen)]].concat());
    }
    fleet.taken().await;
    (fleet, wallet.key_hash(), statuses, servers)
}

/// Waits until so many messages, or more, have come to each of the processes.
async fn heard(statuses: &BTreeMap<u8, SocketAddr>, wanted: u64) {
    let counted = |page: &str| {
        let mut values =
            page.lines().filter_map(|line| line.strip_prefix("performance_message_received_total "));
        values.next().and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
    };
    let all = async {
        for at in statuses.values() {
            while asked(*at, "/metrics").await.is_none_or(|(_, page)| counted(&page) < wanted) {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    assert!(timeout(PATIENCE, all).await.is_ok(), "never {wanted} messages");
}

/// Lets a window begin, for all others.
async fn open(fleet: &mut Fleet, wallet: KeyHash, window: Window) {
    fleet.mine(1).await;
    fleet.have_read(&HONEST, wallet, window).await;
}

/// The hostile member says something at a window's first block, and all others hear it.
async fn says(fleet: &mut Fleet, wallet: KeyHash, window: Window, hostile: &Member, envelope: &[u8]) {
    open(fleet, wallet, window).await;
    hostile.say(wallet, envelope);
    fleet.heard(wallet, window, operator(HOSTILE)).await;
}

/// Lets the rest of a window pass, and gives what the others came to.
async fn finish(fleet: &mut Fleet, wallet: KeyHash, window: Window) -> BTreeMap<u8, Arc<WindowResult>> {
    if fleet.assignment(wallet, window).await.leader != operator(HOSTILE) {
        fleet.has_spoken(wallet, window).await;
    }
    fleet.mine_to(window.end()).await;
    let results = fleet.results(wallet, window).await;
    assert_eq!(results.keys().copied().collect::<Vec<_>>(), HONEST);
    results
}

fn redemption(fee: u64) -> Proposed {
    let [script, ..] = standard_scripts(9);
    propose(Proposal::Redemption(RedemptionProposal { scripts: vec![script], fee: Amount::from_sat(fee) }))
}

fn propose(proposal: Proposal) -> Proposed {
    Proposed::Action(Arc::new(proposal))
}

/// Checks that all came to this, and have recorded such a fault of the hostile member, with the signed message where there is
/// one, and nothing of anybody else.
fn blame(results: &BTreeMap<u8, Arc<WindowResult>>, name: &str, expected: impl Fn(&FaultKind) -> bool) {
    for result in results.values() {
        assert_eq!(result.agreement.name(), name, "{result:#?}");
        assert!(result.faults.iter().any(|fault| expected(&fault.kind)), "{result:#?}");
        for fault in &result.faults {
            assert_eq!(fault.culprit, operator(HOSTILE));
            let is_silence = matches!(fault.kind, FaultKind::LeaderIdleness { .. });
            assert_eq!(fault.signed.is_none(), is_silence, "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_19_inc_20_inc_21_inc_34_what_a_hostile_member_does_is_recorded_by_all_and_blames_it_alone() {
    let (mut fleet, wallet, _statuses, _servers) = begin(&[]).await;
    let (hostile, _heard) = Member::join(&fleet, HOSTILE, &HONEST, true).await;
    hostile.linked(&HONEST).await;
    let leads = |it: &coxswain_protocol::Assignment| it.leader == operator(HOSTILE);

    // INC-19: it proposes where another leads, by either rule for the safe block's hash.
    let window = fleet
        .until_hashed(|fleet, window, hashes| {
            [hashes.canonical, hashes.legacy_header]
                .into_iter()
                .all(|hash| !leads(&fleet.assigned(wallet, window, hash)))
        })
        .await;
    let said = hostile.envelope(&fleet, wallet, window, Proposed::NoOp, 1);
    says(&mut fleet, wallet, window, &hostile, &said).await;
    let results = finish(&mut fleet, wallet, window).await;
    blame(&results, "action", |kind| matches!(kind, FaultKind::LeaderImpersonation { .. }));

    // INC-20: what it proposes is not on the checklist.
    let window =
        fleet.until_next(wallet, |it| leads(it) && !it.checklist.contains(Action::MovingFunds)).await;
    let moving = MovingFundsProposal { targets: vec![KeyHash([1; 20])], fee: Amount::from_sat(1_000) };
    let moving = propose(Proposal::MovingFunds(moving));
    let said = hostile.envelope(&fleet, wallet, window, moving, 2);
    says(&mut fleet, wallet, window, &hostile, &said).await;
    let results = finish(&mut fleet, wallet, window).await;
    let expected = FaultKind::LeaderMistake(Mistake::NotOnChecklist(Action::MovingFunds));
    blame(&results, "leader mistake", |kind| *kind == expected);

    // INC-20: the contract refuses it.
    let window = fleet.until_next(wallet, leads).await;
    let said = hostile.envelope(&fleet, wallet, window, redemption(1_000), 3);
    says(&mut fleet, wallet, window, &hostile, &said).await;
    // Who judges it later than at the next block can't tell whether it was wrong from the start.
    fleet.mine(1).await;
    fleet.judged(wallet, window).await;
    let results = finish(&mut fleet, wallet, window).await;
    let rejected = |kind: &FaultKind| matches!(kind, FaultKind::LeaderMistake(Mistake::Rejected { .. }));
    blame(&results, "leader mistake", rejected);

    // INC-21: it leads, and says nothing. The journals have it.
    let window = fleet.until_next(wallet, leads).await;
    open(&mut fleet, wallet, window).await;
    let results = finish(&mut fleet, wallet, window).await;
    blame(&results, "leader idleness", |kind| matches!(kind, FaultKind::LeaderIdleness { .. }));

    // INC-34: it leads by the other rule for the safe block's hash. Nobody is blamed.
    let window = fleet
        .until_hashed(|fleet, window, hashes| {
            !leads(&fleet.assigned(wallet, window, hashes.canonical))
                && leads(&fleet.assigned(wallet, window, hashes.legacy_header))
        })
        .await;
    let said = hostile.envelope(&fleet, wallet, window, Proposed::NoOp, 4);
    says(&mut fleet, wallet, window, &hostile, &said).await;
    let results = finish(&mut fleet, wallet, window).await;
    for result in results.values() {
        assert_eq!((result.agreement.name(), result.faults.len()), ("action", 0), "{result:#?}");
        let told = result.notes.iter().any(
            |note| matches!(note, Note::HashRuleMismatch { author, .. } if *author == operator(HOSTILE)),
        );
        assert!(told, "{result:#?}");
    }
    hostile.leave().await;
    fleet.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_49_a_leader_that_tells_some_one_thing_and_others_another_is_seen_through_by_all() {
    let (mut fleet, wallet, statuses, _servers) = begin(&[]).await;
    // With the same key, it stands in two places, each of which knows one of the others.
    let (left, _heard) = Member::join(&fleet, HOSTILE, &[1], false).await;
    let (right, _also_heard) = Member::join(&fleet, HOSTILE, &[2], false).await;
    left.linked(&[1]).await;
    right.linked(&[2]).await;
    let window = fleet.until_next(wallet, |it| it.leader == operator(HOSTILE)).await;
    let one = left.envelope(&fleet, wallet, window, redemption(1_000), 1);
    let other = right.envelope(&fleet, wallet, window, redemption(2_000), 1);
    open(&mut fleet, wallet, window).await;
    left.say(wallet, &one);
    right.say(wallet, &other);
    // One of them takes two steps to some.
    heard(&statuses, 2).await;
    let results = finish(&mut fleet, wallet, window).await;
    let equivocates =
        |kind: &FaultKind| matches!(kind, FaultKind::LeaderMistake(Mistake::Equivocation { .. }));
    for result in results.values() {
        assert_eq!(result.agreement.name(), "equivocation", "{result:#?}");
        let fault = result.faults.iter().find(|fault| equivocates(&fault.kind)).unwrap();
        assert!(fault.culprit == operator(HOSTILE) && fault.signed.is_some());
        assert!(result.faults.iter().all(|fault| fault.culprit == operator(HOSTILE)));
    }
    left.leave().await;
    right.leave().await;
    fleet.stop();
}

/// A process's memory, in KiB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_18_a_member_that_floods_keeps_nobody_from_hearing_the_leader_in_that_window() {
    let (mut fleet, wallet, _statuses, _servers) = begin(&QUIET).await;
    let (hostile, _heard) = Member::join(&fleet, HOSTILE, &HONEST, true).await;
    hostile.linked(&HONEST).await;
    let window = fleet.until_next(wallet, |it| it.leader != operator(HOSTILE)).await;
    let pids: Vec<_> = fleet.nodes.values_mut().map(|node| node.process().id()).collect();
    let before: Vec<_> = pids.iter().map(|pid| memory(*pid)).collect();
    let seat = fleet.group().first_seat(operator(HOSTILE)).unwrap();
    let stop = AtomicBool::new(false);
    let said = AtomicU64::new(0);
    let began = Instant::now();
    let flood = async {
        while !stop.load(Ordering::Relaxed) {
            let sequence = said.fetch_add(1, Ordering::Relaxed);
            // Well-formed ones, all different; now and then a huge one; and repeats.
            let length = if sequence.is_multiple_of(16) { 60_000 } else { 100 };
            let script = ScriptBuf::from_bytes(vec![0x51; if length > 10_000 { 9_000 } else { length }]);
            let scripts = vec![script; if length > 10_000 { 6 } else { 1 }];
            let proposal = RedemptionProposal { scripts, fee: Amount::from_sat(sequence) };
            let message = CoordinationMessage {
                seat,
                coordination_block: window.block(),
                wallet,
                proposed: propose(Proposal::Redemption(proposal)),
            };
            let envelope = fleet::envelope(HOSTILE, &message.encode().unwrap(), sequence);
            for _ in 0..2 {
                hostile.say(wallet, &envelope);
            }
            if sequence.is_multiple_of(16) {
                yield_now().await;
            }
        }
    };
    let active = async {
        // The window opens amid the flood, and most of the active phase passes in it.
        tokio::time::sleep(flood_time() / 10).await;
        for _ in 0..14 {
            fleet.mine(1).await;
            tokio::time::sleep(flood_time() * 6 / 100).await;
        }
        tokio::time::sleep(flood_time().saturating_sub(began.elapsed())).await;
        fleet.mine_to(window.active_end()).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(flood, active);
    let flooded = began.elapsed();
    fleet.mine_to(window.end()).await;
    for (number, result) in fleet.results(wallet, window).await {
        assert!(matches!(result.agreement, Agreement::Action(..)), "{number}: {result:#?}");
        assert!(result.faults.iter().all(|fault| fault.culprit == operator(HOSTILE)), "{result:#?}");
    }
    let grown: Vec<_> =
        pids.iter().zip(before).map(|(pid, before)| memory(*pid).saturating_sub(before)).collect();
    println!(
        "a member said {} things in {:.0} s; the leader was heard by all; {grown:?} KiB more in the three processes",
        said.load(Ordering::Relaxed),
        flooded.as_secs_f32()
    );
    assert!(grown.iter().all(|grown| *grown < 128 << 10), "{grown:?} KiB");
    hostile.leave().await;
    fleet.stop();
}
