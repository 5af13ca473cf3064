//! A local Ethereum chain: a real anvil of its own, whose accounts need no keys and whose time moves on command.

use std::{
    env,
    io::BufReader,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::SystemTime,
};

use alloy::{
    primitives::{Address, Bytes, TxKind, U64, U256},
    rpc::types::{Header, TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolValue},
};
use flate2::read::GzDecoder;
use reqwest::Url;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{
    Error, Rpc,
    artifacts::{self, root},
    bytecode,
    process::{Process, read_until},
};

/// Gas enough for any transaction here: half a block.
const GAS_LIMIT: u64 = 15_000_000;
/// Who gets the fees of blocks that replace others.
const OTHER_COINBASE: Address = Address::repeat_byte(0xc0);
/// In wei.
const THOUSAND_ETHER: U256 = U256::from_limbs([0x35c9_adc5_dea0_0000, 0x36, 0, 0]);

/// A chain's accounts as they are at one block.
#[derive(Clone, Debug)]
pub struct ChainState {
    pub(crate) chain_id: u64,
    pub(crate) timestamp: u64,
    /// Address → nonce, balance, code and storage, as a genesis block has them.
    pub(crate) accounts: Value,
}

/// A chain that ends when it is dropped.
#[derive(Debug)]
pub struct TestChain {
    // Ends before its states are removed.
    _process: Process,
    /// Where anvil keeps the states of old blocks, gigabytes after an hour. It would leave them in the user's home.
    _states: TempDir,
    url: Url,
    accounts: Vec<Address>,
    rpc: Rpc,
}

impl TestChain {
    /// Starts anvil on a free port.
    ///
    /// The program is the one that npm installed, or the one that the environment variable `COXSWAIN_ANVIL` names.
    pub fn start() -> Result<Self, Error> {
        Self::start_at(0)
    }

    /// Likewise, on this port; 0 is a free one.
    pub fn start_at(port: u16) -> Result<Self, Error> {
        Self::spawn("prague", port, &[])
    }

    /// Starts a chain before Prague, whose headers have no `requestsHash` yet.
    pub fn start_before_prague() -> Result<Self, Error> {
        Self::spawn("cancun", 0, &[])
    }

    /// Starts a chain after Osaka, which caps the gas of a transaction, and has new opcodes and prices.
    pub fn start_after_osaka() -> Result<Self, Error> {
        Self::spawn("osaka", 0, &[])
    }

    /// Starts a chain that says it is mainnet, and whose first block is this many seconds old.
    ///
    /// # Errors
    /// When anvil doesn't start.
    pub fn start_as_mainnet(seconds: u64) -> Result<Self, Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = now.unwrap_or_default().as_secs().saturating_sub(seconds);
        Self::spawn("prague", 0, &["--chain-id", "1", "--timestamp", &at.to_string()])
    }

    fn spawn(hardfork: &str, port: u16, more: &[&str]) -> Result<Self, Error> {
        let path = anvil_path()?;
        let failed = |what: String| Error::Anvil { path: path.clone(), what };
        let states = TempDir::new()?;
        let mut process = Command::new(&path)
            .args(["--hardfork", hardfork, "--port", &port.to_string()])
            .args(["--auto-impersonate", "--no-request-size-limit", "--cache-path"])
            .arg(states.path())
            .args(more)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map(Process)
            .map_err(|error| failed(error.to_string()))?;
        let mut stdout = BufReader::new(process.0.stdout.take().ok_or(Error::Absent("standard output"))?);
        // It lists its accounts, "(0) 0xf39F… (10000 ETH)", and later their keys, before it listens. What it says after that goes
        // nowhere.
        let mut accounts = Vec::new();
        let listens = |line: &str| {
            if line.starts_with('(') {
                accounts.extend(line.split_whitespace().nth(1).and_then(|word| word.parse::<Address>().ok()));
            }
            line.strip_prefix("Listening on ")?.trim().parse::<SocketAddr>().ok()
        };
        let listens = read_until(&mut stdout, listens).map_err(|error| failed(error.to_string()))?;
        let url = format!("http://localhost:{}", listens.map_err(failed)?.port());
        let url: Url = url.parse().map_err(|_| Error::Absent("URL of anvil"))?;
        let rpc = Rpc::new(url.clone());
        Ok(Self { _process: process, _states: states, url, accounts, rpc })
    }

    /// Where the chain is reached over HTTP, as a person writes it.
    pub fn endpoint(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    /// Where the chain is reached over HTTP.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// A way to ask the chain anything else.
    pub const fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The chain's own rich accounts, 10 of them.
    pub fn account(&self, index: usize) -> Result<Address, Error> {
        self.accounts.get(index).copied().ok_or(Error::Absent("account with this index"))
    }

    /// The newest block's number.
    ///
    /// # Errors
    /// None to be expected.
    pub async fn height(&self) -> Result<u64, Error> {
        self.rpc.number("eth_blockNumber", json!([])).await
    }

    /// The newest block's timestamp, in Unix seconds.
    pub async fn now(&self) -> Result<u64, Error> {
        let block: Header = self.rpc.ask("eth_getBlockByNumber", ("latest", false)).await?;
        Ok(block.timestamp)
    }

    /// All that the chain knows now, but its past.
    ///
    /// # Errors
    /// When the chain doesn't answer as anvil does.
    pub async fn state(&self) -> Result<ChainState, Error> {
        let timestamp = self.now().await?;
        let chain_id = self.rpc.number("eth_chainId", json!([])).await?;
        // JSON, compressed.
        let dump: Bytes = self.rpc.ask("anvil_dumpState", json!([])).await?;
        let mut json: Value = serde_json::from_reader(GzDecoder::new(&dump[..]))
            .map_err(|_| Error::Absent("state that can be read"))?;
        let mut accounts = json.get_mut("accounts").map(Value::take).unwrap_or_default();
        for account in accounts.as_object_mut().into_iter().flat_map(Map::values_mut) {
            // anvil writes it as a number, genesis blocks as hex.
            let nonce = account.get_mut("nonce").ok_or(Error::Absent("nonce"))?;
            *nonce = format!("{:#x}", nonce.as_u64().ok_or(Error::Absent("nonce"))?).into();
        }
        Ok(ChainState { chain_id, timestamp, accounts })
    }

    /// Mines a block this many seconds ahead.
    pub async fn advance(&self, seconds: u64) -> Result<(), Error> {
        self.rpc.tell("evm_increaseTime", (U64::from(seconds),)).await?;
        self.rpc.tell("evm_mine", json!([])).await
    }

    /// Mines this many blocks, a second apart.
    pub async fn mine(&self, blocks: u64) -> Result<(), Error> {
        self.rpc.tell("anvil_mine", (U64::from(blocks),)).await
    }

    /// Mines a block whose time is so many seconds after the newest one's, whatever the clock says.
    ///
    /// # Errors
    /// None to be expected.
    pub async fn mine_after(&self, seconds: u64) -> Result<(), Error> {
        let time = self.now().await?.saturating_add(seconds);
        self.rpc.tell("evm_setNextBlockTimestamp", (time,)).await?;
        self.rpc.tell("evm_mine", json!([])).await
    }

    /// Mines a block every so many seconds from now on, whether there is anything to put in it or not.
    pub async fn mine_every(&self, seconds: u64) -> Result<(), Error> {
        self.rpc.tell("anvil_setIntervalMining", (seconds,)).await
    }

    /// Has each block so many seconds later than the one before it from now on, whatever the clock says; or by the clock again.
    ///
    /// # Errors
    /// None to be expected.
    pub async fn space_blocks(&self, seconds: Option<u64>) -> Result<(), Error> {
        match seconds {
            Some(seconds) => self.rpc.tell("anvil_setBlockTimestampInterval", (seconds,)).await,
            None => self.rpc.tell("anvil_removeBlockTimestampInterval", json!([])).await,
        }
    }

    /// Replaces the newest blocks, this many, by as many others, which are empty, and whose fees go to somebody else: an empty block
    /// of the same second would else be the same block.
    pub async fn replace(&self, blocks: u64) -> Result<(), Error> {
        self.rpc.tell("anvil_setCoinbase", (OTHER_COINBASE,)).await?;
        self.rpc.tell("anvil_reorg", (blocks, json!([]))).await
    }

    /// Gives an account ether to pay for transactions with.
    pub async fn fund(&self, account: Address) -> Result<(), Error> {
        self.endow(account, THOUSAND_ETHER).await
    }

    /// Gives an account this much ether, in wei, in the place of what it has.
    ///
    /// # Errors
    /// None to be expected.
    pub async fn endow(&self, account: Address, wei: U256) -> Result<(), Error> {
        self.rpc.tell("anvil_setBalance", (account, wei)).await
    }

    /// How many transactions of these accounts are in blocks, and how many of them reverted.
    ///
    /// # Errors
    /// None to be expected.
    pub async fn transactions_of(&self, accounts: &[Address]) -> Result<(usize, usize), Error> {
        let head = self.height().await?;
        let (mut count, mut reverted) = (0, 0);
        for number in 0..=head {
            let receipts: Vec<TransactionReceipt> =
                self.rpc.ask("eth_getBlockReceipts", (U64::from(number),)).await?;
            for receipt in receipts.iter().filter(|receipt| accounts.contains(&receipt.from)) {
                count += 1;
                reverted += usize::from(!receipt.status());
            }
        }
        Ok((count, reverted))
    }

    /// Calls a contract in a transaction of its own, from any account: anvil asks for no signature.
    pub async fn send<C: SolCall>(
        &self,
        from: Address,
        to: Address,
        call: &C,
    ) -> Result<TransactionReceipt, Error> {
        let name = C::SIGNATURE.split('(').next().unwrap_or(C::SIGNATURE);
        self.execute(name, from, TxKind::Call(to), call.abi_encode().into()).await
    }

    /// Deploys the light relay that runs on mainnet, without a first epoch, and the proxy that refunds the gas of telling it (here it
    /// refunds nothing). Its owner is the account with index 0.
    pub async fn deploy_light_relay(&self) -> Result<(Address, Address), Error> {
        let owner = self.account(0)?;
        let code = |name: &str| artifacts::tbtc(name)?.creation_code();
        let relay = self.deploy("light relay", owner, code("relay/LightRelay.sol/LightRelay")?).await?;
        let pool = self.deploy("reimbursement pool", owner, bytecode::YES).await?;
        let code = code("relay/LightRelayMaintainerProxy.sol/LightRelayMaintainerProxy")?;
        let code = [code.to_vec(), (relay, pool).abi_encode()].concat();
        let proxy = self.deploy("light relay's proxy", owner, code.into()).await?;
        Ok((relay, proxy))
    }

    /// Deploys the relay of tests, whose difficulties are what anybody says.
    pub async fn deploy_test_relay(&self) -> Result<Address, Error> {
        let code = artifacts::tbtc("test/SystemTestRelay.sol/SystemTestRelay")?.creation_code()?;
        self.deploy("test relay", self.account(0)?, code).await
    }

    /// Deploys a relay whose newest epoch is this one, and which takes any headers for proof of the next, as many as these on each
    /// side.
    ///
    /// # Errors
    /// If this project's contracts are not built.
    pub async fn deploy_easy_relay(&self, epoch: u64, proof_length: u64) -> Result<Address, Error> {
        let code = [artifacts::forged("EasyRelay")?.to_vec(), (epoch, proof_length).abi_encode()].concat();
        self.deploy("easy relay", self.account(0)?, code.into()).await
    }

    /// Deploys a contract. `name` says in an error which.
    pub async fn deploy(&self, name: &str, from: Address, creation_code: Bytes) -> Result<Address, Error> {
        let receipt = self.execute(name, from, TxKind::Create, creation_code).await?;
        receipt.contract_address.ok_or(Error::Absent("address of the new contract"))
    }

    async fn execute(
        &self,
        what: &str,
        from: Address,
        to: TxKind,
        input: Bytes,
    ) -> Result<TransactionReceipt, Error> {
        let request = TransactionRequest {
            from: Some(from),
            to: Some(to),
            input: input.into(),
            gas: Some(GAS_LIMIT),
            ..Default::default()
        };
        let receipt: TransactionReceipt = self.rpc.ask("eth_sendTransactionSync", (&request,)).await?;
        if receipt.status() {
            return Ok(receipt);
        }
        let reason = match self.rpc.tell("eth_call", (&request, "latest")).await {
            Ok(()) => "it would pass now".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(Error::Reverted { what: what.to_owned(), from, reason })
    }
}

/// The real program: npm's launcher would only cost time.
fn anvil_path() -> Result<PathBuf, Error> {
    if let Some(path) = env::var_os("COXSWAIN_ANVIL") {
        return Ok(path.into());
    }
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let platform = match (os, arch) {
        ("linux", "x86_64") => "linux-amd64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-amd64",
        ("macos", "aarch64") => "darwin-arm64",
        ("windows", "x86_64") => "win32-amd64",
        _ => return Err(Error::NoAnvil { os, arch }),
    };
    let program = format!("node_modules/@foundry-rs/anvil-{platform}/bin/anvil{}", env::consts::EXE_SUFFIX);
    let path = root().join(program);
    path.metadata().map_err(|source| Error::Missing {
        path: path.clone(),
        command: "npm install",
        source,
    })?;
    Ok(path)
}
