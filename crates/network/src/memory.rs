//! A network in memory: the same channels and the same router, with nothing between the nodes.

use std::{collections::BTreeSet, future::poll_fn, sync::Arc, task::Poll};

use futures_util::task::AtomicWaker;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    core::Network,
    direct::Direct,
    frame::FrameReader,
    identity::Identity,
    router::{LinkId, Router},
};

/// Makes nodes, and links between them.
#[derive(Debug)]
pub struct Hub;

impl Hub {
    /// A node of this key. `seqno` is the number of its first message.
    pub fn node(identity: Identity, seqno: u64) -> Network {
        Network::new(Router::new(Arc::new(identity), seqno, BTreeSet::new()), Direct::new(false))
    }

    /// Links two nodes until the link is dropped. To be called within a tokio runtime.
    pub fn link(left: &Network, right: &Network) -> Link {
        let now = Instant::now().into_std();
        let (left_key, right_key) = (*left.lock().operator(), *right.lock().operator());
        let (to_right, left_waker) = left.lock().link_up(right_key, None, now);
        let (to_left, right_waker) = right.lock().link_up(left_key, None, now);
        let left = End { network: left.clone(), link: to_right, waker: left_waker };
        let right = End { network: right.clone(), link: to_left, waker: right_waker };
        let pumps = [(left.clone(), right.clone()), (right.clone(), left.clone())];
        Link { ends: [left, right], pumps: pumps.map(|(from, to)| tokio::spawn(pump(from, to))) }
    }
}

#[derive(Clone)]
struct End {
    network: Network,
    link: LinkId,
    waker: Arc<AtomicWaker>,
}

/// A link between two nodes, cut when dropped.
pub struct Link {
    ends: [End; 2],
    pumps: [JoinHandle<()>; 2],
}

impl Drop for Link {
    fn drop(&mut self) {
        let now = Instant::now().into_std();
        self.pumps.iter().for_each(JoinHandle::abort);
        self.ends.iter().for_each(|end| end.network.lock().link_down(end.link, now));
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

/// Carries frames one way.
async fn pump(from: End, to: End) {
    let now = || Instant::now().into_std();
    let mut reader = FrameReader::default();
    let mut open = false;
    loop {
        let frames = poll_fn(|cx| {
            from.waker.register(cx.waker());
            if !from.network.lock().writes(from.link) {
                if std::mem::take(&mut open) {
                    to.network.lock().stream_closed(to.link, now());
                }
                return Poll::Pending;
            }
            if !std::mem::replace(&mut open, true) {
                to.network.lock().stream_opened(to.link, now());
                from.network.lock().writing(from.link);
            }
            let mut router = from.network.lock();
            let frames: Vec<_> = std::iter::from_fn(|| router.next_frame(from.link)).take(64).collect();
            if frames.is_empty() { Poll::Pending } else { Poll::Ready(frames) }
        })
        .await;
        for outgoing in frames {
            let mut bytes = &outgoing.bytes[..];
            while let Ok(Some(frame)) = reader.take(&mut bytes) {
                to.network.frame(to.link, &frame, now());
            }
        }
        tokio::task::yield_now().await;
    }
}
