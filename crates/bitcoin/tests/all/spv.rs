//! SPV proofs: how many headers they need, what makes them whole, and mainnet's own retargets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::sync::atomic::Ordering::Relaxed;

use bitcoin::{
    BlockHash, CompactTarget, Target, TxMerkleNode,
    block::{Header, Version},
    consensus::encode,
    hashes::Hash,
};
use coxswain_bitcoin::{
    Backends, BranchError, Endpoint, Expected, Limits,
    chain::HeaderRules,
    spv::{
        Difficulty, EPOCH, LinkError, MOST_HEADERS, NotProvable, ReadError, RelayDifficulties, RetargetError,
        RetargetProof, SpvProof, SpvProofError, WorkAsked, epochs_left, headers_needed, read_proof,
    },
};
use coxswain_rules::units::Height;
use coxswain_testkit::{BitcoinServer, RecordedRetarget, Regtest, Reply, Serving, worked};
use proptest::prelude::*;

fn backend(server: &BitcoinServer) -> Backends {
    let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
    Backends::new(vec![endpoint], Expected::on(bitcoin::Network::Regtest))
}

/// A header of this difficulty, which has no work.
fn of_difficulty(difficulty: u128) -> Header {
    header(BlockHash::all_zeros(), bits_of(difficulty), 0)
}

fn header(parent: BlockHash, bits: CompactTarget, time: u32) -> Header {
    Header {
        version: Version::TWO,
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits,
        nonce: 0,
    }
}

/// Bits whose difficulty is this, if there are such.
fn bits_of(difficulty: u128) -> CompactTarget {
    // The easiest target of mainnet, over the difficulty: in 32-bit digits, of which the two highest are enough here.
    let high = (0xffff_u128 << 112) / difficulty;
    let mut bytes = [0; 32];
    bytes[4..20].copy_from_slice(&high.to_be_bytes());
    Target::from_be_bytes(bytes).to_compact_lossy()
}

fn asked(current: u128, previous: u128, epoch: u32, factor: u64) -> WorkAsked {
    let [current, previous] = [current, previous].map(Difficulty);
    WorkAsked { relay: RelayDifficulties { current, previous, epoch: Some(epoch) }, factor }
}

/// Consecutive headers from this height on, of one difficulty in the epoch before and of another in the relay's newest.
fn mainnet(height: Height, count: usize, relay_epoch: u32, previous: Header, current: Header) -> Vec<Header> {
    let of = |height: Height| if height.0 / EPOCH < relay_epoch { previous } else { current };
    (height.0..).take(count).map(Height).map(of).collect()
}

#[test]
fn the_worked_example_takes_nine_headers() {
    let (epoch, [previous, current]) = (400, [50, 30].map(of_difficulty));
    assert_eq!([previous, current].map(|header| Difficulty::of(&header).0), [50, 30]);
    let height = Height(epoch * EPOCH - 2);
    let headers = mainnet(height, 20, epoch, previous, current);
    let asked = asked(30, 50, epoch, 6);
    assert_eq!(headers_needed(&asked, height, &headers), Ok(9));
    assert_eq!(headers_needed(&asked, height, &headers[..9]), Ok(9));
    let waiting = NotProvable::WaitingForBlocks { have: Difficulty(2 * 50 + 6 * 30), asked: Difficulty(300) };
    assert_eq!(headers_needed(&asked, height, &headers[..8]), Err(waiting));
}

proptest! {
    #[test]
    fn work_gives_the_counts_that_epochs_give(
        [previous, current] in [20_u128..1 << 50, 20_u128..1 << 50],
        epoch in 2_u32..1_000, into in -40_i64..40, factor in 1_u64..12,
    ) {
        let boundary = epoch * EPOCH;
        let first = Height(u32::try_from(i64::from(boundary) + into).unwrap());
        // Within a factor of 4, as difficulties of neighbouring epochs are.
        let current = current.clamp(previous / 4 + 1, previous * 4);
        let [previous, current] = [previous, current].map(of_difficulty);
        let [before, after] = [&previous, &current].map(|header| Difficulty::of(header).0);
        prop_assume!(before > 0 && after > 0);

        let (height, factor_blocks) = (u64::from(first.0), factor);
        let last = height + factor_blocks - 1;
        let expected = if height >= u64::from(boundary) || last < u64::from(boundary) {
            u128::from(factor)
        } else {
            let left = u128::from(u64::from(boundary) - height);
            left + (before * u128::from(factor) - before * left).div_ceil(after)
        };
        let headers = mainnet(first, 200, epoch, previous, current);
        let needed = headers_needed(&asked(after, before, epoch, factor), first, &headers);
        prop_assert_eq!(needed.map(|needed| needed as u128), Ok(expected));
    }
}

#[test]
fn a_relay_that_asks_no_work_is_shown_one_header() {
    let regtest = header(BlockHash::all_zeros(), Target::MAX_ATTAINABLE_REGTEST.to_compact_lossy(), 0);
    assert_eq!(Difficulty::of(&regtest), Difficulty::ZERO);
    let asked = WorkAsked { factor: 6, ..WorkAsked::default() };
    assert_eq!(headers_needed(&asked, Height(200), &[regtest, regtest]), Ok(1));
    let none = NotProvable::WaitingForBlocks { have: Difficulty::ZERO, asked: Difficulty::ZERO };
    assert_eq!(headers_needed(&asked, Height(200), &[]), Err(none));
}

#[test]
fn what_the_relay_does_not_know_yet_waits_and_what_it_forgot_is_lost() {
    let headers = [of_difficulty(70); 8];
    let asked = asked(30, 50, 400, 6);
    let at = |height| headers_needed(&asked, Height(height), &headers).unwrap_err();
    assert_eq!(at(401 * EPOCH), NotProvable::WaitingForRelay { epoch: 401, relay: 400 });
    assert_eq!(at(399 * EPOCH - 1), NotProvable::OutOfRelayRange { epoch: 398, relay: 400 });
    // In between, the difficulty should be one that the relay has.
    for height in [399 * EPOCH, 401 * EPOCH - 1] {
        let other = NotProvable::OtherDifficulty { actual: Difficulty(70), relay: asked.relay };
        assert_eq!(at(height), other);
    }
    // A test's relay counts no epochs.
    let uncounted = WorkAsked { relay: RelayDifficulties { epoch: None, ..asked.relay }, ..asked };
    let other = NotProvable::OtherDifficulty { actual: Difficulty(70), relay: uncounted.relay };
    assert_eq!(headers_needed(&uncounted, Height(401 * EPOCH), &headers), Err(other));
}

#[test]
fn two_more_retargets_are_the_deadline() {
    for (height, left) in [
        (401 * EPOCH, 3),
        (401 * EPOCH - 1, 2),
        (400 * EPOCH, 2),
        (400 * EPOCH - 1, 1),
        (399 * EPOCH - 1, 0),
        (0, 0),
    ] {
        assert_eq!(epochs_left(Height(height), 400), left, "{height}");
    }
}

#[test]
fn easy_blocks_before_the_first_real_one_count_but_decide_nothing() {
    let [easy, real] = [1, 30].map(of_difficulty);
    assert_eq!((easy.bits.to_consensus(), Difficulty::of(&easy)), (0x1d00_ffff, Difficulty::ONE));
    let headers = [easy, easy, real, easy, real, real, real, real, real, real];
    // 30 × 6 = 180: eight have 153, nine 183.
    assert_eq!(headers_needed(&asked(30, 50, 400, 6), Height(400 * EPOCH), &headers), Ok(9));
    // All of them easy: it can't be told yet.
    let waiting = NotProvable::WaitingForBlocks { have: Difficulty(4), asked: Difficulty::ZERO };
    assert_eq!(headers_needed(&asked(30, 50, 400, 6), Height(400 * EPOCH), &[easy; 4]), Err(waiting));
    // Where the relay knows such a difficulty, such a block decides.
    assert_eq!(headers_needed(&asked(30, 1, 400, 6), Height(400 * EPOCH), &headers), Ok(3));
    // Difficulty 1 by other bits is no easy block.
    let rounded = header(BlockHash::all_zeros(), CompactTarget::from_consensus(0x1d00_fffe), 0);
    let other = headers_needed(&asked(30, 50, 400, 6), Height(400 * EPOCH), &[rounded, real]);
    assert!(matches!(other, Err(NotProvable::OtherDifficulty { actual: Difficulty::ONE, .. })), "{other:?}");
}

#[test]
fn at_most_1500_headers_are_sent() {
    let [easy, real] = [1, 1_494].map(of_difficulty);
    let asked = asked(Difficulty::of(&real).0, 10_000, 400, 2);
    let more = Difficulty::of(&real).0 as usize;
    // One real block, and as many easy ones as make up the other half of the work.
    let headers: Vec<_> = std::iter::once(real).chain(vec![easy; 2_000]).collect();
    assert!(more < MOST_HEADERS);
    assert_eq!(headers_needed(&asked, Height(400 * EPOCH), &headers), Ok(1 + more));
    let deep = WorkAsked { factor: 3, ..asked };
    assert_eq!(headers_needed(&deep, Height(400 * EPOCH), &headers), Err(NotProvable::TooManyHeaders));
    let exactly = |easy_blocks: u128| {
        let real = of_difficulty(easy_blocks);
        let asked = self::asked(Difficulty::of(&real).0, 10_000, 400, 2);
        let headers: Vec<_> = std::iter::once(real).chain(vec![easy; 2_000]).collect();
        (Difficulty::of(&real).0, headers_needed(&asked, Height(400 * EPOCH), &headers))
    };
    assert_eq!(exactly(1_499), (1_499, Ok(MOST_HEADERS)));
    assert_eq!(exactly(1_500), (1_500, Err(NotProvable::TooManyHeaders)));
}

/// Blocks of a chain without work to speak of, and what its relay asks.
fn regtest_proof() -> (SpvProof, Height, WorkAsked) {
    let chain = Regtest::new();
    let coins: Vec<_> = (0..3).map(|_| coin()).collect();
    let transactions = [chain.pay(&coins).unwrap()];
    let block = chain.mine(&transactions).unwrap();
    let height = chain.height();
    (SpvProof::within(&block, 1).unwrap(), height, WorkAsked { factor: 1, ..WorkAsked::default() })
}

fn coin() -> bitcoin::TxOut {
    bitcoin::TxOut {
        value: bitcoin::Amount::from_sat(50_000),
        script_pubkey: bitcoin::ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::all_zeros()),
    }
}

#[test]
fn a_proof_is_checked_in_all_its_parts() {
    let (proof, height, asked) = regtest_proof();
    assert_eq!(proof.check(&asked, height), Ok(()));
    assert_eq!(proof.merkle_proof().len(), 32);
    assert_eq!(proof.header_bytes().len(), 80);
    let id = bitcoin::hashes::sha256::Hash::hash(&proof.coinbase_preimage());
    assert_eq!(id.to_byte_array(), proof.coinbase.compute_txid().to_byte_array());

    let broken = |change: &dyn Fn(&mut SpvProof)| {
        let mut broken = proof.clone();
        change(&mut broken);
        broken.check(&asked, height).unwrap_err()
    };
    assert_eq!(broken(&|proof| proof.headers.clear()), SpvProofError::NoHeaders);
    let weak = broken(&|proof| {
        proof.headers[0].nonce = (0..)
            .find(|&nonce| {
                !Target::MAX_ATTAINABLE_REGTEST.is_met_by(Header { nonce, ..proof.headers[0] }.block_hash())
            })
            .unwrap();
    });
    assert_eq!(weak, SpvProofError::Headers(LinkError::NoWork { index: 0 }));
    let other = broken(&|proof| proof.headers.push(proof.headers[0]));
    assert_eq!(other, SpvProofError::Headers(LinkError::Unlinked { index: 1 }));
    let branch = broken(&|proof| proof.branch.siblings[0] = TxMerkleNode::all_zeros());
    assert!(matches!(branch, SpvProofError::Branch(BranchError::OtherRoot(_))));
    let branch = broken(&|proof| proof.coinbase_branch.siblings[0] = TxMerkleNode::all_zeros());
    assert!(matches!(branch, SpvProofError::CoinbaseBranch(BranchError::OtherRoot(_))));
    let swapped = broken(&|proof| {
        (proof.coinbase, proof.coinbase_branch) = (proof.transaction.clone(), proof.branch.clone());
    });
    assert_eq!(swapped, SpvProofError::NotCoinbase(proof.transaction.compute_txid()));
    let coinbase = broken(&|proof| {
        (proof.transaction, proof.branch) = (proof.coinbase.clone(), proof.coinbase_branch.clone());
    });
    assert_eq!(coinbase, SpvProofError::Coinbase(proof.coinbase.compute_txid()));
}

#[test]
fn a_proof_has_no_header_more_than_needed() {
    let chain = Regtest::new();
    let block = chain.mine(&[chain.pay(&[coin()]).unwrap()]).unwrap();
    let height = chain.height();
    chain.mine_empty(1).unwrap();
    let next = chain.blocks_from(height.next())[0].header;
    let mut proof = SpvProof::within(&block, 1).unwrap();
    proof.headers.push(next);
    let asked = WorkAsked { factor: 1, ..WorkAsked::default() };
    assert_eq!(proof.check(&asked, height), Err(SpvProofError::TooManyHeaders { actual: 2, needed: 1 }));
}

#[test]
fn a_branch_that_ends_above_the_leaves_is_refused() {
    // Two hashes that are both a node and, to who takes them for one, a transaction: the lengths tell.
    let (mut proof, height, asked) = regtest_proof();
    let chain = Regtest::new();
    let first = chain.pay(&[coin(), coin()]).unwrap();
    chain.mine(std::slice::from_ref(&first)).unwrap();
    assert_eq!(proof.check(&asked, height), Ok(()));
    proof.branch.siblings.push(TxMerkleNode::all_zeros());
    assert!(proof.check(&asked, height).is_err(), "a longer branch leads to another root");
}

#[tokio::test]
async fn a_proof_is_read_whole_from_either_kind_of_backend() {
    for electrum in [true, false] {
        let chain = Regtest::new();
        let transaction = chain.pay(&[coin()]).unwrap();
        let block = chain.mine(std::slice::from_ref(&transaction)).unwrap();
        let height = chain.height();
        chain.mine_empty(3).unwrap();
        let server = if electrum {
            BitcoinServer::electrum(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap()
        } else {
            BitcoinServer::core(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap()
        };
        let backend = backend(&server);
        let asked = WorkAsked { factor: 6, ..WorkAsked::default() };
        let proof = read_proof(&backend, &transaction, height, &asked).await.unwrap();
        assert_eq!(Some(proof), SpvProof::within(&block, 1));
        // In another block than the one named.
        assert!(read_proof(&backend, &transaction, height.next(), &asked).await.is_err());
        // A relay that knows real work takes none of regtest's.
        let real = self::asked(30, 50, 0, 6);
        let refused = read_proof(&backend, &transaction, height, &real).await.unwrap_err();
        assert!(matches!(refused, ReadError::NotProvable(NotProvable::OtherDifficulty { .. })), "{refused}");
    }
}

#[tokio::test]
async fn a_proof_that_blocks_come_into_is_read_again() {
    let chain = Regtest::new();
    let transaction = chain.pay(&[coin()]).unwrap();
    let block = chain.mine(std::slice::from_ref(&transaction)).unwrap();
    let height = chain.height();
    let (growing, left) = (chain.clone(), std::sync::atomic::AtomicU32::new(2));
    let server = BitcoinServer::electrum(&chain, Serving::default(), move |method, _| {
        let merkle = method == "blockchain.transaction.get_merkle";
        if merkle && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            growing.mine_empty(1).unwrap();
        }
        Reply::Forward
    })
    .await
    .unwrap();
    let backend = backend(&server);
    let asked = WorkAsked { factor: 1, ..WorkAsked::default() };
    let proof = read_proof(&backend, &transaction, height, &asked).await.unwrap();
    assert_eq!(Some(proof), SpvProof::within(&block, 1));
    assert_eq!(chain.height(), height.saturating_add(2));
    let asked_for = server.methods().iter().filter(|method| method.ends_with("get_merkle")).count();
    assert_eq!(asked_for, 3);
}

/// Mainnet's retargets: the proof of each, its length, and the old epoch's first header.
fn retargets() -> Vec<(RetargetProof, u32, Header)> {
    let proofs = RecordedRetarget::all().into_iter().zip([9, 6]).map(|(recorded, length)| {
        let RecordedRetarget { first_of_old_epoch: (start, first), headers: listed } = recorded;
        let height = start.saturating_add(EPOCH);
        let lowest = listed[0].0;
        let heights = (lowest.0..).map(Height).take(listed.len());
        assert!(listed.iter().map(|(height, _)| *height).eq(heights));
        let skipped = usize::try_from(height.saturating_sub(length).0 - lowest.0).unwrap();
        let headers = listed.into_iter().map(|(_, header)| header);
        let headers = headers.skip(skipped).take(2 * length as usize).collect();
        (RetargetProof { height, headers }, length, first)
    });
    proofs.collect()
}

const NOW: u64 = 1_700_000_000;

#[test]
fn mainnets_retargets_are_proven_and_refused_with_any_bit_changed() {
    for (proof, length, start) in retargets() {
        let check = |proof: &RetargetProof| proof.check(length, &start, &HeaderRules::MAINNET, NOW);
        assert_eq!(check(&proof), Ok(()));
        let mut flips = 0;
        for index in 0..proof.headers.len() {
            for bit in 0..640 {
                let mut bytes = encode::serialize(&proof.headers[index]);
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut changed = proof.clone();
                changed.headers[index] = encode::deserialize(&bytes).unwrap();
                assert!(check(&changed).is_err(), "header {index}, bit {bit}");
                flips += 1;
            }
        }
        assert_eq!(flips, proof.headers.len() * 640);
        // Nor does another epoch's beginning fit.
        let other = Header { time: start.time + 1, ..start };
        let refused = proof.check(length, &other, &HeaderRules::MAINNET, NOW);
        assert_eq!(refused, Err(RetargetError::EpochStart(proof.height.saturating_sub(EPOCH))));
    }
}

#[test]
fn a_retarget_has_exactly_the_headers_that_the_relay_asks_for() {
    let (proof, length, start) = retargets().swap_remove(0);
    let check = |proof: &RetargetProof, length| proof.check(length, &start, &HeaderRules::MAINNET, NOW);
    for (changed, actual) in
        [(&proof.headers[..17], 17), (&[&proof.headers[..], &proof.headers[17..]].concat(), 19)]
    {
        let changed = RetargetProof { headers: changed.to_vec(), ..proof.clone() };
        assert_eq!(check(&changed, length), Err(RetargetError::HeaderCount { expected: 18, actual }));
    }
    for wrong in [8, 10] {
        let expected = 2 * wrong as usize;
        assert_eq!(check(&proof, wrong), Err(RetargetError::HeaderCount { expected, actual: 18 }));
    }
    for wrong in [0, EPOCH] {
        assert_eq!(check(&proof, wrong), Err(RetargetError::ProofLength(wrong)));
    }
    for height in [Height(0), proof.height.saturating_sub(1), proof.height.next()] {
        let moved = RetargetProof { height, ..proof.clone() };
        assert_eq!(check(&moved, length), Err(RetargetError::NoBoundary(height)));
    }
}

#[test]
fn a_retarget_waits_for_the_relays_clock() {
    let (proof, length, start) = retargets().swap_remove(0);
    let end = proof.headers[8].time;
    let at = |now| proof.check(length, &start, &HeaderRules::MAINNET, now);
    assert_eq!(at(end.into()), Err(RetargetError::EndsInFuture { end, now: end.into() }));
    assert_eq!(at(u64::from(end) + 1), Ok(()));
}

#[test]
fn a_retarget_to_another_difficulty_is_refused() {
    let rules = HeaderRules { limit: Target::MAX_ATTAINABLE_REGTEST, ..HeaderRules::MAINNET };
    let easy = CompactTarget::from_consensus(0x2000_ffff);
    let start = worked(header(BlockHash::all_zeros(), easy, 1_000_000));
    // The epoch took half its time.
    let end = start.time + 1_209_600 / 2;
    let chain = |bits: [CompactTarget; 4]| {
        let (mut parent, mut headers) = (BlockHash::all_zeros(), Vec::new());
        for (bits, time) in bits.into_iter().zip([end - 1, end, end + 1, end + 2]) {
            headers.push(worked(header(parent, bits, time)));
            parent = headers.last().unwrap().block_hash();
        }
        RetargetProof { height: Height(2 * EPOCH), headers }
    };
    let next = rules.next_bits(easy, 1_209_600 / 2);
    assert_ne!(next, easy);
    let check = |bits| chain(bits).check(2, &start, &rules, NOW);
    assert_eq!(check([easy, easy, next, next]), Ok(()));
    let other = |index, expected, actual| Err(RetargetError::OtherTarget { index, expected, actual });
    assert_eq!(check([next, easy, next, next]), other(0, easy, next));
    assert_eq!(check([easy, easy, easy, next]), other(2, next, easy));
    assert_eq!(check([easy, easy, next, easy]), other(3, next, easy));
}
