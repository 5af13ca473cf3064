//! Judging: whether the wallet's members may sign what is proposed. The contract is one step of seven; the others are what it
//! can't see.

mod contract;
mod evidence;
mod margin;
mod ownership;
mod transaction;

use std::{fmt, sync::Arc};

use coxswain_bitcoin::{Backend, BackendError};
use coxswain_rules::{Assurance, Case, FeeRuling, MissingError, Objection, Proposal};

use crate::{Session, SessionError};

pub(crate) use contract::CaseAnswers;
pub use contract::{Concurrence, Opinion};

/// A step of judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The events that the proposal builds on are there and deep enough; what they and the Bridge point to on Bitcoin is found.
    Evidence,
    /// The contract accepts the proposal, and so do the rules evaluated here.
    Contract,
    /// No transaction of the wallet waits for its proof.
    MainUtxo,
    /// What is to be swept is there, unspent, and deep enough in the Bitcoin chain.
    Funding,
    /// The inputs pay for the outputs and the fee, and no output is dust.
    Outputs,
    /// The fee relays, and burns no money.
    Fee,
    /// Funds are not moved before their time.
    Margin,
}

impl Step {
    /// All steps, in the order in which they are taken.
    pub const ALL: [Self; 7] = [
        Self::Evidence,
        Self::Contract,
        Self::MainUtxo,
        Self::Funding,
        Self::Outputs,
        Self::Fee,
        Self::Margin,
    ];

    /// The name in documents and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Contract => "contract",
            Self::MainUtxo => "main-utxo",
            Self::Funding => "funding",
            Self::Outputs => "outputs",
            Self::Fee => "fee",
            Self::Margin => "margin",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The result of judging. The first step that isn't passed ends it: later ones are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// Every step is passed.
    Valid {
        /// How far that is to be believed.
        assurance: Assurance,
        /// What is worth a warning about the fee, if anything is.
        warning: Option<FeeRuling>,
    },
    /// There is an objection.
    Rejected {
        /// The step that raises it.
        step: Step,
        /// The objection.
        objection: Arc<Objection>,
        /// How far it is to be believed.
        assurance: Assurance,
    },
    /// A step can't be taken. Never the same as an objection.
    Undecided {
        /// The step.
        step: Step,
        /// Why not.
        cause: Box<SessionError>,
    },
}

impl Assessment {
    /// The objection, if there is one.
    pub fn objection(&self) -> Option<&Objection> {
        match self {
            Self::Rejected { objection, .. } => Some(objection),
            Self::Valid { .. } | Self::Undecided { .. } => None,
        }
    }

    /// The step that isn't passed, if there is one.
    pub const fn stopped_at(&self) -> Option<Step> {
        match self {
            Self::Valid { .. } => None,
            Self::Rejected { step, .. } | Self::Undecided { step, .. } => Some(*step),
        }
    }

    fn stopped(step: Step, obstacle: Obstacle, assurance: Assurance) -> Self {
        match obstacle {
            Obstacle::Objection(objection) => {
                Self::Rejected { step, objection: Arc::new(*objection), assurance }
            }
            Obstacle::Undecided(cause) => Self::Undecided { step, cause },
        }
    }
}

/// What keeps a step from being passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It fails.
    Objection(Box<Objection>),
    /// It can't be taken.
    Undecided(Box<SessionError>),
}

impl From<Objection> for Obstacle {
    fn from(objection: Objection) -> Self {
        Self::Objection(Box::new(objection))
    }
}

impl From<SessionError> for Obstacle {
    fn from(undecided: SessionError) -> Self {
        Self::Undecided(Box::new(undecided))
    }
}

impl From<MissingError> for Obstacle {
    fn from(missing: MissingError) -> Self {
        SessionError::Missing(missing).into()
    }
}

impl From<BackendError> for Obstacle {
    fn from(error: BackendError) -> Self {
        SessionError::Bitcoin(error).into()
    }
}

impl<B: Backend> Session<'_, B> {
    /// Judges a proposal from the wire: finds its evidence, then judges the case. The case comes along if it is complete, so
    /// that it can be judged again at a newer block.
    pub async fn judge_proposal(&mut self, proposal: &Proposal) -> (Option<Case>, Assessment) {
        match Box::pin(self.evidence(proposal)).await {
            Ok(case) => {
                let assessment = self.judge(&case).await;
                (Some(case), assessment)
            }
            Err(obstacle) => (None, Assessment::stopped(Step::Evidence, obstacle, self.assurances.weakest())),
        }
    }

    /// Judges a case: one that [`evidence`](Self::evidence) has completed, or that was proposed here. What was prepared at one
    /// block is judged again at a newer one by a session of that block.
    pub async fn judge(&mut self, case: &Case) -> Assessment {
        if case.wallet != self.key_hash {
            let other = SessionError::OtherWallet { session: self.key_hash, case: case.wallet };
            return Assessment::stopped(Step::Evidence, other.into(), Assurance::Word);
        }
        let mut warning = None;
        for step in Step::ALL {
            // In boxes: futures nested more deeply are more than the compiler looks into.
            let taken = match step {
                Step::Evidence => Box::pin(self.check_evidence(case)).await,
                Step::Contract => Box::pin(self.check_contract(case)).await,
                Step::MainUtxo => Box::pin(self.check_main_utxo(case)).await,
                Step::Funding => Box::pin(self.check_funding(case)).await,
                Step::Outputs => Box::pin(self.check_outputs(case)).await,
                Step::Fee => Box::pin(self.check_fee(case)).await.map(|ruling| warning = ruling),
                Step::Margin => Box::pin(self.check_margin(case)).await,
            };
            if let Err(obstacle) = taken {
                return Assessment::stopped(step, obstacle, self.assurances.weakest());
            }
        }
        Assessment::Valid { assurance: self.assurances.weakest(), warning }
    }
}
