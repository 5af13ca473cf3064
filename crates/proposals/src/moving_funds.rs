//! When a retiring wallet moves its funds, and to which wallets.

use std::time::Duration;

use alloy_primitives::B256;
use coxswain_ethereum::{Commitment, NewWallet};
use coxswain_rules::{
    Amount, KeyHash, MissingError, Snapshot, WalletState, target_wallets_commitment,
    units::{BlockNumber, Blocks, UnixTime},
};

/// For how long a wallet's funds stay once it begins to retire: redemptions and sweeps under way come to their end.
pub const MARGIN: Duration = Duration::from_secs(24 * 3600);
/// The same for a wallet that others are about to move their funds to.
pub const TARGET_MARGIN: Duration = Duration::from_secs(14 * 24 * 3600);
/// How many blocks a commitment is looked back for.
pub(crate) const COMMITMENT_LOOK_BACK: Blocks = Blocks(216_000);

/// The time that must have come before the wallet's funds are moved, by the chain's clock: every member enforces it.
///
/// # Errors
/// When the snapshot lacks the wallet, or the source of a commitment that names it.
pub(crate) fn earliest_move(
    snapshot: &Snapshot,
    wallet: KeyHash,
    head: BlockNumber,
    commitments: &[Commitment],
) -> Result<UnixTime, MissingError> {
    let mut is_target = false;
    for commitment in naming(commitments, wallet, head) {
        let source = snapshot.wallet(commitment.source)?;
        // An event alone proves nothing. The Bridge keeps the hash of the source's commitment.
        let is_true = || {
            source.moving_funds_target_wallets_commitment_hash
                == target_wallets_commitment(&commitment.targets)
        };
        is_target |= source.state == WalletState::MovingFunds && is_true();
    }
    let margin = if is_target { TARGET_MARGIN } else { MARGIN };
    let timeout = Duration::from_secs(snapshot.moving_funds_parameters.moving_funds_timeout.into());
    let half = Duration::from_secs(timeout.as_secs() / 2);
    let requested_at = UnixTime::from(snapshot.wallet(wallet)?.moving_funds_requested_at);
    Ok(requested_at.saturating_add(margin.min(half)))
}

/// The recent commitments that name this wallet as a target.
pub(crate) fn naming(
    commitments: &[Commitment],
    wallet: KeyHash,
    head: BlockNumber,
) -> impl Iterator<Item = &Commitment> {
    let recent = head.saturating_sub(COMMITMENT_LOOK_BACK)..=head;
    commitments.iter().filter(move |commitment| {
        recent.contains(&commitment.at.block) && commitment.targets.contains(&wallet)
    })
}

/// How many wallets a balance is to be moved to.
pub(crate) fn target_count(live_wallets: u32, balance: Amount, max_transfer: Amount) -> u64 {
    let wanted = match max_transfer.to_sat() {
        0 => 1,
        max_transfer => balance.to_sat().div_ceil(max_transfer),
    };
    wanted.min(live_wallets.into()).max(1)
}

/// The newest Live wallets, the source excluded, up to `count`: ascending, as the Bridge wants them.
///
/// # Errors
/// When the snapshot lacks a wallet.
pub fn targets(
    snapshot: &Snapshot,
    source: KeyHash,
    wallets: &[NewWallet],
    head: BlockNumber,
    count: u64,
) -> Result<Vec<KeyHash>, MissingError> {
    let mut targets = Vec::new();
    for wallet in wallets.iter().rev().filter(|wallet| wallet.at.block <= head) {
        if u64::try_from(targets.len()).is_ok_and(|found| found >= count) {
            break;
        }
        let wallet = wallet.wallet;
        if wallet != source
            && snapshot.wallet(wallet)?.state == WalletState::Live
            && !targets.contains(&wallet)
        {
            targets.push(wallet);
        }
    }
    targets.sort();
    Ok(targets)
}

/// The targets that the wallet has committed to, from the event that tells them. `None` if no event does.
pub fn committed_targets(
    commitments: &[Commitment],
    wallet: KeyHash,
    head: BlockNumber,
    hash: B256,
) -> Option<&[KeyHash]> {
    let of_wallet = |commitment: &&Commitment| commitment.source == wallet && commitment.at.block <= head;
    let targets = commitments.iter().rev().filter(of_wallet).map(|commitment| &*commitment.targets);
    targets.into_iter().find(|targets| target_wallets_commitment(targets) == hash)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coxswain_ethereum::Position;
    use coxswain_rules::{MovingFundsParameters, WalletRecord};

    use super::*;

    const WALLET: KeyHash = KeyHash([1; 20]);
    const SOURCE: KeyHash = KeyHash([2; 20]);
    const HEAD: BlockNumber = BlockNumber(1_000_000);
    const DAY: u64 = 24 * 3600;

    fn record(state: WalletState) -> WalletRecord {
        WalletRecord {
            main_utxo_hash: B256::ZERO,
            pending_redemptions_value: Amount::ZERO,
            moving_funds_requested_at: 1_000,
            pending_moved_funds_sweep_requests_count: 0,
            state,
            moving_funds_target_wallets_commitment_hash: B256::ZERO,
        }
    }

    /// Seconds that the funds of a wallet stay, named as a target in this block by a source in this state.
    fn margin(source: WalletState, block: BlockNumber, timeout_days: u32) -> u64 {
        let targets = vec![KeyHash([9; 20]), WALLET];
        margin_of(source, block, timeout_days, target_wallets_commitment(&targets))
    }

    /// The same, where the Bridge keeps this hash of the source's commitment.
    fn margin_of(source: WalletState, block: BlockNumber, timeout_days: u32, hash: B256) -> u64 {
        let source = WalletRecord { moving_funds_target_wallets_commitment_hash: hash, ..record(source) };
        let snapshot = Snapshot {
            wallets: [(WALLET, record(WalletState::MovingFunds)), (SOURCE, source)].into(),
            moving_funds_parameters: MovingFundsParameters {
                moving_funds_timeout: timeout_days * 24 * 3600,
                ..MovingFundsParameters::default()
            },
            ..Snapshot::default()
        };
        let targets = vec![KeyHash([9; 20]), WALLET];
        let commitment = Commitment { at: Position { block, index: 0 }, source: SOURCE, targets };
        earliest_move(&snapshot, WALLET, HEAD, &[commitment]).unwrap().0 - 1_000
    }

    #[test]
    fn funds_stay_a_day_or_two_weeks_while_others_are_coming_but_never_half_the_timeout() {
        use WalletState::{Closing, MovingFunds};
        assert_eq!(margin(MovingFunds, HEAD, 56), 14 * DAY);
        assert_eq!(margin(Closing, HEAD, 56), DAY);
        let oldest = HEAD.saturating_sub(COMMITMENT_LOOK_BACK);
        assert_eq!(margin(MovingFunds, oldest, 56), 14 * DAY);
        assert_eq!(margin(MovingFunds, oldest.saturating_sub(Blocks(1)), 56), DAY);
        assert_eq!(margin(MovingFunds, HEAD, 7), 7 * DAY / 2);
        assert_eq!(margin(Closing, HEAD, 1), DAY / 2);
    }

    #[test]
    fn inc_47_a_commitment_that_is_made_up_or_changed_keeps_no_funds() {
        let moving = |hash| margin_of(WalletState::MovingFunds, HEAD, 56, hash);
        assert_eq!(moving(B256::ZERO), DAY, "it has not committed");
        assert_eq!(moving(target_wallets_commitment(&[WALLET])), DAY, "it has committed to others");
        assert_eq!(moving(target_wallets_commitment(&[KeyHash([9; 20]), WALLET])), 14 * DAY);
    }

    #[test]
    fn a_commitment_whose_event_is_not_known_is_not_guessed() {
        let targets = vec![KeyHash([3; 20]), KeyHash([4; 20])];
        let hash = target_wallets_commitment(&targets);
        let at = Position { block: HEAD, index: 0 };
        let known = [Commitment { at, source: WALLET, targets: targets.clone() }];
        assert_eq!(committed_targets(&known, WALLET, HEAD, hash), Some(&*targets));
        assert_eq!(
            committed_targets(&known, WALLET, HEAD.saturating_sub(Blocks(1)), hash),
            None,
            "it came later"
        );
        assert_eq!(committed_targets(&known, SOURCE, HEAD, hash), None, "it is another wallet's");
        assert_eq!(committed_targets(&known, WALLET, HEAD, B256::ZERO), None, "it hashes to something else");
        assert_eq!(committed_targets(&[], WALLET, HEAD, hash), None);
    }

    #[test]
    fn as_many_targets_as_the_balance_asks_for() {
        let count = |live, balance| target_count(live, Amount::from_sat(balance), Amount::from_sat(10));
        assert_eq!((count(5, 10), count(5, 11), count(5, 50), count(5, 51)), (1, 2, 5, 5));
        assert_eq!((count(5, 0), count(0, 11)), (1, 1));
        assert_eq!(target_count(5, Amount::from_sat(7), Amount::ZERO), 1);
    }
}
