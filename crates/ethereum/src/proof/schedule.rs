//! Which fork's rules a block is under. No header says (Osaka shows in no field), so that it is compiled in.

use alloy::consensus::Header;
use revm::primitives::hardfork::SpecId;

/// The rules that a call is run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fork {
    pub(super) rules: SpecId,
    /// The base fee update fraction of blobs.
    pub(super) blob_fraction: u64,
}

const fn fork(rules: SpecId, blob_fraction: u64) -> Fork {
    Fork { rules, blob_fraction }
}

/// The rules assumed for a chain whose forks are not known.
const NEWEST: Fork = fork(SpecId::OSAKA, 11_684_671);

/// From when on mainnet is under which rules, since proof of stake, in Unix seconds.
const MAINNET: [(u64, Fork); 7] = [
    (1_663_224_179, fork(SpecId::MERGE, 3_338_477)),
    (1_681_338_455, fork(SpecId::SHANGHAI, 3_338_477)),
    (1_710_338_135, fork(SpecId::CANCUN, 3_338_477)),
    (1_746_612_311, fork(SpecId::PRAGUE, 5_007_716)),
    (1_764_798_551, fork(SpecId::OSAKA, 5_007_716)),
    // Forks that change nothing but the number of blobs.
    (1_765_290_071, fork(SpecId::OSAKA, 8_346_193)),
    (1_767_747_671, NEWEST),
];

/// The rules of a block; `None` if they are not known here: the block was mined, or its header has fields of another fork
/// than its time's.
pub(super) fn fork_of(chain_id: u64, header: &Header) -> Option<Fork> {
    let is_mined = !header.difficulty.is_zero();
    let is_newer = header.block_access_list_hash.is_some() || header.slot_number.is_some();
    if is_mined || is_newer {
        return None;
    }
    if chain_id != 1 {
        return Some(NEWEST);
    }
    let (_, fork) = MAINNET.iter().rfind(|(since, _)| *since <= header.timestamp)?;
    let fields = [
        (SpecId::SHANGHAI, header.withdrawals_root.is_some()),
        (SpecId::CANCUN, header.excess_blob_gas.is_some()),
        (SpecId::CANCUN, header.parent_beacon_block_root.is_some()),
        (SpecId::PRAGUE, header.requests_hash.is_some()),
    ];
    fields.iter().all(|(since, has)| *has == fork.rules.is_enabled_in(*since)).then_some(*fork)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, U256};

    use super::*;

    fn header(timestamp: u64, rules: SpecId) -> Header {
        let since = |fork| rules.is_enabled_in(fork);
        Header {
            timestamp,
            withdrawals_root: since(SpecId::SHANGHAI).then_some(B256::ZERO),
            excess_blob_gas: since(SpecId::CANCUN).then_some(0),
            parent_beacon_block_root: since(SpecId::CANCUN).then_some(B256::ZERO),
            requests_hash: since(SpecId::PRAGUE).then_some(B256::ZERO),
            ..Header::default()
        }
    }

    #[test]
    fn a_mainnet_block_is_under_the_rules_of_its_time() {
        for (index, (since, fork)) in MAINNET.iter().enumerate() {
            assert_eq!(fork_of(1, &header(*since, fork.rules)), Some(*fork));
            match index.checked_sub(1).map(|before| MAINNET[before].1) {
                None => assert!(fork_of(1, &header(since - 1, fork.rules)).is_none()),
                Some(before) => assert_eq!(fork_of(1, &header(since - 1, before.rules)), Some(before)),
            }
        }
        assert!(MAINNET.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn fields_of_another_fork_than_the_times_are_not_provable() {
        let (cancun, prague) = (1_746_612_310, 1_746_612_311);
        assert_eq!(fork_of(1, &header(cancun, SpecId::PRAGUE)), None);
        assert_eq!(fork_of(1, &header(prague, SpecId::CANCUN)), None);
        let mined = Header { difficulty: U256::ONE, ..header(prague, SpecId::PRAGUE) };
        let newer = Header { block_access_list_hash: Some(B256::ZERO), ..header(prague, SpecId::PRAGUE) };
        for chain_id in [1, 31337] {
            assert_eq!(fork_of(chain_id, &mined), None);
            assert_eq!(fork_of(chain_id, &newer), None);
        }
    }

    #[test]
    fn an_unknown_chain_is_under_the_newest_rules() {
        assert_eq!(MAINNET.last().unwrap().1, NEWEST);
        for rules in [SpecId::CANCUN, SpecId::PRAGUE, SpecId::OSAKA] {
            assert_eq!(fork_of(31337, &header(0, rules)), Some(NEWEST));
        }
    }
}
