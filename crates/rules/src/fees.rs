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
