//! A case as the contract takes it: ABI-encoded, with hashes in internal order and scripts length-prefixed.

use alloy::{
    primitives::{Bytes, U256},
    sol_types::SolCall,
};
use bitcoin::{Amount, OutPoint, Script, VarInt, consensus::encode, hashes::Hash as _};
use coxswain_bindings::validator::{self as abi, WalletProposalValidator as validator};
use coxswain_rules::{Case, DepositExtraInfo, RevealedDeposit, Subject};

/// The call that asks the validator about the case.
pub fn calldata(case: &Case) -> Bytes {
    let wallet = case.wallet.into();
    match &case.subject {
        Subject::Heartbeat(proposal) => validator::validateHeartbeatProposalCall {
            proposal: abi::HeartbeatProposal {
                walletPubKeyHash: wallet,
                message: proposal.message.clone().into(),
            },
        }
        .abi_encode(),
        Subject::DepositSweep { proposal, extra_info } => validator::validateDepositSweepProposalCall {
            proposal: abi::DepositSweepProposal {
                walletPubKeyHash: wallet,
                depositsKeys: proposal.deposits.iter().map(deposit_key).collect(),
                sweepTxFee: satoshis(proposal.fee),
                depositsRevealBlocks: proposal
                    .deposits
                    .iter()
                    .map(|deposit| U256::from(deposit.reveal_block.0))
                    .collect(),
            },
            depositsExtraInfo: extra_info.iter().map(deposit_extra_info).collect(),
        }
        .abi_encode(),
        Subject::Redemption(proposal) => validator::validateRedemptionProposalCall {
            proposal: abi::RedemptionProposal {
                walletPubKeyHash: wallet,
                redeemersOutputScripts: proposal
                    .scripts
                    .iter()
                    .map(|script| length_prefixed(script))
                    .collect(),
                redemptionTxFee: satoshis(proposal.fee),
            },
        }
        .abi_encode(),
        Subject::MovingFunds { proposal, main_utxo } => validator::validateMovingFundsProposalCall {
            proposal: abi::MovingFundsProposal {
                walletPubKeyHash: wallet,
                targetWallets: proposal.targets.iter().map(|target| (*target).into()).collect(),
                movingFundsTxFee: satoshis(proposal.fee),
            },
            walletMainUtxo: abi::BitcoinUtxo {
                txHash: tx_hash(main_utxo.outpoint),
                txOutputIndex: main_utxo.outpoint.vout,
                txOutputValue: main_utxo.value.to_sat(),
            },
        }
        .abi_encode(),
        Subject::MovedFundsSweep(proposal) => validator::validateMovedFundsSweepProposalCall {
            proposal: abi::MovedFundsSweepProposal {
                walletPubKeyHash: wallet,
                movingFundsTxHash: tx_hash(proposal.outpoint),
                movingFundsTxOutputIndex: proposal.outpoint.vout,
                movedFundsSweepTxFee: satoshis(proposal.fee),
            },
        }
        .abi_encode(),
    }
    .into()
}

fn deposit_key(deposit: &RevealedDeposit) -> abi::DepositKey {
    abi::DepositKey { fundingTxHash: tx_hash(deposit.outpoint), fundingOutputIndex: deposit.outpoint.vout }
}

fn deposit_extra_info(info: &DepositExtraInfo) -> abi::DepositExtraInfo {
    let transaction = &info.funding_transaction;
    abi::DepositExtraInfo {
        fundingTx: abi::BitcoinTransaction {
            version: transaction.version.into(),
            inputVector: transaction.input_vector.clone().into(),
            outputVector: transaction.output_vector.clone().into(),
            locktime: transaction.locktime.into(),
        },
        blindingFactor: info.blinding_factor.into(),
        walletPubKeyHash: info.wallet.into(),
        refundPubKeyHash: info.refund_key_hash.into(),
        refundLocktime: info.refund_locktime.into(),
    }
}

/// The transaction's hash as contracts hold it: in internal byte order.
fn tx_hash(outpoint: OutPoint) -> alloy::primitives::B256 {
    outpoint.txid.to_byte_array().into()
}

fn satoshis(amount: Amount) -> U256 {
    U256::from(amount.to_sat())
}

/// The script as the Bridge takes it: behind its length as a compact size.
fn length_prefixed(script: &Script) -> Bytes {
    let mut bytes = encode::serialize(&VarInt::from(script.len()));
    bytes.extend_from_slice(script.as_bytes());
    bytes.into()
}
