//! What is under `deploy/`, as far as the program itself can hold it to account.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All of the program's source.
fn sources() -> String {
    fn add(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    for part in ["node", "service", "maintainer"] {
        add(&root().join("crates").join(part).join("src"), &mut text);
    }
    text
}

/// The metrics that an expression names: words before a selector, or our own names.
fn metrics(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    for (at, _) in expression.match_indices('{') {
        let before = &expression[..at];
        let start = before.rfind(|letter| !is_of_name(letter)).map_or(0, |end| end + 1);
        if !before[start..].is_empty() {
            found.insert(before[start..].to_owned());
        }
    }
    found
}

#[test]
fn every_metric_that_dashboards_and_alerts_name_exists() {
    let mut named = BTreeSet::new();
    for line in read("deploy/prometheus/coxswain.rules.yml").lines() {
        let is_words = ["summary:", "remedy:", "#"].iter().any(|word| line.trim_start().starts_with(word));
        if !is_words {
            named.extend(metrics(line));
        }
    }
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/coxswain.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        named.extend(metrics(target["expr"].as_str().unwrap()));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        named.extend(metrics(variable["query"]["query"].as_str().unwrap_or_default()));
    }
    // Prometheus' own.
    assert!(named.remove("up") && named.len() >= 10, "{named:?}");
    let sources = sources();
    for name in named {
        assert!(sources.contains(&format!("\"{name}\"")), "{name} is nobody's");
    }
}

#[test]
fn alerts_have_a_remedy_and_a_test() {
    let (rules, tests) = (read("deploy/prometheus/coxswain.rules.yml"), read("deploy/prometheus/tests.yml"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!((alerts.len(), rules.matches("remedy: ").count()), (7, 7));
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}");
    }
}

#[test]
fn the_unit_the_image_and_the_manifests_drain_as_long_as_the_program_does() {
    let unit = read("deploy/coxswain.service");
    assert!(unit.contains("--drain 30s") && unit.contains("TimeoutStopSec=45s"));
    assert!(unit.contains("RestartPreventExitStatus=2"), "a configuration that makes no sense");
    let manifest = read("deploy/kubernetes/node/base/statefulset.yaml");
    assert!(manifest.contains("terminationGracePeriodSeconds: 45"));
    let image = read("deploy/Dockerfile");
    assert!(image.contains(" g++ "), "Bitcoin Core's own code is C++");
    assert!(image.contains("USER 10001:10001") && image.contains("STOPSIGNAL SIGTERM"));
    let toolchain = read("Cargo.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(image.contains(&format!("rust:{}", version.trim_matches('"'))), "{version}");
}

#[cfg(feature = "node")]
#[test]
fn what_the_manifest_mounts_is_read_with_the_variables_that_it_sets() {
    use coxswain_node::Configuration;
    use coxswain_service::configuration::Layers;

    let mut layers = Layers::default();
    layers.file(&root().join("deploy/kubernetes/node/production/node.toml")).unwrap();
    layers.read::<Configuration>().unwrap_err();
    let variables = [
        ("COXSWAIN_ETHEREUM__URLS", "https://a.example https://b.example"),
        ("COXSWAIN_BITCOIN__URLS", "ssl://c.example:50002"),
    ];
    layers.variables(variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
    let read = layers.read::<Configuration>().unwrap();
    assert_eq!(read.status.listen, Some(([0, 0, 0, 0], 9601).into()));
    assert!(!read.status.public_page);
}
