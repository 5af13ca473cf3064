//! `coxswain init`, `config show` and `doctor --config`, as an operator meets them.

use std::{fs, path::PathBuf};

use coxswain_testkit::TestChain;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{coxswain, coxswain_with};

fn folder() -> (TempDir, impl Fn(&str) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, move |name: &str| path.join(name).display().to_string())
}

/// A value of `config show --json`, and its origin.
fn shown(report: &Value, key: &str) -> (Value, String) {
    let values = report["values"].as_array().unwrap();
    let found =
        values.iter().find(|value| value["key"] == key).unwrap_or_else(|| panic!("{key}: {report:#}"));
    (found["value"].clone(), found["origin"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_written_configuration_is_shown_with_each_values_origin_and_no_secret() {
    let (_folder, path) = folder();
    let output = path("node.toml");
    let written = coxswain(&["init", "--output", &output, "--status", "public"], "").await;
    assert_eq!(written.code, 0, "{written:?}");
    // It is not written over.
    let again = coxswain(&["init", "--output", &output], "").await;
    assert_eq!(again.code, 2, "{again:?}");
    let variables = [
        ("COXSWAIN_ETHEREUM__PASSWORD", "correct horse"),
        ("COXSWAIN_ETHEREUM__URLS", "https://user:secret@node.example/v3/key http://127.0.0.1:8545"),
    ];
    let arguments = ["config", "show", "--config", &output, "--journal", "other.db", "--json"];
    let ran = coxswain_with(&variables, &arguments, "").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for secret in ["correct horse", "secret", "v3"] {
        assert!(!ran.stdout.contains(secret), "{secret}: {}", ran.stdout);
    }
    let report = ran.json();
    let told = |key: &str| {
        let (value, origin) = shown(&report, key);
        (value.to_string(), origin)
    };
    assert_eq!(told("ethereum.urls").1, "COXSWAIN_ETHEREUM__URLS");
    assert_eq!(told("journal.path"), ("\"other.db\"".to_owned(), "--journal".to_owned()));
    assert_eq!(told("status.listen"), ("\"0.0.0.0:9601\"".to_owned(), output.clone()));
    assert_eq!(told("ethereum.network"), ("\"mainnet\"".to_owned(), output.clone()));
    assert_eq!(told("ethereum.quorum"), ("0".to_owned(), "default".to_owned()));
    // For people, too.
    let text = coxswain_with(&variables, &["config", "show", "--config", &output], "").await;
    assert!(text.stdout.contains("ethereum.quorum") && text.stdout.contains("(default)"), "{text:?}");
    // What is unknown is named with where it comes from, wherever that is.
    let unknown =
        coxswain_with(&[("COXSWAIN_JOURNAL__PASS", "x")], &["config", "show", "--config", &output], "").await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("COXSWAIN_JOURNAL__PASS"), "{unknown:?}");
}

#[tokio::test]
async fn the_go_clients_configuration_is_imported_with_every_key_explained() {
    let (_folder, path) = folder();
    let keep = path("keep.toml");
    let text = "[ethereum]\nURL = \"wss://node.example:8546/ws/secret\"\nKeyFile = \"operator.json\"\n\
                [bitcoin.electrum]\nURL = \"ssl://electrum.example:50002\"\nRequestTimeout = 60\n\
                [LibP2P]\nPort = 3919\n[network]\nPort = 3919\n[storage]\nDir = \"/var/keep\"\n\
                [clientInfo]\nPort = 9601\n";
    fs::write(&keep, text).unwrap();
    let output = path("node.toml");
    let ran = coxswain(&["init", "--from", &keep, "--output", &output, "--json"], "").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.stdout.contains("secret"), "{ran:?}");
    let report = ran.json();
    let keys: Vec<_> =
        report["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    let all = text.lines().filter(|line| !line.starts_with('[')).count();
    assert_eq!(keys.len(), all, "every key is explained: {keys:?}");
    let says = |key: &str| {
        let found = report["keys"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap();
        found["says"].as_str().unwrap().to_owned()
    };
    assert!(says("bitcoin.electrum.RequestTimeout").contains("nanoseconds"));
    assert!(says("LibP2P.Port").contains("ignores"));
    assert!(says("ethereum.URL").contains("port"));
    let shown_values = coxswain(&["config", "show", "--config", &output, "--json"], "").await.json();
    assert_eq!(shown(&shown_values, "status.listen").0, "0.0.0.0:9601");
    assert_eq!(shown(&shown_values, "journal.path").0, "/var/keep/coxswain/journal.db");
    // What can't be read is told, and nothing is written.
    fs::write(&keep, "[ethereum").unwrap();
    let ran = coxswain(&["init", "--from", &keep, "--output", &path("other.toml")], "").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(!PathBuf::from(path("other.toml")).exists());
}

#[tokio::test]
async fn the_doctor_looks_at_what_is_the_nodes_own() {
    let chain = TestChain::start().unwrap();
    let (_folder, path) = folder();
    let configuration = format!(
        "[ethereum]\nurls = [{:?}]\nkeystore = {:?}\npassword_file = {:?}\n\
         [bitcoin]\nurls = [\"tcp://127.0.0.1:1\"]\n[network]\nlisten = [\"127.0.0.1:0\"]\n\
         peers = [\"/ip4/127.0.0.1/tcp/1/p2p/16Uiu2HAmHzBkRq62mG95vsjKMuYQBezZCtjPXYWUoyVxMxi71aB3\"]\n\
         [journal]\npath = {:?}\n",
        chain.endpoint(),
        path("none.json"),
        path("none"),
        path("missing/journal.db"),
    );
    let config = path("node.toml");
    fs::write(&config, &configuration).unwrap();
    let ran = coxswain(&["doctor", "--config", &config, "--json"], "").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    let outcome = |check: &str| {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|one| one["kind"] == "node" && one["check"] == check);
        found.unwrap_or_else(|| panic!("{check}: {report:#}"))["ok"].as_bool().unwrap()
    };
    assert!(outcome("port") && outcome("clock"), "{report:#}");
    for wrong in ["key", "peer", "journal"] {
        assert!(!outcome(wrong), "{wrong}: {report:#}");
    }
    fs::write(&config, format!("{configuration}other = 1\n")).unwrap();
    let ran = coxswain(&["doctor", "--config", &config], "").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("journal.other"), "{ran:?}");
}
