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

    /// How `output_script` commits to this script; none when it doesn't, and nobody with this script can spend it.
    pub fn output_type(&self, output_script: &[u8]) -> Option<DepositOutputType> {
        [DepositOutputType::P2sh, DepositOutputType::P2wsh]
            .into_iter()
            .find(|&output_type| self.output_script(output_type).as_bytes() == output_script)
    }
}
