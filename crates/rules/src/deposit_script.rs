//! The Bitcoin script that holds a deposit: the wallet can sweep it at any time, the depositor can take it back after
//! the refund lock time.

use alloy_primitives::{Address, B256};
use bitcoin::{
    Script, ScriptBuf,
    opcodes::all::{
        OP_CHECKSIG, OP_CLTV, OP_DROP, OP_DUP, OP_ELSE, OP_ENDIF, OP_EQUAL, OP_EQUALVERIFY, OP_HASH160, OP_IF,
    },
    script::Builder,
};

use crate::DepositExtraInfo;

/// A deposit's script: 92 bytes, 126 with extra data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DepositScript(ScriptBuf);

/// How an output commits to a deposit's script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DepositOutputType {
    /// By HASH160.
    P2sh,
    /// By SHA-256.
    P2wsh,
}

impl DepositScript {
    /// The script of the deposit that `depositor` revealed, with `extra_data` when that is not zero. The wallet is the
    /// one that `extra_info` names.
    pub fn new(depositor: Address, extra_data: B256, extra_info: &DepositExtraInfo) -> Self {
        let mut builder = Builder::new().push_slice(depositor.0.0).push_opcode(OP_DROP);
        if !extra_data.is_zero() {
            builder = builder.push_slice(extra_data.0).push_opcode(OP_DROP);
        }
        Self(
            builder
                .push_slice(extra_info.blinding_factor)
                .push_opcode(OP_DROP)
                .push_opcode(OP_DUP)
                .push_opcode(OP_HASH160)
                .push_slice(extra_info.wallet.0)
                .push_opcode(OP_EQUAL)
                .push_opcode(OP_IF)
                .push_opcode(OP_CHECKSIG)
                .push_opcode(OP_ELSE)
                .push_opcode(OP_DUP)
                .push_opcode(OP_HASH160)
                .push_slice(extra_info.refund_key_hash.0)
                .push_opcode(OP_EQUALVERIFY)
                .push_slice(extra_info.refund_locktime)
                .push_opcode(OP_CLTV)
                .push_opcode(OP_DROP)
                .push_opcode(OP_CHECKSIG)
                .push_opcode(OP_ENDIF)
                .into_script(),
        )
    }

    /// The script itself.
    pub fn as_script(&self) -> &Script {
        &self.0
    }

    /// The output script that commits to this script.
    pub fn output_script(&self, output_type: DepositOutputType) -> ScriptBuf {
        match output_type {
            DepositOutputType::P2sh => self.0.to_p2sh(),
            DepositOutputType::P2wsh => self.0.to_p2wsh(),
        }
    }

    /// How `output_script` commits to this script. `None` if it doesn't, and nobody with this script can spend it.
    pub fn output_type(&self, output_script: &[u8]) -> Option<DepositOutputType> {
        [DepositOutputType::P2sh, DepositOutputType::P2wsh]
            .into_iter()
            .find(|&output_type| self.output_script(output_type).as_bytes() == output_script)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use bitcoin::hashes::{Hash, hash160, sha256};

    use super::*;
    use crate::{FundingTransaction, KeyHash};

    fn script(extra_data: B256) -> DepositScript {
        let extra_info = DepositExtraInfo {
            funding_transaction: FundingTransaction {
                version: [0; 4],
                input_vector: vec![],
                output_vector: vec![],
                locktime: [0; 4],
            },
            blinding_factor: [0xbb; 8],
            wallet: KeyHash([0xcc; 20]),
            refund_key_hash: KeyHash([0xdd; 20]),
            refund_locktime: [0x60, 0xbc, 0xea, 0x61],
        };
        DepositScript::new(Address::repeat_byte(0xaa), extra_data, &extra_info)
    }

    /// The documented bytes, with `extra` in the place of the bracketed line.
    fn documented(extra: &str) -> Vec<u8> {
        let (depositor, blinding) = ("aa".repeat(20), "bb".repeat(8));
        let (wallet, refund) = ("cc".repeat(20), "dd".repeat(20));
        hex::decode(format!(
            "14{depositor}75{extra}08{blinding}7576a914{wallet}8763ac6776a914{refund}880460bcea61b175ac68"
        ))
        .unwrap()
    }

    #[test]
    fn scripts_are_the_documented_bytes() {
        let without = script(B256::ZERO);
        assert_eq!(without.as_script().as_bytes(), documented(""));
        assert_eq!(without.as_script().len(), 92);

        let with = script(B256::repeat_byte(0xee));
        assert_eq!(with.as_script().as_bytes(), documented(&format!("20{}75", "ee".repeat(32))));
        assert_eq!(with.as_script().len(), 126);
    }

    #[test]
    fn outputs_are_the_documented_bytes() {
        for script in [script(B256::ZERO), script(B256::repeat_byte(0xee))] {
            let bytes = script.as_script().as_bytes();
            let p2sh =
                [&[0xa9, 0x14], hash160::Hash::hash(bytes).as_byte_array().as_slice(), &[0x87]].concat();
            let p2wsh = [&[0x00, 0x20], sha256::Hash::hash(bytes).as_byte_array().as_slice()].concat();
            assert_eq!(script.output_script(DepositOutputType::P2sh).as_bytes(), p2sh);
            assert_eq!(script.output_script(DepositOutputType::P2wsh).as_bytes(), p2wsh);
            assert_eq!(script.output_type(&p2sh), Some(DepositOutputType::P2sh));
            assert_eq!(script.output_type(&p2wsh), Some(DepositOutputType::P2wsh));
            assert_eq!(script.output_type(bytes), None);
        }
    }
}
