//! Who says otherwise than what is proven, or than enough others say.

use std::sync::PoisonError;

use coxswain_rules::{Assured, Dissent};

use super::{Backends, member::Member, survey::Survey, votes::outliers};
use crate::{BackendError, FeeRates, Fees, Output};

impl Backends {
    /// Who was outvoted by enough others so far, or refuted by a proof, with what it said.
    pub fn dissents(&self) -> Vec<Dissent> {
        self.0.dissents.lock().unwrap_or_else(PoisonError::into_inner).all().to_vec()
    }

    pub(super) fn note(&self, endpoint: &str, said: impl FnOnce() -> String) {
        self.0.dissents.lock().unwrap_or_else(PoisonError::into_inner).note(endpoint, said);
    }

    /// Notes who shows another chain than the one with the most work, or is behind.
    pub(super) fn note_survey(&self, survey: &Survey) {
        for error in survey.votes.iter().filter_map(|vote| vote.as_ref().err()) {
            let is_false = matches!(
                error,
                BackendError::Behind { .. }
                    | BackendError::Forked { .. }
                    | BackendError::OtherChain { .. }
                    | BackendError::WrongNetwork { .. }
                    | BackendError::BadHeader { .. }
                    | BackendError::TooManyHeaders { .. }
                    | BackendError::Garbage { .. }
            );
            if let Some(endpoint) = error.endpoint().filter(|_| is_false) {
                self.note(endpoint, || error.to_string());
            }
        }
    }

    /// Notes whose word on an output is not what enough others say.
    pub(super) fn note_unspent(
        &self,
        output: &Output,
        said: &[Result<bool, BackendError>],
        agreed: Assured<bool>,
    ) {
        for (member, said) in self.0.members.iter().zip(said) {
            if *said == Ok(!agreed.fact) {
                let what =
                    if agreed.fact { "is spent, and shows nothing that spends it" } else { "is unspent" };
                self.note(member.name(), || format!("it says that {} {what}", output.outpoint));
            }
        }
    }

    /// Notes whose rates are far from those of enough others.
    pub(super) fn note_fees(&self, said: &[(&str, FeeRates)], fees: &Fees) {
        for (name, what) in outliers(said, fees) {
            self.note(name, || what);
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.members.iter().map(Member::name)
    }
}
