//! Wallets and their signing groups: stated in the configuration, or read from the chain, and kept once read: a group never changes.
//!
//! A wallet is dropped only once it is final that it is gone: the Bridge's state so many blocks back says so, as enough servers say or
//! prove. It is asked for each wallet in each window until it is answered, so that nothing hangs on an event that is seen twice or
//! not at all (INC-26, INC-39).

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::Address;
use bitcoin::{hashes::Hash as _, secp256k1::PublicKey};
use coxswain_ethereum::{
    BlockSelector, Chain, ChainError, Endpoints, GroupError, Groups, HashedHeader, Panel, SnapshotKeys,
    SnapshotReader, WalletGroup, heads::Standing,
};
use coxswain_rules::{
    Assurance, KeyHash, WalletState,
    units::{BlockNumber, Blocks},
};
use coxswain_service::{
    journal::{AppendError, Fact, FactKey, Journal},
    status::{Condition, Health},
    tasks::{Failure, Stop},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use crate::{clock::now, configuration::WalletSettings, error::StartError, standing::next_head};

/// How long to wait before a doubtful answer is asked for again at the start.
pub(crate) const RETRY: Duration = Duration::from_secs(3);
/// A group that was read from the chain.
const GROUP: &str = "group";
/// How deep it must be that a wallet is gone.
const FINAL: Blocks = Blocks(32);
/// So often the servers may contradict each other about a wallet. Then the others don't wait for it any more.
const CONTRADICTIONS: u32 = 3;
/// Each wallet whose group can't be told.
const UNTOLD: &str = "wallet_group";
/// Each wallet that is gone.
const GONE: &str = "wallet_gone";

/// A wallet, and who holds its seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Its key, in hex.
    key: String,
    /// The operator of each seat, seat 1 first.
    pub(crate) operators: Vec<Address>,
    /// Their ids in the sortition pool, if they are known.
    pub(crate) member_ids: Vec<u32>,
}

impl Group {
    /// The wallet's key.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        self.key.parse().ok()
    }
}

/// The key's hash, by which the Bridge knows the wallet.
pub(crate) fn key_hash(key: PublicKey) -> KeyHash {
    KeyHash(bitcoin::PublicKey::new(key).pubkey_hash().to_byte_array())
}

/// Reads groups, where they are not stated.
#[derive(Debug)]
pub(crate) struct GroupReader<'a> {
    pub(crate) chain: Chain,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) bridge: Address,
    /// The wallet registry, and from which block on it has events.
    pub(crate) registry: Option<(Address, BlockNumber)>,
    pub(crate) journal: &'a Journal,
    pub(crate) health: &'a Health,
}

impl GroupReader<'_> {
    /// The wallet's group: as it is stated, as the journal has it, or as the chain says, which is asked until it answers. `None` if the
    /// wallet is gone, and its group was never read; or if what is told of it doesn't fit together, again and again: then the status
    /// names it, and the other wallets go on (INC-38).
    pub(crate) async fn group(
        &self,
        stated: &WalletSettings,
    ) -> Result<Option<(PublicKey, Group)>, StartError> {
        let wallet = match (stated.public_key, stated.key_hash) {
            (Some(key), named) => {
                let wallet = key_hash(key);
                if named.is_some_and(|named| named != wallet) {
                    return Err(StartError::OtherHash(wallet));
                }
                if !stated.operators.is_empty() {
                    let operators = stated.operators.clone();
                    let member_ids = stated.member_ids.clone();
                    return Ok(Some((key, Group { key: key.to_string(), operators, member_ids })));
                }
                wallet
            }
            (None, Some(wallet)) => wallet,
            (None, None) => return Err(StartError::NoWallet),
        };
        let fact = FactKey { topic: GROUP, owner: wallet.0, name: String::new() };
        let kept = self.journal.reader().fact(&fact)?.and_then(Result::ok);
        let kept = kept.and_then(|body| serde_json::from_str::<Group>(&body).ok());
        // What the journal says is held against what the wallet is.
        let kept = kept.and_then(|group| Some((group.public_key()?, group)));
        if let Some((key, group)) = kept.filter(|(key, _)| key_hash(*key) == wallet) {
            return Ok(Some((key, group)));
        }
        let Some((registry, from)) = self.registry else { return Err(StartError::NoRegistry(wallet)) };
        let mut contradictions = 0;
        loop {
            let (read, is_word) = match self.chain.named(self.endpoints, BlockSelector::Latest).await {
                Ok((panel, named)) => {
                    let groups =
                        Groups::new(panel.clone(), self.endpoints.clone(), self.bridge, registry, from);
                    // Of several servers only one has an answer.
                    let is_word = named.named_by < 2 && named.of > 1;
                    (final_group(&panel, &groups, wallet, &named.header).await, is_word)
                }
                Err(error) => (Err(error.into()), true),
            };
            match read {
                // On a doubtful answer nothing is dropped.
                Err(error @ (GroupError::NoWallet(_) | GroupError::Gone(_))) if is_word => {
                    warn!(%wallet, %error, "waiting for a second server to say so");
                    sleep(RETRY).await;
                }
                Ok(read) => {
                    let group = Group {
                        key: read.key.to_string(),
                        operators: read.operators,
                        member_ids: read.members,
                    };
                    // Then the next start asks again, rather than believe it for good.
                    if !is_word {
                        self.keep(fact, &group).await.map_err(StartError::Record)?;
                    }
                    info!(%wallet, seats = group.operators.len(), "the wallet's group is read from the chain");
                    return Ok(Some((read.key, group)));
                }
                Err(GroupError::NoWallet(wallet)) => return Err(StartError::UnknownWallet(wallet)),
                Err(GroupError::Gone(wallet)) => {
                    tell_gone(self.health, wallet);
                    return Ok(None);
                }
                Err(contradiction @ GroupError::Contradiction { .. })
                    if contradictions + 1 == CONTRADICTIONS =>
                {
                    let says = format!("the wallet is not coordinated: {contradiction}");
                    let remedy =
                        "state its operators in the configuration, or name other servers, and start again";
                    let condition = Condition::failed(says, remedy);
                    self.health.set_of(UNTOLD, wallet.to_string(), now(), condition);
                    return Ok(None);
                }
                Err(doubtful) => {
                    contradictions += u32::from(matches!(doubtful, GroupError::Contradiction { .. }));
                    warn!(%wallet, %doubtful, "waiting for the wallet's group");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn keep(&self, key: FactKey, group: &Group) -> Result<(), AppendError> {
        let body = serde_json::to_string(group);
        let body = body.map_err(|error| AppendError::Unwritable(std::sync::Arc::new(error)))?;
        self.journal.fact(Fact { key, body, replaces: true }).await
    }
}

/// The wallet's group. That it is gone counts only once that is final.
async fn final_group(
    panel: &Panel,
    groups: &Groups,
    wallet: KeyHash,
    head: &HashedHeader,
) -> Result<WalletGroup, GroupError> {
    match (groups.of(wallet, head).await, head.number().checked_sub(FINAL)) {
        (Err(GroupError::Gone(_)), Some(number)) => {
            Ok(groups.of(wallet, &panel.ancestor(head, number).await?.fact).await?.fact)
        }
        (read, _) => Ok(read?.fact),
    }
}

fn tell_gone(health: &Health, wallet: KeyHash) {
    let condition = Condition::warning(
        "the wallet is closed or terminated: it is not coordinated",
        "take it out of the configuration",
    );
    health.set_of(GONE, wallet.to_string(), now(), condition);
}

/// Asks of each wallet, in each window, whether it is gone for good, and names those that are.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) panel: Panel,
    pub(crate) reader: SnapshotReader,
    pub(crate) health: Health,
    /// From one window to the next, in blocks.
    pub(crate) frequency: Blocks,
    pub(crate) wallets: Vec<KeyHash>,
    pub(crate) gone: watch::Sender<BTreeSet<KeyHash>>,
}

impl Gone {
    /// Asks until it is to stop.
    pub(crate) async fn run(
        self,
        mut heads: watch::Receiver<Option<Standing>>,
        mut stop: Stop,
    ) -> Result<(), Failure> {
        // The wallets without an answer in this window.
        let (mut open, mut window) = (self.wallets.clone(), None);
        while let Some(standing) = next_head(&mut heads, &mut stop).await {
            let now_in = standing.height.0 / self.frequency.0.max(1);
            if window.replace(now_in) != Some(now_in) {
                open.clone_from(&self.wallets);
                open.retain(|wallet| !self.gone.borrow().contains(wallet));
            }
            let mut unanswered = Vec::new();
            for wallet in std::mem::take(&mut open) {
                let asked = tokio::select! {
                    () = stop.requested() => return Ok(()),
                    asked = self.is_gone(wallet, &standing) => asked,
                };
                match asked {
                    Ok(Some(true)) => {
                        tell_gone(&self.health, wallet);
                        self.gone.send_modify(|gone| {
                            gone.insert(wallet);
                        });
                    }
                    Ok(Some(false)) => {}
                    // On a doubtful answer nothing is dropped, and the question stays open.
                    Ok(None) => unanswered.push(wallet),
                    Err(error) => {
                        tracing::debug!(%wallet, %error, "it can't be told whether the wallet is gone");
                        unanswered.push(wallet);
                    }
                }
            }
            open = unanswered;
        }
        Ok(())
    }

    /// Whether the wallet was gone so many blocks ago. `None` if that is one server's word.
    async fn is_gone(&self, wallet: KeyHash, standing: &Standing) -> Result<Option<bool>, ChainError> {
        let head = &standing.named.header;
        let Some(number) = head.number().checked_sub(FINAL) else { return Ok(Some(false)) };
        let deep = self.panel.ancestor(head, number).await?;
        let keys = SnapshotKeys { wallets: [wallet].into(), ..SnapshotKeys::default() };
        let read = self.reader.assured_snapshot(&self.panel, &deep.fact, &keys).await?;
        let state = read.fact.wallet(wallet).map(|record| record.state);
        Ok(match state {
            Ok(WalletState::Closed | WalletState::Terminated)
                if is_doubtful(deep.assurance.min(read.assurance)) =>
            {
                None
            }
            Ok(WalletState::Closed | WalletState::Terminated) => Some(true),
            Ok(_) => Some(false),
            Err(_) => None,
        })
    }
}

/// Whether that is too little to drop a wallet on.
const fn is_doubtful(assurance: Assurance) -> bool {
    matches!(assurance, Assurance::Word)
}

#[cfg(test)]
mod tests {
    use coxswain_ethereum::Expected;
    use coxswain_service::{journal::Settings, status::State};
    use coxswain_testkit::{DOUBLE_BRIDGE, DOUBLE_REGISTRY, Registry};

    use super::*;

    /// What these servers say of the wallet's group; whether that is kept, and whether the wallet is said to be gone.
    async fn read(doubles: Vec<Registry>) -> (Option<Vec<Address>>, bool, bool) {
        let mut served = Vec::new();
        for double in doubles {
            served.push(double.serve().await.unwrap());
        }
        let urls = served.iter().map(|served| served.url().clone());
        let endpoints = Endpoints::several(urls, Expected::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Settings::at(folder.path().join("journal.db"))).unwrap();
        let health = Health::default();
        let reader = GroupReader {
            chain: Chain::served(&endpoints, None).await.unwrap(),
            endpoints: &endpoints,
            bridge: DOUBLE_BRIDGE,
            registry: Some((DOUBLE_REGISTRY, BlockNumber(0))),
            journal: &journal,
            health: &health,
        };
        let stated = WalletSettings {
            public_key: None,
            key_hash: Some(Registry::wallet()),
            operators: Vec::new(),
            member_ids: Vec::new(),
            key_file: None,
        };
        let group = reader.group(&stated).await.unwrap().map(|(_, group)| group.operators);
        let is_kept = !journal.reader().facts(GROUP, Some(Registry::wallet().0)).unwrap().is_empty();
        (group, is_kept, health.worst() == State::Warning)
    }

    #[tokio::test]
    async fn inc_26_a_wallet_is_gone_at_the_start_only_if_enough_servers_say_so() {
        let gone = || {
            let mut gone = Registry::of_five();
            gone.kept.clear();
            gone
        };
        let all = [11, 13, 11].map(Registry::operator).to_vec();
        let (one, two) = (vec![gone(), Registry::of_five(), Registry::of_five()], vec![gone(), gone()]);
        assert_eq!(read(one).await, (Some(all), true, false));
        assert_eq!(read(two).await, (None, false, true));
    }

    #[tokio::test]
    async fn a_group_that_only_one_of_several_servers_tells_is_not_kept() {
        let dead = || {
            let mut dead = Registry::of_five();
            dead.dead = true;
            dead
        };
        let all = [11, 13, 11].map(Registry::operator).to_vec();
        assert_eq!(read(vec![dead(), Registry::of_five()]).await, (Some(all.clone()), false, false));
        assert_eq!(read(vec![Registry::of_five()]).await, (Some(all), true, false));
    }

    #[tokio::test]
    async fn inc_38_a_wallet_of_which_nothing_fits_together_is_named_and_nobody_waits_for_it() {
        let mut odd = Registry::of_five();
        odd.created.clear();
        let (group, is_kept, is_gone) = read(vec![odd]).await;
        assert_eq!((group, is_kept, is_gone), (None, false, false));
    }

    #[test]
    fn inc_26_on_one_servers_word_no_wallet_is_dropped() {
        assert!(is_doubtful(Assurance::Word));
        assert!(!is_doubtful(Assurance::Agreed) && !is_doubtful(Assurance::Proven));
    }
}
