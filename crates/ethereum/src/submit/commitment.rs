//! The call by which a retiring wallet promises where its funds will go.

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use bitcoin::hashes::Hash as _;
use coxswain_bindings::bridge::{Bridge, UTXO};
use coxswain_rules::{KeyHash, Utxo};

use super::Call;

/// `Bridge.submitMovingFundsCommitment`, by a member of the wallet: `members` are the ids of all seats, seat 1 first, and `seat` is
/// one of the sender's, counted from 1.
pub fn commitment_call(
    bridge: Address,
    wallet: KeyHash,
    main_utxo: Utxo,
    members: &[u32],
    seat: u8,
    targets: &[KeyHash],
) -> Call {
    let Utxo { outpoint, value } = main_utxo;
    let call = Bridge::submitMovingFundsCommitmentCall {
        walletPubKeyHash: wallet.into(),
        walletMainUtxo: UTXO {
            txHash: B256::new(outpoint.txid.to_byte_array()),
            txOutputIndex: outpoint.vout,
            txOutputValue: value.to_sat(),
        },
        walletMembersIDs: members.to_vec(),
        walletMemberIndex: U256::from(seat),
        targetWallets: targets.iter().map(|target| (*target).into()).collect(),
    };
    Call { to: bridge, input: call.abi_encode().into() }
}
