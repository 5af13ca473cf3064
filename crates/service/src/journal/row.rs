//! An entry as a row: its key, its body in JSON, and a checksum over all of that.

use std::{fmt, sync::Arc};

use alloy_primitives::{B256, Keccak256};
use coxswain_protocol::{Entry, EntryError, Sent, WindowResult};
use coxswain_rules::KeyHash;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::AppendError;

/// What an entry is. Of each wallet's window there is at most one of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An envelope that is about to be broadcast.
    Sent,
    /// How a window ended.
    Result,
}

impl Kind {
    /// The name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Result => "result",
        }
    }

    fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Sent(_) => Self::Sent,
            Entry::Result(_) => Self::Result,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn checksum(wallet: KeyHash, window: i64, kind: &[u8], body: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(wallet.0);
    hasher.update(window.to_be_bytes());
    // No kind has a zero byte.
    hasher.update(kind);
    hasher.update([0]);
    hasher.update(body);
    hasher.finalize()
}

pub(super) const COLUMNS: &str = "wallet, window_index, kind, body, checksum";

/// Reads a row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> Result<Entry, EntryError> {
    let read = || -> Option<Entry> {
        let wallet = KeyHash(row.get_ref(0).ok()?.as_blob().ok()?.try_into().ok()?);
        let window: i64 = row.get(1).ok()?;
        let kind = row.get_ref(2).ok()?.as_bytes().ok()?;
        let body = row.get_ref(3).ok()?.as_bytes().ok()?;
        let sum = row.get_ref(4).ok()?.as_blob().ok()?;
        if checksum(wallet, window, kind, body) != sum {
            return None;
        }
        if kind == Kind::Sent.name().as_bytes() {
            serde_json::from_slice::<Sent>(body).ok().map(Entry::Sent)
        } else if kind == Kind::Result.name().as_bytes() {
            serde_json::from_slice::<WindowResult>(body).ok().map(|result| Entry::Result(Arc::new(result)))
        } else {
            None
        }
    };
    read().ok_or(EntryError)
}

/// Writes an entry, unless one of its kind is there for the window: then it must be the same.
pub(super) fn write(
    connection: &Connection,
    wallet: KeyHash,
    entry: &Entry,
    keep_windows: u64,
) -> Result<(), AppendError> {
    let unwritable = |error| AppendError::Unwritable(Arc::new(error));
    let (window, body) = match entry {
        Entry::Sent(sent) => (sent.window, serde_json::to_string(sent)),
        Entry::Result(result) => (result.window, serde_json::to_string(&**result)),
    };
    let (body, kind) = (body.map_err(unwritable)?, Kind::of(entry));
    // Past the last window that SQLite's numbers hold are more blocks than there ever will be.
    let index = i64::try_from(window.index()).unwrap_or(i64::MAX);
    let sum = checksum(wallet, index, kind.name().as_bytes(), body.as_bytes());
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO entries ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
    ))?;
    let written = insert.execute(params![&wallet.0[..], index, kind.name(), body, &sum[..]])?;
    if written == 0 {
        let mut select = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM entries WHERE wallet = ?1 AND window_index = ?2 AND kind = ?3"
        ))?;
        let key = params![&wallet.0[..], index, kind.name()];
        let there = select.query_row(key, |row| Ok(read(row))).optional()?;
        // What can't be read may be another.
        if there.and_then(Result::ok).as_ref() != Some(entry) {
            return Err(AppendError::Conflict { wallet, window: window.index(), kind });
        }
    }
    if kind == Kind::Result {
        let oldest = i64::try_from(window.index().saturating_sub(keep_windows)).unwrap_or(i64::MAX);
        let mut expire =
            connection.prepare_cached("DELETE FROM entries WHERE wallet = ?1 AND window_index < ?2")?;
        expire.execute(params![&wallet.0[..], oldest])?;
    }
    Ok(())
}

pub(super) fn newest(
    connection: &Connection,
    wallet: KeyHash,
    limit: u32,
) -> Result<Vec<Result<Entry, EntryError>>, rusqlite::Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE wallet = ?1 ORDER BY id DESC LIMIT ?2"
    ))?;
    let rows = select.query_map(params![&wallet.0[..], limit], |row| Ok(read(row)))?;
    let mut entries = rows.collect::<Result<Vec<_>, _>>()?;
    entries.reverse();
    Ok(entries)
}

pub(super) fn wallets(connection: &Connection) -> Result<Vec<KeyHash>, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT DISTINCT wallet FROM entries ORDER BY wallet")?;
    let rows = select.query_map([], |row| row.get::<_, [u8; 20]>(0).map(KeyHash))?;
    rows.collect()
}
