//! What a document leaves out, looked up: scripts in the events of reveals, funding transactions on Bitcoin, and the main
//! UTXO by both.

use alloy_primitives::Address;
use bitcoin::OutPoint;
use coxswain_bitcoin::Backend;
use coxswain_ethereum::ChainError;
use coxswain_proposals::Session;
use coxswain_rules::{Amount, Utxo};

use crate::document::{Document, LookUps};

/// Supplies a document with what it leaves out.
pub(crate) async fn complete<B: Backend>(
    document: &mut Document,
    missing: &LookUps,
    session: &mut Session<'_, B>,
    bridge: Address,
) -> Result<(), ChainError> {
    let deposits: Vec<_> = missing.scripts.iter().map(|(_, deposit)| *deposit).collect();
    let reveals = session.reveals(&deposits).await.map_err(incomplete)?;
    for ((index, deposit), revealed) in missing.scripts.iter().zip(reveals) {
        let (outpoint, block) = (deposit.outpoint, deposit.reveal_block);
        let revealed = revealed.ok_or(ChainError::NoReveal { outpoint, bridge, block })?;
        document.supply_script(*index, &revealed);
    }
    let outpoints: Vec<_> = missing.funding.iter().map(|(_, outpoint)| *outpoint).collect();
    let funding = session.funding(&outpoints).await.map_err(incomplete)?;
    for ((index, outpoint), known) in missing.funding.iter().zip(funding) {
        let known = known.ok_or_else(|| no_transaction(*outpoint))?;
        document.supply_funding(*index, known.transaction);
    }
    if missing.main_utxo {
        let main_utxo = session.main_utxo().await.map_err(incomplete)?;
        // The contract doesn't look at the UTXO of a wallet that has none.
        let none = Utxo { outpoint: OutPoint::null(), value: Amount::ZERO };
        document.supply_main_utxo(main_utxo.unwrap_or(none));
    }
    Ok(())
}

/// What a session could not find out.
pub(crate) fn incomplete(undecided: coxswain_proposals::SessionError) -> ChainError {
    match undecided {
        coxswain_proposals::SessionError::Ethereum(undecided) => undecided,
        other => ChainError::Incomplete { cause: other.kind(), reason: other.to_string() },
    }
}

fn no_transaction(outpoint: OutPoint) -> ChainError {
    let reason = format!("Bitcoin knows no transaction {}", outpoint.txid);
    ChainError::Incomplete { cause: "no-transaction", reason }
}
