//! Two wallets' lives, carried out by five real processes on the real Bridge: deposits are swept, a request is paid, one wallet
//! retires and its funds are moved to the other and swept there. The test only asks, lets time pass, mines and proves; all else
//! is the nodes', and is told from their journals. On any Bitcoin: the test's own, or real peers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use alloy_primitives::Address;
use bitcoin::{Amount, Transaction, consensus::encode};
use coxswain_node::actions::{End, Milestone};
use coxswain_protocol::{Assignment, Window};
use coxswain_rules::{Action, KeyHash};
use coxswain_testkit::{DepositOutput, DepositSpec, Wallet, World, standard_scripts};

use crate::fleet::{Fleet, Plan, operator};

pub(crate) mod kept;

const HOUR: u64 = 3600;
const NODES: u8 = 5;

/// What differs from life to life.
#[derive(Default)]
pub(crate) struct Life {
    /// Nobody has the wallets' keys: so many of the five sign, with shares. Otherwise all have them.
    pub(crate) threshold: Option<u8>,
    /// How many deposits are swept beside a main UTXO, in a sweep of their own.
    pub(crate) more_deposits: usize,
    /// Who is asked of Bitcoin. The test's own server, if nobody.
    pub(crate) servers: Vec<String>,
}

/// Runs the next window that somebody who lives leads, and in which this action is agreed on for the wallet.
pub(crate) async fn agreed(fleet: &mut Fleet, wallet: KeyHash, action: Action) -> Window {
    let living: Vec<Address> = fleet.nodes.keys().map(|number| operator(*number)).collect();
    let wanted = |assignment: &Assignment| {
        assignment.checklist.contains(action) && living.contains(&assignment.leader)
    };
    let (window, results) = fleet.run_next(wallet, wanted).await;
    for result in results.values() {
        assert!(result.faults.is_empty(), "{result:#?}");
        let proposal = result.agreement.proposal();
        assert_eq!(proposal.map(|proposal| proposal.action()), Some(action), "{result:#?}");
    }
    window
}

/// Runs the next such window, and the action up to the transaction's first block. Gives the window's index and the transaction.
/// `absent` is killed when the window is over, and comes back when the others have handed the transaction to Bitcoin.
pub(crate) async fn carried_out(
    fleet: &mut Fleet,
    wallet: &Wallet,
    action: Action,
    absent: Option<u8>,
) -> (u64, Transaction) {
    let key_hash = wallet.key_hash();
    let window = agreed(fleet, key_hash, action).await;
    let index = window.index();
    if let Some(absent) = absent {
        fleet.nodes.remove(&absent).unwrap().kill();
    }
    fleet.reach(key_hash, index, |milestone| matches!(milestone, Milestone::InMempool { .. })).await;
    if let Some(absent) = absent {
        fleet.run(absent, &[]);
        fleet.taken().await;
        fleet.reach(key_hash, index, |milestone| matches!(milestone, Milestone::InMempool { .. })).await;
        let record = fleet.nodes[&absent].action(key_hash, index).unwrap();
        let found = record.signed().unwrap();
        assert_eq!((found.attempt, found.seats.len()), (0, 0), "it has found what the others have signed");
    }
    let records = fleet.actions(key_hash, index);
    let signed: Vec<_> =
        records.iter().map(|record| record.signed().expect("what waits is signed")).collect();
    assert!(signed.iter().all(|one| one.raw == signed[0].raw), "all sign the same bytes");
    if let Some(threshold) = fleet.threshold() {
        // Whoever was slower than the others has their transaction or their signatures, and names no attempt.
        let by: Vec<_> = signed.iter().filter(|one| one.attempt > 0).collect();
        assert!(!by.is_empty(), "{records:#?}");
        for one in &by {
            assert_eq!(one.seats.len(), usize::from(threshold), "{one:?}");
            assert_eq!((one.attempt, &one.seats), (by[0].attempt, &by[0].seats));
        }
        println!("{action}: signed in attempt {} by seats {:?}", by[0].attempt, by[0].seats);
    }
    (index, encode::deserialize(&signed[0].raw).unwrap())
}

/// Mines and proves the transaction: the action is over then, everywhere.
pub(crate) async fn proven(
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
    fleet.reach(wallet.key_hash(), index, |milestone| *milestone == Milestone::Over(End::Proven)).await;
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

/// Reveals so many deposits.
async fn reveal(world: &mut World, wallet: &Wallet, count: usize) {
    let outputs = [DepositOutput::P2wsh, DepositOutput::P2sh];
    for output in outputs.into_iter().cycle().take(count) {
        world.reveal(wallet, DepositSpec { output, ..DepositSpec::default() }).await.unwrap();
    }
}

/// Lives through it, in a world in which nothing has happened. Who is asked of Bitcoin follows the world's chain once `follow` is
/// done.
pub(crate) async fn live(mut world: World, life: Life, follow: impl AsyncFn(&World)) {
    let (first, second) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    reveal(&mut world, &first, 2).await;
    let keys = [first.public_key().0, second.public_key().0];
    follow(&world).await;
    let Life { threshold, more_deposits, servers } = life;
    let plan = Plan { threshold, bitcoin: servers, ..Plan::of(NODES).signed(&[&first, &second]) };
    let mut fleet = Fleet::start(world, &keys, plan).await;
    for number in 1..=NODES {
        fleet.world.chain.fund(operator(number)).await.unwrap();
    }

    let (index, sweep) = carried_out(&mut fleet, &first, Action::DepositSweep, None).await;
    assert_eq!(sweep.input.len(), 2);
    proven(&mut fleet, &first, Action::DepositSweep, index, &sweep, &follow).await;

    if more_deposits > 0 {
        reveal(&mut fleet.world, &first, more_deposits).await;
        follow(&fleet.world).await;
        // Each is deep enough then, and old enough.
        fleet.world.chain.mine(32).await.unwrap();
        fleet.world.chain.advance(3 * HOUR).await.unwrap();
        fleet.catch_up().await;
        let (index, sweep) = carried_out(&mut fleet, &first, Action::DepositSweep, None).await;
        assert_eq!(sweep.input.len(), 1 + more_deposits, "the main UTXO beside them");
        println!("{} inputs in one transaction", sweep.input.len());
        proven(&mut fleet, &first, Action::DepositSweep, index, &sweep, &follow).await;
    }

    redeemed(&mut fleet, &first, &follow).await;
    moved(&mut fleet, &first, &second, &follow).await;

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

/// A request is paid, while one of them is gone.
async fn redeemed(fleet: &mut Fleet, wallet: &Wallet, follow: &impl AsyncFn(&World)) {
    let [script, ..] = standard_scripts(1);
    let depositor = fleet.world.depositor;
    let amount = Amount::from_sat(2_000_000);
    fleet.world.request_redemption(wallet, depositor, script.clone(), amount).await.unwrap();
    // It is deep enough then, however soon the next window begins, and old enough.
    fleet.world.chain.mine(32).await.unwrap();
    fleet.world.chain.advance(3 * HOUR).await.unwrap();
    fleet.catch_up().await;
    let (index, redemption) = carried_out(fleet, wallet, Action::Redemption, Some(5)).await;
    assert!(redemption.output.iter().any(|output| output.script_pubkey == script));
    proven(fleet, wallet, Action::Redemption, index, &redemption, follow).await;
}

/// A wallet retires: its funds are moved to another, and swept there.
async fn moved(fleet: &mut Fleet, from: &Wallet, to: &Wallet, follow: &impl AsyncFn(&World)) {
    fleet.world.retire(from).await.unwrap();
    fleet.world.chain.advance(25 * HOUR).await.unwrap();
    fleet.catch_up().await;
    let (index, moving) = carried_out(fleet, from, Action::MovingFunds, None).await;
    assert_eq!((moving.input.len(), moving.output.len()), (1, 1));
    proven(fleet, from, Action::MovingFunds, index, &moving, follow).await;

    // One of them has sent the commitment, once.
    let sent: Vec<_> =
        fleet.nodes.iter().map(|(number, node)| node.sent_to_ethereum(operator(*number))).collect();
    assert_eq!(sent.iter().sum::<usize>(), 1, "{sent:?}");

    let (index, merged) = carried_out(fleet, to, Action::MovedFundsSweep, None).await;
    assert_eq!(merged.input[0].previous_output.txid, moving.compute_txid());
    proven(fleet, to, Action::MovedFundsSweep, index, &merged, follow).await;
}
