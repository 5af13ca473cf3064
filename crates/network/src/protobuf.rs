//! Protocol Buffers, as little as the network needs: fields one after another, each with its bytes as they came.
//!
//! Go verifies signatures over fields that it doesn't know, byte for byte. A decoder that drops them can't.

/// Bytes that are not Protocol Buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protocol buffer")]
pub struct ProtobufError;

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    /// The whole field as it came, key included.
    pub(crate) raw: &'a [u8],
}

/// What a field holds. Groups and fixed numbers are only ever skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, in order. Ends after the first error.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn field(&mut self) -> Result<Field<'a>, ProtobufError> {
        let start = self.0;
        let (number, wire_type) = key(&mut self.0)?;
        let value = match wire_type {
            0 => Value::Varint(varint(&mut self.0)?),
            2 => Value::Bytes(delimited(&mut self.0)?),
            _ => {
                skip(&mut self.0, wire_type)?;
                Value::Other
            }
        };
        let raw = start.get(..start.len() - self.0.len()).ok_or(ProtobufError)?;
        Ok(Field { number, value, raw })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn key(bytes: &mut &[u8]) -> Result<(u64, u64), ProtobufError> {
    let key = varint(bytes)?;
    let number = key >> 3;
    if number == 0 || number > 0x1fff_ffff {
        return Err(ProtobufError);
    }
    Ok((number, key & 7))
}

/// Skips what follows a key of this wire type. Groups nest: their depth is counted, not recursed into.
fn skip(bytes: &mut &[u8], wire_type: u64) -> Result<(), ProtobufError> {
    let mut depth = 0_usize;
    let mut wire_type = wire_type;
    loop {
        match wire_type {
            0 => drop(varint(bytes)?),
            1 => drop(take(bytes, 8)?),
            2 => drop(delimited(bytes)?),
            3 => depth += 1,
            4 => depth = depth.checked_sub(1).ok_or(ProtobufError)?,
            5 => drop(take(bytes, 4)?),
            _ => return Err(ProtobufError),
        }
        if depth == 0 {
            return Ok(());
        }
        (_, wire_type) = key(bytes)?;
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], ProtobufError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(ProtobufError)?;
    *bytes = rest;
    Ok(taken)
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], ProtobufError> {
    let length = usize::try_from(varint(bytes)?).map_err(|_| ProtobufError)?;
    take(bytes, length)
}

/// Reads an unsigned varint: at most ten bytes, padded or not, as Go does.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(ProtobufError)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ProtobufError)
}

/// Writes an unsigned varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes a field of bytes, also if it is empty.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, ProtobufError> {
        Fields::new(bytes).map(|field| field.map(|field| (field.number, field.raw.to_vec()))).collect()
    }

    #[test]
    fn each_field_comes_with_its_bytes() {
        // A varint that is padded, bytes, a 64-bit number, a group that holds a group, a 32-bit number.
        let parts: [&[u8]; 5] = [
            &[0x08, 0x81, 0x00],
            &[0x12, 0x02, 0xaa, 0xbb],
            &[0x19, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x23, 0x08, 0x01, 0x2b, 0x2c, 0x24],
            &[0x2d, 1, 2, 3, 4],
        ];
        let read = fields(&parts.concat()).unwrap();
        let expected: Vec<_> = (1..).zip(parts.map(<[u8]>::to_vec)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_cut_or_has_no_such_type_is_malformed() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12, 0x02, 0xaa],
            &[0x19, 1],
            &[0x23],
            &[0x24],
            &[0x0e],
            &[0x00, 0x00],
        ] {
            assert_eq!(fields(bytes), Err(ProtobufError), "{bytes:02x?}");
        }
        assert_eq!(varint(&mut &[0xff; 11][..]), Err(ProtobufError));
    }

    #[test]
    fn varints_are_read_as_they_are_written() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(varint(&mut &out[..]), Ok(value));
        }
    }
}
