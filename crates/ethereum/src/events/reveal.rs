//! Reads `DepositRevealed` events for the parts of a deposit's script that the Bridge doesn't store.

use std::{collections::BTreeMap, fmt};

use alloy::{
    primitives::{Address, hex},
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use bitcoin::{OutPoint, Txid, hashes::Hash as _};
use coxswain_bindings::Bridge::DepositRevealed;
use coxswain_rules::{
    KeyHash, RevealedDeposit,
    units::{BlockNumber, Blocks},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::ChainError,
    rpc::{Block, Endpoints, LogRanges, RequestError},
};

/// The parts of a deposit's script that its revealer chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revealed {
    /// Random bytes that make the script unique.
    pub blinding_factor: [u8; 8],
    /// The wallet that can sweep the deposit.
    pub wallet: KeyHash,
    /// The key hash that can refund it after the lock time.
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
const GAP: Blocks = Blocks(10_000);

/// The servers' answers about the reveal of one deposit in the block that is named for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevealSaid {
    /// What each reveal tells that is shown, and by whom. One that enough show comes first.
    pub shown: Vec<(Revealed, Vec<String>)>,
    /// The servers that show no reveal.
    pub absent: Vec<String>,
    /// The servers that give no answer.
    pub silent: Vec<String>,
    /// How many must say the same.
    pub required: usize,
}

impl RevealSaid {
    /// The reveal that enough servers show.
    pub fn agreed(&self) -> Option<Revealed> {
        let (revealed, by) = self.shown.first()?;
        (by.len() >= self.required).then_some(*revealed)
    }

    /// Whether enough servers show none. If nobody was asked, none does.
    pub fn is_absent(&self) -> bool {
        self.absent.len() >= self.required.max(1)
    }
}

/// Each server's answer.
impl fmt::Display for RevealSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (revealed, by) in &self.shown {
            let factor = hex::encode_prefixed(revealed.blinding_factor);
            parts.push(format!("{} shows one with blinding factor {factor}", by.join(" and ")));
        }
        for (who, what) in [(&self.absent, "shows none"), (&self.silent, "gives no answer")] {
            if !who.is_empty() {
                parts.push(format!("{} {what}", who.join(" and ")));
            }
        }
        f.write_str(&parts.join("; "))
    }
}

impl Endpoints {
    /// The reveal of each deposit, from the Bridge's events of the block that is named for it, as enough servers show it that
    /// name the block `at`; `None` if enough show none.
    ///
    /// # Errors
    /// If the endpoints give no usable answer, or contradict each other.
    pub async fn reveals(
        &self,
        bridge: Address,
        deposits: &[RevealedDeposit],
        at: Block,
    ) -> Result<Vec<Option<Revealed>>, ChainError> {
        let said = self.reveals_said(bridge, deposits, at).await?;
        let told = said.iter().map(|said| match said.agreed() {
            Some(revealed) => Ok(Some(revealed)),
            None if said.is_absent() => Ok(None),
            None => {
                let (method, required) = ("eth_getLogs", said.required);
                Err(RequestError::NotAgreed { method, required, said: said.to_string() }.into())
            }
        });
        told.collect()
    }

    /// What each server says of the reveal of each deposit, from the Bridge's events of the block that is named for it.
    ///
    /// Sends one `eth_getLogs` for all whose blocks are near each other, if the endpoints allow the range, to servers that name the
    /// block `at` before they answer and after.
    ///
    /// # Errors
    /// If too few give a usable answer.
    pub async fn reveals_said(
        &self,
        bridge: Address,
        deposits: &[RevealedDeposit],
        at: Block,
    ) -> Result<Vec<RevealSaid>, ChainError> {
        let filter = Filter::new().address(bridge).event_signature(DepositRevealed::SIGNATURE_HASH);
        let mut blocks: Vec<_> = deposits.iter().map(|deposit| deposit.reveal_block).collect();
        blocks.sort_unstable();
        let mut said: Vec<_> = deposits.iter().map(|_| RevealSaid::default()).collect();
        let mut ranges = LogRanges::new();
        for near in blocks.chunk_by(|one, next| next.saturating_since(*one) <= GAP) {
            let (Some(&first), Some(&last)) = (near.first(), near.last()) else { continue };
            let mut next = first;
            while next <= last {
                let (range, logs) = ranges.read_each(self, at, filter.clone(), next..=last).await?;
                next = range.end().next();
                let required = self.required();
                for (name, logs) in logs {
                    let shown = logs.ok().map(|logs| shown(bridge, &logs));
                    for (said, deposit) in said.iter_mut().zip(deposits) {
                        if range.contains(&deposit.reveal_block) {
                            said.required = required;
                            said.take_in(name, shown.as_ref(), deposit);
                        }
                    }
                }
            }
        }
        for said in &mut said {
            said.shown.sort_by_key(|(_, by)| std::cmp::Reverse(by.len()));
        }
        Ok(said)
    }
}

type Shown = BTreeMap<(BlockNumber, OutPoint), Revealed>;

/// The reveals among these logs, by block and deposit.
fn shown(bridge: Address, logs: &[Log]) -> Shown {
    let of_bridge = logs.iter().filter(|log| log.address() == bridge && !log.removed);
    let reveal = |log: &Log| {
        let event = DepositRevealed::decode_log_validate(&log.inner).ok()?;
        let txid = Txid::from_byte_array(event.fundingTxHash.0);
        let outpoint = OutPoint::new(txid, event.fundingOutputIndex);
        Some(((BlockNumber(log.block_number?), outpoint), Revealed::from(event.data)))
    };
    of_bridge.filter_map(reveal).collect()
}

impl RevealSaid {
    fn take_in(&mut self, name: &str, shown: Option<&Shown>, deposit: &RevealedDeposit) {
        let name = name.to_owned();
        let Some(shown) = shown else { return self.silent.push(name) };
        let Some(revealed) = shown.get(&(deposit.reveal_block, deposit.outpoint)) else {
            return self.absent.push(name);
        };
        match self.shown.iter_mut().find(|(other, _)| other == revealed) {
            Some((_, by)) => by.push(name),
            None => self.shown.push((*revealed, vec![name])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inc_47_a_reveal_is_absent_if_enough_show_none_and_not_if_nobody_was_asked() {
        let said = |absent: &[&str]| RevealSaid {
            absent: absent.iter().map(ToString::to_string).collect(),
            required: 2,
            ..RevealSaid::default()
        };
        assert!(!said(&["a:1"]).is_absent());
        assert!(said(&["a:1", "b:1"]).is_absent());
        assert!(!RevealSaid::default().is_absent());
    }
}
