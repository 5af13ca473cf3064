//! What verdicts rest on: the state that was proven, and the code that judged, kept by its hash. It is recorded when a proposal was
//! judged, so that this can be done again without a server.

use alloy_primitives::{B256, Keccak256, keccak256};
use coxswain_protocol::EntryError;
use coxswain_rules::{KeyHash, units::BlockNumber};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::AppendError;

/// What the verdict of one judging rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The wallet.
    pub wallet: KeyHash,
    /// The window's index.
    pub window: u64,
    /// The block that was judged at.
    pub block: BlockNumber,
    /// What was judged, the verdict, and the state, in JSON: its writer's.
    pub body: String,
    /// The hashes of the code that the state names.
    pub codes: Vec<B256>,
}

pub(super) const COLUMNS: &str = "wallet, window_index, block, body, codes, checksum";
pub(super) const CODE_COLUMNS: &str = "hash, code";

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn checksum(wallet: &[u8], window: i64, block: i64, body: &[u8], codes: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(wallet);
    hasher.update(window.to_be_bytes());
    hasher.update(block.to_be_bytes());
    hasher.update(keccak256(body));
    hasher.update(codes);
    hasher.finalize()
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> Result<Snapshot, EntryError> {
    let read = || -> Option<Snapshot> {
        let wallet = KeyHash(row.get(0).ok()?);
        let (window, block): (i64, i64) = (row.get(1).ok()?, row.get(2).ok()?);
        let body = row.get_ref(3).ok()?.as_str().ok()?;
        let codes = row.get_ref(4).ok()?.as_blob().ok()?;
        let sum = row.get_ref(5).ok()?.as_blob().ok()?;
        if checksum(&wallet.0, window, block, body.as_bytes(), codes) != sum {
            return None;
        }
        Some(Snapshot {
            wallet,
            window: u64::try_from(window).ok()?,
            block: BlockNumber(u64::try_from(block).ok()?),
            body: body.to_owned(),
            codes: codes.chunks(32).map(B256::try_from).collect::<Result<_, _>>().ok()?,
        })
    };
    read().ok_or(EntryError)
}

/// Reads a row of [`CODE_COLUMNS`]: code that has its hash.
pub(super) fn read_code(row: &Row<'_>) -> Result<Vec<u8>, EntryError> {
    let read = || -> Option<Vec<u8>> {
        let hash = row.get_ref(0).ok()?.as_blob().ok()?;
        let code = row.get_ref(1).ok()?.as_blob().ok()?;
        (keccak256(code) == hash).then(|| code.to_vec())
    };
    read().ok_or(EntryError)
}

/// Writes a snapshot, and the code that is not there yet. It takes the place of an earlier one of the window: the last judging counts.
pub(super) fn write(
    connection: &Connection,
    snapshot: &Snapshot,
    codes: &[Vec<u8>],
    keep: u64,
) -> Result<(), AppendError> {
    let Snapshot { wallet, window, block, body, codes: hashes } = snapshot;
    let hashes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    let (window, block) = (number(*window), number(block.0));
    let sum = checksum(&wallet.0, window, block, body.as_bytes(), &hashes);
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO snapshots ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (wallet, window_index) DO UPDATE SET
         block = excluded.block, body = excluded.body, codes = excluded.codes, checksum = excluded.checksum"
    ))?;
    insert.execute(params![&wallet.0[..], window, block, body, hashes, &sum[..]])?;
    let mut admit = connection.prepare_cached(&format!(
        "INSERT INTO codes ({CODE_COLUMNS}) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
    ))?;
    for code in codes {
        admit.execute(params![&keccak256(code)[..], code])?;
    }
    let mut expire =
        connection.prepare_cached("DELETE FROM snapshots WHERE wallet = ?1 AND window_index < ?2")?;
    expire.execute(params![&wallet.0[..], window.saturating_sub(number(keep))])?;
    Ok(())
}

/// What the verdict of a wallet's window rests on.
pub(super) fn of_window(
    connection: &Connection,
    wallet: KeyHash,
    window: u64,
) -> Result<Option<Result<Snapshot, EntryError>>, rusqlite::Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM snapshots WHERE wallet = ?1 AND window_index = ?2"
    ))?;
    select.query_row(params![&wallet.0[..], number(window)], |row| Ok(read(row))).optional()
}

/// The code with this hash.
pub(super) fn code(connection: &Connection, hash: B256) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {CODE_COLUMNS} FROM codes WHERE hash = ?1"))?;
    let found = select.query_row(params![&hash[..]], |row| Ok(read_code(row))).optional()?;
    Ok(found.and_then(Result::ok))
}
