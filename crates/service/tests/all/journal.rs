//! The journal keeps what it has acknowledged, once, whatever happens to its process, its file and its disk.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use coxswain_protocol::{
    Agreement, Alarm, Assurance, Assurances, Basis, Doubt, Entry, EntryError, Fault, FaultKind, Mistake,
    NoResult, NotGenerated, Note, Objection, Seat, Sent, Undecided, Validity, Window, WindowParameters,
    WindowResult,
    wire::{DecodeError, WireError},
};
use coxswain_rules::{
    Action, DepositSweepProposal, HeartbeatProposal, KeyHash, Proposal, RedemptionProposal, RevealedDeposit,
    units::BlockNumber,
};
use coxswain_service::journal::{AppendError, Journal, OpenError, Reader, Settings};
use rusqlite::Connection;

const WALLET: KeyHash = KeyHash([1; 20]);
/// The variable that makes this program append instead of testing.
const CHILD: &str = "COXSWAIN_TEST_JOURNAL";

fn window(index: u64) -> Window {
    Window::numbered(&WindowParameters::LOCAL, index).unwrap()
}

fn sent(index: u64, envelope: &[u8]) -> Entry {
    let validity = Some(Validity {
        block: BlockNumber(60 * index),
        assurances: Assurances::of_state(Assurance::Proven),
    });
    Entry::Sent(Sent {
        window: window(index),
        envelope: envelope.into(),
        first_sent: BlockNumber(60 * index + 1),
        validity,
    })
}

fn result(wallet: KeyHash, index: u64) -> Entry {
    Entry::Result(Arc::new(WindowResult {
        wallet,
        window: window(index),
        basis: None,
        agreement: Agreement::NoOp,
        faults: Vec::new(),
        notes: Vec::new(),
        alarms: Vec::new(),
    }))
}

/// A result that holds what results can hold.
fn full(index: u64) -> Entry {
    let (window, culprit) = (window(index), Address::repeat_byte(7));
    let signed: Arc<[u8]> = [0, 1, 255].into();
    let fault = |kind, signed| Fault { wallet: WALLET, window, culprit, kind, signed };
    let outpoint = "00000000000000000000000000000000000000000000000000000000000000ff:3".parse().unwrap();
    let sat = bitcoin_amount;
    let sweep = Proposal::DepositSweep(DepositSweepProposal {
        deposits: vec![RevealedDeposit { outpoint, reveal_block: BlockNumber(5) }],
        fee: sat(1_000),
    });
    let redemption =
        Proposal::Redemption(RedemptionProposal { scripts: vec![vec![0x6a, 1].into()], fee: sat(7) });
    let objection = Arc::new(Objection::InputsTooSmall { inputs: sat(1), needed: sat(2) });
    let malformed =
        DecodeError::Malformed { message: "deposit sweep proposal", source: WireError::Truncated };
    let faults = vec![
        fault(FaultKind::LeaderIdleness { listened_from: BlockNumber(60) }, None),
        fault(FaultKind::LeaderMistake(Mistake::NotOnChecklist(Action::MovingFunds)), Some(signed.clone())),
        fault(FaultKind::LeaderMistake(Mistake::Undecodable(malformed)), Some(signed.clone())),
        fault(
            FaultKind::LeaderMistake(Mistake::Equivocation { second: signed.clone() }),
            Some(signed.clone()),
        ),
        fault(
            FaultKind::LeaderMistake(Mistake::Rejected {
                objection: objection.clone(),
                block: BlockNumber(9),
            }),
            Some(signed.clone()),
        ),
        fault(FaultKind::LeaderImpersonation { seat: Seat::try_from(3).unwrap() }, Some(signed.clone())),
    ];
    let notes = vec![
        Note::Unproven {
            fault: fault(FaultKind::LeaderIdleness { listened_from: BlockNumber(6) }, None),
            doubt: Doubt::Word,
        },
        Note::OtherSeed { author: culprit, safe_block_hash: B256::repeat_byte(3), signed },
        Note::NotGenerated { action: Action::Redemption, why: NotGenerated::Rejected(objection) },
        Note::NotJournaled(window),
    ];
    let heartbeat = HeartbeatProposal { message: vec![255; 16] };
    let why = format!("{:?} {:?}", redemption.action(), heartbeat);
    Entry::Result(Arc::new(WindowResult {
        wallet: WALLET,
        window,
        basis: Some(Basis {
            safe_block_hash: B256::repeat_byte(9),
            assurance: Assurance::Agreed,
            leader: culprit,
        }),
        agreement: if index.is_multiple_of(2) {
            Agreement::Undecided(Undecided::NoVerdict { proposal: Arc::new(sweep), why })
        } else {
            Agreement::None(NoResult::FeeDisagreement(Arc::new(Objection::OutputSpent(outpoint))))
        },
        faults,
        notes,
        alarms: vec![Alarm::Failures { leader: culprit, of_last_five: 3 }],
    }))
}

fn bitcoin_amount(sat: u64) -> bitcoin::Amount {
    bitcoin::Amount::from_sat(sat)
}

fn entries(restored: Vec<Result<Entry, EntryError>>) -> Vec<Entry> {
    restored.into_iter().collect::<Result<_, _>>().unwrap()
}

fn at(folder: &tempfile::TempDir) -> Settings {
    Settings::at(folder.path().join("journal.db"))
}

#[tokio::test]
async fn what_was_recorded_comes_back_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&at(&folder)).unwrap();
    let written = [sent(1, b"one"), full(1), sent(2, b"two"), full(2)];
    for entry in &written {
        journal.append(WALLET, entry.clone()).await.unwrap();
    }
    journal.append(KeyHash([2; 20]), result(KeyHash([2; 20]), 1)).await.unwrap();
    // While the journal is open, others can read it.
    let reader = Reader::open(&at(&folder).path).unwrap();
    assert_eq!(entries(reader.newest(WALLET, 9).unwrap()), written);
    assert_eq!(entries(reader.newest(WALLET, 2).unwrap()), written[2..]);
    assert_eq!(reader.wallets().unwrap(), [WALLET, KeyHash([2; 20])]);
    journal.close();
    let journal = Journal::open(&at(&folder)).unwrap();
    assert_eq!(entries(journal.restore(WALLET).unwrap()), written);
    let faults = Connection::open(&at(&folder).path).unwrap();
    let count: i64 = faults.query_row("SELECT count(signed) FROM faults", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 10, "five of each window's six faults have a signed message");
}

#[tokio::test]
async fn a_window_has_one_envelope_and_one_result() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::open(&at(&folder)).unwrap());
    // Of all that come at once, one wins.
    let rivals: Vec<_> = (0..16_u8)
        .map(|rival| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(WALLET, sent(1, &[rival])).await })
        })
        .collect();
    let mut recorded = 0;
    for rival in rivals {
        match rival.await.unwrap() {
            Ok(()) => recorded += 1,
            Err(error) => assert!(matches!(error, AppendError::Conflict { window: 1, .. }), "{error}"),
        }
    }
    assert_eq!(recorded, 1);
    let there = entries(journal.restore(WALLET).unwrap());
    assert_eq!(there.len(), 1);
    // The same again is recorded already.
    journal.append(WALLET, there[0].clone()).await.unwrap();
    journal.append(WALLET, result(WALLET, 1)).await.unwrap();
    journal.append(WALLET, result(WALLET, 1)).await.unwrap();
    assert!(matches!(journal.append(WALLET, full(1)).await, Err(AppendError::Conflict { .. })));
    assert_eq!(entries(journal.restore(WALLET).unwrap()), [there[0].clone(), result(WALLET, 1)]);
}

#[tokio::test]
async fn old_entries_expire() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&Settings { keep_windows: 2, ..at(&folder) }).unwrap();
    for index in 1..=4 {
        journal.append(WALLET, sent(index, b"x")).await.unwrap();
        journal.append(WALLET, result(WALLET, index)).await.unwrap();
    }
    let kept: Vec<_> = (2..=4).flat_map(|index| [sent(index, b"x"), result(WALLET, index)]).collect();
    assert_eq!(entries(journal.restore(WALLET).unwrap()), kept);
}

#[tokio::test]
async fn inc_38_a_changed_byte_spoils_its_own_row_only() {
    let folder = tempfile::tempdir().unwrap();
    for column in
        ["window_index = 7", "kind = 'result'", "body = replace(body, '1', '2')", "checksum = zeroblob(32)"]
    {
        let settings = Settings::at(folder.path().join(format!("{}.db", column.len())));
        let journal = Journal::open(&settings).unwrap();
        journal.append(WALLET, sent(1, b"one")).await.unwrap();
        journal.append(WALLET, sent(2, b"two")).await.unwrap();
        journal.append(KeyHash([2; 20]), sent(1, b"three")).await.unwrap();
        journal.close();
        let tampered = Connection::open(&settings.path).unwrap();
        tampered.execute(&format!("UPDATE entries SET {column} WHERE id = 1"), []).unwrap();
        drop(tampered);
        let journal = Journal::open(&settings).unwrap();
        assert_eq!(journal.restore(WALLET).unwrap(), [Err(EntryError), Ok(sent(2, b"two"))], "{column}");
        assert_eq!(entries(journal.restore(KeyHash([2; 20])).unwrap()), [sent(1, b"three")]);
    }
}

#[tokio::test]
async fn inc_46_a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&at(&folder)).unwrap();
    assert!(matches!(Journal::open(&at(&folder)), Err(OpenError::Locked(_))));
    journal.close();
    Journal::open(&at(&folder)).unwrap();
}

#[tokio::test]
async fn inc_46_a_full_disk_refuses_what_does_not_fit_and_keeps_what_did() {
    let folder = tempfile::tempdir().unwrap();
    let small = Settings { max_bytes: 160 << 10, ..at(&folder) };
    let journal = Journal::open(&small).unwrap();
    let large = vec![7; 4 << 10];
    let mut recorded = 0;
    let full = loop {
        match journal.append(WALLET, sent(recorded + 1, &large)).await {
            Ok(()) => recorded += 1,
            Err(error) => break error,
        }
        assert!(recorded < 100);
    };
    assert!(matches!(full, AppendError::Full), "{full}");
    assert!(recorded > 2);
    // What is small may still fit, and nothing was lost.
    assert_eq!(journal.restore(WALLET).unwrap().len(), usize::try_from(recorded).unwrap());
    journal.close();
    let journal = Journal::open(&at(&folder)).unwrap();
    let there = entries(journal.restore(WALLET).unwrap());
    assert!(there.into_iter().eq((1..=recorded).map(|index| sent(index, &large))));
    journal.append(WALLET, sent(recorded + 1, &large)).await.unwrap();
}

#[test]
fn inc_46_what_is_no_journal_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = at(&folder);
    std::fs::write(
        &settings.path,
        b"a letter to a friend, which is longer than a header of SQLite's files is, by far: it goes on",
    )
    .unwrap();
    assert!(matches!(Journal::open(&settings), Err(OpenError::Damaged { .. })));
    std::fs::remove_file(&settings.path).unwrap();

    let other = Connection::open(&settings.path).unwrap();
    other.execute_batch("CREATE TABLE letters (text TEXT)").unwrap();
    drop(other);
    assert!(matches!(Journal::open(&settings), Err(OpenError::Foreign(_))));
    assert!(matches!(Reader::open(&settings.path), Err(OpenError::Foreign(_))));
    std::fs::remove_file(&settings.path).unwrap();
    assert!(Reader::open(&settings.path).is_err(), "there is none");

    Journal::open(&settings).unwrap().close();
    let newer = Connection::open(&settings.path).unwrap();
    newer.pragma_update(None, "user_version", 1_000).unwrap();
    drop(newer);
    assert!(matches!(Journal::open(&settings), Err(OpenError::Newer { found: 1_000, .. })));
    assert!(matches!(
        Journal::open(&Settings::at(folder.path().join("none/journal.db"))),
        Err(OpenError::File(..))
    ));
}

#[tokio::test]
async fn inc_46_a_torn_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = at(&folder);
    let journal = Journal::open(&settings).unwrap();
    for index in 1..=64 {
        journal.append(WALLET, sent(index, &[7; 1024])).await.unwrap();
    }
    journal.close();
    let file = std::fs::OpenOptions::new().write(true).open(&settings.path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let error = Journal::open(&settings).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("journal.db"), "{error}");
}

/// However early it is cut: what has lost its beginning must not be taken for a new one, and its acknowledged rows be forgotten.
#[tokio::test]
async fn inc_38_inc_46_a_file_cut_within_its_first_page_is_torn_and_not_new() {
    let folder = tempfile::tempdir().unwrap();
    let settings = at(&folder);
    let journal = Journal::open(&settings).unwrap();
    journal.append(WALLET, sent(1, b"envelope")).await.unwrap();
    journal.close();
    let whole = std::fs::read(&settings.path).unwrap();
    let refused = |what: &str| {
        for error in [Journal::open(&settings).err(), Reader::open(&settings.path).err()] {
            let error = error.unwrap_or_else(|| panic!("{what}: it is opened"));
            assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Foreign(_)), "{what}: {error}");
        }
    };
    for length in 1..4096 {
        std::fs::write(&settings.path, &whole[..length]).unwrap();
        let error = Journal::open(&settings).unwrap_err();
        assert!(error.to_string().contains("torn") && error.to_string().contains("journal.db"), "{error}");
        assert!(matches!(Reader::open(&settings.path), Err(OpenError::Damaged { .. })), "{length}");
        assert_eq!(std::fs::metadata(&settings.path).unwrap().len(), length as u64, "it is left as it is");
    }
    // As long as it was, and some of it is zeros: whole blocks that were never written.
    for zeros in [0..512, 0..4096, 512..4096, 100..4096] {
        let mut spoiled = whole.clone();
        spoiled[zeros.clone()].fill(0);
        std::fs::write(&settings.path, &spoiled).unwrap();
        refused(&format!("{zeros:?}"));
    }
    // The page alone, of a file that had more.
    std::fs::write(&settings.path, &whole[..4096]).unwrap();
    refused("one page");
    // It is gone, and its log isn't.
    std::fs::write(&settings.path, []).unwrap();
    let log = folder.path().join("journal.db-wal");
    std::fs::write(&log, [0; 32]).unwrap();
    refused("a log alone");
    std::fs::remove_file(log).unwrap();
    Journal::open(&settings).expect("an empty file is a new journal").close();
    std::fs::write(&settings.path, &whole).unwrap();
    let journal = Journal::open(&settings).unwrap();
    assert_eq!(entries(journal.restore(WALLET).unwrap()).len(), 1);
}

/// Appends for several wallets at once, until it is killed. Run by the test below.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let journal = Journal::open(&Settings::at(path.into())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let journal = &journal;
    let wallet = |number: u8| async move {
        let wallet = KeyHash([number; 20]);
        let newest = journal.reader().newest(wallet, 1).unwrap().pop();
        let first = newest.map_or(1, |entry| match entry.unwrap() {
            Entry::Sent(sent) => sent.window.index(),
            Entry::Result(result) => result.window.index() + 1,
        });
        for index in first.. {
            // What the one before has recorded is the same, and so recorded already.
            journal.append(wallet, sent(index, &[number; 100])).await.unwrap();
            writeln!(std::io::stdout(), "\nack {number} {index} sent").unwrap();
            journal.append(wallet, result(wallet, index)).await.unwrap();
            writeln!(std::io::stdout(), "\nack {number} {index} result").unwrap();
        }
    };
    runtime.block_on(async { tokio::join!(wallet(1), wallet(2), wallet(3)) });
}

fn spawn(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["journal::child", "--exact", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn inc_46_killed_at_any_time_it_has_all_that_it_has_acknowledged() {
    let kills: u64 = std::env::var("COXSWAIN_KILLS").ok().map_or(8, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let settings = at(&folder);
    let mut acknowledged = Vec::new();
    for kill in 0..kills {
        let mut child = spawn(&settings.path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut acks = 0;
        // Anywhere among the acknowledgements: it is busy with the next ones.
        let enough = 1 + kill * 7 % 40;
        let keep = |line: &str, acknowledged: &mut Vec<(u8, u64, String)>| {
            let mut words = line.strip_prefix("ack ").into_iter().flat_map(str::split_whitespace);
            if let (Some(wallet), Some(index), Some(kind)) = (words.next(), words.next(), words.next()) {
                acknowledged.push((wallet.parse().unwrap(), index.parse().unwrap(), kind.to_owned()));
                return true;
            }
            false
        };
        for line in lines.by_ref() {
            acks += u64::from(keep(&line, &mut acknowledged));
            if acks == enough {
                break;
            }
        }
        assert_eq!(acks, enough, "the child has failed");
        assert!(matches!(Journal::open(&settings), Err(OpenError::Locked(_))), "the child lives");
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            keep(&line, &mut acknowledged);
        }
        let journal = Journal::open(&settings).unwrap();
        for number in 1..=3 {
            let wallet = KeyHash([number; 20]);
            let there = entries(journal.reader().newest(wallet, u32::MAX).unwrap());
            // Each once, in order, as they were appended.
            let expected = (1..).flat_map(|index| [sent(index, &[number; 100]), result(wallet, index)]);
            assert!(there.iter().zip(expected).all(|(there, expected)| *there == expected), "kill {kill}");
            for (_, index, kind) in acknowledged.iter().filter(|(wallet, ..)| *wallet == number) {
                let least = if kind == "sent" { 2 * index - 1 } else { 2 * index };
                assert!(there.len() as u64 >= least, "kill {kill}: {kind} of window {index} is lost");
            }
        }
        journal.close();
    }
    println!("{kills} kills, {} acknowledged", acknowledged.len());
}
