//! What proofs of wallets' transactions are held against.

use std::collections::BTreeSet;

use alloy::primitives::Address;
use coxswain_bindings::bridge::Bridge::{
    contractReferencesCall, spentMainUTXOsCall, timedOutRedemptionsCall, txProofDifficultyFactorCall,
};
use coxswain_rules::{DepositKey, OutPoint, RedemptionKey};
use futures_util::future::try_join_all;

use super::snapshot::SnapshotReader;
use crate::{error::ChainError, rpc::Block};

/// How many views are asked at a time.
const AT_ONCE: usize = 20;

/// The Bridge's requirements of every proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofTerms {
    /// How many times the difficulty of a transaction's block the work on it must be, from
    /// `Bridge.txProofDifficultyFactor`.
    pub factor: u64,
    /// The relay that knows the difficulties, from `Bridge.contractReferences`.
    pub relay: Address,
}

impl SnapshotReader {
    /// What the Bridge asks of proofs, as it was at this block. Sends two `eth_call`s.
    ///
    /// # Errors
    /// If any of it has no usable answer.
    pub async fn proof_terms(&self, block: Block) -> Result<ProofTerms, ChainError> {
        let (factor, contracts) = tokio::try_join!(
            self.view(txProofDifficultyFactorCall {}, block),
            self.view(contractReferencesCall {}, block)
        )?;
        Ok(ProofTerms { factor: factor.saturating_to(), relay: contracts.relay })
    }

    /// Those of the redemption requests that were reported as timed out, as of this block. Sends an `eth_call` for each.
    ///
    /// # Errors
    /// If any of it has no usable answer.
    pub async fn timed_out(
        &self,
        keys: &[RedemptionKey],
        block: Block,
    ) -> Result<BTreeSet<RedemptionKey>, ChainError> {
        let mut timed_out = BTreeSet::new();
        for keys in keys.chunks(AT_ONCE) {
            let ask = |key: &RedemptionKey| {
                self.view(timedOutRedemptionsCall { redemptionKey: key.to_u256() }, block)
            };
            let records = try_join_all(keys.iter().map(ask)).await?;
            let there = keys.iter().zip(records).filter(|(_, record)| record.requestedAt != 0);
            timed_out.extend(there.map(|(key, _)| *key));
        }
        Ok(timed_out)
    }

    /// Those of the outputs that the Bridge has as main UTXOs that were spent, as of this block. Sends an `eth_call` for
    /// each.
    ///
    /// # Errors
    /// If any of it has no usable answer.
    pub async fn spent_main_utxos(
        &self,
        outpoints: &[OutPoint],
        block: Block,
    ) -> Result<BTreeSet<OutPoint>, ChainError> {
        let mut spent = BTreeSet::new();
        for outpoints in outpoints.chunks(AT_ONCE) {
            // The Bridge's keys of outputs are all made alike.
            let ask = |outpoint: &OutPoint| {
                self.view(spentMainUTXOsCall { utxoKey: DepositKey::new(*outpoint).to_u256() }, block)
            };
            let answers = try_join_all(outpoints.iter().map(ask)).await?;
            spent.extend(
                outpoints.iter().zip(answers).filter(|(_, spent)| *spent).map(|(outpoint, _)| *outpoint),
            );
        }
        Ok(spent)
    }
}
