//! The command line: one definition from which parsing and help come.

#[cfg(feature = "node")]
mod operator;

use std::{path::PathBuf, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use bitcoin::FeeRate;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use coxswain_bitcoin::{Backends, EndpointError, HeaderFile, Limits, Watcher};
use coxswain_ethereum::{
    Activity, BlockSelector, ConnectError, Endpoints, Expected, REQUEST_TIMEOUT, Wanted,
};
use coxswain_rules::{Action, Assurance, KeyHash, network::Preset};
use url::Url;

#[cfg(all(feature = "node", feature = "proven"))]
pub use self::operator::ReplayArguments;
#[cfg(feature = "node")]
pub use self::operator::{
    ConfigArguments, ConfigCommand, ConfigShowArguments, FaultsArguments, HistoryArguments, InitArguments,
    JournalArguments, StatusScope, WhyArguments,
};
use crate::values::{address, assurance, bitcoin_url, duration, ethereum_url, key_hash};

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
    #[command(after_long_help = VALIDATE_HELP)]
    Validate(ValidateArguments),
    /// Show what every rule says of a proposal, and whether the contract agrees
    #[command(after_long_help = EXPLAIN_HELP)]
    Explain(ValidateArguments),
    /// Show what a wallet would do now: the proposal, its transaction, and what was left out and why
    #[command(after_long_help = PROPOSE_HELP)]
    Propose(ProposeArguments),
    /// Show a coordination window: its phases, its safe block, what may be proposed in it and why
    #[command(after_long_help = WINDOW_HELP)]
    Window(WindowArguments),
    /// Draw a wallet's leader, and whether it may heartbeat, in a coordination window
    #[command(after_long_help = LEADER_HELP)]
    Leader(LeaderArguments),
    /// Show which operators hold a wallet's seats, as the chain says
    #[command(after_long_help = GROUP_HELP)]
    Group(GroupArguments),
    /// Watch a wallet from the chains alone: who led each window, what could have been done, and what followed
    #[command(after_long_help = WATCH_HELP)]
    Watch(WatchArguments),
    /// Show who an operator is in the network: address, peer id, multiaddrs
    #[cfg(feature = "node")]
    #[command(after_long_help = IDENTITY_HELP)]
    Identity(IdentityArguments),
    /// Ask peers of the network whether they answer this operator, and what they are
    #[cfg(feature = "node")]
    #[command(after_long_help = PING_HELP)]
    Ping(PingArguments),
    /// Run a node: coordinate the operator's wallets, window by window
    #[cfg(feature = "node")]
    #[command(after_long_help = START_HELP)]
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
    #[command(after_long_help = PROVE_HELP)]
    Prove(ProveArguments),
    /// Prove to the Bridge what all wallets did, and tell the light relay Bitcoin's difficulty: once, or until a signal
    #[cfg(feature = "node")]
    #[command(after_long_help = MAINTAIN_HELP)]
    Maintain(MaintainArguments),
    /// Check every endpoint and contract, and say what to do about what is wrong
    #[command(after_long_help = DOCTOR_HELP)]
    Doctor(DoctorArguments),
    /// Draw many windows: how fairly operators lead, how often wallets heartbeat, and how often several at once
    #[command(after_long_help = SIMULATE_HELP)]
    Simulate(SimulateArguments),
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
            Self::Simulate(_) | Self::Completions(_) => return None,
        };
        Some(asking.activity())
    }
}

const EXPLAIN_HELP: &str = "\
Every rule of the action is evaluated here, over the Bridge's state at the same block that the contract judges at: it
holds, is broken, or is not evaluable as it compares what another broken rule says is missing.

Exit codes:
  0  valid: every rule holds, and the contract agrees
  1  rejected: a rule is broken, and the contract rejects the proposal for it
  2  usage, or a malformed proposal; the error names the field
  3  undecided: the question could not be answered, or the contract and the rules disagree: then trust neither
The validator deployed on mainnet accepts deposits that nobody can spend. That known difference is shown, and the exit
code is the contract's verdict, as with coxswain validate.

docs/proposals.md describes the document, with an example of each action.";

const WINDOW_HELP: &str = "\
Exit codes: 0 shown, 2 usage, 3 undecided (the endpoint gave no usable answer).

Example:
  coxswain window --block 19000000 --network mainnet";

const LEADER_HELP: &str = "\
Exit codes: 0 shown, 2 usage or a malformed file, 3 undecided (the endpoint gave no usable answer).

FILE has one operator address a line and one line a seat, seat 1 first: the wallet's final signing group. Without it, the group
is read from the chain.
Without --network and without an endpoint, the mainnet's probability of a heartbeat is used.

Example:
  coxswain leader --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --operators group.txt \\
    --rpc-url http://localhost:8545 --block 19000800";

const GROUP_HELP: &str = "\
One operator a line, seat 1 first: what coxswain leader --operators reads. What events say is held against the hashes that
the contracts keep.

Exit codes: 0 shown, 1 no such wallet, or closed, 2 usage, 3 undecided (the endpoint gave no usable answer).

Example:
  coxswain group --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --rpc-url http://localhost:8545";

const WATCH_HELP: &str = "\
Neither a key nor a peer is needed: what the wallet did is found by following its money, from the Bridge's events and its main
UTXO. A no-op, an idle leader, a heartbeat and a failed signing leave no trace, and can't be told apart. A transaction that
may be of several windows is shown as each one's, perhaps. What could have been done is told from the Bridge's state at the
window's first block, which only an archive node keeps for long; without one, from events and today's state, and what those
don't tell is undecided. Fees of then are not known: whether a request could have borne its share isn't told.

Exit codes: 0 shown, 1 no such wallet, or closed (--operators says who held its seats), 2 usage, 3 undecided.

Example:
  coxswain watch --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 --since 27290 \\
    --rpc-url https://your-archive-node.example --bitcoin-url ssl://electrum.example:50002";

#[cfg(feature = "node")]
const START_HELP: &str = "\
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

#[cfg(feature = "node")]
const IDENTITY_HELP: &str = "\
The operator's Ethereum key is its identity in the network. The password is taken from --password-file, else from the file
that the variable COXSWAIN_ETHEREUM__PASSWORD_FILE names, else from COXSWAIN_ETHEREUM__PASSWORD or KEEP_ETHEREUM_PASSWORD.

Exit codes: 0 shown, 2 usage, or a file that can't be opened.

Example:
  coxswain identity --keystore operator.json --password-file password --host node.example.org";

#[cfg(feature = "node")]
const PING_HELP: &str = "\
Connects to each peer as this operator, and says what it is; if that fails, at which step, and what to look at. Don't run it
while a node of the same operator runs: peers would write to this connection instead.

Exit codes: 0 all answer, 1 one doesn't, 2 usage, or a file that can't be opened, 3 undecided.

Example:
  coxswain ping --keystore operator.json /ip4/203.0.113.5/tcp/3919/ipfs/16Uiu2HA…";

#[cfg(feature = "node")]
const PROVE_HELP: &str = "\
What the transaction is to the Bridge is judged from the Bridge's state; its proof is checked here as a whole. With a keystore
the call is tried as that account; with --send it is sent, and waited for until it is three blocks deep.

Exit codes: 0 proven, or it can be; 1 it can't be, and why; 2 usage; 3 undecided.

Example:
  coxswain prove --tx 3f2c… --rpc-url http://localhost:8545 --bitcoin-url ssl://electrum.example:50002";

#[cfg(feature = "node")]
const MAINTAIN_HELP: &str = "\
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

const VALIDATE_HELP: &str = "\
Exit codes:
  0  valid: every rule holds
  1  rejected: a rule is broken; the output names it
  2  usage, or a malformed proposal; the error names the field
  3  undecided: the question could not be answered (endpoint, chain, contract); try again when that is fixed
The contract alone decides that. With --bitcoin-url, what a member of the wallet would say is shown beside it: it looks for
the events and on Bitcoin for what the contract can't see.

Example, a heartbeat:
  echo '{\"action\": \"heartbeat\", \"wallet\": \"0x8db50eb52063ea9d98b3eac91489a90f738986f6\",
         \"message\": \"0xffffffffffffffff0123456789abcdef\"}' |
    coxswain validate --rpc-url http://localhost:8545 --validator 0x…

docs/proposals.md describes the document, with an example of each action.";

const PROPOSE_HELP: &str = "\
Reads the Bridge and Bitcoin, leaves out what can't be in a valid proposal, builds the transaction and asks the contract.
Nothing is signed or sent. Without --action, the first action that is possible: redemption, deposit-sweep,
moved-funds-sweep, moving-funds, heartbeat.

Exit codes:
  0  there is a proposal
  1  there is nothing to propose, or a commitment to be submitted first
  2  usage
  3  undecided: it could not be told what to propose

Example:
  coxswain propose --wallet 0x8db50eb52063ea9d98b3eac91489a90f738986f6 \\
    --rpc-url https://your-node.example --bitcoin-url ssl://electrum.example:50002";

/// Where Ethereum is asked, and the contracts that are there.
#[derive(Clone, Debug, Args)]
pub struct EthereumArguments {
    /// The Ethereum endpoint to ask; given again, another server that must agree: three are recommended. Without it,
    /// those between white space in the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = ethereum_url)]
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
    #[arg(long, value_name = "URL", value_parser = ethereum_url)]
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

    /// The endpoints, each of which must serve the network and have the validator. Nothing is sent yet.
    ///
    /// # Errors
    /// When a URL can't be used.
    pub fn endpoint(&self) -> Result<Endpoints, ConnectError> {
        self.asking.endpoints(&self.rpc_url, self.wanted().expected())
    }
}

/// Where Bitcoin is asked.
#[derive(Clone, Debug, Args)]
pub struct BitcoinArguments {
    /// The Bitcoin server to ask; given again, one more: all are asked, and of three, two must say the same of what can't be
    /// proven. An Electrum server (tcp://host:port,
    /// ssl://host:port, ssl://host:port#f00d… to trust the certificate with this SHA-256 and no other) or a Bitcoin Core
    /// node (http://user:password@host:port, http://host:port?cookie=/path). Without it, those between white space in the
    /// variable COXSWAIN_BITCOIN__URLS
    #[arg(long, alias = "bitcoin", value_name = "URL", value_parser = bitcoin_url)]
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

/// What fees are computed from, besides what Bitcoin says.
#[derive(Clone, Debug, Default, Args)]
pub struct FeeArguments {
    /// The fee rate that stands for the estimate if the Bitcoin endpoint has none, in whole sat/vB [default: 5 with a local
    /// Ethereum chain; else none, and without an estimate it is undecided]
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub fallback_fee_rate: Option<u32>,
}

impl FeeArguments {
    /// The rate that stands for a missing estimate on this chain, if there is one.
    pub fn fallback(&self, network: Option<Preset>) -> Option<FeeRate> {
        let given = self.fallback_fee_rate.map(FeeRate::from_sat_per_vb_u32);
        given.or(network.and_then(|network| network.fallback_fee_rate))
    }
}

/// The arguments of `coxswain start`.
#[cfg(feature = "node")]
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

/// The arguments of `coxswain doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// A node's configuration file: its servers are asked, and its key, port, peers, journal and balance are looked at
    #[cfg(feature = "node")]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc_url", "bitcoin_url"])]
    pub config: Option<PathBuf>,
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

/// The arguments of `coxswain validate` and `coxswain explain`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The proposal, a JSON document; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Where to ask.
    #[command(flatten)]
    pub ethereum: EthereumArguments,
    /// Where to look up what the proposal leaves out.
    #[command(flatten)]
    pub bitcoin: BitcoinArguments,
    /// What fees are judged by.
    #[command(flatten)]
    pub fees: FeeArguments,
    /// The block to judge at: a number, a hash, or latest, safe, finalized, earliest
    #[arg(long, value_name = "BLOCK", default_value_t)]
    pub block: BlockSelector,
    /// How well it must be known, else it is undecided: agreed (by servers enough) or proven (checked here, at a block that two
    /// servers or you name)
    #[arg(long, value_name = "ASSURANCE", value_parser = assurance)]
    pub require: Option<Assurance>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `coxswain propose`.
#[derive(Debug, Args)]
pub struct ProposeArguments {
    /// HASH160 of the wallet's compressed public key
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// The action to propose; given again, the next to try [default: all, in the order of a checklist]
    #[arg(long, value_name = "ACTION", value_parser = action)]
    pub action: Vec<Action>,
    /// Where to ask.
    #[command(flatten)]
    pub ethereum: EthereumArguments,
    /// Where to ask about Bitcoin.
    #[command(flatten)]
    pub bitcoin: BitcoinArguments,
    /// The block to propose at: a number, a hash, or latest, safe, finalized, earliest
    #[arg(long, value_name = "BLOCK", default_value_t)]
    pub block: BlockSelector,
    /// The first block whose events are read: what was revealed or requested before isn't found [default: 30 days back]
    #[arg(long, value_name = "N")]
    pub since: Option<u64>,
    /// What fees are computed from.
    #[command(flatten)]
    pub fees: FeeArguments,
    /// How well it must be known, else it is undecided: agreed (by servers enough) or proven (checked here, at a block that two
    /// servers or you name)
    #[arg(long, value_name = "ASSURANCE", value_parser = assurance)]
    pub require: Option<Assurance>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads an action's name.
fn action(name: &str) -> Result<Action, String> {
    Action::ALL.into_iter().find(|action| action.name() == name).ok_or_else(|| {
        let names = Action::ALL.map(Action::name).join(", ");
        format!("expected one of {names}")
    })
}

/// The arguments of `coxswain window`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("when").args(["block", "rpc_url"])))]
pub struct WindowArguments {
    /// Show the window that this block lies in, or comes after
    #[arg(long, value_name = "N")]
    pub block: Option<u64>,
    /// Show the window that this endpoint's head lies in, or comes after; given again, the next to ask. Without it and
    /// --block, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = ethereum_url)]
    pub rpc_url: Vec<Url>,
    /// The network whose parameters hold [default: what the chain id says, mainnet without an endpoint]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
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
    #[arg(long, value_name = "URL", value_parser = ethereum_url, requires = "block")]
    pub rpc_url: Vec<Url>,
    /// The window's coordination block; needed with --rpc-url, refused with --safe-block-hash
    #[arg(long, value_name = "N", conflicts_with = "safe_block_hash")]
    pub block: Option<u64>,
    /// The network whose parameters hold [default: what the chain id says, mainnet without an endpoint]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<NetworkName>,
    /// How it is asked.
    #[command(flatten)]
    pub asking: AskingArguments,
    /// Print the draw as JSON
    #[arg(long)]
    pub json: bool,
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

/// The arguments of `coxswain group`.
#[derive(Debug, Args)]
pub struct GroupArguments {
    /// HASH160 of the wallet's compressed public key
    #[arg(long, value_name = "0x…", value_parser = key_hash)]
    pub wallet: KeyHash,
    /// The Ethereum endpoint to ask; given again, the next to ask. Without it, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = ethereum_url)]
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
    #[arg(long, value_name = "URL", value_parser = ethereum_url)]
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

/// An operator's key.
#[cfg(feature = "node")]
#[derive(Clone, Debug, Args)]
pub struct KeystoreArguments {
    /// The operator's keystore file, as Ethereum's clients write it
    #[arg(long, value_name = "FILE")]
    pub keystore: PathBuf,
    /// A file whose first line is the keystore's password [default: COXSWAIN_ETHEREUM__PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// What a maintainer goes by.
#[cfg(feature = "node")]
#[derive(Clone, Debug, Args)]
pub struct MaintainerArguments {
    /// The Ethereum endpoint to ask; given again, the next to ask. Without it, those of the variable COXSWAIN_ETHEREUM__URLS
    #[arg(long, value_name = "URL", value_parser = ethereum_url)]
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
#[cfg(feature = "node")]
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
#[cfg(feature = "node")]
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("mode").required(true).args(["once", "config"]))]
pub struct MaintainArguments {
    /// End once nothing more can be proven
    #[arg(long)]
    pub once: bool,
    /// Run until a signal, by this configuration file; what else is said here wins over it
    #[arg(long, value_name = "FILE")]
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
#[cfg(feature = "node")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModuleName {
    /// Prove to the Bridge what wallets did
    Spv,
    /// Tell the light relay each new difficulty
    Difficulty,
}

#[cfg(feature = "node")]
impl ModuleName {
    /// Its name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spv => "spv",
            Self::Difficulty => "difficulty",
        }
    }
}

/// The arguments of `coxswain identity`.
#[cfg(feature = "node")]
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
#[cfg(feature = "node")]
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
    #[arg(long, value_name = "URL", value_parser = ethereum_url)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inc_33_only_a_local_chain_has_a_fallback_fee_rate_that_nobody_configured() {
        let rate = |fallback_fee_rate, chain_id| {
            FeeArguments { fallback_fee_rate }.fallback(Preset::of_chain(chain_id))
        };
        for (chain_id, default) in [(1, None), (11_155_111, None), (31_337, Some(5)), (1_337, Some(5))] {
            assert_eq!(rate(None, chain_id), default.map(FeeRate::from_sat_per_vb_u32));
            assert_eq!(rate(Some(7), chain_id), Some(FeeRate::from_sat_per_vb_u32(7)));
        }
    }
}
