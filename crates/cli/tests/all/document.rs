//! The proposal document: the examples of docs/proposals.md are read as they stand, and whatever is malformed is
//! refused with the path of the field that is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use coxswain_cli::{Document, DocumentError, document::write};
use coxswain_rules::{Action, Case, Subject, units::BlockNumber};
use serde_json::{Value, json};

const DOCS: &str = include_str!("../../../../docs/proposals.md");

fn examples() -> Vec<Value> {
    DOCS.split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect()
}

fn example(action: Action) -> Value {
    examples().into_iter().find(|example| example["action"] == action.name()).unwrap()
}

fn parse(json: &Value) -> Result<Document, DocumentError> {
    json.to_string().parse()
}

fn case(json: &Value) -> Case {
    parse(json).unwrap().into_case().unwrap()
}

/// Asserts that a change to the action's example is refused at the path, with words that say why.
#[track_caller]
fn refused(action: Action, change: impl FnOnce(&mut Value), path: &str, words: &str) {
    let mut document = example(action);
    change(&mut document);
    match parse(&document) {
        Err(DocumentError::Field { path: at, problem }) => {
            assert_eq!(at, path, "{problem}");
            assert!(problem.contains(words), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

fn remove(object: &mut Value, field: &str) {
    assert!(object.as_object_mut().unwrap().remove(field).is_some());
}

#[test]
fn a_list_is_not_longer_than_any_proposals() {
    for (action, field) in [
        (Action::DepositSweep, "deposits"),
        (Action::Redemption, "redeemerOutputScripts"),
        (Action::MovingFunds, "targetWallets"),
    ] {
        let long = |items| {
            move |document: &mut Value| {
                let item = document[field][0].clone();
                document[field] = vec![item; items].into();
            }
        };
        let mut document = example(action);
        long(1_000)(&mut document);
        assert!(parse(&document).is_ok(), "{field}");
        refused(action, long(1_001), field, "1000 items at most");
    }
}

#[test]
fn there_is_an_example_of_each_action_and_all_are_read() {
    assert_eq!(examples().len(), Action::ALL.len());
    for action in Action::ALL {
        assert_eq!(case(&example(action)).action(), action);
    }
}

#[test]
fn a_txid_is_read_in_display_order() {
    let Subject::MovedFundsSweep(proposal) = case(&example(Action::MovedFundsSweep)).subject else {
        panic!()
    };
    let text = example(Action::MovedFundsSweep)["movingFundsTxid"].as_str().unwrap().to_owned();
    assert_eq!(proposal.outpoint.txid.to_string(), text);
    let mut internal: [u8; 32] = *proposal.outpoint.txid.as_ref();
    internal.reverse();
    assert_eq!(alloy_primitives::hex::encode(internal), text);
}

#[test]
fn a_funding_transaction_is_cut_as_the_bridge_takes_it_with_or_without_witness_or_prefix() {
    let mut document = example(Action::DepositSweep);
    let expected = case(&document);
    let Subject::DepositSweep { proposal, extra_info } = &expected.subject else { panic!() };
    let parts = &extra_info[0].funding_transaction;
    let whole = [&parts.version[..], &parts.input_vector, &parts.output_vector, &parts.locktime].concat();
    let hash = <bitcoin::hashes::sha256d::Hash as bitcoin::hashes::Hash>::hash(&whole);
    assert_eq!(
        bitcoin::Txid::from_raw_hash(hash),
        proposal.deposits[0].outpoint.txid,
        "the example is consistent"
    );

    let raw = document["deposits"][0]["fundingTransaction"].as_str().unwrap().to_owned();
    document["deposits"][0]["fundingTransaction"] = json!(raw.strip_prefix("0x").unwrap());
    assert_eq!(case(&document), expected);

    let bytes = alloy_primitives::hex::decode(&raw).unwrap();
    let mut transaction: bitcoin::Transaction = bitcoin::consensus::deserialize(&bytes).unwrap();
    transaction.input[0].witness.push([7; 64]);
    document["deposits"][0]["fundingTransaction"] =
        json!(bitcoin::consensus::encode::serialize_hex(&transaction));
    assert_eq!(case(&document), expected);
}

#[test]
fn amounts_are_integers_or_decimal_strings_of_64_bits() {
    for (written, satoshis) in
        [(json!(0), 0), (json!("0"), 0), (json!(u64::MAX), u64::MAX), (json!("007"), 7)]
    {
        let mut document = example(Action::Redemption);
        document["fee"] = written;
        let Subject::Redemption(proposal) = case(&document).subject else { panic!() };
        assert_eq!(proposal.fee.to_sat(), satoshis);
    }
    let texts = ["1.5", "-1", "+1", "", "0x10", " 1", "18446744073709551616"].map(|text| json!(text));
    let others = [json!(-1), json!(1.5), json!(null), json!(true), json!([1])];
    for fee in texts.into_iter().chain(others) {
        refused(Action::Redemption, |d| d["fee"] = fee, "fee", "18446744073709551615");
    }
    let huge = example(Action::Redemption).to_string().replace("\"12000\"", "18446744073709551616");
    assert!(matches!(huge.parse::<Document>(), Err(DocumentError::Field { path, .. }) if path == "fee"));
}

#[test]
fn wrong_lengths_are_named() {
    let short = "0x8db50eb52063ea9d98b3eac91489a90f738986";
    refused(
        Action::Heartbeat,
        |d| d["wallet"] = json!(short),
        "wallet",
        "expected 20 bytes (40 hex digits), got 19",
    );
    refused(Action::Heartbeat, |d| d["wallet"] = json!("0x"), "wallet", "got 0");
    let txid = "ab".repeat(31);
    refused(
        Action::MovedFundsSweep,
        |d| d["movingFundsTxid"] = json!(txid),
        "movingFundsTxid",
        "64 hex digits), got 31",
    );
    let txid = "ab".repeat(33);
    refused(Action::DepositSweep, |d| d["deposits"][0]["txid"] = json!(txid), "deposits[0].txid", "got 33");
    refused(
        Action::DepositSweep,
        |d| d["deposits"][0]["script"]["blindingFactor"] = json!("0x00"),
        "deposits[0].script.blindingFactor",
        "expected 8 bytes (16 hex digits), got 1",
    );
    refused(
        Action::DepositSweep,
        |d| d["deposits"][0]["script"]["refundLocktime"] = json!("0x0011223344"),
        "deposits[0].script.refundLocktime",
        "expected 4 bytes (8 hex digits), got 5",
    );
    refused(Action::MovingFunds, |d| d["targetWallets"][0] = json!("0x00"), "targetWallets[0]", "got 1");
}

#[test]
fn odd_or_broken_hex_is_named() {
    refused(
        Action::Heartbeat,
        |d| d["message"] = json!("0xfff"),
        "message",
        "an odd number of hex digits (3)",
    );
    refused(
        Action::Heartbeat,
        |d| d["message"] = json!("0xfg"),
        "message",
        "`g` at position 1 is no hex digit",
    );
    refused(Action::Heartbeat, |d| d["message"] = json!("ffff"), "message", "0x prefix");
    refused(Action::Heartbeat, |d| d["message"] = json!("0xÿ1"), "message", "no hex digit");
    let txid = format!("0x{}", "ab".repeat(32));
    refused(
        Action::MovedFundsSweep,
        |d| d["movingFundsTxid"] = json!(txid),
        "movingFundsTxid",
        "without a 0x prefix",
    );
    refused(
        Action::Redemption,
        |d| d["redeemerOutputScripts"] = json!(["0x00", "0x0"]),
        "redeemerOutputScripts[1]",
        "odd",
    );
}

#[test]
fn what_is_no_transaction_is_named() {
    let path = "deposits[0].fundingTransaction";
    let words = "not a Bitcoin transaction: it breaks off after 2 bytes";
    refused(Action::DepositSweep, |d| d["deposits"][0]["fundingTransaction"] = json!("0x0100"), path, words);
    let words = "not a Bitcoin transaction: 1 bytes follow after its end";
    let trailing = |d: &mut Value| {
        let longer = format!("{}00", d["deposits"][0]["fundingTransaction"].as_str().unwrap());
        d["deposits"][0]["fundingTransaction"] = json!(longer);
    };
    refused(Action::DepositSweep, trailing, path, words);
}

#[test]
fn unknown_missing_and_repeated_fields_are_named() {
    refused(Action::Heartbeat, |d| d["massage"] = json!("0x"), "massage", "unknown field `massage`");
    refused(
        Action::DepositSweep,
        |d| d["deposits"][0]["vout"] = json!(1),
        "deposits[0].vout",
        "unknown field `vout`",
    );
    refused(Action::Heartbeat, |d| remove(d, "wallet"), ".", "missing field `wallet`");
    refused(
        Action::DepositSweep,
        |d| remove(&mut d["deposits"][0], "txid"),
        "deposits[0]",
        "missing field `txid`",
    );
    let repeated = r#"{"action": "heartbeat", "wallet": "0x8db50eb52063ea9d98b3eac91489a90f738986f6",
        "message": "0x00", "message": "0x01"}"#;
    let error = repeated.parse::<Document>().unwrap_err().to_string();
    assert!(error.contains("duplicate field `message`"), "{error}");
}

#[test]
fn numbers_out_of_range_are_named() {
    let path = "movingFundsOutputIndex";
    refused(Action::MovedFundsSweep, |d| d[path] = json!(1_u64 << 32), path, "4294967296");
    refused(
        Action::DepositSweep,
        |d| d["deposits"][0]["outputIndex"] = json!(-1),
        "deposits[0].outputIndex",
        "-1",
    );
}

#[test]
fn null_is_no_way_to_leave_a_field_out() {
    let null = Value::Null;
    refused(
        Action::DepositSweep,
        |d| d["deposits"][0]["script"] = null.clone(),
        "deposits[0].script",
        "null",
    );
    for field in ["revealBlock", "fundingTransaction"] {
        let path = format!("deposits[0].{field}");
        refused(
            Action::DepositSweep,
            |d| d["deposits"][0][field] = null.clone(),
            &path,
            "invalid type: null",
        );
    }
    refused(Action::MovingFunds, |d| d["mainUtxo"] = null, "mainUtxo", "invalid type: null");
}

#[test]
fn an_unknown_action_is_named_with_those_there_are() {
    refused(
        Action::Heartbeat,
        |d| d["action"] = json!("noop"),
        "action",
        "expected one of heartbeat, deposit-sweep",
    );
    refused(Action::Heartbeat, |d| remove(d, "action"), ".", "missing field `action`");
}

#[test]
fn an_error_repeats_little_of_a_long_text() {
    let long = "a".repeat(1_000_000);
    let mut document = example(Action::Heartbeat);
    document["action"] = json!(long);
    assert!(parse(&document).unwrap_err().to_string().len() < 1_000);
    let mut document = example(Action::Redemption);
    document["fee"] = json!(long);
    assert!(parse(&document).unwrap_err().to_string().len() < 1_000);
    document[long] = json!(0);
    assert!(parse(&document).unwrap_err().to_string().len() < 1_000);
}

#[test]
fn what_is_not_json_is_refused_wherever_it_breaks_off() {
    let whole = example(Action::Heartbeat).to_string();
    for end in 0..whole.len() {
        assert!(matches!(whole[..end].parse::<Document>(), Err(DocumentError::Syntax(_))), "cut at {end}");
    }
    for text in ["nonsense", "\u{0}", &format!("{whole} x")] {
        assert!(matches!(text.parse::<Document>(), Err(DocumentError::Syntax(_))), "{text}");
    }
    assert!(matches!("[]".parse::<Document>(), Err(DocumentError::Field { .. })));
}

/// As Windows' editors write it, byte order mark first.
const WITH_BYTE_ORDER_MARK: &str = include_str!("../cases/document-with-bom.json");

#[test]
fn a_byte_order_mark_before_the_document_is_skipped_and_one_alone() {
    let bare = WITH_BYTE_ORDER_MARK.strip_prefix('\u{feff}').unwrap();
    let document: Document = WITH_BYTE_ORDER_MARK.parse().unwrap();
    assert_eq!(document, bare.parse().unwrap());
    assert_eq!(document.action(), Action::Heartbeat);
    for text in
        [format!("\u{feff}{WITH_BYTE_ORDER_MARK}"), format!(" \u{feff}{bare}"), format!("{bare}\u{feff}")]
    {
        assert!(matches!(text.parse::<Document>(), Err(DocumentError::Syntax(_))), "{text}");
    }
}

#[test]
fn what_is_an_object_is_not_taken_as_an_array_of_its_fields() {
    fn values(object: &Value, fields: &[&str]) -> Value {
        fields.iter().map(|field| object[field].clone()).collect()
    }
    let words = "expected an object with named fields";
    let wallet = "0x8db50eb52063ea9d98b3eac91489a90f738986f6";
    for array in [json!([]), json!(["heartbeat", wallet, "0x00"])] {
        let Err(DocumentError::Field { path, problem }) = parse(&array) else { panic!("{array}") };
        assert!(path == "." && problem.contains(words), "{path}: {problem}");
    }
    let fields = ["txid", "outputIndex", "revealBlock", "fundingTransaction", "script"];
    let deposit = |d: &mut Value| d["deposits"][0] = values(&d["deposits"][0], &fields);
    refused(Action::DepositSweep, deposit, "deposits[0]", words);
    let fields = ["blindingFactor", "walletPublicKeyHash", "refundPublicKeyHash", "refundLocktime"];
    let script = |d: &mut Value| d["deposits"][0]["script"] = values(&d["deposits"][0]["script"], &fields);
    refused(Action::DepositSweep, script, "deposits[0].script", words);
    let utxo = |d: &mut Value| d["mainUtxo"] = values(&d["mainUtxo"], &["txid", "outputIndex", "value"]);
    refused(Action::MovingFunds, utxo, "mainUtxo", words);
}

#[test]
fn a_deposit_without_script_needs_its_reveal_block() {
    let mut document = example(Action::DepositSweep);
    remove(&mut document["deposits"][0], "script");
    let missing = parse(&document).unwrap().missing().unwrap();
    assert_eq!((missing.scripts[0].0, missing.scripts[0].1.reveal_block), (0, BlockNumber(18_500_000)));

    remove(&mut document["deposits"][0], "revealBlock");
    let error = parse(&document).unwrap().missing().unwrap_err();
    assert!(error.to_string().starts_with("deposits[0].revealBlock: "), "{error}");
    let error = parse(&document).unwrap().into_case().unwrap_err();
    assert!(error.to_string().starts_with("deposits[0].script: "), "{error}");
}

#[test]
fn what_bitcoin_can_supply_may_be_left_out() {
    let mut sweep = example(Action::DepositSweep);
    remove(&mut sweep["deposits"][0], "fundingTransaction");
    let mut moving = example(Action::MovingFunds);
    remove(&mut moving, "mainUtxo");
    for (document, field) in [(sweep, "deposits[0].fundingTransaction"), (moving, "mainUtxo")] {
        let document = parse(&document).unwrap();
        assert_eq!(document.missing().unwrap().of_bitcoin().as_deref(), Some(field));
        let error = document.into_case().unwrap_err().to_string();
        assert_eq!(error, format!("{field}: neither given nor looked up"));
    }
}

#[test]
fn a_case_reads_back_as_it_was_written() {
    for action in Action::ALL {
        let case = case(&example(action));
        assert_eq!(self::case(&write(&case)), case, "{action}");
    }
}
