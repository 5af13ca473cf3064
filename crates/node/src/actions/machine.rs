//! One action, without I/O: it is told of blocks and of what was done, and says what is to be done next. What it has come to is
//! recorded before it goes on from there, so that it goes on from the journal after whatever happened.

use std::sync::Arc;

use bitcoin::Txid;
use coxswain_rules::{
    Action, KeyHash, Proposal, UnsignedTransaction,
    network::ActionTimes,
    units::{BlockNumber, Blocks, Height},
    wallet_script,
};
use coxswain_signing::{Job, Preimages};

use super::{
    milestone::{Agreed, Alive, Assembled, End, Milestone, Reached, SignedTransaction, Stuck},
    recorded::ActionRecord,
};

/// For how many blocks after the end of signing a signed transaction is handed out at most, again and again: 15 minutes.
const MOST_BROADCAST: u64 = 75;
/// How much of the margin between the end of signing and the expiry that may take: a quarter, for clocks and slow blocks.
const MARGIN_SHARE: u64 = 4;
/// After how many blocks of Bitcoin a transaction that waits is an alarm, and after how many more it is again.
const STUCK_AFTER: u32 = 24;

/// What is signed, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What is signed.
    pub preimages: Preimages,
    /// The transaction that takes the signatures. `None` for a heartbeat.
    pub unsigned: Option<UnsignedTransaction>,
    /// Bitcoin's height when all that it spends was unspent.
    pub height: Height,
}

impl Prepared {
    /// Whether the wallet has a main UTXO, as far as that matters to what is signed: a sweep spends it, if there is one.
    fn has_main_utxo(&self, proposal: &Proposal) -> bool {
        let Some(unsigned) = &self.unsigned else { return true };
        match proposal {
            Proposal::DepositSweep(_) => {
                // The main UTXO is the first input, and the only one that is the wallet's own.
                let own = wallet_script(unsigned.wallet());
                unsigned.prevouts().first().is_some_and(|prevout| prevout.script_pubkey == own)
            }
            Proposal::MovedFundsSweep(_) => unsigned.prevouts().len() > 1,
            Proposal::Redemption(_) | Proposal::MovingFunds(_) | Proposal::Heartbeat(_) => true,
        }
    }

    fn assembled(&self) -> Assembled {
        match &self.unsigned {
            None => Assembled::Heartbeat,
            Some(unsigned) => Assembled::Transaction {
                inputs: unsigned.transaction().input.iter().map(|input| input.previous_output).collect(),
                fee: unsigned.fee(),
                vsize: unsigned.vsize(),
            },
        }
    }
}

/// What is to be done next. One thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record this milestone, by its number.
    Record(usize),
    /// Judge the proposal now, and assemble what it stands for.
    Judge {
        /// Whether it was judged at its start before: moving funds.
        again: bool,
    },
    /// Sign this.
    Sign(Job, Arc<Prepared>),
    /// Look where the transaction is.
    Watch {
        /// Whether to hand it to Bitcoin before.
        hand: bool,
    },
}

/// What was done, or has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The milestone is durable, or can't be told to be.
    Recorded(bool),
    /// What came of judging.
    Judged(Judged),
    /// What came of signing.
    Signed(Signing),
    /// Where the transaction is.
    Seen(Seen),
}

/// What came of judging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is valid, and this is to be signed.
    Valid(Arc<Prepared>),
    /// Others were faster: this transaction is what it stands for, and it is on Bitcoin.
    Out(Box<SignedTransaction>),
    /// There is an objection.
    Rejected(String),
    /// There is one by one server's word, where there are others: they may say otherwise.
    Doubted(String),
    /// It is not to be begun.
    Skipped(String),
    /// It can't be told, or is not to be done yet.
    Undecided(String),
}

/// What came of signing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// The transaction is signed.
    Transaction(Box<SignedTransaction>),
    /// The heartbeat is signed.
    Heartbeat(Alive),
    /// Time was over before.
    Deadline,
    /// That it is to be signed can't be recorded, so that it isn't, yet.
    Unrecorded(String),
    /// It is not signed.
    Failed(String),
}

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Bitcoin's height. `None` if no server tells it.
    pub tip: Option<Height>,
    /// Whether a server has taken it, if it was handed to any.
    pub handed: Option<Result<(), String>>,
    /// Where it is.
    pub place: Place,
    /// Whether the Bridge has taken its proof.
    pub is_proven: bool,
    /// What the next block takes, in sat/kwu, if that was asked and answered.
    pub next_block: Option<u64>,
}

impl Seen {
    /// Nothing was seen, for this reason.
    pub const fn nothing(why: String) -> Self {
        Self { tip: None, handed: None, place: Place::Unknown(why), is_proven: false, next_block: None }
    }
}

/// Where a transaction is, as enough servers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// No server has it.
    Nowhere,
    /// It waits for a block.
    Mempool,
    /// It is in the block at this height.
    Block(Height),
    /// Another transaction that spends one of the same outputs is in a block.
    Replaced(Txid),
    /// The servers' answers do not tell.
    Unknown(String),
}

/// How long things take on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    broadcast: Blocks,
}

impl Times {
    /// As the network's actions go.
    pub fn of(times: &ActionTimes) -> Self {
        Self { broadcast: Blocks((times.signing_margin.0 / MARGIN_SHARE).clamp(1, MOST_BROADCAST)) }
    }
}

/// One action.
#[derive(Clone, Debug)]
pub struct Machine {
    record: ActionRecord,
    /// How many milestones are durable.
    durable: usize,
    chain_id: u64,
    times: Times,
    block: BlockNumber,
    /// When something was asked last from which nothing followed: it is asked again at the next block.
    asked_at: Option<BlockNumber>,
    /// Something is being done.
    is_waiting: bool,
    /// What was judged valid and is to be signed now, or at the next block. What has waited longer is judged again.
    prepared: Option<Arc<Prepared>>,
    /// Why it does not go on, if that is known.
    why: Option<String>,
    /// Nobody had the transaction when it was looked for last.
    is_gone: bool,
    /// It was looked for on Bitcoin since it is too late to sign.
    has_looked: bool,
}

impl Machine {
    /// An action that was just agreed on.
    pub fn new(chain_id: u64, times: Times, wallet: KeyHash, agreed: Agreed, at: BlockNumber) -> Self {
        Self { durable: 0, ..Self::restored(chain_id, times, ActionRecord::new(wallet, agreed, at), at) }
    }

    /// An action as the journal has it.
    pub fn restored(chain_id: u64, times: Times, record: ActionRecord, at: BlockNumber) -> Self {
        Self {
            durable: record.reached.len(),
            record,
            chain_id,
            times,
            block: at,
            asked_at: None,
            is_waiting: false,
            prepared: None,
            why: None,
            is_gone: false,
            has_looked: false,
        }
    }

    /// The action, as far as it has come.
    pub const fn record(&self) -> &ActionRecord {
        &self.record
    }

    /// The newest milestone that is durable. `None` if none is.
    pub fn recorded(&self) -> Option<&Reached> {
        self.record.reached.get(self.durable.checked_sub(1)?)
    }

    /// Why it does not go on, if that is known.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Whether it keeps the wallet from the next action. What is only looked for on Bitcoin doesn't.
    pub fn is_busy(&self) -> bool {
        self.record.is_busy() && !self.is_late()
    }

    /// Whether it can't be signed any more, and is only looked for on Bitcoin, where others may have brought it.
    fn is_late(&self) -> bool {
        let is_unsigned = matches!(
            self.record.state().milestone,
            Milestone::Agreed(_) | Milestone::Waiting | Milestone::Assembled(_)
        );
        is_unsigned && self.block >= self.record.agreed.signing_end()
    }

    /// Whether others may still hand it out, if they have signed it: as long as we would.
    fn others_hand_it_out(&self) -> bool {
        let agreed = &self.record.agreed;
        let until = agreed.signing_end().saturating_add(self.times.broadcast);
        agreed.proposal.action() != Action::Heartbeat && self.block <= until
    }

    /// Whether nothing is to be done for it any more.
    pub fn is_done(&self) -> bool {
        self.record.end().is_some() && self.durable == self.record.reached.len()
    }

    /// The height that windows go by.
    pub fn on_block(&mut self, block: BlockNumber) {
        self.block = self.block.max(block);
    }

    /// Ends it before it has begun.
    pub fn end(&mut self, end: End) {
        self.reach(Milestone::Over(end));
    }

    fn reach(&mut self, milestone: Milestone) {
        let state = &self.record.state().milestone;
        debug_assert!(state.leads_to(&milestone), "{state:?} does not lead to {milestone:?}");
        self.record.reached.push(Reached { at: self.block, milestone });
        (self.asked_at, self.why) = (None, None);
    }

    /// What is to be done next. `None` until something happens.
    pub fn poll(&mut self) -> Option<Command> {
        if self.is_waiting || self.asked_at == Some(self.block) {
            return None;
        }
        let command = if self.durable < self.record.reached.len() {
            Command::Record(self.durable)
        } else {
            self.next()?
        };
        self.is_waiting = true;
        self.asked_at = Some(self.block);
        Some(command)
    }

    fn next(&mut self) -> Option<Command> {
        let agreed = &self.record.agreed;
        let (block, end) = (self.block, agreed.signing_end());
        // A heartbeat leaves nothing to look for. Whoever was away until now looks once.
        let has_looked = self.has_looked || agreed.proposal.action() == Action::Heartbeat;
        match &self.record.state().milestone {
            Milestone::Over(_) => None,
            Milestone::Agreed(_) | Milestone::Waiting | Milestone::Assembled(_)
                if block >= agreed.expiry() && has_looked =>
            {
                self.expire();
                Some(Command::Record(self.durable))
            }
            // Too late to sign. Others may have been in time.
            Milestone::Agreed(_) | Milestone::Waiting | Milestone::Assembled(_) if block >= end => {
                Some(Command::Judge { again: false })
            }
            Milestone::Agreed(_) => (block >= agreed.start()).then_some(Command::Judge { again: false }),
            Milestone::Waiting => (block >= agreed.signing_start()).then_some(Command::Judge { again: true }),
            Milestone::Assembled(_) => Some(match self.prepared.clone() {
                Some(prepared) => Command::Sign(self.job(&prepared), prepared),
                None => Command::Judge { again: agreed.proposal.action() == Action::MovingFunds },
            }),
            Milestone::Signed(_) => {
                // However long it took to record that it is signed, or to start again.
                let from = self.record.state().at.max(end);
                Some(Command::Watch { hand: block <= from.saturating_add(self.times.broadcast) })
            }
            Milestone::Broadcast { .. } | Milestone::InMempool { .. } | Milestone::Stuck(_) => {
                Some(Command::Watch { hand: self.is_gone })
            }
            Milestone::Confirmed { .. } => Some(Command::Watch { hand: false }),
        }
    }

    fn expire(&mut self) {
        let why = self.why.take().unwrap_or_else(|| "it was not signed in time".to_owned());
        self.end(End::Expired(why));
    }

    fn job(&self, prepared: &Prepared) -> Job {
        let agreed = &self.record.agreed;
        Job {
            chain_id: self.chain_id,
            wallet: self.record.wallet,
            coordination_block: agreed.window.block(),
            action_id: agreed.action_id,
            has_main_utxo: prepared.has_main_utxo(&agreed.proposal),
            preimages: prepared.preimages.clone(),
            start_block: agreed.signing_start(),
            last_block: agreed.signing_end().saturating_sub(Blocks(1)),
        }
    }

    /// Takes in what was done.
    pub fn handle(&mut self, event: Event) {
        self.is_waiting = false;
        match event {
            Event::Recorded(true) => {
                self.durable += 1;
                self.asked_at = None;
            }
            // It is tried again at the next block, and what is signed is judged again once it can be recorded.
            Event::Recorded(false) => self.prepared = None,
            Event::Judged(judged) => self.on_judged(judged),
            Event::Signed(signing) => match signing {
                Signing::Transaction(signed) => self.reach(Milestone::Signed(*signed)),
                Signing::Heartbeat(alive) => self.end(End::Alive(alive)),
                // Others may have been in time.
                Signing::Deadline => self.prepared = None,
                // It is judged again at the next block: another transaction of the wallet may have been in the way, and be in a block
                // since.
                Signing::Unrecorded(why) => (self.prepared, self.why) = (None, Some(why)),
                Signing::Failed(why) => self.end(End::Failed(why)),
            },
            Event::Seen(seen) => self.on_seen(seen),
        }
    }

    fn on_judged(&mut self, judged: Judged) {
        self.has_looked |= self.is_late();
        match (judged, &self.record.state().milestone) {
            (Judged::Out(signed), _) => self.reach(Milestone::Signed(*signed)),
            (Judged::Valid(_) | Judged::Rejected(_) | Judged::Doubted(_) | Judged::Skipped(_), _)
                if self.is_late() =>
            {
                // Servers may show it a block later than those who have handed it out.
                if !self.others_hand_it_out() {
                    self.expire();
                }
            }
            (Judged::Valid(_), Milestone::Agreed(agreed))
                if agreed.proposal.action() == Action::MovingFunds =>
            {
                self.reach(Milestone::Waiting);
            }
            (Judged::Valid(prepared), state) => {
                let assembled = Milestone::Assembled(prepared.assembled());
                let is_news = *state != assembled;
                self.prepared = Some(prepared);
                // After a restart it is assembled again.
                if is_news {
                    self.reach(assembled);
                }
                self.asked_at = None;
            }
            (Judged::Rejected(why), _) => self.end(End::Rejected(why)),
            (Judged::Skipped(why), _) => self.end(End::Skipped(why)),
            (Judged::Doubted(why) | Judged::Undecided(why), _) => self.why = Some(why),
        }
    }

    fn on_seen(&mut self, seen: Seen) {
        self.is_gone = seen.place == Place::Nowhere;
        let state = &self.record.state().milestone;
        let was_confirmed = matches!(state, Milestone::Confirmed { .. });
        let was_signed = matches!(state, Milestone::Signed(_));
        // That it is in a block is recorded first.
        if seen.is_proven && was_confirmed {
            return self.end(End::Proven);
        }
        if let (true, Some(Ok(())), Some(height)) = (was_signed, &seen.handed, seen.tip) {
            // Where it is from then on is looked for once that is recorded.
            return self.reach(Milestone::Broadcast { height });
        }
        match (&seen.place, seen.tip) {
            (Place::Replaced(by), _) => self.end(End::Replaced(*by)),
            (Place::Block(height), _) => match *state {
                Milestone::Confirmed { height: known } if known == *height => {}
                _ => self.reach(Milestone::Confirmed { height: *height }),
            },
            (Place::Mempool, Some(height))
                if was_signed || was_confirmed || matches!(state, Milestone::Broadcast { .. }) =>
            {
                self.reach(Milestone::InMempool { height });
            }
            // Its block was replaced, and it is handed out anew.
            (Place::Nowhere, Some(height)) if was_confirmed => self.reach(Milestone::Broadcast { height }),
            (Place::Nowhere | Place::Unknown(_) | Place::Mempool, _) => {
                if let Some(Err(why)) = &seen.handed {
                    self.why = Some(why.clone());
                }
                match &seen.place {
                    // Only if nobody is known to have it.
                    Place::Nowhere if was_signed && self.block >= self.record.agreed.expiry() => {
                        let why =
                            self.why.take().unwrap_or_else(|| "no server has the transaction".to_owned());
                        self.end(End::Expired(why));
                    }
                    Place::Unknown(why) => self.why = Some(why.clone()),
                    _ => self.notice_stuck(&seen),
                }
            }
        }
    }

    fn notice_stuck(&mut self, seen: &Seen) {
        let (Some(height), Some(signed)) = (seen.tip, self.record.signed()) else { return };
        let (mut since, mut told) = (None, None);
        for reached in &self.record.reached {
            match &reached.milestone {
                Milestone::Broadcast { height } | Milestone::InMempool { height } => {
                    since = since.or(Some(*height));
                }
                Milestone::Stuck(stuck) => told = Some(stuck.height),
                // What was in a block that was replaced waits anew.
                Milestone::Confirmed { .. } => (since, told) = (None, None),
                _ => {}
            }
        }
        let Some(since) = since else { return };
        if height.saturating_since(told.unwrap_or(since)) < STUCK_AFTER {
            return;
        }
        let (fee_rate, next_block) = (signed.fee_rate(), seen.next_block);
        self.reach(Milestone::Stuck(Stuck { since, height, fee_rate, next_block }));
    }
}
