//! A wallet whose transaction waits: it is busy with it, says so, refuses what is agreed on next, and all of that is shown. And a
//! wallet of which the journal can't be read: it is named, does nothing, and the others go on.

use coxswain_node::actions::{ActionRecord, End, Milestone};
use coxswain_protocol::Window;
use coxswain_rules::{Action, KeyHash};
use coxswain_testkit::{DepositSpec, World};

use crate::{
    fleet::{
        Fleet, Plan,
        status::{asked, free, until},
    },
    support::coxswain,
};

/// Lets blocks come until the action of the window has come to this.
async fn reach(
    fleet: &mut Fleet,
    wallet: KeyHash,
    window: Window,
    wanted: impl Fn(&Milestone) -> bool,
) -> ActionRecord {
    fleet.reach(wallet, window.index(), wanted).await;
    fleet.nodes[&1].action(wallet, window.index()).unwrap()
}

/// Runs the next window on whose checklist this action is, to its end.
async fn run_window(fleet: &mut Fleet, wallet: KeyHash, action: Action) -> Window {
    fleet.run_next(wallet, |it| it.checklist.contains(action)).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn inc_27_inc_36_inc_38_a_wallet_that_is_busy_stuck_or_not_to_be_read_says_so_and_the_other_goes_on() {
    let mut world = World::start().await.unwrap();
    let (first, second) = (world.wallet(1).await.unwrap(), world.wallet(2).await.unwrap());
    world.reveal(&first, DepositSpec::default()).await.unwrap();
    let keys = [first.public_key().0, second.public_key().0];
    let mut fleet = Fleet::new(world, &keys, Plan::of(1).signed(&[&first, &second])).await;
    let (at, wallet) = (free(), first.key_hash());
    let listen = at.to_string();
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &listen)]);
    fleet.taken().await;

    // Its transaction waits for 24 blocks of Bitcoin: an alarm, with what it pays and what the next block takes.
    let sweep = run_window(&mut fleet, wallet, Action::DepositSweep).await;
    reach(&mut fleet, wallet, sweep, |it| matches!(it, Milestone::InMempool { .. })).await;
    fleet.world.bitcoin.mine_empty(23).unwrap();
    fleet.mine(2).await;
    assert!(!fleet.nodes[&1].action(wallet, sweep.index()).unwrap().reached.iter().any(is_stuck));
    fleet.world.bitcoin.mine_empty(1).unwrap();
    let stuck = reach(&mut fleet, wallet, sweep, |it| matches!(it, Milestone::Stuck(_))).await;
    let Milestone::Stuck(told) = stuck.state().milestone else { panic!("{stuck:#?}") };
    assert!(told.fee_rate > 0 && told.next_block.is_some(), "{told:?}");
    let health = until(at, 200, &[("stuck_transaction", "warning")]).await;
    let entries = health["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["name"] == "stuck_transaction").unwrap();
    assert_eq!(entry["subject"], wallet.to_string());
    let txid = stuck.signed().unwrap().txid.to_string();
    assert!(entry["says"].as_str().unwrap().contains(&txid), "{entry}");
    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    for line in [
        "performance_stuck_wallet_transactions_total 1",
        "performance_wallet_dispatcher_active_actions 1",
        "performance_wallet_action_deposit_sweep_total 1",
        "performance_wallet_action_deposit_sweep_success_total 0",
        "performance_wallet_dispatcher_rejected_total 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}: {metrics}");
    }

    // It is busy with it, and a heartbeat that is agreed on is refused.
    let heartbeat = run_window(&mut fleet, wallet, Action::Heartbeat).await;
    let refused = reach(&mut fleet, wallet, heartbeat, |it| matches!(it, Milestone::Over(_))).await;
    assert_eq!(refused.end(), Some(&End::Busy { with: sweep.index() }));
    let journal = fleet.journal(1).display().to_string();
    let run = coxswain(&["why", &wallet.to_string(), "--journal", &journal, "--json"], "").await;
    let why = run.json();
    assert!(why["busy"]["with"].as_str().unwrap().contains("sweep"), "{why:#}");
    // It is watched for whoever has signed it, and what is watched is told.
    let spends: Vec<_> =
        stuck.signed().unwrap().inputs.iter().map(|(outpoint, _)| outpoint.to_string()).collect();
    let possible = &why["possiblySigned"];
    assert_eq!(possible.as_array().map(Vec::len), Some(1), "{why:#}");
    assert_eq!(
        (&possible[0]["window"], &possible[0]["spends"]),
        (&sweep.index().into(), &spends.clone().into())
    );
    let run = coxswain(&["why", &wallet.to_string(), "--journal", &journal], "").await;
    let told = format!("window {} may be signed", sweep.index());
    assert!(run.stdout.contains(&told) && run.stdout.contains(&spends[0]), "{}", run.stdout);
    let (_, metrics) = asked(at, "/metrics").await.unwrap();
    let line = "performance_wallet_dispatcher_rejected_total 1";
    assert!(metrics.lines().any(|other| other == line), "{metrics}");

    // Its rows in the journal can't be read: it is named, and does nothing more; the other wallet does.
    fleet.nodes.remove(&1).unwrap().kill();
    let damage = "UPDATE actions SET body = '{}' WHERE step = 1 AND wallet = ?1 AND window_index = ?2";
    let connection = rusqlite::Connection::open(fleet.journal(1)).unwrap();
    let damaged = (wallet.0, i64::try_from(sweep.index()).unwrap());
    assert_eq!(connection.execute(damage, damaged).unwrap(), 1);
    drop(connection);
    fleet.run(1, &[("COXSWAIN_STATUS__LISTEN", &listen)]);
    fleet.taken().await;
    let health = until(at, 503, &[("journal_actions", "failed")]).await;
    let entries = health["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["name"] == "journal_actions").unwrap();
    assert_eq!(entry["subject"], wallet.to_string());
    fleet.world.reveal(&second, DepositSpec::default()).await.unwrap();
    fleet.world.chain.advance(3 * 3600).await.unwrap();
    fleet.catch_up().await;
    let other = run_window(&mut fleet, second.key_hash(), Action::DepositSweep).await;
    reach(&mut fleet, second.key_hash(), other, |it| matches!(it, Milestone::InMempool { .. })).await;
    fleet.stop();
}

fn is_stuck(reached: &coxswain_node::actions::Reached) -> bool {
    matches!(reached.milestone, Milestone::Stuck(_))
}
