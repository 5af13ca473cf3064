//! The rules that every member of a wallet must apply alike: what a proposal is, which rules it must keep,
//! and how a broken one is named. Pure: no I/O, clock, randomness or async.
//!
//! ```
//! use coxswain_rules::{Case, HeartbeatProposal, KeyHash, RuleId, Snapshot, Subject, evaluate};
//!
//! // A heartbeat's message begins with eight bytes `ff`, so that it is no transaction: rule HB-1.
//! let case = |message: &[u8]| Case {
//!     wallet: KeyHash([1; 20]),
//!     subject: Subject::Heartbeat(HeartbeatProposal { message: message.to_vec() }),
//! };
//! let snapshot = Snapshot::default();
//! assert_eq!(evaluate(&case(b"\xff\xff\xff\xff\xff\xff\xff\xffalive..!"), &snapshot).unwrap().first(), None);
//! let broken = evaluate(&case(b"a transaction..."), &snapshot).unwrap().first().unwrap();
//! assert_eq!(broken.rule, Some(RuleId::Hb1));
//! ```

mod assurances;
mod deposit_script;
mod fees;
mod keys;
pub mod network;
mod objection;
mod output_vector;
mod plausible;
mod predicates;
mod proposal;
mod quorum;
mod reason;
mod rule;
mod shares;
mod snapshot;
mod transactions;
pub mod units;

pub use assurances::Assurances;
pub use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
pub use deposit_script::{DepositOutputType, DepositScript};
pub use fees::{
    FOLLOWER_ALLOWANCE, FOLLOWER_ESTIMATE_FACTOR, FeeConditions, FeeObjection, FeeRuling, FeeTerms,
    LEADER_LEAST_RATE, LeaderFee, MaximumFeeError, NextBlock, RelayMinimum,
};
pub use keys::{DepositKey, RedemptionKey, SweepRequestKey, main_utxo_hash, target_wallets_commitment};
pub use objection::{Assurance, Assured, Objection, Timing};
pub use output_vector::{OutputVectorError, VectorOutput, output_at};
pub use predicates::{
    DEPOSIT_MIN_AGE, DEPOSIT_REFUND_SAFETY_MARGIN, DEPOSIT_SWEEP_MAX_SIZE, Finding, REDEMPTION_MAX_SIZE,
    REDEMPTION_REQUEST_MIN_AGE, REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN, RuleReport, Ruling,
    deposit_findings, evaluate, redemption_findings,
};
pub use proposal::{
    Action, Case, DepositExtraInfo, DepositSweepProposal, FundingTransaction, HeartbeatProposal, KeyHash,
    MovedFundsSweepProposal, MovingFundsProposal, Proposal, RedemptionProposal, RevealedDeposit, Subject,
    Utxo,
};
pub use quorum::{Dissent, Dissents, Quorum, QuorumError, servers};
pub use reason::{Cause, Reason, Rejection, SweepRequestState, Value, WalletState, rule_of_deployed_reason};
pub use rule::RuleId;
pub(crate) use shares::largest_deposit_share;
pub use shares::redemption_share;
pub use snapshot::{
    DepositParameters, DepositRecord, MissingError, MovingFundsParameters, RedemptionParameters,
    RedemptionRecord, Snapshot, SweepRequestRecord, WalletRecord,
};
pub use transactions::{SignError, TransactionError, UnsignedTransaction, wallet_script};
