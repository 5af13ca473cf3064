//! What a maintainer's configuration says. `coxswain_service::configuration` reads it from its layers.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::{Address, U256, utils::parse_ether};
use coxswain_rules::{network::Preset, units::Blocks};
use coxswain_service::{
    configuration::{parsed, parsed_if_any},
    settings::{LogSettings, Password, duration, preset, text, urls},
    status::StatusSettings,
};
use serde::{Deserialize, Deserializer};
use url::Url;

/// A maintainer's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Ethereum, and the account that pays.
    pub ethereum: EthereumSettings,
    /// Bitcoin.
    pub bitcoin: BitcoinSettings,
    /// The journal.
    pub journal: JournalSettings,
    /// What it does, and when.
    #[serde(default)]
    pub maintainer: MaintainerSettings,
    /// Where it says how it is.
    #[serde(default)]
    pub status: StatusSettings,
    /// What is told.
    #[serde(default)]
    pub log: LogSettings,
}

/// Ethereum, and the account that pays.
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
    /// The Bridge. Left out, the network's.
    pub bridge: Option<Address>,
    /// The first block that has events of it. Left out, the network's, or 0.
    #[serde(default, deserialize_with = "parsed_if_any")]
    pub bridge_from: Option<u64>,
    /// What refunds the gas of proofs. Left out, the network's; else they go to the Bridge itself.
    pub maintainer_proxy: Option<Address>,
    /// The light relay. Left out, the Bridge's.
    pub relay: Option<Address>,
    /// What refunds the gas of telling the relay. Left out, the network's; else the relay is told directly.
    pub relay_proxy: Option<Address>,
    /// Whether proofs go to the Bridge, and difficulties to the relay, without any proxy.
    #[serde(default, deserialize_with = "parsed")]
    pub direct: bool,
    /// The account's keystore file.
    pub keystore: PathBuf,
    /// The file that holds the keystore's password.
    pub password_file: Option<PathBuf>,
    /// The keystore's password itself, which belongs into a variable.
    pub password: Option<Password>,
    /// How long a server may take to answer, as `15s`.
    #[serde(default, deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
    /// How often it is looked whether a transaction is mined, as `3s`.
    #[serde(default, deserialize_with = "duration")]
    pub poll: Option<Duration>,
    /// How many blocks on its own a transaction needs. Left out, 3.
    #[serde(default, deserialize_with = "parsed_if_any")]
    pub depth: Option<Blocks>,
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
    /// How many servers must say the same, at least.
    #[serde(default, deserialize_with = "parsed")]
    pub quorum: usize,
    /// How long a server may take to answer, as `15s`.
    #[serde(default, deserialize_with = "duration")]
    pub request_timeout: Option<Duration>,
    /// How often they are asked for a new block, as `30s`.
    #[serde(default, deserialize_with = "duration")]
    pub poll: Option<Duration>,
}

/// The journal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalSettings {
    /// The file, on a local disk.
    pub path: PathBuf,
}

/// What a maintainer does, and when.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaintainerSettings {
    /// The one module that runs. Left out, both do.
    pub only: Option<Module>,
    /// After how long a pass follows another at the latest, as `10m`.
    #[serde(deserialize_with = "duration")]
    pub every: Option<Duration>,
    /// With less than this, in ether, an alarm is raised. Left out, 0.5.
    #[serde(deserialize_with = "ether")]
    pub balance_alarm: Option<U256>,
}

/// A part of a maintainer that can run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Module {
    /// Proves to the Bridge what wallets did.
    Spv,
    /// Tells the relay each new difficulty.
    Difficulty,
}

fn ether<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<U256>, D::Error> {
    text(deserializer, |written| {
        parse_ether(written).map(Some).map_err(|_| "no amount of ether: expected one as 0.5".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use coxswain_service::configuration::Layers;

    use super::*;

    #[test]
    fn what_the_manifests_mount_is_read_with_the_variables_that_they_set() {
        let overlays = [
            (include_str!("../../../deploy/kubernetes/maintainer/production/maintainer.toml"), None),
            (include_str!("../../../deploy/kubernetes/maintainer/test/maintainer.toml"), Some(Module::Spv)),
        ];
        for (text, only) in overlays {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            let mut layers = Layers::default();
            layers.file(file.path()).unwrap();
            layers.read::<Configuration>().unwrap_err();
            let variables = [
                ("COXSWAIN_ETHEREUM__URLS", "https://a.example https://b.example"),
                ("COXSWAIN_BITCOIN__URLS", "ssl://c.example:50002"),
            ];
            layers.variables(variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
            let read = layers.read::<Configuration>().unwrap();
            assert_eq!(read.maintainer.only, only);
            assert_eq!(read.status.listen, Some(([0, 0, 0, 0], 9602).into()));
        }
    }

    #[test]
    fn all_that_is_needed_is_where_to_ask_who_pays_and_a_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maintainer.toml");
        let text = "[ethereum]\nurls = [\"http://localhost:8545\"]\nkeystore = \"key.json\"\n[bitcoin]\nurls = \
                    [\"ssl://electrum.example:50002\"]\n[journal]\npath = \"journal.db\"\n";
        let read = |more: &str| {
            std::fs::write(&path, format!("{text}{more}")).unwrap();
            let mut layers = Layers::default();
            layers.file(&path).unwrap();
            layers.read::<Configuration>().map_err(|error| error.to_string())
        };
        let least = read("").unwrap();
        assert_eq!((least.maintainer.only, least.maintainer.every), (None, None));
        let more = read("[maintainer]\nonly = \"spv\"\nevery = \"5m\"\nbalance_alarm = \"0.25\"\n")
            .unwrap()
            .maintainer;
        assert_eq!(more.only, Some(Module::Spv));
        assert_eq!(more.every, Some(Duration::from_secs(300)));
        assert_eq!(more.balance_alarm, Some(U256::from(250_000_000_000_000_000_u64)));
        for bad in ["only = \"both\"", "every = \"300\"", "balance_alarm = \"much\"", "rounds = 3"] {
            read(&format!("[maintainer]\n{bad}\n")).unwrap_err();
        }
    }
}
