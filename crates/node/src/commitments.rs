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
    /// The wallets for which they can be.
    memberships: Arc<BTreeMap<KeyHash, Membership>>,
    waiting: mpsc::Sender<(KeyHash, CommitmentDue)>,
    /// Those that are being sent.
    under_way: Arc<Mutex<BTreeSet<KeyHash>>>,
}

impl CommitmentDesk {
    /// A desk for these wallets, and what is asked for there.
    pub fn new(
        memberships: BTreeMap<KeyHash, Membership>,
    ) -> (Self, mpsc::Receiver<(KeyHash, CommitmentDue)>) {
        let (waiting, asked) = mpsc::channel(QUEUE);
        (Self { memberships: Arc::new(memberships), waiting, under_way: Arc::default() }, asked)
    }

    /// Has a wallet's commitment sent, unless that is under way. Returns whether it can be: if not, nobody need wait for it.
    pub fn submit(&self, wallet: KeyHash, due: &CommitmentDue) -> bool {
        if !self.memberships.contains_key(&wallet) {
            warn!(%wallet, "no commitment is sent: the ids of the wallet's members are not known, or nobody signs for it");
            return false;
        }
        let is_new = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(wallet);
        if is_new && self.waiting.try_send((wallet, due.clone())).is_err() {
            self.done(wallet);
        }
        true
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
                let Some(Membership { members, seat }) = desk.memberships.get(&wallet) else { continue };
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

#[cfg(test)]
mod tests {
    use bitcoin::{Amount, OutPoint};
    use coxswain_rules::Utxo;

    use super::*;

    #[test]
    fn nobody_waits_for_a_commitment_that_is_not_sent() {
        let (ours, other) = (KeyHash([1; 20]), KeyHash([2; 20]));
        let main_utxo = Utxo { outpoint: OutPoint::null(), value: Amount::from_sat(1) };
        let due = CommitmentDue { main_utxo, targets: Vec::new() };
        let membership = Membership { members: vec![11, 12, 13], seat: 1 };
        let (desk, mut asked) = CommitmentDesk::new([(ours, membership)].into());
        assert!(!desk.submit(other, &due));
        assert!(desk.submit(ours, &due) && desk.submit(ours, &due));
        assert_eq!(asked.try_recv().map(|(wallet, _)| wallet), Ok(ours));
        asked.try_recv().unwrap_err();
    }
}
