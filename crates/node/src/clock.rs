//! This machine's clock.

use coxswain_rules::units::UnixTime;

/// The time by it.
pub(crate) fn now() -> UnixTime {
    UnixTime(coxswain_service::now().as_secs())
}
