//! Wallets whose keys are known, and scripts that redeemers ask to be paid to.

use alloy::primitives::{B256, keccak256};
use bitcoin::{
    CompressedPublicKey, PubkeyHash, ScriptBuf, ScriptHash, Transaction, WPubkeyHash, WScriptHash,
    hashes::{Hash, HashEngine, sha256},
    secp256k1::{PublicKey, Secp256k1, SecretKey},
};
use coxswain_rules::{KeyHash, UnsignedTransaction};

use crate::Error;

/// A wallet whose one key stands for the group's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    secret: SecretKey,
    public: PublicKey,
}

impl Wallet {
    /// The wallet with this number: always the same key.
    pub fn from_seed(seed: u64) -> Self {
        let secret = SecretKey::from_slice(&digest(b"wallet", seed))
            .expect("all but one in 2^128 digests are valid keys");
        Self { secret, public: secret.public_key(&Secp256k1::signing_only()) }
    }

    /// The wallet's public key.
    pub fn public_key(&self) -> CompressedPublicKey {
        CompressedPublicKey(self.public)
    }

    /// Its one key.
    pub fn secret(&self) -> [u8; 32] {
        self.secret.secret_bytes()
    }

    /// What the Bridge calls the wallet.
    pub fn key_hash(&self) -> KeyHash {
        KeyHash(self.public_key().wpubkey_hash().to_byte_array())
    }

    /// What the wallet registry calls the wallet: keccak256(X ‖ Y).
    pub fn id(&self) -> B256 {
        let (x, y) = self.coordinates();
        keccak256([x, y].concat())
    }

    /// The public key's X and Y.
    pub(crate) fn coordinates(&self) -> (B256, B256) {
        let [_, point @ ..] = self.public.serialize_uncompressed();
        let (x, y) = point.split_at(32);
        (B256::from_slice(x), B256::from_slice(y))
    }

    /// Signs every input.
    pub fn sign(&self, unsigned: &UnsignedTransaction) -> Result<Transaction, Error> {
        let secp = Secp256k1::signing_only();
        let signatures: Vec<_> =
            unsigned.sighashes().iter().map(|sighash| secp.sign_ecdsa(sighash, &self.secret)).collect();
        Ok(unsigned.sign(self.public_key(), &signatures)?)
    }
}

/// One script of each kind that the Bridge redeems to: P2PKH, P2WPKH, P2SH, P2WSH. Each seed gives others.
pub fn standard_scripts(seed: u64) -> [ScriptBuf; 4] {
    let bytes = digest(b"redeemer", seed);
    let short = key_hash(b"redeemer", seed).0;
    [
        ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(short)),
        ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(short)),
        ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(short)),
        ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array(bytes)),
    ]
}

/// The hash of a key that nobody needs to know.
pub(crate) fn key_hash(purpose: &[u8], seed: u64) -> KeyHash {
    KeyHash(PubkeyHash::hash(&digest(purpose, seed)).to_byte_array())
}

/// 32 bytes that differ with purpose and seed.
pub(crate) fn digest(purpose: &[u8], seed: u64) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(b"coxswain testkit ");
    engine.input(purpose);
    engine.input(&seed.to_be_bytes());
    sha256::Hash::from_engine(engine).to_byte_array()
}
