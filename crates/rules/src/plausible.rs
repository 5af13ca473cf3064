//! Whether a contract can have given a reason for a proposal: what it says of the proposal itself must be so. A reason that
//! can't be is an answer that is not understood, and no rejection.

use alloy_primitives::{B256, U256};
use bitcoin::hashes::Hash as _;

use crate::{
    Case, Cause, DEPOSIT_SWEEP_MAX_SIZE, DepositExtraInfo, REDEMPTION_MAX_SIZE, Reason, Rejection, RuleId,
    Subject, SweepRequestState, WalletState, largest_deposit_share, main_utxo_hash, output_at,
    redemption_share, target_wallets_commitment,
};

impl Rejection {
    /// Whether a contract can have rejected the case so, whatever the Bridge holds and whenever that was.
    pub fn can_be(&self, case: &Case) -> bool {
        match &self.cause {
            Cause::Reason(reason) => reason.rule(case.action()) == self.rule && can_be(reason, case),
            Cause::Text(_) => self.rule.is_some_and(|rule| can_be_broken(rule, case)),
            Cause::Panic(_) => true,
        }
    }
}

/// What of a case can be held against a reason.
struct Facts<'a> {
    case: &'a Case,
    items: usize,
    fee: Option<u64>,
}

impl<'a> Facts<'a> {
    fn of(case: &'a Case) -> Self {
        let (items, fee) = match &case.subject {
            Subject::Heartbeat(_) => (0, None),
            Subject::DepositSweep { proposal, .. } => (proposal.deposits.len(), Some(proposal.fee)),
            Subject::Redemption(proposal) => (proposal.scripts.len(), Some(proposal.fee)),
            Subject::MovingFunds { proposal, .. } => (proposal.targets.len(), Some(proposal.fee)),
            Subject::MovedFundsSweep(proposal) => (1, Some(proposal.fee)),
        };
        Self { case, items, fee: fee.map(bitcoin::Amount::to_sat) }
    }

    /// The position in the proposal, if there is such an item.
    fn item(&self, index: &U256) -> Option<usize> {
        usize::try_from(*index).ok().filter(|index| *index < self.items)
    }

    fn is_size(&self, size: &U256) -> bool {
        *size == U256::from(self.items)
    }

    /// The part of the fee that is held against the Bridge's maximum.
    fn share_of_fee(&self) -> Option<u64> {
        match &self.case.subject {
            Subject::DepositSweep { proposal, .. } => {
                largest_deposit_share(proposal.fee, self.items).map(bitcoin::Amount::to_sat)
            }
            _ => self.fee,
        }
    }

    fn extra_info(&self, index: &U256) -> Option<&DepositExtraInfo> {
        match &self.case.subject {
            Subject::DepositSweep { extra_info, .. } => extra_info.get(self.item(index)?),
            _ => None,
        }
    }

    /// Whether two of the proposal's items are one.
    fn is_repeated(&self, index: &U256, first_index: &U256) -> bool {
        let (Some(index), Some(first)) = (self.item(index), self.item(first_index)) else { return false };
        first < index
            && match &self.case.subject {
                Subject::DepositSweep { proposal, .. } => {
                    let outpoint =
                        |index: usize| proposal.deposits.get(index).map(|deposit| deposit.outpoint);
                    outpoint(index) == outpoint(first)
                }
                Subject::Redemption(proposal) => proposal.scripts.get(index) == proposal.scripts.get(first),
                _ => false,
            }
    }

    fn repeats_any(&self) -> bool {
        (1..self.items)
            .any(|index| (0..index).any(|first| self.is_repeated(&U256::from(index), &U256::from(first))))
    }

    /// Whether a wallet in this state may not do it.
    fn is_barred(&self, state: u8) -> bool {
        match WalletState::try_from(state) {
            Ok(WalletState::MovingFunds) | Err(_) => false,
            Ok(WalletState::Live) => matches!(self.case.subject, Subject::MovingFunds { .. }),
            Ok(
                WalletState::Unknown | WalletState::Closing | WalletState::Closed | WalletState::Terminated,
            ) => true,
        }
    }
}

fn can_be(reason: &Reason, case: &Case) -> bool {
    let facts = Facts::of(case);
    match reason {
        Reason::WalletStateNotAllowed { wallet, state } => *wallet == case.wallet && facts.is_barred(*state),
        Reason::FeeZero => facts.fee == Some(0),
        Reason::FeeTooHigh { fee, max_fee } => {
            fee > max_fee && facts.share_of_fee().is_some_and(|share| *fee == U256::from(share))
        }
        Reason::SweepEmpty | Reason::RedemptionEmpty => facts.items == 0,
        Reason::SweepTooLarge { size, max_size } | Reason::RedemptionTooLarge { size, max_size } => {
            facts.is_size(size) && size > max_size
        }
        Reason::ExtraInfoCountMismatch { deposits, extra_infos } => match &case.subject {
            Subject::DepositSweep { extra_info, .. } => {
                facts.is_size(deposits)
                    && *extra_infos == U256::from(extra_info.len())
                    && deposits != extra_infos
            }
            _ => false,
        },
        Reason::DepositNotRevealed { index }
        | Reason::RedemptionNotPending { index }
        | Reason::DepositTooYoung { index, .. }
        | Reason::RedemptionTooYoung { index, .. }
        | Reason::RedemptionTimeoutTooClose { index, .. } => facts.item(index).is_some(),
        Reason::FundingOutputScriptMismatch { index } => {
            facts.extra_info(index).is_some() && !is_malformed(&facts, index)
        }
        Reason::FundingOutputMalformed { index } => is_malformed(&facts, index),
        Reason::DepositAlreadySwept { index, swept_at } => facts.item(index).is_some() && !swept_at.is_zero(),
        Reason::FundingTxHashMismatch { index, expected, actual } => match &case.subject {
            Subject::DepositSweep { proposal, .. } => {
                let deposit = facts.item(index).and_then(|index| proposal.deposits.get(index));
                expected != actual
                    && deposit
                        .is_some_and(|deposit| *expected == B256::from(deposit.outpoint.txid.to_byte_array()))
            }
            _ => false,
        },
        Reason::DepositRefundTooClose { index, .. } => facts.extra_info(index).is_some(),
        Reason::DepositOfOtherWallet { index, wallet } => {
            *wallet != case.wallet && facts.extra_info(index).is_some_and(|info| info.wallet == *wallet)
        }
        Reason::DepositVaultMismatch { index, vault, expected } => {
            facts.item(index).is_some_and(|index| index > 0) && vault != expected
        }
        Reason::DepositDuplicated { index, first_index }
        | Reason::RedemptionDuplicated { index, first_index } => facts.is_repeated(index, first_index),
        Reason::RedemptionFeeShareTooHigh { index, share, max_share } => match &case.subject {
            Subject::Redemption(proposal) => {
                let actual =
                    facts.item(index).and_then(|index| redemption_share(proposal.fee, facts.items, index));
                share > max_share && actual.is_some_and(|actual| *share == U256::from(actual.to_sat()))
            }
            _ => false,
        },
        Reason::HeartbeatMessageInvalid => !is_heartbeat(case),
        Reason::TargetWalletsNotCommitted => true,
        Reason::TargetWalletsMismatch { committed, actual } => match &case.subject {
            Subject::MovingFunds { proposal, .. } => {
                committed != actual && *actual == target_wallets_commitment(&proposal.targets)
            }
            _ => false,
        },
        Reason::MainUtxoMismatch { expected, actual } => match &case.subject {
            Subject::MovingFunds { main_utxo, .. } => {
                expected != actual && *actual == main_utxo_hash(main_utxo)
            }
            _ => false,
        },
        Reason::BalanceBelowDust { balance, dust_threshold } => match &case.subject {
            Subject::MovingFunds { main_utxo, .. } => {
                balance < dust_threshold
                    && (balance.is_zero() || *balance == U256::from(main_utxo.value.to_sat()))
            }
            _ => false,
        },
        Reason::SweepRequestNotPending { state } => {
            SweepRequestState::try_from(*state).is_ok_and(|state| state != SweepRequestState::Pending)
        }
        Reason::SweepRequestOfOtherWallet { wallet } => *wallet != case.wallet,
    }
}

fn is_malformed(facts: &Facts<'_>, index: &U256) -> bool {
    let Subject::DepositSweep { proposal, .. } = &facts.case.subject else { return false };
    let deposit = facts.item(index).and_then(|index| proposal.deposits.get(index));
    let (Some(deposit), Some(info)) = (deposit, facts.extra_info(index)) else { return false };
    output_at(&info.funding_transaction.output_vector, deposit.outpoint.vout).is_err()
}

fn is_heartbeat(case: &Case) -> bool {
    match &case.subject {
        Subject::Heartbeat(proposal) => {
            proposal.message.len() == 16 && proposal.message.starts_with(&[0xff; 8])
        }
        _ => false,
    }
}

/// Whether a rule can be broken by the case, as far as that doesn't depend on the Bridge.
fn can_be_broken(rule: RuleId, case: &Case) -> bool {
    let facts = Facts::of(case);
    let some_info = |holds: &dyn Fn(&DepositExtraInfo) -> bool| match &case.subject {
        Subject::DepositSweep { extra_info, .. } => extra_info.iter().any(holds),
        _ => false,
    };
    match rule {
        RuleId::Ds2 | RuleId::Rd2 => facts.items == 0,
        RuleId::Ds3 => facts.items > DEPOSIT_SWEEP_MAX_SIZE.into(),
        RuleId::Rd3 => facts.items > REDEMPTION_MAX_SIZE.into(),
        RuleId::Ds4 => match &case.subject {
            Subject::DepositSweep { extra_info, .. } => extra_info.len() != facts.items,
            _ => false,
        },
        RuleId::Ds5 | RuleId::Rd4 | RuleId::Mf6 | RuleId::Ms4 => facts.fee == Some(0),
        RuleId::Ds6 | RuleId::Rd5 | RuleId::Mf7 | RuleId::Ms5 => facts.fee.is_some_and(|fee| fee > 0),
        RuleId::Ds12 => some_info(&|_| true),
        RuleId::Ds13 => some_info(&|info| info.wallet != case.wallet),
        RuleId::Ds14 => facts.items > 1,
        RuleId::Ds15 | RuleId::Rd10 => facts.repeats_any(),
        RuleId::Ds7 | RuleId::Ds8 | RuleId::Ds9 | RuleId::Ds10 | RuleId::Ds11 => facts.items > 0,
        RuleId::Rd6 | RuleId::Rd7 | RuleId::Rd8 | RuleId::Rd9 => facts.items > 0,
        RuleId::Hb1 => !is_heartbeat(case),
        RuleId::Ds1
        | RuleId::Rd1
        | RuleId::Mf1
        | RuleId::Mf2
        | RuleId::Mf3
        | RuleId::Mf4
        | RuleId::Mf5
        | RuleId::Ms1
        | RuleId::Ms2
        | RuleId::Ms3 => true,
    }
}

#[cfg(test)]
mod tests;
