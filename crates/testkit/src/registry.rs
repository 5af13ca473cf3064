//! The wallet registry, and what hangs on it, answered over JSON-RPC by the ABI of the contract's package: no chain of ours has
//! key generation.

use std::{collections::BTreeMap, io, sync::Arc};

use alloy::{
    consensus,
    primitives::{Address, B256, Bytes, U256, address, keccak256, uint},
    rpc::types::Header,
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
use coxswain_rules::KeyHash;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{io::BufReader, net::TcpListener, task::JoinHandle};

use crate::http;

/// The Bridge that the double's wallet is of.
pub const DOUBLE_BRIDGE: Address = address!("0x00000000000000000000000000000000000000b1");
/// The double's wallet registry.
pub const DOUBLE_REGISTRY: Address = address!("0x00000000000000000000000000000000000000b2");
/// Its sortition pool.
const POOL: Address = address!("0x00000000000000000000000000000000000000b3");
/// The newest block.
const HEAD: u64 = 1000;
/// The chain id that it names: anvil's.
const CHAIN_ID: &str = "0x7a69";

/// What the double says, to be changed before it is served.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The wallets that the Bridge knows, with their ids.
    pub wallets: BTreeMap<KeyHash, B256>,
    /// The wallets that the registry keeps, by id.
    pub kept: BTreeMap<B256, Wallets::Wallet>,
    /// When which wallet was created.
    pub created: Vec<(u64, WalletCreated)>,
    /// When which result of key generation was submitted.
    pub submitted: Vec<(u64, DkgResultSubmitted)>,
    /// The pool's operators, by id.
    pub operators: BTreeMap<u32, Address>,
    /// Operators' staking providers.
    pub providers: BTreeMap<Address, Address>,
    /// Providers' eligible stakes.
    pub stakes: BTreeMap<Address, u64>,
    /// Says nothing of use.
    pub dead: bool,
}

/// A registry that is served over HTTP until it is dropped.
#[derive(Debug)]
pub struct RegistryDouble {
    url: Url,
    task: JoinHandle<()>,
}

impl Registry {
    /// A wallet of five members, with the ids 11, 12, 13, 11, 14. The second and the fifth member misbehaved. The provider of
    /// operator 11 has a stake, the provider of operator 12 has none.
    pub fn of_five() -> Self {
        let uncompressed = Self::key().serialize_uncompressed();
        let (_, coordinates) = uncompressed.split_at(1);
        let (x, y) = coordinates.split_at(32);
        let (x, y) = (B256::from_slice(x), B256::from_slice(y));
        let id = keccak256(coordinates);
        let result = EcdsaDkg::Result {
            submitterMemberIndex: uint!(1_U256),
            groupPubKey: coordinates.to_vec().into(),
            misbehavedMembersIndices: vec![2, 5],
            signatures: Bytes::new(),
            signingMembersIndices: vec![uint!(1_U256), uint!(3_U256), uint!(4_U256)],
            members: vec![11, 12, 13, 11, 14],
            membersHash: B256::ZERO,
        };
        let hash = keccak256(result.abi_encode());
        let kept = Wallets::Wallet {
            membersIdsHash: keccak256(vec![11_u32, 13, 11].abi_encode()),
            publicKeyX: x,
            publicKeyY: y,
        };
        let operator = Self::operator;
        Self {
            wallets: [(Self::wallet(), id)].into(),
            kept: [(id, kept)].into(),
            created: vec![(700, WalletCreated { walletID: id, dkgResultHash: hash })],
            submitted: vec![(690, DkgResultSubmitted { resultHash: hash, seed: U256::ZERO, result })],
            operators: (11..=14).map(|id| (id, operator(id))).collect(),
            providers: [(operator(11), operator(111)), (operator(12), operator(112))].into(),
            stakes: [(operator(111), 40_000)].into(),
            dead: false,
        }
    }

    /// The wallet's key.
    pub fn key() -> PublicKey {
        let secret = SecretKey::from_slice(&[9; 32]).expect("it is below the curve's order");
        PublicKey::from_secret_key(&Secp256k1::new(), &secret)
    }

    /// The wallet.
    pub fn wallet() -> KeyHash {
        KeyHash(bitcoin::PublicKey::new(Self::key()).pubkey_hash().to_byte_array())
    }

    /// The operator of an id.
    pub fn operator(id: u32) -> Address {
        Address::left_padding_from(&id.to_be_bytes())
    }

    /// Serves it.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn serve(self) -> io::Result<RegistryDouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?).parse().map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            let registry = Arc::new(self);
            while let Ok((stream, _)) = listener.accept().await {
                let registry = registry.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    if let Ok(Some(request)) = http::receive(&mut stream).await
                        && let Ok(request) = serde_json::from_slice(&request.body)
                    {
                        // A client that has gone needs no answer.
                        let answer = match &request {
                            Value::Array(batch) => batch.iter().map(|one| registry.answer(one)).collect(),
                            one => registry.answer(one),
                        };
                        let _ = http::respond(&mut stream, 200, &answer.to_string()).await;
                    }
                });
            }
        });
        Ok(RegistryDouble { url, task })
    }

    fn answer(&self, request: &Value) -> Value {
        let (id, parameters) = (&request["id"], &request["params"]);
        let failed = |code, message| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
        if self.dead {
            return failed(-32000, "out of service");
        }
        let result = match request["method"].as_str() {
            Some("eth_chainId") => json!(CHAIN_ID),
            Some("eth_getBlockByNumber") => json!(header(number(&parameters[0]).unwrap_or(HEAD))),
            Some("eth_getBlockByHash") => json!(header(HEAD)),
            Some("eth_getCode") => json!("0x00"),
            Some("eth_call") => json!(self.call(&parameters[0])),
            Some("eth_getLogs") => self.logs(&parameters[0]),
            // Many providers have none.
            Some("eth_getProof" | "eth_createAccessList") => {
                return failed(-32601, "the method does not exist");
            }
            other => panic!("nobody asks a registry for {other:?}"),
        };
        json!({ "jsonrpc": "2.0", "id": id, "result": result })
    }

    fn call(&self, transaction: &Value) -> Bytes {
        self.answered(transaction).expect("a call of one of the views that are here")
    }

    fn answered(&self, transaction: &Value) -> Option<Bytes> {
        let to: Address = serde_json::from_value(transaction["to"].clone()).ok()?;
        let input = transaction.get("input").or_else(|| transaction.get("data"))?;
        let input: Bytes = serde_json::from_value(input.clone()).ok()?;
        let answer = match (to, *input.first_chunk()?) {
            (DOUBLE_BRIDGE, Bridge::walletsCall::SELECTOR) => {
                let call = Bridge::walletsCall::abi_decode(&input).ok()?;
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
                Bridge::walletsCall::abi_encode_returns(&wallet)
            }
            (DOUBLE_REGISTRY, getWalletCall::SELECTOR) => {
                let call = getWalletCall::abi_decode(&input).ok()?;
                let none = Wallets::Wallet {
                    membersIdsHash: B256::ZERO,
                    publicKeyX: B256::ZERO,
                    publicKeyY: B256::ZERO,
                };
                getWalletCall::abi_encode_returns(self.kept.get(&call.walletID).unwrap_or(&none))
            }
            (DOUBLE_REGISTRY, sortitionPoolCall::SELECTOR) => sortitionPoolCall::abi_encode_returns(&POOL),
            (POOL, getIDOperatorsCall::SELECTOR) => {
                let call = getIDOperatorsCall::abi_decode(&input).ok()?;
                let operators: Vec<_> =
                    call.ids.iter().map(|id| self.operators.get(id).copied().unwrap_or_default()).collect();
                getIDOperatorsCall::abi_encode_returns(&operators)
            }
            (DOUBLE_REGISTRY, operatorToStakingProviderCall::SELECTOR) => {
                let call = operatorToStakingProviderCall::abi_decode(&input).ok()?;
                let provider = self.providers.get(&call.operator).copied().unwrap_or_default();
                operatorToStakingProviderCall::abi_encode_returns(&provider)
            }
            (DOUBLE_REGISTRY, eligibleStakeCall::SELECTOR) => {
                let call = eligibleStakeCall::abi_decode(&input).ok()?;
                let stake = self.stakes.get(&call.stakingProvider).copied().unwrap_or_default();
                eligibleStakeCall::abi_encode_returns(&U256::from(stake).to())
            }
            _ => return None,
        };
        Some(answer.into())
    }

    fn logs(&self, filter: &Value) -> Value {
        assert_eq!(filter["address"], json!(DOUBLE_REGISTRY), "only the registry's events are here");
        let block = |name: &str| number(&filter[name]).expect("a range has ends");
        let range = block("fromBlock")..=block("toBlock");
        let created = self.created.iter().map(|(at, event)| (*at, event.encode_log_data()));
        let submitted = self.submitted.iter().map(|(at, event)| (*at, event.encode_log_data()));
        let wanted = |topics: &[B256]| {
            let filter = filter["topics"].as_array().into_iter().flatten();
            filter.zip(topics).all(|(filter, topic)| match filter {
                Value::Array(any) => any.contains(&json!(topic)),
                Value::Null => true,
                one => *one == json!(topic),
            })
        };
        created
            .chain(submitted)
            .filter(|(at, log)| range.contains(at) && wanted(log.topics()))
            .map(|(at, log)| {
                json!({
                    "address": DOUBLE_REGISTRY, "topics": log.topics(), "data": log.data,
                    "blockNumber": format!("{at:#x}"), "blockHash": B256::ZERO, "transactionHash": B256::ZERO,
                    "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
                })
            })
            .collect()
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn header(number: u64) -> Header {
    Header::new(consensus::Header { number, timestamp: 1_700_000_000 + 12 * number, ..Default::default() })
}

impl RegistryDouble {
    /// Where it is.
    pub const fn url(&self) -> &Url {
        &self.url
    }
}

impl Drop for RegistryDouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}
