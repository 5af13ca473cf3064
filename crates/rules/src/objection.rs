//! Why a proposal's content is refused, how far that is to be believed, and what time does to it.

use std::fmt;

use bitcoin::{Amount, OutPoint, ScriptBuf};

use crate::{
    FeeObjection, KeyHash, Rejection, RuleId, TransactionError,
    units::{BlockNumber, Blocks, Confirmations, UnixTime},
};

/// How far a fact, or a verdict that rests on it, is to be believed. They are ordered: a verdict has the least of its facts'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Assurance {
    /// One server says so.
    Word,
    /// Enough servers say the same.
    Agreed,
    /// It was checked here, against a hash that is trusted for other reasons.
    Proven,
}

impl Assurance {
    /// The name in documents and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Agreed => "agreed",
            Self::Proven => "proven",
        }
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of a fact, and how far it is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assured<T> {
    /// The fact.
    pub fact: T,
    /// How far.
    pub assurance: Assurance,
}

impl<T> Assured<T> {
    /// The same of what follows from the fact.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Assured<U> {
        Assured { fact: map(self.fact), assurance: self.assurance }
    }
}

/// What the passing of time does to an objection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timing {
    /// Time can lift it: the proposal is judged again at each new block.
    Lifts,
    /// It comes with time: it may not have been there when the leader proposed, and blames nobody.
    Comes,
    /// Time alone changes nothing about it.
    Lasts,
}

/// Why a proposal's content is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Objection {
    /// The deposit's reveal is not among the events of the block that the proposal names.
    #[error("block {block} holds no reveal of deposit {outpoint}")]
    RevealNotInBlock {
        /// The deposit.
        outpoint: OutPoint,
        /// The block that the proposal names.
        block: BlockNumber,
    },
    /// The block that the proposal names for a deposit's reveal is not deep enough in the Ethereum chain yet.
    #[error("the reveal of deposit {outpoint} is {depth} blocks deep, at least {least} needed")]
    RevealTooShallow {
        /// The deposit.
        outpoint: OutPoint,
        /// How many blocks stand on the reveal's.
        depth: Blocks,
        /// How many it needs.
        least: Blocks,
    },
    /// A redemption request is not deep enough in the Ethereum chain yet.
    #[error(
        "the redemption request to {script:x} was made at {requested_at}, and only what was made up to {deep} is {least} blocks deep"
    )]
    RequestTooShallow {
        /// What the request is to be paid to.
        script: ScriptBuf,
        /// When it was made.
        requested_at: UnixTime,
        /// The time of the newest block that is deep enough.
        deep: UnixTime,
        /// How many blocks must stand on the request's.
        least: Blocks,
    },
    /// Bitcoin knows no such output.
    #[error("output {0} does not exist")]
    OutputMissing(OutPoint),
    /// The wallet has no main UTXO, and the action spends it.
    #[error("wallet {0} has no main UTXO to spend")]
    MainUtxoMissing(KeyHash),
    /// The contract rejects it.
    #[error("{0}")]
    Contract(Rejection),
    /// The validator deployed on mainnet accepts it, though nobody can spend what it sweeps (DS-11).
    #[error("{0}; the contract does not see that")]
    Unspendable(Rejection),
    /// The wallet's main UTXO is spent, maybe in the mempool: a transaction of the wallet waits for its proof.
    #[error("the main UTXO {0} is spent: a transaction of the wallet waits for its proof")]
    MainUtxoSpent(OutPoint),
    /// The wallet has no main UTXO, and an output that only it can spend is spent: a transaction of its own waits for its proof.
    #[error("{0} is spent, which only the wallet can: a transaction of its own waits for its proof")]
    OwnTransactionWaiting(OutPoint),
    /// The output has been spent, maybe by a transaction in the mempool.
    #[error("output {0} is spent")]
    OutputSpent(OutPoint),
    /// The output's transaction is too young.
    #[error("output {outpoint} has {confirmations} confirmations, at least {least} needed")]
    OutputUnconfirmed {
        /// The output.
        outpoint: OutPoint,
        /// How many confirmations it has.
        confirmations: Confirmations,
        /// How many it needs.
        least: Confirmations,
    },
    /// The inputs don't pay for the outputs and the fee.
    #[error("the inputs are worth {} sat, {} sat needed", inputs.to_sat(), needed.to_sat())]
    InputsTooSmall {
        /// What the inputs are worth.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        inputs: Amount,
        /// What outputs and fee come to.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        needed: Amount,
    },
    /// The transaction can't be built for another reason.
    #[error("the transaction can't be built: {0}")]
    Transaction(TransactionError),
    /// An output is so small that no node relays the transaction.
    #[error("output {index} of the transaction is worth {} sat, at least {} sat needed to relay", value.to_sat(), least.to_sat())]
    DustOutput {
        /// Which output of the transaction, counted from 0.
        index: usize,
        /// What it is worth.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        value: Amount,
        /// The least that relays.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        least: Amount,
    },
    /// Its fee can't relay, or burns the wallet's money.
    #[error("{0}")]
    Fee(FeeObjection),
    /// Moving funds has to wait.
    #[error("funds may be moved from {from}, it is {now}")]
    MovingFundsTooEarly {
        /// When the safety margin ends.
        from: UnixTime,
        /// The block's time.
        now: UnixTime,
    },
}

impl Objection {
    /// The rule broken, if the objection is one of the contract's rules.
    pub const fn rule(&self) -> Option<RuleId> {
        match self {
            Self::Contract(rejection) | Self::Unspendable(rejection) => rejection.rule,
            _ => None,
        }
    }

    /// A stable name for the kind of objection, for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RevealNotInBlock { .. } => "reveal-not-in-block",
            Self::RevealTooShallow { .. } => "reveal-too-shallow",
            Self::RequestTooShallow { .. } => "request-too-shallow",
            Self::OutputMissing(_) => "output-missing",
            Self::MainUtxoMissing(_) => "main-utxo-missing",
            Self::Contract(_) => "contract",
            Self::Unspendable(_) => "unspendable",
            Self::MainUtxoSpent(_) => "main-utxo-spent",
            Self::OwnTransactionWaiting(_) => "own-transaction-waiting",
            Self::OutputSpent(_) => "output-spent",
            Self::OutputUnconfirmed { .. } => "output-unconfirmed",
            Self::InputsTooSmall { .. } => "inputs-too-small",
            Self::Transaction(_) => "transaction",
            Self::DustOutput { .. } => "dust-output",
            Self::Fee(_) => "fee",
            Self::MovingFundsTooEarly { .. } => "moving-funds-too-early",
        }
    }

    /// What the passing of time does to it.
    pub const fn timing(&self) -> Timing {
        match self {
            Self::RevealTooShallow { .. }
            | Self::RequestTooShallow { .. }
            | Self::OutputUnconfirmed { .. }
            | Self::MovingFundsTooEarly { .. } => Timing::Lifts,
            Self::Contract(rejection) => match rejection.rule {
                Some(RuleId::Ds8 | RuleId::Rd7) => Timing::Lifts,
                Some(RuleId::Ds12 | RuleId::Rd8) => Timing::Comes,
                _ => Timing::Lasts,
            },
            Self::RevealNotInBlock { .. }
            | Self::OutputMissing(_)
            | Self::MainUtxoMissing(_)
            | Self::Unspendable(_)
            | Self::MainUtxoSpent(_)
            | Self::OwnTransactionWaiting(_)
            | Self::OutputSpent(_)
            | Self::InputsTooSmall { .. }
            | Self::Transaction(_)
            | Self::DustOutput { .. }
            | Self::Fee(_) => Timing::Lasts,
        }
    }

    /// Whether it is about a fee over which honest members can differ. It isn't if the fee is under half of what relays, or over
    /// twice of what is reasonable.
    pub fn fee_disagreement(&self) -> bool {
        matches!(self, Self::Fee(objection) if !objection.is_gross())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Reason};

    const fn sat(amount: u64) -> Amount {
        Amount::from_sat(amount)
    }

    fn contract(rule: Option<RuleId>) -> Objection {
        Objection::Contract(Rejection { rule, cause: Cause::Reason(Reason::FeeZero) })
    }

    #[test]
    fn assurances_order_from_a_word_to_a_proof() {
        assert!(Assurance::Word < Assurance::Agreed && Assurance::Agreed < Assurance::Proven);
        let facts = [Assurance::Proven, Assurance::Word, Assurance::Agreed];
        assert_eq!(facts.into_iter().min(), Some(Assurance::Word));
        assert_eq!(facts.map(|fact| fact.to_string()), ["proven", "word", "agreed"]);
    }

    #[test]
    fn of_the_contracts_rules_two_lift_two_come_and_the_rest_lasts() {
        let with = |timing| {
            let rules = RuleId::ALL.iter().copied();
            rules.filter(|rule| contract(Some(*rule)).timing() == timing).collect::<Vec<_>>()
        };
        assert_eq!(with(Timing::Lifts), [RuleId::Ds8, RuleId::Rd7]);
        assert_eq!(with(Timing::Comes), [RuleId::Ds12, RuleId::Rd8]);
        assert_eq!(with(Timing::Lasts).len(), RuleId::ALL.len() - 4);
        // A `Panic` names no rule.
        assert_eq!(contract(None).timing(), Timing::Lasts);
    }

    #[test]
    fn inc_33_a_fee_is_a_disagreement_unless_it_is_gross() {
        let low = |fee| Objection::Fee(FeeObjection::TooLow { fee: sat(fee), least: sat(400) });
        let high = |fee| Objection::Fee(FeeObjection::TooHigh { fee: sat(fee), most: sat(1_000) });
        assert!(low(399).fee_disagreement() && low(200).fee_disagreement() && !low(199).fee_disagreement());
        assert!(high(1_001).fee_disagreement() && high(2_000).fee_disagreement());
        assert!(!high(2_001).fee_disagreement());
        // Half of an odd minimum is no whole satoshi: 200 is under 200.5.
        let odd = |fee| Objection::Fee(FeeObjection::TooLow { fee: sat(fee), least: sat(401) });
        assert!(odd(201).fee_disagreement() && !odd(200).fee_disagreement());
        assert!(!contract(Some(RuleId::Ds6)).fee_disagreement());
    }
}
