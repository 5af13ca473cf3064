//! How many times is asked for a sweep of 20 among 20 and among 1,000 revealed deposits: Ethereum requests, a batch being one, and
//! Bitcoin batches, counted by proxies on the way. `generate` is in a process that runs, `propose` and `validate` are whole programs,
//! checks of endpoints included. Each is asked of an endpoint that proves state, and of one that doesn't.

#![allow(clippy::unwrap_used, reason = "a measurement that fails is none")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
    time::SystemTime,
};

use alloy_primitives::Address;
use bitcoin::FeeRate;
use clap::Parser;
use coxswain_bitcoin::{Backend, Backends, Limits};
use coxswain_cli::{
    Document, Report, Target,
    arguments::{Arguments, Command, ProposeArguments},
    propose::propose,
    validate,
};
use coxswain_ethereum::{BlockSelector, Chain, Endpoints, EventLog, EventReader, ProposalValidator};
use coxswain_proposals::{Memory, Session, Sources};
use coxswain_rules::{Action, Amount, network::Parameters, units::BlockNumber};
use coxswain_testkit::{BitcoinServer, DepositSpec, FaultyEndpoint, Reply, Serving, Wallet, World};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use url::Url;

/// What a client sends that asks about each revealed deposit by itself: the Bridge's record, the event of its reveal, its
/// funding transaction, that one's confirmations, whether its output is unspent, and what it is worth to the fee.
const ONE_BY_ONE: usize = 6;
/// At most so many Bitcoin batches, in a running process, however many deposits there are: before what a server says counts, it is
/// asked for its newest block, and what it says is in a block it must prove. A node is asked for a block's hash, and by that for
/// the block, where an Electrum server is asked once.
const AIMS: [(&str, usize); 2] = [("Electrum", 12), ("Core", 16)];
const ANVIL: u64 = 31337;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("revealed  state   Bitcoin   what       Ethereum requests  Bitcoin batches      ms  one by one");
    let mut world = World::start().await.unwrap();
    let wallet = world.wallet(1).await.unwrap();
    let validator = world.validator;
    let first = world.reveal(&wallet, DepositSpec::default()).await.unwrap();
    world.sweep(&wallet, &[first], Amount::from_sat(10_000)).await.unwrap();
    let mut revealed = 0;
    for count in [20, 1_000] {
        for _ in revealed..count {
            world.reveal(&wallet, DepositSpec::default()).await.unwrap();
        }
        revealed = count;
        world.chain.mine(32).await.unwrap();
        world.chain.advance(3 * 3600).await.unwrap();
        let serving = Serving::default;
        let electrum = BitcoinServer::electrum(&world.bitcoin, serving(), |_, _| Reply::Forward);
        let core = BitcoinServer::core(&world.bitcoin, serving(), |_, _| Reply::Forward);
        for (kind, server) in [("Electrum", electrum.await.unwrap()), ("Core", core.await.unwrap())] {
            for proves in [true, false] {
                let upstream = world.chain.url();
                let meet = move |method: &str| match method {
                    "eth_getProof" if !proves => {
                        Reply::Error(json!({ "code": -32601, "message": "the method does not exist" }))
                    }
                    _ => Reply::Forward,
                };
                let (bitcoin_url, batches) = counted(server.url()).await;
                let counted = Counted {
                    world: &world,
                    wallet: &wallet,
                    validator,
                    revealed,
                    state: if proves { "proven" } else { "word" },
                    kind,
                    ethereum: FaultyEndpoint::start(upstream, meet).await.unwrap(),
                    bitcoin_url,
                    batches,
                };
                counted.generate().await;
                counted.programs().await;
            }
        }
    }
}

struct Counted<'a> {
    world: &'a World,
    wallet: &'a Wallet,
    validator: Address,
    revealed: usize,
    state: &'static str,
    kind: &'static str,
    ethereum: FaultyEndpoint,
    bitcoin_url: String,
    batches: Arc<AtomicUsize>,
}

impl Counted<'_> {
    /// In a process that runs: endpoints are checked and connections are open, but no event or deposit is known yet.
    async fn generate(&self) {
        let endpoint = Endpoints::new(self.ethereum.url().clone()).unwrap();
        let url = self.bitcoin_url.parse().unwrap();
        let bitcoin = coxswain_bitcoin::Endpoint::new(&url, Limits::default()).unwrap();
        let expected = coxswain_bitcoin::Expected::on(bitcoin::Network::Regtest);
        let bitcoin = Backends::new(vec![bitcoin], expected);
        bitcoin.tip().await.unwrap();
        endpoint.block(BlockSelector::Latest).await.unwrap();

        let run = self.start();
        let validator = ProposalValidator::new(endpoint.clone(), ANVIL, self.validator);
        let (_, named) = Chain::new(ANVIL).named(&endpoint, BlockSelector::Latest).await.unwrap();
        let bridge = self.world.bridge.address();
        let events =
            EventReader::new(endpoint, EventLog::new(bridge, BlockNumber(0)), Parameters::LOCAL.final_depth);
        events.follow(named.header.block()).await.unwrap();
        let fallback = Some(FeeRate::from_sat_per_vb_u32(5));
        let sources = Sources::new(events, ANVIL, validator, bitcoin, Parameters::LOCAL, fallback);
        let mut memory = Memory::default();
        let wallet = self.wallet.key_hash();
        let mut session = Session::new(&sources, wallet, named, &mut memory);
        let generation = session.generate_first([Action::Redemption, Action::DepositSweep]).await;
        assert!(generation.proposed().is_some(), "{generation:?}");
        let asked = self.show("generate", run, ONE_BY_ONE * self.revealed);
        let (_, aim) = AIMS.into_iter().find(|(kind, _)| *kind == self.kind).unwrap();
        assert!(asked.1 <= aim, "{}: more than {aim}", self.kind);
    }

    /// From the first connection on.
    async fn programs(&self) {
        let (wallet, validator) = (self.wallet.key_hash().to_string(), self.validator.to_string());
        let rpc_url = self.ethereum.url().to_string();
        let arguments = ["coxswain", "propose", "--wallet", &wallet, "--action", "deposit-sweep"];
        let asked = ["--rpc-url", &rpc_url, "--bitcoin-url", &self.bitcoin_url, "--validator", &validator];
        let arguments = Arguments::parse_from(arguments.iter().chain(&asked));
        let Command::Propose(arguments) = arguments.command else { unreachable!("that is the command") };
        let run = self.start();
        let mut json = propose(&arguments, SystemTime::now()).await.unwrap().to_json();
        self.show("propose", run, ONE_BY_ONE * self.revealed);

        // As a proposal comes over the wire: without what each member must look up.
        let proposal = json.get_mut("proposal").unwrap();
        let deposits = proposal.get_mut("deposits").and_then(Value::as_array_mut).unwrap();
        let count = deposits.len();
        assert_eq!(count, 20);
        for deposit in deposits {
            let deposit = deposit.as_object_mut().unwrap();
            deposit.remove("script").and(deposit.remove("fundingTransaction")).unwrap();
        }
        let document: Document = proposal.to_string().parse().unwrap();
        let ProposeArguments { ethereum, bitcoin, fees, block, .. } = arguments;
        let target = Target { ethereum, bitcoin, fees, block, require: None, now: SystemTime::now() };
        let run = self.start();
        let report = validate(document, &target).await.unwrap();
        assert_eq!(report.exit_code(), 0, "{report}");
        self.show("validate", run, ONE_BY_ONE * count);
    }

    fn asked(&self) -> (usize, usize) {
        (self.ethereum.requests(), self.batches.load(Ordering::Relaxed))
    }

    fn start(&self) -> ((usize, usize), Instant) {
        (self.asked(), Instant::now())
    }

    fn show(&self, what: &str, run: ((usize, usize), Instant), one_by_one: usize) -> (usize, usize) {
        let (before, start) = run;
        let now = self.asked();
        let (requests, batches) = (now.0 - before.0, now.1 - before.1);
        let (revealed, state, kind) = (self.revealed, self.state, self.kind);
        let ms = start.elapsed().as_millis();
        println!(
            "{revealed:>8}  {state:6}  {kind:8}  {what:9}  {requests:>17}  {batches:>15}  {ms:>6}  {one_by_one:>10}"
        );
        (requests, batches)
    }
}

/// A proxy of a Bitcoin server that counts batches: what a client sends before it hears an answer is one.
async fn counted(upstream: &Url) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut url = upstream.clone();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let upstream = (upstream.host_str().unwrap().to_owned(), upstream.port().unwrap());
    let batches = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&batches);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(upstream.clone()).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let answered = Arc::new(AtomicBool::new(true));
            let (count, heard) = (Arc::clone(&count), Arc::clone(&answered));
            let starts = move || {
                if heard.swap(false, Ordering::Relaxed) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            tokio::spawn(pass_on(from_client, to_server, starts));
            tokio::spawn(pass_on(from_server, to_client, move || answered.store(true, Ordering::Relaxed)));
        }
    });
    (url.to_string(), batches)
}

/// Passes on what comes, telling each time.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, tell: impl Fn()) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        tell();
        let Some(bytes) = buffer.get(..read) else { break };
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
}
