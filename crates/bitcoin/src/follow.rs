//! Follows a server's chain: what the header chain is told.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bitcoin::BlockHash;
use coxswain_rules::units::Height;

use crate::{
    BackendError, Server,
    chain::{FlawError, HeaderChain, HeaderError},
};

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
    TooShort(Height),
    /// The server has another block where the chain starts.
    #[error("it has block {actual} at height {height}, where our chain starts with {expected}")]
    OtherChain {
        /// The height of our chain's start.
        height: Height,
        /// The server's block there.
        actual: BlockHash,
        /// Ours.
        expected: BlockHash,
    },
    /// The server shows more headers than there can be by now.
    #[error("it shows more new headers than {0}, more than there can be by now")]
    TooMany(u32),
}

/// Takes in all the headers that the server has beyond what is known, and says which is its newest. `now` is the clock, in Unix
/// seconds. What was taken in before a failure stays. The chain is nobody's while the server is awaited.
///
/// # Errors
/// If the server has no usable answer, or shows a header that doesn't hold.
pub async fn follow<S: Server>(
    chain: &Mutex<HeaderChain>,
    server: &S,
    now: u32,
) -> Result<BlockHash, FollowError> {
    let locked = || -> MutexGuard<'_, HeaderChain> { chain.lock().unwrap_or_else(PoisonError::into_inner) };
    // The newest known header is asked for again: the server may be on a branch.
    let (start, mut from, most) = {
        let chain = locked();
        (chain.start(), chain.height(), chain.most_new(now))
    };
    let (mut back, mut taken) = (1, 0_u32);
    loop {
        let headers = server.headers(from, BATCH).await?;
        let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        let mut chain = locked();
        let outcome = match headers.last() {
            Some(last) => chain.connect(from, &headers, now).map(|()| last.block_hash()),
            None if from == start => return Err(FollowError::TooShort(from)),
            None => Err(HeaderError { height: from, flaw: FlawError::Unlinked }),
        };
        match outcome {
            Ok(newest) if count < BATCH => return Ok(newest),
            Ok(_) => {
                from = from.saturating_add(count);
                taken = taken.saturating_add(count);
                if taken > most {
                    return Err(FollowError::TooMany(most));
                }
            }
            Err(HeaderError { height, flaw: FlawError::Unlinked }) if height == from => {
                let other = headers.first().map(|header| header.block_hash());
                if let (true, Some(actual), Some(first)) = (from == start, other, chain.headers().first()) {
                    let expected = first.block_hash();
                    return Err(FollowError::OtherChain { height, actual, expected });
                }
                // Where the server left our chain lies further back.
                from = from.saturating_sub(back).max(start);
                back = back.saturating_mul(2);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
