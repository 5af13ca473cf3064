//! The journal as coordination asks for it.

use coxswain_coordination::Journal;
use coxswain_protocol::{Entry, EntryError};
use coxswain_rules::KeyHash;
use coxswain_service::journal::{AppendError, Journal as File};
use std::sync::Arc;

/// A journal file that coordination writes to.
#[derive(Clone, Debug)]
pub struct WindowJournal(Arc<File>);

/// Why the journal can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WindowJournalError {
    /// An entry can't be told to be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A wallet's entries can't be read.
    #[error("the journal can't be read: {0}")]
    Restore(String),
}

impl WindowJournal {
    /// Writes to this file.
    pub const fn new(file: Arc<File>) -> Self {
        Self(file)
    }
}

impl Journal for WindowJournal {
    type Error = WindowJournalError;

    async fn restore(&self, wallet: KeyHash) -> Result<Vec<Result<Entry, EntryError>>, Self::Error> {
        self.0.restore(wallet).map_err(|error| WindowJournalError::Restore(error.to_string()))
    }

    async fn append(&self, wallet: KeyHash, entry: Entry) -> Result<(), Self::Error> {
        Ok(self.0.append(wallet, entry).await?)
    }
}
