//! The header chain: mined at low difficulty by the rules of mainnet, and broken in every way; and mainnet's own headers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::num::NonZeroU32;

use bitcoin::{
    BlockHash, CompactTarget, Target, TxMerkleNode, Work,
    block::{Header, Version},
    consensus::encode,
    hashes::Hash,
};
use coxswain_bitcoin::chain::{
    FlawError, HeaderChain, HeaderError, HeaderRules, StaleError, Standing, Start,
};
use coxswain_rules::units::{Confirmations, Height};
use coxswain_testkit::worked;
use proptest::prelude::*;
use serde_json::Value;

const SPACING: u32 = 600;
const HOUR: u32 = 3_600;
const GENESIS_TIME: u32 = 1_500_000_000;
/// A clock that is ahead of every block.
const LATE: u32 = u32::MAX;

/// Mainnet's, but that every other hash meets the limit.
fn rules() -> HeaderRules {
    HeaderRules { limit: Target::MAX_ATTAINABLE_REGTEST, ..HeaderRules::MAINNET }
}

/// The same with epochs of 8 blocks.
fn short() -> HeaderRules {
    HeaderRules { interval: NonZeroU32::new(8).unwrap(), ..rules() }
}

/// A header with work. `version` makes it differ from others in its place.
fn mine(parent: BlockHash, time: u32, bits: CompactTarget, version: i32) -> Header {
    worked(Header {
        version: Version::from_consensus(version),
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits,
        nonce: 0,
    })
}

/// A miner by the rules, with a chain of its own, from height 0.
#[derive(Clone)]
struct Miner {
    rules: HeaderRules,
    version: i32,
    headers: Vec<Header>,
}

impl Miner {
    fn new(rules: HeaderRules) -> Self {
        Self::starting(rules, rules.limit.to_compact_lossy())
    }

    fn starting(rules: HeaderRules, bits: CompactTarget) -> Self {
        let genesis = mine(BlockHash::all_zeros(), GENESIS_TIME, bits, 1);
        Self { rules, version: 2, headers: vec![genesis] }
    }

    fn start(&self) -> Start {
        Start { height: Height(0), header: self.headers[0] }
    }

    fn chain(&self) -> HeaderChain {
        HeaderChain::new(self.start(), self.rules)
    }

    fn tip(&self) -> &Header {
        self.headers.last().unwrap()
    }

    fn next_bits(&self) -> CompactTarget {
        let (height, interval) = (self.headers.len(), self.rules.interval.get() as usize);
        match height % interval {
            0 => {
                let seconds = i64::from(self.tip().time) - i64::from(self.headers[height - interval].time);
                self.rules.next_bits(self.tip().bits, seconds)
            }
            _ => self.tip().bits,
        }
    }

    fn mine_at(&mut self, time: u32) -> Header {
        let header = mine(self.tip().block_hash(), time, self.next_bits(), self.version);
        self.headers.push(header);
        header
    }

    /// Mines so many, each so many seconds after the one before.
    fn mine(&mut self, count: usize, seconds: u32) -> &[Header] {
        let first = self.headers.len();
        for _ in 0..count {
            self.mine_at(self.tip().time + seconds);
        }
        &self.headers[first..]
    }

    /// Another miner, who goes on from this height alone.
    fn fork(&self, height: usize) -> Self {
        Self { version: self.version + 1, headers: self.headers[..=height].to_vec(), rules: self.rules }
    }
}

fn connect(chain: &mut HeaderChain, first: usize, headers: &[Header]) -> Result<(), FlawError> {
    let first = Height(u32::try_from(first).unwrap());
    chain.connect(first, headers, LATE).map_err(|error| error.flaw)
}

fn height(miner: &Miner) -> Height {
    Height(u32::try_from(miner.headers.len() - 1).unwrap())
}

#[test]
fn seventy_five_thousand_headers_over_many_retargets() {
    let bits = CompactTarget::from_consensus(0x203f_ffff);
    let mut miner = Miner::starting(rules(), bits);
    // Epochs that take half, or twice, what they should.
    for (epoch, seconds) in [600, 300, 1_200, 600, 450, 900].into_iter().cycle().take(37).enumerate() {
        miner.mine(if epoch == 0 { 2_015 } else { 2_016 }, seconds);
    }
    miner.mine(500, SPACING);
    let targets: std::collections::BTreeSet<_> =
        miner.headers.iter().map(|header| header.bits.to_consensus()).collect();
    assert!(miner.headers.len() > 75_000 && targets.len() > 3, "{} {targets:x?}", miner.headers.len());

    let mut chain = miner.chain();
    for (index, batch) in miner.headers.chunks(2_016).enumerate() {
        assert_eq!(connect(&mut chain, index * 2_016, batch), Ok(()));
    }
    assert_eq!((chain.height(), chain.tip()), (height(&miner), miner.tip()));
    assert_eq!(chain.headers(), miner.headers);
    assert_eq!(chain.confirmations(Height(70_000)), Some(Confirmations(height(&miner).0 - 70_000 + 1)));
    assert_eq!(chain.confirmations(height(&miner).next()), None);

    // One header a request, a start later on, and what was kept before.
    let later = Start { height: Height(40_000), header: miner.headers[40_000] };
    let mut by_one = HeaderChain::new(later, rules());
    for (height, header) in miner.headers.iter().enumerate().skip(40_001) {
        assert_eq!(connect(&mut by_one, height, std::slice::from_ref(header)), Ok(()));
    }
    assert_eq!(by_one.tip(), miner.tip());
    assert_eq!(by_one.height(), height(&miner));
    let bytes = chain.to_bytes();
    assert_eq!(bytes.len(), 80 * (miner.headers.len() - 1));
    assert_eq!(HeaderChain::from_bytes(miner.start(), rules(), &bytes, LATE), chain);
}

#[test]
fn what_is_kept_is_taken_as_far_as_it_holds() {
    let mut miner = Miner::new(short());
    miner.mine(30, SPACING);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();
    let bytes = chain.to_bytes();
    let read = |bytes: &[u8]| HeaderChain::from_bytes(miner.start(), short(), bytes, LATE).height().0;
    assert_eq!(read(&bytes), 30);
    for length in [0, 79, 80, 81, 160, bytes.len() - 1] {
        assert_eq!(read(&bytes[..length]) as usize, length / 80, "{length}");
    }
    // A bit anywhere in the 11th header after the start: its hash is another, and nothing stands on it.
    for byte in (800..880).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1;
        assert!((10..=11).contains(&read(&flipped)), "{byte}");
    }
    let other =
        Start { height: Height(0), header: mine(BlockHash::all_zeros(), GENESIS_TIME, miner.tip().bits, 9) };
    assert_eq!(HeaderChain::from_bytes(other, short(), &bytes, LATE).height(), Height(0));
    // At a clock that is behind, the newest ones are too far ahead.
    let early = miner.tip().time - 2 * HOUR - 1;
    assert_eq!(HeaderChain::from_bytes(miner.start(), short(), &bytes, early).height(), Height(29));
}

#[test]
fn the_chain_is_the_one_with_the_most_work() {
    let mut miner = Miner::starting(short(), CompactTarget::from_consensus(0x203f_ffff));
    miner.mine(20, SPACING);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();

    // As much work does not suffice; more does. (Both in epochs of the same target: as long is as much.)
    let mut rival = miner.fork(18);
    rival.mine(2, SPACING);
    connect(&mut chain, 19, &rival.headers[19..]).unwrap();
    assert_eq!(chain.tip(), miner.tip());
    assert_eq!(chain.standing(rival.tip().block_hash()), Standing::Current);
    // Header by header, the last one standing on the branch.
    let next = rival.mine(1, SPACING)[0];
    connect(&mut chain, 21, &[next]).unwrap();
    assert_eq!((chain.tip(), chain.height()), (rival.tip(), Height(21)));
    assert_eq!(chain.headers(), rival.headers);
    // What was the chain is a branch now, and can become the chain again.
    assert_eq!(chain.standing(miner.tip().block_hash()), Standing::Forked { at: Height(18) });
    miner.mine(2, SPACING);
    connect(&mut chain, 21, &miner.headers[21..]).unwrap();
    assert_eq!(chain.headers(), miner.headers);
    assert_eq!(chain.standing(rival.tip().block_hash()), Standing::Forked { at: Height(18) });

    // More blocks with less work lose: here 24 easy blocks against 23 of four times the work.
    let mut hard = Miner::starting(short(), CompactTarget::from_consensus(0x203f_ffff));
    hard.mine(7, 1);
    let mut easy = hard.fork(7);
    hard.mine(16, 1);
    // The epoch before was fast for both: the same target at first, then an easy one.
    easy.mine(8, 5_000);
    easy.mine(9, SPACING);
    assert!(easy.headers.len() > hard.headers.len());
    let total =
        |miner: &Miner| miner.headers.iter().map(Header::work).reduce(|sum: Work, work| sum + work).unwrap();
    assert!(total(&easy) < total(&hard));
    let mut chain = hard.chain();
    connect(&mut chain, 1, &hard.headers[1..]).unwrap();
    connect(&mut chain, 8, &easy.headers[8..]).unwrap();
    assert_eq!(chain.tip(), hard.tip());
    let mut chain = hard.chain();
    connect(&mut chain, 1, &easy.headers[1..]).unwrap();
    connect(&mut chain, 8, &hard.headers[8..]).unwrap();
    assert_eq!(chain.tip(), hard.tip());
}

#[test]
fn branches_of_branches_are_kept_where_they_leave_the_chain() {
    let mut miner = Miner::new(short());
    miner.mine(20, SPACING);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();
    let mut first = miner.fork(17);
    first.mine(2, SPACING);
    let mut second = first.fork(18);
    second.mine(1, SPACING);
    for branch in [&first, &second] {
        connect(&mut chain, 18, &branch.headers[18..]).unwrap();
    }
    assert_eq!(chain.tip(), miner.tip());
    first.mine(2, SPACING);
    connect(&mut chain, 20, &first.headers[20..]).unwrap();
    assert_eq!(chain.headers(), first.headers);
    // The second shares a block with the chain now, and leaves it 3 under the tip.
    assert_eq!(chain.standing(second.tip().block_hash()), Standing::Forked { at: Height(18) });
    assert_eq!(chain.standing(miner.tip().block_hash()), Standing::Forked { at: Height(17) });
    second.mine(3, SPACING);
    connect(&mut chain, 20, &second.headers[20..]).unwrap();
    assert_eq!(chain.headers(), second.headers);
}

#[test]
fn a_server_votes_up_to_two_blocks_below_the_tip() {
    let mut miner = Miner::new(short());
    miner.mine(20, SPACING);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();
    let standing = |chain: &HeaderChain, header: &Header| chain.standing(header.block_hash());
    assert_eq!(standing(&chain, &miner.headers[18]), Standing::Current);
    assert_eq!(standing(&chain, &miner.headers[17]), Standing::Behind { blocks: 3 });
    for (at, expected) in [(18, Standing::Current), (17, Standing::Forked { at: Height(17) })] {
        let mut branch = miner.fork(at);
        branch.mine(1, SPACING);
        assert_eq!(standing(&chain, branch.tip()), Standing::Unknown);
        connect(&mut chain, at + 1, &branch.headers[at + 1..]).unwrap();
        assert_eq!(standing(&chain, branch.tip()), expected, "{at}");
    }
}

#[test]
fn bits_are_what_consensus_computes() {
    let mut miner = Miner::starting(short(), CompactTarget::from_consensus(0x200f_ffff));
    miner.mine(7, SPACING / 2);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();
    // At the epoch's end, and within it.
    for _ in 0..2 {
        let (expected, parent) = (miner.next_bits(), *miner.tip());
        for off in [-1, 1] {
            let actual = expected.to_consensus().checked_add_signed(off).unwrap();
            let actual = CompactTarget::from_consensus(actual);
            let wrong = mine(parent.block_hash(), parent.time + SPACING, actual, 1);
            let flaw = FlawError::WrongBits { expected, actual };
            assert_eq!(connect(&mut chain, miner.headers.len(), &[wrong]), Err(flaw));
        }
        let right = miner.mine(1, SPACING)[0];
        assert_eq!(connect(&mut chain, miner.headers.len() - 1, &[right]), Ok(()));
    }
}

#[test]
fn where_an_epoch_began_before_the_start_its_end_is_within_a_factor_of_four() {
    let bits = CompactTarget::from_consensus;
    for (next, holds) in [
        (0x2010_0000, true),
        (0x2010_0001, false),
        (0x2001_0000, true),
        (0x2000_ffff, false),
        (0x2004_0000, true),
    ] {
        let header = mine(BlockHash::all_zeros(), GENESIS_TIME, bits(0x2004_0000), 1);
        let mut chain = HeaderChain::new(Start { height: Height(15), header }, short());
        let next = mine(header.block_hash(), GENESIS_TIME + SPACING, bits(next), 1);
        let flaw = FlawError::BitsOutOfReach { before: header.bits, actual: next.bits };
        let expected = if holds { Ok(()) } else { Err(flaw) };
        assert_eq!(connect(&mut chain, 16, &[next]), expected, "{:x}", next.bits);
    }
}

#[test]
fn a_hash_over_its_target_is_no_work() {
    let mut miner = Miner::starting(short(), CompactTarget::from_consensus(0x200f_ffff));
    let mut chain = miner.chain();
    let good = miner.mine_at(GENESIS_TIME + SPACING);
    let target = Target::from_compact(good.bits);
    let mut lazy = good;
    while target.is_met_by(lazy.block_hash()) {
        lazy.nonce += 1;
    }
    assert_eq!(connect(&mut chain, 1, &[lazy]), Err(FlawError::NoWork));
    assert_eq!(connect(&mut chain, 1, &[good]), Ok(()));
}

#[test]
fn a_time_is_over_the_median_of_eleven_and_at_most_two_hours_ahead() {
    let mut miner = Miner::new(rules());
    // The times of the eleven before: 0, then 100 to 1,000 seconds later; the median is 500.
    miner.mine(10, 100);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();
    let median = GENESIS_TIME + 500;
    let early = miner.clone().mine_at(median);
    assert_eq!(connect(&mut chain, 11, &[early]), Err(FlawError::TooEarly { time: median, median }));
    let now = median + 1 - 2 * HOUR;
    let header = miner.mine_at(median + 1);
    assert_eq!(chain.connect(Height(11), &[header], now), Ok(()));
    let ahead = miner.mine_at(median + 2);
    let flaw = FlawError::TooFarAhead { time: median + 2, latest: median + 1 };
    assert_eq!(chain.connect(Height(12), &[ahead], now), Err(HeaderError { height: Height(12), flaw }));
    assert_eq!(chain.connect(Height(12), &[ahead], now + 1), Ok(()));
}

#[test]
fn near_the_start_no_more_is_asked_of_a_time_than_is_known() {
    let header = mine(BlockHash::all_zeros(), GENESIS_TIME, rules().limit.to_compact_lossy(), 1);
    // The start's time is ahead of those around it, and so are the four that follow.
    let mut chain = HeaderChain::new(Start { height: Height(100), header }, rules());
    let mut parent = header;
    for height in 101..=104 {
        parent = mine(parent.block_hash(), GENESIS_TIME - 1_000, header.bits, 1);
        assert_eq!(connect(&mut chain, height, &[parent]), Ok(()));
    }
    let sixth = mine(parent.block_hash(), GENESIS_TIME - 2_000, header.bits, 1);
    assert_eq!(connect(&mut chain, 105, &[sixth]), Ok(()), "five may all be after the median");
    // Of six, the earliest is the median at least.
    let (time, median) = (GENESIS_TIME - 2_000, GENESIS_TIME - 2_000);
    let seventh = mine(sixth.block_hash(), time, header.bits, 1);
    assert_eq!(connect(&mut chain, 106, &[seventh]), Err(FlawError::TooEarly { time, median }));
    let seventh = mine(sixth.block_hash(), time + 1, header.bits, 1);
    assert_eq!(connect(&mut chain, 106, &[seventh]), Ok(()));
}

/// Times that go forward as slowly as the median allows, but for each epoch's last, which is as late as the clock allows: the time
/// warp. It lowers the difficulty by consensus, too: but each epoch still costs its work.
#[test]
fn a_time_warp_is_followed_as_consensus_follows_it() {
    let mut miner = Miner::starting(short(), CompactTarget::from_consensus(0x2003_ffff));
    for epoch in 1..=6_u32 {
        let size = if epoch == 1 { 6 } else { 7 };
        miner.mine(size, 1);
        miner.mine_at(GENESIS_TIME + epoch * 100_000);
        let parent = *miner.tip();
        let bits = miner.next_bits();
        assert!(epoch == 1 || Target::from_compact(bits) >= Target::from_compact(parent.bits));
        // The next epoch begins long before the last one's end.
        miner.mine_at(GENESIS_TIME + epoch * 10);
        miner.headers.pop();
        let back = mine(parent.block_hash(), miner.headers[miner.headers.len() - 3].time + 1, bits, 2);
        miner.headers.push(back);
    }
    let mut chain = miner.chain();
    assert_eq!(connect(&mut chain, 1, &miner.headers[1..]), Ok(()));

    // An epoch whose last header is before its first counts as one that took no time: four times the work, not less.
    let rules = short();
    let bits = CompactTarget::from_consensus(0x2004_0000);
    assert_eq!(rules.next_bits(bits, -1), CompactTarget::from_consensus(0x2001_0000));
    assert_eq!(rules.next_bits(bits, i64::MIN), rules.next_bits(bits, 0));
}

#[test]
fn endless_headers_cost_bounded_memory() {
    let mut miner = Miner::new(rules());
    miner.mine(200, SPACING);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();
    // Branches without end, each of one header.
    for number in 0..100 {
        let header = mine(miner.headers[199].block_hash(), miner.tip().time, miner.tip().bits, 100 + number);
        connect(&mut chain, 200, &[header]).unwrap();
        assert_eq!(chain.standing(header.block_hash()), Standing::Current);
    }
    let first = mine(miner.headers[199].block_hash(), miner.tip().time, miner.tip().bits, 100);
    assert_eq!(chain.standing(first.block_hash()), Standing::Unknown, "the oldest are forgotten");
    // Headers on one that is not known, and at heights beyond all.
    let mut stranger = Miner::starting(rules(), miner.tip().bits);
    stranger.headers[0].version = Version::from_consensus(7);
    stranger.mine(3, SPACING);
    for first in [0, 1, 199, 201, 5_000, u32::MAX as usize] {
        assert_eq!(connect(&mut chain, first, &stranger.headers[1..]), Err(FlawError::Unlinked), "{first}");
    }
    assert_eq!(chain.connect(Height(0), &[], 0), Ok(()));
    assert_eq!(chain.headers(), miner.headers);
}

#[test]
fn a_branch_without_end_is_cut_off_and_one_that_comes_to_more_work_is_taken() {
    // Easy blocks against hard ones that weigh 64 times as much: as many as 40 of those weigh are kept, as many as 80 not.
    for (hard_blocks, kept) in [(40, true), (80, false)] {
        let mut hard = Miner::new(short());
        hard.mine(7, 1);
        let mut easy = hard.fork(7);
        hard.mine(16, 1);
        // Seven of these are the time of an epoch of eight.
        hard.mine(hard_blocks, SPACING * 8 / 7);
        let mut chain = hard.chain();
        connect(&mut chain, 1, &hard.headers[1..]).unwrap();
        let outcome = loop {
            let first = easy.headers.len();
            let outcome = connect(&mut chain, first, easy.mine(100, 4_800));
            if outcome.is_err() || chain.tip() == easy.tip() {
                break outcome;
            }
        };
        if kept {
            assert_eq!((outcome, chain.headers()), (Ok(()), &*easy.headers));
        } else {
            assert_eq!((outcome, chain.headers()), (Err(FlawError::BranchTooLong), &*hard.headers));
            assert!(easy.headers.len() <= 4_032 + 7 + 100);
        }
    }
}

#[test]
fn a_tip_is_fresh_for_three_hours_and_a_chain_that_grows_by_144_in_three_days() {
    let mut miner = Miner::new(rules());
    miner.mine(200, SPACING);
    let mut chain = miner.chain();
    connect(&mut chain, 1, &miner.headers[1..]).unwrap();
    let tip = miner.tip().time;
    assert_eq!(chain.fresh(tip + 3 * HOUR), Ok(()));
    assert_eq!(chain.fresh(tip + 3 * HOUR + 1), Err(StaleError::TipOld { age: i64::from(3 * HOUR + 1) }));
    // 143 steps from the first of 144 to the last: the last one takes what is left of three days.
    let left = 3 * 24 * HOUR - 142 * SPACING;
    for (more, expected) in [(0, Ok(())), (1, Err(StaleError::Slow { span: i64::from(3 * 24 * HOUR + 1) }))] {
        let (mut slow, mut chain) = (miner.clone(), chain.clone());
        let header = slow.mine_at(tip + left + more);
        connect(&mut chain, 201, &[header]).unwrap();
        assert_eq!(chain.fresh(header.time), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is shown in whatever order, the chain is one with the most work of all that was shown whole.
    #[test]
    fn the_most_work_wins_in_any_order(
        forks in prop::collection::vec((0_usize..12, 1_usize..14, 100_u32..3_000), 1..6),
        order in any::<prop::sample::Index>(),
        batch in 1_usize..5,
    ) {
        let mut trunk = Miner::starting(short(), CompactTarget::from_consensus(0x203f_ffff));
        trunk.mine(12, SPACING);
        let mut miners = vec![trunk.clone()];
        for (number, (at, count, seconds)) in (0..).zip(forks) {
            let mut miner = trunk.fork(at);
            miner.version = 10 + number;
            miner.mine(count, seconds);
            miners.push(miner);
        }
        let first = order.index(miners.len());
        miners.rotate_left(first);
        let mut chain = trunk.chain();
        for miner in &miners {
            for (index, headers) in miner.headers[1..].chunks(batch).enumerate() {
                prop_assert_eq!(connect(&mut chain, 1 + index * batch, headers), Ok(()));
            }
        }
        let total = |headers: &[Header]| headers.iter().map(Header::work).reduce(|sum, work| sum + work).unwrap();
        let most = miners.iter().map(|miner| total(&miner.headers)).max().unwrap();
        prop_assert_eq!(total(chain.headers()), most);
        let linked = chain.headers().windows(2).all(|pair| pair[1].prev_blockhash == pair[0].block_hash());
        prop_assert!(linked);
        for miner in &miners {
            prop_assert_ne!(chain.standing(miner.tip().block_hash()), Standing::Unknown);
        }
    }

    /// A header with any bit changed is refused, but where the change is as much of a header: then it stands beside it.
    #[test]
    fn no_bit_of_a_header_can_be_changed(bit in 0_usize..640) {
        let mut miner = Miner::starting(short(), CompactTarget::from_consensus(0x2000_ffff));
        miner.mine(9, SPACING);
        let mut chain = miner.chain();
        connect(&mut chain, 1, &miner.headers[1..]).unwrap();
        let mut bytes = encode::serialize(&miner.headers[8]);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed: Header = encode::deserialize(&bytes).unwrap();
        let _ = connect(&mut chain, 8, &[changed, miner.headers[9]]);
        prop_assert_eq!(chain.headers(), &*miner.headers);
    }
}

fn vector(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn header(value: &Value) -> Header {
    let header: Header = encode::deserialize_hex(value["header"].as_str().unwrap()).unwrap();
    assert_eq!(header.block_hash().to_string(), value["hash"].as_str().unwrap());
    header
}

fn number(value: &Value) -> Height {
    Height(value["height"].as_u64().unwrap().try_into().unwrap())
}

#[test]
fn mainnets_headers_keep_the_real_rules() {
    let vector = vector(include_str!("../../vectors/retargets.json"));
    for retarget in vector["retargets"].as_array().unwrap() {
        let first = header(&retarget["first_of_old_epoch"]);
        let listed = retarget["headers"].as_array().unwrap();
        let headers: Vec<Header> = listed.iter().map(header).collect();
        let start = Start { height: number(&listed[0]), header: headers[0] };
        let mut chain = HeaderChain::new(start, HeaderRules::MAINNET);
        assert_eq!(connect(&mut chain, start.height.0 as usize + 1, &headers[1..]), Ok(()));
        assert_eq!(chain.height(), number(listed.last().unwrap()));

        // The epoch's first header is not in the chain; with it, the new bits are computed.
        let new = listed.iter().position(|header| number(header).0.is_multiple_of(2016)).unwrap();
        let (last, next) = (&headers[new - 1], &headers[new]);
        let seconds = i64::from(last.time) - i64::from(first.time);
        assert_eq!(HeaderRules::MAINNET.next_bits(last.bits, seconds), next.bits);
        assert_ne!(last.bits, next.bits);
        // Each header's bits are needed as they are.
        for index in 1..headers.len() {
            let mut changed = headers.clone();
            changed[index].bits = CompactTarget::from_consensus(changed[index].bits.to_consensus() - 1);
            let mut chain = HeaderChain::new(start, HeaderRules::MAINNET);
            assert!(connect(&mut chain, start.height.0 as usize + 1, &changed[1..]).is_err());
        }
    }
}

#[test]
fn the_compiled_in_start_is_the_newest_of_the_recorded_headers_or_after() {
    let vector = vector(include_str!("../../vectors/recent-headers.json"));
    let recorded = vector["headers"].as_array().unwrap();
    for value in recorded {
        let header = header(value);
        assert!(header.validate_pow(header.target()).is_ok());
        assert_eq!(u64::from(header.time), value["time"].as_u64().unwrap());
    }
    let (newest, start) = (recorded.last().unwrap(), Start::mainnet());
    assert!(start.height >= number(newest));
    if start.height == number(newest) {
        assert_eq!(start.header, header(newest));
    }
}
