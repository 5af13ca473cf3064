//! Step 1: what a proposal builds on is found, in the Bridge's events and on Bitcoin, and the events are deep enough.

use std::collections::{BTreeMap, BTreeSet};

use coxswain_bitcoin::{Backend, Known};
use coxswain_ethereum::{ChainError, RevealSaid, Revealed};
use coxswain_rules::{
    Case, DEPOSIT_SWEEP_MAX_SIZE, DepositExtraInfo, Objection, OutPoint, Proposal, REDEMPTION_MAX_SIZE,
    RedemptionKey, RedemptionProposal, RevealedDeposit, Subject, Utxo, main_utxo_hash,
    units::{BlockNumber, Blocks, UnixTime},
};

use super::{Obstacle, ownership::is_deposit};
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
    /// event in it. The events known are looked through first; for the rest, the endpoints are asked.
    ///
    /// Events are words. Whether the deposit was revealed in that block stands in the Bridge's record: the time of the reveal is
    /// the block's. So an event that is made up, or moved to another block, counts for nothing, and one that is hidden is not
    /// absent. A server that shows one where others show none is believed if it fits the output.
    ///
    /// # Errors
    /// If the endpoints give no usable answer, or none of them shows a reveal that there is.
    pub async fn reveals(
        &mut self,
        deposits: &[RevealedDeposit],
    ) -> Result<Vec<Option<Revealed>>, SessionError> {
        if deposits.is_empty() {
            return Ok(Vec::new());
        }
        self.count_events();
        let key = |deposit: &RevealedDeposit| (deposit.reveal_block, deposit.outpoint);
        let is_open = |deposit: &&RevealedDeposit| {
            deposit.reveal_block <= self.block.number && !self.reveals.contains_key(&key(deposit))
        };
        let open: Vec<_> = deposits.iter().filter(is_open).copied().collect();
        let there = self.revealed_then(&open).await?;
        let unknown: Vec<_> = open
            .iter()
            .zip(&there)
            .filter(|(deposit, there)| **there && self.events.reveal(**deposit).is_none())
            .map(|(deposit, _)| *deposit)
            .collect();
        let bridge = self.sources.reader.bridge();
        let mut said = match &*unknown {
            [] => Vec::new(),
            unknown => self.endpoints().reveals_said(bridge, unknown, self.block).await?,
        }
        .into_iter();
        for (deposit, there) in open.iter().zip(there) {
            let revealed = match (there, self.events.reveal(*deposit)) {
                (false, _) => None,
                (true, Some(revealed)) => Some(revealed),
                (true, None) => self.shown(deposit, said.next().unwrap_or_default()).await?,
            };
            self.reveals.insert(key(deposit), revealed);
        }
        Ok(deposits.iter().map(|deposit| self.reveals.get(&key(deposit)).copied().flatten()).collect())
    }

    /// Whether each deposit was revealed in the block that is named for it: the Bridge's record has that block's time.
    async fn revealed_then(&mut self, deposits: &[RevealedDeposit]) -> Result<Vec<bool>, SessionError> {
        if deposits.is_empty() {
            return Ok(Vec::new());
        }
        let records = self.deposit_records(deposits).await?;
        let blocks: BTreeSet<_> = deposits.iter().map(|deposit| deposit.reveal_block).collect();
        let blocks: Vec<_> = blocks.into_iter().collect();
        let named = self.sources.panel.at_numbers(&blocks).await?;
        let named: BTreeMap<_, _> = blocks.into_iter().zip(named).collect();
        let mut there = Vec::with_capacity(deposits.len());
        for (deposit, record) in deposits.iter().zip(records) {
            there.push(match named.get(&deposit.reveal_block) {
                // What was never revealed is in no block.
                _ if record.revealed_at == 0 => false,
                Some(Ok(named)) => named.header.timestamp() == record.revealed_at.into(),
                Some(Err(error)) => {
                    let (error, failures) = (*error, Vec::new());
                    return Err(ChainError::NoDecision { error, failures }.into());
                }
                None => false,
            });
        }
        Ok(there)
    }

    /// The reveal of a deposit that was revealed at the time of the block named, by what servers say of it. `None` if it was in
    /// another block of that time.
    async fn shown(
        &mut self,
        deposit: &RevealedDeposit,
        said: RevealSaid,
    ) -> Result<Option<Revealed>, SessionError> {
        if let Some(revealed) = said.agreed() {
            return Ok(Some(revealed));
        }
        let &RevealedDeposit { outpoint, reveal_block: block } = deposit;
        let hidden = SessionError::RevealHidden { outpoint, block, said: said.to_string() };
        if said.shown.is_empty() {
            let other = said.is_absent() && self.has_a_twin(block).await?;
            return if other { Ok(None) } else { Err(hidden) };
        }
        let record = self.deposit_records(std::slice::from_ref(deposit)).await?.pop();
        let known = self.funding(&[outpoint]).await?.pop().flatten();
        let (Some(record), Some(known)) = (record, known) else { return Err(hidden) };
        let vout = usize::try_from(outpoint.vout).ok();
        let output = vout.and_then(|vout| known.transaction.output.get(vout));
        let fits = |revealed: &Revealed| {
            output.is_some_and(|output| is_deposit(revealed, &record, output.script_pubkey.as_bytes()))
        };
        let mut shown = said.shown.into_iter().map(|(revealed, _)| revealed);
        shown.find(fits).map(Some).ok_or(hidden)
    }

    /// Whether a block beside this one has the same time, as on local chains.
    async fn has_a_twin(&self, block: BlockNumber) -> Result<bool, SessionError> {
        let around: Vec<_> = block.saturating_sub(Blocks(1)).to(block.next()).collect();
        let named = self.sources.panel.at_numbers(&around).await?;
        let mut times: Vec<_> = named.into_iter().flatten().map(|named| named.header.timestamp()).collect();
        let all = times.len();
        times.dedup();
        Ok(times.len() < all)
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
                Objection::RevealTooShallow { outpoint, depth: Blocks(0), least: self.event_depth() }
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

    const fn event_depth(&self) -> Blocks {
        self.sources.network.event_depth
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
                self.reveals_deep(&proposal.deposits).await
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

    /// The Bridge's records tell when they were revealed.
    async fn reveals_deep(&mut self, deposits: &[RevealedDeposit]) -> Result<(), Obstacle> {
        let (head, least) = (self.head().await?, self.event_depth());
        let records = self.deposit_records(deposits).await?;
        for (deposit, record) in deposits.iter().zip(records) {
            let outpoint = deposit.outpoint;
            if !head.is_deep(deposit.reveal_block, record.revealed_at.into()) {
                let depth = head.depth(deposit.reveal_block);
                return Err(Objection::RevealTooShallow { outpoint, depth, least }.into());
            }
        }
        Ok(())
    }

    /// A request's event is not looked for: when it was made stands in the Bridge's record, and which blocks are deep enough in
    /// the chain. What isn't pending is the contract's to reject.
    async fn requests_deep(&mut self, case: &Case, proposal: &RedemptionProposal) -> Result<(), Obstacle> {
        let deep = self.head().await?.deep;
        let snapshot = self.snapshot_of(case).await?;
        for script in &proposal.scripts {
            let requested_at = snapshot.redemption(RedemptionKey::new(self.key_hash, script))?.requested_at;
            let requested_at = UnixTime::from(requested_at);
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
}
