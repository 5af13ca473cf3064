//! What a seat signs with, and how a test group's keys are dealt.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use bitcoin::secp256k1::PublicKey;
use coxswain_protocol::{Seat, SigningGroup};
use dkls23_core::{
    protocols::{Parameters, Party, PartyIndex, derivation::DerivData, re_key::re_key},
    utilities::{
        multiplication::{MulReceiver, MulSender},
        zero_shares::ZeroShare,
    },
};
use k256::{
    AffinePoint, Scalar, Secp256k1,
    elliptic_curve::{ff::PrimeField, group::GroupEncoding},
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    TestChain, WholeKey,
    store::{Core, ShareInfo, Shares},
};

/// The scheme and the library that the pairs' section is for.
pub const SCHEME: &str = "dkls23-core 0.6.2";
/// More than what a pair takes up in the pairs' section: 2 × 416 numbers, 3 × 256 seeds, 256 bits.
const PAIR_BYTES: usize = 64 * 1024;

/// One seat's key: its share, and what it shares with each other seat for multiplications. Neither shown nor copied.
pub struct SeatKey {
    pub(super) party: Party<Secp256k1>,
    seat: Seat,
    public: PublicKey,
}

impl SeatKey {
    /// Whose it is.
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// The wallet's key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// How many seats sign.
    pub fn threshold(&self) -> usize {
        usize::from(self.party.parameters.threshold)
    }

    /// How many seats there are.
    pub fn seats(&self) -> usize {
        usize::from(self.party.parameters.share_count)
    }
}

/// Why shares give no keys to sign with, or no group is dealt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// They are for another scheme, or another version of the library.
    #[error("the shares' pairs are not of {SCHEME}")]
    OtherScheme,
    /// The pairs can't be read.
    #[error("the shares' pairs can't be read, or are not those of the shares")]
    Pairs,
    /// No group is of this kind.
    #[error("{threshold} of {seats} seats can't be dealt: 2 must sign at least, and no more than there are")]
    Group {
        /// How many sign.
        threshold: u8,
        /// How many there are.
        seats: usize,
    },
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// A seat's part of the pairs' section.
#[derive(Serialize, Deserialize)]
struct SeatPairs {
    session_id: Vec<u8>,
    chain_code: [u8; 32],
    zero_share: ZeroShare,
    senders: BTreeMap<PartyIndex, MulSender<Secp256k1>>,
    receivers: BTreeMap<PartyIndex, MulReceiver<Secp256k1>>,
}

/// The keys of all seats in a file of shares.
///
/// # Errors
/// If the pairs are another scheme's, or not those of these shares.
pub fn seat_keys(shares: &Shares) -> Result<Vec<SeatKey>, KeyError> {
    let info = shares.info();
    if info.scheme != SCHEME {
        return Err(KeyError::OtherScheme);
    }
    let parts: Vec<SeatPairs> = postcard::from_bytes(shares.pairs()).map_err(|_| KeyError::Pairs)?;
    if parts.len() != info.seats.len() {
        return Err(KeyError::Pairs);
    }
    let pk = AffinePoint::from_bytes(&info.wallet_key.serialize().into());
    let pk: AffinePoint = Option::from(pk).ok_or(KeyError::Pairs)?;
    let parameters = || Parameters::new(info.threshold, info.group_size).map_err(|_| KeyError::Pairs);
    let mut keys = Vec::with_capacity(parts.len());
    for ((seat, scalar), pairs) in shares.core().scalars().zip(parts) {
        let mut poly_point: Scalar =
            Option::from(Scalar::from_repr((**scalar).into())).ok_or(KeyError::Pairs)?;
        let SeatPairs { session_id, chain_code, zero_share, senders, receivers } = pairs;
        let others = (1..=info.group_size).filter(|other| *other != seat.number());
        let whole = others.clone().eq(indices(&senders))
            && others.eq(indices(&receivers))
            && senders.values().all(|sender| sender.check_state().is_ok())
            && receivers.values().all(|receiver| receiver.check_state(None).is_ok());
        if !whole {
            return Err(KeyError::Pairs);
        }
        let derivation_data =
            DerivData { depth: 0, child_number: 0, parent_fingerprint: [0; 4], poly_point, pk, chain_code };
        let party = Party {
            parameters: parameters()?,
            party_index: PartyIndex::new(seat.number()).map_err(|_| KeyError::Pairs)?,
            session_id,
            poly_point,
            pk,
            zero_share,
            mul_senders: senders,
            mul_receivers: receivers,
            derivation_data,
            address: String::new(),
        };
        poly_point.zeroize();
        keys.push(SeatKey { party, seat, public: info.wallet_key });
    }
    Ok(keys)
}

/// The seats that a map is about, in order.
fn indices<T>(map: &BTreeMap<PartyIndex, T>) -> impl Iterator<Item = u8> {
    map.keys().map(PartyIndex::as_u8)
}

/// Deals a fresh key to a test group, and wipes it when the shares are made. See [`deal_key`].
///
/// # Errors
/// If no group is of this size.
pub fn deal(
    chain: TestChain,
    group: &SigningGroup,
    threshold: u8,
) -> Result<BTreeMap<Address, Shares>, KeyError> {
    deal_scalar(chain, group, threshold, &Zeroizing::new(random_scalar()?))
}

/// Deals a test group's key: one file's shares for each operator. Whoever deals a key has held it whole, so that this is for
/// chains where nothing is at stake.
///
/// # Errors
/// If no group is of this size.
pub fn deal_key(
    chain: TestChain,
    group: &SigningGroup,
    threshold: u8,
    key: &WholeKey,
) -> Result<BTreeMap<Address, Shares>, KeyError> {
    let bytes = key.bytes();
    let scalar: Option<Scalar> = Scalar::from_repr((*bytes).into()).into();
    deal_scalar(chain, group, threshold, &Zeroizing::new(scalar.expect("a key is below the order")))
}

fn deal_scalar(
    chain: TestChain,
    group: &SigningGroup,
    threshold: u8,
    secret: &Scalar,
) -> Result<BTreeMap<Address, Shares>, KeyError> {
    let no_group = KeyError::Group { threshold, seats: group.holders().len() };
    let group_size = u8::try_from(group.holders().len()).map_err(|_| no_group)?;
    let parameters = Parameters::new(threshold, group_size).map_err(|_| no_group)?;
    let mut session_id = [0; 32];
    getrandom::fill(&mut session_id).map_err(|_| KeyError::Random)?;
    let (parties, package) = re_key::<Secp256k1>(&parameters, &session_id, secret, None, |_| String::new());
    let point = |point: &AffinePoint| {
        PublicKey::from_slice(&point.to_bytes()).expect("no key or share that is dealt is zero")
    };
    let verifying: Vec<PublicKey> = parties
        .iter()
        .map(|party| point(package.verifying_share(party.party_index).expect("every seat has one")))
        .collect();
    let wallet_key = point(package.verifying_key());
    let mut of_operator: BTreeMap<Address, Vec<Party<Secp256k1>>> = BTreeMap::new();
    for (holder, party) in group.holders().iter().zip(parties) {
        of_operator.entry(*holder).or_default().push(party);
    }
    let shares = |mut parties: Vec<Party<Secp256k1>>| {
        let seat = |party: &Party<Secp256k1>| {
            Seat::try_from(u64::from(party.party_index.as_u8())).expect("seats count from 1")
        };
        let seats: Vec<Seat> = parties.iter().map(seat).collect();
        let scalars = parties.iter().map(|party| Zeroizing::new(party.poly_point.to_repr().into())).collect();
        let parts: Vec<SeatPairs> = parties
            .iter_mut()
            .map(|party| SeatPairs {
                session_id: party.session_id.clone(),
                chain_code: party.derivation_data.chain_code,
                zero_share: party.zero_share.clone(),
                senders: std::mem::take(&mut party.mul_senders),
                receivers: std::mem::take(&mut party.mul_receivers),
            })
            .collect();
        let info = ShareInfo {
            scheme: SCHEME.to_owned(),
            chain_id: chain.id(),
            wallet_key,
            group_size,
            threshold,
            seats: seats.clone(),
            dealt: true,
        };
        let core = Core::new(seats, scalars, verifying.clone());
        let bytes = PAIR_BYTES * parts.len() * usize::from(group_size);
        Shares::new(info, core, encode(&parts, bytes)).expect("what is dealt fits together")
    };
    Ok(of_operator.into_iter().map(|(operator, parties)| (operator, shares(parties))).collect())
}

/// The pairs' section, written into memory that is large enough from the first, so that no copy stays behind.
fn encode(parts: &[SeatPairs], capacity: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; capacity]);
    let written = postcard::to_slice(parts, &mut bytes).expect("a pair takes up less").len();
    bytes.truncate(written);
    bytes
}

fn random_scalar() -> Result<Scalar, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    loop {
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Random)?;
        let scalar: Option<Scalar> = Scalar::from_repr((*bytes).into()).into();
        if let Some(scalar) = scalar.filter(|scalar| !bool::from(scalar.is_zero())) {
            return Ok(scalar);
        }
    }
}

/// The point that a scalar stands for: for tests.
#[cfg(test)]
pub(super) fn times_generator(scalar: &Scalar) -> AffinePoint {
    (k256::ProjectivePoint::GENERATOR * scalar).to_affine()
}
