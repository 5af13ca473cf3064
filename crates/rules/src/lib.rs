//! The rules that every member of a wallet must apply alike: what a proposal is, which rules it must keep,
//! and how a broken one is named. Pure: no I/O, clock, randomness or async.

mod proposal;
mod reason;
mod rule;

pub use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
pub use proposal::{
    Action, Case, DepositExtraInfo, DepositSweepProposal, FundingTransaction, HeartbeatProposal, KeyHash,
    MovedFundsSweepProposal, MovingFundsProposal, Proposal, RedemptionProposal, RevealedDeposit, Subject,
    Utxo,
};
pub use reason::{Cause, Reason, Rejection, SweepRequestState, Value, WalletState, rule_of_deployed_reason};
pub use rule::RuleId;
