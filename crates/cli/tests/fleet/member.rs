//! Operators that the test plays itself, on sockets of its own: what they say, and what they hear.

use std::{collections::BTreeMap, time::SystemTime};

use alloy_primitives::Address;
use coxswain_network::{
    AdmissionRule, Channel, Config, Driver, Heard, Identity, Network, Open, PeerAddress, Receiver, Sender,
};
use coxswain_protocol::{
    Window,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, Proposed},
};
use coxswain_rules::KeyHash;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use super::{Fleet, PATIENCE, identity, key_hash, operator};

/// An operator that the test plays.
pub(crate) struct Member {
    pub(crate) number: u8,
    pub(crate) identity: Identity,
    pub(crate) network: Network,
    channels: BTreeMap<KeyHash, Sender>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Member {
    /// Joins all wallets' channels, and dials these operators. Gives what it hears of each wallet, too.
    pub(crate) async fn join(
        fleet: &Fleet,
        number: u8,
        dialled: &[u8],
        listens: bool,
    ) -> (Self, BTreeMap<KeyHash, Receiver>) {
        let identity = identity(number);
        let mut config = Config::new(identity.clone(), SystemTime::now());
        let port = if listens { fleet.port(number) } else { 0 };
        config.listen = vec![format!("127.0.0.1:{port}").parse().unwrap()];
        config.peers =
            dialled.iter().map(|other| fleet.address(*other).parse::<PeerAddress>().unwrap()).collect();
        config.admission = AdmissionRule::Any;
        config.direct = fleet.plan.threshold.is_some();
        let (network, driver) = Driver::bind(config).await.unwrap();
        let (mut channels, mut receivers) = (BTreeMap::new(), BTreeMap::new());
        for wallet in &fleet.wallets {
            let rules = Box::new(Open::new(100_000, [MESSAGE_TYPE]));
            let (sender, receiver) = network.join(wallet, Channel::Coordination, &fleet.group(), rules);
            channels.insert(key_hash(wallet), sender);
            receivers.insert(key_hash(wallet), receiver);
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            driver.run(async { drop(stopped.await) }).await.unwrap();
        });
        (Self { number, identity, network, channels, stop: Some(stop), task }, receivers)
    }

    /// Waits until it is linked to these operators.
    pub(crate) async fn linked(&self, numbers: &[u8]) {
        let wanted: Vec<_> = numbers.iter().map(|number| operator(*number)).collect();
        let all = self.network.until(|status| {
            let linked = |operator| {
                status.peers.iter().any(|peer| peer.operator == operator && peer.linked_since.is_some())
            };
            wanted.iter().copied().all(linked)
        });
        assert!(timeout(PATIENCE, all).await.is_ok(), "{:?}", self.network.status());
    }

    /// An envelope of what it proposes in a window, through its seat.
    pub(crate) fn envelope(
        &self,
        fleet: &Fleet,
        wallet: KeyHash,
        window: Window,
        proposed: Proposed,
        sequence: u64,
    ) -> Vec<u8> {
        let seat = fleet.group().first_seat(operator(self.number)).unwrap();
        let message = CoordinationMessage { seat, coordination_block: window.block(), wallet, proposed };
        envelope(self.number, &message.encode().unwrap(), sequence)
    }

    /// Sends an envelope, in a new message.
    pub(crate) fn say(&self, wallet: KeyHash, envelope: &[u8]) {
        self.channels[&wallet].send(envelope).unwrap();
    }

    pub(crate) async fn leave(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }
}

/// An operator's envelope around a payload.
pub(crate) fn envelope(number: u8, payload: &[u8], sequence: u64) -> Vec<u8> {
    let sender = identity(number).operator().compressed();
    Envelope { sender, payload, kind: MESSAGE_TYPE, sequence }.encode().unwrap()
}

/// What a heard envelope says, and who says it.
pub(crate) fn read(heard: &Heard) -> (Address, CoordinationMessage) {
    let envelope = Envelope::decode(&heard.envelope).unwrap();
    (heard.author.address(), CoordinationMessage::decode(envelope.payload).unwrap())
}
