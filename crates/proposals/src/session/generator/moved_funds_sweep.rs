//! Moved funds sweeps.

use coxswain_bitcoin::{Backend, Output};
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    Amount, FeeConditions, FeeTerms, KeyHash, LeaderFee, MovedFundsSweepProposal, OutPoint, Snapshot,
    Subject, SweepRequestKey, UnsignedTransaction, Utxo, WalletRecord, wallet_script,
};

use super::{Answer, MAX_TRIES, Progress};
use crate::{
    ActionOutcome, Exclusion, Item, Nothing, ProposedTransaction, Session, SessionError, Why, moved_funds,
    session::reads::EARLIER_SEARCHES,
};

/// The funds that others have moved to the wallet and that it hasn't swept.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    snapshot: Snapshot,
    pending: Vec<OutPoint>,
}

impl Moved {
    /// Whether these are as many as the Bridge counts.
    fn are_all(&self, count: u32) -> bool {
        u32::try_from(self.pending.len()).is_ok_and(|found| found >= count)
    }
}

impl<B: Backend> Session<'_, B> {
    pub(crate) async fn moved_funds_sweep(
        &mut self,
        excluded: &mut Vec<Exclusion>,
    ) -> Progress<ActionOutcome> {
        let record = self.active().await?;
        if record.pending_moved_funds_sweep_requests_count == 0 {
            return Ok(Nothing::NoneLeft.into());
        }
        let outputs = self.moved_outputs(&record).await?;
        let main_utxo = self.unspent_main_utxo(&record).await?;
        self.none_of_its_own_waits(&record).await?;
        let answers = self.unspent(&outputs).await?;
        let fees = self.fees().await?;
        let Moved { snapshot, .. } = self.moved(&record).await?;
        let utxo = main_utxo.as_ref().map(|main_utxo| main_utxo.utxo);

        let mut undecided = None;
        for (Output { outpoint, .. }, unspent) in outputs.into_iter().zip(answers).take(MAX_TRIES) {
            let mut exclude = |why| excluded.push(Exclusion { item: Item::MovedFunds(outpoint), why });
            match unspent {
                Ok(true) => {}
                Ok(false) => {
                    exclude(Why::Spent);
                    continue;
                }
                Err(error) => {
                    undecided = Some(SessionError::Bitcoin(error.clone()));
                    exclude(error.into());
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
                Answer::Accepted(proposed) => return Ok(ActionOutcome::Proposal(proposed)),
                Answer::Rejected(rejection) => exclude(Why::Contract(Box::new(rejection))),
            }
        }
        undecided.map_or(Ok(Nothing::NoneLeft.into()), |undecided| Err(undecided.into()))
    }

    /// The outputs to be swept, as Bitcoin is asked about them.
    pub(crate) async fn moved_outputs(&mut self, record: &WalletRecord) -> Result<Vec<Output>, SessionError> {
        let script = wallet_script(self.key_hash);
        let Moved { pending, .. } = self.moved(record).await?;
        Ok(pending.into_iter().map(|outpoint| Output { outpoint, script: script.clone() }).collect())
    }

    /// The requests that are pending, as many as the Bridge counts: searched back for, however old they are (INC-32).
    ///
    /// If fewer are found, these can be swept all the same; but a wallet without a main UTXO must know all of them, since its
    /// own unproven transaction may show in any.
    async fn moved(&mut self, record: &WalletRecord) -> Result<Moved, SessionError> {
        if let Some(moved) = &self.moved {
            return Ok(moved.clone());
        }
        let count = record.pending_moved_funds_sweep_requests_count;
        let mut outputs = if count == 0 { Vec::new() } else { self.moved_by_events() };
        let mut moved = self.pending_of(&outputs).await?;
        let mut failed = None;
        for _ in 0..EARLIER_SEARCHES {
            if moved.are_all(count) {
                break;
            }
            match self.search_earlier().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    failed = Some(SessionError::Ethereum(error));
                    break;
                }
            }
            let known = outputs.len();
            outputs = self.moved_by_events();
            if outputs.len() > known {
                moved = self.pending_of(&outputs).await?;
            }
        }
        if !moved.are_all(count) && (moved.pending.is_empty() || record.main_utxo_hash.is_zero()) {
            let found = moved.pending.len();
            return Err(failed.unwrap_or(SessionError::MovedFundsNotFound { found, pending: count }));
        }
        Ok(self.moved.insert(moved).clone())
    }

    /// The outputs in which other wallets have moved funds to this one, from the events known.
    fn moved_by_events(&self) -> Vec<OutPoint> {
        let (commitments, completed) = (self.events.commitments(), self.events.completed_moves());
        moved_funds::outputs(commitments, completed, self.key_hash, self.block.number)
    }

    /// Those of the outputs that are to be swept still.
    async fn pending_of(&mut self, outputs: &[OutPoint]) -> Result<Moved, SessionError> {
        let sweep_requests = outputs.iter().copied().map(SweepRequestKey::new).collect();
        let snapshot = self.snapshot(SnapshotKeys { sweep_requests, ..SnapshotKeys::default() }).await?;
        let pending = moved_funds::pending(&snapshot, self.key_hash, outputs)?;
        Ok(Moved { snapshot, pending })
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
