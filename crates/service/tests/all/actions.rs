//! Actions step by step, and facts: recorded once, whole, and read while the program runs.

use coxswain_rules::KeyHash;
use coxswain_service::journal::{AppendError, Fact, FactKey, Journal, Reader, Settings, Step};
use rusqlite::Connection;

const WALLET: KeyHash = KeyHash([1; 20]);

fn step(window: u64, number: u32, body: &str) -> Step {
    Step { wallet: WALLET, window, number, is_last: body == "\"over\"", body: body.to_owned() }
}

fn fact(name: &str, body: &str, replaces: bool) -> Fact {
    let key = FactKey { topic: "counter", owner: WALLET.0, name: name.to_owned() };
    Fact { key, body: body.to_owned(), replaces }
}

fn shown(reader: &Reader) -> Vec<(u64, u32)> {
    let open = reader.open_actions(WALLET).unwrap();
    open.into_iter().map(|read| (read.window, read.number)).collect()
}

#[tokio::test]
async fn steps_are_recorded_once_and_read_by_another_while_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { keep_windows: 3, ..Settings::at(folder.path().join("journal.db")) };
    let journal = Journal::open(&settings).unwrap();
    let reader = Reader::open(&settings.path).unwrap();
    journal.step(step(1, 0, "\"agreed\""), None).await.unwrap();
    journal.step(step(1, 1, "\"signed\""), None).await.unwrap();
    journal.step(step(1, 1, "\"signed\""), None).await.unwrap();
    let other = journal.step(step(1, 1, "\"failed\""), Some(fact("", "1", true))).await.unwrap_err();
    assert!(matches!(other, AppendError::OtherStep { window: 1, number: 1, .. }), "{other}");
    assert_eq!(reader.fact(&fact("", "", true).key).unwrap(), None, "neither is written");
    journal.step(step(2, 0, "\"agreed\""), None).await.unwrap();
    assert_eq!(shown(&reader), [(1, 0), (1, 1), (2, 0)]);
    journal.step(step(1, 2, "\"over\""), Some(fact("", "1", true))).await.unwrap();
    assert_eq!(reader.fact(&fact("", "", true).key).unwrap(), Some(Ok("1".to_owned())));
    assert_eq!(shown(&reader), [(2, 0)]);
    assert_eq!(reader.action(WALLET, 1).unwrap().len(), 3);
    assert_eq!(reader.newest_actions(WALLET, 1).unwrap().len(), 1);
    assert_eq!(reader.newest_actions(WALLET, 2).unwrap().len(), 4);

    // Window 1's is over and goes with its window. Window 2's is not over, and is kept.
    journal.step(step(4, 0, "\"agreed\""), None).await.unwrap();
    assert_eq!(reader.action(WALLET, 1).unwrap().len(), 3, "kept for 3 windows");
    journal.step(step(7, 0, "\"agreed\""), None).await.unwrap();
    assert_eq!(reader.action(WALLET, 1).unwrap().len(), 0);
    assert_eq!(shown(&reader), [(2, 0), (4, 0), (7, 0)]);
    journal.close();
}

#[tokio::test]
async fn inc_46_a_step_or_a_fact_that_was_changed_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::at(folder.path().join("journal.db"));
    let journal = Journal::open(&settings).unwrap();
    journal.step(step(1, 0, "\"agreed\""), None).await.unwrap();
    journal.step(step(1, 1, "\"signed\""), None).await.unwrap();
    journal.fact(fact("a", "1", false)).await.unwrap();
    journal.close();
    for change in [
        "UPDATE actions SET body = '\"failed\"' WHERE step = 1",
        "UPDATE actions SET is_last = 1 WHERE step = 1",
        "UPDATE actions SET window_index = 2 WHERE step = 1",
        "UPDATE actions SET step = 2 WHERE step = 1",
        "UPDATE actions SET checksum = x'00' WHERE step = 1",
    ] {
        let copy = folder.path().join("copy.db");
        std::fs::copy(&settings.path, &copy).unwrap();
        Connection::open(&copy).unwrap().execute(change, []).unwrap();
        let steps = Reader::open(&copy).unwrap().newest_actions(WALLET, 10).unwrap();
        assert_eq!(steps.iter().filter(|read| read.step.is_ok()).count(), 1, "{change}");
        assert_eq!(steps.len(), 2, "{change}");
    }
    Connection::open(&settings.path).unwrap().execute("UPDATE facts SET body = '2'", []).unwrap();
    let journal = Journal::open(&settings).unwrap();
    let key = fact("a", "", false).key;
    assert!(journal.reader().fact(&key).unwrap().unwrap().is_err());
    // What can't be read may be another.
    assert!(matches!(journal.fact(fact("a", "1", false)).await, Err(AppendError::OtherFact { .. })));
    journal.close();
}

#[tokio::test]
async fn a_fact_that_replaces_none_stays() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::at(folder.path().join("journal.db"));
    let journal = Journal::open(&settings).unwrap();
    let key = fact("a", "", false).key;
    assert_eq!(journal.reader().fact(&key).unwrap(), None);
    journal.fact(fact("a", "1", false)).await.unwrap();
    journal.fact(fact("a", "1", false)).await.unwrap();
    let other = journal.fact(fact("a", "2", false)).await.unwrap_err();
    assert!(matches!(other, AppendError::OtherFact { topic: "counter", .. }), "{other}");
    assert_eq!(journal.reader().fact(&key).unwrap(), Some(Ok("1".to_owned())));
    journal.fact(fact("a", "2", true)).await.unwrap();
    assert_eq!(journal.reader().fact(&key).unwrap(), Some(Ok("2".to_owned())));
    assert_eq!(journal.reader().fact(&fact("b", "", false).key).unwrap(), None);
    journal.close();
}
