//! The journal: what a program must not forget, and must not do twice, in one SQLite file.
//!
//! *Write-ahead log*, since readers then never keep the writer waiting: `coxswain history` can read while a message waits to
//! be recorded before it is sent. The price is that the file must be on a local disk. `synchronous=FULL` makes each commit
//! reach the disk before it is acknowledged. One thread writes; what waits for it is written in one commit, so that a
//! thousand wallets' results cost one wait for the disk.
//!
//! A lock beside the file keeps a second process from writing it. The lock ends with the process that holds it, however that ends.

mod facts;
mod row;
mod schema;
mod snapshots;
mod steps;
mod walk;
mod writer;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use coxswain_protocol::{Entry, EntryError};
use coxswain_rules::KeyHash;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{mpsc, oneshot};

pub use facts::{Fact, FactKey};
pub use row::Kind;
pub use snapshots::Snapshot;
pub use steps::{ReadStep, Step};
pub use walk::{Place, Record};
use writer::{Job, Work, Writer};

use crate::tasks::{Ending, Failure, Stop};

/// How many entries may wait for the writer. The caller of one more waits until there is room.
const QUEUE: usize = 1024;
/// How many of a wallet's newest entries a node starts from: more than the last five windows of each of a hundred leaders.
const RESTORED: u32 = 1024;

/// Where a journal is, and how much it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// For how many windows a wallet's entries are kept.
    pub keep_windows: u64,
    /// How large the file may become, in bytes.
    pub max_bytes: u64,
}

impl Settings {
    /// A journal at this path that keeps about a year of windows, in 4 GiB at most.
    pub const fn at(path: PathBuf) -> Self {
        Self { path, keep_windows: 3_000, max_bytes: 4 << 30 }
    }
}

/// Why a journal can't be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process writes it.
    #[error("another process holds the journal {0}")]
    Locked(PathBuf),
    /// The file can't be opened or made.
    #[error("the journal {0} can't be opened")]
    File(PathBuf, #[source] Arc<std::io::Error>),
    /// The file is not a journal.
    #[error("{0} is no journal of this program")]
    Foreign(PathBuf),
    /// The file is damaged.
    #[error("the journal {path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file was written by a later version of this program.
    #[error("the journal {path} has format {found}, this program knows formats up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// There is no room for it.
    #[error("the disk is full, or the journal {0} as large as it may become")]
    Full(PathBuf),
    /// SQLite refuses otherwise.
    #[error("the journal {0} can't be opened")]
    Sqlite(PathBuf, #[source] Arc<rusqlite::Error>),
}

impl OpenError {
    fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, what: error.to_string() }
            }
            Some(ErrorCode::DiskFull) => Self::Full(path),
            _ => Self::Sqlite(path, Arc::new(error)),
        }
    }
}

/// Why the journal can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the journal can't be read")]
pub struct ReadError(#[from] rusqlite::Error);

/// Why an entry is not recorded, as far as is known.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Another entry of this kind is recorded for the window. It stays.
    #[error("another entry ({kind}) is recorded for window {window} of wallet {wallet}")]
    Conflict {
        /// The wallet.
        wallet: KeyHash,
        /// The window's index.
        window: u64,
        /// The kind.
        kind: Kind,
    },
    /// Another step of this number is recorded for the action. It stays.
    #[error("another step {number} is recorded for the action of window {window} of wallet {wallet}")]
    OtherStep {
        /// The wallet.
        wallet: KeyHash,
        /// The window's index.
        window: u64,
        /// Which step.
        number: u32,
    },
    /// Another fact is recorded there. It stays.
    #[error("another fact ({topic}) is recorded as {name}")]
    OtherFact {
        /// What it is about.
        topic: &'static str,
        /// Its name.
        name: String,
    },
    /// There is no room.
    #[error("the disk is full, or the journal as large as it may become")]
    Full,
    /// The entry can't be written down.
    #[error("the entry can't be written down")]
    Unwritable(#[source] Arc<serde_json::Error>),
    /// SQLite refuses otherwise. The entry may have been written.
    #[error("the journal can't be written")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    /// The journal is closed. The entry may have been written.
    #[error("the journal is closed")]
    Closed,
}

impl AppendError {
    /// Whether it is refused for what it is: what waits with it is written all the same.
    const fn is_refusal(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::OtherStep { .. } | Self::OtherFact { .. } | Self::Unwritable(_) => {
                true
            }
            Self::Full | Self::Sqlite(_) | Self::Closed => false,
        }
    }
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}

/// A journal that is open for writing. At most one process has it.
#[derive(Debug)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    reader: Reader,
    writer: JoinHandle<()>,
}

impl Journal {
    /// Opens a journal, or makes it if there is none. Reads it whole, to see that it isn't damaged.
    ///
    /// # Errors
    /// If it can't be, or another process has it.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        let path = &settings.path;
        let lock = Lock::take(path)?;
        schema::is_whole(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = |error| OpenError::sqlite(path, error);
        let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        schema::prepare(&mut connection, settings)?;
        let reader = Reader::open(path)?;
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let writer = Writer::new(connection, lock, settings.keep_windows);
        let writer = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(waiting));
        let writer = writer.map_err(|error| OpenError::File(path.clone(), Arc::new(error)))?;
        Ok(Self { jobs, reader, writer })
    }

    /// Records an entry. It is on the disk when this returns `Ok`; otherwise it may or may not be. Of a wallet's window there
    /// is one entry of each kind: the same again is recorded already, and another one is refused.
    ///
    /// # Errors
    /// If it can't be told that the entry is recorded.
    pub async fn append(&self, wallet: KeyHash, entry: Entry) -> Result<(), AppendError> {
        self.write(Work::Entry(wallet, entry)).await
    }

    /// Records a step of an action, and with it a fact, if there is one: both or neither. They are on the disk when this returns
    /// `Ok`. The same step again is recorded already, and another one of its number is refused.
    ///
    /// # Errors
    /// If it can't be told that they are recorded.
    pub async fn step(&self, step: Step, fact: Option<Fact>) -> Result<(), AppendError> {
        self.write(Work::Step(step, fact)).await
    }

    /// Records a fact. It is on the disk when this returns `Ok`.
    ///
    /// # Errors
    /// If it can't be told that it is recorded, or it does not replace another that stands there.
    pub async fn fact(&self, fact: Fact) -> Result<(), AppendError> {
        self.write(Work::Fact(fact)).await
    }

    /// Records what a verdict rests on, and the code that judged, in place of what an earlier judging in the window rested on.
    ///
    /// # Errors
    /// If it can't be told that it is recorded.
    pub async fn snapshot(&self, snapshot: Snapshot, codes: Vec<Vec<u8>>) -> Result<(), AppendError> {
        self.write(Work::Snapshot(snapshot, codes)).await
    }

    async fn write(&self, work: Work) -> Result<(), AppendError> {
        let (done, recorded) = oneshot::channel();
        self.jobs.send(Job { work, done }).await.map_err(|_| AppendError::Closed)?;
        recorded.await.unwrap_or(Err(AppendError::Closed))
    }

    /// A wallet's newest entries, in the order in which they were written.
    ///
    /// # Errors
    /// If they can't be read. That an entry of them is damaged is no error of all.
    pub fn restore(&self, wallet: KeyHash) -> Result<Vec<Result<Entry, EntryError>>, rusqlite::Error> {
        self.reader.newest(wallet, RESTORED)
    }

    /// Reads it.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Waits until nothing can be recorded any more: the writer has failed.
    pub async fn failed(&self) {
        self.jobs.closed().await;
    }

    /// Records what waits, and gives the file up.
    pub fn close(self) {
        let Self { jobs, reader, writer } = self;
        // The last to leave puts the write-ahead log into the file, and only the writer can.
        drop(reader);
        drop(jobs);
        // That it has panicked was seen by all who waited for it.
        let _ = writer.join();
    }
}

/// A program's task that ends if nothing can be recorded any more.
///
/// # Errors
/// Then.
pub async fn watch(journal: Arc<Journal>, mut stop: Stop) -> Result<(), Failure> {
    tokio::select! {
        () = stop.requested() => Ok(()),
        () = journal.failed() => Err("nothing can be recorded any more".into()),
    }
}

/// Closes a program's journal once its tasks have ended so. Whoever still holds it has had its time, and so has a writer that hangs.
pub fn close_after(ending: &Ending, journal: Arc<Journal>) {
    if !matches!(ending, Ending::Overdue(_))
        && let Some(journal) = Arc::into_inner(journal)
    {
        journal.close();
    }
}

/// Reads a journal, also one that another process writes.
#[derive(Debug)]
pub struct Reader(Mutex<Connection>);

impl Reader {
    /// Opens a journal for reading.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        schema::is_whole(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let connection = connection.map_err(|error| OpenError::sqlite(path, error))?;
        schema::check(&connection, path)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// A wallet's newest entries, in the order in which they were written.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn newest(
        &self,
        wallet: KeyHash,
        limit: u32,
    ) -> Result<Vec<Result<Entry, EntryError>>, rusqlite::Error> {
        row::newest(&self.connection(), wallet, limit)
    }

    /// The steps of a wallet's actions that are not over, the oldest action first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn open_actions(&self, wallet: KeyHash) -> Result<Vec<ReadStep>, ReadError> {
        Ok(steps::open(&self.connection(), wallet)?)
    }

    /// A wallet's newest actions, at most so many, with all their steps: the oldest action first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn newest_actions(&self, wallet: KeyHash, limit: u32) -> Result<Vec<ReadStep>, ReadError> {
        Ok(steps::newest(&self.connection(), wallet, limit)?)
    }

    /// The steps of the action that a wallet's window agreed on. None if it has none.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn action(&self, wallet: KeyHash, window: u64) -> Result<Vec<ReadStep>, ReadError> {
        Ok(steps::of_window(&self.connection(), wallet, window)?)
    }

    /// What a fact says. `None` if there is none.
    ///
    /// # Errors
    /// If it can't be read. That it is damaged is no error of all.
    pub fn fact(&self, key: &FactKey) -> Result<Option<Result<String, EntryError>>, ReadError> {
        Ok(facts::get(&self.connection(), key)?)
    }

    /// What all facts of a topic say: of one owner, or of all.
    ///
    /// # Errors
    /// If they can't be read. One that is damaged is left out.
    pub fn facts(&self, topic: &str, owner: Option<[u8; 20]>) -> Result<Vec<String>, ReadError> {
        Ok(facts::of(&self.connection(), topic, owner)?)
    }

    /// What the last verdict in a wallet's window rests on. `None` if nothing is kept of it.
    ///
    /// # Errors
    /// If it can't be read. That it is damaged is no error of all.
    pub fn snapshot(
        &self,
        wallet: KeyHash,
        window: u64,
    ) -> Result<Option<Result<Snapshot, EntryError>>, ReadError> {
        Ok(snapshots::of_window(&self.connection(), wallet, window)?)
    }

    /// The code with this hash, if it is kept and sound.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn code(&self, hash: alloy_primitives::B256) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(snapshots::code(&self.connection(), hash)?)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wallets that there are entries of.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn wallets(&self) -> Result<Vec<KeyHash>, rusqlite::Error> {
        row::wallets(&self.connection())
    }
}

/// Keeps other processes off a journal. It is given up by word, not by closing the file alone: a child that was just forked
/// holds the same open file until it runs its own program.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    /// Locks the journal at this path.
    fn take(path: &Path) -> Result<Self, OpenError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let failed = |error| OpenError::File(path.to_owned(), Arc::new(error));
        let file = File::options().create(true).truncate(false).write(true).open(PathBuf::from(name));
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
            Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where that fails, it ends with the process.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_up_is_free_though_a_fork_still_holds_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let lock = Lock::take(&path).unwrap();
        let forked = lock.0.try_clone().unwrap();
        assert!(matches!(Lock::take(&path), Err(OpenError::Locked(_))));
        drop(lock);
        Lock::take(&path).unwrap();
        drop(forked);
    }
}
