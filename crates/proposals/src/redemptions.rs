//! Which redemption requests to pay.

use std::collections::BTreeMap;

use coxswain_ethereum::RedemptionRequest;
use coxswain_rules::{
    Amount, FeeConditions, FeeTerms, KeyHash, LeaderFee, MissingError, REDEMPTION_MAX_SIZE, RedemptionKey,
    RedemptionProposal, ScriptBuf, Snapshot, UnsignedTransaction, Utxo,
    network::DustChange,
    redemption_findings, redemption_share,
    units::{BlockNumber, Blocks},
};

use crate::{Exclusion, Head, Item, Nothing, Why, deposits::ends, lead::ruled_out, outcome::Refusal};

/// Blocks looked back for requests beyond their timeout.
const LOOK_BACK_ALLOWANCE: Blocks = Blocks(1_000);
/// How many requests one generation reads from the Bridge at most, in seven calls: far more than a wallet can pay in the time
/// that it has for them.
const READS: usize = 7 * 250;
/// Seconds between blocks.
const BLOCK_SECONDS: u32 = 12;

/// The block that pending requests can't be older than, when they time out after this many seconds: with an allowance, as
/// blocks don't come like clockwork.
pub fn oldest_block(head: BlockNumber, redemption_timeout: u32) -> BlockNumber {
    let blocks = Blocks((redemption_timeout / BLOCK_SECONDS).into());
    head.saturating_sub(blocks.saturating_add(LOOK_BACK_ALLOWANCE))
}

/// The newest request to each script in these blocks, oldest first; up to a bound, beyond it the oldest and the newest ones.
pub fn newest<'a>(
    requests: impl DoubleEndedIterator<Item = &'a RedemptionRequest>,
    blocks: std::ops::RangeInclusive<BlockNumber>,
) -> Vec<RedemptionRequest> {
    let mut newest = BTreeMap::new();
    for request in requests.filter(|request| blocks.contains(&request.at.block)) {
        newest.insert(&request.script, request);
    }
    let mut newest: Vec<RedemptionRequest> = newest.into_values().cloned().collect();
    newest.sort_by_key(|request| request.at);
    ends(newest, READS)
}

/// The scripts of those requests that the Bridge's state at the head lets through (RD-7, RD-8), oldest first. Those no longer
/// pending are no candidates; the others are excluded.
///
/// # Errors
/// When the snapshot lacks a request.
pub fn candidates(
    snapshot: &Snapshot,
    wallet: KeyHash,
    head: Head,
    requests: &[RedemptionRequest],
) -> Result<(Vec<ScriptBuf>, Vec<Exclusion>), MissingError> {
    let (mut candidates, mut excluded) = (Vec::new(), Vec::new());
    for request in requests {
        let script = &request.script;
        let requested_at = snapshot.redemption(RedemptionKey::new(wallet, script))?.requested_at;
        if requested_at == 0 {
            continue;
        }
        let findings = redemption_findings(snapshot, wallet, script, 0, Amount::ZERO)?;
        let mut findings = findings.into_iter();
        let why = findings
            .find_map(|finding| ruled_out(finding, snapshot.timestamp))
            .or_else(|| head.too_shallow(request.at.block, requested_at.into()));
        match why {
            None => candidates.push(script.clone()),
            Some(why) => excluded.push(Exclusion { item: Item::Redemption(script.clone()), why }),
        }
    }
    Ok((candidates, excluded))
}

/// What to propose, with its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The proposal.
    pub proposal: RedemptionProposal,
    /// Its transaction.
    pub unsigned: UnsignedTransaction,
    /// Its fee.
    pub fee: LeaderFee,
}

/// The batch to pay out of the main UTXO: the oldest requests, up to 20, without those that can't bear their share of the
/// fee. Each that goes makes the others' shares grow, and lets the next one in. If the change is dust, the last request goes,
/// until it isn't (INC-37). What is left out is added to `excluded`.
///
/// # Errors
/// When there is nothing to pay.
pub fn batch(
    snapshot: &Snapshot,
    wallet: KeyHash,
    mut scripts: Vec<ScriptBuf>,
    main_utxo: Utxo,
    fees: &FeeConditions,
    dust_change: DustChange,
    excluded: &mut Vec<Exclusion>,
) -> Result<Batch, Nothing> {
    let exclude = |script, why| Exclusion { item: Item::Redemption(script), why };
    loop {
        let size = scripts.len().min(REDEMPTION_MAX_SIZE.into());
        let chosen: Vec<_> = scripts.iter().take(size).cloned().collect();
        if chosen.is_empty() {
            let for_dust = |exclusion: &Exclusion| match (&exclusion.item, &exclusion.why) {
                (Item::Redemption(script), Why::DustChange { .. }) => Some(script.clone()),
                _ => None,
            };
            let waiting: Vec<_> = excluded.iter().filter_map(for_dust).collect();
            return Err(if waiting.is_empty() { Nothing::NoneLeft } else { Nothing::DustChange(waiting) });
        }
        match priced(snapshot, wallet, chosen, main_utxo, fees, dust_change) {
            Ok(batch) => {
                excluded.extend(scripts.into_iter().skip(size).map(|script| exclude(script, Why::Full)));
                return Ok(batch);
            }
            Err(Refusal::All(nothing)) => return Err(nothing),
            Err(Refusal::Items(mut items)) => {
                let mut rest = Vec::with_capacity(scripts.len());
                for (index, script) in scripts.into_iter().enumerate() {
                    match items.remove(&index) {
                        Some(why) => excluded.push(exclude(script, why)),
                        None => rest.push(script),
                    }
                }
                scripts = rest;
            }
        }
    }
}

/// The proposal to pay all of these.
fn priced(
    snapshot: &Snapshot,
    wallet: KeyHash,
    scripts: Vec<ScriptBuf>,
    main_utxo: Utxo,
    fees: &FeeConditions,
    dust_change: DustChange,
) -> Result<Batch, Refusal> {
    let size = scripts.len();
    let build = |proposal: &RedemptionProposal| {
        UnsignedTransaction::redemption(snapshot, wallet, proposal, main_utxo, dust_change)
            .map_err(Refusal::from)
    };
    let mut proposal = RedemptionProposal { scripts, fee: Amount::ZERO };
    let fee = fees.propose(&FeeTerms::redemption(snapshot, &proposal, &build(&proposal)?))?;
    proposal.fee = fee.amount;

    let mut unable = BTreeMap::new();
    for (index, script) in proposal.scripts.iter().enumerate() {
        let share = redemption_share(proposal.fee, size, index).unwrap_or(proposal.fee);
        let findings = redemption_findings(snapshot, wallet, script, index, share)
            .map_err(|missing| Nothing::Transaction(missing.into()))?;
        let broken = findings.into_iter().find(|finding| finding.reason().is_some());
        unable.extend(broken.map(|finding| (index, Why::Rule(Box::new(finding)))));
    }
    if !unable.is_empty() {
        return Err(Refusal::Items(unable));
    }
    let unsigned = build(&proposal)?;
    let with_change = unsigned.transaction().output.len() > size;
    let mut change = None;
    for (position, output) in unsigned.dust() {
        match position.checked_sub(usize::from(with_change)) {
            Some(index) => {
                unable.insert(index, Why::Dust);
            }
            None => change = Some(output),
        }
    }
    // Requests that can't be paid leave more of it when they go.
    if let (Some(output), Some(last)) = (change, size.checked_sub(1))
        && unable.is_empty()
    {
        let least = output.script_pubkey.minimal_non_dust();
        unable.insert(last, Why::DustChange { change: output.value, least });
    }
    if unable.is_empty() { Ok(Batch { proposal, unsigned, fee }) } else { Err(Refusal::Items(unable)) }
}
