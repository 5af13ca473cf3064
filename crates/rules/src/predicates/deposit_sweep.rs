//! DS-1 to DS-15.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use bitcoin::{
    OutPoint,
    hashes::{Hash, HashEngine, sha256d},
};

use super::{after, before, fee_above_zero, fee_at_most, number, time, wallet_state};
use crate::{
    DepositExtraInfo, DepositKey, DepositRecord, DepositScript, DepositSweepProposal, Finding,
    FundingTransaction, KeyHash, MissingError, Reason, RuleId, Snapshot, Value, WalletState,
    largest_deposit_share, output_at,
};

/// Seconds for which a deposit is left alone: then its reveal is final on Ethereum, and its funding usually on
/// Bitcoin.
pub const DEPOSIT_MIN_AGE: u32 = 2 * 60 * 60;
/// Seconds before a deposit's refund in which it is not swept any more: a signature over a refunded deposit can be
/// used in a fraud challenge that nobody can defeat.
pub const DEPOSIT_REFUND_SAFETY_MARGIN: u32 = 24 * 60 * 60;
/// How many deposits one transaction sweeps at most.
pub const DEPOSIT_SWEEP_MAX_SIZE: u16 = 20;

pub(super) fn evaluate(
    snapshot: &Snapshot,
    wallet: KeyHash,
    proposal: &DepositSweepProposal,
    extra_info: &[DepositExtraInfo],
) -> Result<Vec<Finding>, MissingError> {
    let DepositSweepProposal { deposits, fee } = proposal;
    let record = snapshot.wallet(wallet)?;
    let size = deposits.len();
    let max_size = U256::from(DEPOSIT_SWEEP_MAX_SIZE);

    let mut findings = vec![
        wallet_state(RuleId::Ds1, wallet, record, &[WalletState::Live, WalletState::MovingFunds]),
        Finding::new(
            RuleId::Ds2,
            None,
            (Some(number(size)), Some(number(1_u64))),
            deposits.is_empty().then_some(Reason::SweepEmpty),
        ),
        Finding::new(
            RuleId::Ds3,
            None,
            (Some(number(size)), Some(Value::Number(max_size))),
            (size > DEPOSIT_SWEEP_MAX_SIZE.into())
                .then(|| Reason::SweepTooLarge { size: U256::from(size), max_size }),
        ),
        Finding::new(
            RuleId::Ds4,
            None,
            (Some(number(extra_info.len())), Some(number(size))),
            (extra_info.len() != size).then(|| Reason::ExtraInfoCountMismatch {
                deposits: U256::from(size),
                extra_infos: U256::from(extra_info.len()),
            }),
        ),
        fee_above_zero(RuleId::Ds5, *fee),
        match largest_deposit_share(*fee, size) {
            Some(share) => fee_at_most(RuleId::Ds6, share, snapshot.deposit_parameters.deposit_tx_max_fee),
            None => Finding::not_evaluable(RuleId::Ds6, None, RuleId::Ds2),
        },
    ];
    let Some(first) = deposits.first() else {
        let about_deposits = [
            RuleId::Ds7,
            RuleId::Ds8,
            RuleId::Ds9,
            RuleId::Ds10,
            RuleId::Ds11,
            RuleId::Ds12,
            RuleId::Ds13,
            RuleId::Ds14,
            RuleId::Ds15,
        ];
        findings.extend(about_deposits.map(|rule| Finding::not_evaluable(rule, None, RuleId::Ds2)));
        return Ok(findings);
    };
    let mut seen = BTreeMap::new();
    for (index, item) in deposits.iter().enumerate() {
        let extra_info = extra_info.get(index);
        findings.extend(deposit_findings(
            snapshot,
            wallet,
            item.outpoint,
            extra_info,
            index,
            first.outpoint,
        )?);
        findings.push(not_repeated(index, *seen.entry(item.outpoint).or_insert(index)));
    }
    Ok(findings)
}

/// What DS-7 to DS-14 say of one deposit, which would stand at `index` of a proposal whose first deposit is `first`
/// (possibly itself).
pub fn deposit_findings(
    snapshot: &Snapshot,
    wallet: KeyHash,
    outpoint: OutPoint,
    extra_info: Option<&DepositExtraInfo>,
    index: usize,
    first: OutPoint,
) -> Result<[Finding; 8], MissingError> {
    let item = Item { index, outpoint, now: U256::from(snapshot.timestamp.0) };
    let record = snapshot.deposit(DepositKey::new(outpoint))?;
    let first = snapshot.deposit(DepositKey::new(first))?;
    let revealed = Some(record).filter(|record| record.revealed_at != 0);
    let first_revealed = Some(first).filter(|first| first.revealed_at != 0);

    // Every rule that lacks its value names the rule that asks for it.
    let of_record = |rule, judge: fn(&Item, &DepositRecord) -> Finding| match revealed {
        Some(record) => judge(&item, record),
        None => item.lacks(rule, RuleId::Ds7),
    };
    let of_extra_info = |rule, judge: &dyn Fn(&DepositExtraInfo) -> Finding| match extra_info {
        Some(extra_info) => judge(extra_info),
        None => item.lacks(rule, RuleId::Ds4),
    };
    Ok([
        item.revealed(record),
        of_record(RuleId::Ds8, Item::old_enough),
        of_record(RuleId::Ds9, Item::not_swept),
        of_extra_info(RuleId::Ds10, &|info| item.funding_transaction(&info.funding_transaction)),
        of_extra_info(RuleId::Ds11, &|info| match revealed {
            Some(record) => item.funding_output(record, info),
            None => item.lacks(RuleId::Ds11, RuleId::Ds7),
        }),
        of_extra_info(RuleId::Ds12, &|info| item.refund_far(info)),
        of_extra_info(RuleId::Ds13, &|info| item.of_wallet(info.wallet, wallet)),
        match (revealed, first_revealed) {
            (Some(record), Some(first)) => item.same_vault(record, first),
            _ => item.lacks(RuleId::Ds14, RuleId::Ds7),
        },
    ])
}

struct Item {
    index: usize,
    outpoint: OutPoint,
    now: U256,
}

impl Item {
    fn index(&self) -> U256 {
        U256::from(self.index)
    }

    fn found(
        &self,
        rule: RuleId,
        actual: impl Into<Option<Value>>,
        bound: impl Into<Option<Value>>,
        broken: Option<Reason>,
    ) -> Finding {
        Finding::new(rule, Some(self.index), (actual.into(), bound.into()), broken)
    }

    fn lacks(&self, rule: RuleId, needs: RuleId) -> Finding {
        Finding::not_evaluable(rule, Some(self.index), needs)
    }

    fn revealed(&self, record: &DepositRecord) -> Finding {
        let reason = (record.revealed_at == 0).then(|| Reason::DepositNotRevealed { index: self.index() });
        self.found(RuleId::Ds7, time(record.revealed_at), None, reason)
    }

    fn old_enough(&self, record: &DepositRecord) -> Finding {
        let eligible_after = after(record.revealed_at, DEPOSIT_MIN_AGE);
        let reason = (self.now <= eligible_after)
            .then(|| Reason::DepositTooYoung { index: self.index(), eligible_after });
        self.found(RuleId::Ds8, Value::Time(self.now), Value::Time(eligible_after), reason)
    }

    fn not_swept(&self, record: &DepositRecord) -> Finding {
        let reason = (record.swept_at != 0).then(|| Reason::DepositAlreadySwept {
            index: self.index(),
            swept_at: U256::from(record.swept_at),
        });
        self.found(RuleId::Ds9, time(record.swept_at), None, reason)
    }

    fn funding_transaction(&self, transaction: &FundingTransaction) -> Finding {
        let mut engine = sha256d::Hash::engine();
        engine.input(&transaction.version);
        engine.input(&transaction.input_vector);
        engine.input(&transaction.output_vector);
        engine.input(&transaction.locktime);
        let actual = B256::from(sha256d::Hash::from_engine(engine).to_byte_array());
        let expected = B256::from(self.outpoint.txid.to_byte_array());
        let reason = (actual != expected).then(|| Reason::FundingTxHashMismatch {
            index: self.index(),
            expected,
            actual,
        });
        self.found(RuleId::Ds10, Value::Hash(actual), Value::Hash(expected), reason)
    }

    fn funding_output(&self, record: &DepositRecord, info: &DepositExtraInfo) -> Finding {
        let script = DepositScript::new(record.depositor, record.extra_data, info);
        let outputs = &info.funding_transaction.output_vector;
        let index = self.index();
        let reason = match output_at(outputs, self.outpoint.vout) {
            Err(_) => Some(Reason::FundingOutputMalformed { index }),
            Ok(output) if script.output_type(output.script).is_none() => {
                Some(Reason::FundingOutputScriptMismatch { index })
            }
            Ok(_) => None,
        };
        self.found(RuleId::Ds11, None, None, reason)
    }

    fn refund_far(&self, info: &DepositExtraInfo) -> Finding {
        let locktime = u32::from_le_bytes(info.refund_locktime);
        let sweepable_before = before(locktime, 0, DEPOSIT_REFUND_SAFETY_MARGIN);
        let reason = (self.now >= sweepable_before)
            .then(|| Reason::DepositRefundTooClose { index: self.index(), sweepable_before });
        self.found(RuleId::Ds12, Value::Time(self.now), Value::Time(sweepable_before), reason)
    }

    fn of_wallet(&self, actual: KeyHash, expected: KeyHash) -> Finding {
        let reason = (actual != expected)
            .then(|| Reason::DepositOfOtherWallet { index: self.index(), wallet: actual });
        self.found(RuleId::Ds13, Value::Wallet(actual), Value::Wallet(expected), reason)
    }

    fn same_vault(&self, record: &DepositRecord, first: &DepositRecord) -> Finding {
        let (vault, expected) = (record.vault, first.vault);
        let reason = (vault != expected).then(|| Reason::DepositVaultMismatch {
            index: self.index(),
            vault,
            expected,
        });
        self.found(RuleId::Ds14, Value::Address(vault), Value::Address(expected), reason)
    }
}

fn not_repeated(index: usize, first_index: usize) -> Finding {
    let repeated = index != first_index;
    let [at, first_at] = [U256::from(index), U256::from(first_index)];
    Finding::new(
        RuleId::Ds15,
        Some(index),
        (None, repeated.then_some(Value::Index(first_at))),
        repeated.then_some(Reason::DepositDuplicated { index: at, first_index: first_at }),
    )
}
