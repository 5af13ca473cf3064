//! What nodes say, mutated: nothing panics, and nothing that is read contradicts what was asked for.

use bitcoin::{BlockHash, FeeRate, Txid};
use coxswain_rules::units::Height;
use coxswain_testkit::Mutator;

use super::wire::*;
use crate::Sighting;

const TIP: Height = Height(960_000);

#[test]
fn core_batches() {
    let corpus = include_str!("../../vectors/fuzz/core-batches.txt");
    let mut mutator = Mutator::new(corpus.lines().map(|line| line.as_bytes().to_vec()).collect());
    let txid: Txid = "387bbf94eaab46bdcf4d51cd163f5242f158643065b9ddaaf6fc0924c7d6970c".parse().unwrap();
    let hash: BlockHash = "684d99049a65c459a267486e8e09d0ac1a6b71a30c3aad05c8febb14d3c3ab91".parse().unwrap();
    let calls = [chain_info(), raw(txid, None)];
    while let Some(input) = mutator.next_input() {
        let Ok(answers) =
            in_order(&calls[..1], "a.example:1", &input).or_else(|_| in_order(&calls, "a.example:1", &input))
        else {
            continue;
        };
        for answer in answers {
            if let Ok(verbose) = answer.read()
                && let Ok(Some(Sighting { transaction, height })) = sighted(&answer, &verbose, txid, TIP)
            {
                assert_eq!(transaction.compute_txid(), txid);
                assert!(height.is_none_or(|height| height <= TIP));
            }
            if let Ok(header) = read_header(&answer, hash) {
                assert_eq!(header.block_hash(), hash);
            }
            if let Ok(block) = read_block(&answer, hash) {
                assert!(block.block_hash() == hash && block.check_merkle_root());
            }
            assert!(highest(std::slice::from_ref(&answer)).is_none_or(|rate| rate > FeeRate::ZERO));
            let _ = answer.read::<ChainInfo>();
            let _ = answer.read::<Listed>();
            let _ = answer.read::<Estimate>();
            let _ = answer.read::<Option<TxOut>>();
            let _ = answer.read::<Vec<Spending>>();
            if let Err(error) = answer.read::<Txid>() {
                let shown = error.to_string();
                assert!(shown.chars().count() < 400 && !shown.chars().any(char::is_control), "{shown}");
            }
        }
    }
}
