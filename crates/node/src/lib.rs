//! A running operator: joins chain, network, journal and coordination.
//!
//! ```
//! use coxswain_node::Configuration;
//! use coxswain_service::configuration::Layers;
//!
//! // A configuration that lacks something, or has something unknown, says which key.
//! let mut layers = Layers::default();
//! layers.flag("--journal", "journal", "paht", "a.db");
//! assert!(layers.read::<Configuration>().unwrap_err().to_string().contains("paht"));
//! ```

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
mod kept;
pub mod left_out;
mod links;
mod page;
mod proposed;
mod records;
#[cfg(feature = "proven")]
pub mod replay;
mod shown;
mod signer;
mod standing;
mod start;
mod summaries;
pub mod template;
#[cfg(all(unix, feature = "threshold"))]
mod threshold;
pub mod troubles;
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
