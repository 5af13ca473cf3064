//! `coxswain start`: reads the configuration, and runs a node until a signal or a failure ends it.

use std::{
    ffi::OsString,
    future::Future,
    io::{self, IsTerminal},
    thread,
};

use coxswain_node::{Configuration, StartError};
use coxswain_service::{
    configuration::{ConfigurationError, Layers},
    logging::{self, LoggingError},
    tasks::{self, Ending},
};
use tokio::{runtime, sync::oneshot};

use crate::arguments::StartArguments;

/// Why a node doesn't run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailure {
    /// The configuration makes no sense.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// Nothing would be told.
    #[error("log.level: {0}")]
    Logging(#[from] LoggingError),
    /// It can't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system gives no threads or signals.
    #[error("the system gives no threads, or no signals")]
    System(#[from] io::Error),
    /// What runs the tasks has panicked.
    #[error("the node has panicked")]
    Panicked,
}

impl StartFailure {
    /// The documented exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Logging(_) => 2,
            Self::Start(error) => error.exit_code(),
            Self::System(_) => 3,
            Self::Panicked => 4,
        }
    }
}

/// Runs a node, with the variables of its environment.
///
/// # Errors
/// If it doesn't start.
pub async fn start(
    arguments: &StartArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<Ending, StartFailure> {
    #[cfg(feature = "points")]
    if variables.iter().any(|(name, _)| name == "COXSWAIN_POWERCUT") {
        coxswain_powercut::begin();
    }
    let mut layers = Layers::default();
    layers.file(&arguments.config)?;
    layers.variables(variables)?;
    if let Some(journal) = &arguments.journal {
        layers.flag("--journal", "journal", "path", journal.display().to_string());
    }
    let configuration: Configuration = layers.read()?;
    let colours = io::stderr().is_terminal();
    logging::begin(&configuration.log.level, configuration.log.format, colours)?;
    let drain = arguments.drain;
    // Questions run on one thread; a node's tasks get all there are.
    run(move || async move {
        let asked = tasks::signal()?;
        Ok(coxswain_node::start(configuration, env!("COXSWAIN_VERSION"), asked, drain).await?)
    })
    .await
}

/// Runs this on threads of its own.
async fn run<F>(work: impl FnOnce() -> F + Send + 'static) -> Result<Ending, StartFailure>
where
    F: Future<Output = Result<Ending, StartFailure>>,
{
    let (done, ended) = oneshot::channel();
    let threads = runtime::Builder::new_multi_thread().enable_all().build()?;
    thread::Builder::new().name("node".to_owned()).spawn(move || {
        let ending = threads.block_on(work());
        // What hasn't ended by now isn't waited for.
        threads.shutdown_background();
        let _ = done.send(ending);
    })?;
    ended.await.unwrap_or(Err(StartFailure::Panicked))
}
