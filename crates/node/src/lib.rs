//! A running operator: joins chain, network, journal and coordination.

pub mod actions;
mod advisor;
pub mod channel;
mod configuration;
mod journal;
mod links;
mod start;

pub use advisor::SessionAdvisor;
pub use configuration::{
    AdmissionSetting, BitcoinSettings, Configuration, EthereumSettings, JournalSettings, NetworkSettings,
    WalletSettings,
};
pub use journal::WindowJournal;
pub use links::WalletChannel;
pub use start::{StartError, start};
