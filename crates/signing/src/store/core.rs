//! The core section: what a share is in any library. Each own seat's scalar, and the verifying shares of all seats.

use bitcoin::secp256k1::{All, PublicKey, Scalar, Secp256k1, SecretKey};
use coxswain_protocol::Seat;
use zeroize::Zeroizing;

use super::ShareInfo;

const SCALAR: usize = 32;
const POINT: usize = 33;

/// Each own seat's scalar, and the verifying share of every seat.
pub struct Core {
    seats: Vec<Seat>,
    scalars: Vec<Zeroizing<[u8; SCALAR]>>,
    verifying: Vec<PublicKey>,
}

impl Core {
    /// The scalars of these seats, in order, and the verifying shares of all, seat 1 first.
    pub fn new(seats: Vec<Seat>, scalars: Vec<Zeroizing<[u8; SCALAR]>>, verifying: Vec<PublicKey>) -> Self {
        Self { seats, scalars, verifying }
    }

    /// Each own seat's scalar.
    pub(crate) fn scalars(&self) -> impl Iterator<Item = (Seat, &Zeroizing<[u8; SCALAR]>)> {
        self.seats.iter().copied().zip(&self.scalars)
    }

    /// The verifying shares, seat 1 first: no secret.
    pub fn verifying(&self) -> &[PublicKey] {
        &self.verifying
    }

    /// How many bytes the section has.
    pub(super) fn size(info: &ShareInfo) -> usize {
        info.seats.len() * SCALAR + usize::from(info.group_size) * POINT
    }

    pub(super) fn to_bytes(&self, info: &ShareInfo) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::size(info)));
        for scalar in &self.scalars {
            bytes.extend_from_slice(scalar.as_slice());
        }
        for point in &self.verifying {
            bytes.extend_from_slice(&point.serialize());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8], info: &ShareInfo) -> Result<Self, &'static str> {
        let (scalars, points) =
            bytes.split_at_checked(info.seats.len() * SCALAR).ok_or("the core is too short")?;
        let (scalars, _) = scalars.as_chunks::<SCALAR>();
        let (points, rest) = points.as_chunks::<POINT>();
        if !rest.is_empty() {
            return Err("the core has another length");
        }
        let points: Result<Vec<_>, _> = points.iter().map(|point| PublicKey::from_slice(point)).collect();
        let core = Self {
            seats: info.seats.clone(),
            scalars: scalars.iter().copied().map(Zeroizing::new).collect(),
            verifying: points.map_err(|_| "a verifying share is no point")?,
        };
        core.check(info)?;
        Ok(core)
    }

    /// That the scalars are those of the verifying shares, and these are shares of the wallet's key.
    pub(super) fn check(&self, info: &ShareInfo) -> Result<(), &'static str> {
        if self.seats != info.seats
            || self.scalars.len() != self.seats.len()
            || self.verifying.len() != usize::from(info.group_size)
        {
            return Err("the core is of other seats");
        }
        let secp = Secp256k1::new();
        for (seat, scalar) in self.scalars() {
            let mut secret = SecretKey::from_slice(scalar.as_slice())
                .map_err(|_| "a share is no number of the curve's")?;
            let point = secret.public_key(&secp);
            secret.non_secure_erase();
            if self.verifying.get(usize::from(seat.number()) - 1) != Some(&point) {
                return Err("a seat's share is not the one that the verifying shares are for");
            }
        }
        let threshold = usize::from(info.threshold);
        let stands_for = |first, count| interpolate(&secp, &self.verifying, first, count);
        // The first and the last as many as must sign.
        if [0, self.verifying.len() - threshold]
            .iter()
            .any(|first| stands_for(*first, threshold) != Some(info.wallet_key))
        {
            return Err("the verifying shares are not those of the wallet's key");
        }
        if stands_for(0, threshold - 1) == Some(info.wallet_key) {
            return Err("fewer shares than the threshold says give the wallet's key");
        }
        Ok(())
    }
}

/// The key that `count` verifying shares stand for, from this index on: Lagrange's interpolation at 0.
fn interpolate(
    secp: &Secp256k1<All>,
    verifying: &[PublicKey],
    first: usize,
    count: usize,
) -> Option<PublicKey> {
    let numbers: Vec<u64> = (first..first + count)
        .map(|index| u64::try_from(index).map(|index| index + 1))
        .collect::<Result<_, _>>()
        .ok()?;
    let mut terms = Vec::with_capacity(count);
    for (number, point) in numbers.iter().zip(verifying.get(first..first + count)?) {
        let mut numerator = one();
        let mut denominator = one();
        for other in numbers.iter().filter(|other| *other != number) {
            numerator = times(numerator, small(*other, false)?)?;
            denominator = times(denominator, small(other.abs_diff(*number), other < number)?)?;
        }
        let coefficient = times(numerator, inverse(denominator)?)?;
        terms.push(point.mul_tweak(secp, &Scalar::from(coefficient)).ok()?);
    }
    PublicKey::combine_keys(&terms.iter().collect::<Vec<_>>()).ok()
}

fn one() -> SecretKey {
    small(1, false).expect("1 is a number of the curve's")
}

/// A small number other than 0, or what is that much below 0.
fn small(number: u64, negative: bool) -> Option<SecretKey> {
    let mut bytes = [0; SCALAR];
    bytes.last_chunk_mut::<8>()?.copy_from_slice(&number.to_be_bytes());
    let key = SecretKey::from_slice(&bytes).ok()?;
    Some(if negative { key.negate() } else { key })
}

fn times(a: SecretKey, b: SecretKey) -> Option<SecretKey> {
    a.mul_tweak(&Scalar::from(b)).ok()
}

/// The number by which this one gives 1: its power to the curve's order less 2, by squaring. Nothing here is secret.
fn inverse(number: SecretKey) -> Option<SecretKey> {
    let mut exponent = bitcoin::secp256k1::constants::CURVE_ORDER;
    *exponent.last_mut()? -= 2;
    let mut power = one();
    for bit in exponent.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        power = times(power, power)?;
        if bit == 1 {
            power = times(power, number)?;
        }
    }
    Some(power)
}
