//! What journals keep: each verdict comes out again, and no byte of any kind of row can be changed unnoticed.

use std::{collections::BTreeSet, ops::ControlFlow, path::Path};

use coxswain_node::{inquiry, replay};
use coxswain_protocol::{Entry, WindowResult};
use coxswain_service::journal::{Reader, Record};
use rusqlite::{Connection, types::Value};

use crate::fleet::Fleet;

/// Judges again whatever verdict any node has recorded, offline, and compares it. Returns how many.
///
/// # Panics
/// If one is another, or a window that has agreed on a proposal has none.
pub(crate) fn judged_again(fleet: &Fleet) -> usize {
    let mut count = 0;
    for node in fleet.nodes.values() {
        let reader = Reader::open(&node.journal).unwrap();
        let (mut judged, mut agreed) = (BTreeSet::new(), BTreeSet::new());
        let each = reader.each(|place, record| {
            match record.unwrap_or_else(|_| panic!("{place:?}")) {
                Record::Snapshot(snapshot) => {
                    judged.insert((snapshot.wallet, snapshot.window));
                }
                Record::Entry(Entry::Result(result)) if has_proposal(&result) => {
                    agreed.insert((result.wallet, result.window.index()));
                }
                Record::Entry(_) | Record::Step(_) | Record::Fact { .. } | Record::Code(_) => {}
            }
            ControlFlow::Continue(())
        });
        each.unwrap();
        assert!(agreed.is_subset(&judged), "a verdict is not kept: {agreed:?}, {judged:?}");
        for (wallet, window) in &judged {
            let again = replay::replay(&reader, *wallet, *window);
            let again = again.unwrap_or_else(|error| panic!("window {window} of {wallet}: {error}"));
            assert!(again.is_same(), "window {window} of {wallet}: {again:#?}");
            let is_agreed = agreed.contains(&(*wallet, *window));
            assert!(!is_agreed || again.recorded == replay::Verdict::Valid, "{again:#?}");
        }
        count += judged.len();
    }
    count
}

fn has_proposal(result: &WindowResult) -> bool {
    // A heartbeat is judged by the same call as all else.
    result.agreement.proposal().is_some()
}

/// What a row's kind is read from, beside its table.
const TABLES: [(&str, &str); 5] = [
    ("entries", "kind"),
    ("actions", "CASE WHEN is_last THEN 'last' ELSE 'step' END"),
    ("facts", "topic"),
    ("snapshots", "'snapshot'"),
    ("codes", "'code'"),
];

/// Changes one byte in each column of a row of each kind, of a copy of the journal, and sees that the row is named. Returns the
/// kinds.
pub(crate) fn changed(journal: &Path, copy: &Path) -> BTreeSet<String> {
    let whole = Connection::open(journal).unwrap();
    whole.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let connection = Connection::open(copy).unwrap();
    let verified = || inquiry::verify(&Reader::open(copy).unwrap()).unwrap().1;
    assert_eq!(verified().map(|broken| broken.to_string()), None);
    let mut kinds = BTreeSet::new();
    for (table, kind) in TABLES {
        let mut select =
            connection.prepare(&format!("SELECT {kind}, min(id) FROM {table} GROUP BY {kind}")).unwrap();
        let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
        for (kind, id) in rows.unwrap().map(Result::unwrap) {
            let columns = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns: Vec<_> = columns.column_names().map(str::to_owned).collect();
            for column in columns.iter().filter(|column| *column != "id") {
                let get = format!("SELECT {column} FROM {table} WHERE id = ?1");
                let set = format!("UPDATE {table} SET {column} = ?1 WHERE id = ?2");
                let was: Value = connection.query_row(&get, [id], |row| row.get(0)).unwrap();
                // Another row may have what a bit makes of it.
                let mut others = (0..7).filter_map(|bit| other(column, &was, 1 << bit)).peekable();
                if others.peek().is_none() {
                    continue;
                }
                assert!(
                    others.any(|other| connection.execute(&set, (other, id)).is_ok()),
                    "{column} of {kind}"
                );
                let broken = verified().unwrap_or_else(|| panic!("{column} of {kind} in {table}: unnoticed"));
                assert_eq!((broken.place.table, broken.place.id), (table, id), "{column} of {kind}");
                connection.execute(&set, (was, id)).unwrap();
            }
            kinds.insert(format!("{table}/{kind}"));
        }
    }
    assert_eq!(verified().map(|broken| broken.to_string()), None, "all is as it was");
    kinds
}

/// The value with this bit of one byte changed, in the middle of it. `None` if there is nothing to change.
fn other(column: &str, value: &Value, bit: u8) -> Option<Value> {
    let change = |bytes: &[u8]| -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle)? ^= bit;
        Some(bytes)
    };
    match value {
        // No other row has such a number.
        Value::Integer(number) if column != "is_last" => Some(Value::Integer(*number ^ (1 << 40))),
        Value::Integer(number) => Some(Value::Integer(*number ^ 1)),
        Value::Text(text) => {
            change(text.as_bytes()).map(|bytes| Value::Text(String::from_utf8(bytes).unwrap()))
        }
        Value::Blob(bytes) => change(bytes).map(Value::Blob),
        Value::Null | Value::Real(_) => None,
    }
}
