//! Which servers are up to date, before what they say counts: held against a header chain of our own where headers have work,
//! else against each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bitcoin::{BlockHash, block::Header};
use coxswain_rules::{
    Assurance, Assured,
    units::{Confirmations, Height},
};
use futures_util::FutureExt;

use super::{Backends, exhausted, votes::Enough};
use crate::{
    BackendError, FollowError, Server, Tip,
    chain::{HeaderChain, HeaderRules, Standing, Start},
    follow,
};

/// How many headers under the chain's start are linked up to it at most.
const MOST_BELOW: u32 = 2_016;
/// If the chain's tip is older, one server alone is followed first, so that not all send the same.
const LONG_AGO: u32 = 12 * 24 * 3600;
/// How long that may take.
const LEAD: Duration = Duration::from_secs(30);
/// How many headers from a block on must be linked where nothing but servers names it.
const LINKED: u32 = 6;

/// What is known of headers, beyond one survey.
#[derive(Debug)]
pub(super) struct Headers {
    chain: Mutex<HeaderChain>,
    /// Headers under the chain's start, linked up to it.
    below: Mutex<BTreeMap<Height, Header>>,
}

/// What a survey has found.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// The best block: the chain's, or the newest that enough servers have.
    pub(super) tip: Tip,
    /// Which servers' words count, and why the others' don't, each in its place.
    pub(super) votes: Vec<Result<(), BackendError>>,
    pub(super) enough: Enough,
}

impl Survey {
    /// Why too few servers count, if so.
    pub(super) fn too_few(&self) -> Option<BackendError> {
        let voters = self.votes.iter().filter(|vote| vote.is_ok()).count();
        let causes = || self.votes.iter().filter_map(|vote| vote.clone().err()).collect();
        (!self.enough.is_met_by(voters)).then(|| exhausted(causes()))
    }

    /// In how many blocks that of this height is buried, itself included.
    pub(super) fn confirmations(&self, height: Height) -> Option<Confirmations> {
        height.confirmations(self.tip.height)
    }
}

impl Headers {
    pub(super) fn new(start: Start, rules: HeaderRules) -> Self {
        Self { chain: Mutex::new(HeaderChain::new(start, rules)), below: Mutex::default() }
    }

    pub(super) fn of(chain: HeaderChain) -> Self {
        Self { chain: Mutex::new(chain), below: Mutex::default() }
    }

    pub(super) fn chain(&self) -> MutexGuard<'_, HeaderChain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn below(&self) -> MutexGuard<'_, BTreeMap<Height, Header>> {
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backends {
    /// Asks all servers where they are.
    pub(super) async fn survey(&self) -> Result<Survey, BackendError> {
        let _one_at_a_time = self.0.surveying.lock().await;
        let survey = match &self.0.headers {
            Some(headers) => self.survey_chain(headers).await?,
            None => self.survey_servers().await?,
        };
        self.note_survey(&survey);
        Ok(survey)
    }

    async fn survey_chain(&self, headers: &Headers) -> Result<Survey, BackendError> {
        let now = self.now();
        let is_old = now.saturating_sub(headers.chain().tip().time) > LONG_AGO;
        if let Some(first) = self.0.members.iter().find(|member| is_old && !member.rests()) {
            let ask = |endpoint| following(headers, endpoint, now).boxed();
            // What it comes to shows below, and what was taken in stays.
            let _ = tokio::time::timeout(LEAD, first.ask(self.terms(), &ask)).await;
        }
        let tips = self.side_by_side(|endpoint| following(headers, endpoint, now).boxed()).await;
        let chain = headers.chain();
        let names = self.0.members.iter().map(|member| member.name().to_owned());
        let votes = names.zip(tips).map(|(endpoint, tip)| match chain.standing(tip?) {
            Standing::Current => Ok(()),
            Standing::Behind { blocks } => {
                let best = chain.height();
                Err(BackendError::Behind { endpoint, height: best.saturating_sub(blocks), best })
            }
            Standing::Forked { at } => Err(BackendError::Forked { endpoint, at, best: chain.height() }),
            Standing::Unknown => {
                Err(BackendError::Forked { endpoint, at: chain.start(), best: chain.height() })
            }
        });
        let votes: Vec<_> = votes.collect();
        if votes.iter().all(Result::is_err) {
            return Err(exhausted(votes.into_iter().filter_map(Result::err).collect()));
        }
        chain.fresh(now).map_err(BackendError::ChainStale)?;
        self.keep(&chain);
        let tip = Tip { height: chain.height(), header: *chain.tip() };
        Ok(Survey { tip, votes, enough: self.enough() })
    }

    async fn survey_servers(&self) -> Result<Survey, BackendError> {
        let expected = &self.0.expected;
        let tips = self.side_by_side(|endpoint| endpoint.tip().boxed()).await;
        let names = self.0.members.iter().map(|member| member.name().to_owned());
        let tips = names.zip(tips).map(|(endpoint, tip)| {
            let tip = tip?;
            if tip.header.target() > expected.limit {
                let cause = format!("block {} is easier than any of the network", tip.height);
                return Err(BackendError::Garbage { method: "tip", endpoint, cause });
            }
            // A block may be ahead of our clock.
            let mined = SystemTime::UNIX_EPOCH + Duration::from_secs(tip.header.time.into());
            let age = (expected.clock)().duration_since(mined).unwrap_or_default();
            match expected.most_tip_age {
                Some(bound) if age > bound => Err(BackendError::Stale { endpoint, age, bound }),
                _ => Ok((endpoint, tip)),
            }
        });
        let tips: Vec<_> = tips.collect();
        let enough = self.enough();
        let mut reached: Vec<Tip> = tips.iter().flatten().map(|(_, tip)| *tip).collect();
        reached.sort_unstable_by_key(|tip| std::cmp::Reverse(tip.height));
        // The newest that enough have: no one moves it up alone.
        let Some(&best) = reached.get(enough.required.saturating_sub(1)) else {
            return Err(exhausted(tips.into_iter().filter_map(Result::err).collect()));
        };
        let votes = tips.into_iter().map(|tip| {
            let (endpoint, tip) = tip?;
            if best.height.saturating_since(tip.height) > expected.most_behind {
                return Err(BackendError::Behind { endpoint, height: tip.height, best: best.height });
            }
            Ok(())
        });
        Ok(Survey { tip: best, votes: votes.collect(), enough })
    }

    /// The header at each of these heights, as far as it can be told, and how far it is to be believed.
    pub(super) async fn headers_of(
        &self,
        survey: &Survey,
        heights: &BTreeSet<Height>,
    ) -> BTreeMap<Height, Assured<Header>> {
        let mut found = BTreeMap::new();
        let proven = |header| Assured { fact: header, assurance: Assurance::Proven };
        if let Some(headers) = &self.0.headers {
            let lowest = self.link_below(headers, heights).await;
            let (chain, below) = (headers.chain(), headers.below());
            for height in heights.iter().filter(|height| **height >= lowest) {
                let header = chain.header(*height).or_else(|| below.get(height));
                found.extend(header.map(|header| (*height, proven(*header))));
            }
        }
        let start = self.0.headers.as_ref().map_or(Height(u32::MAX), |headers| headers.chain().start());
        let rest: BTreeSet<Height> =
            heights.iter().copied().filter(|height| *height < start && !found.contains_key(height)).collect();
        if !rest.is_empty() {
            found.extend(self.named(survey, &rest).await);
        }
        found
    }

    /// Links headers under the chain's start up to it, down to the lowest of these heights that is near enough. From there on they
    /// are known.
    async fn link_below(&self, headers: &Headers, heights: &BTreeSet<Height>) -> Height {
        let (start, first) = {
            let chain = headers.chain();
            (chain.start(), chain.headers().first().copied())
        };
        let bottom = start.saturating_sub(MOST_BELOW);
        let Some(lowest) = heights.range(bottom..start).next().copied() else { return start };
        if headers.below().contains_key(&lowest) {
            return lowest;
        }
        let count = start.saturating_since(lowest);
        for member in &self.0.members {
            let asked = member.ask(self.terms(), &|endpoint| endpoint.headers(lowest, count).boxed()).await;
            let Ok(linked) = asked else { continue };
            let mut parent = first.map(|first| first.prev_blockhash);
            let holds = linked.len() == usize::try_from(count).unwrap_or(usize::MAX)
                && linked.iter().rev().all(|header| {
                    let is_next = parent == Some(header.block_hash());
                    parent = Some(header.prev_blockhash);
                    is_next
                });
            if holds {
                headers.below().extend(lowest.to(start).zip(linked));
                return lowest;
            }
        }
        start
    }

    /// The header at each height that enough servers name, where those on it are linked, within the network's limit.
    async fn named(&self, survey: &Survey, heights: &BTreeSet<Height>) -> BTreeMap<Height, Assured<Header>> {
        let asked: BTreeSet<Height> = heights
            .iter()
            .flat_map(|height| height.to(height.saturating_add(LINKED - 1).min(survey.tip.height)))
            .collect();
        let asked: Vec<Height> = asked.into_iter().collect();
        let said = self
            .voters(survey, |endpoint| {
                let asked = asked.clone();
                async move { endpoint.headers_at(&asked).await }.boxed()
            })
            .await;
        let said: Vec<BTreeMap<Height, Header>> = said
            .into_iter()
            .flatten()
            .map(|answers| {
                let answers = asked.iter().copied().zip(answers);
                answers.filter_map(|(height, header)| Some((height, header.ok()?))).collect()
            })
            .collect();
        let name = |height: Height| {
            let on_it = height.to(height.saturating_add(LINKED - 1).min(survey.tip.height));
            let names = said.iter().filter_map(|headers| {
                let headers: Vec<_> = on_it.clone().map_while(|height| headers.get(&height)).collect();
                let first = **headers.first()?;
                let linked = headers.len() == on_it.clone().count()
                    && headers.iter().all(|header| header.target() <= self.0.expected.limit)
                    && std::iter::zip(&headers, headers.iter().skip(1))
                        .all(|(parent, child)| child.prev_blockhash == parent.block_hash());
                linked.then_some(first)
            });
            let mut counted = BTreeMap::<BlockHash, (Header, usize)>::new();
            for header in names {
                counted.entry(header.block_hash()).or_insert((header, 0)).1 += 1;
            }
            let mut enough = counted.into_values().filter(|(_, count)| survey.enough.is_met_by(*count));
            let (header, _) = enough.next()?;
            // If one is enough, and two are named, none is.
            let assurance = survey.enough.assurance();
            enough.next().is_none().then_some((height, Assured { fact: header, assurance }))
        };
        heights.iter().filter_map(|height| name(*height)).collect()
    }

    fn now(&self) -> u32 {
        let since = (self.0.expected.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
    }
}

/// Follows a server's chain, and says which its newest block is.
async fn following(
    headers: &Headers,
    endpoint: &crate::Endpoint,
    now: u32,
) -> Result<BlockHash, BackendError> {
    let name = || endpoint.name().to_owned();
    follow(&headers.chain, endpoint, now).await.map_err(|error| match error {
        FollowError::Backend(error) => error,
        FollowError::TooShort(start) => {
            BackendError::Behind { endpoint: name(), height: Height(0), best: start }
        }
        FollowError::OtherChain { height, actual, expected } => {
            BackendError::OtherChain { endpoint: name(), height, actual, expected }
        }
        FollowError::Header(error) => BackendError::BadHeader { endpoint: name(), error },
        FollowError::TooMany(count) => BackendError::TooManyHeaders { endpoint: name(), count },
    })
}
