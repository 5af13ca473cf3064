//! Which network's coordination parameters hold, and the endpoint that may say so: shared by `window` and `leader`.

use std::fmt;

use coxswain_ethereum::{ConnectError, Endpoint, Expected, RequestError, Undecided};
use coxswain_protocol::Network;
use url::Url;

/// A network's coordination parameters, under the name that a person knows them by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// The parameters.
    pub network: Network,
}

impl Named {
    const MAINNET: Self = Self { name: "mainnet", network: Network::MAINNET };
    const LOCAL: Self = Self { name: "local", network: Network::LOCAL };

    /// The parameters of a network that was asked for by name; mainnet's when none was.
    pub const fn chosen(network: Option<coxswain_ethereum::Network>) -> Self {
        match network {
            None | Some(coxswain_ethereum::Network::Mainnet) => Self::MAINNET,
            Some(coxswain_ethereum::Network::Local) => Self::LOCAL,
        }
    }

    /// The parameters of the endpoint's chain, which must be the network's when one was asked for.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer, or serves another chain.
    pub async fn served(
        endpoint: &Endpoint,
        network: Option<coxswain_ethereum::Network>,
    ) -> Result<Self, Undecided> {
        let chain_id = endpoint.chain_id().await?;
        if let Some(network) = network {
            endpoint.require_network(chain_id, network)?;
        }
        Ok(Self::on_chain(chain_id))
    }

    /// The parameters of a chain: the network's that it is known to serve, else the protocol's own.
    pub fn on_chain(chain_id: u64) -> Self {
        match coxswain_ethereum::Network::of_chain(chain_id) {
            Some(known) => Self::chosen(Some(known)),
            None => Self { name: "default", network: Network::default() },
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Why a question about coordination has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinationError {
    /// What was asked makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The endpoint's URL can't be used.
    #[error("--rpc-url: {0}")]
    Connect(ConnectError),
    /// The endpoint gave no usable answer.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

impl From<ConnectError> for CoordinationError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<RequestError> for CoordinationError {
    fn from(error: RequestError) -> Self {
        Self::Undecided(error.into())
    }
}

impl CoordinationError {
    /// The process's exit code: 2 usage, 3 undecided.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Connect(_) => 2,
            Self::Undecided(_) => 3,
        }
    }
}

/// The endpoints at the URLs.
pub(crate) fn endpoint(
    urls: &[Url],
    network: Option<coxswain_ethereum::Network>,
) -> Result<Endpoint, CoordinationError> {
    Ok(Endpoint::several(urls.to_vec(), Expected { network, ..Expected::default() })?)
}
