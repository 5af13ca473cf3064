//! Who bears how much of a transaction's fee, and which fees are reasonable.
//!
//! Fees are computed in satoshis from a rate and a virtual size; see
//! [`UnsignedTransaction::vsize`](crate::UnsignedTransaction::vsize) for the latter.

use bitcoin::{Amount, FeeRate};

/// A follower allows this many times its own estimate for the next block,
pub const FOLLOWER_ESTIMATE_FACTOR: u64 = 5;
/// and this much on top.
pub const FOLLOWER_ALLOWANCE: FeeRate = FeeRate::from_sat_per_vb_u32(20);

/// The largest share of a sweep's fee: deposits bear equal shares, and one of them what doesn't divide. None without
/// deposits.
pub fn largest_deposit_share(fee: Amount, deposits: usize) -> Option<Amount> {
    redemption_share(fee, deposits, deposits.checked_sub(1)?)
}

/// What request `index` of `requests` bears of a redemption's fee: equal shares, and the last one what doesn't
/// divide too. None for an index out of range.
pub fn redemption_share(fee: Amount, requests: usize, index: usize) -> Option<Amount> {
    let last = requests.checked_sub(1)?;
    let count = u64::try_from(requests).ok()?;
    let (share, remainder) = (fee.to_sat() / count, fee.to_sat() % count);
    match index.cmp(&last) {
        std::cmp::Ordering::Less => Some(Amount::from_sat(share)),
        std::cmp::Ordering::Equal => share.checked_add(remainder).map(Amount::from_sat),
        std::cmp::Ordering::Greater => None,
    }
}

/// The largest fee of a sweep of this many deposits when each may bear `deposit_tx_max_fee`; none when that is
/// beyond 2⁶⁴ − 1.
pub fn max_deposit_sweep_fee(deposit_tx_max_fee: Amount, deposits: usize) -> Option<Amount> {
    deposit_tx_max_fee.checked_mul(u64::try_from(deposits).ok()?)
}

/// `fee` raised until each of this many deposits bears the same: no share is then above the average, so that DS-6
/// holds for every fee up to [`max_deposit_sweep_fee`]. None without deposits, and beyond 2⁶⁴ − 1.
pub fn equal_deposit_shares(fee: Amount, deposits: usize) -> Option<Amount> {
    fee.to_sat().checked_next_multiple_of(u64::try_from(deposits).ok()?).map(Amount::from_sat)
}

/// What a fee is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeConditions {
    /// The Bitcoin node's own least rate for relaying a transaction.
    pub relay_minimum: FeeRate,
    /// The rate for confirmation in the next block; none when the Bitcoin node can't tell.
    pub estimate: Option<FeeRate>,
}

/// Why there is no fee to propose, or why a proposed one is refused. Fees in satoshis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FeeError {
    /// The least fee that relays reliably is above what the Bridge allows.
    #[error("the least fee that relays is {} sat, at most {} sat allowed", least.to_sat(), maximum.to_sat())]
    MaximumDoesNotRelay {
        /// 1.1 × the relay minimum.
        least: Amount,
        /// The Bridge's maximum.
        maximum: Amount,
    },
    /// The fee can't relay.
    #[error("the fee is {} sat, at least {} sat needed to relay", fee.to_sat(), least.to_sat())]
    TooLow {
        /// The fee proposed.
        fee: Amount,
        /// The relay minimum.
        least: Amount,
    },
    /// The fee burns the wallet's money.
    #[error("the fee is {} sat, at most {} sat reasonable", fee.to_sat(), most.to_sat())]
    TooHigh {
        /// The fee proposed.
        fee: Amount,
        /// [`FOLLOWER_ESTIMATE_FACTOR`] × the estimate, and [`FOLLOWER_ALLOWANCE`].
        most: Amount,
    },
    /// A fee is beyond 2⁶⁴ − 1.
    #[error("the fee of {vsize} vbytes does not fit 64 bits")]
    Overflow {
        /// The virtual size.
        vsize: u64,
    },
}

impl FeeConditions {
    /// The fee to propose: for the next block at the estimated rate (`fallback` without one), within 1.1 × the
    /// relay minimum and the Bridge's `maximum`.
    pub fn propose(&self, vsize: u64, fallback: FeeRate, maximum: Amount) -> Result<Amount, FeeError> {
        let least =
            satoshis(millisats(self.relay_minimum, vsize).saturating_mul(11).div_ceil(10_000), vsize)?;
        if least > maximum {
            return Err(FeeError::MaximumDoesNotRelay { least, maximum });
        }
        let wanted = millisats(self.estimate.unwrap_or(fallback), vsize).div_ceil(1_000);
        Ok(satoshis(wanted, vsize)?.clamp(least, maximum))
    }

    /// Refuses a fee under the relay minimum, or, where there is an estimate, over
    /// [`FOLLOWER_ESTIMATE_FACTOR`] × it plus [`FOLLOWER_ALLOWANCE`].
    pub fn check(&self, proposed: Amount, vsize: u64) -> Result<(), FeeError> {
        let least = satoshis(millisats(self.relay_minimum, vsize).div_ceil(1_000), vsize)?;
        if proposed < least {
            return Err(FeeError::TooLow { fee: proposed, least });
        }
        let Some(estimate) = self.estimate else { return Ok(()) };
        let most = millisats(estimate, vsize)
            .saturating_mul(FOLLOWER_ESTIMATE_FACTOR.into())
            .saturating_add(millisats(FOLLOWER_ALLOWANCE, vsize));
        let most = satoshis(most / 1_000, vsize)?;
        if proposed > most { Err(FeeError::TooHigh { fee: proposed, most }) } else { Ok(()) }
    }
}

/// The fee at `rate` of a transaction of `vsize` vbytes (4 weight units each), in thousandths of a satoshi.
fn millisats(rate: FeeRate, vsize: u64) -> u128 {
    (u128::from(rate.to_sat_per_kwu()) * u128::from(vsize)).saturating_mul(4)
}

fn satoshis(fee: u128, vsize: u64) -> Result<Amount, FeeError> {
    u64::try_from(fee).map(Amount::from_sat).map_err(|_| FeeError::Overflow { vsize })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn sat(amount: u64) -> Amount {
        Amount::from_sat(amount)
    }

    const fn sat_per_vb(rate: u32) -> FeeRate {
        FeeRate::from_sat_per_vb_u32(rate)
    }

    fn conditions(relay_minimum: u32, estimate: Option<u32>) -> FeeConditions {
        FeeConditions { relay_minimum: sat_per_vb(relay_minimum), estimate: estimate.map(sat_per_vb) }
    }

    #[test]
    fn the_last_request_bears_the_remainder_and_so_does_one_deposit() {
        let shares: Vec<_> = (0..4).map(|index| redemption_share(sat(11), 3, index)).collect();
        assert_eq!(shares, [Some(sat(3)), Some(sat(3)), Some(sat(5)), None]);
        assert_eq!(largest_deposit_share(sat(11), 3), Some(sat(5)));
        assert_eq!(largest_deposit_share(sat(11), 0), None);
        assert_eq!(largest_deposit_share(Amount::MAX, 1), Some(Amount::MAX));
    }

    #[test]
    fn equal_shares_never_exceed_the_maximum() {
        // 1,999 would leave one deposit of 20 with 99 + 19.
        assert_eq!(largest_deposit_share(sat(1_999), 20), Some(sat(118)));
        assert_eq!(equal_deposit_shares(sat(1_999), 20), Some(sat(2_000)));
        assert_eq!(equal_deposit_shares(sat(2_000), 20), max_deposit_sweep_fee(sat(100), 20));
        assert_eq!(equal_deposit_shares(sat(1), 0), None);
        assert_eq!(equal_deposit_shares(Amount::MAX, 2), None);
        assert_eq!(max_deposit_sweep_fee(Amount::MAX, 2), None);
    }

    #[test]
    fn a_proposed_fee_is_the_estimate_within_the_band() {
        let fee = |estimate, maximum| conditions(1, estimate).propose(200, sat_per_vb(7), sat(maximum));
        assert_eq!(fee(Some(3), 10_000), Ok(sat(600)));
        // Without an estimate, the fallback.
        assert_eq!(fee(None, 10_000), Ok(sat(1_400)));
        // Not under 1.1 × the relay minimum, not over the maximum.
        assert_eq!(fee(Some(1), 10_000), Ok(sat(220)));
        assert_eq!(fee(Some(100), 10_000), Ok(sat(10_000)));
        assert_eq!(fee(Some(100), 220), Ok(sat(220)));
        let error = FeeError::MaximumDoesNotRelay { least: sat(220), maximum: sat(219) };
        assert_eq!(fee(Some(100), 219), Err(error));
    }

    #[test]
    fn rates_below_one_sat_per_vbyte_round_up_to_whole_satoshis_once() {
        // 0.1 sat/vB, the newer relay minimum: 1.1 × 14.1 = 15.51.
        let conditions = FeeConditions { relay_minimum: FeeRate::from_sat_per_kwu(25), estimate: None };
        assert_eq!(conditions.propose(141, FeeRate::ZERO, sat(100)), Ok(sat(16)));
        assert_eq!(conditions.check(sat(14), 141), Err(FeeError::TooLow { fee: sat(14), least: sat(15) }));
        assert_eq!(conditions.check(sat(15), 141), Ok(()));
    }

    #[test]
    fn inc_23_a_fee_that_cannot_relay_is_refused() {
        let too_low = FeeError::TooLow { fee: sat(399), least: sat(400) };
        for estimate in [None, Some(10)] {
            assert_eq!(conditions(2, estimate).check(sat(399), 200), Err(too_low));
            assert_eq!(conditions(2, estimate).check(sat(400), 200), Ok(()));
        }
    }

    #[test]
    fn inc_23_a_fee_that_burns_the_wallets_money_is_refused() {
        // 5 × 10 + 20 = 70 sat/vB.
        let too_high = FeeError::TooHigh { fee: sat(14_001), most: sat(14_000) };
        assert_eq!(conditions(1, Some(10)).check(sat(14_001), 200), Err(too_high));
        assert_eq!(conditions(1, Some(10)).check(sat(14_000), 200), Ok(()));
        // Without an estimate there is no upper bound.
        assert_eq!(conditions(1, None).check(Amount::MAX, 200), Ok(()));
    }

    #[test]
    fn fees_beyond_64_bits_are_errors() {
        let vsize = u64::MAX;
        let huge = FeeConditions { relay_minimum: FeeRate::MAX, estimate: Some(FeeRate::MAX) };
        assert_eq!(huge.propose(vsize, FeeRate::ZERO, Amount::MAX), Err(FeeError::Overflow { vsize }));
        assert_eq!(huge.check(Amount::MAX, vsize), Err(FeeError::Overflow { vsize }));
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_fee(fee: u64, requests in 1_usize..100) {
            let shares = (0..requests).map(|index| redemption_share(sat(fee), requests, index).unwrap());
            prop_assert_eq!(shares.map(Amount::to_sat).sum::<u64>(), fee);
        }

        #[test]
        fn a_sweep_fee_within_the_maximum_keeps_ds_6_once_shares_are_equal(
            max_share in 0_u64..1 << 40, deposits in 1_usize..=20, below: u64,
        ) {
            let maximum = max_deposit_sweep_fee(sat(max_share), deposits).unwrap();
            let fee = sat(maximum.to_sat() - below % (maximum.to_sat() + 1));
            let fee = equal_deposit_shares(fee, deposits).unwrap();
            prop_assert!(fee <= maximum);
            prop_assert!(largest_deposit_share(fee, deposits).unwrap() <= sat(max_share));
        }

        #[test]
        fn what_a_leader_proposes_a_follower_with_the_same_view_accepts(
            relay_minimum in 0_u64..10_000, estimate in 0_u64..1_000_000, vsize in 1_u64..10_000,
        ) {
            let conditions = FeeConditions {
                relay_minimum: FeeRate::from_sat_per_kwu(relay_minimum),
                estimate: Some(FeeRate::from_sat_per_kwu(estimate)),
            };
            let fee = conditions.propose(vsize, FeeRate::ZERO, Amount::MAX).unwrap();
            prop_assert_eq!(conditions.check(fee, vsize), Ok(()));
        }
    }
}
