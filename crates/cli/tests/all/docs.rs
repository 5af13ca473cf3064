//! The documents against the tree: what they name exists, and each incident has its tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use coxswain_cli::arguments::Arguments;

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files in a folder with such a name's end, by their path from the project's folder.
fn files(folder: &str, end: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(end) {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// What people read: all Markdown but that of dependencies.
fn documents() -> BTreeMap<String, String> {
    let mut documents = files("docs", ".md");
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "md") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            documents.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    documents
}

/// The incidents that a test's file shows, by the names of its tests.
fn incidents(text: &str, keyword: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for rest in text.split(keyword).skip(1) {
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_lowercase();
        for after in name.split("inc").skip(1) {
            let digits: String =
                after.trim_start_matches('_').chars().take_while(char::is_ascii_digit).collect();
            found.extend(digits.parse::<u32>());
        }
    }
    found
}

#[test]
fn each_incident_has_its_tests_and_each_test_of_an_incident_is_of_one_listed() {
    let mut tests: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for (name, text) in files("crates", ".rs") {
        tests.insert(name, incidents(&text, "fn "));
    }
    for (name, text) in files("test", ".sol") {
        tests.insert(name, incidents(&text, "function test_"));
    }
    let list = fs::read_to_string(root().join("docs/incidents.md")).unwrap();
    let mut listed = BTreeSet::new();
    for line in list.lines().filter(|line| line.starts_with("| INC-")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let number: u32 = cells.next().unwrap().strip_prefix("INC-").unwrap().parse().unwrap();
        assert!(listed.insert(number), "INC-{number} is listed twice");
        let named: Vec<_> = cells.nth(2).unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "INC-{number} names no test");
        for file in named {
            let shown = tests.get(file).unwrap_or_else(|| panic!("INC-{number}: there is no {file}"));
            assert!(shown.contains(&number), "INC-{number}: {file} has no test with its name");
        }
    }
    let tested: BTreeSet<u32> = tests.into_values().flatten().collect();
    assert_eq!(listed, tested, "listed, tested");
    assert_eq!(listed.len(), 50);
}

/// The code in a text: what stands between backticks, and the lines of blocks for the shell.
fn code(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut block = None;
    for line in text.lines().map(str::trim) {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language.starts_with("sh")),
            (Some(_), Some(_)) => block = None,
            (None, Some(true)) => found.push(line),
            (None, Some(false)) => {}
            (None, None) => found.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    found
}

#[test]
fn each_path_that_a_document_names_exists() {
    let tops: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "target" && !name.starts_with('.'))
        .collect();
    let mut seen = 0;
    for (name, text) in documents() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            assert!(folder.join(link).exists(), "{name}: there is no {link}");
            seen += 1;
        }
        for path in code(&text).iter().flat_map(|code| code.split([' ', ':'])) {
            let is_path = path.split_once('/').is_some_and(|(top, _)| tops.contains(top));
            // A pattern, or a file that a run writes.
            if is_path && !path.contains(['*', '<', '…']) && !path.starts_with("cache/") {
                assert!(root().join(path).exists(), "{name}: there is no {path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} were looked at");
}

#[test]
fn each_command_that_a_document_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .filter(|target| target.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect();
    let program = Arguments::command();
    let commands: BTreeSet<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
    let mut seen = 0;
    for (name, text) in documents() {
        for code in code(&text) {
            let mut words = code.split_whitespace();
            let known = match (words.next(), words.next()) {
                (Some("make"), Some(word)) => targets.contains(word),
                (Some("coxswain"), Some(word)) => commands.contains(word) || word.starts_with('-'),
                _ => continue,
            };
            assert!(known, "{name}: there is no such thing as `{code}`");
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} were looked at");
}

#[test]
fn each_alarm_has_its_runbook_and_each_runbook_its_alarm() {
    let book = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let first_cells =
        book.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let told: BTreeSet<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let rules: String = files("deploy/prometheus", ".rules.yml").into_values().collect();
    let mut shown: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    // The names of entries are constants of the two programs.
    let sources = [files("crates/node/src", ".rs"), files("crates/maintainer/src", ".rs")];
    let sources: Vec<String> = sources.into_iter().flat_map(BTreeMap::into_values).collect();
    for source in &sources {
        for (line, (constant, name)) in source.lines().filter_map(|line| Some((line, constant(line)?))) {
            let is_anywhere = line.starts_with("pub");
            let mut where_said = sources.iter().filter(|other| is_anywhere || *other == source);
            let calls = ["set(", "set_of(", "say(", "say_each("];
            if where_said.any(|source| calls.iter().any(|call| says(source, call, constant))) {
                shown.insert(name);
            }
        }
    }
    assert_eq!(told, shown, "told, shown");
}

/// The name and the value of a constant that is a text.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once("const ")?;
    let (name, value) = rest.split_once(": &str = \"")?;
    Some((name, value.strip_suffix("\";")?))
}

/// Whether a source makes such a call with this constant first.
fn says(source: &str, call: &str, constant: &str) -> bool {
    source.split(call).skip(1).any(|rest| {
        let rest = rest.trim_start();
        rest.strip_prefix("watch::")
            .unwrap_or(rest)
            .strip_prefix(constant)
            .is_some_and(|rest| rest.starts_with(','))
    })
}
