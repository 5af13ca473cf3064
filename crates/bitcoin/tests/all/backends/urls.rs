//! Which URLs name an endpoint, and which don't.

use std::io::Write;

use bitcoin::Network;
use coxswain_bitcoin::{Backend, Backends, Endpoint, EndpointError, Expected, Limits, Server};
use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};
use url::Url;

fn parse(url: &str) -> Result<Endpoint, EndpointError> {
    Endpoint::new(&url.parse().unwrap(), Limits::default())
}

#[tokio::test]
async fn urls_name_the_kind_and_the_address() {
    let fingerprint = "ab".repeat(32);
    for (url, kind, name) in [
        ("tcp://localhost:50001", "Electrum", "localhost:50001"),
        ("tcp://[::1]:50001", "Electrum", "[::1]:50001"),
        ("ssl://electrum.example:50002", "Electrum", "electrum.example:50002"),
        (&format!("ssl://electrum.example:50002#{fingerprint}"), "Electrum", "electrum.example:50002"),
        ("http://user:password@127.0.0.1:8332", "Bitcoin Core", "127.0.0.1:8332"),
        ("https://user:password@node.example", "Bitcoin Core", "node.example:443"),
        ("http://127.0.0.1:8332?cookie=/var/lib/bitcoin/.cookie", "Bitcoin Core", "127.0.0.1:8332"),
    ] {
        let endpoint = parse(url).unwrap();
        assert_eq!((endpoint.kind(), endpoint.name()), (kind, name), "{url}");
        assert!(!format!("{endpoint:?}").contains("password"), "{endpoint:?}");
    }
}

#[tokio::test]
async fn what_names_no_endpoint_is_refused_with_the_reason() {
    for (url, reason) in [
        (
            "ftp://localhost:21",
            "ftp is not spoken: use tcp or ssl for an Electrum server, http or https for Bitcoin Core",
        ),
        ("tcp://localhost", "the port is missing in the URL"),
        ("tcp:///path", "the host is missing in the URL"),
        ("tcp://localhost:1/path", "/path in the URL means nothing here"),
        ("tcp://localhost:1?verbose", "verbose in the URL means nothing here"),
        ("ssl://me:secret@localhost:1", "a password in the URL means nothing here"),
        (
            "tcp://localhost:1#abcd",
            "what stands behind # must be the certificate's SHA-256, as 64 hexadecimal digits",
        ),
        ("http://localhost:8332?wallet=w", "wallet in the URL means nothing here"),
    ] {
        assert_eq!(parse(url).unwrap_err().to_string(), reason, "{url}");
    }
    let pinned = format!("tcp://localhost:1#{}", "ab".repeat(32));
    assert_eq!(
        parse(&pinned).unwrap_err().to_string(),
        "a certificate's SHA-256 in the URL means nothing here"
    );
}

#[tokio::test]
async fn a_cookie_file_admits_and_is_read_anew() {
    let chain = Regtest::new();
    let server = BitcoinServer::core(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    let mut cookie = tempfile::NamedTempFile::new().unwrap();
    let mut url: Url = server.url().clone();
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    let without = Endpoint::new(&url, Limits::default()).unwrap();
    assert_eq!(without.tip().await.unwrap_err().kind(), "http-status");
    url.query_pairs_mut().append_pair("cookie", cookie.path().to_str().unwrap());
    let endpoint = Endpoint::new(&url, Limits::default()).unwrap();
    assert_eq!(endpoint.tip().await.unwrap_err().kind(), "no-credentials");
    cookie.write_all(b"coxswain:secret").unwrap();
    assert_eq!(endpoint.tip().await.unwrap().height, chain.height());
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_hash_or_by_an_authority_only() {
    let chain = Regtest::new();
    let server = BitcoinServer::electrum_over_tls(&chain, Serving::default()).await.unwrap();
    let mut url = server.url().clone();
    let pinned = Endpoint::new(&url, Limits::default()).unwrap();
    assert_eq!(pinned.tip().await.unwrap().height, chain.height());
    url.set_fragment(Some(&"ab".repeat(32)));
    let other = Endpoint::new(&url, Limits::default()).unwrap().tip().await.unwrap_err();
    assert_eq!(other.kind(), "untrusted-certificate");
    let own = server.url().fragment().unwrap().to_owned();
    for words in ["another than the one named, abab", &format!("its SHA-256 is {own}")] {
        assert!(other.to_string().contains(words), "{words}: {other}");
    }
    url.set_fragment(None);
    let unknown = Endpoint::new(&url, Limits::default()).unwrap().tip().await.unwrap_err();
    assert_eq!(unknown.kind(), "untrusted-certificate");
    for words in ["signed by no authority", &format!("its SHA-256 is {own}")] {
        assert!(unknown.to_string().contains(words), "{words}: {unknown}");
    }
    // One that can't be trusted spoils nothing.
    let spare = BitcoinServer::core(&chain, Serving::default(), |_, _| Reply::Forward).await.unwrap();
    let endpoints = [&url, spare.url()].map(|url| Endpoint::new(url, Limits::default()).unwrap());
    let backends = Backends::new(endpoints.into(), Expected::on(Network::Regtest));
    assert_eq!(backends.tip().await.unwrap().height, chain.height());
}
