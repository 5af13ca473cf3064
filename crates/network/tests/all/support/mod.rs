//! What the tests of whole nodes share.

#![allow(dead_code, reason = "each test uses a part")]

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use alloy_primitives::Address;
use bitcoin::secp256k1::PublicKey;
use coxswain_network::{
    AdmissionRule, Channel, Config, Dialer, DriveError, Driver, Heard, Identity, Network, Open, PeerAddress,
    Receiver, Sender, Status,
};
use coxswain_protocol::{
    SigningGroup,
    wire::{Envelope, MESSAGE_TYPE},
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

/// A wallet's key, which no test signs with.
pub(crate) fn wallet() -> PublicKey {
    "0471e30bca60f6548d7b42582a478ea37ada63b402af7b3ddd57f0c95bb6843175aa0d2053a91a050a6797d85c38f2909cb7027f2344a01986aa2f9f8ca7a0c289"
        .parse()
        .unwrap()
}

pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32]).unwrap()
}

/// The group of operators 1 to `seats`.
pub(crate) fn group(seats: u8) -> SigningGroup {
    let holders: Vec<Address> = (1..=seats).map(|number| identity(number).operator().address()).collect();
    SigningGroup::new(holders).unwrap()
}

/// An operator's envelope around a payload.
pub(crate) fn envelope(operator: &Identity, payload: &[u8], sequence: u64) -> Vec<u8> {
    let sender = operator.operator().compressed();
    Envelope { sender, payload, kind: MESSAGE_TYPE, sequence }.encode().unwrap()
}

/// A node that has joined the wallet's channel.
pub(crate) struct Node {
    pub(crate) identity: Identity,
    pub(crate) network: Network,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    running: Option<Running>,
}

struct Running {
    address: SocketAddr,
    dialer: Dialer,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), DriveError>>,
}

/// A configuration for loopback that lets everybody in.
pub(crate) fn config(number: u8) -> Config {
    let mut config = Config::new(identity(number), SystemTime::now());
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.admission = AdmissionRule::Any;
    config
}

impl Node {
    /// Joins the wallet's channel over a network.
    pub(crate) fn join(identity: Identity, network: Network, seats: u8, quota: usize) -> Self {
        let rules = Box::new(Open::new(quota, [MESSAGE_TYPE]));
        let (sender, receiver) = network.join(&wallet(), Channel::Coordination, &group(seats), rules);
        Self { identity, network, sender, receiver, running: None }
    }

    /// A node on sockets.
    pub(crate) async fn start(config: Config, seats: u8) -> Self {
        Self::start_with(config, seats, 64).await
    }

    pub(crate) async fn start_with(config: Config, seats: u8, quota: usize) -> Self {
        let identity = config.identity.clone();
        let (network, driver) = Driver::bind(config).await.unwrap();
        let mut node = Self::join(identity, network, seats, quota);
        let address = driver.listening().next().unwrap();
        let dialer = driver.dialer();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(driver.run(async {
            let _ = stopped.await;
        }));
        node.running = Some(Running { address, dialer, stop, task });
        node
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    /// What others are to dial.
    pub(crate) fn address(&self) -> PeerAddress {
        let socket = self.socket();
        format!("/ip4/{}/tcp/{}/ipfs/{}", socket.ip(), socket.port(), self.identity.peer_id())
            .parse()
            .unwrap()
    }

    pub(crate) async fn stop(mut self) {
        let running = self.running.take().unwrap();
        let _ = running.stop.send(());
        running.task.await.unwrap().unwrap();
    }

    pub(crate) fn say(&self, payload: &[u8], sequence: u64) {
        self.sender.send(&envelope(&self.identity, payload, sequence)).unwrap();
    }

    /// Dials another node once, also if it is connected.
    pub(crate) async fn dial(&self, other: &Self) {
        self.running.as_ref().unwrap().dialer.dial(other.address()).await.unwrap();
    }

    /// What is heard within this time.
    pub(crate) async fn hear(&mut self, wait: Duration) -> Option<Heard> {
        timeout(wait, self.receiver.recv()).await.ok().flatten()
    }

    /// Waits until the status is as it should be.
    pub(crate) async fn until(&self, what: &str, holds: impl FnMut(&Status) -> bool) {
        let wait = timeout(Duration::from_secs(60), self.network.until(holds)).await;
        wait.unwrap_or_else(|_| panic!("{what}: {:?}", self.network.status()));
    }

    /// Waits until the operator is linked.
    pub(crate) async fn linked(&self, number: u8) {
        let operator = identity(number).operator().address();
        self.until(&format!("{number} is linked"), |status| {
            status.peers.iter().any(|peer| peer.operator == operator && peer.linked_since.is_some())
        })
        .await;
    }
}
