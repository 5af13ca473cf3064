//! A wallet's channel as coordination asks for it: with the links to its operators, as they change.

use std::{collections::BTreeMap, time::Instant};

use alloy_primitives::Address;
use coxswain_coordination::{Channel, Link};
use coxswain_network::SendError;
use coxswain_protocol::Received;
use coxswain_service::point;

use crate::channel::CoordinationChannel;

/// A wallet's channel, and who was linked at the last block.
#[derive(Debug)]
pub struct WalletChannel {
    channel: CoordinationChannel,
    others: Vec<Address>,
    linked: BTreeMap<Address, Instant>,
}

impl WalletChannel {
    /// The channel among us and these others.
    pub const fn new(channel: CoordinationChannel, others: Vec<Address>) -> Self {
        Self { channel, others, linked: BTreeMap::new() }
    }
}

impl Channel for WalletChannel {
    type Error = SendError;

    async fn recv(&mut self) -> Option<Received> {
        self.channel.recv().await
    }

    fn send(&mut self, envelope: &[u8]) -> Result<(), SendError> {
        point("send/before");
        let sent = self.channel.send(envelope);
        point("send/after");
        sent
    }

    fn on_block(&mut self, block: u64) -> Vec<Link> {
        self.channel.on_block(block);
        let channel = &self.channel;
        changes(&self.others, &mut self.linked, |operator| channel.linked_since(operator))
    }
}

/// What has changed since the last look. A link that stands since another time has been broken in between.
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
