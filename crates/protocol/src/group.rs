//! A wallet's signing group: which operator holds which seat, and who leads.

use std::{collections::BTreeSet, fmt, num::NonZeroU8};

use alloy_primitives::Address;

use crate::Seed;

/// The most seats that a wallet can have.
pub const MAX_SEATS: usize = 255;

/// A seat in a wallet's final signing group, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Seat(NonZeroU8);

impl Seat {
    /// The seat's number, 1 to 255.
    pub const fn number(self) -> u8 {
        self.0.get()
    }
}

/// A number that no seat has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("there is no seat {0}, seats are 1 to 255")]
pub struct SeatError(pub u64);

impl TryFrom<u64> for Seat {
    type Error = SeatError;

    fn try_from(number: u64) -> Result<Self, SeatError> {
        u8::try_from(number).ok().and_then(NonZeroU8::new).map(Self).ok_or(SeatError(number))
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The operators of a wallet's final signing group (key generation's members less the misbehaved ones), by seat. At
/// least one, at most [`MAX_SEATS`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SigningGroup {
    holders: Vec<Address>,
    operators: Vec<Address>,
}

/// A number of seats that no signing group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing group of {0} seats, 1 to 255 allowed")]
pub struct GroupSizeError(pub usize);

impl SigningGroup {
    /// The group whose seats these operators hold, seat 1 first.
    pub fn new(holders: Vec<Address>) -> Result<Self, GroupSizeError> {
        if holders.is_empty() || holders.len() > MAX_SEATS {
            return Err(GroupSizeError(holders.len()));
        }
        let distinct: BTreeSet<_> =
            holders.iter().map(|holder| holder.to_checksum(None)).zip(&holders).collect();
        let operators = distinct.into_iter().map(|(_, operator)| *operator).collect();
        Ok(Self { holders, operators })
    }

    /// The holders, seat 1 first.
    pub fn holders(&self) -> &[Address] {
        &self.holders
    }

    /// The distinct operators in the byte order of their EIP-55 strings, where upper case sorts before lower case.
    pub fn operators(&self) -> &[Address] {
        &self.operators
    }

    /// Whether this operator holds a seat.
    pub fn contains(&self, operator: Address) -> bool {
        self.holders.contains(&operator)
    }

    /// Who holds this seat, if the group has it.
    pub fn holder(&self, seat: Seat) -> Option<Address> {
        self.holders.get(usize::from(seat.number()) - 1).copied()
    }

    /// The lowest-numbered seat of an operator: the one it leads through.
    pub fn first_seat(&self, operator: Address) -> Option<Seat> {
        // Seat 255 is the last: a range without an end would count beyond it.
        let mut seats = (1..=u8::MAX).zip(&self.holders);
        let number = seats.find_map(|(number, holder)| (*holder == operator).then_some(number))?;
        NonZeroU8::new(number).map(Seat)
    }

    /// The operators in the order that the seed shuffles them into. The first one leads.
    pub fn shuffled(&self, seed: Seed) -> Vec<Address> {
        let mut operators = self.operators.clone();
        seed.generator().shuffle(&mut operators);
        operators
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn seats_are_1_to_255() {
        for number in [0, 256, u64::MAX] {
            assert_eq!(Seat::try_from(number), Err(SeatError(number)));
        }
        for number in [1, 255] {
            assert_eq!(u64::from(Seat::try_from(number).unwrap().number()), number);
        }
    }

    #[test]
    fn groups_have_1_to_255_seats() {
        let of = |size| SigningGroup::new(vec![Address::ZERO; size]).map(|group| group.holders().len());
        assert_eq!((of(0), of(256)), (Err(GroupSizeError(0)), Err(GroupSizeError(256))));
        assert_eq!((of(1), of(255)), (Ok(1), Ok(255)));
    }

    #[test]
    fn the_holder_of_the_last_seat_is_found() {
        let mut holders = vec![Address::ZERO; 255];
        *holders.last_mut().unwrap() = Address::repeat_byte(1);
        let group = SigningGroup::new(holders).unwrap();
        assert_eq!(group.first_seat(Address::repeat_byte(1)), Some(Seat::try_from(255).unwrap()));
        assert_eq!(group.first_seat(Address::repeat_byte(2)), None);
    }

    #[test]
    fn operators_are_distinct_and_sorted_as_checksummed_strings_not_as_numbers() {
        // 0xE0… sorts before 0xa4…, which is the smaller number.
        let high = address!("0xE09A33F4645552eAf737bB525Ae38ec01cC1066f");
        let low = address!("0xa40B91C808799AE616c25825866a03B7108A2167");
        let group = SigningGroup::new(vec![low, high, low]).unwrap();
        assert_eq!(group.operators(), [high, low]);
        assert!(low < high);
        let seat = |number: u64| Seat::try_from(number).unwrap();
        assert_eq!((group.first_seat(low), group.first_seat(high)), (Some(seat(1)), Some(seat(2))));
        assert_eq!(group.holder(seat(3)), Some(low));
        assert_eq!(group.holder(seat(4)), None);
        assert_eq!(group.first_seat(Address::ZERO), None);
    }
}
