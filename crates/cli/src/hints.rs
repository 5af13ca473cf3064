//! What a proposal that the Bridge doesn't know was probably meant to be: a wallet mistyped, a txid in the wrong byte order, a reveal in
//! another block. A hint decides nothing.

use alloy_primitives::Address;
use bitcoin::{OutPoint, ScriptBuf, Txid, hashes::Hash};
use coxswain_ethereum::{Block, BlockSelector, Endpoints, SnapshotKeys, SnapshotReader};
use coxswain_rules::{
    DepositKey, KeyHash, RedemptionKey, RevealedDeposit, Snapshot, SweepRequestKey, SweepRequestState,
    WalletState,
    units::{BlockNumber, Blocks, UnixTime},
};

/// How many blocks of one time are looked at, after the first.
const MOST_OF_ONE_TIME: Blocks = Blocks(1_000);

/// The names in a document that the Bridge may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The wallets: the one that acts, and those that funds are moved to.
    pub(crate) wallets: Vec<KeyHash>,
    /// The deposits; a block of 0 is none.
    pub(crate) deposits: Vec<RevealedDeposit>,
    /// The scripts to be paid.
    pub(crate) scripts: Vec<ScriptBuf>,
    /// The output of moved funds.
    pub(crate) moved: Option<OutPoint>,
}

/// What there is to say of names that the Bridge doesn't know at the block. If it can't be read, nothing.
pub(crate) async fn hints(
    named: &Names,
    endpoint: &Endpoints,
    chain_id: u64,
    bridge: Address,
    block: Block,
) -> Vec<String> {
    let reader = SnapshotReader::new(endpoint.clone(), chain_id, bridge);
    let Ok(snapshot) = reader.snapshot(block, &named.keys()).await else { return Vec::new() };
    let mut hints = Vec::new();
    hints.extend(named.wallets.iter().filter_map(|&wallet| of_wallet(wallet, &snapshot)));
    for (item, deposit) in named.deposits.iter().enumerate() {
        hints.extend(of_deposit(item, deposit, &snapshot, block));
        if let Some(time) =
            revealed_at(deposit.outpoint, &snapshot).filter(|_| deposit.reveal_block > BlockNumber(0))
            && let Some(at) = block_of(deposit.outpoint, time, endpoint, bridge, block).await
            && at != deposit.reveal_block
        {
            hints.push(format!("deposit {item} was revealed in block {at}, not in {}", deposit.reveal_block));
        }
    }
    let [wallet, ..] = named.wallets.as_slice() else { return hints };
    for (item, script) in named.scripts.iter().enumerate() {
        hints.extend(of_script(item, script, *wallet, &snapshot));
    }
    hints.extend(named.moved.and_then(|outpoint| of_moved(outpoint, &snapshot)));
    hints
}

impl Names {
    /// All of them, and what they may have been meant to be.
    fn keys(&self) -> SnapshotKeys {
        let wallet = self.wallets.first().copied();
        let bare: Vec<_> = self.scripts.iter().filter_map(without_length).collect();
        let redemptions = self.scripts.iter().chain(&bare);
        let deposits = self.deposits.iter().map(|deposit| deposit.outpoint);
        SnapshotKeys {
            wallets: self.wallets.iter().flat_map(|&wallet| [wallet, reversed_wallet(wallet)]).collect(),
            deposits: deposits
                .flat_map(|outpoint| [outpoint, reversed(outpoint)])
                .map(DepositKey::new)
                .collect(),
            redemptions: wallet
                .into_iter()
                .flat_map(|wallet| redemptions.clone().map(move |script| RedemptionKey::new(wallet, script)))
                .collect(),
            sweep_requests: self
                .moved
                .into_iter()
                .flat_map(|outpoint| [outpoint, reversed(outpoint)])
                .map(SweepRequestKey::new)
                .collect(),
        }
    }
}

fn of_wallet(wallet: KeyHash, snapshot: &Snapshot) -> Option<String> {
    let is_unknown =
        |wallet| snapshot.wallet(wallet).is_ok_and(|record| record.state == WalletState::Unknown);
    is_unknown(wallet).then(|| {
        let reversed = reversed_wallet(wallet);
        if snapshot.wallet(reversed).is_ok() && !is_unknown(reversed) {
            format!("the Bridge knows no wallet {wallet}, but one of the same bytes reversed")
        } else {
            format!("the Bridge knows no wallet {wallet}: it may be mistyped, or of another chain")
        }
    })
}

fn of_deposit(item: usize, deposit: &RevealedDeposit, snapshot: &Snapshot, block: Block) -> Option<String> {
    let &RevealedDeposit { outpoint, reveal_block } = deposit;
    if revealed_at(outpoint, snapshot).is_none() && revealed_at(reversed(outpoint), snapshot).is_some() {
        return Some(format!(
            "deposit {item}: the same bytes reversed are known: a txid is written in Bitcoin's display order, {}",
            reversed(outpoint).txid
        ));
    }
    let newest = block.number;
    (reveal_block > newest).then(|| {
        format!("deposit {item}: block {reveal_block} is not there yet, the block judged at is {newest}")
    })
}

/// When the deposit was revealed. `None` if it wasn't.
fn revealed_at(outpoint: OutPoint, snapshot: &Snapshot) -> Option<UnixTime> {
    let record = snapshot.deposit(DepositKey::new(outpoint)).ok()?;
    Some(record.revealed_at).filter(|&at| at > 0).map(UnixTime::from)
}

/// The block in which the deposit was revealed at this time. None if the endpoint doesn't tell.
async fn block_of(
    outpoint: OutPoint,
    time: UnixTime,
    endpoint: &Endpoints,
    bridge: Address,
    newest: Block,
) -> Option<BlockNumber> {
    // On local chains, several blocks may have one time.
    let first = first_since(time, endpoint, newest.number).await?;
    let after = first_since(UnixTime(time.0.checked_add(1)?), endpoint, newest.number).await?;
    let blocks = first.to(after.min(first.saturating_add(MOST_OF_ONE_TIME)));
    let deposits: Vec<_> = blocks.map(|reveal_block| RevealedDeposit { outpoint, reveal_block }).collect();
    let reveals = endpoint.reveals(bridge, &deposits, newest).await.ok()?;
    let revealed = deposits.iter().zip(reveals).find(|(_, reveal)| reveal.is_some());
    revealed.map(|(deposit, _)| deposit.reveal_block)
}

/// The first block that is not before this time, found by halving; the newest if all are.
async fn first_since(time: UnixTime, endpoint: &Endpoints, newest: BlockNumber) -> Option<BlockNumber> {
    let (mut low, mut high) = (BlockNumber(0), newest);
    while low < high {
        let middle = BlockNumber(low.0.midpoint(high.0));
        let block = endpoint.block(BlockSelector::Number(middle)).await.ok()??;
        if block.timestamp < time { low = middle.next() } else { high = middle }
    }
    Some(low)
}

fn of_script(item: usize, script: &ScriptBuf, wallet: KeyHash, snapshot: &Snapshot) -> Option<String> {
    let is_pending = |script: &ScriptBuf| {
        snapshot.redemption(RedemptionKey::new(wallet, script)).is_ok_and(|record| record.requested_at > 0)
    };
    let bare = without_length(script).filter(|bare| !is_pending(script) && is_pending(bare))?;
    Some(format!(
        "script {item} begins with its own length, as in the Bridge's events: leave that out, 0x{bare:x} is known"
    ))
}

fn of_moved(outpoint: OutPoint, snapshot: &Snapshot) -> Option<String> {
    let is_known = |outpoint| {
        snapshot
            .sweep_request(SweepRequestKey::new(outpoint))
            .is_ok_and(|record| record.state != SweepRequestState::Unknown)
    };
    (!is_known(outpoint) && is_known(reversed(outpoint))).then(|| {
        let txid = reversed(outpoint).txid;
        format!("movingFundsTxid: the same bytes reversed are known: a txid is written in Bitcoin's display order, {txid}")
    })
}

/// The script behind its length, if it has one before it.
fn without_length(script: &ScriptBuf) -> Option<ScriptBuf> {
    let (&length, bare) = script.as_bytes().split_first()?;
    (usize::from(length) == bare.len()).then(|| ScriptBuf::from_bytes(bare.to_vec()))
}

fn reversed(outpoint: OutPoint) -> OutPoint {
    let mut bytes = outpoint.txid.to_byte_array();
    bytes.reverse();
    OutPoint::new(Txid::from_byte_array(bytes), outpoint.vout)
}

fn reversed_wallet(KeyHash(mut bytes): KeyHash) -> KeyHash {
    bytes.reverse();
    KeyHash(bytes)
}
