//! Whether outputs are spent. The spender proves that one is; that none is there, enough servers must say.

use coxswain_rules::{Assurance, Assured};
use futures_util::FutureExt;
use tokio::time::sleep;

use super::{
    Backends, exhausted,
    survey::Survey,
    transactions::{PAUSE, by_item, passing, replace},
};
use crate::{Answers, BackendError, Cursor, Output, Search, Server, spend::is_spent_by, spender::spends};

/// How many steps one server is asked to search for a spender, if servers contradict each other.
const STEPS: usize = 3;

impl Backends {
    pub(super) async fn find_unspent(
        &self,
        outputs: &[Output],
    ) -> Result<Answers<Assured<bool>>, BackendError> {
        if outputs.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = self.unspent_once(outputs).await?;
        let open = passing(&answers);
        if !open.is_empty() {
            sleep(PAUSE).await;
            let asked: Vec<_> = open.iter().filter_map(|at| outputs.get(*at).cloned()).collect();
            replace(&mut answers, open, self.unspent_once(&asked).await?);
        }
        Ok(answers)
    }

    async fn unspent_once(&self, outputs: &[Output]) -> Result<Answers<Assured<bool>>, BackendError> {
        let survey = self.survey().await?;
        if let Some(error) = survey.too_few() {
            return Err(error);
        }
        let said = self.voters(&survey, |endpoint| endpoint.unspent(outputs).boxed()).await;
        let mut answers = Vec::with_capacity(outputs.len());
        for (output, said) in outputs.iter().zip(by_item(outputs.len(), said)) {
            answers.push(self.vote(&survey, output, said).await);
        }
        Ok(answers)
    }

    async fn vote(
        &self,
        survey: &Survey,
        output: &Output,
        said: Vec<Result<bool, BackendError>>,
    ) -> Result<Assured<bool>, BackendError> {
        let count = |wanted| said.iter().filter(|said| matches!(said, Ok(fact) if *fact == wanted)).count();
        let (unspent, spent) = (count(true), count(false));
        let agreed = survey.enough.say(unspent, spent);
        // Who says that it is spent, while too many say that it isn't, can prove it.
        if spent > 0 && agreed.is_none_or(|agreed| agreed.fact) {
            for (place, _) in said.iter().enumerate().filter(|(_, said)| **said == Ok(false)) {
                if self.is_spent(survey, place, output).await {
                    return Ok(Assured { fact: false, assurance: Assurance::Proven });
                }
            }
        }
        match agreed {
            Some(agreed) => {
                self.note_unspent(output, &said, agreed);
                Ok(agreed)
            }
            None => Err(self.contradiction(output, said)),
        }
    }

    fn contradiction(&self, output: &Output, said: Vec<Result<bool, BackendError>>) -> BackendError {
        if said.iter().all(Result::is_err) {
            return exhausted(said.into_iter().filter_map(Result::err).collect());
        }
        let said = self.names().zip(said).map(|(name, said)| match said {
            Ok(true) => format!("{name} says unspent"),
            Ok(false) => format!("{name} says spent"),
            Err(error) => error.to_string(),
        });
        let what = format!("whether {} is spent, too few servers say the same", output.outpoint);
        BackendError::Contradiction { what, said: said.collect() }
    }

    /// Whether this server shows a transaction that spends the output: in a block of the chain, or one that the output's owner has
    /// signed and that the next block can have.
    async fn is_spent(&self, survey: &Survey, place: usize, output: &Output) -> bool {
        let Some(member) = self.0.members.get(place) else { return false };
        let Some((made, Some(height))) = self.made(place, output).await else { return false };
        let mut from = Cursor::at(height);
        for _ in 0..STEPS {
            let search = member.ask(self.terms(), &|endpoint| endpoint.spender(output, from).boxed()).await;
            match search {
                Ok(Search::Found(found)) => {
                    return spends(&found.transaction, output.outpoint)
                        && (is_spent_by(
                            &found.transaction,
                            output.outpoint,
                            &made,
                            self.next_block(survey),
                        ) || self.how_mined(survey, place, &found).await == Some(Assurance::Proven));
                }
                Ok(Search::More(next)) => from = next,
                Ok(Search::Ended(_)) | Err(_) => return false,
            }
        }
        false
    }
}
