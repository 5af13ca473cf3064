//! What the commands about files of key shares ask.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const SHARE_INSPECT_HELP: &str = "\
Shows all but secrets. Without the passphrase, that the file is whole is checked, and not that nobody has written it anew; with it,
the shares are opened and held against the wallet's key, while no node uses them.

Exit codes: 0 shown, 2 refused: the error says why, and what to do.

Example:
  coxswain share inspect keys/8db50eb52063ea9d98b3eac91489a90f738986f6.share";

#[cfg(feature = "threshold")]
const SHARE_DEAL_HELP: &str = "\
FILE has one operator address a line and one line a seat, seat 1 first, as for coxswain leader. Each operator gets a folder with a
file of its seats' shares. Whoever deals a key holds it whole for a moment: for test chains only.

Exit codes: 0 dealt, 2 refused: the error says why.

Example:
  coxswain share deal --threshold 5 --operators group.txt --chain-id 31337 --out keys --passphrase-file passphrase";

/// What `coxswain share` does.
#[derive(Debug, Subcommand)]
pub enum ShareCommand {
    /// Show what a file of key shares says, all but secrets
    #[command(after_long_help = SHARE_INSPECT_HELP)]
    Inspect(ShareInspectArguments),
    /// Deal a test group's key: a file of shares for each operator
    #[cfg(feature = "threshold")]
    #[command(after_long_help = SHARE_DEAL_HELP)]
    Deal(ShareDealArguments),
}

/// The arguments of `coxswain share inspect`.
#[derive(Debug, Args)]
pub struct ShareInspectArguments {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Open it with the passphrase in this file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain share deal`.
#[cfg(feature = "threshold")]
#[derive(Debug, Args)]
pub struct ShareDealArguments {
    /// How many seats sign
    #[arg(long, value_name = "N")]
    pub threshold: u8,
    /// The operators, one address a line, one line a seat, seat 1 first
    #[arg(long, value_name = "FILE")]
    pub operators: PathBuf,
    /// The chain that the key is for: 31337, 1337, or one given as a test chain
    #[arg(long, value_name = "N")]
    pub chain_id: u64,
    /// Another test chain's id; any number of times
    #[arg(long = "test-chain", value_name = "N")]
    pub test_chains: Vec<u64>,
    /// Share out the whole key in this file, 32 bytes in hex [default: a fresh key]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where the operators' folders are made
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// The passphrase of all files [default: what is typed]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
