//! What the `coxswain` program does, as a library: the demo and the tests go the same way as a person at the terminal.

pub mod arguments;
mod completion;
#[cfg(feature = "node")]
pub mod configure;
pub mod coordination;
pub mod doctor;
pub mod document;
pub mod explain;
pub mod group;
mod hints;
#[cfg(feature = "node")]
pub mod history;
pub mod judging;
pub mod leader;
#[cfg(feature = "node")]
pub mod network;
pub mod page;
pub mod propose;
#[cfg(feature = "node")]
pub mod prove;
#[cfg(all(feature = "node", feature = "proven"))]
pub mod replay;
pub mod report;
#[cfg(unix)]
pub mod share;
pub mod simulate;
#[cfg(feature = "node")]
pub mod start;
pub mod terminal;
pub mod validate;
mod values;
mod variables;
pub mod verdict;
pub mod watch;
pub mod window;

pub use document::{Document, DocumentError};
pub use explain::{Explanation, explain};
pub use judging::{Target, ValidateError};
pub use report::Report;
pub use validate::validate;
pub use verdict::VerdictReport;
