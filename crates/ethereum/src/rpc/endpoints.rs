//! The Ethereum endpoints that every request goes through. The first fit endpoint is asked. If it fails, the next one is asked.
//! A request that failed temporarily is repeated with jitter.
//!
//! Only reads go through here, so that asking twice does no harm.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use alloy::{
    consensus::Header,
    primitives::U64,
    rpc::{
        json_rpc::{RpcRecv, RpcSend},
        types::Header as RpcHeader,
    },
};
use backon::{ExponentialBuilder, Retryable};
use coxswain_rules::{
    Dissent, Quorum, servers,
    units::{BlockNumber, Blocks},
};
use futures_util::future::join_all;
use tokio::time::Instant;
use url::Url;

use super::{
    address,
    block::{Block, BlockSelector, RpcBlock},
    connection::{ConnectError, Connection, Timing},
    error::{RequestError, UnfitError},
    header::HashedHeader,
    member::{Condition, Expected, Health, Member},
    votes::{Disagreement, Dissents, Said, agreed},
};

/// Attempts after the first.
const RETRIES: usize = 1;
/// The pause before the first retry; doubled for the next, and jittered.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long a check holds. An endpoint that is not fit is asked again after this, or when there is no other.
const CHECKED_FOR: Duration = Duration::from_secs(60);
/// How many blocks an endpoint may be behind the others: two minutes on mainnet.
pub const MAX_LAG: Blocks = Blocks(10);

/// Where Ethereum is asked: one JSON-RPC endpoint over HTTP, or several, in the order of preference.
#[derive(Clone, Debug)]
pub struct Endpoints(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// At least one.
    members: Vec<Member>,
    /// Which members are one server, by their places.
    servers: Vec<Vec<usize>>,
    /// How many servers must say the same.
    quorum: Quorum,
    expected: Expected,
    /// The chain that all must serve, once it is known.
    chain_id: OnceLock<u64>,
    /// When all were last checked. Held while they are.
    checked: tokio::sync::Mutex<Option<Instant>>,
    /// Who was outvoted, or refuted.
    dissents: Dissents,
}

impl Endpoints {
    /// The endpoint at the URL, unchecked. Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is not http or https, or the HTTP client can't be set up.
    pub fn new(url: Url) -> Result<Self, ConnectError> {
        Self::several([url], Expected::default())
    }

    /// The endpoints at the URLs, the preferred one first. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no URL, one is not http or https, or the HTTP client can't be set up.
    pub fn several(urls: impl IntoIterator<Item = Url>, expected: Expected) -> Result<Self, ConnectError> {
        let urls: Vec<_> = urls.into_iter().collect();
        if urls.is_empty() {
            return Err(ConnectError::NoUrl);
        }
        let places = servers(urls.iter().map(address), expected.loopback_is_one);
        let mut servers = vec![Vec::new(); places.iter().max().map_or(0, |last| last + 1)];
        for (member, place) in places.into_iter().enumerate() {
            if let Some(server) = servers.get_mut(place) {
                server.push(member);
            }
        }
        let quorum = Quorum::new(servers.len(), expected.quorum)?;
        let timing = Timing {
            timeout: expected.timeout,
            dead_for: expected.dead_for,
            activity: expected.activity.clone(),
        };
        let connections = urls
            .into_iter()
            .map(|url| Connection::new(url, timing.clone(), expected.proxy.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::over(connections, servers, quorum, expected))
    }

    fn over(
        connections: impl IntoIterator<Item = Connection>,
        servers: Vec<Vec<usize>>,
        quorum: Quorum,
        expected: Expected,
    ) -> Self {
        Self(Arc::new(Shared {
            members: connections.into_iter().map(Member::new).collect(),
            servers,
            quorum,
            expected,
            chain_id: OnceLock::new(),
            checked: tokio::sync::Mutex::default(),
            dissents: Dissents::default(),
        }))
    }

    /// Host and port of the endpoint that will be asked: the first that is not known to be unfit.
    pub fn name(&self) -> &str {
        let members = &self.0.members;
        let asked = members.iter().find(|member| !matches!(member.condition(), Condition::Unfit(_)));
        asked.or(members.first()).map(|member| member.connection.name()).unwrap_or_default()
    }

    /// How each endpoint was last found, in the order of preference.
    pub fn health(&self) -> Vec<Health> {
        let health = |member: &Member| Health {
            endpoint: member.connection.name().to_owned(),
            condition: member.condition(),
        };
        self.0.members.iter().map(health).collect()
    }

    /// The connections to each server, in the order of preference.
    pub(crate) fn servers(&self) -> Vec<Vec<Connection>> {
        let connection = |member: &usize| self.0.members.get(*member).map(|member| member.connection.clone());
        let server = |members: &Vec<usize>| members.iter().filter_map(connection).collect();
        self.0.servers.iter().map(server).collect()
    }

    /// How many servers must say the same.
    pub fn quorum(&self) -> Quorum {
        self.0.quorum
    }

    /// How many servers the endpoints with these names are.
    pub fn servers_among(&self, names: &[&str]) -> usize {
        let is_among = |member: &usize| {
            let member = self.0.members.get(*member);
            member.is_some_and(|member| names.contains(&member.connection.name()))
        };
        self.0.servers.iter().filter(|members| members.iter().any(is_among)).count()
    }

    /// Returns what the endpoints are checked for.
    pub fn expected(&self) -> &Expected {
        &self.0.expected
    }

    /// Each endpoint for itself, unchecked.
    pub fn each(&self) -> Vec<Self> {
        let alone = |member: &Member| {
            Self::over([member.connection.clone()], vec![vec![0]], Quorum::ONE, Expected::default())
        };
        self.0.members.iter().map(alone).collect()
    }

    /// The chain that the endpoint serves.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer.
    pub async fn chain_id(&self) -> Result<u64, RequestError> {
        self.request::<_, U64>("eth_chainId", ()).await.map(|id| id.to())
    }

    /// The block that the selector names now. `None` if no endpoint has such a block.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer.
    pub async fn block(&self, selector: BlockSelector) -> Result<Option<Block>, RequestError> {
        let is_named = |block: &RpcBlock| match selector {
            BlockSelector::Hash(hash) => block.hash() == hash,
            BlockSelector::Number(number) => block.number() == number,
            BlockSelector::Latest
            | BlockSelector::Safe
            | BlockSelector::Finalized
            | BlockSelector::Earliest => true,
        };
        let useful = |block: &Option<RpcBlock>| block.as_ref().is_some_and(is_named);
        let method = match selector {
            BlockSelector::Hash(_) => "eth_getBlockByHash",
            _ => "eth_getBlockByNumber",
        };
        let (member, block) = match selector {
            BlockSelector::Hash(hash) => self.ask(method, (hash, false), useful).await?,
            BlockSelector::Number(number) => self.ask(method, (U64::from(number.0), false), useful).await?,
            tag => self.ask(method, (tag.to_string(), false), useful).await?,
        };
        let Some(answer) = block else { return Ok(None) };
        let is_named = is_named(&answer);
        let block = Block::from(answer);
        if !is_named {
            return Err(RequestError::Garbage {
                method,
                endpoint: member.connection.name().to_owned(),
                cause: format!("it is not the block asked for, {selector}"),
                answer: block.to_string(),
            });
        }
        Ok(Some(block))
    }

    /// The header of the block with this number. `None` if no endpoint has such a block.
    ///
    /// # Errors
    /// When the endpoint gives no usable answer: a header whose fields don't hash to the hash that comes with it is
    /// none, as it has fields that we don't know.
    pub async fn header(&self, number: BlockNumber) -> Result<Option<Header>, RequestError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let is_sound = |header: &RpcHeader| {
            header.inner.number == number.0 && HashedHeader::new(header.inner.clone(), header.hash).is_some()
        };
        let useful = |header: &Option<RpcHeader>| header.as_ref().is_some_and(is_sound);
        let (member, block) = self.ask(METHOD, (U64::from(number.0), false), useful).await?;
        match block {
            Some(header) if is_sound(&header) => Ok(Some(header.inner)),
            None => Ok(None),
            Some(RpcHeader { hash, inner, .. }) => Err(RequestError::Garbage {
                method: METHOD,
                endpoint: member.connection.name().to_owned(),
                cause: format!("the header of block {} hashes to {}", inner.number, inner.hash_slow()),
                answer: format!("block {number}, {hash}"),
            }),
        }
    }

    /// Sends a request that only reads, to the next endpoint when one fails, and again when all failed in passing.
    ///
    /// # Errors
    /// The last attempt's error, of the preferred endpoint.
    pub async fn request<Params, Answer>(
        &self,
        method: &'static str,
        params: Params,
    ) -> Result<Answer, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        self.ask(method, params, |_| true).await.map(|(_, answer)| answer)
    }

    /// As [`request`](Self::request), but the next endpoint is asked too when an answer is not useful. The first answer is
    /// returned if none is.
    ///
    /// # Errors
    /// As with [`request`](Self::request).
    pub(crate) async fn request_useful<Params, Answer>(
        &self,
        method: &'static str,
        params: Params,
        useful: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        self.ask(method, params, useful).await.map(|(_, answer)| answer)
    }

    /// What enough servers answer, asked side by side, each of them at its own word. Answers are compared as `normal` makes them,
    /// and shown as `shown` does. How many said it comes along.
    ///
    /// # Errors
    /// If too few say the same. If nobody says anything, why not.
    pub(crate) async fn agreed<Params, Answer>(
        &self,
        at: Block,
        method: &'static str,
        params: Params,
        normal: impl Fn(&mut Answer),
        shown: impl Fn(&Answer) -> String,
    ) -> Result<(Answer, usize), Disagreement>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv + PartialEq,
    {
        let said = self.each_says(at, method, params, normal).await;
        agreed(method, self.required(), said, shown, &self.0.dissents)
    }

    /// What each server answers, asked side by side. One that doesn't name the block `at`, before it answers and after, gives no
    /// answer: what it leaves out it may only not have.
    pub(crate) async fn each_says<Params, Answer>(
        &self,
        at: Block,
        method: &'static str,
        params: Params,
        normal: impl Fn(&mut Answer),
    ) -> Said<'_, Answer>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        let asked = async |members: &Vec<usize>| {
            let mut failure = None;
            for member in members.iter().filter_map(|member| self.0.members.get(*member)) {
                let answer = async {
                    if !member.named_last(at) {
                        member.require_named(at).await?;
                    }
                    let answer =
                        member.connection.request_twice::<Params, Answer>(method, params.clone()).await?;
                    member.require_named(at).await?;
                    Ok(answer)
                };
                match answer.await {
                    Ok(mut answer) => {
                        normal(&mut answer);
                        return Ok(answer);
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            Err(failure.unwrap_or(RequestError::NoneFit(Vec::new())))
        };
        let answers = join_all(self.0.servers.iter().map(asked)).await;
        let name = |members: &Vec<usize>| {
            let member = members.first().and_then(|member| self.0.members.get(*member));
            member.map(|member| member.connection.name()).unwrap_or_default()
        };
        self.0.servers.iter().map(name).zip(answers).collect()
    }

    /// How many servers must say the same, as things stand.
    pub(crate) fn required(&self) -> usize {
        let spoken = |members: &&Vec<usize>| {
            let mut members = members.iter().filter_map(|member| self.0.members.get(*member));
            members.any(|member| member.connection.has_spoken())
        };
        self.0.quorum.required(self.0.servers.iter().filter(spoken).count())
    }

    /// Returns the servers that enough others outvoted, or that a proof refuted, with what each said.
    pub fn dissents(&self) -> Vec<Dissent> {
        self.0.dissents.all()
    }

    /// Returns the record of servers that were outvoted or refuted.
    pub(crate) fn noted(&self) -> &Dissents {
        &self.0.dissents
    }

    /// The first useful answer, else the first answer, and whose it is.
    async fn ask<Params, Answer>(
        &self,
        method: &'static str,
        params: Params,
        useful: impl Fn(&Answer) -> bool,
    ) -> Result<(&Member, Answer), RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        let attempt = || self.ask_each(method, &params, &useful);
        attempt
            .retry(
                ExponentialBuilder::default()
                    .with_min_delay(FIRST_PAUSE)
                    .with_max_times(RETRIES)
                    .with_jitter(),
            )
            .when(RequestError::is_retryable)
            .await
    }

    /// One attempt, at each fit endpoint until one answers.
    async fn ask_each<Params, Answer>(
        &self,
        method: &'static str,
        params: &Params,
        useful: &impl Fn(&Answer) -> bool,
    ) -> Result<(&Member, Answer), RequestError>
    where
        Params: RpcSend + 'static,
        Answer: RpcRecv,
    {
        self.0.check_if_due().await;
        let mut other = None;
        let mut failure = None;
        let mut unfit = Vec::new();
        for member in &self.0.members {
            if let Condition::Unfit(reason) = member.condition()
                && self.0.is_checked()
            {
                unfit.push(reason);
                continue;
            }
            match member.connection.request::<Params, Answer>(method, params.clone()).await {
                Ok(answer) if useful(&answer) => return Ok((member, answer)),
                Ok(answer) => other = other.or(Some((member, answer))),
                Err(error) if !error.may_pass_elsewhere() => return Err(error),
                Err(error) => {
                    if self.0.is_checked() && error.is_endpoints_fault() {
                        member.found(Condition::Unfit(UnfitError::Failed(Box::new(error.clone()))));
                    }
                    failure = failure.or(Some(error));
                }
            }
        }
        other.ok_or_else(|| failure.unwrap_or(RequestError::NoneFit(unfit)))
    }
}

impl Shared {
    /// Whether endpoints are checked at all. If nothing is expected of a single endpoint, its answers show its faults.
    fn is_checked(&self) -> bool {
        self.members.len() > 1 || self.expected.network.is_some() || !self.expected.contracts.is_empty()
    }

    /// Checks all endpoints when that has not been done for a while, or none is fit.
    async fn check_if_due(&self) {
        if !self.is_checked() {
            return;
        }
        let mut checked = self.checked.lock().await;
        let holds = checked.is_some_and(|at| at.elapsed() < CHECKED_FOR);
        if holds && self.members.iter().any(|member| matches!(member.condition(), Condition::Fit(_))) {
            return;
        }
        self.check().await;
        *checked = Some(Instant::now());
    }

    async fn check(&self) {
        let found = join_all(self.members.iter().map(|member| member.look(&self.expected))).await;
        if let Some((chain_id, _)) = found.iter().flatten().next() {
            let _ = self.chain_id.set(*chain_id);
        }
        let chain = self.chain_id.get().copied();
        let heads = found.iter().flatten().filter(|(chain_id, _)| Some(*chain_id) == chain);
        let mut heights: Vec<_> = heads.map(|(_, head)| head.number).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        // What enough of them have reached: the highest claim may be a lie.
        let enough = Quorum::new(heights.len(), 0).map_or(1, |all| all.required(heights.len()));
        let best = heights.get(enough.saturating_sub(1)).or(heights.last()).copied().unwrap_or_default();
        for (member, found) in self.members.iter().zip(&found) {
            let endpoint = || member.connection.name().to_owned();
            member.found(match found {
                Err(unfit) => Condition::Unfit(unfit.clone()),
                Ok((actual, head)) => match chain {
                    Some(expected) if expected != *actual => Condition::Unfit(UnfitError::WrongChain {
                        endpoint: endpoint(),
                        expected,
                        actual: *actual,
                    }),
                    _ if best.saturating_since(head.number) > MAX_LAG => {
                        Condition::Unfit(UnfitError::Behind { endpoint: endpoint(), head: head.number, best })
                    }
                    _ => Condition::Fit(*head),
                },
            });
        }
    }
}
