//! What the node joins together: actions on a journal, and channels on real sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod actions;
mod channel;
mod schedule;

use bitcoin::secp256k1::PublicKey;
use coxswain_network::Identity;

/// The key of a wallet.
fn wallet_key() -> PublicKey {
    let key = "0471e30bca60f6548d7b42582a478ea37ada63b402af7b3ddd57f0c95bb6843175aa0d2053a91a050a6797d85c38f2909cb7027f2344a01986aa2f9f8ca7a0c289";
    key.parse().unwrap()
}

/// Who an operator is.
fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32]).unwrap()
}
