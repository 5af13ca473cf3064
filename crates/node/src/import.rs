//! The Go client's configuration, translated: what each key becomes here, and if it becomes nothing, why.
//!
//! That client reads TOML, YAML and JSON, takes keys in any case, and ignores those that it doesn't know. No value is shown in what is
//! said of a key: a URL may hold a secret.

use std::{path::Path, time::Duration};

use serde_json::{Map, Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::template::filled;

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// How deep sections may stand in each other.
const MAX_DEPTH: usize = 16;

/// Why a configuration can't be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is far too long.
    #[error("it is {0} bytes long, at most {MAX_BYTES} allowed")]
    TooLong(usize),
    /// It is not what its name says.
    #[error("it is no {format}: {problem}")]
    Malformed {
        /// What its name says.
        format: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// It has no sections.
    #[error("it has no sections")]
    NoSections,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is taken over.
    Taken,
    /// It has to be looked at: its value can't be taken as it is.
    Look,
    /// It isn't needed here, or does nothing.
    Left,
}

impl Fate {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Look => "look",
            Self::Left => "left",
        }
    }
}

/// A key, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The key, as it is written.
    pub key: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What that means.
    pub says: String,
}

/// A translated configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// What becomes of each key, in the order in which they are written.
    pub explained: Vec<Explained>,
    /// What is taken over: section, key, value.
    pub values: Vec<(&'static str, &'static str, Value)>,
}

impl Import {
    /// Translates a configuration, whose format its name tells: TOML, unless it ends in yaml, yml or json.
    ///
    /// # Errors
    /// If it isn't of that format.
    pub fn read(path: &Path, text: &str) -> Result<Self, ImportError> {
        if text.len() > MAX_BYTES {
            return Err(ImportError::TooLong(text.len()));
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let malformed = |format, problem: String| ImportError::Malformed { format, problem };
        let document = match extension.to_ascii_lowercase().as_str() {
            "json" => {
                // What stands there may be a secret: only its place is told.
                let place =
                    |error: serde_json::Error| format!("line {}, column {}", error.line(), error.column());
                serde_json::from_str(text).map_err(|error| malformed("JSON", place(error)))?
            }
            "yaml" | "yml" => {
                let documents = YamlLoader::load_from_str(text).map_err(|error| {
                    let marker = error.marker();
                    malformed("YAML", format!("line {}, column {}", marker.line(), marker.col() + 1))
                })?;
                documents.first().map_or(Value::Null, of_yaml)
            }
            _ => toml::from_str::<Value>(text)
                .map_err(|error| malformed("TOML", error.message().to_owned()))?,
        };
        let Value::Object(sections) = document else { return Err(ImportError::NoSections) };
        let mut import = Self { explained: Vec::new(), values: Vec::new() };
        import.section("", &sections, 0);
        Ok(import)
    }

    /// The configuration here.
    pub fn configuration(&self) -> String {
        filled(&self.values)
    }

    fn section(&mut self, above: &str, section: &Map<String, Value>, depth: usize) {
        for (name, value) in section {
            let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            match value {
                Value::Object(inner) if depth < MAX_DEPTH => self.section(&key, inner, depth + 1),
                _ => self.key(key, value),
            }
        }
    }

    fn key(&mut self, key: String, value: &Value) {
        let (fate, says) = self.translated(&key.to_ascii_lowercase(), value);
        self.explained.push(Explained { key, fate, says });
    }

    fn take(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: Value,
        more: impl AsRef<str>,
    ) -> (Fate, String) {
        self.values.push((section, key, value));
        let more = more.as_ref();
        let separator = if more.is_empty() { "" } else { ": " };
        (Fate::Taken, format!("{section}.{key}{separator}{more}"))
    }

    fn translated(&mut self, key: &str, value: &Value) -> (Fate, String) {
        let left = |says: &str| (Fate::Left, says.to_owned());
        match key {
            "ethereum.url" => match value.as_str() {
                Some(url) => {
                    let (url, word) = over_http(url);
                    self.take("ethereum", "urls", json!([url]), word)
                }
                None => look("a URL is needed in ethereum.urls"),
            },
            "ethereum.keyfile" => self.take("ethereum", "keystore", value.clone(), "the same file is read"),
            "ethereum.account.keyfile" => self.take(
                "ethereum",
                "keystore",
                value.clone(),
                "the same file is read, though that client no longer reads this key",
            ),
            "ethereum.keyfilepassword" | "ethereum.password" | "ethereum.account.keyfilepassword" => look(
                "the password belongs into the variable COXSWAIN_ETHEREUM__PASSWORD, or into the file of ethereum.password_file: it is not copied",
            ),
            "ethereum.miningcheckinterval" => left("a transaction is looked for at each block"),
            "ethereum.maxgasfeecap" => {
                left("500 gwei at most are paid, as that client does unless told otherwise")
            }
            "ethereum.requestspersecondlimit"
            | "ethereum.requestpersecondlimit"
            | "ethereum.concurrencylimit" => {
                left("requests are few and bounded, and a server that limits their rate is waited for")
            }
            "ethereum.balancealertthreshold" => left("coxswain doctor --config shows the balance"),
            "bitcoin.electrum.url" => match value.as_str() {
                Some(url) => self.take("bitcoin", "urls", json!([url]), "two more servers are recommended"),
                None => look("a URL is needed in bitcoin.urls"),
            },
            "bitcoin.electrum.requesttimeout" => self.duration("bitcoin", "request_timeout", value),
            "bitcoin.electrum.connecttimeout"
            | "bitcoin.electrum.connectretrytimeout"
            | "bitcoin.electrum.requestretrytimeout"
            | "bitcoin.electrum.keepaliveinterval" => self.unneeded_duration(
                value,
                "a server that doesn't answer is passed over for the next, and asked again after a minute",
            ),
            "network.port" => match value.as_u64().and_then(|port| u16::try_from(port).ok()) {
                Some(port) => self.take(
                    "network",
                    "listen",
                    json!([format!("0.0.0.0:{port}")]),
                    "on every interface, as before",
                ),
                None => look("a port is needed in network.listen"),
            },
            "network.peers" => {
                self.list("network", "peers", value, "as there, they take the place of all others")
            }
            "network.announcedaddresses" => {
                self.list("network", "announced", value, "as there, they take the place of what is found out")
            }
            "network.bootstrap" => left("nobody is a bootstrap here, and it is going out of use there"),
            "network.disseminationtime" => left("messages are passed on at once"),
            "storage.dir" => match value.as_str() {
                Some(folder) => {
                    let path = format!("{}/coxswain/journal.db", folder.trim_end_matches('/'));
                    let more = "a folder of its own beside what is there; the key shares stay where they are, and are not read yet";
                    self.take("journal", "path", json!(path), more)
                }
                None => look("a file is needed in journal.path"),
            },
            "clientinfo.port" => match value.as_u64().and_then(|port| u16::try_from(port).ok()) {
                Some(0) => self.take("status", "off", json!(true), "0 is off"),
                Some(port) => {
                    let listen = json!(format!("0.0.0.0:{port}"));
                    self.take("status", "listen", listen, "open to all, as before: rewards count scrapes")
                }
                None => look("an address is needed in status.listen"),
            },
            "clientinfo.networkmetricstick"
            | "clientinfo.ethereummetricstick"
            | "clientinfo.bitcoinmetricstick" => {
                self.unneeded_duration(value, "what is shown is read when it is asked for")
            }
            "tbtc.preparamspoolsize"
            | "tbtc.preparamsgenerationtimeout"
            | "tbtc.preparamsgenerationdelay"
            | "tbtc.preparamsgenerationconcurrency"
            | "tbtc.keygenerationconcurrency" => {
                left("no keys are generated here, so that tbtc_pre_params_count is 0")
            }
            "tbtc.wallettxsatpervbytefloor" | "tbtc.wallettxfeebufferpercent" => {
                left("fees follow rules that all members share: 5 sat/vB at least, 25 % over the estimate")
            }
            _ if key.starts_with("tbtc.transactionmonitor.") => {
                left("each wallet's transaction is watched: after 24 Bitcoin blocks it is an alarm")
            }
            _ if key.starts_with("maintainer.") => {
                left("that is of the maintainer, coxswain maintain, which has a configuration of its own")
            }
            "developer.bridgeaddress" => self.take("ethereum", "bridge", value.clone(), ""),
            "developer.walletproposalvalidatoraddress" => {
                self.take("ethereum", "validator", value.clone(), "")
            }
            "developer.walletregistryaddress" => self.take("ethereum", "registry", value.clone(), ""),
            _ if key.starts_with("developer.") => left("no other contract's address can be set"),
            _ if key == "libp2p" || key.starts_with("libp2p.") => look(
                "that client ignores the section LibP2P, whatever a guide says: it is network there and here. If its values are meant, set them there",
            ),
            _ => look("that client doesn't know the key, and ignores it: is it misspelt?"),
        }
    }

    fn duration(&mut self, section: &'static str, key: &'static str, value: &Value) -> (Fate, String) {
        match value {
            Value::Number(number) => look(format!("{section}.{key} is left out: {}", bare(number))),
            _ => match value.as_str().and_then(go_duration) {
                Some(duration) => {
                    let milliseconds = duration.as_millis();
                    let text = if milliseconds.is_multiple_of(1000) {
                        format!("{}s", milliseconds / 1000)
                    } else {
                        format!("{milliseconds}ms")
                    };
                    self.take(section, key, json!(text), "")
                }
                None => look(format!("{section}.{key} needs a duration, as 30s")),
            },
        }
    }

    fn unneeded_duration(&self, value: &Value, why: &str) -> (Fate, String) {
        match value {
            Value::Number(number) => (Fate::Left, format!("{why}. ({})", bare(number))),
            _ => (Fate::Left, why.to_owned()),
        }
    }

    fn list(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: &Value,
        more: &str,
    ) -> (Fate, String) {
        let items = match value {
            // One text, with commas, is a list to that client.
            Value::String(text) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
            }
            Value::Array(items) => items.clone(),
            _ => return look(format!("a list is needed in {section}.{key}")),
        };
        if items.iter().any(|item| !item.is_string()) {
            return look(format!("a list of texts is needed in {section}.{key}"));
        }
        self.take(section, key, Value::Array(items), more)
    }
}

fn look(says: impl Into<String>) -> (Fate, String) {
    (Fate::Look, says.into())
}

/// What a number without a unit is to that client.
fn bare(number: &serde_json::Number) -> String {
    format!(
        "{number} without a unit is {number} nanoseconds to that client, not seconds. Write the unit: {number}s, if seconds are meant"
    )
}

/// The URL for HTTP, and what to look at.
fn over_http(url: &str) -> (String, &'static str) {
    const WORD: &str = "HTTP in place of WebSocket: the port, and with some providers the path, may be another (geth's are 8545 and 8546)";
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => (format!("http://{rest}"), WORD),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => (format!("https://{rest}"), WORD),
        _ => (url.to_owned(), "two more servers are recommended"),
    }
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `300ms`.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds = 0_u128;
    while !rest.is_empty() {
        let digits =
            rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').filter(|at| *at > 0)?;
        let (number, after) = rest.split_at_checked(digits)?;
        let (unit, scale) = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ]
        .into_iter()
        .find(|(unit, _)| {
            after.strip_prefix(unit).is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
        })?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
        let tens = 10_u128.checked_pow(u32::try_from(fraction.len()).ok().filter(|length| *length <= 18)?)?;
        let whole = digits(whole)?.checked_mul(scale)?;
        let fraction = digits(fraction)?.checked_mul(scale)? / tens;
        nanoseconds = nanoseconds.checked_add(whole)?.checked_add(fraction)?;
        rest = after.strip_prefix(unit)?;
    }
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|_| !text.is_empty())?;
    Some(Duration::from_nanos(nanoseconds))
}

/// The same in JSON. What JSON has no word for is left out.
fn of_yaml(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => text.as_str().into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Boolean(truth) => (*truth).into(),
        Yaml::Array(items) => items.iter().map(of_yaml).collect(),
        Yaml::Hash(table) => {
            let named = |(key, value): (&Yaml, &Yaml)| Some((key.as_str()?.to_owned(), of_yaml(value)));
            Value::Object(table.iter().filter_map(named).collect())
        }
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
[ethereum]
URL = "ws://127.0.0.1:8546"
KeyFile = "/keys/operator.json"
miningCheckInterval = 60
[bitcoin.electrum]
URL = "ssl://electrum.example:50002"
RequestTimeout = 30
ConnectTimeout = "10s"
[network]
Port = 3919
Peers = ["/ip4/203.0.113.5/tcp/3919/ipfs/16Uiu2HAm1"]
[LibP2P]
Port = 3920
[storage]
Dir = "/var/keep/"
[clientInfo]
Port = 9601
[tbtc]
PreParamsPoolSize = 3000
[developer]
BridgeAddress = "0x00000000000000000000000000000000000000b1"
[other]
thing = "https://secret@x"
"#;

    fn fate<'a>(import: &'a Import, key: &str) -> (&'a str, &'a str) {
        let explained = import.explained.iter().find(|explained| explained.key == key).unwrap();
        (explained.fate.name(), explained.says.as_str())
    }

    fn value<'a>(import: &'a Import, section: &str, key: &str) -> Option<&'a Value> {
        let is_it = |(of, name, _): &&(&str, &str, Value)| (*of, *name) == (section, key);
        import.values.iter().find(is_it).map(|(_, _, value)| value)
    }

    #[test]
    fn a_configuration_of_the_go_client_is_taken_over_with_each_key_explained() {
        let import = Import::read(Path::new("keep.toml"), TOML).unwrap();
        assert_eq!(import.explained.len(), 14);
        assert_eq!(value(&import, "ethereum", "urls"), Some(&json!(["http://127.0.0.1:8546"])));
        let (taken, says) = fate(&import, "ethereum.URL");
        assert!(taken == "taken" && says.contains("port"), "{says}");
        // A bare number means nanoseconds there, whatever was meant.
        assert_eq!(value(&import, "bitcoin", "request_timeout"), None);
        let (look, says) = fate(&import, "bitcoin.electrum.RequestTimeout");
        assert!(look == "look" && says.contains("30 nanoseconds") && says.contains("30s"), "{says}");
        let (look, says) = fate(&import, "LibP2P.Port");
        assert!(look == "look" && says.contains("ignores the section LibP2P"), "{says}");
        assert_eq!(value(&import, "network", "listen"), Some(&json!(["0.0.0.0:3919"])));
        assert_eq!(value(&import, "journal", "path"), Some(&json!("/var/keep/coxswain/journal.db")));
        let (look, says) = fate(&import, "other.thing");
        assert!(look == "look" && !says.contains("secret"), "{says}");
        let configuration = import.configuration();
        assert!(configuration.contains("listen = \"0.0.0.0:9601\""), "{configuration}");
        assert!(configuration.contains("\nbridge = \"0x"), "{configuration}");
    }

    #[test]
    fn the_same_in_yaml_and_in_json_comes_to_the_same() {
        let toml = Import::read(Path::new("keep.toml"), TOML).unwrap();
        let document: Value = toml::from_str(TOML).unwrap();
        let json = Import::read(Path::new("keep.json"), &document.to_string()).unwrap();
        // JSON is YAML, too.
        let yaml = Import::read(Path::new("keep.yaml"), &document.to_string()).unwrap();
        assert_eq!(
            (json.configuration(), yaml.configuration()),
            (toml.configuration(), toml.configuration())
        );
        let yaml = "ethereum:\n  url: wss://node.example/ws/v3/key\nnetwork:\n  peers: [a, b]\n";
        let yaml = Import::read(Path::new("keep.yml"), yaml).unwrap();
        assert_eq!(value(&yaml, "ethereum", "urls"), Some(&json!(["https://node.example/ws/v3/key"])));
        assert_eq!(value(&yaml, "network", "peers"), Some(&json!(["a", "b"])));
    }

    #[test]
    fn what_is_malformed_is_told_without_what_stands_there() {
        for (name, text) in [
            ("k.toml", "a = https://secret"),
            ("k.json", "{https://secret"),
            ("k.yaml", "a: [https://secret"),
        ] {
            let error = Import::read(Path::new(name), text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(Import::read(Path::new("k.yaml"), "text"), Err(ImportError::NoSections));
        let longest = " ".repeat(MAX_BYTES);
        assert!(Import::read(Path::new("k.toml"), &longest).is_ok());
        assert!(Import::read(Path::new("k.toml"), &format!("{longest} ")).is_err());
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let millis = |text| go_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("1.5s"), Some(1500));
        assert_eq!(millis("300ms"), Some(300));
        assert_eq!(millis("0"), Some(0));
        for none in ["", "60", "1", "s", "1x", "1..5s", "999999999999999999999h"] {
            assert_eq!(millis(none), None, "{none}");
        }
    }
}
