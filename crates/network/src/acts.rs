//! The three acts by which two operators show each other their keys, inside TLS: bytes in, bytes out.
//!
//! The Go client binds the acts neither to the TLS channel nor to its certificate, so that a third party could relay them.
//! Here, the peer id in an act must be the certificate's. Honest Go peers always satisfy that.

use bitcoin::hashes::{Hash, sha256};
use libp2p_identity::PeerId;

use crate::{
    identity::{Identity, PEER_ID_BYTES, compressed_of, verify},
    protobuf::{Fields, Value, put_bytes, put_varint},
};
use coxswain_protocol::wire::OperatorKey;

/// The most bytes that an act's envelope can have.
pub(crate) const MAX_ACT_BYTES: usize = 1024;
/// What both sides say they speak.
const PROTOCOL: &[u8] = b"keep";

/// One of the three acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The initiator's nonce.
    One,
    /// The responder's nonce, and the challenge that follows from both.
    Two,
    /// The challenge, signed by the initiator.
    Three,
}

/// What is wrong with an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActProblem {
    /// Longer than an act can be.
    #[error("it is longer than {MAX_ACT_BYTES} bytes")]
    TooLong,
    /// Not Protocol Buffers.
    #[error("it is malformed")]
    Malformed,
    /// The peer id does not hold an operator's key.
    #[error("its peer id holds no secp256k1 key")]
    PeerId,
    /// The act names another peer than the one whose certificate was shown.
    #[error("it names another peer than the TLS certificate")]
    OtherPeer,
    /// The act is not signed by the peer that it names.
    #[error("its signature doesn't hold")]
    Signature,
    /// The nonce is not 8 bytes long.
    #[error("its nonce is not 8 bytes")]
    Nonce,
    /// Another protocol than `keep`.
    #[error("it speaks another protocol than `keep`")]
    Protocol,
    /// The challenge does not follow from these two nonces.
    #[error("its challenge is not that of the two nonces")]
    Challenge,
}

/// An act that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("act {}: {problem}", *act as u8 + 1)]
pub struct ActError {
    /// Which act.
    pub act: Act,
    /// What is wrong with it.
    pub problem: ActProblem,
}

/// The side that dialled, waiting for act 2.
#[derive(Debug)]
pub struct Initiator<'a> {
    identity: &'a Identity,
    nonce: [u8; 8],
}

impl<'a> Initiator<'a> {
    /// Begins: gives the frame of act 1.
    pub fn start(identity: &'a Identity, nonce: [u8; 8]) -> (Self, Vec<u8>) {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &nonce);
        put_bytes(&mut message, 2, PROTOCOL);
        (Self { identity, nonce }, frame(identity, &message))
    }

    /// Reads act 2, which must come from the peer of this certificate: gives the frame of act 3.
    ///
    /// # Errors
    ///
    /// When the act is refused.
    pub fn finish(self, certified: &PeerId, act2: &[u8]) -> Result<Vec<u8>, ActError> {
        let problem = |problem| ActError { act: Act::Two, problem };
        let (_, message) = open(act2, certified).map_err(problem)?;
        let [nonce, challenge, protocol] = strings(message, [1, 2, 3]).map_err(problem)?;
        let nonce: [u8; 8] = nonce.try_into().map_err(|_| problem(ActProblem::Nonce))?;
        if protocol != PROTOCOL {
            return Err(problem(ActProblem::Protocol));
        }
        let expected = challenge_of(self.nonce, nonce);
        if challenge != expected {
            return Err(problem(ActProblem::Challenge));
        }
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &expected);
        Ok(frame(self.identity, &message))
    }
}

/// The side that was dialled, waiting for act 3.
#[derive(Debug)]
pub struct Responder {
    initiator: OperatorKey,
    certified: PeerId,
    challenge: [u8; 32],
}

impl Responder {
    /// Reads act 1, which must come from the peer of this certificate: gives the frame of act 2.
    ///
    /// # Errors
    ///
    /// When the act is refused.
    pub fn answer(
        identity: &Identity,
        nonce: [u8; 8],
        certified: &PeerId,
        act1: &[u8],
    ) -> Result<(Self, Vec<u8>), ActError> {
        let problem = |problem| ActError { act: Act::One, problem };
        let (initiator, message) = open(act1, certified).map_err(problem)?;
        let [theirs, protocol] = strings(message, [1, 2]).map_err(problem)?;
        let theirs: [u8; 8] = theirs.try_into().map_err(|_| problem(ActProblem::Nonce))?;
        if protocol != PROTOCOL {
            return Err(problem(ActProblem::Protocol));
        }
        let challenge = challenge_of(theirs, nonce);
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &nonce);
        put_bytes(&mut message, 2, &challenge);
        put_bytes(&mut message, 3, PROTOCOL);
        Ok((Self { initiator, certified: *certified, challenge }, frame(identity, &message)))
    }

    /// Reads act 3. Nothing answers it.
    ///
    /// # Errors
    ///
    /// When the act is refused.
    pub fn finish(self, act3: &[u8]) -> Result<OperatorKey, ActError> {
        let problem = |problem| ActError { act: Act::Three, problem };
        let (_, message) = open(act3, &self.certified).map_err(problem)?;
        let [challenge] = strings(message, [1]).map_err(problem)?;
        if challenge != self.challenge {
            return Err(problem(ActProblem::Challenge));
        }
        Ok(self.initiator)
    }
}

/// SHA-256 of the nonces as they were on the wire, and 16 zero bytes.
fn challenge_of(initiator: [u8; 8], responder: [u8; 8]) -> [u8; 32] {
    sha256::Hash::hash(&[&initiator[..], &responder, &[0; 16]].concat()).to_byte_array()
}

/// A signed message in its envelope, behind its length.
fn frame(identity: &Identity, message: &[u8]) -> Vec<u8> {
    let mut envelope = Vec::new();
    put_bytes(&mut envelope, 1, message);
    put_bytes(&mut envelope, 2, &identity.sign(message));
    put_bytes(&mut envelope, 3, &identity.peer_id().to_bytes());
    let mut frame = Vec::new();
    put_varint(&mut frame, envelope.len() as u64);
    frame.extend_from_slice(&envelope);
    frame
}

/// Opens an envelope: the message in it, which this peer must have signed.
fn open<'a>(envelope: &'a [u8], certified: &PeerId) -> Result<(OperatorKey, &'a [u8]), ActProblem> {
    if envelope.len() > MAX_ACT_BYTES {
        return Err(ActProblem::TooLong);
    }
    let [message, signature, peer] = strings(envelope, [1, 2, 3])?;
    if peer.len() != PEER_ID_BYTES {
        return Err(ActProblem::PeerId);
    }
    let compressed = compressed_of(peer).ok_or(ActProblem::PeerId)?;
    let operator = OperatorKey::from_compressed(compressed).map_err(|_| ActProblem::PeerId)?;
    if peer != certified.to_bytes() {
        return Err(ActProblem::OtherPeer);
    }
    if !verify(&operator, message, signature) {
        return Err(ActProblem::Signature);
    }
    Ok((operator, message))
}

/// The fields of these numbers; the last one of a number counts, absent ones are empty, all others are skipped.
fn strings<const N: usize>(message: &[u8], numbers: [u64; N]) -> Result<[&[u8]; N], ActProblem> {
    let mut strings: [&[u8]; N] = [&[]; N];
    for field in Fields::new(message) {
        let field = field.map_err(|_| ActProblem::Malformed)?;
        let place = numbers.iter().position(|number| *number == field.number);
        if let (Some(string), Value::Bytes(bytes)) = (place.and_then(|at| strings.get_mut(at)), field.value) {
            *string = bytes;
        }
    }
    Ok(strings)
}
