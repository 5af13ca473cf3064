//! What the event of a deposit's reveal tells: the parts of its script that the Bridge doesn't store.

use std::collections::BTreeMap;

use alloy::{primitives::Address, rpc::types::Filter, sol_types::SolEvent};
use bitcoin::{OutPoint, Txid, hashes::Hash as _};
use coxswain_bindings::Bridge::DepositRevealed;
use coxswain_rules::{KeyHash, RevealedDeposit};
use serde::{Deserialize, Serialize};

use crate::{
    error::ChainError,
    rpc::{End, Endpoints, LogRanges},
};

/// The parts of a deposit's script that its revealer chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Reveals no further apart than this, in blocks, are read in one range.
const GAP: u64 = 10_000;

impl Endpoints {
    /// The reveal of each deposit, from the Bridge's events of the block that is named for it; `None` if that block holds no
    /// reveal of it.
    ///
    /// Sends one `eth_getLogs` for all whose blocks are near each other, if the endpoint allows the range.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer.
    pub async fn reveals(
        &self,
        bridge: Address,
        deposits: &[RevealedDeposit],
    ) -> Result<Vec<Option<Revealed>>, ChainError> {
        let filter = Filter::new().address(bridge).event_signature(DepositRevealed::SIGNATURE_HASH);
        let mut blocks: Vec<_> = deposits.iter().map(|deposit| deposit.reveal_block).collect();
        blocks.sort_unstable();
        let mut revealed = BTreeMap::new();
        let mut ranges = LogRanges::new();
        for near in blocks.chunk_by(|one, next| next.saturating_sub(*one) <= GAP) {
            let (Some(&first), Some(&last)) = (near.first(), near.last()) else { continue };
            let mut next = first;
            while next <= last {
                let (range, logs) = ranges.read(self, None, filter.clone(), next..=last, End::First).await?;
                next = range.end().saturating_add(1);
                for log in logs.iter().filter(|log| log.address() == bridge) {
                    if let (Some(block), Ok(event)) =
                        (log.block_number, DepositRevealed::decode_log_validate(&log.inner))
                    {
                        let txid = Txid::from_byte_array(event.fundingTxHash.0);
                        let outpoint = OutPoint::new(txid, event.fundingOutputIndex);
                        revealed.insert((block, outpoint), Revealed::from(event.data));
                    }
                }
            }
        }
        let reveal =
            |deposit: &RevealedDeposit| revealed.get(&(deposit.reveal_block, deposit.outpoint)).copied();
        Ok(deposits.iter().map(reveal).collect())
    }
}
