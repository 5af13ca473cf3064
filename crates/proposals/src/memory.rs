//! What a wallet's generations remember from one to the next, so that what a stranger puts on either chain costs bounded
//! work: deposits that Bitcoin doesn't bear out, and deposits long swept.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alloy_primitives::Address;
use coxswain_rules::{OutPoint, Utxo, units::UnixTime};
use serde::{Deserialize, Serialize};

use crate::Why;

/// How long until a deposit that was found wanting is asked about again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(3600);
/// The longest pause. Until then a late one waits at most as long again as it was late.
const LONGEST_PAUSE: Duration = Duration::from_secs(4 * 24 * 3600);
/// How long after it a sweep is final: the deposit isn't read again.
const SWEEP_FINAL: Duration = Duration::from_secs(3600);

/// When a deposit is asked about again of which nothing will change what is wrong.
const NEVER: UnixTime = UnixTime(u64::MAX);
/// When one is asked about again that was not to be: after those that were never asked about.
const ONCE_MORE: UnixTime = UnixTime(1);

/// What one wallet's generations remember. Losing it costs look-ups, nothing else.
///
/// All times are the chain's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    wanting: BTreeMap<OutPoint, Wanting>,
    swept: BTreeSet<OutPoint>,
    /// When each vault's deposits were swept last.
    last_sweeps: BTreeMap<Address, UnixTime>,
    /// The main UTXO found last.
    main_utxo: Option<Utxo>,
}

/// A deposit that Bitcoin did not bear out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wanting {
    why: Why,
    times: u32,
    until: UnixTime,
}

impl Memory {
    /// What the next run goes on with: all but which deposits were swept, on which verdicts rest. That is read anew. And each
    /// deposit is asked about once more, since the next run may be of another version, or ask another contract.
    #[must_use]
    pub fn resumed(mut self) -> Self {
        for wanting in self.wanting.values_mut().filter(|wanting| wanting.until == NEVER) {
            wanting.until = ONCE_MORE;
        }
        Self { swept: BTreeSet::new(), ..self }
    }

    /// Why, and until when, Bitcoin is not to be asked about this deposit. `None` if it is.
    pub fn postponed(&self, deposit: OutPoint, now: UnixTime) -> Option<Why> {
        let wanting = self.wanting.get(&deposit).filter(|wanting| now < wanting.until)?;
        Some(match wanting.until {
            // Nothing will change what is wrong.
            NEVER => wanting.why.clone(),
            until => Why::Postponed { until, last: Box::new(wanting.why.clone()) },
        })
    }

    /// When a deposit that was found wanting is due to be asked about again; 0 for one that wasn't.
    pub(crate) fn due(&self, deposit: OutPoint) -> UnixTime {
        self.wanting.get(&deposit).map_or(UnixTime(0), |wanting| wanting.until)
    }

    /// Remembers a deposit that was found wanting, to be asked about again after a growing pause; never, when what is
    /// wrong with it can't change. A deposit about which nothing is known is not remembered.
    pub(crate) fn found_wanting(&mut self, deposit: OutPoint, why: Why, now: UnixTime) {
        if why.is_open() {
            return;
        }
        let times = self.wanting.get(&deposit).map_or(0, |wanting| wanting.times);
        let pause = FIRST_PAUSE.saturating_mul(1 << times.min(u32::BITS - 1)).min(LONGEST_PAUSE);
        let until = if why.is_final() { NEVER } else { now.saturating_add(pause) };
        self.wanting.insert(deposit, Wanting { why, times: times.saturating_add(1), until });
    }

    /// Forgets all deposits but these, and what was wrong with those of them that are sound now.
    pub(crate) fn retain(&mut self, unswept: &BTreeSet<OutPoint>) {
        self.wanting.retain(|deposit, _| unswept.contains(deposit));
    }

    /// A deposit that is not wanting any more.
    pub(crate) fn found_sound(&mut self, deposit: OutPoint) {
        self.wanting.remove(&deposit);
    }

    /// Whether the deposit was swept so long ago that it needs no reading.
    pub(crate) fn is_swept(&self, deposit: OutPoint) -> bool {
        self.swept.contains(&deposit)
    }

    /// Remembers a sweep.
    pub(crate) fn swept(&mut self, deposit: OutPoint, vault: Address, swept_at: UnixTime, now: UnixTime) {
        let last = self.last_sweeps.entry(vault).or_default();
        *last = swept_at.max(*last);
        if swept_at.saturating_add(SWEEP_FINAL) < now {
            self.swept.insert(deposit);
        }
    }

    /// When deposits of this vault were swept last; 0 for never.
    pub(crate) fn last_sweep(&self, vault: Address) -> UnixTime {
        self.last_sweeps.get(&vault).copied().unwrap_or_default()
    }

    /// The main UTXO found last.
    pub(crate) const fn main_utxo(&self) -> Option<Utxo> {
        self.main_utxo
    }

    pub(crate) fn found_main_utxo(&mut self, utxo: Utxo) {
        self.main_utxo = Some(utxo);
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256};
    use coxswain_bitcoin::BackendError;
    use coxswain_rules::{
        Amount, Cause, Finding, KeyHash, Reason, Rejection, RuleId, Ruling, TransactionError, Txid, Value,
        units::Confirmations,
    };

    use super::*;

    fn outpoint() -> OutPoint {
        use bitcoin::hashes::Hash as _;
        OutPoint::new(Txid::from_byte_array([7; 32]), 0)
    }

    #[test]
    fn inc_10_the_absent_are_asked_about_again_with_growing_pauses() {
        let mut memory = Memory::default();
        let mut now = UnixTime(1_000_000);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            memory.found_wanting(outpoint(), Why::NotFound, now);
            let Some(Why::Postponed { until, .. }) = memory.postponed(outpoint(), now) else {
                panic!("it is postponed")
            };
            assert!(memory.postponed(outpoint(), until.saturating_sub(Duration::from_secs(1))).is_some());
            assert_eq!(memory.postponed(outpoint(), until), None);
            pauses.push(until.saturating_since(now).as_secs() / 3600);
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 96, 96, 96]);
        memory.found_sound(outpoint());
        memory.found_wanting(outpoint(), Why::NotFound, now);
        assert!(
            memory.postponed(outpoint(), now.saturating_add(FIRST_PAUSE)).is_none(),
            "what was sound starts anew"
        );
    }

    #[test]
    fn inc_1_what_can_never_be_swept_is_never_asked_about_again() {
        let mut memory = Memory::default();
        let broken = Ruling::Broken(Reason::FundingOutputScriptMismatch { index: Default::default() });
        let finding =
            Finding { rule: RuleId::Ds11, item: Some(0), outcome: broken, actual: None, bound: None };
        let why = Why::Rule(Box::new(finding));
        memory.found_wanting(outpoint(), why.clone(), UnixTime(1));
        assert_eq!(memory.postponed(outpoint(), UnixTime(u64::MAX - 1)), Some(why));
    }

    #[test]
    fn the_swept_are_not_read_again_once_that_is_final() {
        let mut memory = Memory::default();
        memory.swept(outpoint(), Address::ZERO, UnixTime(1_000), UnixTime(4_600));
        assert!(!memory.is_swept(outpoint()));
        memory.swept(outpoint(), Address::ZERO, UnixTime(1_000), UnixTime(4_601));
        assert!(memory.is_swept(outpoint()));
        assert_eq!(memory.last_sweep(Address::ZERO), UnixTime(1_000));
    }

    #[test]
    fn a_memory_survives_being_stored() {
        let mut memory = Memory::default();
        let outpoint = |vout| OutPoint { vout, ..outpoint() };
        let finding = Finding {
            rule: RuleId::Ds12,
            item: Some(3),
            outcome: Ruling::Holds,
            actual: None,
            bound: Some(Value::Time(U256::from(1_700_000_000))),
        };
        let broken = Reason::FundingTxHashMismatch {
            index: U256::ONE,
            expected: B256::repeat_byte(1),
            actual: B256::repeat_byte(2),
        };
        let text = Rejection { rule: Some(RuleId::Ds8), cause: Cause::Text("too young".to_owned()) };
        let negative = TransactionError::NegativeOutput {
            item: Some(1),
            available: Amount::from_sat(1),
            deducted: Amount::from_sat(2),
        };
        let reasons = [
            Why::Rule(Box::new(Finding { outcome: Ruling::Broken(broken.clone()), ..finding.clone() })),
            Why::Expiring { finding: Box::new(finding), lead: 1_800 },
            Why::Contract(Box::new(Rejection { rule: Some(RuleId::Ds10), cause: Cause::Reason(broken) })),
            Why::Contract(Box::new(text)),
            Why::Transaction(TransactionError::DepositOfOtherWallet { item: 0, wallet: KeyHash([5; 20]) }),
            Why::Transaction(negative),
            Why::NotFound,
            Why::Unconfirmed { confirmations: Confirmations(5), least: Confirmations(6) },
            Why::Spent,
            Why::Unindexed { endpoint: "node:8332".to_owned() },
            Why::TooCostly { gas: 60_000_000, limit: 50_000_000 },
        ];
        for (vout, why) in (0..).zip(reasons) {
            memory.found_wanting(outpoint(vout), why.clone(), UnixTime(1_000));
            memory.found_wanting(outpoint(vout), why, UnixTime(100_000));
        }
        memory.swept(outpoint(100), Address::repeat_byte(1), UnixTime(1_000), UnixTime(100_000));
        memory.found_main_utxo(Utxo { outpoint: outpoint(101), value: Amount::from_sat(7) });

        let stored = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&stored).unwrap(), memory, "{stored}");
        assert!(memory.is_swept(outpoint(100)));
        let resumed = memory.clone().resumed();
        assert!(!resumed.is_swept(outpoint(100)), "a verdict could rest on it");
        let (mut never, mut later) = (0, 0);
        for (deposit, before) in &memory.wanting {
            let is_never = before.until == NEVER;
            *(if is_never { &mut never } else { &mut later }) += 1;
            assert_eq!(resumed.due(*deposit), if is_never { UnixTime(1) } else { before.until });
        }
        assert!(never > 0 && later > 0);
        let wanting = memory.wanting.clone();
        assert_eq!(Memory { swept: memory.swept.clone(), wanting, ..resumed }, memory);
    }

    #[test]
    fn what_is_not_known_is_not_remembered() {
        let mut memory = Memory::default();
        let failed = BackendError::Unreachable { method: "m", endpoint: String::new(), cause: String::new() };
        memory.found_wanting(outpoint(), Why::from(failed), UnixTime(1));
        assert_eq!(memory, Memory::default());
    }
}
