//! `WalletProposalValidator`, ours or the deployed one: the call that judges a case, and what its answer means.

mod calldata;
mod proposal_validator;
mod reason;

pub use calldata::calldata;
pub use proposal_validator::{Constant, ContractVerdict, Judgement, ProposalValidator};
pub use reason::reason;
