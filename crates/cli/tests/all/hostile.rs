//! Servers that answer without end, or not at all: every command stays small, and ends.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use coxswain_testkit::{
    BitcoinLie, BitcoinServer, DepositSpec, FaultyEndpoint, Regtest, Reply, Serving, World,
};
use serde_json::{Value, json};

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
async fn run(arguments: Vec<String>, stdin: &str) -> Run {
    let stdin = stdin.to_owned();
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
        (
            &[
                "watch",
                "--wallet",
                WALLET,
                "--bridge",
                VALIDATOR,
                "--registry",
                VALIDATOR,
                "--bitcoin-url",
                "tcp://127.0.0.1:1",
            ],
            "",
        ),
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

/// A wallet on the real Bridge that has something to propose, to validate and to prove, with an honest Ethereum node.
struct Commands {
    world: World,
    commands: Vec<(Vec<String>, String)>,
}

impl Commands {
    async fn set_up() -> Self {
        let mut world = World::start().await.unwrap();
        let wallet = world.funded_wallet(1).await.unwrap();
        let deposit = world.reveal(&wallet, DepositSpec::default()).await.unwrap();
        let validator = world.validator.to_string();
        world.chain.mine(32).await.unwrap();
        world.chain.advance(3 * 3600).await.unwrap();
        // Without what must be looked up on Bitcoin.
        let sweep = json!({
            "action": "deposit-sweep", "wallet": wallet.key_hash().to_string(), "fee": 3_000,
            "deposits": [{
                "txid": deposit.outpoint.txid, "outputIndex": deposit.outpoint.vout,
                "revealBlock": deposit.reveal_block,
            }],
        });
        let (wallet, bridge) = (wallet.key_hash().to_string(), world.bridge.address().to_string());
        let txid = deposit.outpoint.txid.to_string();
        let rpc_url = world.chain.endpoint();
        let command = |words: &[&str], stdin: &str| {
            let words = [words, &["--rpc-url", &rpc_url]].concat();
            (words.into_iter().map(str::to_owned).collect(), stdin.to_owned())
        };
        let commands = vec![
            command(&["validate", "--validator", &validator], &sweep.to_string()),
            command(&["propose", "--wallet", &wallet, "--validator", &validator], ""),
            command(&["doctor", "--validator", &validator], ""),
            command(&["explain", "--validator", &validator], &sweep.to_string()),
            command(&["prove", "--tx", &txid, "--bridge", &bridge, "--direct"], ""),
            command(&["maintain", "--once", "--bridge", &bridge, "--direct"], ""),
        ];
        Self { world, commands }
    }

    /// Runs a command with these Bitcoin servers.
    async fn run(&self, number: usize, urls: &[String], more: &[&str]) -> Run {
        let (arguments, stdin) = &self.commands[number];
        let mut arguments = arguments.clone();
        for url in urls {
            arguments.extend(["--bitcoin-url".to_owned(), url.clone()]);
        }
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        run(arguments, stdin).await
    }
}

/// How a Bitcoin server is met that answers with too much.
fn gigabytes(is_valid: bool, most: usize) -> impl Fn(&str, &Value) -> Reply + Send + Sync + Clone {
    move |method, params| match method {
        // Without these no one would listen to the rest.
        "server.version" => Reply::Forward,
        "blockchain.block.header" | "getblockhash" if params.get(0) == Some(&json!(0)) => Reply::Forward,
        // As large as it may be, and an answer as far as can be told before it is read.
        _ if is_valid => Reply::Result(json!("0".repeat(most))),
        _ => Reply::Endless,
    }
}

async fn bitcoin_servers(
    chain: &Regtest,
    is_electrum: bool,
    meet: impl Fn(&str, &Value) -> Reply + Clone + Send + Sync + 'static,
) -> (Vec<BitcoinServer>, Vec<String>) {
    let mut servers = Vec::new();
    for _ in 0..3 {
        let (serving, meet) = (Serving::default(), meet.clone());
        servers.push(match is_electrum {
            true => BitcoinServer::electrum(chain, serving, meet).await.unwrap(),
            false => BitcoinServer::core(chain, serving, meet).await.unwrap(),
        });
    }
    let urls = servers.iter().map(|server| server.url().to_string()).collect();
    (servers, urls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_gigabytes_from_three_bitcoin_servers_take_less_than_200_mib() {
    let commands = Commands::set_up().await;
    let mut most = 0;
    for (is_electrum, is_valid, bytes) in
        [(true, false, 0), (true, true, (8 << 20) - 200), (false, false, 0), (false, true, 80_000)]
    {
        let meet = gigabytes(is_valid, bytes);
        let (_servers, urls) = bitcoin_servers(&commands.world.bitcoin, is_electrum, meet).await;
        for number in 0..commands.commands.len() {
            let what = (&commands.commands[number].0[0], is_electrum, is_valid);
            let run = commands.run(number, &urls, &["--timeout", "10s"]).await;
            let expected = if what.0 == "doctor" { 1 } else { 3 };
            assert_eq!(run.code, expected, "{what:?}");
            let peak = run.peak_kilobytes;
            assert!(peak > 0 && peak < MOST_KILOBYTES, "{what:?}: {peak} kB");
            most = most.max(peak);
        }
    }
    println!("at most {most} kB");
}

/// Each way for all Bitcoin servers to be dead, and the question at which they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_25_dead_bitcoin_servers_end_a_command_in_time() {
    let commands = Commands::set_up().await;
    let stall = |from: &'static str| {
        move |method: &str, _: &Value| match method {
            _ if method == from || from == "all" => Reply::Stall,
            _ => Reply::Forward,
        }
    };
    let mut dead = Vec::new();
    for from in ["all", "blockchain.headers.subscribe", "blockchain.transaction.get", "blockchain.relayfee"] {
        dead.push((from, bitcoin_servers(&commands.world.bitcoin, true, stall(from)).await));
    }
    for from in ["all", "getblockchaininfo", "getrawtransaction", "getmempoolinfo"] {
        dead.push((from, bitcoin_servers(&commands.world.bitcoin, false, stall(from)).await));
    }
    let cut = |_: &str, _: &Value| Reply::Cut;
    dead.push(("cut", bitcoin_servers(&commands.world.bitcoin, true, cut).await));
    let nobody = (1..=3).map(|port| format!("tcp://127.0.0.1:{port}")).collect();
    dead.push(("nobody", (Vec::new(), nobody)));
    for (from, (_servers, urls)) in dead {
        for number in 0..3 {
            let run = commands.run(number, &urls, &["--timeout", "1s"]).await;
            let command = &commands.commands[number].0[0];
            // Which questions a command asks decides what it can still tell.
            let is_dead = ["all", "cut", "nobody"].contains(&from);
            assert!(run.code != 0 || !is_dead, "{from}: {command}");
            // Five times the time-out at most, and what a busy machine takes besides; a request alone would have 15 s, and another
            // try.
            assert!(run.time < Duration::from_secs(12), "{from}: {command}: {:?}", run.time);
        }
    }
}

/// Whoever is outvoted, or refuted, is named where people and programs look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_the_liar_is_named_in_reports_and_by_the_doctor() {
    let commands = Commands::set_up().await;
    let upstream: url::Url = commands.world.chain.url();
    let yes = |method: &str| match method {
        "eth_call" => Reply::Result(json!(format!("0x{:064x}", 1))),
        _ => Reply::Forward,
    };
    let honest = FaultyEndpoint::start(upstream.clone(), |_| Reply::Forward).await.unwrap();
    let liar = FaultyEndpoint::start(upstream, yes).await.unwrap();
    let fees = |_: &Regtest| BitcoinLie::Fees(0.09).meet(&commands.world.bitcoin);
    let serving = || Serving { estimate: Some(0.000_1), ..Serving::default() };
    let chain = &commands.world.bitcoin;
    let bitcoin = [
        BitcoinServer::electrum(chain, serving(), |_, _| Reply::Forward).await.unwrap(),
        BitcoinServer::core(chain, serving(), |_, _| Reply::Forward).await.unwrap(),
        BitcoinServer::electrum(chain, serving(), fees(chain)).await.unwrap(),
    ];
    let names = [liar.url(), bitcoin[2].url()].map(|url| format!("127.0.0.1:{}", url.port().unwrap()));
    for number in 0..3 {
        let (command, stdin) = &commands.commands[number];
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let urls: Vec<_> = [liar.url(), honest.url()].map(ToString::to_string).into();
        let bitcoin_urls: Vec<_> = bitcoin.iter().map(|server| server.url().to_string()).collect();
        arguments.extend(urls.iter().flat_map(|url| ["--rpc-url", url.as_str()]));
        arguments.extend(bitcoin_urls.iter().flat_map(|url| ["--bitcoin-url", url.as_str()]));
        let told = crate::support::coxswain(&arguments, stdin).await;
        let is_doctor = command[0] == "doctor";
        assert_eq!(told.code, i32::from(is_doctor), "{told:?}");
        let is_named = |name: &String, told: &str| {
            told.contains(&format!("{name}: it says")) || told.contains(&format!("{name}: eth_call: it says"))
        };
        // Text is wrapped nowhere but on a terminal.
        assert!(names.iter().all(|name| is_named(name, &told.stdout)), "{}", told.stdout);
        arguments.push("--json");
        let json = crate::support::coxswain(&arguments, stdin).await.json();
        if is_doctor {
            let wrong = json["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == json!(false));
            let kinds: Vec<_> =
                wrong.filter(|check| check["check"] == "agreement").map(|c| &c["kind"]).collect();
            assert_eq!(kinds, ["Ethereum", "Bitcoin"]);
        } else {
            let dissents = json["dissents"].as_array().unwrap();
            let of: Vec<_> = dissents.iter().map(|dissent| dissent["endpoint"].as_str().unwrap()).collect();
            assert_eq!(of, names, "{json}");
        }
    }
}
