//! One window as the chains show it: when it was, who led, and what could have been proposed in it.

use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::Address;
use coxswain_ethereum::{
    Block, Chain, ChainError, EventLog, Named, Panel, RedemptionRequest, SnapshotKeys, SnapshotReader,
};
use coxswain_proposals::{Exclusion, Head, Item, Memory, deposits, moving_funds, redemptions};
use coxswain_protocol::{Checklist, SafeHashes, Seed, SigningGroup, Window, WindowParameters};
use coxswain_rules::{
    Action, Assurance, KeyHash, OutPoint, RedemptionKey, RuleId, ScriptBuf, Snapshot, WalletRecord,
    WalletState,
    units::{BlockNumber, UnixTime},
};
use futures_util::future::try_join3;

use super::{
    funding::{Funding, Funds},
    outcome::{Possible, Stage},
};

/// Who is asked about windows.
pub(super) struct Site<'a> {
    pub(super) wallet: KeyHash,
    pub(super) chain: Chain,
    pub(super) network: WindowParameters,
    pub(super) panel: Panel,
    pub(super) reader: SnapshotReader,
    pub(super) group: &'a SigningGroup,
    /// The newest block.
    pub(super) head: Named,
}

/// A window's leader and its blocks.
pub(super) struct Opened {
    pub(super) stage: Stage,
    /// The coordination block.
    pub(super) named: Named,
    /// The time of the newest block that was deep enough for its events to count.
    deep: UnixTime,
    pub(super) leader: Address,
    pub(super) seat: u8,
}

impl Site<'_> {
    /// Reads a window's blocks, and draws its leader.
    pub(super) async fn open(&self, window: Window) -> Result<Opened, ChainError> {
        let depth = self.chain.parameters().event_depth;
        let deep = window.block().saturating_sub(depth);
        let over = window.end() <= self.head.header.number();
        let end = async { if over { self.panel.at_number(window.end()).await.map(Some) } else { Ok(None) } };
        let blocks =
            try_join3(self.panel.at_number(window.safe_block()), self.panel.at_number(window.block()), end);
        let (safe, named, end) = blocks.await?;
        let deep = if deep == window.safe_block() {
            safe.header.timestamp()
        } else {
            self.panel.at_number(deep).await?.header.timestamp()
        };
        let hash = SafeHashes::of(safe.header.fields()).by(self.network.hash_rule(&window));
        let seed = Seed::new(self.wallet, hash);
        let drawn = self.group.shuffled(seed).into_iter().next();
        let leader = drawn.expect("a group has a seat, and each seat an operator");
        let seat = self.group.first_seat(leader).expect("drawn operators are the group's").number();
        let checklist: Vec<_> = Checklist::new(&self.network, window, seed).actions().collect();
        let validity = |action: &Action| self.network.actions.validity(*action);
        let expires = window.end().saturating_add(checklist.iter().map(validity).max().unwrap_or_default());
        let stage = Stage {
            index: window.index(),
            block: window.block(),
            end: window.end(),
            ended: end.map(|end| end.header.timestamp()),
            expires,
            checklist,
        };
        Ok(Opened { stage, named, deep, leader, seat })
    }
}

/// What is known of the whole time that is watched.
pub(super) struct Known<'a> {
    pub(super) events: &'a EventLog,
    /// The Bridge as of now: the wallet, its deposits, and the requests made to it.
    pub(super) now: &'a Snapshot,
    pub(super) funding: &'a BTreeMap<OutPoint, Funding>,
    /// When payments to these scripts were recorded.
    pub(super) paid: &'a BTreeMap<ScriptBuf, BlockNumber>,
}

/// What the Bridge held at a window's first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// Read there, and believed so far.
    Read(Assurance),
    /// Nobody has that state; what is known of today's is used. Why nobody has.
    Inferred(String),
}

/// What could have been proposed in a window, what not and why, and how that is known.
pub(super) struct Held {
    pub(super) history: History,
    pub(super) possible: Vec<Possible>,
    pub(super) excluded: Vec<Excluded>,
}

/// What could not have been in a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excluded {
    pub(super) action: Action,
    pub(super) item: String,
    pub(super) rule: Option<RuleId>,
    pub(super) reason: String,
}

impl From<Exclusion> for Excluded {
    fn from(Exclusion { item, why }: Exclusion) -> Self {
        let action = match item {
            Item::Deposit(_) => Action::DepositSweep,
            Item::Redemption(_) => Action::Redemption,
            Item::MovedFunds(_) => Action::MovedFundsSweep,
        };
        Self { action, item: item.to_string(), rule: why.rule(), reason: why.to_string() }
    }
}

/// A wallet at a window's first block.
struct Then<'a> {
    known: &'a Known<'a>,
    wallet: KeyHash,
    head: Head,
    /// `None` if it can't be told.
    record: Option<WalletRecord>,
    /// The requests in question.
    requests: Vec<RedemptionRequest>,
    snapshot: Snapshot,
    /// Why requests and the wallet's record can't be told, if they can't.
    unread: Option<String>,
}

impl Site<'_> {
    /// What could have been proposed.
    pub(super) async fn held(&self, opened: &Opened, known: &Known<'_>) -> Result<Held, ChainError> {
        let block = opened.named.header.block();
        let wallet = self.wallet;
        let oldest =
            redemptions::oldest_block(block.number, known.now.redemption_parameters.redemption_timeout);
        let requests = redemptions::newest(known.events.requests(wallet), oldest..=block.number);
        let keys = SnapshotKeys {
            wallets: [wallet].into(),
            redemptions: requests.iter().map(|request| RedemptionKey::new(wallet, &request.script)).collect(),
            ..SnapshotKeys::default()
        };
        let read = self.reader.assured_snapshot(&self.panel, &opened.named.header, &keys).await;
        let event_depth = self.chain.parameters().event_depth;
        let head = Head { block: block.number, deep: opened.deep, event_depth };
        let (history, then) = match read {
            Ok(read) => {
                let record = Some(read.fact.wallet(wallet)?.clone());
                let snapshot = read.fact;
                let then = Then { known, wallet, head, record, requests, snapshot, unread: None };
                (History::Read(read.assurance), then)
            }
            Err(error) => {
                let why = error.to_string();
                (History::Inferred(why), Then::inferred(known, wallet, head, requests, block))
            }
        };
        let mut excluded = Vec::new();
        let mut possible = Vec::new();
        let deposits = then.deposits(&mut excluded)?;
        for action in &opened.stage.checklist {
            possible.extend(match action {
                Action::Redemption => Some(then.redemption(&mut excluded)?),
                Action::DepositSweep => Some(deposits.clone()),
                Action::MovedFundsSweep => Some(then.moved_funds()),
                Action::MovingFunds => Some(then.moving_funds(&deposits)?),
                // It is always possible.
                Action::Heartbeat => None,
            });
        }
        excluded.retain(|excluded: &Excluded| opened.stage.checklist.contains(&excluded.action));
        Ok(Held { history, possible, excluded })
    }
}

impl<'a> Then<'a> {
    /// What today's state tells of then.
    fn inferred(
        known: &'a Known<'a>,
        wallet: KeyHash,
        head: Head,
        requests: Vec<RedemptionRequest>,
        block: Block,
    ) -> Self {
        let later = |at: BlockNumber| block.number < at;
        let recorded_since = known.events.transactions(wallet).any(|event| later(event.at.block))
            || known.events.completed_moves().iter().any(|m| m.source == wallet && later(m.at.block));
        let committed_since =
            known.events.commitments().iter().any(|c| c.source == wallet && later(c.at.block));
        // A wallet that is live was so since it was registered; what else may have changed shows as an event.
        let record = known.now.wallets.get(&wallet).filter(|record| {
            let is_live = record.state == WalletState::Live;
            is_live && !recorded_since && !committed_since
        });
        let snapshot = Snapshot { timestamp: block.timestamp, ..known.now.clone() };
        let still_pending = |request: &RedemptionRequest| {
            let key = RedemptionKey::new(wallet, &request.script);
            let record = known.now.redemptions.get(&key);
            record.is_some_and(|now| {
                now.requested_at != 0 && UnixTime::from(now.requested_at) <= block.timestamp
            })
        };
        let paid_before = |request: &RedemptionRequest| {
            let paid = known.paid.get(&request.script);
            paid.is_some_and(|paid| (request.at.block..=block.number).contains(paid))
        };
        let mut unread = None;
        let (requests, gone): (Vec<_>, Vec<_>) = requests.into_iter().partition(still_pending);
        let gone = gone.iter().filter(|request| !paid_before(request)).count();
        if gone > 0 {
            unread = Some(format!(
                "{gone} redemption requests of before are no longer pending: only a server that keeps past states can tell whether \
                 they were then"
            ));
        }
        if record.is_none() {
            unread =
                Some("the wallet's state then is known only to a server that keeps past states".to_owned());
        }
        // Its count of moved funds changes with what other wallets do, too.
        let record = record.cloned();
        Self { known, wallet, head, record, requests, snapshot, unread }
    }

    /// Whether the wallet could pay and sweep. `None` if it can't be told.
    fn is_active(&self) -> Option<bool> {
        let record = self.record.as_ref()?;
        Some(matches!(record.state, WalletState::Live | WalletState::MovingFunds))
    }

    fn nothing(&self, action: Action) -> Possible {
        Possible { action, items: Vec::new(), open: None }
    }

    fn redemption(&self, excluded: &mut Vec<Excluded>) -> Result<Possible, ChainError> {
        let nothing = self.nothing(Action::Redemption);
        let open = self.unread.clone();
        let can_pay = self.record.as_ref().map(|record| !record.main_utxo_hash.is_zero());
        match (self.is_active(), can_pay) {
            (Some(true), Some(true)) => {}
            (None, _) | (_, None) => return Ok(Possible { open, ..nothing }),
            (Some(_), Some(_)) => return Ok(nothing),
        }
        let candidates = redemptions::candidates(&self.snapshot, self.wallet, self.head, &self.requests);
        let (scripts, refused) = candidates?;
        excluded.extend(refused.into_iter().map(Excluded::from));
        let items = scripts.iter().map(|script| format!("0x{script:x}")).collect();
        Ok(Possible { items, open, ..nothing })
    }

    /// What could have been swept. A deposit's record says when it was swept, so that today's tells what it was then.
    fn deposits(&self, excluded: &mut Vec<Excluded>) -> Result<Possible, ChainError> {
        let mut possible = self.nothing(Action::DepositSweep);
        match self.is_active() {
            Some(true) => {}
            Some(false) => return Ok(possible),
            None => possible.open = Some("the wallet's state then is not known".to_owned()),
        }
        let mut snapshot = Snapshot {
            timestamp: self.snapshot.timestamp,
            deposits: self.known.now.deposits.clone(),
            wallets: self.known.now.wallets.clone(),
            ..self.snapshot.clone()
        };
        for record in snapshot.deposits.values_mut() {
            if snapshot.timestamp < UnixTime::from(record.swept_at) {
                record.swept_at = 0;
            }
        }
        let reveals =
            self.known.events.reveals(self.wallet).filter(|event| event.at.block <= self.head.block);
        let mut memory = Memory::default();
        let (candidates, refused) =
            deposits::candidates(&snapshot, self.wallet, self.head, reveals, &mut memory)?;
        excluded.extend(refused.into_iter().map(Excluded::from));
        for candidate in candidates {
            let item = Item::Deposit(candidate.outpoint);
            let funds = match self.known.funding.get(&candidate.outpoint) {
                Some(funding) => funding.at(&snapshot, self.wallet, &candidate)?,
                None => Funds::Open("its funding was not looked up".to_owned()),
            };
            match funds {
                Funds::There => possible.items.push(candidate.outpoint.to_string()),
                Funds::Wanting(why) => excluded.push(Exclusion { item, why }.into()),
                Funds::Young => excluded.push(Excluded {
                    action: Action::DepositSweep,
                    item: item.to_string(),
                    rule: None,
                    reason: "its funding was not deep enough yet".to_owned(),
                }),
                Funds::Open(why) => {
                    possible.open.get_or_insert_with(|| format!("{item}: {why}"));
                }
            }
        }
        if self.record.is_none() {
            possible.items.clear();
        }
        Ok(possible)
    }

    fn moved_funds(&self) -> Possible {
        let nothing = self.nothing(Action::MovedFundsSweep);
        match (&self.record, &self.unread) {
            (None, _) => Possible { open: self.unread.clone(), ..nothing },
            // Today's count, where the past isn't known, tells nothing of then.
            (Some(record), unread)
                if unread.is_some() && record.pending_moved_funds_sweep_requests_count > 0 =>
            {
                Possible {
                    open: Some("which moved funds were pending then is not known".to_owned()),
                    ..nothing
                }
            }
            (Some(record), _) => {
                let count = record.pending_moved_funds_sweep_requests_count;
                let items = (1..=count).map(|number| format!("moved funds {number}")).collect();
                Possible { items, ..nothing }
            }
        }
    }

    fn moving_funds(&self, deposits: &Possible) -> Result<Possible, ChainError> {
        let nothing = self.nothing(Action::MovingFunds);
        let Some(record) = &self.record else { return Ok(Possible { open: self.unread.clone(), ..nothing }) };
        let has_funds = !record.main_utxo_hash.is_zero();
        if record.state != WalletState::MovingFunds || !has_funds {
            return Ok(nothing);
        }
        let waits = record.pending_moved_funds_sweep_requests_count > 0
            || record.pending_redemptions_value.to_sat() > 0
            || !deposits.items.is_empty();
        // A wallet that others move their funds to waits longer, which is not looked up: from then on it is certain.
        let timeout = self.snapshot.moving_funds_parameters.moving_funds_timeout / 2;
        let timeout = Duration::from_secs(timeout.into());
        let since = UnixTime::from(record.moving_funds_requested_at);
        let (earliest, latest) = (
            since.saturating_add(moving_funds::MARGIN.min(timeout)),
            since.saturating_add(moving_funds::TARGET_MARGIN.min(timeout)),
        );
        let now = self.snapshot.timestamp;
        let open = |why: &str| Possible { open: Some(why.to_owned()), ..nothing.clone() };
        Ok(if waits || now < earliest {
            nothing
        } else if deposits.open.is_some() {
            open("whether deposits were to be swept before its funds are moved can't be told")
        } else if now < latest {
            open("whether other wallets were about to move their funds to it is not looked up")
        } else if record.moving_funds_target_wallets_commitment_hash.is_zero() {
            open("it hadn't committed to target wallets; whether there were enough is not looked up")
        } else {
            Possible { items: vec!["its funds".to_owned()], ..nothing }
        })
    }
}
