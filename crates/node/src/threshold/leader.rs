//! The leaders' messages that actions were agreed on by. Whoever announces that it is ready carries one, and an announcement counts
//! only with one that holds: so they are kept as they were signed, and are durable before the window's result is.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, Bytes};
use bitcoin::secp256k1::PublicKey;
use coxswain_network::{Channel, Identity, Message};
use coxswain_protocol::{
    Agreement, Entry, Received, Seed, SigningGroup, Window, WindowResult,
    wire::{OperatorKey, Proposed},
};
use coxswain_rules::{KeyHash, units::BlockNumber};
use coxswain_service::journal::{AppendError, Fact, FactKey, Journal, ReadError};
use coxswain_signing::{ActionId, group::MAX_LEADER_MESSAGE};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

/// The leaders' messages, by wallet and window.
const TOPIC: &str = "leader_message";
/// Messages of an author in a window that are kept: honest ones send one.
const PER_AUTHOR: usize = 2;
/// Windows of a wallet that messages are kept of.
const WINDOWS: usize = 2;

/// By window: who has proposed what, and its message.
type Windows = BTreeMap<BlockNumber, Vec<(Address, ActionId, Arc<[u8]>)>>;

/// The messages that operators of our wallets have sent in the last windows.
pub(crate) struct LeaderMessages {
    chain_id: u64,
    identity: Identity,
    wallets: Mutex<BTreeMap<KeyHash, Kept>>,
}

/// What is kept of one wallet.
struct Kept {
    public_key: PublicKey,
    group: Arc<SigningGroup>,
    windows: Windows,
}

impl fmt::Debug for LeaderMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaderMessages")
    }
}

impl LeaderMessages {
    pub(crate) fn new(chain_id: u64, identity: Identity) -> Self {
        Self { chain_id, identity, wallets: Mutex::default() }
    }

    /// Keeps the messages of this wallet, too.
    pub(crate) fn keeping(
        self: &Arc<Self>,
        wallet: KeyHash,
        public_key: PublicKey,
        group: Arc<SigningGroup>,
    ) -> Keeping {
        self.lock().insert(wallet, Kept { public_key, group, windows: Windows::new() });
        Keeping { messages: Arc::clone(self), wallet }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyHash, Kept>> {
        self.wallets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what has come.
    fn hear(&self, wallet: KeyHash, received: &Received) {
        let Some(message) = received.message() else { return };
        let Proposed::Action(proposal) = &message.proposed else { return };
        if message.wallet != wallet || received.signed().len() > MAX_LEADER_MESSAGE {
            return;
        }
        let block = message.coordination_block;
        let id = ActionId::of(self.chain_id, wallet, block, proposal);
        let mut wallets = self.lock();
        let Some(Kept { windows, .. }) = wallets.get_mut(&wallet) else { return };
        let said = windows.entry(block).or_default();
        let author = received.author();
        let known = said.iter().filter(|(by, ..)| *by == author);
        if known.clone().all(|(_, other, _)| *other != id) && known.count() < PER_AUTHOR {
            said.push((author, id, Arc::clone(received.signed())));
        }
        while windows.len() > WINDOWS {
            windows.pop_first();
        }
    }

    /// Keeps what we say ourselves, signed as the network signs messages.
    fn say(&self, wallet: KeyHash, envelope: &[u8]) {
        let of_wallet = self.lock().get(&wallet).map(|kept| (kept.public_key, Arc::clone(&kept.group)));
        let Some((public_key, group)) = of_wallet else { return };
        let topic = Channel::Coordination.topic(&public_key);
        let signed: Arc<[u8]> = Message::sign(&self.identity, 0, topic.as_bytes(), envelope).into();
        if let Ok(received) = Received::open(self.identity.operator(), &group, envelope, signed) {
            self.hear(wallet, &received);
        }
    }

    /// Keeps what the journal says that we have sent: a leader that has started again says nothing new, and signs by that.
    pub(crate) fn restore(&self, wallet: KeyHash, entry: &Entry) {
        match entry {
            Entry::Sent(sent) => self.say(wallet, &sent.envelope),
            Entry::Result(_) => {}
        }
    }

    /// Makes durable by which message an action was agreed on, before the result is: whoever starts again with the result can show
    /// the message.
    pub(crate) async fn record(&self, journal: &Journal, entry: &Entry) {
        let Entry::Result(result) = entry else { return };
        if let Some(agreed) = AgreedBy::of(self, result)
            && let Err(error) = agreed.record(journal, result.wallet).await
        {
            error!(wallet = %result.wallet, window = result.window.index(), %error, "the leader's message is not recorded: the action won't be signed here");
        }
    }

    fn of(&self, wallet: KeyHash, block: BlockNumber, leader: Address, id: ActionId) -> Option<Arc<[u8]>> {
        let wallets = self.lock();
        let said = wallets.get(&wallet)?.windows.get(&block)?;
        said.iter()
            .find(|(by, other, _)| (*by, *other) == (leader, id))
            .map(|(.., message)| Arc::clone(message))
    }
}

/// Keeps the messages of one wallet.
#[derive(Debug)]
pub(crate) struct Keeping {
    messages: Arc<LeaderMessages>,
    wallet: KeyHash,
}

impl Keeping {
    pub(crate) fn hear(&self, received: &Received) {
        self.messages.hear(self.wallet, received);
    }

    pub(crate) fn say(&self, envelope: &[u8]) {
        self.messages.say(self.wallet, envelope);
    }
}

/// Why it is not recorded by what an action was agreed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnrecordedError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("it can't be written down")]
    Unwritable(#[from] serde_json::Error),
}

/// By what an action was agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgreedBy {
    pub(super) window: Window,
    pub(super) safe_block_hash: B256,
    pub(super) leader: Address,
    pub(super) message: Bytes,
}

impl AgreedBy {
    fn of(messages: &LeaderMessages, result: &WindowResult) -> Option<Self> {
        let Agreement::Action(validated, _) = &result.agreement else { return None };
        let (basis, window, wallet) = (result.basis?, result.window, result.wallet);
        let block = window.block();
        let id = ActionId::of(messages.chain_id, wallet, block, validated.proposal());
        let Some(message) = messages.of(wallet, block, basis.leader, id) else {
            warn!(%wallet, window = window.index(), "the leader's message is not known any more: the action won't be signed here");
            return None;
        };
        let message = message.to_vec().into();
        Some(Self { window, safe_block_hash: basis.safe_block_hash, leader: basis.leader, message })
    }

    fn key(wallet: KeyHash, block: BlockNumber) -> FactKey {
        FactKey { topic: TOPIC, owner: wallet.0, name: block.to_string() }
    }

    /// In place of what a judging before a restart may have left, whose result was not recorded.
    pub(super) async fn record(&self, journal: &Journal, wallet: KeyHash) -> Result<(), UnrecordedError> {
        let (key, body) = (Self::key(wallet, self.window.block()), serde_json::to_string(self)?);
        Ok(journal.fact(Fact { key, body, replaces: true }).await?)
    }

    /// By what the action of the window that begins at this block was agreed on. `None` if that isn't recorded, or its row is damaged.
    ///
    /// # Errors
    /// If the journal can't be read now: it may be later.
    pub(super) fn read(
        journal: &Journal,
        wallet: KeyHash,
        block: BlockNumber,
    ) -> Result<Option<Self>, ReadError> {
        let fact = journal.reader().fact(&Self::key(wallet, block))?;
        Ok(fact.and_then(Result::ok).and_then(|fact| serde_json::from_str(&fact).ok()))
    }

    /// What the window's draws follow from.
    pub(super) fn seed(&self, wallet: KeyHash) -> Seed {
        Seed::new(wallet, self.safe_block_hash)
    }

    /// Whether these bytes are a message of the window's leader that proposes the action: signed, on the wallet's channel, through the
    /// leader's first seat, for this window and wallet.
    pub(super) fn proposes(
        &self,
        wallet: (KeyHash, &PublicKey, u64),
        group: &SigningGroup,
        bytes: &[u8],
        id: ActionId,
    ) -> bool {
        let (wallet, public_key, chain_id) = wallet;
        let Ok(message) = Message::decode(bytes) else { return false };
        let Some(author) = message.author().and_then(|key| OperatorKey::from_compressed(key).ok()) else {
            return false;
        };
        let topic = Channel::Coordination.topic(public_key);
        if author.address() != self.leader
            || message.topic() != topic.as_bytes()
            || message.verify(&author, &message.signed_bytes()).is_err()
        {
            return false;
        }
        let Ok(received) = Received::open(&author, group, message.data(), bytes.into()) else { return false };
        let seat = received.check(group, wallet, &self.window).ok();
        let Some(Proposed::Action(proposal)) = received.message().map(|message| &message.proposed) else {
            return false;
        };
        seat.is_some()
            && seat == group.first_seat(self.leader)
            && ActionId::of(chain_id, wallet, self.window.block(), proposal) == id
    }
}

#[cfg(test)]
mod tests {
    use coxswain_coordination::Journal as _;
    use coxswain_protocol::{
        Basis, Schedule, Seat, Sent, WindowParameters,
        wire::{CoordinationMessage, Envelope, MESSAGE_TYPE},
    };
    use coxswain_rules::{Action, HeartbeatProposal, Proposal};
    use coxswain_service::{journal::Settings, status::Health};
    use serde_json::json;

    use super::*;
    use crate::WindowJournal;

    const WALLET: KeyHash = KeyHash([7; 20]);

    fn identity(number: u8) -> Identity {
        Identity::from_secret([number; 32]).unwrap()
    }

    fn public_key() -> PublicKey {
        PublicKey::from_slice(&identity(99).operator().compressed()).unwrap()
    }

    /// Operator 1 holds seats 1 and 3, operator 2 holds seat 2.
    fn group() -> SigningGroup {
        let holders = [1, 2, 1].map(|number| identity(number).operator().address());
        SigningGroup::new(holders.into()).unwrap()
    }

    fn window() -> Window {
        Window::numbered(&WindowParameters::MAINNET, 2).unwrap()
    }

    fn heartbeat(byte: u8) -> Arc<Proposal> {
        let message = [[0xff; 8], [byte; 8]].concat();
        Arc::new(Proposal::Heartbeat(HeartbeatProposal { message }))
    }

    fn envelope(author: u8, change: impl FnOnce(&mut CoordinationMessage)) -> Vec<u8> {
        let mut message = CoordinationMessage {
            seat: Seat::try_from(1).unwrap(),
            coordination_block: window().block(),
            wallet: WALLET,
            proposed: Proposed::Action(heartbeat(1)),
        };
        change(&mut message);
        let payload = message.encode().unwrap();
        let sender = identity(author).operator().compressed();
        Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence: 1 }.encode().unwrap()
    }

    fn id(byte: u8) -> ActionId {
        ActionId::of(31337, WALLET, window().block(), &heartbeat(byte))
    }

    #[test]
    fn inc_49_a_message_counts_only_as_the_windows_leader_has_signed_it() {
        let agreed = AgreedBy {
            window: window(),
            safe_block_hash: B256::ZERO,
            leader: identity(1).operator().address(),
            message: Bytes::new(),
        };
        let key = public_key();
        let proposes = |bytes: &[u8], id| agreed.proposes((WALLET, &key, 31337), &group(), bytes, id);
        let topic = Channel::Coordination.topic(&key);
        let signed = |by: u8, topic: &str, envelope: &[u8]| {
            Message::sign(&identity(by), 0, topic.as_bytes(), envelope)
        };
        let good = signed(1, &topic, &envelope(1, |_| ()));
        assert!(proposes(&good, id(1)));
        assert!(!proposes(&good, id(2)), "another action");
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let refused = [
            ("no message", Vec::new()),
            ("its signature", flipped),
            (
                "another author",
                signed(2, &topic, &envelope(2, |message| message.seat = Seat::try_from(2).unwrap())),
            ),
            ("another's envelope", signed(2, &topic, &envelope(1, |_| ()))),
            ("another topic", signed(1, &Channel::Signing.topic(&key), &envelope(1, |_| ()))),
            ("its second seat", signed(1, &topic, &envelope(1, |it| it.seat = Seat::try_from(3).unwrap()))),
            ("another window", signed(1, &topic, &envelope(1, |it| it.coordination_block.0 += 900))),
            ("another wallet", signed(1, &topic, &envelope(1, |it| it.wallet = KeyHash([8; 20])))),
            ("no action", signed(1, &topic, &envelope(1, |it| it.proposed = Proposed::NoOp))),
        ];
        for (what, bytes) in refused {
            assert!(!proposes(&bytes, id(1)), "{what}");
        }
    }

    #[test]
    fn what_we_say_and_hear_is_kept_for_two_windows_two_messages_an_author() {
        let messages = Arc::new(LeaderMessages::new(31337, identity(1)));
        let keeping = messages.keeping(WALLET, public_key(), Arc::new(group()));
        let leader = identity(1).operator().address();
        let block = window().block();
        for byte in 1..=3 {
            let said = envelope(1, |it| it.proposed = Proposed::Action(heartbeat(byte)));
            keeping.say(&said);
        }
        let kept = |byte| messages.of(WALLET, block, leader, id(byte));
        assert!(kept(1).is_some() && kept(2).is_some() && kept(3).is_none());
        let agreed =
            AgreedBy { window: window(), safe_block_hash: B256::ZERO, leader, message: Bytes::new() };
        assert!(agreed.proposes((WALLET, &public_key(), 31337), &group(), &kept(1).unwrap(), id(1)));
        for later in [900, 1800] {
            keeping.say(&envelope(1, |it| it.coordination_block.0 += later));
        }
        assert!(kept(1).is_none(), "two windows have come since");
    }

    /// The result of a window that operator 1 led.
    fn agreed_on(proposal: &Proposal) -> Arc<WindowResult> {
        let assurances = json!({
            "named_by": 1, "of": 1, "is_given": false, "state": null, "events": null, "bitcoin": null,
        });
        let validated = json!({ "proposal": proposal, "at": { "block": 1, "assurances": assurances } });
        let basis = Basis {
            safe_block_hash: B256::ZERO,
            assurance: coxswain_rules::Assurance::Word,
            leader: identity(1).operator().address(),
        };
        let schedule = Schedule::new(&window(), &WindowParameters::MAINNET.actions, Action::Heartbeat);
        let result = json!({
            "wallet": WALLET,
            "window": window(),
            "basis": basis,
            "agreement": { "Action": [validated, schedule] },
            "faults": [],
            "notes": [],
            "alarms": [],
        });
        Arc::new(serde_json::from_value(result).unwrap())
    }

    /// What a leader and a follower know of the window when it ends, and what they sign by once they have started again with the result
    /// that was not handed over yet.
    #[tokio::test]
    async fn the_message_outlives_a_restart_before_the_result_is_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (leader, block) = (identity(1).operator().address(), window().block());
        for (us, restarts) in [(1, false), (1, true), (2, false)] {
            let settings = Settings::at(folder.path().join(format!("journal{us}{restarts}.db")));
            let journal = Arc::new(Journal::open(&settings).unwrap());
            let windows = |messages: &Arc<LeaderMessages>| {
                WindowJournal::new(Arc::clone(&journal), Health::default())
                    .keeping(Some(Arc::clone(messages)))
            };
            let begun = || {
                let messages = Arc::new(LeaderMessages::new(31337, identity(us)));
                let keeping = messages.keeping(WALLET, public_key(), Arc::new(group()));
                (windows(&messages), keeping)
            };
            let (mut ours, keeping) = begun();
            let said = envelope(1, |_| ());
            if us == 1 {
                let envelope = said.clone().into();
                let sent = Sent { window: window(), envelope, first_sent: block, validity: None };
                ours.append(WALLET, Entry::Sent(sent)).await.unwrap();
                keeping.say(&said);
            } else {
                let topic = Channel::Coordination.topic(&public_key());
                let signed = Message::sign(&identity(1), 5, topic.as_bytes(), &said);
                keeping
                    .hear(&Received::open(identity(1).operator(), &group(), &said, signed.into()).unwrap());
            }
            if restarts {
                // It remembers what it has sent by its journal.
                ours = begun().0;
                ours.restore(WALLET).await.unwrap();
            }
            ours.append(WALLET, Entry::Result(agreed_on(&heartbeat(1)))).await.unwrap();
            // Killed here: nobody has taken the result.
            let kept = AgreedBy::read(&journal, WALLET, block).unwrap().expect("it is durable");
            assert_eq!((kept.leader, kept.window), (leader, window()));
            assert!(kept.proposes((WALLET, &public_key(), 31337), &group(), &kept.message, id(1)));
        }
    }

    /// What can't be read now may be read later: nothing is given up for it.
    #[tokio::test]
    async fn a_message_that_is_not_recorded_is_told_from_a_journal_that_can_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = Journal::open(&Settings::at(path.clone())).unwrap();
        let block = window().block();
        assert_eq!(AgreedBy::read(&journal, WALLET, block).unwrap(), None);
        let agreed = AgreedBy {
            window: window(),
            safe_block_hash: B256::ZERO,
            leader: Address::repeat_byte(1),
            message: Bytes::from_static(b"signed"),
        };
        agreed.record(&journal, WALLET).await.unwrap();
        assert_eq!(AgreedBy::read(&journal, WALLET, block).unwrap(), Some(agreed));
        rusqlite::Connection::open(path).unwrap().execute("DROP TABLE facts", []).unwrap();
        assert!(AgreedBy::read(&journal, WALLET, block).is_err());
    }
}
