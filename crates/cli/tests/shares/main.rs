//! A group that signs: five real processes hold shares of a wallet's key, three of which sign, on sockets and on the real Bridge.
//! Through two wallets' lives; with two killed; with a third killed, when nothing is signed any more. And what a node with shares
//! refuses.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

#[path = "../fleet/mod.rs"]
mod fleet;
mod hostile;
#[path = "../lives/mod.rs"]
mod lives;
#[path = "../rogue/mod.rs"]
mod rogue;

use std::{env, fs, os::unix::process::ExitStatusExt, process::Command, time::Duration};

use alloy_primitives::hex;
use bitcoin::{Amount, Transaction};
use coxswain_node::actions::{ActionRecord, End, Milestone};
use coxswain_rules::Action;
use coxswain_signing::store::{Passphrase, ShareFile};
use coxswain_testkit::{DepositSpec, Wallet, World, standard_scripts};
use tokio::time::{Instant, sleep};

use crate::{
    fleet::{Fleet, Node, Plan},
    lives::{Life, agreed, carried_out},
};

const HOUR: u64 = 3600;
const NODES: u8 = 5;
const THRESHOLD: u8 = 3;

/// Carries an action out, and proves it to the Bridge.
async fn proven(fleet: &mut Fleet, wallet: &Wallet, action: Action) -> Transaction {
    let (index, transaction) = carried_out(fleet, wallet, action, None).await;
    lives::proven(fleet, wallet, action, index, &transaction, &async |_: &World| {}).await;
    transaction
}

/// How often a node has told this.
pub(crate) fn told(fleet: &Fleet, what: &str) -> usize {
    let lines = fleet.nodes.values().flat_map(|node| node.lines());
    lines.filter(|line| line.contains(what)).count()
}

/// All that must never be told: the key, what opens its shares, and the shares.
fn is_told(fleet: &Fleet, wallet: &Wallet, lines: &[String]) -> bool {
    let text = lines.join("\n").to_lowercase();
    let shares = |number| {
        let file = fleet.shares(number).join(coxswain_signing::store::file_name(wallet.key_hash()));
        // A copy: the file itself is locked by the node that signs with it.
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join(file.file_name().unwrap());
        std::fs::copy(&file, &copy).unwrap();
        let opened = ShareFile::open(&copy, &Passphrase::new(fleet::shares::PASSPHRASE.as_bytes())).unwrap();
        opened.shares().appear_in(&text)
    };
    text.contains(&hex::encode(wallet.secret()))
        || text.contains(fleet::shares::PASSPHRASE)
        || (1..=NODES).any(shares)
}

/// Ends a node by a signal that leaves a core dump of other processes, from which shares could be read. Gives what it has told.
fn aborted(mut node: Node) -> Vec<String> {
    let pid = node.process().id();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(Command::new("kill").args(["-ABRT", &pid.to_string()]).status().unwrap().success());
    let status = node.wait();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    node.kill()
}

/// `COXSWAIN_DEPOSITS` says how many are swept beside a main UTXO.
#[tokio::test(flavor = "multi_thread")]
async fn five_processes_with_shares_live_through_two_wallets_lives() {
    let more_deposits = env::var("COXSWAIN_DEPOSITS").map_or(2, |text| text.parse().unwrap());
    let life = Life { threshold: Some(THRESHOLD), more_deposits, ..Life::default() };
    lives::live(World::start().await.unwrap(), life, async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_sign_with_shares_and_so_do_three_and_two_do_not() {
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let key_hash = wallet.key_hash();
    world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    let plan = Plan::of(NODES).signed(&[&wallet]).shared(THRESHOLD);
    let mut fleet = Fleet::new(world, &[wallet.public_key().0], plan).await;
    for number in fleet.processes() {
        fleet.run(number, &[]);
    }
    fleet.taken().await;
    assert_eq!(told(&fleet, "signed for with shares of its key"), usize::from(NODES));

    let sweep = proven(&mut fleet, &wallet, Action::DepositSweep).await;
    assert_eq!(sweep.input.len(), 1);

    let window = agreed(&mut fleet, key_hash, Action::Heartbeat).await;
    let alive =
        |milestone: &Milestone| matches!(milestone, Milestone::Over(End::Alive(alive)) if alive.active >= 3);
    fleet.reach(key_hash, window.index(), alive).await;

    // Two are gone.
    let mut lines = Vec::new();
    lines.extend(aborted(fleet.nodes.remove(&4).unwrap()));
    lines.extend(fleet.nodes.remove(&5).unwrap().kill());
    let [script, ..] = standard_scripts(1);
    let (depositor, amount) = (fleet.world.depositor, Amount::from_sat(2_000_000));
    fleet.world.request_redemption(&wallet, depositor, script.clone(), amount).await.unwrap();
    // It is deep enough then, however soon the next window begins, and old enough.
    fleet.world.chain.mine(32).await.unwrap();
    fleet.world.chain.advance(3 * HOUR).await.unwrap();
    fleet.catch_up().await;
    let redemption = proven(&mut fleet, &wallet, Action::Redemption).await;
    assert!(redemption.output.iter().any(|output| output.script_pubkey == script));

    // A third is gone: two are ready, and begin nothing.
    lines.extend(fleet.nodes.remove(&3).unwrap().kill());
    let begun = told(&fleet, "an attempt to sign begins");
    assert!(begun > 0);
    let window = agreed(&mut fleet, key_hash, Action::Heartbeat).await;
    let not_ready = |milestone: &Milestone| match milestone {
        Milestone::Over(End::Failed(why)) => why == "2 seats were ready, 3 needed",
        _ => false,
    };
    fleet.reach(key_hash, window.index(), not_ready).await;
    assert_eq!(told(&fleet, "an attempt to sign begins"), begun, "nothing of any round leaves");

    lines.extend(fleet.nodes.values().flat_map(|node| node.lines()));
    assert!(lines.len() > 100 && !is_told(&fleet, &wallet, &lines), "a secret is in a log");
    fleet.stop();
}

/// INC-38: a file that can't be used is a fault that names it and says how to mend it, and the node goes on.
#[tokio::test(flavor = "multi_thread")]
async fn inc_38_each_file_of_shares_that_cannot_be_used_is_named_and_the_node_goes_on() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::start().await.unwrap();
    let (first, second) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    let plan = Plan::of(NODES).signed(&[&first, &second]).shared(THRESHOLD);
    let mut fleet = Fleet::new(world, &[first.public_key().0, second.public_key().0], plan).await;
    let file = |fleet: &Fleet, number, wallet: &Wallet| {
        fleet.shares(number).join(coxswain_signing::store::file_name(wallet.key_hash()))
    };
    // Of each operator's two files, the first is spoiled.
    let open = file(&fleet, 1, &first);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let torn = file(&fleet, 2, &first);
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let missing = file(&fleet, 3, &first);
    fs::remove_file(&missing).unwrap();
    let another = file(&fleet, 4, &first);
    fs::copy(file(&fleet, 5, &first), &another).unwrap();
    let linked = file(&fleet, 5, &first);
    fs::rename(&linked, fleet.folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(fleet.folder.path().join("elsewhere"), &linked).unwrap();
    for number in fleet.processes() {
        fleet.run(number, &[]);
    }
    fleet.taken().await;
    let spoiled = [
        (1, open, "chmod 600"),
        (2, torn, "bring back a copy"),
        (3, missing, "there is no such file"),
        (4, another, "doesn't hold exactly the seats"),
        (5, linked, "link"),
    ];
    for (number, path, why) in spoiled {
        let named = |fleet: &Fleet| {
            let lines = fleet.nodes[&number].lines();
            lines.iter().any(|line| line.contains(path.to_str().unwrap()) && line.contains(why))
        };
        fleet.until(&format!("node {number} says {why}"), named).await;
        let signs = |fleet: &Fleet| {
            let lines = fleet.nodes[&number].lines();
            let mut signed = lines.iter().filter(|line| line.contains("signed for with shares"));
            signed.clone().count() == 1 && signed.all(|line| line.contains(&second.key_hash().to_string()))
        };
        fleet.until(&format!("node {number} signs for the other wallet"), signs).await;
    }
    // Nor does what is said of a file that can't be used say what is in it.
    let lines: Vec<_> = fleet.nodes.values().flat_map(|node| node.lines()).collect();
    assert!(!is_told(&fleet, &second, &lines) && !lines.join("\n").contains(&hex::encode(first.secret())));
    fleet.stop();
}

/// Killed anywhere while its group signs, and started again, a node joins later attempts only: nobody sees it announce two things for
/// one attempt, the others sign, and its shares open again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_anywhere_while_it_signs_says_nothing_twice() {
    let kills = env::var("COXSWAIN_KILLS").map_or(2, |text| text.parse().unwrap());
    let world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let key_hash = wallet.key_hash();
    let plan = Plan::of(NODES).signed(&[&wallet]).shared(THRESHOLD);
    let mut fleet = Fleet::start(world, &[wallet.public_key().0], plan).await;
    for kill in 0_u64..kills {
        let index = agreed(&mut fleet, key_hash, Action::Heartbeat).await.index();
        let number = 1 + u8::try_from(kill % u64::from(NODES)).unwrap();
        // Somewhere in an attempt, which has eight blocks.
        let (begun, after) = (Instant::now(), Duration::from_millis(kill * 7919 % 20_000));
        let mut is_killed = false;
        let ends = 'over: {
            for _ in 0..80 {
                let step = Duration::from_millis(50);
                for _ in 0..fleet.pace(key_hash, index).as_millis() / step.as_millis() {
                    if !is_killed && begun.elapsed() >= after {
                        is_killed = true;
                        fleet.nodes.remove(&number).unwrap().kill();
                        fleet.run(number, &[]);
                        fleet.taken().await;
                    }
                    let records = fleet.actions(key_hash, index);
                    let ends: Vec<_> = records.iter().filter_map(ActionRecord::end).cloned().collect();
                    if is_killed && ends.len() == usize::from(NODES) {
                        break 'over ends;
                    }
                    sleep(step).await;
                }
                fleet.mine(1).await;
            }
            panic!("{:#?}", fleet.actions(key_hash, index));
        };
        println!("node {number} was killed after {after:?}: {ends:?}");
        let signed = ends.iter().filter(|end| matches!(end, End::Alive(_))).count();
        assert!(signed >= usize::from(NODES) - 1, "{ends:#?}");
        assert_eq!(told(&fleet, "has announced two things"), 0);
        let lines = fleet.nodes[&number].lines();
        assert!(lines.iter().any(|line| line.contains("signed for with shares of its key")), "{lines:#?}");
    }
    fleet.stop();
}
