//! What a node's configuration says. `coxswain_service::configuration` reads it from its layers.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alloy_primitives::Address;
use bitcoin::secp256k1::PublicKey;
use coxswain_network::PeerAddress;
use coxswain_rules::{KeyHash, network::Preset};
use coxswain_service::{
    configuration::{parsed, parsed_if_any, words},
    settings::{LogSettings, Password, duration, preset, text, urls},
    status::StatusSettings,
};
use serde::{Deserialize, Deserializer};
use url::Url;

/// A node's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Ethereum, and the operator's key.
    pub ethereum: EthereumSettings,
    /// Bitcoin.
    pub bitcoin: BitcoinSettings,
    /// The operators' network.
    #[serde(default)]
    pub network: NetworkSettings,
    /// The journal.
    pub journal: JournalSettings,
    /// Where the node says how it is.
    #[serde(default)]
    pub status: StatusSettings,
    /// What is told.
    #[serde(default)]
    pub log: LogSettings,
    /// What is signed with.
    #[serde(default)]
    pub signing: SigningSettings,
    /// The wallets that are coordinated.
    #[serde(default)]
    pub wallets: Vec<WalletSettings>,
}

/// What is signed with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigningSettings {
    /// Chains, beside those of one's own machine, on which a wallet's whole key, or a key that one person has dealt, may be used:
    /// nothing is at stake there.
    #[serde(deserialize_with = "words")]
    pub test_chains: Vec<u64>,
    /// The folder with the files of wallets' key shares: on test chains only, in a program that is built for it.
    pub keys: Option<PathBuf>,
    /// The file that holds their passphrase.
    pub passphrase_file: Option<PathBuf>,
}

/// Ethereum, and the operator's key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EthereumSettings {
    /// The servers.
    #[serde(deserialize_with = "urls")]
    pub urls: Vec<Url>,
    /// The network that they must serve. Left out, the one that the chain id names.
    #[serde(default, deserialize_with = "preset")]
    pub network: Option<Preset>,
    /// How many servers must say the same, at least.
    #[serde(default, deserialize_with = "parsed")]
    pub quorum: usize,
    /// Whether all servers of this machine are one.
    #[serde(default, deserialize_with = "parsed")]
    pub loopback_is_one: bool,
    /// The validator. Left out, the network's.
    pub validator: Option<Address>,
    /// The Bridge. Left out, the one that the validator reads.
    pub bridge: Option<Address>,
    /// The wallet registry, from which groups are read. Left out, the network's.
    pub registry: Option<Address>,
    /// The operator's keystore file.
    pub keystore: PathBuf,
    /// The file that holds the keystore's password.
    pub password_file: Option<PathBuf>,
    /// The keystore's password itself, which belongs into a variable.
    pub password: Option<Password>,
    /// How long a server may take to answer, as `15s`.
    #[serde(default, deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
    /// How often the servers are asked for their heads, in milliseconds. Left out, as the network's pace asks for.
    #[serde(default, deserialize_with = "parsed_if_any")]
    pub poll_milliseconds: Option<u64>,
}

/// Bitcoin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitcoinSettings {
    /// The servers.
    #[serde(deserialize_with = "urls")]
    pub urls: Vec<Url>,
    /// The network. Left out, the one that belongs to Ethereum's.
    pub network: Option<bitcoin::Network>,
    /// How long a server may take to answer, as `15s`.
    #[serde(default, deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
    /// What stands for the estimate of fees if nobody makes one, in sat/vB. Left out, as the network has it.
    #[serde(default, deserialize_with = "parsed_if_any")]
    pub fallback_fee_rate: Option<u32>,
}

/// The operators' network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// Where to listen.
    #[serde(deserialize_with = "words")]
    pub listen: Vec<SocketAddr>,
    /// Peers to keep connected.
    #[serde(deserialize_with = "words")]
    pub peers: Vec<PeerAddress>,
    /// What others are told to dial. Left out, what is listened on.
    #[serde(deserialize_with = "words")]
    pub announced: Vec<coxswain_network::Multiaddr>,
    /// Which strangers are let in.
    pub admission: AdmissionSetting,
    /// With `admission = "list"`: addresses and peer ids.
    #[serde(deserialize_with = "words")]
    pub allowed: Vec<String>,
}

/// Which strangers are let in. Members of our wallets and configured peers always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdmissionSetting {
    /// Operators with an eligible stake, where the wallet registry is known; else those of the list.
    #[default]
    Eligible,
    /// Those of the list.
    List,
    /// Everybody: local chains only.
    Any,
}

/// The journal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalSettings {
    /// The file, on a local disk.
    pub path: PathBuf,
    /// For how many windows entries are kept.
    #[serde(default, deserialize_with = "parsed_if_any")]
    pub keep_windows: Option<u64>,
    /// How large the file may become, in bytes.
    #[serde(default, deserialize_with = "parsed_if_any")]
    pub max_bytes: Option<u64>,
}

/// A wallet that is coordinated, as it is stated.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletSettings {
    /// Its public key, compressed or not. Left out, the one that the chain has for the hash.
    #[serde(default, deserialize_with = "public_key")]
    pub public_key: Option<PublicKey>,
    /// Its public key's hash, by which the Bridge knows it.
    #[serde(default, deserialize_with = "key_hash")]
    pub key_hash: Option<KeyHash>,
    /// Its signing group: the operator of each seat, seat 1 first. Left out, the one that the chain has.
    #[serde(default, deserialize_with = "words")]
    pub operators: Vec<Address>,
    /// The ids of all seats in the sortition pool, seat 1 first: what a commitment is sent with. Left out, none is sent.
    #[serde(default, deserialize_with = "words")]
    pub member_ids: Vec<u32>,
    /// The file that holds the wallet's whole key: on test chains only.
    pub key_file: Option<PathBuf>,
}

fn key_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyHash>, D::Error> {
    text(deserializer, |hash| {
        let digits = hash.strip_prefix("0x").unwrap_or(hash);
        let bytes = alloy_primitives::hex::decode_to_array(digits);
        bytes
            .map(|bytes| Some(KeyHash(bytes)))
            .map_err(|_| "no key hash: expected 20 bytes in hex".to_owned())
    })
}

fn public_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PublicKey>, D::Error> {
    text(deserializer, |key| {
        let digits = key.strip_prefix("0x").unwrap_or(key);
        digits.parse().map(Some).map_err(|_| "no public key: expected 33 or 65 bytes in hex".to_owned())
    })
}
