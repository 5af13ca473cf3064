//! One liar among servers, at each place in the list: what is proposed and looked up is what honest servers say, or undecided.
//! So it is with one honest server beside the liar; and what the liar says alone is said to be its word.

use alloy_primitives::Address;
use coxswain_rules::Action;
use coxswain_testkit::{
    BitcoinLie, BitcoinServer, DOUBLE_BRIDGE, DOUBLE_REGISTRY, FaultyEndpoint, Registry, Reply, Scene,
    Serving,
};
use serde_json::{Value, json};

use crate::support::{Run, coxswain};

type Meet = fn(&str, &Value) -> Reply;
/// What the liar makes of the registry.
type Lie = fn(&mut Registry);

/// Ways to lie about Ethereum, and to be of no use.
const LIES: [(&str, Meet); 6] = [
    ("no events", |method, _| match method {
        "eth_getLogs" => Reply::Result(json!([])),
        _ => Reply::Forward,
    }),
    ("state that is none", |method, _| match method {
        "eth_call" => Reply::Result(json!(format!("0x{}", "00".repeat(32 * 11)))),
        "eth_getProof" => Reply::Error(json!({ "code": -32000, "message": "missing trie node" })),
        _ => Reply::Forward,
    }),
    ("an old head", |method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => Reply::Instead(json!(["0x9", false])),
        _ => Reply::Forward,
    }),
    ("other blocks", |method, params| match method {
        "eth_getBlockByNumber" if params[0] != "latest" => Reply::Instead(json!(["0x9", params[1]])),
        _ => Reply::Forward,
    }),
    ("another chain", |method, _| match method {
        "eth_chainId" => Reply::Result(json!("0x1")),
        _ => Reply::Forward,
    }),
    ("gigabytes", |_, _| Reply::Endless),
];

/// Of these nothing is understood.
const SILENT: [&str; 1] = ["gigabytes"];

/// What a run has come to, but for how it is known and who said otherwise.
fn told(run: &Run) -> Value {
    let mut json = run.json();
    for field in ["assurance", "dissents", "head"] {
        json.as_object_mut().unwrap().remove(field);
    }
    // It grows while this runs.
    if let Some(block) = json["block"].as_object_mut() {
        block.remove("age").unwrap();
    }
    json
}

/// How it is known is shown.
fn named_by(run: &Run, of: u64) -> u64 {
    let block = &run.json()["assurance"]["block"];
    assert_eq!(block["of"], of, "{run:?}");
    block["namedBy"].as_u64().unwrap()
}

/// A command, given servers' URLs: asked of three, of two, and of the liar alone. Which place among them is the liar's says the
/// number.
async fn is_seen_through(
    what: &str,
    number: usize,
    [honest, other, liar]: [&str; 3],
    flag: &str,
    command: &[&str],
) {
    let ask = async |urls: &[&str]| {
        let urls = urls.iter().flat_map(|url| [flag, *url]);
        coxswain(&command.iter().copied().chain(urls).collect::<Vec<_>>(), "").await
    };
    let what = format!("{what}: {}", command[..5.min(command.len())].join(" "));
    let honestly = ask(&[honest]).await;
    assert_eq!(honestly.code, 0, "{honestly:?}");
    let expected = told(&honestly);

    let mut three = vec![honest, other];
    three.insert(number % 3, liar);
    let run = ask(&three).await;
    assert_eq!((run.code, told(&run)), (0, expected.clone()), "{what} at {}: {run:?}", number % 3);

    let mut two = vec![honest];
    two.insert(number % 2, liar);
    let run = ask(&two).await;
    let is_silent = SILENT.iter().any(|silent| what.starts_with(silent));
    match run.code {
        3 => {}
        // Local chains' heads have no age: the block that both name is the lower one's, and is said to be.
        0 if what.starts_with("an old head: window") => {
            assert_eq!((run.json()["head"]["number"].as_u64(), named_by(&run, 2)), (Some(9), 2));
        }
        0 => {
            assert_eq!(told(&run), expected, "{what} at {} of two", number % 2);
            if flag == "--rpc-url" {
                assert_eq!(named_by(&run, 2), if is_silent { 1 } else { 2 }, "{what} of two");
            }
        }
        code => panic!("{what} at {} of two: {code}: {run:?}", number % 2),
    }

    let run = ask(&[liar]).await;
    if run.code == 1 && run.stdout.is_empty() {
        assert!(run.stderr.contains("(the block is named by 1 of 1)"), "{what} alone: {run:?}");
        return;
    }
    let assurance = &run.json()["assurance"];
    let is_word = if flag == "--rpc-url" {
        assurance["block"] == json!({ "namedBy": 1, "of": 1 })
    } else {
        assurance["bitcoin"] == "word"
    };
    // What it doesn't lie about may be as honest as anybody's.
    assert!(run.code == 3 || told(&run) == expected || is_word, "{what} alone: {run:?}");
    if run.code != 3 && flag == "--rpc-url" {
        assert!(is_word, "{what} alone: {run:?}");
    }
}

/// The scene, once its events are deep. Funds are moved a day after the commitment.
async fn set() -> Scene {
    let scene = Scene::set(|_| ()).await.unwrap();
    scene.world.chain.mine(32).await.unwrap();
    scene.world.chain.advance(25 * 3600).await.unwrap();
    scene
}

/// What `propose` needs, but for the servers: of the wallet that has this to do.
fn proposes(scene: &Scene, action: Action) -> Vec<String> {
    let wallet = match action {
        Action::MovingFunds => &scene.retiring,
        _ => &scene.working,
    };
    let (wallet, validator) = (wallet.key_hash().to_string(), scene.world.validator.to_string());
    let action = action.name();
    ["propose", "--json", "--action", action, "--wallet", &wallet, "--validator", &validator]
        .map(str::to_owned)
        .into()
}

async fn bitcoin(
    scene: &Scene,
    meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
) -> BitcoinServer {
    let serving = Serving { estimate: Some(0.000_1), ..Serving::default() };
    BitcoinServer::electrum(&scene.world.bitcoin, serving, meet).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_one_liar_about_ethereum_among_three_among_two_and_alone_changes_no_proposal_and_no_window() {
    let scene = set().await;
    let honest = FaultyEndpoint::start(scene.world.chain.url(), |_| Reply::Forward).await.unwrap();
    let other = FaultyEndpoint::start(scene.world.chain.url(), |_| Reply::Forward).await.unwrap();
    let electrum = bitcoin(&scene, |_, _| Reply::Forward).await;
    let operators = tempfile::NamedTempFile::new().unwrap();
    let seats: String = (1..=10).map(|seat| format!("{}\n", Address::repeat_byte(seat))).collect();
    std::fs::write(operators.path(), seats).unwrap();
    let wallet = scene.working.key_hash().to_string();
    let leader =
        ["leader", "--json", "--network", "local", "--block", "60", "--wallet", &wallet, "--operators"];
    let leader = [&leader[..], &[operators.path().to_str().unwrap()]].concat();
    for (number, (what, meet)) in LIES.into_iter().enumerate() {
        let liar = FaultyEndpoint::start_inspecting(scene.world.chain.url(), meet).await.unwrap();
        let urls = [honest.url().as_str(), other.url().as_str(), liar.url().as_str()];
        for place in 0..3 {
            // Each lie at each place, and each action with each place.
            let action = Action::ALL[(number + place) % Action::ALL.len()];
            let mut command = proposes(&scene, action);
            command.extend(["--bitcoin-url".to_owned(), electrum.url().to_string()]);
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            is_seen_through(what, place, urls, "--rpc-url", &command).await;
            let window = ["window", "--json", "--network", "local"];
            is_seen_through(what, place, urls, "--rpc-url", &window).await;
            is_seen_through(what, place, urls, "--rpc-url", &leader).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_one_liar_about_bitcoin_among_three_among_two_and_alone_changes_no_proposal() {
    let scene = set().await;
    let ethereum = scene.world.chain.endpoint();
    let (honest, other) =
        (bitcoin(&scene, |_, _| Reply::Forward).await, bitcoin(&scene, |_, _| Reply::Forward).await);
    let lies = [
        BitcoinLie::EasyChain,
        BitcoinLie::Absent,
        BitcoinLie::Spent,
        BitcoinLie::Fees(0.09),
        BitcoinLie::Fees(0.000_000_04),
        BitcoinLie::Garbage,
    ];
    // A heartbeat asks Bitcoin nothing.
    let actions: Vec<_> = Action::ALL.into_iter().filter(|action| *action != Action::Heartbeat).collect();
    for (number, lie) in lies.into_iter().enumerate() {
        let what = format!("{lie:?}");
        let liar = bitcoin(&scene, lie.meet(&scene.world.bitcoin)).await;
        for place in 0..3 {
            let mut command = proposes(&scene, actions[(number + place) % actions.len()]);
            command.extend(["--rpc-url".to_owned(), ethereum.clone()]);
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            let urls = [honest.url().as_str(), other.url().as_str(), liar.url().as_str()];
            is_seen_through(&what, place, urls, "--bitcoin-url", &command).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_one_liar_about_the_registry_among_three_among_two_and_alone_changes_no_group() {
    let (wallet, bridge, registry) =
        (Registry::wallet().to_string(), DOUBLE_BRIDGE.to_string(), DOUBLE_REGISTRY.to_string());
    let command = ["group", "--json", "--wallet", &wallet, "--bridge", &bridge, "--registry", &registry];
    let (honest, other) =
        (Registry::of_five().serve().await.unwrap(), Registry::of_five().serve().await.unwrap());
    let lies: [(&str, Lie); 4] = [
        ("gone", |double| double.kept.clear()),
        ("unknown", |double| double.wallets.clear()),
        ("another operator", |double| {
            let _before = double.operators.insert(11, Registry::operator(99));
        }),
        ("no key generation", |double| double.submitted.clear()),
    ];
    for (what, lie) in lies {
        let mut liar = Registry::of_five();
        lie(&mut liar);
        let liar = liar.serve().await.unwrap();
        let urls = [honest.url().as_str(), other.url().as_str(), liar.url().as_str()];
        for place in 0..3 {
            is_seen_through(what, place, urls, "--rpc-url", &command).await;
        }
    }
}

/// What is required decides, and what is known is shown, where people and programs look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_a_window_a_leader_and_a_group_say_how_they_are_known() {
    let (wallet, bridge, registry) =
        (Registry::wallet().to_string(), DOUBLE_BRIDGE.to_string(), DOUBLE_REGISTRY.to_string());
    let servers = [Registry::of_five().serve().await.unwrap(), Registry::of_five().serve().await.unwrap()];
    let group = ["--wallet", &wallet, "--bridge", &bridge, "--registry", &registry];
    let commands = [vec!["window"], [&["group"], &group[..]].concat(), {
        [&["leader", "--block", "600"], &group[..]].concat()
    }];
    for command in commands {
        let ask = async |count: usize, more: &[&str]| {
            let urls = servers.iter().take(count).flat_map(|server| ["--rpc-url", server.url().as_str()]);
            coxswain(&command.iter().copied().chain(urls).chain(more.iter().copied()).collect::<Vec<_>>(), "")
                .await
        };
        let reads_state = command[0] != "window";
        for (count, state) in [(1, "word"), (2, "agreed")] {
            let run = ask(count, &["--json"]).await;
            let assurance = &run.json()["assurance"];
            assert_eq!(assurance["block"], json!({ "namedBy": count, "of": count }), "{run:?}");
            assert_eq!(assurance.get("state"), reads_state.then(|| json!(state)).as_ref(), "{run:?}");
            // One operator a line is what `leader` reads, and nothing else.
            let text = ask(count, &[]).await.stdout;
            let line = format!("the block is named by {count} of {count}");
            assert_eq!(text.contains(&line), command[0] != "group", "{text}");
        }
        let run = ask(1, &["--require", "agreed", "--json"]).await;
        assert_eq!((run.code, &run.json()["cause"]), (3, &json!("too-weak")), "{run:?}");
        assert_eq!(ask(2, &["--require", "agreed"]).await.code, 0, "{command:?}");
        // No double proves what its contracts hold.
        let expected = if reads_state { 3 } else { 0 };
        assert_eq!(ask(2, &["--require", "proven"]).await.code, expected, "{command:?}");
    }
    // That there is none is its word, too.
    let mut gone = Registry::of_five();
    gone.kept.clear();
    let gone = gone.serve().await.unwrap();
    let command = [&["group", "--rpc-url", gone.url().as_str()], &group[..]].concat();
    let run = coxswain(&command, "").await;
    assert!(run.code == 1 && run.stderr.contains("(the block is named by 1 of 1)"), "{run:?}");
    let run = coxswain(&[&command[..], &["--require", "agreed"]].concat(), "").await;
    assert!(run.code == 3 && run.stdout.contains("closed or terminated"), "{run:?}");
}
