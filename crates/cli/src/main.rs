//! The `coxswain` program: reads the command line, runs the command, prints, and exits with the documented code.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::Path,
    process::ExitCode,
    time::{Instant, SystemTime},
};

use clap::CommandFactory;
#[cfg(all(unix, feature = "threshold"))]
use coxswain_cli::share::share_deal;
use coxswain_cli::{
    Document, Target,
    arguments::{Arguments, Command, ValidateArguments},
    coordination::CoordinationError,
    doctor, explain,
    group::group,
    leader::leader,
    page,
    propose::propose,
    report::{EXIT_OK, EXIT_UNDECIDED, OpenQuestion, Report, with_causes},
    simulate::simulate,
    terminal::{self, Progress},
    validate,
    watch::{self, WatchError, watch},
    window::window,
};
#[cfg(feature = "node")]
use coxswain_cli::{
    arguments::ConfigCommand,
    configure::{config_show, init},
    history::{JournalError, faults, history, why},
    network::{NetworkError, identity, ping},
    prove::{ProveError, maintain, prove},
    start::{StartFailure, run_maintainer, start},
};
#[cfg(unix)]
use coxswain_cli::{arguments::ShareCommand, share::share_inspect};
use eyre::{WrapErr, ensure};

/// The longest document read, in bytes: three times a sweep of 20 deposits, each funded by a transaction of 2,500 outputs.
const DOCUMENT_LIMIT: u64 = 16 << 20;
/// Usage, or a malformed proposal.
const EXIT_USAGE: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(env::args_os(), |name| env::var_os(name)) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let watched = arguments.command.activity();
    match terminal::while_waiting(watched, answer(arguments.command)).await {
        Ok(Answer { text, exit_code }) => match writeln!(anstream::stdout(), "{text}") {
            // A reader that has seen enough, as `head` has, is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                report_error(&eyre::Report::new(error).wrap_err("can't write the answer"), EXIT_UNDECIDED)
            }
            _ => ExitCode::from(exit_code),
        },
        Err(error) => {
            let exit_code = error.downcast_ref().map_or(EXIT_USAGE, CoordinationError::exit_code);
            let exit_code = error.downcast_ref().map_or(exit_code, WatchError::exit_code);
            #[cfg(feature = "node")]
            let exit_code = error.downcast_ref().map_or(exit_code, StartFailure::exit_code);
            report_error(&error, exit_code)
        }
    }
}

/// Tells people what went wrong, where anybody still reads it.
fn report_error(error: &eyre::Report, exit_code: u8) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "error: {}", with_causes(error.as_ref()));
    ExitCode::from(exit_code)
}

/// What a command prints, and the code that the program then exits with.
struct Answer {
    text: String,
    exit_code: u8,
}

impl Answer {
    /// A report for people, or for programs.
    fn new(json: bool, report: &impl Report) -> Self {
        let text = if json {
            format!("{:#}", report.to_json())
        } else {
            let text = report.to_string();
            page::columns().map_or_else(|| text.clone(), |columns| page::wrap(&text, columns))
        };
        Self { text, exit_code: report.exit_code() }
    }

    /// An answer about coordination, which may be that the question is open.
    fn coordination(
        json: bool,
        what: &'static str,
        report: Result<impl Report, CoordinationError>,
    ) -> Result<Self, CoordinationError> {
        match report {
            Ok(report) => Ok(Self::new(json, &report)),
            Err(error) => match error.cause() {
                Some(cause) => Ok(Self::new(json, &OpenQuestion::new(what, cause, error))),
                None => Err(error),
            },
        }
    }
}

async fn answer(command: Command) -> eyre::Result<Answer> {
    Ok(match command {
        Command::Validate(arguments) => {
            let json = arguments.json;
            let (document, target) = question(arguments)?;
            let report = validate(document, &target).await?;
            Answer::new(json, &report)
        }
        Command::Explain(arguments) => {
            let json = arguments.json;
            let (document, target) = question(arguments)?;
            let explanation = explain(document, &target).await?;
            Answer::new(json, &explanation)
        }
        Command::Propose(arguments) => {
            let proposing = propose(&arguments, SystemTime::now()).await?;
            Answer::new(arguments.json, &proposing)
        }
        Command::Window(arguments) => {
            let report = window(&arguments, SystemTime::now()).await;
            Answer::coordination(arguments.json, "which window it is", report)?
        }
        Command::Leader(arguments) => {
            let report = leader(&arguments).await;
            Answer::coordination(arguments.json, "who leads the wallet", report)?
        }
        Command::Group(arguments) => {
            let report = group(&arguments).await;
            Answer::coordination(arguments.json, "who holds the wallet's seats", report)?
        }
        Command::Watch(arguments) => {
            let columns = page::columns();
            let text = |line: &watch::Line| {
                let text = line.to_string();
                columns.map_or_else(|| text.clone(), |columns| page::wrap(&text, columns))
            };
            let say =
                |line: &watch::Line| if arguments.json { line.to_json().to_string() } else { text(line) };
            // A reader that has seen enough is no failure; any other shows with the last line.
            let tell = |line: &watch::Line| drop(writeln!(anstream::stdout(), "{}", say(line)));
            match watch(&arguments, tell).await {
                Ok(line) => Answer { text: say(&line), exit_code: line.exit_code() },
                Err(error) => match error.cause() {
                    Some(cause) => {
                        let open = OpenQuestion::new("what became of the windows", cause, error);
                        let text = if arguments.json { open.to_json().to_string() } else { open.to_string() };
                        Answer { text, exit_code: open.exit_code() }
                    }
                    None => return Err(error.into()),
                },
            }
        }
        #[cfg(feature = "node")]
        Command::Identity(arguments) => {
            let report = identity(&arguments)?;
            Answer::new(arguments.json, &report)
        }
        #[cfg(feature = "node")]
        Command::Ping(arguments) => match ping(&arguments).await {
            Ok(report) => Answer::new(arguments.json, &report),
            Err(NetworkError::Undecided(cause, reason)) => {
                Answer::new(arguments.json, &OpenQuestion::new("whether the peers answer", cause, reason))
            }
            Err(error) => return Err(error.into()),
        },
        #[cfg(feature = "node")]
        Command::Start(arguments) => {
            let ending = start(&arguments, env::vars_os().collect()).await?;
            Answer { text: ending.to_string(), exit_code: ending.exit_code() }
        }
        #[cfg(feature = "node")]
        Command::Prove(arguments) => proven(arguments.json, prove(&arguments).await)?,
        #[cfg(feature = "node")]
        Command::Maintain(arguments) => match &arguments.config {
            None => proven(arguments.json, maintain(&arguments).await)?,
            Some(config) => {
                let ending = run_maintainer(&arguments, config, env::vars_os().collect()).await?;
                Answer { text: ending.to_string(), exit_code: ending.exit_code() }
            }
        },
        #[cfg(feature = "node")]
        Command::Init(arguments) => {
            let report = init(&arguments)?;
            Answer::new(arguments.json, &report)
        }
        #[cfg(feature = "node")]
        Command::Config(arguments) => {
            let ConfigCommand::Show(arguments) = arguments.command;
            let report = config_show(&arguments, env::vars_os().collect())?;
            Answer::new(arguments.json, &report)
        }
        #[cfg(feature = "node")]
        Command::History(arguments) => {
            journal(arguments.json, "what became of windows", history(&arguments, env::vars_os().collect()))?
        }
        #[cfg(feature = "node")]
        Command::Faults(arguments) => {
            journal(arguments.json, "who did wrong", faults(&arguments, env::vars_os().collect()))?
        }
        #[cfg(all(feature = "node", feature = "proven"))]
        Command::Replay(arguments) => {
            let report = coxswain_cli::replay::replay(&arguments, env::vars_os().collect());
            journal(arguments.json, "whether the verdict is the same", report)?
        }
        #[cfg(feature = "node")]
        Command::Why(arguments) => {
            journal(arguments.json, "why the wallet does that", why(&arguments, env::vars_os().collect()))?
        }
        Command::Doctor(arguments) => {
            #[cfg(feature = "node")]
            let arguments = doctor::configured(arguments, env::vars_os().collect())?;
            let columns = page::columns();
            let tell = |line: doctor::Line<'_>| {
                if !arguments.json {
                    let line = line.to_string();
                    let line = columns.map_or_else(|| line.clone(), |columns| page::wrap(&line, columns));
                    // A reader that has seen enough is no failure; any other shows with the last line.
                    let _ = writeln!(anstream::stdout(), "{line}");
                }
            };
            let diagnosis = doctor::doctor(&arguments, SystemTime::now(), tell).await?;
            Answer::new(arguments.json, &diagnosis)
        }
        #[cfg(unix)]
        Command::Share(ShareCommand::Inspect(arguments)) => {
            let report = share_inspect(&arguments)?;
            Answer::new(arguments.json, &report)
        }
        #[cfg(all(unix, feature = "threshold"))]
        Command::Share(ShareCommand::Deal(arguments)) => {
            let report = share_deal(&arguments)?;
            Answer::new(arguments.json, &report)
        }
        Command::Completions(arguments) => {
            let mut text = Vec::new();
            clap_complete::generate(arguments.shell, &mut Arguments::command(), "coxswain", &mut text);
            Answer { text: String::from_utf8(text)?.trim_end().to_owned(), exit_code: EXIT_OK }
        }
        Command::Simulate(arguments) => {
            let report = simulate(&arguments, progress());
            Answer::new(arguments.json, &report)
        }
    })
}

/// What was proven, or that this can't be told.
#[cfg(feature = "node")]
fn proven(json: bool, report: Result<impl Report, ProveError>) -> Result<Answer, ProveError> {
    match report {
        Ok(report) => Ok(Answer::new(json, &report)),
        Err(error) => match error.cause() {
            Some(cause) => Ok(Answer::new(json, &OpenQuestion::new("what can be proven", cause, error))),
            None => Err(error),
        },
    }
}

/// What the journal tells, or that it can't be read.
#[cfg(feature = "node")]
fn journal(
    json: bool,
    what: &'static str,
    report: Result<impl Report, JournalError>,
) -> Result<Answer, JournalError> {
    match report {
        Ok(report) => Ok(Answer::new(json, &report)),
        Err(error) => match error.cause() {
            // What is wrong with the file stands in the causes.
            Some(cause) => Ok(Answer::new(json, &OpenQuestion::new(what, cause, with_causes(&error)))),
            None => Err(error),
        },
    }
}

/// Shows a person the share that is done, while it takes long.
fn progress() -> impl FnMut(f64) {
    let mut progress = Progress::new(io::stderr().is_terminal(), Instant::now());
    move |share| {
        if let Some(line) = progress.line(share, Instant::now()) {
            let _ = write!(anstream::stderr(), "\r\u{1b}[K{line}");
        }
    }
}

/// What is to be judged, and by whom.
fn question(arguments: ValidateArguments) -> eyre::Result<(Document, Target)> {
    let ValidateArguments { file, ethereum, bitcoin, fees, block, require, .. } = arguments;
    let name = if is_stdin(&file) { "standard input".to_owned() } else { file.display().to_string() };
    let text = read(&file).wrap_err_with(|| format!("can't read {name}"))?;
    let document = text.parse().wrap_err_with(|| name.clone())?;
    Ok((document, Target { ethereum, bitcoin, fees, block, require, now: SystemTime::now() }))
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// Standard input. If a person would have to type it, says so.
fn stdin() -> io::Stdin {
    let stdin = io::stdin();
    if let Some(notice) = terminal::reading(stdin.is_terminal()) {
        let _ = writeln!(anstream::stderr(), "{notice}");
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
