//! Step 3: no transaction of the wallet waits for its proof.
//!
//! While one does, the Bridge's record of the wallet is behind what the wallet has signed. It shows in the main UTXO: that is
//! spent. A wallet without one can have signed nothing but a sweep, and a sweep spends what only the wallet can: its revealed
//! deposits, and funds that others have moved to it. None waits if all of those are unspent or were never there.

use std::{collections::BTreeMap, time::Duration};

use coxswain_bitcoin::{Backend, Output};
use coxswain_ethereum::{DepositReveal, Revealed, SnapshotKeys};
use coxswain_rules::{
    Case, DepositExtraInfo, DepositKey, DepositRecord, DepositScript, Objection, OutPoint, Snapshot, Subject,
    Utxo, WalletRecord,
    units::{BlockNumber, Blocks, UnixTime},
    wallet_script,
};

use super::Obstacle;
use crate::{Session, SessionError, session::reads::EARLIER_SEARCHES};

/// How many deposits of a wallet without a main UTXO are looked at: with the wallet, seven calls read them.
const MOST_DEPOSITS: usize = 7 * 250 - 1;
/// How far back all events are read for such a wallet, in blocks: 30 days. An older one has swept long ago, or is looked at by
/// whoever keeps the events.
const MOST_BLOCKS: Blocks = Blocks(216_000);
/// How long before its refund time a spent deposit is taken to be the wallet's doing: Bitcoin's clock may be ahead.
const CLOCK_ALLOWANCE: Duration = Duration::from_secs(2 * 3600);

impl<B: Backend> Session<'_, B> {
    /// Takes the step.
    pub(super) async fn check_main_utxo(&mut self, case: &Case) -> Result<(), Obstacle> {
        if let Subject::Heartbeat(_) = case.subject {
            return Ok(());
        }
        match self.spent_main_utxo(case).await? {
            Some(main_utxo) => self.main_utxo_unspent(main_utxo).await,
            None => match self.own_spent().await? {
                Some(outpoint) => Err(Objection::OwnTransactionWaiting(outpoint).into()),
                None => Ok(()),
            },
        }
    }

    async fn main_utxo_unspent(&mut self, Utxo { outpoint, .. }: Utxo) -> Result<(), Obstacle> {
        let output = Output { outpoint, script: wallet_script(self.key_hash) };
        match self.unspent(&[output]).await?.pop() {
            Some(Ok(true)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(false)) | None => Err(Objection::MainUtxoSpent(outpoint).into()),
        }
    }

    /// An output that only the wallet can spend, and that is spent; `None` if there is none. For a wallet without a main UTXO:
    /// a transaction of its own waits for its proof if there is one, and none if there is none.
    pub(crate) async fn own_spent(&mut self) -> Result<Option<OutPoint>, SessionError> {
        if self.none_waits {
            return Ok(None);
        }
        let record = self.record().await?;
        let spent = match self.spent_deposit().await? {
            None => self.spent_moved_funds(&record).await?,
            spent => spent,
        };
        self.none_waits = spent.is_none();
        Ok(spent)
    }

    async fn spent_moved_funds(&mut self, record: &WalletRecord) -> Result<Option<OutPoint>, SessionError> {
        let outputs = self.moved_outputs(record).await?;
        for (Output { outpoint, .. }, unspent) in outputs.iter().zip(self.unspent(&outputs).await?) {
            if !unspent? {
                return Ok(Some(*outpoint));
            }
        }
        Ok(None)
    }

    async fn spent_deposit(&mut self) -> Result<Option<OutPoint>, SessionError> {
        let reveals = self.all_reveals().await?;
        let snapshot = self.snapshot_of_deposits(reveals.keys().copied()).await?;
        let mut unswept = Vec::new();
        for (outpoint, reveal) in reveals {
            let record = snapshot.deposit(DepositKey::new(outpoint))?;
            if record.swept_at == 0 {
                unswept.push((reveal, record.clone()));
            }
        }
        let outpoints: Vec<_> = unswept.iter().map(|(reveal, _)| reveal.outpoint).collect();
        let mut outputs = Vec::new();
        let mut refunds = Vec::new();
        for ((reveal, record), known) in unswept.iter().zip(self.transactions(&outpoints).await?) {
            // What was never there can't have been spent.
            let Some(known) = known? else { continue };
            let vout = usize::try_from(reveal.outpoint.vout).ok();
            let Some(output) = vout.and_then(|vout| known.transaction.output.get(vout)) else { continue };
            if is_deposit(&reveal.revealed, record, output.script_pubkey.as_bytes()) {
                outputs.push(Output { outpoint: reveal.outpoint, script: output.script_pubkey.clone() });
                refunds.push(UnixTime::from(u32::from_le_bytes(reveal.revealed.refund_locktime)));
            }
        }
        let answers = self.unspent(&outputs).await?;
        let refundable = self.block.timestamp.saturating_add(CLOCK_ALLOWANCE);
        let mut refunded = None;
        for ((Output { outpoint, .. }, refund), unspent) in outputs.into_iter().zip(refunds).zip(answers) {
            if unspent? {
                continue;
            }
            if refund > refundable {
                return Ok(Some(outpoint));
            }
            refunded = refunded.or(Some(outpoint));
        }
        refunded.map_or(Ok(None), |outpoint| Err(SessionError::SweptOrRefunded(outpoint)))
    }

    async fn snapshot_of_deposits(
        &mut self,
        outpoints: impl Iterator<Item = OutPoint>,
    ) -> Result<Snapshot, SessionError> {
        let deposits = outpoints.map(DepositKey::new).collect();
        self.snapshot(SnapshotKeys { deposits, ..SnapshotKeys::default() }).await
    }

    /// All deposits that were ever revealed to the wallet, but for those that were swept long ago.
    async fn all_reveals(&mut self) -> Result<BTreeMap<OutPoint, DepositReveal>, SessionError> {
        self.count_events();
        let (registered, head) = (self.registration().await?, self.block.number);
        let from = self.events.from_block();
        if registered < from {
            if head.saturating_since(registered) > MOST_BLOCKS {
                return Err(SessionError::EventsTooShort { from, needed: registered });
            }
            self.events = self.sources.events.extend_to(registered, self.block).await?;
        }
        let mut reveals = BTreeMap::new();
        for reveal in self.events.reveals(self.key_hash) {
            if reveal.at.block <= head && !self.memory.is_swept(reveal.outpoint) {
                reveals.insert(reveal.outpoint, reveal.clone());
            }
        }
        match reveals.len() {
            count if count > MOST_DEPOSITS => Err(SessionError::TooManyDeposits(count)),
            _ => Ok(reveals),
        }
    }

    /// The block in which the wallet was registered: nothing is older.
    async fn registration(&mut self) -> Result<BlockNumber, SessionError> {
        for _ in 0..=EARLIER_SEARCHES {
            let (wallet, head) = (self.key_hash, self.block.number);
            let registration = self.events.registration(wallet);
            if let Some(event) = registration.filter(|event| event.at.block <= head) {
                return Ok(event.at.block);
            }
            if !self.search_earlier().await? {
                break;
            }
        }
        Err(SessionError::RegistrationNotFound)
    }
}

/// Whether this script is the deposit's that was revealed so, so that the wallet can spend the output.
pub(super) fn is_deposit(revealed: &Revealed, record: &DepositRecord, script: &[u8]) -> bool {
    let extra_info = DepositExtraInfo {
        funding_transaction: coxswain_rules::FundingTransaction {
            version: [0; 4],
            input_vector: Vec::new(),
            output_vector: Vec::new(),
            locktime: [0; 4],
        },
        blinding_factor: revealed.blinding_factor,
        wallet: revealed.wallet,
        refund_key_hash: revealed.refund_key_hash,
        refund_locktime: revealed.refund_locktime,
    };
    DepositScript::new(record.depositor, record.extra_data, &extra_info).output_type(script).is_some()
}
