//! JSON-RPC over HTTP: one connection, several endpoints, one block that all reads of a decision come from, and calls of
//! contracts at it.

mod activity;
mod block;
mod call;
mod connection;
mod endpoints;
mod error;
mod header;
mod member;
mod ranges;
mod refusal;
mod revert;
mod votes;

pub use activity::Activity;
pub use block::{Block, BlockSelector, BlockSelectorError, Position};
pub use call::Called;
pub(crate) use connection::Connection;
pub use connection::{ConnectError, REQUEST_TIMEOUT};
pub use endpoints::{Endpoints, MAX_LAG};
pub(crate) use error::takes_no_hash;
pub use error::{RequestError, UnfitError};
pub use header::HashedHeader;
pub use member::{Condition, Expected, Health};
pub(crate) use ranges::{End, LogRanges};
pub use revert::revert_of;
pub(crate) use votes::{Disagreement, Dissents, agreed};

/// The host and the port that a URL names.
pub(crate) fn address(url: &url::Url) -> (&str, Option<u16>) {
    (url.host_str().unwrap_or_default(), url.port_or_known_default())
}
