//! Bitcoin's headers, of which only some are known: recorded ones, or easy ones that are mined here.

use std::collections::BTreeMap;

use bitcoin::{
    BlockHash, CompactTarget, OutPoint, Target, Transaction, TxMerkleNode,
    block::{Header, Version},
    hashes::Hash,
};
use coxswain_bitcoin::{
    Answers, Backend, BackendError, Coinbase, Cursor, Fees, Known, MerkleBranch, Mined, Output, Search, Tip,
    chain::HeaderRules, spv::EPOCH,
};
use coxswain_rules::{Assured, units::Height};
use coxswain_testkit::worked;

/// Bitcoin, of which only some headers are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(pub(crate) BTreeMap<Height, Header>);

fn unknown(method: &'static str) -> BackendError {
    BackendError::Unreachable { method, endpoint: "nowhere:1".to_owned(), cause: "unknown".to_owned() }
}

impl Backend for Headers {
    async fn tip(&self) -> Result<Tip, BackendError> {
        let (&height, &header) = self.0.last_key_value().ok_or_else(|| unknown("tip"))?;
        Ok(Tip { height, header })
    }

    async fn fees(&self) -> Result<Assured<Fees>, BackendError> {
        Err(unknown("fees"))
    }

    async fn headers(&self, start: Height, count: u32) -> Result<Vec<Header>, BackendError> {
        Ok((start.0..start.0 + count).map(Height).map_while(|height| self.0.get(&height).copied()).collect())
    }

    async fn transactions(&self, _: &[OutPoint]) -> Result<Answers<Assured<Option<Known>>>, BackendError> {
        Err(unknown("transactions"))
    }

    async fn unspent(&self, _: &[Output]) -> Result<Answers<Assured<bool>>, BackendError> {
        Err(unknown("unspent"))
    }

    async fn branches(&self, _: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        Err(unknown("branches"))
    }

    async fn coinbase(&self, _: Height) -> Result<Coinbase, BackendError> {
        Err(unknown("coinbase"))
    }

    async fn spender(&self, _: &Output, _: Cursor) -> Result<Search, BackendError> {
        Err(unknown("spender"))
    }

    async fn broadcast(&self, _: &Transaction) -> Result<(), BackendError> {
        Err(unknown("broadcast"))
    }
}

/// Mainnet's rules, with targets that are met at once.
pub(crate) const EASY: HeaderRules =
    HeaderRules { limit: Target::MAX_ATTAINABLE_REGTEST, ..HeaderRules::MAINNET };

/// A header with the work that its bits name.
fn mine(parent: BlockHash, bits: CompactTarget, time: u32) -> Header {
    worked(Header {
        version: Version::TWO,
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits,
        nonce: 0,
    })
}

/// Easy epochs, of whose headers only those are mined that a relay asks for, with proofs of this length. Each takes another
/// time. (A real relay takes none of them: it keeps targets in 224 bits, and these are larger.)
pub(crate) fn easy_epochs(first: u32, count: u32, length: u32) -> Headers {
    const TWO_WEEKS: u32 = 1_209_600;
    let mut bits = CompactTarget::from_consensus(0x1f7f_ffff);
    let mut epoch_start = mine(BlockHash::all_zeros(), bits, 1_600_000_000);
    let mut headers = BTreeMap::from([(Height(first * EPOCH), epoch_start)]);
    for epoch in first + 1..=first + count {
        let boundary = epoch * EPOCH;
        let seconds = TWO_WEEKS / 10 * (8 + 3 * (epoch % 2));
        let end = epoch_start.time + seconds;
        let next = EASY.next_bits(bits, seconds.into());
        let mut parent = BlockHash::all_zeros();
        for height in boundary - length..boundary + length {
            let bits = if height < boundary { bits } else { next };
            let header = mine(parent, bits, end + height - (boundary - 1));
            parent = header.block_hash();
            headers.insert(Height(height), header);
        }
        epoch_start = headers[&Height(boundary)];
        bits = next;
    }
    Headers(headers)
}
