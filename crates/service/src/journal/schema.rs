//! The journal's tables, version by version, and what is checked before any is touched.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{OpenError, Settings};

/// Marks the file as a journal of this program: "COXS".
const APPLICATION: i64 = 0x434f_5853;

/// What leads from each version to the next. Never changed once released: a new one is added.
///
/// The body is JSON, so that `sqlite3` shows it; the view does so for faults, which stand in the results.
const MIGRATIONS: [&str; 3] = [
    "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        wallet BLOB NOT NULL,
        window_index INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        checksum BLOB NOT NULL,
        UNIQUE (wallet, window_index, kind)
    ) STRICT;
    CREATE VIEW faults AS
        SELECT '0x' || lower(hex(entries.wallet)) AS wallet,
               entries.window_index,
               json_extract(fault.value, '$.culprit') AS culprit,
               json_extract(fault.value, '$.kind') AS kind,
               json_extract(fault.value, '$.signed') AS signed
        FROM entries, json_each(entries.body, '$.faults') AS fault
        WHERE entries.kind = 'result';
",
    "
    CREATE TABLE actions (
        id INTEGER PRIMARY KEY,
        wallet BLOB NOT NULL,
        window_index INTEGER NOT NULL,
        step INTEGER NOT NULL,
        is_last INTEGER NOT NULL,
        body TEXT NOT NULL,
        checksum BLOB NOT NULL,
        UNIQUE (wallet, window_index, step)
    ) STRICT;
    CREATE TABLE facts (
        id INTEGER PRIMARY KEY,
        topic TEXT NOT NULL,
        owner BLOB NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        checksum BLOB NOT NULL,
        UNIQUE (topic, owner, name)
    ) STRICT;
",
    "
    CREATE TABLE snapshots (
        id INTEGER PRIMARY KEY,
        wallet BLOB NOT NULL,
        window_index INTEGER NOT NULL,
        block INTEGER NOT NULL,
        body TEXT NOT NULL,
        codes BLOB NOT NULL,
        checksum BLOB NOT NULL,
        UNIQUE (wallet, window_index)
    ) STRICT;
    CREATE TABLE codes (
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        code BLOB NOT NULL
    ) STRICT;
",
];

/// How long a reader of another process may keep the file to itself.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);
/// How much of the write-ahead log is kept when all of it is in the file, in bytes.
const LOG_BYTES: i64 = 16 << 20;

/// The newest version.
fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("they are few")
}

fn number(connection: &Connection, pragma: &str) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// How long the first page of a journal is, in bytes. A file that ends within it looks empty to SQLite.
const FIRST_PAGE: u64 = 4096;

/// Checks that the file isn't one that was cut off so early that it looks new. No file is opened here: closing one would give up
/// the locks that SQLite has on it in this process.
pub(super) fn is_whole(path: &Path) -> Result<(), OpenError> {
    let length = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::fs::metadata(Path::new(&name)).map_or(0, |found| found.len())
    };
    let torn = |what: String| Err(OpenError::Damaged { path: path.to_owned(), what });
    match length("") {
        // What is written first, before there is a write-ahead log, is the first page.
        0 if length("-wal") > 0 => torn("it is torn: it is empty, and its write-ahead log isn't".to_owned()),
        0 => Ok(()),
        // The first page was being written, and SQLite takes that back.
        found if found < FIRST_PAGE && length("-journal") > 0 => Ok(()),
        found if found < FIRST_PAGE => {
            torn(format!("it is torn: it ends after {found} bytes, within its first page"))
        }
        _ => Ok(()),
    }
}

/// Makes the connection durable, checks the file, and brings its tables to the newest version.
pub(super) fn prepare(connection: &mut Connection, settings: &Settings) -> Result<(), OpenError> {
    let path = &settings.path;
    let sqlite = |error| OpenError::sqlite(path, error);
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    let version = version(connection, path)?;
    let wal: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(sqlite)?;
    if wal != "wal" {
        let what = format!("it can't have a write-ahead log here, but {wal:?}");
        return Err(OpenError::Damaged { path: path.clone(), what });
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(())).map_err(sqlite)?;
    let page = u64::try_from(number(connection, "page_size").map_err(sqlite)?).unwrap_or(4096).max(1);
    let pages =
        i64::try_from((settings.max_bytes / page).max(1)).unwrap_or(i64::MAX).min(i64::from(u32::MAX - 1));
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).map_err(sqlite)?;
    migrate(connection, version).map_err(sqlite)?;
    let what: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(sqlite)?;
    if what == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.clone(), what }) }
}

/// Checks that the file is a journal, of the newest version.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    connection.busy_timeout(BUSY).map_err(|error| OpenError::sqlite(path, error))?;
    if version(connection, path)? == known() { Ok(()) } else { Err(OpenError::Foreign(path.to_owned())) }
}

/// The file's version; 0 for an empty one.
fn version(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let sqlite = |error| OpenError::sqlite(path, error);
    let found = number(connection, "user_version").map_err(sqlite)?;
    let application = number(connection, "application_id").map_err(sqlite)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    match (application, found) {
        // One page at most: that there may be a log. What has more has lost its tables.
        (0, 0) if tables == 0 && number(connection, "page_count").map_err(sqlite)? <= 1 => Ok(0),
        (APPLICATION, found) if found > known() => {
            Err(OpenError::Newer { path: path.to_owned(), found, known: known() })
        }
        (APPLICATION, found) if found > 0 => Ok(found),
        _ => Err(OpenError::Foreign(path.to_owned())),
    }
}

fn migrate(connection: &mut Connection, from: i64) -> Result<(), rusqlite::Error> {
    let due = MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or_default());
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in due {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", known())?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acknowledged_has_reached_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::at(folder.path().join("journal.db"));
        let mut connection = Connection::open(&settings.path).unwrap();
        prepare(&mut connection, &settings).unwrap();
        assert_eq!(number(&connection, "synchronous").unwrap(), 2, "FULL");
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}
