//! The command line: one definition from which parsing and help come.

use std::path::PathBuf;

use alloy_primitives::Address;
use clap::{Args, Parser, Subcommand, ValueEnum};
use coxswain_ethereum::{BlockSelector, Network};
use url::Url;

/// Says whether a tBTC wallet's next action is allowed, and why.
#[derive(Debug, Parser)]
#[command(name = "coxswain", version, about, propagate_version = true, arg_required_else_help = true)]
#[command(max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The program's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask the contract for its verdict on a proposal
    #[command(after_long_help = VALIDATE_HELP)]
    Validate(ValidateArguments),
}

const VALIDATE_HELP: &str = "\
Exit codes:
  0  valid: every rule holds
  1  rejected: a rule is broken; the output names it
  2  usage, or a malformed proposal; the error names the field
  3  undecided: the question could not be answered (endpoint, chain, contract); try again when that is fixed

Example, a heartbeat:
  echo '{\"action\": \"heartbeat\", \"wallet\": \"0x8db50eb52063ea9d98b3eac91489a90f738986f6\",
         \"message\": \"0xffffffffffffffff0123456789abcdef\"}' |
    coxswain validate --rpc-url http://localhost:8545 --validator 0x…

docs/proposals.md describes the document, with an example of each action.";

/// The arguments of `coxswain validate`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The proposal, a JSON document; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// The Ethereum endpoint to ask
    #[arg(long, value_name = "URL")]
    pub rpc_url: Url,
    /// The network that the endpoint must serve [default: what its chain id says]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// The WalletProposalValidator to ask [default: the network's]
    #[arg(long, value_name = "ADDRESS")]
    pub validator: Option<Address>,
    /// The Bridge that the validator must read [default: the network's, else the one it reads]
    #[arg(long, value_name = "ADDRESS")]
    pub bridge: Option<Address>,
    /// The block to judge at: a number, a hash, or latest, safe, finalized, earliest
    #[arg(long, value_name = "BLOCK", default_value_t)]
    pub block: BlockSelector,
    /// Print the verdict as JSON
    #[arg(long)]
    pub json: bool,
}

/// A [`Network`], as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkName {
    /// Ethereum mainnet
    Mainnet,
    /// A chain on this machine: anvil (chain id 31337) or geth --dev (1337); needs --validator
    Local,
}

impl From<NetworkName> for Network {
    fn from(name: NetworkName) -> Self {
        match name {
            NetworkName::Mainnet => Self::Mainnet,
            NetworkName::Local => Self::Local,
        }
    }
}
