//! Questions whose answer is the same for all wallets, each asked once, and the limit on questions at a time.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use coxswain_protocol::{Assurance, SafeHashes, Window};
use coxswain_rules::{KeyHash, units::BlockNumber};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::timeout,
};

use crate::{Advisor, Unread};

/// How long a question keeps its place. One that takes longer is still worked on, but no longer keeps other wallets waiting.
const KEPT: Duration = Duration::from_secs(2);

type Named = Result<(SafeHashes, Assurance), Unread>;

/// An advisor whose answers wallets share.
#[derive(Debug)]
pub(crate) struct Shared<A> {
    pub(crate) advisor: A,
    patience: Duration,
    reading: Mutex<Option<Reading>>,
    places: Semaphore,
}

/// The safe hash of a window, as it was read at one block.
#[derive(Debug)]
struct Reading {
    window: Window,
    head: BlockNumber,
    /// The wallets that have asked for it. If a wallet asks again, the hash is read again.
    asked_by: BTreeSet<KeyHash>,
    answer: Arc<OnceCell<Named>>,
}

impl<A: Advisor> Shared<A> {
    pub(crate) const fn new(advisor: A, places: usize, patience: Duration) -> Self {
        Self { advisor, patience, reading: Mutex::new(None), places: Semaphore::const_new(places) }
    }

    /// Works on a wallet's question once there is a place. The question that has waited longest is next.
    pub(crate) async fn in_turn<T>(&self, work: impl Future<Output = T>) -> T {
        let place = self.places.acquire().await.expect("nobody closes it");
        let mut work = pin!(work);
        if let Ok(done) = timeout(KEPT, &mut work).await {
            return done;
        }
        drop(place);
        work.await
    }

    /// The hash of a window's safe block. Wallets that ask at the same block share one answer, even one that failed; a
    /// wallet that asks a second time gets a new one.
    pub(crate) async fn safe_hash(&self, wallet: KeyHash, window: Window, head: BlockNumber) -> Named {
        let read = async || {
            let answer = timeout(self.patience, self.advisor.safe_hash(window)).await;
            answer.unwrap_or_else(|_| Err(Unread(format!("no answer in {:?}", self.patience))))
        };
        self.reading(wallet, window, head).get_or_init(read).await.clone()
    }

    fn reading(&self, wallet: KeyHash, window: Window, head: BlockNumber) -> Arc<OnceCell<Named>> {
        // The value is whole even if a thread that held it panicked.
        let mut slot = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = slot.as_mut()
            && (reading.window, reading.head) == (window, head)
            && reading.asked_by.insert(wallet)
        {
            return Arc::clone(&reading.answer);
        }
        let new = Reading { window, head, asked_by: BTreeSet::from([wallet]), answer: Arc::default() };
        Arc::clone(&slot.insert(new).answer)
    }
}
