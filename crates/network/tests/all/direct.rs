//! Direct streams between nodes on sockets: what comes, and what nobody can make a node take.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use alloy_primitives::Address;
use coxswain_network::{Config, DirectError, Hub, Session, SessionTerms};
use tokio::time::timeout;

use crate::support::{Node, config, identity};

const WAIT: Duration = Duration::from_secs(60);
/// All that sessions may bring in, in KiB.
const BUDGET: usize = 256 << 10;

fn address(number: u8) -> Address {
    identity(number).operator().address()
}

fn direct(number: u8) -> Config {
    Config { direct: true, ..config(number) }
}

/// A session among us and these others.
fn terms(name: u8, peers: &[u8]) -> SessionTerms {
    saying(name, peers, 300_000)
}

/// In which each of them may say so much.
fn saying(name: u8, peers: &[u8], bytes: usize) -> SessionTerms {
    let peers = peers.iter().map(|number| (address(*number), bytes)).collect();
    SessionTerms { id: [name; 32], peers, frame_bytes: 1000 }
}

/// Two members, linked, and a third party of this number.
async fn three(third: Config, seats: u8) -> [Node; 3] {
    let (one, two) = (Node::start(direct(1), seats).await, Node::start(direct(2), seats).await);
    let three = Node::start(third, 9).await;
    two.dial(&one).await;
    three.dial(&one).await;
    one.linked(2).await;
    two.linked(1).await;
    one.until("the third is connected", |status| status.peers.len() == 2).await;
    [one, two, three]
}

async fn next(session: &mut Session) -> (Address, Vec<u8>) {
    timeout(WAIT, session.recv()).await.expect("a frame comes")
}

/// That nothing has come, after something that came later by another way.
async fn nothing(session: &mut Session) {
    let waited = timeout(Duration::from_millis(200), session.recv()).await;
    assert_eq!(waited.ok(), None);
}

#[tokio::test]
async fn frames_come_in_order_both_ways_and_those_that_come_early_wait() {
    let [one, two, _three] = three(direct(3), 3).await;
    let mut ours = one.network.session(terms(1, &[2])).unwrap();
    // More than wait for a reader: none of them is dropped.
    let frame = |number: u8| vec![number; 1000];
    for number in 0..250 {
        ours.send(address(2), &frame(number)).unwrap();
    }
    let mut theirs = two.network.session(terms(1, &[1])).unwrap();
    theirs.send(address(1), b"an answer").unwrap();
    assert_eq!(next(&mut ours).await, (address(2), b"an answer".to_vec()));
    for number in 0..250 {
        assert_eq!(next(&mut theirs).await, (address(1), frame(number)));
    }
    // Another session of the same two is apart.
    let (ours_too, mut theirs_too) =
        (one.network.session(terms(2, &[2])).unwrap(), two.network.session(terms(2, &[1])).unwrap());
    ours_too.send(address(2), b"of another").unwrap();
    assert_eq!(next(&mut theirs_too).await, (address(1), b"of another".to_vec()));
    nothing(&mut theirs).await;
}

#[tokio::test]
async fn a_member_that_has_no_part_in_a_session_is_not_read() {
    let [one, two, three] = three(direct(3), 3).await;
    let mut ours = one.network.session(terms(1, &[2])).unwrap();
    let intruder = three.network.session(terms(1, &[1])).unwrap();
    intruder.send(address(1), b"let me in").unwrap();
    one.until("it is refused", |status| status.counts.direct_refused > 0).await;
    let theirs = two.network.session(terms(1, &[1])).unwrap();
    theirs.send(address(1), b"a member's").unwrap();
    assert_eq!(next(&mut ours).await, (address(2), b"a member's".to_vec()));
    nothing(&mut ours).await;
}

#[tokio::test]
async fn who_is_no_operator_of_our_wallets_opens_no_stream() {
    // The third is let in as a peer, as every operator with a stake is.
    let [one, _two, three] = three(direct(9), 3).await;
    let intruder = three.network.session(terms(1, &[1])).unwrap();
    intruder.send(address(1), b"let me in").unwrap();
    one.until("it is refused", |status| status.counts.direct_refused > 0).await;
    // Even if a session names it.
    let mut ours = one.network.session(terms(2, &[9])).unwrap();
    let intruder = three.network.session(terms(2, &[1])).unwrap();
    let before = one.network.status().counts.direct_refused;
    intruder.send(address(1), b"let me in").unwrap();
    one.until("it is refused", |status| status.counts.direct_refused > before).await;
    nothing(&mut ours).await;
}

#[tokio::test]
async fn the_longest_frame_and_the_last_byte_are_taken_and_nothing_beyond() {
    let [one, two, _three] = three(direct(3), 3).await;
    let exact = SessionTerms { frame_bytes: 100, ..saying(1, &[2], 150) };
    let ours = one.network.session(exact.clone()).unwrap();
    assert_eq!(ours.send(address(2), &[1; 101]), Err(DirectError::TooLong(101)));
    assert_eq!(ours.send(address(2), &[]), Err(DirectError::TooLong(0)));
    ours.send(address(2), &[1; 100]).unwrap();
    assert_eq!(ours.send(address(2), &[2; 51]), Err(DirectError::TooLong(51)));
    ours.send(address(2), &[2; 50]).unwrap();
    assert_eq!(ours.send(address(2), &[3]), Err(DirectError::TooLong(1)));
    assert_eq!(ours.send(address(3), &[3]), Err(DirectError::Stranger(address(3))));
    let mut theirs = two.network.session(SessionTerms { frame_bytes: 100, ..saying(1, &[1], 150) }).unwrap();
    assert_eq!(next(&mut theirs).await, (address(1), vec![1; 100]));
    assert_eq!(next(&mut theirs).await, (address(1), vec![2; 50]));
    assert_eq!(two.network.status().counts.direct_refused, 0);

    // Whoever has other terms is cut off at the first byte beyond, and what came before stands.
    for (name, frames) in [
        (2, &[vec![1; 101]][..]),
        (3, &[vec![1; 100], vec![2; 51]]),
        (4, &[vec![1; 100], vec![2; 50], vec![3]]),
    ] {
        let loose = one.network.session(terms(name, &[2])).unwrap();
        for frame in frames {
            loose.send(address(2), frame).unwrap();
        }
        let strict = SessionTerms { frame_bytes: 100, ..saying(name, &[1], 150) };
        let before = two.network.status().counts.direct_refused;
        let mut theirs = two.network.session(strict).unwrap();
        for frame in &frames[..frames.len() - 1] {
            assert_eq!(next(&mut theirs).await, (address(1), frame.clone()));
        }
        two.until("it is cut off", |status| status.counts.direct_refused > before).await;
        nothing(&mut theirs).await;
    }
}

#[tokio::test]
async fn what_was_not_sent_when_a_link_broke_goes_over_the_next_one() {
    let (one, two) = (Node::start(direct(1), 2).await, Node::start(direct(2), 2).await);
    let ours = one.network.session(terms(1, &[2])).unwrap();
    // Nobody is linked yet.
    ours.send(address(2), b"first").unwrap();
    two.dial(&one).await;
    let mut theirs = two.network.session(terms(1, &[1])).unwrap();
    assert_eq!(next(&mut theirs).await, (address(1), b"first".to_vec()));
    drop(theirs);
    two.stop().await;
    one.until("it is gone", |status| status.peers.is_empty()).await;
    ours.send(address(2), b"second").unwrap();
    let again = Node::start(direct(2), 2).await;
    let mut theirs = again.network.session(terms(1, &[1])).unwrap();
    again.dial(&one).await;
    assert_eq!(next(&mut theirs).await, (address(1), b"second".to_vec()));
}

#[tokio::test]
async fn sessions_take_their_room_from_one_budget_and_give_it_back() {
    let node = Node::start(direct(1), 3).await;
    let mut whole = saying(1, &[2], (BUDGET - 100) << 10);
    whole.peers.insert(address(3), 100 << 10);
    let mut beyond = whole.clone();
    beyond.peers.insert(address(3), (100 << 10) + 1);
    assert_eq!(node.network.session(beyond).err(), Some(DirectError::NoRoom(BUDGET + 1)));
    let session = node.network.session(whole.clone()).unwrap();
    assert_eq!(node.network.session(whole.clone()).err(), Some(DirectError::Open));
    let least = saying(2, &[2], 1);
    assert_eq!(node.network.session(least.clone()).err(), Some(DirectError::NoRoom(1)));
    // One that isn't read any more takes no room, and stands until it is dropped.
    let finished = session.finish();
    assert_eq!(node.network.session(whole.clone()).err(), Some(DirectError::Open));
    let whole_again = SessionTerms { id: [4; 32], ..whole.clone() };
    drop(node.network.session(whole_again).unwrap());
    drop(finished);
    node.network.session(least).unwrap();
    node.network.session(whole).unwrap();
    let endless = saying(3, &[2, 3], usize::MAX);
    assert!(matches!(node.network.session(endless).err(), Some(DirectError::NoRoom(_))));
}

#[tokio::test]
async fn a_node_without_direct_streams_opens_none_and_offers_none() {
    assert_eq!(Hub::node(identity(1), 1).session(terms(1, &[2])).err(), Some(DirectError::Off));
    let (one, two) = (Node::start(config(1), 2).await, Node::start(direct(2), 2).await);
    assert_eq!(one.network.session(terms(1, &[2])).err(), Some(DirectError::Off));
    two.dial(&one).await;
    one.linked(2).await;
    let session = two.network.session(terms(1, &[1])).unwrap();
    session.send(address(1), b"nobody reads it").unwrap();
    // The connection bears it: what is said on the channel still comes.
    let mut one = one;
    two.say(b"still here", 1);
    assert!(one.hear(WAIT).await.is_some());
    assert_eq!(one.network.status().counts.direct_refused, 0);
}
