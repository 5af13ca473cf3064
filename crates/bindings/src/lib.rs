//! Typed access to the contracts: generated from the ABI snapshots in `abi/`, which `node tools/abi.mjs` writes.
//! Nothing here is by hand but re-exports.
//!
//! ```
//! use alloy::sol_types::SolCall;
//! use coxswain_bindings::validator::{HeartbeatProposal, WalletProposalValidator::validateHeartbeatProposalCall};
//!
//! let proposal = HeartbeatProposal { walletPubKeyHash: [1; 20].into(), message: [0xff; 16].into() };
//! let call = validateHeartbeatProposalCall { proposal }.abi_encode();
//! assert_eq!(call[..4], validateHeartbeatProposalCall::SELECTOR);
//! ```

// What the generator writes is not ours to word.
#![allow(missing_docs, clippy::too_many_arguments)]

/// tBTC's Bridge: the parts that are read, awaited or called.
pub mod bridge {
    alloy::sol!(
        #[sol(all_derives)]
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

/// What authorised maintainers send SPV proofs through: it refunds their gas.
pub mod maintainer_proxy {
    alloy::sol!(
        #[sol(all_derives)]
        MaintainerProxy,
        "abi/MaintainerProxy.json"
    );
}

/// What knows Bitcoin's difficulty, and the proxy that refunds the gas of telling it.
pub mod relay {
    alloy::sol!(
        #[sol(all_derives)]
        LightRelay,
        "abi/LightRelay.json"
    );

    alloy::sol!(
        #[sol(all_derives)]
        LightRelayMaintainerProxy,
        "abi/LightRelayMaintainerProxy.json"
    );
}

/// Our validator: its structs, its calls, and what it rejects with.
pub mod validator {
    alloy::sol!(
        #[sol(all_derives)]
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

/// The parts of the wallet registry that tell a wallet's signing group and an operator's stake.
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
pub use maintainer_proxy::MaintainerProxy;
pub use relay::{LightRelay, LightRelayMaintainerProxy};
pub use snapshot::BridgeSnapshot;
pub use validator::WalletProposalValidator;
