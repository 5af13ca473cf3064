//! The result of generating: a proposal, a commitment to submit first, nothing to propose, or undecided.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::B256;
use bitcoin::{FeeRate, Psbt, Transaction};
use coxswain_bitcoin::BackendError;
use coxswain_ethereum::Block;
use coxswain_rules::{
    Action, Amount, Case, KeyHash, LeaderFee, MaximumFeeError, MissingError, OutPoint, Proposal, Rejection,
    ScriptBuf, Subject, TransactionError, UnsignedTransaction, Utxo, WalletState,
    units::{BlockNumber, UnixTime},
};

use crate::{Exclusion, Why};

/// The result of one pass over a checklist, at one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChecklistOutcome {
    /// The block that everything was read at.
    pub block: Block,
    /// The actions tried, in order. The last one is the proposal's, when there is one.
    pub attempts: Vec<Attempt>,
}

/// The result of one action, with what was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The action.
    pub action: Action,
    /// The result.
    pub outcome: ActionOutcome,
    /// What was left out, and why.
    pub excluded: Vec<Exclusion>,
}

/// The result of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionOutcome {
    /// This can be proposed: the contract accepts it.
    Proposal(Box<PreparedProposal>),
    /// The wallet must commit to these targets before its funds can be moved.
    Commitment(Box<CommitmentDue>),
    /// There is nothing to propose.
    Nothing(Nothing),
    /// Undecided, and why.
    Undecided(SessionError),
}

/// A proposal that the contract accepts, and the transaction that carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedProposal {
    /// The proposal, with all that it takes to judge it.
    pub case: Case,
    /// Its transaction. `None` for a heartbeat.
    pub transaction: Option<ProposedTransaction>,
}

/// The transaction that a proposal stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedTransaction {
    /// The transaction, unsigned.
    pub unsigned: UnsignedTransaction,
    /// The fee proposed. Change that is left out is paid on top of it.
    pub fee: LeaderFee,
    /// The transactions whose outputs it spends, if they were looked up.
    pub funding: Vec<Transaction>,
}

impl ProposedTransaction {
    /// The transaction as other signers take it.
    pub fn psbt(&self) -> Psbt {
        self.unsigned.psbt(&self.funding)
    }

    /// The fee's rate, rounded down.
    pub fn fee_rate(&self) -> FeeRate {
        let weight = u128::from(self.unsigned.vsize()).saturating_mul(4).max(1);
        let rate = u128::from(self.unsigned.fee().to_sat()).saturating_mul(1_000) / weight;
        FeeRate::from_sat_per_kwu(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

impl PreparedProposal {
    /// The proposal as it is broadcast.
    pub fn proposal(&self) -> Proposal {
        match &self.case.subject {
            Subject::Heartbeat(proposal) => Proposal::Heartbeat(proposal.clone()),
            Subject::DepositSweep { proposal, .. } => Proposal::DepositSweep(proposal.clone()),
            Subject::Redemption(proposal) => Proposal::Redemption(proposal.clone()),
            Subject::MovingFunds { proposal, .. } => Proposal::MovingFunds(proposal.clone()),
            Subject::MovedFundsSweep(proposal) => Proposal::MovedFundsSweep(proposal.clone()),
        }
    }
}

/// What `Bridge.submitMovingFundsCommitment` is to be called with, beside the wallet's members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentDue {
    /// The wallet's main UTXO.
    pub main_utxo: Utxo,
    /// The wallets to move its funds to, in order.
    pub targets: Vec<KeyHash>,
}

/// Why there is nothing to propose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Nothing {
    /// There are no candidates, or all were left out.
    #[error("there is nothing that could be done now")]
    NoneLeft,
    /// The wallet's state allows no such action.
    #[error("the wallet is in state {0:?}")]
    WalletState(WalletState),
    /// The wallet has no main UTXO to spend.
    #[error("the wallet has no main UTXO")]
    NoMainUtxo,
    /// The main UTXO is spent on Bitcoin: an earlier transaction of the wallet waits for its proof.
    #[error("the main UTXO {0} is spent: a transaction of the wallet waits for its proof")]
    MainUtxoSpent(OutPoint),
    /// The wallet has no main UTXO, and an output that only it can spend is spent.
    #[error("{0} is spent, which only the wallet can: a transaction of its own waits for its proof")]
    Unproven(OutPoint),
    /// No fee is both enough and allowed.
    #[error(transparent)]
    Fee(#[from] MaximumFeeError),
    /// Paying any of these requests would leave change that is too small to relay: they wait for more, or for a larger main UTXO.
    #[error("any payment would leave change too small to relay: {} waits", scripts(.0))]
    DustChange(Vec<ScriptBuf>),
    /// An output of the wallet's transaction would be too small to relay.
    #[error("an output would be worth {} sat, and less than {} sat does not relay", value.to_sat(), least.to_sat())]
    DustOutput {
        /// What it would be worth.
        value: Amount,
        /// The least that relays.
        least: Amount,
    },
    /// The transaction can't be built.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The contract rejects the proposal, whatever its items.
    #[error("the contract rejects the proposal: {}", .0.cause)]
    Rejected(Box<Rejection>),
    /// The contract rejected one item after the other.
    #[error("the contract rejected one item after the other, {0} in all")]
    TooManyRejections(usize),
    /// The wallet's funds are not moved yet.
    #[error("funds are not moved before {after}")]
    TooEarly {
        /// The time that must have come, by the chain's clock.
        after: UnixTime,
    },
    /// Redemptions are still to be paid.
    #[error("redemptions of {} sat are pending", .0.to_sat())]
    RedemptionsPending(Amount),
    /// Moved funds are still to be swept.
    #[error("{0} moved funds sweeps are pending")]
    SweepsPending(u32),
    /// Deposits can still be swept.
    #[error("{0} deposits can still be swept")]
    DepositsSweepable(usize),
    /// The balance is not worth moving.
    #[error("the balance of {} sat is under the dust threshold of {} sat", balance.to_sat(), threshold.to_sat())]
    BelowDust {
        /// What there is.
        balance: Amount,
        /// The Bridge's threshold.
        threshold: Amount,
    },
    /// There are not as many Live wallets as the balance asks for.
    #[error("{found} Live wallets were found to move funds to, {needed} needed")]
    TooFewTargets {
        /// How many were found.
        found: usize,
        /// How many are needed.
        needed: u64,
    },
}

/// The requests to these scripts, by name.
fn scripts(scripts: &[ScriptBuf]) -> String {
    let names: Vec<_> = scripts.iter().map(|script| format!("redemption to {script:x}")).collect();
    names.join(", ")
}

impl Nothing {
    /// Lets a transaction pass whose outputs all relay.
    pub(crate) fn unless_relayed(unsigned: UnsignedTransaction) -> Result<UnsignedTransaction, Self> {
        let dust = unsigned.dust().next().map(|(_, output)| Self::DustOutput {
            value: output.value,
            least: output.script_pubkey.minimal_non_dust(),
        });
        dust.map_or(Ok(unsigned), Err)
    }
}

/// Why it is undecided what to propose. That never means that there is nothing to propose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Ethereum, or the Bridge, gave no usable answer.
    #[error(transparent)]
    Ethereum(#[from] coxswain_ethereum::ChainError),
    /// Bitcoin gave no usable answer.
    #[error(transparent)]
    Bitcoin(#[from] BackendError),
    /// Something was not read that should have been.
    #[error(transparent)]
    Missing(#[from] MissingError),
    /// None of the wallet's recorded transactions makes the output that the Bridge knows.
    #[error("the main UTXO that hashes to {0} is not found among the wallet's recorded transactions")]
    MainUtxoNotFound(B256),
    /// Requests are pending, and some may be older than the first event known.
    #[error("redemptions are pending, but events are known from block {from} on only, not from {needed}")]
    EventsTooShort {
        /// The first block whose events are known.
        from: BlockNumber,
        /// The first block whose events matter.
        needed: BlockNumber,
    },
    /// By the Bridge's state a deposit was revealed in a block, and no server shows an event that fits.
    #[error("the Bridge's state says that deposit {outpoint} was revealed in block {block}, but {said}")]
    RevealHidden {
        /// The deposit.
        outpoint: OutPoint,
        /// The block.
        block: BlockNumber,
        /// Who says what.
        said: String,
    },
    /// The event of the wallet's commitment was not found.
    #[error("no event tells the target wallets that hash to {0}")]
    CommitmentNotFound(B256),
    /// The Bridge counts pending moved funds sweeps of the wallet for which the search has found no event.
    #[error("{pending} moved funds sweeps are pending, and events tell of {found}")]
    MovedFundsNotFound {
        /// How many events tell of.
        found: usize,
        /// How many the Bridge counts.
        pending: u32,
    },
    /// Bitcoin has no estimate of fees, and no rate is configured to stand for it.
    #[error("Bitcoin has no estimate of fees, and no fallback fee rate is configured")]
    NoFeeRate,
    /// The contract and the rules evaluated here say different things: neither is to be trusted.
    #[error(
        "the contract {contract}, but the rules evaluated here {rules}: trust neither, and find out which one is wrong"
    )]
    Disagreement {
        /// What the contract does with the proposal.
        contract: String,
        /// What the rules do with it.
        rules: String,
    },
    /// The wallet has no main UTXO, and one of its deposits is spent. Either the wallet has swept it, or it was refunded.
    #[error("deposit {0} is spent: whether the wallet has swept it or it was refunded can't be told")]
    SweptOrRefunded(OutPoint),
    /// The wallet has no main UTXO, and too many deposits to check whether it has swept one of them.
    #[error(
        "the wallet has no main UTXO and {0} deposits: whether it has swept one of them is not looked into"
    )]
    TooManyDeposits(usize),
    /// The wallet has no main UTXO, and its registration, from which on it may have swept deposits, is not found.
    #[error("no event tells when the wallet was registered")]
    RegistrationNotFound,
    /// The case is about another wallet than the session.
    #[error("the case is about wallet {case}, the session about {session}")]
    OtherWallet {
        /// The session's wallet.
        session: KeyHash,
        /// The case's.
        case: KeyHash,
    },
    /// Bitcoin gave fewer answers than it was asked for, or more.
    #[error("Bitcoin gave {answers} answers to {questions} questions")]
    AnswersMissing {
        /// How many there are.
        answers: usize,
        /// How many there should be.
        questions: usize,
    },
}

impl SessionError {
    /// A stable name for the kind of failure, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ethereum(undecided) => undecided.kind(),
            Self::Bitcoin(_) | Self::AnswersMissing { .. } => "bitcoin",
            Self::Missing(_) => "unread",
            Self::MainUtxoNotFound(_) => "main-utxo-not-found",
            Self::EventsTooShort { .. } => "events-too-short",
            Self::RevealHidden { .. } => "reveal-hidden",
            Self::CommitmentNotFound(_) => "commitment-not-found",
            Self::MovedFundsNotFound { .. } => "moved-funds-not-found",
            Self::NoFeeRate => "no-fee-rate",
            Self::Disagreement { .. } => "disagreement",
            Self::SweptOrRefunded(_) => "swept-or-refunded",
            Self::TooManyDeposits(_) => "too-many-deposits",
            Self::RegistrationNotFound => "registration-not-found",
            Self::OtherWallet { .. } => "other-wallet",
        }
    }
}

impl ChecklistOutcome {
    /// The proposal. `None` if there is none.
    pub fn proposed(&self) -> Option<&PreparedProposal> {
        self.attempts.iter().find_map(|attempt| match &attempt.outcome {
            ActionOutcome::Proposal(proposed) => Some(&**proposed),
            _ => None,
        })
    }

    /// The commitment to submit. `None` if there is none.
    pub fn commitment(&self) -> Option<&CommitmentDue> {
        self.attempts.iter().find_map(|attempt| match &attempt.outcome {
            ActionOutcome::Commitment(commitment) => Some(&**commitment),
            _ => None,
        })
    }

    /// What kept an action from being decided, when nothing was found to do: there may be something to propose.
    pub fn undecided(&self) -> Option<&SessionError> {
        if self.proposed().is_some() || self.commitment().is_some() {
            return None;
        }
        self.attempts.iter().find_map(|attempt| match &attempt.outcome {
            ActionOutcome::Undecided(undecided) => Some(undecided),
            _ => None,
        })
    }
}

impl fmt::Display for ActionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proposal(_) => f.write_str("proposed"),
            Self::Commitment(due) => {
                write!(f, "the wallet must commit to {} target wallets first", due.targets.len())
            }
            Self::Nothing(nothing) => nothing.fmt(f),
            Self::Undecided(undecided) => undecided.fmt(f),
        }
    }
}

impl From<Nothing> for ActionOutcome {
    fn from(nothing: Nothing) -> Self {
        Self::Nothing(nothing)
    }
}

impl From<SessionError> for ActionOutcome {
    fn from(undecided: SessionError) -> Self {
        Self::Undecided(undecided)
    }
}

impl From<BackendError> for ActionOutcome {
    fn from(error: BackendError) -> Self {
        SessionError::Bitcoin(error).into()
    }
}

impl From<MissingError> for ActionOutcome {
    fn from(missing: MissingError) -> Self {
        SessionError::Missing(missing).into()
    }
}

/// How far an action has come; what ends it early is an outcome, too.
pub(crate) type Progress<T> = Result<T, ActionOutcome>;

/// Why a batch can't be proposed: for some of its items, by position, or as a whole.
pub(crate) enum Refusal {
    Items(BTreeMap<usize, Why>),
    All(Nothing),
}

impl From<Nothing> for Refusal {
    fn from(nothing: Nothing) -> Self {
        Self::All(nothing)
    }
}

impl From<MaximumFeeError> for Refusal {
    fn from(error: MaximumFeeError) -> Self {
        Self::All(Nothing::Fee(error))
    }
}

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        match error.item() {
            Some(item) => Self::Items([(item, Why::Transaction(error))].into()),
            None => Self::All(Nothing::Transaction(error)),
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection.item().and_then(|item| usize::try_from(item).ok()) {
            Some(item) => Self::Items([(item, Why::Contract(Box::new(rejection)))].into()),
            None => Self::All(Nothing::Rejected(Box::new(rejection))),
        }
    }
}
