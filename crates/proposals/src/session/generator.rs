//! What a wallet should do now: a file for each action reads what it needs in a bounded number of round trips, leaves the
//! choice to the pure parts, and puts it before the contract.

mod deposit_sweep;
mod moved_funds_sweep;
mod moving_funds;
mod redemption;

use coxswain_bitcoin::Backend;
use coxswain_ethereum::ContractVerdict;
use coxswain_rules::{Action, Case, Rejection, Subject, WalletState};

use super::Session;
use crate::{
    ActionOutcome, Attempt, ChecklistOutcome, Nothing, PreparedProposal, ProposedTransaction, SessionError,
    heartbeat, outcome::Progress,
};

pub(crate) use deposit_sweep::Survey;
pub(crate) use moved_funds_sweep::Moved;

/// How often a proposal of one action is put before the contract, less an item that it rejects each time, before the action is
/// given up.
const MAX_TRIES: usize = 5;

impl<B: Backend> Session<'_, B> {
    /// The first action of the checklist that the wallet can take.
    ///
    /// If an action is not possible, or can't be decided, the next one is tried. A commitment that must be submitted ends the
    /// list as a proposal does.
    pub async fn generate_first(&mut self, checklist: impl IntoIterator<Item = Action>) -> ChecklistOutcome {
        let mut attempts = Vec::new();
        for action in checklist {
            let attempt = self.generate(action).await;
            let ends = matches!(attempt.outcome, ActionOutcome::Proposal(_) | ActionOutcome::Commitment(_));
            attempts.push(attempt);
            if ends {
                break;
            }
        }
        ChecklistOutcome { block: self.block, attempts }
    }

    /// What comes of one action.
    pub async fn generate(&mut self, action: Action) -> Attempt {
        let mut excluded = Vec::new();
        if action != Action::Heartbeat {
            self.count_events();
        }
        // In boxes: futures nested more deeply are more than the compiler looks into.
        let outcome = match action {
            Action::Heartbeat => Box::pin(self.heartbeat()).await,
            Action::DepositSweep => Box::pin(self.deposit_sweep(&mut excluded)).await,
            Action::Redemption => Box::pin(self.redemption(&mut excluded)).await,
            Action::MovingFunds => Box::pin(self.moving_funds()).await,
            Action::MovedFundsSweep => Box::pin(self.moved_funds_sweep(&mut excluded)).await,
        };
        Attempt { action, outcome: outcome.unwrap_or_else(|outcome| outcome), excluded }
    }

    async fn heartbeat(&mut self) -> Progress<ActionOutcome> {
        // The contract doesn't look at the wallet; where it can't be read, that is no reason not to show that it lives.
        if let Ok(record) = self.record().await
            && let WalletState::Unknown | WalletState::Closed | WalletState::Terminated = record.state
        {
            return Ok(Nothing::WalletState(record.state).into());
        }
        let subject = Subject::Heartbeat(heartbeat(self.key_hash, self.block.number));
        Ok(self.put(subject, None).await?.or_nothing())
    }

    /// Puts a proposal before the contract.
    async fn put(
        &mut self,
        subject: Subject,
        transaction: Option<ProposedTransaction>,
    ) -> Result<Answer, SessionError> {
        let case = Case { wallet: self.key_hash, subject };
        match self.contract(&case).await {
            ContractVerdict::Valid => Ok(Answer::Accepted(Box::new(PreparedProposal { case, transaction }))),
            ContractVerdict::Rejected(rejection) => Ok(Answer::Rejected(rejection)),
            ContractVerdict::Undecided(undecided) => Err(undecided.into()),
        }
    }
}

/// What the contract says of a proposal.
enum Answer {
    Accepted(Box<PreparedProposal>),
    Rejected(Rejection),
}

impl Answer {
    /// What comes of an action that has one proposal only.
    fn or_nothing(self) -> ActionOutcome {
        match self {
            Self::Accepted(proposed) => ActionOutcome::Proposal(proposed),
            Self::Rejected(rejection) => Nothing::Rejected(Box::new(rejection)).into(),
        }
    }
}
