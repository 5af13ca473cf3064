//! How the Bridge names what it stores, and the two hashes by which it remembers what it doesn't store.

use alloy_primitives::{B256, U256, keccak256};
use bitcoin::{OutPoint, Script, VarInt, consensus::encode, hashes::Hash};

use crate::{KeyHash, Utxo};

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name(U256);

        impl $name {
            /// The key as view functions take it.
            pub const fn to_u256(self) -> U256 {
                self.0
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

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use bitcoin::{Amount, ScriptBuf, Txid};

    use super::*;

    // The expected hashes come from `cast keccak` over bytes put together by hand from the documented layout.

    fn outpoint() -> OutPoint {
        let hash = b256!("d3b1a6c7e8f90112233445566778899aabbccddeeff00112233445566778899a");
        OutPoint { txid: Txid::from_byte_array(hash.0), vout: 0x0102 }
    }

    const WALLET: KeyHash = KeyHash([
        0x8d, 0xb5, 0x0e, 0xb5, 0x20, 0x63, 0xea, 0x9d, 0x98, 0xb3, 0xea, 0xc9, 0x14, 0x89, 0xa9, 0x0f, 0x73,
        0x89, 0x86, 0xf6,
    ]);

    #[test]
    fn deposit_and_sweep_request_keys() {
        let key =
            U256::from_be_bytes(b256!("d1a93670a1b568676d9b49e43c787d76e1f2fd22beeaa4f1590a0eeafbe8fa30").0);
        assert_eq!(DepositKey::new(outpoint()).to_u256(), key);
        assert_eq!(SweepRequestKey::new(outpoint()).to_u256(), key);
    }

    #[test]
    fn redemption_keys() {
        let script = ScriptBuf::from_hex("0014f4eedc8f40d4b8e30771f792b065ebec0abaddef").unwrap();
        assert_eq!(
            RedemptionKey::new(WALLET, &script).to_string(),
            "0x8810b633105277880957325fcf234537249f647d2f3d8784236c1ae8c9d13baf"
        );
        // A script so long that its length takes three bytes.
        let script = ScriptBuf::from_bytes(vec![0xab; 253]);
        assert_eq!(
            RedemptionKey::new(WALLET, &script).to_string(),
            "0x3b8470fd2ab0d7f57bb9435ceb218c54b12e4d259894b25e8549754323e81c07"
        );
    }

    #[test]
    fn main_utxo_hashes() {
        let utxo = Utxo { outpoint: outpoint(), value: Amount::from_sat(123_456_789) };
        assert_eq!(
            main_utxo_hash(&utxo),
            b256!("3187516f7cb045ce2bae89018a3f86a04a0b43c3d95c4d8caa633b70f2b0091f")
        );
    }

    #[test]
    fn target_wallets_are_padded_on_the_right() {
        let mut one = [0; 20];
        one[19] = 1;
        assert_eq!(
            target_wallets_commitment(&[WALLET, KeyHash(one)]),
            b256!("5eda9e517b5ed14c36ada0f6c912ccd3b49f65adae908d20adacde75efcab360")
        );
        assert_eq!(target_wallets_commitment(&[]), keccak256([]));
    }
}
