//! Moving funds, and the commitment before.

use alloy_primitives::B256;
use coxswain_bitcoin::Backend;
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{
    Amount, FeeConditions, FeeTerms, KeyHash, LeaderFee, MovingFundsProposal, Snapshot, Subject,
    UnsignedTransaction, Utxo, WalletState,
};

use super::Progress;
use crate::{
    ActionOutcome, CommitmentDue, Nothing, ProposedTransaction, Session, SessionError, moving_funds,
    session::reads::EARLIER_SEARCHES,
};

/// How many of the newest wallets are read to find targets among them: what one call reads.
const NEWEST_WALLETS: usize = 250;

impl<B: Backend> Session<'_, B> {
    pub(crate) async fn moving_funds(&mut self) -> Progress<ActionOutcome> {
        let wallet = self.key_hash;
        let record = self.record().await?;
        match record.state {
            WalletState::MovingFunds => {}
            state => return Ok(Nothing::WalletState(state).into()),
        }
        if record.main_utxo_hash.is_zero() {
            return Ok(Nothing::NoMainUtxo.into());
        }
        if record.pending_redemptions_value > Amount::ZERO {
            return Ok(Nothing::RedemptionsPending(record.pending_redemptions_value).into());
        }
        match record.pending_moved_funds_sweep_requests_count {
            0 => {}
            pending => return Ok(Nothing::SweepsPending(pending).into()),
        }
        let (after, snapshot) = self.earliest_move().await?;
        if self.block.timestamp < after {
            return Ok(Nothing::TooEarly { after }.into());
        }
        let survey = self.survey().await?;
        if let Some(undecided) = survey.unanswered() {
            return Err(undecided.into());
        }
        match survey.sweepable() {
            0 => {}
            sweepable => return Ok(Nothing::DepositsSweepable(sweepable).into()),
        }
        let Some(main_utxo) = self.unspent_main_utxo(&record).await? else {
            return Ok(Nothing::NoMainUtxo.into());
        };
        let balance = main_utxo.utxo.value;
        let threshold = snapshot.moving_funds_parameters.moving_funds_dust_threshold;
        if balance < threshold {
            return Ok(Nothing::BelowDust { balance, threshold }.into());
        }

        let commitment = record.moving_funds_target_wallets_commitment_hash;
        if commitment.is_zero() {
            return self.commitment(main_utxo.utxo).await;
        }
        let targets = self.committed_targets(commitment).await?;
        let fees = self.fees().await?;
        let (proposal, unsigned, fee) = match transfer(&snapshot, wallet, targets, main_utxo.utxo, &fees) {
            Ok(transfer) => transfer,
            Err(nothing) => return Ok(nothing.into()),
        };
        let funding = main_utxo.transaction.into_iter().collect();
        let transaction = ProposedTransaction { unsigned, fee, funding };
        let subject = Subject::MovingFunds { proposal, main_utxo: main_utxo.utxo };
        Ok(self.put(subject, Some(transaction)).await?.or_nothing())
    }

    /// The targets that the wallet has committed to: searched back for, however long ago that was.
    async fn committed_targets(&mut self, commitment: B256) -> Progress<Vec<KeyHash>> {
        let (wallet, head) = (self.key_hash, self.block.number);
        for _ in 0..EARLIER_SEARCHES {
            let commitments = self.events.commitments();
            if let Some(targets) = moving_funds::committed_targets(commitments, wallet, head, commitment) {
                return Ok(targets.to_vec());
            }
            if !self.search_earlier().await.map_err(SessionError::from)? {
                break;
            }
        }
        Err(SessionError::CommitmentNotFound(commitment).into())
    }

    /// The commitment that the Bridge will take.
    async fn commitment(&mut self, main_utxo: Utxo) -> Progress<ActionOutcome> {
        let head = self.block.number;
        let (reader, panel) = (&self.sources.reader, &self.sources.panel);
        let limits = reader.wallet_limits(panel, &self.named.header).await.map_err(SessionError::from)?;
        self.assurances.count_state(limits.assurance);
        let limits = limits.fact;
        let needed =
            moving_funds::target_count(limits.live_wallets, main_utxo.value, limits.max_btc_transfer);
        let mut searches = 0;
        loop {
            let newest = self.events.new_wallets().iter().rev().filter(|wallet| wallet.at.block <= head);
            let mut newest: Vec<_> = newest.take(NEWEST_WALLETS).copied().collect();
            newest.reverse();
            let wallets = newest.iter().map(|event| event.wallet).collect();
            let snapshot = self.snapshot(SnapshotKeys { wallets, ..SnapshotKeys::default() }).await?;
            let targets = moving_funds::targets(&snapshot, self.key_hash, &newest, head, needed)?;
            let found = targets.len();
            if u64::try_from(found) == Ok(needed) {
                return Ok(ActionOutcome::Commitment(Box::new(CommitmentDue { main_utxo, targets })));
            }
            // There are as many Live wallets, but for none at all: they were registered before.
            let further = limits.live_wallets > 0 && searches < EARLIER_SEARCHES;
            if !further || !self.search_earlier().await.map_err(SessionError::from)? {
                return Ok(Nothing::TooFewTargets { found, needed }.into());
            }
            searches += 1;
        }
    }
}

/// The proposal to move the main UTXO to these targets, with its transaction.
fn transfer(
    snapshot: &Snapshot,
    wallet: KeyHash,
    targets: Vec<KeyHash>,
    main_utxo: Utxo,
    fees: &FeeConditions,
) -> Result<(MovingFundsProposal, UnsignedTransaction, LeaderFee), Nothing> {
    let build = |proposal: &MovingFundsProposal| {
        UnsignedTransaction::moving_funds(snapshot, wallet, proposal, main_utxo)
    };
    let mut proposal = MovingFundsProposal { targets, fee: Amount::ZERO };
    let fee = fees.propose(&FeeTerms::moving_funds(snapshot, &build(&proposal)?))?;
    proposal.fee = fee.amount;
    let unsigned = Nothing::unless_relayed(build(&proposal)?)?;
    Ok((proposal, unsigned, fee))
}
