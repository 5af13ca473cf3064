//! What the doctor checks of a node's configuration: the key, the port, the peers, the journal, the clock, the balance.

use std::{net::SocketAddr, time::Duration};

use alloy_primitives::{U256, utils::format_ether};
use coxswain_ethereum::{Account, AccountError, Block, Endpoints};
use coxswain_node::{Configuration, StartError, account};
use coxswain_rules::units::UnixTime;
use coxswain_service::{journal::Reader, settings::PasswordError};
use futures_util::future::join_all;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Problem, Record};
use crate::report::with_causes;

/// What the checks are said to be of.
pub(super) const NODE: &str = "the node";
/// How long a connection may take.
const CONNECTS: Duration = Duration::from_secs(5);
/// How far a block's time may be ahead of the clock.
const MOST_AHEAD: Duration = Duration::from_secs(30);
/// Under which balance an operator's account should be looked at, in wei: half an ether.
const LEAST: u128 = 500_000_000_000_000_000;

/// Checks all that is the node's own.
pub(super) async fn check(
    configuration: &Configuration,
    endpoints: &Endpoints,
    newest: Option<Block>,
    now: UnixTime,
    record: &mut Record<'_>,
) {
    let mut check = |name, outcome| record.check("node", NODE, name, outcome);
    let opened = account(&configuration.ethereum);
    let key = match &opened {
        Ok(account) => Ok(format!("opens: operator {}", account.address())),
        Err(error) => Err(Problem::new(with_causes(error), key_remedy(error))),
    };
    check("key", key);
    let mut bound = Vec::new();
    for listen in &configuration.network.listen {
        check("port", port(*listen, &mut bound).await);
    }
    for announced in &configuration.network.announced {
        check("announced address", announced_at(&announced.to_string()).await);
    }
    if configuration.network.peers.is_empty() {
        let found = Problem::new("none is configured", "name some in network.peers");
        check("peers", Err(found));
    }
    let peers = join_all(configuration.network.peers.iter().map(async |peer| {
        let named = format!("{}, port {}", peer.peer(), peer.port());
        let connected = timeout(CONNECTS, async {
            let sockets = peer.resolve().await?;
            TcpStream::connect(sockets.as_slice()).await
        });
        match connected.await {
            Ok(Ok(_)) => Ok(format!("{named} accepts connections")),
            Ok(Err(error)) => Err((named, error.to_string())),
            Err(_) => Err((named, "no answer".to_owned())),
        }
    }));
    for peer in peers.await {
        check(
            "peer",
            peer.map_err(|(named, why)| {
                Problem::new(
                    format_args!("{named}: {why}"),
                    "coxswain ping says more; or leave it out of network.peers",
                )
            }),
        );
    }
    check("journal", journal(configuration));
    if let Some(newest) = newest {
        check("clock", clock(newest, now));
    }
    if let Ok(account) = &opened {
        check("balance", balance(endpoints, account).await);
    }
}

fn key_remedy(error: &StartError) -> &'static str {
    match error {
        StartError::Account(AccountError::File(_)) | StartError::Password(PasswordError::File(_)) => {
            "mend the file as it says; where others could read both keystore and password, take another key"
        }
        _ => "look at ethereum.keystore and its password; restore the file from its backup",
    }
}

async fn port(listen: SocketAddr, bound: &mut Vec<TcpListener>) -> Result<String, Problem> {
    match TcpListener::bind(listen).await {
        Ok(listener) => {
            bound.push(listener);
            Ok(format!("{listen} can be listened on"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{listen} is in use: by the node, if it runs"))
        }
        Err(error) => Err(Problem::new(format_args!("{listen}: {error}"), "name another in network.listen")),
    }
}

/// Whether what others are told to dial accepts connections.
async fn announced_at(multiaddr: &str) -> Result<String, Problem> {
    let remedy = "forward the port, and open it in the firewall (some routers lead nobody back to himself)";
    let mut parts = multiaddr.split('/').skip(1);
    let (_, host, _, port) = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(host), Some(port)) = (host, port.and_then(|port| port.parse::<u16>().ok())) else {
        return Err(Problem::new(
            format_args!("{multiaddr} names no host and port"),
            "write it as /dns4/me.example/tcp/3919",
        ));
    };
    match timeout(CONNECTS, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(format!("{multiaddr} accepts connections")),
        Ok(Err(error)) => Err(Problem::new(format_args!("{multiaddr}: {error}"), remedy)),
        Err(_) => Err(Problem::new(format_args!("{multiaddr}: no answer"), remedy)),
    }
}

fn journal(configuration: &Configuration) -> Result<String, Problem> {
    let path = &configuration.journal.path;
    let remedy = "look at the disk, and at who owns the folder; an older copy must not be restored";
    if path.exists() {
        let wallets = Reader::open(path)
            .map_err(|error| with_causes(&error))
            .and_then(|reader| reader.wallets().map_err(|error| error.to_string()));
        return match wallets {
            Ok(wallets) => Ok(format!("{} can be read, and has {} wallets", path.display(), wallets.len())),
            Err(what) => Err(Problem::new(what, remedy)),
        };
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| std::path::Path::new("."));
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() && !found.permissions().readonly() => {
            Ok(format!("{} will be made", path.display()))
        }
        Ok(_) => Err(Problem::new(format_args!("{} can't be written to", folder.display()), remedy)),
        Err(error) => Err(Problem::new(format_args!("{}: {error}", folder.display()), "make the folder")),
    }
}

fn clock(newest: Block, now: UnixTime) -> Result<String, Problem> {
    let ahead = newest.timestamp.saturating_since(now);
    if ahead > MOST_AHEAD {
        let what = format_args!("the newest block is {} s ahead of this machine's clock", ahead.as_secs())
            .to_string();
        return Err(Problem::new(what, "set the clock by NTP: windows and ages go by it"));
    }
    Ok("the newest block is not ahead of it".to_owned())
}

async fn balance(endpoints: &Endpoints, account: &Account) -> Result<String, Problem> {
    let asked: Result<U256, _> = endpoints.request("eth_getBalance", (account.address(), "latest")).await;
    match asked {
        Ok(wei) if wei < U256::from(LEAST) => Err(Problem::new(
            format_args!("{} ether", format_ether(wei)),
            "send it half an ether at least: commitments are paid from it",
        )),
        Ok(wei) => Ok(format!("{} ether", format_ether(wei))),
        Err(error) => Err(Problem::new(error, "see the servers above")),
    }
}
