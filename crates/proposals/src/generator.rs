//! The thin part around choosing: reads Ethereum and Bitcoin in a bounded number of round trips, and asks the contract.

mod deposit_sweep;
mod moved_funds_sweep;
mod moving_funds;
mod redemption;
mod wallet;

use alloy_primitives::Address;
use bitcoin::FeeRate;
use coxswain_bitcoin::Backend;
use coxswain_ethereum::{Block, BridgeEvents, Endpoint, ProposalValidator, SnapshotReader, Verdict};
use coxswain_rules::{Action, Case, KeyHash, Rejection, Subject, Utxo, WalletState, network::Parameters};

use crate::{
    Attempt, Generation, Memory, Nothing, Outcome, Proposed, ProposedTransaction, Undecided, heartbeat,
};
use wallet::Wallet;

/// How often a proposal of one action is put before the contract, less an item that it rejects each time, before the action is
/// given up.
const MAX_TRIES: usize = 5;

/// Finds out what wallets of one Bridge should do.
#[derive(Clone, Debug)]
pub struct Generator<B> {
    endpoint: Endpoint,
    reader: SnapshotReader,
    validator: ProposalValidator,
    bitcoin: B,
    network: Parameters,
    fallback_fee_rate: Option<FeeRate>,
}

impl<B: Backend> Generator<B> {
    /// A generator for the Bridge at `bridge` on chain `chain_id`, which asks this validator, and takes
    /// `fallback_fee_rate` for the estimate of fees if Bitcoin has none.
    pub fn new(
        endpoint: Endpoint,
        chain_id: u64,
        bridge: Address,
        validator: ProposalValidator,
        bitcoin: B,
        network: Parameters,
        fallback_fee_rate: Option<FeeRate>,
    ) -> Self {
        let reader = SnapshotReader::new(endpoint.clone(), chain_id, bridge);
        Self { endpoint, reader, validator, bitcoin, network, fallback_fee_rate }
    }

    /// The first action of the checklist that the wallet can take, as of this block.
    ///
    /// An action that can't be taken, or of which that can't be told, doesn't keep the ones behind it from being tried. A
    /// commitment that must be submitted ends the list as a proposal does.
    ///
    /// `events` must have been brought up to the block, and reach back as far as anything pending; only the wallet's newest
    /// transaction is searched further back. `memory` is the wallet's own.
    pub async fn propose_first(
        &self,
        checklist: impl IntoIterator<Item = Action>,
        wallet: KeyHash,
        block: Block,
        events: &mut BridgeEvents,
        memory: &mut Memory,
    ) -> Generation {
        let mut wallet = Wallet::new(self, wallet, block, events, memory);
        let mut attempts = Vec::new();
        for action in checklist {
            let attempt = wallet.attempt(action).await;
            let ends = matches!(attempt.outcome, Outcome::Proposal(_) | Outcome::Commitment(_));
            attempts.push(attempt);
            if ends {
                break;
            }
        }
        Generation { block, attempts }
    }

    /// What comes of one action, as of this block.
    pub async fn propose(
        &self,
        action: Action,
        wallet: KeyHash,
        block: Block,
        events: &mut BridgeEvents,
        memory: &mut Memory,
    ) -> Attempt {
        Wallet::new(self, wallet, block, events, memory).attempt(action).await
    }
}

impl<B: Backend> Generator<B> {
    /// The wallet's main UTXO as of this block, spent on Bitcoin or not; none when it has none. Its newest recorded
    /// transaction is searched further back than `events` reach.
    ///
    /// # Errors
    /// When Ethereum or Bitcoin has no usable answer.
    pub async fn main_utxo(
        &self,
        wallet: KeyHash,
        block: Block,
        events: &mut BridgeEvents,
    ) -> Result<Option<Utxo>, Undecided> {
        let mut memory = Memory::default();
        let mut wallet = Wallet::new(self, wallet, block, events, &mut memory);
        let record = wallet.record().await?;
        let main_utxo = wallet.find_main_utxo(&record).await?;
        Ok(main_utxo.map(|main_utxo| main_utxo.utxo))
    }
}

impl<B: Backend> Wallet<'_, B> {
    async fn attempt(&mut self, action: Action) -> Attempt {
        let mut excluded = Vec::new();
        let outcome = match action {
            Action::Heartbeat => self.heartbeat().await,
            Action::DepositSweep => self.deposit_sweep(&mut excluded).await,
            Action::Redemption => self.redemption(&mut excluded).await,
            Action::MovingFunds => self.moving_funds().await,
            Action::MovedFundsSweep => self.moved_funds_sweep(&mut excluded).await,
        };
        Attempt { action, outcome: outcome.unwrap_or_else(|outcome| outcome), excluded }
    }

    async fn heartbeat(&mut self) -> Step<Outcome> {
        // The contract doesn't look at the wallet; where it can't be read, that is no reason not to show that it lives.
        if let Ok(record) = self.record().await
            && let WalletState::Unknown | WalletState::Closed | WalletState::Terminated = record.state
        {
            return Ok(Nothing::WalletState(record.state).into());
        }
        let subject = Subject::Heartbeat(heartbeat(self.key_hash, self.block.number));
        match self.accepted(subject, None).await? {
            Ok(proposed) => Ok(proposed),
            Err(rejection) => Ok(Nothing::Rejected(Box::new(rejection)).into()),
        }
    }

    /// The proposal, when the contract accepts it.
    async fn accepted(
        &self,
        subject: Subject,
        transaction: Option<ProposedTransaction>,
    ) -> Result<Result<Outcome, Rejection>, Undecided> {
        let case = Case { wallet: self.key_hash, subject };
        match self.generator.validator.validate_at(&case, self.block).await {
            Verdict::Valid => Ok(Ok(Outcome::Proposal(Box::new(Proposed { case, transaction })))),
            Verdict::Rejected(rejection) => Ok(Err(rejection)),
            Verdict::Undecided(undecided) => Err(undecided.into()),
        }
    }
}

/// A step on the way to an outcome; what ends the way early is one, too.
type Step<T> = Result<T, Outcome>;
