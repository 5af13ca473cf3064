//! Decides what can't be proven by what servers say. Pure.

use std::collections::BTreeMap;

use bitcoin::{BlockHash, FeeRate, block::Header};
use coxswain_rules::{Assurance, Assured, RelayMinimum};

use crate::{BackendError, FeeRates, Fees};

/// A rate over this many sat/vB is no answer.
const MOST_RATE: FeeRate = FeeRate::from_sat_per_vb_u32(10_000);
/// The estimates of enough servers are apart by no more than this factor,
const ESTIMATE_FACTOR: u64 = 4;
/// and this much on top.
const ESTIMATE_ALLOWANCE: FeeRate = FeeRate::from_sat_per_vb_u32(16);
/// The relay minima of enough servers are apart by no more than this factor.
const RELAY_FACTOR: u64 = 2;

/// How many servers are enough, and whether what they say is then more than one's word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Enough {
    pub(super) required: usize,
}

impl Enough {
    /// How far what this many servers say is to be believed: more than one says the same, or one alone.
    pub(super) const fn assurance(self) -> Assurance {
        if self.required > 1 { Assurance::Agreed } else { Assurance::Word }
    }

    pub(super) const fn is_met_by(self, servers: usize) -> bool {
        servers >= self.required
    }

    /// What enough servers say; `None` if there is nothing that enough say.
    pub(super) fn say(self, yes: usize, no: usize) -> Option<Assured<bool>> {
        let assurance = self.assurance();
        match (self.is_met_by(yes), self.is_met_by(no)) {
            (true, false) => Some(Assured { fact: true, assurance }),
            (false, true) => Some(Assured { fact: false, assurance }),
            // If one is enough, both can be.
            (true, true) | (false, false) => None,
        }
    }

    /// The headers that enough of these chains have, from their first on: to where they part, or too few go on.
    pub(super) fn headers(self, mut lists: Vec<Vec<Header>>) -> Vec<Header> {
        let mut agreed: Vec<Header> = Vec::new();
        loop {
            let place = agreed.len();
            let mut named = BTreeMap::<BlockHash, (Header, usize)>::new();
            for header in lists.iter().filter_map(|list| list.get(place)) {
                named.entry(header.block_hash()).or_insert((*header, 0)).1 += 1;
            }
            let mut enough = named.into_values().filter(|(_, count)| self.is_met_by(*count));
            // If one is enough, and two are named, none is.
            let (Some((next, _)), None) = (enough.next(), enough.next()) else { return agreed };
            // What is on another header counts no more.
            lists.retain(|list| list.get(place) == Some(&next));
            agreed.push(next);
        }
    }

    /// The answers that enough give no less than, and no more than: the lower of the two, and the higher. `None` if there are
    /// too few.
    fn between<T: Ord + Copy>(self, answers: &mut [T]) -> Option<(T, T)> {
        answers.sort_unstable();
        let index = self.required.checked_sub(1)?;
        let (from_below, from_above) = (answers.get(index)?, answers.iter().rev().nth(index)?);
        Some((*from_below.min(from_above), *from_below.max(from_above)))
    }

    /// What fees are held against, by what each server says.
    pub(super) fn fees(self, said: &[(&str, FeeRates)]) -> Result<Assured<Fees>, BackendError> {
        let usable = |rate: &FeeRate| *rate <= MOST_RATE;
        let mut minima: Vec<_> = said.iter().map(|(_, rates)| rates.relay_minimum).filter(usable).collect();
        let apart = |what: &str, rate: &dyn Fn(&FeeRates) -> String| BackendError::Contradiction {
            what: what.to_owned(),
            said: said.iter().map(|(name, rates)| format!("{name} says {}", rate(rates))).collect(),
        };
        let minimum = |rates: &FeeRates| shown(rates.relay_minimum);
        let (low, high) = self
            .between(&mut minima)
            .ok_or_else(|| apart("too few servers tell a relay minimum to go by", &minimum))?;
        if high.to_sat_per_kwu() > low.to_sat_per_kwu().saturating_mul(RELAY_FACTOR) {
            return Err(apart("the servers' relay minima are too far apart", &minimum));
        }

        let estimate =
            |rates: &FeeRates| rates.next_block.map_or_else(|| "that it can't tell".to_owned(), shown);
        let silent = said.iter().filter(|(_, rates)| rates.next_block.is_none()).count();
        let mut estimates: Vec<_> =
            said.iter().filter_map(|(_, rates)| rates.next_block).filter(usable).collect();
        let next_block = match self.between(&mut estimates) {
            Some((low, high)) => {
                let most = low.to_sat_per_kwu().saturating_mul(ESTIMATE_FACTOR);
                if high.to_sat_per_kwu() > most.saturating_add(ESTIMATE_ALLOWANCE.to_sat_per_kwu()) {
                    return Err(apart("the servers' estimates of fees are too far apart", &estimate));
                }
                Some(high)
            }
            None if self.is_met_by(silent) => None,
            None => return Err(apart("too few servers tell an estimate of fees to go by", &estimate)),
        };
        let fees = Fees { relay_minimum: RelayMinimum { low, high }, next_block };
        Ok(Assured { fact: fees, assurance: self.assurance() })
    }
}

/// Whose rates are as far from those that count as no two of enough may be, and what they are.
pub(super) fn outliers<'a>(said: &[(&'a str, FeeRates)], fees: &Fees) -> Vec<(&'a str, String)> {
    let is_far = |rate: FeeRate, low: FeeRate, high: FeeRate, factor: u64, more: FeeRate| {
        let [rate, low, high] = [rate, low, high].map(FeeRate::to_sat_per_kwu);
        let over = |most: u64| most.saturating_mul(factor).saturating_add(more.to_sat_per_kwu());
        rate > over(high) || low > over(rate)
    };
    let of = |(name, rates): &(&'a str, FeeRates)| {
        let RelayMinimum { low, high } = fees.relay_minimum;
        let relay = rates.relay_minimum;
        if is_far(relay, low, high, RELAY_FACTOR, FeeRate::ZERO) {
            return Some((*name, format!("it says that {} is the least that relays", shown(relay))));
        }
        let (estimate, counted) = rates.next_block.zip(fees.next_block)?;
        is_far(estimate, counted, counted, ESTIMATE_FACTOR, ESTIMATE_ALLOWANCE)
            .then(|| (*name, format!("it says that {} is a fee for the next block", shown(estimate))))
    };
    said.iter().filter_map(of).collect()
}

fn shown(rate: FeeRate) -> String {
    format!("{} sat/kwu", rate.to_sat_per_kwu())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Enough = Enough { required: 1 };
    const TWO: Enough = Enough { required: 2 };

    const fn rate(sat_per_vb: u32) -> FeeRate {
        FeeRate::from_sat_per_vb_u32(sat_per_vb)
    }

    fn said(rates: &[(u32, Option<u32>)]) -> Vec<(&'static str, FeeRates)> {
        let rates = rates.iter().map(|(relay, estimate)| FeeRates {
            relay_minimum: rate(*relay),
            next_block: estimate.map(rate),
        });
        rates.map(|rates| ("s", rates)).collect()
    }

    fn relay(enough: Enough, minima: &[u32]) -> Option<(u32, u32)> {
        let rates: Vec<_> = minima.iter().map(|relay| (*relay, None)).collect();
        let fees = enough.fees(&said(&rates)).ok()?.fact.relay_minimum;
        let whole = |rate: FeeRate| u32::try_from(rate.to_sat_per_vb_ceil()).unwrap();
        Some((whole(fees.low), whole(fees.high)))
    }

    fn estimate(enough: Enough, estimates: &[Option<u32>]) -> Option<Option<u64>> {
        let rates: Vec<_> = estimates.iter().map(|estimate| (1, *estimate)).collect();
        let fees = enough.fees(&said(&rates)).ok()?.fact;
        Some(fees.next_block.map(FeeRate::to_sat_per_vb_ceil))
    }

    /// Headers that differ by what is asked.
    fn headers(nonces: &[u32]) -> Vec<Header> {
        let genesis = bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest).header;
        nonces.iter().map(|nonce| Header { nonce: *nonce, ..genesis }).collect()
    }

    #[test]
    fn inc_47_headers_without_work_are_those_that_enough_name_to_where_they_part() {
        let agreed = |enough: Enough, lists: &[&[u32]]| -> Vec<u32> {
            let lists = lists.iter().map(|list| headers(list)).collect();
            enough.headers(lists).iter().map(|header| header.nonce).collect()
        };
        assert_eq!(agreed(ONE, &[&[1, 2, 3]]), [1, 2, 3]);
        // One liar of three neither changes a header nor adds any.
        assert_eq!(agreed(TWO, &[&[9, 8, 7, 6], &[1, 2, 3], &[1, 2, 3]]), [1, 2, 3]);
        assert_eq!(agreed(TWO, &[&[1, 2, 3, 4, 5], &[1, 2, 3], &[1, 2]]), [1, 2, 3]);
        assert_eq!(agreed(TWO, &[&[1, 2, 4], &[1, 2, 3]]), [1, 2]);
        // What stands on another header counts for nothing.
        assert_eq!(agreed(TWO, &[&[9, 2, 3], &[1, 2, 3], &[1, 2, 4]]), [1, 2]);
        assert!(agreed(ONE, &[&[1], &[2]]).is_empty());
    }

    #[test]
    fn inc_47_of_three_no_one_moves_the_relay_minimum() {
        assert_eq!(relay(TWO, &[3, 3, 10_000]), Some((3, 3)));
        assert_eq!(relay(TWO, &[0, 3, 3]), Some((3, 3)));
        assert_eq!(relay(TWO, &[3, 4, 1]), Some((3, 3)), "the one in the middle");
        // With one that doesn't answer, between the other two.
        assert_eq!(relay(TWO, &[3, 5]), Some((3, 5)));
        assert_eq!(relay(TWO, &[3, 6]), Some((3, 6)));
        assert_eq!(relay(TWO, &[3, 7]), None, "more than twice");
        assert_eq!(relay(TWO, &[3]), None, "too few");
        assert_eq!(relay(TWO, &[3, 10_001]), None, "no answer");
        assert_eq!(relay(TWO, &[10_000, 10_000]), Some((10_000, 10_000)));
        assert_eq!(relay(ONE, &[3]), Some((3, 3)));
    }

    #[test]
    fn inc_47_of_three_no_one_moves_the_estimate() {
        let three = |liar| estimate(TWO, &[Some(10), Some(12), liar]);
        assert_eq!(three(Some(10_000)), Some(Some(12)));
        assert_eq!(three(Some(10_001)), Some(Some(12)), "no answer");
        assert_eq!(three(Some(1)), Some(Some(10)));
        assert_eq!(three(None), Some(Some(12)), "the higher of the two");
        assert_eq!(estimate(TWO, &[Some(10), Some(56)]), Some(Some(56)));
        assert_eq!(estimate(TWO, &[Some(10), Some(57)]), None, "over 4 × 10 + 16");
        assert_eq!(estimate(TWO, &[None, None, Some(9)]), Some(None));
        assert_eq!(estimate(TWO, &[None, Some(9)]), None);
        assert_eq!(estimate(ONE, &[Some(9)]), Some(Some(9)));
        assert_eq!(estimate(ONE, &[None]), Some(None));
        assert_eq!(estimate(ONE, &[Some(10_001)]), None);
    }

    #[test]
    fn what_enough_say_is_agreed_and_of_one_its_word() {
        let fact = |fact, assurance| Some(Assured { fact, assurance });
        assert_eq!(TWO.say(2, 1), fact(true, Assurance::Agreed));
        assert_eq!(TWO.say(1, 2), fact(false, Assurance::Agreed));
        assert_eq!((TWO.say(1, 1), TWO.say(1, 0)), (None, None));
        assert_eq!(
            (ONE.say(1, 0), ONE.say(0, 1)),
            (fact(true, Assurance::Word), fact(false, Assurance::Word))
        );
        assert_eq!(TWO.fees(&said(&[(1, None), (1, None)])).unwrap().assurance, Assurance::Agreed);
        assert_eq!(ONE.fees(&said(&[(1, None)])).unwrap().assurance, Assurance::Word);
    }

    #[test]
    fn inc_47_whose_rates_are_far_from_those_that_count_is_named() {
        let named = |rates: &[(u32, Option<u32>)]| {
            let mut said = said(rates);
            said.iter_mut().zip(["a", "b", "c"]).for_each(|((name, _), other)| *name = other);
            let fees = TWO.fees(&said).unwrap().fact;
            outliers(&said, &fees).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(named(&[(3, Some(10)), (3, Some(12)), (3, Some(10))]), [""; 0]);
        assert_eq!(named(&[(3, None), (3, None), (7, None)]), ["c"]);
        assert_eq!(named(&[(1, None), (3, None), (3, None)]), ["a"]);
        assert_eq!(named(&[(3, None), (3, None), (6, None)]), [""; 0]);
        assert_eq!(named(&[(3, Some(10)), (3, Some(10_000)), (3, Some(12))]), ["b"]);
        assert_eq!(named(&[(3, Some(100)), (3, Some(1)), (3, Some(100))]), ["b"]);
    }

    #[test]
    fn who_says_what_is_named() {
        let rates = |relay| FeeRates { relay_minimum: rate(relay), next_block: None };
        let error = TWO.fees(&[("a:1", rates(1)), ("b:2", rates(9))]).unwrap_err();
        assert!(error.to_string().contains("a:1 says 250 sat/kwu, b:2 says 2250"), "{error}");
    }
}
