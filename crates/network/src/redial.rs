//! When a configured peer is dialled again.

use std::time::{Duration, Instant};

use crate::address::PeerAddress;

/// The pause after the first attempt, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause before jitter. With jitter it is 50 s, so that a peer that returns is heard within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(40);

/// The configured peers.
#[derive(Debug)]
pub(crate) struct Redial {
    peers: Vec<Configured>,
}

#[derive(Debug)]
struct Configured {
    address: PeerAddress,
    attempts: u32,
    next: Instant,
}

impl Redial {
    /// All are due now.
    pub(crate) fn new(peers: impl IntoIterator<Item = PeerAddress>, now: Instant) -> Self {
        let configured = |address| Configured { address, attempts: 0, next: now };
        Self { peers: peers.into_iter().map(configured).collect() }
    }

    /// Returns the peers to dial now. A connection counts as up only when it is linked: one that is closed at once, as refusals
    /// are, backs off. `jitter` gives numbers up to 255.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        is_linked: impl Fn(&PeerAddress) -> bool,
        mut jitter: impl FnMut() -> u8,
    ) -> Vec<PeerAddress> {
        let mut due = Vec::new();
        for peer in &mut self.peers {
            if is_linked(&peer.address) {
                (peer.attempts, peer.next) = (0, now);
            } else if now >= peer.next {
                let pause = FIRST_PAUSE.saturating_mul(1 << peer.attempts.min(3)).min(LONGEST_PAUSE);
                // From three quarters of it to five.
                let quarters = pause / 4;
                peer.next = now + pause - quarters + quarters * 2 * u32::from(jitter()) / 255;
                peer.attempts += 1;
                due.push(peer.address.clone());
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "/ip4/10.0.0.1/tcp/3919/p2p/16Uiu2HAmHzBkRq62mG95vsjKMuYQBezZCtjPXYWUoyVxMxi71aB3";

    #[test]
    fn pauses_double_up_to_a_bound_under_a_minute() {
        let start = Instant::now();
        for (jitter, pauses) in
            [(0, [3750, 7500, 15_000, 30_000, 30_000]), (255, [6250, 12_500, 25_000, 50_000, 50_000])]
        {
            let mut redial = Redial::new([PEER.parse().unwrap()], start);
            let mut now = start;
            for pause in pauses {
                assert_eq!(redial.due(now, |_| false, || jitter).len(), 1);
                now += Duration::from_millis(pause);
                assert!(redial.due(now - Duration::from_millis(1), |_| false, || jitter).is_empty());
            }
        }
    }

    #[test]
    fn who_is_linked_is_not_dialled_and_at_once_when_lost() {
        let now = Instant::now();
        let mut redial = Redial::new([PEER.parse().unwrap()], now);
        for second in 0..5 {
            redial.due(now + Duration::from_secs(second * 60), |_| false, || 0);
        }
        let later = now + Duration::from_secs(600);
        assert!(redial.due(later, |_| true, || 0).is_empty());
        assert_eq!(redial.due(later, |_| false, || 0).len(), 1);
        assert!(redial.due(later + Duration::from_millis(3749), |_| false, || 0).is_empty());
        assert_eq!(redial.due(later + Duration::from_millis(3750), |_| false, || 0).len(), 1);
    }
}
