//! Every kind of row: a changed byte is noticed, and the row is named.

use std::{ops::ControlFlow, sync::Arc};

use coxswain_protocol::{Agreement, Entry, WindowParameters, WindowResult};
use coxswain_rules::{KeyHash, units::BlockNumber};
use coxswain_service::journal::{Fact, FactKey, Journal, Place, Reader, Settings, Snapshot, Step};

const WALLET: KeyHash = KeyHash([7; 20]);

fn broken(reader: &Reader) -> (u64, Option<Place>) {
    let mut first = None;
    let looked = reader.each(|place, record| {
        if record.is_err() {
            first = Some(place.clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    (looked.unwrap(), first)
}

#[tokio::test]
async fn a_changed_byte_in_each_kind_of_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::at(folder.path().join("journal.db"));
    let journal = Journal::open(&settings).unwrap();
    let window = WindowParameters::LOCAL.latest_window(BlockNumber(600)).unwrap();
    let result = WindowResult {
        wallet: WALLET,
        window,
        basis: None,
        agreement: Agreement::NoOp,
        faults: Vec::new(),
        notes: Vec::new(),
        alarms: Vec::new(),
    };
    journal.append(WALLET, Entry::Result(Arc::new(result))).await.unwrap();
    let step = Step { wallet: WALLET, window: 1, number: 0, is_last: true, body: "{}".to_owned() };
    journal.step(step, None).await.unwrap();
    let key = FactKey { topic: "heard", owner: WALLET.0, name: "1".to_owned() };
    journal.fact(Fact { key, body: "{\"a\":1}".to_owned(), replaces: true }).await.unwrap();
    let code = vec![1, 2, 3];
    let snapshot = Snapshot {
        wallet: WALLET,
        window: 1,
        block: BlockNumber(9),
        body: "{\"b\":2}".to_owned(),
        codes: vec![alloy_primitives::keccak256(&code)],
    };
    journal.snapshot(snapshot.clone(), vec![code.clone()]).await.unwrap();
    assert_eq!(journal.reader().snapshot(WALLET, 1).unwrap(), Some(Ok(snapshot.clone())));
    assert_eq!(journal.reader().code(alloy_primitives::keccak256(&code)).unwrap(), Some(code));
    assert_eq!(journal.reader().facts("heard", Some(WALLET.0)).unwrap(), ["{\"a\":1}"]);
    // The last judging of a window counts.
    let later = Snapshot { block: BlockNumber(10), ..snapshot };
    journal.snapshot(later.clone(), Vec::new()).await.unwrap();
    assert_eq!(journal.reader().snapshot(WALLET, 1).unwrap(), Some(Ok(later)));
    assert_eq!(broken(journal.reader()), (5, None));
    journal.close();
    for (table, column) in [
        ("entries", "body"),
        ("entries", "checksum"),
        ("actions", "body"),
        ("facts", "body"),
        ("facts", "name"),
        ("snapshots", "body"),
        ("snapshots", "codes"),
        ("codes", "code"),
    ] {
        let copy = folder.path().join(format!("{table}-{column}.db"));
        std::fs::copy(&settings.path, &copy).unwrap();
        let connection = rusqlite::Connection::open(&copy).unwrap();
        let is_text = matches!(column, "body" | "name");
        let changed = if is_text {
            format!("substr({column}, 1, length({column}) - 1) || 'x'")
        } else {
            format!("CAST(substr({column}, 1, length({column}) - 1) || x'ff' AS BLOB)")
        };
        let rows = connection.execute(&format!("UPDATE {table} SET {column} = {changed}"), []).unwrap();
        assert_eq!(rows, 1, "{table}.{column}");
        drop(connection);
        let (_, place) = broken(&Reader::open(&copy).unwrap());
        let place = place.unwrap_or_else(|| panic!("{table}.{column} is not noticed"));
        assert_eq!((place.table, place.id), (table, 1), "{column}");
    }
}
