//! What is signed: preimages, never digests. Who signs a digest that comes from outside signs anything.
//!
//! The preimages of a transaction show what it is: version 1, all inputs, no locktime, signed for all of it (SIGHASH_ALL).
//! Inputs are signed as BIP-143 says, or, if they spend a P2SH deposit, in the way of old. Together they must be the inputs of
//! one transaction, in order and all of them: the hash over the outpoints, which each of them holds, shows it.

use bitcoin::{
    OutPoint, ScriptBuf, Transaction,
    absolute::LockTime,
    consensus::{Decodable, deserialize, serialize},
    hashes::{Hash, HashEngine, sha256d},
    secp256k1::Message,
    transaction::Version,
};

use crate::hash::Hasher;

/// The most bytes of a preimage: a transaction that pays 255 scripts of 10,000 bytes has under three million.
const MAX_BYTES: usize = 4 << 20;
/// The most inputs of a wallet's transaction: 255 deposits and the main UTXO.
const MAX_INPUTS: usize = 256;
/// Signed for all of the transaction.
const SIGHASH_ALL: u32 = 1;
/// What a heartbeat's message begins with, as no transaction does.
const HEARTBEAT: [u8; 8] = [0xff; 8];

/// What a job signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preimages {
    /// A heartbeat's message.
    Heartbeat([u8; 16]),
    /// What each input of a transaction is signed over, in order.
    Transaction(Vec<Vec<u8>>),
}

/// Why preimages are not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreimageError {
    /// It may be anything.
    #[error("a heartbeat's message must begin with 8 bytes of ff")]
    NoHeartbeat,
    /// There is nothing to sign, or far too much.
    #[error("{0} inputs, 1 to 256 allowed")]
    InputCount(usize),
    /// It is no preimage.
    #[error("the preimage of input {input} can't be read")]
    Unreadable {
        /// Which input, counted from 0.
        input: usize,
    },
    /// The transaction has another version.
    #[error("the preimage of input {input} is of a transaction of version {version}, not 1")]
    Version {
        /// Which input, counted from 0.
        input: usize,
        /// The version.
        version: i32,
    },
    /// The transaction is not final from the first.
    #[error("the preimage of input {input} is of a transaction with a locktime or a sequence number")]
    NotFinal {
        /// Which input, counted from 0.
        input: usize,
    },
    /// It is signed for less than all of the transaction.
    #[error("the preimage of input {input} has signature type {found:#x}, not SIGHASH_ALL")]
    SighashType {
        /// Which input, counted from 0.
        input: usize,
        /// The type.
        found: u32,
    },
    /// It is of another transaction than the first.
    #[error("the preimage of input {input} is of another transaction than those before")]
    OtherTransaction {
        /// Which input, counted from 0.
        input: usize,
    },
    /// Inputs are missing, or out of order.
    #[error("these preimages are not those of all inputs, in order")]
    NotAllInputs,
}

/// What a preimage says of its transaction, whichever way it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Signed {
    prevouts: sha256d::Hash,
    sequences: sha256d::Hash,
    outputs: sha256d::Hash,
}

impl Preimages {
    /// What is signed for each of them, after all checks that need nothing but their bytes: the double SHA-256.
    ///
    /// # Errors
    /// If they are not what a wallet signs.
    pub fn messages(&self) -> Result<Vec<Message>, PreimageError> {
        let message = |preimage: &[u8]| Message::from_digest(sha256d::Hash::hash(preimage).to_byte_array());
        match self {
            Self::Heartbeat(text) if text.starts_with(&HEARTBEAT) => Ok(vec![message(text)]),
            Self::Heartbeat(_) => Err(PreimageError::NoHeartbeat),
            Self::Transaction(preimages) => {
                check(preimages)?;
                Ok(preimages.iter().map(|preimage| message(preimage)).collect())
            }
        }
    }

    /// Names these, in this order.
    pub(crate) fn id(&self) -> alloy_primitives::B256 {
        match self {
            Self::Heartbeat(text) => Hasher::new("coxswain/signing/1/heartbeat").bytes(text).finish(),
            Self::Transaction(preimages) => {
                let count = u64::try_from(preimages.len()).expect("no list is longer than that");
                let hasher = Hasher::new("coxswain/signing/1/preimages").number(count);
                preimages.iter().fold(hasher, |hasher, preimage| hasher.bytes(preimage)).finish()
            }
        }
    }
}

fn check(preimages: &[Vec<u8>]) -> Result<(), PreimageError> {
    if preimages.is_empty() || preimages.len() > MAX_INPUTS {
        return Err(PreimageError::InputCount(preimages.len()));
    }
    let mut first: Option<Signed> = None;
    let mut outpoints = sha256d::Hash::engine();
    for (input, preimage) in preimages.iter().enumerate() {
        if preimage.len() > MAX_BYTES {
            return Err(PreimageError::Unreadable { input });
        }
        let (outpoint, signed) = match preimage.split_last_chunk::<4>() {
            Some((body, end)) => {
                let found = u32::from_le_bytes(*end);
                if found != SIGHASH_ALL {
                    return Err(PreimageError::SighashType { input, found });
                }
                match bip143(input, body)? {
                    Some(read) => read,
                    None => of_old(input, body)?,
                }
            }
            None => return Err(PreimageError::Unreadable { input }),
        };
        if *first.get_or_insert(signed) != signed {
            return Err(PreimageError::OtherTransaction { input });
        }
        outpoints.input(&serialize(&outpoint));
    }
    let all = first.is_some_and(|first| first.prevouts == sha256d::Hash::from_engine(outpoints));
    if all { Ok(()) } else { Err(PreimageError::NotAllInputs) }
}

/// Reads version, hashes, outpoint, script code, value, sequence, hash and locktime. `None` if the bytes are something else.
fn bip143(input: usize, mut body: &[u8]) -> Result<Option<(OutPoint, Signed)>, PreimageError> {
    fn read(body: &mut &[u8]) -> Option<(Version, OutPoint, u32, Signed, LockTime)> {
        let version = Version::consensus_decode(body).ok()?;
        let [prevouts, sequences] =
            [sha256d::Hash::consensus_decode(body).ok()?, sha256d::Hash::consensus_decode(body).ok()?];
        let outpoint = OutPoint::consensus_decode(body).ok()?;
        ScriptBuf::consensus_decode(body).ok()?;
        u64::consensus_decode(body).ok()?;
        let sequence = u32::consensus_decode(body).ok()?;
        let outputs = sha256d::Hash::consensus_decode(body).ok()?;
        let lock_time = LockTime::consensus_decode(body).ok()?;
        body.is_empty().then_some((
            version,
            outpoint,
            sequence,
            Signed { prevouts, sequences, outputs },
            lock_time,
        ))
    }
    let Some((version, outpoint, sequence, signed, lock_time)) = read(&mut body) else { return Ok(None) };
    shape(input, version, lock_time, [sequence])?;
    Ok(Some((outpoint, signed)))
}

/// Reads the transaction whose only filled script is the script code of the input that is signed.
fn of_old(input: usize, body: &[u8]) -> Result<(OutPoint, Signed), PreimageError> {
    let unreadable = PreimageError::Unreadable { input };
    let transaction: Transaction = deserialize(body).map_err(|_| unreadable.clone())?;
    // With witnesses the bytes would be longer than what is signed.
    if serialize(&transaction) != body || transaction.input.iter().any(|input| !input.witness.is_empty()) {
        return Err(unreadable);
    }
    let filled = transaction.input.iter().enumerate().filter(|(_, input)| !input.script_sig.is_empty());
    let [(at, signed)] = filled.collect::<Vec<_>>().try_into().map_err(|_| unreadable.clone())?;
    if at != input {
        return Err(PreimageError::NotAllInputs);
    }
    let sequences = transaction.input.iter().map(|input| input.sequence.to_consensus_u32());
    shape(input, transaction.version, transaction.lock_time, sequences)?;
    let mut hashes = [sha256d::Hash::engine(), sha256d::Hash::engine(), sha256d::Hash::engine()];
    let [prevouts, sequences, outputs] = &mut hashes;
    for input in &transaction.input {
        prevouts.input(&serialize(&input.previous_output));
        sequences.input(&serialize(&input.sequence));
    }
    for output in &transaction.output {
        outputs.input(&serialize(output));
    }
    let [prevouts, sequences, outputs] = hashes.map(sha256d::Hash::from_engine);
    Ok((signed.previous_output, Signed { prevouts, sequences, outputs }))
}

fn shape(
    input: usize,
    version: Version,
    lock_time: LockTime,
    sequences: impl IntoIterator<Item = u32>,
) -> Result<(), PreimageError> {
    if version != Version::ONE {
        return Err(PreimageError::Version { input, version: version.0 });
    }
    if lock_time != LockTime::ZERO || sequences.into_iter().any(|sequence| sequence != u32::MAX) {
        return Err(PreimageError::NotFinal { input });
    }
    Ok(())
}
