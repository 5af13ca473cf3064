//! SPV proofs: what tBTC's Bridge takes for proof that a transaction is in Bitcoin's best chain, and what its light relay takes
//! for proof of a new difficulty. They are made of what a backend says, and checked here as a whole, as nobody should pay for a
//! refusal.

mod linked;
mod proof;
mod read;
mod retarget;
mod work;

pub use linked::LinkError;
pub use proof::{SpvProof, SpvProofError};
pub use read::{ReadError, read_proof};
pub use retarget::{RetargetError, RetargetProof};
pub use work::{
    Difficulty, EPOCH, MOST_HEADERS, NotProvable, RelayDifficulties, WorkAsked, epochs_left, headers_needed,
};
