//! What a document leaves out, looked up: scripts in the events of reveals, funding transactions on Bitcoin, and the main
//! UTXO by both.

use alloy_primitives::Address;
use bitcoin::OutPoint;
use coxswain_bitcoin::{Backend, BackendError, Backends};
use coxswain_ethereum::{Block, BridgeEvents, Endpoint, ProposalValidator, Undecided};
use coxswain_proposals::Generator;
use coxswain_rules::{Amount, Utxo};

use crate::coordination::Named;
use crate::document::{Document, Missing};

/// Where, and at which block.
pub(crate) struct Site<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) chain_id: u64,
    pub(crate) bridge: Address,
    pub(crate) validator: &'a ProposalValidator,
    pub(crate) block: Block,
}

/// Supplies a document with what it leaves out, as far as there is a Bitcoin endpoint for what only that can tell.
pub(crate) async fn complete(
    document: &mut Document,
    missing: &Missing,
    site: &Site<'_>,
    bitcoin: Option<Backends>,
) -> Result<(), Undecided> {
    let deposits: Vec<_> = missing.scripts.iter().map(|(_, deposit)| *deposit).collect();
    let revealed = site.endpoint.reveals(site.bridge, &deposits).await?;
    for ((index, _), revealed) in missing.scripts.iter().zip(&revealed) {
        document.supply_script(*index, revealed);
    }
    let Some(bitcoin) = bitcoin else { return Ok(()) };
    let outpoints: Vec<_> = missing.funding.iter().map(|(_, outpoint)| *outpoint).collect();
    if !outpoints.is_empty() {
        let answers = bitcoin.transactions(&outpoints).await.map_err(no_answer)?;
        for ((index, outpoint), answer) in missing.funding.iter().zip(answers) {
            let known = answer.map_err(no_answer)?.ok_or_else(|| no_transaction(*outpoint))?;
            document.supply_funding(*index, known.transaction);
        }
    }
    if missing.main_utxo {
        let Site { endpoint, chain_id, bridge, validator, block } = *site;
        let (endpoint, validator) = (endpoint.clone(), validator.clone());
        let generator = Generator::new(
            endpoint,
            chain_id,
            bridge,
            validator,
            bitcoin,
            *Named::on_chain(chain_id).network,
            None,
        );
        let mut events = BridgeEvents::new(bridge, block.number.saturating_add(1));
        let main_utxo = generator.main_utxo(document.wallet(), block, &mut events).await;
        let main_utxo = main_utxo.map_err(|undecided| match undecided {
            coxswain_proposals::Undecided::Ethereum(undecided) => undecided,
            other => Undecided::Incomplete { cause: other.kind(), reason: other.to_string() },
        })?;
        // The contract doesn't look at the UTXO of a wallet that has none.
        let none = Utxo { outpoint: OutPoint::null(), value: Amount::ZERO };
        document.supply_main_utxo(main_utxo.unwrap_or(none));
    }
    Ok(())
}

fn no_answer(error: BackendError) -> Undecided {
    Undecided::Incomplete { cause: "bitcoin", reason: error.to_string() }
}

fn no_transaction(outpoint: OutPoint) -> Undecided {
    let reason = format!("Bitcoin knows no transaction {}", outpoint.txid);
    Undecided::Incomplete { cause: "no-transaction", reason }
}
