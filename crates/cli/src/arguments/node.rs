//! The arguments of what goes by an operator's key: `start`, `identity`, `ping`.

use std::{path::PathBuf, time::Duration};

use alloy_primitives::Address;
use clap::Args;
use coxswain_rules::KeyHash;
use url::Url;

use super::{AskingArguments, NetworkName};
use crate::values::{UrlParser, address, duration, ethereum_url, key_hash};

pub(super) const START_HELP: &str = "\
The configuration is a TOML file. Variables, COXSWAIN_SECTION__KEY, win over it, and flags over both; an unknown key is an error.
docs/node.md describes the keys. What happens is told on standard error. SIGINT or SIGTERM ends it.

Exit codes:
  0  told to end, and all was done
  2  the configuration makes no sense; the error names the key and where it comes from
  3  a check at the start has failed: another chain, a journal that another process holds, a port in use
  4  a task that the node needs has ended
  5  told to end, and not all was done in time

Example:
  coxswain start --config node.toml";

pub(super) const IDENTITY_HELP: &str = "\
The operator's Ethereum key is its identity in the network. The password is taken from --password-file, else from the file
that the variable COXSWAIN_ETHEREUM__PASSWORD_FILE names, else from COXSWAIN_ETHEREUM__PASSWORD or KEEP_ETHEREUM_PASSWORD.

Exit codes: 0 shown, 2 usage, or a file that can't be opened.

Example:
  coxswain identity --keystore operator.json --password-file password --host node.example.org";

pub(super) const PING_HELP: &str = "\
Connects to each peer as this operator, and says what it is; if that fails, at which step, and what to look at. Don't run it
while a node of the same operator runs: peers would write to this connection instead.

Exit codes: 0 all answer, 1 one doesn't, 2 usage, or a file that can't be opened, 3 undecided.

Example:
  coxswain ping --keystore operator.json /ip4/203.0.113.5/tcp/3919/ipfs/16Uiu2HA…";

/// An operator's key.
#[derive(Clone, Debug, Args)]
pub struct KeystoreArguments {
    /// The operator's keystore file, as Ethereum's clients write it
    #[arg(long, value_name = "FILE")]
    pub keystore: PathBuf,
    /// A file whose first line is the keystore's password [default: COXSWAIN_ETHEREUM__PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// The arguments of `coxswain start`.
#[derive(Debug, Args)]
pub struct StartArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The journal's file, instead of the configuration's
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// How long its tasks may take to end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub drain: Duration,
}

/// The arguments of `coxswain identity`.
#[derive(Debug, Args)]
pub struct IdentityArguments {
    /// Whose.
    #[command(flatten)]
    pub keystore: KeystoreArguments,
    /// A name or address under which the node is reached, to show its multiaddr; any number of times
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// The node's port [default: 3919]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain ping`.
#[derive(Debug, Args)]
pub struct PingArguments {
    /// Whom to ask: /ip4|ip6|dns4|dns6/…/tcp/3919/ipfs/16Uiu2HA…
    #[arg(value_name = "MULTIADDR", required = true)]
    pub peers: Vec<coxswain_network::PeerAddress>,
    /// As whom.
    #[command(flatten)]
    pub keystore: KeystoreArguments,
    /// The Ethereum endpoint to ask whether the peer's operator may take part; given again, another server that must agree.
    /// Without it, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url))]
    pub rpc_url: Vec<Url>,
    /// The network that the endpoints must serve [default: what the chain id says]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// The WalletRegistry that knows operators' stakes [default: the network's]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub registry: Option<Address>,
    /// A configured peer of the node, which it lets in whatever its stake; any number of times. Without it, those between white
    /// space in the variable COXSWAIN_NETWORK__PEERS
    #[arg(long, value_name = "MULTIADDR")]
    pub configured: Vec<coxswain_network::PeerAddress>,
    /// A wallet of the node, whose operators it lets in whatever their stake, as HASH160 of the wallet's public key; any number of
    /// times
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: Vec<KeyHash>,
    /// The Bridge that knows the wallets [default: the network's]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub bridge: Option<Address>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
