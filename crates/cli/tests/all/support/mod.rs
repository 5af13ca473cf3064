//! Runs the program as a person or a script would. All that it prints as JSON is checked against its schema.

mod schema;

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Run {
    /// The documents printed, if each is a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(line).collect()
    }
}

/// Runs `coxswain` with these arguments and this on its standard input.
pub(crate) async fn coxswain(arguments: &[&str], stdin: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coxswain"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .envs([
            ("COXSWAIN_ETHEREUM__URLS", ""),
            ("COXSWAIN_BITCOIN__URLS", ""),
            ("COXSWAIN_NETWORK__PEERS", ""),
        ])
        .envs([("COXSWAIN_ETHEREUM__NETWORK", ""), ("COXSWAIN_BITCOIN__NETWORK", "")])
        .envs([("COXSWAIN_ETHEREUM__REQUEST_TIMEOUT", ""), ("COXSWAIN_BITCOIN__REQUEST_TIMEOUT", "")])
        .envs([("COXSWAIN_ETHEREUM__QUORUM", ""), ("COXSWAIN_BITCOIN__QUORUM", "")])
        .env("COXSWAIN_ETHEREUM__LOOPBACK_IS_ONE", "")
        .env("COXSWAIN_TIMEOUT", "")
        .envs([("COXSWAIN_ETHEREUM__PROXY", ""), ("COXSWAIN_ETHEREUM__PASSWORD_FILE", "")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A child that refuses its arguments doesn't read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) };
    if arguments.contains(&"--json") && !run.stdout.is_empty() {
        let command = arguments.first().unwrap();
        // It tells each thing as soon as it is known, in a line of its own.
        if *command == "watch" {
            run.lines().iter().for_each(|line| schema::check(command, line));
        } else {
            schema::check(command, &run.json());
        }
    }
    run
}
