//! Who spends an output, as a node tells it: from its mempool, then from block after block.

use bitcoin::BlockHash;
use coxswain_rules::units::Height;
use serde_json::json;

use super::{
    Core,
    wire::{ChainInfo, RAW, Spending, block_hash, block_whole, raw, read_block, sighted},
};
use crate::{
    BackendError, Cursor, Output, Search, Sighting, Spender,
    jsonrpc::{Answer, Call},
    spender::spends,
};

/// How many blocks one step reads.
const BLOCKS: u32 = 8;

impl Core {
    pub(super) async fn search(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        let outpoint = spent.outpoint;
        let named = json!([[{ "txid": outpoint.txid, "vout": outpoint.vout }]]);
        let calls = [Call::new("gettxspendingprevout", named), Call::new("getblockchaininfo", json!([]))];
        let answers = self.ask(&calls).await?;
        let [waiting, info] = answers.as_slice() else { return Err(self.unanswered("getblockchaininfo")) };
        let waiting: Vec<Spending> = match waiting.read() {
            Ok(waiting) => waiting,
            // Bitcoin Core before 24 doesn't have it: its blocks show the spender later.
            Err(BackendError::Rpc { .. }) => Vec::new(),
            Err(other) => return Err(other),
        };
        let waiting = waiting.iter().filter(|spending| spending.spent() == Some(outpoint));
        if let Some(txid) = waiting.filter_map(|spending| spending.spendingtxid).next() {
            let answers = self.ask(&[raw(txid, None)]).await?;
            let answer = answers.first().ok_or_else(|| self.unanswered(RAW))?;
            let ChainInfo { blocks, .. } = info.read()?;
            if let Some(Sighting { transaction, .. }) = sighted(answer, &answer.read()?, txid, blocks)? {
                if !spends(&transaction, outpoint) {
                    return Err(answer.garbage(format!("transaction {txid} does not spend {outpoint}")));
                }
                return Ok(Search::Found(Box::new(Spender { transaction, height: None })));
            }
        }

        let ChainInfo { blocks: tip, .. } = info.read()?;
        let end = from.height.saturating_add(BLOCKS).min(tip.next());
        let heights = (from.height.0..end.0).map(Height);
        let calls: Vec<_> = heights.clone().map(block_hash).collect();
        let hashes: Vec<BlockHash> =
            self.ask(&calls).await?.iter().map(Answer::read).collect::<Result<_, _>>()?;
        let calls: Vec<_> = hashes.iter().map(|&hash| block_whole(hash)).collect();
        let answers = self.ask(&calls).await?;
        for ((height, hash), answer) in heights.zip(hashes).zip(&answers) {
            let transactions = read_block(answer, hash)?.txdata;
            if let Some(transaction) = transactions.into_iter().find(|other| spends(other, outpoint)) {
                return Ok(Search::Found(Box::new(Spender { transaction, height: Some(height) })));
            }
        }
        let next = Cursor::at(end.max(from.height));
        Ok(if next.height > tip { Search::Ended(next) } else { Search::More(next) })
    }
}
