//! How each server is, for people and for a health check.

use futures_util::future::join_all;

use super::{Backends, member::Door};
use crate::{BackendError, FeeRates, Server, Tip};

/// How a server is, at one of its addresses.
#[derive(Clone, Debug)]
pub struct Health {
    /// Its host and port.
    pub endpoint: String,
    /// The kind of endpoint.
    pub kind: &'static str,
    /// What it calls itself.
    pub software: Option<String>,
    /// Its newest block.
    pub tip: Option<Tip>,
    /// Its fee rates.
    pub fee_rates: Option<FeeRates>,
    /// How many blocks it is behind the best block that is known.
    pub behind: Option<u32>,
    /// Why it isn't to be used; `None` if it is.
    pub problem: Option<BackendError>,
}

impl Backends {
    /// How each server is, asked now.
    pub async fn health(&self) -> Vec<Health> {
        let survey = self.survey().await;
        let places = self.0.members.iter().enumerate();
        let doors = places.flat_map(|(place, member)| member.doors().iter().map(move |door| (place, door)));
        let examined = join_all(doors.map(async |(place, door)| {
            let (software, tip, fee_rates) = self.examine(door).await;
            let vote = survey
                .as_ref()
                .map_or_else(|_| Ok(()), |survey| survey.votes.get(place).cloned().unwrap_or(Ok(())));
            let own = tip.as_ref().err().or(fee_rates.as_ref().err()).cloned();
            // If nothing can be told of the chain, what is wrong may be no server's own fault.
            let of_all = || concerning(survey.as_ref().err()?, door.endpoint.name());
            let best = survey.as_ref().ok().map(|survey| survey.tip.height);
            let tip = tip.ok();
            Health {
                endpoint: door.endpoint.name().to_owned(),
                kind: door.endpoint.kind(),
                software,
                tip,
                fee_rates: fee_rates.ok(),
                behind: best.zip(tip).map(|(best, tip)| best.saturating_since(tip.height)),
                problem: vote.err().or(own).or_else(of_all),
            }
        }));
        examined.await
    }

    async fn examine(
        &self,
        door: &Door,
    ) -> (Option<String>, Result<Tip, BackendError>, Result<FeeRates, BackendError>) {
        use futures_util::FutureExt;
        let terms = super::Terms { wakes: true, ..self.terms() };
        let software = door.endpoint.software().await.ok();
        let tip = door.ask(terms, &|endpoint| endpoint.tip().boxed()).await;
        let fee_rates = match &tip {
            Ok(_) => door.endpoint.fee_rates().await,
            Err(error) => Err(error.clone()),
        };
        (software, tip, fee_rates)
    }
}

/// What of an error of all servers together is about this one, or about none in particular.
fn concerning(error: &BackendError, name: &str) -> Option<BackendError> {
    match error {
        BackendError::Exhausted(causes) => causes.iter().find_map(|cause| concerning(cause, name)),
        other => other.endpoint().is_none_or(|endpoint| endpoint == name).then(|| other.clone()),
    }
}
