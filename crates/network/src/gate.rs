//! Limits how many handshakes run at once, in all and for each address, so that a thousand silent connections keep no peer out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

/// Addresses whose rate is remembered.
const MAX_SOURCES: usize = 4096;
/// Addresses of known peers that are remembered.
const MAX_KNOWN: usize = 1024;

/// The bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Handshakes of those who dialled us, at a time.
    pub handshakes: usize,
    /// Of these, places kept for addresses of configured and known peers.
    pub reserved: usize,
    /// Handshakes at a time from one address (IPv6: one /64).
    pub per_address: usize,
    /// Handshakes a minute from one address.
    pub per_minute: u32,
    /// How long a handshake may take, all of it.
    pub timeout: Duration,
    /// Connections, own ones included. Beyond, they are cut down to `trimmed_to`.
    pub connections: usize,
    /// Connections that are left after that.
    pub trimmed_to: usize,
    /// Connections to one peer. Beyond, its oldest is closed.
    pub per_peer: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            handshakes: 200,
            reserved: 64,
            per_address: 8,
            per_minute: 30,
            timeout: Duration::from_secs(10),
            connections: 900,
            trimmed_to: 600,
            per_peer: 8,
        }
    }
}

/// What counts as one address: an IPv6 network of /64 is one customer.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The handshakes under way.
#[derive(Debug)]
pub(crate) struct Gate {
    bounds: Bounds,
    next: u64,
    under_way: BTreeMap<u64, UnderWay>,
    rates: BTreeMap<IpAddr, Rate>,
    known: BTreeSet<IpAddr>,
    known_order: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct UnderWay {
    source: IpAddr,
    known: bool,
    /// Dropped to give the handshake up.
    _keep: oneshot::Sender<()>,
}

/// Handshakes that an address may still begin, and when the last one came back.
#[derive(Clone, Copy, Debug)]
struct Rate {
    left: u32,
    since: Instant,
}

/// A handshake that may go on until the gate gives it up: then the receiver errs.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) given_up: oneshot::Receiver<()>,
    /// Another one was given up for it.
    pub(crate) evicted: bool,
}

impl Gate {
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            next: 0,
            under_way: BTreeMap::new(),
            rates: BTreeMap::new(),
            known: BTreeSet::new(),
            known_order: VecDeque::new(),
        }
    }

    pub(crate) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Notes an address of a configured or known peer.
    pub(crate) fn know(&mut self, ip: IpAddr) {
        let source = source(ip);
        if !self.known.insert(source) {
            return;
        }
        self.known_order.push_back(source);
        if self.known_order.len() > MAX_KNOWN
            && let Some(oldest) = self.known_order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Lets a handshake begin, or doesn't.
    pub(crate) fn enter(&mut self, ip: IpAddr, now: Instant) -> Option<Entry> {
        let source = source(ip);
        let known = self.known.contains(&source);
        let mut evicted = false;
        if !known {
            if self.from(source) >= self.bounds.per_address || !self.spend(source, now) {
                return None;
            }
            let strangers = self.under_way.values().filter(|one| !one.known).count();
            if strangers >= self.bounds.handshakes.saturating_sub(self.bounds.reserved) {
                evicted = self.evict(false, source)?;
            }
        }
        if self.under_way.len() >= self.bounds.handshakes {
            let strangers = self.under_way.values().any(|one| !one.known);
            evicted = self.evict(!strangers, source)?;
        }
        let (keep, given_up) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        self.under_way.insert(id, UnderWay { source, known, _keep: keep });
        Some(Entry { id, given_up, evicted })
    }

    /// A handshake has ended, one way or the other.
    pub(crate) fn leave(&mut self, id: u64) {
        self.under_way.remove(&id);
    }

    fn from(&self, source: IpAddr) -> usize {
        self.under_way.values().filter(|one| one.source == source).count()
    }

    /// Gives up the newest of the fullest address among known ones or strangers. None: that is the one that comes.
    fn evict(&mut self, known: bool, coming: IpAddr) -> Option<bool> {
        let mut counts: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
        for (id, one) in self.under_way.iter().filter(|(_, one)| one.known == known) {
            let (count, newest) = counts.entry(one.source).or_default();
            (*count, *newest) = (*count + 1, *id);
        }
        let comings = counts.get(&coming).map_or(0, |(count, _)| *count) + 1;
        let (fullest, newest) = counts.into_values().max()?;
        if self.known.contains(&coming) == known && comings >= fullest {
            return None;
        }
        self.under_way.remove(&newest);
        Some(true)
    }

    /// Takes one of the handshakes that an address may begin.
    fn spend(&mut self, source: IpAddr, now: Instant) -> bool {
        let most = self.bounds.per_minute;
        let every = Duration::from_secs(60) / most.max(1);
        if self.rates.len() >= MAX_SOURCES && !self.rates.contains_key(&source) {
            self.rates.retain(|_, rate| now.saturating_duration_since(rate.since) < Duration::from_secs(60));
            if self.rates.len() >= MAX_SOURCES {
                let oldest = self.rates.iter().min_by_key(|(_, rate)| rate.since).map(|(source, _)| *source);
                oldest.and_then(|oldest| self.rates.remove(&oldest));
            }
        }
        let rate = self.rates.entry(source).or_insert(Rate { left: most, since: now });
        let elapsed = now.saturating_duration_since(rate.since);
        let back = u32::try_from(elapsed.as_nanos() / every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if back > 0 {
            rate.left = rate.left.saturating_add(back).min(most);
            rate.since = now;
        }
        if rate.left == 0 {
            return false;
        }
        rate.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn gate() -> (Gate, Instant) {
        (Gate::new(Bounds::default()), Instant::now())
    }

    #[test]
    fn an_address_has_8_handshakes_at_a_time() {
        let (mut gate, now) = gate();
        let entries: Vec<_> = (0..8).map(|_| gate.enter(ip(1), now).unwrap()).collect();
        assert!(gate.enter(ip(1), now).is_none());
        assert!(gate.enter(ip(2), now).is_some());
        gate.leave(entries[0].id);
        assert!(gate.enter(ip(1), now).is_some());
    }

    #[test]
    fn an_address_begins_30_handshakes_a_minute() {
        let (mut gate, now) = gate();
        let mut begin = |ip, now| {
            let entry = gate.enter(ip, now);
            entry.map(|entry| gate.leave(entry.id)).is_some()
        };
        assert_eq!((0..40).filter(|_| begin(ip(1), now)).count(), 30);
        assert!(!begin(ip(1), now + Duration::from_millis(1999)));
        assert!(begin(ip(1), now + Duration::from_secs(2)));
        assert!(!begin(ip(1), now + Duration::from_secs(2)));
        assert_eq!((0..40).filter(|_| begin(ip(1), now + Duration::from_secs(62))).count(), 30);
    }

    #[test]
    fn a_64_of_ipv6_is_one_address() {
        let (mut gate, now) = gate();
        let ip = |text: &str| text.parse().unwrap();
        let entries: Vec<_> =
            (0..8).map(|host| gate.enter(ip(&format!("2a01:4f8:1:2::{host}")), now).unwrap()).collect();
        assert!(gate.enter(ip("2a01:4f8:1:2:ffff::1"), now).is_none());
        assert!(gate.enter(ip("2a01:4f8:1:3::1"), now).is_some());
        assert!(gate.enter(ip("::ffff:1.2.3.4"), now).is_some());
        assert!(gate.enter(ip("::ffff:1.2.3.5"), now).is_some());
        drop(entries);
    }

    #[test]
    fn inc_44_strangers_leave_64_places_to_known_addresses() {
        let (mut gate, now) = gate();
        gate.know(ip(9999));
        let strangers: Vec<_> = (0..1000).filter_map(|number| gate.enter(ip(number), now)).collect();
        assert_eq!(strangers.len(), 136);
        // Those of known addresses aren't bounded by address, only in all.
        let known: Vec<_> = (0..64).map(|_| gate.enter(ip(9999), now).unwrap()).collect();
        assert_eq!(gate.under_way.len(), 200);
        // When all is full, the newest of the fullest address of strangers goes.
        let entry = gate.enter(ip(9999), now).unwrap();
        assert!(entry.evicted);
        assert_eq!((gate.under_way.len(), known.len()), (200, 64));
    }

    #[test]
    fn inc_44_the_newest_of_the_fullest_address_goes() {
        let (mut gate, now) = gate();
        // 17 addresses with 8 handshakes each: 136.
        let mut full: Vec<Vec<Entry>> =
            (0..17).map(|number| (0..8).map(|_| gate.enter(ip(number), now).unwrap()).collect()).collect();
        let mut newest = full[16].pop().unwrap();
        let honest = gate.enter(ip(100), now).unwrap();
        assert!(honest.evicted);
        assert!(newest.given_up.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        for entry in full.iter_mut().flatten().chain([&mut { honest }]) {
            assert_eq!(entry.given_up.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        }
    }

    #[test]
    fn where_all_addresses_have_one_the_newcomer_is_turned_away() {
        let (mut gate, now) = gate();
        let entries: Vec<_> = (0..136).map(|number| gate.enter(ip(number), now).unwrap()).collect();
        assert!(gate.enter(ip(1000), now).is_none());
        gate.leave(entries[0].id);
        assert!(gate.enter(ip(1000), now).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut gate, now) = gate();
        for number in 0..10_000 {
            gate.know(ip(number));
            let entry = gate.enter(ip(number + 1_000_000), now).unwrap();
            gate.leave(entry.id);
        }
        assert_eq!((gate.known.len(), gate.known_order.len()), (MAX_KNOWN, MAX_KNOWN));
        assert!(gate.rates.len() <= MAX_SOURCES);
    }
}
