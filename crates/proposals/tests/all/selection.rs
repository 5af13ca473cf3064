//! Choosing, without any chain: what is read, which vault comes first, what moved funds are a wallet's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use alloy_primitives::{Address, B256};
use bitcoin::hashes::Hash;
use coxswain_ethereum::{
    Commitment, CompletedMove, DepositReveal, NewWallet, Position, RedemptionRequest, Revealed,
};
use coxswain_proposals::{
    Exclusion, Head, LEAD, Memory, Why,
    deposits::{Candidate, PATIENCE, by_vault, candidates, to_read},
    moved_funds, moving_funds, redemptions,
};
use coxswain_rules::{
    Amount, DepositKey, DepositRecord, KeyHash, OutPoint, RedemptionKey, RedemptionParameters,
    RedemptionRecord, RuleId, ScriptBuf, Snapshot, SweepRequestKey, SweepRequestRecord, SweepRequestState,
    Txid, WalletRecord, WalletState, target_wallets_commitment,
    units::{BlockNumber, Blocks, UnixTime},
};
use proptest::prelude::*;

const WALLET: KeyHash = KeyHash([1; 20]);
const HEAD: u64 = 1_000_000;
const AT: Head = Head { block: BlockNumber(HEAD), deep: UnixTime(NOW - DAY), event_depth: Blocks(32) };
const NOW: u64 = 1_800_000_000;
const FAR: u32 = u32::MAX;
const DAY: u64 = 24 * 3600;

fn txid(number: u64) -> Txid {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Txid::from_byte_array(bytes)
}

fn outpoint(number: u64) -> OutPoint {
    OutPoint::new(txid(number), 0)
}

const fn at(block: u64) -> Position {
    Position { block: BlockNumber(block), index: 0 }
}

fn reveal(number: u64, refund_locktime: u32) -> DepositReveal {
    let revealed = Revealed {
        blinding_factor: [0; 8],
        wallet: WALLET,
        refund_key_hash: KeyHash([2; 20]),
        refund_locktime: refund_locktime.to_le_bytes(),
    };
    DepositReveal { at: at(number), outpoint: outpoint(number), revealed }
}

fn candidate(number: u64, vault: u8, revealed_at: u64) -> Candidate {
    let DepositReveal { at, outpoint, revealed } = reveal(number, FAR);
    let record = DepositRecord {
        vault: Address::repeat_byte(vault),
        revealed_at: u32::try_from(revealed_at).unwrap(),
        ..DepositRecord::default()
    };
    Candidate { at, outpoint, revealed, record }
}

/// A snapshot in which these were revealed long ago, and swept at this time.
fn snapshot<'a>(reveals: impl IntoIterator<Item = &'a DepositReveal>, now: u64, swept_at: u32) -> Snapshot {
    let record = DepositRecord { revealed_at: 1_000, swept_at, ..DepositRecord::default() };
    let deposits = reveals.into_iter().map(|reveal| (DepositKey::new(reveal.outpoint), record.clone()));
    Snapshot { timestamp: UnixTime(now), deposits: deposits.collect(), ..Snapshot::default() }
}

#[test]
fn the_vault_whose_oldest_deposit_is_oldest_comes_first() {
    let deposits = [candidate(1, 7, NOW - 90), candidate(2, 8, NOW - 80), candidate(3, 7, NOW - 70)];
    let vaults: Vec<Vec<u64>> = by_vault(&deposits, UnixTime(NOW), &Memory::default())
        .into_iter()
        .map(|vault| vault.into_iter().map(|deposit| deposit.at.block.0).collect())
        .collect();
    assert_eq!(vaults, [vec![1, 3], vec![2]]);
}

/// Learns that a deposit of this vault was swept at this time.
fn swept(memory: &mut Memory, number: u64, vault: u8, swept_at: u64) {
    let reveal = reveal(number, FAR);
    let mut snapshot = snapshot([&reveal], swept_at, u32::try_from(swept_at).unwrap());
    let record = snapshot.deposits.values_mut().next().unwrap();
    record.vault = Address::repeat_byte(vault);
    candidates(&snapshot, WALLET, AT, [&reveal], memory).unwrap();
}

#[test]
fn a_vault_left_waiting_for_more_than_a_day_comes_first() {
    // Vault 7 has the oldest deposit, but was served an hour ago; vault 8 waits for a day, or a second more.
    let mut memory = Memory::default();
    swept(&mut memory, 9, 7, NOW - 3600);
    for (waited, first) in [(PATIENCE.as_secs(), 7), (PATIENCE.as_secs() + 1, 8)] {
        let deposits = [candidate(1, 7, NOW - 10 * DAY), candidate(2, 8, NOW - waited)];
        let vaults = by_vault(&deposits, UnixTime(NOW), &memory);
        assert_eq!(vaults[0][0].record.vault, Address::repeat_byte(first), "{waited} s");
    }
}

proptest! {
    /// However deposits arrive, a vault that has some is swept at the latest when all others were swept once more.
    #[test]
    fn inc_3_no_vault_starves(
        arrivals in prop::collection::vec(prop::collection::vec(0_usize..60, 4), 12),
        days_between in 1_u64..3,
    ) {
        let mut memory = Memory::default();
        let mut waiting: Vec<Candidate> = Vec::new();
        let mut passed_over = [0; 4];
        let (mut now, mut number) = (NOW, 0);
        for arrived in arrivals {
            for (vault, count) in arrived.into_iter().enumerate() {
                for _ in 0..count {
                    number += 1;
                    waiting.push(candidate(number, u8::try_from(vault).unwrap(), now));
                }
            }
            now += days_between * DAY + 60;
            let vaults = by_vault(&waiting, UnixTime(now), &memory);
            let Some(first) = vaults.first() else { continue };
            let served = first[0].record.vault.0[0];
            let batch: Vec<u64> = first.iter().take(20).map(|deposit| deposit.at.block.0).collect();
            for vault in 0..4_u8 {
                let has_some = vaults.iter().any(|group| group[0].record.vault.0[0] == vault);
                let count = &mut passed_over[usize::from(vault)];
                *count = if has_some && vault != served { *count + 1 } else { 0 };
                prop_assert!(*count <= 3, "vault {vault} was passed over {count} times");
            }
            waiting.retain(|deposit| !batch.contains(&deposit.at.block.0));
            swept(&mut memory, batch[0], served, now);
        }
    }
}

#[test]
fn inc_10_what_is_read_is_bounded_and_nothing_waits_forever() {
    let reveals: Vec<_> = (1..=5_000).map(|number| reveal(number, FAR)).collect();
    let mut memory = Memory::default();
    // All but the last few were swept long ago: a reader that knows nothing finds those at once, and in time learns the rest.
    let mut rounds = 0;
    loop {
        let keys = to_read(&reveals, BlockNumber(HEAD), UnixTime(NOW), &memory);
        assert!(keys.len() < 7 * 250, "{}", keys.len());
        let newest = DepositKey::new(reveals[4_999].outpoint);
        assert!(keys.contains(&newest), "round {rounds}");
        let read: Vec<_> =
            reveals.iter().filter(|reveal| keys.contains(&DepositKey::new(reveal.outpoint))).collect();
        let mut snapshot = snapshot(read, NOW, 2_000);
        snapshot.deposits.get_mut(&newest).unwrap().swept_at = 0;
        let (candidates, excluded) = candidates(&snapshot, WALLET, AT, &reveals, &mut memory).unwrap();
        assert_eq!(candidates.len(), 1);
        rounds += 1;
        assert!(excluded.iter().all(|exclusion| exclusion.why == Why::NotAskedYet));
        if excluded.is_empty() {
            break;
        }
    }
    assert!((4..=5).contains(&rounds), "{rounds}");
    assert_eq!(to_read(&reveals, BlockNumber(HEAD), UnixTime(NOW), &memory).len(), 1);
}

#[test]
fn inc_2_a_deposit_whose_refund_is_close_is_read_once() {
    let close = u32::try_from(NOW + DAY + LEAD.as_secs()).unwrap();
    let reveals = [reveal(1, close), reveal(2, close + 1)];
    let mut memory = Memory::default();
    assert_eq!(to_read(&reveals, BlockNumber(HEAD), UnixTime(NOW), &memory).len(), 2);
    let snapshot = snapshot(&reveals, NOW, 0);
    for _ in 0..2 {
        let (candidates, excluded) = candidates(&snapshot, WALLET, AT, &reveals, &mut memory).unwrap();
        assert_eq!(
            candidates.iter().map(|candidate| candidate.at.block).collect::<Vec<_>>(),
            [2].map(BlockNumber)
        );
        let [Exclusion { why, .. }] = &excluded[..] else { panic!("{excluded:?}") };
        assert_eq!(why.rule(), Some(RuleId::Ds12));
        assert_eq!(
            to_read(&reveals, BlockNumber(HEAD), UnixTime(NOW), &memory),
            [DepositKey::new(outpoint(2))].into()
        );
    }
}

#[test]
fn inc_2_a_deposit_goes_half_an_hour_before_it_must() {
    // The contract refuses it from a day before its refund on.
    for (left, why) in [
        (0, Some("rule")),
        (1, Some("expiring")),
        (LEAD.as_secs(), Some("expiring")),
        (LEAD.as_secs() + 1, None),
    ] {
        let reveals = [reveal(1, u32::try_from(NOW + DAY + left).unwrap())];
        let snapshot = snapshot(&reveals, NOW, 0);
        let (candidates, excluded) =
            candidates(&snapshot, WALLET, AT, &reveals, &mut Memory::default()).unwrap();
        assert_eq!(excluded.first().map(|exclusion| exclusion.why.kind()), why, "{left}");
        assert!(excluded.iter().all(|exclusion| exclusion.why.rule() == Some(RuleId::Ds12)));
        assert_eq!(candidates.len(), usize::from(why.is_none()));
    }
}

#[test]
fn inc_4_a_request_goes_half_an_hour_before_it_must() {
    let timeout = u32::try_from(5 * DAY).unwrap();
    let script = ScriptBuf::from_bytes(vec![1]);
    let request = RedemptionRequest {
        at: at(1),
        wallet: WALLET,
        script: script.clone(),
        requested_amount: Amount::from_sat(1_000_000),
    };
    // The contract refuses it from two hours before its timeout on.
    for (left, why) in [
        (0, Some("rule")),
        (1, Some("expiring")),
        (LEAD.as_secs(), Some("expiring")),
        (LEAD.as_secs() + 1, None),
    ] {
        let requested_at = NOW + left + 2 * 3600 - 5 * DAY;
        let record = RedemptionRecord {
            requested_at: u32::try_from(requested_at).unwrap(),
            ..RedemptionRecord::default()
        };
        let snapshot = Snapshot {
            timestamp: UnixTime(NOW),
            redemptions: [(RedemptionKey::new(WALLET, &script), record)].into(),
            redemption_parameters: RedemptionParameters {
                redemption_timeout: timeout,
                ..RedemptionParameters::default()
            },
            ..Snapshot::default()
        };
        let requests = std::slice::from_ref(&request);
        let (candidates, excluded) = redemptions::candidates(&snapshot, WALLET, AT, requests).unwrap();
        assert_eq!(excluded.first().map(|exclusion| exclusion.why.kind()), why, "{left}");
        assert!(excluded.iter().all(|exclusion| exclusion.why.rule() == Some(RuleId::Rd8)));
        assert_eq!(candidates.len(), usize::from(why.is_none()));
    }
}

#[test]
fn events_above_the_block_and_repeated_ones_are_not_looked_at() {
    let reveals = [reveal(HEAD - 100, FAR), reveal(HEAD - 100, FAR), reveal(HEAD + 1, FAR)];
    let snapshot = snapshot(&reveals, NOW, 0);
    assert_eq!(to_read(&reveals, BlockNumber(HEAD), UnixTime(NOW), &Memory::default()).len(), 1);
    let mut memory = Memory::default();
    let (candidates, excluded) = candidates(&snapshot, WALLET, AT, &reveals, &mut memory).unwrap();
    assert_eq!((candidates.len(), excluded.len()), (1, 0));
}

#[test]
fn requests_are_looked_back_for_as_far_as_they_can_be_pending() {
    // 5 days are 36,000 blocks.
    assert_eq!(redemptions::oldest_block(BlockNumber(HEAD), 5 * 86_400), BlockNumber(HEAD - 36_000 - 1_000));
    assert_eq!(redemptions::oldest_block(BlockNumber(7), 5 * 86_400), BlockNumber(0));

    let request = |block: u64, script: u8| RedemptionRequest {
        at: at(block),
        wallet: WALLET,
        script: ScriptBuf::from_bytes(vec![script]),
        requested_amount: Amount::ZERO,
    };
    let requests = [request(9, 1), request(10, 2), request(11, 3), request(12, 2), request(21, 4)];
    let newest = redemptions::newest(requests.iter(), BlockNumber(10)..=BlockNumber(20));
    assert_eq!(newest, [request(11, 3), request(12, 2)]);
    let many: Vec<_> = (0..2_000).map(|block| request(block, 0)).collect();
    let many: Vec<_> = many
        .into_iter()
        .map(|mut request| {
            request.script = ScriptBuf::from_bytes(request.at.block.0.to_be_bytes().to_vec());
            request
        })
        .collect();
    let newest = redemptions::newest(many.iter(), BlockNumber(0)..=BlockNumber(HEAD));
    assert_eq!(newest.len(), 1_750);
    assert_eq!((newest[0].at.block, newest[1_749].at.block), (BlockNumber(0), BlockNumber(1_999)));
}

#[test]
fn moved_funds_are_found_by_the_targets_position_in_the_commitment_before() {
    let source = KeyHash([5; 20]);
    let commitment =
        |block, targets: &[KeyHash]| Commitment { at: at(block), source, targets: targets.to_vec() };
    let others = [KeyHash([8; 20]), KeyHash([9; 20])];
    let commitments = [
        commitment(5, &[others[0], others[1], WALLET]),
        // One that came too late for the move.
        commitment(20, &[WALLET]),
        Commitment { source: others[0], ..commitment(6, &[WALLET]) },
    ];
    let completed = |block| CompletedMove { at: at(block), source, txid: txid(77) };
    let found = moved_funds::outputs(&commitments, &[completed(10)], WALLET, BlockNumber(HEAD));
    assert_eq!(found, [OutPoint::new(txid(77), 2)]);
    assert_eq!(moved_funds::outputs(&commitments, &[completed(10)], WALLET, BlockNumber(9)), []);
    assert_eq!(moved_funds::outputs(&commitments, &[completed(4)], WALLET, BlockNumber(HEAD)), []);
    assert_eq!(moved_funds::outputs(&commitments, &[completed(10)], KeyHash([3; 20]), BlockNumber(HEAD)), []);

    let record = |wallet, state| SweepRequestRecord { wallet, value: Amount::ONE_SAT, state };
    let outputs: Vec<_> = (0..4).map(outpoint).collect();
    let records = [
        record(WALLET, SweepRequestState::Pending),
        record(others[0], SweepRequestState::Pending),
        record(WALLET, SweepRequestState::Processed),
        record(WALLET, SweepRequestState::TimedOut),
    ];
    let sweep_requests =
        outputs.iter().zip(records).map(|(output, record)| (SweepRequestKey::new(*output), record)).collect();
    let snapshot = Snapshot { sweep_requests, ..Snapshot::default() };
    assert_eq!(moved_funds::pending(&snapshot, WALLET, &outputs).unwrap(), [outpoint(0)]);
}

#[test]
fn targets_are_the_newest_live_wallets_ascending() {
    let record = |state| WalletRecord {
        main_utxo_hash: B256::ZERO,
        pending_redemptions_value: Amount::ZERO,
        moving_funds_requested_at: 0,
        pending_moved_funds_sweep_requests_count: 0,
        state,
        moving_funds_target_wallets_commitment_hash: B256::ZERO,
    };
    let key = |byte: u8| KeyHash([byte; 20]);
    let wallets = [
        (9, WalletState::Live),
        (3, WalletState::Live),
        (8, WalletState::Closing),
        (5, WalletState::Live),
        (1, WalletState::Live),
    ];
    let snapshot = Snapshot {
        wallets: wallets.iter().map(|(byte, state)| (key(*byte), record(*state))).collect(),
        ..Snapshot::default()
    };
    let registered: Vec<_> = (1..)
        .zip(wallets)
        .map(|(block, (byte, _))| NewWallet { at: at(block), ecdsa_wallet_id: B256::ZERO, wallet: key(byte) })
        .collect();
    let targets = |count, head| moving_funds::targets(&snapshot, WALLET, &registered, head, count).unwrap();
    // The source is the newest of them.
    assert_eq!(WALLET, key(1));
    assert_eq!(targets(1, BlockNumber(HEAD)), [key(5)]);
    assert_eq!(targets(2, BlockNumber(HEAD)), [key(3), key(5)]);
    assert_eq!(targets(9, BlockNumber(HEAD)), [key(3), key(5), key(9)]);
    assert_eq!(targets(9, BlockNumber(2)), [key(3), key(9)]);
}

#[test]
fn committed_targets_are_those_that_hash_to_the_commitment() {
    let targets = [KeyHash([8; 20]), KeyHash([9; 20])];
    let commitment = Commitment { at: at(5), source: WALLET, targets: targets.to_vec() };
    let hash = target_wallets_commitment(&targets);
    let found = |wallet, head, hash| {
        moving_funds::committed_targets(std::slice::from_ref(&commitment), wallet, head, hash)
            .map(<[_]>::to_vec)
    };
    assert_eq!(found(WALLET, BlockNumber(5), hash), Some(targets.to_vec()));
    assert_eq!(found(WALLET, BlockNumber(4), hash), None);
    assert_eq!(found(KeyHash([2; 20]), BlockNumber(5), hash), None);
    assert_eq!(found(WALLET, BlockNumber(5), B256::ZERO), None);
}
