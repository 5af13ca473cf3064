//! An operator's key as the network knows it: its Ethereum key is its libp2p identity, and signs all that it says.

use std::{fmt, sync::OnceLock};

use bitcoin::{
    hashes::{Hash, sha256},
    secp256k1::{Message, PublicKey, Secp256k1, SecretKey, SignOnly, VerifyOnly, ecdsa::Signature},
};
use coxswain_protocol::wire::OperatorKey;
use libp2p_core::multihash::Multihash;
use libp2p_identity::{Keypair, PeerId, secp256k1};

/// How libp2p's encoding of a secp256k1 public key begins: key type 2, then 33 bytes of data.
const KEY_PREFIX: [u8; 4] = [0x08, 0x02, 0x12, 0x21];
/// The multihash that holds its bytes themselves.
const IDENTITY_MULTIHASH: u64 = 0;
/// libp2p's encoding of a secp256k1 public key.
pub(crate) const PUBLIC_KEY_BYTES: usize = 37;
/// A peer id that holds such a key.
pub(crate) const PEER_ID_BYTES: usize = 39;

/// A private key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a private key of secp256k1: 32 bytes, from 1 to the curve's order less 1")]
pub struct KeyError;

/// An operator's own key.
#[derive(Clone)]
pub struct Identity {
    secret: SecretKey,
    secp: Secp256k1<SignOnly>,
    keypair: Keypair,
    operator: OperatorKey,
    peer_id: PeerId,
}

impl Identity {
    /// The identity of an Ethereum private key: 32 bytes, big-endian, padded on the left.
    ///
    /// # Errors
    ///
    /// If the bytes are not a private key.
    pub fn from_secret(secret: [u8; 32]) -> Result<Self, KeyError> {
        let libp2p = secp256k1::SecretKey::try_from_bytes(secret).map_err(|_| KeyError)?;
        let secret = SecretKey::from_slice(&secret).map_err(|_| KeyError)?;
        let secp = Secp256k1::signing_only();
        let compressed = PublicKey::from_secret_key(&secp, &secret).serialize();
        let operator = OperatorKey::from_compressed(compressed).expect("it is the key of a secret");
        let keypair = Keypair::from(secp256k1::Keypair::from(libp2p));
        Ok(Self { secret, secp, keypair, operator, peer_id: peer_id_of(&operator) })
    }

    /// The public key, and the Ethereum address.
    pub const fn operator(&self) -> &OperatorKey {
        &self.operator
    }

    /// The libp2p peer id.
    pub const fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    pub(crate) const fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    /// Signs: ECDSA over SHA-256 of the bytes, RFC 6979, low s, in DER.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.secp.sign_ecdsa(&digest(bytes), &self.secret).serialize_der().to_vec()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.peer_id)
    }
}

/// Whether the operator signed the bytes. A high s is as good as a low one: Go accepts it, so a member that made such
/// signatures would be heard by Go alone.
pub fn verify(operator: &OperatorKey, bytes: &[u8], signature: &[u8]) -> bool {
    let (Ok(mut signature), Ok(key)) =
        (Signature::from_der(signature), PublicKey::from_slice(&operator.compressed()))
    else {
        return false;
    };
    signature.normalize_s();
    static VERIFIER: OnceLock<Secp256k1<VerifyOnly>> = OnceLock::new();
    let verifier = VERIFIER.get_or_init(Secp256k1::verification_only);
    verifier.verify_ecdsa(&digest(bytes), &signature, &key).is_ok()
}

fn digest(bytes: &[u8]) -> Message {
    Message::from_digest(sha256::Hash::hash(bytes).to_byte_array())
}

/// libp2p's encoding of a public key.
pub(crate) fn public_key_bytes(operator: &OperatorKey) -> [u8; PUBLIC_KEY_BYTES] {
    let mut bytes = [0; PUBLIC_KEY_BYTES];
    let (prefix, key) = bytes.split_at_mut(KEY_PREFIX.len());
    prefix.copy_from_slice(&KEY_PREFIX);
    key.copy_from_slice(&operator.compressed());
    bytes
}

/// The peer id of an operator's key.
pub(crate) fn peer_id_of(operator: &OperatorKey) -> PeerId {
    let multihash = Multihash::wrap(IDENTITY_MULTIHASH, &public_key_bytes(operator))
        .expect("37 bytes fit a multihash of 64");
    PeerId::from_multihash(multihash).expect("a peer id may hold a key of up to 42 bytes")
}

/// Returns the operator's key that a peer id holds. `None` if it is another kind of peer id.
pub(crate) fn operator_of(peer: &PeerId) -> Option<OperatorKey> {
    OperatorKey::from_compressed(compressed_of(&peer.to_bytes())?).ok()
}

/// The compressed key that a peer id's bytes hold, not yet known to be a point of the curve.
pub(crate) fn compressed_of(peer: &[u8]) -> Option<[u8; 33]> {
    peer.strip_prefix(&[0x00, 0x25])?.strip_prefix(&KEY_PREFIX)?.try_into().ok()
}
