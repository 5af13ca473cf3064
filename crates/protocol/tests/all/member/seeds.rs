//! Safe hashes that are wrong, change, come late or never, or are hashed by the other rule.

use alloy_primitives::B256;
use coxswain_protocol::{
    Agreement, Alarm, Assurance, Command, Doubt, FaultKind, Generation, HashRule, Ignored,
    MAX_MESSAGES_PER_SENDER, Mistake, NoResult, Note, SafeHashes, Undecided, wire::Proposed,
};
use coxswain_rules::{RuleId, units::BlockNumber};

use crate::member::fixture::{
    ACTIVE_END, C, Driven, END, Wallet, act, action, contract, deposit_sweep, hashes, redemption, rejected,
    signed,
};

/// The first follower under the hash of byte 1, in the window's first block, and a byte under which another operator
/// leads, which isn't the follower.
fn start(wallet: &Wallet) -> (Driven, u8) {
    let mut follower = Driven::follower(wallet);
    follower.block(C);
    let (me, leader) = (wallet.other(0), wallet.leader());
    (follower, wallet.byte_where(|key| key != me && key != leader))
}

fn reads(log: &[Command]) -> usize {
    log.iter().filter(|command| matches!(command, Command::ReadSafeHash { .. })).count()
}

#[test]
fn inc_16_a_message_that_fits_an_earlier_hash_blames_nobody() {
    let wallet = Wallet::new();
    let (mut follower, byte) = start(&wallet);
    // We read the right hash only when somebody seems to impersonate.
    let right = wallet.leader_under(byte);
    follower.hashes = Some(hashes(byte));
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(4)))), Ok(()));
    let heard = follower.hear(wallet.says(right, 1, act(redemption(5))));
    assert_eq!(heard, Err(Ignored::NotTheLeader(wallet.seat_of(right))), "by what we knew");
    let result = follower.end();
    assert_eq!(
        (action(&result), &result.faults[..]),
        (&*redemption(5), &[][..]),
        "taken from check 6 on again"
    );
    let safe_block_hash = B256::repeat_byte(1);
    let (author, signed) = (wallet.leader().address(), signed(wallet.leader(), 1));
    assert!(result.notes.contains(&Note::OtherSeed { author, safe_block_hash, signed }));
    assert!(
        result
            .notes
            .contains(&Note::Reseeded { safe_block_hash: B256::repeat_byte(byte), block: BlockNumber(C) })
    );
}

#[test]
fn inc_16_the_seed_is_read_again_before_anybody_is_suspected_and_before_anybody_is_blamed() {
    let wallet = Wallet::new();
    let (mut follower, _) = start(&wallet);
    assert_eq!(follower.hear(wallet.proposal(1, Proposed::NoOp)), Ok(()));
    follower.wanted();
    assert!(follower.hear(wallet.says(wallet.other(1), 1, Proposed::NoOp)).is_err());
    assert_eq!(reads(&follower.wanted()), 1);
    follower.until(END - 1);
    assert_eq!(reads(&follower.wanted()), 0);
    follower.block(END);
    assert_eq!(reads(&follower.wanted()), 1);
    // If it can't be, it is asked for at each block, and nobody is blamed.
    let (mut follower, _) = start(&wallet);
    assert!(follower.hear(wallet.says(wallet.other(1), 1, Proposed::NoOp)).is_err());
    follower.until(END - 1);
    follower.hashes = None;
    follower.block(END);
    assert_eq!(follower.result(), None, "it may still come");
    follower.block(END + 1);
    let result = follower.result().unwrap();
    let doubts: Vec<_> = result.notes.iter().map(doubt).collect();
    assert_eq!(doubts, [Some(Doubt::Unconfirmed), Some(Doubt::Unconfirmed)]);
    assert_eq!(result.faults, []);
}

#[test]
fn inc_16_while_nothing_comes_the_hash_is_read_again_each_eighth_and_may_make_us_the_leader() {
    let wallet = Wallet::new();
    let (mut follower, _) = start(&wallet);
    follower.wanted();
    follower.until(C + 9);
    assert_eq!(reads(&follower.wanted()), 0);
    follower.block(C + 10);
    assert_eq!(reads(&follower.wanted()), 1);
    let me = wallet.other(0);
    follower.hashes = Some(hashes(wallet.byte_where(|key| key == me)));
    follower.generations.insert(coxswain_rules::Action::Redemption, Generation::Proposal(redemption(5)));
    follower.until(C + 20);
    assert_eq!(follower.broadcasts(), 1);
    assert_eq!(action(&follower.end()), &*redemption(5));
}

fn doubt(note: &Note) -> Option<Doubt> {
    match note {
        Note::Unproven { doubt, .. } => Some(*doubt),
        _ => None,
    }
}

#[test]
fn what_follows_from_a_seed_on_one_servers_word_blames_nobody() {
    let wallet = Wallet::new();
    let faults = |assurance| {
        let mut follower = Driven::follower(&wallet);
        follower.assurance = assurance;
        follower.block(C);
        assert!(follower.hear(wallet.says(wallet.other(1), 1, Proposed::NoOp)).is_err());
        assert!(follower.hear(wallet.proposal(1, act(deposit_sweep()))).is_err());
        let result = follower.end();
        let doubts: Vec<_> = result.notes.iter().filter_map(doubt).collect();
        (result.faults.len(), doubts, result.agreement.clone())
    };
    let unproven = Agreement::None(NoResult::Unproven(Doubt::Word));
    assert_eq!(faults(Assurance::Word), (0, vec![Doubt::Word; 3], unproven));
    let mistake = Agreement::None(NoResult::Mistake);
    assert_eq!(faults(Assurance::Agreed), (3, vec![], mistake.clone()));
    assert_eq!(faults(Assurance::Proven), (3, vec![], mistake));
}

#[test]
fn inc_16_three_changes_of_the_hash_are_followed_and_the_fourth_leaves_the_window_undecided() {
    let wallet = Wallet::new();
    let after = |changes: u8| {
        let (mut follower, _) = start(&wallet);
        for change in 1..=changes {
            follower.block(C + u64::from(change));
            follower.hashes = Some(hashes(if change == changes { 1 } else { 100 + change }));
            // Somebody new to suspect, so that the hash is read again.
            let liar = wallet.keys[usize::from(change - 1) % 4];
            let author = if liar == wallet.other(0) { wallet.leader() } else { liar };
            let _ = follower.hear(wallet.raw(author, u64::from(change), &[8, 10 + change]));
        }
        follower
    };
    // Three: away, away, and back to the first.
    let mut follower = after(3);
    let result = follower.end();
    let reseeds = result.notes.iter().filter(|note| matches!(note, Note::Reseeded { .. })).count();
    assert_eq!(reseeds, 3, "{:?}", result.notes);
    assert_ne!(result.agreement, Agreement::Undecided(Undecided::TooManySeeds));
    let result = after(4).end();
    assert_eq!(result.agreement, Agreement::Undecided(Undecided::TooManySeeds));
    assert_eq!(result.faults, []);
}

#[test]
fn inc_16_quotas_outlive_a_reseed() {
    let wallet = Wallet::new();
    let (mut follower, byte) = start(&wallet);
    let flooder = wallet.other(1);
    for sequence in 0..MAX_MESSAGES_PER_SENDER as u64 {
        let _ = follower.hear(wallet.says(flooder, sequence, act(redemption(sequence))));
    }
    follower.hashes = Some(hashes(byte));
    let _ = follower.hear(wallet.says(wallet.other(2), 1, Proposed::NoOp));
    let heard = follower.hear(wallet.says(flooder, 1_000, act(redemption(1_000))));
    assert_eq!(heard, Err(Ignored::TooMany));
}

#[test]
fn messages_that_come_before_the_safe_hash_are_kept_until_it_does() {
    let wallet = Wallet::new();
    let mut follower = Driven::follower(&wallet);
    follower.hashes = None;
    follower.block(C);
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Err(Ignored::SeedUnknown));
    follower.until(C + 3);
    assert_eq!(reads(&follower.wanted()), 4, "asked at each block");
    follower.until(ACTIVE_END + 5);
    follower.hashes = Some(hashes(1));
    assert_eq!(action(&follower.end()), &*redemption(5), "it came in time, the hash didn't have to");
}

#[test]
fn content_that_is_judged_late_because_of_the_seed_blames_nobody() {
    let wallet = Wallet::new();
    let objection = contract(RuleId::Rd4);
    let hash_at = |block| {
        let mut follower = Driven::follower(&wallet);
        follower.verdict = Some(rejected(objection.clone()));
        follower.hashes = None;
        follower.block(C);
        assert!(follower.hear(wallet.proposal(1, act(redemption(5)))).is_err());
        follower.until(block - 1);
        follower.hashes = Some(hashes(1));
        follower.block(block);
        follower.end().agreement.clone()
    };
    assert_eq!(hash_at(C + 1), Agreement::None(NoResult::Mistake), "last in time");
    let later = Agreement::None(NoResult::CameUpLater(objection.clone()));
    assert_eq!(hash_at(C + 2), later, "first too late");
}

#[test]
fn a_safe_hash_that_never_comes_leaves_the_window_undecided() {
    let wallet = Wallet::new();
    let mut follower = Driven::follower(&wallet);
    follower.hashes = None;
    follower.block(C);
    assert!(follower.hear(wallet.proposal(1, act(redemption(5)))).is_err());
    let result = follower.end();
    assert_eq!(result.agreement, Agreement::Undecided(Undecided::NoSeed));
    assert_eq!((result.basis, &result.faults[..]), (None, &[][..]));
}

#[test]
fn an_answer_to_an_earlier_question_changes_nothing() {
    let wallet = Wallet::new();
    let mut follower = Driven::follower(&wallet);
    follower.hashes = None;
    follower.block(C);
    let Some(Command::ReadSafeHash { question: first, .. }) = follower.wanted().pop() else { panic!() };
    follower.hashes = Some(hashes(1));
    follower.block(C + 1);
    let (assurance, hashes) = (Assurance::Agreed, hashes(77));
    let stale = coxswain_protocol::Event::SafeHash { question: first, hashes, assurance };
    follower.take(stale).unwrap();
    let result = follower.end();
    assert_eq!(result.basis.unwrap().safe_block_hash, B256::repeat_byte(1));
    assert_eq!(result.notes, []);
}

#[test]
fn idleness_is_proven_only_under_one_seed_from_block_11_on() {
    let wallet = Wallet::new();
    let leader = wallet.leader();
    let same_leader = wallet.byte_where(|key| key == leader);
    let changed_at = |block| {
        let (mut follower, _) = start(&wallet);
        follower.until(block);
        follower.hashes = Some(hashes(same_leader));
        let _ = follower.hear(wallet.says(wallet.other(1), 1, Proposed::NoOp));
        follower.end().agreement.clone()
    };
    assert_eq!(changed_at(C + 11), Agreement::None(NoResult::Idle), "last allowed");
    assert_eq!(changed_at(C + 12), Agreement::None(NoResult::Unproven(Doubt::Reseeded)), "first doubtful");
}

#[test]
fn idleness_beside_a_message_for_another_seed_is_unproven() {
    let wallet = Wallet::new();
    let me = wallet.other(0);
    let (mut follower, byte) = start(&wallet);
    let right = wallet.leader_under(byte);
    follower.hashes = Some(hashes(byte));
    // Makes us read the hash again, and fits the first one.
    assert_eq!(follower.hear(wallet.proposal(1, Proposed::NoOp)), Ok(()));
    let liar = *wallet.keys.iter().find(|key| ![me, right, wallet.leader()].contains(key)).unwrap();
    assert!(follower.hear(wallet.says(liar, 1, Proposed::NoOp)).is_err());
    let result = follower.end();
    assert_eq!(result.agreement, Agreement::None(NoResult::Unproven(Doubt::OtherSeed)));
    let impersonation = FaultKind::LeaderImpersonation { seat: wallet.seat_of(liar) };
    assert_eq!(result.faults, [wallet.fault(liar, impersonation, Some(1))]);
}

/// A block that the rules hash differently: by the other rule, this operator leads.
fn split(wallet: &Wallet, leads: impl Fn(coxswain_protocol::wire::OperatorKey) -> bool) -> SafeHashes {
    let byte = wallet.byte_where(leads);
    SafeHashes { canonical: B256::repeat_byte(1), legacy_header: B256::repeat_byte(byte) }
}

#[test]
fn inc_34_a_message_that_fits_the_other_hash_rule_is_told_as_such_and_blames_nobody() {
    let wallet = Wallet::new();
    let (me, leader) = (wallet.other(0), wallet.leader());
    let mut follower = Driven::follower(&wallet);
    let both = split(&wallet, |key| key != me && key != leader);
    follower.hashes = Some(both);
    follower.block(C);
    let theirs =
        *wallet.keys.iter().find(|key| **key == wallet.leader_under(both.legacy_header.0[0])).unwrap();
    let heard = follower.hear(wallet.says(theirs, 1, act(redemption(5))));
    assert_eq!(heard, Err(Ignored::HashRuleMismatch(HashRule::LegacyHeader)));
    let result = follower.end();
    assert_eq!(
        result.agreement,
        Agreement::None(NoResult::Unproven(Doubt::HashRule)),
        "nor is idleness proven"
    );
    let (author, signed) = (theirs.address(), signed(theirs, 1));
    let rule = HashRule::LegacyHeader;
    assert!(result.notes.contains(&Note::HashRuleMismatch { author, rule, signed }));
    assert_eq!((&result.faults[..], &result.alarms[..]), (&[][..], &[][..]), "once is no alarm");
    // What our rule's leader says is settled on all the same.
    let mut follower = Driven::follower(&wallet);
    follower.hashes = Some(both);
    follower.block(C);
    assert!(follower.hear(wallet.says(theirs, 1, act(redemption(6)))).is_err());
    assert_eq!(follower.hear(wallet.proposal(1, act(redemption(5)))), Ok(()));
    assert_eq!(action(&follower.end()), &*redemption(5));
}

#[test]
fn inc_34_two_windows_in_a_row_raise_an_alarm_and_two_with_one_between_them_do_not() {
    let wallet = Wallet::new();
    let me = wallet.other(0);
    let alarms = |windows: [u64; 2]| {
        let mut follower = Driven::follower(&wallet);
        let mut alarms = Vec::new();
        let mut author = None;
        for index in 1..=3 {
            let window = coxswain_protocol::Window::numbered(&wallet.network, index).unwrap();
            let leader_under = |byte: u8| {
                let hash = B256::repeat_byte(byte);
                let wallet_hash = wallet.assignment.wallet;
                let of = coxswain_protocol::Assignment::new(
                    &wallet.network,
                    window,
                    wallet_hash,
                    &wallet.group,
                    hash,
                );
                *wallet.keys.iter().find(|key| key.address() == of.leader).unwrap()
            };
            let theirs = *author.get_or_insert(leader_under(wallet.byte_where(|key| key != me)));
            let other = (2..=255).find(|byte| leader_under(*byte) == theirs).unwrap();
            let own = (2..=255).find(|byte| ![me, theirs].contains(&leader_under(*byte))).unwrap();
            follower.hashes = Some(SafeHashes {
                canonical: B256::repeat_byte(own),
                legacy_header: B256::repeat_byte(other),
            });
            follower.block(window.block().0);
            if windows.contains(&index) {
                let mut message = wallet.message(wallet.seat_of(theirs), act(redemption(5)));
                message.coordination_block = window.block();
                let heard = follower.hear(wallet.receive(theirs, index, &message));
                assert_eq!(heard, Err(Ignored::HashRuleMismatch(HashRule::LegacyHeader)));
            }
            follower.until(window.end().next().0);
            alarms.push(follower.result().unwrap().alarms.len());
        }
        alarms
    };
    assert_eq!(alarms([1, 2]), [0, 1, 0]);
    assert_eq!(alarms([1, 3]), [0, 0, 0]);
}

#[test]
fn inc_34_two_authors_raise_an_alarm() {
    let wallet = Wallet::new();
    let (me, leader) = (wallet.other(0), wallet.leader());
    let mut follower = Driven::follower(&wallet);
    let both = split(&wallet, |key| key != me && key != leader);
    let first = wallet.leader_under(both.legacy_header.0[0]);
    follower.hashes = Some(both);
    follower.block(C);
    assert!(follower.hear(wallet.says(first, 1, act(redemption(5)))).is_err());
    // The block is replaced; by the other rule, now another one leads.
    let other = wallet.byte_where(|key| ![me, leader, first].contains(&key));
    let second = wallet.leader_under(other);
    follower.hashes =
        Some(SafeHashes { canonical: B256::repeat_byte(1), legacy_header: B256::repeat_byte(other) });
    assert!(follower.hear(wallet.says(second, 1, act(redemption(6)))).is_err());
    let result = follower.end();
    let [Alarm::HashRule { authors }] = &result.alarms[..] else { panic!("{:?}", result) };
    assert_eq!(authors.len(), 2);
}

#[test]
fn an_off_checklist_message_of_an_earlier_leader_fits_no_seed() {
    let wallet = Wallet::new();
    let (mut follower, byte) = start(&wallet);
    follower.hashes = Some(hashes(byte));
    assert!(follower.hear(wallet.proposal(1, act(deposit_sweep()))).is_err());
    let result = follower.end();
    let impersonation = FaultKind::LeaderImpersonation { seat: wallet.assignment.leader_seat };
    assert!(result.faults.contains(&wallet.fault(wallet.leader(), impersonation, Some(1))));
    let mistake = FaultKind::LeaderMistake(Mistake::NotOnChecklist(coxswain_rules::Action::DepositSweep));
    assert!(!result.faults.iter().any(|fault| fault.kind == mistake));
}
