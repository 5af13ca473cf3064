//! Retiring wallets' commitments: each is sent once, by one account, while its leader waits for it to show.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::Address;
use coxswain_ethereum::submit::{SentLog, SubmitError, Submitter, commitment_call};
use coxswain_proposals::CommitmentDue;
use coxswain_rules::KeyHash;
use coxswain_service::tasks::{Failure, Stop};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{info, warn};

/// How many commitments may wait to be sent: one of each wallet.
const QUEUE: usize = 256;

/// Who we are in a wallet, as the Bridge asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The ids of all seats in the sortition pool, seat 1 first.
    pub members: Vec<u32>,
    /// Our first seat.
    pub seat: u8,
}

/// Asks for commitments to be sent.
#[derive(Clone, Debug)]
pub struct CommitmentDesk {
    waiting: mpsc::Sender<(KeyHash, CommitmentDue)>,
    /// Those that are being sent.
    under_way: Arc<Mutex<BTreeSet<KeyHash>>>,
}

impl CommitmentDesk {
    /// A desk, and what is asked for there.
    pub fn new() -> (Self, mpsc::Receiver<(KeyHash, CommitmentDue)>) {
        let (waiting, asked) = mpsc::channel(QUEUE);
        (Self { waiting, under_way: Arc::default() }, asked)
    }

    /// Has a wallet's commitment sent, unless that is under way.
    pub fn submit(&self, wallet: KeyHash, due: &CommitmentDue) {
        let is_new = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(wallet);
        if is_new && self.waiting.try_send((wallet, due.clone())).is_err() {
            self.done(wallet);
        }
    }

    fn done(&self, wallet: KeyHash) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&wallet);
    }
}

/// Sends what is asked for, until told to stop: what was signed by then is recorded, and may be mined.
///
/// # Errors
/// If a sending panics.
pub(crate) async fn submit<L: SentLog + 'static>(
    submitter: Arc<Submitter<L>>,
    bridge: Address,
    memberships: BTreeMap<KeyHash, Membership>,
    desk: CommitmentDesk,
    mut asked: mpsc::Receiver<(KeyHash, CommitmentDue)>,
    mut stop: Stop,
) -> Result<(), Failure> {
    let mut sending = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.requested() => break,
            Some(sent) = sending.join_next() => desk.done(sent?),
            asked = asked.recv() => {
                let Some((wallet, due)) = asked else { break };
                let Some(Membership { members, seat }) = memberships.get(&wallet) else {
                    warn!(%wallet, "no commitment is sent: the ids of the wallet's members are not known");
                    desk.done(wallet);
                    continue;
                };
                let call = commitment_call(bridge, wallet, due.main_utxo, members, *seat, &due.targets);
                let submitter = Arc::clone(&submitter);
                sending.spawn(async move {
                    match submitter.send(&call).await {
                        Ok(mined) => info!(%wallet, transaction = %mined.hash, "the wallet has committed"),
                        Err(error @ SubmitError::WouldRevert(_)) => {
                            info!(%wallet, %error, "no commitment is sent: another member may have");
                        }
                        Err(error) => warn!(%wallet, %error, "the wallet's commitment was not sent"),
                    }
                    wallet
                });
            }
        }
    }
    sending.shutdown().await;
    Ok(())
}
