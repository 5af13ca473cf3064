//! The signer that holds the wallet's whole key, as each of its processes does: for chains where nothing is at stake. Its
//! signatures follow from key and message (RFC 6979), so that all processes make the same bytes.

use std::{fmt, fs::File, io::Read, path::Path};

use bitcoin::{
    CompressedPublicKey,
    hashes::Hash,
    secp256k1::{All, PublicKey, Secp256k1, SecretKey},
};
use coxswain_protocol::{Seat, SigningGroup};
use coxswain_rules::{
    KeyHash,
    units::{BlockNumber, Blocks},
};
use tokio::sync::watch;

use crate::{Job, Outcome, Refusal, Report, Signed, SigningRecord, TestChain, WalletSigner};

/// The most bytes of a key's file.
const MAX_BYTES: u64 = 256;

/// A wallet's whole key. Its bytes are shown nowhere.
#[derive(Clone)]
pub struct WholeKey(SecretKey);

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It can't be read.
    #[error("the key's file can't be read")]
    Read(#[from] std::io::Error),
    /// It is a link, a folder or a device.
    #[error("the key's file is no plain file")]
    NotPlain,
    /// Others may read it.
    #[error("others have access to the key's file: chmod 600 it")]
    Open,
    /// It holds something else.
    #[error("the file holds no key: expected 32 bytes in hex")]
    NoKey,
}

impl WholeKey {
    /// The key in a file: 32 bytes in hex. The file must be plain, and nobody else's to read.
    ///
    /// # Errors
    /// If it can't be read, or isn't so.
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        if !path.symlink_metadata()?.is_file() {
            return Err(KeyFileError::NotPlain);
        }
        let file = File::open(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                return Err(KeyFileError::Open);
            }
        }
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        let digits = text.trim();
        let key = digits.strip_prefix("0x").unwrap_or(digits).parse().map_err(|_| KeyFileError::NoKey);
        key.map(Self)
    }

    /// The key of these bytes. `None` for the few that are no key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        SecretKey::from_slice(bytes).ok().map(Self)
    }

    /// Its bytes, to be shared out.
    #[cfg(all(unix, feature = "threshold"))]
    pub(crate) fn bytes(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.secret_bytes())
    }
}

impl Drop for WholeKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl fmt::Debug for WholeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WholeKey(..)")
    }
}

/// Signs with a wallet's whole key.
#[derive(Debug)]
pub struct WholeKeySigner<R> {
    chain: TestChain,
    key: WholeKey,
    public: PublicKey,
    secp: Secp256k1<All>,
    record: R,
    wait: Blocks,
}

impl<R: SigningRecord> WholeKeySigner<R> {
    /// Signs on this chain with this key, by this record: so many blocks after a job's start, as a group does, whose members first
    /// announce that they are ready. Before, not all of them have judged.
    pub fn new(chain: TestChain, key: WholeKey, record: R, wait: Blocks) -> Self {
        let secp = Secp256k1::new();
        let public = key.0.public_key(&secp);
        Self { chain, key, public, secp, record, wait }
    }

    /// The wallet whose key it is.
    pub fn wallet(&self) -> KeyHash {
        KeyHash(CompressedPublicKey(self.public).wpubkey_hash().to_byte_array())
    }

    async fn outcome(
        &self,
        job: &Job,
        seats: &SigningGroup,
        mut clock: watch::Receiver<BlockNumber>,
    ) -> Result<Outcome, Refusal> {
        if job.chain_id != self.chain.id() {
            return Err(Refusal::OtherChain { job: job.chain_id, signer: self.chain.id() });
        }
        if job.wallet != self.wallet() {
            return Err(Refusal::OtherWallet);
        }
        let messages = job.preimages.messages()?;
        // Without a clock nobody knows what time it is.
        let start = job.start_block.saturating_add(self.wait);
        let Ok(block) = clock.wait_for(|block| *block >= start).await.map(|block| *block) else {
            return Ok(Outcome::Deadline);
        };
        if block > job.last_block {
            return Ok(Outcome::Deadline);
        }
        self.record.claim(job.claim()).await?;
        let sign = |message| self.secp.sign_ecdsa(message, &self.key.0);
        let signatures: Vec<_> = messages.iter().map(sign).collect();
        let mut pairs = messages.iter().zip(&signatures);
        // Only those with a low S pass.
        if !pairs.all(|(message, signature)| self.secp.verify_ecdsa(message, signature, &self.public).is_ok())
        {
            return Err(Refusal::Unsound);
        }
        if *clock.borrow() > job.last_block {
            return Ok(Outcome::Deadline);
        }
        // The key speaks for all.
        let numbers = (1..).take(seats.holders().len());
        let seats: Vec<Seat> = numbers.filter_map(|number: u64| Seat::try_from(number).ok()).collect();
        Ok(Outcome::Signed(Signed { signatures, attempt: 1, heard: seats.clone(), seats }))
    }
}

impl<R: SigningRecord> WalletSigner for WholeKeySigner<R> {
    async fn sign(&self, job: &Job, seats: &SigningGroup, clock: watch::Receiver<BlockNumber>) -> Report {
        match self.outcome(job, seats, clock).await {
            Ok(outcome) => outcome.into(),
            Err(refusal) => refusal.into(),
        }
    }
}
