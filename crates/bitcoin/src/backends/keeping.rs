//! Headers kept between runs.

use std::{
    fmt, fs,
    io::{self, Write},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use bitcoin::{BlockHash, consensus::encode};

use super::Backends;
use crate::chain::HeaderChain;

/// The newest headers are not kept: they are asked for anyway, and may be replaced.
const NOT_KEPT: usize = 6;

/// Where headers are kept between runs. Losing them costs time, and nothing that is read from it is believed.
pub trait HeaderStorage: fmt::Debug + Send + Sync {
    /// What is kept; nothing if it can't be read.
    fn read(&self) -> Vec<u8>;

    /// Puts these bytes in the place of what is kept from `offset` on.
    ///
    /// # Errors
    /// If they can't be written.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Headers kept in a file.
#[derive(Clone, Debug)]
pub struct HeaderFile(PathBuf);

impl HeaderFile {
    /// The file at this path. It need not exist.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl HeaderStorage for HeaderFile {
    fn read(&self) -> Vec<u8> {
        // A file that is larger than headers of a hundred years is none of ours.
        let is_ours = fs::metadata(&self.0).is_ok_and(|file| file.is_file() && file.len() < 1 << 29);
        if is_ours { fs::read(&self.0).unwrap_or_default() } else { Vec::new() }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        use std::io::Seek;
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&self.0)?;
        file.set_len(offset)?;
        file.seek(io::SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}

/// A storage, and what of the chain is in it.
#[derive(Debug)]
pub(super) struct Keeper {
    storage: Box<dyn HeaderStorage>,
    /// How many headers are kept, the start not among them, and the hash of the newest of them.
    kept: Mutex<(usize, Option<BlockHash>)>,
}

impl Keeper {
    /// A storage that this chain was read from.
    pub(super) fn new(storage: Box<dyn HeaderStorage>, chain: &HeaderChain) -> Self {
        let count = chain.headers().len().saturating_sub(1);
        Self { storage, kept: Mutex::new((count, Some(chain.tip().block_hash()))) }
    }

    /// Keeps what is new of the chain.
    fn keep(&self, chain: &HeaderChain) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, newest) = *kept;
        let all = chain.headers();
        let goal = all.len().saturating_sub(1 + NOT_KEPT);
        let stands = all.get(count).map(bitcoin::block::Header::block_hash) == newest;
        // After a reorganisation that goes as deep all is written anew.
        let from = if stands { count } else { 0 };
        let new = all.get(from + 1..=goal).unwrap_or_default();
        if new.is_empty() {
            return;
        }
        let bytes: Vec<u8> = new.iter().flat_map(encode::serialize).collect();
        let offset = u64::try_from(from).unwrap_or(u64::MAX).saturating_mul(80);
        // What can't be kept is asked for again.
        if self.storage.write(offset, &bytes).is_ok() {
            *kept = (goal, all.get(goal).map(bitcoin::block::Header::block_hash));
        }
    }
}

impl Backends {
    pub(super) fn keep(&self, chain: &HeaderChain) {
        if let Some(keeper) = &self.0.storage {
            keeper.keep(chain);
        }
    }
}
