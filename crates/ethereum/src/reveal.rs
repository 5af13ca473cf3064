//! What the event of a deposit's reveal tells: the parts of its script that the Bridge doesn't store.

use alloy::{
    primitives::Address,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use bitcoin::{OutPoint, hashes::Hash as _};
use coxswain_bindings::Bridge::DepositRevealed;
use coxswain_rules::KeyHash;

use crate::{endpoint::Endpoint, validator::Undecided};

/// The parts of a deposit's script that its revealer chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revealed {
    /// Random bytes that make the script unique.
    pub blinding_factor: [u8; 8],
    /// The wallet that can sweep the deposit.
    pub wallet: KeyHash,
    /// Who can refund it, after the lock time.
    pub refund_key_hash: KeyHash,
    /// When it can be refunded: Unix seconds, little-endian, as in the script.
    pub refund_locktime: [u8; 4],
}

impl From<DepositRevealed> for Revealed {
    fn from(event: DepositRevealed) -> Self {
        Self {
            blinding_factor: event.blindingFactor.0,
            wallet: event.walletPubKeyHash.into(),
            refund_key_hash: event.refundPubKeyHash.into(),
            refund_locktime: event.refundLocktime.0,
        }
    }
}

impl Endpoint {
    /// The reveal of a deposit, from the Bridge's events of one block.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer, or the block holds no reveal of the deposit.
    pub async fn reveal(
        &self,
        bridge: Address,
        block: u64,
        outpoint: OutPoint,
    ) -> Result<Revealed, Undecided> {
        let filter = Filter::new()
            .address(bridge)
            .event_signature(DepositRevealed::SIGNATURE_HASH)
            .from_block(block)
            .to_block(block);
        let logs: Vec<Log> = self.request("eth_getLogs", (filter,)).await?;
        logs.iter()
            .filter(|log| log.address() == bridge && log.block_number == Some(block))
            .filter_map(|log| DepositRevealed::decode_log_validate(&log.inner).ok())
            .find(|event| {
                event.fundingTxHash == outpoint.txid.to_byte_array()
                    && event.fundingOutputIndex == outpoint.vout
            })
            .map(|event| event.data.into())
            .ok_or(Undecided::NoReveal { outpoint, bridge, block })
    }
}
