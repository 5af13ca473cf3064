//! The arguments of what an operator does with a node's configuration and journal.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use coxswain_rules::KeyHash;

use super::NetworkName;
use crate::values::key_hash;

pub(super) const INIT_HELP: &str = "\
Each key stands there with what it is for. With --from, the Go client's configuration (TOML, YAML or JSON) is translated, and each of
its keys explained; no password is copied. A file that is there is not written over.

Exit codes: 0 written, 2 usage, or a file that can't be read or written.

Example:
  coxswain init --from keep.toml --output node.toml";

pub(super) const CONFIG_HELP: &str = "\
Exit codes: 0 shown, 2 the configuration makes no sense.

Example:
  coxswain config show --config node.toml";

pub(super) const HISTORY_HELP: &str = "\
The journal can be read while the node runs. --verify checks every row: by its checksum, faults by the signatures of the messages
that they stand on, and snapshots by their proofs; it names the first that doesn't hold.

Exit codes: 0 shown, or all holds; 1 a row doesn't hold; 2 usage; 3 undecided (the journal can't be read).

Example:
  coxswain history --config node.toml --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --last 20";

pub(super) const FAULTS_HELP: &str = "\
Exit codes: 0 none, 1 some are shown, 2 usage, 3 undecided (the journal can't be read, or none is shown and a row can't be read).

Example:
  coxswain faults --config node.toml";

#[cfg(feature = "proven")]
pub(super) const REPLAY_HELP: &str = "\
What was judged in the window is judged again, offline, from the proven state and the code that were recorded then: by the contract,
then by the rules here. Bitcoin's answers are not kept, so that an objection that rests on them can't be judged again.

Exit codes: 0 the same, 1 it differs, 2 usage, 3 undecided (nothing is kept, or it doesn't hold).

Example:
  coxswain replay --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 27290 --config node.toml";

pub(super) const WHY_HELP: &str = "\
What keeps it busy, since when and until when; or that nothing does, and what its last windows came to.

Exit codes: 0 shown, 1 the journal knows no such wallet, 2 usage, 3 undecided (the journal can't be read).

Example:
  coxswain why 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --config node.toml";

/// The arguments of `coxswain init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The Go client's configuration, to be translated
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The file that is written
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    pub output: PathBuf,
    /// The network [default: mainnet]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// Who may ask for /health, /metrics and /diagnostics: rewards count scrapes from outside [default: asked for, else what --from
    /// says, else loopback]
    #[arg(long, value_name = "WHO")]
    pub status: Option<StatusScope>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Who may ask how a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusScope {
    /// Everybody.
    Public,
    /// This machine.
    Loopback,
}

/// The arguments of `coxswain config`.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What is done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show each value and where it comes from; secrets are hidden
    #[command(after_long_help = CONFIG_HELP)]
    Show(ConfigShowArguments),
}

/// The arguments of `coxswain config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The journal's file, instead of the configuration's
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which journal is read.
#[derive(Clone, Debug, Args)]
#[group(id = "which_journal", required = true, multiple = false)]
pub struct JournalArguments {
    /// The configuration file that names the journal
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The journal's file
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
}

/// The arguments of `coxswain history`.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Which journal.
    #[command(flatten)]
    pub journal: JournalArguments,
    /// The wallet [default: all]
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: Option<KeyHash>,
    /// How many windows of each wallet, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub last: u32,
    /// Check every row, and show nothing else
    #[arg(long)]
    pub verify: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain faults`.
#[derive(Debug, Args)]
pub struct FaultsArguments {
    /// Which journal.
    #[command(flatten)]
    pub journal: JournalArguments,
    /// The wallet [default: all]
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: Option<KeyHash>,
    /// How many windows of each wallet are looked at, the newest
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub last: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain replay`.
#[cfg(feature = "proven")]
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The window's index
    #[arg(value_name = "WINDOW")]
    pub window: u64,
    /// The wallet
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// Which journal.
    #[command(flatten)]
    pub journal: JournalArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain why`.
#[derive(Debug, Args)]
pub struct WhyArguments {
    /// The wallet
    #[arg(value_name = "WALLET", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// Which journal.
    #[command(flatten)]
    pub journal: JournalArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
