//! A case, written as the document that reads back as it.

use alloy_primitives::hex;
use coxswain_rules::{Case, DepositExtraInfo, FundingTransaction, KeyHash, RevealedDeposit, Subject, Utxo};
use serde_json::{Value as Json, json};

/// The document of a case: what reads back as it.
pub fn write(case: &Case) -> Json {
    let mut document = json!({ "action": case.action().name(), "wallet": case.wallet.to_string() });
    let fields = match &case.subject {
        Subject::Heartbeat(proposal) => json!({ "message": prefixed(&proposal.message) }),
        Subject::DepositSweep { proposal, extra_info } => json!({
            "fee": proposal.fee.to_sat(),
            "deposits": proposal.deposits.iter().zip(extra_info).map(deposit).collect::<Vec<_>>(),
        }),
        Subject::Redemption(proposal) => json!({
            "fee": proposal.fee.to_sat(),
            "redeemerOutputScripts": proposal.scripts.iter().map(|script| prefixed(script.as_bytes())).collect::<Vec<_>>(),
        }),
        Subject::MovingFunds { proposal, main_utxo } => json!({
            "fee": proposal.fee.to_sat(),
            "targetWallets": proposal.targets.iter().map(KeyHash::to_string).collect::<Vec<_>>(),
            "mainUtxo": utxo(main_utxo),
        }),
        Subject::MovedFundsSweep(proposal) => json!({
            "fee": proposal.fee.to_sat(),
            "movingFundsTxid": proposal.outpoint.txid.to_string(),
            "movingFundsOutputIndex": proposal.outpoint.vout,
        }),
    };
    if let (Json::Object(document), Json::Object(mut fields)) = (&mut document, fields) {
        document.append(&mut fields);
    }
    document
}

/// A main UTXO as documents write it.
pub(crate) fn utxo(utxo: &Utxo) -> Json {
    let Utxo { outpoint, value } = utxo;
    json!({ "txid": outpoint.txid.to_string(), "outputIndex": outpoint.vout, "value": value.to_sat() })
}

fn deposit((deposit, info): (&RevealedDeposit, &DepositExtraInfo)) -> Json {
    let FundingTransaction { version, input_vector, output_vector, locktime } = &info.funding_transaction;
    json!({
        "txid": deposit.outpoint.txid.to_string(),
        "outputIndex": deposit.outpoint.vout,
        "revealBlock": deposit.reveal_block,
        "fundingTransaction": prefixed(&[&version[..], input_vector, output_vector, locktime].concat()),
        "script": {
            "blindingFactor": prefixed(&info.blinding_factor),
            "walletPublicKeyHash": info.wallet.to_string(),
            "refundPublicKeyHash": info.refund_key_hash.to_string(),
            "refundLocktime": prefixed(&info.refund_locktime),
        },
    })
}

fn prefixed(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}
