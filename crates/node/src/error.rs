//! Why a node doesn't start, and the documented exit code of each reason.

use std::{net::SocketAddr, path::PathBuf};

use coxswain_bitcoin::EndpointError;
use coxswain_ethereum::{AccountError, ChainError, ConnectError, ResolveError, registry::ServersError};
use coxswain_network::{AdmissionError, KeyError, StartError as NetworkError};
use coxswain_protocol::{GroupSizeError, ParametersError};
use coxswain_rules::KeyHash;
use coxswain_service::{
    journal::{AppendError, OpenError, ReadError},
    settings::PasswordError,
};
use coxswain_signing::ChainRefused;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The operator's key can't be opened.
    #[error("the operator's key can't be opened")]
    Account(#[from] AccountError),
    /// There is no password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The key is no identity.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An Ethereum URL can't be used.
    #[error("ethereum.urls: {0}")]
    Ethereum(#[from] ConnectError),
    /// A Bitcoin URL can't be used.
    #[error("bitcoin.urls: {0}")]
    Bitcoin(#[from] EndpointError),
    /// A list of operators holds something else.
    #[error("network.allowed: {0}")]
    Allowed(#[from] AdmissionError),
    /// Nobody can be asked who is eligible.
    #[error("network.admission: {0}")]
    Servers(#[from] ServersError),
    /// Where the validator is has to be said.
    #[error("ethereum.validator is needed: {0}")]
    UnknownValidator(ResolveError),
    /// A wallet's group is too small or too large.
    #[error("wallet {0}: {1}")]
    Group(KeyHash, GroupSizeError),
    /// A wallet's whole key can't be used on this chain.
    #[error("wallet {0}: its key_file is not used")]
    WholeKey(KeyHash, #[source] ChainRefused),
    /// Key shares can't be used on this chain.
    #[error("signing.keys is not used")]
    Shares(#[source] ChainRefused),
    /// The program can't use key shares.
    #[error("signing.keys: this program is built without threshold signing")]
    NoThreshold,
    /// It is not said what the files of key shares are opened with.
    #[error("signing.passphrase_file is needed to open what is in signing.keys")]
    NoPassphrase,
    /// What the files of key shares are opened with can't be read.
    #[cfg(all(unix, feature = "threshold"))]
    #[error(transparent)]
    Passphrase(#[from] coxswain_signing::store::PassphraseError),
    /// A wallet's whole key is another wallet's.
    #[error("the key in {0} is not that of wallet {1}")]
    OtherKey(PathBuf, KeyHash),
    /// There are as many ids as seats, or none.
    #[error("wallet {0}: {1} member_ids for {2} seats")]
    MemberIds(KeyHash, usize, usize),
    /// The journal can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// A wallet is neither named nor stated.
    #[error("wallets: key_hash or public_key is needed of each")]
    NoWallet,
    /// A wallet's key has another hash than is stated.
    #[error("wallets: the public key has the hash {0}, not the one that is stated")]
    OtherHash(KeyHash),
    /// There is no such wallet.
    #[error("wallets: the Bridge knows no wallet {0}")]
    UnknownWallet(KeyHash),
    /// It is not known where groups are read from.
    #[error("ethereum.registry is needed to read the group of wallet {0}, or its public_key and operators")]
    NoRegistry(KeyHash),
    /// A wallet is stated twice.
    #[error("wallet {0} is stated twice")]
    Twice(KeyHash),
    /// The network's parameters don't fit together.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The servers serve another chain, or other contracts.
    #[error("a check at the start has failed")]
    Chain(#[source] ChainError),
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The network can't be listened on.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The journal doesn't take that the node starts.
    #[error("that the node starts can't be recorded")]
    Record(#[source] AppendError),
    /// The status can't be listened on.
    #[error("status.listen: can't listen on {0}")]
    Status(SocketAddr, #[source] std::io::Error),
}

impl StartError {
    /// The documented exit code: 2 if the configuration is to be changed, 3 if what it names isn't as it has to be.
    pub const fn exit_code(&self) -> u8 {
        match self {
            #[cfg(all(unix, feature = "threshold"))]
            Self::Passphrase(_) => 2,
            Self::Account(_)
            | Self::Password(_)
            | Self::Key(_)
            | Self::Ethereum(_)
            | Self::Bitcoin(_)
            | Self::Allowed(_)
            | Self::Servers(_)
            | Self::UnknownValidator(_)
            | Self::Group(..)
            | Self::WholeKey(..)
            | Self::Shares(_)
            | Self::NoThreshold
            | Self::NoPassphrase
            | Self::OtherKey(..)
            | Self::MemberIds(..)
            | Self::NoWallet
            | Self::OtherHash(_)
            | Self::UnknownWallet(_)
            | Self::NoRegistry(_)
            | Self::Twice(_)
            | Self::Parameters(_) => 2,
            Self::Chain(_)
            | Self::Journal(_)
            | Self::Unreadable(_)
            | Self::Network(_)
            | Self::Record(_)
            | Self::Status(..) => 3,
        }
    }
}
