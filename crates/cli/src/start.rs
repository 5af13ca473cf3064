//! `coxswain start` and `coxswain maintain --config`: reads the configuration, and runs a node or a maintainer until a signal or
//! a failure ends it.

use std::{
    ffi::OsString,
    future::Future,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    thread,
    time::Duration,
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
    arguments::{AskingArguments, BitcoinArguments, MaintainArguments, MaintainerArguments, StartArguments},
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
    if let Some((_, disk)) = variables.iter().find(|(name, _)| name == "COXSWAIN_POWERCUT") {
        use coxswain_powercut::Disk;
        coxswain_powercut::begin(if disk == "lies" { Disk::Lying } else { Disk::Honest });
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
    let BitcoinArguments { bitcoin_url, bitcoin_network, bitcoin_timeout, bitcoin_quorum } =
        &maintainer.bitcoin;
    let AskingArguments { rpc_timeout, quorum, loopback_is_one, .. } = &maintainer.asking;
    let time = |time: &Option<Duration>| time.map(|time| format!("{}ms", time.as_millis()));
    let number = |number: &Option<usize>| number.map(|number| number.to_string());
    let is_one = loopback_is_one.then(|| "true".to_owned());
    let said = [
        ("--rpc-url", "ethereum", "urls", words(rpc_url)),
        ("--network", "ethereum", "network", network),
        ("--bridge", "ethereum", "bridge", text(bridge)),
        ("--maintainer-proxy", "ethereum", "maintainer_proxy", text(maintainer_proxy)),
        ("--direct", "ethereum", "direct", direct.then(|| "true".to_owned())),
        ("--keystore", "ethereum", "keystore", path(&maintainer.keystore)),
        ("--password-file", "ethereum", "password_file", path(&maintainer.password_file)),
        ("--quorum", "ethereum", "quorum", number(quorum)),
        ("--loopback-is-one", "ethereum", "loopback_is_one", is_one),
        ("--rpc-timeout", "ethereum", "request_timeout", time(rpc_timeout)),
        ("--bitcoin-url", "bitcoin", "urls", words(bitcoin_url)),
        ("--bitcoin-network", "bitcoin", "network", bitcoin_network.map(|network| network.to_string())),
        ("--bitcoin-timeout", "bitcoin", "request_timeout", time(bitcoin_timeout)),
        ("--bitcoin-quorum", "bitcoin", "quorum", number(bitcoin_quorum)),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn each_flag_that_a_configuration_knows_wins_over_it() {
        let line = "coxswain maintain --config m.toml --journal j.db --only spv --rpc-url http://a --rpc-url http://b \
                    --network local --bridge 0x1111111111111111111111111111111111111111 --direct --keystore k.json \
                    --password-file p --quorum 3 --loopback-is-one --rpc-timeout 2s --bitcoin-url tcp://c:1 \
                    --bitcoin-network signet --bitcoin-timeout 500ms --bitcoin-quorum 2";
        let Command::Maintain(arguments) = Arguments::parse_from(line.split_whitespace()).command else {
            unreachable!("it is what is asked for")
        };
        let mut layers = coxswain_service::configuration::Layers::default();
        for (flag, section, key, value) in flags(&arguments) {
            layers.flag(flag, section, key, value);
        }
        let read: coxswain_maintainer::Configuration = layers.read().unwrap();
        let (ethereum, bitcoin) = (&read.ethereum, &read.bitcoin);
        assert_eq!((ethereum.urls.len(), ethereum.network), (2, Some(Preset::LOCAL)));
        assert_eq!((ethereum.bridge, ethereum.direct), (Some(Address::repeat_byte(0x11)), true));
        assert_eq!((ethereum.quorum, ethereum.loopback_is_one), (3, true));
        assert_eq!(ethereum.request_timeout, Some(Duration::from_secs(2)));
        assert_eq!((&ethereum.keystore, &ethereum.password_file), (&"k.json".into(), &Some("p".into())));
        assert_eq!((bitcoin.urls.len(), bitcoin.network), (1, Some(bitcoin::Network::Signet)));
        assert_eq!((bitcoin.quorum, bitcoin.request_timeout), (2, Some(Duration::from_millis(500))));
        assert_eq!((&read.journal.path, read.maintainer.only.is_some()), (&"j.db".into(), true));
    }

    #[test]
    fn what_no_configuration_knows_is_refused_beside_one() {
        for more in ["--rpc-proxy http://a", "--timeout 5s"] {
            let line = format!("coxswain maintain --config m.toml {more}");
            assert!(Arguments::try_parse_from(line.split_whitespace()).is_err(), "{more}");
        }
        // The doctor asks what the configuration says.
        for more in [
            "--rpc-url http://a",
            "--network local",
            "--validator 0x1111111111111111111111111111111111111111",
            "--bridge 0x1111111111111111111111111111111111111111",
            "--quorum 3",
            "--loopback-is-one",
            "--rpc-timeout 5s",
            "--bitcoin-url tcp://a:1",
            "--bitcoin-network signet",
            "--bitcoin-timeout 5s",
        ] {
            let line = format!("coxswain doctor --config m.toml {more}");
            assert!(Arguments::try_parse_from(line.split_whitespace()).is_err(), "{more}");
        }
        let line = "coxswain doctor --config m.toml --timeout 5s --json";
        assert!(Arguments::try_parse_from(line.split_whitespace()).is_ok());
    }
}
