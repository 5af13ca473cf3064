//! Revert data as each client wraps it (`tests/reverts/`, one file a client), told from errors that are no reverts.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{fs, path::Path};

use alloy::primitives::{Address, B256, U256};
use coxswain_ethereum::{BlockSelector, ContractVerdict, Endpoints, ProposalValidator, revert_of};
use coxswain_rules::{
    Case, Cause, DepositSweepProposal, KeyHash, Reason, RuleId, Subject, units::BlockNumber,
};
use coxswain_testkit::{FaultyEndpoint, Reply};
use serde_json::{Value, json};

const CLIENTS: [&str; 7] = ["anvil", "besu", "erigon", "geth", "nethermind", "reth", "wrapped"];

struct Fixture {
    name: String,
    error: Value,
    /// The revert data in the error, empty where the client gives none; nothing when the error is no revert.
    revert: Option<String>,
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reverts");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    let expected = CLIENTS.map(|client| std::ffi::OsString::from(format!("{client}.json")));
    assert_eq!(files, expected, "every file is read, and every client has one");
    let mut fixtures = Vec::new();
    for client in CLIENTS {
        let text = fs::read_to_string(folder.join(format!("{client}.json"))).unwrap();
        for fixture in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
            fixtures.push(Fixture {
                name: format!("{client}: {}", fixture["what"].as_str().unwrap()),
                error: fixture["error"].clone(),
                revert: fixture["revert"].as_str().map(str::to_owned),
            });
        }
    }
    fixtures
}

#[test]
fn the_data_is_found_in_every_clients_shape() {
    for Fixture { name, error, revert } in fixtures() {
        let data = error.get("data").map(Value::to_string);
        let code = error["code"].as_i64().unwrap();
        let found = revert_of(code, error["message"].as_str().unwrap(), data.as_deref());
        assert_eq!(found.map(|bytes| bytes.to_string()), revert, "{name}");
    }
}

#[tokio::test]
async fn every_clients_answer_becomes_the_right_verdict() {
    let deposit = coxswain_rules::RevealedDeposit {
        outpoint: coxswain_rules::OutPoint::null(),
        reveal_block: BlockNumber(1),
    };
    let case = Case {
        wallet: KeyHash([1; 20]),
        subject: Subject::DepositSweep {
            proposal: DepositSweepProposal {
                deposits: vec![deposit; 4],
                fee: coxswain_rules::Amount::ONE_SAT,
            },
            extra_info: vec![],
        },
    };
    for Fixture { name, error, revert } in fixtures() {
        let block = json!({ "number": "0x10", "hash": B256::repeat_byte(1), "timestamp": "0x6553f100" });
        let answer = move |method: &str| match method {
            "eth_chainId" => Reply::Result(json!("0x1")),
            "eth_getBlockByNumber" => Reply::Result(block.clone()),
            "eth_call" => Reply::Error(error.clone()),
            other => panic!("{other}"),
        };
        let node = FaultyEndpoint::start("http://127.0.0.1:1".parse().unwrap(), answer).await.unwrap();
        let endpoint = Endpoints::new(node.url().clone()).unwrap();
        let validator = ProposalValidator::new(endpoint, 1, Address::repeat_byte(2));
        let verdict = validator.validate(&case, BlockSelector::Latest).await.verdict;
        match revert.as_deref() {
            Some("0x") => {
                assert!(
                    matches!(&verdict, ContractVerdict::Undecided(e) if e.kind() == "revert-without-reason"),
                    "{name}: {verdict:?}"
                );
            }
            Some(data) => {
                let ContractVerdict::Rejected(rejection) = verdict else { panic!("{name}: {verdict:?}") };
                let (rule, cause) = match &data[2..10] {
                    "08c379a0" => (Some(RuleId::Ds7), Cause::Text("Deposit not revealed".to_owned())),
                    "4e487b71" => (None, Cause::Panic(U256::from(0x11))),
                    _ => {
                        let (index, eligible_after) = (U256::from(3), U256::from(1_700_000_000));
                        (Some(RuleId::Ds8), Cause::Reason(Reason::DepositTooYoung { index, eligible_after }))
                    }
                };
                assert_eq!((rejection.rule, rejection.cause), (rule, cause), "{name}");
            }
            None => {
                assert!(
                    matches!(&verdict, ContractVerdict::Undecided(e) if e.kind() == "rpc-error"),
                    "{name}: {verdict:?}"
                );
            }
        }
    }
}
