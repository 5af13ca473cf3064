//! Announcements that stop a seat, or put another one out: heard alone, or in a list.

use super::*;

#[test]
fn inc_49_nobody_signs_in_a_window_with_two_actions() {
    for at in [START + 1, START + 2] {
        let mut tamper = untouched;
        let mut world = World::new(&[1, 2, 3, 4], terms(), &mut tamper);
        world.run_to(START, at);
        // Only one of them is told: it tells the others.
        world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(5, 2, b"two", 1)));
        world.settle();
        world.run_to(at + 1, world.terms.last_block.0 + 1);
        for report in world.reports.values() {
            assert_eq!(report.outcome, Outcome::Refused(Refusal::TwoActions));
        }
        assert_eq!((world.reports.len(), world.sent.len()), (4, 0));
    }
}

#[test]
fn an_announcement_with_a_message_that_is_not_the_leaders_stops_nobody() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3], terms(), &mut tamper);
    world.run_to(START, START + 1);
    world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(5, 2, b"forged", 1)));
    world.run_to(START + 2, world.terms.last_block.0);
    assert_eq!(world.signed(), (1, [1, 2, 3].into()));
}

#[test]
fn an_announcement_of_ours_that_we_have_not_recorded_stops_us() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3, 4], terms(), &mut tamper);
    world.run_to(START, START + 1);
    world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(1, 1, b"one", 1)));
    world.run_to(START + 2, world.terms.last_block.0);
    assert_eq!(world.reports.remove(&1).unwrap().outcome, Outcome::Refused(Refusal::NotOurs));
    assert!(!world.signed().1.contains(&1));
}

#[test]
fn two_nonces_put_an_operator_out_and_it_is_an_alarm() {
    let mut tamper = untouched;
    let mut world = World::new(&[1, 2, 3, 4], terms(), &mut tamper);
    world.run_to(START, START + 1);
    for nonce in [1, 2] {
        world.there.get_mut(&1).unwrap().handle(Event::Announcement(announcement(5, 1, b"one", nonce)));
    }
    world.settle();
    assert_eq!(world.alarms, vec![address(5); 4], "each has seen both");
    world.run_to(START + 2, world.terms.last_block.0);
    assert!(!world.signed().1.contains(&5));
}

/// A list of the first attempt's first convener that carries these seats' announcements, each with this nonce.
fn listed(seats: [(u8, u8); 3]) -> Event {
    let announced = seats.map(|(by, nonce)| announcement(by, 1, b"one", nonce));
    let announced = announced.map(|bytes| SignedAnnouncement::from_bytes(&bytes).unwrap());
    let convener = terms().draw.conveners(1)[0];
    let convener = (1..=5).find(|number| address(*number) == convener).unwrap();
    let list = SubsetList::sign(announced.into(), &b"one"[..].into(), &key(convener));
    Event::List(list.unwrap().to_bytes())
}

#[test]
fn an_announcement_of_ours_that_only_a_list_shows_stops_us() {
    let mut tamper = untouched;
    let mut world = World::new(&[1], terms(), &mut tamper);
    world.run_to(START, START + 2);
    world.there.get_mut(&1).unwrap().handle(listed([(1, 9), (2, 9), (3, 9)]));
    world.settle();
    assert_eq!(world.reports[&1].outcome, Outcome::Refused(Refusal::NotOurs));
    assert!(world.recorded[&1].attempts.is_empty());
}

#[test]
fn two_nonces_of_which_a_list_shows_one_are_an_alarm() {
    let mut tamper = untouched;
    let mut world = World::new(&[4], terms(), &mut tamper);
    world.run_to(START, START + 1);
    world.there.get_mut(&4).unwrap().handle(Event::Announcement(announcement(5, 1, b"one", 1)));
    world.there.get_mut(&4).unwrap().handle(listed([(1, 9), (2, 9), (5, 2)]));
    world.settle();
    assert_eq!(world.alarms, [address(5)]);
}
