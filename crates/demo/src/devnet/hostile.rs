//! An operator that lies: in every window it proposes what it may not, or what can't be.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use coxswain_ethereum::{BlockSelector, Endpoints};
use coxswain_network::{AdmissionRule, Channel, Config, Driver, Open};
use coxswain_protocol::{
    SigningGroup, WindowParameters,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, Proposed},
};
use coxswain_rules::{HeartbeatProposal, Proposal, units::Blocks};
use eyre::{OptionExt, Result};

use super::{OPERATORS, Plan};

/// How many messages may wait to be heard, and are not.
const HEARD: usize = 1_000;
/// How often the chain is asked for its newest block.
const POLL: Duration = Duration::from_millis(500);
/// Blocks into a window when it speaks: all listen by then.
const SPEAKS_AFTER: Blocks = Blocks(3);

impl Plan {
    /// Plays this operator: in each window it proposes a heartbeat that is none. It ends with an error, or not at all.
    ///
    /// # Errors
    /// If it can't listen, or the chain doesn't answer.
    pub(super) async fn lie(self, number: u8) -> Result<()> {
        let parameters = WindowParameters::LOCAL;
        let identity = Self::identity(number)?;
        let group = SigningGroup::new(Self::group()?)?;
        let seat = group.first_seat(identity.operator().address()).ok_or_eyre("it holds no seat")?;
        let mut config = Config::new(identity.clone(), SystemTime::now());
        config.listen = vec![format!("127.0.0.1:{}", self.ports.link(number)).parse()?];
        for other in OPERATORS.filter(|other| *other != number) {
            config.peers.push(self.address(other)?.parse()?);
        }
        config.admission = AdmissionRule::Any;
        let (network, driver) = Driver::bind(config).await?;
        let rules = Box::new(Open::new(HEARD, [MESSAGE_TYPE]));
        let key = self.wallet.public_key().0;
        let (sender, _receiver) = network.join(&key, Channel::Coordination, &group, rules);
        let endpoints = Endpoints::new(self.ethereum.parse()?)?;
        let sender_key = identity.operator().compressed();
        let lying = async {
            // Above all that its node has said: that counts from the clock's seconds, too.
            let mut sequence = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
            let mut said = None;
            loop {
                tokio::time::sleep(POLL).await;
                let head =
                    endpoints.block(BlockSelector::Latest).await?.ok_or_eyre("there is no block")?.number;
                let Some(window) = parameters.latest_window(head) else { continue };
                let speaks =
                    (window.block().saturating_add(SPEAKS_AFTER)..window.active_end()).contains(&head);
                if said == Some(window.index()) || !speaks {
                    continue;
                }
                let heartbeat = Proposal::Heartbeat(HeartbeatProposal { message: vec![0x11; 16] });
                let message = CoordinationMessage {
                    seat,
                    coordination_block: window.block(),
                    wallet: self.wallet.key_hash(),
                    proposed: Proposed::Action(Arc::new(heartbeat)),
                };
                let payload = message.encode()?;
                sequence += 1;
                let envelope =
                    Envelope { sender: sender_key, payload: &payload, kind: MESSAGE_TYPE, sequence };
                sender.send(&envelope.encode()?)?;
                said = Some(window.index());
            }
        };
        tokio::select! {
            ended = driver.run(std::future::pending()) => Ok(ended?),
            ended = lying => ended,
        }
    }
}
