//! Following servers' chains, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use std::num::NonZeroU32;

use bitcoin::{BlockHash, Target};
use coxswain_bitcoin::{
    Endpoint, Limits,
    chain::{FlawError, FollowError, HeaderChain, HeaderError, HeaderRules, Standing, Start, follow},
};
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
fn started(regtest: &Regtest, height: u32) -> HeaderChain {
    let header = regtest.blocks_from(height).first().unwrap().header;
    HeaderChain::new(Start { height, header }, RULES)
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
        let mut chain = started(&regtest, 3);
        assert_eq!(follow(&mut chain, &endpoint(server), u32::MAX).await, Ok(tip(&regtest)));
        assert_eq!((chain.height(), chain.tip().block_hash()), (regtest.height(), tip(&regtest)));
        let old = tip(&regtest);
        regtest.reorganize(5, &[]).unwrap();
        assert_eq!(follow(&mut chain, &endpoint(server), u32::MAX).await, Ok(tip(&regtest)));
        assert_eq!((chain.height(), chain.tip().block_hash()), (regtest.height(), tip(&regtest)));
        let forked = Standing::Forked { at: regtest.height() - 6 };
        assert_eq!(chain.standing(old), forked, "one block more than the five replaced");
    }
    // What is known is not asked for again.
    let mut chain = started(&regtest, 3);
    follow(&mut chain, &endpoint(&electrum), u32::MAX).await.unwrap();
    let asked = |server: &BitcoinServer| {
        server.methods().iter().filter(|method| *method == "blockchain.block.headers").count()
    };
    let before = asked(&electrum);
    follow(&mut chain, &endpoint(&electrum), u32::MAX).await.unwrap();
    // One request for the newest header, and one that says that there are no more.
    assert_eq!(asked(&electrum), before + 2);
}

#[tokio::test]
async fn a_server_that_lags_or_is_too_short_is_told_from_one_that_is_current() {
    let regtest = Regtest::new();
    regtest.mine_empty(20).unwrap();
    let mut chain = started(&regtest, 3);
    let whole = electrum(&regtest, Serving::default()).await;
    follow(&mut chain, &endpoint(&whole), u32::MAX).await.unwrap();
    for (behind, expected) in [(2, Standing::Current), (3, Standing::Behind { blocks: 3 })] {
        let late = electrum(&regtest, Serving { behind, ..Serving::default() }).await;
        let newest = follow(&mut chain, &endpoint(&late), u32::MAX).await.unwrap();
        assert_eq!((chain.standing(newest), chain.height()), (expected, regtest.height()));
    }
    let behind = regtest.height() - 2;
    let short = electrum(&regtest, Serving { behind, ..Serving::default() }).await;
    assert_eq!(follow(&mut chain, &endpoint(&short), u32::MAX).await, Err(FollowError::TooShort(3)));

    // Another chain, with another block where ours starts.
    let other = Regtest::new();
    other.reorganize(other.height() - 1, &[]).unwrap();
    let stranger = electrum(&other, Serving::default()).await;
    let outcome = follow(&mut chain, &endpoint(&stranger), u32::MAX).await;
    let unlinked = HeaderError { height: 3, flaw: FlawError::Unlinked };
    assert_eq!(outcome, Err(FollowError::Header(unlinked)));
}

#[tokio::test]
async fn inc_47_headers_without_the_work_of_the_chain_are_refused() {
    // A header that costs two hashes, where mainnet's start must be followed.
    let regtest = Regtest::new();
    regtest.mine_empty(3).unwrap();
    let cheap: String = regtest
        .blocks_from(1)
        .iter()
        .map(|block| bitcoin::consensus::encode::serialize_hex(&block.header))
        .collect();
    let count = regtest.blocks_from(1).len();
    let start = Start::mainnet();
    let server = BitcoinServer::electrum(&regtest, Serving::default(), move |method, params| match method {
        "blockchain.block.headers" if params[0] == start.height => {
            Reply::Result(json!({ "count": count, "hex": cheap, "max": 2016 }))
        }
        _ => Reply::Forward,
    });
    let server = server.await.unwrap();
    let mut chain = HeaderChain::new(start, HeaderRules::MAINNET);
    let unlinked = HeaderError { height: start.height, flaw: FlawError::Unlinked };
    let outcome = follow(&mut chain, &endpoint(&server), u32::MAX).await;
    assert_eq!(outcome, Err(FollowError::Header(unlinked)));
    assert_eq!(chain.height(), start.height);
}
