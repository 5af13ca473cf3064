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
use coxswain_rules::{
    Amount, WalletRecord,
    units::{BlockNumber, Blocks},
};
use coxswain_testkit::{BitcoinServer, Btcd, ElectrumX, Reply, Serving, Wallet, World};
use url::Url;

pub(crate) const FEE: Amount = Amount::from_sat(10_000);
/// anvil's.
const CHAIN_ID: u64 = 31_337;
const KEYSTORES: [&str; 2] =
    [include_str!("../../keystores/first.json"), include_str!("../../keystores/second.json")];
const PASSWORD: &str = "correct horse";

pub(crate) type TestMaintainer = Maintainer<Backends, ()>;

pub(crate) struct Unproven {
    pub(crate) world: World,
    pub(crate) proxy: Address,
    pub(crate) server: Server,
}

/// Where maintainers ask about Bitcoin.
pub(crate) enum Server {
    Ours(BitcoinServer),
    /// The world's own node.
    Btcd,
    ElectrumX(ElectrumX),
}

/// What kind of backend maintainers ask.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "the real ones are another program's")]
pub(crate) enum Kind {
    Electrum,
    Core,
    /// Real ones, which `make test-peers` installs.
    Btcd,
    ElectrumX,
}

impl Unproven {
    pub(crate) async fn new(kind: Kind) -> Self {
        let mut world = World::start().await.unwrap();
        let ours = |server: std::io::Result<_>| Server::Ours(server.unwrap());
        let serving = Serving::default();
        let server = match kind {
            Kind::Electrum => {
                ours(BitcoinServer::electrum(&world.bitcoin, serving, |_, _| Reply::Forward).await)
            }
            Kind::Core => ours(BitcoinServer::core(&world.bitcoin, serving, |_, _| Reply::Forward).await),
            Kind::Btcd => {
                world = world.with_node(Btcd::start().await.unwrap()).await.unwrap();
                Server::Btcd
            }
            Kind::ElectrumX => {
                let node = Btcd::start().await.unwrap();
                let server = ElectrumX::start(&node).await.unwrap();
                world = world.with_node(node).await.unwrap();
                Server::ElectrumX(server)
            }
        };
        let proxy = world.deploy_maintainer_proxy().await.unwrap();
        Self { world, proxy, server }
    }

    fn bitcoin_url(&self) -> &Url {
        match &self.server {
            Server::Ours(server) => server.url(),
            Server::Btcd => self.world.node.as_ref().unwrap().url(),
            Server::ElectrumX(server) => server.url(),
        }
    }

    /// Waits until the servers know what the wallets did.
    pub(crate) async fn settle(&self) {
        self.world.settle().await.unwrap();
        if let Server::ElectrumX(server) = &self.server {
            server.follow(&self.world.bitcoin).await.unwrap();
        }
    }

    /// A wallet with a main UTXO that is proven. From here on nothing is proven at once.
    pub(crate) async fn funded(&mut self, seed: u64) -> Wallet {
        self.world.proves = true;
        let wallet = self.world.funded_wallet(seed).await.unwrap();
        self.world.proves = false;
        wallet
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.world.chain.url()).unwrap()
    }

    fn account(&self, index: usize) -> Account {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        coxswain_testkit::write_private(&file, KEYSTORES[index]).unwrap();
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
        let terms = Terms { bump_after: Duration::from_secs(20), ..Self::terms() };
        self.maintainer_by(self.endpoints(), account, terms)
    }

    /// For a chain that mines a block for each transaction, and none without.
    pub(crate) fn terms() -> Terms {
        Terms { depth: Blocks(0), poll: Duration::from_millis(50), ..Terms::default() }
    }

    /// A maintainer that asks these servers, on these terms. It has money, and is authorised.
    pub(crate) async fn impatient(&self, endpoints: Endpoints, terms: Terms) -> TestMaintainer {
        let account = self.account(0);
        self.world.chain.fund(account.address()).await.unwrap();
        self.authorise(account.address()).await;
        self.maintainer_by(endpoints, account, terms)
    }

    fn maintainer_by(&self, endpoints: Endpoints, account: Account, terms: Terms) -> TestMaintainer {
        let submitter = Submitter::new(endpoints.clone(), account, CHAIN_ID, terms, (), &[]);
        let reader = SnapshotReader::new(endpoints.clone(), CHAIN_ID, self.world.bridge.address());
        let bitcoin = Endpoint::new(self.bitcoin_url(), Limits::default()).unwrap();
        let bitcoin = Backends::new(vec![bitcoin], Expected::on(bitcoin::Network::Regtest));
        let settings = Settings {
            venue: Venue::Proxy(self.proxy),
            first_block: BlockNumber(0),
            final_depth: Blocks(96),
            without_work: true,
        };
        Maintainer::new(endpoints, reader, bitcoin, Some(submitter.into()), settings)
    }

    pub(crate) async fn record(&self, wallet: &Wallet) -> WalletRecord {
        let keys = SnapshotKeys { wallets: [wallet.key_hash()].into(), ..SnapshotKeys::default() };
        self.world.snapshot(&keys).await.unwrap().wallet(wallet.key_hash()).unwrap().clone()
    }

    pub(crate) async fn is_in_step(&self, wallet: &Wallet) -> bool {
        self.world.is_in_step(wallet).await.unwrap()
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
