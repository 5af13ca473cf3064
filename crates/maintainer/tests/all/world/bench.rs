//! A world in which nobody proves what wallets do but the maintainers under test.

use std::time::Duration;

use alloy::primitives::Address;
use bitcoin::{Transaction, Txid};
use coxswain_bitcoin::{Backends, Endpoint, Expected, Limits};
use coxswain_ethereum::{
    Account, Endpoints, SnapshotKeys, SnapshotReader,
    submit::{Submitter, Terms},
};
use coxswain_maintainer::{Item, ItemState, Maintainer, Pass, Settings, Venue};
use coxswain_rules::{Amount, WalletRecord, main_utxo_hash};
use coxswain_testkit::{BitcoinServer, DepositSpec, Reply, Serving, Wallet, World};

pub(crate) const FEE: Amount = Amount::from_sat(10_000);
/// anvil's.
const CHAIN_ID: u64 = 31_337;
const KEYSTORES: [&str; 2] =
    [include_str!("../../keystores/first.json"), include_str!("../../keystores/second.json")];
const PASSWORD: &str = "correct horse";

pub(crate) type TestMaintainer = Maintainer<Backends, ()>;

pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) proxy: Address,
    pub(crate) server: BitcoinServer,
}

/// What kind of backend maintainers ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Electrum,
    Core,
}

impl Bench {
    pub(crate) async fn new(kind: Kind) -> Self {
        let world = World::start().await.unwrap();
        let proxy = world.deploy_maintainer_proxy().await.unwrap();
        let (chain, serving) = (&world.bitcoin, Serving::default());
        let server = match kind {
            Kind::Electrum => BitcoinServer::electrum(chain, serving, |_, _| Reply::Forward).await,
            Kind::Core => BitcoinServer::core(chain, serving, |_, _| Reply::Forward).await,
        };
        Self { world, proxy, server: server.unwrap() }
    }

    /// A wallet with a main UTXO that is proven. From here on nothing is proven at once.
    pub(crate) async fn funded(&mut self, seed: u64) -> Wallet {
        let wallet = self.world.wallet(seed).await.unwrap();
        self.world.proves = true;
        let deposit = self.world.reveal(&wallet, DepositSpec::default()).await.unwrap();
        self.world.sweep(&wallet, &[deposit], FEE).await.unwrap();
        self.world.proves = false;
        wallet
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.world.chain.endpoint().parse().unwrap()).unwrap()
    }

    fn account(&self, index: usize) -> Account {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        std::fs::write(&file, KEYSTORES[index]).unwrap();
        Account::from_keystore(&file, PASSWORD).unwrap()
    }

    pub(crate) async fn authorise(&self, account: Address) {
        use coxswain_bindings::maintainer_proxy::MaintainerProxy::authorizeSpvMaintainerCall;
        let call = authorizeSpvMaintainerCall { maintainer: account };
        self.world.chain.send(self.world.governance, self.proxy, &call).await.unwrap();
    }

    /// A maintainer with this account: one that has money, and is authorised.
    pub(crate) async fn maintainer(&self, index: usize) -> TestMaintainer {
        let account = self.account(index);
        self.world.chain.fund(account.address()).await.unwrap();
        self.authorise(account.address()).await;
        self.maintainer_of(account)
    }

    /// A maintainer with this account, whatever it has.
    pub(crate) fn stranger(&self, index: usize) -> (TestMaintainer, Address) {
        let account = self.account(index);
        let address = account.address();
        (self.maintainer_of(account), address)
    }

    fn maintainer_of(&self, account: Account) -> TestMaintainer {
        // The chain mines a block for each transaction, and none without.
        let terms = Terms {
            depth: 0,
            poll: Duration::from_millis(50),
            bump_after: Duration::from_secs(20),
            ..Terms::default()
        };
        let submitter = Submitter::new(self.endpoints(), account, CHAIN_ID, terms, (), &[]);
        let reader = SnapshotReader::new(self.endpoints(), CHAIN_ID, *self.world.bridge.address());
        let bitcoin = Endpoint::new(self.server.url(), Limits::default()).unwrap();
        let bitcoin = Backends::new(vec![bitcoin], Expected::on(bitcoin::Network::Regtest));
        let settings =
            Settings { venue: Venue::Proxy(self.proxy), first_block: 0, final_depth: 96, without_work: true };
        Maintainer::new(self.endpoints(), reader, bitcoin, Some(submitter.into()), settings)
    }

    pub(crate) async fn record(&self, wallet: &Wallet) -> WalletRecord {
        let keys = SnapshotKeys { wallets: [wallet.key_hash()].into(), ..SnapshotKeys::default() };
        self.world.snapshot(&keys).await.unwrap().wallet(wallet.key_hash()).unwrap().clone()
    }

    /// Whether the Bridge has the wallet's main UTXO as the wallet has it.
    pub(crate) async fn is_in_step(&self, wallet: &Wallet) -> bool {
        let hash = self.world.main_utxo(wallet).map(|utxo| main_utxo_hash(&utxo)).unwrap_or_default();
        self.record(wallet).await.main_utxo_hash == hash
    }
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// The transactions that were proven in the pass.
pub(crate) fn sent(pass: &Pass) -> Vec<Txid> {
    let sent = pass.items.iter().filter(|item| matches!(item.state, ItemState::Sent(_)));
    sent.map(|item| item.txid).collect()
}

/// What became of the transaction.
pub(crate) fn item<'a>(pass: &'a Pass, transaction: &Transaction) -> &'a Item {
    let txid = transaction.compute_txid();
    let found = pass.items.iter().find(|item| item.txid == txid);
    found.unwrap_or_else(|| panic!("no {txid} in {pass:?}"))
}
