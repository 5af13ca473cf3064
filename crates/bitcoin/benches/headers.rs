//! What the header chain costs: the first sync of 75,000 headers and a later start, by each kind of server, in seconds and bytes.
//! The chain is mined here at the lowest difficulty; the servers are in this process, so that the figures hold both sides' work.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark"
)]

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use bitcoin::{Network, Target};
use coxswain_bitcoin::{
    Backend, Backends, Endpoint, Expected, HeaderFile, Limits,
    chain::{HeaderRules, Start},
};
use coxswain_rules::units::Height;
use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use url::Url;

const HEADERS: u32 = 75_000;
/// Regtest's, which never retargets.
const RULES: HeaderRules = HeaderRules {
    limit: Target::MAX_ATTAINABLE_REGTEST,
    interval: NonZeroU32::MAX,
    spacing: HeaderRules::MAINNET.spacing,
};

static NOW: AtomicU64 = AtomicU64::new(0);
static RECEIVED: AtomicU64 = AtomicU64::new(0);
static SENT: AtomicU64 = AtomicU64::new(0);

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::Relaxed))
}

/// The server's URL, behind something that counts.
async fn counted(url: &Url) -> Url {
    let upstream = format!("127.0.0.1:{}", url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut counted = url.clone();
    counted.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let upstream = upstream.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(upstream).await.unwrap();
                if let Ok((sent, received)) = copy_bidirectional(&mut client, &mut server).await {
                    SENT.fetch_add(sent, Ordering::Relaxed);
                    RECEIVED.fetch_add(received, Ordering::Relaxed);
                }
            });
        }
    });
    counted
}

#[tokio::main]
async fn main() {
    let chain = Regtest::new();
    let start = Start { height: Height(0), header: chain.blocks_from(Height(0))[0].header };
    chain.mine_empty(HEADERS - chain.height().0).unwrap();
    let tip = chain.blocks_from(chain.height())[0].header;
    NOW.store(tip.time.into(), Ordering::Relaxed);
    let expected = Expected { chain: Some((start, RULES)), clock, ..Expected::on(Network::Regtest) };
    let folder = tempfile::tempdir().unwrap();
    let electrum = BitcoinServer::electrum(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    let core = BitcoinServer::core(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    for (kind, server) in [("Electrum", &electrum), ("Core", &core)] {
        let url = counted(server.url()).await;
        for what in ["first sync", "later start"] {
            for count in [&SENT, &RECEIVED] {
                count.store(0, Ordering::Relaxed);
            }
            let file = Box::new(HeaderFile::new(folder.path().join(kind)));
            let started = Instant::now();
            let backends =
                Backends::keeping(vec![Endpoint::new(&url, Limits::default()).unwrap()], expected, file);
            let found = backends.tip().await.unwrap();
            assert_eq!((found.height, found.header), (Height(HEADERS), tip));
            let seconds = started.elapsed().as_secs_f64();
            let trips = backends.endpoints().next().unwrap().round_trips();
            // The connections end with it, and are counted then.
            drop(backends);
            tokio::time::sleep(Duration::from_millis(200)).await;
            let [sent, received] = [&SENT, &RECEIVED].map(|count| count.load(Ordering::Relaxed) as f64 / 1e6);
            println!(
                "{kind}, {what}: {HEADERS} headers in {seconds:.2} s, {trips} round trips, {sent:.2} MB sent, {received:.2} MB received"
            );
        }
    }
}
