//! Transactions that may be signed though we know no signature of them: others may complete one late, and no rule of ours can stop that.
//! So what is signed is recorded first, and watched for until one of the outputs that it spends is spent, six blocks deep. All
//! transactions of a wallet with a main UTXO spend that, so that one of them confirms at most. Until then a wallet without one signs only
//! what spends an output of each of them.

use std::{collections::BTreeSet, sync::Arc};

use alloy_primitives::Bytes;
use bitcoin::{
    OutPoint, ScriptBuf, Transaction, Txid,
    consensus::encode::{deserialize, serialize},
};
use coxswain_bitcoin::{Backend, BackendError, Output};
use coxswain_coordination::Tick;
use coxswain_rules::{
    KeyHash, UnsignedTransaction,
    units::{BlockNumber, Blocks, Confirmations, Height},
};
use coxswain_service::{
    journal::{AppendError, Fact, FactKey, Journal, ReadError, Reader},
    tasks::{Failure, Stop},
};
use coxswain_signing::{ActionId, Job};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tracing::{debug, error, info};

use super::spenders::{SpenderError, Spenders};

/// What is possibly signed, by wallet.
const TOPIC: &str = "possibly_signed";
/// How many of a wallet's are watched.
const MOST: usize = 16;
/// How often is looked for them.
const EVERY: Blocks = Blocks(10);
/// How deep what spends an output must be: the block that has it could be replaced, and what is forgotten could confirm after all.
/// The proof of a transaction takes as many blocks, so that a wallet loses no time.
const DEEP: Confirmations = Confirmations(6);

/// A transaction that may be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Possible {
    action: ActionId,
    /// The first block of the window that agreed on it. `None` in rows that were written before this was recorded.
    #[serde(default)]
    coordination_block: Option<BlockNumber>,
    /// As it was assembled, without signatures.
    unsigned: Bytes,
    /// The scripts of what it spends, in order.
    scripts: Vec<ScriptBuf>,
    /// Bitcoin's height when all of that was unspent.
    height: Height,
}

/// Why it is not known what is possibly signed, or nothing more may be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PossibleError {
    /// Another transaction may be signed, and this one spends nothing that it spends: both could confirm.
    #[error("a transaction of action {0} may be signed, and this one spends nothing that it spends")]
    Apart(ActionId),
    /// So many may be signed that no more are recorded.
    #[error("{MOST} transactions of the wallet may be signed, of which none is deep in a block")]
    TooMany,
    /// The journal can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It can't be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What stands in it can't be read, or what should can't be written down.
    #[error("what is recorded of transactions that may be signed can't be read")]
    Damaged,
}

/// What may be signed of all wallets, in the journal.
#[derive(Clone, Debug)]
pub struct PossiblySigned {
    journal: Arc<Journal>,
    /// Held from reading a wallet's row to writing it: one transaction may be recorded while another is settled.
    changing: Arc<Mutex<()>>,
}

impl Possible {
    /// What was assembled for a job, when Bitcoin had this height.
    pub(super) fn of(job: &Job, unsigned: &UnsignedTransaction, height: Height) -> Self {
        let scripts = unsigned.prevouts().into_iter().map(|prevout| prevout.script_pubkey).collect();
        Self {
            action: job.action_id,
            coordination_block: Some(job.coordination_block),
            unsigned: serialize(unsigned.transaction()).into(),
            scripts,
            height,
        }
    }

    /// What the journal has of a wallet.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(reader: &Reader, wallet: KeyHash) -> Result<Vec<Self>, PossibleError> {
        let Some(body) = reader.fact(&key(wallet))? else { return Ok(Vec::new()) };
        let body = body.map_err(|_| PossibleError::Damaged)?;
        serde_json::from_str(&body).map_err(|_| PossibleError::Damaged)
    }

    /// The action.
    pub fn action(&self) -> ActionId {
        self.action
    }

    /// The first block of the window that agreed on it. `None` if that is not recorded.
    pub fn coordination_block(&self) -> Option<BlockNumber> {
        self.coordination_block
    }

    /// The outputs that it spends. It is watched for until one of them is spent deep enough.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn spends(&self) -> Result<Vec<OutPoint>, PossibleError> {
        Ok(self.transaction()?.input.into_iter().map(|input| input.previous_output).collect())
    }

    /// Whether it is that one, whatever the height at which it was assembled.
    fn is(&self, other: &Self) -> bool {
        (self.action, &self.unsigned) == (other.action, &other.unsigned)
    }

    fn transaction(&self) -> Result<Transaction, PossibleError> {
        deserialize(&self.unsigned).map_err(|_| PossibleError::Damaged)
    }

    /// What it spends.
    fn outputs(&self) -> Result<Vec<Output>, PossibleError> {
        let inputs = self.transaction()?.input;
        let spent = inputs.into_iter().zip(&self.scripts);
        Ok(spent
            .map(|(input, script)| Output { outpoint: input.previous_output, script: script.clone() })
            .collect())
    }
}

fn key(wallet: KeyHash) -> FactKey {
    FactKey { topic: TOPIC, owner: wallet.0, name: String::new() }
}

fn spent(transaction: &Transaction) -> BTreeSet<OutPoint> {
    transaction.input.iter().map(|input| input.previous_output).collect()
}

impl PossiblySigned {
    /// In this journal.
    pub fn new(journal: Arc<Journal>) -> Self {
        Self { journal, changing: Arc::default() }
    }

    fn of(&self, wallet: KeyHash) -> Result<Vec<Possible>, PossibleError> {
        Possible::read(self.journal.reader(), wallet)
    }

    async fn write(&self, wallet: KeyHash, all: &[Possible]) -> Result<(), PossibleError> {
        let body = serde_json::to_string(all).map_err(|_| PossibleError::Damaged)?;
        Ok(self.journal.fact(Fact { key: key(wallet), body, replaces: true }).await?)
    }

    /// Records that a transaction may be signed from now on. Returns when that is durable.
    ///
    /// # Errors
    /// If it can't be recorded, or the wallet has no main UTXO, and this one and another that may be signed could both confirm.
    pub(super) async fn begin(
        &self,
        wallet: KeyHash,
        has_main_utxo: bool,
        possible: Possible,
    ) -> Result<(), PossibleError> {
        let _changing = self.changing.lock().await;
        let mut all = self.of(wallet)?;
        if !has_main_utxo {
            let ours = spent(&possible.transaction()?);
            for other in &all {
                if spent(&other.transaction()?).is_disjoint(&ours) {
                    return Err(PossibleError::Apart(other.action));
                }
            }
        }
        if all.iter().any(|other| other.is(&possible)) {
            return Ok(());
        }
        if all.len() >= MOST {
            if !has_main_utxo {
                return Err(PossibleError::TooMany);
            }
            // What spends the main UTXO conflicts with the others, whether it is watched for or not.
            all.remove(0);
        }
        all.push(possible);
        self.write(wallet, &all).await
    }

    /// Takes note that a transaction can't be in a block any more, or is in one.
    async fn settle(&self, wallet: KeyHash, settled: &Possible) -> Result<(), PossibleError> {
        let _changing = self.changing.lock().await;
        let mut all = self.of(wallet)?;
        let before = all.len();
        all.retain(|possible| !possible.is(settled));
        if all.len() == before { Ok(()) } else { self.write(wallet, &all).await }
    }

    /// Looks for all of a wallet's, and forgets those of which an output is spent deep enough. What isn't seen of one keeps none of
    /// the others from being looked for.
    async fn look(
        &self,
        wallet: KeyHash,
        bitcoin: &impl Backend,
        spenders: &Spenders,
    ) -> Result<(), UnseenError> {
        let mut unseen = None;
        for possible in self.of(wallet)? {
            if let Err(error) = self.look_for(wallet, &possible, bitcoin, spenders).await {
                unseen.get_or_insert(error);
            }
        }
        unseen.map_or(Ok(()), Err)
    }

    async fn look_for(
        &self,
        wallet: KeyHash,
        possible: &Possible,
        bitcoin: &impl Backend,
        spenders: &Spenders,
    ) -> Result<(), UnseenError> {
        let Some(spender) = spender(possible, bitcoin, spenders).await? else { return Ok(()) };
        let (by, action) = (spender.compute_txid(), possible.action);
        let assembled = possible.transaction()?;
        if spent(&assembled) == spent(&spender) && assembled.output == spender.output {
            info!(%wallet, %action, %by, "a transaction that may have been signed is in a block");
        } else {
            info!(%wallet, %action, %by, "what a transaction that may have been signed spends is spent by another");
        }
        Ok(self.settle(wallet, possible).await?)
    }

    /// Looks for all wallets' transactions at every tenth block, until it is to stop.
    ///
    /// # Errors
    /// Never so far.
    pub async fn run(
        self,
        wallets: Vec<KeyHash>,
        bitcoin: impl Backend,
        mut clock: watch::Receiver<Tick>,
        mut stop: Stop,
    ) -> Result<(), Failure> {
        let spenders = Spenders::default();
        let mut next = BlockNumber(0);
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                changed = clock.changed() => if changed.is_err() {
                    stop.requested().await;
                    return Ok(());
                },
            }
            let block = clock.borrow_and_update().block;
            if block < next || block == BlockNumber(0) {
                continue;
            }
            next = block.saturating_add(EVERY);
            for wallet in &wallets {
                let looked = tokio::select! {
                    biased;
                    () = stop.requested() => return Ok(()),
                    looked = self.look(*wallet, &bitcoin, &spenders) => looked,
                };
                match looked {
                    Ok(()) => {}
                    Err(UnseenError::Possible(error)) => {
                        error!(%wallet, %error, "it is not known what may be signed");
                    }
                    Err(error) => debug!(%wallet, %error, "what may be signed is looked for again"),
                }
            }
        }
    }
}

/// Why it isn't seen whether an output is spent.
#[derive(Debug, thiserror::Error)]
enum UnseenError {
    #[error(transparent)]
    Possible(#[from] PossibleError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Spender(#[from] SpenderError),
    #[error("{0} is spent, and no server shows by what")]
    Hidden(OutPoint),
}

/// The transaction that spends one of the same outputs, deep enough. `None` if there is none yet. What isn't seen of one output counts
/// only if none of the others tells.
async fn spender(
    possible: &Possible,
    bitcoin: &impl Backend,
    spenders: &Spenders,
) -> Result<Option<Transaction>, UnseenError> {
    let mut unseen = None;
    let outputs = possible.outputs()?;
    for (output, unspent) in outputs.iter().zip(bitcoin.unspent(&outputs).await?) {
        let found = match unspent {
            Ok(unspent) if unspent.fact => continue,
            Ok(_) => spender_of(output, possible.height, bitcoin, spenders).await,
            Err(error) => Err(error.into()),
        };
        match found {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(error) => {
                unseen.get_or_insert(error);
            }
        }
    }
    unseen.map_or(Ok(None), Err)
}

async fn spender_of(
    output: &Output,
    from: Height,
    bitcoin: &impl Backend,
    spenders: &Spenders,
) -> Result<Option<Transaction>, UnseenError> {
    let found = spenders.find(bitcoin, output, from).await?;
    let found = found.ok_or(UnseenError::Hidden(output.outpoint))?;
    Ok(is_deep(found.compute_txid(), bitcoin).await?.then_some(found))
}

async fn is_deep(txid: Txid, bitcoin: &impl Backend) -> Result<bool, BackendError> {
    match bitcoin.transactions(&[OutPoint::new(txid, 0)]).await?.pop() {
        Some(known) => Ok(known?.fact.is_some_and(|known| known.confirmations >= DEEP)),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use bitcoin::{Amount, TxIn, TxOut, Witness, absolute::LockTime, hashes::Hash, transaction::Version};
    use coxswain_bitcoin::{Backends, Endpoint, Expected, Limits};
    use coxswain_service::journal::Settings;
    use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
    use tempfile::TempDir;

    use super::*;

    const WALLET: KeyHash = KeyHash([7; 20]);

    fn anyone() -> ScriptBuf {
        ScriptBuf::from_bytes(vec![0x51])
    }

    fn spending(outpoints: &[OutPoint], sats: u64) -> Transaction {
        let input = |outpoint: &OutPoint| TxIn {
            previous_output: *outpoint,
            witness: Witness::new(),
            ..TxIn::default()
        };
        Transaction {
            version: Version::ONE,
            lock_time: LockTime::ZERO,
            input: outpoints.iter().map(input).collect(),
            output: vec![TxOut { value: Amount::from_sat(sats), script_pubkey: anyone() }],
        }
    }

    fn possible(action: u8, transaction: &Transaction, height: Height) -> Possible {
        Possible {
            action: ActionId(B256::repeat_byte(action)),
            coordination_block: Some(BlockNumber(900)),
            unsigned: serialize(transaction).into(),
            scripts: vec![anyone(); transaction.input.len()],
            height,
        }
    }

    /// A transaction that spends the outputs of these numbers.
    fn of(action: u8, numbers: &[u8]) -> Possible {
        let outpoint = |number: &u8| OutPoint::new(Txid::from_byte_array([*number; 32]), 0);
        let outpoints: Vec<_> = numbers.iter().map(outpoint).collect();
        possible(action, &spending(&outpoints, 1), Height(1))
    }

    fn opened(folder: &TempDir) -> PossiblySigned {
        PossiblySigned::new(Arc::new(Journal::open(&Settings::at(folder.path().join("journal.db"))).unwrap()))
    }

    #[tokio::test]
    async fn a_wallet_without_a_main_utxo_signs_only_what_spends_one_output_of_each_that_may_be_signed() {
        let folder = tempfile::tempdir().unwrap();
        let begun = async |record: &PossiblySigned, possible| record.begin(WALLET, false, possible).await;
        let record = opened(&folder);
        begun(&record, of(1, &[1, 2])).await.unwrap();
        // The same again: it goes on.
        begun(&record, of(1, &[1, 2])).await.unwrap();
        // And after a restart.
        Arc::into_inner(record.journal).unwrap().close();
        let record = opened(&folder);
        let apart = begun(&record, of(2, &[3])).await;
        assert!(matches!(apart, Err(PossibleError::Apart(action)) if action.0 == B256::repeat_byte(1)));
        begun(&record, of(2, &[2, 3])).await.unwrap();
        // Of both: the last refused, the first accepted.
        assert!(matches!(begun(&record, of(3, &[1])).await, Err(PossibleError::Apart(_))));
        begun(&record, of(3, &[1, 3])).await.unwrap();
        // Another wallet's are its own, and what spends the main UTXO conflicts anyway.
        record.begin(KeyHash([8; 20]), false, of(4, &[9])).await.unwrap();
        record.begin(WALLET, true, of(5, &[9])).await.unwrap();
        // What is settled is in nobody's way.
        for action in [1, 2, 3] {
            assert!(matches!(begun(&record, of(6, &[9])).await, Err(PossibleError::Apart(_))));
            let settled =
                record.of(WALLET).unwrap().into_iter().find(|it| it.action.0 == B256::repeat_byte(action));
            record.settle(WALLET, &settled.unwrap()).await.unwrap();
        }
        begun(&record, of(6, &[9])).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_recorded_while_another_is_settled_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let record = opened(&folder);
        record.begin(WALLET, true, of(1, &[1])).await.unwrap();
        let one = of(1, &[1]);
        let (begun, settled) =
            tokio::join!(record.begin(WALLET, true, of(2, &[2])), record.settle(WALLET, &one));
        begun.unwrap();
        settled.unwrap();
        assert_eq!(record.of(WALLET).unwrap(), [of(2, &[2])]);
    }

    #[tokio::test]
    async fn so_many_are_watched_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let record = opened(&folder);
        for action in 0..16 {
            record.begin(WALLET, false, of(action, &[1, action + 2])).await.unwrap();
        }
        let more = record.begin(WALLET, false, of(99, &[1])).await;
        assert!(matches!(more, Err(PossibleError::TooMany)), "{more:?}");
        // With a main UTXO the oldest is not watched any more.
        record.begin(WALLET, true, of(99, &[1])).await.unwrap();
        let kept = record.of(WALLET).unwrap();
        assert_eq!((kept.len(), &kept[0], &kept[15]), (16, &of(1, &[1, 3]), &of(99, &[1])));
    }

    /// A row of an earlier version doesn't say of which window it is, and is watched all the same.
    #[tokio::test]
    async fn what_is_watched_is_told_by_action_window_and_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let record = opened(&folder);
        record.begin(WALLET, true, of(1, &[1, 2])).await.unwrap();
        let why = crate::inquiry::why(record.journal.reader(), WALLET, 5).unwrap();
        let told = why.possibly_signed.first().unwrap();
        let outpoint = |number| OutPoint::new(Txid::from_byte_array([number; 32]), 0);
        assert_eq!(told.action, ActionId(B256::repeat_byte(1)));
        assert_eq!((told.window, &told.spends), (None, &vec![outpoint(1), outpoint(2)]));
        assert!(why.is_known);

        let mut row = serde_json::to_value([of(1, &[1])]).unwrap();
        row[0].as_object_mut().unwrap().remove("coordination_block").unwrap();
        let old: Vec<Possible> = serde_json::from_value(row).unwrap();
        assert_eq!(old, [Possible { coordination_block: None, ..of(1, &[1]) }]);
        record.write(WALLET, &old).await.unwrap();
        let why = crate::inquiry::why(record.journal.reader(), WALLET, 5).unwrap();
        assert_eq!((why.possibly_signed.len(), why.damaged), (1, 0));

        // What can't be read is not passed over.
        let fact = Fact { key: key(WALLET), body: "[{}]".to_owned(), replaces: true };
        record.journal.fact(fact).await.unwrap();
        let why = crate::inquiry::why(record.journal.reader(), WALLET, 5).unwrap();
        assert_eq!((why.possibly_signed.len(), why.damaged), (0, 1));
    }

    /// Not what waits in a mempool: that may be replaced.
    #[tokio::test]
    async fn it_is_watched_for_until_one_of_its_inputs_is_spent_six_blocks_deep() {
        let chain = Regtest::new();
        let server = BitcoinServer::core(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
        let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
        let node = Backends::new(vec![endpoint], Expected::on(bitcoin::Network::Regtest));
        let folder = tempfile::tempdir().unwrap();
        let (record, spenders) = (opened(&folder), Spenders::default());
        let funded = || {
            let paid = TxOut { value: Amount::from_sat(50_000), script_pubkey: anyone() };
            let funding = chain.pay(&[paid.clone(), paid]).unwrap();
            chain.mine(std::slice::from_ref(&funding)).unwrap();
            [0, 1].map(|vout| OutPoint::new(funding.compute_txid(), vout))
        };
        for is_it in [true, false] {
            let outpoints = funded();
            let assembled = spending(&outpoints, 80_000);
            record.begin(WALLET, true, possible(1, &assembled, chain.height())).await.unwrap();
            let open = || record.of(WALLET).unwrap().len();
            record.look(WALLET, &node, &spenders).await.unwrap();
            assert_eq!(open(), 1, "nothing is spent");
            let spender = if is_it { assembled } else { spending(&outpoints[1..], 40_000) };
            chain.broadcast(&spender).unwrap();
            // Nobody has signed for what anybody may spend, so that a server's word on it counts for nothing before it is in a block.
            assert!(record.look(WALLET, &node, &spenders).await.is_err());
            assert_eq!(open(), 1, "it waits for a block");
            chain.mine(std::slice::from_ref(&spender)).unwrap();
            chain.mine_empty(4).unwrap();
            record.look(WALLET, &node, &spenders).await.unwrap();
            assert_eq!(open(), 1, "its block may be replaced");
            chain.mine_empty(1).unwrap();
            record.look(WALLET, &node, &spenders).await.unwrap();
            assert_eq!(open(), 0, "one of its inputs is spent");
        }
        // What isn't seen of one, and of one output, hides nothing of the others.
        let [waits, is_deep] = funded();
        for (action, outpoints) in [(1, &[waits][..]), (2, &[waits, is_deep])] {
            let assembled = spending(outpoints, 30_000);
            record.begin(WALLET, true, possible(action, &assembled, chain.height())).await.unwrap();
        }
        chain.mine(&[spending(&[is_deep], 40_000)]).unwrap();
        chain.mine_empty(5).unwrap();
        chain.broadcast(&spending(&[waits], 40_000)).unwrap();
        assert!(record.look(WALLET, &node, &spenders).await.is_err());
        let open: Vec<_> = record.of(WALLET).unwrap().into_iter().map(|possible| possible.action.0).collect();
        assert_eq!(open, [B256::repeat_byte(1)]);
    }

    #[tokio::test]
    async fn what_an_action_has_assembled_anew_is_watched_for_too() {
        let folder = tempfile::tempdir().unwrap();
        let record = opened(&folder);
        record.begin(WALLET, true, of(1, &[1])).await.unwrap();
        record.begin(WALLET, true, Possible { height: Height(2), ..of(1, &[1]) }).await.unwrap();
        record.begin(WALLET, true, of(1, &[1, 2])).await.unwrap();
        assert_eq!(record.of(WALLET).unwrap(), [of(1, &[1]), of(1, &[1, 2])]);
        record.settle(WALLET, &of(1, &[1])).await.unwrap();
        assert_eq!(record.of(WALLET).unwrap(), [of(1, &[1, 2])]);
    }
}
