//! The world and the demo as a person meets them: the README's commands hold in the world, and both leave nothing behind when they are
//! told to end.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

const WORLD: &str = env!("CARGO_BIN_EXE_coxswain-world");
const DEMO: &str = env!("CARGO_BIN_EXE_coxswain-demo");

#[test]
fn the_readmes_commands_hold_in_the_world_and_it_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world");
    let output = Command::new(WORLD)
        .args(["--once", "--port-base", "0", "--dir"])
        .arg(&world)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{told}");
    assert!(text.contains("commands, all as the README says"), "{text}\n{told}");
    for words in ["PROPOSAL   redemption", "VALID      deposit-sweep", "REJECTED   deposit-sweep", "DS-11"] {
        assert!(text.contains(words), "{words}: {text}\n{told}");
    }
    // Only what a person made there: mine.json, of the README.
    let left: Vec<_> = fs::read_dir(&world).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.json"]);
}

#[test]
fn a_world_told_to_end_leaves_no_process_no_port_and_no_file() {
    for signal in ["TERM", "INT", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join("world");
        let mut child = Command::new(WORLD)
            .args(["--port-base", "0", "--dir"])
            .arg(&world)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        until(&mut stdout, "Ctrl-C ends the world");
        let env = fs::read_to_string(world.join("env")).unwrap();
        let ports: BTreeSet<_> =
            env.split("127.0.0.1:").skip(1).chain(env.split("localhost:").skip(1)).map(port).collect();
        assert_eq!(ports.len(), 4, "{env}");
        assert!(ports.iter().all(|&port| is_open(port)), "{env}");
        let children = children(&child);

        end(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        for port in ports {
            assert!(!is_open(port), "{signal}: {port}");
        }
        assert!(!world.exists(), "{signal}");
        assert!(children.iter().all(|child| !is_running(child)), "{signal}: {children:?}");
    }
}

#[test]
fn a_demo_told_to_end_leaves_no_chain_behind() {
    let mut child = Command::new(DEMO).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    // anvil runs by now.
    until(&mut stderr, "funding three wallets");
    let children = children(&child);
    assert!(!cfg!(target_os = "linux") || children.iter().any(|child| is_running(child)), "{children:?}");
    end(&child, "TERM");
    stderr.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    assert!(children.iter().all(|child| !is_running(child)), "{children:?}");
}

/// Reads lines until one has these words.
fn until(from: &mut impl BufRead, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert_ne!(from.read_line(&mut line).unwrap(), 0, "it ended before it said: {words}");
    }
}

fn end(child: &Child, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn port(text: &str) -> u16 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The processes that a process has started. `None` if the system doesn't tell.
fn children(of: &Child) -> Vec<String> {
    let path = format!("/proc/{0}/task/{0}/children", of.id());
    let children = fs::read_to_string(path).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

/// Whether there is such a process, other than one that has ended and waits to be noticed.
fn is_running(process: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}
