//! Several endpoints as one: each is checked before it is believed, and when one fails in the middle of a call, the next is
//! asked the rest.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bitcoin::{BlockHash, OutPoint, Transaction, block::Header};
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use tokio::time::{Instant, sleep};

use crate::{
    Answers, Backend, BackendError, Coinbase, Conditions, Cursor, Endpoint, Known, MerkleBranch, Mined,
    Output, Search, Tip,
};

/// Rounds through all endpoints after the first, for what failed in passing.
const RETRIES: usize = 1;
/// The pause before the next round; jittered.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What is expected of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The chain's genesis block.
    pub genesis: BlockHash,
    /// How many blocks it may be behind the best of the others.
    pub most_behind: u32,
    /// How old the newest block may be, by its timestamp. `None` if blocks come when they come.
    pub most_tip_age: Option<Duration>,
    /// How long an endpoint that failed is not asked while another answers.
    pub rest: Duration,
    /// The wall clock, for the newest block's age only.
    pub clock: fn() -> SystemTime,
}

impl Expected {
    /// Of an endpoint of this network: at most two blocks behind, a newest block of the last three hours (regtest aside), a minute's
    /// rest.
    pub fn on(network: bitcoin::Network) -> Self {
        let regtest = network == bitcoin::Network::Regtest;
        Self {
            genesis: bitcoin::blockdata::constants::genesis_block(network).block_hash(),
            most_behind: 2,
            most_tip_age: (!regtest).then_some(Duration::from_secs(3 * 3600)),
            rest: Duration::from_secs(60),
            clock: SystemTime::now,
        }
    }
}

/// What is known of an endpoint.
#[derive(Clone, Debug)]
enum Standing {
    Unchecked,
    Sound,
    Sick { until: Instant },
}

#[derive(Debug)]
struct Member {
    endpoint: Endpoint,
    standing: Mutex<Standing>,
}

impl Member {
    fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    fn rests(&self) -> bool {
        matches!(self.standing(), Standing::Sick { until } if Instant::now() < until)
    }
}

/// How an endpoint is.
#[derive(Clone, Debug)]
pub struct Health {
    /// Its host and port.
    pub endpoint: String,
    /// What kind of endpoint it is.
    pub kind: &'static str,
    /// What it calls itself.
    pub software: Option<String>,
    /// Its newest block and its fee rates.
    pub conditions: Option<Conditions>,
    /// How many blocks it is behind the best of all.
    pub behind: Option<u32>,
    /// Why it isn't to be used. `None` if it is.
    pub problem: Option<BackendError>,
}

/// Several endpoints, the preferred first. Clones share what is learnt of them.
#[derive(Clone, Debug)]
pub struct Backends(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    members: Vec<Member>,
    expected: Expected,
    /// The greatest height that any endpoint has told of.
    best: AtomicU32,
}

impl Backends {
    /// These endpoints, of which this is expected. Nothing is sent yet.
    pub fn new(endpoints: Vec<Endpoint>, expected: Expected) -> Self {
        let member = |endpoint| Member { endpoint, standing: Mutex::new(Standing::Unchecked) };
        let members = endpoints.into_iter().map(member).collect();
        Self(Arc::new(Shared { members, expected, best: AtomicU32::new(0) }))
    }

    /// The endpoints, the preferred first.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.members.iter().map(|member| &member.endpoint)
    }

    /// How each endpoint is, asked now. What is learnt holds for later calls.
    pub async fn health(&self) -> Vec<Health> {
        let examined = join_all(self.0.members.iter().map(|member| self.examine(member))).await;
        let heights = examined.iter().filter_map(|(_, outcome)| Some(outcome.as_ref().ok()?.tip.height));
        // What an endpoint once claimed doesn't hold for ever.
        let best = heights.max().unwrap_or_default();
        self.0.best.store(best, Ordering::Relaxed);
        self.0
            .members
            .iter()
            .zip(examined)
            .map(|(member, (software, outcome))| {
                let problem =
                    outcome.as_ref().map(|conditions| self.fresh(&member.endpoint, &conditions.tip));
                let problem = problem.unwrap_or_else(|error| Err(error.clone())).err();
                self.judge(member, problem.as_ref());
                let conditions = outcome.ok();
                Health {
                    endpoint: member.endpoint.name().to_owned(),
                    kind: member.endpoint.kind(),
                    software,
                    conditions,
                    behind: conditions.map(|conditions| best.saturating_sub(conditions.tip.height)),
                    problem,
                }
            })
            .collect()
    }

    async fn examine(&self, member: &Member) -> (Option<String>, Result<Conditions, BackendError>) {
        let software = member.endpoint.software().await;
        let outcome = async {
            self.right_network(&member.endpoint).await?;
            member.endpoint.conditions().await
        };
        (software.ok(), outcome.await)
    }

    async fn right_network(&self, endpoint: &Endpoint) -> Result<(), BackendError> {
        let (actual, expected) = (endpoint.genesis().await?, self.0.expected.genesis);
        if actual == expected {
            return Ok(());
        }
        Err(BackendError::WrongNetwork { endpoint: endpoint.name().to_owned(), actual, expected })
    }

    /// Checks that the endpoint's newest block belongs to the chain, if that is known.
    fn fresh(&self, endpoint: &Endpoint, tip: &Tip) -> Result<(), BackendError> {
        let endpoint = || endpoint.name().to_owned();
        let best = self.0.best.fetch_max(tip.height, Ordering::Relaxed);
        if best.saturating_sub(tip.height) > self.0.expected.most_behind {
            return Err(BackendError::Behind { endpoint: endpoint(), height: tip.height, best });
        }
        let Some(bound) = self.0.expected.most_tip_age else { return Ok(()) };
        let mined = SystemTime::UNIX_EPOCH + Duration::from_secs(tip.header.time.into());
        // A block may be ahead of our clock.
        let age = (self.0.expected.clock)().duration_since(mined).unwrap_or_default();
        if age > bound {
            return Err(BackendError::Stale { endpoint: endpoint(), age, bound });
        }
        Ok(())
    }

    fn judge(&self, member: &Member, problem: Option<&BackendError>) {
        member.set(match problem {
            None => Standing::Sound,
            Some(_) => Standing::Sick { until: Instant::now() + self.0.expected.rest },
        });
    }

    /// Checks an endpoint that is new, or that failed before.
    async fn admit(&self, member: &Member) -> Result<(), BackendError> {
        if matches!(member.standing(), Standing::Sound) {
            return Ok(());
        }
        self.right_network(&member.endpoint).await?;
        let conditions = member.endpoint.conditions().await?;
        self.fresh(&member.endpoint, &conditions.tip)
    }

    /// Asks for each item: the endpoints in turn, until each item has an answer. Those that rest are asked only for what no other
    /// has said anything of.
    async fn each<'a, I: Clone, T>(
        &'a self,
        items: &[I],
        ask: impl Fn(&'a Endpoint, Vec<I>) -> BoxFuture<'a, Result<Answers<T>, BackendError>>,
    ) -> Result<Answers<T>, BackendError> {
        let mut answers: Vec<Option<Result<T, BackendError>>> = items.iter().map(|_| None).collect();
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_times(RETRIES)
            .with_jitter()
            .build();
        loop {
            let mut causes = Vec::new();
            let (resting, ready): (Vec<_>, Vec<_>) = self.0.members.iter().partition(|member| member.rests());
            for member in ready.into_iter().chain(resting) {
                let open = |answer: &Option<Result<T, BackendError>>| !matches!(answer, Some(Ok(_)));
                let pending: Vec<I> = items
                    .iter()
                    .zip(&answers)
                    .filter(|(_, answer)| open(answer))
                    .map(|(item, _)| item.clone())
                    .collect();
                if pending.is_empty() || (member.rests() && answers.iter().all(Option::is_some)) {
                    continue;
                }
                let outcome = match self.admit(member).await {
                    Ok(()) => ask(&member.endpoint, pending).await,
                    Err(problem) => Err(problem),
                };
                self.judge(member, outcome.as_ref().err());
                match outcome {
                    Ok(some) => {
                        answers.iter_mut().filter(|answer| open(answer)).zip(some).for_each(
                            |(answer, new)| {
                                // The preferred endpoint's reason is kept.
                                if new.is_ok() || answer.is_none() {
                                    *answer = Some(new);
                                }
                            },
                        );
                    }
                    Err(cause) => causes.push(cause),
                }
            }
            let passing = |error: &BackendError| error.is_retryable();
            let again =
                causes.iter().chain(answers.iter().flatten().filter_map(|a| a.as_ref().err())).any(passing)
                    && answers.iter().any(|answer| !matches!(answer, Some(Ok(_))));
            match pauses.next().filter(|_| again) {
                Some(pause) => sleep(pause).await,
                None => {
                    let all: Option<Answers<T>> = answers.into_iter().collect();
                    return all.ok_or_else(|| exhausted(causes));
                }
            }
        }
    }

    async fn one<'a, T>(
        &'a self,
        ask: impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T, BackendError>>,
    ) -> Result<T, BackendError>
    where
        T: Send + 'a,
    {
        let single = |endpoint, _: Vec<()>| {
            let answer = ask(endpoint);
            async move {
                match answer.await {
                    // A refusal says nothing against the endpoint.
                    Err(refusal @ BackendError::Rpc { .. }) => Ok(vec![Err(refusal)]),
                    other => other.map(|answer| vec![Ok(answer)]),
                }
            }
            .boxed()
        };
        self.each(&[()], single).await?.pop().unwrap_or_else(|| Err(exhausted(Vec::new())))
    }
}

fn exhausted(mut causes: Vec<BackendError>) -> BackendError {
    match causes.pop() {
        Some(only) if causes.is_empty() => only,
        last => BackendError::Exhausted(causes.into_iter().chain(last).collect()),
    }
}

impl Backend for Backends {
    async fn conditions(&self) -> Result<Conditions, BackendError> {
        self.one(|endpoint| {
            async move {
                let conditions = endpoint.conditions().await?;
                self.fresh(endpoint, &conditions.tip)?;
                Ok(conditions)
            }
            .boxed()
        })
        .await
    }

    async fn transactions(&self, outpoints: &[OutPoint]) -> Result<Answers<Option<Known>>, BackendError> {
        self.each(outpoints, |endpoint, some| async move { endpoint.transactions(&some).await }.boxed()).await
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<bool>, BackendError> {
        self.each(outputs, |endpoint, some| async move { endpoint.unspent(&some).await }.boxed()).await
    }

    async fn headers(&self, start: u32, count: u32) -> Result<Vec<Header>, BackendError> {
        self.one(|endpoint| endpoint.headers(start, count).boxed()).await
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        self.each(mined, |endpoint, some| async move { endpoint.branches(&some).await }.boxed()).await
    }

    async fn coinbase(&self, height: u32) -> Result<Coinbase, BackendError> {
        self.one(|endpoint| endpoint.coinbase(height).boxed()).await
    }

    async fn spender(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        self.one(|endpoint| {
            let spent = spent.clone();
            async move { endpoint.spender(&spent, from).await }.boxed()
        })
        .await
    }

    async fn broadcast(&self, transaction: &Transaction) -> Result<(), BackendError> {
        self.one(|endpoint| endpoint.broadcast(transaction).boxed()).await
    }

    async fn genesis(&self) -> Result<BlockHash, BackendError> {
        self.one(|endpoint| endpoint.genesis().boxed()).await
    }
}
