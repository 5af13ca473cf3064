//! Why a proposal is rejected, as a contract said it, and the one map from that to the rule that was broken.

use std::fmt;

use alloy_primitives::{Address, B256, U256};

use crate::{Action, KeyHash, RuleId};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("Number ", stringify!($number), " in the Bridge.")] $variant = $number,)*
        }

        impl TryFrom<u8> for $name {
            type Error = u8;

            /// Reads the Bridge's number; gives it back when it stands for no state.
            fn try_from(number: u8) -> Result<Self, u8> {
                match number {
                    $($number => Ok(Self::$variant),)*
                    other => Err(other),
                }
            }
        }
    };
}

states! {
    /// A wallet's state in the Bridge.
    WalletState { Unknown = 0, Live = 1, MovingFunds = 2, Closing = 3, Closed = 4, Terminated = 5, }
}

states! {
    /// The state of a moved funds sweep request in the Bridge.
    SweepRequestState { Unknown = 0, Pending = 1, Processed = 2, TimedOut = 3, }
}

/// What `WalletProposalValidator` reverts with: its custom errors, argument by argument.
///
/// `index` counts a proposal's items from 0; times are Unix seconds; fees and balances are satoshis.
#[allow(missing_docs, reason = "the arguments are the contract's own, documented there and above")]
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Reason {
    WalletStateNotAllowed { wallet: KeyHash, state: u8 },
    FeeZero,
    FeeTooHigh { fee: U256, max_fee: U256 },
    SweepEmpty,
    SweepTooLarge { size: U256, max_size: U256 },
    ExtraInfoCountMismatch { deposits: U256, extra_infos: U256 },
    DepositNotRevealed { index: U256 },
    DepositTooYoung { index: U256, eligible_after: U256 },
    DepositAlreadySwept { index: U256, swept_at: U256 },
    FundingTxHashMismatch { index: U256, expected: B256, actual: B256 },
    FundingOutputMalformed { index: U256 },
    FundingOutputScriptMismatch { index: U256 },
    DepositRefundTooClose { index: U256, sweepable_before: U256 },
    DepositOfOtherWallet { index: U256, wallet: KeyHash },
    DepositVaultMismatch { index: U256, vault: Address, expected: Address },
    DepositDuplicated { index: U256, first_index: U256 },
    RedemptionEmpty,
    RedemptionTooLarge { size: U256, max_size: U256 },
    RedemptionNotPending { index: U256 },
    RedemptionTooYoung { index: U256, eligible_after: U256 },
    RedemptionTimeoutTooClose { index: U256, eligible_before: U256 },
    RedemptionFeeShareTooHigh { index: U256, share: U256, max_share: U256 },
    RedemptionDuplicated { index: U256, first_index: U256 },
    HeartbeatMessageInvalid,
    TargetWalletsNotCommitted,
    TargetWalletsMismatch { committed: B256, actual: B256 },
    MainUtxoMismatch { expected: B256, actual: B256 },
    BalanceBelowDust { balance: U256, dust_threshold: U256 },
    SweepRequestNotPending { state: u8 },
    SweepRequestOfOtherWallet { wallet: KeyHash },
}

/// One side of a comparison that a rule made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Value {
    /// A count, or an amount in satoshis.
    Number(U256),
    /// Unix seconds.
    Time(U256),
    /// An item's position in the proposal, counted from 0.
    Index(U256),
    /// A hash in the order that the contract holds it.
    Hash(B256),
    /// A vault.
    Address(Address),
    /// A wallet.
    Wallet(KeyHash),
    /// The number of a [`WalletState`].
    WalletState(u8),
    /// The number of a [`SweepRequestState`].
    SweepRequestState(u8),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) | Self::Time(number) | Self::Index(number) => number.fmt(f),
            Self::Hash(hash) => hash.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Wallet(wallet) => wallet.fmt(f),
            Self::WalletState(number) => match WalletState::try_from(*number) {
                Ok(state) => write!(f, "{state:?}"),
                Err(number) => write!(f, "state {number}"),
            },
            Self::SweepRequestState(number) => match SweepRequestState::try_from(*number) {
                Ok(state) => write!(f, "{state:?}"),
                Err(number) => write!(f, "state {number}"),
            },
        }
    }
}

impl Reason {
    /// The rule that this reason breaks in a proposal of the given action. `None` if the contract never gives this
    /// reason for that action.
    pub const fn rule(&self, action: Action) -> Option<RuleId> {
        use Action::{DepositSweep, Heartbeat, MovedFundsSweep, MovingFunds, Redemption};
        Some(match (self, action) {
            (Self::WalletStateNotAllowed { .. }, DepositSweep) => RuleId::Ds1,
            (Self::WalletStateNotAllowed { .. }, Redemption) => RuleId::Rd1,
            (Self::WalletStateNotAllowed { .. }, MovingFunds) => RuleId::Mf1,
            (Self::WalletStateNotAllowed { .. }, MovedFundsSweep) => RuleId::Ms1,
            (Self::FeeZero, DepositSweep) => RuleId::Ds5,
            (Self::FeeZero, Redemption) => RuleId::Rd4,
            (Self::FeeZero, MovingFunds) => RuleId::Mf6,
            (Self::FeeZero, MovedFundsSweep) => RuleId::Ms4,
            (Self::FeeTooHigh { .. }, DepositSweep) => RuleId::Ds6,
            (Self::FeeTooHigh { .. }, Redemption) => RuleId::Rd5,
            (Self::FeeTooHigh { .. }, MovingFunds) => RuleId::Mf7,
            (Self::FeeTooHigh { .. }, MovedFundsSweep) => RuleId::Ms5,
            (Self::SweepEmpty, DepositSweep) => RuleId::Ds2,
            (Self::SweepTooLarge { .. }, DepositSweep) => RuleId::Ds3,
            (Self::ExtraInfoCountMismatch { .. }, DepositSweep) => RuleId::Ds4,
            (Self::DepositNotRevealed { .. }, DepositSweep) => RuleId::Ds7,
            (Self::DepositTooYoung { .. }, DepositSweep) => RuleId::Ds8,
            (Self::DepositAlreadySwept { .. }, DepositSweep) => RuleId::Ds9,
            (Self::FundingTxHashMismatch { .. }, DepositSweep) => RuleId::Ds10,
            (
                Self::FundingOutputMalformed { .. } | Self::FundingOutputScriptMismatch { .. },
                DepositSweep,
            ) => RuleId::Ds11,
            (Self::DepositRefundTooClose { .. }, DepositSweep) => RuleId::Ds12,
            (Self::DepositOfOtherWallet { .. }, DepositSweep) => RuleId::Ds13,
            (Self::DepositVaultMismatch { .. }, DepositSweep) => RuleId::Ds14,
            (Self::DepositDuplicated { .. }, DepositSweep) => RuleId::Ds15,
            (Self::RedemptionEmpty, Redemption) => RuleId::Rd2,
            (Self::RedemptionTooLarge { .. }, Redemption) => RuleId::Rd3,
            (Self::RedemptionNotPending { .. }, Redemption) => RuleId::Rd6,
            (Self::RedemptionTooYoung { .. }, Redemption) => RuleId::Rd7,
            (Self::RedemptionTimeoutTooClose { .. }, Redemption) => RuleId::Rd8,
            (Self::RedemptionFeeShareTooHigh { .. }, Redemption) => RuleId::Rd9,
            (Self::RedemptionDuplicated { .. }, Redemption) => RuleId::Rd10,
            (Self::HeartbeatMessageInvalid, Heartbeat) => RuleId::Hb1,
            (Self::TargetWalletsNotCommitted, MovingFunds) => RuleId::Mf2,
            (Self::TargetWalletsMismatch { .. }, MovingFunds) => RuleId::Mf3,
            (Self::MainUtxoMismatch { .. }, MovingFunds) => RuleId::Mf4,
            (Self::BalanceBelowDust { .. }, MovingFunds) => RuleId::Mf5,
            (Self::SweepRequestNotPending { .. }, MovedFundsSweep) => RuleId::Ms2,
            (Self::SweepRequestOfOtherWallet { .. }, MovedFundsSweep) => RuleId::Ms3,
            _ => return None,
        })
    }

    /// Which item of the proposal is at fault, counted from 0. `None` if the proposal as a whole is.
    pub const fn item(&self) -> Option<U256> {
        match self {
            Self::DepositNotRevealed { index }
            | Self::DepositTooYoung { index, .. }
            | Self::DepositAlreadySwept { index, .. }
            | Self::FundingTxHashMismatch { index, .. }
            | Self::FundingOutputMalformed { index }
            | Self::FundingOutputScriptMismatch { index }
            | Self::DepositRefundTooClose { index, .. }
            | Self::DepositOfOtherWallet { index, .. }
            | Self::DepositVaultMismatch { index, .. }
            | Self::DepositDuplicated { index, .. }
            | Self::RedemptionNotPending { index }
            | Self::RedemptionTooYoung { index, .. }
            | Self::RedemptionTimeoutTooClose { index, .. }
            | Self::RedemptionFeeShareTooHigh { index, .. }
            | Self::RedemptionDuplicated { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// The value found, where the contract names it.
    pub const fn actual(&self) -> Option<Value> {
        Some(match self {
            Self::WalletStateNotAllowed { state, .. } => Value::WalletState(*state),
            Self::FeeTooHigh { fee, .. } => Value::Number(*fee),
            Self::SweepTooLarge { size, .. } | Self::RedemptionTooLarge { size, .. } => Value::Number(*size),
            Self::ExtraInfoCountMismatch { extra_infos, .. } => Value::Number(*extra_infos),
            Self::DepositAlreadySwept { swept_at, .. } => Value::Time(*swept_at),
            Self::FundingTxHashMismatch { actual, .. }
            | Self::TargetWalletsMismatch { actual, .. }
            | Self::MainUtxoMismatch { actual, .. } => Value::Hash(*actual),
            Self::DepositOfOtherWallet { wallet, .. } | Self::SweepRequestOfOtherWallet { wallet } => {
                Value::Wallet(*wallet)
            }
            Self::DepositVaultMismatch { vault, .. } => Value::Address(*vault),
            Self::RedemptionFeeShareTooHigh { share, .. } => Value::Number(*share),
            Self::BalanceBelowDust { balance, .. } => Value::Number(*balance),
            Self::SweepRequestNotPending { state } => Value::SweepRequestState(*state),
            _ => return None,
        })
    }

    /// The bound or the expected value that the actual one was held against, where the contract names it.
    pub const fn bound(&self) -> Option<Value> {
        Some(match self {
            Self::FeeTooHigh { max_fee, .. } => Value::Number(*max_fee),
            Self::SweepTooLarge { max_size, .. } | Self::RedemptionTooLarge { max_size, .. } => {
                Value::Number(*max_size)
            }
            Self::ExtraInfoCountMismatch { deposits, .. } => Value::Number(*deposits),
            Self::DepositTooYoung { eligible_after, .. }
            | Self::RedemptionTooYoung { eligible_after, .. } => Value::Time(*eligible_after),
            Self::FundingTxHashMismatch { expected, .. } | Self::MainUtxoMismatch { expected, .. } => {
                Value::Hash(*expected)
            }
            Self::DepositRefundTooClose { sweepable_before, .. } => Value::Time(*sweepable_before),
            Self::DepositVaultMismatch { expected, .. } => Value::Address(*expected),
            Self::DepositDuplicated { first_index, .. } | Self::RedemptionDuplicated { first_index, .. } => {
                Value::Index(*first_index)
            }
            Self::RedemptionTimeoutTooClose { eligible_before, .. } => Value::Time(*eligible_before),
            Self::RedemptionFeeShareTooHigh { max_share, .. } => Value::Number(*max_share),
            Self::TargetWalletsMismatch { committed, .. } => Value::Hash(*committed),
            Self::BalanceBelowDust { dust_threshold, .. } => Value::Number(*dust_threshold),
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WalletStateNotAllowed { wallet, state } => {
                write!(f, "wallet {wallet} is in state {}", Value::WalletState(*state))
            }
            Self::FeeZero => f.write_str("the fee is zero"),
            Self::FeeTooHigh { fee, max_fee } => {
                write!(f, "the fee is {fee} sat, at most {max_fee} sat allowed")
            }
            Self::SweepEmpty => f.write_str("there is no deposit to sweep"),
            Self::SweepTooLarge { size, max_size } => {
                write!(f, "there are {size} deposits, at most {max_size} allowed")
            }
            Self::ExtraInfoCountMismatch { deposits, extra_infos } => {
                write!(f, "there are {deposits} deposits but {extra_infos} extra infos")
            }
            Self::DepositNotRevealed { index } => write!(f, "deposit {index} is not revealed"),
            Self::DepositTooYoung { index, eligible_after } => {
                write!(f, "deposit {index} was revealed too recently: it can be swept after {eligible_after}")
            }
            Self::DepositAlreadySwept { index, swept_at } => {
                write!(f, "deposit {index} was swept at {swept_at}")
            }
            Self::FundingTxHashMismatch { index, expected, actual } => {
                write!(f, "deposit {index}'s funding transaction hashes to {actual}, not to {expected}")
            }
            Self::FundingOutputMalformed { index } => {
                write!(f, "deposit {index}'s funding output doesn't exist or is malformed")
            }
            Self::FundingOutputScriptMismatch { index } => {
                write!(f, "deposit {index}'s funding output is not P2SH or P2WSH of the deposit script")
            }
            Self::DepositRefundTooClose { index, sweepable_before } => {
                write!(
                    f,
                    "deposit {index} is too close to its refund: it could be swept before {sweepable_before}"
                )
            }
            Self::DepositOfOtherWallet { index, wallet } => {
                write!(f, "deposit {index} belongs to wallet {wallet}")
            }
            Self::DepositVaultMismatch { index, vault, expected } => {
                write!(f, "deposit {index} is for vault {vault}, the first one for {expected}")
            }
            Self::DepositDuplicated { index, first_index } => {
                write!(f, "deposit {index} repeats deposit {first_index}")
            }
            Self::RedemptionEmpty => f.write_str("there is no redemption request to pay"),
            Self::RedemptionTooLarge { size, max_size } => {
                write!(f, "there are {size} redemption requests, at most {max_size} allowed")
            }
            Self::RedemptionNotPending { index } => write!(f, "redemption request {index} is not pending"),
            Self::RedemptionTooYoung { index, eligible_after } => {
                write!(f, "redemption request {index} is too young: it can be paid after {eligible_after}")
            }
            Self::RedemptionTimeoutTooClose { index, eligible_before } => {
                write!(
                    f,
                    "redemption request {index} is too close to its timeout: it could be paid before {eligible_before}"
                )
            }
            Self::RedemptionFeeShareTooHigh { index, share, max_share } => {
                write!(
                    f,
                    "redemption request {index} would bear {share} sat of the fee, at most {max_share} sat allowed"
                )
            }
            Self::RedemptionDuplicated { index, first_index } => {
                write!(f, "redemption request {index} repeats request {first_index}")
            }
            Self::HeartbeatMessageInvalid => {
                f.write_str("the heartbeat message is not 16 bytes that begin with 8 bytes of ff")
            }
            Self::TargetWalletsNotCommitted => f.write_str("the wallet has not committed to target wallets"),
            Self::TargetWalletsMismatch { committed, actual } => {
                write!(f, "the target wallets hash to {actual}, the commitment is {committed}")
            }
            Self::MainUtxoMismatch { expected, actual } => {
                write!(f, "the main UTXO hashes to {actual}, the Bridge knows {expected}")
            }
            Self::BalanceBelowDust { balance, dust_threshold } => {
                write!(f, "the balance is {balance} sat, at least {dust_threshold} sat needed")
            }
            Self::SweepRequestNotPending { state } => {
                write!(f, "the sweep request is in state {}", Value::SweepRequestState(*state))
            }
            Self::SweepRequestOfOtherWallet { wallet } => {
                write!(f, "the sweep request belongs to wallet {wallet}")
            }
        }
    }
}

/// How a contract said no.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Cause {
    /// With one of our validator's custom errors.
    Reason(Reason),
    /// With the deployed validator's `Error(string)`.
    Text(String),
    /// With a `Panic`: a rejection that no rule explains.
    Panic(U256),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reason(reason) => reason.fmt(f),
            Self::Text(text) => write!(f, "the contract says: {text}"),
            Self::Panic(code) => write!(f, "the contract panicked with code {code:#x}"),
        }
    }
}

/// A contract's *no*, with the rule that was broken. A [`Cause::Panic`] has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Rejection {
    /// The first rule that the proposal breaks, where the cause tells it.
    pub rule: Option<RuleId>,
    /// How the contract said it.
    pub cause: Cause,
}

impl Rejection {
    /// See [`Reason::item`].
    pub const fn item(&self) -> Option<U256> {
        match &self.cause {
            Cause::Reason(reason) => reason.item(),
            Cause::Text(_) | Cause::Panic(_) => None,
        }
    }

    /// See [`Reason::actual`].
    pub const fn actual(&self) -> Option<Value> {
        match &self.cause {
            Cause::Reason(reason) => reason.actual(),
            Cause::Text(_) | Cause::Panic(_) => None,
        }
    }

    /// See [`Reason::bound`].
    pub const fn bound(&self) -> Option<Value> {
        match &self.cause {
            Cause::Reason(reason) => reason.bound(),
            Cause::Text(_) | Cause::Panic(_) => None,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "{rule}: {}", self.cause),
            None => self.cause.fmt(f),
        }
    }
}

/// The rule behind a reason that the validator deployed on mainnet gives as `Error(string)`, for a proposal of the
/// given action. The strings were learned by provoking each rejection on its bytecode.
pub fn rule_of_deployed_reason(action: Action, text: &str) -> Option<RuleId> {
    use Action::{DepositSweep, Heartbeat, MovedFundsSweep, MovingFunds, Redemption};
    Some(match (action, text) {
        (DepositSweep, "Wallet is not in Live or MovingFunds state") => RuleId::Ds1,
        (DepositSweep, "Sweep below the min size") => RuleId::Ds2,
        (DepositSweep, "Sweep exceeds the max size") => RuleId::Ds3,
        (DepositSweep, "Each deposit key must have matching extra info") => RuleId::Ds4,
        (DepositSweep, "Proposed transaction fee cannot be zero") => RuleId::Ds5,
        (DepositSweep, "Proposed transaction fee is too high") => RuleId::Ds6,
        (DepositSweep, "Deposit not revealed") => RuleId::Ds7,
        (DepositSweep, "Deposit min age not achieved yet") => RuleId::Ds8,
        (DepositSweep, "Deposit already swept") => RuleId::Ds9,
        (DepositSweep, "Extra info funding tx hash does not match") => RuleId::Ds10,
        (
            DepositSweep,
            "Extra info funding output script does not match"
            | "Read overrun during VarInt parsing"
            | "Vout read overrun"
            | "Bad VarInt in scriptPubkey"
            | "Slice out of bounds",
        ) => RuleId::Ds11,
        (DepositSweep, "Deposit refund safety margin is not preserved") => RuleId::Ds12,
        (DepositSweep, "Deposit controlled by different wallet") => RuleId::Ds13,
        (DepositSweep, "Deposit targets different vault") => RuleId::Ds14,
        (DepositSweep, "Duplicated deposit") => RuleId::Ds15,
        (Redemption, "Wallet is not in Live or MovingFunds state") => RuleId::Rd1,
        (Redemption, "Redemption below the min size") => RuleId::Rd2,
        (Redemption, "Redemption exceeds the max size") => RuleId::Rd3,
        (Redemption, "Proposed transaction fee cannot be zero") => RuleId::Rd4,
        (Redemption, "Proposed transaction fee is too high") => RuleId::Rd5,
        (Redemption, "Not a pending redemption request") => RuleId::Rd6,
        (Redemption, "Redemption request min age not achieved yet") => RuleId::Rd7,
        (Redemption, "Redemption request timeout safety margin is not preserved") => RuleId::Rd8,
        (Redemption, "Proposed transaction per-request fee share is too high") => RuleId::Rd9,
        (Redemption, "Duplicated request") => RuleId::Rd10,
        (Heartbeat, "Not a valid heartbeat message") => RuleId::Hb1,
        (MovingFunds, "Source wallet is not in MovingFunds state") => RuleId::Mf1,
        (MovingFunds, "Target wallets commitment is not submitted") => RuleId::Mf2,
        (MovingFunds, "Target wallets do not match target wallets commitment hash") => RuleId::Mf3,
        (MovingFunds, "Invalid wallet main UTXO data") => RuleId::Mf4,
        (MovingFunds, "Source wallet BTC balance is below the moving funds dust threshold") => RuleId::Mf5,
        (MovingFunds, "Proposed transaction fee cannot be zero") => RuleId::Mf6,
        (MovingFunds, "Proposed transaction fee is too high") => RuleId::Mf7,
        (MovedFundsSweep, "Source wallet is not in Live or MovingFunds state") => RuleId::Ms1,
        (MovedFundsSweep, "Sweep request is not in Pending state") => RuleId::Ms2,
        (MovedFundsSweep, "Sweep request does not belong to the wallet") => RuleId::Ms3,
        (MovedFundsSweep, "Proposed transaction fee cannot be zero") => RuleId::Ms4,
        (MovedFundsSweep, "Proposed transaction fee is too high") => RuleId::Ms5,
        _ => return None,
    })
}
