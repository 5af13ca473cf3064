//! A validator behind nodes with faults, in front of a real chain: only the fault differs from a valid verdict.

use std::sync::atomic::{AtomicUsize, Ordering};

use coxswain_ethereum::{BlockSelector, ContractVerdict, Endpoints, Expected, ProposalValidator};
use coxswain_rules::{Case, HeartbeatProposal, KeyHash, Subject};
use coxswain_testkit::{FaultyEndpoint, Reply, World};

use crate::validators::ANVIL;

/// A sound heartbeat.
pub(crate) fn heartbeat() -> Case {
    let message = [[0xff; 8], [0; 8]].concat();
    Case { wallet: KeyHash([1; 20]), subject: Subject::Heartbeat(HeartbeatProposal { message }) }
}

/// The world's node, which meets requests so.
pub(crate) async fn faulty(
    world: &World,
    meet: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> FaultyEndpoint {
    FaultyEndpoint::start(world.chain.url(), meet).await.unwrap()
}

/// The validator's verdict on the case, as the first of these nodes tells it that can.
pub(crate) async fn verdict<const N: usize>(
    world: &World,
    nodes: [&FaultyEndpoint; N],
    case: &Case,
) -> ContractVerdict {
    let urls = nodes.map(|node| node.url().clone());
    let endpoints = Endpoints::several(urls, Expected::default()).unwrap();
    let validator = ProposalValidator::new(endpoints, ANVIL, world.validator);
    validator.validate(case, BlockSelector::Latest).await.verdict
}

/// Forwards everything but the calls, which are met so.
pub(crate) fn calls(reply: Reply) -> impl Fn(&str) -> Reply {
    move |method| if method == "eth_call" { reply.clone() } else { Reply::Forward }
}

/// Meets the first call so, and forwards everything else.
pub(crate) fn first_call(reply: Reply) -> impl Fn(&str) -> Reply {
    let met = AtomicUsize::new(0);
    move |method| {
        let first = method == "eth_call" && met.fetch_add(1, Ordering::SeqCst) == 0;
        if first { reply.clone() } else { Reply::Forward }
    }
}

/// How often the node was asked this.
pub(crate) fn count(node: &FaultyEndpoint, method: &str) -> usize {
    node.methods().iter().filter(|asked| *asked == method).count()
}
