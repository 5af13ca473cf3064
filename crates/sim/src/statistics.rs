//! What many windows look like to an operator: who leads, how often a wallet heartbeats, and how often several do at
//! once.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use coxswain_protocol::{Assignment, SigningGroup, Window, WindowParameters};
use coxswain_rules::{Action, KeyHash};

use crate::dice::Dice;

/// What to look at. Wallets share one signing group.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The network's parameters, the heartbeat's probability among them.
    pub network: WindowParameters,
    /// The operators by seat.
    pub group: SigningGroup,
    /// How many wallets.
    pub wallets: u32,
    /// How many windows, from the first on.
    pub windows: u64,
    /// What wallets and block hashes follow from.
    pub seed: u64,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Windows in which each operator led, over all wallets.
    pub led: BTreeMap<Address, u64>,
    /// Windows between a wallet's heartbeat and its next, with how often each number was seen.
    pub intervals: BTreeMap<u64, u64>,
    /// How many windows had this many wallets heartbeat at once, from none to all.
    pub coinciding: Vec<u64>,
}

/// Draws every leader and heartbeat. Calls back after each window.
pub fn observe(setup: &Experiment, mut after: impl FnMut()) -> Statistics {
    let mut dice = Dice::new(setup.seed);
    let wallets: Vec<_> = (0..setup.wallets).map(|_| KeyHash(dice.bytes())).collect();
    let mut led: BTreeMap<_, u64> = setup.group.operators().iter().map(|operator| (*operator, 0)).collect();
    let mut intervals: BTreeMap<_, u64> = BTreeMap::new();
    let mut coinciding = vec![0; wallets.len() + 1];
    let mut last_heartbeat = vec![None; wallets.len()];
    for window in (1..=setup.windows).map_while(|index| Window::numbered(&setup.network, index)) {
        let hash = B256::from(dice.bytes::<32>());
        let mut at_once = 0;
        for (wallet, last) in wallets.iter().zip(&mut last_heartbeat) {
            let assignment = Assignment::new(&setup.network, window, *wallet, &setup.group, hash);
            *led.entry(assignment.leader).or_default() += 1;
            if assignment.checklist.contains(Action::Heartbeat) {
                at_once += 1;
                if let Some(last) = last.replace(window.index()) {
                    *intervals.entry(window.index() - last).or_default() += 1;
                }
            }
        }
        if let Some(windows) = coinciding.get_mut(at_once) {
            *windows += 1;
        }
        after();
    }
    Statistics { led, intervals, coinciding }
}

impl Statistics {
    /// The mean number of windows between two heartbeats of an idle wallet. `None` if none had two. Expected: 1 / p.
    pub fn mean_interval(&self) -> Option<f64> {
        let count: u64 = self.intervals.values().sum();
        let windows: u64 = self.intervals.iter().map(|(interval, count)| interval * count).sum();
        (count > 0).then(|| windows as f64 / count as f64)
    }

    /// The share of windows in which at least this many wallets heartbeat at once.
    pub fn share_with_at_least(&self, wallets: usize) -> f64 {
        let all: u64 = self.coinciding.iter().sum();
        let such: u64 = self.coinciding.iter().skip(wallets).sum();
        if all == 0 { 0.0 } else { such as f64 / all as f64 }
    }

    /// How far the leaders are from being drawn evenly, as Pearson's χ² with one degree of freedom less than there are
    /// operators: about that many are expected by chance.
    pub fn leader_chi_square(&self) -> f64 {
        let drawn: u64 = self.led.values().sum();
        let expected = drawn as f64 / self.led.len() as f64;
        let deviation = |led: &u64| (*led as f64 - expected).powi(2) / expected;
        if drawn == 0 { 0.0 } else { self.led.values().map(deviation).sum() }
    }
}

/// The probability that at least this many of so many wallets heartbeat in the same window, each with probability `p`.
pub fn expected_share_with_at_least(wallets: u32, at_least: u32, p: f64) -> f64 {
    let exactly = |count: u32| {
        let choices = (0..count).map(|at| f64::from(wallets - at) / f64::from(at + 1)).product::<f64>();
        choices * p.powf(f64::from(count)) * (1.0 - p).powf(f64::from(wallets - count))
    };
    (at_least..=wallets).map(exactly).sum()
}

#[cfg(test)]
mod tests {
    use coxswain_protocol::Parameters;

    use super::*;

    fn observed(p: f64) -> Statistics {
        let parameters = Parameters { heartbeat_probability: p, ..Parameters::DEFAULT };
        let network = WindowParameters::try_from(parameters).unwrap();
        let holders = (1..=20).map(Address::with_last_byte).collect();
        let group = SigningGroup::new(holders).unwrap();
        observe(&Experiment { network, group, wallets: 10, windows: 4_000, seed: 1 }, || ())
    }

    #[test]
    fn ten_wallets_at_an_eighth_often_heartbeat_together_and_half_of_p_makes_that_rare() {
        for (p, interval, together) in [(0.125, 8.0, 0.36), (0.0625, 16.0, 0.126)] {
            let statistics = observed(p);
            let mean = statistics.mean_interval().unwrap();
            assert!((mean / interval - 1.0).abs() < 0.05, "a heartbeat every {mean} windows at {p}");
            let expected = expected_share_with_at_least(10, 2, p);
            assert!((expected - together).abs() < 0.01, "{expected} expected at {p}");
            let share = statistics.share_with_at_least(2);
            assert!((share - expected).abs() < 0.03, "{share}, not {expected}, at {p}");
        }
    }

    #[test]
    fn operators_lead_about_equally_often() {
        let statistics = observed(0.125);
        assert_eq!(statistics.led.values().sum::<u64>(), 40_000);
        // 19 degrees of freedom: above 43.8 once in a thousand times.
        assert!(statistics.leader_chi_square() < 43.8, "{}", statistics.leader_chi_square());
    }
}
