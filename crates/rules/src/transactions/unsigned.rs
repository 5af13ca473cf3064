//! A transaction before and after signing: what each input's signature commits to, how large the signed transaction
//! will be, and where signatures and key go.

use bitcoin::{
    Amount, CompressedPublicKey, EcdsaSighashType, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    absolute, ecdsa,
    hashes::{Hash, sha256d},
    script::{Builder, PushBytes},
    secp256k1::{self, Message, Secp256k1},
    sighash::SighashCache,
    transaction::Version,
};

use super::wallet_script;
use crate::{DepositScript, KeyHash, Utxo};

/// Bytes that a signature is counted with: DER with a low S, and the sighash byte. One byte more than one in two
/// really has.
const SIGNATURE_SIZE: usize = 72;
/// Bytes of a compressed public key.
const KEY_SIZE: usize = 33;

/// What one input spends, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spend {
    pub(super) utxo: Utxo,
    pub(super) lock: Lock,
}

/// What keeps an output from being spent by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// P2WPKH of the wallet's key.
    Wallet,
    DepositP2sh(DepositScript),
    DepositP2wsh(DepositScript),
}

/// A wallet's transaction with all that its signers need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedTransaction {
    wallet: KeyHash,
    spends: Vec<Spend>,
    transaction: Transaction,
}

/// Why signatures don't make a transaction valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key is not the wallet's.
    #[error("the key hashes to {actual}, the wallet is {expected}")]
    KeyOfOtherWallet {
        /// The wallet.
        expected: KeyHash,
        /// What the key hashes to.
        actual: KeyHash,
    },
    /// There is not one signature per input.
    #[error("there are {signatures} signatures for {inputs} inputs")]
    SignatureCountMismatch {
        /// How many inputs there are.
        inputs: usize,
        /// How many signatures were handed in.
        signatures: usize,
    },
    /// A signature is not the wallet's over what the input must commit to, or its S is not low.
    #[error("the signature of input {input} is not valid")]
    SignatureInvalid {
        /// Which input, counted from 0.
        input: usize,
    },
}

impl UnsignedTransaction {
    pub(super) fn new(wallet: KeyHash, spends: Vec<Spend>, outputs: Vec<TxOut>) -> Self {
        let input = spends
            .iter()
            .map(|spend| TxIn {
                previous_output: spend.utxo.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            })
            .collect();
        let transaction = Transaction {
            version: Version::ONE,
            lock_time: absolute::LockTime::ZERO,
            input,
            output: outputs,
        };
        Self { wallet, spends, transaction }
    }

    /// The wallet.
    pub fn wallet(&self) -> KeyHash {
        self.wallet
    }

    /// The transaction without signatures. Beware: its txid is the final one only when no input is P2SH.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    pub(super) fn spends(&self) -> &[Spend] {
        &self.spends
    }

    /// The outputs that the inputs spend, in order.
    pub fn prevouts(&self) -> Vec<TxOut> {
        let prevout = |spend: &Spend| TxOut {
            value: spend.utxo.value,
            script_pubkey: match &spend.lock {
                Lock::Wallet => wallet_script(self.wallet),
                Lock::DepositP2sh(script) => script.as_script().to_p2sh(),
                Lock::DepositP2wsh(script) => script.as_script().to_p2wsh(),
            },
        };
        self.spends.iter().map(prevout).collect()
    }

    /// What the inputs are worth more than the outputs.
    pub fn fee(&self) -> Amount {
        let sum = |sum: Amount, value: Amount| sum.checked_add(value).unwrap_or(Amount::MAX);
        let inputs = self.spends.iter().map(|spend| spend.utxo.value).fold(Amount::ZERO, sum);
        let outputs = self.transaction.output.iter().map(|output| output.value).fold(Amount::ZERO, sum);
        inputs.checked_sub(outputs).unwrap_or(Amount::ZERO)
    }

    /// The outputs that are so small that no node relays the transaction, with their positions.
    pub fn dust(&self) -> impl Iterator<Item = (usize, &TxOut)> {
        let outputs = self.transaction.output.iter().enumerate();
        outputs.filter(|(_, output)| output.value < output.script_pubkey.minimal_non_dust())
    }

    /// What the wallet must sign for each input, in order; sighash type ALL.
    pub fn sighashes(&self) -> Vec<Message> {
        let hash = |preimage: Vec<u8>| sha256d::Hash::hash(&preimage).to_byte_array();
        self.preimages().into_iter().map(|preimage| Message::from_digest(hash(preimage))).collect()
    }

    /// The bytes whose double SHA-256 is signed for each input, in order; sighash type ALL. P2SH inputs are signed in the way of
    /// old, all others as BIP-143 says.
    pub fn preimages(&self) -> Vec<Vec<u8>> {
        const VALID: &str =
            "the index is an input's, a wallet's script is P2WPKH, and memory takes what is written";
        let all = EcdsaSighashType::All;
        let mut cache = SighashCache::new(&self.transaction);
        let mut preimage = |(index, spend): (usize, &Spend)| {
            let (mut out, value) = (Vec::new(), spend.utxo.value);
            match &spend.lock {
                Lock::Wallet => {
                    let code = wallet_script(self.wallet).p2wpkh_script_code().expect(VALID);
                    cache.segwit_v0_encode_signing_data_to(&mut out, index, &code, value, all).expect(VALID);
                }
                Lock::DepositP2sh(script) => {
                    let all = all.to_u32();
                    let written =
                        cache.legacy_encode_signing_data_to(&mut out, index, script.as_script(), all);
                    written.is_sighash_single_bug().expect(VALID);
                }
                Lock::DepositP2wsh(script) => {
                    let code = script.as_script();
                    cache.segwit_v0_encode_signing_data_to(&mut out, index, code, value, all).expect(VALID);
                }
            }
            out
        };
        self.spends.iter().enumerate().map(&mut preimage).collect()
    }

    /// The virtual size of the signed transaction, in vbytes, a signature counted with 72 bytes.
    pub fn vsize(&self) -> u64 {
        let signatures = vec![[0; SIGNATURE_SIZE]; self.spends.len()];
        self.with(&signatures, &[0; KEY_SIZE]).weight().to_vbytes_ceil()
    }

    /// The signed transaction, from one signature per input over [`sighashes`](Self::sighashes), in order. Every
    /// signature is verified.
    pub fn sign(
        &self,
        key: CompressedPublicKey,
        signatures: &[secp256k1::ecdsa::Signature],
    ) -> Result<Transaction, SignError> {
        let actual = KeyHash(key.wpubkey_hash().to_byte_array());
        if actual != self.wallet {
            return Err(SignError::KeyOfOtherWallet { expected: self.wallet, actual });
        }
        if signatures.len() != self.spends.len() {
            return Err(SignError::SignatureCountMismatch {
                inputs: self.spends.len(),
                signatures: signatures.len(),
            });
        }
        let secp = Secp256k1::verification_only();
        for (input, (sighash, signature)) in self.sighashes().iter().zip(signatures).enumerate() {
            secp.verify_ecdsa(sighash, signature, &key.0)
                .map_err(|_| SignError::SignatureInvalid { input })?;
        }
        let signatures: Vec<_> =
            signatures.iter().map(|&signature| ecdsa::Signature::sighash_all(signature).to_vec()).collect();
        Ok(self.with(&signatures, &key.to_bytes()))
    }

    /// The transaction with these signatures, one per input, and this key in their places.
    fn with(&self, signatures: &[impl AsRef<[u8]>], key: &[u8]) -> Transaction {
        let mut transaction = self.transaction.clone();
        for ((input, spend), signature) in transaction.input.iter_mut().zip(&self.spends).zip(signatures) {
            let signature = signature.as_ref();
            match &spend.lock {
                Lock::Wallet => input.witness = Witness::from_slice(&[signature, key]),
                Lock::DepositP2sh(script) => {
                    input.script_sig = pushes(&[signature, key, script.as_script().as_bytes()]);
                }
                Lock::DepositP2wsh(script) => {
                    input.witness = Witness::from_slice(&[signature, key, script.as_script().as_bytes()]);
                }
            }
        }
        transaction
    }
}

fn pushes(items: &[&[u8]]) -> ScriptBuf {
    let push = |builder: Builder, item: &&[u8]| {
        builder.push_slice(<&PushBytes>::try_from(*item).expect("signature, key and script are under 4 GiB"))
    };
    items.iter().fold(Builder::new(), push).into_script()
}
