//! The program, as a person or another program uses it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

#[cfg(feature = "node")]
mod actions;
#[cfg(feature = "node")]
mod busy;
mod cli;
mod completion;
#[cfg(feature = "node")]
mod configure;
mod coordination;
mod deploy;
mod docs;
mod doctor;
mod document;
mod explain;
#[cfg(feature = "node")]
#[path = "../fleet/mod.rs"]
mod fleet;
#[cfg(feature = "node")]
mod garbled;
#[cfg(feature = "node")]
mod history;
#[cfg(target_os = "linux")]
mod hostile;
mod liars;
#[cfg(feature = "node")]
#[path = "../lives/mod.rs"]
mod lives;
#[cfg(feature = "node")]
mod maintain;
#[cfg(feature = "node")]
mod maintaining;
#[cfg(feature = "node")]
mod members;
mod network;
#[cfg(feature = "node")]
mod observing;
mod propose;
#[cfg(feature = "node")]
#[path = "../proving/mod.rs"]
mod proving;
#[cfg(feature = "node")]
mod resumed;
#[cfg(feature = "node")]
mod servers;
#[cfg(unix)]
mod share;
#[cfg(feature = "node")]
mod start;
mod support;
#[cfg(feature = "node")]
mod troubles;
mod watch;
