//! All rows, one after the other, each checked against its checksum: what `history --verify` goes through.

use std::ops::ControlFlow;

use coxswain_protocol::{Entry, EntryError};
use rusqlite::{Connection, Row};

use super::{ReadError, Reader, Step, facts, row, snapshots, steps};

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its table.
    pub table: &'static str,
    /// Its number in the table.
    pub id: i64,
}

/// What a row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry of a window.
    Entry(Entry),
    /// A step of an action.
    Step(Step),
    /// A fact: whose topic, and what it says.
    Fact {
        /// Its topic.
        topic: String,
        /// What it says, in JSON.
        body: String,
    },
    /// What a verdict rests on.
    Snapshot(super::Snapshot),
    /// A contract's code.
    Code(Vec<u8>),
}

/// Reads a row of a table.
type Read = fn(&Row<'_>) -> Result<Record, EntryError>;

impl Reader {
    /// Looks at each row, until that breaks off. A row that can't be read, or whose checksum doesn't hold, is an error in its
    /// place. Returns how many were looked at.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn each(
        &self,
        mut look: impl FnMut(&Place, Result<Record, EntryError>) -> ControlFlow<()>,
    ) -> Result<u64, ReadError> {
        let connection = self.connection();
        let mut looked = 0;
        let tables: [(&'static str, &str, Read); 5] = [
            ("entries", row::COLUMNS, |row| row::read(row).map(Record::Entry)),
            ("actions", steps::COLUMNS, |row| {
                steps::read(row).map_err(|_| EntryError)?.step.map(Record::Step)
            }),
            ("facts", facts::COLUMNS, |row| {
                facts::read(row).map(|(topic, body)| Record::Fact { topic, body })
            }),
            ("snapshots", snapshots::COLUMNS, |row| snapshots::read(row).map(Record::Snapshot)),
            ("codes", snapshots::CODE_COLUMNS, |row| snapshots::read_code(row).map(Record::Code)),
        ];
        for (table, columns, read) in tables {
            looked += walk(&connection, table, columns, read, &mut look)?;
        }
        Ok(looked)
    }
}

fn walk(
    connection: &Connection,
    table: &'static str,
    columns: &str,
    read: Read,
    look: &mut impl FnMut(&Place, Result<Record, EntryError>) -> ControlFlow<()>,
) -> Result<u64, rusqlite::Error> {
    // The number comes last, so that a row is read as it is anywhere else.
    let mut select = connection.prepare(&format!("SELECT {columns}, id FROM {table} ORDER BY id"))?;
    let last = select.column_count().saturating_sub(1);
    let mut rows = select.query([])?;
    let mut looked = 0;
    while let Some(row) = rows.next()? {
        looked += 1;
        let place = Place { table, id: row.get(last)? };
        if look(&place, read(row)).is_break() {
            break;
        }
    }
    Ok(looked)
}
