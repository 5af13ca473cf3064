//! The gas fees that a transaction offers, and that its replacement must offer.

/// The tip to offer if the node suggests none, in wei: a gwei.
const USUAL_TIP: u128 = 1_000_000_000;

/// The current gas prices, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market {
    /// The newest block's base fee.
    pub base_fee: u128,
    /// The tip that the node suggests. `None` if it suggests none.
    pub tip: Option<u128>,
}

/// The fees that a transaction offers for a unit of gas, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Over the base fee.
    pub tip: u128,
    /// In all.
    pub max: u128,
}

impl Fees {
    /// What to offer now: twice the base fee and the tip, at most this much.
    pub fn of(market: Market, cap: u128) -> Self {
        // Some pools take no transaction without a tip.
        let tip = market.tip.unwrap_or(USUAL_TIP).max(1);
        let max = market.base_fee.saturating_mul(2).saturating_add(tip).min(cap);
        Self { tip: tip.min(max), max }
    }

    /// What a replacement offers: a tip of a fifth more, and in all an eighth more at least, as pools want a tenth. `None` if
    /// that is over the cap, and no pool would take it.
    #[must_use]
    pub fn raised(self, market: Market, cap: u128) -> Option<Self> {
        let now = Self::of(market, cap);
        let tip = self.tip.saturating_add(self.tip.div_ceil(5)).max(now.tip);
        let wanted = market.base_fee.saturating_mul(2).saturating_add(tip);
        let max = self.max.saturating_add(self.max.div_ceil(8)).max(wanted).min(cap);
        // As geth's default pool counts: a tenth more of both.
        let enough = |old: u128, new: u128| new > old && new >= old.saturating_add(old.div_ceil(10));
        let raised = Self { tip: tip.min(max), max };
        (enough(self.max, raised.max) && enough(self.tip, raised.tip)).then_some(raised)
    }
}
