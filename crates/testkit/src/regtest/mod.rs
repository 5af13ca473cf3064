//! A Bitcoin chain at regtest's difficulty, with all that a node keeps of one: it begins at regtest's own genesis block, its
//! transactions spend real coins, and their scripts are verified by Bitcoin Core's own code. A real node takes its blocks.

mod anyone;
mod block;
mod ledger;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use bitcoin::{Block, BlockHash, Transaction, TxOut};
use coxswain_rules::units::Height;

pub(crate) use self::{
    block::{merkle_branch, spv_proof},
    ledger::{Found, Ledger},
};
use crate::Error;

const BLOCK_SECONDS: u32 = 60;
/// When the genesis block's child is mined at the earliest, unless told otherwise, in Unix seconds.
const START: u32 = 1_700_000_000;
/// How old a recent chain's second block is: its newest is then under a day old, and there is time for a thousand more.
const RECENT: Duration = Duration::from_secs(20 * 3600);
/// The chain's height when it starts. Coinbases can be spent from 100 blocks above theirs on: a hundred of them, then.
const START_HEIGHT: u32 = 200;

/// A chain, which grows with every block mined. Clones are of the same chain.
#[derive(Clone, Debug)]
pub struct Regtest {
    ledger: Arc<Mutex<Ledger>>,
}

impl Default for Regtest {
    fn default() -> Self {
        Self::new()
    }
}

impl Regtest {
    /// A chain with coins that anyone can spend, always the same.
    pub fn new() -> Self {
        static BEGINNING: OnceLock<Ledger> = OnceLock::new();
        Self::of(BEGINNING.get_or_init(|| beginning(START)).clone())
    }

    /// A chain whose newest block is under a day old: some nodes hold back while theirs is older.
    pub fn recent() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = u32::try_from(now.saturating_sub(RECENT).as_secs()).unwrap_or(START);
        Self::of(beginning(start))
    }

    fn of(ledger: Ledger) -> Self {
        Self { ledger: Arc::new(Mutex::new(ledger)) }
    }

    /// Returns a copy of the chain. From here on, the two may differ.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::of(self.ledger().clone())
    }

    /// The chain's records, which nobody else changes meanwhile.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest block's height.
    pub fn height(&self) -> Height {
        self.ledger().height()
    }

    /// The blocks from this height on.
    pub fn blocks_from(&self, height: Height) -> Vec<Block> {
        self.ledger().blocks.iter().skip(usize::try_from(height.0).unwrap_or(usize::MAX)).cloned().collect()
    }

    /// The transactions that wait for a block.
    pub fn mempool(&self) -> Vec<Transaction> {
        self.ledger().mempool.clone()
    }

    /// A transaction that pays these outputs, the first of them at position 0, from coins that anyone can spend. It waits
    /// nowhere yet.
    ///
    /// # Errors
    /// When there are too few coins.
    pub fn pay(&self, outputs: &[TxOut]) -> Result<Transaction, Error> {
        let ledger = self.ledger();
        let anyone = anyone::script_pubkey();
        let coins = ledger
            .spendable()
            .filter(|(_, coin)| coin.output.script_pubkey == anyone)
            .map(|(outpoint, coin)| (outpoint, coin.output.value));
        anyone::pay(outputs, coins).ok_or(Error::Absent("coins enough on Bitcoin"))
    }

    /// Takes the transaction into the mempool.
    ///
    /// # Errors
    /// When a node would refuse it.
    pub fn broadcast(&self, transaction: &Transaction) -> Result<(), Error> {
        let txid = transaction.compute_txid();
        self.ledger().accept(transaction).map_err(|refusal| Error::Refused { txid, refusal })
    }

    /// Mines these transactions into the next block, behind its coinbase.
    ///
    /// # Errors
    /// When one of them can't be in it.
    pub fn mine(&self, transactions: &[Transaction]) -> Result<Block, Error> {
        mine(&mut self.ledger(), transactions)
    }

    /// Mines all that waits into the next block.
    ///
    /// # Errors
    /// None to be expected.
    pub fn mine_mempool(&self) -> Result<Block, Error> {
        let mut ledger = self.ledger();
        let waiting = ledger.mempool.clone();
        mine(&mut ledger, &waiting)
    }

    /// Mines this many blocks without transactions.
    ///
    /// # Errors
    /// None to be expected.
    pub fn mine_empty(&self, count: u32) -> Result<(), Error> {
        let mut ledger = self.ledger();
        (0..count).try_for_each(|_| mine(&mut ledger, &[]).map(drop))
    }

    /// Replaces the newest blocks by one more block than before. The first new block has these transactions. The replaced
    /// blocks' transactions wait again, unless these contradict them.
    ///
    /// # Errors
    /// When one of the transactions can't be in the first block.
    pub fn reorganize(&self, depth: u32, transactions: &[Transaction]) -> Result<(), Error> {
        let mut ledger = self.ledger();
        ledger.disconnect(depth);
        mine(&mut ledger, transactions)?;
        (0..depth).try_for_each(|_| mine(&mut ledger, &[]).map(drop))
    }
}

fn beginning(start: u32) -> Ledger {
    let mut ledger = Ledger::new(start);
    for _ in 0..START_HEIGHT {
        mine(&mut ledger, &[]).expect("a block without transactions can be mined");
    }
    ledger
}

/// Mines this many blocks, all that waits in the first of them.
pub(crate) fn generate(ledger: &mut Ledger, count: u32) -> Result<Vec<BlockHash>, Error> {
    let block = |_| {
        let waiting = ledger.mempool.clone();
        mine(ledger, &waiting).map(|block| block.block_hash())
    };
    (0..count).map(block).collect()
}

fn mine(ledger: &mut Ledger, transactions: &[Transaction]) -> Result<Block, Error> {
    ledger.check_all(transactions).map_err(|(txid, refusal)| Error::Refused { txid, refusal })?;
    let tip = ledger.blocks.last().ok_or(Error::Absent("genesis block"))?;
    let overflow = |what| Error::Overflow { what };
    let height = ledger.height().checked_add(1).ok_or(overflow("the height"))?;
    let time =
        tip.header.time.max(ledger.start).checked_add(BLOCK_SECONDS).ok_or(overflow("the block's time"))?;
    let block = block::assemble(tip.block_hash(), height, time, ledger.made(), transactions)?;
    ledger.connect(block.clone());
    Ok(block)
}
