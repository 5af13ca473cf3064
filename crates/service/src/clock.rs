//! This machine's clock: what programs hand to all that goes by time.

use std::time::{Duration, SystemTime};

/// Since the Unix epoch.
pub fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
