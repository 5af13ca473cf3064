//! Moved funds sweeps.

use coxswain_bitcoin::{Backend, Output};
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    Amount, FeeConditions, FeeTerms, KeyHash, LeaderFee, MovedFundsSweepProposal, OutPoint, Snapshot,
    Subject, SweepRequestKey, UnsignedTransaction, Utxo, WalletRecord, wallet_script,
};

use super::{Answer, MAX_TRIES, Progress};
use crate::{Exclusion, Item, Nothing, Outcome, ProposedTransaction, Session, Undecided, Why, moved_funds};

/// The funds that others have moved to the wallet and that it hasn't swept.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    snapshot: Snapshot,
    pending: Vec<OutPoint>,
}

impl<B: Backend> Session<'_, B> {
    pub(crate) async fn moved_funds_sweep(&mut self, excluded: &mut Vec<Exclusion>) -> Progress<Outcome> {
        let record = self.active().await?;
        if record.pending_moved_funds_sweep_requests_count == 0 {
            return Ok(Nothing::NoneLeft.into());
        }
        let outputs = self.moved_outputs(&record).await?;
        let main_utxo = self.unspent_main_utxo(&record).await?;
        if self.must_watch(&record) {
            // A sweep of deposits that waits for its proof shows in them alone.
            self.survey().await?;
        }
        let answers = self.unspent(&outputs).await?;
        let fees = self.fees().await?;
        let Moved { snapshot, .. } = self.moved(&record).await?;
        let utxo = main_utxo.as_ref().map(|main_utxo| main_utxo.utxo);

        let mut undecided = None;
        for (Output { outpoint, .. }, unspent) in outputs.into_iter().zip(answers).take(MAX_TRIES) {
            let mut exclude = |why| excluded.push(Exclusion { item: Item::MovedFunds(outpoint), why });
            match unspent {
                Ok(true) => {}
                Ok(false) if self.must_watch(&record) => return Ok(Nothing::Unproven(outpoint).into()),
                Ok(false) => {
                    exclude(Why::Spent);
                    continue;
                }
                Err(error) => {
                    undecided = Some(Undecided::Bitcoin(error.clone()));
                    exclude(Why::Unanswered(error));
                    continue;
                }
            }
            let (proposal, unsigned, fee) = match sweep(&snapshot, self.key_hash, outpoint, utxo, &fees) {
                Ok(sweep) => sweep,
                Err(Nothing::Transaction(error)) => {
                    exclude(Why::Transaction(error));
                    continue;
                }
                Err(Nothing::DustOutput { .. }) => {
                    exclude(Why::Dust);
                    continue;
                }
                Err(nothing) => return Ok(nothing.into()),
            };
            let funding = main_utxo.iter().filter_map(|main_utxo| main_utxo.transaction.clone()).collect();
            let transaction = ProposedTransaction { unsigned, fee, funding };
            match self.put(Subject::MovedFundsSweep(proposal), Some(transaction)).await? {
                Answer::Accepted(proposed) => return Ok(Outcome::Proposal(proposed)),
                Answer::Rejected(rejection) => exclude(Why::Contract(Box::new(rejection))),
            }
        }
        undecided.map_or(Ok(Nothing::NoneLeft.into()), |undecided| Err(undecided.into()))
    }

    /// The outputs to be swept, as Bitcoin is asked about them.
    pub(crate) async fn moved_outputs(&mut self, record: &WalletRecord) -> Result<Vec<Output>, Undecided> {
        let script = wallet_script(self.key_hash);
        let Moved { pending, .. } = self.moved(record).await?;
        Ok(pending.into_iter().map(|outpoint| Output { outpoint, script: script.clone() }).collect())
    }

    async fn moved(&mut self, record: &WalletRecord) -> Result<Moved, Undecided> {
        if let Some(moved) = &self.moved {
            return Ok(moved.clone());
        }
        let wallet = self.key_hash;
        let count = record.pending_moved_funds_sweep_requests_count;
        let outputs = match count {
            0 => Vec::new(),
            _ => moved_funds::outputs(
                self.events.commitments(),
                self.events.completed_moves(),
                wallet,
                self.block.number,
            ),
        };
        let sweep_requests = outputs.iter().copied().map(SweepRequestKey::new).collect();
        let snapshot = self.snapshot(SnapshotKeys { sweep_requests, ..SnapshotKeys::default() }).await?;
        let pending = moved_funds::pending(&snapshot, wallet, &outputs)?;
        if pending.is_empty() && count > 0 {
            return Err(Undecided::MovedFundsNotFound(count));
        }
        Ok(self.moved.insert(Moved { snapshot, pending }).clone())
    }
}

/// The proposal to sweep this output, with its transaction.
fn sweep(
    snapshot: &Snapshot,
    wallet: KeyHash,
    outpoint: OutPoint,
    main_utxo: Option<Utxo>,
    fees: &FeeConditions,
) -> Result<(MovedFundsSweepProposal, UnsignedTransaction, LeaderFee), Nothing> {
    let build = |proposal: &MovedFundsSweepProposal| {
        UnsignedTransaction::moved_funds_sweep(snapshot, wallet, proposal, main_utxo)
    };
    let mut proposal = MovedFundsSweepProposal { outpoint, fee: Amount::ZERO };
    let fee = fees.propose(&FeeTerms::moved_funds_sweep(snapshot, &build(&proposal)?))?;
    proposal.fee = fee.amount;
    let unsigned = Nothing::unless_relayed(build(&proposal)?)?;
    Ok((proposal, unsigned, fee))
}
