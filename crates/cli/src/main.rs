//! The `coxswain` program: reads the command line, runs the command, prints, and exits with the documented code.

use std::{
    env,
    fmt::Display,
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::Path,
    process::ExitCode,
    time::SystemTime,
};

use clap::CommandFactory;
use coxswain_cli::{
    Document, Target,
    arguments::{Arguments, Command, ValidateArguments},
    coordination::CoordinationError,
    doctor::doctor,
    explain,
    leader::leader,
    propose::propose,
    simulate::simulate,
    validate,
    window::window,
};
use coxswain_ethereum::Undecided;
use eyre::{WrapErr, ensure};
use serde_json::json;

/// The longest document read, in bytes: far over any proposal, far under memory.
const DOCUMENT_LIMIT: u64 = 64 << 20;
/// Done.
const EXIT_OK: u8 = 0;
/// Usage, or a malformed proposal.
const EXIT_USAGE: u8 = 2;
/// No answer, or none that could be given.
const EXIT_UNDECIDED: u8 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(env::args_os(), |name| env::var_os(name)) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match answer(arguments.command).await {
        Ok(Answer { text, exit_code }) => match writeln!(anstream::stdout(), "{text}") {
            // A reader that has seen enough, as `head` has, is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                report_error(&eyre::Report::new(error).wrap_err("can't write the answer"), EXIT_UNDECIDED)
            }
            _ => ExitCode::from(exit_code),
        },
        Err(error) => {
            let exit_code = error.downcast_ref().map_or(EXIT_USAGE, CoordinationError::exit_code);
            report_error(&error, exit_code)
        }
    }
}

/// Tells people what went wrong, where anybody still reads it.
fn report_error(error: &eyre::Report, exit_code: u8) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "error: {error:#}");
    ExitCode::from(exit_code)
}

/// What a command prints, and the code that the program then exits with.
struct Answer {
    text: String,
    exit_code: u8,
}

impl Answer {
    /// A report for people, or for programs.
    fn new(
        json: bool,
        report: &impl Display,
        to_json: impl FnOnce() -> serde_json::Value,
        exit_code: u8,
    ) -> Self {
        let text = if json { format!("{:#}", to_json()) } else { report.to_string() };
        Self { text, exit_code }
    }

    /// What left a question open, for programs.
    fn undecided(undecided: &Undecided) -> Self {
        let json = json!({ "cause": undecided.kind(), "reason": undecided.to_string() });
        Self { text: format!("{json:#}"), exit_code: EXIT_UNDECIDED }
    }
}

async fn answer(command: Command) -> eyre::Result<Answer> {
    Ok(match command {
        Command::Validate(arguments) => {
            let json = arguments.json;
            let (document, target) = question(arguments)?;
            let report = validate(document, &target).await?;
            Answer::new(json, &report, || report.to_json(), report.exit_code())
        }
        Command::Explain(arguments) => {
            let json = arguments.json;
            let (document, target) = question(arguments)?;
            let explanation = explain(document, &target).await?;
            Answer::new(json, &explanation, || explanation.to_json(), explanation.exit_code())
        }
        Command::Propose(arguments) => {
            let proposing = propose(&arguments).await?;
            Answer::new(arguments.json, &proposing, || proposing.to_json(), proposing.exit_code())
        }
        Command::Window(arguments) => match window(&arguments).await {
            Err(CoordinationError::Undecided(undecided)) if arguments.json => Answer::undecided(&undecided),
            report => {
                let report = report?;
                Answer::new(arguments.json, &report, || report.to_json(), EXIT_OK)
            }
        },
        Command::Leader(arguments) => match leader(&arguments).await {
            Err(CoordinationError::Undecided(undecided)) if arguments.json => Answer::undecided(&undecided),
            report => {
                let report = report?;
                Answer::new(arguments.json, &report, || report.to_json(), EXIT_OK)
            }
        },
        Command::Doctor(arguments) => {
            let diagnosis = doctor(&arguments, SystemTime::now()).await?;
            Answer::new(arguments.json, &diagnosis, || diagnosis.to_json(), diagnosis.exit_code())
        }
        Command::Completions(arguments) => {
            let mut text = Vec::new();
            clap_complete::generate(arguments.shell, &mut Arguments::command(), "coxswain", &mut text);
            Answer { text: String::from_utf8(text)?.trim_end().to_owned(), exit_code: EXIT_OK }
        }
        Command::Simulate(arguments) => {
            let report = simulate(&arguments);
            Answer::new(arguments.json, &report, || report.to_json(), EXIT_OK)
        }
    })
}

/// What is to be judged, and by whom.
fn question(arguments: ValidateArguments) -> eyre::Result<(Document, Target)> {
    let ValidateArguments { file, ethereum, bitcoin, fees, block, .. } = arguments;
    let name = if is_stdin(&file) { "standard input".to_owned() } else { file.display().to_string() };
    let text = read(&file).wrap_err_with(|| format!("can't read {name}"))?;
    let document = text.parse().wrap_err_with(|| name.clone())?;
    Ok((document, Target { ethereum, bitcoin, fees, block }))
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// Standard input. If a person would have to type it, says so, rather than seem to hang.
fn stdin() -> io::Stdin {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let _ = writeln!(anstream::stderr(), "reading the proposal from standard input; end it with Ctrl-D");
    }
    stdin
}

fn read(file: &Path) -> eyre::Result<String> {
    let source: Box<dyn Read> = if is_stdin(file) { Box::new(stdin()) } else { Box::new(File::open(file)?) };
    let mut text = String::new();
    source.take(DOCUMENT_LIMIT + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= DOCUMENT_LIMIT, "it is longer than {DOCUMENT_LIMIT} bytes");
    Ok(text)
}
