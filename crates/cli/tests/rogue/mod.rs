//! An operator with shares that the test plays: the real participant on the real network, but that what it says is changed on its way
//! out. It also hears what all others say about signing, and nobody may say two things.

#![allow(dead_code, reason = "each test uses a part")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    sync::{Arc, Mutex},
};

use alloy_primitives::Address;
use bitcoin::secp256k1::SecretKey;
use coxswain_network::{Channel, Open, Receiver, Sender, Session, SessionTerms};
use coxswain_node::actions::ActionRecord;
use coxswain_protocol::{
    Assignment, Seat, Seed, Window,
    wire::{Envelope, Proposed},
};
use coxswain_rules::{Action, KeyHash, network::Parameters, units::BlockNumber};
use coxswain_signing::{
    ActionId, Preimages,
    group::{Announcement, Draw, SignedAnnouncement, SubsetList, WindowId},
    store::{Passphrase, ShareFile, file_name},
    threshold::{
        Command, Event, Participant, READ_BYTES, Record, Recorded, RoundMessage, SeatKey, Terms, seat_keys,
    },
};
use coxswain_testkit::Wallet;
use tokio::{sync::watch, time::timeout};

use crate::fleet::{Fleet, Member, PATIENCE, operator, read, shares::PASSPHRASE};

const CHAIN: u64 = 31337;
const ANNOUNCEMENT: &[u8] = b"coxswain/signing/announcement/1";
const LIST: &[u8] = b"coxswain/signing/list/1";
const LACKING: &[u8] = b"coxswain/signing/lacking/1";
const SIGNATURES: &[u8] = b"coxswain/signing/signatures/1";

/// What it does that an honest operator doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    Honest,
    /// A bit of each message of this round is another.
    FlippedBits(u8),
    /// In the rounds it is another to the first of those who sign with it than to the others.
    TwoFaces,
    /// It says nothing in this round.
    SilentIn(u8),
    /// It announces two things for an attempt.
    TwoNonces,
    /// It says that it has links to nobody.
    NoLinks,
    /// It sends two lists, when it convenes.
    TwoLists,
}

/// What one attempt's announcements say: each seat's nonces.
type Nonces = BTreeMap<(BlockNumber, u8, Seat), BTreeSet<[u8; 32]>>;

/// The operator.
pub(crate) struct Rogue {
    pub(crate) number: u8,
    member: Member,
    coordination: Receiver,
    signing: Receiver,
    sender: Sender,
    keys: Vec<Arc<SeatKey>>,
    wallet: KeyHash,
    sequence: u64,
    /// What all others have announced, and who has banned whom.
    pub(crate) nonces: Nonces,
    pub(crate) bans: Arc<Mutex<BTreeMap<Seat, BTreeSet<Seat>>>>,
}

/// A job, as its window has agreed on it.
pub(crate) struct Job {
    terms: Terms,
    leader_message: Arc<[u8]>,
}

impl Rogue {
    /// Joins, with its shares, and is linked to all that live.
    pub(crate) async fn join(fleet: &Fleet, number: u8, wallet: &Wallet) -> Self {
        let living: Vec<u8> = fleet.nodes.keys().copied().collect();
        let (member, mut receivers) = Member::join(fleet, number, &living, true).await;
        let kinds = [ANNOUNCEMENT, LIST, LACKING, SIGNATURES];
        let rules = Box::new(Open::new(1_000_000, kinds));
        let key = wallet.public_key().0;
        let (sender, signing) = member.network.join(&key, Channel::Announcements, &fleet.group(), rules);
        let wallet = wallet.key_hash();
        // A copy, so that nothing is locked.
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join(file_name(wallet));
        fs::copy(fleet.shares(number).join(file_name(wallet)), &copy).unwrap();
        let file = ShareFile::open(&copy, &Passphrase::new(PASSPHRASE.as_bytes())).unwrap();
        let keys = seat_keys(file.shares()).unwrap().into_iter().map(Arc::new).collect();
        member.linked(&living).await;
        Self {
            number,
            coordination: receivers.remove(&wallet).unwrap(),
            member,
            signing,
            sender,
            keys,
            wallet,
            sequence: 1,
            nonces: Nonces::new(),
            bans: Arc::default(),
        }
    }

    fn secret(&self) -> SecretKey {
        SecretKey::from_slice(&[self.number; 32]).unwrap()
    }

    /// What the others sign in a window that has agreed on a heartbeat.
    pub(crate) async fn job(&mut self, fleet: &Fleet, window: Window) -> Job {
        let (leader_message, proposal) = loop {
            let heard = timeout(PATIENCE, self.coordination.recv()).await.unwrap().unwrap();
            let (_, said) = read(&heard);
            if let (Proposed::Action(proposal), true) =
                (said.proposed, said.coordination_block == window.block())
            {
                break (Arc::clone(&heard.signed), proposal);
            }
        };
        let agreed = async {
            loop {
                let actions = fleet.actions(self.wallet, window.index());
                if let Some(ActionRecord { agreed, .. }) = actions.first() {
                    return agreed.clone();
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let agreed = timeout(PATIENCE, agreed).await.unwrap();
        let results = fleet.results(self.wallet, window).await;
        let hash = results.values().find_map(|result| result.basis).unwrap().safe_block_hash;
        let coxswain_rules::Proposal::Heartbeat(heartbeat) = &*proposal else { panic!("{proposal:?}") };
        let message: [u8; 16] = heartbeat.message.as_slice().try_into().unwrap();
        let (group, wallet) = (fleet.group(), self.wallet);
        let terms = Terms {
            window: WindowId { chain_id: CHAIN, wallet, coordination_block: window.block() },
            action_id: ActionId::of(CHAIN, wallet, window.block(), &proposal),
            digests: Preimages::Heartbeat(message).messages().unwrap(),
            draw: Draw::new(Seed::new(wallet, hash), wallet, &group),
            group,
            times: Parameters::LOCAL.signing,
            start_block: agreed.signing_start(),
            last_block: BlockNumber(agreed.signing_end().0 - 1),
            read_bytes: READ_BYTES,
            wants_quorum: false,
        };
        Job { terms, leader_message }
    }

    fn participant(&self, job: &Job) -> Participant {
        let mut drawn = 0_u8;
        let block = job.terms.window.coordination_block.0;
        let random = Box::new(move || {
            drawn += 1;
            let mut nonce = [drawn; 32];
            nonce[..8].copy_from_slice(&block.to_be_bytes());
            nonce
        });
        let mut participant = Participant::new(
            job.terms.clone(),
            self.keys.clone(),
            self.secret(),
            Arc::clone(&job.leader_message),
            Box::new(|_, _| true),
            Recorded::default(),
            random,
        );
        participant.handle(Event::Links(job.terms.group.operators().iter().copied().collect()));
        participant
    }

    /// Takes part in a job, until it is given up. Tells once it has done its deed.
    pub(crate) async fn take_part(
        &mut self,
        job: &Job,
        deed: Deed,
        mut heights: watch::Receiver<u64>,
        done: &watch::Sender<bool>,
    ) {
        let mut seats = Faces {
            first: self.participant(job),
            second: None,
            seer: None,
            held: Vec::new(),
            announced: BTreeMap::new(),
        };
        if deed == Deed::TwoFaces {
            seats.second = Some(self.participant(job));
        }
        let mut session: Option<Session> = None;
        heights.mark_changed();
        loop {
            let event = tokio::select! {
                Ok(()) = heights.changed() => Event::Block(BlockNumber(*heights.borrow_and_update())),
                (operator, frame) = next(&mut session) => match message(&frame) {
                    Some(message) => Event::Round { operator, message },
                    None => continue,
                },
                heard = self.signing.recv() => {
                    let heard = heard.unwrap();
                    let envelope = Envelope::decode(&heard.envelope).unwrap();
                    let payload = envelope.payload.to_vec();
                    match envelope.kind {
                        ANNOUNCEMENT => {
                            self.note(&payload, &mut seats.announced);
                            Event::Announcement(payload)
                        }
                        LIST => Event::List(payload),
                        LACKING => Event::Lacking(payload),
                        // Whoever cheats makes nothing of others' signatures.
                        _ => continue,
                    }
                }
            };
            let mut events = VecDeque::from([event]);
            while let Some(event) = events.pop_front() {
                for (number, command) in seats.handle(event) {
                    match command {
                        Command::Record(recorded, record) if number == 0 => {
                            if let Record::Attempt(1, _, chosen) = &record {
                                let mut signers =
                                    chosen.iter().filter_map(|seat| job.terms.group.holder(*seat));
                                seats.seer = signers.find(|other| *other != operator(self.number));
                            }
                            events.push_back(Event::Recorded(recorded));
                        }
                        Command::Open(batch) if number == 0 => {
                            let terms = SessionTerms {
                                id: batch.id.0,
                                peers: batch.peers,
                                frame_bytes: batch.message_bytes,
                            };
                            session = Some(self.member.network.session(terms).unwrap());
                        }
                        Command::Send(to, message) => {
                            // Its second face is there for the first attempt.
                            let is_seen =
                                message.attempt == 1 && seats.second.is_some() && seats.seer == Some(to);
                            match (number, is_seen) {
                                (0, false) => self.send(session.as_ref(), to, message, deed, done),
                                (1, _) if message.attempt == 1 => seats.held.push((to, message)),
                                _ => {}
                            }
                        }
                        spoken if number == 0 => self.speak(spoken, job, deed, &seats.announced, done),
                        _ => {}
                    }
                }
                // The second's messages go over the first one's streams.
                if session.is_some() && seats.seer.is_some() {
                    for (to, message) in std::mem::take(&mut seats.held) {
                        if seats.seer == Some(to) {
                            done.send_replace(true);
                            self.send(session.as_ref(), to, message, deed, done);
                        }
                    }
                }
            }
        }
    }

    /// Nobody else announces two things.
    fn note(&mut self, payload: &[u8], announced: &mut BTreeMap<(u8, Seat), SignedAnnouncement>) {
        let signed = SignedAnnouncement::from_bytes(payload).unwrap();
        let said = signed.announcement();
        let nonces =
            self.nonces.entry((said.window.coordination_block, said.attempt, said.seat)).or_default();
        nonces.insert(said.nonce);
        assert_eq!(
            nonces.len(),
            1,
            "seat {} has announced two things in attempt {}",
            said.seat,
            said.attempt
        );
        self.bans.lock().unwrap().insert(said.seat, said.banned.clone());
        announced.insert((said.attempt, said.seat), signed);
    }

    fn send(
        &self,
        session: Option<&Session>,
        to: Address,
        mut message: RoundMessage,
        deed: Deed,
        done: &watch::Sender<bool>,
    ) {
        match deed {
            Deed::FlippedBits(round) if round == message.round => {
                // In the last field of the last message.
                *message.bytes.last_mut().unwrap() ^= 1;
                done.send_replace(true);
            }
            Deed::SilentIn(round) if round == message.round => {
                done.send_replace(true);
                return;
            }
            _ => {}
        }
        if let Some(session) = session {
            session.send(to, &frame(&message)).unwrap();
        }
    }

    fn speak(
        &mut self,
        command: Command,
        job: &Job,
        deed: Deed,
        announced: &BTreeMap<(u8, Seat), SignedAnnouncement>,
        done: &watch::Sender<bool>,
    ) {
        let us = operator(self.number);
        let (kind, payloads) = match command {
            Command::Announce(bytes) => {
                let signed = SignedAnnouncement::from_bytes(&bytes).unwrap();
                if signed.operator() != us {
                    return;
                }
                let said = signed.announcement().clone();
                let again = |said: Announcement| {
                    let signed = said.sign(&job.leader_message, &self.secret()).unwrap();
                    signed.to_bytes().unwrap()
                };
                let payloads = match deed {
                    Deed::TwoNonces => vec![bytes, again(Announcement { nonce: [99; 32], ..said })],
                    Deed::NoLinks => vec![again(Announcement { links: [us].into(), ..said })],
                    _ => vec![bytes],
                };
                if matches!(deed, Deed::TwoNonces | Deed::NoLinks) {
                    done.send_replace(true);
                }
                (ANNOUNCEMENT, payloads)
            }
            Command::List(bytes) => {
                let list = SubsetList::from_bytes(&bytes).unwrap();
                if list.convener() != us {
                    return;
                }
                let attempt = list.announcements()[0].announcement().attempt;
                let chosen = list.seats();
                let mut all: Vec<_> = announced.iter().filter(|((of, _), _)| *of == attempt).collect();
                // Those who are not in the first are in the second before all others.
                all.sort_by_key(|((_, seat), _)| chosen.contains(seat));
                let others = all.into_iter().take(chosen.len()).map(|(_, signed)| signed.clone());
                let second = SubsetList::sign(others.collect(), &job.leader_message, &self.secret());
                match (deed, second) {
                    (Deed::TwoLists, Some(second)) if second.seats() != chosen => {
                        done.send_replace(true);
                        (LIST, vec![bytes, second.to_bytes()])
                    }
                    _ => (LIST, vec![bytes]),
                }
            }
            // Neither face comes to round 3, since those who have seen one answer that one only.
            Command::Lacking(_) if deed == Deed::TwoFaces => return,
            Command::Lacking(bytes) => {
                let signed = coxswain_signing::group::SignedLacking::from_bytes(&bytes).unwrap();
                if signed.operator() != us {
                    return;
                }
                (LACKING, vec![bytes])
            }
            // An honest one tells; the others keep it to themselves.
            Command::Signatures(signatures) if deed == Deed::Honest => {
                let bytes = signatures.iter().flat_map(|signature| signature.serialize_compact()).collect();
                (SIGNATURES, vec![bytes])
            }
            _ => return,
        };
        for payload in payloads {
            self.sequence += 1;
            let sender = self.member.identity.operator().compressed();
            let envelope = Envelope { sender, payload: &payload, kind, sequence: self.sequence };
            self.sender.send(&envelope.encode().unwrap()).unwrap();
        }
    }

    pub(crate) async fn leave(self) {
        self.member.leave().await;
    }
}

/// Runs the next window that a process leads and in which a heartbeat is agreed on.
pub(crate) async fn heartbeat(fleet: &mut Fleet, wallet: KeyHash) -> Window {
    let living: Vec<Address> = fleet.nodes.keys().map(|number| operator(*number)).collect();
    let wanted = |assignment: &Assignment| {
        assignment.checklist.contains(Action::Heartbeat) && living.contains(&assignment.leader)
    };
    let (window, results) = fleet.run_next(wallet, wanted).await;
    for result in results.values() {
        let proposal = result.agreement.proposal();
        assert_eq!(proposal.map(|proposal| proposal.action()), Some(Action::Heartbeat), "{result:#?}");
    }
    window
}

/// Has all processes forget what they have seen and recorded: all are killed, and begin with empty journals.
pub(crate) async fn forget(fleet: &mut Fleet, rogue: &Rogue) {
    let living: Vec<u8> = fleet.nodes.keys().copied().collect();
    for number in &living {
        let journal = fleet.nodes.remove(number).unwrap();
        let path = journal.journal.clone();
        journal.kill();
        for end in ["", "-wal", "-shm"] {
            let file = format!("{}{end}", path.display());
            if fs::exists(&file).unwrap() {
                fs::remove_file(file).unwrap();
            }
        }
    }
    for number in &living {
        fleet.run(*number, &[]);
    }
    fleet.taken().await;
    rogue.member.linked(&living).await;
}

/// A participant, or two in one's place.
struct Faces {
    first: Participant,
    second: Option<Participant>,
    /// Who sees the second.
    seer: Option<Address>,
    /// What the second has said, and is not sent yet.
    held: Vec<(Address, RoundMessage)>,
    announced: BTreeMap<(u8, Seat), SignedAnnouncement>,
}

impl Faces {
    /// What each of them wants done: of the first, 0, and of the second, 1.
    fn handle(&mut self, event: Event) -> Vec<(u8, Command)> {
        let mut commands = Vec::new();
        if let Some(second) = &mut self.second {
            if !matches!(event, Event::Recorded(_)) {
                second.handle(event.clone());
            }
            while let Some(command) = second.poll() {
                match command {
                    Command::Record(number, _) => second.handle(Event::Recorded(number)),
                    other => commands.push((1, other)),
                }
            }
        }
        self.first.handle(event);
        commands.extend(std::iter::from_fn(|| self.first.poll()).map(|command| (0, command)));
        commands
    }
}

async fn next(session: &mut Option<Session>) -> (Address, Vec<u8>) {
    match session {
        Some(session) => session.recv().await,
        None => std::future::pending().await,
    }
}

fn frame(message: &RoundMessage) -> Vec<u8> {
    let RoundMessage { attempt, batch, round, from, to, bytes } = message;
    [&[*attempt, *batch, *round, from.number(), to.number()], &bytes[..]].concat()
}

fn message(frame: &[u8]) -> Option<RoundMessage> {
    let (&[attempt, batch, round, from, to], bytes) = frame.split_first_chunk::<5>()?;
    let seat = |number: u8| Seat::try_from(u64::from(number)).ok();
    Some(RoundMessage { attempt, batch, round, from: seat(from)?, to: seat(to)?, bytes: bytes.to_vec() })
}
