//! The journal as coordination asks for it.

use coxswain_coordination::Journal;
use coxswain_protocol::{Entry, EntryError};
use coxswain_rules::KeyHash;
use coxswain_service::{
    journal::{AppendError, Journal as File},
    status::{Condition, Health},
};
use std::sync::Arc;

use crate::clock::now;

/// Whether what has to be recorded is.
const JOURNAL: &str = "journal";
/// The status entry of each wallet with unreadable journal entries.
const ROWS: &str = "journal_rows";

/// A journal file that coordination writes to, and that says how it goes.
#[derive(Clone, Debug)]
pub struct WindowJournal {
    file: Arc<File>,
    health: Health,
    /// By what actions were agreed on, which those who sign with shares must show.
    #[cfg(all(unix, feature = "threshold"))]
    messages: Option<Arc<crate::threshold::LeaderMessages>>,
}

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
    pub const fn new(file: Arc<File>, health: Health) -> Self {
        Self {
            file,
            health,
            #[cfg(all(unix, feature = "threshold"))]
            messages: None,
        }
    }

    /// Records by which of these messages actions were agreed on.
    #[cfg(all(unix, feature = "threshold"))]
    #[must_use]
    pub(crate) fn keeping(self, messages: Option<Arc<crate::threshold::LeaderMessages>>) -> Self {
        Self { messages, ..self }
    }
}

impl Journal for WindowJournal {
    type Error = WindowJournalError;

    async fn restore(&self, wallet: KeyHash) -> Result<Vec<Result<Entry, EntryError>>, Self::Error> {
        let restored = self.file.restore(wallet);
        let damaged = match &restored {
            Ok(entries) => entries.iter().filter(|entry| entry.is_err()).count(),
            Err(_) => 1,
        };
        let condition = if damaged == 0 {
            Condition::ok("its entries can be read")
        } else {
            let says = format!("{damaged} of the wallet's entries in the journal can't be read");
            Condition::failed(says, "coxswain history --verify names them; look at the disk")
        };
        self.health.set_of(ROWS, wallet.to_string(), now(), condition);
        #[cfg(all(unix, feature = "threshold"))]
        if let (Some(messages), Ok(entries)) = (&self.messages, &restored) {
            entries.iter().flatten().for_each(|entry| messages.restore(wallet, entry));
        }
        restored.map_err(|error| WindowJournalError::Restore(error.to_string()))
    }

    async fn append(&self, wallet: KeyHash, entry: Entry) -> Result<(), Self::Error> {
        #[cfg(all(unix, feature = "threshold"))]
        if let Some(messages) = &self.messages {
            messages.record(&self.file, &entry).await;
        }
        let written = self.file.append(wallet, entry).await;
        let condition = match &written {
            // That another entry stands there is about this one, not about the journal.
            Ok(()) | Err(AppendError::Conflict { .. }) => Condition::ok("what has to be recorded is"),
            Err(error) => {
                let remedy =
                    "make room on the disk, or raise journal.max_bytes: what is not recorded is not sent";
                Condition::failed(error.to_string(), remedy)
            }
        };
        self.health.set(JOURNAL, now(), condition);
        Ok(written?)
    }
}
