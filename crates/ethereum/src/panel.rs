//! All servers asked side by side, each at its own word: which block enough of them name, and what a call answers there,
//! proven if it can be, else as enough of them say.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, U64},
    rpc::types::{BlockId, Header as RpcHeader, TransactionInput, TransactionRequest},
};
use coxswain_rules::{
    Assurance, Assured, Dissent, Quorum,
    units::{BlockNumber, UnixTime},
};
use futures_util::future::join_all;
use url::Url;

#[cfg(feature = "proven")]
use crate::proof::{Call, ProofError, Proven, Prover, Recorder};
use crate::{
    decision::{Decider, Decision, DecisionError, MAX_BEHIND, Named, Pace, Response, ancestor, named},
    error::{ChainError, excerpt},
    rpc::{
        BlockSelector, Called, ConnectError, Connection, Disagreement, Dissents, Endpoints, Expected,
        HashedHeader, RequestError, agreed, revert_of, takes_no_hash,
    },
};

/// How many headers are asked for at once at most, to get from a block to its ancestor.
const MAX_PARENTS: usize = 64;
/// How many servers' newest blocks are looked at for one whose state is proven.
const MAX_NEWEST: usize = 3;

/// All servers of one chain.
#[derive(Clone, Debug)]
pub struct Panel {
    chain_id: u64,
    quorum: Quorum,
    servers: Vec<Server>,
    dissents: Dissents,
    #[cfg(feature = "proven")]
    prover: Arc<Prover>,
    /// Where it is taken down what proven answers rest on, if anybody wants that.
    #[cfg(feature = "proven")]
    recorder: Option<Recorder>,
}

/// One server, behind one URL or more.
#[derive(Clone, Debug)]
struct Server {
    connections: Arc<[Connection]>,
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
    ) -> Result<Self, ConnectError> {
        let expected = Expected { quorum: at_least, loopback_is_one, ..Expected::default() };
        Ok(Self::of(&Endpoints::several(urls.iter().cloned(), expected)?, chain_id))
    }

    /// The servers of these endpoints, of chain `chain_id`. Nothing is sent yet.
    pub fn of(endpoints: &Endpoints, chain_id: u64) -> Self {
        let servers = endpoints.servers();
        #[cfg(feature = "proven")]
        let prover = Arc::new(Prover::new(endpoints, chain_id));
        Self {
            chain_id,
            quorum: endpoints.quorum(),
            servers: servers.into_iter().map(|server| Server { connections: server.into() }).collect(),
            dissents: endpoints.noted().clone(),
            #[cfg(feature = "proven")]
            prover,
            #[cfg(feature = "proven")]
            recorder: None,
        }
    }

    /// The same servers; what their proven answers rest on is taken down.
    #[cfg(feature = "proven")]
    #[must_use]
    pub fn recorded(&self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self.clone() }
    }

    /// Returns a decider for these servers.
    pub const fn decider(&self, pace: Pace) -> Decider {
        Decider::new(self.quorum, pace)
    }

    /// The block that enough servers name now, at this time.
    ///
    /// # Errors
    /// If none is named by enough.
    pub async fn decide(&self, decider: &mut Decider, now: UnixTime) -> Result<Decision, ChainError> {
        let heads = join_all(self.servers.iter().map(|server| server.head(self.chain_id))).await;
        let heard: Vec<_> = self.heard(&heads);
        let responses: Vec<_> = heard.iter().map(Response::as_ref).collect();
        let horizon = decider.heads(now, &responses).map_err(|error| Self::undecided(error, &heads))?;
        let heights = horizon.heights();
        let heights: Vec<_> = heights.start().to(*heights.end()).collect();
        let names = join_all(self.servers.iter().map(|server| server.headers(&heights))).await;
        let heard: Vec<_> = self.heard(&names);
        let responses: Vec<_> = heard.iter().map(|names| names.as_ref().map(Vec::as_slice)).collect();
        let decision =
            decider.names(now, horizon, &responses).map_err(|error| Self::undecided(error, &names))?;
        self.note_heads(&decision, &heads, &names);
        Ok(decision)
    }

    /// Notes whose heads and blocks are not those that enough servers name.
    fn note_heads(
        &self,
        decision: &Decision,
        heads: &[Result<HashedHeader, RequestError>],
        names: &[Result<Vec<HashedHeader>, RequestError>],
    ) {
        let at = decision.header.number();
        for ((server, head), names) in self.servers.iter().zip(heads).zip(names) {
            let note = |said: String| self.dissents.note(server.name(), || said);
            match head {
                Ok(head) if head.number() > decision.clock.saturating_add(MAX_BEHIND) => note(format!(
                    "it says that its newest block is {}, enough others have come to {}",
                    head.number(),
                    decision.clock
                )),
                Ok(head) if decision.clock.saturating_since(head.number()) > MAX_BEHIND => note(format!(
                    "it is behind: its newest block is {}, enough others have come to {}",
                    head.number(),
                    decision.clock
                )),
                Err(error) if error.is_false() => note(error.to_string()),
                Ok(_) | Err(_) => {}
            }
            let named = names.as_ref().ok().and_then(|names| names.iter().find(|name| name.number() == at));
            if let Some(other) = named.filter(|named| **named != decision.header) {
                let hash = other.hash();
                note(format!("it names another block {at}: {hash}, not {}", decision.header.hash()));
            }
        }
    }

    /// Why no block is decided on: if no server gives an answer, that is why.
    fn undecided<T>(error: DecisionError, answers: &[Result<T, RequestError>]) -> ChainError {
        let failures = answers.iter().filter_map(|answer| answer.as_ref().err()).cloned();
        if answers.iter().all(Result::is_err) {
            return RequestError::of_all(failures).into();
        }
        ChainError::NoDecision { error, failures: failures.collect() }
    }

    /// Returns the servers' answers, or that they gave none.
    fn heard<T: Clone>(&self, answers: &[Result<T, RequestError>]) -> Vec<Response<T>> {
        let heard = |(server, answer): (&Server, &Result<T, RequestError>)| match answer {
            Ok(answer) => Response::Answer(answer.clone()),
            Err(_) if server.has_spoken() => Response::Nothing,
            Err(_) => Response::Silence,
        };
        self.servers.iter().zip(answers).map(heard).collect()
    }

    /// The block with this number, which enough servers name.
    ///
    /// # Errors
    /// If none is named by enough.
    pub async fn at_number(&self, number: BlockNumber) -> Result<Named, ChainError> {
        let heights = [number];
        let names = join_all(self.servers.iter().map(|server| server.headers(&heights))).await;
        let heard: Vec<_> = self.heard(&names);
        let responses: Vec<_> = heard.iter().map(|names| names.as_ref().map(Vec::as_slice)).collect();
        named(self.quorum, number, &responses).map_err(|error| {
            let nobody_has_it = names.iter().all(|names| names.as_ref().is_ok_and(Vec::is_empty));
            if nobody_has_it {
                self.no_block(BlockSelector::Number(number))
            } else {
                Self::undecided(error, &names)
            }
        })
    }

    /// The block with this hash, which whoever asks for it trusts, and how many servers have it.
    ///
    /// # Errors
    /// If no server has it.
    pub async fn at_hash(&self, hash: B256) -> Result<Named, ChainError> {
        let found = join_all(self.servers.iter().map(|server| server.by_hash(hash))).await;
        if found.iter().all(Result::is_err) {
            return Err(RequestError::of_all(found.into_iter().filter_map(Result::err)).into());
        }
        let mut found = found.into_iter().filter_map(Result::ok).flatten();
        let header = found.next().ok_or_else(|| self.no_block(BlockSelector::Hash(hash)))?;
        Ok(Named { header, named_by: 1 + found.count(), of: self.quorum.servers(), is_given: true })
    }

    /// The block that enough servers have reached and name, of those that they give this tag.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn at_tag(&self, tag: BlockSelector) -> Result<Named, ChainError> {
        let tagged = join_all(self.servers.iter().map(|server| server.tagged(tag))).await;
        let mut heights: Vec<_> =
            tagged.iter().filter_map(|tagged| tagged.as_ref().ok()).map(HashedHeader::number).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        let required = self.required();
        match required.checked_sub(1).and_then(|place| heights.get(place)) {
            Some(height) => self.at_number(*height).await,
            None => {
                let error = DecisionError::NoFreshHead { counted: heights.len(), required };
                Err(Self::undecided(error, &tagged))
            }
        }
    }

    /// The newest blocks of servers, not under this one, that enough servers name: on them more is proven by servers that keep
    /// no old state.
    pub(crate) async fn newest(&self, not_under: &HashedHeader) -> Vec<Named> {
        let heads = join_all(self.servers.iter().map(|server| server.head(self.chain_id))).await;
        let mut heads: Vec<_> = heads.into_iter().flatten().collect();
        heads.retain(|head| head.number() >= not_under.number() && head != not_under);
        heads.sort_by_key(HashedHeader::number);
        heads.dedup();
        let mut newest = Vec::new();
        for head in heads.into_iter().take(MAX_NEWEST) {
            newest.extend(self.at_number(head.number()).await.ok().filter(|named| named.header == head));
        }
        newest
    }

    /// The chain that enough servers say they serve, and the name of one that says so.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn chain_id(endpoints: &Endpoints) -> Result<(u64, String), ChainError> {
        let panel = Self::of(endpoints, 0);
        let asked = panel.servers.iter().map(|server| {
            server
                .ask(|connection| async move { connection.request_twice::<_, U64>("eth_chainId", ()).await })
        });
        let answers = join_all(asked).await;
        let shown = |id: &U64| format!("says that it serves chain {id}");
        let (id, _) = panel.vote("eth_chainId", answers.clone(), shown)?;
        let mut servers = panel.servers.iter().zip(answers);
        let says_so = servers.find(|(_, answer)| answer.as_ref().is_ok_and(|answer| *answer == id));
        let name = says_so.map(|(server, _)| server.name().to_owned()).unwrap_or_default();
        Ok((id.to(), name))
    }

    fn no_block(&self, block: BlockSelector) -> ChainError {
        let names: Vec<_> = self.servers.iter().map(Server::name).collect();
        ChainError::NoBlock { endpoint: names.join(" and "), block }
    }

    /// The ancestor of a block at this height: proven by the hashes of the parents between, from whichever server has them,
    /// else as enough servers name it.
    ///
    /// # Errors
    /// If it is neither.
    pub async fn ancestor(
        &self,
        block: &HashedHeader,
        number: BlockNumber,
    ) -> Result<Assured<HashedHeader>, ChainError> {
        let heights: Vec<_> = number.to(block.number()).rev().skip(1).take(MAX_PARENTS).collect();
        for server in &self.servers {
            if let Ok(parents) = server.headers(&heights).await
                && let Some(found) = ancestor(block, &parents, number)
            {
                return Ok(Assured { fact: found.clone(), assurance: Assurance::Proven });
            }
        }
        let Named { header, named_by, .. } = self.at_number(number).await?;
        Ok(Assured { fact: header, assurance: assurance(named_by) })
    }

    /// The block at each of these heights, in their order, which enough servers name; an error where none is.
    ///
    /// Sends one batch to each server for up to 64 of them.
    ///
    /// # Errors
    /// If no server gives a usable answer.
    pub async fn at_numbers(
        &self,
        numbers: &[BlockNumber],
    ) -> Result<Vec<Result<Named, DecisionError>>, ChainError> {
        let mut found = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(MAX_PARENTS) {
            let names = join_all(self.servers.iter().map(|server| server.headers(numbers))).await;
            if names.iter().all(Result::is_err) {
                return Err(RequestError::of_all(names.into_iter().filter_map(Result::err)).into());
            }
            let heard = self.heard(&names);
            let responses: Vec<_> = heard.iter().map(|names| names.as_ref().map(Vec::as_slice)).collect();
            found.extend(numbers.iter().map(|number| named(self.quorum, *number, &responses)));
        }
        Ok(found)
    }

    /// Returns the answer of a contract, or of creation code, after this block.
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
            let proven = async {
                match &self.recorder {
                    Some(recorder) => self.prover.call_recorded(&call, at, recorder).await,
                    None => self.prover.call(&call, at).await,
                }
            };
            tokio::join!(said, proven)
        };
        #[cfg(not(feature = "proven"))]
        let said = said.await;
        #[cfg(feature = "proven")]
        let answers = said.clone();
        let voted = self.vote("eth_call", said, shown);
        #[cfg(feature = "proven")]
        if let Ok(Proven { called, .. }) = &proven {
            self.note_refuted(&answers, called);
        }
        #[cfg(feature = "proven")]
        match (proven, &voted) {
            (Ok(Proven { called, .. }), Ok((agreed, _))) if *agreed != called => {
                let said = self.servers.iter().zip(&answers).filter_map(|(server, answer)| {
                    Some(format!("{} {}", server.name(), shown(answer.as_ref().ok()?)))
                });
                let said = said.collect::<Vec<_>>().join("; ");
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
        match (voted, to) {
            (Ok((fact, votes)), _) => Ok(Assured { fact, assurance: assurance(votes) }),
            (Err(error), Some(address)) if error.may_be_for_lack_of_code() => {
                match self.code(address, at).await {
                    Some(code) if code.is_empty() => Err(ChainError::NoCode { address, block: at.block() }),
                    _ if error.is_bare_revert() => Err(ChainError::RevertWithoutReason { address }),
                    _ => Err(error.into()),
                }
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Notes who says otherwise than what is proven.
    #[cfg(feature = "proven")]
    fn note_refuted(&self, answers: &[Result<Called, RequestError>], proven: &Called) {
        for (server, answer) in self.servers.iter().zip(answers) {
            if let Some(said) = answer.as_ref().ok().filter(|said| *said != proven) {
                let said = || format!("eth_call: it {}; what is proven {}", shown(said), shown(proven));
                self.dissents.note(server.name(), said);
            }
        }
    }

    /// The code at an address after this block, as enough servers say that name the block.
    pub(crate) async fn code(&self, address: Address, at: &HashedHeader) -> Option<Bytes> {
        let asked = self.servers.iter().map(|server| {
            server.ask(|connection| async move {
                Server::require(&connection, at).await?;
                let block = BlockId::hash_canonical(at.hash());
                connection.request_twice::<_, Bytes>("eth_getCode", (address, block)).await
            })
        });
        let answers = join_all(asked).await;
        let voted = self.vote("eth_getCode", answers, |code| format!("has {} bytes of code", code.len()));
        voted.ok().map(|(code, _)| code)
    }

    /// Whether the state after this block is proven: of this account, at least.
    pub async fn proves(&self, account: Address, at: &HashedHeader) -> bool {
        #[cfg(feature = "proven")]
        return self.prover.has_code(account, at).await.is_ok();
        #[cfg(not(feature = "proven"))]
        {
            let _ = (account, at);
            false
        }
    }

    /// Returns the servers that enough others outvoted, or that a proof refuted, with what each said.
    pub fn dissents(&self) -> Vec<Dissent> {
        self.dissents.all()
    }

    /// How far events are to be believed, which are read as enough servers tell them.
    pub fn events_assurance(&self) -> Assurance {
        assurance(self.required())
    }

    /// How many servers must say the same, as things stand.
    fn required(&self) -> usize {
        self.quorum.required(self.servers.iter().filter(|server| server.has_spoken()).count())
    }

    /// Returns the answer that enough servers give, and how many do.
    fn vote<T: PartialEq>(
        &self,
        method: &'static str,
        answers: Vec<Result<T, RequestError>>,
        shown: impl Fn(&T) -> String,
    ) -> Result<(T, usize), RequestError> {
        let said = self.servers.iter().map(Server::name).zip(answers).collect();
        let voted = agreed(method, self.required(), said, shown, &self.dissents);
        voted.map_err(|Disagreement { error, .. }| error)
    }
}

/// How far a fact is to be believed that this many servers say, which are enough.
pub(crate) const fn assurance(votes: usize) -> Assurance {
    if votes > 1 { Assurance::Agreed } else { Assurance::Word }
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
        self.connections.iter().any(Connection::has_spoken)
    }

    /// Asks one URL after the other, until one answers; else why the first didn't.
    async fn ask<T, F: Future<Output = Result<T, RequestError>>>(
        &self,
        ask: impl Fn(Connection) -> F,
    ) -> Result<T, RequestError> {
        let mut failure = None;
        for connection in &*self.connections {
            match ask(connection.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| RequestError::NoneFit(Vec::new())))
    }

    /// Its newest block, if it is on this chain.
    async fn head(&self, chain_id: u64) -> Result<HashedHeader, RequestError> {
        self.ask(|connection| async move {
            let id = connection.request_twice::<_, U64>("eth_chainId", ());
            let params = ("latest", false);
            let head = connection.request_twice::<_, RpcHeader>("eth_getBlockByNumber", params);
            let (id, head) = tokio::join!(id, head);
            let (id, head) = (id?.to::<u64>(), head?);
            if id != chain_id {
                return Err(connection.other_chain(chain_id, id));
            }
            connection.hashed("eth_getBlockByNumber", head)
        })
        .await
    }

    /// The block that it gives a tag.
    async fn tagged(&self, tag: BlockSelector) -> Result<HashedHeader, RequestError> {
        self.ask(|connection| async move {
            let params = (tag.to_string(), false);
            let header = connection.request_twice::<_, RpcHeader>("eth_getBlockByNumber", params).await?;
            connection.hashed("eth_getBlockByNumber", header)
        })
        .await
    }

    /// The headers that it has at these heights.
    async fn headers(&self, heights: &[BlockNumber]) -> Result<Vec<HashedHeader>, RequestError> {
        let params: Vec<_> = heights.iter().map(|height| (U64::from(height.0), false)).collect();
        let params = &params;
        self.ask(|connection| async move {
            let answers: Vec<Option<RpcHeader>> =
                connection.batch_twice("eth_getBlockByNumber", params).await?;
            // The block that comes back must be the one asked for.
            let headers = heights.iter().zip(answers).filter_map(|(height, answer)| {
                HashedHeader::of(answer?).filter(|header| header.number() == *height)
            });
            Ok(headers.collect())
        })
        .await
    }

    /// The header with this hash, if it has it.
    async fn by_hash(&self, hash: B256) -> Result<Option<HashedHeader>, RequestError> {
        self.ask(|connection| async move {
            let header: Option<RpcHeader> =
                connection.request_twice("eth_getBlockByHash", (hash, false)).await?;
            Ok(header.and_then(HashedHeader::of).filter(|header| header.hash() == hash))
        })
        .await
    }

    /// Checks that it names this block at its height.
    async fn require(connection: &Connection, at: &HashedHeader) -> Result<(), RequestError> {
        let params = (U64::from(at.number().0), false);
        let found: Option<RpcHeader> = connection.request_twice("eth_getBlockByNumber", params).await?;
        match found.and_then(HashedHeader::of) {
            Some(found) if found == *at => Ok(()),
            _ => Err(connection.no_block(at.block())),
        }
    }

    /// What it says that the call answers. A revert without a reason, and nothing, are no answers.
    async fn call(
        &self,
        transaction: &TransactionRequest,
        at: &HashedHeader,
    ) -> Result<Called, RequestError> {
        self.ask(|connection| async move {
            let by_hash = (transaction.clone(), BlockId::hash_canonical(at.hash()));
            let answer = match called(connection.request_twice::<_, Bytes>("eth_call", by_hash).await) {
                Err(error) if takes_no_hash(&error) => {
                    Self::require(&connection, at).await?;
                    let by_number = (transaction.clone(), U64::from(at.number().0));
                    let answer = called(connection.request_twice::<_, Bytes>("eth_call", by_number).await);
                    Self::require(&connection, at).await?;
                    answer
                }
                answer => answer,
            };
            match answer? {
                Called::Returned(bytes) if bytes.is_empty() => Err(connection.empty("eth_call")),
                called => Ok(called),
            }
        })
        .await
    }
}

/// What an answer to `eth_call` says. A revert without a reason says nothing.
fn called(answer: Result<Bytes, RequestError>) -> Result<Called, RequestError> {
    match answer {
        Ok(bytes) => Ok(Called::Returned(bytes)),
        Err(RequestError::Rpc { method, endpoint, code, message, data }) => {
            revert_of(code, &message, data.as_deref())
                .filter(|reason| !reason.is_empty())
                .map(Called::Reverted)
                .ok_or(RequestError::Rpc { method, endpoint, code, message, data })
        }
        Err(error) => Err(error),
    }
}
