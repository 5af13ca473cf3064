//! Five operators, each a process of its own, on loopback: this test's own program, started again with an operator's number.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::BTreeMap,
    env,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::support::{Node, config, envelope, identity};
use alloy_primitives::hex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Says which operator a process is, and whom it dials.
const NUMBER: &str = "COXSWAIN_TEST_OPERATOR";
const PEERS: &str = "COXSWAIN_TEST_PEERS";
const OPERATORS: u8 = 5;

/// An operator's life, where this process is one: says on each line of its input, and prints what it hears.
#[tokio::test]
async fn operator() {
    let Ok(number) = env::var(NUMBER) else { return };
    let mut setup = config(number.parse().unwrap());
    setup.peers = env::var(PEERS).unwrap().split_whitespace().map(|peer| peer.parse().unwrap()).collect();
    let mut node = Node::start(setup, OPERATORS).await;
    println!("\nready {}", node.address());
    let mut input: Lines<BufReader<Stdin>> = BufReader::new(tokio::io::stdin()).lines();
    let mut sequence = 0;
    loop {
        tokio::select! {
            line = input.next_line() => {
                let Ok(Some(line)) = line else { return };
                if let Some(number) = line.strip_prefix("link ") {
                    node.linked(number.parse().unwrap()).await;
                    println!("\nlinked {number}");
                } else {
                    sequence += 1;
                    node.say(line.as_bytes(), sequence);
                }
            }
            heard = node.receiver.recv() => println!("\nheard {}", hex::encode(&heard.unwrap().envelope)),
        }
    }
}

struct Operator {
    number: u8,
    address: String,
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Operator {
    async fn start(number: u8, peers: &[&Self]) -> Self {
        let peers: Vec<_> = peers.iter().map(|peer| &peer.address[..]).collect();
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "processes::operator", "--nocapture"])
            .env(NUMBER, number.to_string())
            .env(PEERS, peers.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut operator = Self { number, address: String::new(), process, input, output };
        operator.address = operator.until("ready ").await;
        operator
    }

    async fn until(&mut self, what: &str) -> String {
        let found = async {
            loop {
                let line = self.output.next_line().await.unwrap().expect("the operator lives");
                if let Some(rest) = line.strip_prefix(what) {
                    return rest.to_owned();
                }
            }
        };
        let number = self.number;
        timeout(Duration::from_secs(60), found)
            .await
            .unwrap_or_else(|_| panic!("{number} doesn't say {what}"))
    }

    async fn line(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn linked(&mut self, number: u8) {
        self.line(&format!("link {number}")).await;
        self.until(&format!("linked {number}")).await;
    }
}

/// Operators linked by these edges, from the higher number to the lower.
async fn operators(edges: &[(u8, u8)]) -> Vec<Operator> {
    let mut all: Vec<Operator> = Vec::new();
    for number in 1..=OPERATORS {
        let peers: Vec<_> =
            edges.iter().filter(|(_, b)| *b == number).map(|(a, _)| &all[usize::from(*a) - 1]).collect();
        let operator = Operator::start(number, &peers).await;
        all.push(operator);
    }
    for (a, b) in edges {
        all[usize::from(*a) - 1].linked(*b).await;
        all[usize::from(*b) - 1].linked(*a).await;
    }
    all
}

/// Each says something, once; all others hear it exactly once.
async fn hear_each_other(all: &mut [Operator], word: &str, sequences: &BTreeMap<u8, u64>) {
    for operator in all.iter_mut() {
        operator.line(word).await;
    }
    for operator in all {
        let others = (1..=OPERATORS).filter(|number| *number != operator.number);
        let mut expected: Vec<_> = others
            .map(|number| hex::encode(envelope(&identity(number), word.as_bytes(), sequences[&number])))
            .collect();
        while !expected.is_empty() {
            let heard = operator.until("heard ").await;
            let before = expected.len();
            expected.retain(|expected| *expected != heard);
            assert_eq!(expected.len(), before - 1, "at most once, and nothing else");
        }
    }
}

#[tokio::test]
async fn inc_45_five_processes_in_a_mesh_and_one_comes_back_on_another_port() {
    let edges: Vec<_> = (1..=OPERATORS).flat_map(|a| (a + 1..=OPERATORS).map(move |b| (a, b))).collect();
    let mut all = operators(&edges).await;
    let mut sequences: BTreeMap<_, _> = (1..=OPERATORS).map(|number| (number, 1)).collect();
    hear_each_other(&mut all, "first", &sequences).await;

    let mut killed = all.pop().unwrap();
    let address = killed.address.clone();
    killed.process.kill().await.unwrap();
    let peers: Vec<_> = all.iter().collect();
    let start = Instant::now();
    let mut back = Operator::start(OPERATORS, &peers).await;
    assert_ne!(back.address, address);
    for number in 1..OPERATORS {
        back.linked(number).await;
        all[usize::from(number) - 1].linked(OPERATORS).await;
    }
    all.push(back);
    sequences = sequences.into_iter().map(|(number, sequence)| (number, sequence + 1)).collect();
    // It counts from the start again: what it says now is another message than before.
    sequences.insert(OPERATORS, 1);
    hear_each_other(&mut all, "second", &sequences).await;
    let elapsed = start.elapsed();
    println!("heard again by all {} ms after it came back", elapsed.as_millis());
    assert!(elapsed < Duration::from_secs(60));
}

#[tokio::test]
async fn five_processes_in_a_line_hear_each_other_once() {
    let edges: Vec<_> = (1..OPERATORS).map(|number| (number, number + 1)).collect();
    let mut all = operators(&edges).await;
    let sequences = (1..=OPERATORS).map(|number| (number, 1)).collect();
    hear_each_other(&mut all, "along", &sequences).await;
}
