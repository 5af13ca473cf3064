//! A wallet's channel in the shape that `coordination` needs, with the changes of the links to its operators.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use alloy_primitives::Address;
use coxswain_coordination::{Channel, Link};
use coxswain_network::SendError;
use coxswain_protocol::Received;
use coxswain_rules::{KeyHash, units::BlockNumber};
use coxswain_service::point;
use tokio::sync::mpsc;

use crate::{channel::CoordinationChannel, inquiry::HeardIn};

/// A wallet's channel, and the operators that were linked at the last block.
#[derive(Debug)]
pub struct WalletChannel {
    channel: CoordinationChannel,
    others: Vec<Address>,
    linked: BTreeMap<Address, Instant>,
    heard: Option<HeardIn>,
    tell: Option<(KeyHash, mpsc::Sender<(KeyHash, HeardIn)>)>,
    #[cfg(all(unix, feature = "threshold"))]
    keep: Option<crate::threshold::Keeping>,
}

impl WalletChannel {
    /// The channel among us and these others.
    pub const fn new(channel: CoordinationChannel, others: Vec<Address>) -> Self {
        Self {
            channel,
            others,
            linked: BTreeMap::new(),
            heard: None,
            tell: None,
            #[cfg(all(unix, feature = "threshold"))]
            keep: None,
        }
    }

    /// Tells after each window who was heard in it. If nobody takes that in time, it is not told.
    #[must_use]
    pub fn telling(self, wallet: KeyHash, to: mpsc::Sender<(KeyHash, HeardIn)>) -> Self {
        Self { tell: Some((wallet, to)), ..self }
    }

    /// Keeps what leaders say, which signing must show.
    #[cfg(all(unix, feature = "threshold"))]
    #[must_use]
    pub(crate) fn keeping(self, keep: crate::threshold::Keeping) -> Self {
        Self { keep: Some(keep), ..self }
    }

    /// Begins with the window that runs at this block, and tells of the one before.
    fn turn(&mut self, window: u64) {
        let before = match &self.heard {
            Some(heard) if heard.window == window => return,
            before => before.clone(),
        };
        if let (Some(before), Some((wallet, to))) = (before, &self.tell) {
            // It says who was silent; nothing depends on it.
            let _ = to.try_send((*wallet, before));
        }
        self.heard = Some(HeardIn { window, operators: BTreeSet::new() });
    }
}

impl Channel for WalletChannel {
    type Error = SendError;

    async fn recv(&mut self) -> Option<Received> {
        let received = self.channel.recv().await;
        if let (Some(received), Some(heard)) = (&received, &mut self.heard) {
            heard.operators.insert(received.author());
        }
        #[cfg(all(unix, feature = "threshold"))]
        if let (Some(received), Some(keep)) = (&received, &self.keep) {
            keep.hear(received);
        }
        received
    }

    fn send(&mut self, envelope: &[u8]) -> Result<(), SendError> {
        point("send/before");
        #[cfg(all(unix, feature = "threshold"))]
        if let Some(keep) = &self.keep {
            keep.say(envelope);
        }
        let sent = self.channel.send(envelope);
        point("send/after");
        sent
    }

    fn on_block(&mut self, block: BlockNumber) -> Vec<Link> {
        self.channel.on_block(block);
        if let Some(window) = self.channel.window_index(block) {
            self.turn(window);
        }
        let channel = &self.channel;
        let changes = changes(&self.others, &mut self.linked, |operator| channel.linked_since(operator));
        if let Some(heard) = &mut self.heard {
            heard.operators.extend(self.linked.keys());
        }
        changes
    }
}

/// Returns the links that changed since the last call. If a link stands since another time, it was broken in between.
fn changes(
    others: &[Address],
    linked: &mut BTreeMap<Address, Instant>,
    since: impl Fn(Address) -> Option<Instant>,
) -> Vec<Link> {
    let mut changes = Vec::new();
    for operator in others {
        let now = since(*operator);
        let before = linked.get(operator).copied();
        if now == before {
            continue;
        }
        if before.is_some() {
            linked.remove(operator);
            changes.push(Link::Down(*operator));
        }
        if let Some(now) = now {
            linked.insert(*operator, now);
            changes.push(Link::Up(*operator));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_link_that_broke_between_two_blocks_is_down_and_up() {
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (early, late) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut linked = BTreeMap::new();
        let mut look = |first: Option<Instant>, second: Option<Instant>| {
            changes(&[one, two], &mut linked, |operator| if operator == one { first } else { second })
        };
        assert_eq!(look(Some(early), None), [Link::Up(one)]);
        assert_eq!(look(Some(early), None), []);
        assert_eq!(look(Some(late), Some(late)), [Link::Down(one), Link::Up(one), Link::Up(two)]);
        assert_eq!(look(Some(late), None), [Link::Down(two)]);
    }
}
