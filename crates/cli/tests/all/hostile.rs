//! Servers that answer without end, or not at all: every command stays small, and ends.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use coxswain_testkit::{FaultyEndpoint, Reply};

/// How much memory a command may take at most, in kilobytes.
const MOST_KILOBYTES: u64 = 200 << 10;
const WALLET: &str = "0x8db50eb52063ea9d98b3eac91489a90f738986f6";
const VALIDATOR: &str = "0x1111111111111111111111111111111111111111";

/// What a run of the program left.
struct Run {
    code: i32,
    peak_kilobytes: u64,
    time: Duration,
}

/// Runs the program, and looks at how much memory it takes while it runs.
async fn run(arguments: Vec<String>, stdin: &'static str) -> Run {
    let watch = move || {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_coxswain"))
            .args(&arguments)
            .env_remove("COXSWAIN_ETHEREUM__URLS")
            .env_remove("COXSWAIN_BITCOIN__URLS")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let mut peak_kilobytes = 0;
        loop {
            // The process's own mark of the most that it ever took.
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            if let Some(kilobytes) = mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok()) {
                peak_kilobytes = kilobytes;
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Run { code: status.code().unwrap(), peak_kilobytes, time: start.elapsed() };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    tokio::task::spawn_blocking(watch).await.unwrap()
}

/// Every command that asks, with what it reads from standard input.
fn commands() -> [(&'static [&'static str], &'static str); 8] {
    const SWEEP: &str = r#"{"action": "moved-funds-sweep", "wallet": "0x8db50eb52063ea9d98b3eac91489a90f738986f6",
        "fee": 1, "movingFundsTxid": "1111111111111111111111111111111111111111111111111111111111111111",
        "movingFundsOutputIndex": 0}"#;
    [
        (&["validate", "--validator", VALIDATOR], SWEEP),
        (&["explain", "--validator", VALIDATOR], SWEEP),
        (
            &["propose", "--wallet", WALLET, "--validator", VALIDATOR, "--bitcoin-url", "tcp://127.0.0.1:1"],
            "",
        ),
        (&["doctor", "--validator", VALIDATOR], ""),
        (&["window"], ""),
        (&["group", "--wallet", WALLET, "--bridge", VALIDATOR, "--registry", VALIDATOR], ""),
        (
            &["leader", "--wallet", WALLET, "--block", "900", "--bridge", VALIDATOR, "--registry", VALIDATOR],
            "",
        ),
        (&["watch", "--wallet", WALLET, "--bridge", VALIDATOR, "--bitcoin-url", "tcp://127.0.0.1:1"], ""),
    ]
}

async fn servers(meet: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static) -> Vec<FaultyEndpoint> {
    let upstream: url::Url = "http://127.0.0.1:1".parse().unwrap();
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(FaultyEndpoint::start(upstream.clone(), meet.clone()).await.unwrap());
    }
    servers
}

fn asked(command: &[&str], servers: &[FaultyEndpoint]) -> Vec<String> {
    let mut arguments: Vec<_> = command.iter().map(|argument| (*argument).to_owned()).collect();
    for server in servers {
        arguments.extend(["--rpc-url".to_owned(), server.url().to_string()]);
    }
    arguments
}

#[tokio::test]
async fn inc_47_gigabytes_from_three_servers_take_less_than_200_mib() {
    let mut most = 0;
    for what in ["all", "but the chain"] {
        let servers = servers(move |method| match (what, method) {
            ("but the chain", "eth_chainId") => Reply::Result("0x7a69".into()),
            _ => Reply::Endless,
        })
        .await;
        for (command, stdin) in commands() {
            let run = run(asked(command, &servers), stdin).await;
            let expected = if command[0] == "doctor" { 1 } else { 3 };
            assert_eq!(run.code, expected, "{what}: {command:?}");
            assert!(
                run.peak_kilobytes > 0 && run.peak_kilobytes < MOST_KILOBYTES,
                "{command:?}: {} kB",
                run.peak_kilobytes
            );
            most = most.max(run.peak_kilobytes);
        }
    }
    println!("at most {most} kB");
}

#[tokio::test]
async fn servers_that_say_nothing_are_waited_for_as_long_as_asked() {
    let servers = servers(|_| Reply::Stall).await;
    for (command, stdin) in commands() {
        let mut arguments = asked(command, &servers);
        arguments.extend(["--timeout".to_owned(), "1s".to_owned()]);
        let run = run(arguments, stdin).await;
        let expected = if command[0] == "doctor" { 1 } else { 3 };
        assert_eq!(run.code, expected, "{command:?}");
        assert!(run.time >= Duration::from_secs(1), "{command:?}: {:?}", run.time);
        // A machine that is busy takes its time; a request alone would have 15 s, and another try.
        assert!(run.time < Duration::from_secs(15), "{command:?}: {:?}", run.time);
    }
}
