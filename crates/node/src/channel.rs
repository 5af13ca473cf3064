//! A wallet's coordination channel. The network relays and delivers the messages that the protocol accepts in the window that runs.
//!
//! `network` knows no windows and `coordination` no peers; here the two ends are joined.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use alloy_primitives::Address;
use bitcoin::{hashes::Hash, secp256k1::PublicKey};
use coxswain_network::{Channel, ChannelRules, ChannelVerdict, Network, Receiver, SendError, Sender, Slot};
use coxswain_protocol::{
    Acceptance, Ignored, MAX_MESSAGES_PER_SENDER, Phase, Received, SigningGroup, Window, WindowParameters,
    wire::OperatorKey,
};
use coxswain_rules::{
    KeyHash,
    units::{BlockNumber, Blocks},
};

/// A wallet's coordination channel. It is left when it is dropped.
pub struct CoordinationChannel {
    network: Network,
    sender: Sender,
    receiver: Receiver,
    group: Arc<SigningGroup>,
    clock: Clock,
}

/// The newest block, shared with the rules that the network asks.
#[derive(Clone)]
struct Clock {
    parameters: WindowParameters,
    head: Arc<AtomicU64>,
}

impl Clock {
    fn head(&self) -> BlockNumber {
        BlockNumber(self.head.load(Ordering::Relaxed))
    }

    /// The window that runs at a block: messages are heard until its end, those of the passive phase as evidence.
    fn window_at(&self, block: BlockNumber) -> Option<Window> {
        self.parameters.latest_window(block).filter(|window| match window.phase(block) {
            Phase::Active | Phase::Passive => true,
            Phase::Before | Phase::Over => false,
        })
    }
}

impl CoordinationChannel {
    /// Joins the channel of the wallet that has this key. It accepts no message before the first block.
    pub fn join(
        network: &Network,
        parameters: WindowParameters,
        wallet: &PublicKey,
        group: Arc<SigningGroup>,
    ) -> Self {
        let clock = Clock { parameters, head: Arc::default() };
        let rules = Rules { wallet: key_hash(wallet), group: group.clone(), clock: clock.clone() };
        let (sender, receiver) = network.join(wallet, Channel::Coordination, &group, Box::new(rules));
        Self { network: network.clone(), sender, receiver, group, clock }
    }

    /// The newest block. At the end of the active phase, and at the window's last block, the first two different proposals
    /// of each operator are offered again: if a leader says one thing to some and another to others, all see both.
    pub fn on_block(&self, block: BlockNumber) {
        let before = self.clock.head.fetch_max(block.0, Ordering::Relaxed);
        let Some(window) = self.clock.window_at(block) else { return };
        let last = window.end().saturating_sub(Blocks(1));
        if [window.active_end(), last].into_iter().any(|at| before < at.0 && at <= block) {
            self.sender.offer_again();
        }
    }

    /// Sends an envelope to all of the wallet's operators, each time in a new message.
    ///
    /// # Errors
    ///
    /// If the envelope is too long, or another reader has joined the channel since.
    pub fn send(&self, envelope: &[u8]) -> Result<(), SendError> {
        self.sender.send(envelope)
    }

    /// Returns the next message of this window and wallet. Operators take turns. `None` if another reader has joined the channel
    /// since.
    pub async fn recv(&mut self) -> Option<Received> {
        loop {
            let heard = self.receiver.recv().await?;
            let received = Received::open(&heard.author, &self.group, &heard.envelope, heard.signed);
            // What can't be opened was not let through, but for what is around it.
            if let Ok(received) = received {
                return Some(received);
            }
        }
    }

    /// The index of the latest window that has begun at this block.
    pub fn window_index(&self, block: BlockNumber) -> Option<u64> {
        self.clock.parameters.latest_window(block).map(|window| window.index())
    }

    /// Since when an operator has been linked without a break. It is linked if it is connected, has said hello, and its stream
    /// to us is open.
    pub fn linked_since(&self, operator: Address) -> Option<Instant> {
        self.network.linked_since(operator)
    }
}

impl fmt::Debug for CoordinationChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinationChannel").field("head", &self.clock.head()).finish_non_exhaustive()
    }
}

/// What the channel accepts: a follower's checks that need no seed.
struct Rules {
    wallet: KeyHash,
    group: Arc<SigningGroup>,
    clock: Clock,
}

impl ChannelRules for Rules {
    fn quota(&self) -> usize {
        MAX_MESSAGES_PER_SENDER
    }

    fn assess(&mut self, author: &OperatorKey, envelope: &[u8]) -> ChannelVerdict {
        let head = self.clock.head();
        let received = match Received::open(author, &self.group, envelope, envelope.into()) {
            Ok(received) => received,
            Err(error) => return dropped(error.acceptance()),
        };
        let Some(window) = self.clock.window_at(head) else {
            let is_early = received.coordination_block().is_some_and(|block| block > head);
            return if is_early {
                ChannelVerdict::Early
            } else {
                dropped(Ignored::NotListening.acceptance())
            };
        };
        match received.check(&self.group, self.wallet, &window) {
            Ok(_) => ChannelVerdict::Accept {
                slot: Slot { period: window.block().0, lane: 0 },
                distinct: received.proposal_id(&self.group).map(Into::into),
            },
            // Others are a block or two ahead of us.
            Err(Ignored::OtherWindow(block)) if block > head => ChannelVerdict::Early,
            Err(ignored) => dropped(ignored.acceptance()),
        }
    }
}

/// What becomes of a message that fails a check which needs no seed.
const fn dropped(acceptance: Acceptance) -> ChannelVerdict {
    match acceptance {
        Acceptance::Reject => ChannelVerdict::Reject,
        // What is of use is told above.
        Acceptance::Ignore | Acceptance::Accept => ChannelVerdict::Ignore,
    }
}

fn key_hash(wallet: &PublicKey) -> KeyHash {
    KeyHash(bitcoin::PublicKey::new(*wallet).pubkey_hash().to_byte_array())
}

#[cfg(test)]
mod tests {
    use coxswain_network::Identity;
    use coxswain_protocol::{
        Seat,
        wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, Proposed},
    };

    use super::*;

    const WALLET: KeyHash = KeyHash([7; 20]);
    /// The second window's first block.
    const WINDOW: BlockNumber = BlockNumber(1800);

    fn identity(number: u8) -> Identity {
        Identity::from_secret([number; 32]).unwrap()
    }

    /// Operator 1 holds seats 1 and 3, operator 2 holds seat 2.
    fn rules(head: BlockNumber) -> Rules {
        let holders = [1, 2, 1].map(|number| identity(number).operator().address());
        let clock = Clock { parameters: WindowParameters::MAINNET, head: Arc::new(head.0.into()) };
        Rules { wallet: WALLET, group: Arc::new(SigningGroup::new(holders.into()).unwrap()), clock }
    }

    /// A no-op of operator 1 through its first seat, with one thing changed.
    fn said(change: impl FnOnce(&mut CoordinationMessage)) -> Vec<u8> {
        let seat = Seat::try_from(1).unwrap();
        let mut message = CoordinationMessage {
            seat,
            coordination_block: WINDOW,
            wallet: WALLET,
            proposed: Proposed::NoOp,
        };
        change(&mut message);
        enveloped(1, &message.encode().unwrap(), MESSAGE_TYPE)
    }

    fn enveloped(author: u8, payload: &[u8], kind: &[u8]) -> Vec<u8> {
        let sender = identity(author).operator().compressed();
        Envelope { sender, payload, kind, sequence: 1 }.encode().unwrap()
    }

    fn assess(head: BlockNumber, author: u8, envelope: &[u8]) -> ChannelVerdict {
        rules(head).assess(identity(author).operator(), envelope)
    }

    fn distinct(envelope: &[u8]) -> Option<[u8; 32]> {
        let verdict = assess(WINDOW, 1, envelope);
        let ChannelVerdict::Accept { slot, distinct } = verdict else { panic!("{verdict:?}") };
        assert_eq!(slot, Slot { period: WINDOW.0, lane: 0 });
        distinct
    }

    fn unknown(payload: u8) -> Proposed {
        Proposed::Unknown { number: 6, payload: [payload].as_slice().into() }
    }

    #[test]
    fn a_message_is_heard_from_its_windows_first_block_to_its_last() {
        let said = said(|_| ());
        let verdicts = [
            WINDOW.saturating_sub(Blocks(1)),
            WINDOW,
            WINDOW.saturating_add(Blocks(99)),
            WINDOW.saturating_add(Blocks(100)),
        ]
        .map(|head| assess(head, 1, &said));
        let [early, first, last, over] = verdicts;
        assert_eq!((early, over), (ChannelVerdict::Early, ChannelVerdict::Ignore));
        assert!(matches!(first, ChannelVerdict::Accept { distinct: Some(_), .. }));
        assert_eq!(first, last);
        assert_eq!(assess(BlockNumber(0), 1, &said), ChannelVerdict::Early, "no block has come yet");
    }

    #[test]
    fn what_fails_a_check_that_needs_no_seed_is_dropped_and_costs_its_author_nothing() {
        let ignored = [
            said(|message| message.coordination_block = BlockNumber(900)),
            said(|message| message.wallet = KeyHash([8; 20])),
            // Another operator's seat, and one that there isn't.
            said(|message| message.seat = Seat::try_from(2).unwrap()),
            said(|message| message.seat = Seat::try_from(4).unwrap()),
            enveloped(1, b"whatever", b"tbtc/other"),
            enveloped(1, b"whatever", MESSAGE_TYPE),
        ];
        for envelope in ignored {
            assert_eq!(assess(WINDOW, 1, &envelope), ChannelVerdict::Ignore);
        }
        assert_eq!(
            assess(WINDOW, 1, &said(|message| message.coordination_block = BlockNumber(2700))),
            ChannelVerdict::Early
        );
        // No honest node passes on what comes from outside of the group.
        assert_eq!(assess(WINDOW, 3, &enveloped(3, b"whatever", MESSAGE_TYPE)), ChannelVerdict::Reject);
    }

    #[test]
    fn inc_49_proposals_are_different_by_what_they_propose() {
        let (noop, one, two) =
            (said(|_| ()), said(|it| it.proposed = unknown(1)), said(|it| it.proposed = unknown(2)));
        let named = [&noop, &one, &two].map(|envelope| distinct(envelope).unwrap());
        assert!(named[0] != named[1] && named[1] != named[2] && named[0] != named[2]);
        // Other bytes, or another number, around the same proposal.
        let padded = [&noop[..], &[0x7a, 0]].concat();
        assert_eq!(distinct(&padded), Some(named[0]));
        // Nobody leads through its second seat, and what can't be read proposes nothing: that hides no proposal.
        assert_eq!(distinct(&said(|it| it.seat = Seat::try_from(3).unwrap())), None);
        let no_proposal = [&[0x08, 1, 0x10, 0x88, 0x0e, 0x1a, 20][..], &WALLET.0].concat();
        assert_eq!(distinct(&enveloped(1, &no_proposal, MESSAGE_TYPE)), None);
    }
}
