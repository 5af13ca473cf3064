//! The router's rules, each by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use coxswain_protocol::{
    MAX_SIGNED_BYTES,
    wire::{MAX_MESSAGE_BYTES, OperatorKey},
};

use super::*;
use crate::{ChannelVerdict, Rpc, Slot, message::subscriptions, open, verify};

/// The rules of a channel whose payloads are a window's number and what is proposed; 9 as the first byte is nonsense.
struct Windows {
    window: Arc<AtomicU8>,
}

impl ChannelRules for Windows {
    fn quota(&self) -> usize {
        64
    }

    fn assess(&mut self, author: &OperatorKey, envelope: &[u8]) -> ChannelVerdict {
        let now = self.window.load(Ordering::Relaxed);
        match open(author, envelope).unwrap().payload {
            [9, ..] => ChannelVerdict::Reject,
            [window, ..] if *window > now => ChannelVerdict::Early,
            [window, proposal, ..] if *window == now => ChannelVerdict::Accept {
                slot: Slot { period: u64::from(*window), lane: 0 },
                distinct: (*proposal > 0).then_some([*proposal; 32]),
            },
            _ => ChannelVerdict::Ignore,
        }
    }
}

fn windows() -> Box<dyn ChannelRules> {
    Box::new(Windows { window: Arc::new(AtomicU8::new(5)) })
}

/// Members 1 to 5; the node is 1.
fn of_five() -> (Joined, Vec<Identity>) {
    let members: Vec<_> = (1..=5).map(operator).collect();
    let joined = Joined::new(&members[0], &members.iter().collect::<Vec<_>>(), windows());
    (joined, members)
}

fn hello() -> Vec<u8> {
    subscriptions([(true, topic().as_bytes())])
}

#[test]
fn a_stream_begins_with_all_subscriptions_in_one_frame() {
    let (joined, members) = of_five();
    let link = joined.connect(&members[1]);
    assert_eq!(joined.written(link), [hello()]);
    let empty = Hub::node(operator(1), 1);
    let (link, _) = empty.lock().link_up(*operator(2).operator(), None, joined.start);
    empty.lock().writing(link);
    let frame = empty.lock().next_frame(link).unwrap();
    assert_eq!(frame.bytes[..], [0], "a hello of nothing is a frame of length 0");
}

#[test]
fn changes_are_told_one_by_one() {
    let (joined, members) = of_five();
    let link = joined.connect(&members[1]);
    joined.written(link);
    let group = group(&[&members[0], &members[1]]);
    let (sender, receiver) = joined.network.join(&wallet(), Channel::Signing, &group, open_rules(16));
    let name = Channel::Signing.topic(&wallet());
    assert_eq!(joined.written(link), [subscriptions([(true, name.as_bytes())])]);
    drop(receiver);
    assert_eq!(joined.written(link), [subscriptions([(false, name.as_bytes())])]);
    assert!(sender.send(b"x").is_err());
}

#[test]
fn hello_again_when_the_other_opens_a_new_stream() {
    let (joined, members) = of_five();
    let link = joined.connect(&members[1]);
    assert_eq!(joined.written(link), [hello()]);
    assert!(joined.written(link).is_empty());
    joined.network.lock().stream_closed(link, joined.start);
    joined.network.lock().stream_opened(link, joined.start);
    assert_eq!(joined.written(link), [hello()]);
}

#[test]
fn hello_again_after_one_of_two_connections_is_lost_and_nothing_is_swallowed() {
    let (joined, members) = of_five();
    let first = joined.connect(&members[1]);
    joined.written(first);
    // The newer one is written to from now on: the older may only look alive.
    let second = joined.connect(&members[1]);
    assert!(joined.written(first).is_empty());
    assert_eq!(joined.written(second), [hello()]);
    // It does nothing that would have it offered again.
    let sent = envelope(&members[0], &[5, 0], 1);
    joined.sender.send(&sent).unwrap();
    let taken = joined.network.lock().next_frame(second).unwrap();
    assert!(joined.network.lock().next_frame(second).is_none());
    // It breaks before the frame is written to its end.
    joined.network.lock().unwritten(second, [taken].into_iter());
    joined.network.lock().link_down(second, joined.start);
    joined.network.lock().writing(first);
    let written = joined.written(first);
    assert_eq!(written[0], hello());
    let rpc = Rpc::decode(&written[1]).unwrap();
    assert_eq!(Message::decode(rpc.messages[0]).unwrap().data(), sent);
}

#[test]
fn hello_again_after_one_of_two_connections_is_lost_while_nothing_was_being_written() {
    let (joined, members) = of_five();
    let first = joined.connect(&members[1]);
    joined.written(first);
    let second = joined.connect(&members[1]);
    joined.written(second);
    joined.network.lock().link_down(second, joined.start);
    joined.network.lock().writing(first);
    assert_eq!(joined.written(first), [hello()]);
}

#[tokio::test]
async fn many_topics_neither_silence_us_nor_the_other() {
    let (mut joined, members) = of_five();
    let link = joined.connect(&members[1]);
    // The other has three topics for each of a hundred wallets: 44 KiB of hello.
    let names: Vec<_> = (0..300).map(|number| format!("tbtc-{number:0130}-coordination")).collect();
    let all = names.iter().map(|name| (true, name.as_bytes())).chain([(true, topic().leak().as_bytes())]);
    joined.hear(link, &subscriptions(all));
    joined.message(link, &message(&members[1], 1, &[5, 1]));
    assert_eq!(joined.delivered().await, 1);
    // Of those, only the one that we share is kept.
    assert_eq!(joined.network.status().peers[0].shared_channels, 1);
    // And we have 131.
    let keys: Vec<PublicKey> = (100..230)
        .map(|number| PublicKey::from_slice(&operator(number).operator().compressed()).unwrap())
        .collect();
    let channels: Vec<_> = keys
        .iter()
        .map(|key| joined.network.join(key, Channel::Coordination, &group(&[&members[0]]), open_rules(64)))
        .collect();
    let third = joined.connect(&members[2]);
    let written = joined.written(third);
    assert_eq!(Rpc::decode(&written[0]).unwrap().subscriptions.len(), 131);
    // Whoever heard changes so far hears no more of them than a hello would tell.
    assert!(joined.written(link).len() <= 131);
    drop(channels);
}

#[test]
fn a_wallets_operators_are_sent_to_unasked_and_nobody_else() {
    let (joined, members) = of_five();
    let member = joined.connect(&members[1]);
    let stranger = joined.connect(&operator(77));
    joined.hear(stranger, &hello());
    joined.written(member);
    joined.written(stranger);
    joined.sender.send(&envelope(&members[0], &[5, 1], 1)).unwrap();
    assert_eq!((joined.written(member).len(), joined.written(stranger).len()), (1, 0));
}

#[tokio::test]
async fn messages_are_passed_on_to_all_operators_but_sender_and_author() {
    let (mut joined, members) = of_five();
    let links: Vec<_> = members[1..].iter().map(|member| joined.connect(member)).collect();
    links.iter().for_each(|link| drop(joined.written(*link)));
    let said = message(&members[1], 1, &[5, 1]);
    // The author's, passed on by member 3.
    joined.message(links[1], &said);
    assert_eq!(joined.delivered().await, 1);
    let written: Vec<_> = links.iter().map(|link| joined.written(*link)).collect();
    assert_eq!(written, [vec![], vec![], vec![publication(&said)], vec![publication(&said)]]);
    // At most once, whoever sends it again.
    links.iter().for_each(|link| joined.message(*link, &said));
    assert_eq!(joined.delivered().await, 0);
    assert!(links.iter().all(|link| joined.written(*link).is_empty()));
    assert_eq!(joined.network.status().counts.seen, 4);
}

#[tokio::test]
async fn our_own_message_that_comes_back_is_neither_heard_nor_passed_on() {
    let (mut joined, members) = of_five();
    let links = [joined.connect(&members[1]), joined.connect(&members[2])];
    joined.sender.send(&envelope(&members[0], &[5, 1], 1)).unwrap();
    let written = joined.written(links[0]);
    joined.written(links[1]);
    joined.hear(links[0], written.last().unwrap());
    assert_eq!(joined.delivered().await, 0);
    assert!(joined.written(links[1]).is_empty());
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_message_of_its_own() {
    let (mut joined, members) = of_five();
    let (from, to) = (joined.connect(&members[1]), joined.connect(&members[2]));
    joined.written(to);
    for payload in [[5, 1], [5, 2]] {
        joined.message(from, &message(&members[1], 7, &payload));
    }
    assert_eq!(joined.delivered().await, 2);
    assert_eq!(joined.written(to).len(), 2);
}

/// A message with more fields, signed with them.
fn with_unknown_fields(author: &Identity, payload: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let (from, envelope) = (author.peer_id().to_bytes(), envelope(author, payload, 1));
    for (number, field) in [(1, &from[..]), (2, &envelope), (3, &[0, 1]), (4, topic().as_bytes())] {
        crate::protobuf::put_bytes(&mut fields, number, field);
    }
    // A string, a number that is padded, a group.
    let unknown = [0x7a, 1, b'x', 0x80, 0x01, 0x81, 0x00, 0x8b, 0x01, 0x08, 0x01, 0x8c, 0x01];
    fields.extend_from_slice(&unknown);
    let signature = author.sign(&[b"libp2p-pubsub:", &fields[..]].concat());
    let known = fields.len() - unknown.len();
    let mut message = fields[..known].to_vec();
    crate::protobuf::put_bytes(&mut message, 5, &signature);
    message.extend_from_slice(&unknown);
    message
}

#[tokio::test]
async fn unknown_fields_are_part_of_what_is_signed_and_passed_on() {
    let (mut joined, members) = of_five();
    let (from, to) = (joined.connect(&members[1]), joined.connect(&members[2]));
    joined.written(to);
    let said = with_unknown_fields(&members[1], &[5, 1]);
    joined.message(from, &said);
    assert_eq!(joined.delivered().await, 1);
    assert_eq!(joined.written(to), [publication(&said)]);
    // Without them it is a forgery.
    let cut = said[..said.len() - 13].to_vec();
    joined.message(from, &cut);
    assert_eq!(joined.delivered().await, 0);
    assert_eq!(joined.network.status().counts.bad_signature, 1);
}

#[tokio::test]
async fn a_high_s_is_heard_and_passed_on() {
    /// The curve's order.
    const ORDER: [u8; 32] =
        alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let (mut joined, members) = of_five();
    let (from, to) = (joined.connect(&members[1]), joined.connect(&members[2]));
    joined.written(to);
    let said = message(&members[1], 7, &[5, 1]);
    let low = Message::decode(&said).unwrap();
    let signed = low.signed_bytes();
    let signature = members[1].sign(&signed);
    let compact = bitcoin::secp256k1::ecdsa::Signature::from_der(&signature).unwrap().serialize_compact();
    let (r, s) = compact.split_at(32);
    let high = alloy_primitives::U256::from_be_bytes(ORDER) - alloy_primitives::U256::from_be_slice(s);
    let high = [r, &high.to_be_bytes::<32>()].concat();
    let der = bitcoin::secp256k1::ecdsa::Signature::from_compact(&high).unwrap().serialize_der().to_vec();
    assert_ne!(der, signature);
    assert!(verify(members[1].operator(), &signed, &der));
    let body = said.len() - signature.len() - 2;
    let mut high = said[..body].to_vec();
    crate::protobuf::put_bytes(&mut high, 5, &der);
    joined.message(from, &high);
    assert_eq!(joined.delivered().await, 1);
    assert_eq!(joined.written(to), [publication(&high)]);
    // Signed the other way it is the same message.
    joined.message(from, &said);
    assert_eq!(joined.delivered().await, 0);
}

#[tokio::test]
async fn inc_48_old_messages_are_not_charged_to_their_author() {
    let (mut joined, members) = of_five();
    let links: Vec<_> = members[1..].iter().map(|member| joined.connect(member)).collect();
    links.iter().for_each(|link| drop(joined.written(*link)));
    // 64 old messages of the leader, replayed by another.
    let old: Vec<_> = (0..64).map(|number| message(&members[1], number, &[4, 1])).collect();
    for _ in 0..3 {
        old.iter().for_each(|message| joined.message(links[1], message));
    }
    assert_eq!(joined.delivered().await, 0);
    let counts = joined.network.status().counts;
    // They are checked once, and neither passed on nor counted.
    assert_eq!((counts.ignored, counts.seen, counts.throttled), (64, 128, 0));
    assert!(links.iter().all(|link| joined.written(*link).is_empty()));
    for number in 100..164 {
        joined.message(links[0], &message(&members[1], number, &[5, 0]));
    }
    assert_eq!(joined.delivered().await, 64);
}

#[tokio::test]
async fn the_65th_message_of_a_window_is_dropped_but_the_first_two_different_ones_never_are() {
    let (mut joined, members) = of_five();
    let (from, to) = (joined.connect(&members[1]), joined.connect(&members[2]));
    joined.written(to);
    for number in 0..64 {
        joined.message(from, &message(&members[1], number, &[5, 0, 1]));
    }
    assert_eq!(joined.delivered().await, 64);
    joined.message(from, &message(&members[1], 64, &[5, 0, 2]));
    assert_eq!(joined.delivered().await, 0);
    assert_eq!(joined.network.status().counts.over_quota, 1);
    joined.written(to);
    // The first message of each of the first two different proposals, whatever the quota.
    for (number, proposal) in [(65, 1), (66, 1), (67, 2), (68, 2), (69, 3)] {
        joined.message(from, &message(&members[1], number, &[5, proposal]));
    }
    assert_eq!(joined.delivered().await, 2);
    assert_eq!(joined.written(to).len(), 2);
    assert_eq!(joined.network.status().counts.over_quota, 4);
    // Nobody else's quota is touched.
    joined.message(from, &message(&members[3], 1, &[5, 0]));
    assert_eq!(joined.delivered().await, 1);
}

#[tokio::test]
async fn the_first_two_different_messages_are_offered_again_same_bytes() {
    let (mut joined, members) = of_five();
    let from = joined.connect(&members[1]);
    let said: Vec<_> =
        (1..4).map(|proposal| message(&members[1], u64::from(proposal), &[5, proposal])).collect();
    said.iter().for_each(|message| joined.message(from, message));
    joined.sender.send(&envelope(&members[0], &[5, 9], 1)).unwrap();
    assert_eq!(joined.delivered().await, 3);
    let ours = joined.written(from).pop().unwrap();
    // To who comes later, but not to its author, and to no stranger.
    let late = joined.connect(&members[2]);
    assert_eq!(joined.written(late), [hello(), ours.clone(), publication(&said[0]), publication(&said[1])]);
    let author = joined.connect(&members[1]);
    assert_eq!(joined.written(author), [hello(), ours.clone()]);
    let stranger = joined.connect(&operator(77));
    assert_eq!(joined.written(stranger), [hello()]);
    // And when the phase ends.
    joined.sender.offer_again();
    assert_eq!(joined.written(late), [ours.clone(), publication(&said[0]), publication(&said[1])]);
    assert_eq!(joined.written(author), [ours]);
}

#[tokio::test]
async fn inc_18_each_author_has_its_own_rate_on_a_connection() {
    let (mut joined, members) = of_five();
    let relay = joined.connect(&members[1]);
    // An honest node passes on a member's flood. A hundred signatures are checked at once.
    for number in 0..500 {
        joined.message(relay, &message(&members[2], number, &[4, 1]));
    }
    let counts = joined.network.status().counts;
    assert_eq!((counts.ignored, counts.throttled), (100, 400));
    // The relay's own messages, and the leader's through it, get through.
    joined.message(relay, &message(&members[1], 1, &[5, 1]));
    joined.message(relay, &message(&members[3], 1, &[5, 1]));
    assert_eq!(joined.delivered().await, 2);
    // And twenty a second after.
    joined.start += Duration::from_secs(1);
    for number in 500..600 {
        joined.message(relay, &message(&members[2], number, &[4, 1]));
    }
    assert_eq!(joined.network.status().counts.ignored, 120);
}

#[tokio::test]
async fn forgeries_close_a_strangers_connection_and_no_members() {
    let (joined, members) = of_five();
    let (stranger, member) = (joined.connect(&operator(77)), joined.connect(&members[1]));
    let mut joined = joined;
    for number in 0..130 {
        let mut forged = message(&members[2], number, &[5, 1]);
        let last = forged.len() - 1;
        forged[last] ^= 1;
        joined.start += Duration::from_millis(50);
        joined.message(stranger, &forged);
        joined.message(member, &forged);
        let banished = joined.network.lock().is_banished(stranger);
        assert_eq!(banished, number >= 100, "after {number}");
    }
    assert!(!joined.network.lock().is_banished(member));
    let status = joined.network.status();
    assert_eq!(status.counts.banished, 1);
    assert!(status.peers.iter().all(|peer| peer.rejected >= 101));
}

#[tokio::test]
async fn what_a_go_node_cant_judge_is_held_against_its_author_only() {
    let (joined, members) = of_five();
    let (relay, author) = (joined.connect(&members[1]), joined.connect(&members[2]));
    joined.message(relay, &message(&members[2], 1, &[9]));
    joined.message(relay, &Message::sign(&members[2], 2, topic().as_bytes(), &[0xff]));
    let rejected = |member: &Identity| {
        let peers = joined.network.status().peers;
        peers.iter().find(|peer| peer.operator == member.operator().address()).unwrap().rejected
    };
    assert_eq!((rejected(&members[1]), rejected(&members[2])), (0, 0));
    joined.message(author, &message(&members[2], 3, &[9]));
    assert_eq!((rejected(&members[1]), rejected(&members[2])), (0, 1));
    let counts = joined.network.status().counts;
    assert_eq!((counts.rejected, counts.bad_envelope), (2, 1));
}

#[tokio::test]
async fn messages_over_our_cap_are_handed_over_and_not_passed_on() {
    let (mut joined, members) = of_five();
    let (from, to) = (joined.connect(&members[1]), joined.connect(&members[2]));
    joined.written(to);
    // The payload's length takes two bytes more.
    let around = envelope(&members[1], &[], 1).len() + 2;
    for (length, passed_on) in [(MAX_MESSAGE_BYTES, 1), (MAX_MESSAGE_BYTES + 1, 0)] {
        let mut payload = vec![0; length - around];
        payload[..2].copy_from_slice(&[5, 1]);
        let envelope = envelope(&members[1], &payload, 1);
        assert_eq!(envelope.len(), length, "the envelope's own length");
        joined.message(from, &Message::sign(&members[1], 1, topic().as_bytes(), &envelope));
        assert_eq!(joined.delivered().await, 1);
        assert_eq!(joined.written(to).len(), passed_on);
    }
}

/// A message with an unknown field, so long that the whole has this length.
fn padded(author: &Identity, payload: &[u8], length: usize) -> Vec<u8> {
    let mut fields = Vec::new();
    let (from, envelope) = (author.peer_id().to_bytes(), envelope(author, payload, 1));
    for (number, field) in [(1, &from[..]), (2, &envelope), (3, &[0, 1]), (4, topic().as_bytes())] {
        crate::protobuf::put_bytes(&mut fields, number, field);
    }
    let known = fields.len();
    // The signature is 70 to 72 bytes long: tried until all fits.
    (0..100)
        .map(|more| {
            let mut unknown = Vec::new();
            crate::protobuf::put_bytes(&mut unknown, 15, &vec![0; length - known - 120 + more]);
            let signature = author.sign(&[b"libp2p-pubsub:", &fields[..], &unknown].concat());
            let mut message = fields.clone();
            crate::protobuf::put_bytes(&mut message, 5, &signature);
            [message, unknown].concat()
        })
        .find(|message| message.len() == length)
        .unwrap()
}

#[tokio::test]
async fn what_is_around_an_envelope_counts_toward_the_cap() {
    let (mut joined, members) = of_five();
    let (from, to) = (joined.connect(&members[1]), joined.connect(&members[2]));
    joined.written(to);
    for (length, payload, passed_on) in [(MAX_SIGNED_BYTES, [5, 1], 1), (MAX_SIGNED_BYTES + 1, [5, 2], 0)] {
        joined.message(from, &padded(&members[1], &payload, length));
        assert_eq!((joined.delivered().await, joined.written(to).len()), (1, passed_on), "{length}");
    }
    assert_eq!(joined.network.status().counts.oversize, 1);
    // And it takes no place among the first two different ones.
    joined.message(from, &message(&members[1], 3, &[5, 2]));
    let late = joined.connect(&members[3]);
    assert_eq!(joined.written(late).len(), 1 + 2);
}

#[tokio::test]
async fn inc_49_what_came_a_block_early_is_heard_when_it_is_offered_again() {
    let members: Vec<_> = (1..=3).map(operator).collect();
    let window = Arc::new(AtomicU8::new(5));
    let rules = Box::new(Windows { window: window.clone() });
    let mut joined = Joined::new(&members[0], &members.iter().collect::<Vec<_>>(), rules);
    let link = joined.connect(&members[1]);
    let (early, old) = (message(&members[2], 1, &[6, 1]), message(&members[2], 2, &[4, 1]));
    joined.message(link, &early);
    joined.message(link, &old);
    assert_eq!(joined.delivered().await, 0);
    window.store(6, Ordering::Relaxed);
    joined.message(link, &early);
    joined.message(link, &old);
    assert_eq!(joined.delivered().await, 1);
    let counts = joined.network.status().counts;
    assert_eq!((counts.ignored, counts.seen), (2, 1));
}

#[tokio::test]
async fn a_key_is_absent_or_right() {
    let (mut joined, members) = of_five();
    let link = joined.connect(&members[1]);
    for (number, key, heard) in [(1, &members[1], 1), (2, &members[2], 0)] {
        let mut message = message(&members[1], number, &[5, 0]);
        let key = crate::identity::public_key_bytes(key.operator());
        crate::protobuf::put_bytes(&mut message, 6, &key);
        joined.message(link, &message);
        assert_eq!(joined.delivered().await, heard);
    }
}

#[tokio::test]
async fn a_malformed_message_doesnt_spoil_the_others_of_its_frame() {
    let (mut joined, members) = of_five();
    let link = joined.connect(&members[1]);
    let body = [publication(&[0xff]), publication(&message(&members[1], 1, &[5, 1]))].concat();
    joined.hear(link, &body);
    assert_eq!(joined.delivered().await, 1);
    // The 1,000th message of a frame is looked at, the next one isn't.
    let filler = publication(&[]).repeat(999);
    let last = publication(&message(&members[1], 2, &[5, 1]));
    let beyond = publication(&message(&members[1], 3, &[5, 1]));
    joined.hear(link, &[filler, last, beyond].concat());
    assert_eq!(joined.delivered().await, 1);
    let counts = joined.network.status().counts;
    assert_eq!((counts.malformed_messages, counts.excess), (1, 1));
}

#[tokio::test]
async fn a_slow_reader_loses_a_floods_end_and_nobody_elses_message() {
    let members: Vec<_> = (1..=3).map(operator).collect();
    let mut joined = Joined::new(&members[0], &members.iter().collect::<Vec<_>>(), open_rules(usize::MAX));
    let (flood, honest) = (joined.connect(&members[1]), joined.connect(&members[2]));
    for number in 0..400 {
        joined.start += Duration::from_millis(50);
        joined.message(flood, &message(&members[1], number, &[0; 64]));
    }
    joined.message(honest, &message(&members[2], 1, &[5, 1]));
    let first = [joined.receiver.recv().await.unwrap(), joined.receiver.recv().await.unwrap()];
    assert!(first.iter().any(|heard| heard.author == *members[2].operator()));
    assert_eq!(joined.delivered().await, 255);
    assert_eq!(joined.network.status().counts.dropped_delivering, 400 - 256);
}

#[test]
fn what_waits_for_a_peer_is_bounded_and_our_own_comes_first() {
    let members: Vec<_> = (1..=3).map(operator).collect();
    let mut joined = Joined::new(&members[0], &members.iter().collect::<Vec<_>>(), open_rules(usize::MAX));
    let (flood, slow) = (joined.connect(&members[1]), joined.connect(&members[2]));
    for number in 0..400 {
        joined.start += Duration::from_millis(50);
        joined.message(flood, &message(&members[1], number, &[0; 64]));
    }
    joined.sender.send(&envelope(&members[0], &[5, 1], 1)).unwrap();
    assert_eq!(joined.network.status().counts.dropped_sending, 400 - 256);
    let written = joined.written(slow);
    assert_eq!(written.len(), 1 + 256 + 1);
    let second = Rpc::decode(&written[1]).unwrap();
    assert_eq!(
        Message::decode(second.messages[0]).unwrap().author(),
        Some(members[0].operator().compressed())
    );
}

#[tokio::test]
async fn who_joins_again_takes_over() {
    let (mut joined, members) = of_five();
    let link = joined.connect(&members[1]);
    let group = group(&members.iter().collect::<Vec<_>>());
    let (_sender, mut receiver) = joined.network.join(&wallet(), Channel::Coordination, &group, windows());
    assert_eq!(joined.receiver.recv().await, None);
    drop(joined.receiver);
    joined.network.frame(link, &Frame::Whole(publication(&message(&members[1], 1, &[5, 1]))), joined.start);
    assert!(receiver.recv().await.is_some());
}

#[test]
fn a_link_is_up_from_hello_to_the_end_of_its_stream() {
    let (mut joined, members) = of_five();
    let member = members[1].operator().address();
    let link = joined.connect(&members[1]);
    assert_eq!(joined.network.linked_since(member), None);
    joined.hear(link, &hello());
    let since = joined.start;
    assert_eq!(joined.network.linked_since(member), Some(since));
    joined.start += Duration::from_secs(1);
    // A second connection, and the end of the first, break nothing once the second has its hello.
    let second = joined.connect(&members[1]);
    joined.hear(second, &hello());
    joined.network.lock().link_down(link, joined.start);
    assert_eq!(joined.network.linked_since(member), Some(since));
    joined.network.lock().stream_closed(second, joined.start);
    assert_eq!(joined.network.linked_since(member), None);
    joined.network.lock().stream_opened(second, joined.start);
    assert_eq!(joined.network.linked_since(member), None);
    joined.hear(second, &hello());
    assert_eq!(joined.network.linked_since(member), Some(joined.start));
}
