//! Following servers' chains, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::{
    num::NonZeroU32,
    sync::{Mutex, MutexGuard},
};

use bitcoin::{BlockHash, Target};
use coxswain_bitcoin::{
    Endpoint, FollowError, Limits,
    chain::{HeaderChain, HeaderRules, Standing, Start},
    follow,
};
use coxswain_rules::units::Height;
use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
use serde_json::json;

/// Regtest never retargets.
const RULES: HeaderRules = HeaderRules {
    limit: Target::MAX_ATTAINABLE_REGTEST,
    interval: NonZeroU32::MAX,
    spacing: HeaderRules::MAINNET.spacing,
};

fn endpoint(server: &BitcoinServer) -> Endpoint {
    Endpoint::new(server.url(), Limits::default()).unwrap()
}

async fn electrum(chain: &Regtest, serving: Serving) -> BitcoinServer {
    BitcoinServer::electrum(chain, serving, |_, _| Reply::Forward).await.unwrap()
}

/// The chain of a regtest from its block at this height.
fn started(regtest: &Regtest, height: Height) -> Mutex<HeaderChain> {
    let header = regtest.blocks_from(height).first().unwrap().header;
    Mutex::new(HeaderChain::new(Start { height, header }, RULES))
}

fn at(chain: &Mutex<HeaderChain>) -> MutexGuard<'_, HeaderChain> {
    chain.lock().unwrap()
}

fn best(chain: &Mutex<HeaderChain>) -> (Height, BlockHash) {
    let chain = at(chain);
    (chain.height(), chain.tip().block_hash())
}

fn tip(regtest: &Regtest) -> BlockHash {
    regtest.blocks_from(regtest.height()).first().unwrap().block_hash()
}

#[tokio::test]
async fn servers_of_both_kinds_are_followed_through_a_reorganisation() {
    let regtest = Regtest::new();
    regtest.mine_empty(2_100).unwrap();
    let core = BitcoinServer::core(&regtest, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    let electrum = electrum(&regtest, Serving::default()).await;
    for server in [&core, &electrum] {
        let chain = started(&regtest, Height(3));
        assert_eq!(follow(&chain, &endpoint(server), u32::MAX).await, Ok(tip(&regtest)));
        assert_eq!(best(&chain), (regtest.height(), tip(&regtest)));
        let old = tip(&regtest);
        regtest.reorganize(5, &[]).unwrap();
        assert_eq!(follow(&chain, &endpoint(server), u32::MAX).await, Ok(tip(&regtest)));
        assert_eq!(best(&chain), (regtest.height(), tip(&regtest)));
        let forked = Standing::Forked { at: regtest.height().saturating_sub(6) };
        assert_eq!(at(&chain).standing(old), forked, "one block more than the five replaced");
    }
    // What is known is not asked for again.
    let chain = started(&regtest, Height(3));
    follow(&chain, &endpoint(&electrum), u32::MAX).await.unwrap();
    let asked = |server: &BitcoinServer| {
        server.methods().iter().filter(|method| *method == "blockchain.block.headers").count()
    };
    let before = asked(&electrum);
    follow(&chain, &endpoint(&electrum), u32::MAX).await.unwrap();
    // One request for the newest header: fewer than asked for are all there are.
    assert_eq!(asked(&electrum), before + 1);
}

#[tokio::test]
async fn a_server_that_lags_or_is_too_short_is_told_from_one_that_is_current() {
    let regtest = Regtest::new();
    regtest.mine_empty(20).unwrap();
    let chain = started(&regtest, Height(3));
    let whole = electrum(&regtest, Serving::default()).await;
    follow(&chain, &endpoint(&whole), u32::MAX).await.unwrap();
    for (behind, expected) in [(2, Standing::Current), (3, Standing::Behind { blocks: 3 })] {
        let late = electrum(&regtest, Serving { behind, ..Serving::default() }).await;
        let newest = follow(&chain, &endpoint(&late), u32::MAX).await.unwrap();
        let standing = at(&chain).standing(newest);
        assert_eq!((standing, best(&chain).0), (expected, regtest.height()));
    }
    let behind = regtest.height().0 - 2;
    let short = electrum(&regtest, Serving { behind, ..Serving::default() }).await;
    assert_eq!(follow(&chain, &endpoint(&short), u32::MAX).await, Err(FollowError::TooShort(Height(3))));

    // Another chain, with another block where ours starts.
    let other = Regtest::new();
    other.reorganize(other.height().0 - 1, &[]).unwrap();
    let stranger = electrum(&other, Serving::default()).await;
    let outcome = follow(&chain, &endpoint(&stranger), u32::MAX).await;
    let header = |regtest: &Regtest| regtest.blocks_from(Height(3))[0].block_hash();
    let (actual, expected) = (header(&other), header(&regtest));
    assert_eq!(outcome, Err(FollowError::OtherChain { height: Height(3), actual, expected }));
}

#[tokio::test]
async fn inc_47_headers_without_the_work_of_the_chain_are_refused() {
    // A header that costs two hashes, where mainnet's start must be followed.
    let regtest = Regtest::new();
    regtest.mine_empty(3).unwrap();
    let cheap: String = regtest
        .blocks_from(Height(1))
        .iter()
        .map(|block| bitcoin::consensus::encode::serialize_hex(&block.header))
        .collect();
    let count = regtest.blocks_from(Height(1)).len();
    let start = Start::mainnet();
    let server = BitcoinServer::electrum(&regtest, Serving::default(), move |method, params| match method {
        "blockchain.block.headers" if params[0] == start.height.0 => {
            Reply::Result(json!({ "count": count, "hex": cheap, "max": 2016 }))
        }
        _ => Reply::Forward,
    });
    let server = server.await.unwrap();
    let chain = Mutex::new(HeaderChain::new(start, HeaderRules::MAINNET));
    let outcome = follow(&chain, &endpoint(&server), u32::MAX).await;
    let (actual, expected) = (regtest.blocks_from(Height(1))[0].block_hash(), start.header.block_hash());
    assert_eq!(outcome, Err(FollowError::OtherChain { height: start.height, actual, expected }));
    assert_eq!(at(&chain).height(), start.height);
}
