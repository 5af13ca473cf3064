//! A log as it is kept between two runs of a program, with what tells whether the next run may go on with it.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};
use coxswain_rules::units::BlockNumber;
use serde::{Deserialize, Serialize};

use super::{event, log::EventLog};
use crate::{error::ChainError, panel::Panel, rpc::Endpoints};

/// A log that was kept. It is as much to be believed as those who told it: the next run goes on with it only if it asks the same
/// servers, as many of them said each part of it as must today, and their chain is the one that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLog {
    pub(super) log: EventLog,
    /// A block of the chain that was read: if possible one that does not change any more.
    pub(super) block: (BlockNumber, B256),
    /// The kinds of events that were asked for: another version of the program may know more.
    pub(super) kinds: Vec<B256>,
    /// The servers that were asked, by their names.
    pub(super) servers: BTreeSet<String>,
    /// How many of them said what fewest did.
    pub(super) said_by: usize,
}

/// A kept log that may be gone on with.
#[derive(Clone, Debug)]
pub struct CheckedLog(pub(super) KeptLog);

/// Why a kept log is not gone on with: everything is read anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotResumed {
    /// It is another contract's.
    #[error("it is of the Bridge {0}")]
    OtherBridge(Address),
    /// Other kinds of events were asked for.
    #[error("other kinds of events were asked for")]
    OtherKinds,
    /// Others have told it.
    #[error("other servers have told it")]
    OtherServers,
    /// Too few have told it.
    #[error("a part of it is told by {said_by} servers, and {required} must agree")]
    TooFew {
        /// How many have.
        said_by: usize,
        /// How many must.
        required: usize,
    },
    /// It is of another chain, or of a branch that was left.
    #[error("block {0} is another one now")]
    OtherChain(BlockNumber),
    /// It can't be told.
    #[error("it can't be told whether it is of this chain")]
    Untold(#[source] ChainError),
}

impl KeptLog {
    /// Checks whether these servers' chain is the one that was read, and whether enough of them have told it. One block is asked
    /// for.
    ///
    /// # Errors
    /// If not, or if that can't be told.
    pub async fn check(
        &self,
        panel: &Panel,
        endpoints: &Endpoints,
        bridge: Address,
    ) -> Result<CheckedLog, NotResumed> {
        if self.log.bridge() != bridge {
            return Err(NotResumed::OtherBridge(self.log.bridge()));
        }
        if self.kinds != event::all() {
            return Err(NotResumed::OtherKinds);
        }
        if self.servers != names(endpoints) {
            return Err(NotResumed::OtherServers);
        }
        // All that are configured, whether they have spoken by now or not.
        let quorum = endpoints.quorum();
        let required = quorum.required(quorum.servers());
        if self.said_by < required {
            return Err(NotResumed::TooFew { said_by: self.said_by, required });
        }
        let (number, hash) = self.block;
        match panel.at_number(number).await {
            Ok(named) if named.header.hash() == hash => Ok(CheckedLog(self.clone())),
            Ok(_) | Err(ChainError::NoBlock { .. }) => Err(NotResumed::OtherChain(number)),
            Err(error) => Err(NotResumed::Untold(error)),
        }
    }
}

impl CheckedLog {
    /// The log.
    pub const fn log(&self) -> &EventLog {
        &self.0.log
    }

    /// Without what does not last and is older than this block.
    #[must_use]
    pub fn forgetting_before(mut self, block: BlockNumber) -> Self {
        self.0.log.forget_before(block);
        self
    }
}

/// The names of the servers that are asked.
pub(super) fn names(endpoints: &Endpoints) -> BTreeSet<String> {
    endpoints.health().into_iter().map(|health| health.endpoint).collect()
}
