//! All servers asked side by side, each at its own word: which block enough of them name, and what a call answers there,
//! proven if it can be, else as enough of them say.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy::{
    primitives::{Address, B256, Bytes, U64},
    rpc::types::{BlockId, Header as RpcHeader, TransactionInput, TransactionRequest},
};
use coxswain_rules::{Assurance, Assured, Case, Quorum, QuorumError, servers};
use futures_util::future::join_all;
use url::Url;

#[cfg(feature = "proven")]
use crate::proof::{Call, ProofError, Proven, Prover};
use crate::{
    decision::{Decider, Decision, Named, Pace, Response, ancestor, named},
    error::{ChainError, excerpt},
    rpc::{
        BlockSelector, Called, ConnectError, Connection, HashedHeader, REQUEST_TIMEOUT, RequestError,
        address, revert_of,
    },
    validator::{ContractVerdict, ProposalValidator, calldata},
};

/// How many headers are asked for at once at most, to get from a block to its ancestor.
const MAX_PARENTS: usize = 64;

/// Why there is nobody to ask.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PanelError {
    /// A URL can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The quorum can't be met.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

/// All servers of one chain.
#[derive(Debug)]
pub struct Panel {
    chain_id: u64,
    quorum: Quorum,
    servers: Vec<Server>,
    #[cfg(feature = "proven")]
    prover: Prover,
}

/// One server, behind one URL or more.
#[derive(Debug)]
struct Server {
    connections: Vec<Connection>,
    /// Whether it has given an answer to anything that was understood.
    has_spoken: AtomicBool,
}

impl Panel {
    /// The servers at these URLs, of chain `chain_id`. A setting may raise how many must say the same, and make all of this
    /// machine one server. Nothing is sent yet.
    ///
    /// # Errors
    /// If a URL can't be used, or there are fewer servers than must say the same.
    pub fn new(
        urls: &[Url],
        chain_id: u64,
        at_least: usize,
        loopback_is_one: bool,
    ) -> Result<Self, PanelError> {
        let places = servers(urls.iter().map(address), loopback_is_one);
        let quorum = Quorum::new(places.iter().max().map_or(0, |last| last + 1), at_least)?;
        let mut panel: Vec<_> = (0..quorum.servers())
            .map(|_| Server { connections: Vec::new(), has_spoken: AtomicBool::new(false) })
            .collect();
        for (url, place) in urls.iter().zip(places) {
            if let Some(server) = panel.get_mut(place) {
                server.connections.push(Connection::new(url.clone(), REQUEST_TIMEOUT)?);
            }
        }
        #[cfg(feature = "proven")]
        let prover = Prover::of(panel.iter().flat_map(|server| server.connections.clone()), chain_id);
        Ok(Self {
            chain_id,
            quorum,
            servers: panel,
            #[cfg(feature = "proven")]
            prover,
        })
    }

    /// Who decides on blocks here.
    pub const fn decider(&self, pace: Pace) -> Decider {
        Decider::new(self.quorum, pace)
    }

    /// The block that enough servers name now, at this Unix time.
    ///
    /// # Errors
    /// If none is named by enough.
    pub async fn decide(&self, decider: &mut Decider, now: u64) -> Result<Decision, ChainError> {
        let heads = join_all(self.servers.iter().map(|server| server.head(self.chain_id))).await;
        let heads: Vec<_> = heads.iter().map(Response::as_ref).collect();
        let horizon = decider.heads(now, &heads)?;
        let heights: Vec<_> = horizon.heights().collect();
        let names = join_all(self.servers.iter().map(|server| server.headers(&heights))).await;
        let names: Vec<_> = names.iter().map(|names| names.as_ref().map(Vec::as_slice)).collect();
        Ok(decider.names(now, horizon, &names)?)
    }

    /// The block at this height, which enough servers name.
    ///
    /// # Errors
    /// If none is named by enough.
    pub async fn at_number(&self, number: u64) -> Result<Named, ChainError> {
        let heights = [number];
        let names = join_all(self.servers.iter().map(|server| server.headers(&heights))).await;
        let names: Vec<_> = names.iter().map(|names| names.as_ref().map(Vec::as_slice)).collect();
        Ok(named(self.quorum, number, &names)?)
    }

    /// The block with this hash, which whoever asks for it trusts, and how many servers have it.
    ///
    /// # Errors
    /// If no server has it.
    pub async fn at_hash(&self, hash: B256) -> Result<Named, ChainError> {
        let found = join_all(self.servers.iter().map(|server| server.by_hash(hash))).await;
        let mut found = found.into_iter().flatten();
        let endpoint = || self.servers.first().map(|server| server.name().to_owned()).unwrap_or_default();
        let no_block = || ChainError::NoBlock { endpoint: endpoint(), block: BlockSelector::Hash(hash) };
        let header = found.next().ok_or_else(no_block)?;
        Ok(Named { header, named_by: 1 + found.count(), of: self.quorum.servers() })
    }

    /// The ancestor of a block at this height: by the hashes of the parents between, from whichever server has them, else
    /// as enough servers name it.
    ///
    /// # Errors
    /// If it is neither.
    pub async fn ancestor(&self, block: &HashedHeader, number: u64) -> Result<HashedHeader, ChainError> {
        let heights: Vec<_> = (number..block.number()).rev().take(MAX_PARENTS).collect();
        for server in &self.servers {
            if let Response::Answer(parents) = server.headers(&heights).await
                && let Some(found) = ancestor(block, &parents, number)
            {
                return Ok(found.clone());
            }
        }
        self.at_number(number).await.map(|named| named.header)
    }

    /// Judges a case at a block that was decided on, or named.
    pub async fn validate(
        &self,
        validator: &ProposalValidator,
        case: &Case,
        at: &HashedHeader,
    ) -> Assured<ContractVerdict> {
        match self.call(Some(validator.address()), calldata(case), at).await {
            Ok(Assured { fact, assurance }) => Assured { fact: validator.verdict(case, fact), assurance },
            Err(undecided) => {
                Assured { fact: ContractVerdict::Undecided(undecided), assurance: Assurance::Word }
            }
        }
    }

    /// What a contract, or creation code, answers after this block.
    ///
    /// # Errors
    /// If that is neither proven nor agreed on, or what is proven is not what enough servers say.
    pub async fn call(
        &self,
        to: Option<Address>,
        input: Bytes,
        at: &HashedHeader,
    ) -> Result<Assured<Called>, ChainError> {
        let transaction = TransactionRequest {
            to: to.map(Into::into),
            input: TransactionInput::new(input.clone()),
            ..TransactionRequest::default()
        };
        let said = join_all(self.servers.iter().map(|server| server.call(&transaction, at)));
        #[cfg(feature = "proven")]
        let (said, proven) = {
            let call = Call { to, input };
            tokio::join!(said, self.prover.call(&call, at))
        };
        #[cfg(not(feature = "proven"))]
        let said = said.await;
        let (agreed, said) = self.agreed(said);
        #[cfg(not(feature = "proven"))]
        drop(said);
        #[cfg(feature = "proven")]
        match (proven, &agreed) {
            (Ok(Proven { called, .. }), Ok(agreed)) if agreed.fact != called => {
                return Err(ChainError::Contradicted { block: at.block(), said });
            }
            (Ok(Proven { has_code: false, .. }), _) => {
                let address = to.unwrap_or_default();
                return Err(ChainError::NoCode { address, block: at.block() });
            }
            (Ok(Proven { called, .. }), _) => {
                return Ok(Assured { fact: called, assurance: Assurance::Proven });
            }
            (Err(ProofError::NotProvable(_) | ProofError::NoProof(_)), _) => {}
        }
        agreed
    }

    /// What enough servers say, and who says what.
    fn agreed(
        &self,
        said: Vec<Result<Called, RequestError>>,
    ) -> (Result<Assured<Called>, ChainError>, String) {
        let required = self.quorum.required(self.servers.iter().filter(|server| server.has_spoken()).count());
        let mut votes: Vec<(Called, usize)> = Vec::new();
        let mut failure = None;
        let mut words = Vec::new();
        for (server, said) in self.servers.iter().zip(said) {
            match said {
                Ok(called) => {
                    words.push(format!("{} {}", server.name(), shown(&called)));
                    match votes.iter_mut().find(|(other, _)| *other == called) {
                        Some((_, votes)) => *votes += 1,
                        None => votes.push((called, 1)),
                    }
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let words = words.join("; ");
        let agreed = match votes.iter().find(|(_, votes)| *votes >= required) {
            Some((fact, votes)) => {
                let assurance = if *votes > 1 { Assurance::Agreed } else { Assurance::Word };
                Ok(Assured { fact: fact.clone(), assurance })
            }
            None => match failure {
                Some(error) if votes.is_empty() => Err(error.into()),
                _ => Err(ChainError::NotAgreed { required, said: words.clone() }),
            },
        };
        (agreed, words)
    }
}

/// How a call ended, cut.
fn shown(called: &Called) -> String {
    match called {
        Called::Returned(bytes) => format!("says that it returns {}", excerpt(bytes)),
        Called::Reverted(bytes) => format!("says that it reverts with {}", excerpt(bytes)),
    }
}

impl Server {
    /// Host and port of its first URL.
    fn name(&self) -> &str {
        self.connections.first().map(Connection::name).unwrap_or_default()
    }

    fn has_spoken(&self) -> bool {
        self.has_spoken.load(Ordering::Relaxed)
    }

    /// What it says, or that it says nothing.
    fn heard<T>(&self, answer: Option<T>) -> Response<T> {
        match answer {
            Some(answer) => {
                self.has_spoken.store(true, Ordering::Relaxed);
                Response::Answer(answer)
            }
            None if self.has_spoken() => Response::Nothing,
            None => Response::Silence,
        }
    }

    /// Asks one URL after the other, until one answers.
    async fn ask<T, F: Future<Output = Option<T>>>(&self, ask: impl Fn(Connection) -> F) -> Response<T> {
        for connection in &self.connections {
            if let Some(answer) = ask(connection.clone()).await {
                return self.heard(Some(answer));
            }
        }
        self.heard(None)
    }

    /// Its newest block, if it is on this chain.
    async fn head(&self, chain_id: u64) -> Response<HashedHeader> {
        let head = self
            .ask(|connection| async move {
                let id = connection.request::<_, U64>("eth_chainId", ());
                let head = connection.request::<_, RpcHeader>("eth_getBlockByNumber", ("latest", false));
                let (id, head) = tokio::join!(id, head);
                Some((id.ok()?.to::<u64>(), HashedHeader::of(head.ok()?)?))
            })
            .await;
        match head {
            Response::Answer((id, head)) if id == chain_id => Response::Answer(head),
            // It has said that it is on another chain.
            Response::Answer(_) | Response::Nothing => Response::Nothing,
            Response::Silence => Response::Silence,
        }
    }

    /// The headers that it has at these heights.
    async fn headers(&self, heights: &[u64]) -> Response<Vec<HashedHeader>> {
        let params: Vec<_> = heights.iter().map(|height| (U64::from(*height), false)).collect();
        let params = &params;
        self.ask(|connection| async move {
            let answers: Vec<Option<RpcHeader>> =
                connection.batch("eth_getBlockByNumber", params).await.ok()?;
            // The block that comes back must be the one asked for.
            let headers = heights.iter().zip(answers).filter_map(|(height, answer)| {
                HashedHeader::of(answer?).filter(|header| header.number() == *height)
            });
            Some(headers.collect())
        })
        .await
    }

    /// The header with this hash, if it has it.
    async fn by_hash(&self, hash: B256) -> Option<HashedHeader> {
        let found = self
            .ask(|connection| async move {
                let header: Option<RpcHeader> =
                    connection.request("eth_getBlockByHash", (hash, false)).await.ok()?;
                HashedHeader::of(header?).filter(|header| header.hash() == hash)
            })
            .await;
        match found {
            Response::Answer(header) => Some(header),
            Response::Nothing | Response::Silence => None,
        }
    }

    /// What it says that the call answers. A revert without a reason, and nothing, are no answers.
    async fn call(
        &self,
        transaction: &TransactionRequest,
        at: &HashedHeader,
    ) -> Result<Called, RequestError> {
        let mut failure = None;
        for connection in &self.connections {
            let params = (transaction.clone(), BlockId::hash_canonical(at.hash()));
            let called = match connection.request::<_, Bytes>("eth_call", params).await {
                Ok(bytes) if bytes.is_empty() => Err(RequestError::Garbage {
                    method: "eth_call",
                    endpoint: connection.name().to_owned(),
                    cause: "it is empty".to_owned(),
                    answer: String::new(),
                }),
                Ok(bytes) => Ok(Called::Returned(bytes)),
                Err(RequestError::Rpc { method, endpoint, code, message, data }) => {
                    revert_of(code, &message, data.as_deref())
                        .filter(|reason| !reason.is_empty())
                        .map(Called::Reverted)
                        .ok_or(RequestError::Rpc { method, endpoint, code, message, data })
                }
                Err(error) => Err(error),
            };
            match called {
                Ok(called) => {
                    self.has_spoken.store(true, Ordering::Relaxed);
                    return Ok(called);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| RequestError::NoneFit(Vec::new())))
    }
}
