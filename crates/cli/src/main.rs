//! The `coxswain` program: reads the command line, runs the command, prints, and exits with the documented code.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use coxswain_cli::{
    Document, Target,
    arguments::{Arguments, Command, ValidateArguments},
    coordination::CoordinationError,
    explain,
    leader::leader,
    simulate::simulate,
    validate,
    window::window,
};
use eyre::{WrapErr, ensure};

/// The longest document read, in bytes: far over any proposal, far under memory.
const DOCUMENT_LIMIT: u64 = 64 << 20;
/// Done.
const EXIT_OK: u8 = 0;
/// Usage, or a malformed proposal.
const EXIT_USAGE: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Validate(arguments) => run_validate(arguments).await,
        Command::Explain(arguments) => run_explain(arguments).await,
        Command::Window(arguments) => {
            let report = window(&arguments).await;
            report.map(|report| print(arguments.json, &report, || report.to_json())).map_err(Into::into)
        }
        Command::Leader(arguments) => {
            let report = leader(&arguments).await;
            report.map(|report| print(arguments.json, &report, || report.to_json())).map_err(Into::into)
        }
        Command::Simulate(arguments) => {
            let report = simulate(&arguments);
            print(arguments.json, &report, || report.to_json());
            Ok(EXIT_OK)
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            let code = error.downcast_ref().map_or(EXIT_USAGE, CoordinationError::exit_code);
            ExitCode::from(code)
        }
    }
}

/// Prints a report for people, or for programs.
fn print(json: bool, report: &impl Display, to_json: impl FnOnce() -> serde_json::Value) -> u8 {
    if json {
        anstream::println!("{:#}", to_json());
    } else {
        anstream::println!("{report}");
    }
    EXIT_OK
}

async fn run_validate(arguments: ValidateArguments) -> eyre::Result<u8> {
    let json = arguments.json;
    let (document, target) = question(arguments)?;
    let report = validate(document, &target).await?;
    print(json, &report, || report.to_json());
    Ok(report.exit_code())
}

async fn run_explain(arguments: ValidateArguments) -> eyre::Result<u8> {
    let json = arguments.json;
    let (document, target) = question(arguments)?;
    let explanation = explain(document, &target).await?;
    print(json, &explanation, || explanation.to_json());
    Ok(explanation.exit_code())
}

/// What is to be judged, and by whom.
fn question(arguments: ValidateArguments) -> eyre::Result<(Document, Target)> {
    let ValidateArguments { file, rpc_url, network, validator, bridge, block, .. } = arguments;
    let name = if is_stdin(&file) { "standard input".to_owned() } else { file.display().to_string() };
    let text = read(&file).wrap_err_with(|| format!("can't read {name}"))?;
    let document = text.parse().wrap_err_with(|| name.clone())?;
    Ok((document, Target { rpc_url, network: network.map(Into::into), validator, bridge, block }))
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn read(file: &Path) -> eyre::Result<String> {
    let source: Box<dyn Read> =
        if is_stdin(file) { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
    let mut text = String::new();
    source.take(DOCUMENT_LIMIT + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= DOCUMENT_LIMIT, "it is longer than {DOCUMENT_LIMIT} bytes");
    Ok(text)
}
