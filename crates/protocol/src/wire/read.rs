//! The Protocol Buffers wire format, read field by field without allocating.

use super::DecodeError;

/// Groups (which no message of ours has) may be nested this deep in what is skipped.
const MAX_DEPTH: usize = 100;
const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// What makes bytes malformed as Protocol Buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end within a field.
    #[error("it ends within a field")]
    Truncated,
    /// A varint doesn't fit into 64 bits.
    #[error("a varint exceeds 64 bits")]
    VarintTooLong,
    /// A field number is 0 or over 2²⁹ − 1.
    #[error("there can be no field {0}")]
    FieldNumber(u64),
    /// Wire types 6 and 7 don't exist.
    #[error("there is no wire type {0}")]
    WireType(u64),
    /// A group ends that didn't begin, or another one than began.
    #[error("a group ends as field {0}, which has not begun")]
    GroupEnd(u64),
    /// Groups in groups in groups.
    #[error("groups are nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// A field's value, as far as our messages use them.
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Iterates over a message's fields. Ends after the first error.
pub(super) struct Fields<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(message: &'static str, bytes: &'a [u8]) -> Self {
        Self { message, rest: bytes }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = field(&mut self.rest);
        if read.is_err() {
            self.rest = &[];
        }
        Some(read.map_err(|source| DecodeError::Malformed { message: self.message, source }))
    }
}

/// The integers of a packed field. Ends after the first error.
pub(super) fn packed<'a>(
    message: &'static str,
    mut rest: &'a [u8],
) -> impl Iterator<Item = Result<u64, DecodeError>> + 'a {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let read = varint(&mut rest);
        if read.is_err() {
            rest = &[];
        }
        Some(read.map_err(|source| DecodeError::Malformed { message, source }))
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), WireError> {
    let (number, wire_type) = tag(rest)?;
    let value = match wire_type {
        3 => {
            skip_group(rest, number)?;
            Value::Other
        }
        4 => return Err(WireError::GroupEnd(number)),
        scalar => value(rest, scalar)?,
    };
    Ok((number, value))
}

fn tag(rest: &mut &[u8]) -> Result<(u64, u64), WireError> {
    let tag = varint(rest)?;
    let number = tag >> 3;
    if number == 0 || number > MAX_FIELD_NUMBER {
        return Err(WireError::FieldNumber(number));
    }
    Ok((number, tag & 7))
}

fn value<'a>(rest: &mut &'a [u8], wire_type: u64) -> Result<Value<'a>, WireError> {
    match wire_type {
        0 => varint(rest).map(Value::Varint),
        1 => take(rest, 8).map(|_| Value::Other),
        2 => {
            let length = varint(rest)?;
            take(rest, length).map(Value::Bytes)
        }
        5 => take(rest, 4).map(|_| Value::Other),
        other => Err(WireError::WireType(other)),
    }
}

fn skip_group(rest: &mut &[u8], number: u64) -> Result<(), WireError> {
    let mut open = [0; MAX_DEPTH];
    let mut depth = 0;
    let mut begun = number;
    loop {
        *open.get_mut(depth).ok_or(WireError::TooDeep)? = begun;
        depth += 1;
        begun = loop {
            match tag(rest)? {
                (number, 3) => break number,
                (number, 4) => {
                    depth -= 1;
                    if open.get(depth) != Some(&number) {
                        return Err(WireError::GroupEnd(number));
                    }
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (_, scalar) => {
                    value(rest, scalar)?;
                }
            }
        };
    }
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], WireError> {
    let taken = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, left) = taken.ok_or(WireError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first().ok_or(WireError::Truncated)?;
        *rest = left;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(WireError::VarintTooLong);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(WireError::VarintTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<u64>, DecodeError> {
        Fields::new("test", bytes).map(|field| field.map(|(number, _)| number)).collect()
    }

    fn malformed(bytes: &[u8]) -> WireError {
        match read(bytes) {
            Err(DecodeError::Malformed { message: "test", source }) => source,
            other => panic!("{other:?}"),
        }
    }

    fn varint_of(mut bytes: &[u8]) -> Result<u64, WireError> {
        varint(&mut bytes)
    }

    #[test]
    fn varints_hold_64_bits_and_no_more() {
        let mut bytes = [0xff; 10];
        bytes[9] = 1;
        assert_eq!(varint_of(&bytes), Ok(u64::MAX));
        bytes[9] = 2;
        assert_eq!(varint_of(&bytes), Err(WireError::VarintTooLong));
        bytes[9] = 0x81;
        assert_eq!(varint_of(&bytes), Err(WireError::VarintTooLong));
        assert_eq!(varint_of(&[0x80]), Err(WireError::Truncated));
        assert_eq!(varint_of(&[0x80, 0]), Ok(0), "longer than needed is allowed");
    }

    #[test]
    fn every_wire_type_is_skipped_by_its_length() {
        let groups = [0x0b, 0x13, 0x18, 5, 0x14, 0x0c];
        let bytes = [&[0x08, 1, 0x11][..], &[0; 8], &[0x1a, 2, 9, 9, 0x25], &[0; 4], &groups].concat();
        assert_eq!(read(&bytes).unwrap(), [1, 2, 3, 4, 1]);
        assert_eq!(malformed(&[0x08]), WireError::Truncated);
        assert_eq!(malformed(&[0x09, 0, 0, 0, 0, 0, 0, 0]), WireError::Truncated);
        assert_eq!(malformed(&[0x0a, 2, 0]), WireError::Truncated);
        assert_eq!(malformed(&[0x0d, 0, 0, 0]), WireError::Truncated);
        assert_eq!(malformed(&[0x0e]), WireError::WireType(6));
        assert_eq!(malformed(&[0x0f]), WireError::WireType(7));
    }

    #[test]
    fn field_numbers_are_1_to_2_to_the_29_less_1() {
        assert_eq!(malformed(&[0x00, 0]), WireError::FieldNumber(0));
        assert_eq!(read(&[0xf8, 0xff, 0xff, 0xff, 0x0f, 0]).unwrap(), [MAX_FIELD_NUMBER]);
        assert_eq!(
            malformed(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]),
            WireError::FieldNumber(MAX_FIELD_NUMBER + 1)
        );
    }

    #[test]
    fn groups_must_match_and_not_nest_too_deep() {
        assert_eq!(malformed(&[0x0c]), WireError::GroupEnd(1));
        assert_eq!(malformed(&[0x0b, 0x14]), WireError::GroupEnd(2));
        assert_eq!(malformed(&[0x0b]), WireError::Truncated);
        let nested = |depth| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        assert_eq!(read(&nested(MAX_DEPTH)).unwrap(), [1]);
        assert_eq!(malformed(&nested(MAX_DEPTH + 1)), WireError::TooDeep);
    }
}
