//! `coxswain start` as an operator meets it: five real processes on a chain with the real Bridge, and what keeps one from
//! starting.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use alloy_primitives::Address;
use bitcoin::Amount;
use coxswain_protocol::{Agreement, Assurance, WindowResult};
use coxswain_rules::{Action, KeyHash};
use coxswain_testkit::{DepositSpec, TestChain, World, standard_scripts, write_private};
use tempfile::TempDir;

use crate::{
    fleet::{Fleet, Plan, keystore, operator, program},
    lives::kept::judged_again,
    support::coxswain,
};

const FEE: Amount = Amount::from_sat(10_000);
const NODES: u8 = 5;

/// How many windows in a row.
fn windows() -> u64 {
    std::env::var("COXSWAIN_WINDOWS").map_or(2, |windows| windows.parse().unwrap())
}

/// Runs the window that begins at the next block, and gives each wallet's result.
async fn run_window(fleet: &mut Fleet, wallets: &[KeyHash]) -> Vec<Arc<WindowResult>> {
    let window = fleet.next();
    fleet.mine(1).await;
    for wallet in wallets {
        fleet.has_spoken(*wallet, window).await;
    }
    fleet.mine_to(window.end()).await;
    let mut results = Vec::new();
    for wallet in wallets {
        let all = fleet.results(*wallet, window).await;
        let first = &all[&1];
        for result in all.values() {
            assert_eq!(result.agreement.proposal(), first.agreement.proposal(), "{all:#?}");
            assert_eq!(result.agreement.name(), first.agreement.name(), "{all:#?}");
            assert_eq!(result.basis.unwrap().leader, first.basis.unwrap().leader);
            assert!(result.faults.is_empty(), "{result:#?}");
            let Agreement::Action(validated, _) = &result.agreement else { panic!("{result:#?}") };
            assert_eq!(validated.at().assurances.state, Some(Assurance::Proven), "{result:#?}");
        }
        let senders =
            fleet.nodes.values().filter(|node| node.sent(*wallet, window.index()).is_some()).count();
        assert_eq!(senders, 1, "only the leader speaks");
        results.push(Arc::clone(first));
    }
    fleet.rest().await;
    results
}

/// Who leads as `coxswain leader` says.
async fn leader(fleet: &Fleet, wallet: KeyHash, block: u64) -> Address {
    let operators = fleet.folder.path().join("operators");
    let lines: Vec<_> = (1..=NODES).map(|number| operator(number).to_checksum(None)).collect();
    fs::write(&operators, lines.join("\n")).unwrap();
    let (wallet, block, url) = (wallet.to_string(), block.to_string(), fleet.world.chain.endpoint());
    let file = operators.to_str().unwrap();
    let arguments =
        ["leader", "--wallet", &wallet, "--operators", file, "--rpc-url", &url, "--block", &block, "--json"];
    let run = coxswain(&arguments, "").await;
    run.json()["leader"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_come_to_the_same_results_window_after_window() {
    let mut world = World::start().await.unwrap();
    // One wallet has a request to pay, the other a deposit to sweep.
    let (paying, sweeping) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    let deposit = world.reveal(&paying, DepositSpec::default()).await.unwrap();
    world.sweep(&paying, &[deposit], FEE).await.unwrap();
    let [script, ..] = standard_scripts(1);
    let amount = Amount::from_sat(2_000_000);
    world.request_redemption(&paying, world.depositor, script, amount).await.unwrap();
    world.reveal(&sweeping, DepositSpec::default()).await.unwrap();

    let wallets = [paying.key_hash(), sweeping.key_hash()];
    let keys = [paying.public_key().0, sweeping.public_key().0];
    let mut fleet = Fleet::start(world, &keys, Plan::of(NODES)).await;
    for _ in 0..windows() {
        let results = run_window(&mut fleet, &wallets).await;
        for (result, action) in results.iter().zip([Action::Redemption, Action::DepositSweep]) {
            assert!(matches!(result.agreement, Agreement::Action(..)), "{result:#?}");
            assert_eq!(result.agreement.proposal().map(|proposal| proposal.action()), Some(action));
            let leader = leader(&fleet, result.wallet, result.window.block().0).await;
            assert_eq!(result.basis.unwrap().leader, leader);
        }
    }
    let judged = judged_again(&fleet);
    assert!(judged >= 2 * usize::from(NODES), "{judged}");
    println!("{} windows, {judged} verdicts judged again, each the same", windows());
    fleet.stop();
}

fn code(config: &Path) -> (Option<i32>, String) {
    let output = program(config).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_configuration_that_makes_no_sense_is_told_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    let base = "[ethereum]\nurls = [\"http://127.0.0.1:1\"]\nkeystore = \"none\"\npassword_file = \"none\"\n";
    let rest = "[bitcoin]\nurls = [\"tcp://127.0.0.1:1\"]\n[journal]\npath = \"none\"\n";
    for (text, told) in [
        (format!("{base}quorums = 1\n{rest}"), "ethereum.quorums"),
        (format!("{base}quorum = \"many\"\n{rest}"), "ethereum.quorum"),
        (format!("{base}network = \"main\"\n{rest}"), "ethereum.network"),
        (format!("{base}request_timeout = \"15\"\n{rest}"), "ethereum.request_timeout"),
        (rest.to_owned(), "ethereum"),
        (format!("{base}{rest}"), "password"),
        ("[ethereum\n".to_owned(), "line 1"),
    ] {
        fs::write(&config, text).unwrap();
        let (code, stderr) = code(&config);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    assert_eq!(code(&folder.path().join("other.toml")).0, Some(2));
}

/// Where a node's files are, whose configuration names mainnet and the local chain's server.
fn of_another_chain(chain: &TestChain) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_private(&path("key"), keystore([1; 32]).to_string()).unwrap();
    write_private(&path("password"), "correct horse").unwrap();
    let text = format!(
        "[ethereum]\nurls = [{:?}]\nnetwork = \"mainnet\"\nkeystore = {:?}\npassword_file = {:?}\n\
         [bitcoin]\nurls = [\"tcp://127.0.0.1:1\"]\n[journal]\npath = {:?}\n",
        chain.endpoint(),
        path("key"),
        path("password"),
        path("journal.db"),
    );
    fs::write(path("node.toml"), text).unwrap();
    let config = path("node.toml");
    (folder, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_24_a_node_does_not_start_on_another_chain() {
    let chain = TestChain::start().unwrap();
    let (_folder, config) = of_another_chain(&chain);
    let (code, stderr) = tokio::task::spawn_blocking(move || code(&config)).await.unwrap();
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("31337") && stderr.contains("mainnet"), "{stderr}");
}

/// Keystore and password are used only if nobody else can read them: by nodes, maintainers and the doctor alike.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_can_read_opens_no_key() {
    let chain = TestChain::start().unwrap();
    let (folder, config) = of_another_chain(&chain);
    let run = |command: &str| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_coxswain"));
        run.arg(command).arg("--config").arg(&config);
        let output = tokio::task::block_in_place(|| run.output().unwrap());
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&told).into_owned())
    };
    for name in ["key", "password"] {
        let file = folder.path().join(name);
        let permit = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        for (command, refused) in [("start", 2), ("maintain", 2), ("doctor", 1)] {
            permit(0o604);
            let (code, told) = run(command);
            assert_eq!(code, Some(refused), "{command}: {told}");
            let mended = format!("{}: others have access to it (mode 604): chmod 600 it", file.display());
            assert!(told.contains(&mended), "{command}: {told}");
        }
        // As mounted secrets are: a link to a file that is only read.
        let mounted = folder.path().join(format!("mounted-{name}"));
        fs::rename(&file, &mounted).unwrap();
        symlink(&mounted, &file).unwrap();
        permit(0o400);
        let (code, told) = run("start");
        assert_eq!(code, Some(3), "it is opened, and the chain is another: {told}");
        let (_, told) = run("doctor");
        assert!(told.contains("opens: operator 0x"), "{told}");
    }
}
