//! The Bridge's events: a log of those that wallets' actions follow from, and the reveals that a proposal names.

mod log;
mod reveal;

pub use log::{
    BridgeEvents, Commitment, CompletedMove, DepositReveal, NewWallet, RedemptionRequest, WalletTransaction,
};
pub use reveal::Revealed;
