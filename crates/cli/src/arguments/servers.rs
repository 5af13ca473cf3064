//! Which servers are asked, of which network, how patiently, and how many must agree.

use std::{path::PathBuf, sync::Arc, time::Duration};

use alloy_primitives::Address;
use clap::{Args, ValueEnum};
use coxswain_bitcoin::{Backends, EndpointError, HeaderFile, Limits, Watcher};
use coxswain_ethereum::{Activity, ConnectError, Endpoints, Expected, REQUEST_TIMEOUT, Wanted};
use coxswain_rules::network::Preset;
use url::Url;

use crate::values::{UrlParser, address, bitcoin_url, duration, ethereum_url};

/// Where Ethereum is asked, and the contracts that are there.
#[derive(Clone, Debug, Args)]
pub struct EthereumArguments {
    /// The Ethereum endpoint to ask; given again, another server that must agree: three are recommended. Without it,
    /// those between white space in the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url))]
    pub rpc_url: Vec<Url>,
    /// The network that the endpoints must serve [default: COXSWAIN_ETHEREUM__NETWORK, else what the chain id says]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// The WalletProposalValidator to ask; needed on every chain but mainnet [default: mainnet's]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub validator: Option<Address>,
    /// The Bridge that the validator must read [default: the network's, else the one it reads]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub bridge: Option<Address>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
}

/// How long no answer may be understood, unless somebody wants otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many times that a command may take.
const IN_ALL: u32 = 5;

/// How Ethereum's servers are asked, and how many must agree. Bitcoin's are asked with the same patience.
#[derive(Clone, Debug, Default, Args)]
pub struct AskingArguments {
    /// How long an Ethereum endpoint may take to answer, as 500ms, 30s or 2m [default: COXSWAIN_ETHEREUM__REQUEST_TIMEOUT,
    /// else 15s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub rpc_timeout: Option<Duration>,
    /// How many servers must say the same at least: it raises what is enough (of two both that answer, from three on more than
    /// half), and never lowers it [default: COXSWAIN_ETHEREUM__QUORUM]
    #[arg(long, value_name = "N")]
    pub quorum: Option<usize>,
    /// Take all ports of this machine for one server; otherwise each is one [default: COXSWAIN_ETHEREUM__LOOPBACK_IS_ONE]
    #[arg(long)]
    pub loopback_is_one: bool,
    /// How long no answer may be understood, of Ethereum or Bitcoin, as 30s or 2m; all ends after five times that, searches for
    /// events excepted
    /// [default: COXSWAIN_TIMEOUT, else 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// What is asked and answered.
    #[arg(skip)]
    pub activity: std::sync::OnceLock<Activity>,
    /// A proxy to ask through; those of the environment are not used [default: COXSWAIN_ETHEREUM__PROXY]
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url))]
    pub rpc_proxy: Option<Url>,
}

impl AskingArguments {
    /// What is asked and answered.
    pub fn activity(&self) -> Activity {
        let patience = self.timeout.unwrap_or(PATIENCE);
        self.activity.get_or_init(|| Activity::with_patience(patience)).clone()
    }

    /// The endpoints at these URLs, which are waited for so long.
    ///
    /// # Errors
    /// When a URL can't be used.
    pub fn endpoints(&self, urls: &[Url], expected: Expected) -> Result<Endpoints, ConnectError> {
        let expected = Expected {
            quorum: self.quorum.unwrap_or_default(),
            loopback_is_one: self.loopback_is_one,
            timeout: self.rpc_timeout.unwrap_or(REQUEST_TIMEOUT),
            // What is dead is asked once a command.
            dead_for: Duration::MAX,
            activity: self.activity(),
            proxy: self.rpc_proxy.clone(),
            ..expected
        };
        Endpoints::several(urls.to_vec(), expected)
    }
}

impl EthereumArguments {
    /// What is asked for.
    pub fn wanted(&self) -> Wanted {
        Wanted { network: self.network.map(Into::into), validator: self.validator, bridge: self.bridge }
    }

    /// Returns the endpoints. Each must serve the network and have the validator. Nothing is sent yet.
    ///
    /// # Errors
    /// When a URL can't be used.
    pub fn endpoint(&self) -> Result<Endpoints, ConnectError> {
        self.asking.endpoints(&self.rpc_url, self.wanted().expected())
    }
}

/// The contracts that know signing groups.
#[derive(Clone, Debug, Default, Args)]
pub struct RegistryArguments {
    /// The Bridge that knows the wallet [default: the network's]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub bridge: Option<Address>,
    /// The WalletRegistry that knows its operators [default: the network's]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub registry: Option<Address>,
}

/// Where Bitcoin is asked.
#[derive(Clone, Debug, Args)]
pub struct BitcoinArguments {
    /// The Bitcoin server to ask; given again, one more: all are asked, and of three, two must say the same of what can't be
    /// proven. An Electrum server (tcp://host:port,
    /// ssl://host:port, ssl://host:port#f00d… to trust the certificate with this SHA-256 and no other) or a Bitcoin Core
    /// node (http://user:password@host:port, http://host:port?cookie=/path). Without it, those between white space in the
    /// variable COXSWAIN_BITCOIN__URLS
    #[arg(long, alias = "bitcoin", value_name = "URL", value_parser = UrlParser(bitcoin_url))]
    pub bitcoin_url: Vec<Url>,
    /// The Bitcoin network: bitcoin, testnet, testnet4, signet or regtest [default: COXSWAIN_BITCOIN__NETWORK, else regtest
    /// with a local Ethereum chain, else bitcoin]
    #[arg(long, value_name = "NETWORK")]
    pub bitcoin_network: Option<bitcoin::Network>,
    /// How long a Bitcoin endpoint may take to answer, as 500ms, 30s or 2m [default: COXSWAIN_BITCOIN__REQUEST_TIMEOUT, else
    /// 15s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub bitcoin_timeout: Option<Duration>,
    /// How many Bitcoin servers must say the same at least: it raises what is enough, and never lowers it [default:
    /// COXSWAIN_BITCOIN__QUORUM]
    #[arg(long, value_name = "N")]
    pub bitcoin_quorum: Option<usize>,
}

impl BitcoinArguments {
    /// Returns the endpoints, or `None` if none was given, with the same timeouts as Ethereum's. Sends nothing yet.
    ///
    /// # Errors
    /// When a URL can't be used, or there are fewer servers than must say the same.
    pub fn backends(
        &self,
        asking: &AskingArguments,
        ethereum: Option<Preset>,
    ) -> Result<Option<Backends>, EndpointError> {
        let limits = Limits::answering_in(self.bitcoin_timeout);
        let watcher = Arc::new(Watched(asking.activity()));
        let endpoint = |url| -> Result<coxswain_bitcoin::Endpoint, EndpointError> {
            let watcher: Arc<dyn Watcher> = Arc::clone(&watcher) as _;
            Ok(coxswain_bitcoin::Endpoint::new(url, limits)?.watched(watcher))
        };
        let endpoints = self.bitcoin_url.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
        let network = ethereum.map_or(bitcoin::Network::Bitcoin, |network| network.bitcoin);
        let network = self.bitcoin_network.unwrap_or(network);
        let expected = coxswain_bitcoin::Expected {
            at_least: self.bitcoin_quorum.unwrap_or_default(),
            loopback_is_one: asking.loopback_is_one,
            // What is dead is asked once a command, which ends before this.
            rest: IN_ALL * asking.activity().patience(),
            ..coxswain_bitcoin::Expected::on(network)
        };
        if endpoints.is_empty() {
            return Ok(None);
        }
        let backends = match cache_folder().filter(|_| expected.chain.is_some()) {
            Some(folder) => {
                let file = HeaderFile::new(folder.join("coxswain").join(format!("{network}-headers")));
                Backends::keeping(endpoints, expected, Box::new(file))
            }
            None => Backends::new(endpoints, expected),
        };
        backends.meets_quorum()?;
        Ok(Some(backends))
    }
}

/// Bitcoin's servers, watched beside Ethereum's.
#[derive(Clone, Debug)]
struct Watched(Activity);

impl Watcher for Watched {
    fn asked(&self, method: &'static str, endpoint: &str) -> Box<dyn Send + '_> {
        Box::new(self.0.ask(method, endpoint))
    }

    fn answered(&self) {
        self.0.answered();
    }

    fn gives_up_at(&self) -> Option<tokio::time::Instant> {
        self.0.deadline()
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }
}

/// The user's own folder for what can be had again.
fn cache_folder() -> Option<PathBuf> {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || named("HOME");
    if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Caches"))
    } else {
        named("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join(".cache")))
    }
}

/// A [`Preset`], as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkName {
    /// Ethereum mainnet
    Mainnet,
    /// A chain on this machine: anvil (chain id 31337) or geth --dev (1337)
    Local,
}

impl NetworkName {
    /// The name of a preset.
    #[cfg(feature = "node")]
    pub(crate) fn of(preset: Preset) -> Option<Self> {
        Self::value_variants().iter().copied().find(|name| Preset::from(*name) == preset)
    }
}

impl From<NetworkName> for Preset {
    fn from(name: NetworkName) -> Self {
        match name {
            NetworkName::Mainnet => Self::MAINNET,
            NetworkName::Local => Self::LOCAL,
        }
    }
}
