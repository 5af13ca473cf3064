//! Two wallets' lives, carried out by five real processes on the real Bridge: deposits are swept, a request is paid, one wallet
//! retires and its funds are moved to the other and swept there. The test only asks, lets time pass, mines and proves; all else
//! is the nodes', and is told from their journals. On any Bitcoin: the test's own, or real peers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::time::Duration;

use bitcoin::{Amount, Transaction, consensus::encode};
use coxswain_node::actions::{End, Milestone};
use coxswain_rules::{Action, KeyHash};
use coxswain_testkit::{DepositOutput, DepositSpec, Wallet, World, standard_scripts};

use crate::fleet::{Fleet, Plan, operator};

pub(crate) mod kept;

const HOUR: u64 = 3600;
const NODES: u8 = 5;

/// Runs the next window in which this action is agreed on for the wallet, and the action up to the transaction's first block.
/// Gives the window's index and the transaction. `absent` is killed when the window is over, and comes back when the others have
/// handed the transaction to Bitcoin.
async fn carried_out(
    fleet: &mut Fleet,
    wallet: &Wallet,
    action: Action,
    absent: Option<u8>,
) -> (u64, Transaction) {
    let key_hash = wallet.key_hash();
    let (window, results) =
        fleet.run_next(key_hash, |assignment| assignment.checklist.contains(action)).await;
    for result in results.values() {
        assert!(result.faults.is_empty(), "{result:#?}");
        assert_eq!(
            result.agreement.proposal().map(|proposal| proposal.action()),
            Some(action),
            "{result:#?}"
        );
    }
    let index = window.index();
    if let Some(absent) = absent {
        fleet.nodes.remove(&absent).unwrap().kill();
    }
    reach(fleet, key_hash, index, |milestone| matches!(milestone, Milestone::InMempool { .. })).await;
    if let Some(absent) = absent {
        fleet.run(absent, &[]);
        fleet.taken().await;
        reach(fleet, key_hash, index, |milestone| matches!(milestone, Milestone::InMempool { .. })).await;
        let record = fleet.nodes[&absent].action(key_hash, index).unwrap();
        let found = record.signed().unwrap();
        assert_eq!((found.attempt, found.seats.len()), (0, 0), "it has found what the others have signed");
    }
    let signed: Vec<_> = fleet
        .actions(key_hash, index)
        .iter()
        .map(|record| record.signed().expect("what waits is signed").raw.clone())
        .collect();
    assert!(signed.iter().all(|raw| *raw == signed[0]), "all sign the same bytes");
    (index, encode::deserialize(&signed[0]).unwrap())
}

/// Lets blocks come until the action has come to this at every node.
async fn reach(fleet: &mut Fleet, wallet: KeyHash, index: u64, wanted: impl Fn(&Milestone) -> bool) {
    // Real servers take their time.
    let each = Duration::from_secs(if fleet.asks_real_servers() { 10 } else { 1 });
    fleet.reach(wallet, index, (60, each), wanted).await;
}

/// Mines and proves the transaction: the action is over then, everywhere.
async fn proven(
    fleet: &mut Fleet,
    wallet: &Wallet,
    action: Action,
    index: u64,
    transaction: &Transaction,
    follow: &impl AsyncFn(&World),
) {
    fleet.world.prove_signed(wallet, action, transaction).await.unwrap();
    follow(&fleet.world).await;
    fleet.catch_up().await;
    reach(fleet, wallet.key_hash(), index, |milestone| *milestone == Milestone::Over(End::Proven)).await;
    let whole: &[_] = match action {
        Action::MovingFunds => &["agreed", "waiting", "assembled", "signed", "broadcast"],
        _ => &["agreed", "assembled", "signed", "broadcast"],
    };
    let mut have_signed = 0;
    for record in fleet.actions(wallet.key_hash(), index) {
        let names: Vec<_> = record.reached.iter().map(|reached| reached.milestone.name()).collect();
        // Who is slower than the others finds the transaction on Bitcoin.
        let seen: Vec<_> = whole.iter().filter(|name| names.contains(name)).copied().collect();
        let expected = [&seen[..], &["in a mempool", "confirmed", "proven"]].concat();
        assert_eq!(names, expected);
        assert!(names.contains(&"signed"), "{names:?}");
        have_signed += usize::from(seen == whole);
    }
    assert!(have_signed > 0, "somebody has signed it");
}

/// Lives through it, in a world in which nothing has happened. `servers` are asked of Bitcoin, which follow the world's chain once
/// `follow` is done.
pub(crate) async fn live(mut world: World, servers: Vec<String>, follow: impl AsyncFn(&World)) {
    let (first, second) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    for output in [DepositOutput::P2wsh, DepositOutput::P2sh] {
        world.reveal(&first, DepositSpec { output, ..DepositSpec::default() }).await.unwrap();
    }
    let keys = [first.public_key().0, second.public_key().0];
    follow(&world).await;
    let plan = Plan { bitcoin: servers, ..Plan::of(NODES).signed(&[&first, &second]) };
    let mut fleet = Fleet::start(world, &keys, plan).await;
    for number in 1..=NODES {
        fleet.world.chain.fund(operator(number)).await.unwrap();
    }

    let (index, sweep) = carried_out(&mut fleet, &first, Action::DepositSweep, None).await;
    assert_eq!(sweep.input.len(), 2);
    proven(&mut fleet, &first, Action::DepositSweep, index, &sweep, &follow).await;

    let [script, ..] = standard_scripts(1);
    let depositor = fleet.world.depositor;
    let amount = Amount::from_sat(2_000_000);
    fleet.world.request_redemption(&first, depositor, script.clone(), amount).await.unwrap();
    fleet.world.chain.advance(3 * HOUR).await.unwrap();
    fleet.catch_up().await;
    let (index, redemption) = carried_out(&mut fleet, &first, Action::Redemption, Some(5)).await;
    assert!(redemption.output.iter().any(|output| output.script_pubkey == script));
    proven(&mut fleet, &first, Action::Redemption, index, &redemption, &follow).await;

    fleet.world.retire(&first).await.unwrap();
    fleet.world.chain.advance(25 * HOUR).await.unwrap();
    fleet.catch_up().await;
    let (index, moving) = carried_out(&mut fleet, &first, Action::MovingFunds, None).await;
    assert_eq!((moving.input.len(), moving.output.len()), (1, 1));
    proven(&mut fleet, &first, Action::MovingFunds, index, &moving, &follow).await;

    // One of them has sent the commitment, once.
    let sent: Vec<_> =
        fleet.nodes.iter().map(|(number, node)| node.sent_to_ethereum(operator(*number))).collect();
    assert_eq!(sent.iter().sum::<usize>(), 1, "{sent:?}");

    let (index, merged) = carried_out(&mut fleet, &second, Action::MovedFundsSweep, None).await;
    assert_eq!(merged.input[0].previous_output.txid, moving.compute_txid());
    proven(&mut fleet, &second, Action::MovedFundsSweep, index, &merged, &follow).await;
    let judged = kept::judged_again(&fleet);
    let copy = fleet.folder.path().join("changed.db");
    let kinds = kept::changed(&fleet.journal(1), &copy);
    println!("{judged} verdicts judged again, each the same; a changed byte is named in each of {kinds:?}");
    for kind in
        ["entries/result", "actions/step", "actions/last", "facts/signed", "snapshots/snapshot", "codes/code"]
    {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    fleet.stop();
}
