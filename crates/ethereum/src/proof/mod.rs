//! A contract call that is run here, on state that is proven against a block's header.
//!
//! The proofs (EIP-1186) come from endpoints that may lie, and nothing of what they claim is gone by:
//!
//! 1. [`trie`]: the value that a proof leads to under a root, or that there is none.
//! 2. [`state`]: the accounts, slots and code that have been proven under one block's state root.
//! 3. [`run`]: the call, run on that state in the block's environment. It ends, or it says what is missing.
//! 4. [`prover`]: the questions. What is missing is asked for until the call ends.
//! 5. [`witness`]: what a call rested on, kept so that it can be run again.
//!
//! The first three do no I/O.

mod prover;
mod run;
mod schedule;
mod state;
mod trie;
mod witness;

pub use prover::{ProofError, Proven, Prover, ServerError};
pub use run::{Call, ExecutionError, GAS_LIMIT, MAX_SLOTS, Run, run};
pub use state::{AccountProof, AccountProofError, Codes, Shortfall, State, StorageProof};
pub use trie::TrieError;
pub use witness::{Recorder, Replayed, Witness, WitnessError};
