//! `coxswain-devnet`: five nodes of a wallet and a maintainer, alive on local chains, until it is told to end.

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use coxswain_demo::{
    devnet::{HELP, Life, Operators, Ports, read_orders},
    interruption::{Ended, until_told},
    readme::{Place, commands},
};
use eyre::{Result, WrapErr};

/// Five nodes of a wallet and a maintainer on local chains: the real tBTC Bridge, Bitcoin, a block a second, and deposits and
/// redemptions that arrive by themselves
///
/// The nodes hold 3, 2, 2, 1 and 1 of the wallet's nine seats. Blocks are 12 seconds apart to the chain, so that an hour of it takes
/// five minutes. While it runs, lines on standard input order what happens; `help` says which.
#[derive(Debug, Parser)]
#[command(name = "coxswain-devnet", version, max_term_width = 100)]
struct Arguments {
    /// The first of forty ports: Ethereum, Electrum, Bitcoin Core, a second Ethereum server, then the operators' links and pages
    #[arg(long, value_name = "PORT", default_value_t = 18_500)]
    port_base: u16,
    /// The folder for configurations, journals and logs; those of an earlier devnet are removed from it
    #[arg(long, value_name = "FOLDER", default_value = "target/devnet")]
    dir: PathBuf,
    /// How long a block takes here, in milliseconds; with 0, blocks come by `coxswain-world mine` alone [default: 1000; with --shares 2000]
    #[arg(long, value_name = "MILLISECONDS")]
    pace: Option<u64>,
    /// Nobody has the wallet's key: each node has shares for its seats, and five seats sign. Needs a coxswain built with threshold signing
    #[arg(long)]
    shares: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match until_told(run(&arguments)).await? {
        Ended::Done(result) => result.map(|()| ExitCode::FAILURE),
        Ended::Told(_) => {
            let folder = arguments.dir.display();
            anstream::eprintln!(
                "the devnet has ended; journals and logs are in {folder} until the next one starts"
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let tell = |step: &str| anstream::eprintln!("{:6.1} s  {step}", start.elapsed().as_secs_f64());
    let ports = Ports::from(arguments.port_base)?;
    let dir = arguments.dir.display();
    fs::create_dir_all(&arguments.dir).wrap_err_with(|| format!("can't create {dir}"))?;
    let folder = fs::canonicalize(&arguments.dir)?;
    let life = Life::set_up(ports, tell).await?;
    life.equip().await?;
    let plan = life.plan(folder, arguments.shares);
    tell("starting the nodes and the maintainer");
    let operators = Operators::start_all(plan.clone()).await?;
    life.write_variables(&plan)?;
    tell("the devnet stands\n");
    anstream::println!("{}", operators.table());
    anstream::println!("Type what is to happen here, and press the return key:\n\n{HELP}\n");
    anstream::println!(
        "The first deposit is old enough after ten minutes, and then swept. In another terminal, in this folder:\n\n. {dir}/env\n"
    );
    // Not indented: what is pasted may end with a line of its own.
    for block in commands(Place::Devnet) {
        anstream::println!("{}\n", block.script);
    }
    anstream::println!("Ctrl-C ends all. Logs, journals and configurations are in {dir}.\n");
    anstream::println!("page: {}", ports.page(1));
    // A round of signing with shares has one block.
    let pace = arguments.pace.unwrap_or(if arguments.shares { 2_000 } else { 1_000 });
    let pace = (pace > 0).then(|| Duration::from_millis(pace));
    match life.go_on(pace, operators, read_orders(), tell).await? {}
}
