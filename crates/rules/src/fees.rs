//! What fee a leader pays, and what a follower refuses.
//!
//! All four kinds of transaction are priced by one function of the [`FeeConditions`], which a member asks, and the
//! [`FeeTerms`], which are the transaction's: so two members that see the same never disagree.

use std::num::NonZeroU64;

use bitcoin::{Amount, FeeRate};

use crate::{DepositSweepProposal, RedemptionProposal, Snapshot, UnsignedTransaction};

/// The least rate that a leader pays, if the Bridge allows it: a wallet's transaction can't be replaced, and one that is
/// stuck holds up the wallet. (In July 2026 one at 1 sat/vB held up a wallet of 861 BTC for eight hours.)
pub const LEADER_LEAST_RATE: FeeRate = FeeRate::from_sat_per_vb_u32(5);
/// A follower allows this many times its own estimate for the next block,
pub const FOLLOWER_ESTIMATE_FACTOR: u64 = 5;
/// and this much on top.
pub const FOLLOWER_ALLOWANCE: FeeRate = FeeRate::from_sat_per_vb_u32(20);

/// A leader pays the estimate times 5/4,
const ESTIMATE_MARGIN: Ratio = Ratio { numerator: 5, denominator: 4 };
/// and the relay minimum times 11/10 at least.
const RELAY_MARGIN: Ratio = Ratio { numerator: 11, denominator: 10 };

/// The rate for confirmation in the next block, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextBlock {
    /// The Bitcoin backend estimates that the next block takes this rate.
    Estimated(FeeRate),
    /// The Bitcoin backend has no estimate. The operator has configured this rate to stand for it.
    Fallback(FeeRate),
}

impl NextBlock {
    /// The estimate, or the fallback if there is none; `None` if neither is there. A fee can't be judged then.
    pub fn new(estimate: Option<FeeRate>, fallback: Option<FeeRate>) -> Option<Self> {
        estimate.map(Self::Estimated).or(fallback.map(Self::Fallback))
    }

    const fn rate(self) -> FeeRate {
        match self {
            Self::Estimated(rate) | Self::Fallback(rate) => rate,
        }
    }
}

/// The least rate at which nodes relay a transaction, as far as their minima are known: enough nodes' are no higher than the
/// one, and enough nodes' no lower than the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayMinimum {
    /// What a follower refuses by: enough nodes don't relay what is under it.
    pub low: FeeRate,
    /// What a leader pays by: enough nodes relay what is not under it.
    pub high: FeeRate,
}

impl RelayMinimum {
    /// One that all have.
    pub const fn of_all(rate: FeeRate) -> Self {
        Self { low: rate, high: rate }
    }
}

/// What a member sees of Bitcoin's fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeConditions {
    /// The least rate at which nodes relay a transaction.
    pub relay_minimum: RelayMinimum,
    /// The rate for confirmation in the next block.
    pub next_block: NextBlock,
}

/// What the fee of one transaction depends on, apart from the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeTerms {
    /// The transaction's virtual size.
    pub vsize: u64,
    /// In how many equal shares the fee is borne.
    pub shares: NonZeroU64,
    /// The largest share that the Bridge allows.
    pub max_share: Amount,
}

impl FeeTerms {
    /// The terms of a deposit sweep: all deposits bear the same, so that no share is above the average and DS-6 holds for
    /// every fee up to the maximum.
    pub fn deposit_sweep(
        snapshot: &Snapshot,
        proposal: &DepositSweepProposal,
        unsigned: &UnsignedTransaction,
    ) -> Self {
        let deposits = u64::try_from(proposal.deposits.len()).ok().and_then(NonZeroU64::new);
        let max_share = snapshot.deposit_parameters.deposit_tx_max_fee;
        Self { vsize: unsigned.vsize(), shares: deposits.unwrap_or(NonZeroU64::MIN), max_share }
    }

    /// The terms of a redemption. Change that was left out comes off the maximum: the Bridge counts it to the fee.
    pub fn redemption(
        snapshot: &Snapshot,
        proposal: &RedemptionProposal,
        unsigned: &UnsignedTransaction,
    ) -> Self {
        let maximum = snapshot.redemption_parameters.redemption_tx_max_total_fee;
        let left_out = unsigned.fee().checked_sub(proposal.fee).unwrap_or(Amount::ZERO);
        Self::whole(unsigned, maximum.checked_sub(left_out).unwrap_or(Amount::ZERO))
    }

    /// The terms of moving funds.
    pub fn moving_funds(snapshot: &Snapshot, unsigned: &UnsignedTransaction) -> Self {
        Self::whole(unsigned, snapshot.moving_funds_parameters.moving_funds_tx_max_total_fee)
    }

    /// The terms of a moved funds sweep.
    pub fn moved_funds_sweep(snapshot: &Snapshot, unsigned: &UnsignedTransaction) -> Self {
        Self::whole(unsigned, snapshot.moving_funds_parameters.moved_funds_sweep_tx_max_total_fee)
    }

    fn whole(unsigned: &UnsignedTransaction, maximum: Amount) -> Self {
        Self { vsize: unsigned.vsize(), shares: NonZeroU64::MIN, max_share: maximum }
    }

    /// The largest fee that the Bridge allows.
    pub fn maximum(&self) -> Amount {
        self.in_shares_of(self.max_share.to_sat())
    }

    /// The least share that makes up the fee.
    fn share(&self, fee: Amount) -> u64 {
        fee.to_sat().div_ceil(self.shares.get())
    }

    fn in_shares_of(&self, share: u64) -> Amount {
        Amount::from_sat(share.saturating_mul(self.shares.get()))
    }
}

/// What a leader pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderFee {
    /// The fee to propose.
    pub amount: Amount,
    /// What the fee should be at least. If it is more than the amount, the Bridge allows no more.
    pub floor: Amount,
}

impl LeaderFee {
    /// Whether the Bridge's maximum keeps the fee under its floor. It relays, but may be slow to confirm.
    pub fn is_capped(&self) -> bool {
        self.amount < self.floor
    }
}

/// The Bridge's maximum is under the least fee that relays reliably: there is nothing to propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "the maximum does not relay: the least fee that relays is {} sat, at most {} sat allowed",
    least.to_sat(),
    maximum.to_sat()
)]
pub struct MaximumFeeError {
    /// 1.1 × the relay minimum.
    pub least: Amount,
    /// The Bridge's maximum.
    pub maximum: Amount,
}

/// What a follower says of a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeeRuling {
    /// It is what a leader should pay.
    Reasonable,
    /// It relays, but is less than a leader should pay. That is worth a warning, and no reason to refuse: in a group with
    /// other clients that would split the signers.
    UnderFloor {
        /// The fee proposed.
        fee: Amount,
        /// What it should be at least.
        floor: Amount,
    },
    /// It is refused.
    Refused(FeeObjection),
}

/// Why a follower refuses a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum FeeObjection {
    /// The fee can't relay.
    #[error("the fee is {} sat, at least {} sat needed to relay", fee.to_sat(), least.to_sat())]
    TooLow {
        /// The fee proposed.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        fee: Amount,
        /// The relay minimum.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        least: Amount,
    },
    /// The fee burns the wallet's money.
    #[error("the fee is {} sat, at most {} sat reasonable", fee.to_sat(), most.to_sat())]
    TooHigh {
        /// The fee proposed.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        fee: Amount,
        /// [`FOLLOWER_ESTIMATE_FACTOR`] × the estimate and [`FOLLOWER_ALLOWANCE`], or what the follower itself would have
        /// paid if that is more.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        most: Amount,
    },
}

impl FeeObjection {
    /// Whether the fee is under half the minimum or over twice the maximum: no honest member's view of Bitcoin differs that
    /// much. Otherwise the members disagree, and nobody is to blame.
    pub(crate) fn is_gross(&self) -> bool {
        match *self {
            Self::TooLow { fee, least } => fee.to_sat().saturating_mul(2) < least.to_sat(),
            Self::TooHigh { fee, most } => fee.to_sat() > most.to_sat().saturating_mul(2),
        }
    }
}

impl FeeConditions {
    /// The fee that a leader pays: 5/4 of the rate for the next block, but at least 1.1 × the relay minimum and
    /// [`LEADER_LEAST_RATE`], and at most what the Bridge allows.
    ///
    /// # Errors
    /// If the Bridge allows less than 1.1 × the relay minimum.
    pub fn propose(&self, terms: &FeeTerms) -> Result<LeaderFee, MaximumFeeError> {
        let least = RELAY_MARGIN.of(self.relay_minimum.high, terms.vsize);
        if terms.share(least) > terms.max_share.to_sat() {
            return Err(MaximumFeeError { least, maximum: terms.maximum() });
        }
        let floor = self.floor(terms.vsize);
        let share = terms.share(floor).min(terms.max_share.to_sat());
        Ok(LeaderFee { amount: terms.in_shares_of(share), floor })
    }

    /// What a follower says of the fee that was proposed. It refuses what doesn't relay; and what is over
    /// [`FOLLOWER_ESTIMATE_FACTOR`] × its estimate and [`FOLLOWER_ALLOWANCE`], if it has an estimate, unless it would have
    /// paid as much itself.
    pub fn judge(&self, fee: Amount, terms: &FeeTerms) -> FeeRuling {
        let least = Ratio::ONE.of(self.relay_minimum.low, terms.vsize);
        if fee < least {
            return FeeRuling::Refused(FeeObjection::TooLow { fee, least });
        }
        if let NextBlock::Estimated(estimate) = self.next_block {
            let ceiling = ceiling(estimate, terms.vsize);
            let most = self.propose(terms).map_or(ceiling, |own| own.amount.max(ceiling));
            if fee > most {
                return FeeRuling::Refused(FeeObjection::TooHigh { fee, most });
            }
        }
        let floor = self.floor(terms.vsize);
        if fee < floor { FeeRuling::UnderFloor { fee, floor } } else { FeeRuling::Reasonable }
    }

    /// What a leader should pay at least.
    fn floor(&self, vsize: u64) -> Amount {
        ESTIMATE_MARGIN
            .of(self.next_block.rate(), vsize)
            .max(RELAY_MARGIN.of(self.relay_minimum.high, vsize))
            .max(Ratio::ONE.of(LEADER_LEAST_RATE, vsize))
    }
}

/// The fee over which a follower refuses, rounded down.
fn ceiling(estimate: FeeRate, vsize: u64) -> Amount {
    let estimated = millisats(estimate, vsize).saturating_mul(FOLLOWER_ESTIMATE_FACTOR.into());
    satoshis(estimated.saturating_add(millisats(FOLLOWER_ALLOWANCE, vsize)) / 1_000)
}

/// A multiple of a rate.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    numerator: u128,
    denominator: u128,
}

impl Ratio {
    const ONE: Self = Self { numerator: 1, denominator: 1 };

    /// The fee of a transaction of this size at this multiple of the rate, rounded up.
    fn of(self, rate: FeeRate, vsize: u64) -> Amount {
        let fee = millisats(rate, vsize).saturating_mul(self.numerator);
        satoshis(fee.div_ceil(self.denominator.saturating_mul(1_000)))
    }
}

/// The fee at `rate` of a transaction of `vsize` vbytes (4 weight units each), in thousandths of a satoshi.
fn millisats(rate: FeeRate, vsize: u64) -> u128 {
    u128::from(rate.to_sat_per_kwu()).saturating_mul(vsize.into()).saturating_mul(4)
}

/// At most 2⁶⁴ − 1 satoshis, far more than there are.
fn satoshis(fee: u128) -> Amount {
    Amount::from_sat(u64::try_from(fee).unwrap_or(u64::MAX))
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

    /// Rates in sat/vB.
    fn conditions(relay_minimum: u32, estimate: u32) -> FeeConditions {
        let next_block = NextBlock::Estimated(sat_per_vb(estimate));
        FeeConditions { relay_minimum: RelayMinimum::of_all(sat_per_vb(relay_minimum)), next_block }
    }

    fn without_estimate(relay_minimum: u32, fallback: u32) -> FeeConditions {
        let next_block = NextBlock::Fallback(sat_per_vb(fallback));
        FeeConditions { relay_minimum: RelayMinimum::of_all(sat_per_vb(relay_minimum)), next_block }
    }

    fn shared(vsize: u64, shares: u64, max_share: u64) -> FeeTerms {
        FeeTerms { vsize, shares: NonZeroU64::new(shares).unwrap(), max_share: sat(max_share) }
    }

    fn whole(vsize: u64, maximum: u64) -> FeeTerms {
        shared(vsize, 1, maximum)
    }

    fn too_low(fee: u64, least: u64) -> FeeRuling {
        FeeRuling::Refused(FeeObjection::TooLow { fee: sat(fee), least: sat(least) })
    }

    fn too_high(fee: u64, most: u64) -> FeeRuling {
        FeeRuling::Refused(FeeObjection::TooHigh { fee: sat(fee), most: sat(most) })
    }

    fn under_floor(fee: u64, floor: u64) -> FeeRuling {
        FeeRuling::UnderFloor { fee: sat(fee), floor: sat(floor) }
    }

    #[test]
    fn a_leader_pays_the_largest_of_three_up_to_the_maximum() {
        let fee = |conditions: FeeConditions, maximum| conditions.propose(&whole(200, maximum));
        let paid = |amount, floor| Ok(LeaderFee { amount: sat(amount), floor: sat(floor) });
        // 5/4 of the estimate, or of what stands for it.
        assert_eq!(fee(conditions(1, 10), 10_000), paid(2_500, 2_500));
        assert_eq!(fee(without_estimate(1, 10), 10_000), paid(2_500, 2_500));
        // 5 sat/vB: up to an estimate of 4.
        assert_eq!(fee(conditions(1, 0), 10_000), paid(1_000, 1_000));
        assert_eq!(fee(conditions(1, 4), 10_000), paid(1_000, 1_000));
        assert_eq!(fee(conditions(1, 5), 10_000), paid(1_250, 1_250));
        // 1.1 × the relay minimum.
        assert_eq!(fee(conditions(30, 20), 10_000), paid(6_600, 6_600));
        assert_eq!(fee(conditions(30, 27), 10_000), paid(6_750, 6_750));
        // The maximum, if it is less: and that shows.
        assert_eq!(fee(conditions(1, 10), 2_500).map(|fee| fee.is_capped()), Ok(false));
        assert_eq!(fee(conditions(1, 10), 2_499), paid(2_499, 2_500));
        assert_eq!(fee(conditions(1, 10), 2_499).map(|fee| fee.is_capped()), Ok(true));
        // As long as it relays reliably.
        assert_eq!(fee(conditions(1, 10), 220), paid(220, 2_500));
        let error = MaximumFeeError { least: sat(220), maximum: sat(219) };
        assert_eq!(fee(conditions(1, 10), 219), Err(error));
    }

    #[test]
    fn a_leader_pays_by_the_higher_minimum_and_a_follower_refuses_by_the_lower() {
        let relay_minimum = RelayMinimum { low: sat_per_vb(10), high: sat_per_vb(20) };
        let conditions = FeeConditions { relay_minimum, next_block: NextBlock::Estimated(sat_per_vb(1)) };
        let terms = whole(200, 10_000);
        assert_eq!(conditions.propose(&terms).map(|fee| fee.amount), Ok(sat(4_400)));
        let error = MaximumFeeError { least: sat(4_400), maximum: sat(4_399) };
        assert_eq!(conditions.propose(&whole(200, 4_399)), Err(error));
        assert_eq!(conditions.judge(sat(1_999), &terms), too_low(1_999, 2_000));
        assert_eq!(conditions.judge(sat(2_000), &terms), under_floor(2_000, 4_400));
        assert_eq!(conditions.judge(sat(4_400), &terms), FeeRuling::Reasonable);
    }

    #[test]
    fn deposits_bear_equal_shares_up_to_the_maximum() {
        // 5 sat/vB: 1,001 for three, 334 each.
        let fee = |max_share| conditions(1, 0).propose(&shared(200, 3, max_share));
        assert_eq!(fee(1_000), Ok(LeaderFee { amount: sat(1_002), floor: sat(1_000) }));
        assert_eq!(fee(334), Ok(LeaderFee { amount: sat(1_002), floor: sat(1_000) }));
        assert_eq!(fee(333), Ok(LeaderFee { amount: sat(999), floor: sat(1_000) }));
        // 220 relay: 74 each.
        assert_eq!(fee(74), Ok(LeaderFee { amount: sat(222), floor: sat(1_000) }));
        assert_eq!(fee(73), Err(MaximumFeeError { least: sat(220), maximum: sat(219) }));
    }

    #[test]
    fn rates_below_one_sat_per_vbyte_round_up_to_whole_satoshis_once() {
        // 0.1 sat/vB, the newer relay minimum: 1.1 × 14.1 = 15.51.
        let next_block = NextBlock::Estimated(FeeRate::ZERO);
        let relay_minimum = RelayMinimum::of_all(FeeRate::from_sat_per_kwu(25));
        let conditions = FeeConditions { relay_minimum, next_block };
        let paid = conditions.propose(&whole(141, 16)).map(|fee| fee.amount);
        assert_eq!(paid, Ok(sat(16)));
        let error = MaximumFeeError { least: sat(16), maximum: sat(15) };
        assert_eq!(conditions.propose(&whole(141, 15)), Err(error));
        assert_eq!(conditions.judge(sat(14), &whole(141, 16)), too_low(14, 15));
        assert_eq!(conditions.judge(sat(15), &whole(141, 16)), under_floor(15, 705));
    }

    #[test]
    fn inc_23_a_fee_that_cannot_relay_is_refused() {
        let terms = whole(200, 10_000);
        for conditions in [conditions(2, 10), without_estimate(2, 10)] {
            assert_eq!(conditions.judge(sat(399), &terms), too_low(399, 400));
            assert_eq!(conditions.judge(sat(400), &terms), under_floor(400, 2_500));
        }
    }

    #[test]
    fn inc_23_a_fee_that_burns_the_wallets_money_is_refused() {
        // 5 × 10 + 20 = 70 sat/vB.
        let terms = whole(200, 100_000);
        assert_eq!(conditions(1, 10).judge(sat(14_001), &terms), too_high(14_001, 14_000));
        assert_eq!(conditions(1, 10).judge(sat(14_000), &terms), FeeRuling::Reasonable);
        // Without an estimate there is no upper bound.
        assert_eq!(without_estimate(1, 10).judge(Amount::MAX, &terms), FeeRuling::Reasonable);
    }

    #[test]
    fn inc_33_a_follower_refuses_no_fee_that_it_would_have_paid_itself() {
        // Nodes relay from 100 sat/vB on, and the next block takes 1: 5 × 1 + 20 = 25 sat/vB is under 1.1 × 100.
        let (conditions, terms) = (conditions(100, 1), whole(200, 100_000));
        let paid = conditions.propose(&terms).map(|fee| fee.amount);
        assert_eq!(paid, Ok(sat(22_000)));
        assert_eq!(conditions.judge(sat(22_000), &terms), FeeRuling::Reasonable);
        assert_eq!(conditions.judge(sat(22_001), &terms), too_high(22_001, 22_000));

        // With equal shares it is rounded up: 22,000 for three, 7,334 each.
        let terms = shared(200, 3, 100_000);
        let paid = conditions.propose(&terms).map(|fee| fee.amount);
        assert_eq!(paid, Ok(sat(22_002)));
        assert_eq!(conditions.judge(sat(22_002), &terms), FeeRuling::Reasonable);
        assert_eq!(conditions.judge(sat(22_003), &terms), too_high(22_003, 22_002));

        // Where the maximum does not relay a follower would have paid nothing: what a leader with another view proposes
        // is held against the estimate alone.
        let terms = whole(200, 21_999);
        assert!(conditions.propose(&terms).is_err());
        assert_eq!(conditions.judge(sat(20_000), &terms), too_high(20_000, 5_000));
    }

    #[test]
    fn inc_33_a_fee_between_the_relay_minimum_and_the_floor_is_a_warning() {
        let terms = whole(200, 10_000);
        assert_eq!(conditions(1, 10).judge(sat(199), &terms), too_low(199, 200));
        assert_eq!(conditions(1, 10).judge(sat(200), &terms), under_floor(200, 2_500));
        assert_eq!(conditions(1, 10).judge(sat(2_499), &terms), under_floor(2_499, 2_500));
        assert_eq!(conditions(1, 10).judge(sat(2_500), &terms), FeeRuling::Reasonable);
    }

    #[test]
    fn inc_33_only_a_fee_far_outside_the_band_is_anyones_fault() {
        let gross = |conditions: FeeConditions, fee| match conditions.judge(sat(fee), &whole(200, 100_000)) {
            FeeRuling::Refused(objection) => objection.is_gross(),
            other => panic!("{fee}: {other:?}"),
        };
        // Half of 400; and of 401, where 200 is under the half.
        assert!(gross(conditions(2, 10), 199) && !gross(conditions(2, 10), 200));
        let odd = FeeObjection::TooLow { fee: sat(200), least: sat(401) };
        assert!(odd.is_gross());
        // Twice 14,000.
        assert!(!gross(conditions(1, 10), 28_000) && gross(conditions(1, 10), 28_001));
        // Twice what the follower would have paid itself.
        assert!(!gross(conditions(100, 1), 44_000) && gross(conditions(100, 1), 44_001));
    }

    #[test]
    fn a_fee_can_not_be_judged_without_a_rate() {
        let (estimate, fallback) = (sat_per_vb(1), sat_per_vb(2));
        assert_eq!(NextBlock::new(None, None), None);
        assert_eq!(NextBlock::new(None, Some(fallback)), Some(NextBlock::Fallback(fallback)));
        assert_eq!(NextBlock::new(Some(estimate), Some(fallback)), Some(NextBlock::Estimated(estimate)));
    }

    #[test]
    fn numbers_without_measure_neither_wrap_nor_panic() {
        let next_block = NextBlock::Estimated(FeeRate::MAX);
        let huge = FeeConditions { relay_minimum: RelayMinimum::of_all(FeeRate::MAX), next_block };
        for shares in [1, 2, u64::MAX] {
            let terms = shared(u64::MAX, shares, u64::MAX);
            assert_eq!(huge.propose(&terms).map(|fee| fee.floor), Ok(Amount::MAX));
            assert_eq!(huge.judge(Amount::MAX, &terms), FeeRuling::Reasonable);
            assert_eq!(huge.judge(sat(0), &terms), too_low(0, u64::MAX));
        }
    }

    /// The case as it was reported, and the same with a node of another version.
    #[test]
    fn inc_33_the_fee_of_a_transaction_that_can_not_be_replaced_has_a_floor() {
        let case: serde_json::Value =
            serde_json::from_str(include_str!("../vectors/fee-floor.json")).unwrap();
        let number = |field: &str| case[field].as_u64().unwrap();
        let small = |field: &str| u32::try_from(number(field)).unwrap();
        let terms = whole(number("vsize"), number("bridge_maximum"));
        let core_29 = conditions(small("relay_minimum_sat_per_vb"), small("estimate_sat_per_vb"));
        // 0.1 and 0.2 sat/vB.
        let core_30 = FeeConditions {
            relay_minimum: RelayMinimum::of_all(FeeRate::from_sat_per_kwu(25)),
            next_block: NextBlock::Estimated(FeeRate::from_sat_per_kwu(50)),
        };
        // What was paid: 1.1 sat/vB, and 0.2.
        for (conditions, paid) in [(core_29, 339), (core_30, 62)] {
            let right = LeaderFee { amount: sat(5 * 308), floor: sat(5 * 308) };
            assert_eq!(conditions.propose(&terms), Ok(right));
            assert_eq!(conditions.judge(right.amount, &terms), FeeRuling::Reasonable);
            assert_eq!(conditions.judge(sat(paid), &terms), under_floor(paid, 5 * 308));
        }
    }

    /// Small and large alike.
    fn rate() -> impl Strategy<Value = FeeRate> {
        let kwu = prop_oneof![0_u64..2_000, 0_u64..100_000, 0_u64..10_000_000];
        kwu.prop_map(FeeRate::from_sat_per_kwu)
    }

    fn any_conditions() -> impl Strategy<Value = FeeConditions> {
        let next_block =
            prop_oneof![rate().prop_map(NextBlock::Estimated), rate().prop_map(NextBlock::Fallback)];
        let relay_minimum = (rate(), rate())
            .prop_map(|(one, other)| RelayMinimum { low: one.min(other), high: one.max(other) });
        (relay_minimum, next_block)
            .prop_map(|(relay_minimum, next_block)| FeeConditions { relay_minimum, next_block })
    }

    fn any_terms() -> impl Strategy<Value = FeeTerms> {
        let max_share = prop_oneof![0_u64..5_000, 0_u64..1_000_000, Just(u64::MAX)];
        (1_u64..10_000, prop_oneof![Just(1), 1_u64..=20], max_share)
            .prop_map(|(vsize, shares, max_share)| shared(vsize, shares, max_share))
    }

    proptest! {
        /// Under the name by which it was seen to fail: a follower's ceiling knew nothing of the leader's floor.
        #[test]
        fn what_a_leader_proposes_a_follower_with_the_same_view_accepts(
            conditions in any_conditions(), terms in any_terms(),
        ) {
            match conditions.propose(&terms) {
                Ok(fee) => {
                    let accepted = match fee.is_capped() {
                        true => FeeRuling::UnderFloor { fee: fee.amount, floor: fee.floor },
                        false => FeeRuling::Reasonable,
                    };
                    prop_assert_eq!(conditions.judge(fee.amount, &terms), accepted);
                    prop_assert!(fee.amount <= terms.maximum());
                    prop_assert_eq!(fee.amount.to_sat() % terms.shares, 0);
                }
                Err(MaximumFeeError { least, maximum }) => prop_assert!(maximum < least),
            }
        }

        /// One more satoshi a share than the floor asks for is one too many; one less is too few.
        #[test]
        fn a_leader_pays_no_more_than_the_floor_asks_for(conditions in any_conditions(), terms in any_terms()) {
            let Ok(fee) = conditions.propose(&terms) else { return Ok(()) };
            let share = Amount::from_sat(terms.shares.get());
            if !fee.is_capped() {
                prop_assert!(fee.amount.checked_sub(share).is_none_or(|less| less < fee.floor));
            }
        }
    }
}
