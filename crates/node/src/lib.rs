//! A running operator: joins chain, network, journal and coordination.

pub mod actions;
mod advisor;
mod blamed;
pub mod channel;
mod clock;
mod commitments;
mod configuration;
mod error;
mod groups;
pub mod import;
pub mod inquiry;
mod journal;
mod links;
mod page;
mod records;
#[cfg(feature = "proven")]
pub mod replay;
mod shown;
mod start;
pub mod template;
mod wallets;
mod watch;

pub use advisor::SessionAdvisor;
pub use commitments::{CommitmentDesk, Membership};
pub use configuration::{
    AdmissionSetting, BitcoinSettings, Configuration, EthereumSettings, JournalSettings, NetworkSettings,
    SigningSettings, WalletSettings,
};
pub use error::StartError;
pub use journal::WindowJournal;
pub use links::WalletChannel;
pub use records::{SentTransactions, SignedFor};
pub use start::{account, start};
