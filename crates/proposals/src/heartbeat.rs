//! The message that proves a wallet alive.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use coxswain_rules::{HeartbeatProposal, KeyHash, units::BlockNumber};

/// What the wallet signs at this block: it begins as no sighash preimage can, and no two blocks' messages are alike.
pub fn heartbeat(wallet: KeyHash, block: BlockNumber) -> HeartbeatProposal {
    let mut engine = sha256::Hash::engine();
    engine.input(&wallet.0);
    engine.input(&block.0.to_be_bytes());
    let digest = sha256::Hash::from_engine(engine).to_byte_array();
    HeartbeatProposal { message: [0xff; 8].into_iter().chain(digest.into_iter().take(8)).collect() }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    #[test]
    fn the_message_is_the_documented_one() {
        // (printf 8db50eb52063ea9d98b3eac91489a90f738986f6; printf %016x 900) | xxd -r -p | sha256sum
        let wallet = KeyHash(hex!("8db50eb52063ea9d98b3eac91489a90f738986f6"));
        assert_eq!(
            hex::encode(heartbeat(wallet, BlockNumber(900)).message),
            "ffffffffffffffffa2178a6e2196f5e1"
        );
    }
}
