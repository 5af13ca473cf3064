//! Finds the transaction that spends an output on an Electrum server, by the history of the output's script, which anyone can fill.

use bitcoin::Txid;
use coxswain_rules::units::Height;
use serde::Deserialize;
use serde_json::json;

use super::{Electrum, bytes, get, script_hash};
use crate::{BackendError, Cursor, Output, Search, Spender, jsonrpc::Call, spender::spends};

/// How many transactions one step reads.
const BODIES: usize = 100;
/// What stands for the height of the mempool: it comes after all blocks.
const MEMPOOL: Height = Height(u32::MAX);

#[derive(Deserialize)]
struct Entry {
    tx_hash: Txid,
    /// 0 or below in the mempool.
    height: i64,
}

impl Entry {
    fn cursor(&self) -> Cursor {
        let height = u32::try_from(self.height).ok().filter(|height| *height > 0).map_or(MEMPOOL, Height);
        Cursor { height, after: Some(self.tx_hash) }
    }
}

impl Electrum {
    pub(super) async fn search(&self, spent: &Output, from: Cursor) -> Result<Search, BackendError> {
        let history = Call::new("blockchain.scripthash.get_history", json!([script_hash(&spent.script)]));
        let entries: Vec<Entry> = self.ask_one(history).await?.read()?;
        let mut listed: Vec<Cursor> = entries.iter().map(Entry::cursor).collect();
        listed.sort_unstable();
        let newest_mined = listed.iter().rev().find(|cursor| cursor.height < MEMPOOL).copied();

        let first = listed.partition_point(|cursor| *cursor <= from);
        let pending = listed.split_off(first);
        let step: Vec<_> =
            pending.iter().take(BODIES).filter_map(|cursor| Some((cursor.height, cursor.after?))).collect();
        let calls: Vec<_> = step.iter().map(|(_, txid)| get(*txid, false)).collect();
        for (&(height, txid), answer) in step.iter().zip(&self.ask(&calls).await?) {
            // One that is gone may come again: then it is listed anew.
            let Some(transaction) = bytes(answer, txid)? else { continue };
            if spends(&transaction, spent.outpoint) {
                let height = (height < MEMPOOL).then_some(height);
                return Ok(Search::Found(Box::new(Spender { transaction, height })));
            }
        }
        Ok(match pending.get(BODIES.saturating_sub(1)).filter(|_| pending.len() > BODIES) {
            Some(last) => Search::More(*last),
            // The mempool is looked at anew each time.
            None => Search::Ended(newest_mined.unwrap_or(Cursor::at(Height(0)))),
        })
    }
}
