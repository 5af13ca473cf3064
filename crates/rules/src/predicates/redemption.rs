//! RD-1 to RD-10.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use bitcoin::{Amount, Script};

use super::{after, before, fee_above_zero, fee_at_most, number, time, wallet_state};
use crate::{
    Finding, KeyHash, MissingError, Reason, RedemptionKey, RedemptionProposal, RuleId, Snapshot, Value,
    WalletState, redemption_share,
};

/// Seconds for which a request is left alone: then it is final on Ethereum.
pub const REDEMPTION_REQUEST_MIN_AGE: u32 = 600;
/// Seconds before a request's timeout in which it is not paid any more: its redeemer must never get both the BTC and
/// the tBTC back.
pub const REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN: u32 = 2 * 60 * 60;
/// How many requests one transaction pays at most.
pub const REDEMPTION_MAX_SIZE: u16 = 20;

pub(super) fn evaluate(
    snapshot: &Snapshot,
    wallet: KeyHash,
    proposal: &RedemptionProposal,
) -> Result<Vec<Finding>, MissingError> {
    let RedemptionProposal { scripts, fee } = proposal;
    let record = snapshot.wallet(wallet)?;
    let size = scripts.len();
    let max_size = U256::from(REDEMPTION_MAX_SIZE);

    let mut findings = vec![
        wallet_state(RuleId::Rd1, wallet, record, &[WalletState::Live, WalletState::MovingFunds]),
        Finding::new(
            RuleId::Rd2,
            None,
            (Some(number(size)), Some(number(1_u64))),
            scripts.is_empty().then_some(Reason::RedemptionEmpty),
        ),
        Finding::new(
            RuleId::Rd3,
            None,
            (Some(number(size)), Some(Value::Number(max_size))),
            (size > REDEMPTION_MAX_SIZE.into())
                .then(|| Reason::RedemptionTooLarge { size: U256::from(size), max_size }),
        ),
        fee_above_zero(RuleId::Rd4, *fee),
        fee_at_most(RuleId::Rd5, *fee, snapshot.redemption_parameters.redemption_tx_max_total_fee),
    ];
    if scripts.is_empty() {
        let about_requests = [RuleId::Rd6, RuleId::Rd7, RuleId::Rd8, RuleId::Rd9, RuleId::Rd10];
        findings.extend(about_requests.map(|rule| Finding::not_evaluable(rule, None, RuleId::Rd2)));
    }
    let mut seen = BTreeMap::new();
    for (index, script) in scripts.iter().enumerate() {
        let share = redemption_share(*fee, size, index).unwrap_or(Amount::ZERO);
        findings.extend(redemption_findings(snapshot, wallet, script, index, share)?);
        findings.push(not_repeated(index, *seen.entry(script).or_insert(index)));
    }
    Ok(findings)
}

/// What RD-6 to RD-9 say of one request, which would stand at `index` of a proposal and bear `share` of its fee.
/// (No request refuses a share of zero.)
pub fn redemption_findings(
    snapshot: &Snapshot,
    wallet: KeyHash,
    script: &Script,
    index: usize,
    share: Amount,
) -> Result<[Finding; 4], MissingError> {
    let key = RedemptionKey::new(wallet, script);
    let request = snapshot.redemption(key)?;
    let item = Some(index);
    let index = U256::from(index);

    let pending = Finding::new(
        RuleId::Rd6,
        item,
        (Some(time(request.requested_at)), None),
        (request.requested_at == 0).then_some(Reason::RedemptionNotPending { index }),
    );
    if request.requested_at == 0 {
        let [old, in_time, share] = [RuleId::Rd7, RuleId::Rd8, RuleId::Rd9]
            .map(|rule| Finding::not_evaluable(rule, item, RuleId::Rd6));
        return Ok([pending, old, in_time, share]);
    }

    let min_age = REDEMPTION_REQUEST_MIN_AGE.max(snapshot.watchtower_delay(key)?);
    let eligible_after = after(request.requested_at, min_age);
    let old = Finding::new(
        RuleId::Rd7,
        item,
        (Some(time(snapshot.timestamp.0)), Some(Value::Time(eligible_after))),
        (U256::from(snapshot.timestamp.0) <= eligible_after)
            .then_some(Reason::RedemptionTooYoung { index, eligible_after }),
    );

    let timeout = snapshot.redemption_parameters.redemption_timeout;
    let eligible_before = before(request.requested_at, timeout, REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN);
    let in_time = Finding::new(
        RuleId::Rd8,
        item,
        (Some(time(snapshot.timestamp.0)), Some(Value::Time(eligible_before))),
        (U256::from(snapshot.timestamp.0) >= eligible_before)
            .then_some(Reason::RedemptionTimeoutTooClose { index, eligible_before }),
    );

    let (actual, max_share) = (U256::from(share.to_sat()), U256::from(request.tx_max_fee.to_sat()));
    let share = Finding::new(
        RuleId::Rd9,
        item,
        (Some(Value::Number(actual)), Some(Value::Number(max_share))),
        (share > request.tx_max_fee).then_some(Reason::RedemptionFeeShareTooHigh {
            index,
            share: actual,
            max_share,
        }),
    );
    Ok([pending, old, in_time, share])
}

fn not_repeated(index: usize, first_index: usize) -> Finding {
    let repeated = index != first_index;
    let [at, first_at] = [U256::from(index), U256::from(first_index)];
    Finding::new(
        RuleId::Rd10,
        Some(index),
        (None, repeated.then_some(Value::Index(first_at))),
        repeated.then_some(Reason::RedemptionDuplicated { index: at, first_index: first_at }),
    )
}
