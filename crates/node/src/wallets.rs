//! From the wallets that a configuration states to those that are coordinated: each with its group, its channel, who we are in it,
//! and what it is signed with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::Address;
#[cfg(all(unix, feature = "threshold"))]
use bitcoin::secp256k1::SecretKey;
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
#[cfg(all(unix, feature = "threshold"))]
use coxswain_signing::store::{self, Passphrase, ShareFile};
#[cfg(all(unix, feature = "threshold"))]
use coxswain_signing::threshold::READ_BYTES;
use coxswain_signing::{TestChain, WholeKey, WholeKeySigner};
use tokio::sync::mpsc;
use tracing::{info, warn};

#[cfg(all(unix, feature = "threshold"))]
use crate::threshold::{LeaderMessages, ShareSettings, ThresholdSigner};
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
    signer::Signer,
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
    /// What key shares are used with.
    #[cfg(all(unix, feature = "threshold"))]
    pub(crate) shares: Option<Sharing>,
}

/// What key shares are used with.
#[cfg(all(unix, feature = "threshold"))]
pub(crate) struct Sharing {
    pub(crate) chain: TestChain,
    pub(crate) secret: SecretKey,
    pub(crate) folder: PathBuf,
    pub(crate) passphrase: Passphrase,
    pub(crate) messages: Arc<LeaderMessages>,
}

/// What key shares are used with. `None` if no configuration names any.
#[cfg(all(unix, feature = "threshold"))]
pub(crate) fn sharing(
    signing: &SigningSettings,
    chain_id: u64,
    secret: [u8; 32],
    identity: &Identity,
) -> Result<Option<Sharing>, StartError> {
    let Some(folder) = &signing.keys else { return Ok(None) };
    // The chain first: nothing is read for another.
    let chain = TestChain::new(chain_id, &signing.test_chains).map_err(StartError::Shares)?;
    let passphrase = signing.passphrase_file.as_deref().ok_or(StartError::NoPassphrase)?;
    let secret = SecretKey::from_slice(&secret).expect("it is the secret of a key that was opened");
    Ok(Some(Sharing {
        chain,
        secret,
        folder: folder.clone(),
        passphrase: Passphrase::from_file(passphrase)?,
        messages: Arc::new(LeaderMessages::new(chain_id, identity.clone())),
    }))
}

/// What key shares are used with: nothing.
#[cfg(not(all(unix, feature = "threshold")))]
pub(crate) fn sharing(
    signing: &SigningSettings,
    _: u64,
    _: [u8; 32],
    _: &Identity,
) -> Result<Option<std::convert::Infallible>, StartError> {
    if signing.keys.is_some() { Err(StartError::NoThreshold) } else { Ok(None) }
}

/// Wallets that are coordinated.
#[derive(Default)]
pub(crate) struct Joined {
    pub(crate) wallets: Vec<Wallet<WalletChannel>>,
    pub(crate) others: Others,
    pub(crate) signatories: BTreeMap<KeyHash, Signatory<Signer>>,
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
        let signer = match key_file {
            Some(path) => self.whole(wallet, path)?,
            #[cfg(all(unix, feature = "threshold"))]
            None => self.shares.as_ref().and_then(|sharing| self.shared(wallet, public_key, &group, sharing)),
            #[cfg(not(all(unix, feature = "threshold")))]
            None => None,
        };
        if let Some(signer) = signer {
            let signatory =
                Signatory { signer, key: CompressedPublicKey(public_key), group: Arc::clone(&group) };
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
        #[cfg(all(unix, feature = "threshold"))]
        let channel = match &self.shares {
            Some(sharing) => {
                channel.keeping(sharing.messages.keeping(wallet, public_key, Arc::clone(&group)))
            }
            None => channel,
        };
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

    /// Signs with shares of the wallet's key. `None` if their file can't be used: the other wallets go on, and this one is
    /// coordinated all the same.
    #[cfg(all(unix, feature = "threshold"))]
    fn shared(
        &self,
        wallet: KeyHash,
        public_key: PublicKey,
        group: &SigningGroup,
        sharing: &Sharing,
    ) -> Option<Signer> {
        let path = sharing.folder.join(store::file_name(wallet));
        let settings = ShareSettings {
            chain: sharing.chain,
            network: self.network,
            identity: self.identity,
            secret: sharing.secret,
            times: self.chain.parameters().signing,
            read_bytes: READ_BYTES,
            journal: self.journal,
        };
        let opened = ShareFile::open(&path, &sharing.passphrase).map_err(|error| error.to_string());
        let signer = opened.and_then(|file| {
            let signer = ThresholdSigner::new(&settings, (wallet, public_key), group, file);
            signer.map_err(|error| error.to_string())
        });
        match signer {
            Ok(signer) => {
                warn!(%wallet, "signed for with shares of its key: for test chains");
                Some(Signer::Shares(Box::new(signer)))
            }
            Err(error) => {
                let says = format!(
                    "the shares of wallet {wallet} can't be used, so nothing is signed with them: {error}"
                );
                self.fault(&path, says);
                None
            }
        }
    }

    /// Says of a file that it can't be used.
    fn fault(&self, path: &Path, says: String) {
        let remedy = "restore the file from its backup, and start again";
        self.health.set_of(KEY, path.display().to_string(), now(), Condition::failed(says, remedy));
    }

    /// Signs with the wallet's whole key. `None` if that can't be read: the other wallets go on, and this one is coordinated all the
    /// same.
    fn whole(&self, wallet: KeyHash, path: PathBuf) -> Result<Option<Signer>, StartError> {
        let test_chain = TestChain::new(self.chain.id, &self.signing.test_chains);
        let test_chain = test_chain.map_err(|error| StartError::WholeKey(wallet, error))?;
        let key = match WholeKey::from_file(&path) {
            Ok(key) => key,
            Err(error) => {
                let says = format!(
                    "the key of wallet {wallet} can't be read, so nothing is signed with it: {error}"
                );
                self.fault(&path, says);
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
        Ok(Some(Signer::Whole(Box::new(signer))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(chain_id: u64, test_chains: &[u64], passphrase_file: Option<PathBuf>) -> Option<StartError> {
        let keys = Some(PathBuf::from("keys"));
        let signing = SigningSettings { test_chains: test_chains.to_vec(), keys, passphrase_file };
        let identity = Identity::from_secret([1; 32]).unwrap();
        sharing(&signing, chain_id, [1; 32], &identity).err()
    }

    #[test]
    fn without_files_of_shares_nothing_is_asked_for() {
        let identity = Identity::from_secret([1; 32]).unwrap();
        assert!(sharing(&SigningSettings::default(), 1, [1; 32], &identity).unwrap().is_none());
    }

    #[cfg(not(all(unix, feature = "threshold")))]
    #[test]
    fn a_program_without_the_feature_refuses_shares_on_every_chain() {
        for chain_id in [1, 31337] {
            assert!(matches!(refused(chain_id, &[], None), Some(StartError::NoThreshold)));
        }
    }

    /// The chain is looked at first: on another nothing is read, not even the passphrase.
    #[cfg(all(unix, feature = "threshold"))]
    #[test]
    fn shares_are_refused_on_chains_that_are_not_for_tests() {
        use coxswain_signing::ChainRefused;
        let nowhere = || Some(PathBuf::from("/nowhere/passphrase"));
        let chain = |chain_id, configured: &[u64]| match refused(chain_id, configured, nowhere()) {
            Some(StartError::Shares(refused)) => Some(refused),
            Some(StartError::Passphrase(_)) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(chain(1, &[]), Some(ChainRefused::Mainnet));
        assert_eq!(chain(1, &[1]), Some(ChainRefused::Mainnet));
        assert_eq!(chain(31337, &[1]), Some(ChainRefused::Mainnet));
        assert_eq!(chain(11_155_111, &[]), Some(ChainRefused::NotListed(11_155_111)));
        assert_eq!(chain(11_155_111, &[11_155_111]), None);
        assert_eq!(chain(31337, &[]), None);
        assert_eq!(chain(1337, &[]), None);
        assert!(matches!(refused(31337, &[], None), Some(StartError::NoPassphrase)));
    }
}
