//! Step 1: what a proposal builds on is found, in the Bridge's events and on Bitcoin, and the events are deep enough.

use coxswain_bitcoin::{Backend, Known};
use coxswain_ethereum::Revealed;
use coxswain_rules::{
    Case, DEPOSIT_SWEEP_MAX_SIZE, DepositExtraInfo, Objection, OutPoint, Proposal, REDEMPTION_MAX_SIZE,
    RedemptionKey, RedemptionProposal, RevealedDeposit, Subject, Utxo, main_utxo_hash,
};

use super::Obstacle;
use crate::{Session, SessionError};

impl<B: Backend> Session<'_, B> {
    /// The case of a proposal from the wire: reveals, funding transactions and the main UTXO are found for it.
    ///
    /// # Errors
    /// If one of them is not there, or that is undecided.
    pub async fn evidence(&mut self, proposal: &Proposal) -> Result<Case, Obstacle> {
        let subject = match proposal {
            Proposal::Heartbeat(proposal) => Subject::Heartbeat(proposal.clone()),
            Proposal::DepositSweep(proposal) => {
                let extra_info = self.extra_info(&proposal.deposits).await?;
                Subject::DepositSweep { proposal: proposal.clone(), extra_info }
            }
            Proposal::Redemption(proposal) => Subject::Redemption(proposal.clone()),
            Proposal::MovingFunds(proposal) => {
                let main_utxo = self.main_utxo().await?.ok_or(Objection::MainUtxoMissing(self.key_hash))?;
                Subject::MovingFunds { proposal: proposal.clone(), main_utxo }
            }
            Proposal::MovedFundsSweep(proposal) => Subject::MovedFundsSweep(proposal.clone()),
        };
        Ok(Case { wallet: self.key_hash, subject })
    }

    /// The wallet's main UTXO as of the block, spent on Bitcoin or not; `None` if it has none. Its newest recorded transaction
    /// is searched for further back than the events reach.
    ///
    /// # Errors
    /// If Ethereum or Bitcoin has no usable answer.
    pub async fn main_utxo(&mut self) -> Result<Option<Utxo>, SessionError> {
        let record = self.record().await?;
        Ok(self.find_main_utxo(&record).await?.map(|main_utxo| main_utxo.utxo))
    }

    /// What the reveal of each deposit tells, from the events of the block that is named for it; `None` if there is no such
    /// event in it. The events known are looked through first; for the rest, the endpoint is asked.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer.
    pub async fn reveals(
        &mut self,
        deposits: &[RevealedDeposit],
    ) -> Result<Vec<Option<Revealed>>, SessionError> {
        if !deposits.is_empty() {
            self.count_events();
        }
        let key = |deposit: &RevealedDeposit| (deposit.reveal_block, deposit.outpoint);
        let mut unknown = Vec::new();
        for deposit in deposits.iter().filter(|deposit| deposit.reveal_block <= self.block.number) {
            if self.reveals.contains_key(&key(deposit)) {
                continue;
            }
            match self.events.reveal(*deposit) {
                Some(revealed) => drop(self.reveals.insert(key(deposit), Some(revealed))),
                None => unknown.push(*deposit),
            }
        }
        if !unknown.is_empty() {
            let bridge = self.sources.reader.bridge();
            let found = self.endpoints().reveals(bridge, &unknown).await?;
            self.reveals.extend(unknown.iter().map(key).zip(found));
        }
        Ok(deposits.iter().map(|deposit| self.reveals.get(&key(deposit)).copied().flatten()).collect())
    }

    /// What Bitcoin knows of the transaction of each output; `None` if it knows no such transaction.
    ///
    /// # Errors
    /// If Bitcoin gives no usable answer about one of them.
    pub async fn funding(&mut self, outpoints: &[OutPoint]) -> Result<Vec<Option<Known>>, SessionError> {
        let unknown: Vec<_> =
            outpoints.iter().copied().filter(|outpoint| !self.funding.contains_key(outpoint)).collect();
        let answers = self.transactions(&unknown).await?;
        for (outpoint, answer) in unknown.into_iter().zip(answers) {
            // What is not there now is asked about again.
            if let Some(known) = answer? {
                self.funding.insert(outpoint, known);
            }
        }
        Ok(outpoints.iter().map(|outpoint| self.funding.get(outpoint).cloned()).collect())
    }

    /// What the contract must be told of each deposit. Nothing is looked up for more of them than it allows: the case is
    /// rejected for that.
    async fn extra_info(&mut self, deposits: &[RevealedDeposit]) -> Result<Vec<DepositExtraInfo>, Obstacle> {
        if deposits.len() > DEPOSIT_SWEEP_MAX_SIZE.into() {
            return Ok(Vec::new());
        }
        let revealed = self.revealed(deposits).await?;
        let funding = self.funded(deposits).await?;
        let extra_info = revealed.into_iter().zip(funding).map(|(revealed, known)| {
            let Revealed { blinding_factor, wallet, refund_key_hash, refund_locktime } = revealed;
            let funding_transaction = (&known.transaction).into();
            DepositExtraInfo {
                funding_transaction,
                blinding_factor,
                wallet,
                refund_key_hash,
                refund_locktime,
            }
        });
        Ok(extra_info.collect())
    }

    /// The reveal of each deposit, which must be in the block that is named for it.
    async fn revealed(&mut self, deposits: &[RevealedDeposit]) -> Result<Vec<Revealed>, Obstacle> {
        let reveals = self.reveals(deposits).await?;
        let revealed = deposits.iter().zip(reveals).map(|(deposit, revealed)| {
            let &RevealedDeposit { outpoint, reveal_block: block } = deposit;
            // A block that isn't there yet may come to hold it.
            let absent = if block > self.block.number {
                Objection::RevealTooShallow { outpoint, depth: 0, least: self.event_depth() }
            } else {
                Objection::RevealNotInBlock { outpoint, block }
            };
            revealed.ok_or(absent)
        });
        Ok(revealed.collect::<Result<_, _>>()?)
    }

    /// The funding transaction of each deposit, which Bitcoin must know.
    pub(super) async fn funded(&mut self, deposits: &[RevealedDeposit]) -> Result<Vec<Known>, Obstacle> {
        let outpoints: Vec<_> = deposits.iter().map(|deposit| deposit.outpoint).collect();
        let known = self.funding(&outpoints).await?.into_iter().zip(outpoints);
        let known = known.map(|(known, outpoint)| known.ok_or(Objection::OutputMissing(outpoint)));
        Ok(known.collect::<Result<_, _>>()?)
    }

    /// The main UTXO that the case spends; `None` if it spends none.
    pub(super) async fn spent_main_utxo(&mut self, case: &Case) -> Result<Option<Utxo>, Obstacle> {
        // The wallet's record comes along with all else that is read for the case.
        let snapshot = self.snapshot_of(case).await?;
        if let Subject::MovingFunds { main_utxo, .. } = &case.subject
            && main_utxo_hash(main_utxo) == snapshot.wallet(self.key_hash)?.main_utxo_hash
        {
            // It needn't be searched for.
            self.memory.found_main_utxo(*main_utxo);
        }
        let main_utxo = self.main_utxo().await?;
        match (&case.subject, main_utxo) {
            (Subject::Redemption(_) | Subject::MovingFunds { .. }, None) => {
                Err(Objection::MainUtxoMissing(self.key_hash).into())
            }
            (_, main_utxo) => Ok(main_utxo),
        }
    }

    const fn event_depth(&self) -> u64 {
        self.head().event_depth
    }

    /// Takes the step. What lasts is told before what time can lift.
    pub(super) async fn check_evidence(&mut self, case: &Case) -> Result<(), Obstacle> {
        match &case.subject {
            Subject::Heartbeat(_) => Ok(()),
            Subject::DepositSweep { proposal, .. } => {
                if proposal.deposits.len() > DEPOSIT_SWEEP_MAX_SIZE.into() {
                    return Ok(());
                }
                self.revealed(&proposal.deposits).await?;
                self.funded(&proposal.deposits).await?;
                self.spent_main_utxo(case).await?;
                self.reveals_deep(&proposal.deposits)
            }
            Subject::Redemption(proposal) => {
                if proposal.scripts.len() > REDEMPTION_MAX_SIZE.into() {
                    return Ok(());
                }
                self.spent_main_utxo(case).await?;
                self.requests_deep(case, proposal).await
            }
            Subject::MovingFunds { .. } | Subject::MovedFundsSweep(_) => {
                self.spent_main_utxo(case).await.map(drop)
            }
        }
    }

    fn reveals_deep(&self, deposits: &[RevealedDeposit]) -> Result<(), Obstacle> {
        let least = self.event_depth();
        for deposit in deposits {
            let (outpoint, depth) =
                (deposit.outpoint, self.block.number.saturating_sub(deposit.reveal_block));
            if depth < least {
                return Err(Objection::RevealTooShallow { outpoint, depth, least }.into());
            }
        }
        Ok(())
    }

    /// A request's event is not looked for: when it was made stands in the Bridge's record, and which blocks are deep enough in
    /// the chain. What isn't pending is the contract's to reject.
    async fn requests_deep(&mut self, case: &Case, proposal: &RedemptionProposal) -> Result<(), Obstacle> {
        let deep = self.deep().await?;
        let snapshot = self.snapshot_of(case).await?;
        for script in &proposal.scripts {
            let requested_at = snapshot.redemption(RedemptionKey::new(self.key_hash, script))?.requested_at;
            let requested_at = u64::from(requested_at);
            if requested_at > deep {
                let script = script.clone();
                return Err(Objection::RequestTooShallow {
                    script,
                    requested_at,
                    deep,
                    least: self.event_depth(),
                }
                .into());
            }
        }
        Ok(())
    }

    /// The time of the newest block that is deep enough for events to be built on; 0 if there is none.
    async fn deep(&mut self) -> Result<u64, SessionError> {
        let Some(number) = self.block.number.checked_sub(self.event_depth()) else { return Ok(0) };
        let ancestor = self.sources.panel.ancestor(&self.named.header, number).await?;
        self.assurances.count_state(ancestor.assurance);
        Ok(ancestor.fact.timestamp())
    }
}
