//! What every program's configuration has: its log, and values that are read from texts.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use coxswain_rules::network::Preset;
use coxswain_secrets::SecretError;
use serde::{Deserialize, Deserializer};
use url::Url;
use zeroize::Zeroize;

use crate::{configuration::words, logging::Format};

/// What is told on standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// From which level on: `info`, or `info,coxswain_network=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: Format,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::default() }
    }
}

/// A URL, whose text no error shows.
#[derive(Clone)]
struct Endpoint(Url);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // To the library `localhost:8545` is a URL of the scheme `localhost`.
        if !text.contains("://") {
            return Err("the URL has no scheme, as http:// or ssl://".to_owned());
        }
        text.parse().map(Self).map_err(|error| format!("no URL: {error}"))
    }
}

/// Servers: one URL at least. No error shows the text of one.
///
/// # Errors
/// If one is no URL, or there is none.
pub fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Url>, D::Error> {
    let urls: Vec<Endpoint> = words(deserializer)?;
    if urls.is_empty() {
        return Err(serde::de::Error::custom("at least one server is needed"));
    }
    Ok(urls.into_iter().map(|Endpoint(url)| url).collect())
}

/// A text that is read so.
///
/// # Errors
/// If it is no text, or can't be read.
pub fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    read(&String::deserialize(deserializer)?).map_err(|problem: String| custom(&problem))
}

fn custom<E: serde::de::Error>(problem: &impl fmt::Display) -> E {
    E::custom(problem)
}

/// A keystore's password. Shown nowhere, wiped in the end.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

/// The most bytes of a password's file.
const MAX_PASSWORD: usize = 64 << 10;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// None is stated.
    #[error("the keystore's password is needed: ethereum.password_file, or COXSWAIN_ETHEREUM__PASSWORD")]
    Missing,
    /// Its file can't be read, or others can read it as well.
    #[error("the password file is not used")]
    File(#[from] SecretError),
    /// Its file holds something else.
    #[error("the password file is no text in UTF-8")]
    NoText,
}

impl Password {
    /// The one that is stated, or else the first line of the file.
    ///
    /// # Errors
    /// If there is neither, or the file can't be read, or others can read it.
    pub fn of(stated: Option<&Self>, file: Option<&Path>) -> Result<Self, PasswordError> {
        match (stated, file) {
            (Some(stated), _) => Ok(stated.clone()),
            (None, Some(file)) => {
                let bytes = coxswain_secrets::read(file, MAX_PASSWORD)?;
                let text = std::str::from_utf8(&bytes).map_err(|_| PasswordError::NoText)?;
                Ok(Self(text.lines().next().unwrap_or_default().to_owned()))
            }
            (None, None) => Err(PasswordError::Missing),
        }
    }

    /// The password itself, which opens a keystore.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A network by its name.
///
/// # Errors
/// If there is no such network.
pub fn preset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Preset>, D::Error> {
    text(deserializer, |name| {
        let known = || Preset::ALL.map(|preset| preset.name).join(" or ");
        Preset::named(name).map(Some).ok_or_else(|| format!("no network {name:?}: expected {}", known()))
    })
}

/// A duration with its unit: a bare number means seconds to some and nanoseconds to others.
///
/// # Errors
/// If it is no duration, or has no unit.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    text(deserializer, |written| {
        let digits = written.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let number =
            digits.parse::<u64>().map_err(|_| "no duration: expected one as 500ms, 15s or 2m".to_owned())?;
        match written.strip_prefix(digits) {
            Some("ms") => Ok(Some(Duration::from_millis(number))),
            Some("s") => Ok(Some(Duration::from_secs(number))),
            Some("m") => Ok(Some(Duration::from_secs(number.saturating_mul(60)))),
            _ => Err("a duration needs its unit: ms, s or m".to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_password_is_what_is_stated_or_a_files_first_line_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let write = |bytes: &[u8], mode| {
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        write(b"from a file\nmore\n", 0o600);
        let stated = Password("stated".to_owned());
        let of = |stated, file| Password::of(stated, file).map(|password| password.as_str().to_owned());
        assert_eq!(of(Some(&stated), Some(&file)).unwrap(), "stated");
        assert_eq!(of(None, Some(&file)).unwrap(), "from a file");
        assert!(matches!(of(None, Some(folder.path())), Err(PasswordError::File(SecretError::NotPlain(_)))));
        write(b"\xff\n", 0o600);
        assert!(matches!(of(None, Some(&file)), Err(PasswordError::NoText)));
        write(b"from a file", 0o604);
        assert!(matches!(of(None, Some(&file)), Err(PasswordError::File(SecretError::Access { .. }))));
        write(b"from a file", 0o400);
        assert_eq!(of(None, Some(&file)).unwrap(), "from a file");
        assert!(matches!(of(None, None), Err(PasswordError::Missing)));
        assert_eq!(format!("{stated:?}"), "Password(..)");
    }
}
