//! Runs the program as a person or a script would. All that it prints as JSON is checked against its schema.

mod schema;

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use coxswain_testkit::World;
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
    coxswain_with(&[], arguments, stdin).await
}

/// Runs a command on a world's chain and validator, with this document on its standard input.
pub(crate) async fn coxswain_of(world: &World, command: &str, document: &Value, more: &[&str]) -> Run {
    let (rpc_url, validator) = (world.chain.endpoint(), world.validator.to_string());
    let arguments = [&[command, "--rpc-url", &rpc_url, "--validator", &validator], more].concat();
    coxswain(&arguments, &document.to_string()).await
}

/// Likewise, with these variables and no others of the program's.
pub(crate) async fn coxswain_with(variables: &[(&str, &str)], arguments: &[&str], stdin: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coxswain"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COXSWAIN_") {
            command.env_remove(name);
        }
    }
    let mut child = command
        .args(arguments)
        .env("NO_COLOR", "1")
        .envs(variables.iter().copied())
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
        let command = match arguments {
            ["config", command, ..] => &format!("config {command}"),
            _ => *arguments.first().unwrap(),
        };
        // It tells each thing as soon as it is known, in a line of its own.
        if command == "watch" {
            run.lines().iter().for_each(|line| schema::check(command, line));
        } else {
            schema::check(command, &run.json());
        }
    }
    run
}
