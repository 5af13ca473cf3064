//! The two modules at work: a pass per new Bitcoin block, and every ten minutes, as the relay and the Bridge move too.

use std::{future::Future, sync::Arc, time::Duration};

use alloy::primitives::U256;
use coxswain_bitcoin::Backend;
use coxswain_ethereum::submit::{SentLog, Submitter};
use coxswain_rules::units::Height;
use coxswain_service::{
    point,
    tasks::{Failure, Stop},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use crate::{
    difficulty::{RelayKeeper, Step},
    outcome::{ItemState, Pass},
    records::Records,
    report::{Funds, Report, mined},
    round::Maintainer,
};

/// How long a pass, or a step, may take: as long as four proofs are waited for one after another, and some. What was sent is
/// recorded: the next takes its nonce.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// How long to wait after a failure that concerns no one transaction.
const PAUSE: Duration = Duration::from_secs(60);
/// What a proof takes with the headers that mainnet asks for, and a retarget: at most.
const USUAL_GAS: u64 = 300_000;

/// When passes follow one another.
#[derive(Clone, Debug)]
pub(crate) struct Rhythm {
    /// Bitcoin's height, whenever it moves.
    pub(crate) heights: watch::Receiver<Height>,
    /// At the latest after so long.
    pub(crate) every: Duration,
    pub(crate) clock: fn() -> Duration,
    pub(crate) stop: Stop,
}

impl Rhythm {
    /// Waits for the next pass; `false` if there is none.
    async fn next(&mut self, at_the_latest: Duration) -> bool {
        tokio::select! {
            () = self.stop.requested() => false,
            () = sleep(at_the_latest.min(self.every)) => true,
            // If nobody tells heights any more, the program ends as well.
            moved = self.heights.changed() => moved.is_ok(),
        }
    }

    /// Does this, unless all ends before. What was sent by then is recorded.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.stop.requested() => None,
            done = work => Some(done),
        }
    }
}

/// Follows Bitcoin's height.
pub(crate) async fn follow<B: Backend>(
    bitcoin: B,
    heights: watch::Sender<Height>,
    every: Duration,
    clock: fn() -> Duration,
    report: Report,
    mut stop: Stop,
) -> Result<(), Failure> {
    loop {
        let asked = async {
            let tip = bitcoin.tip().await;
            report.bitcoin(&tip, clock());
            if let Ok(tip) = tip {
                heights.send_if_modified(|height| std::mem::replace(height, tip.height) != tip.height);
            }
            sleep(every).await;
        };
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = asked => {}
        }
    }
}

/// Tells what the account has, and what three proofs cost.
async fn look_at_funds<L: SentLog>(submitter: &Submitter<L>, report: &Report, now: Duration) {
    let (balance, price) = tokio::join!(submitter.balance(), submitter.price());
    // If nobody answers, that is told elsewhere.
    if let (Ok(balance), Ok(price)) = (balance, price) {
        let three_proofs = U256::from(price).saturating_mul(U256::from(3 * USUAL_GAS));
        report.funds(Funds { balance, three_proofs }, now);
    }
}

/// Proves what wallets did, pass after pass.
pub(crate) async fn prove<B: Backend>(
    mut maintainer: Maintainer<B, Records>,
    submitter: Arc<Submitter<Records>>,
    records: Records,
    report: Report,
    mut rhythm: Rhythm,
) -> Result<(), Failure> {
    let clock = rhythm.clock;
    loop {
        rhythm.heights.mark_unchanged();
        let work = async {
            look_at_funds(&submitter, &report, clock()).await;
            point("pass/before");
            timeout(LIMIT, maintainer.pass(clock())).await
        };
        let Some(pass) = rhythm.unless_stopped(work).await else { return Ok(()) };
        point("pass/after");
        let now = clock();
        let wait = match pass {
            Ok(Ok(pass)) => {
                tell(&pass);
                report.pass(&pass, maintainer.kept().1.longest(), now);
                for (_, mined) in mined(&pass) {
                    let refund = rhythm.unless_stopped(submitter.refund(mined)).await;
                    report.paid(mined, refund.and_then(Result::ok));
                }
                let kept = records.keep(maintainer.kept()).await;
                report.kept(kept.as_ref().err().map(|error| -> &dyn std::error::Error { error }), now);
                point("kept/after");
                wait_after(&pass, maintainer.kept().1.next(now))
            }
            Ok(Err(error)) => {
                warn!(%error, "nothing could be proven");
                report.pass_failed(&error, now);
                PAUSE
            }
            Err(_) => {
                error!("a pass took too long");
                report.pass_overdue(LIMIT, now);
                PAUSE
            }
        };
        if !rhythm.next(wait).await {
            return Ok(());
        }
    }
}

/// How long to wait at most after this pass, whose first pause ends then.
fn wait_after(pass: &Pass, pause: Option<Duration>) -> Duration {
    let turns = pass.items.iter().filter_map(|item| match &item.state {
        // The wallet's next one may be there already.
        ItemState::Sent(_) => Some(Duration::ZERO),
        ItemState::OthersTurn(left) => Some(*left),
        // Nothing slows these down but a pause.
        ItemState::Proven | ItemState::Overtaken(_) | ItemState::OthersCall | ItemState::Failed(_) => {
            Some(PAUSE)
        }
        ItemState::Unconfirmed
        | ItemState::NotProvable(_)
        | ItemState::Paused
        | ItemState::Ready(_)
        | ItemState::Coinbase
        | ItemState::UnknownSpend(_) => None,
    });
    let searching = (!pass.unknown.is_empty()).then_some(PAUSE);
    turns.chain(searching).chain(pause).min().unwrap_or(Duration::MAX)
}

fn tell(pass: &Pass) {
    for item in &pass.items {
        let (wallet, txid) = (item.wallet, item.txid);
        let kind = item.kind.as_ref().map_or("unknown", |kind| kind.action().name());
        match &item.state {
            ItemState::Sent(mined) => {
                info!(%wallet, %txid, kind, transaction = %mined.hash, block = mined.block.0, "proven");
            }
            ItemState::Proven => info!(%wallet, %txid, kind, "proven by another"),
            ItemState::Overtaken(error) => info!(%wallet, %txid, kind, %error, "proven by another meanwhile"),
            ItemState::UnknownSpend(misfits) => error!(%wallet, %txid, "an unknown spend: {misfits}"),
            ItemState::Failed(error) => warn!(%wallet, %txid, kind, %error, "not proven"),
            state => info!(%wallet, %txid, kind, state = state.name(), "waits"),
        }
    }
    for (wallet, error) in &pass.unknown {
        warn!(%wallet, %error, "it can't be told what is unproven");
    }
}

/// Tells the relay each new difficulty, step after step.
pub(crate) async fn keep_relay<B: Backend>(
    keeper: RelayKeeper<B, Records>,
    submitter: Arc<Submitter<Records>>,
    report: Report,
    mut rhythm: Rhythm,
) -> Result<(), Failure> {
    let clock = rhythm.clock;
    let mut pause = PAUSE;
    loop {
        rhythm.heights.mark_unchanged();
        let work = async {
            look_at_funds(&submitter, &report, clock()).await;
            point("step/before");
            timeout(LIMIT, keeper.step()).await
        };
        let Some(step) = rhythm.unless_stopped(work).await else { return Ok(()) };
        point("step/after");
        let Some(epoch) = rhythm.unless_stopped(keeper.epoch()).await else { return Ok(()) };
        report.relay(epoch);
        let now = clock();
        let wait = match step {
            Ok(Ok(step)) => {
                pause = PAUSE;
                report.step(&step, now);
                match step {
                    Step::Told { epoch, mined } => {
                        info!(epoch, transaction = %mined.hash, "the relay was told");
                        let refund = rhythm.unless_stopped(submitter.refund(&mined)).await;
                        report.paid(&mined, refund.and_then(Result::ok));
                        Duration::ZERO
                    }
                    Step::ToldByOthers => Duration::ZERO,
                    Step::WaitingForClock(_) => PAUSE,
                    Step::UpToDate | Step::WaitingForBlocks(_) | Step::NotApplicable | Step::Ready(_) => {
                        Duration::MAX
                    }
                }
            }
            Ok(Err(error)) => {
                warn!(%error, "the relay was not told");
                report.step_failed(&error, now);
                let this = pause;
                pause = pause.saturating_mul(2).min(rhythm.every);
                this
            }
            Err(_) => {
                error!("a step took too long");
                report.step_overdue(LIMIT, now);
                pause
            }
        };
        if !rhythm.next(wait).await {
            return Ok(());
        }
    }
}

#[cfg(all(test, feature = "points"))]
mod kills;
