//! `coxswain-world`: holds a world to try everything in, until it is told to end; and moves the one that another process holds.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::{Args, Parser, Subcommand};
use coxswain_demo::{
    interruption::{Ended, until_told},
    readme::{Place, commands},
    world::{Files, Ports, Standing, run},
};
use coxswain_testkit::Remote;
use eyre::Result;
use url::Url;

/// A local world to try Coxswain in: the real tBTC Bridge, Bitcoin, wallets, deposits and redemptions
#[derive(Debug, Parser)]
#[command(name = "coxswain-world", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    hold: HoldArguments,
}

#[derive(Debug, Args)]
struct HoldArguments {
    /// The first of the four ports in a row: Ethereum, Electrum, Bitcoin Core, Electrum over TLS; 0 for any
    #[arg(long, value_name = "PORT", default_value_t = 18_500)]
    port_base: u16,
    /// The folder for the file `env` and the proposals
    #[arg(long, value_name = "FOLDER", default_value = "target/world")]
    dir: PathBuf,
    /// Run the README's commands, check what each exits with, and end
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let time pass on both chains: 90s, 15min, 2h, 3d
    Advance {
        /// How much
        #[arg(value_parser = seconds)]
        time: u64,
        #[command(flatten)]
        endpoints: Endpoints,
    },
    /// Mine blocks on both chains
    Mine {
        /// How many
        #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
        blocks: u32,
        #[command(flatten)]
        endpoints: Endpoints,
    },
}

/// Where the world is that another process holds.
#[derive(Debug, Args)]
struct Endpoints {
    /// Its Ethereum endpoint
    #[arg(long, value_name = "URL", env = "WORLD_ETHEREUM_URL", default_value = "http://127.0.0.1:18500")]
    ethereum: Url,
    /// Its Bitcoin Core endpoint
    #[arg(
        long,
        value_name = "URL",
        env = "WORLD_BITCOIN_URL",
        default_value = "http://coxswain:secret@127.0.0.1:18502"
    )]
    bitcoin: Url,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let Arguments { command, hold } = Arguments::parse();
    let remote = |Endpoints { ethereum, bitcoin }| Remote::new(ethereum, bitcoin);
    let (ethereum, bitcoin) = match command {
        Some(Command::Advance { time, endpoints }) => remote(endpoints).advance(time).await?,
        Some(Command::Mine { blocks, endpoints }) => remote(endpoints).mine(blocks).await?,
        None => {
            return match until_told(self::hold(&hold)).await? {
                Ended::Done(result) => result,
                Ended::Told(_) => {
                    anstream::eprintln!("the world has ended, and left nothing behind");
                    Ok(ExitCode::SUCCESS)
                }
            };
        }
    };
    anstream::println!("Ethereum is at block {ethereum}, Bitcoin at block {bitcoin}");
    Ok(ExitCode::SUCCESS)
}

/// Sets the world up, and holds it for ever, or for the README's commands.
async fn hold(arguments: &HoldArguments) -> Result<ExitCode> {
    let start = Instant::now();
    let tell = |step: &str| anstream::eprintln!("{:5.1} s  {step}", start.elapsed().as_secs_f64());
    let world = Standing::set_up(Ports::from(arguments.port_base)?, tell).await?;
    let files = world.write(&arguments.dir)?;
    tell("the world stands\n");
    if arguments.once {
        return try_out(&files).await;
    }
    // Not indented: what is pasted may end with a line of its own.
    anstream::println!("In another terminal, in this folder:\n\n. {}\n", files.env().display());
    for block in commands(Place::World) {
        anstream::println!("{}\n", block.script);
    }
    anstream::println!("Ctrl-C ends the world.");
    std::future::pending().await
}

/// Runs every command, and says whether each exits with what it should.
async fn try_out(files: &Files) -> Result<ExitCode> {
    let (mut all, mut wrong) = (0, 0);
    for block in commands(Place::World) {
        anstream::println!("$ {}", block.script.replace('\n', "\n  "));
        let output = run(&block, &files.env()).await?;
        anstream::print!("{}", String::from_utf8_lossy(&output.stdout));
        anstream::eprint!("{}", String::from_utf8_lossy(&output.stderr));
        all += 1;
        let (actual, expected) = (output.status.code(), block.exit_code);
        if actual == Some(expected) {
            anstream::println!("[exit code {expected}]\n");
        } else {
            wrong += 1;
            let actual = actual.map_or_else(|| "none".to_owned(), |code| code.to_string());
            anstream::println!("[exit code {actual}, expected {expected}]\n");
        }
    }
    if wrong == 0 {
        anstream::println!("{all} commands, all as the README says");
        Ok(ExitCode::SUCCESS)
    } else {
        anstream::eprintln!("error: {wrong} of {all} commands are not as the README says");
        Ok(ExitCode::FAILURE)
    }
}

/// Reads a time: a number with its unit.
fn seconds(text: &str) -> Result<u64, String> {
    let malformed = || format!("`{text}` is no time: expected a number with s, min, h or d, as in 2h");
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(malformed)?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(malformed()),
    };
    let number: u64 = number.parse().map_err(|_| malformed())?;
    number
        .checked_mul(unit)
        .filter(|&seconds| seconds <= MOST)
        .ok_or_else(|| format!("at most {} d", MOST / 86_400))
}

/// The longest leap, in seconds: a year.
const MOST: u64 = 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_a_unit_up_to_a_year() {
        for (text, expected) in [("90s", 90), ("15min", 900), ("2h", 7_200), ("3d", 259_200), ("365d", MOST)]
        {
            assert_eq!(seconds(text), Ok(expected));
        }
        for text in ["", "2", "h", "-1h", "2 h", "2w", "366d", "99999999999999999999s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
