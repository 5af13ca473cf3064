//! The `coxswain` program: reads the command line, runs the command, prints, and exits with the documented code.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use coxswain_cli::{
    Document, Target,
    arguments::{Arguments, Command, ValidateArguments},
    validate,
};
use eyre::{WrapErr, ensure};

/// The longest document read, in bytes: far over any proposal, far under memory.
const DOCUMENT_LIMIT: u64 = 64 << 20;
/// Usage, or a malformed proposal.
const EXIT_USAGE: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { command: Command::Validate(arguments) } = Arguments::parse();
    match run_validate(arguments).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

async fn run_validate(arguments: ValidateArguments) -> eyre::Result<u8> {
    let ValidateArguments { file, rpc_url, network, validator, bridge, block, json } = arguments;
    let name = if is_stdin(&file) { "standard input".to_owned() } else { file.display().to_string() };
    let text = read(&file).wrap_err_with(|| format!("can't read {name}"))?;
    let document: Document = text.parse().wrap_err_with(|| name.clone())?;
    let target = Target { rpc_url, network: network.map(Into::into), validator, bridge, block };
    let report = validate(document, &target).await?;
    if json {
        anstream::println!("{:#}", report.to_json());
    } else {
        anstream::println!("{report}");
    }
    Ok(report.exit_code())
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
