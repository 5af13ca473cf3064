//! The node's health: what it observes of its servers, peers, journal and clock, as entries of its status.
//!
//! Each thing that can go wrong has one entry here, which can fail and recover (INC-29). Servers are asked on the side: a
//! server that hangs delays no window.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::Address;
use coxswain_bitcoin::Backends;
use coxswain_ethereum::{
    Block, BlockSelector, Endpoints,
    heads::{Notice, Standing},
};
use coxswain_network::Network;
use coxswain_protocol::Entry;
use coxswain_rules::{
    KeyHash,
    units::{Blocks, UnixTime},
};
use coxswain_service::{
    journal::{Journal, Reader},
    status::{Condition, Health, Status},
    tasks::{Failure, Stop},
};
use futures_util::future::join_all;
use tokio::{sync::watch, time::sleep};
use url::Url;

use crate::{
    actions::{ActionRecord, Alive, DamagedAction, Milestone, Possible, PossibleError},
    blamed::{self, blamed},
    clock::now,
    proposed::Proposed,
    standing::next_head,
    troubles::Recorder,
};

/// How often servers and peers are looked at.
const LOOK: Duration = Duration::from_secs(30);
/// The same on local chains.
const LOCAL_LOOK: Duration = Duration::from_secs(1);
/// How often the node asks itself under its announced address, unless it is told otherwise.
pub(crate) const CHECK_ADDRESS: Duration = Duration::from_secs(600);
/// How long an answer under the announced address may take.
const ADDRESS_ANSWERS: Duration = Duration::from_secs(15);
/// How many blocks an endpoint may be behind the others.
const MOST_BEHIND: Blocks = Blocks(10);
/// How far a block's time may be ahead of our clock.
const MOST_AHEAD: Duration = Duration::from_secs(30);
/// How far the newest of all servers' blocks may be behind our clock.
const MOST_AGE: Duration = Duration::from_secs(180);

/// Where the window clock stands.
pub(crate) const HEAD: &str = "ethereum";
/// Each Ethereum server.
const ETHEREUM_ENDPOINT: &str = "ethereum_endpoint";
/// Whether enough Bitcoin servers answer.
pub(crate) const BITCOIN: &str = "bitcoin";
/// Each Bitcoin server.
const BITCOIN_ENDPOINT: &str = "bitcoin_endpoint";
/// Our clock against the blocks'.
const CLOCK: &str = "clock";
/// Who of our wallets' operators is connected.
pub(crate) const PEERS: &str = "peers";
/// Each wallet whose transaction waits for a block for long.
const STUCK: &str = "stuck_transaction";
/// Each wallet with an action that can't be read from the journal.
const DAMAGED: &str = "journal_actions";
/// Each wallet for which too few seats were ready, heartbeat after heartbeat.
const HEARTBEAT: &str = "heartbeat";
/// Each of our wallets' operators whom a window has blamed, or raised an alarm about.
const OPERATOR: &str = "operator";
/// How many of a wallet's entries are read for its last windows: in each, it has a result, and what we sent.
const ENTRIES: u32 = 20;
/// The status entry of each key share file that can't be read.
pub(crate) const KEY: &str = "key_share";
/// Whether the status can be asked for under its announced address.
const ADDRESS: &str = "status_address";

/// A wallet's other operators.
pub(crate) type Others = Vec<(KeyHash, Vec<Address>)>;

/// What is looked at on the side.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) status: Arc<Status>,
    pub(crate) network: Network,
    pub(crate) ethereum: Endpoints,
    pub(crate) chain_id: u64,
    /// Whether blocks' times are the clock's.
    pub(crate) is_paced: bool,
    pub(crate) bitcoin: Backends,
    pub(crate) others: Others,
    pub(crate) journal: Arc<Journal>,
    pub(crate) operator: Address,
}

/// Says what the window clock has noticed of the chain.
pub(crate) fn notice(health: &Health, notice: Notice) {
    let now = now();
    let remedy = "look at the Ethereum servers, each of which has an entry, and at this machine's clock";
    match notice {
        Notice::Silent { seconds } => {
            let says = format!("no block is named by enough servers since {seconds} s: no window opens");
            health.set(HEAD, now, Condition::failed(says, remedy));
        }
        Notice::Stalled { at, seconds } => {
            let says = format!("the chain stands at block {at} since {seconds} s");
            health.set(HEAD, now, Condition::failed(says, remedy));
        }
        Notice::Resumed { at } => {
            health.set(HEAD, now, Condition::ok(format!("the chain goes on at block {at}")));
        }
        Notice::Skipped { .. } | Notice::SetBack { .. } => {}
    }
}

/// Says where the window clock stands, each time it moves.
pub(crate) async fn follow_heads(
    health: Health,
    mut heads: watch::Receiver<Option<Standing>>,
    mut stop: Stop,
) -> Result<(), Failure> {
    let first =
        Condition::failed("no block has been decided on yet", "wait, or look at the Ethereum servers");
    health.set(HEAD, now(), first);
    while let Some(standing) = next_head(&mut heads, &mut stop).await {
        let named = &standing.named;
        let says = format!("block {}, named by {} of {} servers", standing.height, named.named_by, named.of);
        health.set(HEAD, now(), Condition::ok(says));
    }
    Ok(())
}

impl Watched {
    /// Looks at servers and peers again and again, until it is to stop.
    pub(crate) async fn run(self, mut stop: Stop) -> Result<(), Failure> {
        let every = if self.is_paced { LOOK } else { LOCAL_LOOK };
        let active = self
            .status
            .metrics()
            .gauge("performance_wallet_dispatcher_active_actions", "Wallets that are busy with an action.");
        let stuck = self.status.metrics().gauge(
            "performance_stuck_wallet_transactions_total",
            "Wallets whose transaction waits for a block for long.",
        );
        let looked = [
            "performance_rpc_eth_last_check_timestamp_seconds",
            "performance_rpc_btc_last_check_timestamp_seconds",
        ]
        .map(|name| self.status.metrics().gauge(name, "When the servers were looked at last."));
        let mut proposed = Proposed::new(self.status.metrics());
        let mut recorder = Recorder::new(Arc::clone(&self.journal), self.operator);
        let look = async {
            loop {
                self.peers();
                self.windows(&mut proposed);
                let (busy, waiting) = self.actions();
                active.set(busy.into());
                stuck.set(waiting.into());
                tokio::join!(self.ethereum(), self.bitcoin());
                #[allow(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
                looked.iter().for_each(|gauge| gauge.set(now().0 as f64));
                recorder.record(self.status.health(), now()).await;
                sleep(every).await;
            }
        };
        tokio::select! {
            () = stop.requested() => Ok(()),
            () = look => Ok(()),
        }
    }

    fn peers(&self) {
        let linked = |operator: &Address| self.network.linked_since(*operator).is_some();
        let all: BTreeSet<_> = self.others.iter().flat_map(|(_, others)| others).copied().collect();
        let silent: Vec<_> = all.iter().filter(|operator| !linked(operator)).collect();
        let (there, of) = (all.len() - silent.len(), all.len());
        let says = format!("{there} of the wallets' {of} other operators are connected");
        let condition = if all.is_empty() {
            Condition::ok("no wallet has other operators")
        } else if there == 0 {
            let remedy = "look at network.peers, at the port that is announced, and at the firewall: coxswain doctor --config";
            Condition::failed(says, remedy)
        } else if there * 2 < of {
            let named: Vec<_> = silent.iter().take(10).map(ToString::to_string).collect();
            Condition::warning(says, format!("not connected, among others: {}", named.join(", ")))
        } else {
            Condition::ok(says)
        };
        self.status.health().set(PEERS, now(), condition);
    }

    /// What the journal tells of wallets' actions: how many are busy, and how many wait for a block for long.
    fn actions(&self) -> (u32, u32) {
        let (mut busy, mut stuck) = (0_u32, 0_u32);
        for (wallet, _) in &self.others {
            let reader = self.journal.reader();
            // If the journal can't be read at all, that has an entry of its own.
            if let Ok(open) = ActionRecord::open(reader, *wallet) {
                let waiting = waiting(&open);
                busy = busy.saturating_add(u32::from(open.iter().flatten().any(ActionRecord::is_busy)));
                stuck = stuck.saturating_add(u32::from(waiting.is_some()));
                self.say(STUCK, wallet, waiting, "no transaction waits for long");
                let unread = damaged(&open).or_else(|| unsigned(reader, *wallet));
                self.say(DAMAGED, wallet, unread, "its actions can be read");
            }
            if let Ok(last) = Alive::last(reader, *wallet) {
                let silent = last.filter(Alive::is_alarm).map(|alive| silent(&alive));
                self.say(HEARTBEAT, wallet, silent, "the last heartbeat had enough seats");
            }
        }
        (busy, stuck)
    }

    /// Counts what was proposed in the wallets' last windows since the last look, and says whom they blame.
    fn windows(&self, proposed: &mut Proposed) {
        let mut said = BTreeMap::new();
        for (wallet, _) in &self.others {
            // That the journal can't be read has an entry of its own, and clears nobody.
            let Ok(entries) = self.journal.reader().newest(*wallet, ENTRIES) else { return };
            let (mut sent, mut results) = (Vec::new(), Vec::new());
            for entry in entries.into_iter().flatten() {
                match entry {
                    Entry::Sent(entry) => sent.push(entry),
                    Entry::Result(result) => results.push(result),
                }
            }
            proposed.count(*wallet, &sent);
            let newest = results.iter().rev().take(blamed::WINDOWS);
            said.extend(blamed(newest.map(|result| &**result)));
        }
        let all: BTreeSet<_> = self.others.iter().flat_map(|(_, others)| others).collect();
        for operator in all {
            self.say(OPERATOR, operator, said.remove(operator), "the last windows blame it for nothing");
        }
    }

    /// Says what is wrong with one of several; that nothing is, only if something was.
    fn say(&self, name: &'static str, subject: &impl ToString, wrong: Option<Condition>, well: &str) {
        let (health, subject) = (self.status.health(), subject.to_string());
        match wrong {
            Some(condition) => {
                health.set_of(name, subject, now(), condition);
            }
            None if health.knows(name, &subject) => {
                health.set_of(name, subject, now(), Condition::ok(well));
            }
            None => {}
        }
    }

    async fn ethereum(&self) {
        let each = self.ethereum.each();
        let answers = join_all(each.iter().map(async |endpoint| {
            let (id, block) = tokio::join!(endpoint.chain_id(), endpoint.block(BlockSelector::Latest));
            let found = match (id, block) {
                (Ok(id), _) if id != self.chain_id => {
                    Err(format!("it serves chain {id}, not {}", self.chain_id))
                }
                (Ok(_), Ok(Some(block))) => Ok(block),
                (Ok(_), Ok(None)) => Err("it has no block".to_owned()),
                (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
            };
            (endpoint.name().to_owned(), found)
        }))
        .await;
        let (health, now) = (self.status.health(), now());
        let blocks: Vec<Block> = answers.iter().filter_map(|(_, found)| found.clone().ok()).collect();
        let mut numbers: Vec<_> = blocks.iter().map(|block| block.number).collect();
        numbers.sort_unstable();
        let middle = numbers.get(numbers.len() / 2).copied();
        for (name, found) in answers {
            let condition = match (found, middle) {
                (Ok(block), Some(middle)) if middle.saturating_since(block.number) > MOST_BEHIND => {
                    let says = format!(
                        "at block {}, {} behind the others",
                        block.number,
                        middle.saturating_since(block.number)
                    );
                    Condition::warning(says, "wait until it has caught up, or use another server")
                }
                // Its newest block is in no sentence: that would be another one each time.
                (Ok(_), _) => Condition::ok("it answers"),
                (Err(why), _) => Condition::warning(why, "start it again, or name another in ethereum.urls"),
            };
            health.set_of(ETHEREUM_ENDPOINT, name, now, condition);
        }
        if self.is_paced
            && let Some(condition) = clock(now, &blocks)
        {
            health.set(CLOCK, now, condition);
        }
    }

    async fn bitcoin(&self) {
        let servers = self.bitcoin.health().await;
        let (health, now) = (self.status.health(), now());
        let mut answering = 0;
        for server in &servers {
            let condition = match &server.problem {
                None => {
                    answering += 1;
                    Condition::ok("it answers")
                }
                Some(problem) => {
                    Condition::warning(problem.to_string(), "start it again, or name another in bitcoin.urls")
                }
            };
            health.set_of(BITCOIN_ENDPOINT, server.endpoint.clone(), now, condition);
        }
        let required = self.bitcoin.quorum().map_or(servers.len(), |(_, required)| required);
        let says = format!("{answering} of {} servers answer, {required} are needed", servers.len());
        let condition = if answering == 0 || answering < required {
            let remedy =
                "nothing can be proposed or judged that Bitcoin is asked for: look at each server's entry";
            Condition::failed(says, remedy)
        } else {
            Condition::ok(says)
        };
        health.set(BITCOIN, now, condition);
    }
}

/// A wallet's actions that are not over.
type Open = [Result<ActionRecord, DamagedAction>];

/// The transaction that waits for a block for long, if one does.
fn waiting(open: &Open) -> Option<Condition> {
    let is_stuck = |action: &&ActionRecord| matches!(action.state().milestone, Milestone::Stuck(_));
    let stuck = open.iter().flatten().find(is_stuck)?;
    let txid = stuck.signed().map(|signed| signed.txid.to_string()).unwrap_or_default();
    Some(Condition::warning(
        format!("transaction {txid}: {}", stuck.state().milestone),
        "it can't be replaced: have the next block's fee paid by a child, or wait; coxswain why says more",
    ))
}

/// The action that can't be read, if there is one.
fn damaged(open: &Open) -> Option<Condition> {
    let damaged = open.iter().find_map(|action| action.as_ref().err())?;
    let remedy = "coxswain history --verify names the row; look at the disk";
    Some(Condition::failed(format!("the wallet's next actions are skipped: {damaged}"), remedy))
}

/// That it is not known what may be signed, if the row can't be read.
fn unsigned(reader: &Reader, wallet: KeyHash) -> Option<Condition> {
    // If the journal can't be read at all, that has an entry of its own.
    let Err(unread @ PossibleError::Damaged) = Possible::read(reader, wallet) else { return None };
    let remedy = "coxswain history --verify names the row; look at the disk";
    Some(Condition::failed(format!("nothing more is signed for the wallet: {unread}"), remedy))
}

/// That too few seats were ready, heartbeat after heartbeat.
fn silent(alive: &Alive) -> Condition {
    let seats: Vec<_> = alive.silent.iter().map(ToString::to_string).collect();
    Condition::warning(
        format!(
            "{} heartbeats in a row had too few seats: {} of {}",
            alive.low_in_a_row, alive.active, alive.of
        ),
        format!("ask the operators of the silent seats: {}", seats.join(", ")),
    )
}

/// Compares our clock with the times of the newest blocks. `None` if there are no blocks.
fn clock(now: UnixTime, blocks: &[Block]) -> Option<Condition> {
    let times = blocks.iter().map(|block| block.timestamp);
    let (oldest, newest) = (times.clone().min()?, times.max()?);
    let remedy = "set this machine's clock by NTP: windows and ages go by it";
    Some(if oldest > now.saturating_add(MOST_AHEAD) {
        let ahead = oldest.saturating_since(now).as_secs();
        let says = format!("this machine's clock is behind: the newest blocks are {ahead} s ahead of it");
        Condition::failed(says, remedy)
    } else if newest.saturating_add(MOST_AGE) < now {
        let age = now.saturating_since(newest).as_secs();
        Condition::failed(
            format!(
                "all servers' newest blocks are {age} s old: this machine's clock is ahead, or all are behind"
            ),
            remedy,
        )
    } else {
        Condition::ok("the clock and the newest blocks agree")
    })
}

/// Asks for the node's own metrics under the address that others are told, again and again.
pub(crate) async fn check_address(
    health: Health,
    announced: Url,
    every: Duration,
    mut stop: Stop,
) -> Result<(), Failure> {
    let client = reqwest::Client::builder().timeout(ADDRESS_ANSWERS).no_proxy().build()?;
    let url = announced.join("/metrics")?;
    let check = async {
        loop {
            let asked = async { client.get(url.clone()).send().await?.error_for_status()?.text().await };
            let condition = match asked.await {
                Ok(text) if text.contains("client_info{") => {
                    Condition::ok("the metrics are served under the announced address")
                }
                Ok(_) => Condition::warning("something else answers under the announced address", REMEDY),
                Err(error) => Condition::warning(error.without_url().to_string(), REMEDY),
            };
            health.set(ADDRESS, now(), condition);
            sleep(every).await;
        }
    };
    tokio::select! {
        () = stop.requested() => Ok(()),
        () = check => Ok(()),
    }
}

/// What to do if the announced address does not answer.
const REMEDY: &str =
    "rewards count the scrapes of it: look at status.listen, status.announced and the firewall";

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coxswain_protocol::{Schedule, Window, WindowParameters};
    use coxswain_rules::{
        Action, HeartbeatProposal, Proposal,
        units::{BlockNumber, Height},
    };
    use coxswain_service::{
        journal::{Fact, FactKey, Settings},
        status::State,
    };
    use coxswain_signing::ActionId;

    use super::*;
    use crate::actions::{Agreed, End, Reached, Stuck};

    const WALLET: KeyHash = KeyHash([7; 20]);

    /// Records an action of window `index` that has come to this.
    async fn record(journal: &Journal, index: u64, milestone: Milestone) {
        let window = Window::numbered(&WindowParameters::LOCAL, index).unwrap();
        let agreed = Agreed {
            window,
            action_id: ActionId(B256::ZERO),
            proposal: Proposal::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] }),
            schedule: Schedule::new(&window, &WindowParameters::LOCAL.actions, Action::Heartbeat),
        };
        let mut record = ActionRecord::new(WALLET, agreed, BlockNumber(1));
        record.reached.push(Reached { at: BlockNumber(2), milestone });
        for number in 0..record.reached.len() {
            journal.step(record.step(number).unwrap(), None).await.unwrap();
        }
    }

    #[tokio::test]
    async fn inc_36_a_stuck_transaction_is_told_however_many_actions_were_refused_since() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Settings::at(folder.path().join("journal.db"))).unwrap();
        let (since, height) = (Height(100), Height(124));
        record(&journal, 1, Milestone::Stuck(Stuck { since, height, fee_rate: 250, next_block: None })).await;
        for index in 2..60 {
            record(&journal, index, Milestone::Over(End::Busy { with: 1 })).await;
        }
        let open = ActionRecord::open(journal.reader(), WALLET).unwrap();
        assert_eq!(waiting(&open).map(|condition| condition.state()), Some(State::Warning));
        let why = crate::inquiry::why(journal.reader(), WALLET, 5).unwrap();
        assert!(matches!(why.doing, crate::inquiry::Doing::Busy(_)), "{why:#?}");
    }

    #[tokio::test]
    async fn inc_38_an_action_that_can_not_be_read_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = Journal::open(&Settings::at(path.clone())).unwrap();
        record(&journal, 1, Milestone::Waiting).await;
        let open = || ActionRecord::open(journal.reader(), WALLET).unwrap();
        assert_eq!(damaged(&open()), None);
        let damage = "UPDATE actions SET body = '{}' WHERE step = 1";
        assert_eq!(rusqlite::Connection::open(path).unwrap().execute(damage, []).unwrap(), 1);
        assert_eq!(damaged(&open()).map(|condition| condition.state()), Some(State::Failed));
    }

    #[tokio::test]
    async fn inc_38_that_it_is_not_known_what_may_be_signed_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Settings::at(folder.path().join("journal.db"))).unwrap();
        let state = || unsigned(journal.reader(), WALLET).map(|condition| condition.state());
        assert_eq!(state(), None);
        for (body, is) in [("[]", None), ("[{}]", Some(State::Failed))] {
            let key = FactKey { topic: "possibly_signed", owner: WALLET.0, name: String::new() };
            journal.fact(Fact { key, body: body.to_owned(), replaces: true }).await.unwrap();
            assert_eq!(state(), is, "{body}");
        }
    }

    fn state(now: u64, times: &[u64]) -> Option<State> {
        let block = |timestamp: &u64| Block {
            number: BlockNumber(1),
            hash: B256::ZERO,
            timestamp: UnixTime(*timestamp),
        };
        let blocks: Vec<_> = times.iter().map(block).collect();
        clock(UnixTime(now), &blocks).map(|condition| condition.state())
    }

    #[test]
    fn inc_46_a_clock_that_is_wrong_by_hours_is_noticed() {
        let now = 10_000;
        assert_eq!(state(now, &[]), None);
        assert_eq!(state(now, &[now + MOST_AHEAD.as_secs()]), Some(State::Ok));
        assert_eq!(state(now, &[now + MOST_AHEAD.as_secs() + 1]), Some(State::Failed));
        assert_eq!(state(now, &[now - MOST_AGE.as_secs()]), Some(State::Ok));
        assert_eq!(state(now, &[now - MOST_AGE.as_secs() - 1]), Some(State::Failed));
        // One server that is behind, or ahead, is its own fault.
        assert_eq!(state(now, &[now - 3600, now]), Some(State::Ok));
        assert_eq!(state(now, &[now + 3600, now]), Some(State::Ok));
    }

    #[test]
    fn inc_29_a_stale_head_is_a_failure_until_the_chain_goes_on() {
        let health = Health::default();
        notice(&health, Notice::Stalled { at: BlockNumber(7), seconds: 120 });
        assert_eq!(health.worst(), State::Failed);
        notice(&health, Notice::Resumed { at: BlockNumber(8) });
        assert_eq!(health.worst(), State::Ok);
        notice(&health, Notice::Silent { seconds: 60 });
        assert_eq!(health.worst(), State::Failed);
    }
}
