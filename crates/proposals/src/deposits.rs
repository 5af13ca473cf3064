//! Which deposits to sweep: from reveals to what the Bridge lets through, to what Bitcoin bears out, to one vault's batch.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alloy_primitives::Address;
use bitcoin::Transaction;
use coxswain_bitcoin::{Known, Output};
use coxswain_ethereum::{DepositReveal, Position, Revealed};
use coxswain_rules::{
    Amount, DEPOSIT_REFUND_SAFETY_MARGIN, DEPOSIT_SWEEP_MAX_SIZE, DepositExtraInfo, DepositKey,
    DepositRecord, DepositSweepProposal, FeeConditions, FeeTerms, FundingTransaction, KeyHash, LeaderFee,
    MissingError, OutPoint, RevealedDeposit, RuleId, Snapshot, UnsignedTransaction, Utxo, deposit_findings,
    units::{BlockNumber, Confirmations, UnixTime},
};

use crate::{Exclusion, Head, Item, LEAD, Memory, Nothing, Why, gas, lead::ruled_out, outcome::Refusal};

/// In how many Bitcoin blocks a deposit's funding must be buried.
pub const FUNDING_CONFIRMATIONS: Confirmations = Confirmations(6);
/// Seconds after which a vault that was left waiting comes first.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How many deposits are swept at once.
const BATCH: usize = DEPOSIT_SWEEP_MAX_SIZE as usize;
/// How many deposits one generation looks up on Bitcoin at most.
const LOOKUPS: usize = 250;
/// How many deposits one generation reads from the Bridge at most: with the wallet, seven calls.
const READS: usize = 7 * 250 - 1;

/// A deposit that the Bridge's state lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where its reveal stands in the chain.
    pub at: Position,
    /// Its output.
    pub outpoint: OutPoint,
    /// What its reveal told.
    pub revealed: Revealed,
    /// The Bridge's record of it: its vault is the one that counts.
    pub record: DepositRecord,
}

/// A deposit that Bitcoin bears out, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// The deposit.
    pub candidate: Candidate,
    /// What a proposal must say of it.
    pub extra_info: DepositExtraInfo,
    /// The transaction that funds it, with its witness.
    pub funding: Transaction,
}

/// What Bitcoin's answer makes of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By that answer, it can be swept.
    Sound(Box<Sound>),
    /// It can't be swept, or not yet.
    Wanting(Why),
}

impl AsRef<Candidate> for Candidate {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRef<Candidate> for Sound {
    fn as_ref(&self) -> &Candidate {
        &self.candidate
    }
}

impl Candidate {
    /// The deposit as a proposal names it.
    pub const fn deposit(&self) -> RevealedDeposit {
        RevealedDeposit { outpoint: self.outpoint, reveal_block: self.at.block }
    }

    pub(crate) const fn item(&self) -> Item {
        Item::Deposit(self.outpoint)
    }

    fn extra_info(&self, funding_transaction: FundingTransaction) -> DepositExtraInfo {
        let Revealed { blinding_factor, wallet, refund_key_hash, refund_locktime } = self.revealed;
        DepositExtraInfo { funding_transaction, blinding_factor, wallet, refund_key_hash, refund_locktime }
    }
}

impl Sound {
    /// The deposit's output, as Bitcoin is asked about it.
    pub(crate) fn output(&self) -> Option<Output> {
        let outpoint = self.candidate.outpoint;
        let output = self.funding.output.get(usize::try_from(outpoint.vout).ok()?)?;
        Some(Output { outpoint, script: output.script_pubkey.clone() })
    }
}

/// Which of the wallet's deposits to read from the Bridge: all that may be sweepable, up to a bound.
///
/// Not those known as swept, and those found wanting only when they are due. Where the rest is beyond the bound, the oldest
/// and the newest of it: the former, so that nothing waits forever; the latter, since a reader that knows nothing yet will
/// find most of the old ones swept. Those close to their refund come last.
pub fn to_read<'a>(
    reveals: impl IntoIterator<Item = &'a DepositReveal>,
    head: BlockNumber,
    now: UnixTime,
    memory: &Memory,
) -> BTreeSet<DepositKey> {
    let (mut due, mut far, mut close) = (Vec::new(), Vec::new(), Vec::new());
    for reveal in reveals {
        let outpoint = reveal.outpoint;
        let postponed = memory.postponed(outpoint, now).is_some();
        if reveal.at.block > head || memory.is_swept(outpoint) || postponed {
            continue;
        }
        let refund = u32::from_le_bytes(reveal.revealed.refund_locktime);
        let sweepable_before = UnixTime::from(refund.saturating_sub(DEPOSIT_REFUND_SAFETY_MARGIN));
        let refund_far = sweepable_before > now.saturating_add(LEAD);
        match memory.due(outpoint) {
            UnixTime(0) if refund_far => far.push(outpoint),
            UnixTime(0) => close.push(outpoint),
            time => due.push((time, outpoint)),
        }
    }
    due.sort_unstable();
    let due = due.into_iter().map(|(_, outpoint)| outpoint).take(LOOKUPS);
    let chosen = due.chain(ends(far, READS.saturating_sub(LOOKUPS))).chain(close);
    chosen.take(READS).map(DepositKey::new).collect()
}

/// As many items as allowed: half of them from the beginning, half from the end.
pub(crate) fn ends<T>(mut items: Vec<T>, most: usize) -> Vec<T> {
    if let Some(excess) = items.len().checked_sub(most) {
        let from = most / 2;
        items.drain(from..from.saturating_add(excess));
    }
    items
}

/// The wallet's unswept deposits, oldest first, as far as the Bridge's state at the head lets them through (DS-7 to DS-9,
/// DS-12, DS-13); what it doesn't, or what was not read, is excluded. The memory learns which are swept.
///
/// # Errors
/// None to be expected: whatever is asked of the snapshot is in it.
pub fn candidates<'a>(
    snapshot: &Snapshot,
    wallet: KeyHash,
    head: Head,
    reveals: impl IntoIterator<Item = &'a DepositReveal>,
    memory: &mut Memory,
) -> Result<(Vec<Candidate>, Vec<Exclusion>), MissingError> {
    let (mut candidates, mut excluded) = (Vec::new(), Vec::new());
    let mut unswept = BTreeSet::new();
    for reveal in reveals {
        let outpoint = reveal.outpoint;
        if reveal.at.block > head.block || memory.is_swept(outpoint) || unswept.contains(&outpoint) {
            continue;
        }
        let item = Item::Deposit(outpoint);
        let Some(record) = snapshot.deposits.get(&DepositKey::new(outpoint)) else {
            let why = memory.postponed(outpoint, snapshot.timestamp).unwrap_or(Why::NotAskedYet);
            unswept.insert(outpoint);
            excluded.push(Exclusion { item, why });
            continue;
        };
        if record.swept_at != 0 {
            memory.swept(outpoint, record.vault, record.swept_at.into(), snapshot.timestamp);
            continue;
        }
        unswept.insert(outpoint);
        let candidate =
            Candidate { at: reveal.at, outpoint, revealed: reveal.revealed, record: record.clone() };
        match refused(snapshot, wallet, head, &candidate)? {
            None => candidates.push(candidate),
            Some(why) => {
                if why.is_final() {
                    memory.found_wanting(outpoint, why.clone(), snapshot.timestamp);
                }
                excluded.push(Exclusion { item, why });
            }
        }
    }
    memory.retain(&unswept);
    Ok((candidates, excluded))
}

/// Why the Bridge's state rules the deposit out. `None` if it doesn't.
fn refused(
    snapshot: &Snapshot,
    wallet: KeyHash,
    head: Head,
    candidate: &Candidate,
) -> Result<Option<Why>, MissingError> {
    let nothing = FundingTransaction {
        version: [0; 4],
        input_vector: Vec::new(),
        output_vector: Vec::new(),
        locktime: [0; 4],
    };
    let extra_info = candidate.extra_info(nothing);
    let broken = first_ruled_out(snapshot, wallet, candidate, &extra_info, |rule| {
        // These are about the transaction, which isn't known yet.
        !matches!(rule, RuleId::Ds10 | RuleId::Ds11)
    })?;
    let revealed_at = candidate.record.revealed_at;
    Ok(broken.or_else(|| head.too_shallow(candidate.at.block, revealed_at.into())))
}

fn first_ruled_out(
    snapshot: &Snapshot,
    wallet: KeyHash,
    candidate: &Candidate,
    extra_info: &DepositExtraInfo,
    concerns: impl Fn(RuleId) -> bool,
) -> Result<Option<Why>, MissingError> {
    let outpoint = candidate.outpoint;
    let findings = deposit_findings(snapshot, wallet, outpoint, Some(extra_info), 0, outpoint)?;
    let mut concerning = findings.into_iter().filter(|finding| concerns(finding.rule));
    Ok(concerning.find_map(|finding| ruled_out(finding, snapshot.timestamp)))
}

/// Judges a candidate by what Bitcoin knows of its funding transaction.
///
/// # Errors
/// When the snapshot lacks the deposit.
pub fn judge(
    snapshot: &Snapshot,
    wallet: KeyHash,
    candidate: &Candidate,
    known: Option<&Known>,
) -> Result<Answer, MissingError> {
    let Some(Known { transaction, confirmations }) = known else {
        return Ok(Answer::Wanting(Why::NotFound));
    };
    let extra_info = candidate.extra_info(transaction.into());
    if let Some(why) = first_ruled_out(snapshot, wallet, candidate, &extra_info, |_| true)? {
        return Ok(Answer::Wanting(why));
    }
    let gas = gas::Estimate::default().with(candidate.outpoint.vout, &extra_info).total();
    if gas > gas::LIMIT {
        return Ok(Answer::Wanting(Why::TooCostly { gas, limit: gas::LIMIT }));
    }
    if *confirmations < FUNDING_CONFIRMATIONS {
        let (confirmations, least) = (*confirmations, FUNDING_CONFIRMATIONS);
        return Ok(Answer::Wanting(Why::Unconfirmed { confirmations, least }));
    }
    let funding = transaction.clone();
    Ok(Answer::Sound(Box::new(Sound { candidate: candidate.clone(), extra_info, funding })))
}

/// The deposits by vault, each vault's oldest first: the vault that comes first is the one to sweep to.
///
/// That is the one whose oldest deposit is oldest; but one left waiting for more than a day comes before: since that deposit
/// was revealed, or, when that is later, since the vault was served last. So no vault starves behind another's backlog.
pub fn by_vault<'a, T: AsRef<Candidate>>(
    deposits: &'a [T],
    now: UnixTime,
    memory: &Memory,
) -> Vec<Vec<&'a T>> {
    let mut vaults = BTreeMap::<Address, Vec<&T>>::new();
    for deposit in deposits {
        vaults.entry(deposit.as_ref().record.vault).or_default().push(deposit);
    }
    let oldest = |group: &[&T]| {
        let revealed = group.iter().map(|deposit| deposit.as_ref().record.revealed_at);
        UnixTime::from(revealed.min().unwrap_or_default())
    };
    let mut groups: Vec<_> = vaults
        .into_iter()
        .map(|(vault, group)| {
            let oldest = oldest(&group);
            let waiting_since = oldest.max(memory.last_sweep(vault));
            let waited = now.saturating_since(waiting_since) > PATIENCE;
            let turn = if waited { (0, waiting_since) } else { (1, oldest) };
            let first = group.first().map(|deposit| deposit.as_ref().at);
            ((turn, first, vault), group)
        })
        .collect();
    groups.sort_by_key(|(turn, _)| *turn);
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Which candidates to ask Bitcoin about, and what it has answered so far.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    asked: BTreeSet<OutPoint>,
    pub(crate) sound: Vec<Sound>,
    pub(crate) excluded: Vec<Exclusion>,
}

impl Lookups {
    /// Returns the candidates to look up next. Empty if enough is known.
    ///
    /// At first that is a share of the vault to be served: one batch of those never found wanting, and as many of those that were and are due. Then, unless that holds a batch or all that there is, a share of
    /// each other vault, so that what isn't there in one doesn't keep another waiting, and as many as are allowed.
    pub(crate) fn next<'a>(
        &self,
        candidates: &'a [Candidate],
        now: UnixTime,
        memory: &Memory,
    ) -> Vec<&'a Candidate> {
        let sound: BTreeSet<_> = self.sound.iter().map(|sound| sound.candidate.outpoint).collect();
        let is_open = |candidate: &&Candidate| {
            let outpoint = candidate.outpoint;
            !self.asked.contains(&outpoint) && memory.postponed(outpoint, now).is_none()
        };
        let live = |candidate: &&Candidate| sound.contains(&candidate.outpoint) || is_open(candidate);
        let live: Vec<_> = candidates.iter().filter(live).collect();

        let first_round = self.asked.is_empty();
        let (mut shares, mut rest) = (Vec::new(), Vec::new());
        for (turn, vault) in by_vault(&live, now, memory).into_iter().enumerate() {
            if first_round && turn > 0 {
                break;
            }
            let mut open: Vec<&Candidate> = vault.iter().copied().copied().filter(is_open).collect();
            open.sort_by_key(|candidate| memory.due(candidate.outpoint));
            let fresh = open.partition_point(|candidate| memory.due(candidate.outpoint) == UnixTime(0));
            let sound = vault.len().saturating_sub(open.len());
            if turn == 0 && (sound >= BATCH || (sound > 0 && fresh == 0)) {
                break;
            }
            let due = open.split_off(fresh);
            for mut open in [open, due] {
                let more = open.split_off(open.len().min(BATCH));
                shares.append(&mut open);
                rest.extend(more);
            }
        }
        if !first_round {
            shares.append(&mut rest);
        }
        shares.truncate(LOOKUPS.saturating_sub(self.asked.len()));
        shares
    }

    /// Takes in what Bitcoin says of a candidate.
    pub(crate) fn answered(
        &mut self,
        candidate: &Candidate,
        answer: Answer,
        memory: &mut Memory,
        now: UnixTime,
    ) {
        self.asked.insert(candidate.outpoint);
        match answer {
            Answer::Sound(sound) => {
                memory.found_sound(candidate.outpoint);
                self.sound.push(*sound);
                self.sound.sort_by_key(|sound| sound.candidate.at);
            }
            Answer::Wanting(why) => {
                memory.found_wanting(candidate.outpoint, why.clone(), now);
                self.excluded.push(Exclusion { item: candidate.item(), why });
            }
        }
    }

    /// Gives a reason to every candidate that was not asked about.
    pub(crate) fn close(&mut self, candidates: &[Candidate], memory: &Memory, now: UnixTime) {
        for candidate in candidates.iter().filter(|candidate| !self.asked.contains(&candidate.outpoint)) {
            let why = memory.postponed(candidate.outpoint, now).unwrap_or(Why::NotAskedYet);
            self.excluded.push(Exclusion { item: candidate.item(), why });
        }
    }
}

/// The batch to sweep: of the vault that comes first, the oldest deposits, as many as the contract and the gas of its
/// verdict allow, but one at least. Every other one gets a reason.
pub fn batch(
    sound: &[Sound],
    now: UnixTime,
    memory: &Memory,
    gas_limit: u64,
) -> (Vec<Sound>, Vec<Exclusion>) {
    let (mut batch, mut excluded) = (Vec::new(), Vec::new());
    let mut gas = gas::Estimate::default();
    for (turn, vault) in by_vault(sound, now, memory).into_iter().enumerate() {
        for deposit in vault {
            let one_more = gas.with(deposit.candidate.outpoint.vout, &deposit.extra_info);
            let why = match () {
                () if turn > 0 => Why::OtherVault,
                () if batch.len() >= BATCH => Why::Full,
                () if one_more.total() > gas_limit && !batch.is_empty() => Why::Gas,
                () => {
                    gas = one_more;
                    batch.push(deposit.clone());
                    continue;
                }
            };
            excluded.push(Exclusion { item: deposit.candidate.item(), why });
        }
    }
    (batch, excluded)
}

/// The gas that a verdict on a batch takes.
pub(crate) fn gas_of(batch: &[Sound]) -> u64 {
    let with =
        |gas: gas::Estimate, deposit: &Sound| gas.with(deposit.candidate.outpoint.vout, &deposit.extra_info);
    batch.iter().fold(gas::Estimate::default(), with).total()
}

/// The proposal to sweep all of a batch, with its transaction.
pub(crate) fn sweep(
    snapshot: &Snapshot,
    wallet: KeyHash,
    batch: &[Sound],
    main_utxo: Option<Utxo>,
    fees: &FeeConditions,
) -> Result<(DepositSweepProposal, Vec<DepositExtraInfo>, UnsignedTransaction, LeaderFee), Refusal> {
    let deposits: Vec<_> = batch.iter().map(|sound| sound.candidate.deposit()).collect();
    let extra_info: Vec<_> = batch.iter().map(|sound| sound.extra_info.clone()).collect();
    let mut proposal = DepositSweepProposal { deposits, fee: Amount::ZERO };
    let build = |proposal: &DepositSweepProposal| {
        UnsignedTransaction::deposit_sweep(snapshot, wallet, proposal, &extra_info, main_utxo)
            .map_err(Refusal::from)
    };
    let fee = fees.propose(&FeeTerms::deposit_sweep(snapshot, &proposal, &build(&proposal)?))?;
    proposal.fee = fee.amount;
    let unsigned = Nothing::unless_relayed(build(&proposal)?)?;
    Ok((proposal, extra_info, unsigned, fee))
}
