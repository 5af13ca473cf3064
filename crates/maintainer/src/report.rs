//! What a running maintainer says of itself: its health, and its numbers, some of them under the names that operators know from
//! the client that it stands in for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::primitives::U256;
use bitcoin::Txid;
use coxswain_bitcoin::{
    BackendError, Tip,
    spv::{EPOCH, NotProvable},
};
use coxswain_ethereum::submit::{Mined, SubmitError};
use coxswain_rules::{Action, KeyHash, units::Height, units::UnixTime};
use coxswain_service::status::{Condition, Page, Status};

use crate::{
    difficulty::{DifficultyError, Step},
    kind::Kind,
    outcome::{Item, ItemError, ItemState, Pass, PassError},
};

const SPV: &str = "spv";
const DIFFICULTY: &str = "difficulty";
const BITCOIN: &str = "bitcoin";
const ETHEREUM: &str = "ethereum";
const BALANCE: &str = "balance";
const JOURNAL: &str = "journal";
/// One entry for each transaction that somebody should look at.
const PROOF: &str = "proof";
const UNKNOWN_SPEND: &str = "unknown_spend";
/// One for each wallet of which it can't be told what is unproven.
const WALLET: &str = "wallet";

/// Says it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    status: Arc<Status>,
    numbers: Arc<Mutex<Numbers>>,
    /// With less than this, in wei, an alarm is raised.
    balance_alarm: U256,
}

/// The balance, and what it is held against, in wei.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Funds {
    pub(crate) balance: U256,
    /// What three proofs cost now.
    pub(crate) three_proofs: U256,
}

/// What is counted.
#[derive(Debug, Default)]
struct Numbers {
    proofs: BTreeMap<&'static str, Sendings>,
    retargets: Sendings,
    gas: u64,
    spent: U256,
    refunded: U256,
    balance: Option<U256>,
    /// Of what the last pass left unproven: how many of each kind, and how many blocks the oldest is deep.
    unproven: BTreeMap<&'static str, (u32, u32)>,
    /// Why, and how many.
    skipped: BTreeMap<&'static str, u32>,
    epochs_left: Option<u32>,
    skipped_out_of_range: u64,
    skipped_too_many_headers: u64,
    longest_pause: Duration,
    passes: u64,
    pass_failures: u64,
    redemption_failures: u64,
    last_pass: Option<UnixTime>,
    last_success: Option<UnixTime>,
    last_failure: Option<UnixTime>,
    tip: Option<Height>,
    relay_epoch: Option<u32>,
    is_active: bool,
    /// The subjects that have health entries.
    subjects: BTreeMap<&'static str, BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sendings {
    sent: u64,
    mined: u64,
    reverted: u64,
    failed: u64,
}

impl Sendings {
    fn failed(&mut self, error: &SubmitError) {
        self.failed += 1;
        match error {
            SubmitError::Reverted(_) => (self.sent, self.reverted) = (self.sent + 1, self.reverted + 1),
            SubmitError::NotMined(_) | SubmitError::NotDeep(_) => self.sent += 1,
            // Nothing was sent.
            _ => {}
        }
    }

    /// Another was faster: that is a failure only of what was sent by then.
    fn overtaken(&mut self, error: &SubmitError) {
        if matches!(error, SubmitError::Reverted(_) | SubmitError::NotDeep(_)) {
            self.failed(error);
        }
    }

    const fn mined(&mut self) {
        self.sent += 1;
        self.mined += 1;
    }
}

impl Report {
    pub(crate) fn new(status: Arc<Status>, balance_alarm: U256) -> Self {
        let numbers = Arc::new(Mutex::new(Numbers::default()));
        let shown = Arc::clone(&numbers);
        status.metrics().collect(move |page| lock(&shown).write(page));
        Self { status, numbers, balance_alarm }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        lock(&self.numbers)
    }

    fn say(&self, name: &'static str, now: Duration, condition: Condition) {
        self.status.health().set(name, unix(now), condition);
    }

    /// Says how these of one name are, and nothing more of the others.
    fn say_each(&self, name: &'static str, now: Duration, conditions: BTreeMap<String, Condition>) {
        let subjects = conditions.keys().cloned().collect();
        let before = self.numbers().subjects.insert(name, subjects).unwrap_or_default();
        for gone in before.iter().filter(|subject| !conditions.contains_key(*subject)) {
            self.status.health().forget(name, gone);
        }
        for (subject, condition) in conditions {
            self.status.health().set_of(name, subject, unix(now), condition);
        }
    }

    /// What the Bitcoin servers say of their newest block.
    pub(crate) fn bitcoin(&self, tip: &Result<Tip, BackendError>, now: Duration) {
        let condition = match tip {
            Ok(tip) => {
                self.numbers().tip = Some(tip.height);
                Condition::ok(format!("height {}", tip.height))
            }
            Err(error) => Condition::failed(error.to_string(), "look after bitcoin.urls, or add servers"),
        };
        self.say(BITCOIN, now, condition);
    }

    /// What the account has.
    pub(crate) fn funds(&self, funds: Funds, now: Duration) {
        let Funds { balance, three_proofs } = funds;
        self.numbers().balance = Some(balance);
        let has = format!("the account has {} ether", ether(balance));
        let remedy = "send ether to the account";
        let condition = if balance < three_proofs {
            let needed = ether(three_proofs);
            Condition::failed(format!("{has}; nothing is sent under {needed}, the cost of 3 proofs"), remedy)
        } else if balance < self.balance_alarm {
            Condition::warning(format!("{has}, under {}", ether(self.balance_alarm)), remedy)
        } else {
            Condition::ok(has)
        };
        self.say(BALANCE, now, condition);
    }

    /// Whether what the next run may go on with was kept.
    pub(crate) fn kept(&self, error: Option<&dyn std::error::Error>, now: Duration) {
        let condition = match error {
            None => Condition::ok("written"),
            Some(error) => Condition::failed(error.to_string(), "look after the disk of journal.path"),
        };
        self.say(JOURNAL, now, condition);
    }

    /// A proof, or a retarget, was paid for, and this came back.
    pub(crate) fn paid(&self, mined: &Mined, refunded: Option<U256>) {
        let mut numbers = self.numbers();
        numbers.gas = numbers.gas.saturating_add(mined.gas_used);
        numbers.spent = numbers.spent.saturating_add(mined.cost());
        numbers.refunded = numbers.refunded.saturating_add(refunded.unwrap_or_default());
    }

    /// What a pass came to.
    pub(crate) fn pass(&self, pass: &Pass, longest_pause: Duration, now: Duration) {
        self.numbers().take(pass, longest_pause, unix(now));
        self.say(ETHEREUM, now, Condition::ok("it answers"));
        let unproven = pass.items.iter().filter(|item| !is_done(&item.state)).count();
        let says = format!("{} wallets looked at, {unproven} transactions unproven", pass.wallets);
        self.say(SPV, now, Condition::ok(says));

        let of = |item: &Item| match &item.state {
            ItemState::Failed(error) => Some(Condition::warning(
                error.to_string(),
                "see coxswain prove --tx ID; it is tried again with growing pauses",
            )),
            ItemState::NotProvable(
                reason @ (NotProvable::OutOfRelayRange { .. } | NotProvable::TooManyHeaders),
            ) => Some(Condition::warning(
                reason.to_string(),
                "the relay has moved on: tell the Bridge's governance which wallet stands still",
            )),
            _ => None,
        };
        let id = |item: &Item| item.txid.to_string();
        let proofs = pass.items.iter().filter_map(|item| Some((id(item), of(item)?)));
        self.say_each(PROOF, now, proofs.collect());
        let unknown = pass.items.iter().filter_map(|item| match &item.state {
            ItemState::UnknownSpend(misfits) => Some((
                id(item),
                Condition::warning(
                    format!("wallet {} has made it, and it is {misfits}", item.wallet),
                    "it is fraud, or newer than this program: tell the wallet's operators",
                ),
            )),
            _ => None,
        });
        self.say_each(UNKNOWN_SPEND, now, unknown.collect());
        let remedy = "it is tried again with every pass; if it stays, look after the servers";
        let wallet = |(wallet, error): &(KeyHash, _)| {
            let error: &crate::FindError = error;
            (wallet.to_string(), Condition::warning(error.to_string(), remedy))
        };
        self.say_each(WALLET, now, pass.unknown.iter().map(wallet).collect());
    }

    fn count_failed_pass(&self, now: Duration) {
        let mut numbers = self.numbers();
        (numbers.pass_failures, numbers.last_failure) = (numbers.pass_failures + 1, Some(unix(now)));
    }

    /// That a pass proved nothing, whatever there was.
    pub(crate) fn pass_failed(&self, error: &PassError, now: Duration) {
        self.count_failed_pass(now);
        let remedy = match error {
            PassError::Chain(_) | PassError::NoBlock => {
                self.say(ETHEREUM, now, Condition::failed(error.to_string(), SERVERS));
                SERVERS
            }
            PassError::Unauthorised(_) => "have the governance authorise the account, or use another key",
            PassError::OtherBridge(_) => "name the Bridge's own proxy: ethereum.maintainer_proxy",
            PassError::RelayWithoutPrevious(_) => "wait until the relay was told a second epoch",
            PassError::RelayOutOfRange(_) => "name the Bridge that you mean: ethereum.bridge",
        };
        self.say(SPV, now, Condition::failed(error.to_string(), remedy));
    }

    /// That a pass took too long.
    pub(crate) fn pass_overdue(&self, limit: Duration, now: Duration) {
        self.count_failed_pass(now);
        let says = format!("the last pass did not end within {} s", limit.as_secs());
        self.say(SPV, now, Condition::failed(says, SERVERS));
    }

    /// The newest epoch that the relay knows, if that can be told: whether it lags shows with either module alone.
    pub(crate) fn relay(&self, epoch: Option<u32>) {
        let mut numbers = self.numbers();
        numbers.relay_epoch = epoch.or(numbers.relay_epoch);
    }

    /// What a step of the relay's came to.
    pub(crate) fn step(&self, step: &Step, now: Duration) {
        let mut numbers = self.numbers();
        let says = match step {
            Step::UpToDate => "the relay knows the newest epoch".to_owned(),
            Step::WaitingForBlocks(count) => format!("Bitcoin needs {count} more blocks to prove an epoch"),
            Step::WaitingForClock(error) => error.to_string(),
            Step::NotApplicable => "not applicable: the relay counts no epochs".to_owned(),
            Step::Ready(_) => "an epoch could be told".to_owned(),
            Step::Told { epoch, .. } => {
                numbers.retargets.mined();
                format!("the relay was told epoch {epoch}")
            }
            Step::ToldByOthers => "another has told the relay".to_owned(),
        };
        drop(numbers);
        self.say(ETHEREUM, now, Condition::ok("it answers"));
        self.say(DIFFICULTY, now, Condition::ok(says));
    }

    /// That the relay could not be told.
    pub(crate) fn step_failed(&self, error: &DifficultyError, now: Duration) {
        if let DifficultyError::Submit(error) = error {
            self.numbers().retargets.failed(error);
        }
        let remedy = match error {
            DifficultyError::Chain(_) | DifficultyError::NoBlock => {
                self.say(ETHEREUM, now, Condition::failed(error.to_string(), SERVERS));
                SERVERS
            }
            DifficultyError::Bitcoin(_) | DifficultyError::TimedOut | DifficultyError::Proof(_) => {
                "look after bitcoin.urls, or add servers"
            }
            DifficultyError::Unauthorised(_) => "have the governance authorise it, or use another key",
            DifficultyError::OtherRelay(_) => "name the relay's own proxy: ethereum.relay_proxy",
            DifficultyError::Submit(_) => "it is tried again; see the balance and the servers",
            DifficultyError::OutOfRange => "name the relay that you mean: ethereum.relay",
        };
        self.say(DIFFICULTY, now, Condition::failed(error.to_string(), remedy));
    }

    /// That a step took too long.
    pub(crate) fn step_overdue(&self, limit: Duration, now: Duration) {
        let says = format!("the last step did not end within {} s", limit.as_secs());
        self.say(DIFFICULTY, now, Condition::failed(says, SERVERS));
    }
}

const SERVERS: &str = "look after ethereum.urls, or add servers";

fn lock(numbers: &Mutex<Numbers>) -> MutexGuard<'_, Numbers> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn unix(now: Duration) -> UnixTime {
    UnixTime(now.as_secs())
}

/// In ether, cut after six digits.
fn ether(wei: U256) -> String {
    let micro = wei / U256::from(1_000_000_000_000_u64);
    let (whole, rest) = micro.div_rem(U256::from(1_000_000));
    format!("{whole}.{rest:06}")
}

fn gwei(wei: U256) -> u64 {
    (wei / U256::from(1_000_000_000)).saturating_to()
}

/// Whether nothing is left to prove.
const fn is_done(state: &ItemState) -> bool {
    match state {
        ItemState::Sent(_) | ItemState::Proven | ItemState::Overtaken(_) | ItemState::Coinbase => true,
        ItemState::Unconfirmed
        | ItemState::NotProvable(_)
        | ItemState::Paused
        | ItemState::OthersTurn(_)
        | ItemState::OthersCall
        | ItemState::Ready(_)
        | ItemState::UnknownSpend(_)
        | ItemState::Failed(_) => false,
    }
}

const UNKNOWN: &str = "unknown";

fn name(kind: Option<&Kind>) -> &'static str {
    kind.map_or(UNKNOWN, |kind| kind.action().name())
}

impl Numbers {
    fn take(&mut self, pass: &Pass, longest_pause: Duration, now: UnixTime) {
        self.is_active = true;
        self.passes += 1;
        self.last_pass = Some(now);
        self.longest_pause = longest_pause;
        self.tip = pass.tip.or(self.tip);
        self.relay_epoch = pass.relay_epoch;
        self.unproven.clear();
        self.skipped.clear();
        self.epochs_left = pass.items.iter().filter_map(|item| item.deadline.epochs_left).min();
        for item in &pass.items {
            self.take_item(item, pass.tip, now);
        }
    }

    fn take_item(&mut self, item: &Item, tip: Option<Height>, now: UnixTime) {
        let kind = name(item.kind.as_ref());
        match &item.state {
            ItemState::Sent(_) => {
                self.proofs.entry(kind).or_default().mined();
                self.last_success = Some(now);
                return;
            }
            ItemState::Overtaken(error) => {
                self.proofs.entry(kind).or_default().overtaken(error);
                return;
            }
            ItemState::Proven | ItemState::Coinbase => return,
            ItemState::Failed(error) => {
                self.last_failure = Some(now);
                if let ItemError::Submit(error) = error {
                    self.proofs.entry(kind).or_default().failed(error);
                }
                if matches!(item.kind, Some(Kind::Redemption)) {
                    self.redemption_failures += 1;
                }
            }
            ItemState::NotProvable(NotProvable::OutOfRelayRange { .. }) => self.skipped_out_of_range += 1,
            ItemState::NotProvable(NotProvable::TooManyHeaders) => self.skipped_too_many_headers += 1,
            _ => {}
        }
        *self.skipped.entry(item.state.name()).or_default() += 1;
        let age = tip
            .zip(item.height)
            .map_or(0, |(tip, height)| height.confirmations(tip).map_or(1, |count| count.0));
        let (count, oldest) = self.unproven.entry(kind).or_default();
        (*count, *oldest) = (*count + 1, age.max(*oldest));
    }

    /// How many blocks ago the epoch began that the relay doesn't know.
    fn relay_lag(&self) -> Option<u32> {
        let next = self.relay_epoch?.checked_add(1)?.checked_mul(EPOCH)?;
        Some(self.tip?.next().saturating_since(Height(next)))
    }

    fn write(&self, page: &mut Page) {
        let kinds = [Action::DepositSweep, Action::Redemption, Action::MovingFunds, Action::MovedFundsSweep];
        for kind in kinds.map(Action::name) {
            let of = self.proofs.get(kind).copied().unwrap_or_default();
            let (labels, Sendings { sent, mined, reverted, .. }) = ([("kind", kind)], of);
            page.counter_of("coxswain_maintainer_proofs_sent_total", "Proofs sent.", &labels, sent);
            page.counter_of("coxswain_maintainer_proofs_mined_total", "Proofs booked.", &labels, mined);
            page.counter_of(
                "coxswain_maintainer_proofs_reverted_total",
                "Proofs reverted.",
                &labels,
                reverted,
            );
        }
        for kind in kinds.map(Action::name).into_iter().chain([UNKNOWN]) {
            let (count, oldest) = self.unproven.get(kind).copied().unwrap_or_default();
            let labels = [("kind", kind)];
            page.gauge_of("coxswain_maintainer_unproven", "Transactions not proven.", &labels, count.into());
            let help = "Blocks under the tip, of the oldest transaction not proven.";
            page.gauge_of("coxswain_maintainer_oldest_unproven_blocks", help, &labels, oldest.into());
        }
        for (reason, count) in &self.skipped {
            let help = "Transactions that the last pass left, by why.";
            page.gauge_of("coxswain_maintainer_skipped", help, &[("reason", reason)], (*count).into());
        }
        let Sendings { sent, mined, reverted, .. } = self.retargets;
        page.counter("coxswain_maintainer_retargets_sent_total", "Retargets sent.", sent);
        page.counter("coxswain_maintainer_retargets_mined_total", "Retargets taken.", mined);
        page.counter("coxswain_maintainer_retargets_reverted_total", "Retargets reverted.", reverted);
        page.counter("coxswain_maintainer_gas_used_total", "Gas used.", self.gas);
        page.counter("coxswain_maintainer_spent_gwei_total", "Paid for gas.", gwei(self.spent));
        page.counter("coxswain_maintainer_refunded_gwei_total", "Got back for gas.", gwei(self.refunded));
        page.counter("coxswain_maintainer_passes_total", "Passes over all wallets.", self.passes);
        let gauges: [(_, _, Option<f64>); 4] = [
            (
                "coxswain_maintainer_epochs_left",
                "Epochs until the first can't be proven any more.",
                self.epochs_left.map(f64::from),
            ),
            (
                "coxswain_maintainer_relay_lag_blocks",
                "Blocks of epochs that the relay doesn't know.",
                self.relay_lag().map(f64::from),
            ),
            (
                "coxswain_maintainer_balance_ether",
                "What the account has.",
                self.balance.map(|balance| seconds(gwei(balance)) / 1e9),
            ),
            (
                "coxswain_maintainer_last_pass_timestamp_seconds",
                "When the last pass ended.",
                self.last_pass.map(|at| seconds(at.0)),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                page.gauge(name, help, value);
            }
        }
        self.write_known_names(page);
    }

    /// The names that operators' dashboards have.
    fn write_known_names(&self, page: &mut Page) {
        const HELP: &str = "As the client that operators know names it.";
        let of = |action: Action| self.proofs.get(action.name()).copied().unwrap_or_default();
        let (redemption, sweep) = (of(Action::Redemption), of(Action::DepositSweep));
        let counters = [
            ("performance_redemption_proof_submissions_total", redemption.sent),
            ("performance_redemption_proof_submissions_success_total", redemption.mined),
            ("performance_redemption_proof_submissions_failed_total", redemption.failed),
            ("performance_deposit_sweep_proof_submissions_total", sweep.sent),
            ("performance_deposit_sweep_proof_submissions_success_total", sweep.mined),
            ("performance_deposit_sweep_proof_submissions_failed_total", sweep.failed),
            ("performance_spv_proof_skipped_outside_relay_range_total", self.skipped_out_of_range),
            ("performance_spv_proof_skipped_exceeded_max_headers_total", self.skipped_too_many_headers),
            ("performance_spv_proof_task_failures_total", self.pass_failures),
            ("performance_redemption_proof_task_failures_total", self.redemption_failures),
        ];
        for (name, value) in counters {
            page.counter(name, HELP, value);
        }
        let at = |time: Option<UnixTime>| seconds(time.unwrap_or_default().0);
        let gauges = [
            ("performance_spv_maintainer_active", if self.is_active { 1.0 } else { 0.0 }),
            ("performance_spv_maintainer_last_activity_timestamp_seconds", at(self.last_pass)),
            ("performance_spv_maintainer_last_success_timestamp_seconds", at(self.last_success)),
            ("performance_spv_maintainer_last_failure_timestamp_seconds", at(self.last_failure)),
            ("performance_spv_maintainer_max_backoff_seconds", self.longest_pause.as_secs_f64()),
        ];
        for (name, value) in gauges {
            page.gauge(name, HELP, value);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
const fn seconds(number: u64) -> f64 {
    number as f64
}

/// The transactions among these that were mined.
pub(crate) fn mined(pass: &Pass) -> impl Iterator<Item = (Txid, &Mined)> {
    pass.items.iter().filter_map(|item| match &item.state {
        ItemState::Sent(mined) => Some((item.txid, mined)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Bytes};
    use bitcoin::hashes::Hash;

    use super::*;
    use crate::order::Deadline;

    fn pass(state: ItemState) -> Pass {
        let item = Item {
            wallet: KeyHash([1; 20]),
            txid: Txid::from_byte_array([2; 32]),
            kind: Some(Kind::Redemption),
            deadline: Deadline::default(),
            height: Some(Height(5)),
            state,
        };
        Pass { items: vec![item], ..Pass::default() }
    }

    fn counted(state: ItemState) -> [u64; 4] {
        let mut numbers = Numbers::default();
        numbers.take(&pass(state), Duration::ZERO, UnixTime(1));
        let Sendings { sent, mined, reverted, failed } =
            numbers.proofs.get(Action::Redemption.name()).copied().unwrap_or_default();
        [sent, mined, reverted, failed]
    }

    #[test]
    fn inc_43_a_proof_that_another_overtook_is_counted_as_reverted() {
        let reverted = || SubmitError::Reverted(B256::ZERO);
        assert_eq!(counted(ItemState::Overtaken(reverted())), [1, 0, 1, 1]);
        assert_eq!(counted(ItemState::Failed(reverted().into())), [1, 0, 1, 1]);
        // Nothing was sent.
        assert_eq!(counted(ItemState::Overtaken(SubmitError::WouldRevert(Bytes::new()))), [0; 4]);
        assert_eq!(counted(ItemState::Proven), [0; 4]);
    }

    #[test]
    fn a_relay_that_lags_shows_without_a_pass() {
        let report = Report::new(Arc::new(Status::default()), U256::ZERO);
        let lag = |height| {
            let header = bitcoin::constants::genesis_block(bitcoin::Network::Regtest).header;
            report.bitcoin(&Ok(Tip { height: Height(height), header }), Duration::ZERO);
            report.numbers().relay_lag()
        };
        assert_eq!(lag(11 * EPOCH), None);
        report.relay(Some(10));
        assert_eq!((lag(11 * EPOCH - 1), lag(11 * EPOCH + 72)), (Some(0), Some(73)));
        // A server that fails for a moment hides nothing.
        report.relay(None);
        assert_eq!(lag(11 * EPOCH + 73), Some(74));
        report.relay(Some(11));
        assert_eq!(lag(11 * EPOCH + 73), Some(0));
    }

    #[test]
    fn a_pass_that_took_too_long_is_a_failure() {
        let report = Report::new(Arc::new(Status::default()), U256::ZERO);
        report.pass_overdue(Duration::from_secs(1), Duration::from_secs(7));
        let numbers = report.numbers();
        assert_eq!((numbers.pass_failures, numbers.last_failure), (1, Some(UnixTime(7))));
    }
}
