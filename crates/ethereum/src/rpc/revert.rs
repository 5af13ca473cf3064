//! Finding revert data in a JSON-RPC error.
//!
//! Every client has its own shape for it: the bytes as a hex string (geth, reth, Erigon, Besu, current Nethermind), behind
//! the word `Reverted` (earlier Nethermind), or inside an object (hosted endpoints, test chains).

use alloy::primitives::{Bytes, hex};
use serde_json::Value;

/// Where an object may hold revert data, in the order of trust.
const FIELDS: [&str; 5] = ["data", "originalError", "error", "return", "result"];
/// How deep objects may be nested.
const DEPTH: usize = 4;

/// What a contract reverted with, read from a JSON-RPC error's parts: `None` when the error isn't a revert, empty bytes
/// when the contract gave no reason (or the client doesn't show it).
pub fn revert_of(code: i64, message: &str, data: Option<&str>) -> Option<Bytes> {
    let data: Option<Value> = data.and_then(|text| serde_json::from_str(text).ok());
    if let Some(bytes) = data.as_ref().and_then(|data| find(data, DEPTH)).filter(|bytes| !bytes.is_empty()) {
        return Some(bytes);
    }
    let says_revert = |text: &str| text.to_ascii_lowercase().contains("revert");
    // 3 is the code of a revert in geth and those that follow it.
    let reverted =
        code == 3 || says_revert(message) || matches!(&data, Some(Value::String(text)) if says_revert(text));
    reverted.then(Bytes::new)
}

fn find(value: &Value, depth: usize) -> Option<Bytes> {
    match value {
        Value::String(text) => {
            let digits = text.strip_prefix("Reverted ").unwrap_or(text).strip_prefix("0x")?;
            hex::decode(digits).ok().map(Bytes::from)
        }
        Value::Object(fields) => {
            let depth = depth.checked_sub(1)?;
            FIELDS.iter().filter_map(|name| fields.get(*name)).find_map(|inner| find(inner, depth))
        }
        _ => None,
    }
}
