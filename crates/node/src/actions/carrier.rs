//! Carries out the actions of all wallets. It takes the windows' results, keeps a machine for each action that is not over, and
//! performs the steps that the machines request. A failure of one wallet delays no other.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use coxswain_coordination::Tick;
use coxswain_protocol::{Agreement, WindowResult};
use coxswain_rules::{KeyHash, Proposal, units::BlockNumber};
use coxswain_service::{
    journal::{AppendError, Journal},
    point,
    tasks::{Failure, Stop},
};
use coxswain_signing::{ActionId, Job};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, error, info, warn};

use super::{
    machine::{Command, Event, Judged, Machine, Prepared, Seen, Signing, Times},
    milestone::{Agreed, Alive, End, Milestone, SignedTransaction, Stuck},
    recorded::{ActionRecord, DamagedAction},
    tally::Tally,
};

/// A group as large as mainnet's least, and how many of its seats must be ready for a heartbeat. Of smaller groups, as large a share.
const GROUP: usize = 90;
const READY: usize = 70;

/// Does what machines ask for. Any of it is given up by being dropped, and asked again.
pub trait Hands: Send + Sync + 'static {
    /// Whether there is a signer for this wallet.
    fn signs(&self, wallet: KeyHash) -> bool;

    /// Judges the proposal at the newest block, and assembles what it stands for. `again` if it was judged at its start before.
    fn judge(&self, wallet: KeyHash, proposal: &Proposal, again: bool)
    -> impl Future<Output = Judged> + Send;

    /// Signs the job.
    fn sign(
        &self,
        job: &Job,
        prepared: &Prepared,
        clock: watch::Receiver<BlockNumber>,
    ) -> impl Future<Output = Signing> + Send;

    /// Looks where the transaction is, and hands it to Bitcoin before, if that is wanted.
    fn watch(
        &self,
        wallet: KeyHash,
        signed: &SignedTransaction,
        hand: bool,
    ) -> impl Future<Output = Seen> + Send;
}

/// A wallet's actions that are not over.
#[derive(Debug, Default)]
struct Desk {
    machines: BTreeMap<u64, Machine>,
    /// An action could not be read, so that it is unknown whether the wallet is busy.
    damaged: Option<DamagedAction>,
}

impl Desk {
    /// The window whose action keeps the wallet busy.
    fn busy(&self) -> Option<u64> {
        self.machines.iter().find(|(_, machine)| machine.is_busy()).map(|(window, _)| *window)
    }
}

/// What was done for the action of a wallet's window.
type Done = (KeyHash, u64, Event);

/// Carries out all wallets' actions.
#[derive(Debug)]
pub struct Carrier<H> {
    hands: Arc<H>,
    journal: Arc<Journal>,
    chain_id: u64,
    times: Times,
    patience: Duration,
    wallets: BTreeMap<KeyHash, Desk>,
    heights: watch::Sender<BlockNumber>,
    work: JoinSet<Done>,
    tally: Tally,
}

impl<H: Hands> Carrier<H> {
    /// Carries out the actions of these wallets. Unfinished actions continue from the journal. If a wallet's record can't be read,
    /// the wallet does nothing. If a judging or a look at Bitcoin takes longer than `patience`, it is repeated at the next block.
    pub fn new(
        hands: H,
        journal: Arc<Journal>,
        chain_id: u64,
        times: Times,
        patience: Duration,
        wallets: impl IntoIterator<Item = KeyHash>,
    ) -> Result<Self, coxswain_service::journal::ReadError> {
        let mut desks = BTreeMap::new();
        for wallet in wallets {
            let mut desk = Desk::default();
            for record in ActionRecord::open(journal.reader(), wallet)? {
                match record {
                    Ok(record) => {
                        let (window, state) = (record.agreed.window.index(), record.state());
                        info!(%wallet, window, state = %state.milestone, "an action goes on");
                        let at = state.at;
                        let is_new = record.reached.len() == 1;
                        let mut machine = Machine::restored(chain_id, times, record, at);
                        desk.machines.values_mut().for_each(|other| other.on_block(at));
                        // It had not come to be refused.
                        if let (true, Some(busy)) = (is_new, desk.busy()) {
                            machine.end(End::Busy { with: busy });
                        }
                        desk.machines.insert(window, machine);
                    }
                    Err(damaged) => {
                        error!(%wallet, %damaged, "the wallet does nothing: its journal can't be read");
                        desk.damaged = Some(damaged);
                    }
                }
            }
            if let Some(damaged) = desk.damaged {
                let new = desk.machines.values_mut().filter(|machine| machine.record().reached.len() == 1);
                new.for_each(|machine| machine.end(End::Skipped(damaged.to_string())));
            }
            desks.insert(wallet, desk);
        }
        let (heights, work) = (watch::Sender::new(BlockNumber(0)), JoinSet::new());
        let hands = Arc::new(hands);
        let tally = Tally::default();
        Ok(Self { hands, journal, chain_id, times, patience, wallets: desks, heights, work, tally })
    }

    /// What it counts, for whoever shows it.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Runs until it is to stop. What is under way then goes on from the journal at the next start.
    ///
    /// # Errors
    /// Never so far.
    pub async fn run(
        mut self,
        mut results: mpsc::Receiver<Arc<WindowResult>>,
        mut clock: watch::Receiver<Tick>,
        mut stop: Stop,
    ) -> Result<(), Failure> {
        let (mut hears, mut ticks) = (true, true);
        clock.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                changed = clock.changed(), if ticks => match changed {
                    Ok(()) => {
                        let block = clock.borrow_and_update().block;
                        self.on_block(block);
                    }
                    Err(_) => ticks = false,
                },
                Some(done) = self.work.join_next() => self.on_done(done?),
                // When it was agreed on is known from the first block on.
                result = results.recv(), if hears && *self.heights.borrow() > BlockNumber(0) => match result {
                    Some(result) => {
                        point("finish/before");
                        self.take(&result);
                        point("finish/after");
                    }
                    None => hears = false,
                },
            }
        }
        self.work.shutdown().await;
        Ok(())
    }

    fn on_block(&mut self, block: BlockNumber) {
        if block == BlockNumber(0) {
            return;
        }
        self.heights.send_replace(block);
        let wallets: Vec<KeyHash> = self.wallets.keys().copied().collect();
        for wallet in wallets {
            let Some(desk) = self.wallets.get_mut(&wallet) else { continue };
            desk.machines.values_mut().for_each(|machine| machine.on_block(block));
            self.go_on(wallet);
        }
    }

    /// Takes what a window has agreed on. Taken twice, it is one action.
    fn take(&mut self, result: &WindowResult) {
        let Agreement::Action(validated, schedule) = &result.agreement else { return };
        let (wallet, window) = (result.wallet, result.window);
        let Some(desk) = self.wallets.get_mut(&wallet) else { return };
        if desk.machines.contains_key(&window.index()) {
            return;
        }
        match self.journal.reader().action(wallet, window.index()) {
            Ok(steps) if steps.is_empty() => {}
            Ok(_) => return debug!(%wallet, window = window.index(), "the action is known"),
            Err(error) => {
                return error!(%wallet, %error, "the journal can't be read: the wallet's action is not begun");
            }
        }
        let proposal = (**validated.proposal()).clone();
        let action_id = ActionId::of(self.chain_id, wallet, window.block(), &proposal);
        let agreed = Agreed { window, action_id, proposal, schedule: *schedule };
        let at = *self.heights.borrow();
        let mut machine = Machine::new(self.chain_id, self.times, wallet, agreed, at);
        // Not what is confirmed and waits for its proof: that shows in the main UTXO.
        let busy = desk.busy();
        if let Some(damaged) = desk.damaged {
            machine.end(End::Skipped(damaged.to_string()));
        } else if !self.hands.signs(wallet) {
            machine.end(End::NoSigner);
        } else if let Some(with) = busy {
            warn!(%wallet, window = window.index(), with, "refused: the wallet is busy");
            machine.end(End::Busy { with });
        }
        desk.machines.insert(window.index(), machine);
        self.go_on(wallet);
    }

    fn on_done(&mut self, (wallet, window, event): Done) {
        let Some(machine) = self.wallets.get_mut(&wallet).and_then(|desk| desk.machines.get_mut(&window))
        else {
            return;
        };
        let event = match event {
            Event::Signed(Signing::Heartbeat(alive)) => {
                let alive = count(&self.journal, wallet, alive);
                Event::Signed(Signing::Heartbeat(alive))
            }
            other => other,
        };
        if let Event::Signed(Signing::Transaction(signed)) = &event {
            debug!(%wallet, window, txid = %signed.txid, "signed");
        }
        let is_recorded = event == Event::Recorded(true);
        machine.handle(event);
        if is_recorded {
            self.tally.count(machine.record(), machine.recorded());
        }
        if let Some(why) = machine.why() {
            debug!(%wallet, window, why, "it is tried again");
        }
        self.go_on(wallet);
    }

    /// Has done what the wallet's machines ask for.
    fn go_on(&mut self, wallet: KeyHash) {
        let Some(desk) = self.wallets.get_mut(&wallet) else { return };
        desk.machines.retain(|_, machine| !machine.is_done());
        let patience = self.patience;
        for (window, machine) in &mut desk.machines {
            let window = *window;
            let Some(command) = machine.poll() else { continue };
            let hands = Arc::clone(&self.hands);
            let record = machine.record();
            match command {
                Command::Record(number) => {
                    let (journal, record) = (Arc::clone(&self.journal), record.clone());
                    self.work.spawn(async move {
                        let recorded = record_milestone(&journal, &record, number).await;
                        if let Err(error) = &recorded {
                            error!(%wallet, window, %error, "the journal failed: the action does not go on");
                        }
                        (wallet, window, Event::Recorded(recorded.is_ok()))
                    });
                }
                Command::Judge { again } => {
                    let proposal = record.agreed.proposal.clone();
                    self.work.spawn(async move {
                        let judged = timeout(patience, hands.judge(wallet, &proposal, again)).await;
                        let judged = judged
                            .unwrap_or_else(|_| Judged::Undecided(format!("no verdict in {patience:?}")));
                        (wallet, window, Event::Judged(judged))
                    });
                }
                Command::Sign(job, prepared) => {
                    let clock = self.heights.subscribe();
                    self.work.spawn(async move {
                        point("action/sign/before");
                        let signing = hands.sign(&job, &prepared, clock).await;
                        point("action/sign/after");
                        (wallet, window, Event::Signed(signing))
                    });
                }
                Command::Watch { hand } => {
                    let Some(signed) = record.signed().cloned() else { continue };
                    self.work.spawn(async move {
                        if hand {
                            point("action/broadcast/before");
                        }
                        let seen = timeout(patience, hands.watch(wallet, &signed, hand)).await;
                        let seen = seen.unwrap_or_else(|_| {
                            Seen::nothing(format!("no answer from Bitcoin in {patience:?}"))
                        });
                        if hand {
                            point("action/broadcast/after");
                        }
                        (wallet, window, Event::Seen(seen))
                    });
                }
            }
        }
    }
}

/// How many seats must be ready for a heartbeat to be a good one.
const fn least_ready(of: usize) -> usize {
    if of >= GROUP { READY } else { of.saturating_mul(7).div_ceil(10) }
}

/// The heartbeat, with how many in a row had too few seats.
fn count(journal: &Journal, wallet: KeyHash, alive: Alive) -> Alive {
    if alive.active >= least_ready(alive.of) {
        return Alive { low_in_a_row: 0, ..alive };
    }
    let before = Alive::last(journal.reader(), wallet).unwrap_or_else(|error| {
        error!(%wallet, %error, "the counter of heartbeats can't be read: it begins anew");
        None
    });
    let before = before.map_or(0, |before| before.low_in_a_row);
    Alive { low_in_a_row: before.saturating_add(1), ..alive }
}

/// Why a milestone is not recorded.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("it can't be written down")]
    Unwritable(#[from] serde_json::Error),
}

async fn record_milestone(
    journal: &Journal,
    record: &ActionRecord,
    number: usize,
) -> Result<(), RecordError> {
    let Some(reached) = record.reached.get(number) else { return Ok(()) };
    let (before, after) = points(&reached.milestone);
    let fact = match &reached.milestone {
        Milestone::Over(End::Alive(alive)) => Some(alive.fact(record.wallet)?),
        _ => None,
    };
    point(before);
    journal.step(record.step(number)?, fact).await?;
    point(after);
    tell(record, &reached.milestone);
    Ok(())
}

/// Where a test can kill the program, around the recording of a milestone.
const fn points(milestone: &Milestone) -> (&'static str, &'static str) {
    match milestone {
        Milestone::Agreed(_) => ("action/agreed/before", "action/agreed/after"),
        Milestone::Waiting => ("action/waiting/before", "action/waiting/after"),
        Milestone::Assembled(_) => ("action/assembled/before", "action/assembled/after"),
        Milestone::Signed(_) => ("action/signed/before", "action/signed/after"),
        Milestone::Broadcast { .. } => ("action/handed/before", "action/handed/after"),
        Milestone::InMempool { .. } => ("action/mempool/before", "action/mempool/after"),
        Milestone::Stuck(_) => ("action/stuck/before", "action/stuck/after"),
        Milestone::Confirmed { .. } => ("action/confirmed/before", "action/confirmed/after"),
        Milestone::Over(_) => ("action/over/before", "action/over/after"),
    }
}

/// Says what an action has come to, where it is recorded.
fn tell(record: &ActionRecord, milestone: &Milestone) {
    let (wallet, window, action) =
        (record.wallet, record.agreed.window.index(), record.agreed.proposal.action());
    info!(%wallet, window, %action, "{milestone}");
    match milestone {
        Milestone::Stuck(Stuck { since, height, fee_rate, next_block }) => {
            let blocks = height.saturating_since(*since);
            let next = next_block.map_or_else(|| "unknown".to_owned(), rate);
            error!(
                %wallet, window, blocks, fee_rate = rate(*fee_rate), next_block = next,
                "alarm: the wallet's transaction waits for a block; it pays and the next block takes, in sat/vB"
            );
        }
        Milestone::Over(End::Alive(alive)) if alive.is_alarm() => {
            let silent: Vec<_> = alive.silent.iter().map(ToString::to_string).collect();
            error!(
                %wallet, in_a_row = alive.low_in_a_row, active = alive.active, of = alive.of,
                silent = silent.join(", "),
                "alarm: too few seats were ready for heartbeat after heartbeat"
            );
        }
        Milestone::Over(end @ (End::Rejected(_) | End::Failed(_) | End::Expired(_) | End::Replaced(_))) => {
            warn!(%wallet, window, %action, "the action has not succeeded: {end}");
        }
        _ => {}
    }
}

/// A rate in sat/kwu, in sat/vB.
fn rate(per_kwu: u64) -> String {
    format!("{}.{:02}", per_kwu / 250, per_kwu % 250 * 100 / 250)
}
