//! The four transactions with which a wallet carries out a proposal. All members must build the same bytes.
//!
//! They are built for proposals that the rules accept; what makes building impossible is an error, but no rule is
//! checked here.

mod psbt;
mod unsigned;

pub use unsigned::{SignError, UnsignedTransaction};

use alloy_primitives::B256;
use bitcoin::{Amount, ScriptBuf, TxOut, WPubkeyHash, hashes::Hash};
use unsigned::{Lock, Spend};

use crate::{
    DepositExtraInfo, DepositKey, DepositOutputType, DepositScript, DepositSweepProposal, KeyHash,
    MissingError, MovedFundsSweepProposal, MovingFundsProposal, OutputVectorError, RedemptionKey,
    RedemptionProposal, Snapshot, SweepRequestKey, Utxo, main_utxo_hash, network::DustChange, output_at,
    redemption_share,
};

/// Why a proposal's transaction can't be built. `item` counts the proposal's items from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum TransactionError {
    /// The snapshot lacks a record that the transaction needs.
    #[error(transparent)]
    Missing(#[from] MissingError),
    /// The main UTXO handed in is not the wallet's. Zero stands for none.
    #[error("the main UTXO hashes to {actual}, the Bridge knows {expected}")]
    MainUtxoMismatch {
        /// What the Bridge stores.
        expected: B256,
        /// What was handed in.
        actual: B256,
    },
    /// The proposal names nothing to sweep, to pay, or to move funds to.
    #[error("the proposal has no items")]
    NoItems,
    /// A deposit has no extra info.
    #[error("deposit {item} has no extra info")]
    NoExtraInfo {
        /// Which deposit.
        item: usize,
    },
    /// A deposit's funding transaction has no such output.
    #[error("deposit {item}'s funding output is malformed")]
    FundingOutputMalformed {
        /// Which deposit.
        item: usize,
        /// What is wrong with it.
        source: OutputVectorError,
    },
    /// A deposit's funding output is not P2SH or P2WSH of its script: it can't be spent.
    #[error("deposit {item}'s funding output is not P2SH or P2WSH of the deposit script")]
    FundingOutputScriptMismatch {
        /// Which deposit.
        item: usize,
    },
    /// A deposit's script names another wallet, which alone can sweep it.
    #[error("deposit {item} belongs to wallet {wallet}")]
    DepositOfOtherWallet {
        /// Which deposit.
        item: usize,
        /// The wallet that the script names.
        wallet: KeyHash,
    },
    /// An output would have a negative value.
    #[error(
        "{} would be worth {} sat less {} sat",
        item.map_or_else(|| "the wallet's output".to_owned(), |item| format!("the output of request {item}")),
        available.to_sat(),
        deducted.to_sat()
    )]
    NegativeOutput {
        /// Which redemption request it pays. `None` for what the wallet pays to itself or to other wallets.
        item: Option<usize>,
        /// What there is.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        available: Amount,
        /// What comes off.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        deducted: Amount,
    },
    /// The change is dust, and can't be left out either: the Bridge takes no transaction with such a fee.
    #[error(
        "change of {} sat is dust, and left out makes the fee {} sat, at most {} sat allowed",
        change.to_sat(),
        fee.to_sat(),
        maximum.to_sat()
    )]
    ChangeNotInFee {
        /// The change.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        change: Amount,
        /// The fee that it would make.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        fee: Amount,
        /// The Bridge's maximum.
        #[serde(with = "bitcoin::amount::serde::as_sat")]
        maximum: Amount,
    },
    /// A sum of values is beyond 2⁶⁴ − 1.
    #[error("the values do not fit 64 bits")]
    Overflow,
}

impl TransactionError {
    /// Which item of the proposal is at fault, counted from 0. `None` if the proposal as a whole is.
    pub const fn item(&self) -> Option<usize> {
        match self {
            Self::NoExtraInfo { item }
            | Self::FundingOutputMalformed { item, .. }
            | Self::FundingOutputScriptMismatch { item }
            | Self::DepositOfOtherWallet { item, .. } => Some(*item),
            Self::NegativeOutput { item, .. } => *item,
            Self::Missing(_)
            | Self::MainUtxoMismatch { .. }
            | Self::NoItems
            | Self::ChangeNotInFee { .. }
            | Self::Overflow => None,
        }
    }
}

impl UnsignedTransaction {
    /// Sweeps the deposits, each described by the extra info at the same position, into the wallet.
    pub fn deposit_sweep(
        snapshot: &Snapshot,
        wallet: KeyHash,
        proposal: &DepositSweepProposal,
        extra_info: &[DepositExtraInfo],
        main_utxo: Option<Utxo>,
    ) -> Result<Self, TransactionError> {
        if proposal.deposits.is_empty() {
            return Err(TransactionError::NoItems);
        }
        check_main_utxo(snapshot, wallet, main_utxo)?;
        let mut spends: Vec<_> =
            main_utxo.map(|utxo| Spend { utxo, lock: Lock::Wallet }).into_iter().collect();
        for (item, deposit) in proposal.deposits.iter().enumerate() {
            let info = extra_info.get(item).ok_or(TransactionError::NoExtraInfo { item })?;
            if info.wallet != wallet {
                return Err(TransactionError::DepositOfOtherWallet { item, wallet: info.wallet });
            }
            let record = snapshot.deposit(DepositKey::new(deposit.outpoint))?;
            let script = DepositScript::new(record.depositor, record.extra_data, info);
            let output = output_at(&info.funding_transaction.output_vector, deposit.outpoint.vout)
                .map_err(|source| TransactionError::FundingOutputMalformed { item, source })?;
            let lock = match script.output_type(output.script) {
                Some(DepositOutputType::P2sh) => Lock::DepositP2sh(script),
                Some(DepositOutputType::P2wsh) => Lock::DepositP2wsh(script),
                None => return Err(TransactionError::FundingOutputScriptMismatch { item }),
            };
            spends.push(Spend { utxo: Utxo { outpoint: deposit.outpoint, value: output.value }, lock });
        }
        Self::merge(wallet, spends, proposal.fee)
    }

    /// Pays the redemption requests out of the main UTXO; what is left goes back to the wallet. If that is dust,
    /// `dust_change` says what becomes of it: left out, it falls to the fee, which must stay within the Bridge's maximum; else
    /// the transaction has an output that no node relays.
    pub fn redemption(
        snapshot: &Snapshot,
        wallet: KeyHash,
        proposal: &RedemptionProposal,
        main_utxo: Utxo,
        dust_change: DustChange,
    ) -> Result<Self, TransactionError> {
        check_main_utxo(snapshot, wallet, Some(main_utxo))?;
        let requests = proposal.scripts.len();
        let mut paid = Vec::with_capacity(requests);
        let mut taken = proposal.fee;
        for (item, script) in proposal.scripts.iter().enumerate() {
            let request = snapshot.redemption(RedemptionKey::new(wallet, script))?;
            let share = redemption_share(proposal.fee, requests, item).ok_or(TransactionError::Overflow)?;
            let deducted = request.treasury_fee.checked_add(share).ok_or(TransactionError::Overflow)?;
            let value = less(Some(item), request.requested_amount, deducted)?;
            taken = taken.checked_add(value).ok_or(TransactionError::Overflow)?;
            paid.push(TxOut { value, script_pubkey: script.clone() });
        }
        if paid.is_empty() {
            return Err(TransactionError::NoItems);
        }
        let mut change = less(None, main_utxo.value, taken)?;
        if dust_change == DustChange::LeftOut && change < wallet_script(wallet).minimal_non_dust() {
            let fee = proposal.fee.checked_add(change).ok_or(TransactionError::Overflow)?;
            let maximum = snapshot.redemption_parameters.redemption_tx_max_total_fee;
            if change > Amount::ZERO && fee > maximum {
                return Err(TransactionError::ChangeNotInFee { change, fee, maximum });
            }
            change = Amount::ZERO;
        }
        let change = (change > Amount::ZERO).then(|| pay_wallet(wallet, change));
        let spends = vec![Spend { utxo: main_utxo, lock: Lock::Wallet }];
        Ok(Self::new(wallet, spends, change.into_iter().chain(paid).collect()))
    }

    /// Moves the main UTXO to the target wallets in equal parts; the last one gets what doesn't divide, too.
    pub fn moving_funds(
        snapshot: &Snapshot,
        wallet: KeyHash,
        proposal: &MovingFundsProposal,
        main_utxo: Utxo,
    ) -> Result<Self, TransactionError> {
        check_main_utxo(snapshot, wallet, Some(main_utxo))?;
        let moved = less(None, main_utxo.value, proposal.fee)?;
        let (last, others) = proposal.targets.split_last().ok_or(TransactionError::NoItems)?;
        let count = u64::try_from(proposal.targets.len()).map_err(|_| TransactionError::Overflow)?;
        let (part, remainder) = (moved / count, moved % count);
        let outputs = others
            .iter()
            .map(|&target| pay_wallet(target, part))
            .chain([pay_wallet(*last, part + remainder)])
            .collect();
        Ok(Self::new(wallet, vec![Spend { utxo: main_utxo, lock: Lock::Wallet }], outputs))
    }

    /// Merges an output of another wallet's moving funds transaction into the main UTXO.
    pub fn moved_funds_sweep(
        snapshot: &Snapshot,
        wallet: KeyHash,
        proposal: &MovedFundsSweepProposal,
        main_utxo: Option<Utxo>,
    ) -> Result<Self, TransactionError> {
        check_main_utxo(snapshot, wallet, main_utxo)?;
        let value = snapshot.sweep_request(SweepRequestKey::new(proposal.outpoint))?.value;
        let moved = Utxo { outpoint: proposal.outpoint, value };
        let spends =
            [moved].into_iter().chain(main_utxo).map(|utxo| Spend { utxo, lock: Lock::Wallet }).collect();
        Self::merge(wallet, spends, proposal.fee)
    }

    /// Pays everything less the fee to the wallet.
    fn merge(wallet: KeyHash, spends: Vec<Spend>, fee: Amount) -> Result<Self, TransactionError> {
        let total = spends
            .iter()
            .try_fold(Amount::ZERO, |sum, spend| sum.checked_add(spend.utxo.value))
            .ok_or(TransactionError::Overflow)?;
        let value = less(None, total, fee)?;
        Ok(Self::new(wallet, spends, vec![pay_wallet(wallet, value)]))
    }
}

/// Makes sure that the main UTXO is the one that the Bridge knows, or that it knows none either.
fn check_main_utxo(
    snapshot: &Snapshot,
    wallet: KeyHash,
    main_utxo: Option<Utxo>,
) -> Result<(), TransactionError> {
    let expected = snapshot.wallet(wallet)?.main_utxo_hash;
    let actual = main_utxo.map_or(B256::ZERO, |utxo| main_utxo_hash(&utxo));
    if actual == expected { Ok(()) } else { Err(TransactionError::MainUtxoMismatch { expected, actual }) }
}

fn less(item: Option<usize>, available: Amount, deducted: Amount) -> Result<Amount, TransactionError> {
    available.checked_sub(deducted).ok_or(TransactionError::NegativeOutput { item, available, deducted })
}

fn pay_wallet(wallet: KeyHash, value: Amount) -> TxOut {
    TxOut { value, script_pubkey: wallet_script(wallet) }
}

/// What locks the outputs that a wallet pays to itself: P2WPKH of its key.
pub fn wallet_script(wallet: KeyHash) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(wallet.0))
}
