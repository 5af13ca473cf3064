//! The world itself: the chain with the real Bridge, who plays which part, and the wallets' main UTXOs.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, aliases::U96},
    sol,
    sol_types::{SolCall, SolValue},
};
use coxswain_bindings::{Bridge, bridge};
use coxswain_ethereum::{BlockSelector, ChainError, Endpoints, SnapshotKeys, SnapshotReader};
use coxswain_rules::{
    KeyHash, OutPoint, Snapshot, Utxo, main_utxo_hash,
    network::{DustChange, Parameters},
    units::Height,
};

use crate::{Btcd, Contract, Error, Regtest, TestChain, Wallet, artifacts, bytecode, our_validator};

sol! {
    /// tBTC's Bank: who owns how many satoshis in the Bridge.
    interface Bank {
        /// What the owner has, in satoshis.
        function balanceOf(address owner) external view returns (uint256 balance);
        /// Lets the spender take this much.
        function approveBalance(address spender, uint256 amount) external;
        /// Makes this contract the Bridge, once.
        function updateBridge(address bridge) external;
    }
}

/// A local chain with the real Bridge on it, and all that acts around it.
///
/// Its accounts may send anything without a signature; so may any address that [`TestChain::fund`] has given ether.
#[derive(Debug)]
pub struct World {
    /// The Ethereum chain.
    pub chain: TestChain,
    /// The Bitcoin chain, where deposits are funded and wallets act.
    pub bitcoin: Regtest,
    /// A real node that follows the Bitcoin chain and verifies every block. `None` unless the test hands one in.
    pub node: Option<Btcd>,
    /// The Bridge, behind its proxy.
    pub bridge: Contract,
    /// The Bank.
    pub bank: Contract,
    /// Deployer and governance of the Bridge, and its SPV maintainer.
    pub governance: Address,
    /// Gets the treasury's fees.
    pub treasury: Address,
    /// Reveals deposits and requests redemptions, unless another is named.
    pub depositor: Address,
    /// A member of every wallet.
    pub operator: Address,
    /// Stands in for the wallet registry, and says yes to everything.
    pub wallet_registry: Address,
    /// A vault that the Bridge trusts, and that takes what it is given.
    pub vault: Address,
    /// Our validator, of this Bridge.
    pub validator: Address,
    /// What wallets do with change that is dust; as in the preset for local chains, unless it is set otherwise.
    pub dust_change: DustChange,
    /// Whether what wallets do is proven to the Bridge at once. If not, a maintainer must prove it.
    pub proves: bool,
    pub(crate) main_utxos: BTreeMap<KeyHash, Utxo>,
    /// How many deposits were made: no two are alike.
    pub(crate) deposits: u64,
}

impl World {
    /// Starts a chain and deploys the Bridge to it, as tBTC's npm package has it, with its own default parameters.
    pub async fn start() -> Result<Self, Error> {
        Self::on(TestChain::start()?).await
    }

    /// Likewise, on a chain that someone else has started.
    pub async fn on(chain: TestChain) -> Result<Self, Error> {
        // Its difficulty stays 0, which is what regtest's headers have.
        let relay = chain.deploy_test_relay().await?;
        Self::going_by(chain, relay, 1).await
    }

    /// Likewise, with a Bridge that goes by this relay, and asks proofs for so many times the difficulty.
    ///
    /// # Errors
    /// When a contract can't be deployed.
    pub async fn going_by(chain: TestChain, relay: Address, factor: u64) -> Result<Self, Error> {
        let [governance, treasury, depositor, operator] =
            [chain.account(0)?, chain.account(1)?, chain.account(2)?, chain.account(3)?];
        let deploy = async |name: &str, code: Bytes| chain.deploy(name, governance, code).await;
        let deploy_tbtc = async |path: &str| deploy(path, artifacts::tbtc(path)?.creation_code()?).await;

        let bank = deploy_tbtc("bank/Bank.sol/Bank").await?;
        let wallet_registry = deploy("wallet registry", bytecode::YES).await?;
        let reimbursement_pool = deploy("reimbursement pool", bytecode::YES).await?;
        let vault = deploy("vault", bytecode::YES).await?;

        let mut implementation = artifacts::tbtc("bridge/Bridge.sol/Bridge")?;
        let libraries: Vec<_> = implementation.libraries().map(str::to_owned).collect();
        for library in libraries {
            let address = deploy_tbtc(&format!("bridge/{library}.sol/{library}")).await?;
            implementation.link(&library, address)?;
        }
        let implementation = deploy("Bridge", implementation.creation_code()?).await?;
        let bridge = deploy("proxy", bytecode::proxy(implementation)).await?;

        let initialize = Bridge::initializeCall {
            _bank: bank,
            _relay: relay,
            _treasury: treasury,
            _ecdsaWalletRegistry: wallet_registry,
            _reimbursementPool: reimbursement_pool,
            _txProofDifficultyFactor: U96::from(factor),
        };
        chain.send(governance, bridge, &initialize).await?;
        chain.send(governance, bank, &Bank::updateBridgeCall { bridge }).await?;
        let maintainer = Bridge::setSpvMaintainerStatusCall { spvMaintainer: governance, isTrusted: true };
        chain.send(governance, bridge, &maintainer).await?;
        let trust = Bridge::setVaultStatusCall { vault, isTrusted: true };
        chain.send(governance, bridge, &trust).await?;
        chain.fund(wallet_registry).await?;
        let validator = deploy_validator(&chain, governance, &our_validator()?, bridge).await?;

        Ok(Self {
            bridge: Contract::new(chain.rpc().clone(), bridge),
            bank: Contract::new(chain.rpc().clone(), bank),
            chain,
            bitcoin: Regtest::new(),
            node: None,
            governance,
            treasury,
            depositor,
            operator,
            wallet_registry,
            vault,
            validator,
            dust_change: Parameters::LOCAL.dust_change,
            proves: true,
            main_utxos: BTreeMap::new(),
            deposits: 0,
        })
    }

    /// A real Bitcoin node behind a world where nothing has happened yet. Its Bitcoin chain begins anew.
    ///
    /// # Errors
    /// When the node refuses the chain.
    pub async fn with_node(self, node: Btcd) -> Result<Self, Error> {
        let world = Self { bitcoin: Regtest::recent(), node: Some(node), ..self };
        world.settle().await?;
        Ok(world)
    }

    /// Hands over to the real Bitcoin node, where there is one, what the Bitcoin chain has and it hasn't. All that acts on the world
    /// does so itself; who mines by [`World::bitcoin`] must.
    ///
    /// # Errors
    /// When the node refuses any of it.
    pub async fn settle(&self) -> Result<(), Error> {
        match &self.node {
            Some(node) => node.follow(&self.bitcoin).await,
            None => Ok(()),
        }
    }

    /// Creates the wallet with this number: it is Live, and the Bridge's active wallet.
    pub async fn wallet(&self, seed: u64) -> Result<Wallet, Error> {
        let wallet = Wallet::from_seed(seed);
        let (x, y) = wallet.coordinates();
        let call = Bridge::__ecdsaWalletCreatedCallbackCall {
            ecdsaWalletID: wallet.id(),
            publicKeyX: x,
            publicKeyY: y,
        };
        self.chain.send(self.wallet_registry, self.bridge.address(), &call).await?;
        Ok(wallet)
    }

    /// What the Bridge keeps of a wallet.
    ///
    /// # Errors
    /// None to be expected.
    pub async fn record(&self, wallet: KeyHash) -> Result<bridge::Wallet, Error> {
        self.bridge.ask(&Bridge::walletsCall { walletPubKeyHash: wallet.into() }).await
    }

    /// Whether the Bridge knows all that the wallet did: its main UTXO there is what its last transaction made.
    pub async fn is_in_step(&self, wallet: &Wallet) -> Result<bool, Error> {
        let hash = self.record(wallet.key_hash()).await?.mainUtxoHash;
        Ok(self.main_utxo(wallet).map(|utxo| main_utxo_hash(&utxo)).unwrap_or_default() == hash)
    }

    /// The wallet's main UTXO, which the Bridge knows only by its hash. `None` before the wallet's first sweep.
    pub fn main_utxo(&self, wallet: &Wallet) -> Option<Utxo> {
        self.main_utxos.get(&wallet.key_hash()).copied()
    }

    /// Takes note of the wallet's main UTXO after others have acted and proven it: the output of its own on Bitcoin that the Bridge
    /// has the hash of.
    ///
    /// # Errors
    /// If the Bridge has the hash of none.
    pub async fn catch_up(&mut self, wallet: &Wallet) -> Result<(), Error> {
        let key = wallet.key_hash();
        let hash = self.record(key).await?.mainUtxoHash;
        if hash.is_zero() {
            self.main_utxos.remove(&key);
            return Ok(());
        }
        let blocks = self.bitcoin.blocks_from(Height(0));
        let mut outputs = blocks.iter().rev().flat_map(|block| &block.txdata).flat_map(|transaction| {
            let txid = transaction.compute_txid();
            (0..)
                .zip(&transaction.output)
                .map(move |(vout, output)| Utxo { outpoint: OutPoint { txid, vout }, value: output.value })
        });
        let utxo = outputs.find(|utxo| main_utxo_hash(utxo) == hash).ok_or(Error::NoMainUtxo(key))?;
        self.main_utxos.insert(key, utxo);
        Ok(())
    }

    /// The Bridge's state now, as far as these keys name it.
    pub async fn snapshot(&self, keys: &SnapshotKeys) -> Result<Snapshot, Error> {
        let endpoint = Endpoints::new(self.chain.url())?;
        let latest = endpoint.block(BlockSelector::Latest).await.map_err(ChainError::from)?;
        let block = latest.ok_or(Error::Absent("latest block"))?;
        let chain_id = endpoint.chain_id().await.map_err(ChainError::from)?;
        let reader = SnapshotReader::new(endpoint, chain_id, self.bridge.address());
        Ok(reader.snapshot(block, keys).await?)
    }

    /// Calls the Bridge as its governance, to change parameters for one.
    pub async fn govern(&self, call: &impl SolCall) -> Result<(), Error> {
        self.chain.send(self.governance, self.bridge.address(), call).await?;
        Ok(())
    }

    /// Deploys the proxy that refunds maintainers' gas, and has the Bridge trust it. It refunds nothing here.
    pub async fn deploy_maintainer_proxy(&self) -> Result<Address, Error> {
        let pool = self.chain.deploy("reimbursement pool", self.governance, bytecode::YES).await?;
        let code = artifacts::tbtc("maintainer/MaintainerProxy.sol/MaintainerProxy")?.creation_code()?;
        let code = [code.to_vec(), (self.bridge.address(), pool).abi_encode()].concat();
        let proxy = self.chain.deploy("maintainer proxy", self.governance, code.into()).await?;
        self.govern(&Bridge::setSpvMaintainerStatusCall { spvMaintainer: proxy, isTrusted: true }).await?;
        Ok(proxy)
    }

    /// Deploys a validator for this Bridge from its creation code, to which the Bridge's address is appended.
    pub async fn deploy_validator(&self, creation_code: &Bytes) -> Result<Address, Error> {
        deploy_validator(&self.chain, self.governance, creation_code, self.bridge.address()).await
    }
}

async fn deploy_validator(
    chain: &TestChain,
    deployer: Address,
    creation_code: &Bytes,
    bridge: Address,
) -> Result<Address, Error> {
    let code = [creation_code.to_vec(), bridge.abi_encode()].concat();
    chain.deploy("validator", deployer, code.into()).await
}
