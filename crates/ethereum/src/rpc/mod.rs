//! JSON-RPC over HTTP: one connection, several endpoints, one block that all reads of a decision come from, and calls of
//! contracts at it.

mod block;
mod call;
mod connection;
mod endpoints;
mod error;
mod header;
mod ranges;
mod refusal;
mod revert;

pub use block::{Block, BlockSelector, InvalidBlockSelector, Position};
pub use call::Called;
pub use connection::ConnectError;
pub(crate) use connection::Connection;
pub use endpoints::{Condition, Endpoint, Expected, Health, MAX_LAG};
pub use error::{RequestError, Unfit};
pub use header::HashedHeader;
pub(crate) use ranges::{End, LogRanges};
pub use revert::revert_of;
