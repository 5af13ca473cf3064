//! A world in which each of the five actions is due, at the same block: for tests that ask validators about every rule.

use coxswain_rules::{
    Action, Amount, Case, DepositSweepProposal, HeartbeatProposal, MovedFundsSweepProposal,
    MovingFundsProposal, OutPoint, RedemptionProposal, ScriptBuf, Subject,
};

use crate::{Deposit, DepositOutput, DepositSpec, Error, PendingRedemption, Wallet, World, standard_scripts};

/// Over the minimum age of a deposit, and of a redemption request.
const OLD_ENOUGH: u64 = 2 * 3600 + 60;
/// A fee that every rule allows.
const FEE: Amount = Amount::from_sat(10_000);
/// What each redeemer asks for.
const REDEEMED: Amount = Amount::from_sat(2_000_000);

/// A world with one wallet at work, one about to move its funds, and one that has.
#[derive(Debug)]
pub struct Scene {
    /// The chains, the Bridge and who acts on it.
    pub world: World,
    /// A Live wallet with a main UTXO, deposits to sweep, redemptions to pay and moved funds to take in.
    pub working: Wallet,
    /// A wallet in MovingFunds, committed to move to [`working`](Self::working).
    pub retiring: Wallet,
    /// A wallet that has moved its funds to [`working`](Self::working).
    pub retired: Wallet,
    /// Deposits of every sound kind, old enough to sweep, none with a vault.
    pub deposits: Vec<Deposit>,
    /// A deposit as old, to an output that nobody can spend (a P2WPKH over the deposit script's hash).
    pub unspendable: Deposit,
    /// Redemption requests to every standard script, old enough to pay.
    pub requests: Vec<PendingRedemption>,
    /// A redemption request made just now.
    pub young_request: PendingRedemption,
    /// The output that pays [`working`](Self::working) the retired wallet's funds.
    pub moved: OutPoint,
}

impl Scene {
    /// Sets the scene, telling what is done as it is done.
    ///
    /// # Errors
    /// When anvil or an artifact is missing, or a step fails.
    pub async fn set(mut tell: impl FnMut(&str)) -> Result<Self, Error> {
        tell("starting a local chain and deploying the real tBTC Bridge");
        Self::on(World::start().await?, tell).await
    }

    /// Likewise, in a world that stands already.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn on(mut world: World, mut tell: impl FnMut(&str)) -> Result<Self, Error> {
        tell("funding three wallets: deposits revealed, swept and proven by SPV");
        let working = world.funded_wallet(1).await?;
        let retiring = world.funded_wallet(2).await?;
        let retired = world.funded_wallet(3).await?;

        tell("requesting redemptions");
        let redeemer = world.depositor;
        let [young, scripts @ ..] = standard_scripts(1);
        let mut requests = Vec::new();
        for script in scripts {
            requests.push(world.request_redemption(&working, redeemer, script, REDEEMED).await?);
        }

        tell("retiring two wallets, and moving the funds of one");
        for wallet in [&retiring, &retired] {
            world.retire(wallet).await?;
            world.commit_targets(wallet, &[working.key_hash()]).await?;
        }
        let moving = world.move_funds(&retired, &[working.key_hash()], FEE).await?;
        let moved = OutPoint::new(moving.compute_txid(), 0);

        tell(
            "revealing deposits: P2SH and P2WSH, with and without extra data, and one that nobody can spend",
        );
        let mut deposits = Vec::new();
        for output in [DepositOutput::P2wsh, DepositOutput::P2sh] {
            for extra_data in [[0; 32], [7; 32]] {
                let spec = DepositSpec { output, extra_data: extra_data.into(), ..DepositSpec::default() };
                deposits.push(world.reveal(&working, spec).await?);
            }
        }
        let spec = DepositSpec { output: DepositOutput::P2wpkh, ..DepositSpec::default() };
        let unspendable = world.reveal(&working, spec).await?;

        tell("letting two hours pass");
        world.chain.advance(OLD_ENOUGH).await?;
        let young_request = world.request_redemption(&working, redeemer, young, REDEEMED).await?;
        Ok(Self { world, working, retiring, retired, deposits, unspendable, requests, young_request, moved })
    }

    /// A valid case of the action.
    ///
    /// # Errors
    /// When the retiring wallet's main UTXO is gone, as after carrying out its move.
    pub fn case(&self, action: Action) -> Result<Case, Error> {
        let (wallet, subject) = match action {
            Action::Heartbeat => {
                let message = [[0xff; 8], [0x11; 8]].concat();
                (&self.working, Subject::Heartbeat(HeartbeatProposal { message }))
            }
            Action::DepositSweep => (&self.working, sweep(&self.deposits)),
            Action::Redemption => {
                let scripts: Vec<ScriptBuf> =
                    self.requests.iter().map(|request| request.script.clone()).collect();
                (&self.working, Subject::Redemption(RedemptionProposal { scripts, fee: FEE }))
            }
            Action::MovingFunds => {
                let proposal = MovingFundsProposal { targets: vec![self.working.key_hash()], fee: FEE };
                let main_utxo = self
                    .world
                    .main_utxo(&self.retiring)
                    .ok_or(Error::NoMainUtxo(self.retiring.key_hash()))?;
                (&self.retiring, Subject::MovingFunds { proposal, main_utxo })
            }
            Action::MovedFundsSweep => {
                let proposal = MovedFundsSweepProposal { outpoint: self.moved, fee: FEE };
                (&self.working, Subject::MovedFundsSweep(proposal))
            }
        };
        Ok(Case { wallet: wallet.key_hash(), subject })
    }
}

/// What a sweep of these deposits is about.
pub fn sweep(deposits: &[Deposit]) -> Subject {
    Subject::DepositSweep {
        proposal: DepositSweepProposal {
            deposits: deposits.iter().map(Deposit::revealed).collect(),
            fee: FEE,
        },
        extra_info: deposits.iter().map(|deposit| deposit.extra_info.clone()).collect(),
    }
}
