//! Follows a server's chain: the one part of the header chain that asks.

use bitcoin::BlockHash;

use super::{FlawError, HeaderChain, HeaderError};
use crate::{Backend, BackendError};

/// How many headers are asked for at once. Fewer in an answer are the server's newest.
const BATCH: u32 = 2_016;

/// Why a server's chain can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The server gave no usable answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A header doesn't hold.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The server has no block as high as the chain's start.
    #[error("it has no block at height {0}, where our chain starts")]
    TooShort(u32),
}

/// Takes in all the headers that the server has beyond what is known, and says which is its newest. `now` is the clock, in Unix
/// seconds. What was taken in before a failure stays.
///
/// # Errors
/// If the server has no usable answer, or shows a header that doesn't hold.
pub async fn follow<B: Backend>(
    chain: &mut HeaderChain,
    server: &B,
    now: u32,
) -> Result<BlockHash, FollowError> {
    // The newest known header is asked for again: the server may be on a branch.
    let (mut from, mut back) = (chain.height(), 1);
    loop {
        let headers = server.headers(from, BATCH).await?;
        let outcome = match headers.last() {
            Some(last) => chain.connect(from, &headers, now).map(|()| last.block_hash()),
            None if from == chain.start() => return Err(FollowError::TooShort(from)),
            None => Err(HeaderError { height: from, flaw: FlawError::Unlinked }),
        };
        match outcome {
            Ok(newest) => match u32::try_from(headers.len()).ok().filter(|count| *count >= BATCH) {
                Some(count) => from = from.saturating_add(count),
                None => return Ok(newest),
            },
            // Where the server left our chain lies further back.
            Err(HeaderError { height, flaw: FlawError::Unlinked })
                if height == from && from > chain.start() =>
            {
                from = from.saturating_sub(back).max(chain.start());
                back = back.saturating_mul(2);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
