//! The Protocol Buffers wire format, written in field order with default values left out.

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// An integer field, left out when zero.
pub(super) fn uint(out: &mut Vec<u8>, number: u64, value: u64) {
    if value != 0 {
        varint(out, number << 3);
        varint(out, value);
    }
}

/// A bytes field, left out when empty.
pub(super) fn bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    if !value.is_empty() {
        item(out, number, value);
    }
}

/// A sub-message, or one item of a repeated bytes field: present even when empty.
pub(super) fn item(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A packed repeated integer field, left out when it has no items.
pub(super) fn packed(out: &mut Vec<u8>, number: u64, values: impl Iterator<Item = u64>) {
    let mut items = Vec::new();
    values.for_each(|value| varint(&mut items, value));
    bytes(out, number, &items);
}
