//! What a person writes on the command line, read with words that say what is wrong with it.

use std::{ffi::OsStr, ops::RangeInclusive, time::Duration};

use alloy_primitives::{Address, hex};
use clap::{Arg, Command, Error, builder::TypedValueParser, error::ErrorKind};
use coxswain_rules::{Assurance, KeyHash};
use url::Url;

/// Reads a URL as this does. What is wrong with it is said without repeating it, as there may be a key in it.
#[derive(Clone, Copy)]
pub(crate) struct UrlParser(pub(crate) fn(&str) -> Result<Url, String>);

impl TypedValueParser for UrlParser {
    type Value = Url;

    fn parse_ref(&self, _: &Command, argument: Option<&Arg>, text: &OsStr) -> Result<Url, Error> {
        let read = text.to_str().ok_or_else(|| "it is not Unicode".to_owned()).and_then(self.0);
        let name = argument.map_or_else(|| "a URL".to_owned(), |argument| format!("'{argument}'"));
        read.map_err(|problem| {
            usage(ErrorKind::InvalidValue, &format!("invalid value for {name}: {problem}"))
        })
    }
}

/// What is wrong with the command line or a variable, laid out as the rest of such errors.
pub(crate) fn usage(kind: ErrorKind, problem: &str) -> Error {
    Error::raw(kind, format!("{problem}\n\nFor more information, try '--help'.\n"))
}

/// Reads the URL of an Ethereum endpoint.
pub(crate) fn ethereum_url(text: &str) -> Result<Url, String> {
    url(text, "write http:// or https:// before it")
}

/// Reads the URL of a Bitcoin endpoint.
pub(crate) fn bitcoin_url(text: &str) -> Result<Url, String> {
    url(
        text,
        "write tcp:// or ssl:// before an Electrum server, http:// or https:// before a Bitcoin Core node",
    )
}

/// `localhost:8545` is a URL to the library, of the scheme `localhost`; to a person it is one without a scheme.
fn url(text: &str, scheme: &str) -> Result<Url, String> {
    if !text.contains("://") {
        return Err(format!("the URL has no scheme: {scheme}"));
    }
    text.parse().map_err(|error| format!("no URL: {error}"))
}

/// Reads an address. If its letters' cases differ, they must be its checksum.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    let malformed = || format!("`{text}` is no address: expected 0x and 40 hex digits");
    let digits = text.strip_prefix("0x").ok_or_else(malformed)?;
    let address: Address = text.parse().map_err(|_| malformed())?;
    let one_case = digits == digits.to_ascii_lowercase() || digits == digits.to_ascii_uppercase();
    let checksummed = address.to_checksum(None);
    if one_case || text == checksummed {
        Ok(address)
    } else {
        Err(format!(
            "`{text}` has a wrong checksum, so that it is mistyped; of these digits {checksummed} would be right"
        ))
    }
}

/// The shortest time that an endpoint may be given, and the longest.
const TIMES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// Reads how well something must be known.
pub(crate) fn assurance(text: &str) -> Result<Assurance, String> {
    let named = [Assurance::Agreed, Assurance::Proven].into_iter().find(|assurance| assurance.name() == text);
    named.ok_or_else(|| "expected agreed or proven".to_owned())
}

/// Reads a duration with its unit. A bare number means seconds to some and nanoseconds to others.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number = digits
        .parse::<u64>()
        .map_err(|_| format!("`{text}` is no duration: expected one as 500ms, 30s or 2m"))?;
    let duration = match text.strip_prefix(digits) {
        Some("ms") => Duration::from_millis(number),
        Some("s") => Duration::from_secs(number),
        Some("m") => Duration::from_secs(number.saturating_mul(60)),
        Some("") => return Err(format!("`{text}` has no unit: write {text}s for seconds")),
        _ => return Err(format!("`{text}` has another unit than ms, s or m")),
    };
    if TIMES.contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("`{text}` is not between 100ms and 10m"))
    }
}

/// Reads a wallet as `0x` and 40 hex digits.
pub(crate) fn key_hash(text: &str) -> Result<KeyHash, String> {
    let bytes = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    let bytes = bytes.ok_or_else(|| "expected 0x and 40 hex digits".to_owned())?;
    let length = bytes.len();
    bytes.try_into().map(KeyHash).map_err(|_| match length {
        33 | 64 | 65 => "this is a public key: expected its HASH160, 0x and 40 hex digits".to_owned(),
        32 => {
            "this is as long as a wallet's id: expected the HASH160 of its public key, 0x and 40 hex digits"
                .to_owned()
        }
        _ => format!("expected 0x and 40 hex digits, got {}", 2 * length),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_url_without_a_scheme_is_told_which_to_write() {
        for text in ["127.0.0.1:8545", "localhost:8545", "node.example", "::1", ""] {
            let error = ethereum_url(text).unwrap_err();
            assert!(error.contains("no scheme") && error.contains("http://"), "{text}: {error}");
            assert!(bitcoin_url(text).unwrap_err().contains("tcp:// or ssl://"), "{text}");
        }
        assert!(ethereum_url("http://").unwrap_err().starts_with("no URL: "));
        assert_eq!(ethereum_url("http://localhost:8545").unwrap().port(), Some(8545));
        assert_eq!(bitcoin_url("tcp://localhost:50001").unwrap().port(), Some(50001));
    }

    #[test]
    fn a_url_that_is_none_is_not_repeated_as_there_may_be_a_key_in_it() {
        for urls in
            ["--rpc-url htp:/node.example/SECRET", "--rpc-proxy http://:SECRET", "--bitcoin-url SECRET"]
        {
            let line = format!("coxswain doctor {urls}");
            let error = crate::arguments::Arguments::try_parse_from(line.split_whitespace()).unwrap_err();
            let (flag, text) = (urls.split(' ').next().unwrap(), error.to_string());
            assert!(text.contains(flag) && !text.contains("SECRET"), "{text}");
        }
    }

    #[test]
    fn an_address_of_mixed_case_must_have_the_right_checksum() {
        let right = "0x5e4861a80B55f035D899f66772117F00FA0E8e7B";
        for text in [right, &right.to_lowercase(), &right.to_uppercase().replace("0X", "0x")] {
            assert_eq!(address(text).unwrap().to_checksum(None), right);
        }
        let error = address(&right.replace("80B", "80b")).unwrap_err();
        assert!(error.contains("wrong checksum") && error.contains(right), "{error}");
        // One digit mistyped.
        assert!(address(&right.replace("80B", "81B")).unwrap_err().contains("wrong checksum"));
        for text in ["0x00", "", "0x", right.trim_start_matches("0x"), &format!("{right}00")] {
            assert!(address(text).unwrap_err().contains("is no address"), "{text}");
        }
    }

    #[test]
    fn a_duration_has_a_unit_and_bounds() {
        for (text, milliseconds) in
            [("100ms", 100), ("30s", 30_000), ("2m", 120_000), ("600s", 600_000), ("10m", 600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, words) in [
            ("30", "has no unit: write 30s"),
            ("30h", "another unit"),
            ("99ms", "not between"),
            ("601s", "not between"),
            ("18446744073709551615m", "not between"),
            ("0s", "not between"),
            ("s", "is no duration"),
            ("", "is no duration"),
            ("-1s", "is no duration"),
            ("1.5s", "is no duration"),
            ("1 s", "is no duration"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_taken_for_a_wallet_is_told_what_it_is() {
        assert!(key_hash(&format!("0x{}", "ab".repeat(20))).is_ok());
        for (bytes, words) in [
            (33, "public key"),
            (64, "public key"),
            (65, "public key"),
            (32, "wallet's id"),
            (19, "got 38"),
            (21, "got 42"),
            (0, "got 0"),
        ] {
            let error = key_hash(&format!("0x{}", "ab".repeat(bytes))).unwrap_err();
            assert!(error.contains(words), "{bytes}: {error}");
        }
        assert!(key_hash("abcd").is_err() && key_hash("0xzz").is_err());
    }
}
