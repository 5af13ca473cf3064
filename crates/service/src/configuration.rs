//! A configuration in layers: file < `COXSWAIN_SECTION__KEY` < flags. What isn't known is an error, and each value says where
//! it comes from.
//!
//! Nothing of a value is shown in an error if there may be a URL in it: URLs hold keys.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use toml::{Table, Value};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// How variables begin.
const PREFIX: &str = "COXSWAIN_";
/// What stands between a variable's section and key.
const SEPARATOR: &str = "__";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The file can't be read.
    #[error("{0} can't be read")]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is far too long.
    #[error("{path} is {length} bytes long, at most {MAX_BYTES} allowed")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// The file is no TOML.
    #[error("{path}, line {line}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A variable is no text, or names no section and key.
    #[error("{0} is no text, or names no section and key")]
    Variable(String),
    /// A value is missing, unknown, or not what it has to be.
    #[error("{key}{}: {problem}", origin.as_ref().map(|origin| format!(" (from {origin})")).unwrap_or_default())]
    Value {
        /// Its key.
        key: String,
        /// Where it comes from, if it is there.
        origin: Option<Origin>,
        /// What is wrong.
        problem: String,
    },
}

/// The values of all layers, later ones over earlier ones.
#[derive(Debug, Default)]
pub struct Layers {
    values: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Takes in a file.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigurationError> {
        let read = |error| ConfigurationError::Read(path.to_owned(), error);
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > MAX_BYTES {
            return Err(ConfigurationError::TooLong { path: path.to_owned(), length });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            ConfigurationError::Malformed {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                problem: error.message().to_owned(),
            }
        })?;
        for (key, value) in table {
            self.set(vec![key], value, &Origin::File(path.to_owned()));
        }
        Ok(())
    }

    /// Takes in the variables that are this program's. One that is empty isn't there.
    ///
    /// # Errors
    /// If one is no text, or names no section and key.
    pub fn variables(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigurationError> {
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| rest.contains(SEPARATOR)) else {
                continue;
            };
            let bad = || ConfigurationError::Variable(name.clone());
            let text = value.into_string().map_err(|_| bad())?;
            if text.is_empty() {
                continue;
            }
            let (section, key) = rest.split_once(SEPARATOR).ok_or_else(bad)?;
            if section.is_empty() || key.is_empty() {
                return Err(bad());
            }
            let path = vec![section.to_ascii_lowercase(), key.to_ascii_lowercase()];
            self.set(path, Value::String(text), &Origin::Variable(name));
        }
        Ok(())
    }

    /// Takes in a flag for a key of a section.
    pub fn flag(&mut self, name: &str, section: &str, key: &str, value: impl Into<Value>) {
        let path = vec![section.to_owned(), key.to_owned()];
        self.set(path, value.into(), &Origin::Flag(name.to_owned()));
    }

    /// Where the value of a key comes from, or what it is in, or the first that is in it.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        let inside = |at: &str| at.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        if let Some((_, origin)) = self.origins.iter().find(|(at, _)| inside(at)) {
            return Some(origin);
        }
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return Some(origin);
            }
            // A key's value may be in a list.
            key = key.rsplit_once(['.', '['])?.0;
        }
    }

    /// All values, each by its key, with where it comes from. A list is one value.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value, &Origin)> {
        self.origins.iter().filter_map(|(key, origin)| {
            let mut at = None;
            for part in key.split('.') {
                let table = match at {
                    None => Some(&self.values),
                    Some(value) => Value::as_table(value),
                };
                at = Some(table?.get(part)?);
            }
            // A later layer may have put a value where a section was.
            Some((key.as_str(), at.filter(|value| !value.is_table())?, origin))
        })
    }

    /// The values, typed.
    ///
    /// # Errors
    /// If one is missing, unknown, or not what it has to be.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigurationError> {
        serde_path_to_error::deserialize(Value::Table(self.values.clone())).map_err(|error| {
            let key = error.path().to_string();
            let problem = error.inner().message();
            let shows_url = problem.contains("://");
            let problem = if shows_url { "this is not what has to stand here" } else { problem };
            ConfigurationError::Value {
                origin: self.origin(&key).cloned(),
                key: if key == "." { "the configuration".to_owned() } else { key },
                problem: problem.to_owned(),
            }
        })
    }

    fn set(&mut self, path: Vec<String>, value: Value, origin: &Origin) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    self.set([&path[..], &[key]].concat(), value, origin);
                }
            }
            value => {
                self.origins.insert(path.join("."), origin.clone());
                let Some((last, sections)) = path.split_last() else { return };
                let mut at = &mut self.values;
                for section in sections {
                    let entry = at.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
                    if !entry.is_table() {
                        *entry = Value::Table(Table::new());
                    }
                    let Value::Table(table) = entry else { return };
                    at = table;
                }
                at.insert(last.clone(), value);
            }
        }
    }
}

/// A number or truth value, or a text that reads as one: variables are texts.
///
/// # Errors
/// If it is neither.
pub fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr + Deserialize<'de>,
    T::Err: fmt::Display,
{
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number or truth value that fits is needed")]
    enum Parsed<T> {
        Value(T),
        Text(String),
    }
    match Parsed::deserialize(deserializer)? {
        Parsed::Value(value) => Ok(value),
        Parsed::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
    }
}

/// The same for a key that may be left out, together with `#[serde(default)]`.
///
/// # Errors
/// If it is there, and neither.
pub fn parsed_if_any<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr + Deserialize<'de>,
    T::Err: fmt::Display,
{
    parsed(deserializer).map(Some)
}

/// Several values: a list, or one text with white space between them, as in a variable.
///
/// # Errors
/// If one is no such value. Its place is told, not the value.
pub fn words<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Text(String),
        Number(i64),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<Word>),
        Text(String),
    }
    let word = |word| match word {
        Word::Text(text) => text,
        Word::Number(number) => number.to_string(),
    };
    let words: Vec<String> = match Words::deserialize(deserializer)? {
        Words::List(words) => words.into_iter().map(word).collect(),
        Words::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
    };
    let read = |(number, word): (usize, &String)| {
        word.parse().map_err(|error: T::Err| serde::de::Error::custom(format!("value {number}: {error}")))
    };
    (1..).zip(&words).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Program {
        ethereum: Ethereum,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ethereum {
        #[serde(deserialize_with = "words")]
        urls: Vec<String>,
        #[serde(default, deserialize_with = "parsed")]
        quorum: u8,
    }

    fn read(text: &str, variables: &[(&str, &str)], flag: Option<i64>) -> Result<Program, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        let mut layers = Layers::default();
        let mut fill = || {
            layers.file(&path)?;
            layers.variables(variables.iter().map(|(name, value)| (name.into(), value.into())))?;
            if let Some(flag) = flag {
                layers.flag("--quorum", "ethereum", "quorum", flag);
            }
            layers.read()
        };
        fill().map_err(|error: ConfigurationError| {
            error.to_string().replace(&path.display().to_string(), "node.toml")
        })
    }

    const FILE: &str = "[ethereum]\nurls = [\"a\", \"b\"]\nquorum = 1\n";

    fn program(urls: &[&str], quorum: u8) -> Program {
        Program { ethereum: Ethereum { urls: urls.iter().map(|url| (*url).to_owned()).collect(), quorum } }
    }

    #[test]
    fn variables_win_over_the_file_and_flags_over_both() {
        assert_eq!(read(FILE, &[], None), Ok(program(&["a", "b"], 1)));
        let variables = [("COXSWAIN_ETHEREUM__URLS", " c  d "), ("COXSWAIN_ETHEREUM__QUORUM", "2")];
        assert_eq!(read(FILE, &variables, None), Ok(program(&["c", "d"], 2)));
        assert_eq!(read(FILE, &variables, Some(3)), Ok(program(&["c", "d"], 3)));
        // Others' variables, and empty ones, are none.
        let others = [("COXSWAIN_FUZZ_SEED", "1"), ("HOME", "x"), ("COXSWAIN_ETHEREUM__QUORUM", "")];
        assert_eq!(read(FILE, &others, None), Ok(program(&["a", "b"], 1)));
    }

    #[test]
    fn what_is_unknown_is_an_error_that_says_where_it_comes_from() {
        let unknown = format!("{FILE}quorums = 1\n");
        let problem =
            "ethereum.quorums (from node.toml): unknown field `quorums`, expected `urls` or `quorum`";
        assert_eq!(read(&unknown, &[], None).unwrap_err(), problem);
        let problem = read(FILE, &[("COXSWAIN_ETHERIUM__URLS", "x")], None).unwrap_err();
        assert!(problem.contains("COXSWAIN_ETHERIUM__URLS"), "{problem}");
        let problem = read(FILE, &[("COXSWAIN_ETHEREUM__QUORUM", "many")], None).unwrap_err();
        assert!(problem.starts_with("ethereum.quorum (from COXSWAIN_ETHEREUM__QUORUM)"), "{problem}");
        assert!(read(FILE, &[("COXSWAIN_ETHEREUM__", "many")], None).is_err());
        assert_eq!(read("[ethereum\n", &[], None).unwrap_err().split(": ").next(), Some("node.toml, line 1"));
        assert!(read("", &[], None).unwrap_err().contains("missing field `ethereum`"));
    }

    #[test]
    fn each_value_is_listed_with_where_it_comes_from() {
        let mut layers = Layers::default();
        layers.set(
            vec!["a".to_owned()],
            "b = 1\nc = [2]".parse::<Table>().unwrap().into(),
            &Origin::File("x".into()),
        );
        layers.variables([("COXSWAIN_A__C".into(), "3".into())]).unwrap();
        layers.flag("--d", "a", "d", true);
        let listed: Vec<_> =
            layers.values().map(|(key, value, origin)| format!("{key} = {value:?} ({origin})")).collect();
        let expected =
            ["a.b = Integer(1) (x)", "a.c = String(\"3\") (COXSWAIN_A__C)", "a.d = Boolean(true) (--d)"];
        assert_eq!(listed, expected);
    }

    #[test]
    fn no_url_is_ever_shown() {
        let problem = read("ethereum = \"https://key@x\"", &[], None).unwrap_err();
        assert!(!problem.contains("key@x"), "{problem}");
    }
}
