//! The command line: one definition from which parsing and help come. What several commands ask, and each group of commands, is a
//! module of its own.

#[cfg(feature = "node")]
mod maintainer;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
mod operator;
mod proposals;
mod servers;
#[cfg(unix)]
mod share;
mod windows;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use coxswain_ethereum::Activity;

#[cfg(all(feature = "node", feature = "proven"))]
pub use self::operator::ReplayArguments;
#[cfg(all(unix, feature = "threshold"))]
pub use self::share::ShareDealArguments;
#[cfg(unix)]
pub use self::share::{ShareCommand, ShareInspectArguments};
#[cfg(feature = "node")]
pub use self::{
    maintainer::{MaintainArguments, MaintainerArguments, ModuleName, ProveArguments},
    node::{IdentityArguments, KeystoreArguments, PingArguments, StartArguments},
    operator::{
        ConfigArguments, ConfigCommand, ConfigShowArguments, FaultsArguments, HistoryArguments,
        InitArguments, JournalArguments, StatusScope, WhyArguments,
    },
};
pub use self::{
    proposals::{FeeArguments, ProposeArguments, ValidateArguments},
    servers::{AskingArguments, BitcoinArguments, EthereumArguments, NetworkName, RegistryArguments},
    windows::{GroupArguments, LeaderArguments, WatchArguments, WindowArguments},
};

/// Says whether a tBTC wallet's next action is allowed, and why.
#[derive(Debug, Parser)]
#[command(name = "coxswain", version = env!("COXSWAIN_VERSION"), propagate_version = true, arg_required_else_help = true)]
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
    #[command(after_long_help = proposals::VALIDATE_HELP)]
    Validate(ValidateArguments),
    /// Show what every rule says of a proposal, and whether the contract agrees
    #[command(after_long_help = proposals::EXPLAIN_HELP)]
    Explain(ValidateArguments),
    /// Show what a wallet would do now: the proposal, its transaction, and what was left out and why
    #[command(after_long_help = proposals::PROPOSE_HELP)]
    Propose(ProposeArguments),
    /// Show a coordination window: its phases, its safe block, what may be proposed in it and why
    #[command(after_long_help = windows::WINDOW_HELP)]
    Window(WindowArguments),
    /// Draw a wallet's leader, and whether it may heartbeat, in a coordination window
    #[command(after_long_help = windows::LEADER_HELP)]
    Leader(LeaderArguments),
    /// Show which operators hold a wallet's seats, as the chain says
    #[command(after_long_help = windows::GROUP_HELP)]
    Group(GroupArguments),
    /// Watch a wallet from the chains alone: who led each window, what could have been done, and what followed
    #[command(after_long_help = windows::WATCH_HELP)]
    Watch(WatchArguments),
    /// Show who an operator is in the network: address, peer id, multiaddrs
    #[cfg(feature = "node")]
    #[command(after_long_help = node::IDENTITY_HELP)]
    Identity(IdentityArguments),
    /// Ask peers of the network whether they answer this operator, and what they are
    #[cfg(feature = "node")]
    #[command(after_long_help = node::PING_HELP)]
    Ping(PingArguments),
    /// Run a node: coordinate the operator's wallets, window by window
    #[cfg(feature = "node")]
    #[command(after_long_help = node::START_HELP)]
    Start(StartArguments),
    /// Write a node's configuration, or translate the Go client's
    #[cfg(feature = "node")]
    #[command(after_long_help = operator::INIT_HELP)]
    Init(InitArguments),
    /// Show what a node's configuration comes to
    #[cfg(feature = "node")]
    Config(ConfigArguments),
    /// Show what became of wallets' windows, or check the journal
    #[cfg(feature = "node")]
    #[command(after_long_help = operator::HISTORY_HELP)]
    History(HistoryArguments),
    /// Show who did what wrong in wallets' windows
    #[cfg(feature = "node")]
    #[command(after_long_help = operator::FAULTS_HELP)]
    Faults(FaultsArguments),
    /// Say why a wallet does what it does, or nothing
    #[cfg(feature = "node")]
    #[command(after_long_help = operator::WHY_HELP)]
    Why(WhyArguments),
    /// Judge again, offline, what was judged in a window
    #[cfg(all(feature = "node", feature = "proven"))]
    #[command(after_long_help = operator::REPLAY_HELP)]
    Replay(ReplayArguments),
    /// Prove to the Bridge what a wallet did on Bitcoin, or show how that would be done
    #[cfg(feature = "node")]
    #[command(after_long_help = maintainer::PROVE_HELP)]
    Prove(ProveArguments),
    /// Prove to the Bridge what all wallets did, and tell the light relay Bitcoin's difficulty: once, or until a signal
    #[cfg(feature = "node")]
    #[command(after_long_help = maintainer::MAINTAIN_HELP)]
    Maintain(MaintainArguments),
    /// Check every endpoint and contract, and say what to do about what is wrong
    #[command(after_long_help = DOCTOR_HELP)]
    Doctor(DoctorArguments),
    /// Draw many windows: how fairly operators lead, how often wallets heartbeat, and how often several at once
    #[command(after_long_help = SIMULATE_HELP)]
    Simulate(SimulateArguments),
    /// Show a file of key shares, or deal a test group's
    #[cfg(unix)]
    #[command(subcommand)]
    Share(ShareCommand),
    /// Print the completions of a shell
    #[command(after_long_help = COMPLETIONS_HELP)]
    Completions(CompletionsArguments),
}

impl Command {
    /// What the command asks Ethereum's servers, if it asks them anything.
    pub fn activity(&self) -> Option<Activity> {
        let asking = match self {
            Self::Validate(asked) | Self::Explain(asked) => &asked.ethereum.asking,
            Self::Propose(asked) => &asked.ethereum.asking,
            Self::Doctor(asked) => &asked.ethereum.asking,
            Self::Window(asked) => &asked.asking,
            Self::Leader(asked) => &asked.asking,
            Self::Group(asked) => &asked.asking,
            Self::Watch(asked) => &asked.asking,
            #[cfg(feature = "node")]
            Self::Ping(asked) => &asked.asking,
            #[cfg(feature = "node")]
            Self::Prove(asked) => &asked.maintainer.asking,
            #[cfg(feature = "node")]
            Self::Maintain(asked) if asked.config.is_some() => return None,
            #[cfg(feature = "node")]
            Self::Maintain(asked) => &asked.maintainer.asking,
            #[cfg(feature = "node")]
            Self::Identity(_)
            | Self::Start(_)
            | Self::Init(_)
            | Self::Config(_)
            | Self::History(_)
            | Self::Faults(_)
            | Self::Why(_) => return None,
            #[cfg(all(feature = "node", feature = "proven"))]
            Self::Replay(_) => return None,
            #[cfg(unix)]
            Self::Share(_) => return None,
            Self::Simulate(_) | Self::Completions(_) => return None,
        };
        Some(asking.activity())
    }
}

const DOCTOR_HELP: &str = "\
Of each Ethereum endpoint: its chain, its newest block, the code of the contracts, and that it can read the Bridge and its
events. Of the validator: its Bridge and its constants. Of each Bitcoin endpoint: its network, its newest block and its
fees. With --config also of the node: its key opens, its port can be listened on and is reached, its peers accept connections, its
journal can be read, the clock, the balance. Nothing is sent but questions.

Exit codes: 0 all is well, 1 something isn't, 2 usage.

Example:
  coxswain doctor --network mainnet --rpc-url http://localhost:8545 --rpc-url https://your-other-node.example \\
    --bitcoin-url ssl://electrum.example:50002";

const SIMULATE_HELP: &str = "\
The draws are the protocol's own; wallets and block hashes follow from --seed, so that a run can be repeated.
A heartbeat's probability is 0.125 in RFC 12, and was halved after ten test wallets were often seen to heartbeat
together.

Exit codes: 0 shown, 2 usage.";

const COMPLETIONS_HELP: &str = "\
Where each shell looks for them:
  bash  coxswain completions bash > ~/.local/share/bash-completion/completions/coxswain
  zsh   coxswain completions zsh > \"${fpath[1]}/_coxswain\"
  fish  coxswain completions fish > ~/.config/fish/completions/coxswain.fish";

/// The arguments of `coxswain doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// A node's configuration file, in place of what says which servers are asked, and how: its key, port, peers, journal and
    /// balance are looked at, too
    #[cfg(feature = "node")]
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "rpc_url", "network", "validator", "bridge", "rpc_timeout", "quorum", "loopback_is_one", "bitcoin_url",
        "bitcoin_network", "bitcoin_timeout",
    ])]
    pub config: Option<std::path::PathBuf>,
    /// What it says.
    #[cfg(feature = "node")]
    #[arg(skip)]
    pub configuration: Option<Box<coxswain_node::Configuration>>,
    /// Where to ask.
    #[command(flatten)]
    pub ethereum: EthereumArguments,
    /// Where to ask about Bitcoin.
    #[command(flatten)]
    pub bitcoin: BitcoinArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain simulate`.
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// How many windows to draw
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub windows: u64,
    /// How many wallets heartbeat
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub wallets: u32,
    /// How many operators share the wallets' seats
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..))]
    pub operators: u8,
    /// What wallets and block hashes follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
}
