//! The ten proposals, as the documents that a person would write, each with the verdict that it should get.

use bitcoin::{Transaction, consensus::encode};
use coxswain_rules::{KeyHash, OutPoint, RuleId, ScriptBuf};
use coxswain_testkit::{Deposit, Error, Scene};
use serde_json::{Value, json};

/// A proposal document, and the rule that it should be rejected by. `None` if it should be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoProposal {
    /// The document.
    pub document: Value,
    /// The rule.
    pub expected: Option<RuleId>,
}

/// Two proposals of each action: a valid one, then one with something wrong.
///
/// # Errors
/// If the retiring wallet's main UTXO is gone.
pub fn proposals(scene: &Scene) -> Result<Vec<DemoProposal>, Error> {
    let Scene { working, retiring, deposits, unspendable, requests, young_request, .. } = scene;
    let scripts: Vec<_> = requests.iter().map(|request| script(&request.script)).collect();
    let main_utxo = scene.world.main_utxo(retiring).ok_or(Error::NoMainUtxo(retiring.key_hash()))?;
    let sweep = |deposits: Vec<Value>| {
        json!({ "action": "deposit-sweep", "wallet": wallet(working.key_hash()), "fee": 20_000,
            "deposits": deposits })
    };
    let redemption = |scripts: Vec<Value>| {
        json!({ "action": "redemption", "wallet": wallet(working.key_hash()), "fee": "12000",
            "redeemerOutputScripts": scripts })
    };
    let heartbeat = |message: &str| {
        json!({ "action": "heartbeat", "wallet": wallet(working.key_hash()),
            "message": message })
    };
    let moving_funds = |target: KeyHash| {
        json!({ "action": "moving-funds", "wallet": wallet(retiring.key_hash()), "fee": 6_000,
            "targetWallets": [wallet(target)],
            "mainUtxo": {
                "txid": txid(main_utxo.outpoint), "outputIndex": main_utxo.outpoint.vout,
                "value": main_utxo.value.to_sat(),
            } })
    };
    let moved_funds_sweep = |fee: u64| {
        json!({ "action": "moved-funds-sweep", "wallet": wallet(working.key_hash()), "fee": fee,
            "movingFundsTxid": txid(scene.moved), "movingFundsOutputIndex": scene.moved.vout })
    };

    let sound: Vec<_> = deposits.iter().map(deposit).collect();
    // A P2WPKH over the deposit script's hash: the Bridge took it, and nobody can ever spend it.
    let poisoned = sound.iter().cloned().chain([deposit(unspendable)]).collect();
    let with_young = scripts.iter().cloned().chain([script(&young_request.script)]).collect();
    let valid = |document| DemoProposal { document, expected: None };
    let spoilt = |rule, document| DemoProposal { document, expected: Some(rule) };
    Ok(vec![
        valid(heartbeat("0xffffffffffffffff0123456789abcdef")),
        spoilt(RuleId::Hb1, heartbeat("0x00ffffffffffffff0123456789abcdef")),
        valid(sweep(sound)),
        spoilt(RuleId::Ds11, sweep(poisoned)),
        valid(redemption(scripts)),
        spoilt(RuleId::Rd7, redemption(with_young)),
        valid(moving_funds(working.key_hash())),
        spoilt(RuleId::Mf3, moving_funds(scene.retired.key_hash())),
        valid(moved_funds_sweep(4_000)),
        spoilt(RuleId::Ms5, moved_funds_sweep(4_000_000)),
    ])
}

/// The deposit's script is left to the event of its reveal.
fn deposit(deposit: &Deposit) -> Value {
    let funding: &Transaction = &deposit.funding;
    json!({
        "txid": txid(deposit.outpoint), "outputIndex": deposit.outpoint.vout, "revealBlock": deposit.reveal_block,
        "fundingTransaction": encode::serialize_hex(funding),
    })
}

fn txid(outpoint: OutPoint) -> Value {
    outpoint.txid.to_string().into()
}

fn script(script: &ScriptBuf) -> Value {
    format!("0x{script:x}").into()
}

fn wallet(wallet: KeyHash) -> Value {
    wallet.to_string().into()
}
