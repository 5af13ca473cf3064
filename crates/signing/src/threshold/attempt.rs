//! One seat's part in one attempt: N sessions side by side, in three rounds. No I/O, no clock: messages in, messages out.
//!
//! Each step takes the messages of all others and runs all sessions before it gives out a byte, so that what a check refuses
//! is answered by nothing. What a step has kept is used up by it: nothing is run twice.
//!
//! Rounds 1 and 2 may take the inputs in batches, one after the other. Round 3 is of all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use alloy_primitives::B256;
use bitcoin::secp256k1::{Message as Digest, Secp256k1 as Libsecp, ecdsa::Signature};
use coxswain_protocol::Seat;
use dkls23_core::protocols::{
    Abort, AbortKind, AbortReason, PartiesMessage, PartyIndex,
    signing::{KeepPhase1to2, KeepPhase2to3, SignData, UniqueKeep1to2, UniqueKeep2to3},
};
use k256::Secp256k1;

use super::{
    bans::NewBan,
    keys::SeatKey,
    messages::{Message, Phase1, Phase2, Phase3, decode, encode},
};
use crate::hash::Hasher;

/// How many inputs an attempt signs at most: as many as a wallet's transaction has.
pub const MAX_SESSIONS: usize = 256;

/// What a round's message is at most, for each session.
pub const ROUND_BYTES: [usize; 3] = [Phase1::SIZE, Phase2::SIZE, Phase3::SIZE];

/// What all of an attempt's seats must have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Names the attempt: a hash over all that its seats have announced.
    pub context: B256,
    /// Who signs: exactly as many as must.
    pub seats: BTreeSet<Seat>,
    /// What is signed.
    pub digests: Vec<Digest>,
}

/// How a step failed. The attempt is over, and nothing of the step is given out.
#[derive(Debug)]
pub enum Failure {
    /// This seat cheated in a way that tells it something: never again with it.
    Ban(NewBan),
    /// This seat's message is not what it must be. Nothing is told by it.
    Fault {
        /// Who sent it.
        seat: Seat,
        /// What is wrong with it.
        reason: String,
    },
    /// These seats have sent nothing.
    Lacking(Vec<Seat>),
    /// One of the others cheated, and it can't be told who.
    Unattributed,
    /// It can't be run with this key.
    Local(String),
}

/// The messages of a round, by receiver.
pub type Outgoing = BTreeMap<Seat, Vec<u8>>;

struct Common {
    key: Arc<SeatKey>,
    others: Vec<Seat>,
    sessions: Vec<SignData>,
}

/// What a session keeps after phase 1, and after phase 2: of its own, and for each other seat.
type Kept1 = (UniqueKeep1to2<Secp256k1>, BTreeMap<PartyIndex, KeepPhase1to2<Secp256k1>>);
type Kept2 = (UniqueKeep2to3<Secp256k1>, BTreeMap<PartyIndex, KeepPhase2to3<Secp256k1>>);

/// Round 1 is sent.
pub struct Round1 {
    common: Common,
    kept: Vec<Kept1>,
}

/// Round 2 is sent.
pub struct Round2 {
    common: Common,
    kept: Vec<Kept2>,
}

/// Round 2 is checked, of all inputs so far: round 3 can be sent once these are all.
pub struct Round3 {
    common: Common,
    digests: Vec<Digest>,
    ours: Vec<(String, Phase3)>,
}

impl Common {
    fn party(seat: Seat) -> PartyIndex {
        PartyIndex::new(seat.number()).expect("seats count from 1")
    }

    /// The messages of all others: those of each session together.
    fn read<M: Message>(&self, received: &BTreeMap<Seat, Vec<u8>>) -> Result<Vec<Vec<M>>, Failure> {
        let lacking: Vec<Seat> =
            self.others.iter().filter(|seat| !received.contains_key(seat)).copied().collect();
        if !lacking.is_empty() {
            return Err(Failure::Lacking(lacking));
        }
        let mut sessions: Vec<Vec<M>> = Vec::new();
        sessions.resize_with(self.sessions.len(), || Vec::with_capacity(self.others.len()));
        for (seat, bytes) in self.others.iter().filter_map(|seat| received.get_key_value(seat)) {
            let parties = PartiesMessage { sender: Self::party(*seat), receiver: self.key.party.party_index };
            let messages = decode::<M>(bytes, self.sessions.len(), &parties)
                .map_err(|_| Failure::Fault { seat: *seat, reason: "it is no message".to_owned() })?;
            for (session, message) in sessions.iter_mut().zip(messages) {
                session.push(message);
            }
        }
        Ok(sessions)
    }

    /// Each receiver's messages of all sessions, as bytes.
    fn write<M: Message>(&self, sessions: Vec<Vec<M>>, receiver: impl Fn(&M) -> PartyIndex) -> Outgoing {
        let mut by_receiver: BTreeMap<u8, Vec<M>> = BTreeMap::new();
        for message in sessions.into_iter().flatten() {
            by_receiver.entry(receiver(&message).as_u8()).or_default().push(message);
        }
        let bytes = |seat: &Seat| by_receiver.get(&seat.number()).map(|of_seat| (*seat, encode(of_seat)));
        self.others.iter().filter_map(bytes).collect()
    }

    fn failure(&self, abort: Abort) -> Failure {
        let reason = abort.reason.to_string();
        let seat =
            |party: PartyIndex| self.others.iter().copied().find(|seat| seat.number() == party.as_u8());
        if let AbortKind::BanCounterparty(party) = abort.kind {
            return match seat(party) {
                Some(seat) => Failure::Ban(NewBan { seat, by: self.key.seat(), reason }),
                None => Failure::Local(reason),
            };
        }
        match abort.reason {
            AbortReason::SessionBindingMismatch { counterparty }
            | AbortReason::CommitmentMismatch { counterparty }
            | AbortReason::TrivialInstancePoint { counterparty } => match seat(counterparty) {
                Some(seat) => Failure::Fault { seat, reason },
                None => Failure::Local(reason),
            },
            AbortReason::PolynomialInconsistency
            | AbortReason::SignatureVerificationFailed
            | AbortReason::ZeroDenominator => Failure::Unattributed,
            // The library may have more reasons one day: none of them is anybody's fault before we have read of it.
            _ => Failure::Local(reason),
        }
    }
}

impl Round1 {
    /// Begins an attempt, or the next batch of its inputs: the messages of round 1.
    ///
    /// # Errors
    /// If the setup is not one for this key, it has no such inputs, or this seat is to sign with one of the `banned`.
    pub fn begin(
        key: Arc<SeatKey>,
        setup: &Setup,
        inputs: Range<usize>,
        banned: &BTreeSet<Seat>,
    ) -> Result<(Self, Outgoing), Failure> {
        let Setup { context, seats, digests } = setup;
        if let Some(seat) = seats.intersection(banned).next() {
            return Err(Failure::Local(format!("seat {seat} is banned")));
        }
        if seats.len() != key.threshold() || !seats.contains(&key.seat()) {
            return Err(Failure::Local("the seats are not ours and the threshold's number".to_owned()));
        }
        if digests.is_empty() || digests.len() > MAX_SESSIONS {
            return Err(Failure::Local(format!("{} sessions", digests.len())));
        }
        let others: Vec<Seat> = seats.iter().copied().filter(|seat| *seat != key.seat()).collect();
        let counterparties: Vec<PartyIndex> = others.iter().copied().map(Common::party).collect();
        let batch = digests.get(inputs.clone()).filter(|batch| !batch.is_empty());
        let batch = batch.ok_or_else(|| Failure::Local(format!("there are no inputs {inputs:?}")))?;
        let sessions =
            (0..).zip(digests).skip(inputs.start).zip(batch).map(|((index, digest), _)| SignData {
                sign_id: session_id(*context, index, digest).to_vec(),
                counterparties: counterparties.clone(),
                message_hash: *digest.as_ref(),
            });
        let common = Common { key, others, sessions: sessions.collect() };
        let mut kept = Vec::with_capacity(batch.len());
        let mut messages = Vec::with_capacity(batch.len());
        for data in &common.sessions {
            let (unique, each, out) =
                common.key.party.sign_phase1(data).map_err(|abort| common.failure(abort))?;
            kept.push((unique, each));
            messages.push(out);
        }
        let out = common.write::<Phase1>(messages, |message| message.parties.receiver);
        Ok((Self { common, kept }, out))
    }

    /// Checks round 1, all of it, and answers with round 2.
    ///
    /// # Errors
    /// If anything of it doesn't hold.
    pub fn finish(self, received: &BTreeMap<Seat, Vec<u8>>) -> Result<(Round2, Outgoing), Failure> {
        let Self { common, kept } = self;
        let received = common.read::<Phase1>(received)?;
        let mut keeps = Vec::with_capacity(kept.len());
        let mut messages = Vec::with_capacity(kept.len());
        for ((data, (unique, each)), received) in common.sessions.iter().zip(kept).zip(&received) {
            let step = common.key.party.sign_phase2(data, unique, each, received);
            let (unique, each, out) = step.map_err(|abort| common.failure(abort))?;
            keeps.push((unique, each));
            messages.push(out);
        }
        let out = common.write::<Phase2>(messages, |message| message.parties.receiver);
        Ok((Round2 { common, kept: keeps }, out))
    }
}

impl Round2 {
    /// Checks round 2, all of it.
    ///
    /// # Errors
    /// If anything of it doesn't hold.
    pub fn finish(self, received: &BTreeMap<Seat, Vec<u8>>) -> Result<Round3, Failure> {
        let Self { common, kept } = self;
        let received = common.read::<Phase2>(received)?;
        let mut ours = Vec::with_capacity(kept.len());
        for ((data, (unique, each)), received) in common.sessions.iter().zip(kept).zip(&received) {
            let step = common.key.party.sign_phase3(data, unique, each, received);
            ours.push(step.map_err(|abort| common.failure(abort))?);
        }
        let digests = common.sessions.iter().map(|data| Digest::from_digest(data.message_hash)).collect();
        Ok(Round3 { common, digests, ours })
    }
}

impl Round3 {
    /// Adds the next batch of the same attempt.
    #[must_use]
    pub fn with(mut self, next: Self) -> Self {
        self.common.sessions.extend(next.common.sessions);
        self.digests.extend(next.digests);
        self.ours.extend(next.ours);
        self
    }

    /// The messages of round 3: the same one for all.
    pub fn messages(&self) -> Outgoing {
        let messages: Vec<Phase3> = self.ours.iter().map(|(_, message)| message.clone()).collect();
        let bytes = encode(&messages);
        self.common.others.iter().map(|seat| (*seat, bytes.clone())).collect()
    }

    /// The signatures: all of them, each verified, or none.
    ///
    /// # Errors
    /// If one doesn't hold.
    pub fn finish(self, received: &BTreeMap<Seat, Vec<u8>>) -> Result<Vec<Signature>, Failure> {
        let Self { common, digests, ours } = self;
        let received = common.read::<Phase3>(received)?;
        let mut signatures = Vec::with_capacity(ours.len());
        let libsecp = Libsecp::verification_only();
        let steps = common.sessions.iter().zip(&digests).zip(ours).zip(received);
        for (((data, digest), (r, our)), mut all) in steps {
            all.push(our);
            let step = common.key.party.sign_phase4(data, &r, &all, true);
            let (s, _) = step.map_err(|abort| common.failure(abort))?;
            let signature: Signature = format!("{r}{s}")
                .parse::<CompactHex>()
                .map_err(|_| Failure::Local("the library's signature can't be read".to_owned()))?
                .0;
            // Another library's word on it: the whole signature, and only with a low S.
            if libsecp.verify_ecdsa(digest, &signature, common.key.public()).is_err() {
                return Err(Failure::Unattributed);
            }
            signatures.push(signature);
        }
        Ok(signatures)
    }
}

/// A signature in compact form, in hex.
struct CompactHex(Signature);

impl std::str::FromStr for CompactHex {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes: [u8; 64] = alloy_primitives::hex::decode_to_array(text).map_err(|_| ())?;
        Signature::from_compact(&bytes).map(Self).map_err(|_| ())
    }
}

/// Names a session: the attempt's context, the input, and what is signed for it.
fn session_id(context: B256, index: u64, digest: &Digest) -> B256 {
    Hasher::new("coxswain/signing/1/session").fixed(&context.0).number(index).fixed(digest.as_ref()).finish()
}
