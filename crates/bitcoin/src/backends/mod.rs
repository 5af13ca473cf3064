//! Several servers as one: each is held against the chain before its word counts, what can be proven is proven, and of the rest
//! enough must say the same.

mod dissents;
mod health;
mod keeping;
mod member;
mod proofs;
mod survey;
mod transactions;
mod unspent;
mod votes;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bitcoin::{BlockHash, OutPoint, Target, Transaction, block::Header};
use coxswain_rules::{Assured, Dissents, Quorum, QuorumError, servers, units::Height};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

use self::{
    member::{Member, Terms},
    survey::{Headers, Survey},
    votes::Enough,
};
use crate::{
    Answers, Backend, BackendError, Coinbase, Cursor, Endpoint, FeeRates, Fees, Known, MerkleBranch, Mined,
    Output, Search, Server, Tip,
    chain::{HeaderChain, HeaderRules, Start},
};

pub use self::{
    health::Health,
    keeping::{HeaderFile, HeaderStorage},
};

/// How long the others are waited for once enough have answered.
const STRAGGLERS: Duration = Duration::from_secs(30);

/// What is expected of servers.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The chain's genesis block.
    pub genesis: BlockHash,
    /// Where a header chain of our own starts, and by which rules it goes on. `None` on networks whose headers have no work to
    /// go by: there, servers are held against each other.
    pub chain: Option<(Start, HeaderRules)>,
    /// The easiest target that the network allows.
    pub limit: Target,
    /// How many blocks a server may be behind what enough of them have, where there is no chain of our own.
    pub most_behind: u32,
    /// How old the newest block may be, by its timestamp, where there is no chain of our own; `None` where blocks come when they
    /// come.
    pub most_tip_age: Option<Duration>,
    /// How long a server that failed is not asked.
    pub rest: Duration,
    /// How many servers must say the same at least.
    pub at_least: usize,
    /// Whether all of this machine's ports are one server.
    pub loopback_is_one: bool,
    /// The wall clock.
    pub clock: fn() -> SystemTime,
}

impl Expected {
    /// Of servers of this network: mainnet's chain from the header compiled in; else at most two blocks behind, and a newest
    /// block of the last three hours (regtest aside). A minute's rest.
    pub fn on(network: bitcoin::Network) -> Self {
        let (mainnet, regtest) = (bitcoin::Network::Bitcoin, bitcoin::Network::Regtest);
        Self {
            genesis: bitcoin::blockdata::constants::genesis_block(network).block_hash(),
            chain: (network == mainnet).then(|| (Start::mainnet(), HeaderRules::MAINNET)),
            limit: network.params().max_attainable_target,
            most_behind: 2,
            most_tip_age: (network != regtest).then_some(Duration::from_secs(3 * 3600)),
            rest: Duration::from_secs(60),
            at_least: 0,
            loopback_is_one: false,
            clock: SystemTime::now,
        }
    }
}

/// Several servers, the preferred first. Clones share what is learnt of them.
#[derive(Clone, Debug)]
pub struct Backends(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    members: Vec<Member>,
    /// How many are enough; an error if they can't be.
    quorum: Result<Quorum, QuorumError>,
    expected: Expected,
    headers: Option<Headers>,
    storage: Option<keeping::Keeper>,
    surveying: tokio::sync::Mutex<()>,
    dissents: Mutex<Dissents>,
}

impl Backends {
    /// These servers, of which this is expected. Addresses of one host are one server. Nothing is sent yet.
    pub fn new(endpoints: Vec<Endpoint>, expected: Expected) -> Self {
        let headers = expected.chain.map(|(start, rules)| Headers::new(start, rules));
        Self::with(endpoints, expected, headers, None)
    }

    /// The same, with headers kept in this storage between runs: what it holds is checked as a server's would be.
    pub fn keeping(endpoints: Vec<Endpoint>, expected: Expected, storage: Box<dyn HeaderStorage>) -> Self {
        let Some((start, rules)) = expected.chain else { return Self::new(endpoints, expected) };
        let now = (expected.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let chain = HeaderChain::from_bytes(start, rules, &storage.read(), now);
        let keeper = keeping::Keeper::new(storage, &chain);
        Self::with(endpoints, expected, Some(Headers::of(chain)), Some(keeper))
    }

    fn with(
        endpoints: Vec<Endpoint>,
        expected: Expected,
        headers: Option<Headers>,
        storage: Option<keeping::Keeper>,
    ) -> Self {
        let of = servers(endpoints.iter().map(Endpoint::address), expected.loopback_is_one);
        let count = of.iter().max().map_or(0, |last| last + 1);
        let mut doors: Vec<Vec<Endpoint>> = (0..count).map(|_| Vec::new()).collect();
        for (endpoint, of) in endpoints.into_iter().zip(of) {
            if let Some(doors) = doors.get_mut(of) {
                doors.push(endpoint);
            }
        }
        let members = doors.into_iter().map(Member::new).collect();
        let quorum = Quorum::new(count, expected.at_least);
        let (surveying, dissents) = (tokio::sync::Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { members, quorum, expected, headers, storage, surveying, dissents }))
    }

    /// The servers' addresses, the preferred server's first.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.members.iter().flat_map(Member::doors).map(|door| &door.endpoint)
    }

    /// How many servers there are, and how many must say the same as far as it is known who answers. `None` if there are too
    /// few.
    pub fn quorum(&self) -> Option<(usize, usize)> {
        Some((self.0.quorum.ok()?.servers(), self.enough().required))
    }

    /// That as many servers as must say the same are there.
    ///
    /// # Errors
    /// If they aren't: then nothing is ever told.
    pub fn meets_quorum(&self) -> Result<(), QuorumError> {
        self.0.quorum.map(drop)
    }

    fn terms(&self) -> Terms {
        let Expected { genesis, rest, .. } = self.0.expected;
        // If all rest, all are asked.
        Terms { genesis, rest, wakes: self.0.members.iter().all(Member::rests) }
    }

    fn enough(&self) -> Enough {
        let rest = self.0.expected.rest;
        let answering = self.0.members.iter().filter(|member| member.has_spoken(rest)).count();
        // With too few servers nothing is ever enough.
        Enough { required: self.0.quorum.map_or(usize::MAX, |quorum| quorum.required(answering)) }
    }

    /// Asks all servers side by side, each answer in its place. Once enough have answered, the others aren't waited for much
    /// longer.
    async fn side_by_side<'a, T: Send + 'a>(
        &'a self,
        ask: impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T, BackendError>> + Sync,
    ) -> Vec<Result<T, BackendError>> {
        self.some(|_| Ok(()), ask).await
    }

    /// Asks the servers side by side whose words count.
    async fn voters<'a, T: Send + 'a>(
        &'a self,
        survey: &Survey,
        ask: impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T, BackendError>> + Sync,
    ) -> Vec<Result<T, BackendError>> {
        self.some(|place| survey.votes.get(place).cloned().unwrap_or(Ok(())), ask).await
    }

    async fn some<'a, T: Send + 'a>(
        &'a self,
        admit: impl Fn(usize) -> Result<(), BackendError>,
        ask: impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T, BackendError>> + Sync,
    ) -> Vec<Result<T, BackendError>> {
        let (terms, ask) = (self.terms(), &ask);
        let members = &self.0.members;
        let mut answers: Vec<Option<Result<T, BackendError>>> = members.iter().map(|_| None).collect();
        let mut asked = FuturesUnordered::new();
        for (place, (member, answer)) in members.iter().zip(&mut answers).enumerate() {
            match admit(place) {
                Ok(()) => asked.push(async move { (place, member.ask(terms, ask).await) }),
                Err(cause) => *answer = Some(Err(cause)),
            }
        }
        let enough = members.len() / 2 + 1;
        let (mut have, mut until) = (0, None);
        loop {
            let next = match until {
                None => asked.next().await,
                Some(until) => timeout_at(until, asked.next()).await.unwrap_or(None),
            };
            let Some((place, answer)) = next else { break };
            have += usize::from(answer.is_ok());
            if have >= enough && until.is_none() {
                until = Some(Instant::now() + STRAGGLERS);
            }
            if let Some(slot) = answers.get_mut(place) {
                *slot = Some(answer);
            }
        }
        let late = |member: &Member| {
            let endpoint = member.name().to_owned();
            BackendError::TimedOut { method: "questions", endpoint, deadline: STRAGGLERS }
        };
        answers
            .into_iter()
            .zip(members)
            .map(|(answer, member)| answer.unwrap_or_else(|| Err(late(member))))
            .collect()
    }
}

fn exhausted(mut causes: Vec<BackendError>) -> BackendError {
    match causes.pop() {
        Some(only) if causes.is_empty() => only,
        last => BackendError::Exhausted(causes.into_iter().chain(last).collect()),
    }
}

impl Backend for Backends {
    async fn tip(&self) -> Result<Tip, BackendError> {
        Ok(self.survey().await?.tip)
    }

    async fn fees(&self) -> Result<Assured<Fees>, BackendError> {
        let survey = self.survey().await?;
        let said = self.voters(&survey, |endpoint| endpoint.fee_rates().boxed()).await;
        let names = self.names();
        let (mut rates, mut causes): (Vec<(&str, FeeRates)>, Vec<BackendError>) = Default::default();
        for (name, said) in names.zip(said) {
            match said {
                Ok(said) => rates.push((name, said)),
                Err(cause) => causes.push(cause),
            }
        }
        if !survey.enough.is_met_by(rates.len()) {
            return Err(exhausted(causes));
        }
        let fees = survey.enough.fees(&rates)?;
        self.note_fees(&rates, &fees.fact);
        Ok(fees)
    }

    async fn transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> Result<Answers<Assured<Option<Known>>>, BackendError> {
        self.find_transactions(outpoints).await
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<Assured<bool>>, BackendError> {
        self.find_unspent(outputs).await
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        self.find_branches(mined).await
    }

    async fn coinbase(&self, height: Height) -> Result<Coinbase, BackendError> {
        self.find_coinbase(height).await
    }

    async fn spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        self.find_spender(spent, from).await
    }

    async fn headers(&self, start: Height, count: u32) -> Result<Vec<Header>, BackendError> {
        let survey = self.survey().await?;
        if let Some(headers) = &self.0.headers {
            let chain = headers.chain();
            if let Some(skipped) = start.since(chain.start()) {
                let [skipped, count] =
                    [skipped, count].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
                return Ok(chain.headers().iter().skip(skipped).take(count).copied().collect());
            }
        }
        // Nothing proves these: as many must name each as for anything else.
        let said = self.voters(&survey, |endpoint| endpoint.headers(start, count).boxed()).await;
        let (mut lists, mut causes): (Vec<Vec<Header>>, Vec<BackendError>) = Default::default();
        for said in said {
            match said {
                Ok(list) => lists.push(list),
                Err(cause) => causes.push(cause),
            }
        }
        if survey.enough.is_met_by(lists.len()) {
            Ok(survey.enough.headers(lists))
        } else {
            Err(exhausted(causes))
        }
    }

    /// All servers are handed it: one that swallows or refuses it alone does no harm.
    async fn broadcast(&self, transaction: &Transaction) -> Result<(), BackendError> {
        let mut causes = Vec::new();
        for taken in self.side_by_side(|endpoint| endpoint.broadcast(transaction).boxed()).await {
            match taken {
                Ok(()) => return Ok(()),
                Err(cause) => causes.push(cause),
            }
        }
        // A refusal says more than a server that is down.
        let refusal = causes.iter().position(|cause| matches!(cause, BackendError::Rpc { .. }));
        Err(match refusal {
            Some(at) => causes.swap_remove(at),
            None => exhausted(causes),
        })
    }
}
