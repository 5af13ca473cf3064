//! Deposit sweeps, and what else depends on which deposits can be swept.

use std::collections::BTreeMap;

use coxswain_bitcoin::{Backend, BackendError, Output};
use coxswain_ethereum::SnapshotKeys;
use coxswain_rules::{DEPOSIT_SWEEP_MAX_SIZE, RuleId, Snapshot, Subject, units::Confirmations};

use super::{Answer, MAX_TRIES, Progress};
use crate::{
    ActionOutcome, Exclusion, Nothing, ProposedTransaction, Session, SessionError, Why,
    deposits::{self, Lookups, Sound},
    gas,
    outcome::Refusal,
    session::main_utxo::MainUtxo,
};

/// How many rounds of look-ups a generation makes.
const ROUNDS: usize = 2;
/// How many deposits of a vault are asked to be unspent: a batch, and as many that could take the place of spent ones.
const CHECKED_PER_VAULT: usize = 2 * DEPOSIT_SWEEP_MAX_SIZE as usize;

/// The wallet's deposits that were looked at.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    snapshot: Snapshot,
    main_utxo: Option<MainUtxo>,
    /// What can be swept.
    sound: Vec<Sound>,
    /// What can't be, and why.
    excluded: Vec<Exclusion>,
}

impl Survey {
    /// How many deposits can be swept, now or soon: those too young, too shallow or not yet looked at may turn out to.
    pub(crate) fn sweepable(&self) -> usize {
        let soon = |exclusion: &&Exclusion| match &exclusion.why {
            Why::Rule(finding) => finding.rule == RuleId::Ds8,
            Why::Unconfirmed { confirmations, .. } => *confirmations > Confirmations(0),
            Why::Shallow { .. } => true,
            why => why.waits(),
        };
        self.sound.len().saturating_add(self.excluded.iter().filter(soon).count())
    }

    /// Why it is undecided whether some deposit can be swept.
    pub(crate) fn unanswered(&self) -> Option<SessionError> {
        self.excluded.iter().find_map(|exclusion| match &exclusion.why {
            Why::Unanswered(error) => Some(error.clone().into()),
            _ => None,
        })
    }
}

/// Whether a call that failed may have run out of gas: nodes say so in many ways.
const fn may_lack_gas(undecided: &SessionError) -> bool {
    use coxswain_ethereum::{ChainError, RequestError};
    matches!(
        undecided,
        SessionError::Ethereum(
            ChainError::RevertWithoutReason { .. } | ChainError::Request(RequestError::Rpc { .. })
        )
    )
}

impl<B: Backend> Session<'_, B> {
    pub(crate) async fn deposit_sweep(&mut self, excluded: &mut Vec<Exclusion>) -> Progress<ActionOutcome> {
        if self.events.reveals(self.key_hash).next().is_none() {
            // A wallet that may not sweep says so first.
            self.active().await?;
            return Ok(Nothing::NoneLeft.into());
        }
        let survey = self.survey().await?;
        let unanswered = survey.unanswered();
        excluded.extend(survey.excluded);
        let (main_utxo, mut sound) = (survey.main_utxo, survey.sound);

        let now = self.block.timestamp;
        let mut gas_limit = gas::LIMIT;
        for _ in 0..MAX_TRIES {
            let (batch, waiting) = deposits::batch(&sound, now, self.memory, gas_limit);
            if batch.is_empty() {
                // What could not be told may hide something to sweep.
                return unanswered.map_or(Ok(Nothing::NoneLeft.into()), |undecided| Err(undecided.into()));
            }
            let fees = self.fees().await?;
            let utxo = main_utxo.as_ref().map(|main_utxo| main_utxo.utxo);
            let refusal = match deposits::sweep(&survey.snapshot, self.key_hash, &batch, utxo, &fees) {
                Ok((proposal, extra_info, unsigned, fee)) => {
                    let funding = batch.iter().map(|sound| sound.funding.clone());
                    let funding = funding
                        .chain(main_utxo.as_ref().and_then(|main_utxo| main_utxo.transaction.clone()))
                        .collect();
                    let transaction = ProposedTransaction { unsigned, fee, funding };
                    let subject = Subject::DepositSweep { proposal, extra_info };
                    match self.put(subject, Some(transaction)).await {
                        Ok(Answer::Accepted(proposed)) => {
                            excluded.extend(waiting);
                            return Ok(ActionOutcome::Proposal(proposed));
                        }
                        Ok(Answer::Rejected(rejection)) => Refusal::from(rejection),
                        // The endpoint may allow a call less than others do.
                        Err(undecided) if may_lack_gas(&undecided) && batch.len() > 1 => {
                            gas_limit = deposits::gas_of(&batch).min(gas_limit) / 2;
                            continue;
                        }
                        Err(undecided) => return Err(undecided.into()),
                    }
                }
                Err(refusal) => refusal,
            };
            let mut items = match refusal {
                Refusal::Items(items) => items,
                Refusal::All(nothing) => return Ok(nothing.into()),
            };
            for (index, deposit) in batch.into_iter().enumerate() {
                let Some(why) = items.remove(&index) else { continue };
                let candidate = deposit.candidate;
                sound.retain(|sound| sound.candidate.outpoint != candidate.outpoint);
                self.memory.found_wanting(candidate.outpoint, why.clone(), now);
                excluded.push(Exclusion { item: candidate.item(), why });
            }
        }
        Ok(Nothing::TooManyRejections(MAX_TRIES).into())
    }

    /// Which deposits can be swept, with the main UTXO that they are swept into.
    pub(crate) async fn survey(&mut self) -> Progress<Survey> {
        if let Some(survey) = &self.survey {
            return Ok(survey.clone());
        }
        let (wallet, head, now) = (self.key_hash, self.block.number, self.block.timestamp);
        let deposits = deposits::to_read(self.events.reveals(wallet), head, now, self.memory);
        let snapshot = self.snapshot(SnapshotKeys { deposits, ..SnapshotKeys::default() }).await?;
        let record = &self.active().await?;
        self.none_of_its_own_waits(record).await?;
        let at = self.head().await?;
        let reveals = self.events.reveals(wallet);
        let (candidates, mut excluded) = deposits::candidates(&snapshot, wallet, at, reveals, self.memory)?;

        let mut search = self.search(record).await?;
        let mut lookups = Lookups::default();
        for _ in 0..ROUNDS {
            let next = lookups.next(&candidates, now, self.memory);
            if next.is_empty() {
                break;
            }
            let outpoints = next.iter().map(|candidate| candidate.outpoint);
            let (over, answers) = self.transactions_beside(record, search, outpoints).await?;
            search = over;
            for (candidate, answer) in next.into_iter().zip(answers) {
                let answer = match answer {
                    Ok(known) => deposits::judge(&snapshot, wallet, candidate, known.as_ref())?,
                    Err(error) => deposits::Answer::Wanting(error.into()),
                };
                lookups.answered(candidate, answer, self.memory, now);
            }
        }
        lookups.close(&candidates, self.memory, now);
        excluded.extend(lookups.excluded);

        let (mut sound, mut main_utxo) = (lookups.sound, None);
        if !sound.is_empty() {
            main_utxo = self.main_utxo_of(record, search)?;
            sound = self.unspent_of(sound, &main_utxo, &mut excluded).await?;
        }
        Ok(self.survey.insert(Survey { snapshot, main_utxo, sound, excluded }).clone())
    }

    /// Those of the deposits that come first and whose outputs are unspent; the main UTXO must be.
    async fn unspent_of(
        &mut self,
        sound: Vec<Sound>,
        main_utxo: &Option<MainUtxo>,
        excluded: &mut Vec<Exclusion>,
    ) -> Progress<Vec<Sound>> {
        let now = self.block.timestamp;
        let mut checked = Vec::new();
        for (turn, vault) in deposits::by_vault(&sound, now, self.memory).into_iter().enumerate() {
            for (position, deposit) in vault.into_iter().enumerate() {
                let why = match () {
                    () if turn > 0 => Why::OtherVault,
                    () if position >= CHECKED_PER_VAULT => Why::Full,
                    () => {
                        checked.push(deposit.clone());
                        continue;
                    }
                };
                excluded.push(Exclusion { item: deposit.candidate.item(), why });
            }
        }
        let main_output = self.unsettled(main_utxo.as_ref());
        let outputs: Vec<Output> =
            main_output.into_iter().chain(checked.iter().filter_map(Sound::output)).collect();
        let answers = self.unspent(&outputs).await?;
        let mut unspent: BTreeMap<_, Result<bool, BackendError>> =
            outputs.into_iter().map(|output| output.outpoint).zip(answers).collect();

        self.settle(main_utxo.as_ref(), &unspent)?;
        let mut sound = Vec::with_capacity(checked.len());
        for deposit in checked {
            let outpoint = deposit.candidate.outpoint;
            let why = match unspent.remove(&outpoint) {
                Some(Ok(true)) => {
                    sound.push(deposit);
                    continue;
                }
                Some(Ok(false)) => Why::Spent,
                Some(Err(error)) => error.into(),
                None => Why::NotAskedYet,
            };
            if why == Why::Spent {
                self.memory.found_wanting(outpoint, why.clone(), now);
            }
            excluded.push(Exclusion { item: deposit.candidate.item(), why });
        }
        Ok(sound)
    }
}
