//! How the Bridge names what it stores, and the two hashes by which it remembers what it doesn't store.

use alloy_primitives::{B256, U256, keccak256};
use bitcoin::{OutPoint, Script, VarInt, consensus::encode, hashes::Hash};

use crate::{KeyHash, Utxo};

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(U256);

        impl From<$name> for U256 {
            /// The key as the Bridge's view functions take it.
            fn from(key: $name) -> Self {
                key.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                B256::from(self.0).fmt(f)
            }
        }
    };
}

key! {
    /// What `Bridge.deposits` is asked with.
    DepositKey
}

key! {
    /// What `Bridge.pendingRedemptions` and the watchtower's `getRedemptionDelay` are asked with.
    RedemptionKey
}

key! {
    /// What `Bridge.movedFundsSweepRequests` is asked with.
    SweepRequestKey
}

impl DepositKey {
    /// The key of the deposit that this output funds: keccak256(txHash ‖ index).
    pub fn new(funding: OutPoint) -> Self {
        Self(keccak256(outpoint_bytes(funding)).into())
    }
}

impl RedemptionKey {
    /// The key of the request to redeem from `wallet` to `script`:
    /// keccak256(keccak256(length-prefixed script) ‖ wallet). `script` comes without its length prefix.
    pub fn new(wallet: KeyHash, script: &Script) -> Self {
        let length = encode::serialize(&VarInt::from(script.len()));
        let script = keccak256([&length, script.as_bytes()].concat());
        Self(keccak256([script.as_slice(), &wallet.0].concat()).into())
    }
}

impl SweepRequestKey {
    /// The key of the request to sweep this output of a moving funds transaction: keccak256(txHash ‖ index).
    pub fn new(moved: OutPoint) -> Self {
        Self(keccak256(outpoint_bytes(moved)).into())
    }
}

/// What the Bridge stores of a wallet's main UTXO: keccak256(txHash ‖ index ‖ value).
pub fn main_utxo_hash(utxo: &Utxo) -> B256 {
    keccak256([outpoint_bytes(utxo.outpoint).as_slice(), &utxo.value.to_sat().to_be_bytes()].concat())
}

/// What the Bridge stores of a retiring wallet's promise where to move its funds: keccak256 of the target wallets,
/// each padded on the right to 32 bytes.
pub fn target_wallets_commitment(targets: &[KeyHash]) -> B256 {
    let padding = [0; 12];
    keccak256(targets.iter().flat_map(|target| [target.0.as_slice(), &padding].concat()).collect::<Vec<_>>())
}

/// The hash in internal byte order, then the index, big-endian.
fn outpoint_bytes(outpoint: OutPoint) -> [u8; 36] {
    let mut bytes = [0; 36];
    let (hash, index) = bytes.split_at_mut(32);
    hash.copy_from_slice(&outpoint.txid.to_byte_array());
    index.copy_from_slice(&outpoint.vout.to_be_bytes());
    bytes
}
