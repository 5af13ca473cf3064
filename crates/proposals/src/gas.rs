//! What a verdict on a sweep takes of the gas that nodes allow a call, estimated: a batch is cut before it takes too much.
//!
//! The figures are not under what either validator takes, ours or the one deployed on mainnet in 2024, which walks
//! transactions at six times the cost and keeps a copy of each in memory.

use coxswain_rules::DepositExtraInfo;

/// What nodes allow an `eth_call`, unless set otherwise.
pub const LIMIT: u64 = 50_000_000;

/// Of any transaction.
const BASE: u64 = 21_000;
/// Of the proposal as a whole: the Bridge's parameters and the wallet.
const PROPOSAL: u64 = 60_000;
/// Of one deposit, whatever its transaction.
const DEPOSIT: u64 = 40_000;
/// Of one output walked over to find the deposit's.
const OUTPUT: u64 = 1_300;
/// Of one byte copied and hashed.
const BYTE: u64 = 2;
/// A token of calldata (a zero byte is one, another four): its price on top of execution, and its floor (EIP-7623).
const TOKEN: u64 = 4;
const TOKEN_FLOOR: u64 = 10;
/// Tokens of one deposit's fixed fields, with what encoding adds.
const DEPOSIT_TOKENS: u64 = 1_300;

/// What a batch takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    deposits: u64,
    bytes: u64,
    tokens: u64,
    outputs: u64,
}

impl Estimate {
    /// The batch with one more deposit.
    #[must_use]
    pub fn with(self, vout: u32, extra_info: &DepositExtraInfo) -> Self {
        let transaction = &extra_info.funding_transaction;
        let vectors = || transaction.input_vector.iter().chain(&transaction.output_vector);
        let bytes = vectors().fold(0_u64, |sum, _| sum.saturating_add(1));
        let nonzero = vectors().filter(|byte| **byte != 0).fold(0_u64, |sum, _| sum.saturating_add(1));
        let walked = u64::from(vout).saturating_add(1);
        Self {
            deposits: self.deposits.saturating_add(1),
            bytes: self.bytes.saturating_add(bytes),
            tokens: self
                .tokens
                .saturating_add(nonzero.saturating_mul(3).saturating_add(bytes))
                .saturating_add(DEPOSIT_TOKENS),
            outputs: self.outputs.saturating_add(walked),
        }
    }

    /// The gas of its verdict: what execution takes and calldata costs beside it, or calldata's floor.
    pub fn total(self) -> u64 {
        // Two copies of everything in memory, whose price grows with the square of its size.
        let words = self.bytes.saturating_mul(2) / 32;
        let memory = words.saturating_mul(words) / 512;
        let execution = PROPOSAL
            .saturating_add(self.deposits.saturating_mul(DEPOSIT))
            .saturating_add(self.outputs.saturating_mul(OUTPUT))
            .saturating_add(self.bytes.saturating_mul(BYTE))
            .saturating_add(memory);
        let beside = self.tokens.saturating_mul(TOKEN).saturating_add(execution);
        BASE.saturating_add(beside.max(self.tokens.saturating_mul(TOKEN_FLOOR)))
    }
}
