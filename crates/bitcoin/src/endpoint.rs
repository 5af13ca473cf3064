//! One endpoint of either kind, as its URL says.

use std::{path::PathBuf, sync::Arc};

use bitcoin::{BlockHash, OutPoint, Transaction, block::Header, hashes::sha256};
use coxswain_rules::units::Height;
use url::Url;

use crate::{
    Answers, BackendError, Coinbase, Core, Cursor, Electrum, FeeRates, Limits, MerkleBranch, Mined, Output,
    Search, Server, Sighting, Tip,
    watch::{Watch, Watcher},
};

/// Why a URL names no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The URL's scheme is none of those that can be spoken.
    #[error("{0} is not spoken: use tcp or ssl for an Electrum server, http or https for Bitcoin Core")]
    Scheme(String),
    /// The URL names no host, or for an Electrum server no port.
    #[error("{0} is missing in the URL")]
    Missing(&'static str),
    /// The URL holds what it has no use for.
    #[error("{0} in the URL means nothing here")]
    Needless(String),
    /// What stands behind `#` is not a certificate's SHA-256.
    #[error("what stands behind # must be the certificate's SHA-256, as 64 hexadecimal digits")]
    Fingerprint,
    /// There are fewer servers than must say the same.
    #[error(transparent)]
    Quorum(#[from] coxswain_rules::QuorumError),
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up")]
    Http(#[from] reqwest::Error),
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// An Electrum server or a Bitcoin Core node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// An Electrum server.
    Electrum(Box<Electrum>),
    /// A Bitcoin Core node.
    Core(Box<Core>),
}

impl Endpoint {
    /// The endpoint at the URL. Nothing is sent yet.
    ///
    /// - `tcp://host:port`, `ssl://host:port`: an Electrum server. `ssl://host:port#f00d…` trusts the certificate with this
    ///   SHA-256 and no other.
    /// - `http://user:password@host:port` (or `https`): a Bitcoin Core node. `http://host:port?cookie=/path` reads user and
    ///   password from the node's cookie file.
    ///
    /// # Errors
    /// When the URL is none of these.
    pub fn new(url: &Url, limits: Limits) -> Result<Self, EndpointError> {
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or(EndpointError::Missing("the host"))?;
        match url.scheme() {
            "http" | "https" => {
                let mut cookie = None;
                for (key, value) in url.query_pairs() {
                    if key != "cookie" {
                        return Err(EndpointError::Needless(key.into_owned()));
                    }
                    cookie = Some(PathBuf::from(value.into_owned()));
                }
                let mut url = url.clone();
                url.set_query(None);
                Ok(Self::Core(Box::new(Core::new(url, cookie, limits)?)))
            }
            scheme @ ("tcp" | "ssl") => {
                let port = url.port().ok_or(EndpointError::Missing("the port"))?;
                let named = !url.username().is_empty() || url.password().is_some();
                let path = Some(url.path()).filter(|path| *path != "/");
                let needless = url.query().or(path.filter(|path| !path.is_empty()));
                if let Some(needless) = needless.or(named.then_some("a password")) {
                    return Err(EndpointError::Needless(needless.to_owned()));
                }
                let fingerprint = url
                    .fragment()
                    .map(|fragment| fragment.replace(':', "").parse::<sha256::Hash>())
                    .transpose()
                    .map_err(|_| EndpointError::Fingerprint)?;
                Ok(Self::Electrum(Box::new(match (scheme, fingerprint) {
                    ("tcp", Some(_)) => {
                        return Err(EndpointError::Needless("a certificate's SHA-256".to_owned()));
                    }
                    ("tcp", None) => Electrum::tcp(host, port, limits),
                    (_, fingerprint) => Electrum::tls(host, port, fingerprint, limits)?,
                })))
            }
            other => Err(EndpointError::Scheme(other.to_owned())),
        }
    }

    /// Returns the endpoint, watched by this watcher.
    #[must_use]
    pub fn watched(mut self, watcher: Arc<dyn Watcher>) -> Self {
        let watch = match &mut self {
            Self::Electrum(electrum) => &mut electrum.watch,
            Self::Core(core) => &mut core.watch,
        };
        *watch = Watch(Some(watcher));
        self
    }

    /// The endpoint's host and port.
    pub fn name(&self) -> &str {
        match self {
            Self::Electrum(electrum) => electrum.name(),
            Self::Core(core) => core.name(),
        }
    }

    /// The host and the port that it is reached at.
    pub fn address(&self) -> (&str, Option<u16>) {
        match self {
            Self::Electrum(electrum) => electrum.address(),
            Self::Core(core) => core.address(),
        }
    }

    /// Returns the kind of endpoint.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Electrum(_) => "Electrum",
            Self::Core(_) => "Bitcoin Core",
        }
    }

    /// Returns the name that the endpoint gives itself.
    ///
    /// # Errors
    /// When it can't be asked.
    pub async fn software(&self) -> Result<String, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.software().await,
            Self::Core(core) => core.software().await,
        }
    }

    /// How many batches were sent so far, each of which awaited its answers.
    pub fn round_trips(&self) -> u64 {
        match self {
            Self::Electrum(electrum) => electrum.round_trips(),
            Self::Core(core) => core.round_trips(),
        }
    }
}

impl Server for Endpoint {
    async fn tip(&self) -> Result<Tip, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.tip().await,
            Self::Core(core) => core.tip().await,
        }
    }

    async fn fee_rates(&self) -> Result<FeeRates, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.fee_rates().await,
            Self::Core(core) => core.fee_rates().await,
        }
    }

    async fn sightings(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Sighting>>, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.sightings(outpoints).await,
            Self::Core(core) => core.sightings(outpoints).await,
        }
    }

    async fn headers_at(&self, heights: &[Height]) -> Result<Answers<Header>, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.headers_at(heights).await,
            Self::Core(core) => core.headers_at(heights).await,
        }
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<bool>, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.unspent(outputs).await,
            Self::Core(core) => core.unspent(outputs).await,
        }
    }

    async fn headers(&self, start: Height, count: u32) -> Result<Vec<Header>, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.headers(start, count).await,
            Self::Core(core) => core.headers(start, count).await,
        }
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.branches(mined).await,
            Self::Core(core) => core.branches(mined).await,
        }
    }

    async fn coinbase(&self, height: Height) -> Result<Coinbase, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.coinbase(height).await,
            Self::Core(core) => core.coinbase(height).await,
        }
    }

    async fn spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.spender(spent, from).await,
            Self::Core(core) => core.spender(spent, from).await,
        }
    }

    async fn broadcast(&self, transaction: &Transaction) -> Result<(), BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.broadcast(transaction).await,
            Self::Core(core) => core.broadcast(transaction).await,
        }
    }

    async fn genesis(&self) -> Result<BlockHash, BackendError> {
        match self {
            Self::Electrum(electrum) => electrum.genesis().await,
            Self::Core(core) => core.genesis().await,
        }
    }
}
