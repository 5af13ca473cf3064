//! How a node ends when something in it fails, or it is told to: by the exit codes that are documented.

use coxswain_testkit::World;

use crate::fleet::{Fleet, Plan};

/// Operator 1, of two; the other is never there. What it records first is how its first window ended.
async fn alone(variables: &[(&str, &str)]) -> Fleet {
    let world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap().public_key().0;
    let mut fleet = Fleet::new(world, &[wallet], Plan::of(2).played(2)).await;
    let variables = [variables, &[("COXSWAIN_STATUS__OFF", "true")]].concat();
    fleet.run(1, &variables);
    fleet.taken().await;
    let window = fleet.next();
    // It may end before it has seen all of these.
    fleet.world.chain.mine(window.end().0 - fleet.height).await.unwrap();
    fleet
}

async fn stands_at(fleet: &mut Fleet, point: &str) {
    let node = fleet.nodes.get_mut(&1).unwrap();
    let stood = node.point.wait_for(|stood| stood.as_deref() == Some(point));
    let stood = tokio::time::timeout(crate::fleet::PATIENCE, stood).await;
    assert!(matches!(stood, Ok(Ok(_))), "never at {point}");
}

fn code(fleet: &mut Fleet) -> Option<i32> {
    fleet.nodes.get_mut(&1).unwrap().wait().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_what_the_node_needs_ends_it_with_4() {
    for point in ["append/before", "finish/before"] {
        let mut fleet = alone(&[("COXSWAIN_POINT", point), ("COXSWAIN_POINT_THEN", "panic")]).await;
        let ended = code(&mut fleet);
        assert_eq!(ended, Some(4), "{point}: {:#?}", fleet.nodes[&1].lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_end_at_a_point_it_ends_with_0() {
    for point in ["append/before", "append/after", "finish/before", "finish/after"] {
        let mut fleet = alone(&[("COXSWAIN_POINT", point), ("COXSWAIN_POINT_THEN", "go")]).await;
        stands_at(&mut fleet, point).await;
        fleet.nodes[&1].terminate();
        let ended = code(&mut fleet);
        assert_eq!(ended, Some(0), "{point}: {:#?}", fleet.nodes[&1].lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_past_the_deadline_ends_with_5() {
    let mut fleet = alone(&[("COXSWAIN_POINT", "append/before")]).await;
    stands_at(&mut fleet, "append/before").await;
    fleet.nodes[&1].terminate();
    let ended = code(&mut fleet);
    assert_eq!(ended, Some(5), "{:#?}", fleet.nodes[&1].lines());
}
