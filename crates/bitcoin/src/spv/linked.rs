//! Checks that headers are linked, and that each has the work that it names.

use bitcoin::block::Header;

/// A header that doesn't hold. `index` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It doesn't stand on the one before.
    #[error("header {index} does not stand on the one before")]
    Unlinked {
        /// Which one.
        index: usize,
    },
    /// Its hash doesn't meet the target that it names.
    #[error("header {index} does not meet its target")]
    NoWork {
        /// Which one.
        index: usize,
    },
}

pub(super) fn check_links(headers: &[Header]) -> Result<(), LinkError> {
    let mut parent = None;
    for (index, header) in headers.iter().enumerate() {
        let hash = header.block_hash();
        if !header.target().is_met_by(hash) {
            return Err(LinkError::NoWork { index });
        }
        if parent.is_some_and(|parent| parent != header.prev_blockhash) {
            return Err(LinkError::Unlinked { index });
        }
        parent = Some(hash);
    }
    Ok(())
}
