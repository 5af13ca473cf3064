//! Signs with an operator's shares, together with the other operators: carries out what the participant wants done, over the
//! network and the journal.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_primitives::Address;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use coxswain_network::{Channel, Finished, Identity, Network, Receiver, Sender, Session, SessionTerms};
use coxswain_protocol::SigningGroup;
use coxswain_rules::{KeyHash, network::SigningTimes, units::BlockNumber};
use coxswain_service::{journal::Journal, point};
use coxswain_signing::{
    ActionId, Job, Outcome, Refusal, Report, SigningRecord, TestChain, WalletSigner,
    group::{Draw, SignedAnnouncement, SignedLacking, SubsetList, WindowId},
    store::ShareFile,
    threshold::{Batch, Command, Event, Participant, Record, SeatKey, Terms, seat_keys},
};
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
};
use tracing::{debug, error, info, warn};

use super::{
    leader::AgreedBy,
    record::JobRecord,
    wire::{self, Rules},
};
use crate::{clock::now, records::SignedFor};

/// What a signer needs beside the shares.
pub(crate) struct ShareSettings<'a> {
    pub(crate) chain: TestChain,
    pub(crate) network: &'a Network,
    pub(crate) identity: &'a Identity,
    pub(crate) secret: SecretKey,
    pub(crate) times: SigningTimes,
    /// What is read of the others at once, at most. Alike for all operators of a wallet.
    pub(crate) read_bytes: usize,
    pub(crate) journal: &'a Arc<Journal>,
}

/// Signs with the shares in one file.
pub(crate) struct ThresholdSigner {
    chain: TestChain,
    wallet: KeyHash,
    public_key: PublicKey,
    keys: Vec<Arc<SeatKey>>,
    network: Network,
    identity: Identity,
    secret: SecretKey,
    times: SigningTimes,
    read_bytes: usize,
    journal: Arc<Journal>,
    claims: SignedFor,
    floor: Arc<AtomicU64>,
    channel: tokio::sync::Mutex<(Sender, Receiver)>,
    /// Says again what was announced for the last job. It ends with this, or with the next job.
    repeating: Mutex<JoinSet<()>>,
    /// As long as this lives, no other process signs with the same shares.
    _file: ShareFile,
}

impl fmt::Debug for ThresholdSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThresholdSigner").field("wallet", &self.wallet).finish_non_exhaustive()
    }
}

/// Why shares aren't signed with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnfitError {
    #[error("the shares are for chain {0}")]
    Chain(u64),
    #[error("the shares are of another wallet's key")]
    OtherWallet,
    #[error("the shares are for a group of {0} seats, the wallet has {1}")]
    Size(u8, usize),
    #[error("the operator doesn't hold exactly the seats that the shares are for")]
    Seats,
    #[error(transparent)]
    Keys(#[from] coxswain_signing::threshold::KeyError),
}

impl ThresholdSigner {
    /// Joins the wallet's topic for signing.
    pub(crate) fn new(
        settings: &ShareSettings<'_>,
        wallet: (KeyHash, PublicKey),
        group: &SigningGroup,
        file: ShareFile,
    ) -> Result<Self, UnfitError> {
        let (wallet, public_key) = wallet;
        let info = file.shares().info();
        if info.chain_id != settings.chain.id() {
            return Err(UnfitError::Chain(info.chain_id));
        }
        if info.wallet_key != public_key {
            return Err(UnfitError::OtherWallet);
        }
        if usize::from(info.group_size) != group.holders().len() {
            return Err(UnfitError::Size(info.group_size, group.holders().len()));
        }
        let us = settings.identity.operator().address();
        let numbered = (1..).zip(group.holders());
        let own = numbered.filter(|(_, holder)| **holder == us);
        if !own.map(|(number, _): (u8, _)| number).eq(info.seats.iter().map(|seat| seat.number())) {
            return Err(UnfitError::Seats);
        }
        let keys = seat_keys(file.shares())?.into_iter().map(Arc::new).collect();
        let floor = Arc::<AtomicU64>::default();
        let rules =
            Rules { chain_id: settings.chain.id(), wallet, group: group.clone(), floor: Arc::clone(&floor) };
        let channel = settings.network.join(&public_key, Channel::Announcements, group, Box::new(rules));
        Ok(Self {
            chain: settings.chain,
            wallet,
            public_key,
            keys,
            network: settings.network.clone(),
            identity: settings.identity.clone(),
            secret: settings.secret,
            times: settings.times,
            read_bytes: settings.read_bytes,
            journal: Arc::clone(settings.journal),
            claims: SignedFor::new(Arc::clone(settings.journal)),
            floor,
            channel: tokio::sync::Mutex::new(channel),
            repeating: Mutex::default(),
            _file: file,
        })
    }

    fn us(&self) -> Address {
        self.identity.operator().address()
    }

    async fn report(
        &self,
        job: &Job,
        group: &SigningGroup,
        mut clock: watch::Receiver<BlockNumber>,
    ) -> Result<Report, Refusal> {
        if job.chain_id != self.chain.id() {
            return Err(Refusal::OtherChain { job: job.chain_id, signer: self.chain.id() });
        }
        if job.wallet != self.wallet {
            return Err(Refusal::OtherWallet);
        }
        let digests = job.preimages.messages()?;
        let agreed = AgreedBy::read(&self.journal, self.wallet, job.coordination_block);
        let agreed = agreed.map_err(|error| Refusal::Unrecorded(error.to_string()))?;
        let agreed = Arc::new(agreed.ok_or(Refusal::NoLeaderMessage)?);
        // One job at a time: what is heard is for it.
        let mut channel = self.channel.lock().await;
        let (sender, receiver) = &mut *channel;
        let Ok(block) = clock.wait_for(|block| *block >= job.start_block).await.map(|block| *block) else {
            return Ok(Outcome::Deadline.into());
        };
        if block > job.last_block {
            return Ok(Outcome::Deadline.into());
        }
        // Before anything is announced for it.
        self.claims.claim(job.claim()).await?;
        *self.repeating.lock().unwrap_or_else(PoisonError::into_inner) = JoinSet::new();
        self.floor.fetch_max(job.coordination_block.0, Ordering::Relaxed);
        let record = JobRecord {
            journal: Arc::clone(&self.journal),
            chain_id: job.chain_id,
            wallet: job.wallet,
            block: job.coordination_block,
        };
        let recorded = record.restored().map_err(|error| Refusal::Unrecorded(error.to_string()))?;
        let terms = Terms {
            window: WindowId {
                chain_id: job.chain_id,
                wallet: job.wallet,
                coordination_block: job.coordination_block,
            },
            action_id: job.action_id,
            draw: Draw::new(agreed.seed(self.wallet), self.wallet, group),
            group: group.clone(),
            times: self.times,
            start_block: job.start_block,
            last_block: job.last_block,
            wants_quorum: !job.has_main_utxo,
            read_bytes: self.read_bytes,
            digests,
        };
        let (wallet, public_key, chain_id) = (self.wallet, self.public_key, self.chain.id());
        let (its_group, by) = (group.clone(), Arc::clone(&agreed));
        let proposes = move |bytes: &[u8], id: ActionId| {
            by.proposes((wallet, &public_key, chain_id), &its_group, bytes, id)
        };
        let participant = Participant::new(
            terms,
            self.keys.clone(),
            self.secret,
            agreed.message.to_vec().into(),
            Box::new(proposes),
            recorded,
            Box::new(random),
        );
        let voice = Voice {
            identity: self.identity.clone(),
            sender: sender.clone(),
            wallet: self.wallet,
            sequence: now().0,
        };
        let mut run = Run { signer: self, group, record, voice, session: None, before: None };
        let mut participant = Some(participant);
        let mut linked = None;
        clock.mark_changed();
        loop {
            let event = tokio::select! {
                biased;
                changed = clock.changed() => {
                    if changed.is_err() {
                        return Ok(Outcome::Deadline.into());
                    }
                    let links = run.links();
                    if linked.as_ref() == Some(&links) {
                        Event::Block(*clock.borrow_and_update())
                    } else {
                        // The block is taken in next.
                        clock.mark_changed();
                        linked = Some(links.clone());
                        Event::Links(links)
                    }
                }
                (operator, frame) = next(&mut run.session) => match wire::message(&frame) {
                    Some(message) => Event::Round { operator, message },
                    None => continue,
                },
                heard = receiver.recv() => {
                    // Somebody else has joined the topic in our place: the program is ending.
                    let Some(heard) = heard else { return Ok(Outcome::Deadline.into()) };
                    match wire::event(&heard.author, &heard.envelope) {
                        Some(event) => event,
                        None => continue,
                    }
                }
            };
            if let Some(report) = run.take(&mut participant, event).await? {
                let done = participant.take().expect("it is put back by each step");
                let mut repeating = self.repeating.lock().unwrap_or_else(PoisonError::into_inner);
                repeating.spawn(repeat(done, run.voice, clock, job.last_block));
                return Ok(report);
            }
        }
    }
}

/// Has a participant that has finished say again what it has announced, until the job's last block.
async fn repeat(
    mut done: Participant,
    mut voice: Voice,
    mut clock: watch::Receiver<BlockNumber>,
    last_block: BlockNumber,
) {
    while clock.changed().await.is_ok() {
        let block = *clock.borrow_and_update();
        if block > last_block {
            return;
        }
        done.handle(Event::Block(block));
        while let Some(command) = done.poll() {
            if let Command::Announce(bytes) = command {
                voice.say(wire::ANNOUNCEMENT, &bytes);
            }
        }
    }
}

/// What we say to all operators of the wallet.
struct Voice {
    identity: Identity,
    sender: Sender,
    wallet: KeyHash,
    sequence: u64,
}

impl Voice {
    fn say(&mut self, kind: &[u8], payload: &[u8]) -> bool {
        self.sequence += 1;
        let sent = wire::envelope(&self.identity, kind, payload, self.sequence)
            .is_some_and(|envelope| self.sender.send(&envelope).is_ok());
        if !sent {
            let kind = String::from_utf8_lossy(kind);
            warn!(wallet = %self.wallet, %kind, bytes = payload.len(), "not sent");
        }
        sent
    }
}

/// The next frame of the session, if there is one.
async fn next(session: &mut Option<Session>) -> (Address, Vec<u8>) {
    match session {
        Some(session) => session.recv().await,
        None => std::future::pending().await,
    }
}

/// Bytes that nobody foresees.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has random bytes: the key's shares were opened by them");
    bytes
}

/// One job that is being signed.
struct Run<'a> {
    signer: &'a ThresholdSigner,
    group: &'a SigningGroup,
    record: JobRecord,
    voice: Voice,
    session: Option<Session>,
    /// That of the batch before.
    before: Option<Finished>,
}

impl Run<'_> {
    /// The operators that are linked.
    fn links(&self) -> BTreeSet<Address> {
        let network = &self.signer.network;
        let operators = self.group.operators().iter().copied();
        operators.filter(|operator| network.linked_since(*operator).is_some()).collect()
    }

    /// Hands the participant an event, and does all that follows. Gives the report when it is over.
    async fn take(
        &mut self,
        participant: &mut Option<Participant>,
        event: Event,
    ) -> Result<Option<Report>, Refusal> {
        let mut events = VecDeque::from([event]);
        let mut report = None;
        while let Some(event) = events.pop_front() {
            let mut own = participant.take().expect("it is put back below");
            // A round of many inputs takes seconds of the processor.
            let stepped = spawn_blocking(move || {
                own.handle(event);
                let commands: Vec<_> = std::iter::from_fn(|| own.poll()).collect();
                (own, commands)
            });
            let (own, commands) = stepped.await.map_err(|_| Refusal::Unsound)?;
            *participant = Some(own);
            for command in commands {
                match command {
                    Command::Record(number, record) => {
                        self.keep(&record).await?;
                        events.push_back(Event::Recorded(number));
                    }
                    Command::Finish(finished) => report = Some(finished),
                    other => self.send(other),
                }
            }
        }
        if let Some(Report { outcome: Outcome::Signed(signed), .. }) = &report {
            let operators = signed.seats.iter().filter_map(|seat| self.group.holder(*seat)).collect();
            if let Err(error) = self.record.clear(&operators).await {
                debug!(wallet = %self.signer.wallet, %error, "the marks of those who have signed stay");
            }
        }
        Ok(report)
    }

    async fn keep(&mut self, record: &Record) -> Result<(), Refusal> {
        let (before, after) = match record {
            Record::Announced(..) => ("signing/announced/before", "signing/announced/after"),
            Record::Attempt(..) => ("signing/attempt/before", "signing/attempt/after"),
            Record::Ban(..) => ("signing/ban/before", "signing/ban/after"),
            Record::Marks(..) => ("signing/marks/before", "signing/marks/after"),
        };
        point(before);
        self.record.keep(record).await.map_err(|error| Refusal::Unrecorded(error.to_string()))?;
        point(after);
        let wallet = self.signer.wallet;
        match record {
            Record::Attempt(attempt, _, seats) => {
                let names: Vec<_> = seats.iter().map(ToString::to_string).collect();
                info!(%wallet, attempt, seats = names.join(", "), "an attempt to sign begins");
            }
            Record::Ban(by, seat) => {
                error!(%wallet, %by, %seat, "alarm: a seat has cheated, and is never signed with again")
            }
            Record::Announced(..) | Record::Marks(..) => {}
        }
        Ok(())
    }

    /// Opens the streams to those who sign a batch with us. Those of the batch before stay until what we have said on them is read: by the
    /// next batch it is, since nobody goes on without it.
    fn open(&mut self, batch: Batch) {
        self.before = self.session.take().map(Session::finish);
        let (id, frame_bytes) = (batch.id.0, batch.message_bytes);
        match self.signer.network.session(SessionTerms { id, peers: batch.peers, frame_bytes }) {
            Ok(session) => self.session = Some(session),
            Err(error) => {
                warn!(wallet = %self.signer.wallet, %error, "no direct streams: this attempt goes without us")
            }
        }
    }

    /// Sends what is ours. What others have said was passed on by the network already.
    fn send(&mut self, command: Command) {
        let us = self.signer.us();
        let (kind, payload) = match command {
            Command::Announce(bytes) => {
                let own = SignedAnnouncement::from_bytes(&bytes).is_ok_and(|signed| signed.operator() == us);
                (wire::ANNOUNCEMENT, own.then_some(bytes))
            }
            Command::List(bytes) => {
                let own = SubsetList::from_bytes(&bytes).is_ok_and(|list| list.convener() == us);
                (wire::LIST, own.then_some(bytes))
            }
            Command::Lacking(bytes) => {
                let own = SignedLacking::from_bytes(&bytes).is_ok_and(|signed| signed.operator() == us);
                (wire::LACKING, own.then_some(bytes))
            }
            Command::Signatures(signatures) => (wire::SIGNATURES, Some(wire::put_signatures(&signatures))),
            Command::Open(batch) => return self.open(batch),
            Command::Send(to, message) => {
                let (before, after) = match message.round {
                    1 => ("signing/round-1/before", "signing/round-1/after"),
                    2 => ("signing/round-2/before", "signing/round-2/after"),
                    _ => ("signing/round-3/before", "signing/round-3/after"),
                };
                point(before);
                if let Some(session) = &self.session
                    && let Err(error) = session.send(to, &wire::frame(&message))
                {
                    warn!(wallet = %self.signer.wallet, %to, round = message.round, %error, "not sent");
                }
                point(after);
                return;
            }
            Command::TwoFaces(operator) => {
                error!(wallet = %self.signer.wallet, %operator, "alarm: an operator has announced two things for one attempt");
                return;
            }
            // Both were taken out before.
            Command::Record(..) | Command::Finish(_) => return,
        };
        let Some(payload) = payload else { return };
        if kind == wire::SIGNATURES {
            point("signing/signatures/before");
        }
        if self.voice.say(kind, &payload) && kind == wire::SIGNATURES {
            point("signing/signatures/after");
        }
    }
}

impl WalletSigner for ThresholdSigner {
    async fn sign(&self, job: &Job, seats: &SigningGroup, clock: watch::Receiver<BlockNumber>) -> Report {
        match self.report(job, seats, clock).await {
            Ok(report) => report,
            Err(refusal) => refusal.into(),
        }
    }
}
