//! Announcements, draws, lists and choices: what counts, and what a cheat comes to.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use coxswain_protocol::{Seat, Seed, SigningGroup};
use coxswain_rules::{KeyHash, units::BlockNumber};

use super::*;
use crate::ActionId;

const WALLET: KeyHash = KeyHash([0x22; 20]);
const SEED: Seed = Seed(B256::repeat_byte(0x11));
const THRESHOLD: usize = 3;
const ATTEMPTS: u8 = 5;

fn seat(number: u8) -> Seat {
    Seat::try_from(u64::from(number)).unwrap()
}

fn key(operator: u8) -> SecretKey {
    SecretKey::from_slice(&[operator; 32]).unwrap()
}

fn operator(of: u8) -> Address {
    announcement::operator(&key(of).public_key(&Secp256k1::new()))
}

/// Five operators, a seat each.
fn group() -> SigningGroup {
    SigningGroup::new((1..=5).map(operator).collect()).unwrap()
}

fn window() -> WindowId {
    WindowId { chain_id: 31337, wallet: WALLET, coordination_block: BlockNumber(900) }
}

fn action(byte: u8) -> ActionId {
    ActionId(B256::repeat_byte(byte))
}

fn ready(number: u8, attempt: u8, nonce: u8) -> Announcement {
    Announcement {
        window: window(),
        action_id: action(1),
        attempt,
        seat: seat(number),
        banned: BTreeSet::new(),
        links: group().operators().iter().copied().collect(),
        nonce: [nonce; 32],
    }
}

fn sweep() -> Arc<[u8]> {
    b"sweep"[..].into()
}

fn signed(number: u8, attempt: u8, nonce: u8) -> SignedAnnouncement {
    ready(number, attempt, nonce).sign(&sweep(), &key(number)).unwrap()
}

/// The message is the leader's, said for the first time or again, and the action the one that it proposes.
fn proposes(message: &[u8], id: ActionId) -> bool {
    (message == b"sweep" || message == b"sweep, again") && id == action(1)
}

fn check(signed: &SignedAnnouncement) -> Result<(), AnnouncementError> {
    signed.check(&window(), &group(), ATTEMPTS, proposes)
}

fn draw() -> Draw {
    Draw::new(SEED, WALLET, &group())
}

/// Which of the five it is.
fn number_of(address: Address) -> u8 {
    (1..=5).find(|number| operator(*number) == address).unwrap()
}

#[test]
fn an_announcement_is_read_as_it_was_written_and_no_byte_of_it_can_be_another() {
    let mut full = ready(2, 1, 7);
    full.banned = [seat(1), seat(4)].into();
    let signed = full.sign(&sweep(), &key(2)).unwrap();
    let bytes = signed.to_bytes().unwrap();
    assert_eq!(SignedAnnouncement::from_bytes(&bytes), Ok(signed.clone()));
    assert_eq!(check(&signed), Ok(()));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let read = SignedAnnouncement::from_bytes(&changed);
        assert!(read.is_err() || check(&read.unwrap()).is_err(), "byte {at}");
        assert!(SignedAnnouncement::from_bytes(&bytes[..at]).is_err(), "{at} bytes");
    }
    assert!(SignedAnnouncement::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn an_announcement_counts_only_from_the_seats_holder_for_this_window_with_the_leaders_message() {
    let changed = |change: &dyn Fn(&mut Announcement), by: u8| {
        let mut announcement = ready(2, 1, 7);
        change(&mut announcement);
        check(&announcement.sign(&sweep(), &key(by)).unwrap())
    };
    assert_eq!(changed(&|_| (), 2), Ok(()));
    assert_eq!(changed(&|_| (), 3), Err(AnnouncementError::NotTheHolder));
    assert_eq!(changed(&|a| a.seat = seat(6), 2), Err(AnnouncementError::NotTheHolder));
    assert_eq!(changed(&|a| a.window.chain_id = 1337, 2), Err(AnnouncementError::OtherWindow));
    assert_eq!(changed(&|a| a.window.wallet = KeyHash([0; 20]), 2), Err(AnnouncementError::OtherWindow));
    assert_eq!(
        changed(&|a| a.window.coordination_block = BlockNumber(1800), 2),
        Err(AnnouncementError::OtherWindow)
    );
    assert_eq!(changed(&|a| a.attempt = 0, 2), Err(AnnouncementError::Attempt));
    assert_eq!(changed(&|a| a.attempt = ATTEMPTS, 2), Ok(()));
    assert_eq!(changed(&|a| a.attempt = ATTEMPTS + 1, 2), Err(AnnouncementError::Attempt));
    assert_eq!(changed(&|a| a.banned = [seat(5)].into(), 2), Ok(()));
    assert_eq!(changed(&|a| a.banned = [seat(6)].into(), 2), Err(AnnouncementError::Stranger));
    assert_eq!(changed(&|a| a.links.extend([Address::repeat_byte(1)]), 2), Err(AnnouncementError::Stranger));
    let with = |message: &[u8]| check(&ready(2, 1, 7).sign(&message.into(), &key(2)).unwrap());
    assert_eq!(with(b""), Err(AnnouncementError::LeaderMessage));
    assert_eq!(with(b"sweep, again"), Ok(()));
    assert_eq!(changed(&|a| a.action_id = action(2), 2), Err(AnnouncementError::LeaderMessage));
    let long = |length| {
        let message: Arc<[u8]> = vec![0; length].into();
        ready(2, 1, 7).sign(&message, &key(2))
    };
    assert!(long(MAX_LEADER_MESSAGE).is_some());
    assert!(long(MAX_LEADER_MESSAGE + 1).is_none());
}

/// The expected order was made by another program, from the words of `Draw` alone.
#[test]
fn a_draw_is_the_same_everywhere() {
    let holders = [1, 2, 3, 4, 5, 1, 2, 3].map(Address::repeat_byte).to_vec();
    let draw = Draw::new(SEED, WALLET, &SigningGroup::new(holders).unwrap());
    let operators = DRAWN_OPERATORS.map(Address::repeat_byte);
    assert_eq!(draw.operators(), operators);
    assert!(draw.seats().iter().map(|seat| seat.number()).eq(DRAWN_SEATS));
    // The attempts' conveners go round.
    assert_eq!(draw.conveners(1), operators[..3]);
    assert_eq!(draw.conveners(2), operators[1..4]);
    assert_eq!(draw.conveners(4), [operators[3], operators[4], operators[0]]);
    assert_eq!(draw.conveners(6), draw.conveners(1));
    let two = SigningGroup::new([1, 2, 1].map(Address::repeat_byte).to_vec()).unwrap();
    assert_eq!(Draw::new(SEED, WALLET, &two).conveners(1).len(), 2);
    let other = Draw::new(SEED, KeyHash([0x23; 20]), &two);
    assert_eq!(other.seats().len(), 3);
}

const DRAWN_OPERATORS: [u8; 5] = [4, 3, 2, 1, 5];
const DRAWN_SEATS: [u8; 8] = [8, 7, 1, 5, 2, 4, 6, 3];

fn conflicts(pairs: &[(u8, u8)], group: &SigningGroup) -> Conflicts {
    let pairs = pairs.iter().map(|(a, b)| (operator(*a), operator(*b))).collect();
    Conflicts::of(std::iter::empty::<&Announcement>(), group, &pairs)
}

fn chosen(ready: &[u8], group: &SigningGroup, conflicts: &Conflicts, marks: &[(u8, u32)]) -> Option<Vec<u8>> {
    let ready = ready.iter().copied().map(seat).collect();
    let marks: BTreeMap<Address, u32> = marks.iter().map(|(of, marks)| (operator(*of), *marks)).collect();
    let draw = Draw::new(SEED, WALLET, group);
    let chosen = choose(&ready, THRESHOLD, group, &draw, conflicts, &marks)?;
    Some(chosen.iter().map(|seat| seat.number()).collect())
}

#[test]
fn whole_operators_and_those_with_few_marks_are_chosen_first() {
    let (group, none) = (group(), Conflicts::default());
    assert_eq!(chosen(&[1, 2], &group, &none, &[]), None);
    assert_eq!(chosen(&[1, 3, 5], &group, &none, &[]), Some(vec![1, 3, 5]));
    assert_eq!(chosen(&[1, 2, 3, 4, 5], &group, &none, &[(2, 1), (4, 1)]), Some(vec![1, 3, 5]));
    assert_eq!(
        chosen(&[1, 2, 3, 4, 5], &group, &none, &[(2, 1), (4, 2), (5, 1), (1, 3)]),
        Some(vec![2, 3, 5])
    );
    // Seats 1 to 3 are one operator's, 4 and 5 another's, 6 a third's.
    let large = SigningGroup::new([1, 1, 1, 2, 2, 3].map(operator).to_vec()).unwrap();
    let all = [1, 2, 3, 4, 5, 6];
    assert_eq!(chosen(&all, &large, &none, &[(2, 1), (3, 1)]), Some(vec![1, 2, 3]));
    assert_eq!(chosen(&all, &large, &none, &[(1, 1)]), Some(vec![4, 5, 6]));
    // Only when the whole ones are too few is one divided.
    let divided = chosen(&[1, 2, 4, 5], &large, &none, &[]).unwrap();
    assert_eq!(divided.len(), 3);
}

#[test]
fn a_pair_that_can_not_sign_together_loses_both_or_else_the_worst() {
    let group = group();
    let all = [1, 2, 3, 4, 5];
    assert_eq!(chosen(&all, &group, &conflicts(&[(1, 2)], &group), &[]), Some(vec![3, 4, 5]));
    // Two pairs: without both ends one seat is left. Without the worst, three are.
    let two = chosen(&all, &group, &conflicts(&[(1, 2), (3, 4)], &group), &[]).unwrap();
    assert!(two.len() == 3 && two.contains(&5));
    // One that has a link to nobody, or says so, goes alone.
    let star = conflicts(&[(1, 2), (1, 3), (1, 4), (1, 5)], &group);
    let without_the_star = chosen(&all, &group, &star, &[]).unwrap();
    assert!(!without_the_star.contains(&1));
    assert_eq!(chosen(&[1, 2, 3], &group, &conflicts(&[(1, 2)], &group), &[]), None);
}

#[test]
fn bans_and_links_count_for_whole_operators() {
    let group = SigningGroup::new([1, 1, 2, 2, 3].map(operator).to_vec()).unwrap();
    let mut one = ready(1, 1, 1);
    one.banned = [seat(3)].into();
    one.links = [operator(2)].into();
    let conflicts = Conflicts::of([&one], &group, &BTreeSet::new());
    assert!(conflicts.between(operator(1), operator(2)) && conflicts.between(operator(2), operator(1)));
    assert!(conflicts.between(operator(3), operator(1)));
    assert!(!conflicts.between(operator(2), operator(3)) && !conflicts.between(operator(1), operator(1)));
    assert!(conflicts.among(&[seat(2), seat(4)].into(), &group));
    assert!(!conflicts.among(&[seat(4), seat(5)].into(), &group));
}

fn attempt<'a>(group: &'a SigningGroup, draw: &'a Draw, attempt: u8) -> Attempt<'a> {
    Attempt { window: window(), action_id: action(1), attempt, group, threshold: THRESHOLD, draw }
}

fn list(by: u8, announcements: Vec<SignedAnnouncement>) -> SubsetList {
    SubsetList::sign(announcements, &sweep(), &key(by)).unwrap()
}

#[test]
fn a_list_is_valid_by_its_bytes_alone() {
    let (group, draw) = (group(), draw());
    let judge = |list: &SubsetList, number| list.check(&attempt(&group, &draw, number), proposes);
    let conveners: Vec<u8> = draw.conveners(1).into_iter().map(number_of).collect();
    let three = |nonce| vec![signed(5, 1, nonce), signed(1, 1, nonce), signed(3, 1, nonce)];
    for (rank, convener) in conveners.iter().enumerate() {
        let good = list(*convener, three(1));
        assert_eq!(judge(&good, 1), Ok(rank));
        assert_eq!(SubsetList::from_bytes(&good.to_bytes()), Ok(good));
    }
    let first = conveners[0];
    let outside = (1..=5).find(|number| !conveners.contains(number)).unwrap();
    assert_eq!(judge(&list(outside, three(1)), 1), Err(ListError::NoConvener));
    let without_one = three(1)[..2].to_vec();
    assert_eq!(judge(&list(first, without_one.clone()), 1), Err(ListError::Seats));
    let with_four = [three(1), vec![signed(2, 1, 1)]].concat();
    assert_eq!(judge(&list(first, with_four), 1), Err(ListError::Seats));
    let with_one_twice = [without_one.clone(), vec![signed(1, 1, 2)]].concat();
    assert_eq!(judge(&list(first, with_one_twice), 1), Err(ListError::Seats));
    let with_another_attempts = [without_one.clone(), vec![signed(3, 2, 1)]].concat();
    assert_eq!(SubsetList::sign(with_another_attempts, &sweep(), &key(first)), None);
    assert_eq!(SubsetList::sign(Vec::new(), &sweep(), &key(first)), None);
    let of_another = [5, 1, 3].map(|number| signed(number, 2, 1)).to_vec();
    assert_eq!(judge(&list(first, of_another), 1), Err(ListError::OtherAttempt));
    let forged = ready(3, 1, 1).sign(&sweep(), &key(2)).unwrap();
    assert!(matches!(
        judge(&list(first, [without_one.clone(), vec![forged]].concat()), 1),
        Err(ListError::Announcement(AnnouncementError::NotTheHolder))
    ));
    for change in [0, 1] {
        let mut apart = ready(3, 1, 1);
        if change == 0 {
            apart.banned = [seat(5)].into();
        } else {
            apart.links.remove(&operator(5));
        }
        let announcements = [without_one.clone(), vec![apart.sign(&sweep(), &key(3)).unwrap()]].concat();
        assert_eq!(judge(&list(first, announcements), 1), Err(ListError::Conflict));
    }
    let bytes = list(first, three(1)).to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let read = SubsetList::from_bytes(&changed);
        assert!(read.is_err() || judge(&read.unwrap(), 1).is_err(), "byte {at}");
    }
    // Every nonce is in the attempt's name.
    assert_ne!(list(first, three(1)).context(), list(first, three(2)).context());
    assert_eq!(list(first, three(1)).context(), list(conveners[1], three(1)).context());
}

/// A leader's repetitions are other bytes around the same, so that seats have signed with different ones. One stands in a list for all.
#[test]
fn one_message_of_the_leaders_stands_in_a_list_for_all() {
    let (group, draw) = (group(), draw());
    let first = number_of(draw.conveners(1)[0]);
    let again: Arc<[u8]> = b"sweep, again"[..].into();
    let announcements =
        || vec![signed(1, 1, 1), ready(3, 1, 1).sign(&again, &key(3)).unwrap(), signed(5, 1, 1)];
    let judge = |list: &SubsetList| list.check(&attempt(&group, &draw, 1), proposes);
    for message in [sweep(), again.clone()] {
        let bytes = SubsetList::sign(announcements(), &message, &key(first)).unwrap().to_bytes();
        let read = SubsetList::from_bytes(&bytes).unwrap();
        assert_eq!(judge(&read), Ok(0));
        assert_eq!(bytes.windows(5).filter(|bytes| *bytes == b"sweep").count(), 1);
        // Alone, an announcement is passed on only with the message that was signed.
        let alone: Vec<bool> =
            read.announcements().iter().map(|signed| signed.to_bytes().is_some()).collect();
        assert_eq!(alone, [message == sweep(), message == again, message == sweep()]);
        // It is the same announcement, wherever it is read.
        let mut board = Board::new(BTreeSet::new(), BTreeSet::new());
        announcements().into_iter().for_each(|signed| assert_eq!(board.hear(signed), Heard::New));
        for signed in read.announcements() {
            assert_eq!(board.hear(signed.clone()), Heard::Known);
        }
    }
    let forged = SubsetList::sign(announcements(), &b"forged"[..].into(), &key(first)).unwrap();
    assert_eq!(judge(&forged), Err(ListError::Announcement(AnnouncementError::LeaderMessage)));
}

/// 51 of 100 seats of as many operators, each of which is linked to all others and has banned all that don't sign with it, with the
/// longest message.
#[test]
fn the_largest_groups_list_fits_into_a_frame() {
    let secret = |number: u8| SecretKey::from_slice(&[number; 32]).unwrap();
    let holder = |number: u8| announcement::operator(&secret(number).public_key(&Secp256k1::new()));
    let group = SigningGroup::new((1..=100).map(holder).collect()).unwrap();
    let message: Arc<[u8]> = vec![7; MAX_LEADER_MESSAGE].into();
    let announced = |number: u8| {
        let announcement = Announcement {
            banned: (52..=100).map(seat).collect(),
            links: group.operators().iter().copied().collect(),
            ..ready(number, 1, number)
        };
        announcement.sign(&message, &secret(number)).unwrap()
    };
    let draw = Draw::new(SEED, WALLET, &group);
    let convener = (1..=100).find(|number| holder(*number) == draw.conveners(1)[0]).unwrap();
    let list = SubsetList::sign((1..=51).map(announced).collect(), &message, &secret(convener)).unwrap();
    let bytes = list.to_bytes();
    println!("51 of 100: {} bytes beside the leader's message", bytes.len() - message.len());
    // The envelope has room for its sender, its kind and its number.
    assert!(bytes.len() <= coxswain_protocol::wire::MAX_MESSAGE_BYTES - 256, "{}", bytes.len());
    assert!(announced(1).to_bytes().unwrap().len() <= coxswain_protocol::wire::MAX_MESSAGE_BYTES - 256);
    let read = SubsetList::from_bytes(&bytes).unwrap();
    assert_eq!(read, list);
    let attempt = Attempt { group: &group, threshold: 51, draw: &draw, ..attempt(&group, &draw, 1) };
    assert_eq!(read.check(&attempt, |bytes, _| bytes == &message[..]), Ok(0));
}

#[test]
fn a_list_has_one_encoding() {
    let bytes = list(1, vec![signed(1, 1, 1), signed(2, 1, 1), signed(3, 1, 1)]).to_bytes();
    assert!(SubsetList::from_bytes(&bytes).is_ok());
    // One bit more of links, behind the last byte that has any: the first announcement's stand behind its seat and its bans.
    let at = 1 + 36 + 32 + 1 + 4 + 5 + 1 + 5 * 20 + 1 + 1 + 1;
    assert_eq!(bytes[at..at + 2], [1, 0b1_1111]);
    let mut longer = bytes.clone();
    longer[at] = 2;
    longer.insert(at + 2, 0);
    assert!(SubsetList::from_bytes(&longer).is_err());
    for cut in 0..bytes.len() {
        assert!(SubsetList::from_bytes(&bytes[..cut]).is_err());
    }
    assert!(SubsetList::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn two_lists_of_a_convener_cancel_its_rank_and_the_highest_that_is_left_is_taken() {
    let conveners: Vec<u8> = draw().conveners(1).into_iter().map(number_of).collect();
    let of = |rank: usize, nonce| {
        list(conveners[rank], vec![signed(1, 1, nonce), signed(2, 1, 1), signed(3, 1, 1)])
    };
    let mut lists = Lists::default();
    assert!(lists.take().is_none());
    assert_eq!(lists.hold(2, of(2, 1)), Held::New);
    assert_eq!(lists.take(), Some(&of(2, 1)));
    assert_eq!(lists.hold(0, of(0, 1)), Held::New);
    assert_eq!(lists.hold(0, of(0, 1)), Held::Known);
    assert_eq!(lists.take(), Some(&of(0, 1)));
    assert_eq!(lists.hold(0, of(0, 2)), Held::Second);
    assert_eq!(lists.take(), Some(&of(2, 1)));
    assert_eq!(lists.hold(0, of(0, 3)), Held::Third);
    assert_eq!(lists.doubled().count(), 2);
    assert_eq!(lists.hold(1, of(1, 1)), Held::New);
    assert_eq!(lists.take(), Some(&of(1, 1)));
}

#[test]
fn two_nonces_put_all_seats_of_an_operator_out_for_the_action() {
    let mut board = Board::new(BTreeSet::new(), BTreeSet::new());
    assert_eq!(board.hear(signed(1, 1, 1)), Heard::New);
    assert_eq!(board.hear(signed(1, 1, 1)), Heard::Known);
    assert_eq!(board.hear(signed(1, 2, 2)), Heard::New, "another attempt has another nonce");
    assert_eq!(board.hear(signed(2, 1, 1)), Heard::New);
    let pair = Box::new([signed(1, 1, 1), signed(1, 1, 3)]);
    assert_eq!(board.hear(signed(1, 1, 3)), Heard::TwoFaces(pair));
    assert_eq!(board.hear(signed(1, 1, 4)), Heard::Settled, "one alarm");
    let ready = |board: &Board, attempt| {
        board.ready(attempt).map(|signed| signed.announcement().seat.number()).collect::<Vec<_>>()
    };
    assert_eq!(ready(&board, 1), [2]);
    assert!(ready(&board, 2).is_empty());
    assert_eq!(board.out(), &[operator(1)].into());
    assert!(!board.is_stopped());
    // The same nonce with something else is no better.
    let mut other = ready_without_links(2, 1, 1);
    other.links.clear();
    assert!(matches!(board.hear(other.sign(&sweep(), &key(2)).unwrap()), Heard::TwoFaces(_)));
}

fn ready_without_links(number: u8, attempt: u8, nonce: u8) -> Announcement {
    Announcement { links: BTreeSet::new(), ..ready(number, attempt, nonce) }
}

#[test]
fn inc_49_two_actions_in_a_window_stop_it() {
    let mut board = Board::new(BTreeSet::new(), BTreeSet::new());
    board.hear(signed(1, 1, 1));
    assert_eq!(board.action(), Some(action(1)));
    let mut other = ready(2, 1, 1);
    other.action_id = action(2);
    let other = other.sign(&sweep(), &key(2)).unwrap();
    assert_eq!(board.hear(other.clone()), Heard::TwoActions(Box::new([signed(1, 1, 1), other.clone()])));
    assert!(board.is_stopped());
    assert_eq!(board.ready(1).count(), 0);
    assert_eq!(board.hear(other), Heard::Settled);
    assert_eq!(board.hear(signed(3, 1, 1)), Heard::New, "what is heard is still passed on");
    assert_eq!(board.ready(1).count(), 0);
}

#[test]
fn an_announcement_of_ours_that_is_not_on_record_stops_the_window() {
    let ours: BTreeSet<Seat> = [seat(1)].into();
    let mut board = Board::new(ours.clone(), [(seat(1), 1, [1; 32])].into());
    assert_eq!(board.hear(signed(1, 1, 1)), Heard::New, "recorded before the restart");
    board.recorded(seat(1), 2, [2; 32]);
    assert_eq!(board.hear(signed(1, 2, 2)), Heard::New);
    assert!(!board.is_stopped());
    assert_eq!(board.hear(signed(1, 3, 2)), Heard::NotOurs);
    assert!(board.is_stopped());
}

#[test]
fn a_first_sweep_wants_more_seats_than_two_actions_can_both_have() {
    assert!(is_quorum(4, 5, 3) && !is_quorum(3, 5, 3));
    assert!(is_quorum(7, 10, 6) && !is_quorum(6, 10, 6));
    assert!(is_quorum(63, 100, 51) && !is_quorum(62, 100, 51));
    for (seats, threshold) in [(3_usize, 2_usize), (5, 3), (9, 5), (10, 6), (20, 11), (100, 51)] {
        let faulty = (seats - threshold) / 2;
        let quorum = (0..=seats).find(|count| is_quorum(*count, seats, threshold)).unwrap();
        // Two quorums share more seats than can be faulty; and the honest ones are a quorum.
        assert!(2 * quorum - seats > faulty);
        assert!(seats - faulty >= quorum);
    }
}

/// One of five seats cheats in every attempt that it signs in, and lists itself when it convenes. Honest conveners mark all of a failed
/// subset. What is simulated is the choice alone.
#[test]
fn with_one_hostile_seat_of_five_hardly_any_window_fails_all_attempts() {
    let group = group();
    let mut failed = 0;
    for run in 0..2000_u64 {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&run.to_be_bytes());
        let draw = Draw::new(Seed(B256::new(seed)), WALLET, &group);
        let hostile = operator(1);
        let mut marks: BTreeMap<Address, u32> = BTreeMap::new();
        let all: BTreeSet<Seat> = (1..=5).map(seat).collect();
        let signed = (1..=ATTEMPTS).any(|number| {
            let convener = draw.conveners(number)[0];
            let by_marks = choose(&all, THRESHOLD, &group, &draw, &Conflicts::default(), &marks).unwrap();
            let subset: BTreeSet<Address> = by_marks.iter().filter_map(|seat| group.holder(*seat)).collect();
            if convener != hostile && !subset.contains(&hostile) {
                return true;
            }
            // The hostile convener takes those with fewest marks beside itself, to mark the most.
            let spoiled: Vec<Address> = if convener == hostile {
                subset.into_iter().filter(|other| *other != hostile).take(2).chain([hostile]).collect()
            } else {
                subset.into_iter().collect()
            };
            spoiled.into_iter().for_each(|operator| *marks.entry(operator).or_default() += 1);
            false
        });
        failed += u32::from(!signed);
    }
    println!("{failed} of 2000 windows failed all {ATTEMPTS} attempts");
    assert!(failed <= 20, "{failed}");
}
