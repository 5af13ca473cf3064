//! `coxswain simulate`: what many windows look like, for the probability of a heartbeat that RFC 12 suggests and for
//! half of it.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::Address;
use coxswain_protocol::{Parameters, SigningGroup, WindowParameters};
use coxswain_sim::statistics::{Experiment, Statistics, expected_share_with_at_least, observe};
use serde::{Serialize, Serializer};

use crate::{arguments::SimulateArguments, report::Report};

/// RFC 12's suggestion, and what it was lowered to.
const PROBABILITIES: [f64; 2] = [0.125, 0.0625];
/// The longest bar, in characters.
const BAR: f64 = 40.0;
/// Wallets that heartbeat at once, from which on it is a crowd.
const CROWD: u32 = 2;
/// Intervals shown one by one, in windows; the longer ones in one row.
const INTERVALS: u64 = 24;

/// What was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulateReport {
    windows: u64,
    wallets: u32,
    operators: u8,
    seed: u64,
    runs: Vec<(f64, Statistics)>,
}

/// Draws the windows, with each probability on the same wallets and block hashes.
///
/// Tells the share that is done, from 0 to 1, again and again.
pub fn simulate(arguments: &SimulateArguments, mut tell: impl FnMut(f64)) -> SimulateReport {
    let &SimulateArguments { windows, wallets, operators, seed, .. } = arguments;
    let all = windows as f64 * PROBABILITIES.len() as f64;
    let mut done = 0.0;
    let runs = PROBABILITIES.map(|p| {
        let parameters = Parameters { heartbeat_probability: p, ..Parameters::DEFAULT };
        let holders = (1..=operators).map(Address::with_last_byte).collect();
        let setup = Experiment {
            network: WindowParameters::try_from(parameters)
                .expect("only a probability differs from the default"),
            group: SigningGroup::new(holders).expect("the command line allows 1 to 255 operators"),
            wallets,
            windows,
            seed,
        };
        let after = || {
            done += 1.0;
            tell(done / all);
        };
        (p, observe(&setup, after))
    });
    SimulateReport { windows, wallets, operators, seed, runs: runs.into() }
}

impl Report for SimulateReport {}

impl Serialize for SimulateReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            windows: u64,
            wallets: u32,
            operators: u8,
            seed: u64,
            runs: Vec<RunFields<'a>>,
        }
        let &Self { windows, wallets, operators, seed, ref runs } = self;
        let runs = runs.iter().map(|(p, statistics)| RunFields::new(wallets, *p, statistics)).collect();
        Fields { windows, wallets, operators, seed, runs }.serialize(serializer)
    }
}

/// What was drawn with one probability of a heartbeat.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunFields<'a> {
    heartbeat_probability: f64,
    mean_interval: Option<f64>,
    expected_mean_interval: f64,
    intervals: &'a BTreeMap<u64, u64>,
    windows_by_heartbeats_at_once: &'a [u64],
    share_with_several_at_once: f64,
    expected_share_with_several_at_once: f64,
    windows_led: Vec<u64>,
    leader_chi_square: f64,
}

impl<'a> RunFields<'a> {
    fn new(wallets: u32, p: f64, statistics: &'a Statistics) -> Self {
        Self {
            heartbeat_probability: p,
            mean_interval: statistics.mean_interval(),
            expected_mean_interval: 1.0 / p,
            intervals: &statistics.intervals,
            windows_by_heartbeats_at_once: &statistics.coinciding,
            share_with_several_at_once: statistics.share_with_at_least(CROWD as usize),
            expected_share_with_several_at_once: expected_share_with_at_least(wallets, CROWD, p),
            windows_led: statistics.led.values().copied().collect(),
            leader_chi_square: statistics.leader_chi_square(),
        }
    }
}

/// A bar of this share of the longest.
fn bar(share: f64) -> String {
    let length = (share.clamp(0.0, 1.0) * BAR).round();
    std::iter::successors(Some(1.0), |at| Some(at + 1.0))
        .take_while(|at| *at <= length)
        .map(|_| '█')
        .collect()
}

fn percent(count: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { 100.0 * count as f64 / of as f64 }
}

impl fmt::Display for SimulateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { windows, wallets, operators, seed, runs } = self;
        writeln!(f, "{windows} windows, {wallets} wallets, {operators} operators, seed {seed}")?;

        if let Some((_, statistics)) = runs.first() {
            let drawn: u64 = statistics.led.values().sum();
            let most = statistics.led.values().copied().max().unwrap_or_default();
            writeln!(f, "\nHow often each operator led ({:.2} % expected)", 100.0 / f64::from(*operators))?;
            for (number, led) in (1..).zip(statistics.led.values()) {
                let share = percent(*led, most) / 100.0;
                writeln!(f, "  operator {number:>3}  {:>6.2} %  {}", percent(*led, drawn), bar(share))?;
            }
            let freedom = u64::from(*operators).saturating_sub(1);
            writeln!(f, "  χ² {:.1}, about {freedom} expected by chance", statistics.leader_chi_square())?;
        }

        for (p, statistics) in runs {
            writeln!(f, "\nHeartbeats with probability {p}")?;
            match statistics.mean_interval() {
                Some(mean) => {
                    writeln!(
                        f,
                        "  an idle wallet heartbeats every {mean:.2} windows; 1/p is {:.2}",
                        1.0 / p
                    )?;
                }
                None => writeln!(f, "  no wallet had two heartbeats; 1/p is {:.2}", 1.0 / p)?,
            }
            writeln!(f, "  windows from one heartbeat to the next")?;
            let counted: u64 = statistics.intervals.values().sum();
            let shown = |interval| statistics.intervals.get(&interval).copied().unwrap_or_default();
            let longer: u64 = statistics.intervals.range(INTERVALS + 1..).map(|(_, count)| count).sum();
            let longest = (1..=INTERVALS).map(shown).chain([longer]).max().unwrap_or_default();
            for interval in 1..=INTERVALS {
                let count = shown(interval);
                let share = percent(count, longest) / 100.0;
                writeln!(f, "    {interval:>6}  {:>6.2} %  {}", percent(count, counted), bar(share))?;
            }
            let share = percent(longer, longest) / 100.0;
            writeln!(f, "    longer  {:>6.2} %  {}", percent(longer, counted), bar(share))?;
            writeln!(f, "  wallets that heartbeat in the same window")?;
            for (count, windows_) in
                (0_u64..).zip(&statistics.coinciding).take_while(|(count, _)| *count <= 10)
            {
                let share = percent(*windows_, *windows);
                writeln!(f, "    {count:>6}  {share:>6.2} %  {}", bar(share / 100.0))?;
            }
            writeln!(
                f,
                "  several at once: {:.1} % of the windows, {:.1} % expected",
                100.0 * statistics.share_with_at_least(CROWD as usize),
                100.0 * expected_share_with_at_least(*wallets, CROWD, *p)
            )?;
        }

        if let [(high, before), (low, after)] = runs.as_slice() {
            let several = |statistics: &Statistics| 100.0 * statistics.share_with_at_least(CROWD as usize);
            let (several_before, several_after) = (several(before), several(after));
            write!(
                f,
                "\nLowering the probability from {high} to {low} took windows with several heartbeats at once from \
                 {several_before:.1} % to {several_after:.1} %."
            )?;
        }
        Ok(())
    }
}
