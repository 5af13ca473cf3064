//! What servers say, mutated: nothing panics, and what is false proves nothing. The corpus is what clients were recorded to
//! answer. Envelopes of JSON-RPC and logs are fuzzed where they are read, in the crate itself.

use std::{fs, path::Path};

use alloy::{
    consensus::Header,
    primitives::{B256, hex},
    rlp::Decodable,
    rpc::types::Header as RpcHeader,
};
use coxswain_ethereum::{HashedHeader, reason, revert_of};
use coxswain_testkit::Mutator;
use serde_json::{Value, json};

fn read(folder: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()).collect()
}

/// All strings of hex in a value, as bytes.
fn bytes_in(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) if text.len() >= 8 => found.extend(hex::decode(text)),
        Value::Array(values) => values.iter().for_each(|value| bytes_in(value, found)),
        Value::Object(values) => values.values().for_each(|value| bytes_in(value, found)),
        _ => {}
    }
}

#[test]
fn revert_data() {
    let mut corpus = Vec::new();
    for file in read("reverts") {
        corpus.push(file.to_string().into_bytes());
        bytes_in(&file, &mut corpus);
    }
    let mut mutator = Mutator::new(corpus);
    while let Some(input) = mutator.next_input() {
        // A reason is read exactly, or not at all.
        let _ = reason(&input);
        let text = String::from_utf8_lossy(&input);
        for data in
            [text.to_string(), json!(text).to_string(), json!(hex::encode_prefixed(&input)).to_string()]
        {
            for code in [3, -32000] {
                if let Some(reason) = revert_of(code, &text, Some(&data)) {
                    assert!(reason.len() <= data.len());
                }
            }
        }
    }
}

#[test]
fn headers() {
    let mut number = 0;
    let header = |branch: u8| {
        number += 1;
        let header = Header {
            number,
            timestamp: 1_700_000_000 + number,
            base_fee_per_gas: (branch > 0).then_some(7),
            withdrawals_root: (branch > 1).then_some(B256::repeat_byte(2)),
            blob_gas_used: (branch > 2).then_some(0),
            excess_blob_gas: (branch > 2).then_some(0),
            parent_beacon_block_root: (branch > 2).then_some(B256::repeat_byte(3)),
            requests_hash: (branch > 3).then_some(B256::repeat_byte(4)),
            extra_data: vec![branch; 32].into(),
            ..Header::default()
        };
        serde_json::to_vec(&RpcHeader::new(header)).unwrap()
    };
    let corpus: Vec<_> = (0..5).map(header).collect();
    let mut mutator = Mutator::new(corpus);
    while let Some(input) = mutator.next_input() {
        if let Ok(RpcHeader { hash, inner, .. }) = serde_json::from_slice::<RpcHeader>(&input)
            && let Some(header) = HashedHeader::new(inner, hash)
        {
            assert_eq!(header.fields().hash_slow(), hash);
        }
        let _ = Header::decode(&mut &input[..]);
    }
}

#[cfg(feature = "proven")]
mod proofs {
    use std::collections::BTreeSet;

    use alloy::primitives::{Address, U256};
    use coxswain_ethereum::proof::{AccountProof, State};

    use super::*;

    struct Question {
        root: B256,
        address: Address,
        slots: BTreeSet<U256>,
        answer: AccountProof,
        proven: State,
    }

    fn questions() -> Vec<Question> {
        let mut questions = Vec::new();
        for file in read("proofs") {
            let root: B256 = serde_json::from_value(file["stateRoot"].clone()).unwrap();
            for question in file["answers"].as_array().unwrap() {
                let address: Address = serde_json::from_value(question["address"].clone()).unwrap();
                let slots: BTreeSet<U256> =
                    question["slots"].as_object().unwrap().keys().map(|slot| slot.parse().unwrap()).collect();
                let answer: AccountProof = serde_json::from_value(question["answer"].clone()).unwrap();
                let mut proven = State::under(root);
                proven.admit(address, &slots, &answer).unwrap();
                questions.push(Question { root, address, slots, answer, proven });
            }
        }
        questions
    }

    /// Whatever the nodes, what is proven is what the honest nodes prove.
    #[test]
    fn nodes() {
        let questions = questions();
        let mut corpus = Vec::new();
        for Question { answer, .. } in &questions {
            let of_slots = answer.storage_proof.iter().flat_map(|slot| &slot.proof);
            corpus.extend(answer.account_proof.iter().chain(of_slots).map(|node| node.to_vec()));
        }
        let mut mutator = Mutator::new(corpus);
        let mut proven = 0_u64;
        while let Some(input) = mutator.next_input() {
            let question = &questions[mutator.below(questions.len())];
            let mut answer = question.answer.clone();
            let slots = answer.storage_proof.len();
            let nodes = match mutator.below(slots + 1) {
                slot if slot < slots => &mut answer.storage_proof[slot].proof,
                _ => &mut answer.account_proof,
            };
            let at = mutator.below(nodes.len() + 1);
            match mutator.below(4) {
                0 => nodes.truncate(at),
                1 => nodes.insert(at, input.into()),
                2 if at < nodes.len() => drop(nodes.remove(at)),
                _ if at < nodes.len() => nodes[at] = input.into(),
                _ => nodes.push(input.into()),
            }
            let mut state = State::under(question.root);
            if state.admit(question.address, &question.slots, &answer).is_ok() {
                proven += 1;
                assert_eq!(state.account(question.address), question.proven.account(question.address));
                for slot in &question.slots {
                    let (address, slot) = (question.address, *slot);
                    assert_eq!(state.slot(address, slot), question.proven.slot(address, slot));
                }
            }
        }
        println!("{proven} of them proven all the same");
    }

    #[test]
    fn answers() {
        let questions = questions();
        let files = read("proofs");
        let corpus = files.iter().flat_map(|file| file["answers"].as_array().unwrap().clone());
        let corpus = corpus.map(|question| question["answer"].to_string().into_bytes()).collect();
        let mut mutator = Mutator::new(corpus);
        while let Some(input) = mutator.next_input() {
            let Ok(answer) = serde_json::from_slice::<AccountProof>(&input) else { continue };
            let question = &questions[mutator.below(questions.len())];
            let mut state = State::under(question.root);
            if state.admit(question.address, &question.slots, &answer).is_ok() {
                assert_eq!(state.account(question.address), question.proven.account(question.address));
            }
        }
    }
}
