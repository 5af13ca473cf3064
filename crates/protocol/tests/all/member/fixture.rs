//! A wallet of four operators with five seats, in a window without sweeps and heartbeats; what its members say; and a
//! member whose questions are answered as a test wants.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, B256};
use bitcoin::{
    Amount, OutPoint, Txid,
    hashes::Hash,
    secp256k1::{Secp256k1, SecretKey},
};
use coxswain_protocol::{
    Agreement, Assignment, Assurance, Assurances, Command, ContentVerdict, Entry, Event, Fault, FaultKind,
    Generation, Ignored, Member, Objection, Parameters, Received, SafeHashes, Seat, Setup, SigningGroup,
    Window, WindowParameters, WindowResult,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, OperatorKey, Proposed},
};
use coxswain_rules::{
    Action, Cause, DepositSweepProposal, HeartbeatProposal, KeyHash, Proposal, Reason, RedemptionProposal,
    Rejection, RevealedDeposit, RuleId, ScriptBuf, units::BlockNumber,
};

/// The window's first block, the first of its passive phase, and the first after it.
pub(crate) const C: u64 = 900;
pub(crate) const ACTIVE_END: u64 = C + 80;
pub(crate) const END: u64 = C + 100;

pub(crate) struct Wallet {
    pub(crate) network: WindowParameters,
    pub(crate) keys: Vec<OperatorKey>,
    pub(crate) group: Arc<SigningGroup>,
    pub(crate) assignment: Assignment,
}

pub(crate) fn seat(number: u64) -> Seat {
    Seat::try_from(number).unwrap()
}

pub(crate) fn key(number: u8) -> OperatorKey {
    let secret = SecretKey::from_slice(&[number; 32]).unwrap();
    OperatorKey::from_compressed(secret.public_key(&Secp256k1::new()).serialize()).unwrap()
}

/// A block that both rules hash alike.
pub(crate) fn hashes(byte: u8) -> SafeHashes {
    let hash = B256::repeat_byte(byte);
    SafeHashes { canonical: hash, legacy_header: hash }
}

impl Wallet {
    /// Operators 1 to 4 hold seats 1 to 4; the leader holds seat 5 too.
    pub(crate) fn new() -> Self {
        let parameters = Parameters { heartbeat_probability: 0.0, ..Parameters::DEFAULT };
        let network = WindowParameters::try_from(parameters).unwrap();
        let window = Window::numbered(&network, 1).unwrap();
        let keys: Vec<_> = (1..=4).map(key).collect();
        let mut holders: Vec<_> = keys.iter().map(OperatorKey::address).collect();
        let hash = B256::repeat_byte(1);
        let assign = |holders: &[Address]| {
            let group = SigningGroup::new(holders.to_vec()).unwrap();
            (Assignment::new(&network, window, KeyHash([7; 20]), &group, hash), group)
        };
        holders.push(assign(&holders).0.leader);
        let (assignment, group) = assign(&holders);
        Self { network, keys, group: Arc::new(group), assignment }
    }

    /// The operator that leads under the hash of this byte.
    pub(crate) fn leader_under(&self, byte: u8) -> OperatorKey {
        let (window, wallet) = (self.assignment.window, self.assignment.wallet);
        let assignment = Assignment::new(&self.network, window, wallet, &self.group, B256::repeat_byte(byte));
        *self.keys.iter().find(|key| key.address() == assignment.leader).unwrap()
    }

    /// The first byte over 1 under whose hash this holds of the leader.
    pub(crate) fn byte_where(&self, holds: impl Fn(OperatorKey) -> bool) -> u8 {
        (2..=255).find(|byte| holds(self.leader_under(*byte))).unwrap()
    }

    pub(crate) fn leader(&self) -> OperatorKey {
        self.leader_under(1)
    }

    /// An operator that doesn't lead, by number.
    pub(crate) fn other(&self, number: usize) -> OperatorKey {
        *self.keys.iter().filter(|key| key.address() != self.assignment.leader).nth(number).unwrap()
    }

    pub(crate) fn seat_of(&self, key: OperatorKey) -> Seat {
        self.group.first_seat(key.address()).unwrap()
    }

    pub(crate) fn message(&self, seat: Seat, proposed: Proposed) -> CoordinationMessage {
        CoordinationMessage {
            seat,
            coordination_block: BlockNumber(C),
            wallet: self.assignment.wallet,
            proposed,
        }
    }

    /// What arrives when this operator sends these bytes. The signed bytes name author and sequence number.
    pub(crate) fn receive_bytes(&self, author: OperatorKey, sequence: u64, payload: &[u8]) -> Received {
        let sender = author.compressed();
        let envelope = Envelope { sender, payload, kind: MESSAGE_TYPE, sequence }.encode().unwrap();
        Received::open(&author, &self.group, &envelope, signed(author, sequence)).unwrap()
    }

    pub(crate) fn receive(
        &self,
        author: OperatorKey,
        sequence: u64,
        message: &CoordinationMessage,
    ) -> Received {
        self.receive_bytes(author, sequence, &message.encode().unwrap())
    }

    /// What arrives when this operator proposes this through its first seat.
    pub(crate) fn says(&self, author: OperatorKey, sequence: u64, proposed: Proposed) -> Received {
        self.receive(author, sequence, &self.message(self.seat_of(author), proposed))
    }

    /// What arrives when the leader proposes this.
    pub(crate) fn proposal(&self, sequence: u64, proposed: Proposed) -> Received {
        self.says(self.leader(), sequence, proposed)
    }

    /// What arrives when this operator's proposal is these bytes.
    pub(crate) fn raw(&self, author: OperatorKey, sequence: u64, proposal: &[u8]) -> Received {
        let mut payload = self.message(self.seat_of(author), Proposed::NoOp).encode().unwrap();
        payload.pop();
        payload.push(u8::try_from(proposal.len()).unwrap());
        payload.extend(proposal);
        self.receive_bytes(author, sequence, &payload)
    }

    pub(crate) fn fault(&self, culprit: OperatorKey, kind: FaultKind, sequence: Option<u64>) -> Fault {
        Fault {
            wallet: self.assignment.wallet,
            window: self.assignment.window,
            culprit: culprit.address(),
            kind,
            signed: sequence.map(|sequence| signed(culprit, sequence)),
        }
    }
}

pub(crate) fn signed(author: OperatorKey, sequence: u64) -> Arc<[u8]> {
    [&author.compressed()[..], &sequence.to_be_bytes()].concat().into()
}

pub(crate) fn redemption(fee: u64) -> Arc<Proposal> {
    let scripts = vec![ScriptBuf::from_bytes(vec![0x51])];
    Arc::new(Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(fee) }))
}

pub(crate) fn heartbeat() -> Arc<Proposal> {
    Arc::new(Proposal::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] }))
}

pub(crate) fn deposit_sweep() -> Arc<Proposal> {
    let outpoint = OutPoint { txid: Txid::from_byte_array([1; 32]), vout: 0 };
    let deposits = vec![RevealedDeposit { outpoint, reveal_block: BlockNumber(1) }];
    Arc::new(Proposal::DepositSweep(DepositSweepProposal { deposits, fee: Amount::from_sat(1) }))
}

pub(crate) const fn act(proposal: Arc<Proposal>) -> Proposed {
    Proposed::Action(proposal)
}

/// An objection by this rule of the contract.
pub(crate) fn contract(rule: RuleId) -> Arc<Objection> {
    Arc::new(Objection::Contract(Rejection { rule: Some(rule), cause: Cause::Reason(Reason::FeeZero) }))
}

pub(crate) const fn valid() -> ContentVerdict {
    ContentVerdict::Valid(Assurances::of_state(Assurance::Agreed))
}

pub(crate) const fn rejected(objection: Arc<Objection>) -> ContentVerdict {
    ContentVerdict::Rejected { objection, assurance: Assurance::Agreed }
}

pub(crate) fn undecided() -> ContentVerdict {
    ContentVerdict::Undecided("endpoint down".into())
}

/// A member, and how its questions are answered. Everything that it wants is kept in `log`.
pub(crate) struct Driven {
    pub(crate) member: Member,
    /// What the safe block's hash is read as. `None`: nothing answers.
    pub(crate) hashes: Option<SafeHashes>,
    pub(crate) assurance: Assurance,
    /// What a proposal's content is judged as. `None`: nothing answers.
    pub(crate) verdict: Option<ContentVerdict>,
    /// What is generated. Nothing answers for actions that are missing.
    pub(crate) generations: BTreeMap<Action, Generation>,
    /// Whether the journal takes what it is given. `None`: nothing answers.
    pub(crate) journal: Option<bool>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) log: Vec<Command>,
}

impl Driven {
    /// The first operator that doesn't lead, linked to all others before the window.
    pub(crate) fn follower(wallet: &Wallet) -> Self {
        Self::of(wallet, wallet.other(0))
    }

    pub(crate) fn leader(wallet: &Wallet) -> Self {
        Self::of(wallet, wallet.leader())
    }

    pub(crate) fn of(wallet: &Wallet, key: OperatorKey) -> Self {
        let mut driven = Self::with(Member::new(setup(wallet, key)));
        driven.block(C - 1);
        driven.link(wallet);
        driven
    }

    pub(crate) fn with(member: Member) -> Self {
        Self {
            member,
            hashes: Some(hashes(1)),
            assurance: Assurance::Agreed,
            verdict: Some(valid()),
            generations: BTreeMap::new(),
            journal: Some(true),
            entries: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Links the member to all others.
    pub(crate) fn link(&mut self, wallet: &Wallet) {
        wallet.keys.iter().for_each(|key| drop(self.take(Event::Linked(key.address()))));
    }

    /// Hands over an event, and answers what is asked because of it.
    pub(crate) fn take(&mut self, event: Event) -> Result<(), Ignored> {
        let heard = self.member.handle(event);
        while let Some(command) = self.member.poll() {
            self.log.push(command.clone());
            let answer = match command {
                Command::ReadSafeHash { question, .. } => {
                    self.hashes.map(|hashes| Event::SafeHash { question, hashes, assurance: self.assurance })
                }
                Command::Generate { question, action, .. } => {
                    let generation = self.generations.get(&action).cloned();
                    generation.map(|generation| Event::Generated { question, generation })
                }
                Command::Judge { question, .. } => {
                    let block = self.member.now();
                    self.verdict.clone().map(|verdict| Event::Judged { question, verdict, block })
                }
                Command::Journal { id, entry } => {
                    self.entries.push(entry);
                    self.journal
                        .map(|durable| if durable { Event::Journaled(id) } else { Event::JournalFailed(id) })
                }
                Command::Broadcast(_) | Command::Finish(_) => None,
            };
            if let Some(answer) = answer {
                self.take(answer).unwrap();
            }
        }
        heard
    }

    pub(crate) fn block(&mut self, block: u64) {
        self.take(Event::Block(BlockNumber(block))).unwrap();
    }

    /// Every block from the next one up to this one.
    pub(crate) fn until(&mut self, block: u64) {
        self.member.now().next().to(BlockNumber(block)).for_each(|block| self.block(block.0));
    }

    pub(crate) fn hear(&mut self, received: Received) -> Result<(), Ignored> {
        self.take(Event::Message(received))
    }

    /// Runs to the end of the window, and gives its result.
    pub(crate) fn end(&mut self) -> Arc<WindowResult> {
        self.until(END + 1);
        self.result().expect("a window that is over has a result")
    }

    pub(crate) fn result(&self) -> Option<Arc<WindowResult>> {
        self.log.iter().rev().find_map(|command| match command {
            Command::Finish(result) => Some(Arc::clone(result)),
            _ => None,
        })
    }

    /// Forgets what was wanted so far, and gives it.
    pub(crate) fn wanted(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.log)
    }

    pub(crate) fn broadcasts(&self) -> usize {
        self.log.iter().filter(|command| matches!(command, Command::Broadcast(_))).count()
    }

    pub(crate) fn judged(&self) -> usize {
        self.log.iter().filter(|command| matches!(command, Command::Judge { .. })).count()
    }
}

pub(crate) fn setup(wallet: &Wallet, key: OperatorKey) -> Setup {
    Setup {
        network: wallet.network,
        wallet: wallet.assignment.wallet,
        group: Arc::clone(&wallet.group),
        key,
        first_sequence: 41,
        observes: false,
    }
}

/// The proposal that was agreed on.
pub(crate) fn action(result: &WindowResult) -> &Proposal {
    match &result.agreement {
        Agreement::Action(validated, _) => validated.proposal(),
        other => panic!("{other}: {:?}", result.faults),
    }
}
