//! The three rounds' messages as bytes. Every field has a fixed width, so that a message of N sessions has exactly one size,
//! and every value one encoding. Sender and receiver are not in them: they are those of the link.

use dkls23_core::{
    protocols::{
        PartiesMessage,
        signing::{Broadcast3to4, TransmitPhase1to2, TransmitPhase2to3},
    },
    utilities::{
        multiplication::{L, MulDataToReceiver, OT_WIDTH},
        ot::extension::{
            BATCH_SIZE, EXTENDED_BATCH_SIZE, FieldElement, KAPPA, OT_SECURITY, OTEDataToSender, PRGOutput,
        },
    },
};
use k256::{
    AffinePoint, Scalar, Secp256k1,
    elliptic_curve::{ff::PrimeField, group::GroupEncoding},
};

const HASH: usize = 32;
const POINT: usize = 33;
const SCALAR: usize = 32;
const SALT: usize = 64;
const ROWS: usize = KAPPA as usize;
const ROW: usize = (EXTENDED_BATCH_SIZE / 8) as usize;
const CHECK: usize = (OT_SECURITY / 8) as usize;
const BATCH: usize = BATCH_SIZE as usize;
const WIDTH: usize = OT_WIDTH as usize;
const INPUTS: usize = L as usize;

pub(crate) type Phase1 = TransmitPhase1to2;
pub(crate) type Phase2 = TransmitPhase2to3<Secp256k1>;
pub(crate) type Phase3 = Broadcast3to4<Secp256k1>;

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A message of one session.
pub(crate) trait Message: Sized {
    /// How many bytes it has.
    const SIZE: usize;
    fn write(&self, out: &mut Vec<u8>);
    fn read(input: &mut Reader<'_>, parties: PartiesMessage) -> Result<Self, Malformed>;
}

/// The messages of all sessions of an attempt, one after another.
pub(crate) fn encode<M: Message>(messages: &[M]) -> Vec<u8> {
    let mut out = Vec::with_capacity(messages.len() * M::SIZE);
    for message in messages {
        message.write(&mut out);
    }
    debug_assert_eq!(out.len(), messages.len() * M::SIZE, "every field has a fixed width");
    out
}

/// Exactly `count` messages.
pub(crate) fn decode<M: Message>(
    bytes: &[u8],
    count: usize,
    parties: &PartiesMessage,
) -> Result<Vec<M>, Malformed> {
    if bytes.len() != count * M::SIZE {
        return Err(Malformed);
    }
    let mut reader = Reader(bytes);
    (0..count).map(|_| M::read(&mut reader, parties.clone())).collect()
}

pub(crate) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], Malformed> {
        let (field, rest) = self.0.split_first_chunk::<WIDTH>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*field)
    }

    fn scalar(&mut self) -> Result<Scalar, Malformed> {
        let bytes = self.array::<SCALAR>()?;
        Option::from(Scalar::from_repr(bytes.into())).ok_or(Malformed)
    }

    /// A point, and not the one at infinity: no honest seat comes upon that.
    fn point(&mut self) -> Result<AffinePoint, Malformed> {
        let bytes = self.array::<POINT>()?;
        let point: Option<AffinePoint> = AffinePoint::from_bytes(&bytes.into()).into();
        point.filter(|point| *point != AffinePoint::IDENTITY).ok_or(Malformed)
    }

    fn many<T>(
        &mut self,
        count: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        (0..count).map(|_| read(self)).collect()
    }
}

fn put_scalar(out: &mut Vec<u8>, scalar: &Scalar) {
    out.extend_from_slice(&scalar.to_repr());
}

fn put_point(out: &mut Vec<u8>, point: &AffinePoint) {
    out.extend_from_slice(&point.to_bytes());
}

impl Message for Phase1 {
    const SIZE: usize = 3 * HASH + ROWS * ROW + CHECK + ROWS * CHECK;

    fn write(&self, out: &mut Vec<u8>) {
        let OTEDataToSender { nonce, u, verify_x, verify_t } = &self.mul_transmit;
        out.extend_from_slice(&self.session_binding);
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(nonce);
        u.iter().for_each(|row| out.extend_from_slice(row));
        out.extend_from_slice(verify_x);
        verify_t.iter().for_each(|row| out.extend_from_slice(row));
    }

    fn read(input: &mut Reader<'_>, parties: PartiesMessage) -> Result<Self, Malformed> {
        let (session_binding, commitment, nonce) = (input.array()?, input.array()?, input.array()?);
        let u: Vec<PRGOutput> = input.many(ROWS, Reader::array)?;
        let verify_x: FieldElement = input.array()?;
        let verify_t: Vec<FieldElement> = input.many(ROWS, Reader::array)?;
        let mul_transmit = OTEDataToSender { nonce, u, verify_x, verify_t };
        Ok(Self { parties, session_binding, commitment, mul_transmit })
    }
}

impl Message for Phase2 {
    const SIZE: usize = 4 * POINT + SALT + 3 * HASH + SCALAR + WIDTH * BATCH * SCALAR + 2 * INPUTS * SCALAR;

    fn write(&self, out: &mut Vec<u8>) {
        let MulDataToReceiver { vector_of_tau, ote_salt, verify_r, verify_u, gamma_sender } =
            &self.mul_transmit;
        out.extend_from_slice(&self.session_binding);
        for point in [&self.gamma_u, &self.gamma_v, &self.public_share, &self.instance_point] {
            put_point(out, point);
        }
        put_scalar(out, &self.psi);
        out.extend_from_slice(&self.salt);
        vector_of_tau.iter().flatten().for_each(|scalar| put_scalar(out, scalar));
        out.extend_from_slice(ote_salt);
        out.extend_from_slice(verify_r);
        verify_u.iter().chain(gamma_sender).for_each(|scalar| put_scalar(out, scalar));
    }

    fn read(input: &mut Reader<'_>, parties: PartiesMessage) -> Result<Self, Malformed> {
        let session_binding = input.array()?;
        let (gamma_u, gamma_v) = (input.point()?, input.point()?);
        let (public_share, instance_point) = (input.point()?, input.point()?);
        let psi = input.scalar()?;
        let salt = input.array::<SALT>()?.to_vec();
        let vector_of_tau = input.many(WIDTH, |input| input.many(BATCH, Reader::scalar))?;
        let (ote_salt, verify_r) = (input.array()?, input.array()?);
        let verify_u = input.many(INPUTS, Reader::scalar)?;
        let gamma_sender = input.many(INPUTS, Reader::scalar)?;
        let mul_transmit = MulDataToReceiver { vector_of_tau, ote_salt, verify_r, verify_u, gamma_sender };
        Ok(Self {
            parties,
            session_binding,
            gamma_u,
            gamma_v,
            psi,
            public_share,
            instance_point,
            salt,
            mul_transmit,
        })
    }
}

impl Message for Phase3 {
    const SIZE: usize = 2 * SCALAR;

    fn write(&self, out: &mut Vec<u8>) {
        put_scalar(out, &self.u);
        put_scalar(out, &self.w);
    }

    fn read(input: &mut Reader<'_>, _parties: PartiesMessage) -> Result<Self, Malformed> {
        Ok(Self { u: input.scalar()?, w: input.scalar()? })
    }
}

/// The fields of a message, each with where it begins and ends: for tests that change one.
#[cfg(test)]
pub(crate) fn fields(round: u8) -> Vec<(&'static str, std::ops::Range<usize>)> {
    let widths: &[(&str, usize)] = match round {
        1 => &[
            ("session_binding", HASH),
            ("commitment", HASH),
            ("nonce", HASH),
            ("u", ROWS * ROW),
            ("verify_x", CHECK),
            ("verify_t", ROWS * CHECK),
        ],
        2 => &[
            ("session_binding", HASH),
            ("gamma_u", POINT),
            ("gamma_v", POINT),
            ("public_share", POINT),
            ("instance_point", POINT),
            ("psi", SCALAR),
            ("salt", SALT),
            ("tau", WIDTH * BATCH * SCALAR),
            ("ote_salt", HASH),
            ("verify_r", HASH),
            ("verify_u", INPUTS * SCALAR),
            ("gamma_sender", INPUTS * SCALAR),
        ],
        _ => &[("u", SCALAR), ("w", SCALAR)],
    };
    let mut at = 0;
    let place = |(name, width): &(&'static str, usize)| {
        at += width;
        (*name, at - width..at)
    };
    widths.iter().map(place).collect()
}
