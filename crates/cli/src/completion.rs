//! What a document leaves out, looked up: scripts in the events of reveals, funding transactions on Bitcoin, and the main
//! UTXO by both.

use alloy_primitives::Address;
use bitcoin::OutPoint;
use coxswain_bitcoin::Backend;
use coxswain_ethereum::Undecided;
use coxswain_proposals::Session;
use coxswain_rules::{Amount, Utxo};

use crate::document::{Document, Missing};

/// Supplies a document with what it leaves out.
pub(crate) async fn complete<B: Backend>(
    document: &mut Document,
    missing: &Missing,
    session: &mut Session<'_, B>,
    bridge: Address,
) -> Result<(), Undecided> {
    let deposits: Vec<_> = missing.scripts.iter().map(|(_, deposit)| *deposit).collect();
    let reveals = session.reveals(&deposits).await.map_err(incomplete)?;
    for ((index, deposit), revealed) in missing.scripts.iter().zip(reveals) {
        let (outpoint, block) = (deposit.outpoint, deposit.reveal_block);
        let revealed = revealed.ok_or(Undecided::NoReveal { outpoint, bridge, block })?;
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
pub(crate) fn incomplete(undecided: coxswain_proposals::Undecided) -> Undecided {
    match undecided {
        coxswain_proposals::Undecided::Ethereum(undecided) => undecided,
        other => Undecided::Incomplete { cause: other.kind(), reason: other.to_string() },
    }
}

fn no_transaction(outpoint: OutPoint) -> Undecided {
    let reason = format!("Bitcoin knows no transaction {}", outpoint.txid);
    Undecided::Incomplete { cause: "no-transaction", reason }
}
