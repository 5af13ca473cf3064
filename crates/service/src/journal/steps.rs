//! The steps of actions: of each wallet's window one action, numbered step by step. A step is never changed; what an action has
//! come to is its last one. What the steps say is their writer's: here they are bytes with a checksum.

use alloy_primitives::{B256, Keccak256};
use coxswain_protocol::EntryError;
use coxswain_rules::KeyHash;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::AppendError;

/// One step of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The wallet.
    pub wallet: KeyHash,
    /// The index of the window that agreed on the action.
    pub window: u64,
    /// Which step, counted from 0.
    pub number: u32,
    /// Whether the action is over with it.
    pub is_last: bool,
    /// What it says, in JSON.
    pub body: String,
}

/// A step that is read, or the place of one that can't be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadStep {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window's index.
    pub window: u64,
    /// Which step.
    pub number: u32,
    /// The step. An error if its checksum doesn't hold.
    pub step: Result<Step, EntryError>,
}

pub(super) const COLUMNS: &str = "wallet, window_index, step, is_last, body, checksum";

fn checksum(wallet: KeyHash, window: i64, number: u32, is_last: bool, body: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(wallet.0);
    hasher.update(window.to_be_bytes());
    hasher.update(number.to_be_bytes());
    hasher.update([u8::from(is_last)]);
    hasher.update(body);
    hasher.finalize()
}

/// SQLite's numbers hold more windows than there ever will be.
fn index(window: u64) -> i64 {
    i64::try_from(window).unwrap_or(i64::MAX)
}

pub(super) fn read(row: &Row<'_>) -> Result<ReadStep, rusqlite::Error> {
    let wallet = KeyHash(row.get(0)?);
    let (window, number): (i64, u32) = (row.get(1)?, row.get(2)?);
    let place = |step| ReadStep { wallet, window: u64::try_from(window).unwrap_or_default(), number, step };
    let step = || -> Option<Step> {
        let is_last: bool = row.get(3).ok()?;
        let body = row.get_ref(4).ok()?.as_str().ok()?.to_owned();
        let sum = row.get_ref(5).ok()?.as_blob().ok()?;
        let holds = checksum(wallet, window, number, is_last, body.as_bytes()) == sum;
        holds.then(|| Step {
            wallet,
            window: u64::try_from(window).unwrap_or_default(),
            number,
            is_last,
            body,
        })
    };
    Ok(place(step().ok_or(EntryError)))
}

/// Writes a step, unless one of its number is there: then it must be the same.
pub(super) fn write(connection: &Connection, step: &Step, keep_windows: u64) -> Result<(), AppendError> {
    let Step { wallet, window, number, is_last, body } = step;
    let sum = checksum(*wallet, index(*window), *number, *is_last, body.as_bytes());
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO actions ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING"
    ))?;
    let key = (&wallet.0[..], index(*window), *number);
    let written = insert.execute(params![key.0, key.1, key.2, is_last, body, &sum[..]])?;
    if written == 0 {
        let mut select = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM actions WHERE wallet = ?1 AND window_index = ?2 AND step = ?3"
        ))?;
        let there = select.query_row(params![key.0, key.1, key.2], read).optional()?;
        if there.and_then(|there| there.step.ok()).as_ref() != Some(step) {
            return Err(AppendError::OtherStep { wallet: *wallet, window: *window, number: *number });
        }
    }
    if *number == 0 {
        // What is not over is kept however old it is.
        let mut expire = connection.prepare_cached(
            "DELETE FROM actions WHERE wallet = ?1 AND window_index < ?2 AND window_index IN
             (SELECT window_index FROM actions WHERE wallet = ?1 AND window_index < ?2 AND is_last)",
        )?;
        expire.execute(params![key.0, index(window.saturating_sub(keep_windows))])?;
    }
    Ok(())
}

/// A wallet's newest actions, at most so many, each with all its steps: the oldest action first.
pub(super) fn newest(
    connection: &Connection,
    wallet: KeyHash,
    limit: u32,
) -> Result<Vec<ReadStep>, rusqlite::Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM actions WHERE wallet = ?1 AND window_index IN
         (SELECT DISTINCT window_index FROM actions WHERE wallet = ?1 ORDER BY window_index DESC LIMIT ?2)
         ORDER BY window_index, step"
    ))?;
    select.query_map(params![&wallet.0[..], limit], read)?.collect()
}

/// The steps of the wallet's actions that are not over: the oldest action first.
pub(super) fn open(connection: &Connection, wallet: KeyHash) -> Result<Vec<ReadStep>, rusqlite::Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM actions WHERE wallet = ?1 AND window_index NOT IN
         (SELECT window_index FROM actions WHERE wallet = ?1 AND is_last)
         ORDER BY window_index, step"
    ))?;
    select.query_map(params![&wallet.0[..]], read)?.collect()
}

/// All steps of the action of a wallet's window.
pub(super) fn of_window(
    connection: &Connection,
    wallet: KeyHash,
    window: u64,
) -> Result<Vec<ReadStep>, rusqlite::Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM actions WHERE wallet = ?1 AND window_index = ?2 ORDER BY step"
    ))?;
    select.query_map(params![&wallet.0[..], index(window)], read)?.collect()
}
