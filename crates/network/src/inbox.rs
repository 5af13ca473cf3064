//! What waits for a channel's reader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coxswain_protocol::wire::OperatorKey;
use tokio::sync::Notify;

use crate::fair_queue::{FairQueue, Limits};

/// How much waits at most.
const LIMITS: Limits = Limits { items: 256, lane_bytes: 4 << 20, bytes: 64 << 20 };

/// A message that was heard: written and signed by one of the wallet's operators, and accepted by the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who wrote and signed it.
    pub author: OperatorKey,
    /// The envelope. It names the author as its sender.
    pub envelope: Arc<[u8]>,
    /// The whole signed message, as evidence.
    pub signed: Arc<[u8]>,
}

/// The messages that wait, fair by author.
pub(crate) struct Inbox {
    queue: Mutex<Waiting>,
    notify: Notify,
}

struct Waiting {
    heard: FairQueue<[u8; 33], Heard>,
    closed: bool,
}

impl Inbox {
    pub(crate) fn new() -> Arc<Self> {
        let waiting = Waiting { heard: FairQueue::new(LIMITS), closed: false };
        Arc::new(Self { queue: Mutex::new(waiting), notify: Notify::new() })
    }

    /// Adds a message; gives back how many were dropped for it.
    pub(crate) fn push(&self, heard: Heard) -> u64 {
        let size = heard.signed.len() + heard.envelope.len();
        let dropped = self.lock().heard.push(heard.author.compressed(), heard, size);
        self.notify.notify_one();
        dropped as u64
    }

    /// Waits for the next message. Returns `None` if the inbox is closed and empty.
    pub(crate) async fn pop(&self) -> Option<Heard> {
        loop {
            let notified = self.notify.notified();
            {
                let mut waiting = self.lock();
                if let Some((_, heard, _)) = waiting.heard.pop() {
                    return Some(heard);
                }
                if waiting.closed {
                    return None;
                }
            }
            notified.await;
        }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.notify.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
