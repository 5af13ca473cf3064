//! Which network's coordination parameters hold, and the endpoint that may say so: shared by `window` and `leader`.

use std::fmt;

use coxswain_ethereum::{Chain, ChainError, ConnectError, Endpoints, Expected, GroupError, RequestError};
use coxswain_protocol::WindowParameters;
use coxswain_rules::{Assurance, Assurances, network::Preset};
use url::Url;

use crate::arguments::AskingArguments;

/// A network's coordination parameters, under the name that a person knows them by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedParameters {
    /// The name.
    pub name: &'static str,
    /// The parameters.
    pub network: WindowParameters,
}

impl NamedParameters {
    /// The parameters of a network that was asked for by name; mainnet's when none was.
    pub fn chosen(network: Option<Preset>) -> Self {
        let Preset { name, parameters, .. } = network.unwrap_or(Preset::MAINNET);
        let network = WindowParameters::try_from(parameters).expect("presets are sound: a test says so");
        Self { name, network }
    }

    /// The parameters of the endpoint's chain, which must be the network's when one was asked for.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer, or serves another chain.
    pub async fn served(endpoint: &Endpoints, network: Option<Preset>) -> Result<Self, ChainError> {
        Ok(match Chain::served(endpoint, network).await?.network {
            Some(known) => Self::chosen(Some(known)),
            None => Self { name: "default", network: WindowParameters::default() },
        })
    }
}

impl fmt::Display for NamedParameters {
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
    Undecided(#[from] ChainError),
    /// The wallet has no signing group, or none that can be trusted.
    #[error("{error} ({known})")]
    Group {
        /// Why.
        error: Box<GroupError>,
        /// How that is known.
        known: Assurances,
    },
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
    /// The process's exit code: 1 no such wallet, 2 usage, 3 undecided.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Group { error, .. } if matches!(**error, GroupError::NoWallet(_) | GroupError::Gone(_)) => {
                1
            }
            Self::Usage(_) | Self::Connect(_) => 2,
            Self::Group { .. } | Self::Undecided(_) => 3,
        }
    }

    /// The kind of failure that leaves the question open, if it is open.
    pub fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Undecided(error) => Some(error.kind()),
            Self::Group { .. } if self.exit_code() == 3 => Some("contradiction"),
            Self::Group { .. } | Self::Usage(_) | Self::Connect(_) => None,
        }
    }
}

/// Refuses what is known less well than is required.
pub(crate) fn require(
    known: &Assurances,
    required: Option<Assurance>,
    answer: impl FnOnce() -> String,
) -> Result<(), CoordinationError> {
    match required {
        Some(required) if !known.meets(required) => {
            Err(ChainError::TooWeak { actual: known.weakest(), required, answer: answer() }.into())
        }
        _ => Ok(()),
    }
}

/// The endpoints at the URLs.
pub(crate) fn endpoint(
    urls: &[Url],
    network: Option<Preset>,
    asking: &AskingArguments,
) -> Result<Endpoints, CoordinationError> {
    Ok(asking.endpoints(urls, Expected { network, ..Expected::default() })?)
}
