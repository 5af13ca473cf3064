//! What a Bitcoin node keeps: blocks, unspent outputs, and the transactions that wait for a block.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{
    Amount, Block, BlockHash, Network, OutPoint, Transaction, TxOut, Txid,
    blockdata::constants::genesis_block,
    consensus::encode,
    hashes::{Hash, sha256},
};
use coxswain_rules::units::Height;

use crate::refusal::Refusal;

/// How deep a coinbase is buried before it can be spent.
const MATURITY: u32 = 100;
/// The least rate of a transaction that waits, in satoshis per virtual byte.
pub(super) const LEAST_RATE: u64 = 1;

/// An output of a block of the best chain.
#[derive(Clone, Debug)]
pub(crate) struct Coin {
    pub(crate) output: TxOut,
    /// The SHA-256 of its script.
    pub(crate) script_hash: sha256::Hash,
    pub(crate) height: Height,
    coinbase: bool,
}

impl Coin {
    fn mature_at(&self, height: Height) -> bool {
        !self.coinbase || height >= self.height.saturating_add(MATURITY)
    }
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    Mempool(&'a Transaction),
    Mined {
        transaction: &'a Transaction,
        height: Height,
        position: usize,
    },
    /// In a block that is not of the best chain.
    Stale {
        transaction: &'a Transaction,
        block: BlockHash,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// The time of the genesis block as far as its children care, in Unix seconds.
    pub(super) start: u32,
    /// The best chain, the genesis block first.
    pub(crate) blocks: Vec<Block>,
    heights: BTreeMap<BlockHash, Height>,
    stale: Vec<Block>,
    coins: BTreeMap<OutPoint, Coin>,
    mined: BTreeMap<Txid, (Height, usize)>,
    /// Parents before children.
    pub(crate) mempool: Vec<Transaction>,
    /// What the mempool spends, and by which transaction.
    claimed: BTreeMap<OutPoint, Txid>,
}

impl Ledger {
    pub(super) fn new(start: u32) -> Self {
        let genesis = genesis_block(Network::Regtest);
        Self {
            start,
            heights: [(genesis.block_hash(), Height(0))].into(),
            // No one can spend its coinbase.
            blocks: vec![genesis],
            stale: Vec::new(),
            coins: BTreeMap::new(),
            mined: BTreeMap::new(),
            mempool: Vec::new(),
            claimed: BTreeMap::new(),
        }
    }

    /// How many blocks there are, those that were replaced included.
    pub(super) fn made(&self) -> u64 {
        u64::try_from(self.blocks.len().saturating_add(self.stale.len())).unwrap_or(u64::MAX)
    }

    /// The newest block's height.
    pub(crate) fn height(&self) -> Height {
        Height(u32::try_from(self.blocks.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    pub(crate) fn block(&self, height: Height) -> Option<&Block> {
        self.blocks.get(usize::try_from(height.0).ok()?)
    }

    pub(crate) fn block_of(&self, hash: BlockHash) -> Option<(Height, &Block)> {
        let &height = self.heights.get(&hash)?;
        Some((height, self.block(height)?))
    }

    pub(crate) fn find(&self, txid: Txid) -> Option<Found<'_>> {
        let waits = self.mempool.iter().find(|transaction| transaction.compute_txid() == txid);
        let mined = || {
            let &(height, position) = self.mined.get(&txid)?;
            let transaction = self.block(height)?.txdata.get(position)?;
            Some(Found::Mined { transaction, height, position })
        };
        let stale = || {
            self.stale.iter().rev().find_map(|block| {
                let transaction =
                    block.txdata.iter().find(|transaction| transaction.compute_txid() == txid)?;
                Some(Found::Stale { transaction, block: block.block_hash() })
            })
        };
        waits.map(Found::Mempool).or_else(mined).or_else(stale)
    }

    /// The coin of the best chain, whether or not the mempool spends it.
    pub(crate) fn coin(&self, outpoint: OutPoint) -> Option<&Coin> {
        self.coins.get(&outpoint)
    }

    /// Which transaction of the mempool spends the output.
    pub(crate) fn claimed_by(&self, outpoint: OutPoint) -> Option<Txid> {
        self.claimed.get(&outpoint).copied()
    }

    /// The coins of the best chain that the mempool doesn't spend.
    pub(crate) fn coins(&self) -> impl Iterator<Item = (OutPoint, &Coin)> {
        self.coins
            .iter()
            .filter(|(outpoint, _)| !self.claimed.contains_key(outpoint))
            .map(|(&out, coin)| (out, coin))
    }

    /// The outputs of the mempool that it doesn't spend itself.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (OutPoint, &TxOut)> {
        self.mempool
            .iter()
            .flat_map(|transaction| {
                let txid = transaction.compute_txid();
                (0..).zip(&transaction.output).map(move |(vout, output)| (OutPoint::new(txid, vout), output))
            })
            .filter(|(outpoint, _)| !self.claimed.contains_key(outpoint))
    }

    /// Coins that the next block's transactions may spend.
    pub(super) fn spendable(&self) -> impl Iterator<Item = (OutPoint, &Coin)> {
        let next = self.height().next();
        self.coins().filter(move |(_, coin)| coin.mature_at(next))
    }

    /// Takes the transaction among those that wait.
    pub(crate) fn accept(&mut self, transaction: &Transaction) -> Result<(), Refusal> {
        let txid = transaction.compute_txid();
        match self.find(txid) {
            Some(Found::Mempool(_)) => return Err(Refusal::Waits),
            Some(Found::Mined { .. }) => return Err(Refusal::Mined),
            Some(Found::Stale { .. }) | None => {}
        }
        if let Some((&outpoint, &by)) =
            transaction.input.iter().find_map(|input| self.claimed.get_key_value(&input.previous_output))
        {
            return Err(Refusal::Conflict { outpoint, by });
        }
        let parents: BTreeMap<_, _> =
            self.waiting().map(|(outpoint, output)| (outpoint, output.clone())).collect();
        let fee = self.check(transaction, &parents)?;
        let vsize = u64::try_from(transaction.vsize()).unwrap_or(u64::MAX);
        let least = Amount::from_sat(vsize.saturating_mul(LEAST_RATE));
        if fee < least {
            return Err(Refusal::Fee { fee, least });
        }
        self.hold(transaction.clone());
        Ok(())
    }

    fn hold(&mut self, transaction: Transaction) {
        let txid = transaction.compute_txid();
        self.claimed.extend(transaction.input.iter().map(|input| (input.previous_output, txid)));
        self.mempool.push(transaction);
    }

    /// What the transaction pays in fees, when the coins and `parents`' outputs allow it in the next block.
    fn check(
        &self,
        transaction: &Transaction,
        parents: &BTreeMap<OutPoint, TxOut>,
    ) -> Result<Amount, Refusal> {
        let next = self.height().next();
        let bytes = encode::serialize(transaction);
        let mut seen = BTreeSet::new();
        let mut had = Amount::ZERO;
        for (index, input) in transaction.input.iter().enumerate() {
            let outpoint = input.previous_output;
            let coin = self.coins.get(&outpoint);
            let output = coin.map(|coin| &coin.output).or_else(|| parents.get(&outpoint));
            let output = output.filter(|_| seen.insert(outpoint)).ok_or(Refusal::Missing(outpoint))?;
            if coin.is_some_and(|coin| !coin.mature_at(next)) {
                return Err(Refusal::Immature(outpoint));
            }
            let flags = bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT;
            let (script, value) = (output.script_pubkey.as_bytes(), output.value.to_sat());
            bitcoinconsensus::verify_with_flags(script, value, &bytes, None, index, flags)
                .map_err(|_| Refusal::Script { index })?;
            had = had.checked_add(output.value).ok_or(Refusal::Value)?;
        }
        let paid =
            transaction.output.iter().try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value));
        paid.and_then(|paid| had.checked_sub(paid)).ok_or(Refusal::Value)
    }

    /// That these transactions can be in the next block, in this order.
    pub(super) fn check_all(&self, transactions: &[Transaction]) -> Result<(), (Txid, Refusal)> {
        let mut parents = BTreeMap::new();
        let mut spent = BTreeSet::new();
        for transaction in transactions {
            let txid = transaction.compute_txid();
            if matches!(self.find(txid), Some(Found::Mined { .. })) {
                return Err((txid, Refusal::Mined));
            }
            self.check(transaction, &parents).map_err(|refusal| (txid, refusal))?;
            for input in &transaction.input {
                if !spent.insert(input.previous_output) {
                    return Err((txid, Refusal::Missing(input.previous_output)));
                }
            }
            parents.extend(outputs(transaction));
        }
        Ok(())
    }

    /// Puts a block of checked transactions on top.
    pub(super) fn connect(&mut self, block: Block) {
        let hash = block.block_hash();
        self.blocks.push(block);
        let height = self.height();
        self.heights.insert(hash, height);
        let Self { blocks, coins, mined, .. } = self;
        for (position, transaction) in
            blocks.iter().rev().take(1).flat_map(|block| block.txdata.iter().enumerate())
        {
            transaction.input.iter().for_each(|input| drop(coins.remove(&input.previous_output)));
            let coin = |output: TxOut| {
                let script_hash = sha256::Hash::hash(output.script_pubkey.as_bytes());
                Coin { output, script_hash, height, coinbase: position == 0 }
            };
            coins.extend(outputs(transaction).map(|(outpoint, output)| (outpoint, coin(output))));
            mined.insert(transaction.compute_txid(), (height, position));
        }
        self.forget_what_can_no_longer_be_mined(Vec::new());
    }

    /// Takes the newest blocks off; their transactions wait again.
    pub(super) fn disconnect(&mut self, depth: u32) {
        let keep = self.blocks.len().saturating_sub(usize::try_from(depth).unwrap_or(usize::MAX)).max(1);
        let gone = self.blocks.split_off(keep);
        let mut again = Self::new(self.start);
        self.blocks.iter().skip(1).for_each(|block| again.connect(block.clone()));
        again.mempool = std::mem::take(&mut self.mempool);
        again.stale = std::mem::take(&mut self.stale);
        let returned = gone.iter().flat_map(|block| block.txdata.iter().skip(1)).cloned().collect();
        again.stale.extend(gone);
        again.forget_what_can_no_longer_be_mined(returned);
        *self = again;
    }

    /// Builds the mempool anew, of these transactions and its own.
    fn forget_what_can_no_longer_be_mined(&mut self, first: Vec<Transaction>) {
        self.claimed.clear();
        let waited = std::mem::take(&mut self.mempool);
        for transaction in first.into_iter().chain(waited) {
            let mined = self.mined.contains_key(&transaction.compute_txid());
            let parents: BTreeSet<_> = self.waiting().map(|(outpoint, _)| outpoint).collect();
            let free = |input: &bitcoin::TxIn| {
                let outpoint = input.previous_output;
                parents.contains(&outpoint)
                    || (self.coins.contains_key(&outpoint) && !self.claimed.contains_key(&outpoint))
            };
            if !mined && transaction.input.iter().all(free) {
                self.hold(transaction);
            }
        }
    }
}

fn outputs(transaction: &Transaction) -> impl Iterator<Item = (OutPoint, TxOut)> {
    let txid = transaction.compute_txid();
    (0..).zip(&transaction.output).map(move |(vout, output)| (OutPoint::new(txid, vout), output.clone()))
}
