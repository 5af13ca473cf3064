//! Which proof comes first, which waits, and whose turn it is if there are several maintainers.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use alloy::primitives::{Address, U256};
use bitcoin::{Txid, hashes::Hash};
use serde::{Deserialize, Serialize};

use crate::Kind;

/// Nearer to its deadline than this, in seconds, nothing waits: 12 hours.
const URGENT: i64 = 12 * 3600;
/// What Bitcoin's blocks take, in seconds.
const BLOCK: i64 = 600;
/// How long each waits for the one before it: a send, and one fee bump.
const TURN: Duration = Duration::from_secs(3 * 60);
/// The first pause of a transaction that can't be proven.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest. It leaves 56 tries in two weeks, the shortest time that anything is provable.
const LONGEST_PAUSE: Duration = Duration::from_secs(360 * 60);

/// By when a transaction must be proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline {
    /// Seconds until the first request that it pays can be reported as timed out, negative if that is over. `None` if it pays
    /// none that is pending.
    pub redemption: Option<i64>,
    /// How many more epochs the relay may learn before it can't be proven any more. `None` if the relay counts none.
    pub epochs_left: Option<u32>,
    /// How many more blocks Bitcoin needs for the relay to learn so many, at least.
    pub blocks_left: Option<u32>,
}

impl Deadline {
    /// Whether it is so near that nothing may come before. A request that timed out already isn't.
    pub(crate) fn is_urgent(&self) -> bool {
        let relay = self.blocks_left.map(|blocks| i64::from(blocks).saturating_mul(BLOCK));
        let redemption = self.redemption.filter(|left| *left > 0);
        relay.into_iter().chain(redemption).any(|left| left < URGENT)
    }

    /// Whether the relay is about to forget its block for good: a redemption that is late costs the wallet, this its funds.
    fn is_nearly_lost(&self) -> bool {
        self.blocks_left.is_some_and(|blocks| i64::from(blocks).saturating_mul(BLOCK) < URGENT)
    }
}

/// What proofs are sorted by: what is about to be lost for good, the redemption nearest its timeout, what the relay forgets
/// first, funds on the move, sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    nearly_lost: Reverse<bool>,
    redemption: (bool, i64),
    epochs_left: (bool, u32),
    kind: u8,
}

impl Order {
    /// That of a proof of this kind.
    pub fn new(kind: Kind, deadline: &Deadline) -> Self {
        // What has none comes after all that have one.
        let redemption = (deadline.redemption.is_none(), deadline.redemption.unwrap_or_default());
        let epochs_left = (deadline.epochs_left.is_none(), deadline.epochs_left.unwrap_or_default());
        let kind = match kind {
            Kind::Redemption => 0,
            Kind::MovingFunds => 1,
            Kind::MovedFundsSweep => 2,
            Kind::DepositSweep { .. } => 3,
        };
        Self { nearly_lost: Reverse(deadline.is_nearly_lost()), redemption, epochs_left, kind }
    }
}

/// Pauses of transactions that could not be proven, each with its own: one that never can keeps none from being tried.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pauses(BTreeMap<Txid, Pause>);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pause {
    length: Duration,
    /// Since any one moment of the caller's.
    until: Duration,
}

impl Pause {
    /// How long it still lasts, if it does. If the clock was set back it has ended, as none is longer than its length.
    fn left(&self, now: Duration) -> Option<Duration> {
        self.until.checked_sub(now).filter(|left| !left.is_zero() && *left <= self.length)
    }
}

impl Pauses {
    /// Whether the transaction is to be left alone at this time.
    pub(crate) fn is_paused(&self, txid: Txid, now: Duration) -> bool {
        self.0.get(&txid).is_some_and(|pause| pause.left(now).is_some())
    }

    /// Sets the transaction aside: for a minute, and for twice as long each time that it fails again, up to 6 hours. Says for
    /// how long.
    pub fn failed(&mut self, txid: Txid, now: Duration) -> Duration {
        let last = self.0.get(&txid).map(|pause| pause.length);
        let length = last.map_or(FIRST_PAUSE, |last| last.saturating_mul(2).min(LONGEST_PAUSE));
        self.0.insert(txid, Pause { length, until: now.saturating_add(length) });
        length
    }

    /// How long until the first of those that last ends. `None` if none lasts.
    pub fn next(&self, now: Duration) -> Option<Duration> {
        self.0.values().filter_map(|pause| pause.left(now)).min()
    }

    /// The longest that one lasts, or has lasted if it is not forgotten. Nothing if there is none.
    pub fn longest(&self) -> Duration {
        self.0.values().map(|pause| pause.length).max().unwrap_or_default()
    }

    /// Forgets the transaction: it is proven, or gone.
    pub fn forget(&mut self, txid: Txid) {
        self.0.remove(&txid);
    }

    /// Forgets all but these, and those that last: what can't be seen for a moment, as when a server fails, is no nearer to being
    /// proven.
    pub fn keep(&mut self, now: Duration, mut wanted: impl FnMut(Txid) -> bool) {
        self.0.retain(|txid, pause| wanted(*txid) || pause.left(now).is_some());
    }
}

/// How long this account waits before it proves the transaction, so that of these maintainers, in the proxy's order, one at a
/// time does. Nothing if it is the first for this transaction, or not among them.
pub fn rank(maintainers: &[Address], account: Address, txid: Txid) -> Duration {
    let Some(place) = maintainers.iter().position(|maintainer| *maintainer == account) else {
        return Duration::ZERO;
    };
    let count = U256::from(maintainers.len());
    let number = U256::from_be_bytes(txid.to_byte_array());
    let rank = U256::from(place).add_mod(number, count);
    TURN.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn order(kind: Kind, redemption: Option<i64>, epochs_left: u32, blocks_left: u32) -> Order {
        let deadline =
            Deadline { redemption, epochs_left: Some(epochs_left), blocks_left: Some(blocks_left) };
        Order::new(kind, &deadline)
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn what_is_nearly_lost_comes_first_then_redemptions_by_timeout_then_epochs_then_kinds() {
        let sweep = Kind::DepositSweep { vault: Address::ZERO };
        let expected = [
            order(sweep, None, 1, 71),
            order(Kind::Redemption, Some(-5), 2, 3_000),
            order(Kind::Redemption, Some(HOUR), 2, 3_000),
            order(Kind::Redemption, Some(2 * HOUR), 1, 72),
            order(Kind::MovingFunds, None, 1, 72),
            order(sweep, None, 1, 72),
            // All of its requests were reported: nothing more to lose by waiting.
            order(Kind::Redemption, None, 2, 3_000),
            order(Kind::MovingFunds, None, 2, 3_000),
            order(Kind::MovedFundsSweep, None, 2, 3_000),
            order(sweep, None, 2, 3_000),
        ];
        assert!(expected.is_sorted(), "{expected:?}");
        let uncounted = Order::new(sweep, &Deadline::default());
        assert!(expected.iter().all(|order| *order < uncounted));
    }

    #[test]
    fn the_last_12_hours_are_urgent() {
        let relay = |blocks| Deadline { blocks_left: Some(blocks), ..Deadline::default() }.is_urgent();
        assert!(relay(71) && !relay(72));
        let redemption = |left| Deadline { redemption: Some(left), ..Deadline::default() }.is_urgent();
        assert!(redemption(12 * HOUR - 1) && !redemption(12 * HOUR));
        assert!(redemption(1) && !redemption(0), "what is late can't be saved");
        assert!(!Deadline::default().is_urgent());
    }

    #[test]
    fn inc_13_pauses_grow_to_six_hours_and_are_each_ones_own() {
        let [bad, good] = [1, 2].map(|byte| Txid::from_byte_array([byte; 32]));
        let (mut pauses, mut now) = (Pauses::default(), minutes(7));
        let mut lengths = Vec::new();
        for _ in 0..11 {
            let length = pauses.failed(bad, now);
            lengths.push(length.as_secs() / 60);
            assert!(pauses.is_paused(bad, now + length - Duration::from_secs(1)));
            assert!(!pauses.is_paused(bad, now + length));
            assert!(!pauses.is_paused(good, now));
            now += length;
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        pauses.forget(bad);
        assert_eq!((pauses.next(now), pauses.longest()), (None, Duration::ZERO));
        assert_eq!(pauses.failed(bad, now), minutes(1));
        assert_eq!((pauses.next(now), pauses.longest()), (Some(minutes(1)), minutes(1)));
        let kept = serde_json::to_string(&pauses).unwrap();
        assert!(serde_json::from_str::<Pauses>(&kept).unwrap().is_paused(bad, now));
        // A clock that was set back makes no pause longer.
        assert!(!pauses.is_paused(bad, now - Duration::from_secs(1)));
        // While it lasts it is kept, though the transaction isn't seen; then it is forgotten.
        pauses.keep(now, |txid| txid == good);
        assert!(pauses.is_paused(bad, now));
        let over = now + minutes(1);
        pauses.keep(over, |txid| txid == bad);
        assert_eq!(pauses.longest(), minutes(1));
        pauses.keep(over, |txid| txid == good);
        assert_eq!(pauses.longest(), Duration::ZERO);
    }

    #[test]
    fn inc_43_maintainers_take_turns_and_each_transaction_begins_with_another() {
        let accounts = [1, 2, 3].map(Address::repeat_byte);
        for byte in 0..12 {
            let txid = Txid::from_byte_array([byte; 32]);
            let mut waits: Vec<_> = accounts.iter().map(|account| rank(&accounts, *account, txid)).collect();
            // 256 is 1 more than a multiple of 3, so that the number is the sum of its bytes, by 3.
            let first = (3 - (u32::from(byte) * 32) % 3) % 3;
            assert_eq!(waits.get(first as usize), Some(&Duration::ZERO), "{byte}");
            waits.sort();
            assert_eq!(waits, [0, 3, 6].map(minutes));
        }
        let txid = Txid::from_byte_array([1; 32]);
        assert_eq!(rank(&accounts, Address::ZERO, txid), Duration::ZERO, "off the list");
        assert_eq!(rank(&accounts[..1], accounts[0], txid), Duration::ZERO, "alone");
        // Internal bytes, big-endian: the last one decides over two.
        let mut bytes = [0; 32];
        bytes[31] = 1;
        let odd = Txid::from_byte_array(bytes);
        assert_eq!(rank(&accounts[..2], accounts[0], odd), minutes(3));
        assert_eq!(rank(&accounts[..2], accounts[1], odd), Duration::ZERO);
    }
}
