//! Proven calls on the real Bridge: the endpoint's own verdicts under honest proofs, and never another one under false ones.

#![cfg(feature = "proven")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use crate::validators::{ANVIL, Observer, Validators, ask_everything};
use alloy::primitives::{Address, B256, U256, keccak256};
use coxswain_ethereum::{
    Block, BlockSelector, ChainError, ContractVerdict, Endpoints, Expected, HashedHeader, ProposalValidator,
    SnapshotKeys, SnapshotReader,
    proof::{AccountProof, AccountProofError, ProofError, Prover, ServerError, State},
};
use coxswain_rules::{Action, Case};
use coxswain_testkit::{Change, DepositSpec, FaultyEndpoint, Reply, Scene, TestChain, World, sweep};
use serde_json::{Value, json};

async fn header(endpoint: &Endpoints, block: Block) -> HashedHeader {
    let header = endpoint.header(block.number).await.unwrap().unwrap();
    HashedHeader::new(header, block.hash).unwrap()
}

/// Proves everything that is asked, the snapshots behind it too.
#[derive(Default)]
struct Proving {
    prover: Option<Prover>,
    verdicts: usize,
}

impl Observer for Proving {
    async fn observe(
        &mut self,
        scene: &Scene,
        at: Block,
        asked: &ProposalValidator,
        case: &Case,
        said: &ContractVerdict,
    ) {
        let endpoint = Endpoints::new(scene.world.chain.url()).unwrap();
        let header = header(&endpoint, at).await;
        let prover = self.prover.get_or_insert_with(|| Prover::new(&endpoint, ANVIL));
        assert_eq!(asked.prove_at(prover, case, &header).await, *said, "{case:?}");
        let reader = SnapshotReader::new(endpoint, ANVIL, scene.world.bridge.address());
        let keys = SnapshotKeys::from(case);
        let proven = reader.proven_snapshot(prover, &header, &keys).await.unwrap();
        assert_eq!(proven, reader.snapshot(at, &keys).await.unwrap(), "{case:?}");
        self.verdicts += 1;
    }
}

async fn agrees(chain: TestChain) {
    let scene = Scene::on(World::on(chain).await.unwrap(), |_| ()).await.unwrap();
    let mut validators = Validators::observed_in(Proving::default(), scene).await;
    ask_everything(&mut validators).await;
    println!("{} verdicts proven", validators.observer.verdicts);
    assert!(validators.observer.verdicts > 90, "{}", validators.observer.verdicts);
}

#[tokio::test]
async fn proven_verdicts_are_the_endpoints_before_prague() {
    agrees(TestChain::start_before_prague().unwrap()).await;
}

#[tokio::test]
async fn proven_verdicts_are_the_endpoints_since_prague() {
    agrees(TestChain::start().unwrap()).await;
}

#[tokio::test]
async fn proven_verdicts_are_the_endpoints_since_osaka() {
    agrees(TestChain::start_after_osaka().unwrap()).await;
}

/// A valid sweep, and whom to ask about it.
struct Proved {
    validators: Validators<()>,
    case: Case,
    header: HashedHeader,
}

impl Proved {
    async fn set_up() -> Self {
        let validators = Validators::observed(()).await;
        let case = validators.case(Action::DepositSweep);
        let block = validators.ours.block(BlockSelector::Latest).await.unwrap();
        let endpoint = Endpoints::new(validators.scene.world.chain.url()).unwrap();
        let header = header(&endpoint, block).await;
        Self { validators, case, header }
    }

    fn honest(&self) -> url::Url {
        self.validators.scene.world.chain.url()
    }

    async fn node(&self, meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> FaultyEndpoint {
        FaultyEndpoint::start_inspecting(self.honest(), meet).await.unwrap()
    }

    /// A node that changes its answers to one method so.
    async fn changing(
        &self,
        of: &'static str,
        change: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> FaultyEndpoint {
        let change = Change::new(change);
        self.node(move |method, _| if method == of { Reply::Changed(change.clone()) } else { Reply::Forward })
            .await
    }

    async fn verdict(&self, urls: impl IntoIterator<Item = url::Url>) -> ContractVerdict {
        let endpoint = Endpoints::several(urls, Expected::default()).unwrap();
        let prover = Prover::new(&endpoint, ANVIL);
        self.validators.ours.prove_at(&prover, &self.case, &self.header).await
    }

    /// The liar alone proves nothing, and is named; with an honest one before or behind it, the verdict is right.
    async fn refused(&self, what: &str, liar: &FaultyEndpoint) -> ServerError {
        let alone = self.verdict([liar.url().clone()]).await;
        let ContractVerdict::Undecided(ChainError::Unproven(ProofError::NoProof(failures))) = alone else {
            panic!("{what}: {alone:?}")
        };
        assert!(failures[0].to_string().contains(liar.url().authority()), "{what}: {}", failures[0]);
        for urls in [[liar.url().clone(), self.honest()], [self.honest(), liar.url().clone()]] {
            assert_eq!(self.verdict(urls).await, ContractVerdict::Valid, "{what}");
        }
        failures[0].clone()
    }
}

fn proofs(answer: &mut Value) -> Vec<&mut Value> {
    let Value::Object(fields) = answer else { panic!("{answer}") };
    let mut proofs = Vec::new();
    for (name, field) in fields {
        match name.as_str() {
            "accountProof" => proofs.push(field),
            "storageProof" => {
                proofs.extend(field.as_array_mut().unwrap().iter_mut().map(|slot| &mut slot["proof"]));
            }
            _ => {}
        }
    }
    proofs.retain(|proof| proof.as_array().is_some_and(|nodes| !nodes.is_empty()));
    proofs
}

/// Changes a hex digit in the middle.
fn bend(node: &mut Value) {
    let mut text = node.as_str().unwrap().to_owned();
    let middle = text.len() / 2;
    let digit = if text.as_bytes()[middle] == b'0' { "1" } else { "0" };
    text.replace_range(middle..=middle, digit);
    *node = text.into();
}

#[tokio::test]
async fn inc_47_false_proofs_prove_nothing_and_spoil_nothing() {
    let proved = Proved::set_up().await;
    let nodes = |change: fn(&mut Vec<Value>)| {
        move |answer: &mut Value| {
            proofs(answer).into_iter().for_each(|proof| change(proof.as_array_mut().unwrap()));
        }
    };
    type Change = Box<dyn Fn(&mut Value) + Send + Sync>;
    let last_slot = |change: fn(&mut Vec<Value>)| {
        move |answer: &mut Value| {
            if answer["storageProof"].as_array().is_some_and(|slots| !slots.is_empty()) {
                change(proofs(answer).into_iter().next_back().unwrap().as_array_mut().unwrap());
            }
        }
    };
    let changes: Vec<(&str, Change)> = vec![
        ("a wrong first node", Box::new(nodes(|nodes| bend(&mut nodes[0])))),
        ("a wrong last node", Box::new(nodes(|nodes| bend(nodes.last_mut().unwrap())))),
        ("a wrong node of one slot", Box::new(last_slot(|nodes| bend(nodes.last_mut().unwrap())))),
        ("without the last node", Box::new(nodes(|nodes| drop(nodes.pop())))),
        ("without the first node", Box::new(nodes(|nodes| drop(nodes.remove(0))))),
        ("one slot without the last node", Box::new(last_slot(|nodes| drop(nodes.pop())))),
        ("no node", Box::new(nodes(Vec::clear))),
        ("no node of one slot", Box::new(last_slot(Vec::clear))),
        ("an empty trie", Box::new(nodes(|nodes| *nodes = vec![json!("0x80")]))),
        ("a node appended", Box::new(nodes(|nodes| nodes.push(nodes[0].clone())))),
        ("an empty node appended", Box::new(nodes(|nodes| nodes.push(json!("0x80"))))),
        ("a hundred nodes", Box::new(nodes(|nodes| *nodes = vec![nodes[0].clone(); 100]))),
        (
            "another slot's proof",
            Box::new(|answer: &mut Value| {
                let mut proofs = proofs(answer);
                if proofs.len() > 2 {
                    let first = proofs[1].clone();
                    *proofs[2] = first;
                }
            }),
        ),
        (
            "another slot's name",
            Box::new(|answer: &mut Value| {
                for slot in answer["storageProof"].as_array_mut().unwrap() {
                    slot["key"] = json!("0x1234");
                }
            }),
        ),
        ("no slots", Box::new(|answer: &mut Value| answer["storageProof"] = json!([]))),
        ("no proof at all", Box::new(|answer: &mut Value| answer["accountProof"] = Value::Null)),
    ];
    for (what, change) in changes {
        let liar = proved.changing("eth_getProof", change).await;
        let failure = proved.refused(what, &liar).await;
        assert!(matches!(failure, ServerError::Invalid { .. }), "{what}: {failure}");
    }
}

#[tokio::test]
async fn inc_47_what_a_proof_claims_is_not_gone_by() {
    let proved = Proved::set_up().await;
    let claims = |answer: &mut Value| {
        for (field, claim) in [
            ("balance", json!("0x1")),
            ("nonce", json!("0x77")),
            ("codeHash", json!(B256::repeat_byte(3))),
            ("storageHash", json!(keccak256([0x80]))),
            ("address", json!(Address::ZERO)),
        ] {
            answer[field] = claim;
        }
        for slot in answer["storageProof"].as_array_mut().unwrap() {
            slot["value"] = json!("0x0");
        }
    };
    let liar = proved.changing("eth_getProof", claims).await;
    assert_eq!(proved.verdict([liar.url().clone()]).await, ContractVerdict::Valid);
    // Other clients' shapes: slots in short hex, and no claims.
    let short = |answer: &mut Value| {
        for slot in answer["storageProof"].as_array_mut().unwrap() {
            let key: U256 = slot["key"].as_str().unwrap().parse().unwrap();
            *slot = json!({ "key": format!("{key:#x}"), "proof": slot["proof"] });
        }
        *answer = json!({ "accountProof": answer["accountProof"], "storageProof": answer["storageProof"] });
    };
    let bare = proved.changing("eth_getProof", short).await;
    assert_eq!(proved.verdict([bare.url().clone()]).await, ContractVerdict::Valid);
}

#[tokio::test]
async fn inc_47_state_of_another_block_or_account_and_other_code_prove_nothing() {
    let proved = Proved::set_up().await;
    let earlier = format!("{:#x}", proved.header.number().0 - 1);
    let swapped = proved
        .node(move |method, params| match method {
            "eth_getProof" => Reply::Instead(json!([params[0], params[1], earlier])),
            _ => Reply::Forward,
        })
        .await;
    let failure = proved.refused("the block before", &swapped).await;
    assert!(
        matches!(failure, ServerError::Invalid { error: AccountProofError::Account { .. }, .. }),
        "{failure}"
    );

    let other = proved.validators.scene.world.bank.address();
    let elsewhere = proved
        .node(move |method, params| match method {
            "eth_getProof" => Reply::Instead(json!([other, params[1], params[2]])),
            _ => Reply::Forward,
        })
        .await;
    let failure = proved.refused("another account", &elsewhere).await;
    assert!(
        matches!(failure, ServerError::Invalid { error: AccountProofError::Account { .. }, .. }),
        "{failure}"
    );

    // Code that says yes to everything: returns 1.
    let yes = proved.changing("eth_getCode", |code| *code = json!("0x60015f5260205ff3")).await;
    let failure = proved.refused("other code", &yes).await;
    assert!(
        matches!(failure, ServerError::Invalid { error: AccountProofError::Code { .. }, .. }),
        "{failure}"
    );
    let none = proved.changing("eth_getCode", |code| *code = json!("0x")).await;
    let failure = proved.refused("no code", &none).await;
    assert!(
        matches!(failure, ServerError::Invalid { error: AccountProofError::Code { .. }, .. }),
        "{failure}"
    );
}

#[tokio::test]
async fn hints_are_only_hints_and_batches_are_not_needed() {
    let proved = Proved::set_up().await;
    let nothing = json!({ "accessList": [], "gasUsed": "0x0" });
    let junk: Vec<_> = (0..200_u64)
        .map(|i| {
            let slots: Vec<_> = (0..30_u64).map(|slot| B256::from(U256::from(slot))).collect();
            json!({ "address": Address::left_padding_from(&i.to_be_bytes()), "storageKeys": slots })
        })
        .collect();
    let junk = json!({ "accessList": junk, "gasUsed": "0x0" });
    let refused = json!({ "code": -32601, "message": "the method does not exist" });
    for reply in [Reply::Result(nothing), Reply::Result(junk), Reply::Error(refused.clone())] {
        let meet = move |method: &str, _: &Value| {
            if method == "eth_createAccessList" { reply.clone() } else { Reply::Forward }
        };
        let node = proved.node(meet).await;
        assert_eq!(proved.verdict([node.url().clone()]).await, ContractVerdict::Valid);
    }
    let single = proved
        .node(move |method, _| if method == "batch" { Reply::Error(refused.clone()) } else { Reply::Forward })
        .await;
    assert_eq!(proved.verdict([single.url().clone()]).await, ContractVerdict::Valid);
    let plain = proved.node(|_, _| Reply::Forward).await;
    assert_eq!(proved.verdict([plain.url().clone()]).await, ContractVerdict::Valid);
    println!("{} requests, {} without batches", plain.requests(), single.requests());
    assert!(plain.requests() <= 12, "{:?}", plain.methods());
}

#[tokio::test]
async fn a_sweep_of_twenty_is_proven_in_twelve_requests_at_most() {
    let mut proved = Proved::set_up().await;
    let Scene { world, working, .. } = &mut proved.validators.scene;
    let mut deposits = Vec::new();
    for _ in 0..20 {
        deposits.push(world.reveal(working, DepositSpec::default()).await.unwrap());
    }
    world.chain.advance(2 * 3600 + 60).await.unwrap();
    proved.case = Case { wallet: working.key_hash(), subject: sweep(&deposits) };
    let block = proved.validators.ours.block(BlockSelector::Latest).await.unwrap();
    proved.header = header(&Endpoints::new(proved.honest()).unwrap(), block).await;
    let node = proved.node(|_, _| Reply::Forward).await;
    assert_eq!(proved.verdict([node.url().clone()]).await, ContractVerdict::Valid);
    println!("{} requests for {} questions", node.requests(), node.methods().len());
    assert!(node.requests() <= 12, "{:?}", node.methods());
}

#[tokio::test]
async fn an_endpoint_that_serves_no_proofs_is_passed_over_and_what_was_proven_holds() {
    let proved = Proved::set_up().await;
    let unserved =
        json!({ "code": -32000, "message": "distance to target block exceeds maximum proof window" });
    let pruned = proved
        .node(
            move |method, _| {
                if method == "eth_getProof" { Reply::Error(unserved.clone()) } else { Reply::Forward }
            },
        )
        .await;
    let failure = proved.refused("no proofs", &pruned).await;
    assert!(matches!(failure, ServerError::Request(_)), "{failure}");
    // No code from the one, no proofs from the other, once the first has given its own.
    let codeless = proved.changing("eth_getCode", |code| *code = json!("0x")).await;
    let alone = proved.verdict([pruned.url().clone(), codeless.url().clone()]).await;
    assert!(matches!(&alone, ContractVerdict::Undecided(error) if error.kind() == "unproven"), "{alone:?}");
}

#[tokio::test]
async fn inc_24_a_validator_without_code_is_proven_to_have_none() {
    let proved = Proved::set_up().await;
    let endpoint = Endpoints::new(proved.honest()).unwrap();
    let nobody = Address::repeat_byte(0xab);
    let validator = ProposalValidator::new(endpoint.clone(), ANVIL, nobody);
    let verdict = validator.prove_at(&Prover::new(&endpoint, ANVIL), &proved.case, &proved.header).await;
    let no_code = ChainError::NoCode { address: nobody, block: proved.header.block() };
    assert_eq!(verdict, ContractVerdict::Undecided(no_code));
}

#[tokio::test]
async fn inc_47_a_header_is_gone_by_only_if_it_hashes() {
    let proved = Proved::set_up().await;
    let (fields, hash) = (proved.header.fields(), proved.header.hash());
    assert_eq!(HashedHeader::new(fields.clone(), hash), Some(proved.header.clone()));
    let mut forged = fields.clone();
    forged.state_root = B256::repeat_byte(1);
    assert_eq!(HashedHeader::new(forged, hash), None);
    assert_eq!(HashedHeader::new(fields.clone(), B256::repeat_byte(1)), None);
}

/// Answers of clients as they were recorded (`tests/proofs/`, each of which names its source): proven under the root that came
/// with them, and under no other. Mainnet's root is that of a header that hashes to the block's hash.
#[test]
fn answers_of_other_clients_are_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs");
    let mut read = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let fixture: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let root: B256 = serde_json::from_value(fixture["stateRoot"].clone()).unwrap();
        if let Some(header) = fixture.get("header") {
            let alloy::rpc::types::Header { hash, inner, .. } =
                serde_json::from_value(header.clone()).unwrap();
            assert_eq!(HashedHeader::new(inner, hash).unwrap().fields().state_root, root);
        }
        for question in fixture["answers"].as_array().unwrap() {
            let address: Address = serde_json::from_value(question["address"].clone()).unwrap();
            let expected = question["slots"].as_object().unwrap();
            let slots = expected.keys().map(|slot| slot.parse::<U256>().unwrap()).collect();
            let answer: AccountProof = serde_json::from_value(question["answer"].clone()).unwrap();
            let mut state = State::under(root);
            state.admit(address, &slots, &answer).unwrap();
            assert_eq!(state.account(address).unwrap().is_some(), question["exists"], "{address}");
            for (slot, value) in expected {
                let value = value.as_str().unwrap().parse::<U256>().unwrap();
                assert_eq!(state.slot(address, slot.parse().unwrap()), Some(value), "{address} {slot}");
            }
            State::under(B256::repeat_byte(1)).admit(address, &slots, &answer).unwrap_err();
        }
        read.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    read.sort();
    assert_eq!(read, ["anvil", "besu", "erigon", "execution-apis", "geth", "mainnet", "nethermind", "reth"]);
}

/// The ways in which clients are documented to write the same proof: only the nodes are gone by.
#[test]
fn answers_in_the_shapes_of_other_clients_are_read() {
    type Shape = fn(&mut Value);
    /// Of each slot's part.
    fn slots(answer: &mut Value, change: impl Fn(&mut Value)) {
        answer["storageProof"].as_array_mut().unwrap().iter_mut().for_each(change);
    }
    fn key(slot: &Value) -> U256 {
        slot["key"].as_str().unwrap().parse().unwrap()
    }
    let zero = || json!(B256::ZERO);
    let shapes: [(&str, Shape); 8] = [
        ("Besu: a key as a quantity", |answer| slots(answer, |slot| slot["key"] = json!(key(slot)))),
        ("Erigon, Geth: a key in 32 bytes", |answer| {
            slots(answer, |slot| slot["key"] = json!(B256::from(key(slot))));
        }),
        ("Nethermind: a value with leading zeros", |answer| {
            slots(answer, |slot| slot["value"] = json!(B256::repeat_byte(0)));
        }),
        ("Nethermind, Reth: no account's hashes are those of an empty one", |answer| {
            answer["codeHash"] = json!(keccak256([]));
            answer["storageHash"] = json!(keccak256([0x80]));
        }),
        ("others leave out what follows from the nodes", |answer| {
            for field in ["address", "balance", "nonce", "codeHash", "storageHash"] {
                answer.as_object_mut().unwrap().remove(field);
            }
        }),
        ("others write null", |answer| {
            for field in ["balance", "nonce", "codeHash", "storageHash"] {
                answer[field] = Value::Null;
            }
        }),
        ("Erigon: no nodes for the slots of no account", |answer| {
            slots(answer, |slot| {
                if slot["proof"].as_array().is_some_and(Vec::is_empty) {
                    slot["proof"] = Value::Null;
                }
            });
        }),
        ("others: the slots in another order, and fields of their own", |answer| {
            answer["storageProof"].as_array_mut().unwrap().reverse();
            answer["proofFormat"] = json!({ "version": 2 });
        }),
    ];
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proofs/geth.json");
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let root: B256 = serde_json::from_value(fixture["stateRoot"].clone()).unwrap();
    for (what, shape) in shapes {
        for question in fixture["answers"].as_array().unwrap() {
            let address: Address = serde_json::from_value(question["address"].clone()).unwrap();
            let expected = question["slots"].as_object().unwrap();
            let slots = expected.keys().map(|slot| slot.parse::<U256>().unwrap()).collect();
            let mut answer = question["answer"].clone();
            shape(&mut answer);
            let answer: AccountProof = serde_json::from_value(answer).unwrap();
            let mut state = State::under(root);
            state.admit(address, &slots, &answer).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(state.account(address).unwrap().is_some(), question["exists"], "{what}: {address}");
            for (slot, value) in expected {
                let value = value.as_str().unwrap().parse::<U256>().unwrap();
                assert_eq!(
                    state.slot(address, slot.parse().unwrap()),
                    Some(value),
                    "{what}: {address} {slot}"
                );
            }
        }
    }
    // Nobody's slots may be left out altogether; those of an account with storage may not.
    for question in fixture["answers"].as_array().unwrap() {
        let address: Address = serde_json::from_value(question["address"].clone()).unwrap();
        let expected = question["slots"].as_object().unwrap();
        let slots = expected.keys().map(|slot| slot.parse::<U256>().unwrap()).collect();
        let mut answer = question["answer"].clone();
        answer["storageProof"] = Value::Null;
        let has_storage = question["exists"] == json!(true)
            && ![zero(), json!(keccak256([0x80]))].contains(&answer["storageHash"])
            && !expected.is_empty();
        let answer: AccountProof = serde_json::from_value(answer).unwrap();
        assert_eq!(State::under(root).admit(address, &slots, &answer).is_err(), has_storage, "{address}");
    }
}
