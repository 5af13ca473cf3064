//! Envelopes, mutated: nothing panics, and only what answers our request is its answer.

use alloy::primitives::U64;
use coxswain_testkit::Mutator;
use serde_json::json;

use super::*;

#[test]
fn envelopes() {
    let connection = Connection::new(
        "http://127.0.0.1:1".parse().unwrap(),
        Timing { timeout: REQUEST_TIMEOUT, dead_for: Duration::ZERO, activity: Activity::default() },
        None,
    )
    .unwrap();
    let reverted = json!({ "code": 3, "message": "execution reverted", "data": "0x08c379a0" });
    let corpus = [
        json!({ "jsonrpc": "2.0", "id": 7, "result": "0x10" }),
        json!({ "jsonrpc": "2.0", "id": 7, "result": null, "error": null }),
        json!({ "jsonrpc": "2.0", "id": 7, "result": null, "error": reverted }),
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "parse error" } }),
        json!({ "jsonrpc": "2.0", "id": "7", "error": { "code": -32005, "message": "rate limit", "data": {} } }),
        json!([{ "id": 7, "result": [] }, { "id": 8, "result": {} }, { "id": 9, "error": reverted }]),
    ];
    let mut mutator = Mutator::new(corpus.iter().map(|envelope| envelope.to_string().into_bytes()).collect());
    while let Some(input) = mutator.next_input() {
        if let Ok(envelope) = connection.read::<Envelope<'_>>("eth_chainId", &input) {
            let is_ours = envelope.id == Some(Id::Number(7));
            match connection.open("eth_chainId", 7, envelope) {
                Ok(result) => {
                    assert!(is_ours, "{}", result.get());
                    let _ = serde_json::from_str::<U64>(result.get());
                }
                Err(error) => {
                    let reason = match &error {
                        RequestError::Rpc { code, message, data, .. } => {
                            crate::revert_of(*code, message, data.as_deref())
                        }
                        _ => None,
                    };
                    assert!(is_ours || reason.is_none_or(|reason| reason.is_empty()), "{error}");
                    let _ = (error.is_retryable(), error.kind(), error.refusal(), error.to_string());
                }
            }
        }
        for asked in [0, 1, 3] {
            let read = Envelopes::read(&input, asked);
            assert!(read.is_none_or(|envelopes| envelopes.len() <= asked));
        }
    }
}

#[test]
fn a_batch_has_no_more_answers_than_questions() {
    let answers = br#"[{"id":1,"result":1},{"id":2,"result":2}]"#;
    assert_eq!(Envelopes::read(answers, 2).map(|answers| answers.len()), Some(2));
    assert!(Envelopes::read(answers, 1).is_none());
    assert!(Envelopes::read(br#"[{"id":1,"result":1}] x"#, 1).is_none());
}
