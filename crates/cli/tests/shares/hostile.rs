//! One of five operators cheats, in rounds, in what it announces and as convener: the other four, which are processes, go around it and
//! sign, name it where that can be told, and keep what they have banned.

use coxswain_node::actions::{End, Milestone};
use coxswain_protocol::{Seat, Window};
use coxswain_rules::KeyHash;
use coxswain_service::journal::Reader;
use coxswain_testkit::World;
use tokio::sync::watch;

use crate::{
    NODES, THRESHOLD,
    fleet::{Fleet, Plan},
    rogue::{Deed, Rogue, forget, heartbeat},
    told,
};

const CHEAT: u8 = 5;
/// Windows that may pass until it is among those who sign, or convenes.
const WINDOWS: usize = 12;

/// Runs the next heartbeat, in which the cheat does this if it comes to it. Gives whether it has.
async fn run(fleet: &mut Fleet, rogue: &mut Rogue, wallet: KeyHash, deed: Deed) -> (Window, bool) {
    let window = heartbeat(fleet, wallet).await;
    let job = rogue.job(fleet, window).await;
    let (tell, done) = watch::channel(false);
    let heights = fleet.nodes.values().next().unwrap().heights();
    let is_signed = |milestone: &Milestone| matches!(milestone, Milestone::Over(End::Alive(_)));
    tokio::select! {
        () = rogue.take_part(&job, deed, heights, &tell) => {}
        // All four sign.
        () = fleet.reach(wallet, window.index(), is_signed) => {}
    }
    let has_done = *done.borrow();
    (window, has_done)
}

/// The same again and again, until it has come to it.
async fn until_done(fleet: &mut Fleet, rogue: &mut Rogue, wallet: KeyHash, deed: Deed) {
    for _ in 0..WINDOWS {
        let (window, has_done) = run(fleet, rogue, wallet, deed).await;
        if has_done {
            let attempts = fleet.nodes.values().flat_map(|node| node.lines());
            let attempts = attempts.filter(|line| line.contains("an attempt to sign begins")).count();
            println!(
                "{deed:?}: signed in window {} all the same; {attempts} beginnings of attempts",
                window.index()
            );
            return;
        }
    }
    panic!("{deed:?}: it was never among those who sign");
}

/// What no honest node may be told to have done.
fn nobody_honest_is_accused(fleet: &Fleet) {
    let lines: Vec<_> = fleet.nodes.values().flat_map(|node| node.lines()).collect();
    for honest in 1..CHEAT {
        let seat = Seat::try_from(u64::from(honest)).unwrap();
        for accused in [format!("Ban {{ seat: {seat:?}"), format!("Fault {{ seat: {seat:?}")] {
            assert!(!lines.iter().any(|line| line.contains(&accused)), "{accused}: {lines:#?}");
        }
    }
}

/// `COXSWAIN_DEEDS` says which, if not all.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_five_cheats_in_each_way_and_the_others_sign() {
    let world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let key_hash = wallet.key_hash();
    let plan = Plan::of(NODES).signed(&[&wallet]).shared(THRESHOLD).played(CHEAT);
    let mut fleet = Fleet::start(world, &[wallet.public_key().0], plan).await;
    let mut rogue = Rogue::join(&fleet, CHEAT, &wallet).await;
    // What is told of it, if that can be told.
    let deeds = [
        (Deed::TwoNonces, Some("has announced two things for one attempt")),
        (Deed::NoLinks, None),
        (Deed::TwoLists, None),
        (Deed::SilentIn(3), Some("Silent { seat")),
        (Deed::TwoFaces, Some("Silent { seat")),
        (Deed::FlippedBits(1), Some("a seat has cheated, and is never signed with again")),
        (Deed::FlippedBits(2), Some("a seat has cheated, and is never signed with again")),
    ];
    let picked = std::env::var("COXSWAIN_DEEDS").unwrap_or_default();
    for (deed, telling) in deeds {
        if !picked.is_empty() && !picked.contains(&format!("{deed:?}")) {
            continue;
        }
        forget(&mut fleet, &rogue).await;
        until_done(&mut fleet, &mut rogue, key_hash, deed).await;
        if let Some(telling) = telling {
            assert!(told(&fleet, telling) > 0, "{deed:?}");
        }
        nobody_honest_is_accused(&fleet);
    }

    // Who has banned it says so again after a restart, and doesn't sign with it.
    let banning = |fleet: &Fleet| -> Vec<u8> {
        let has = |number: &u8| {
            let reader = Reader::open(&fleet.nodes[number].journal).unwrap();
            !reader.facts("signing_bans", Some(key_hash.0)).unwrap().is_empty()
        };
        fleet.nodes.keys().copied().filter(has).collect()
    };
    let by = banning(&fleet);
    assert!(!by.is_empty() || !picked.is_empty());
    for number in &by {
        fleet.nodes.remove(number).unwrap().kill();
        fleet.run(*number, &[]);
    }
    fleet.taken().await;
    rogue.bans.lock().unwrap().clear();
    run(&mut fleet, &mut rogue, key_hash, Deed::Honest).await;
    let cheat = Seat::try_from(u64::from(CHEAT)).unwrap();
    for number in by {
        let seat = Seat::try_from(u64::from(number)).unwrap();
        assert!(rogue.bans.lock().unwrap()[&seat].contains(&cheat), "seat {seat} has forgotten it");
    }
    rogue.leave().await;
    fleet.stop();
}
