//! `coxswain start` and `coxswain maintain --config`: reads the configuration, and runs a node or a maintainer until a signal or
//! a failure ends it.

use std::{
    ffi::OsString,
    future::Future,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    thread,
};

use alloy_primitives::Address;
use coxswain_node::{Configuration, StartError};
use coxswain_rules::network::Preset;
use coxswain_service::{
    configuration::ConfigurationError,
    logging::{self, LoggingError},
    tasks::{self, Ending},
};
use tokio::{runtime, sync::oneshot};
use url::Url;

use crate::{
    arguments::{MaintainArguments, MaintainerArguments, StartArguments},
    configure,
};

/// Why a node or a maintainer doesn't run.
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
    /// The maintainer can't start.
    #[error(transparent)]
    Maintainer(#[from] coxswain_maintainer::StartError),
    /// The system gives no threads or signals.
    #[error("the system gives no threads, or no signals")]
    System(#[from] io::Error),
    /// What runs the tasks has panicked.
    #[error("what runs the tasks has panicked")]
    Panicked,
}

impl StartFailure {
    /// The documented exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Logging(_) => 2,
            Self::Start(error) => error.exit_code(),
            Self::Maintainer(error) => error.exit_code(),
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
    let layers = configure::layers(&arguments.config, arguments.journal.as_deref(), variables)?;
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

/// Runs a maintainer, with the variables of its environment.
///
/// # Errors
/// If it doesn't start.
pub async fn run_maintainer(
    arguments: &MaintainArguments,
    config: &Path,
    variables: Vec<(OsString, OsString)>,
) -> Result<Ending, StartFailure> {
    let mut layers = configure::layers(config, None, variables)?;
    for (flag, section, key, value) in flags(arguments) {
        layers.flag(flag, section, key, value);
    }
    let configuration: coxswain_maintainer::Configuration = layers.read()?;
    let colours = io::stderr().is_terminal();
    logging::begin(&configuration.log.level, configuration.log.format, colours)?;
    let drain = arguments.drain;
    run(move || async move {
        let asked = tasks::signal()?;
        Ok(coxswain_maintainer::start(configuration, asked, drain).await?)
    })
    .await
}

/// What the arguments say that a configuration could: flag, section, key and value.
fn flags(arguments: &MaintainArguments) -> Vec<(&'static str, &'static str, &'static str, String)> {
    let MaintainArguments { only, journal, maintainer, .. } = arguments;
    let MaintainerArguments { rpc_url, network, bridge, maintainer_proxy, direct, .. } = maintainer;
    let text = |address: &Option<Address>| address.map(|address| address.to_string());
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let words = |urls: &[Url]| {
        let words: Vec<_> = urls.iter().map(Url::as_str).collect();
        (!words.is_empty()).then(|| words.join(" "))
    };
    let network = network.map(|network| Preset::from(network).name.to_owned());
    let said = [
        ("--rpc-url", "ethereum", "urls", words(rpc_url)),
        ("--network", "ethereum", "network", network),
        ("--bridge", "ethereum", "bridge", text(bridge)),
        ("--maintainer-proxy", "ethereum", "maintainer_proxy", text(maintainer_proxy)),
        ("--direct", "ethereum", "direct", direct.then(|| "true".to_owned())),
        ("--keystore", "ethereum", "keystore", path(&maintainer.keystore)),
        ("--password-file", "ethereum", "password_file", path(&maintainer.password_file)),
        ("--bitcoin-url", "bitcoin", "urls", words(&maintainer.bitcoin.bitcoin_url)),
        ("--journal", "journal", "path", path(journal)),
        ("--only", "maintainer", "only", only.map(|only| only.name().to_owned())),
    ];
    said.into_iter().filter_map(|(flag, section, key, value)| Some((flag, section, key, value?))).collect()
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
