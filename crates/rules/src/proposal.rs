//! What a wallet may be asked to do next, and what must stand beside a proposal for it to be judged.
//!
//! Byte orders can't be confused: a transaction is named by [`Txid`], which displays in Bitcoin's reversed order
//! and holds the internal order that contracts and the wire use.

use std::fmt;

use alloy_primitives::FixedBytes;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, consensus::encode};

use crate::units::BlockNumber;

/// HASH160 of a compressed secp256k1 public key: how the Bridge names a wallet, and a refund key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 20]);

impl serde::Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FixedBytes(self.0).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FixedBytes::<20>::deserialize(deserializer).map(Self::from)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FixedBytes(self.0).fmt(f)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<FixedBytes<20>> for KeyHash {
    fn from(bytes: FixedBytes<20>) -> Self {
        Self(bytes.0)
    }
}

impl From<KeyHash> for FixedBytes<20> {
    fn from(hash: KeyHash) -> Self {
        Self(hash.0)
    }
}

/// The five kinds of action, with their numbers on the wire. (0, the no-op, is no action.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Action {
    /// Sign a harmless message, to prove that the wallet is alive.
    Heartbeat = 1,
    /// Gather revealed deposits into the wallet's main UTXO.
    DepositSweep = 2,
    /// Pay redemption requests out of the main UTXO.
    Redemption = 3,
    /// Move a retiring wallet's funds to other wallets.
    MovingFunds = 4,
    /// Merge funds received from a retiring wallet into the main UTXO.
    MovedFundsSweep = 5,
}

impl Action {
    /// Every action, in the order of their numbers on the wire.
    pub const ALL: [Self; 5] =
        [Self::Heartbeat, Self::DepositSweep, Self::Redemption, Self::MovingFunds, Self::MovedFundsSweep];

    /// The action's name in documents and output, as in `deposit-sweep`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::DepositSweep => "deposit-sweep",
            Self::Redemption => "redemption",
            Self::MovingFunds => "moving-funds",
            Self::MovedFundsSweep => "moved-funds-sweep",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An unspent output together with its value: how a wallet's main UTXO is handed to the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Utxo {
    /// Which output.
    pub outpoint: OutPoint,
    /// What it is worth.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub value: Amount,
}

/// A deposit as a sweep proposal names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct RevealedDeposit {
    /// The funding transaction's output that holds the deposit.
    pub outpoint: OutPoint,
    /// The Ethereum block that holds its `DepositRevealed` event. Not checked on chain.
    pub reveal_block: BlockNumber,
}

/// Sweep these deposits, in this order, for this Bitcoin fee.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct DepositSweepProposal {
    /// The deposits, in the order of the transaction's inputs.
    pub deposits: Vec<RevealedDeposit>,
    /// The whole transaction's fee.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub fee: Amount,
}

/// Pay these redemption requests, in this order, for this Bitcoin fee.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct RedemptionProposal {
    /// The redeemers' output scripts, *without* the length prefix that contracts and events show.
    pub scripts: Vec<ScriptBuf>,
    /// The whole transaction's fee.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub fee: Amount,
}

/// Sign this message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct HeartbeatProposal {
    /// 16 bytes, the first 8 of them `ff` (rule HB-1).
    #[serde(with = "alloy_primitives::hex")]
    pub message: Vec<u8>,
}

/// Move the wallet's whole balance to these wallets, in the order of its commitment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct MovingFundsProposal {
    /// The wallets that receive equal shares, the last one the remainder too.
    pub targets: Vec<KeyHash>,
    /// The whole transaction's fee.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub fee: Amount,
}

/// Merge one output of another wallet's moving funds transaction into the main UTXO.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct MovedFundsSweepProposal {
    /// The moving funds transaction's output that pays this wallet.
    pub outpoint: OutPoint,
    /// The whole transaction's fee.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub fee: Amount,
}

/// A proposed action. Which wallet it is for stands beside it: in the coordination message, or in a [`Case`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Proposal {
    /// See [`HeartbeatProposal`].
    Heartbeat(HeartbeatProposal),
    /// See [`DepositSweepProposal`].
    DepositSweep(DepositSweepProposal),
    /// See [`RedemptionProposal`].
    Redemption(RedemptionProposal),
    /// See [`MovingFundsProposal`].
    MovingFunds(MovingFundsProposal),
    /// See [`MovedFundsSweepProposal`].
    MovedFundsSweep(MovedFundsSweepProposal),
}

impl Proposal {
    /// The kind of action proposed.
    pub const fn action(&self) -> Action {
        match self {
            Self::Heartbeat(_) => Action::Heartbeat,
            Self::DepositSweep(_) => Action::DepositSweep,
            Self::Redemption(_) => Action::Redemption,
            Self::MovingFunds(_) => Action::MovingFunds,
            Self::MovedFundsSweep(_) => Action::MovedFundsSweep,
        }
    }
}

/// A funding transaction cut as the Bridge takes it: without witness, so that its double SHA-256 is the txid.
///
/// Raw on purpose: what is wrong with it is for the rules to say (DS-10, DS-11).
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct FundingTransaction {
    /// Version, 4 bytes, little-endian.
    pub version: [u8; 4],
    /// All inputs, preceded by their count.
    pub input_vector: Vec<u8>,
    /// All outputs, preceded by their count.
    pub output_vector: Vec<u8>,
    /// Lock time, 4 bytes, little-endian.
    pub locktime: [u8; 4],
}

impl From<&Transaction> for FundingTransaction {
    fn from(transaction: &Transaction) -> Self {
        let stripped: Vec<_> = transaction
            .input
            .iter()
            .map(|input| bitcoin::TxIn { witness: bitcoin::Witness::new(), ..input.clone() })
            .collect();
        Self {
            version: transaction.version.0.to_le_bytes(),
            input_vector: encode::serialize(&stripped),
            output_vector: encode::serialize(&transaction.output),
            locktime: transaction.lock_time.to_consensus_u32().to_le_bytes(),
        }
    }
}

/// What the contract must know of a deposit that the Bridge doesn't store: its funding transaction and the parts of
/// its script.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct DepositExtraInfo {
    /// The transaction that funds the deposit.
    pub funding_transaction: FundingTransaction,
    /// Random bytes that make the script unique.
    pub blinding_factor: [u8; 8],
    /// The wallet that can sweep the deposit.
    pub wallet: KeyHash,
    /// Who can refund it, after the lock time.
    pub refund_key_hash: KeyHash,
    /// When it can be refunded: Unix seconds, little-endian, as in the script.
    pub refund_locktime: [u8; 4],
}

/// What a [`Case`] is about: a proposal, with what else the contract needs to judge it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Subject {
    /// A heartbeat.
    Heartbeat(HeartbeatProposal),
    /// A deposit sweep, with one extra info per deposit, in the same order. (DS-4 when the counts differ.)
    DepositSweep {
        /// What is proposed.
        proposal: DepositSweepProposal,
        /// What the Bridge doesn't store of each deposit.
        extra_info: Vec<DepositExtraInfo>,
    },
    /// A redemption.
    Redemption(RedemptionProposal),
    /// Moving funds, with the wallet's main UTXO, which the Bridge knows only by hash.
    MovingFunds {
        /// What is proposed.
        proposal: MovingFundsProposal,
        /// The output that would be moved. Ignored by the contract when the wallet has none.
        main_utxo: Utxo,
    },
    /// A moved funds sweep.
    MovedFundsSweep(MovedFundsSweepProposal),
}

/// A wallet's proposal, complete: what can be put before the validator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Case {
    /// The wallet that would act.
    pub wallet: KeyHash,
    /// What it would do.
    pub subject: Subject,
}

impl Case {
    /// The kind of action in question.
    pub const fn action(&self) -> Action {
        match &self.subject {
            Subject::Heartbeat(_) => Action::Heartbeat,
            Subject::DepositSweep { .. } => Action::DepositSweep,
            Subject::Redemption(_) => Action::Redemption,
            Subject::MovingFunds { .. } => Action::MovingFunds,
            Subject::MovedFundsSweep(_) => Action::MovedFundsSweep,
        }
    }
}
