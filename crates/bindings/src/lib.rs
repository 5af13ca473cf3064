//! Typed access to the contracts: generated from the ABI snapshots in `abi/`, which `node tools/abi.mjs` writes.
//! Nothing here is by hand but re-exports.

// What the generator writes is not ours to word.
#![allow(missing_docs, clippy::too_many_arguments)]

/// tBTC's Bridge: the parts that are read, awaited or called.
pub mod bridge {
    alloy::sol!(
        #[sol(rpc, all_derives)]
        Bridge,
        "abi/Bridge.json"
    );

    pub use self::{
        BitcoinTx::{Info, Proof, UTXO},
        Deposit::{DepositRequest, DepositRevealInfo},
        MovingFunds::MovedFundsSweepRequest,
        Redemption::RedemptionRequest,
        Wallets::Wallet,
    };
}

/// Our validator: its structs, its calls, and what it rejects with.
pub mod validator {
    alloy::sol!(
        #[sol(rpc, all_derives)]
        WalletProposalValidator,
        "abi/WalletProposalValidator.json"
    );

    pub use self::{IWalletProposalValidator::*, WalletProposalValidator::WalletProposalValidatorErrors};
}

/// What reads the Bridge's state in one call: its creation code, and what that takes.
pub mod snapshot {
    alloy::sol!(
        #[sol(all_derives)]
        BridgeSnapshot,
        "abi/BridgeSnapshot.json"
    );
}

/// The wallet registry, as far as a wallet's signing group and an operator's stake are read.
pub mod registry {
    alloy::sol!(
        #[sol(all_derives)]
        WalletRegistry,
        "abi/WalletRegistry.json"
    );

    alloy::sol!(
        #[sol(all_derives)]
        EcdsaSortitionPool,
        "abi/EcdsaSortitionPool.json"
    );
}

pub use bridge::Bridge;
pub use snapshot::BridgeSnapshot;
pub use validator::WalletProposalValidator;
