//! The wallet registry's readers, on a double that speaks the registry's ABI as the contract's package has it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, keccak256, uint},
    sol_types::{SolCall, SolEvent, SolValue},
};
use bitcoin::{
    hashes::Hash,
    secp256k1::{PublicKey, Secp256k1, SecretKey},
};
use coxswain_bindings::{
    Bridge,
    bridge::Wallet,
    registry::{
        EcdsaDkg,
        EcdsaSortitionPool::getIDOperatorsCall,
        WalletRegistry::{
            DkgResultSubmitted, WalletCreated, eligibleStakeCall, getWalletCall,
            operatorToStakingProviderCall, sortitionPoolCall,
        },
        Wallets,
    },
};
use coxswain_ethereum::{
    Block, BlockSelector, Eligible, EligibleError, Endpoints, Expected, GroupError, Groups,
};
use coxswain_rules::KeyHash;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use url::Url;

const BRIDGE: Address = address!("0x00000000000000000000000000000000000000b1");
const REGISTRY: Address = address!("0x00000000000000000000000000000000000000b2");
const POOL: Address = address!("0x00000000000000000000000000000000000000b3");
const HEAD: u64 = 1000;

/// What the double says.
#[derive(Clone)]
struct Double {
    wallets: BTreeMap<KeyHash, B256>,
    kept: BTreeMap<B256, Wallets::Wallet>,
    created: Vec<(u64, WalletCreated)>,
    submitted: Vec<(u64, DkgResultSubmitted)>,
    operators: BTreeMap<u32, Address>,
    providers: BTreeMap<Address, Address>,
    stakes: BTreeMap<Address, u64>,
    /// Says nothing of use.
    dead: bool,
}

fn head() -> Value {
    let hash = B256::repeat_byte(7);
    json!({ "number": format!("{HEAD:#x}"), "hash": hash, "timestamp": "0x1", "parentHash": hash })
}

impl Double {
    fn answer(&self, request: &Value) -> Value {
        let (id, parameters) = (&request["id"], &request["params"]);
        if self.dead {
            return json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": "out of service" } });
        }
        let result = match request["method"].as_str().unwrap() {
            "eth_chainId" => json!("0x7a69"),
            "eth_getBlockByNumber" | "eth_getBlockByHash" => head(),
            "eth_getCode" => json!("0x00"),
            "eth_call" => json!(self.call(&parameters[0])),
            "eth_getLogs" => self.logs(&parameters[0]),
            other => panic!("{other}"),
        };
        json!({ "jsonrpc": "2.0", "id": id, "result": result })
    }

    fn call(&self, transaction: &Value) -> Bytes {
        let to: Address = serde_json::from_value(transaction["to"].clone()).unwrap();
        let input = transaction.get("input").or(transaction.get("data")).unwrap();
        let input: Bytes = serde_json::from_value(input.clone()).unwrap();
        let selector: [u8; 4] = input[..4].try_into().unwrap();
        match (to, selector) {
            (BRIDGE, Bridge::walletsCall::SELECTOR) => {
                let call = Bridge::walletsCall::abi_decode(&input).unwrap();
                let id = self.wallets.get(&KeyHash(call.walletPubKeyHash.0)).copied().unwrap_or_default();
                let wallet = Wallet {
                    ecdsaWalletID: id,
                    mainUtxoHash: B256::ZERO,
                    pendingRedemptionsValue: 0,
                    createdAt: 0,
                    movingFundsRequestedAt: 0,
                    closingStartedAt: 0,
                    pendingMovedFundsSweepRequestsCount: 0,
                    state: 1,
                    movingFundsTargetWalletsCommitmentHash: B256::ZERO,
                };
                Bridge::walletsCall::abi_encode_returns(&wallet).into()
            }
            (REGISTRY, getWalletCall::SELECTOR) => {
                let call = getWalletCall::abi_decode(&input).unwrap();
                let none = Wallets::Wallet {
                    membersIdsHash: B256::ZERO,
                    publicKeyX: B256::ZERO,
                    publicKeyY: B256::ZERO,
                };
                getWalletCall::abi_encode_returns(self.kept.get(&call.walletID).unwrap_or(&none)).into()
            }
            (REGISTRY, sortitionPoolCall::SELECTOR) => sortitionPoolCall::abi_encode_returns(&POOL).into(),
            (POOL, getIDOperatorsCall::SELECTOR) => {
                let call = getIDOperatorsCall::abi_decode(&input).unwrap();
                let operators: Vec<_> =
                    call.ids.iter().map(|id| self.operators.get(id).copied().unwrap_or_default()).collect();
                getIDOperatorsCall::abi_encode_returns(&operators).into()
            }
            (REGISTRY, operatorToStakingProviderCall::SELECTOR) => {
                let call = operatorToStakingProviderCall::abi_decode(&input).unwrap();
                let provider = self.providers.get(&call.operator).copied().unwrap_or_default();
                operatorToStakingProviderCall::abi_encode_returns(&provider).into()
            }
            (REGISTRY, eligibleStakeCall::SELECTOR) => {
                let call = eligibleStakeCall::abi_decode(&input).unwrap();
                let stake = self.stakes.get(&call.stakingProvider).copied().unwrap_or_default();
                eligibleStakeCall::abi_encode_returns(&U256::from(stake).to()).into()
            }
            other => panic!("{other:?}"),
        }
    }

    fn logs(&self, filter: &Value) -> Value {
        assert_eq!(filter["address"], json!(REGISTRY));
        let block = |name: &str| u64::from_str_radix(&filter[name].as_str().unwrap()[2..], 16).unwrap();
        let range = block("fromBlock")..=block("toBlock");
        let created = self.created.iter().map(|(at, event)| (*at, event.encode_log_data()));
        let submitted = self.submitted.iter().map(|(at, event)| (*at, event.encode_log_data()));
        let wanted = |topics: &[B256]| {
            let filter = filter["topics"].as_array().unwrap();
            filter.iter().zip(topics).all(|(filter, topic)| match filter {
                Value::Array(any) => any.contains(&json!(topic)),
                Value::Null => true,
                one => *one == json!(topic),
            })
        };
        let logs: Vec<_> = created
            .chain(submitted)
            .filter(|(at, log)| range.contains(at) && wanted(log.topics()))
            .map(|(at, log)| {
                json!({
                    "address": REGISTRY, "topics": log.topics(), "data": log.data,
                    "blockNumber": format!("{at:#x}"), "blockHash": B256::ZERO, "transactionHash": B256::ZERO,
                    "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
                })
            })
            .collect();
        json!(logs)
    }

    /// Serves, and gives where.
    async fn serve(self) -> (Url, Arc<Mutex<Self>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let double = Arc::new(Mutex::new(self));
        let served = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        if stream.read_line(&mut line).await.unwrap() == 0 {
                            return;
                        }
                        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        if line.trim().is_empty() {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await.unwrap();
                    let request: Value = serde_json::from_slice(&body).unwrap();
                    let answer = served.lock().unwrap().answer(&request).to_string();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                        answer.len()
                    );
                    stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
                });
            }
        });
        (url, double)
    }
}

fn operator(number: u32) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

fn key() -> PublicKey {
    PublicKey::from_secret_key(&Secp256k1::new(), &SecretKey::from_slice(&[9; 32]).unwrap())
}

fn wallet() -> KeyHash {
    KeyHash(bitcoin::PublicKey::new(key()).pubkey_hash().to_byte_array())
}

/// A wallet of five members, of which the second and the fifth misbehaved; ids 11, 12, 13, 11, 14.
fn double() -> Double {
    let uncompressed = key().serialize_uncompressed();
    let (x, y) = (B256::from_slice(&uncompressed[1..33]), B256::from_slice(&uncompressed[33..]));
    let id = keccak256([x, y].concat());
    let members = vec![11_u32, 12, 13, 11, 14];
    let result = EcdsaDkg::Result {
        submitterMemberIndex: uint!(1_U256),
        groupPubKey: uncompressed[1..].to_vec().into(),
        misbehavedMembersIndices: vec![2, 5],
        signatures: Bytes::new(),
        signingMembersIndices: vec![uint!(1_U256), uint!(3_U256), uint!(4_U256)],
        members,
        membersHash: B256::ZERO,
    };
    let hash = keccak256(result.abi_encode());
    let kept = Wallets::Wallet {
        membersIdsHash: keccak256(vec![11_u32, 13, 11].abi_encode()),
        publicKeyX: x,
        publicKeyY: y,
    };
    Double {
        wallets: [(wallet(), id)].into(),
        kept: [(id, kept)].into(),
        created: vec![(700, WalletCreated { walletID: id, dkgResultHash: hash })],
        submitted: vec![(690, DkgResultSubmitted { resultHash: hash, seed: U256::ZERO, result })],
        operators: (11..=14).map(|id| (id, operator(id))).collect(),
        providers: [(operator(11), operator(111)), (operator(12), operator(112))].into(),
        stakes: [(operator(111), 40_000)].into(),
        dead: false,
    }
}

async fn group_of(double: Double, from_block: u64) -> Result<Vec<Address>, GroupError> {
    let (url, _) = double.serve().await;
    let endpoint = Endpoints::new(url).unwrap();
    let block: Block = endpoint.block(BlockSelector::Latest).await.unwrap().unwrap();
    let group = Groups::new(endpoint, BRIDGE, REGISTRY, from_block).of(wallet(), block).await?;
    assert_eq!(group.key, key());
    Ok(group.operators)
}

#[tokio::test]
async fn a_wallets_operators_are_its_members_less_the_misbehaved_by_seat() {
    assert_eq!(group_of(double(), 0).await.unwrap(), [operator(11), operator(13), operator(11)]);
}

/// What of it doesn't fit together.
async fn contradiction(change: impl FnOnce(&mut Double)) -> &'static str {
    let mut double = double();
    change(&mut double);
    match group_of(double, 0).await.unwrap_err() {
        GroupError::Contradiction { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_group_is_right_or_there_is_none() {
    let what = contradiction(|double| double.submitted[0].1.result.members[2] = 12).await;
    assert_eq!(what, "its members have another hash");
    let what = contradiction(|double| double.submitted[0].1.result.misbehavedMembersIndices = vec![2]).await;
    assert_eq!(what, "its members have another hash");
    let what = contradiction(|double| double.submitted[0].1.result.misbehavedMembersIndices = vec![6]).await;
    assert_eq!(what, "a member misbehaved that there isn't");
    let what = contradiction(|double| double.created.clear()).await;
    assert_eq!(what, "no event of its creation");
    let what = contradiction(|double| double.submitted.clear()).await;
    assert_eq!(what, "no event of its key generation");
    let what = contradiction(|double| assert!(double.operators.remove(&13).is_some())).await;
    assert_eq!(what, "a member has no operator");
    let other = Secp256k1::new();
    let other = PublicKey::from_secret_key(&other, &SecretKey::from_slice(&[8; 32]).unwrap());
    let what = contradiction(|double| {
        for kept in double.kept.values_mut() {
            kept.publicKeyX = B256::from_slice(&other.serialize_uncompressed()[1..33]);
            kept.publicKeyY = B256::from_slice(&other.serialize_uncompressed()[33..]);
        }
    })
    .await;
    assert_eq!(what, "its key has another hash");
}

#[tokio::test]
async fn a_wallet_that_is_unknown_or_gone_is_said_to_be() {
    let mut unknown = double();
    unknown.wallets.clear();
    assert_eq!(group_of(unknown, 0).await, Err(GroupError::NoWallet(wallet())));
    let mut gone = double();
    gone.kept.clear();
    assert_eq!(group_of(gone, 0).await, Err(GroupError::Gone(wallet())));
}

#[tokio::test]
async fn events_are_looked_for_from_the_registrys_first_block() {
    assert!(group_of(double(), 690).await.is_ok());
    assert!(group_of(double(), 691).await.is_err());
}

#[tokio::test]
async fn an_operator_is_eligible_if_its_provider_has_stake() {
    let (url, _) = double().serve().await;
    let eligible = Eligible::new(&[url], &Expected::default(), REGISTRY, 0).unwrap();
    // One with stake, one whose provider has none, one without a provider.
    for (number, expected) in [(11, true), (12, false), (13, false)] {
        assert_eq!(eligible.is_eligible(operator(number)).await, Ok(expected), "{number}");
    }
}

#[tokio::test]
async fn a_no_and_a_yes_need_enough_servers_and_an_error_is_neither() {
    let mut lying = double();
    lying.stakes.clear();
    let mut dead = double();
    dead.dead = true;
    let served = [double(), double(), lying, dead];
    let mut urls = Vec::new();
    for double in served {
        urls.push(double.serve().await.0);
    }
    let [good, other, lying, dead] = &urls[..] else { panic!() };
    let ask = async |servers: &[&Url]| {
        let urls: Vec<_> = servers.iter().copied().cloned().collect();
        let eligible = Eligible::new(&urls, &Expected::default(), REGISTRY, 0).unwrap();
        eligible.is_eligible(operator(11)).await
    };
    assert_eq!(ask(&[good, other, lying]).await, Ok(true));
    assert_eq!(ask(&[good, other, dead]).await, Ok(true));
    let disagree = ask(&[good, lying, dead]).await.unwrap_err();
    let EligibleError::NotAgreed { yes, no, silent, required, .. } = disagree else { panic!() };
    assert_eq!((yes, no, silent, required), (1, 1, 1, 2));
    assert!(ask(&[good, lying]).await.is_err());
    assert_eq!(ask(&[good, dead]).await, Ok(true));
    assert_eq!(ask(&[lying, dead]).await, Ok(false));
    assert!(ask(&[dead]).await.is_err());
}
