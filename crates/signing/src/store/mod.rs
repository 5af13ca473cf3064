//! Key shares at rest: one file a wallet, `<wallet key hash>.share`, all own seats in it.
//!
//! A file is a header, which anyone who may read the file can read, and two sections, which need the passphrase: *core* (each
//! seat's scalar, and the verifying shares of all), in an encoding of our own, and *pairs*, which is the library's. A random key
//! encrypts both (XChaCha20-Poly1305); that key is wrapped by one that Argon2id makes of the passphrase. The header is
//! authenticated by all three.
//!
//! A file is read only if nobody else could have: owned by us, no access for others, no link, in a folder that only we write.
//! It is replaced by a whole new one, never written over, and the one before it is kept. Who opens it holds its lock until the
//! process ends.

mod core;
mod cost;
mod crypt;
mod error;
mod files;
mod format;
#[cfg(test)]
mod fuzz;
mod passphrase;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bitcoin::{CompressedPublicKey, hashes::Hash, secp256k1::PublicKey};
use coxswain_protocol::Seat;
use coxswain_rules::KeyHash;
use zeroize::Zeroizing;

pub use self::{
    core::Core,
    cost::Cost,
    error::{Exposure, ShareError},
    passphrase::{Passphrase, PassphraseError},
};
use self::{
    files::{Folder, Held},
    format::Header,
};

/// What a file of shares says without a passphrase. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareInfo {
    /// The signing scheme and the library's version that the pairs are for.
    pub scheme: String,
    /// The chain.
    pub chain_id: u64,
    /// The wallet's public key.
    pub wallet_key: PublicKey,
    /// How many seats there are.
    pub group_size: u8,
    /// How many of them sign.
    pub threshold: u8,
    /// The seats in this file, in order.
    pub seats: Vec<Seat>,
    /// Whether one person dealt the key, who has held it whole.
    pub dealt: bool,
}

impl ShareInfo {
    /// The wallet's key hash.
    pub fn wallet(&self) -> KeyHash {
        KeyHash(CompressedPublicKey(self.wallet_key).wpubkey_hash().to_byte_array())
    }

    /// The name of the file.
    pub fn file_name(&self) -> String {
        file_name(self.wallet())
    }

    /// Whether the other is of the same seats of the same wallet.
    fn is_same_wallet(&self, other: &Self) -> bool {
        (self.chain_id, self.wallet_key, self.group_size, self.threshold, &self.seats)
            == (other.chain_id, other.wallet_key, other.group_size, other.threshold, &other.seats)
    }
}

/// The name of the file with a wallet's shares.
pub fn file_name(wallet: KeyHash) -> String {
    format!("{}.share", alloy_primitives::hex::encode(wallet.0))
}

/// A wallet's shares, of all own seats. Neither shown nor copied nor serialised: only the store writes them.
///
/// ```compile_fail
/// fn shown(shares: &coxswain_signing::store::Shares) -> String {
///     format!("{shares:?}")
/// }
/// ```
pub struct Shares {
    info: ShareInfo,
    core: Core,
    pairs: Zeroizing<Vec<u8>>,
}

impl Shares {
    /// Shares that fit together.
    ///
    /// # Errors
    /// If they don't.
    pub fn new(info: ShareInfo, core: Core, pairs: Zeroizing<Vec<u8>>) -> Result<Self, ShareError> {
        format::check_info(&info).map_err(ShareError::Inconsistent)?;
        core.check(&info).map_err(ShareError::Inconsistent)?;
        format::check_pairs(&info, pairs.len()).map_err(ShareError::Inconsistent)?;
        Ok(Self { info, core, pairs })
    }

    /// What is not secret.
    pub fn info(&self) -> &ShareInfo {
        &self.info
    }

    /// The scalars and verifying shares.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Whether one of these shares stands in the text, in hex: to search what a program has told.
    pub fn appear_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.core.scalars().any(|(_, scalar)| {
            let hex = Zeroizing::new(alloy_primitives::hex::encode(**scalar));
            text.contains(hex.as_str())
        })
    }

    /// The library's section.
    #[cfg(any(test, feature = "threshold"))]
    pub(crate) fn pairs(&self) -> &[u8] {
        &self.pairs
    }

    /// Writes these shares into the folder, which is made if need be. Of a file that is there, and of the same seats of the same
    /// wallet, the new one takes the place, and it is kept beside it; anything else there is left alone.
    ///
    /// # Errors
    /// If it can't be written, the folder isn't safe, another process uses the file, or it is another wallet's.
    pub fn save(&self, folder: &Path, passphrase: &Passphrase, cost: Cost) -> Result<PathBuf, ShareError> {
        let folder = Folder::make(folder)?;
        let name = self.info.file_name();
        let _held = folder.hold(&name)?;
        self.save_held(&folder, &name, passphrase, cost)
    }

    fn save_held(
        &self,
        folder: &Folder,
        name: &str,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<PathBuf, ShareError> {
        let path = folder.path_of(name);
        if let Some(bytes) = folder.read(name, format::MAX_BYTES)? {
            let there = format::parse(&bytes, &path)?.header.info;
            if !there.is_same_wallet(&self.info) {
                return Err(ShareError::OtherShares(path));
            }
        }
        let bytes = crypt::seal(self, passphrase, cost)?;
        folder.replace(name, &bytes)?;
        Ok(path)
    }
}

/// An opened file of shares. While this lives, no other process opens it.
pub struct ShareFile {
    shares: Shares,
    _held: Held,
}

impl ShareFile {
    /// Opens a file. The process dumps no core from here on.
    ///
    /// # Errors
    /// If it isn't safe, isn't whole, isn't ours to open now, or the passphrase is another one's.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Self, ShareError> {
        files::no_core_dumps()?;
        let (folder, name) = Folder::of_file(path)?;
        let held = folder.hold(&name)?;
        let bytes = folder.read(&name, format::MAX_BYTES)?.ok_or_else(|| ShareError::Missing(path.into()))?;
        let shares = crypt::open(&format::parse(&bytes, path)?, passphrase, path)?;
        Ok(Self { shares, _held: held })
    }

    /// The shares.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }
}

/// What a file says without its passphrase, and what it would take to try one. That the file is whole is checked, that nobody
/// wrote it anew is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What is not secret.
    pub info: ShareInfo,
    /// What a try of a passphrase costs.
    pub cost: Cost,
    /// How many bytes the file has.
    pub bytes: usize,
}

/// Reads what a file says without its passphrase. It may be in use.
///
/// # Errors
/// If it isn't safe, or isn't whole.
pub fn inspect(path: &Path) -> Result<Inspected, ShareError> {
    let (folder, name) = Folder::of_file(path)?;
    let bytes = folder.read(&name, format::MAX_BYTES)?.ok_or_else(|| ShareError::Missing(path.into()))?;
    let Header { info, cost, .. } = format::parse(&bytes, path)?.header;
    Ok(Inspected { info, cost, bytes: bytes.len() })
}
