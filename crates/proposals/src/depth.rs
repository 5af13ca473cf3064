//! How deep an event must be in the Ethereum chain before a wallet acts on it: the contract can't see that.

use crate::Why;

/// How many blocks must stand on an event's block.
pub const EVENT_DEPTH: u64 = 32;

/// Why an event is not acted on yet; none when it is deep enough under `head`.
pub(crate) fn too_shallow(event: u64, head: u64) -> Option<Why> {
    let depth = head.saturating_sub(event);
    (depth < EVENT_DEPTH).then_some(Why::Shallow { depth })
}
