//! What `make test-peers` asks of geth: everything that the rules can be asked, on the real Bridge's state as anvil has it,
//! must have the same verdict from geth, of our validator and of the deployed one, and the same snapshot; and both once more
//! proven by geth's own proofs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is a test that `make test` doesn't run")]

#[path = "../tests/all/validators/mod.rs"]
mod validators;

use alloy::primitives::B256;
use bitcoin::hashes::Hash as _;
use coxswain_ethereum::{
    Block, BlockSelector, ChainError, ContractVerdict, Endpoints, HashedHeader, ProposalValidator,
    SnapshotKeys, SnapshotReader, proof::Prover,
};
use coxswain_rules::{Case, DepositKey, OutPoint, Txid, units::BlockNumber};
use coxswain_testkit::{DepositSpec, Geth, Scene, sweep};
use validators::{ANVIL, Observer, Validators, ask_everything};

/// A geth whose chain is at the state of the block that was asked about last, and what it has said.
#[derive(Default)]
struct Twin {
    now: Option<(Block, Geth)>,
    states: usize,
    accepted: usize,
    rejected: usize,
}

impl Observer for Twin {
    async fn observe(
        &mut self,
        scene: &Scene,
        at: Block,
        asked: &ProposalValidator,
        case: &Case,
        said: &ContractVerdict,
    ) {
        let bridge = scene.world.bridge.address();
        let now = match self.now.take() {
            Some(now) if now.0 == at => now,
            _ => {
                let geth = Geth::start(&scene.world.chain.state().await.unwrap()).unwrap();
                self.states += 1;
                examine(&Endpoints::new(geth.url().clone()).unwrap(), bridge).await;
                (at, geth)
            }
        };
        let endpoint = Endpoints::new(now.1.url().clone()).unwrap();
        let there = endpoint.block(BlockSelector::Latest).await.unwrap().unwrap();
        assert_eq!((there.number, there.timestamp), (BlockNumber(0), at.timestamp));
        let validator = ProposalValidator::new(endpoint.clone(), ANVIL, asked.address());
        let verdict = validator.validate_at(case, there).await;
        assert_eq!(verdict, *said, "{case:?}");
        match verdict {
            ContractVerdict::Valid => self.accepted += 1,
            ContractVerdict::Rejected(_) => self.rejected += 1,
            ContractVerdict::Undecided(undecided) => panic!("{undecided}"),
        }
        let keys = SnapshotKeys::from(case);
        let reader = SnapshotReader::new(endpoint.clone(), ANVIL, bridge);
        let snapshot = reader.snapshot(there, &keys).await.unwrap();
        assert_eq!(snapshot, scene.world.snapshot(&keys).await.unwrap(), "{case:?}");
        let fields = endpoint.header(there.number).await.unwrap().unwrap();
        let header = HashedHeader::new(fields, there.hash).unwrap();
        let prover = Prover::new(&endpoint, ANVIL);
        assert_eq!(validator.prove_at(&prover, case, &header).await, *said, "{case:?}");
        assert_eq!(reader.proven_snapshot(&prover, &header, &keys).await.unwrap(), snapshot, "{case:?}");
        self.now = Some(now);
    }
}

/// What no case asks: that it is geth, that it reads as much as one call is ever asked for, and that a block that it
/// doesn't have is no rejection.
async fn examine(endpoint: &Endpoints, bridge: alloy::primitives::Address) {
    let software: String = endpoint.request("web3_clientVersion", ()).await.unwrap();
    assert!(software.starts_with("Geth/"), "{software}");
    let there = endpoint.block(BlockSelector::Latest).await.unwrap().unwrap();
    let reader = SnapshotReader::new(endpoint.clone(), ANVIL, bridge);
    let txid = Txid::all_zeros();
    let deposits = (0..250).map(|vout| DepositKey::new(OutPoint::new(txid, vout))).collect();
    let keys = SnapshotKeys { deposits, ..SnapshotKeys::default() };
    assert_eq!(reader.snapshot(there, &keys).await.unwrap().deposits.len(), 250);
    let elsewhere = Block { hash: B256::repeat_byte(1), ..there };
    let undecided = reader.snapshot(elsewhere, &keys).await.unwrap_err();
    assert!(matches!(undecided, ChainError::Request(_)), "{undecided}");
}

/// INC-8 with a node's own limits: a call may burn 50 million gas, calldata at its floor price included. Twenty deposits
/// whose funding transactions have 1,000 outputs each are judged in one; with 2,500, calldata alone is more than that, which
/// is no rejection.
async fn inc_8_large_funding_transactions(validators: &mut Validators<Twin>) {
    for (outputs, decided) in [(1000, true), (2500, false)] {
        let mut deposits = Vec::new();
        for _ in 0..20 {
            let spec = DepositSpec { outputs_before: outputs - 1, ..DepositSpec::default() };
            deposits.push(validators.scene.world.reveal(&validators.scene.working, spec).await.unwrap());
        }
        validators.scene.world.chain.advance(2 * 3600 + 60).await.unwrap();
        let case = Case { wallet: validators.scene.working.key_hash(), subject: sweep(&deposits) };
        let geth = Geth::start(&validators.scene.world.chain.state().await.unwrap()).unwrap();
        let endpoint = Endpoints::new(geth.url().clone()).unwrap();
        let validator = ProposalValidator::new(endpoint, ANVIL, validators.ours.address());
        let verdict = validator.validate(&case, BlockSelector::Latest).await.verdict;
        match verdict {
            ContractVerdict::Valid => assert!(decided, "{outputs}"),
            ContractVerdict::Undecided(undecided) => assert!(!decided, "{outputs}: {undecided}"),
            ContractVerdict::Rejected(rejection) => panic!("{outputs}: {rejection}"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut validators = Validators::observed(Twin::default()).await;
    ask_everything(&mut validators).await;
    inc_8_large_funding_transactions(&mut validators).await;
    let Twin { states, accepted, rejected, .. } = validators.observer;
    assert!(accepted > 0 && rejected > 0);
    println!(
        "geth agrees with anvil on {} verdicts ({accepted} accepted, {rejected} rejected) and as many snapshots, asked and \
         proven, at {states} states of the chain, and within 50 million gas judges 20 deposits of 1,000 outputs each",
        accepted + rejected
    );
}
