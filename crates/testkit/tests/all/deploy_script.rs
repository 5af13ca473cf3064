//! The deploy script as people run it, by forge itself, on a chain with the real Bridge and its real redemption watchtower: what it
//! sends, what it finds when it is run again, and what it puts on record. Records and forge's logs are in a folder of the test's own.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use alloy::{
    primitives::{Address, B256, Bytes, TxKind, U64, U256, address, keccak256},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol,
};
use coxswain_testkit::World;
use serde_json::Value;

const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

sol! {
    interface Validator {
        function bridge() external view returns (address bridge);
    }
}

struct Script {
    root: &'static Path,
    folder: tempfile::TempDir,
    endpoint: String,
    sender: Address,
}

impl Script {
    fn new(world: &World) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        // One of those where foundry.toml lets scripts write.
        let parent = root.join("cache/deployments");
        fs::create_dir_all(&parent).unwrap();
        let folder = tempfile::tempdir_in(parent).unwrap();
        Self { root, folder, endpoint: world.chain.endpoint(), sender: world.depositor }
    }

    fn run(&self, function: &str, argument: Address, flags: &[&str]) -> Output {
        let os = if cfg!(target_os = "macos") { "darwin" } else { env::consts::OS };
        let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let forge = format!("node_modules/@foundry-rs/forge-{os}-{arch}/bin/forge");
        Command::new(env::var_os("FORGE").map_or_else(|| self.root.join(forge), PathBuf::from))
            .current_dir(self.root)
            .args([
                "script",
                "script/Deploy.s.sol",
                "--sig",
                &format!("{function}(address)"),
                &argument.to_string(),
            ])
            .args(["--rpc-url", &self.endpoint, "--unlocked", "--sender", &self.sender.to_string()])
            .args(flags)
            .env("DEPLOYMENTS", self.folder.path().strip_prefix(self.root).unwrap())
            .env("FOUNDRY_BROADCAST", self.folder.path().join("broadcast"))
            .output()
            .unwrap()
    }

    fn succeed(&self, function: &str, argument: Address, flags: &[&str]) -> String {
        let output = self.run(function, argument, flags);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{function}: {said} {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn fail(&self, function: &str, argument: Address) -> String {
        let output = self.run(function, argument, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{function}: {said}");
        said
    }

    /// As people verify: by make.
    fn make_verify(&self, validator: Address) -> Output {
        Command::new("make")
            .current_dir(self.root)
            .args(["--no-print-directory", "verify-deployment"])
            .args([format!("VALIDATOR={validator}"), format!("RPC_URL={}", self.endpoint)])
            .env("DEPLOYMENTS", self.folder.path().strip_prefix(self.root).unwrap())
            .output()
            .unwrap()
    }

    fn record_path(&self) -> PathBuf {
        self.folder.path().join("31337.json")
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.record_path()).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn deploys_once_and_records_what_is_on_the_chain() {
    let world = World::start().await.unwrap();
    world.enable_watchtower().await.unwrap();
    let bridge = world.bridge.address();
    let rpc = world.chain.rpc();
    let script = Script::new(&world);
    let block = async || world.chain.height().await.unwrap();

    let rehearsal: U256 = rpc.ask("evm_snapshot", [(); 0]).await.unwrap();

    // A dry run sends nothing, and there is nothing to record.
    let before = block().await;
    script.succeed("run", bridge, &[]);
    let said = script.fail("record", bridge);
    assert!(said.contains("ValidatorWithoutCode"), "{said}");
    assert_eq!(block().await, before);
    assert!(!script.record_path().exists());

    // One transaction.
    script.succeed("run", bridge, &["--broadcast"]);
    let created = before + 1;
    assert_eq!(block().await, created);
    assert!(!script.record_path().exists(), "it is simulated before it is sent");
    let mined: Value = rpc.ask("eth_getBlockByNumber", (U64::from(created), false)).await.unwrap();
    let hashes: Vec<B256> = serde_json::from_value(mined["transactions"].clone()).unwrap();
    let [transaction] = hashes[..] else { panic!("{hashes:?}") };
    let receipt: TransactionReceipt = rpc.ask("eth_getTransactionReceipt", (transaction,)).await.unwrap();
    assert!(receipt.status());
    assert_eq!(receipt.to, Some(FACTORY));

    script.succeed("record", bridge, &[]);
    let record = script.record();
    let validator: Address = record["address"].as_str().unwrap().parse().unwrap();
    assert_eq!(rpc.call(validator, &Validator::bridgeCall).await.unwrap(), bridge);
    assert_eq!(record["bridge"].as_str().unwrap().parse(), Ok(bridge));
    assert_eq!(record["transaction"].as_str().unwrap().parse(), Ok(receipt.transaction_hash));
    assert_eq!(record["block"].as_u64(), receipt.block_number);
    let code: Bytes = rpc.ask("eth_getCode", (validator, "latest")).await.unwrap();
    assert_eq!(record["codeHash"].as_str().unwrap().parse::<B256>(), Ok(keccak256(code)));

    // Again: the code is found, no transaction, the same record.
    script.succeed("run", bridge, &["--broadcast"]);
    assert_eq!(block().await, created);
    script.succeed("record", bridge, &[]);
    assert_eq!(script.record(), record);

    // Without forge's log the record keeps the transaction.
    let (broadcast, aside) = (script.folder.path().join("broadcast"), script.folder.path().join("aside"));
    fs::rename(&broadcast, &aside).unwrap();
    script.succeed("record", bridge, &[]);
    assert_eq!(script.record(), record);
    let said = script.succeed("verify", validator, &[]);
    assert!(said.contains("its record verified"), "{said}");

    // By make, the transaction and the block on record too.
    let output = script.make_verify(validator);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains(&format!("its transaction and block verified: {transaction}")), "{said}");
    let mut other = record.clone();
    other["block"] = (created + 1).into();
    fs::write(script.record_path(), other.to_string()).unwrap();
    let output = script.make_verify(validator);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains(&format!("block {}, but the transaction is in {created}", created + 1)), "{said}");
    fs::write(script.record_path(), record.to_string()).unwrap();

    // A failure is told by its error's name, without a trace full of bytecode.
    let output = script.make_verify(bridge);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ViewMissing"), "{said}");
    let said = [output.stdout, output.stderr].concat();
    assert!(said.len() < 1_000, "{}", String::from_utf8_lossy(&said));

    // Someone else deploys, after a rehearsal whose log is still there: its transaction isn't put on record.
    let sent: Value = rpc.ask("eth_getTransactionByHash", (transaction,)).await.unwrap();
    assert!(rpc.ask::<bool>("evm_revert", (rehearsal,)).await.unwrap());
    fs::rename(&aside, &broadcast).unwrap();
    let told = fs::read_to_string(script.record_path()).unwrap();
    fs::remove_file(script.record_path()).unwrap();
    let request = TransactionRequest {
        from: Some(world.operator),
        to: Some(TxKind::Call(FACTORY)),
        input: serde_json::from_value::<Bytes>(sent["input"].clone()).unwrap().into(),
        gas: Some(15_000_000),
        ..Default::default()
    };
    let receipt: TransactionReceipt = rpc.ask("eth_sendTransactionSync", (request,)).await.unwrap();
    assert!(receipt.status());
    let said = script.succeed("verify", validator, &[]);
    assert!(said.contains("no record of it"), "{said}");
    let said = script.succeed("record", bridge, &[]);
    assert!(said.contains("recorded without it"), "{said}");
    let mut without = record;
    without.as_object_mut().unwrap().retain(|name, _| name != "transaction" && name != "block");
    assert_eq!(script.record(), without);

    // A record of a transaction that the node doesn't have: that isn't checked, and said.
    fs::write(script.record_path(), told).unwrap();
    let output = script.make_verify(validator);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains(&format!("not checked, the node has no transaction {transaction}")), "{said}");
}

#[test]
fn what_explorers_verify_by_compiles_to_the_build() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let check = ["tools/explorer-bundle.mjs", "--check"];
    let output = Command::new("node").current_dir(root).args(check).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
