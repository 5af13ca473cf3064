//! What liars, laggards and the dead can make of a decision: each rule at its boundary, and all small cases.

use alloy::consensus::Header;

use coxswain_rules::network::Preset;

use super::*;

const NOW: u64 = 1_800_000_000;
const LOCAL: Pace = None;
const MAINNET: Pace = Preset::MAINNET.block_times;

fn header(number: u64, timestamp: u64, branch: u8, parent_hash: B256) -> HashedHeader {
    let header =
        Header { number, timestamp, parent_hash, extra_data: vec![branch].into(), ..Header::default() };
    let hash = header.hash_slow();
    HashedHeader::new(header, hash).unwrap()
}

/// A branch from block 1 to this height, which leaves branch 0 after block `from`.
fn branch(branch: u8, from: u64, height: u64) -> Vec<HashedHeader> {
    let mut headers: Vec<HashedHeader> = Vec::new();
    for number in 1..=height {
        let parent = headers.last().map_or(B256::ZERO, HashedHeader::hash);
        let branch = if number > from { branch } else { 0 };
        headers.push(header(number, NOW + 12 * number, branch, parent));
    }
    headers
}

fn quorum(servers: usize) -> Quorum {
    Quorum::new(servers, 0).unwrap()
}

fn decide(
    decider: &mut Decider,
    now: u64,
    heads: &[Response<&HashedHeader>],
    names: &[Response<&[HashedHeader]>],
) -> Result<Decision, DecisionError> {
    let horizon = decider.heads(UnixTime(now), heads)?;
    decider.names(UnixTime(now), horizon, names)
}

/// The one server shows these blocks, the last of which is its head.
fn alone(decider: &mut Decider, now: u64, shown: &[HashedHeader]) -> Result<Decision, DecisionError> {
    decide(decider, now, &[Response::Answer(shown.last().unwrap())], &[Response::Answer(shown)])
}

#[test]
fn a_networks_pace_is_its_presets() {
    let times = BlockTimes {
        slot: Duration::from_secs(12),
        max_head_age: Duration::from_secs(180),
        max_head_ahead: Duration::from_secs(30),
        max_decision_age: Duration::from_secs(300),
    };
    assert_eq!(Preset::MAINNET.block_times, Some(times));
    assert_eq!(Preset::LOCAL.block_times, None);
}

#[test]
fn inc_47_a_head_counts_while_it_is_new() {
    for (age, counts) in [(180, true), (181, false)] {
        let head = [header(9, NOW - age, 0, B256::ZERO)];
        assert_eq!(alone(&mut Decider::new(quorum(1), MAINNET), NOW, &head).is_ok(), counts, "{age}");
        let local = alone(&mut Decider::new(quorum(1), LOCAL), NOW, &head);
        assert!(local.is_ok(), "time is not the clock's there");
    }
    for (ahead, counts) in [(30, true), (31, false)] {
        let head = [header(9, NOW + ahead, 0, B256::ZERO)];
        let decided = alone(&mut Decider::new(quorum(1), MAINNET), NOW, &head);
        assert_eq!(decided.is_ok(), counts, "{ahead}");
        if !counts {
            assert_eq!(decided, Err(DecisionError::NoFreshHead { counted: 0, required: 1 }));
        }
    }
}

#[test]
fn inc_47_enough_servers_have_reached_the_height_whatever_the_highest_claims() {
    let chain = branch(0, 99, 20);
    let at = |height: usize| Response::Answer(&chain[height - 1]);
    let high = header(1_000_000, NOW, 7, B256::ZERO);
    let claim = Response::Answer(&high);
    for (heads, height) in [
        (vec![at(20), at(18), claim], 20),
        (vec![claim, at(18), at(17)], 18),
        (vec![at(20), at(18), Response::Silence], 18),
        (vec![at(20), at(18)], 18),
        (vec![at(20), Response::Silence], 20),
        (vec![claim, at(18), at(18), at(17), Response::Nothing], 18),
    ] {
        let horizon = Decider::new(quorum(heads.len()), LOCAL).heads(UnixTime(NOW), &heads).unwrap();
        assert_eq!(horizon.heights(), BlockNumber(height - 7)..=BlockNumber(height));
    }
    // Of two, one that answers other questions is not silent.
    let heads = [at(20), Response::Nothing];
    let few = DecisionError::NoFreshHead { counted: 1, required: 2 };
    assert_eq!(Decider::new(quorum(2), LOCAL).heads(UnixTime(NOW), &heads), Err(few));
    let raised = Quorum::new(2, 2).unwrap();
    assert_eq!(Decider::new(raised, LOCAL).heads(UnixTime(NOW), &[at(20), Response::Silence]), Err(few));
}

#[test]
fn inc_24_behind_is_more_than_ten_under_what_enough_have_reached() {
    let chain = branch(0, 99, 40);
    let at = |height: usize| Response::Answer(&chain[height - 1]);
    let high = header(51, NOW, 7, B256::ZERO);
    let heads = [Response::Answer(&high), at(40), at(40), at(30), at(29)];
    let horizon = Decider::new(quorum(5), LOCAL).heads(UnixTime(NOW), &heads).unwrap();
    assert_eq!((horizon.height, horizon.behind), (BlockNumber(40), vec![4]));
}

#[test]
fn the_block_is_the_highest_that_enough_name_down_to_seven_under_the_height() {
    let (chain, other) = (branch(0, 99, 20), branch(1, 12, 20));
    let heads = [Response::Answer(&chain[19]); 3];
    for (names, decided) in [
        (
            [Response::Answer(&chain[..]), Response::Answer(&chain[..]), Response::Answer(&other[..])],
            Some((20, 2)),
        ),
        (
            [Response::Answer(&chain[..]), Response::Answer(&chain[..15]), Response::Answer(&other[..])],
            Some((15, 2)),
        ),
        ([Response::Answer(&chain[..]), Response::Answer(&chain[..13]), Response::Nothing], Some((13, 2))),
        ([Response::Answer(&chain[..]), Response::Answer(&chain[..12]), Response::Silence], None),
        ([Response::Answer(&chain[..]), Response::Answer(&other[..]), Response::Silence], None),
    ] {
        let found = decide(&mut Decider::new(quorum(3), LOCAL), NOW, &heads, &names);
        let expected = decided.ok_or(DecisionError::NotNamed {
            lowest: BlockNumber(13),
            highest: BlockNumber(20),
            required: 2,
        });
        assert_eq!(found.map(|found| (found.header.number().0, found.named_by)), expected);
    }
}

#[test]
fn inc_47_the_block_itself_is_not_old() {
    // A forged head is new, and has all name what is a year old: they really have it.
    let forged = header(5, NOW, 9, B256::ZERO);
    for (age, is_new) in [(300, true), (301, false)] {
        let shown = [header(5, NOW - age, 0, B256::ZERO)];
        let mut decider = Decider::new(quorum(1), MAINNET);
        let decided = decide(&mut decider, NOW, &[Response::Answer(&forged)], &[Response::Answer(&shown)]);
        assert_eq!(decided.is_ok(), is_new, "{age}: {decided:?}");
    }
}

#[test]
fn inc_47_heads_that_time_does_not_allow_do_not_count() {
    let block = |number, time| [header(number, time, 0, B256::ZERO)];
    let mut decider = Decider::new(quorum(1), MAINNET);
    assert_eq!(alone(&mut decider, NOW, &block(100, NOW)).unwrap().clock, BlockNumber(100));
    let later = NOW + 120;
    for (number, time) in [(111, later), (110, later - 1), (1_000_000, later), (101, NOW + 11)] {
        assert_eq!(
            alone(&mut decider.clone(), later, &block(number, time)),
            Err(DecisionError::OutOfPace { since: BlockNumber(100) }),
            "{number} at {time}"
        );
    }
    assert_eq!(alone(&mut decider, later, &block(110, later)).unwrap().clock, BlockNumber(110));
    // Honest lag is no jump.
    assert!(alone(&mut decider, later, &block(90, later - 30)).is_ok());
    // What was out of pace for 75 blocks' time, and is all there is, must be the chain.
    let from = later + 60;
    for (now, is_believed) in [(from, false), (from + 899, false), (from + 900, true)] {
        assert_eq!(alone(&mut decider, now, &block(500, now)).is_ok(), is_believed, "{now}");
    }
}

#[test]
fn the_clock_never_goes_back_unless_the_servers_stay_under_it() {
    let mut decider = Decider::new(quorum(1), LOCAL);
    let mut at = |now: u64, number: u64| {
        alone(&mut decider, now, &[header(number, now, 0, B256::ZERO)]).unwrap().clock
    };
    assert_eq!(at(NOW, 100), BlockNumber(100));
    assert_eq!(at(NOW + 1, 98), BlockNumber(100));
    assert_eq!(at(NOW + 75, 60), BlockNumber(100));
    // It was reached in between: the wait begins anew.
    assert_eq!(at(NOW + 76, 100), BlockNumber(100));
    assert_eq!(at(NOW + 80, 70), BlockNumber(100));
    assert_eq!(at(NOW + 154, 71), BlockNumber(100));
    assert_eq!(at(NOW + 155, 72), BlockNumber(72));
    assert_eq!(at(NOW + 156, 73), BlockNumber(73));
}

#[test]
fn the_safe_block_is_an_ancestor_by_its_parents_hashes() {
    let (chain, other) = (branch(0, 99, 9), branch(1, 6, 9));
    let down = |chain: &[HashedHeader]| chain.iter().rev().cloned().collect::<Vec<_>>();
    let (headers, foreign) = (down(&chain[..8]), down(&other[..8]));
    assert_eq!(ancestor(&chain[8], &headers, BlockNumber(5)), Some(&chain[4]));
    assert_eq!(ancestor(&chain[8], &headers, BlockNumber(9)), Some(&chain[8]));
    assert_eq!(ancestor(&chain[8], &headers, BlockNumber(10)), None);
    assert_eq!(ancestor(&chain[8], &foreign, BlockNumber(5)), None, "another branch");
    assert_eq!(ancestor(&chain[8], &headers[1..], BlockNumber(5)), None, "one is left out");
    assert_eq!(ancestor(&chain[8], &headers[..3], BlockNumber(5)), None, "it ends too early");
}

/// All that up to five servers can be, two heads of lag, a fork, the dead and liars: if fewer fail than are enough, the block
/// is one that an honest server shows, and the clock no later than an honest head. If enough are honest, and on one
/// branch, there is a block.
#[test]
fn inc_47_every_small_case() {
    type Server<'a> = (Response<&'a HashedHeader>, Response<&'a [HashedHeader]>);
    fn shows<'a>(head: &'a HashedHeader, names: &'a [HashedHeader]) -> Server<'a> {
        (Response::Answer(head), Response::Answer(names))
    }
    let (main, fork, forged) = (branch(0, 99, 12), branch(1, 10, 11), branch(2, 4, 30));
    let honest: Vec<_> = [&main[..], &main[..11], &main[..10], &fork[..]]
        .into_iter()
        .map(|shown| shows(shown.last().unwrap(), shown))
        .collect();
    let faulty = [
        (Response::Silence, Response::Silence),
        (Response::Nothing, Response::Answer(&main[..])),
        (Response::Silence, Response::Answer(&forged[..])),
        shows(&forged[29], &forged),
        shows(&forged[11], &forged),
        shows(&main[11], &forged),
        shows(&forged[29], &fork),
        shows(&main[3], &[]),
    ];
    let kinds = honest.len() + faulty.len();
    let mut cases = 0_u64;
    for servers in 1..=5_u32 {
        for case in 0..kinds.pow(servers) {
            let chosen: Vec<_> = (0..servers).map(|server| case / kinds.pow(server) % kinds).collect();
            let enough = quorum(chosen.len()).required(chosen.len());
            if chosen.iter().filter(|kind| **kind >= honest.len()).count() >= enough {
                continue;
            }
            cases += 1;
            let server = |kind: &usize| honest.get(*kind).unwrap_or_else(|| &faulty[*kind - honest.len()]);
            let (heads, names): (Vec<_>, Vec<_>) = chosen.iter().map(server).copied().unzip();
            match decide(&mut Decider::new(quorum(chosen.len()), LOCAL), NOW, &heads, &names) {
                Ok(decision) => {
                    let shown = chosen.iter().filter_map(|kind| honest.get(*kind)?.1.answer());
                    assert!(
                        shown.flatten().any(|header| *header == decision.header),
                        "{chosen:?}: {decision:?}"
                    );
                    assert!(decision.clock <= BlockNumber(12), "{chosen:?}: {decision:?}");
                }
                Err(error) => {
                    let on_main = chosen.iter().filter(|kind| **kind < 3).count();
                    assert!(on_main < enough, "{chosen:?}: {error}");
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 50_000, "{cases}");
}
