//! Direct streams: what one operator of a wallet has for another alone, and for nobody else to hear or pass on.
//!
//! A [`Session`] is among a few operators, and has a name. Each of them writes to each other over a stream of its own, whose first 32
//! bytes are the session's name; then come frames, each behind its length (4 bytes, big-endian). The connection authenticates and
//! encrypts. Only operators of our wallets may open such a stream, and only those of a session are read. A stream that comes before
//! its session is open waits unread, so that whoever is ahead is held up, and not dropped.
//!
//! What a session may bring in is taken from the node's whole budget when it is opened, so that a frame that is being read has room.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::Address;
use futures_util::task::AtomicWaker;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

/// What all sessions together may bring in, in units of [`UNIT`].
const BUDGET: u32 = 256 << 10;
/// What the budget is counted in.
const UNIT: usize = 1 << 10;
/// Frames that wait for a session's reader. Beyond, nobody is read.
const WAITING: usize = 64;
/// After how long a stream that broke is opened again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Names a session: alike for all who take part, and for no other session ever.
pub type SessionId = [u8; 32];

/// Who takes part in a session, and how much each may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTerms {
    /// Its name.
    pub id: SessionId,
    /// The other operators, and the most bytes that each of them sends, and is sent, all frames together.
    pub peers: BTreeMap<Address, usize>,
    /// The most bytes of a frame.
    pub frame_bytes: usize,
}

/// Why a session isn't opened, or a frame isn't sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// The node was started without.
    #[error("this node has no direct streams")]
    Off,
    /// There is one of this name.
    #[error("the session is open already")]
    Open,
    /// With those that are open it would bring in more than the budget.
    #[error("the session would bring in {0} KiB, which is more than is left")]
    NoRoom(usize),
    /// The operator takes no part in the session.
    #[error("{0} takes no part in the session")]
    Stranger(Address),
    /// It is longer than a frame may be, or all of them together.
    #[error("a frame of {0} bytes is more than the session allows")]
    TooLong(usize),
}

/// A node's sessions, shared by all of its connections.
#[derive(Clone)]
pub(crate) struct Direct {
    state: Arc<Mutex<State>>,
    /// Wakes the behaviour: there is something to be sent.
    pub(crate) waker: Arc<AtomicWaker>,
    /// Tells streams that wait: sessions have come or gone.
    pub(crate) changed: Arc<Notify>,
    budget: Arc<Semaphore>,
}

struct State {
    is_on: bool,
    sessions: BTreeMap<SessionId, Entry>,
}

/// A session that is open.
struct Entry {
    terms: SessionTerms,
    inbox: mpsc::Sender<(Address, Vec<u8>)>,
    /// Who is being read.
    reading: BTreeSet<Address>,
    /// How many bytes have come from whom.
    received: BTreeMap<Address, usize>,
    outgoing: BTreeMap<Address, Arc<Outgoing>>,
}

/// What waits to be sent to an operator in a session.
pub(crate) struct Outgoing {
    pub(crate) session: SessionId,
    pub(crate) to: Address,
    pub(crate) frames: Mutex<VecDeque<Arc<[u8]>>>,
    /// Tells the stream: there is a frame, or the session is over.
    pub(crate) more: Notify,
    pub(crate) is_over: AtomicBool,
    /// Whether a stream writes it, or is being opened, and when that may be tried again.
    claimed: Mutex<(bool, Option<Instant>)>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Direct {
    pub(crate) fn new(is_on: bool) -> Self {
        Self {
            state: Arc::new(Mutex::new(State { is_on, sessions: BTreeMap::new() })),
            waker: Arc::default(),
            changed: Arc::default(),
            budget: Arc::new(Semaphore::new(usize::try_from(BUDGET).unwrap_or(usize::MAX))),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        lock(&self.state).is_on
    }

    /// Opens a session. It is closed when it is dropped.
    pub(crate) fn open(&self, terms: SessionTerms) -> Result<Session, DirectError> {
        let mut state = lock(&self.state);
        if !state.is_on {
            return Err(DirectError::Off);
        }
        if state.sessions.contains_key(&terms.id) {
            return Err(DirectError::Open);
        }
        // The frame that is being read is among these.
        let bytes = terms.peers.values().fold(0_usize, |sum, bytes| sum.saturating_add(*bytes));
        let units = bytes.div_ceil(UNIT);
        let no_room = DirectError::NoRoom(units);
        let wanted = u32::try_from(units).map_err(|_| no_room)?;
        let room = Arc::clone(&self.budget).try_acquire_many_owned(wanted).map_err(|_| no_room)?;
        let (inbox, received) = mpsc::channel(WAITING);
        let outgoing = |to: &Address| {
            let outgoing = Outgoing {
                session: terms.id,
                to: *to,
                frames: Mutex::default(),
                more: Notify::new(),
                is_over: AtomicBool::new(false),
                claimed: Mutex::new((false, None)),
            };
            (*to, Arc::new(outgoing))
        };
        let outgoing: BTreeMap<_, _> = terms.peers.keys().map(outgoing).collect();
        let entry = Entry {
            terms: terms.clone(),
            inbox,
            reading: BTreeSet::new(),
            received: BTreeMap::new(),
            outgoing: outgoing.clone(),
        };
        state.sessions.insert(terms.id, entry);
        drop(state);
        self.changed.notify_waiters();
        let sent = Mutex::default();
        let open = Finished { direct: self.clone(), id: terms.id };
        Ok(Session { open, terms, outgoing, sent, received, _room: room })
    }

    fn close(&self, id: &SessionId) {
        let entry = lock(&self.state).sessions.remove(id);
        for outgoing in entry.iter().flat_map(|entry| entry.outgoing.values()) {
            outgoing.is_over.store(true, Ordering::Relaxed);
            outgoing.more.notify_waiters();
            outgoing.more.notify_one();
        }
        self.changed.notify_waiters();
    }

    /// What waits for somebody to send it, to one of these operators, now. And when to look again, if something waits for its time.
    pub(crate) fn unclaimed(
        &self,
        now: Instant,
        is_connected: impl Fn(&Address) -> bool,
    ) -> (Vec<Claimed>, Option<Instant>) {
        let state = lock(&self.state);
        let (mut ready, mut later) = (Vec::new(), None::<Instant>);
        for outgoing in state.sessions.values().flat_map(|entry| entry.outgoing.values()) {
            if lock(&outgoing.frames).is_empty() || !is_connected(&outgoing.to) {
                continue;
            }
            let mut claimed = lock(&outgoing.claimed);
            match *claimed {
                (true, _) => {}
                (false, Some(at)) if at > now => later = Some(later.map_or(at, |later| later.min(at))),
                (false, _) => {
                    claimed.0 = true;
                    ready.push(Claimed { outgoing: Arc::clone(outgoing), waker: Arc::clone(&self.waker) });
                }
            }
        }
        (ready, later)
    }

    /// Begins to read an operator in a session. `None` if it isn't open, or the operator has no part in it or is read already.
    pub(crate) fn begin_reading(&self, id: &SessionId, from: Address) -> Option<Reading> {
        let mut state = lock(&self.state);
        let entry = state.sessions.get_mut(id)?;
        if !entry.terms.peers.contains_key(&from) || !entry.reading.insert(from) {
            return None;
        }
        let (frame_bytes, inbox) = (entry.terms.frame_bytes, entry.inbox.clone());
        Some(Reading { direct: self.clone(), id: *id, from, frame_bytes, inbox })
    }

    /// Whether a session is open, or may come to be: not one that the operator has no part in.
    pub(crate) fn may_wait(&self, id: &SessionId, from: Address) -> bool {
        let state = lock(&self.state);
        state.sessions.get(id).is_none_or(|entry| entry.terms.peers.contains_key(&from))
    }
}

/// The right to read an operator in a session, which one stream has at a time.
pub(crate) struct Reading {
    direct: Direct,
    id: SessionId,
    from: Address,
    frame_bytes: usize,
    pub(crate) inbox: mpsc::Sender<(Address, Vec<u8>)>,
}

impl Reading {
    /// Whether a frame of this length may come: none that is empty, or longer than one may be, or beyond all that the peer may say.
    pub(crate) fn admits(&self, length: usize) -> bool {
        let state = lock(&self.direct.state);
        let Some(entry) = state.sessions.get(&self.id) else { return false };
        let received = entry.received.get(&self.from).copied().unwrap_or_default();
        let allowed = entry.terms.peers.get(&self.from).copied().unwrap_or_default();
        (1..=self.frame_bytes).contains(&length) && received.saturating_add(length) <= allowed
    }

    /// Counts a frame that has come whole. One that broke off isn't counted: it comes again over the next stream.
    pub(crate) fn count(&self, length: usize) {
        if let Some(entry) = lock(&self.direct.state).sessions.get_mut(&self.id) {
            let received = entry.received.entry(self.from).or_default();
            *received = received.saturating_add(length);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.direct.state).sessions.get_mut(&self.id) {
            entry.reading.remove(&self.from);
        }
        // Another stream of this operator may wait.
        self.direct.changed.notify_waiters();
    }
}

/// The right to write what waits for an operator in a session. It is given back when it is dropped.
pub(crate) struct Claimed {
    pub(crate) outgoing: Arc<Outgoing>,
    waker: Arc<AtomicWaker>,
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claimed({})", self.outgoing.to)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        *lock(&self.outgoing.claimed) = (false, Some(Instant::now() + AGAIN_AFTER));
        self.waker.wake();
    }
}

/// A session that is open, until it is dropped.
pub struct Session {
    open: Finished,
    terms: SessionTerms,
    outgoing: BTreeMap<Address, Arc<Outgoing>>,
    sent: Mutex<BTreeMap<Address, usize>>,
    received: mpsc::Receiver<(Address, Vec<u8>)>,
    _room: OwnedSemaphorePermit,
}

impl Session {
    /// Sends a frame to one of the others, after those before. If the link breaks, it is sent over the next one. It doesn't wait.
    ///
    /// # Errors
    ///
    /// When the operator takes no part, or the frame is longer than the terms allow.
    pub fn send(&self, to: Address, frame: &[u8]) -> Result<(), DirectError> {
        let outgoing = self.outgoing.get(&to).ok_or(DirectError::Stranger(to))?;
        {
            let mut sent = lock(&self.sent);
            let sum = sent.entry(to).or_default();
            let allowed = (1..=self.terms.frame_bytes).contains(&frame.len())
                && sum.saturating_add(frame.len()) <= self.terms.peers.get(&to).copied().unwrap_or_default();
            if !allowed {
                return Err(DirectError::TooLong(frame.len()));
            }
            *sum += frame.len();
        }
        lock(&outgoing.frames).push_back(frame.into());
        outgoing.more.notify_one();
        self.open.direct.waker.wake();
        Ok(())
    }

    /// Ends it as far as it is read, and gives its room back.
    #[must_use]
    pub fn finish(self) -> Finished {
        self.open
    }

    /// The next frame, and which operator sent it. The call may be cancelled without losing one.
    pub async fn recv(&mut self) -> (Address, Vec<u8>) {
        match self.received.recv().await {
            Some(received) => received,
            // The session's entry holds a sender as long as the session stands.
            None => std::future::pending().await,
        }
    }
}

/// A session in which nothing is read any more, which takes no room. What was sent in it still goes out, until it is dropped.
pub struct Finished {
    direct: Direct,
    id: SessionId,
}

impl Drop for Finished {
    fn drop(&mut self) {
        self.direct.close(&self.id);
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Finished").field(&alloy_primitives::hex::encode(self.id)).finish()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("terms", &self.terms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_broke_off_may_come_again_over_the_next_stream() {
        let (direct, from, id) = (Direct::new(true), Address::repeat_byte(2), [1; 32]);
        let terms = SessionTerms { id, peers: [(from, 150)].into(), frame_bytes: 100 };
        let _session = direct.open(terms).unwrap();
        let broken = direct.begin_reading(&id, from).unwrap();
        assert!(broken.admits(100));
        drop(broken);
        let next = direct.begin_reading(&id, from).unwrap();
        assert!(next.admits(100));
        next.count(100);
        assert!(!next.admits(51));
        assert!(next.admits(50));
        next.count(50);
        assert!(!next.admits(1));
        drop(next);
        assert!(!direct.begin_reading(&id, from).unwrap().admits(1), "another stream is no other budget");
    }
}
