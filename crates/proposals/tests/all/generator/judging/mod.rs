//! Judging on the real Bridge: each objection is raised at the step that it belongs to, and not a moment longer than it holds.

mod again;
mod bitcoin;
mod contract;
mod evidence;
mod false_events;
mod fees_and_outputs;
mod own_transactions;

use coxswain_proposals::{Assessment, Memory, Session, SessionError, Step};
use coxswain_rules::{
    Amount, Assurance, DepositSweepProposal, MovedFundsSweepProposal, MovingFundsProposal, Objection,
    OutPoint, Proposal, RedemptionProposal, ScriptBuf, Timing,
};
use coxswain_testkit::{Deposit, Wallet};

use crate::generator::support::Stage;

/// A fee of small transactions that a leader pays at 10 sat/vB.
pub(crate) const FAIR: Amount = Amount::from_sat(3_000);

impl Stage {
    /// What a follower says of the proposal now that knows nothing but what is on the wire.
    pub(crate) async fn judge(&mut self, wallet: &Wallet, proposal: &Proposal) -> Assessment {
        let (endpoint, bitcoin) = (self.endpoint(), self.bitcoin.clone());
        self.judge_through(endpoint, bitcoin, wallet, proposal).await
    }

    pub(crate) async fn judge_through(
        &mut self,
        endpoint: coxswain_ethereum::Endpoints,
        bitcoin: impl coxswain_bitcoin::Backend,
        wallet: &Wallet,
        proposal: &Proposal,
    ) -> Assessment {
        let (sources, block) = self.sources(endpoint, bitcoin).await;
        let mut memory = Memory::default();
        let mut session = Session::new(&sources, wallet.key_hash(), block, &mut memory);
        session.judge_proposal(proposal).await.1
    }

    /// The objection to the proposal.
    pub(crate) async fn objection(&mut self, wallet: &Wallet, proposal: &Proposal) -> (Step, Objection) {
        match self.judge(wallet, proposal).await {
            Assessment::Rejected { step, objection, assurance: Assurance::Word } => {
                (step, objection.as_ref().clone())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Why it can't be told whether the proposal is valid.
    pub(crate) async fn undecided(&mut self, wallet: &Wallet, proposal: &Proposal) -> (Step, SessionError) {
        match self.judge(wallet, proposal).await {
            Assessment::Undecided { step, cause } => (step, *cause),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn assert_valid(&mut self, wallet: &Wallet, proposal: &Proposal) {
        let assessment = self.judge(wallet, proposal).await;
        let valid = matches!(assessment, Assessment::Valid { assurance: Assurance::Word, .. });
        assert!(valid, "{assessment:?}");
    }
}

pub(crate) fn sweep<'a>(deposits: impl IntoIterator<Item = &'a Deposit>, fee: Amount) -> Proposal {
    let deposits = deposits.into_iter().map(Deposit::revealed).collect();
    Proposal::DepositSweep(DepositSweepProposal { deposits, fee })
}

pub(crate) fn redemption(scripts: &[ScriptBuf], fee: Amount) -> Proposal {
    Proposal::Redemption(RedemptionProposal { scripts: scripts.to_vec(), fee })
}

pub(crate) fn moving_funds(target: &Wallet, fee: Amount) -> Proposal {
    Proposal::MovingFunds(MovingFundsProposal { targets: vec![target.key_hash()], fee })
}

pub(crate) fn moved_funds_sweep(outpoint: OutPoint, fee: Amount) -> Proposal {
    Proposal::MovedFundsSweep(MovedFundsSweepProposal { outpoint, fee })
}

pub(crate) fn lifts(objection: &Objection) -> bool {
    objection.timing() == Timing::Lifts
}
