//! The conformance suite, against real peers: btcd through Bitcoin Core's RPC, and ElectrumX on top of it. `make test-peers`
//! runs it.

#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

#[path = "../tests/all/backends/conformance.rs"]
mod conformance;

use std::time::Instant;

use conformance::{Ground, each_case};
use coxswain_bitcoin::{Endpoint, Limits};
use coxswain_testkit::{Btcd, ElectrumX, Regtest};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Btcd,
    ElectrumX,
}

struct Real {
    chain: Regtest,
    node: Btcd,
    server: Option<ElectrumX>,
    endpoint: Endpoint,
}

impl Real {
    async fn start(kind: Kind) -> Self {
        let (chain, node) = (Regtest::recent(), Btcd::start().await.unwrap());
        let server = match kind {
            Kind::Btcd => None,
            Kind::ElectrumX => Some(ElectrumX::start(&node).await.unwrap()),
        };
        let url = server.as_ref().map_or(node.url(), ElectrumX::url);
        let endpoint = Endpoint::new(url, Limits::default()).unwrap();
        Self { chain, node, server, endpoint }
    }
}

impl Ground for Real {
    fn chain(&self) -> &Regtest {
        &self.chain
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn settle(&self) {
        self.node.follow(&self.chain).await.unwrap();
        if let Some(server) = &self.server {
            server.follow(&self.chain).await.unwrap();
        }
    }
}

#[tokio::main]
async fn main() {
    let mut passed = 0;
    for kind in [Kind::Btcd, Kind::ElectrumX] {
        // The cases leave each other alone: each has coins of its own.
        let ground = Real::start(kind).await;
        macro_rules! run {
            ($case:ident) => {
                let started = Instant::now();
                conformance::$case(&ground).await;
                println!("{kind:?}: {} ({:.1} s)", stringify!($case), started.elapsed().as_secs_f32());
                passed += 1;
            };
        }
        each_case!(run);
    }
    println!("test result: ok. {passed} passed; 0 failed: real Bitcoin peers");
}
