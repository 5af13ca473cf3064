//! `coxswain init` and `coxswain config show`: a node's configuration, written and explained.

use std::{
    ffi::OsString,
    fmt,
    fs::OpenOptions,
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

use coxswain_node::{
    Configuration,
    import::{Explained, Import, ImportError},
    template::{self, TEMPLATE},
};
use coxswain_rules::network::Preset;
use coxswain_service::configuration::{ConfigurationError, Layers};
use serde::Serialize;
use serde_json::Value;

use crate::{
    arguments::{ConfigShowArguments, InitArguments, JournalArguments, NetworkName, StatusScope},
    report::Report,
};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";
/// Where a value comes from that nobody gave.
const DEFAULT: &str = "default";
/// Where everybody may ask how the node is.
const PUBLIC: &str = "0.0.0.0:9601";

/// Why a configuration isn't written or shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigureError {
    /// The Go client's configuration can't be read.
    #[error("can't read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// It is malformed.
    #[error("{0}")]
    Import(PathBuf, #[source] ImportError),
    /// The file can't be written.
    #[error("can't write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// It makes no sense.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
}

/// A configuration that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InitReport {
    output: PathBuf,
    keys: Vec<KeyReport>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct KeyReport {
    key: String,
    fate: &'static str,
    says: String,
}

impl From<Explained> for KeyReport {
    fn from(explained: Explained) -> Self {
        Self { key: explained.key, fate: explained.fate.name(), says: explained.says }
    }
}

/// Writes a configuration.
///
/// # Errors
/// If one can't be read or written.
pub fn init(arguments: &InitArguments) -> Result<InitReport, ConfigureError> {
    let import = match &arguments.from {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|error| ConfigureError::Read(path.clone(), error))?;
            Some(Import::read(path, &text).map_err(|error| ConfigureError::Import(path.clone(), error))?)
        }
        None => None,
    };
    let network = Preset::from(arguments.network.unwrap_or(NetworkName::Mainnet));
    let mut values = import.as_ref().map(|import| import.values.clone()).unwrap_or_default();
    values.push(("ethereum", "network", network.name.into()));
    if import.is_none() && network != Preset::MAINNET {
        values.push(("network", "admission", "any".into()));
        values.push(("bitcoin", "network", network.bitcoin.to_string().into()));
    }
    let is_said = values.iter().any(|(section, key, _)| (*section, *key) == ("status", "listen"));
    let scope = arguments.status.or_else(|| (network == Preset::MAINNET && !is_said).then(asked).flatten());
    match scope {
        Some(StatusScope::Public) => values.push(("status", "listen", PUBLIC.into())),
        Some(StatusScope::Loopback) => values.push(("status", "listen", "127.0.0.1:9601".into())),
        None => {}
    }
    write(&arguments.output, &template::filled(&values))
        .map_err(|error| ConfigureError::Write(arguments.output.clone(), error))?;
    let keys = import.map(|import| import.explained.into_iter().map(KeyReport::from).collect());
    Ok(InitReport { output: arguments.output.clone(), keys: keys.unwrap_or_default() })
}

/// Asks a person who may ask how the node is, if there is one.
fn asked() -> Option<StatusScope> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let question = "Rewards count scrapes of /metrics from outside. Serve /health, /metrics and /diagnostics, and nothing else, to everybody? [y/N] ";
    let mut stderr = io::stderr();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).ok()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).ok()?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    Some(if is_yes { StatusScope::Public } else { StatusScope::Loopback })
}

/// Writes a new file, for its owner's eyes: URLs hold keys.
fn write(path: &PathBuf, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

impl Report for InitReport {}

impl fmt::Display for InitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for KeyReport { key, fate, says } in &self.keys {
            let fate = match *fate {
                "taken" => "taken over as",
                "look" => "LOOK AT THIS",
                _ => "not needed",
            };
            writeln!(f, "{key}\n    {fate}: {says}")?;
        }
        let output = self.output.display();
        write!(f, "{output} is written. Look through it, then: coxswain doctor --config {output}")
    }
}

/// A configuration's values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigReport {
    values: Vec<ValueReport>,
}

/// One value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ValueReport {
    key: String,
    value: Value,
    origin: String,
}

/// A node's layers: the file, the variables over it, and flags over both.
///
/// # Errors
/// If one makes no sense.
pub fn layers(
    config: &std::path::Path,
    journal: Option<&std::path::Path>,
    variables: Vec<(OsString, OsString)>,
) -> Result<Layers, ConfigurationError> {
    let mut layers = Layers::default();
    layers.file(config)?;
    layers.variables(variables)?;
    if let Some(journal) = journal {
        layers.flag("--journal", "journal", "path", journal.display().to_string());
    }
    Ok(layers)
}

/// Which file the journal is in.
///
/// # Errors
/// If the configuration makes no sense.
pub fn journal_path(
    arguments: &JournalArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<PathBuf, ConfigurationError> {
    if let Some(journal) = &arguments.journal {
        return Ok(journal.clone());
    }
    let config = arguments.config.as_ref().expect("the command line asks for one of them");
    let configuration: Configuration = layers(config, None, variables)?.read()?;
    Ok(configuration.journal.path)
}

/// Shows each value of a configuration that makes sense.
///
/// # Errors
/// If it makes none.
pub fn config_show(
    arguments: &ConfigShowArguments,
    variables: Vec<(OsString, OsString)>,
) -> Result<ConfigReport, ConfigureError> {
    let layers = layers(&arguments.config, arguments.journal.as_deref(), variables)?;
    let _: Configuration = layers.read()?;
    let given = layers.values().map(|(key, value, origin)| ValueReport {
        value: shown(key, serde_json::to_value(value).unwrap_or(Value::Null)),
        key: key.to_owned(),
        origin: origin.to_string(),
    });
    let mut values: Vec<_> = given.collect();
    for key in template::keys(TEMPLATE).filter(|key| key.is_default) {
        let name = format!("{}.{}", key.section, key.name);
        if !values.iter().any(|value| value.key == name) {
            let value = default_of(&name, key.value);
            values.push(ValueReport { value, key: name, origin: DEFAULT.to_owned() });
        }
    }
    values.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(ConfigReport { values })
}

/// What holds if a key is left out. For some, that is nothing: the template shows an example.
fn default_of(key: &str, written: &str) -> Value {
    const FOLLOWS: [&str; 10] = [
        "ethereum.network",
        "ethereum.validator",
        "ethereum.bridge",
        "ethereum.registry",
        "ethereum.poll_milliseconds",
        "bitcoin.network",
        "bitcoin.fallback_fee_rate",
        "bitcoin.request_timeout",
        "network.announced",
        "status.announced",
    ];
    if FOLLOWS.contains(&key) {
        return Value::Null;
    }
    serde_json::from_str(written).unwrap_or(Value::Null)
}

/// A value without what is secret in it: passwords, and of URLs all but scheme, host and port.
fn shown(key: &str, value: Value) -> Value {
    let is_secret = key.ends_with("password");
    match value {
        _ if is_secret => HIDDEN.into(),
        Value::String(text) if text.contains("://") => {
            let cut = |url: &str| {
                let Ok(parsed) = url.parse::<url::Url>() else { return HIDDEN.to_owned() };
                let host = parsed.host_str().unwrap_or_default();
                let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
                let has_more = !matches!(parsed.path(), "" | "/")
                    || parsed.query().is_some()
                    || parsed.fragment().is_some()
                    || !parsed.username().is_empty();
                let more = if has_more { "/…" } else { "" };
                format!("{}://{host}{port}{more}", parsed.scheme())
            };
            text.split_whitespace().map(cut).collect::<Vec<_>>().join(" ").into()
        }
        Value::Array(items) => items.into_iter().map(|item| shown(key, item)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = shown(&name, value);
                (name, value)
            });
            Value::Object(fields.collect())
        }
        other => other,
    }
}

impl Report for ConfigReport {}

impl fmt::Display for ConfigReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.values.iter().map(|value| value.key.len()).max().unwrap_or_default();
        for (number, ValueReport { key, value, origin }) in self.values.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            let value = match value {
                Value::Null => "-".to_owned(),
                value => value.to_string(),
            };
            write!(f, "{separator}{key:width$}  {value}  ({origin})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_may_be_secret_is_shown() {
        assert_eq!(shown("ethereum.password", json!("x")), json!(HIDDEN));
        let url = "https://user:pass@node.example:8545/v3/key?a=b#c";
        assert_eq!(shown("ethereum.urls", json!([url])), json!(["https://node.example:8545/…"]));
        assert_eq!(
            shown("ethereum.urls", json!(format!("http://a {url}"))),
            json!("http://a https://node.example:8545/…")
        );
        assert_eq!(shown("ethereum.quorum", json!(2)), json!(2));
        assert_eq!(shown("wallets", json!([{ "password": "x" }])), json!([{ "password": HIDDEN }]));
        assert_eq!(
            shown("other", json!("not a://url with key")),
            json!(format!("{HIDDEN} a://url {HIDDEN} {HIDDEN}"))
        );
    }
}
