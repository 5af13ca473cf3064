//! From the wallets that a configuration states to those that are coordinated: each with its group, its channel, who we are in it,
//! and what it is signed with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use alloy_primitives::Address;
use bitcoin::{CompressedPublicKey, secp256k1::PublicKey};
use coxswain_coordination::Wallet;
use coxswain_ethereum::Chain;
use coxswain_network::{Identity, Network};
use coxswain_protocol::{Setup, SigningGroup, WindowParameters};
use coxswain_rules::KeyHash;
use coxswain_service::{
    journal::Journal,
    status::{Condition, Health},
};
use coxswain_signing::{TestChain, WholeKey, WholeKeySigner};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    actions::Signatory,
    channel::CoordinationChannel,
    clock::now,
    commitments::Membership,
    configuration::{SigningSettings, WalletSettings},
    error::StartError,
    groups::{Group, GroupReader, key_hash},
    inquiry::HeardIn,
    links::WalletChannel,
    records::SignedFor,
    watch::{KEY, Others},
};

/// Joins wallets.
pub(crate) struct Joining<'a> {
    pub(crate) groups: GroupReader<'a>,
    pub(crate) chain: Chain,
    pub(crate) parameters: WindowParameters,
    pub(crate) identity: &'a Identity,
    pub(crate) network: &'a Network,
    pub(crate) signing: &'a SigningSettings,
    pub(crate) journal: &'a Arc<Journal>,
    pub(crate) health: &'a Health,
    /// Whether nothing is sent.
    pub(crate) observes: bool,
    /// Takes who was heard in each window.
    pub(crate) heard: mpsc::Sender<(KeyHash, HeardIn)>,
}

/// Wallets that are coordinated.
#[derive(Default)]
pub(crate) struct Joined {
    pub(crate) wallets: Vec<Wallet<WalletChannel>>,
    pub(crate) others: Others,
    pub(crate) signatories: BTreeMap<KeyHash, Signatory<WholeKeySigner<SignedFor>>>,
    /// Of those whose members' ids are known.
    pub(crate) memberships: BTreeMap<KeyHash, Membership>,
}

impl Joining<'_> {
    /// Joins all of these, but those that are gone, and those in which we have no seat if more is to be done than to observe.
    pub(crate) async fn all(self, stated: Vec<WalletSettings>) -> Result<Joined, StartError> {
        let (mut joined, mut seen) = (Joined::default(), BTreeSet::new());
        for stated in stated {
            let Some((public_key, group)) = self.groups.group(&stated).await? else { continue };
            let wallet = key_hash(public_key);
            if !seen.insert(wallet) {
                return Err(StartError::Twice(wallet));
            }
            self.one(wallet, public_key, group, stated.key_file, &mut joined)?;
        }
        info!(wallets = joined.wallets.len(), "wallets are coordinated");
        Ok(joined)
    }

    fn one(
        &self,
        wallet: KeyHash,
        public_key: PublicKey,
        read: Group,
        key_file: Option<PathBuf>,
        joined: &mut Joined,
    ) -> Result<(), StartError> {
        let operator = self.identity.operator().address();
        let group = SigningGroup::new(read.operators).map_err(|error| StartError::Group(wallet, error))?;
        if !group.contains(operator) && !self.observes {
            warn!(%wallet, "not coordinated: the operator holds no seat");
            return Ok(());
        }
        let group = Arc::new(group);
        if let Some(path) = key_file
            && let Some(signatory) = self.signatory(wallet, public_key, &group, path)?
        {
            joined.signatories.insert(wallet, signatory);
        }
        let (members, seats) = (read.member_ids, group.holders().len());
        if let (false, Some(seat)) = (members.is_empty(), group.first_seat(operator)) {
            if members.len() != seats {
                return Err(StartError::MemberIds(wallet, members.len(), seats));
            }
            joined.memberships.insert(wallet, Membership { members, seat: seat.number() });
        }
        let others: Vec<Address> =
            group.operators().iter().copied().filter(|other| *other != operator).collect();
        joined.others.push((wallet, others.clone()));
        let channel =
            CoordinationChannel::join(self.network, self.parameters, &public_key, Arc::clone(&group));
        let channel = WalletChannel::new(channel, others).telling(wallet, self.heard.clone());
        let setup = Setup {
            network: self.parameters,
            wallet,
            group,
            key: *self.identity.operator(),
            first_sequence: now().0,
            observes: self.observes,
        };
        joined.wallets.push(Wallet { setup, channel });
        Ok(())
    }

    /// What a wallet is signed with. `None` if its key can't be read: the other wallets go on, and this one is coordinated all the
    /// same.
    fn signatory(
        &self,
        wallet: KeyHash,
        public_key: PublicKey,
        group: &Arc<SigningGroup>,
        path: PathBuf,
    ) -> Result<Option<Signatory<WholeKeySigner<SignedFor>>>, StartError> {
        let test_chain = TestChain::new(self.chain.id, &self.signing.test_chains);
        let test_chain = test_chain.map_err(|error| StartError::WholeKey(wallet, error))?;
        let key = match WholeKey::from_file(&path) {
            Ok(key) => key,
            Err(error) => {
                let says = format!(
                    "the key of wallet {wallet} can't be read, so nothing is signed with it: {error}"
                );
                let remedy = "restore the file from its backup, and start again";
                let file = path.display().to_string();
                self.health.set_of(KEY, file, now(), Condition::failed(says, remedy));
                return Ok(None);
            }
        };
        let times = self.chain.parameters().signing;
        let wait = times.delay.saturating_add(times.announcement);
        let record = SignedFor::new(Arc::clone(self.journal));
        let signer = WholeKeySigner::new(test_chain, key, record, wait);
        if signer.wallet() != wallet {
            return Err(StartError::OtherKey(path, wallet));
        }
        warn!(%wallet, "signed for with its whole key: for test chains");
        Ok(Some(Signatory { signer, key: CompressedPublicKey(public_key), group: Arc::clone(group) }))
    }
}
