//! The arguments of what shows coordination windows, and who takes part in them: `window`, `leader`, `group`, `watch`.

use std::path::PathBuf;

use alloy_primitives::B256;
use clap::{ArgGroup, Args};
use coxswain_rules::{Assurance, KeyHash, units::BlockNumber};
use url::Url;

use super::{AskingArguments, BitcoinArguments, NetworkName, RegistryArguments};
use crate::values::{UrlParser, assurance, ethereum_url, key_hash};

pub(super) const WINDOW_HELP: &str = "\
Exit codes: 0 shown, 2 usage, 3 undecided (the endpoint gave no usable answer).

Example:
  coxswain window --block 19000000 --network mainnet";

pub(super) const LEADER_HELP: &str = "\
Exit codes: 0 shown, 2 usage or a malformed file, 3 undecided (the endpoint gave no usable answer).

FILE has one operator address a line and one line a seat, seat 1 first: the wallet's final signing group. Without it, the group
is read from the chain.
Without --network and without an endpoint, the mainnet's probability of a heartbeat is used.

Example:
  coxswain leader --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --operators group.txt \\
    --rpc-url http://localhost:8545 --block 19000800";

pub(super) const GROUP_HELP: &str = "\
One operator a line, seat 1 first: what coxswain leader --operators reads. What events say is held against the hashes that
the contracts keep.

Exit codes: 0 shown, 1 no such wallet, or closed, 2 usage, 3 undecided (the endpoint gave no usable answer).

Example:
  coxswain group --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --rpc-url http://localhost:8545";

pub(super) const WATCH_HELP: &str = "\
Neither a key nor a peer is needed: what the wallet did is found by following its money, from the Bridge's events and its main
UTXO. A no-op, an idle leader, a heartbeat and a failed signing leave no trace, and can't be told apart. A transaction that
may be of several windows is shown as each one's, perhaps. What could have been done is told from the Bridge's state at the
window's first block, which only an archive node keeps for long; without one, from events and today's state, and what those
don't tell is undecided. Fees of then are not known: whether a request could have borne its share isn't told.

Exit codes: 0 shown, 1 no such wallet, or closed (--operators says who held its seats), 2 usage, 3 undecided.

Example:
  coxswain watch --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --since 27290 \\
    --rpc-url https://your-archive-node.example --bitcoin-url ssl://electrum.example:50002";

/// The arguments of `coxswain window`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("when").args(["block", "rpc_url"])))]
pub struct WindowArguments {
    /// Show the window that this block lies in, or comes after
    #[arg(long, value_name = "N")]
    pub block: Option<BlockNumber>,
    /// Show the window that this endpoint's head lies in, or comes after; given again, the next to ask. Without it and
    /// --block, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url))]
    pub rpc_url: Vec<Url>,
    /// The network whose parameters hold [default: what the chain id says, mainnet without an endpoint]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
    /// How well it must be known, else it is undecided: agreed (by servers enough) or proven (checked here, at a block that two
    /// servers name)
    #[arg(long, value_name = "ASSURANCE", value_parser = assurance)]
    pub require: Option<Assurance>,
    /// Print the window as JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain leader`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("hash").args(["safe_block_hash", "rpc_url"])))]
pub struct LeaderArguments {
    /// HASH160 of the wallet's compressed public key
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// The operators, one address a line, one line a seat, seat 1 first [default: what the chain says]
    #[arg(long, value_name = "FILE")]
    pub operators: Option<PathBuf>,
    /// Where the chain has them.
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// The safe block's hash, as the network's rule defines it
    #[arg(long, value_name = "0x…")]
    pub safe_block_hash: Option<B256>,
    /// The Ethereum endpoint to take the safe block's hash from; given again, the next to ask. Without it and
    /// --safe-block-hash, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url), requires = "block")]
    pub rpc_url: Vec<Url>,
    /// The window's coordination block; needed with --rpc-url, refused with --safe-block-hash
    #[arg(long, value_name = "N", conflicts_with = "safe_block_hash")]
    pub block: Option<BlockNumber>,
    /// The network whose parameters hold [default: what the chain id says, mainnet without an endpoint]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
    /// How well it must be known, else it is undecided: agreed (by servers enough) or proven (checked here, at a block that two
    /// servers name)
    #[arg(long, value_name = "ASSURANCE", value_parser = assurance)]
    pub require: Option<Assurance>,
    /// Print the draw as JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain group`.
#[derive(Debug, Args)]
pub struct GroupArguments {
    /// HASH160 of the wallet's compressed public key
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// The Ethereum endpoint to ask; given again, the next to ask. Without it, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url))]
    pub rpc_url: Vec<Url>,
    /// The network that the endpoints must serve [default: what the chain id says]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// Where to look.
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
    /// How well it must be known, else it is undecided: agreed (by servers enough) or proven (checked here, at a block that two
    /// servers name)
    #[arg(long, value_name = "ASSURANCE", value_parser = assurance)]
    pub require: Option<Assurance>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// HASH160 of the wallet's compressed public key
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// The first window to show, by its index [default: 16 windows back]
    #[arg(long, value_name = "WINDOW")]
    pub since: Option<u64>,
    /// The operators, one address a line, one line a seat, seat 1 first [default: what the chain says]
    #[arg(long, value_name = "FILE")]
    pub operators: Option<PathBuf>,
    /// Where the chain has them.
    #[command(flatten)]
    pub registry: RegistryArguments,
    /// The Ethereum endpoint to ask, an archive node if possible; given again, another server that must agree. Without it, those
    /// of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = UrlParser(ethereum_url))]
    pub rpc_url: Vec<Url>,
    /// The network that the endpoints must serve [default: what the chain id says]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
    /// Where to ask about Bitcoin.
    #[command(flatten)]
    pub bitcoin: BitcoinArguments,
    /// Print JSON, a line for each window
    #[arg(long)]
    pub json: bool,
}
