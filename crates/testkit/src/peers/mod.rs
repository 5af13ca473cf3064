//! Real Bitcoin peers that follow a [`Regtest`](crate::Regtest) chain: btcd, and ElectrumX on top of it.
//!
//! `make test-peers` installs them under `target/tools`.

mod btcd;
mod electrumx;

use std::{path::PathBuf, time::Duration};

use tokio::time::{Instant, sleep};

pub use self::{btcd::Btcd, electrumx::ElectrumX};
use crate::{Error, artifacts::root};

/// How long a peer may take to start, or to follow.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A program that `make test-peers` installs.
fn tool(path: &str) -> PathBuf {
    root().join("target/tools").join(path)
}

/// Waits until it is so.
async fn until(what: &'static str, is_so: impl AsyncFn() -> bool) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        if Instant::now() > deadline {
            return Err(Error::Late { what, patience: PATIENCE });
        }
        sleep(POLL).await;
    }
    Ok(())
}
