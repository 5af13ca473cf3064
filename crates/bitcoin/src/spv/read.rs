//! Reads what a proof is made of. Its parts are of one moment, or it is read again.

use bitcoin::{Transaction, block::Header};
use coxswain_rules::units::Height;

use super::{
    proof::{SpvProof, SpvProofError},
    work::{MOST_HEADERS, NotProvable, WorkAsked, headers_needed},
};
use crate::{Backend, BackendError, Coinbase, Mined};

/// How often a proof is read if blocks come in between.
const ATTEMPTS: usize = 3;
/// How many headers are asked for first: enough on mainnet, where the factor is 6, unless the difficulty fell by half.
const FIRST_HEADERS: usize = 12;

/// Why there is no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The backend gave no usable answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The transaction can't be proven now.
    #[error(transparent)]
    NotProvable(#[from] NotProvable),
    /// The backend's answers do not prove the transaction.
    #[error("what the Bitcoin backend says does not hold together: {0}")]
    Proof(#[from] SpvProofError),
    /// The chain changed each time that the proof was read.
    #[error("the chain changed while the proof was read, {ATTEMPTS} times")]
    Changing,
}

/// The proof of a transaction that is said to be in the best chain's block at this height: read, and checked as a whole.
///
/// # Errors
/// If the transaction can't be proven now, or the backend's answers are of no use.
pub async fn read_proof<B: Backend>(
    backend: &B,
    transaction: &Transaction,
    height: Height,
    asked: &WorkAsked,
) -> Result<SpvProof, ReadError> {
    for _ in 0..ATTEMPTS {
        let before = backend.tip().await?;
        let read = attempt(backend, transaction, height, asked).await;
        // Neither a proof nor a failure counts that is of two chains.
        if backend.tip().await? == before {
            let proof = read?;
            proof.check(asked, height).map_err(not_provable)?;
            return Ok(proof);
        }
    }
    Err(ReadError::Changing)
}

/// Too little work is a state, no contradiction.
fn not_provable(error: SpvProofError) -> ReadError {
    match error {
        SpvProofError::Work(reason) => reason.into(),
        other => other.into(),
    }
}

async fn attempt<B: Backend>(
    backend: &B,
    transaction: &Transaction,
    height: Height,
    asked: &WorkAsked,
) -> Result<SpvProof, ReadError> {
    let headers = read_headers(backend, height, asked).await?;
    let mined = [Mined { txid: transaction.compute_txid(), height }];
    let (branches, coinbase) = tokio::join!(backend.branches(&mined), backend.coinbase(height));
    let missing = || BackendError::Garbage {
        method: "merkle branch",
        endpoint: "the backend".to_owned(),
        cause: "nothing was answered".to_owned(),
    };
    let branch = branches?.pop().ok_or_else(missing)??;
    let Coinbase { transaction: coinbase, branch: coinbase_branch } = coinbase?;
    Ok(SpvProof { transaction: transaction.clone(), branch, coinbase, coinbase_branch, headers })
}

/// As many headers as are needed, in steps: how many that is, they tell themselves.
async fn read_headers<B: Backend>(
    backend: &B,
    height: Height,
    asked: &WorkAsked,
) -> Result<Vec<Header>, ReadError> {
    let (mut headers, mut goal): (Vec<Header>, usize) = (Vec::new(), FIRST_HEADERS);
    loop {
        let offset = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let wanted = goal.saturating_sub(headers.len());
        let more = backend.headers(height.saturating_add(offset(headers.len())), offset(wanted)).await?;
        let ended = more.len() < wanted;
        headers.extend(more);
        match headers_needed(asked, height, &headers) {
            Ok(needed) => {
                headers.truncate(needed);
                return Ok(headers);
            }
            // One more than are allowed shows that more would be needed.
            Err(NotProvable::WaitingForBlocks { .. }) if !ended && goal <= MOST_HEADERS => {
                goal = goal.saturating_mul(4).min(MOST_HEADERS.saturating_add(1));
            }
            Err(reason) => return Err(reason.into()),
        }
    }
}
