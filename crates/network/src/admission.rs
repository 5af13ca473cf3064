//! Which operators are admitted, and how long the registry's answers about them are remembered.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::Address;
use coxswain_protocol::wire::OperatorKey;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::core::Network;

/// How long an admission holds for an operator that connects again.
const YES_FOR: Duration = Duration::from_secs(12 * 3600);
/// How long a no holds.
const NO_FOR: Duration = Duration::from_secs(3600);
/// How old the answer about a connected peer may be until it is asked for again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// Between two look-ups of unknown keys.
const LOOK_UP_EVERY: Duration = Duration::from_millis(500);
/// How long an unknown key waits for its look-up.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Answers remembered, of each kind.
const MAX_REMEMBERED: usize = 10_000;

/// Says of an operator whether it may take part.
pub trait Eligibility: Send + Sync {
    /// Asks. A no must come from enough servers.
    fn is_eligible(&self, operator: Address) -> BoxFuture<'_, Result<bool, EligibilityError>>;
}

/// The registry gave no usable answer. The reason is for people.
pub type EligibilityError = Box<dyn Error + Send + Sync>;

/// By which rule strangers are let in.
#[derive(Clone)]
pub enum AdmissionRule {
    /// Those who are eligible.
    Eligible(Arc<dyn Eligibility>),
    /// Those of a list.
    List(BTreeSet<Address>),
    /// Every operator is admitted. For local chains only.
    Any,
}

impl fmt::Debug for AdmissionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eligible(_) => f.write_str("Eligible"),
            Self::List(list) => write!(f, "List({} operators)", list.len()),
            Self::Any => f.write_str("Any"),
        }
    }
}

/// Why a peer was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The operator holds a seat of one of our wallets.
    Member,
    /// It is in the configuration.
    Configured,
    /// It is eligible.
    Eligible,
    /// It is on the list.
    Listed,
    /// Everybody is.
    Anybody,
}

impl fmt::Display for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Member => "it holds a seat of one of our wallets",
            Self::Configured => "it is a configured peer",
            Self::Eligible => "it is eligible",
            Self::Listed => "it is on the list",
            Self::Anybody => "everybody is let in",
        })
    }
}

/// Why a peer was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedError {
    /// Enough servers say no.
    #[error("{0} is not eligible")]
    NotEligible(Address),
    /// It isn't on the list.
    #[error("{0} is not on the list")]
    NotListed(Address),
    /// Too many unknown keys have come.
    #[error("too many unknown operators have come, {0} may try again")]
    Busy(Address),
    /// Nobody could say.
    #[error("whether {0} is eligible can't be told")]
    Undecided(Address, #[source] EligibilityError),
}

/// What the setting of admission can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a peer id")]
pub struct AdmissionError(pub String);

impl AdmissionRule {
    /// The rule that lets in those of these addresses and peer ids.
    ///
    /// # Errors
    ///
    /// When one is neither.
    pub fn list<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, AdmissionError> {
        let operator = |entry: &str| {
            if let Ok(address) = entry.parse::<Address>() {
                return Ok(address);
            }
            let peer = entry.parse().ok().and_then(|peer| crate::identity::operator_of(&peer));
            peer.map(|operator| operator.address()).ok_or_else(|| AdmissionError(entry.to_owned()))
        };
        Ok(Self::List(entries.into_iter().map(operator).collect::<Result<_, _>>()?))
    }
}

/// A rule, and what it has said.
pub struct Admission {
    rule: AdmissionRule,
    configured: BTreeSet<Address>,
    network: Network,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    yes: BTreeMap<Address, Instant>,
    no: BTreeMap<Address, Instant>,
    next_look_up: Option<Instant>,
}

impl Admission {
    pub(crate) fn new(rule: AdmissionRule, configured: BTreeSet<Address>, network: Network) -> Self {
        Self { rule, configured, network, memory: Mutex::default() }
    }

    /// Decides whether an operator is admitted.
    pub(crate) async fn admit(&self, operator: &OperatorKey) -> Result<Admitted, RefusedError> {
        let address = operator.address();
        if let Some(admitted) = self.always(address) {
            return Ok(admitted);
        }
        let eligibility = match &self.rule {
            AdmissionRule::Any => return Ok(Admitted::Anybody),
            AdmissionRule::List(list) if list.contains(&address) => return Ok(Admitted::Listed),
            AdmissionRule::List(_) => return Err(RefusedError::NotListed(address)),
            AdmissionRule::Eligible(eligibility) => eligibility,
        };
        match self.remembered(address, Instant::now()) {
            Some(true) => return Ok(Admitted::Eligible),
            Some(false) => return Err(RefusedError::NotEligible(address)),
            None => {}
        }
        sleep_until(self.turn(Instant::now()).ok_or(RefusedError::Busy(address))?).await;
        let answer = eligibility.is_eligible(address).await;
        let answer = answer.map_err(|error| RefusedError::Undecided(address, error))?;
        self.remember(address, answer, Instant::now());
        if answer { Ok(Admitted::Eligible) } else { Err(RefusedError::NotEligible(address)) }
    }

    /// Asks again about connected operators whose answer has become old: those who are no longer eligible. Where nobody can
    /// say, nothing changes.
    pub(crate) async fn ask_again(&self, connected: Vec<Address>) -> Vec<Address> {
        let AdmissionRule::Eligible(eligibility) = &self.rule else { return Vec::new() };
        let mut gone = Vec::new();
        for address in connected {
            if self.always(address).is_some() || !self.is_old(address, Instant::now()) {
                continue;
            }
            if let Ok(answer) = eligibility.is_eligible(address).await {
                self.remember(address, answer, Instant::now());
                if !answer {
                    gone.push(address);
                }
            }
        }
        gone
    }

    fn always(&self, operator: Address) -> Option<Admitted> {
        if self.network.lock().is_member(operator) {
            return Some(Admitted::Member);
        }
        self.configured.contains(&operator).then_some(Admitted::Configured)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, operator: Address, now: Instant) -> Option<bool> {
        let memory = self.memory();
        let holds = |asked: Option<&Instant>, limit| asked.is_some_and(|asked| now - *asked < limit);
        if holds(memory.yes.get(&operator), YES_FOR) {
            return Some(true);
        }
        holds(memory.no.get(&operator), NO_FOR).then_some(false)
    }

    fn is_old(&self, operator: Address, now: Instant) -> bool {
        self.memory().yes.get(&operator).is_none_or(|asked| now - *asked >= ASKED_AGAIN_AFTER)
    }

    fn remember(&self, operator: Address, answer: bool, now: Instant) {
        let mut memory = self.memory();
        memory.yes.remove(&operator);
        memory.no.remove(&operator);
        let kind = if answer { &mut memory.yes } else { &mut memory.no };
        if kind.len() >= MAX_REMEMBERED {
            let oldest = kind.iter().min_by_key(|(_, asked)| **asked).map(|(operator, _)| *operator);
            oldest.and_then(|oldest| kind.remove(&oldest));
        }
        kind.insert(operator, now);
    }

    /// Remembers a refusal, and returns how many are remembered.
    #[cfg(test)]
    pub(crate) fn remember_no(&self, operator: Address) -> usize {
        self.remember(operator, false, Instant::now());
        self.memory().no.len()
    }

    /// When an unknown key may be looked up. `None` if too many are waiting.
    fn turn(&self, now: Instant) -> Option<Instant> {
        let mut memory = self.memory();
        let turn = memory.next_look_up.map_or(now, |next| next.max(now));
        if turn - now > LONGEST_WAIT {
            return None;
        }
        memory.next_look_up = Some(turn + LOOK_UP_EVERY);
        Some(turn)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admission({:?})", self.rule)
    }
}
