//! The arguments of a maintainer: `prove`, `maintain`.

use std::{path::PathBuf, time::Duration};

use alloy_primitives::Address;
use clap::{Args, ValueEnum};
use url::Url;

use super::{AskingArguments, BitcoinArguments, NetworkName};
use crate::values::{UrlParser, address, duration, ethereum_url};

pub(super) const PROVE_HELP: &str = "\
What the transaction is to the Bridge is judged from the Bridge's state; its proof is checked here as a whole. With a keystore
the call is tried as that account; with --send it is sent, and waited for until it is three blocks deep.

Exit codes: 0 proven, or it can be; 1 it can't be, and why; 2 usage; 3 undecided.

Example:
  coxswain prove --tx 3f2c… --rpc-url http://localhost:8545 --bitcoin-url ssl://electrum.example:50002";

pub(super) const MAINTAIN_HELP: &str = "\
With --config it runs: a pass per new Bitcoin block, and every ten minutes. It proves what wallets did, and tells the light relay
each new difficulty. A journal keeps what was sent; losing it costs time, nothing else. It says how it is at /health and
/metrics, on 127.0.0.1:9602. docs/maintainer.md has the file.

With --once it ends after what can be proven now. Without a keystore nothing is sent, and what could be is shown.

Each wallet's money is followed from what the Bridge knows of it, however old that is.

Exit codes of --once: 0 all is proven, or can be; 1 something can't be, and why; 2 usage; 3 undecided.
Exit codes of --config: 0 drained; 2 configuration; 3 a check at the start failed; 4 a task ended that is needed; 5 the drain's
deadline passed.

Examples:
  coxswain maintain --config maintainer.toml
  coxswain maintain --once --keystore maintainer.json --password-file password \\
    --rpc-url http://localhost:8545 --bitcoin-url ssl://electrum.example:50002";

/// What a maintainer goes by.
#[derive(Clone, Debug, Args)]
pub struct MaintainerArguments {
    /// The Ethereum endpoint to ask; given again, the next to ask. Without it, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url))]
    pub rpc_url: Vec<Url>,
    /// The network that the endpoints must serve [default: what the chain id says]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// The Bridge [default: the network's]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub bridge: Option<Address>,
    /// The MaintainerProxy that refunds the gas of proofs [default: the network's, else they go to the Bridge itself]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub maintainer_proxy: Option<Address>,
    /// Send proofs to the Bridge itself
    #[arg(long, conflicts_with = "maintainer_proxy")]
    pub direct: bool,
    /// The keystore file of the account that proves, as Ethereum's clients write it
    #[arg(long, value_name = "FILE")]
    pub keystore: Option<PathBuf>,
    /// A file whose first line is the keystore's password [default: COXSWAIN_ETHEREUM__PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
    /// Where to ask about Bitcoin.
    #[command(flatten)]
    pub bitcoin: BitcoinArguments,
}

/// The arguments of `coxswain prove`.
#[derive(Debug, Args)]
pub struct ProveArguments {
    /// The id of the wallet's transaction
    #[arg(long, value_name = "ID")]
    pub tx: bitcoin::Txid,
    /// Send the proof, not only show it
    #[arg(long, requires = "keystore")]
    pub send: bool,
    /// How.
    #[command(flatten)]
    pub maintainer: MaintainerArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain maintain`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("mode").required(true).args(["once", "config"]))]
pub struct MaintainArguments {
    /// End once nothing more can be proven
    #[arg(long)]
    pub once: bool,
    /// Run until a signal, by this configuration file; what else is said here wins over it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc_proxy", "timeout"])]
    pub config: Option<PathBuf>,
    /// Run this module alone
    #[arg(long, value_name = "MODULE", requires = "config")]
    pub only: Option<ModuleName>,
    /// The journal's file, instead of the configuration's
    #[arg(long, value_name = "FILE", requires = "config")]
    pub journal: Option<PathBuf>,
    /// How long its tasks may take to end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub drain: Duration,
    /// How.
    #[command(flatten)]
    pub maintainer: MaintainerArguments,
    /// Print JSON
    #[arg(long, conflicts_with = "config")]
    pub json: bool,
}

/// A part of a maintainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModuleName {
    /// Prove to the Bridge what wallets did
    Spv,
    /// Tell the light relay each new difficulty
    Difficulty,
}

impl ModuleName {
    /// Its name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spv => "spv",
            Self::Difficulty => "difficulty",
        }
    }
}
