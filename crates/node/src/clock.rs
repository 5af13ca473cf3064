//! This machine's clock.

/// Unix seconds.
pub(crate) fn now() -> u64 {
    coxswain_service::now().as_secs()
}
