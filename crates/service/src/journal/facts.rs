//! Facts that stand alone: what was signed for in a window, a counter, what an account has sent. Each has a topic, an owner and a
//! name; what it says is its writer's: here it is bytes with a checksum.

use alloy_primitives::{B256, Keccak256};
use coxswain_protocol::EntryError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::AppendError;

/// Where a fact stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactKey {
    /// What it is about.
    pub topic: &'static str,
    /// Whose it is: a wallet's key hash, or an account's address.
    pub owner: [u8; 20],
    /// Which of the owner's.
    pub name: String,
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Where it stands.
    pub key: FactKey,
    /// What it says, in JSON.
    pub body: String,
    /// Whether it takes the place of the one that stands there. If not, that must be the same.
    pub replaces: bool,
}

fn checksum(key: &FactKey, body: &[u8]) -> B256 {
    sum_of(key.topic, &key.owner, &key.name, body)
}

fn sum_of(topic: &str, owner: &[u8; 20], name: &str, body: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    // No topic and no name has a zero byte.
    for part in [topic.as_bytes(), &[0], owner, name.as_bytes(), &[0], body] {
        hasher.update(part);
    }
    hasher.finalize()
}

fn body(key: &FactKey, row: &Row<'_>) -> Result<Result<String, EntryError>, rusqlite::Error> {
    let sound = || -> Option<String> {
        let body = row.get_ref(0).ok()?.as_str().ok()?.to_owned();
        let sum = row.get_ref(1).ok()?.as_blob().ok()?;
        (checksum(key, body.as_bytes()) == sum).then_some(body)
    };
    Ok(sound().ok_or(EntryError))
}

pub(super) const COLUMNS: &str = "topic, owner, name, body, checksum";

/// Reads a row of [`COLUMNS`]: its topic, and what it says.
pub(super) fn read(row: &Row<'_>) -> Result<(String, String), EntryError> {
    let read = || -> Option<(String, String)> {
        let topic = row.get_ref(0).ok()?.as_str().ok()?.to_owned();
        let (owner, name): ([u8; 20], String) = (row.get(1).ok()?, row.get(2).ok()?);
        let body = row.get_ref(3).ok()?.as_str().ok()?.to_owned();
        let sum = row.get_ref(4).ok()?.as_blob().ok()?;
        (sum_of(&topic, &owner, &name, body.as_bytes()) == sum).then_some((topic, body))
    };
    read().ok_or(EntryError)
}

/// All facts of a topic and owner that can be read.
pub(super) fn of(
    connection: &Connection,
    topic: &str,
    owner: Option<[u8; 20]>,
) -> Result<Vec<String>, rusqlite::Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM facts WHERE topic = ?1 AND (?2 IS NULL OR owner = ?2) ORDER BY id"
    ))?;
    let rows = select.query_map(params![topic, owner.map(|owner| owner.to_vec())], |row| Ok(read(row)))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(rows.into_iter().filter_map(Result::ok).map(|(_, body)| body).collect())
}

/// Returns the fact that is recorded there, if there is one.
pub(super) fn get(
    connection: &Connection,
    key: &FactKey,
) -> Result<Option<Result<String, EntryError>>, rusqlite::Error> {
    let mut select = connection
        .prepare_cached("SELECT body, checksum FROM facts WHERE topic = ?1 AND owner = ?2 AND name = ?3")?;
    select.query_row(params![key.topic, &key.owner[..], key.name], |row| body(key, row)).optional()
}

/// Writes a fact.
pub(super) fn write(connection: &Connection, fact: &Fact) -> Result<(), AppendError> {
    let Fact { key, body, replaces } = fact;
    let sum = checksum(key, body.as_bytes());
    let otherwise = if *replaces {
        "DO UPDATE SET body = excluded.body, checksum = excluded.checksum"
    } else {
        "DO NOTHING"
    };
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO facts (topic, owner, name, body, checksum) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (topic, owner, name) {otherwise}"
    ))?;
    let written = insert.execute(params![key.topic, &key.owner[..], key.name, body, &sum[..]])?;
    // What can't be read may be another.
    if written == 0 && get(connection, key)?.and_then(Result::ok).as_ref() != Some(body) {
        return Err(AppendError::OtherFact { topic: key.topic, name: key.name.clone() });
    }
    Ok(())
}
