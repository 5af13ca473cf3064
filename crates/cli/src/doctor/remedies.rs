//! What to do about a server that doesn't answer as it must.

use coxswain_bitcoin::{BackendError, CORE_METHODS};
use coxswain_ethereum::{ChainError, RequestError, UnfitError};

/// Of what an Ethereum server answered.
pub(super) fn remedy(error: &ChainError) -> &'static str {
    match error {
        ChainError::Request(error) => request_remedy(error),
        ChainError::WrongChain { .. } | ChainError::WrongNetwork { .. } => OTHER_NETWORK,
        ChainError::NoBlock { .. } => SYNC,
        ChainError::OtherBridge { .. } => {
            "don't use this validator: give the one of your Bridge with --validator, or the right --bridge"
        }
        ChainError::UnreadableBridge { .. }
        | ChainError::UnknownState { .. }
        | ChainError::UnreadableEvent { .. } => {
            "check that the address is the Bridge's; if it is, it was upgraded, and this version is too old for it"
        }
        _ => CONTRACTS,
    }
}

const OTHER_NETWORK: &str = "give an endpoint of the network, or another --network";
const SYNC: &str = "let the node sync, or leave it out";
const CONTRACTS: &str = "check that the addresses are those of the contracts, and of this chain";
const DOWN: &str = "see whether the node, or the proxy before it, is down or overloaded";

fn request_remedy(error: &RequestError) -> &'static str {
    match error {
        RequestError::Unreachable { .. } => {
            "check the address, and that the node runs and lets this machine connect"
        }
        RequestError::Interrupted { .. } | RequestError::TimedOut { .. } => DOWN,
        RequestError::Http { status, .. } => match status {
            401 | 403 => "the endpoint doesn't admit you: check the key, or user and password, in the URL",
            404 => "check the path in the URL, and the key in it",
            429 => "the plan's limit is reached: wait, raise it, or give another endpoint besides",
            500.. => DOWN,
            _ => "check the URL, the key in it and the plan's limits",
        },
        RequestError::Garbage { .. } => "check that the URL is that of an Ethereum JSON-RPC endpoint",
        RequestError::Rpc { .. } => "see the message: the node doesn't allow, or doesn't know, what is asked",
        RequestError::NoneFit(unfit) => unfit.first().map_or(DOWN, |unfit| match unfit {
            UnfitError::Failed(error) => request_remedy(error),
            UnfitError::WrongNetwork { .. } | UnfitError::WrongChain { .. } => OTHER_NETWORK,
            UnfitError::Behind { .. } | UnfitError::Stale { .. } | UnfitError::NoBlock { .. } => SYNC,
            _ => CONTRACTS,
        }),
        _ => "see the message, and the node's log",
    }
}

/// Bitcoin Core is starting, and loads its blocks.
const IN_WARMUP: i64 = -28;

/// Of what a Bitcoin server answered.
pub(super) fn bitcoin_remedy(error: &BackendError) -> String {
    let text = match error {
        BackendError::Untrusted { endpoint, fingerprint, pinned: false, .. } => {
            return format!(
                "if this is the server's own certificate, as its operator can tell, trust it and no other: \
                 ssl://{endpoint}#{fingerprint}"
            );
        }
        BackendError::Untrusted { .. } => {
            "ask the server's operator: if it has a new certificate, give its SHA-256 behind #; if not, somebody stands \
             between you and the server"
        }
        BackendError::Http { status: 401, .. } => {
            "check user and password in the URL, or that ?cookie= names the node's cookie file"
        }
        BackendError::Http { status: 403, .. } => {
            return format!(
                "the node doesn't let this user ask: where its bitcoin.conf has rpcwhitelist, that must name {}; and \
                 rpcallowip must let this machine in",
                CORE_METHODS.join(",")
            );
        }
        BackendError::Http { status: 503, .. } => {
            "the node is busy: raise rpcworkqueue and rpcthreads in its bitcoin.conf, or try again"
        }
        BackendError::Http { .. } => "check the URL, and user and password or the cookie file",
        BackendError::NoCredentials { .. } => {
            "check that ?cookie= names the node's cookie file, and that it can be read"
        }
        BackendError::Unreachable { .. } => {
            "check the address, and that the server runs and lets this machine connect"
        }
        BackendError::Interrupted { .. } | BackendError::TimedOut { .. } => {
            "see whether the server, or the proxy before it, is down or overloaded"
        }
        BackendError::WrongNetwork { .. } => "give an endpoint of the network, or another --bitcoin-network",
        BackendError::OtherChain { .. } => {
            "leave it out: it serves a relative of Bitcoin's chain, or one that somebody made up"
        }
        BackendError::BadHeader { .. } | BackendError::TooManyHeaders { .. } => {
            "leave it out: no honest server shows such headers"
        }
        BackendError::OtherVersion { .. } => "give another Electrum server, or another version of this one",
        BackendError::Behind { .. }
        | BackendError::Forked { .. }
        | BackendError::Stale { .. }
        | BackendError::ChainStale(_) => SYNC,
        BackendError::Rpc { code: IN_WARMUP, .. } => {
            "the node is starting: try again when it has loaded its blocks"
        }
        BackendError::Garbage { .. } => {
            "check that an Electrum server's URL begins with tcp:// or ssl://, and a Bitcoin Core node's with http://"
        }
        _ => "see the message, and the server's log",
    };
    text.to_owned()
}
