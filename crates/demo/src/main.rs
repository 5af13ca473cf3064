//! The demo: a local chain with the real Bridge, on which each of the five actions is due; a valid proposal and a
//! spoilt one for each, written as documents and validated the way `coxswain validate` does.

mod table;

use std::{
    process::ExitCode,
    time::{Instant, SystemTime},
};

use coxswain_cli::{
    Target,
    arguments::{AskingArguments, BitcoinArguments, EthereumArguments, FeeArguments},
    validate,
};
use coxswain_demo::{
    interruption::{Ended, until_told},
    proposals::{DemoProposal, proposals},
};
use coxswain_ethereum::BlockSelector;
use coxswain_testkit::Scene;
use eyre::Result;

use crate::table::{Row, table};

/// What a shell says of a program that a signal ended: 128 and the signal's number.
const EXIT_SIGNAL: u8 = 128;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    match until_told(demo()).await? {
        Ended::Done(result) => result,
        Ended::Told(signal) => Ok(ExitCode::from(EXIT_SIGNAL.saturating_add(signal))),
    }
}

async fn demo() -> Result<ExitCode> {
    let start = Instant::now();
    let tell = |step: &str| anstream::eprintln!("{:5.1} s  {step}", start.elapsed().as_secs_f64());
    let scene = Scene::set(tell).await?;
    tell("deploying our validator");
    let validator = scene.world.validator;
    let target = Target {
        ethereum: EthereumArguments {
            rpc_url: vec![scene.world.chain.url()],
            network: None,
            validator: Some(validator),
            bridge: Some(scene.world.bridge.address()),
            asking: AskingArguments::default(),
        },
        bitcoin: BitcoinArguments {
            bitcoin_url: Vec::new(),
            bitcoin_network: None,
            bitcoin_timeout: None,
            bitcoin_quorum: None,
        },
        fees: FeeArguments::default(),
        block: BlockSelector::Latest,
        require: None,
        now: SystemTime::now(),
    };

    tell("validating ten proposals\n");
    let mut rows = Vec::new();
    for DemoProposal { document, expected } in proposals(&scene)? {
        let asked = Instant::now();
        let report = validate(document.to_string().parse()?, &target).await?;
        rows.push(Row { report, expected, time: asked.elapsed() });
    }
    anstream::println!("{}", table(&rows));

    let unexpected = rows.iter().filter(|row| !row.is_as_expected()).count();
    if unexpected == 0 {
        anstream::println!("{} verdicts, all as expected.", rows.len());
        anstream::println!("Five nodes of a wallet, and a page that shows what they do: make devnet");
        Ok(ExitCode::SUCCESS)
    } else {
        anstream::eprintln!("error: {unexpected} of {} verdicts are not as expected", rows.len());
        Ok(ExitCode::FAILURE)
    }
}
