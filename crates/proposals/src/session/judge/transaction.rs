//! Steps 4 to 6: what is swept is there, the inputs pay for outputs that relay, and the fee is in the follower's band.

use coxswain_bitcoin::{Backend, Output};
use coxswain_rules::{
    Case, FeeRuling, FeeTerms, Objection, Snapshot, Subject, TransactionError, UnsignedTransaction, Utxo,
    network::DustChange, wallet_script,
};

use super::Obstacle;
use crate::{FUNDING_CONFIRMATIONS, Session};

impl<B: Backend> Session<'_, B> {
    /// Takes step 4.
    pub(super) async fn check_funding(&mut self, case: &Case) -> Result<(), Obstacle> {
        match &case.subject {
            Subject::DepositSweep { proposal, .. } => {
                let known = self.funded(&proposal.deposits).await?;
                let mut outputs = Vec::new();
                for (deposit, known) in proposal.deposits.iter().zip(&known) {
                    let outpoint = deposit.outpoint;
                    let vout = usize::try_from(outpoint.vout).ok();
                    let output = vout.and_then(|vout| known.transaction.output.get(vout));
                    let output = output.ok_or(Objection::OutputMissing(outpoint))?;
                    outputs.push(Output { outpoint, script: output.script_pubkey.clone() });
                }
                self.outputs_unspent(&outputs).await?;
                for (Output { outpoint, .. }, known) in outputs.into_iter().zip(known) {
                    let (confirmations, least) = (known.confirmations, FUNDING_CONFIRMATIONS);
                    if confirmations < least {
                        return Err(Objection::OutputUnconfirmed { outpoint, confirmations, least }.into());
                    }
                }
                Ok(())
            }
            // The Bridge has seen the proof that they were confirmed.
            Subject::MovedFundsSweep(proposal) => {
                let script = wallet_script(case.wallet);
                self.outputs_unspent(&[Output { outpoint: proposal.outpoint, script }]).await
            }
            Subject::Heartbeat(_) | Subject::Redemption(_) | Subject::MovingFunds { .. } => Ok(()),
        }
    }

    async fn outputs_unspent(&mut self, outputs: &[Output]) -> Result<(), Obstacle> {
        for (Output { outpoint, .. }, unspent) in outputs.iter().zip(self.unspent(outputs).await?) {
            if !unspent? {
                return Err(Objection::OutputSpent(*outpoint).into());
            }
        }
        Ok(())
    }

    /// Takes step 5.
    pub(super) async fn check_outputs(&mut self, case: &Case) -> Result<(), Obstacle> {
        let Some((_, unsigned)) = self.built(case).await? else { return Ok(()) };
        match unsigned.dust().next() {
            None => Ok(()),
            Some((index, output)) => {
                let (value, least) = (output.value, output.script_pubkey.minimal_non_dust());
                Err(Objection::DustOutput { index, value, least }.into())
            }
        }
    }

    /// Takes step 6. A fee that is accepted may be worth a warning.
    pub(super) async fn check_fee(&mut self, case: &Case) -> Result<Option<FeeRuling>, Obstacle> {
        let Some((snapshot, unsigned)) = self.built(case).await? else { return Ok(None) };
        let (fee, terms) = match &case.subject {
            Subject::Heartbeat(_) => return Ok(None),
            Subject::DepositSweep { proposal, .. } => {
                (proposal.fee, FeeTerms::deposit_sweep(&snapshot, proposal, &unsigned))
            }
            Subject::Redemption(proposal) => {
                (proposal.fee, FeeTerms::redemption(&snapshot, proposal, &unsigned))
            }
            Subject::MovingFunds { proposal, .. } => {
                (proposal.fee, FeeTerms::moving_funds(&snapshot, &unsigned))
            }
            Subject::MovedFundsSweep(proposal) => {
                (proposal.fee, FeeTerms::moved_funds_sweep(&snapshot, &unsigned))
            }
        };
        match self.fees().await?.judge(fee, &terms) {
            FeeRuling::Reasonable => Ok(None),
            warning @ FeeRuling::UnderFloor { .. } => Ok(Some(warning)),
            FeeRuling::Refused(objection) => Err(Objection::Fee(objection).into()),
        }
    }

    /// The transaction that a case stands for, built from the wallet's main UTXO and the Bridge's state at the session's block;
    /// `None` for a heartbeat. Whether it may be signed is for [`judge`](Self::judge) to say.
    ///
    /// # Errors
    /// If it can't be built, or it can't be told from what.
    pub async fn assemble(&mut self, case: &Case) -> Result<Option<UnsignedTransaction>, Obstacle> {
        Ok(self.built(case).await?.map(|(_, unsigned)| unsigned))
    }

    /// The transaction that the case stands for, with what it was built from; `None` for a heartbeat.
    async fn built(&mut self, case: &Case) -> Result<Option<(Snapshot, UnsignedTransaction)>, Obstacle> {
        if let Subject::Heartbeat(_) = case.subject {
            return Ok(None);
        }
        let main_utxo = self.spent_main_utxo(case).await?;
        let snapshot = self.snapshot_of(case).await?;
        let dust_change = self.sources.network.dust_change;
        let unsigned = build(case, &snapshot, main_utxo, dust_change).map_err(obstacle)?;
        Ok(unsigned.map(|unsigned| (snapshot, unsigned)))
    }
}

fn build(
    case: &Case,
    snapshot: &Snapshot,
    main_utxo: Option<Utxo>,
    dust_change: DustChange,
) -> Result<Option<UnsignedTransaction>, TransactionError> {
    let wallet = case.wallet;
    let unsigned = match (&case.subject, main_utxo) {
        (Subject::Heartbeat(_), _) => return Ok(None),
        (Subject::DepositSweep { proposal, extra_info }, main_utxo) => {
            UnsignedTransaction::deposit_sweep(snapshot, wallet, proposal, extra_info, main_utxo)
        }
        (Subject::Redemption(proposal), Some(main_utxo)) => {
            UnsignedTransaction::redemption(snapshot, wallet, proposal, main_utxo, dust_change)
        }
        (Subject::MovingFunds { proposal, .. }, Some(main_utxo)) => {
            UnsignedTransaction::moving_funds(snapshot, wallet, proposal, main_utxo)
        }
        (Subject::MovedFundsSweep(proposal), main_utxo) => {
            UnsignedTransaction::moved_funds_sweep(snapshot, wallet, proposal, main_utxo)
        }
        (Subject::Redemption(_) | Subject::MovingFunds { .. }, None) => {
            let expected = snapshot.wallet(wallet)?.main_utxo_hash;
            Err(TransactionError::MainUtxoMismatch { expected, actual: alloy_primitives::B256::ZERO })
        }
    };
    unsigned.map(Some)
}

fn obstacle(error: TransactionError) -> Obstacle {
    match error {
        TransactionError::Missing(missing) => missing.into(),
        TransactionError::NegativeOutput { item: None, available, deducted } => {
            Objection::InputsTooSmall { inputs: available, needed: deducted }.into()
        }
        other => Objection::Transaction(other).into(),
    }
}
