//! What Electrum servers say, mutated: nothing panics, and nothing that is read contradicts what was asked for.

use coxswain_testkit::Mutator;

use super::*;
use crate::jsonrpc::Reply;

#[test]
fn electrum_lines() {
    let corpus = include_str!("../../vectors/fuzz/electrum-lines.txt");
    let mut mutator = Mutator::new(corpus.lines().map(|line| line.as_bytes().to_vec()).collect());
    let txid: Txid = "387bbf94eaab46bdcf4d51cd163f5242f158643065b9ddaaf6fc0924c7d6970c".parse().unwrap();
    let call = get(txid, true);
    while let Some(input) = mutator.next_input() {
        let Ok(reply) = serde_json::from_slice::<Reply>(&input) else { continue };
        // An answer to something else is none.
        if reply.place(0) != Some(0) {
            continue;
        }
        let answer = Answer::new(&call, "a.example:1", reply);
        for header in [tip(&answer).map(|tip| tip.header), read_header(&answer)].into_iter().flatten() {
            assert!(header.target().is_met_by(header.block_hash()));
        }
        if let Ok(Headers { hex }) = answer.read()
            && let Ok(headers) = check::headers(&hex)
        {
            assert_eq!(headers.iter().map(serialize_hex).collect::<String>(), hex.to_ascii_lowercase());
            let _ = check::chained(&headers);
        }
        let described = described(&answer, txid, Height(960_000)).ok().flatten().flatten();
        for transaction in
            described.map(|seen| seen.transaction).into_iter().chain(bytes(&answer, txid).ok().flatten())
        {
            assert_eq!(transaction.compute_txid(), txid);
        }
        if let Ok(branch) = read_branch(&answer) {
            let transaction = Transaction {
                version: bitcoin::transaction::Version::TWO,
                lock_time: bitcoin::absolute::LockTime::ZERO,
                input: Vec::new(),
                output: Vec::new(),
            };
            let header = bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Bitcoin).header;
            assert!(branch.prove(&transaction, &header).is_err());
        }
        if let Ok(rate) = answer.read()
            && let Some(rate) = check::fee_rate(rate)
        {
            assert!(rate > bitcoin::FeeRate::ZERO);
        }
        let _ = answer.read::<Vec<Unspent>>();
        let _ = answer.read::<FirstOfBlock>();
        let _ = answer.read::<(String, String)>();
        if let Err(error) = answer.read::<Txid>() {
            let shown = error.to_string();
            assert!(shown.chars().count() < 400 && !shown.chars().any(char::is_control), "{shown}");
        }
    }
}
