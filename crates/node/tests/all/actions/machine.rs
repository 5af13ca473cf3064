//! The machine: what it asks for, when, and what it makes of the answers.

use coxswain_node::actions::{
    ActionRecord, Command, End, Event, Judged, Machine, Milestone, Place, Seen, Signing, Times,
};
use coxswain_protocol::WindowParameters;
use coxswain_rules::{Action, units::Height};
use coxswain_service::journal::ReadStep;

use super::fixture::{CHAIN, NETWORK, WALLET, agreed, block, handed, seen, signed, transaction, txid, valid};

fn times() -> Times {
    Times::of(&NETWORK.actions)
}

/// The action of window 1: it starts at block 90, moving funds is signed from 98 on; signing ends at 140 (150), all at 150 (160).
fn machine(action: Action) -> Machine {
    let mut machine = Machine::new(CHAIN, times(), WALLET, agreed(&NETWORK, 1, action), block(89));
    record(&mut machine, "agreed");
    machine
}

/// It wants this recorded, which succeeds.
fn record(machine: &mut Machine, name: &str) {
    let command = machine.poll();
    let Some(Command::Record(number)) = command else { panic!("{command:?}") };
    assert_eq!(machine.record().reached[number].milestone.name(), name);
    assert_eq!(machine.poll(), None, "nothing else before that is durable");
    machine.handle(Event::Recorded(true));
}

fn at(machine: &mut Machine, number: u64) -> Option<Command> {
    machine.on_block(block(number));
    machine.poll()
}

fn judge(again: bool) -> Option<Command> {
    Some(Command::Judge { again })
}

fn watch(hand: bool) -> Option<Command> {
    Some(Command::Watch { hand })
}

/// Up to the signing, at block 90.
fn to_signing(action: Action) -> Machine {
    let mut machine = machine(action);
    assert_eq!(at(&mut machine, 90), judge(false));
    machine.handle(Event::Judged(valid()));
    record(&mut machine, "assembled");
    machine
}

/// Up to the broadcast: signed at block 93, when Bitcoin's height was 100.
fn to_broadcast() -> Machine {
    let mut machine = to_signing(Action::DepositSweep);
    assert!(matches!(machine.poll(), Some(Command::Sign(..))));
    machine.on_block(block(93));
    machine.handle(Event::Signed(transaction()));
    record(&mut machine, "signed");
    machine
}

/// Up to the mempool, at height 100.
fn to_mempool() -> Machine {
    let mut machine = to_broadcast();
    assert_eq!(machine.poll(), watch(true));
    machine.handle(Event::Seen(handed(100, Place::Mempool)));
    record(&mut machine, "broadcast");
    assert_eq!(machine.poll(), watch(false));
    machine.handle(Event::Seen(seen(100, Place::Mempool)));
    record(&mut machine, "in a mempool");
    machine
}

/// What it was told at a block of Ethereum after that.
fn told(machine: &mut Machine, number: u64, seen: Seen) {
    assert!(matches!(at(machine, number), Some(Command::Watch { .. })));
    machine.handle(Event::Seen(seen));
}

#[test]
fn an_action_goes_from_agreed_to_proven_each_milestone_recorded_before_the_next() {
    let mut machine = to_mempool();
    assert!(machine.record().is_busy());
    told(&mut machine, 300, seen(101, Place::Block(Height(101))));
    record(&mut machine, "confirmed");
    assert!(!machine.record().is_busy(), "it waits for its proof, and keeps nobody from anything");
    assert_eq!(machine.poll(), watch(false));
    machine.handle(Event::Seen(Seen { is_proven: true, ..seen(101, Place::Block(Height(101))) }));
    record(&mut machine, "proven");
    assert!(machine.is_done() && machine.poll().is_none());
    assert_eq!(machine.record().end(), Some(&End::Proven));
}

#[test]
fn an_action_is_judged_again_at_its_start_and_not_before() {
    let mut machine = machine(Action::DepositSweep);
    assert_eq!(at(&mut machine, 89), None);
    assert_eq!(at(&mut machine, 90), judge(false));
    machine.handle(Event::Judged(Judged::Rejected("contract: DS-7".to_owned())));
    record(&mut machine, "rejected");
    assert!(machine.is_done());
}

#[test]
fn inc_22_what_can_not_be_told_is_asked_again_at_each_block_until_the_action_expires() {
    let mut machine = machine(Action::DepositSweep);
    for number in 90..140 {
        assert_eq!(at(&mut machine, number), judge(false), "{number}");
        machine.handle(Event::Judged(Judged::Undecided("no server answers".to_owned())));
        assert_eq!(machine.poll(), None, "once a block");
        assert_eq!(machine.why(), Some("no server answers"));
    }
    // It is too late to sign. Whether others did is asked until all is over.
    for number in 140..150 {
        assert_eq!(at(&mut machine, number), judge(false), "{number}");
        machine.handle(Event::Judged(Judged::Undecided("no server answers".to_owned())));
    }
    machine.on_block(block(150));
    record(&mut machine, "expired");
    assert_eq!(machine.record().end(), Some(&End::Expired("no server answers".to_owned())));
}

#[test]
fn one_servers_word_among_several_ends_no_action_before_it_is_too_late_to_sign() {
    let mut machine = machine(Action::DepositSweep);
    let doubted = || Event::Judged(Judged::Doubted("outputs: an output is spent".to_owned()));
    for number in 90..140 {
        assert_eq!(at(&mut machine, number), judge(false), "{number}");
        machine.handle(doubted());
        assert_eq!(machine.why(), Some("outputs: an output is spent"));
    }
    for number in 140..=143 {
        assert_eq!(at(&mut machine, number), judge(false), "{number}");
        machine.handle(doubted());
    }
    record(&mut machine, "expired");
    assert!(machine.is_done());
}

/// Those who have signed it hand it out until block 142, and servers show it a block later.
#[test]
fn what_others_have_signed_in_time_is_looked_for_as_long_as_they_hand_it_out() {
    for (found, is_found) in [(142, true), (143, true), (144, false)] {
        let mut machine = machine_restored(&to_signing(Action::DepositSweep));
        for number in 140..=143 {
            assert_eq!(at(&mut machine, number), judge(false), "{number}");
            assert!(!machine.is_busy(), "the next action need not wait");
            if number == found {
                machine.handle(Event::Judged(Judged::Out(Box::new(signed()))));
                break;
            }
            machine.handle(Event::Judged(valid()));
        }
        record(&mut machine, if is_found { "signed" } else { "expired" });
        assert_eq!(machine.is_busy(), is_found);
    }
    // Nobody hands out a heartbeat.
    let mut machine = machine_restored(&to_signing(Action::Heartbeat));
    let end = machine.record().agreed.signing_end().0;
    assert!(machine.is_busy());
    assert_eq!(at(&mut machine, end), judge(false));
    machine.handle(Event::Judged(valid()));
    record(&mut machine, "expired");
}

/// Whoever was away for so long looks once, whatever comes of it.
#[test]
fn a_node_that_was_away_until_an_action_has_expired_looks_for_it_once() {
    let undecided = || Judged::Undecided("no server answers".to_owned());
    for (judged, ends) in
        [(Judged::Out(Box::new(signed())), "signed"), (valid(), "expired"), (undecided(), "expired")]
    {
        let mut machine = machine_restored(&to_signing(Action::DepositSweep));
        assert_eq!(at(&mut machine, 400), judge(false));
        assert!(!machine.is_busy());
        machine.handle(Event::Judged(judged));
        machine.on_block(block(401));
        record(&mut machine, ends);
    }
    let mut machine = machine_restored(&to_signing(Action::Heartbeat));
    let expiry = machine.record().agreed.expiry().0;
    machine.on_block(block(expiry));
    record(&mut machine, "expired");
}

#[test]
fn inc_46_a_signing_that_can_not_be_recorded_is_judged_and_tried_again_at_the_next_block() {
    let unrecorded = || {
        let mut machine = to_signing(Action::DepositSweep);
        assert!(matches!(machine.poll(), Some(Command::Sign(..))));
        machine.handle(Event::Signed(Signing::Unrecorded("the disk is full".to_owned())));
        assert_eq!(machine.poll(), None, "once a block");
        assert_eq!(at(&mut machine, 92), judge(false));
        machine
    };
    let mut machine = unrecorded();
    machine.handle(Event::Judged(valid()));
    assert!(matches!(machine.poll(), Some(Command::Sign(..))));
    machine.handle(Event::Signed(transaction()));
    record(&mut machine, "signed");
    // What kept it from being recorded was another transaction of the wallet, which is in a block now.
    let mut machine = unrecorded();
    machine.handle(Event::Judged(Judged::Rejected(
        "a transaction of the wallet waits for its proof".to_owned(),
    )));
    record(&mut machine, "rejected");
}

#[test]
fn inc_46_what_was_judged_long_before_it_could_be_recorded_is_judged_again() {
    let mut machine = machine(Action::DepositSweep);
    assert_eq!(at(&mut machine, 90), judge(false));
    machine.handle(Event::Judged(valid()));
    for number in 90..100 {
        assert_eq!(at(&mut machine, number), Some(Command::Record(1)), "{number}");
        machine.handle(Event::Recorded(false));
    }
    machine.on_block(block(100));
    record(&mut machine, "assembled");
    assert_eq!(machine.poll(), judge(false));
    machine.handle(Event::Judged(valid()));
    assert!(matches!(machine.poll(), Some(Command::Sign(..))), "it is assembled as it was");
}

#[test]
fn what_is_signed_is_signed_between_the_start_and_the_last_block_before_the_end() {
    let mut machine = to_signing(Action::DepositSweep);
    let Some(Command::Sign(job, _)) = machine.poll() else { panic!() };
    assert_eq!((job.start_block, job.last_block), (block(90), block(139)));
    assert_eq!((job.chain_id, job.wallet, job.coordination_block), (CHAIN, WALLET, block(60)));
    assert_eq!(job.action_id, machine.record().agreed.action_id);

    // The last block in which it is begun, and the first in which it isn't.
    for (number, begins) in [(139, true), (140, false)] {
        let mut machine = machine_restored(&to_signing(Action::DepositSweep));
        assert_eq!(at(&mut machine, number), judge(false));
        machine.handle(Event::Judged(valid()));
        match begins {
            true => assert!(matches!(machine.poll(), Some(Command::Sign(..)))),
            false => {
                assert_eq!(machine.poll(), None);
                assert!(!machine.is_busy());
            }
        }
    }
}

#[test]
fn moving_funds_is_judged_twice_eight_blocks_apart_before_it_is_assembled() {
    let mut machine = machine(Action::MovingFunds);
    assert_eq!(at(&mut machine, 90), judge(false));
    machine.handle(Event::Judged(valid()));
    record(&mut machine, "waiting");
    assert_eq!(at(&mut machine, 97), None);
    assert_eq!(at(&mut machine, 98), judge(true));
    machine.handle(Event::Judged(Judged::Undecided("the commitment is not deep enough".to_owned())));
    assert_eq!(at(&mut machine, 99), judge(true));
    machine.handle(Event::Judged(valid()));
    record(&mut machine, "assembled");
    let Some(Command::Sign(job, _)) = machine.poll() else { panic!() };
    assert_eq!((job.start_block, job.last_block), (block(98), block(149)));

    let mut rejected = machine_restored(&machine);
    assert_eq!(at(&mut rejected, 101), judge(true), "after a restart, too");
    rejected.handle(Event::Judged(Judged::Rejected("margin".to_owned())));
    record(&mut rejected, "rejected");
}

#[test]
fn the_times_of_mainnet_are_the_protocols() {
    let network = WindowParameters::MAINNET;
    let agreed = agreed(&network, 1, Action::MovingFunds);
    assert_eq!((agreed.start(), agreed.signing_start()), (block(1000), block(1032)));
    assert_eq!((agreed.signing_end(), agreed.expiry()), (block(1350), block(1650)));
    // A quarter of the margin of 300 blocks after signing has ended, which is 15 minutes.
    let mut machine = Machine::new(CHAIN, Times::of(&network.actions), WALLET, agreed, block(1000));
    record(&mut machine, "agreed");
    assert_eq!(at(&mut machine, 1100), judge(false));
    machine.handle(Event::Judged(Judged::Out(Box::new(signed()))));
    record(&mut machine, "signed");
    for (number, hand) in [(1100, true), (1425, true), (1426, false)] {
        assert_eq!(at(&mut machine, number), watch(hand), "{number}");
        machine.handle(Event::Seen(seen(100, Place::Nowhere)));
    }
}

#[test]
fn what_is_signed_is_handed_out_again_and_again_until_a_quarter_of_the_margin_is_over() {
    let mut machine = to_broadcast();
    assert_eq!(machine.poll(), watch(true));
    let refused = Seen { handed: Some(Err("no server takes it".to_owned())), ..seen(100, Place::Nowhere) };
    machine.handle(Event::Seen(refused.clone()));
    assert_eq!(machine.poll(), None, "once a block");
    // Signing ends at 140, and its margin is 10 blocks.
    for (number, hand) in [(94, true), (100, true), (142, true), (143, false)] {
        assert_eq!(at(&mut machine, number), watch(hand), "{number}");
        machine.handle(Event::Seen(Seen {
            handed: hand.then(|| refused.handed.clone()).flatten(),
            ..seen(100, Place::Nowhere)
        }));
    }
    // Others may have been luckier.
    assert_eq!(at(&mut machine, 144), watch(false));
    machine.handle(Event::Seen(seen(100, Place::Mempool)));
    record(&mut machine, "in a mempool");
}

#[test]
fn expiry_ends_only_what_was_not_broadcast() {
    // The last block before it, and the block itself.
    for (number, is_busy) in [(149, true), (150, false)] {
        let mut machine = to_broadcast();
        told(&mut machine, number, seen(100, Place::Nowhere));
        assert_eq!(machine.record().is_busy(), is_busy, "{number}");
    }
    // Nobody may have told us.
    let mut machine = to_broadcast();
    told(&mut machine, 150, seen(100, Place::Unknown("no server answers".to_owned())));
    assert!(machine.record().is_busy());
    told(&mut machine, 151, seen(100, Place::Mempool));
    record(&mut machine, "in a mempool");

    let mut machine = to_mempool();
    told(&mut machine, 10_000, seen(101, Place::Nowhere));
    assert!(machine.record().is_busy());
    assert_eq!(at(&mut machine, 10_001), watch(true), "who has lost it is handed it again");
    machine.handle(Event::Seen(handed(101, Place::Replaced(txid(3)))));
    record(&mut machine, "replaced");
    assert_eq!(machine.record().end(), Some(&End::Replaced(txid(3))));
    assert!(!machine.record().is_busy());
}

#[test]
fn inc_36_a_transaction_that_waits_for_24_blocks_of_bitcoin_is_an_alarm_again_and_again() {
    let mut machine = to_mempool();
    let waits = |tip| Seen { next_block: Some(2_500), ..seen(tip, Place::Mempool) };
    told(&mut machine, 200, waits(123));
    assert_eq!(machine.poll(), None, "23 blocks");
    told(&mut machine, 201, waits(124));
    record(&mut machine, "stuck");
    let Milestone::Stuck(stuck) = machine.record().state().milestone.clone() else { panic!() };
    // 2 sat/vB, and 10 are asked for.
    assert_eq!((stuck.since, stuck.height), (Height(100), Height(124)));
    assert_eq!((stuck.fee_rate, stuck.next_block), (500, Some(2_500)));
    assert!(machine.record().is_busy(), "the wallet shows as busy with it");
    assert_eq!(machine.record().busy_until(), None);
    machine.on_block(block(202));
    machine = machine_restored(&machine);
    told(&mut machine, 203, waits(147));
    assert_eq!(machine.poll(), None, "told already, before a restart");
    told(&mut machine, 204, waits(148));
    record(&mut machine, "stuck");
    told(&mut machine, 205, seen(149, Place::Block(Height(149))));
    record(&mut machine, "confirmed");
}

#[test]
fn a_block_that_is_replaced_puts_its_transaction_back() {
    let mut machine = to_mempool();
    told(&mut machine, 200, seen(101, Place::Block(Height(101))));
    record(&mut machine, "confirmed");
    assert_eq!(machine.poll(), watch(false));
    machine.handle(Event::Seen(seen(102, Place::Nowhere)));
    record(&mut machine, "broadcast");
    assert!(machine.record().is_busy());
    assert_eq!(machine.poll(), watch(true));
    machine.handle(Event::Seen(handed(102, Place::Mempool)));
    record(&mut machine, "in a mempool");
    // It waits anew: 24 blocks from 102 on.
    told(&mut machine, 300, seen(125, Place::Mempool));
    assert_eq!(machine.poll(), None);
    told(&mut machine, 301, seen(126, Place::Mempool));
    record(&mut machine, "stuck");
    told(&mut machine, 302, seen(127, Place::Block(Height(127))));
    record(&mut machine, "confirmed");
    told(&mut machine, 303, seen(128, Place::Mempool));
    record(&mut machine, "in a mempool");
}

#[test]
fn inc_46_what_is_not_recorded_is_not_acted_on_and_is_tried_again() {
    let mut machine =
        Machine::new(CHAIN, times(), WALLET, agreed(&NETWORK, 1, Action::DepositSweep), block(90));
    assert_eq!(machine.poll(), Some(Command::Record(0)));
    machine.handle(Event::Recorded(false));
    assert_eq!(machine.poll(), None);
    assert_eq!(at(&mut machine, 91), Some(Command::Record(0)));
    machine.handle(Event::Recorded(true));
    assert_eq!(machine.poll(), judge(false));
    machine.handle(Event::Judged(valid()));
    record(&mut machine, "assembled");
    assert!(matches!(machine.poll(), Some(Command::Sign(..))));
    machine.handle(Event::Signed(transaction()));
    assert_eq!(machine.poll(), Some(Command::Record(2)));
    machine.handle(Event::Recorded(false));
    assert_eq!(at(&mut machine, 92), Some(Command::Record(2)), "nothing is handed out before");
    machine.handle(Event::Recorded(true));
    assert_eq!(machine.poll(), watch(true));
}

#[test]
fn others_may_be_faster() {
    for late in [false, true] {
        let mut machine = machine(Action::DepositSweep);
        assert_eq!(at(&mut machine, if late { 145 } else { 92 }), judge(false));
        machine.handle(Event::Judged(Judged::Out(Box::new(signed()))));
        record(&mut machine, "signed");
        assert_eq!(machine.poll(), watch(true));
    }
    // Time was over for our seats.
    let mut machine = to_signing(Action::DepositSweep);
    assert!(matches!(machine.poll(), Some(Command::Sign(..))));
    machine.on_block(block(140));
    machine.handle(Event::Signed(Signing::Deadline));
    assert_eq!(machine.poll(), judge(false));
    machine.handle(Event::Judged(Judged::Out(Box::new(signed()))));
    record(&mut machine, "signed");
}

#[test]
fn what_is_not_signed_has_failed_for_its_reason() {
    let mut machine = to_signing(Action::DepositSweep);
    assert!(matches!(machine.poll(), Some(Command::Sign(..))));
    machine.handle(Event::Signed(Signing::Failed("2 seats were ready, 3 needed".to_owned())));
    record(&mut machine, "failed");
    assert_eq!(machine.record().end(), Some(&End::Failed("2 seats were ready, 3 needed".to_owned())));
}

/// The machine that goes on from what is recorded of this one.
fn machine_restored(machine: &Machine) -> Machine {
    let record = machine.record();
    let steps = (0..record.reached.len()).map(|number| {
        let step = record.step(number).unwrap();
        ReadStep { wallet: step.wallet, window: step.window, number: step.number, step: Ok(step) }
    });
    let read = ActionRecord::from_steps(steps.collect()).pop().unwrap().unwrap();
    assert_eq!(read, *record);
    let at = read.state().at;
    Machine::restored(CHAIN, times(), read, at)
}

#[test]
fn inc_15_an_action_goes_on_from_the_journal_at_every_milestone() {
    // What it asks for first at block 150 (100 while it can be signed).
    let expected = |name: &str| match name {
        "agreed" | "waiting" | "assembled" => judge(name != "agreed"),
        _ => watch(name == "signed"),
    };
    let mut machine = machine(Action::MovingFunds);
    let mut names = Vec::new();
    let mut check = |machine: &Machine| {
        let mut restored = machine_restored(machine);
        let name = machine.record().state().milestone.name();
        restored.on_block(block(100));
        assert_eq!(restored.poll(), expected(name), "{name}");
        names.push(name);
    };
    check(&machine);
    at(&mut machine, 90);
    machine.handle(Event::Judged(valid()));
    record(&mut machine, "waiting");
    check(&machine);
    at(&mut machine, 98);
    machine.handle(Event::Judged(valid()));
    record(&mut machine, "assembled");
    check(&machine);
    machine.poll();
    machine.handle(Event::Signed(transaction()));
    record(&mut machine, "signed");
    check(&machine);
    machine.poll();
    machine.handle(Event::Seen(handed(100, Place::Nowhere)));
    record(&mut machine, "broadcast");
    check(&machine);
    machine.poll();
    machine.handle(Event::Seen(seen(100, Place::Mempool)));
    record(&mut machine, "in a mempool");
    check(&machine);
    told(&mut machine, 150, seen(124, Place::Mempool));
    record(&mut machine, "stuck");
    check(&machine);
    told(&mut machine, 151, seen(125, Place::Block(Height(125))));
    record(&mut machine, "confirmed");
    check(&machine);
    assert_eq!(names.len(), 8);
}
