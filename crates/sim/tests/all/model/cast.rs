//! Who plays, on which chain, and what the hostile member can say.

use std::sync::Arc;

use alloy_primitives::B256;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use coxswain_protocol::{
    Assignment, Assurance, Assurances, ContentVerdict, Objection, Parameters, SafeHashes, Setup,
    SigningGroup, Window, WindowParameters,
    wire::{CoordinationMessage, Envelope, MESSAGE_TYPE, OperatorKey, Proposed},
};
use coxswain_rules::{
    Amount, HeartbeatProposal, KeyHash, Proposal, RedemptionProposal, ScriptBuf, units::Blocks,
};

/// The members that follow the protocol. One more is hostile.
pub(crate) const HONEST: usize = 2;
/// The hostile member's number.
pub(crate) const HOSTILE: usize = HONEST;
/// How many windows are played.
pub(crate) const WINDOWS: usize = 2;
/// The first block of the game: the last one before the first window.
pub(crate) const FIRST: u64 = 5;
/// The last block of the game: the one after the last window's end.
pub(crate) const LAST: u64 = 17;

const WALLET: KeyHash = KeyHash([7; 20]);

/// Who leads each window by its first hash, and by the one that a reorganisation brings.
const LEADERS: [[usize; 2]; WINDOWS] = [[0, HOSTILE], [HOSTILE, 1]];

/// Something that the hostile member can say: all through its only seat, under one sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    /// A proposal that the contract accepts. An impersonation, unless it leads.
    First,
    /// Another one.
    Second,
    /// A proposal that the contract refuses.
    Refused,
    /// A proposal that the checklist doesn't hold.
    OffChecklist,
    /// A reserved action.
    Reserved,
    /// An action that nobody knows.
    Unknown,
    /// A proposal that can't be decoded.
    Undecodable,
}

impl Line {
    pub(crate) const ALL: [Self; 7] = [
        Self::First,
        Self::Second,
        Self::Refused,
        Self::OffChecklist,
        Self::Reserved,
        Self::Unknown,
        Self::Undecodable,
    ];
}

/// All that doesn't change in a game.
pub(crate) struct Cast {
    network: WindowParameters,
    keys: Vec<OperatorKey>,
    group: Arc<SigningGroup>,
    windows: [Window; WINDOWS],
    hashes: [[SafeHashes; 2]; WINDOWS],
}

impl Cast {
    pub(crate) fn new() -> Self {
        // Windows of 6 blocks: 3 in which the leader may speak, 1 to prepare the result. Redemptions only.
        let parameters = Parameters {
            frequency: Blocks(6),
            active_phase: Blocks(3),
            passive_phase: Blocks(1),
            safe_block_distance: Blocks(2),
            heartbeat_probability: 0.0,
            ..Parameters::DEFAULT
        };
        let network = WindowParameters::try_from(parameters).unwrap();
        let secp = Secp256k1::signing_only();
        let key = |byte| {
            let secret = SecretKey::from_slice(&[byte; 32]).unwrap();
            OperatorKey::from_compressed(secret.public_key(&secp).serialize()).unwrap()
        };
        let keys: Vec<_> = [1, 2, 3].map(key).into();
        let group = SigningGroup::new(keys.iter().map(OperatorKey::address).collect()).unwrap();
        let windows = [1, 2].map(|index| Window::numbered(&network, index).unwrap());
        let mut salt = 0_u64;
        let mut led_by = |window, leader: usize| {
            loop {
                salt += 1;
                let hash = B256::from(alloy_primitives::U256::from(salt));
                let assignment = Assignment::new(&network, window, WALLET, &group, hash);
                if assignment.leader == keys[leader].address() {
                    return SafeHashes { canonical: hash, legacy_header: hash };
                }
            }
        };
        let hashes = [0, 1].map(|window| LEADERS[window].map(|leader| led_by(windows[window], leader)));
        Self { network, group: Arc::new(group), windows, hashes, keys }
    }

    pub(crate) fn key(&self, member: usize) -> &OperatorKey {
        &self.keys[member]
    }

    pub(crate) fn group(&self) -> &SigningGroup {
        &self.group
    }

    pub(crate) fn window(&self, window: usize) -> Window {
        self.windows[window]
    }

    pub(crate) fn hashes(&self, window: usize, reorganised: bool) -> SafeHashes {
        self.hashes[window][usize::from(reorganised)]
    }

    /// Who leads a window.
    pub(crate) fn leader(&self, window: usize, reorganised: bool) -> usize {
        LEADERS[window][usize::from(reorganised)]
    }

    /// The window that a block belongs to. The last block before the first window counts as part of it.
    pub(crate) fn window_of(&self, block: u64) -> usize {
        usize::from(block >= self.windows[1].block().0)
    }

    /// Which of the two it is.
    pub(crate) fn number(&self, window: Window) -> usize {
        self.window_of(window.block().0)
    }

    pub(crate) fn setup(&self, member: usize, life: u64) -> Setup {
        Setup {
            network: self.network,
            wallet: WALLET,
            group: Arc::clone(&self.group),
            key: self.keys[member],
            first_sequence: 100 * (life + 1),
            observes: false,
        }
    }

    /// What an honest leader proposes in a window.
    pub(crate) fn proposal(&self, window: usize, member: usize) -> Arc<Proposal> {
        redemption(100 * (window as u64 + 1) + member as u64)
    }

    /// The envelope around what the hostile member says in a window.
    pub(crate) fn line(&self, window: usize, line: Line) -> Arc<[u8]> {
        let sender = self.keys[HOSTILE];
        let message = |proposed| CoordinationMessage {
            seat: self.group.first_seat(sender.address()).unwrap(),
            coordination_block: self.windows[window].block(),
            wallet: WALLET,
            proposed,
        };
        let act = |proposal| message(Proposed::Action(proposal)).encode().unwrap();
        let unknown =
            |number| message(Proposed::Unknown { number, payload: [1][..].into() }).encode().unwrap();
        let payload = match line {
            Line::First => act(redemption(1)),
            Line::Second => act(redemption(2)),
            Line::Refused => act(redemption(REFUSED)),
            Line::OffChecklist => {
                act(Arc::new(Proposal::Heartbeat(HeartbeatProposal { message: vec![0xff; 16] })))
            }
            Line::Reserved => unknown(6),
            Line::Unknown => unknown(10),
            Line::Undecodable => {
                let mut bytes = message(Proposed::NoOp).encode().unwrap();
                bytes.truncate(bytes.len() - 1);
                // Its payload would have nine bytes, and has none.
                bytes.extend([2, 0x12, 9]);
                bytes
            }
        };
        let sender = sender.compressed();
        let envelope = Envelope { sender, payload: &payload, kind: MESSAGE_TYPE, sequence: 1 };
        envelope.encode().unwrap().into()
    }
}

/// The fee of the redemption that the contract refuses.
const REFUSED: u64 = 666;

fn redemption(fee: u64) -> Arc<Proposal> {
    let scripts = vec![ScriptBuf::from_bytes(vec![0x51])];
    Arc::new(Proposal::Redemption(RedemptionProposal { scripts, fee: Amount::from_sat(fee) }))
}

/// What the contract says.
pub(crate) fn judge(proposal: &Proposal) -> ContentVerdict {
    match proposal {
        Proposal::Redemption(redemption) if redemption.fee == Amount::from_sat(REFUSED) => {
            let objection = Arc::new(Objection::MainUtxoMissing(WALLET));
            ContentVerdict::Rejected { objection, assurance: Assurance::Agreed }
        }
        _ => ContentVerdict::Valid(Assurances::of_state(Assurance::Agreed)),
    }
}
