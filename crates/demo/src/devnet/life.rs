//! What goes on by itself on the chains, and what is ordered: blocks, deposits, redemptions, and who runs.

use std::{convert::Infallible, fs, net::Ipv4Addr, path::PathBuf, time::Duration};

use alloy_primitives::Address;
use coxswain_bindings::maintainer_proxy::MaintainerProxy::authorizeSpvMaintainerCall;
use coxswain_rules::Amount;
use coxswain_testkit::{
    BitcoinServer, DepositSpec, Error, Forwarder, Regtest, Reply, Serving, TestChain, Wallet, World,
    standard_scripts,
};
use eyre::{Result, WrapErr};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};
use url::Url;

use super::{MAINTAINER, Operators, Order, Part, Plan, Ports, name};
use crate::world::{programs, shell_variables};

/// Seconds from one block to the next on the chain, however fast they come.
const BLOCK: u64 = 12;
/// Blocks of Ethereum to one of Bitcoin: ten minutes.
const TO_BITCOIN: u64 = 50;
/// A deposit comes every so many blocks.
const TO_DEPOSIT: u64 = 180;
/// A redemption is requested every so many blocks, once the wallet has funds.
const TO_REDEMPTION: u64 = 240;
/// What each redeemer asks for.
const REDEEMED: Amount = Amount::from_sat(2_000_000);
/// What Bitcoin's servers estimate, in bitcoins per 1,000 virtual bytes: 10 sat/vB.
const ESTIMATE: f64 = 0.000_1;

/// The chains, with a wallet that has nothing yet.
#[derive(Debug)]
pub struct Life {
    world: World,
    wallet: Wallet,
    validator: Address,
    proxy: Address,
    ports: Ports,
    relay: Option<Forwarder>,
    electrum: Option<BitcoinServer>,
    core: Option<BitcoinServer>,
    bitcoin: Vec<Url>,
    requests: u64,
}

impl Life {
    /// Sets the chains up, telling what is done as it is done.
    ///
    /// # Errors
    /// If anvil or an artifact is missing, or a step fails.
    pub async fn set_up(ports: Ports, mut tell: impl FnMut(&str)) -> Result<Self, Error> {
        tell("starting a local chain and deploying the real tBTC Bridge");
        let mut world = World::on(TestChain::start_at(ports.ethereum())?).await?;
        world.bitcoin = Regtest::recent();
        tell("deploying the validator, and the maintainer's proxy");
        let validator = world.validator;
        let proxy = world.deploy_maintainer_proxy().await?;
        tell("creating a wallet, and revealing a deposit");
        let wallet = world.wallet(1).await?;
        world.reveal(&wallet, DepositSpec::default()).await?;
        tell("opening a second Ethereum server, an Electrum server and a Bitcoin Core node");
        let relay = Some(relay(ports).await?);
        let electrum = electrum(&world.bitcoin, ports).await?;
        let core = core(&world.bitcoin, ports).await?;
        let bitcoin = vec![electrum.url().clone(), core.url().clone()];
        let (electrum, core) = (Some(electrum), Some(core));
        Ok(Self { world, wallet, validator, proxy, ports, relay, electrum, core, bitcoin, requests: 0 })
    }

    /// What the operators need to know, and whether they sign with shares of the wallet's key.
    pub fn plan(&self, folder: PathBuf, shares: bool) -> Plan {
        Plan {
            ports: self.ports,
            folder,
            shares,
            ethereum: self.world.chain.endpoint(),
            relay: format!("http://127.0.0.1:{}", self.ports.relay()),
            bitcoin: self.bitcoin.clone(),
            bridge: self.world.bridge.address(),
            validator: self.validator,
            proxy: self.proxy,
            wallet: self.wallet.clone(),
        }
    }

    /// Gives operators and maintainer money, and the maintainer its right.
    ///
    /// # Errors
    /// If a step fails.
    pub async fn equip(&self) -> Result<()> {
        let maintainer = Plan::identity(MAINTAINER)?.operator().address();
        for account in Plan::group()?.into_iter().chain([maintainer]) {
            self.world.chain.fund(account).await?;
        }
        let authorise = authorizeSpvMaintainerCall { maintainer };
        self.world.chain.send(self.world.governance, self.proxy, &authorise).await?;
        Ok(())
    }

    /// Writes what a shell has to know into the operators' folder.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_variables(&self, plan: &Plan) -> Result<PathBuf> {
        let [electrum, core] = &self.bitcoin[..] else { eyre::bail!("there are two Bitcoin servers") };
        let group: String = Plan::group()?.iter().map(|member| format!("{member}\n")).collect();
        fs::write(plan.folder.join("group.txt"), group)?;
        let text = shell_variables(
            &programs()?,
            [
                ("COXSWAIN_ETHEREUM__URLS", format!("{} {}", plan.ethereum, plan.relay)),
                ("COXSWAIN_BITCOIN__URLS", format!("{electrum} {core}")),
                ("DEVNET", plan.folder.display().to_string()),
                ("WORLD_ETHEREUM_URL", plan.ethereum.clone()),
                ("WORLD_BITCOIN_URL", core.to_string()),
                ("BRIDGE", plan.bridge.to_string()),
                ("VALIDATOR", plan.validator.to_string()),
                ("WALLET", plan.wallet.key_hash().to_string()),
            ],
        )?;
        let env = plan.folder.join("env");
        fs::write(&env, text).wrap_err_with(|| format!("can't write {}", env.display()))?;
        Ok(env)
    }

    /// Lets time pass, a block after the other, follows orders, and tells what happens. It ends with an error, or not at all.
    ///
    /// # Errors
    /// If a chain fails.
    pub async fn go_on(
        mut self,
        pace: Option<Duration>,
        mut operators: Operators,
        mut orders: mpsc::Receiver<std::result::Result<Order, String>>,
        mut tell: impl FnMut(&str),
    ) -> Result<Infallible> {
        let mut blocks = pace.map(interval);
        if let Some(blocks) = &mut blocks {
            blocks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut looks = interval(Duration::from_secs(1));
        let mut count = 0_u64;
        loop {
            tokio::select! {
                () = next(&mut blocks) => {
                    count += 1;
                    self.block(count, &mut tell).await?;
                }
                Some(order) = orders.recv() => match order {
                    Ok(order) => match self.follow(order, &mut operators).await {
                        Ok(done) => tell(&done),
                        Err(error) => tell(&format!("not done: {error:#}")),
                    },
                    Err(problem) => anstream::eprintln!("{problem}"),
                },
                _ = looks.tick() => for ended in operators.ended().await? {
                    tell(&ended);
                },
            }
        }
    }

    /// One block more of Ethereum, and what comes with it.
    async fn block(&mut self, count: u64, tell: &mut impl FnMut(&str)) -> Result<()> {
        self.world.chain.mine_after(BLOCK).await?;
        if count.is_multiple_of(TO_BITCOIN) {
            for transaction in self.world.bitcoin.mempool() {
                tell(&format!("Bitcoin takes {} into a block", transaction.compute_txid()));
            }
            self.world.bitcoin.mine_mempool()?;
        }
        if count.is_multiple_of(TO_DEPOSIT) {
            tell(&self.deposit().await?);
        }
        if count.is_multiple_of(TO_REDEMPTION) {
            match self.redeem().await {
                Ok(done) => tell(&done),
                Err(error) => tell(&format!("no redemption is requested: {error:#}")),
            }
        }
        Ok(())
    }

    async fn follow(&mut self, order: Order, operators: &mut Operators) -> Result<String> {
        let again = |is_done| if is_done { "ended" } else { "not running" };
        match order {
            Order::Kill(Part::Process(number)) => {
                Ok(format!("{}: {}", name(number), again(operators.end(number).await)))
            }
            Order::Kill(Part::Ethereum2) => {
                let relay = self.relay.take();
                let ran = relay.is_some();
                if let Some(relay) = relay {
                    relay.close().await;
                }
                Ok(format!("ethereum2: {}", again(ran)))
            }
            Order::Kill(Part::Electrum) => Ok(format!("electrum: {}", again(self.electrum.take().is_some()))),
            Order::Kill(Part::Core) => Ok(format!("core: {}", again(self.core.take().is_some()))),
            Order::Start(Part::Process(number)) => operators.start(number).await,
            Order::Start(Part::Ethereum2) => {
                if self.relay.is_none() {
                    self.relay = Some(relay(self.ports).await?);
                }
                Ok("ethereum2: started".to_owned())
            }
            Order::Start(Part::Electrum) => {
                if self.electrum.is_none() {
                    self.electrum = Some(electrum(&self.world.bitcoin, self.ports).await?);
                }
                Ok("electrum: started".to_owned())
            }
            Order::Start(Part::Core) => {
                if self.core.is_none() {
                    self.core = Some(core(&self.world.bitcoin, self.ports).await?);
                }
                Ok("core: started".to_owned())
            }
            Order::Lie(number) => Ok(operators.lie(number).await),
            Order::Deposit => self.deposit().await,
            Order::Redeem => self.redeem().await,
        }
    }

    async fn deposit(&mut self) -> Result<String> {
        let deposit = self.world.reveal(&self.wallet, DepositSpec::default()).await?;
        Ok(format!("a deposit is revealed: {}", deposit.outpoint))
    }

    /// Requests a redemption from what the wallet has, as far as that is proven.
    async fn redeem(&mut self) -> Result<String> {
        self.world.catch_up(&self.wallet).await?;
        if self.world.main_utxo(&self.wallet).is_none() {
            return Ok("no redemption is requested: the wallet has nothing yet".to_owned());
        }
        self.requests += 1;
        let [_, script, ..] = standard_scripts(self.requests);
        let redeemer = self.world.depositor;
        let request = self.world.request_redemption(&self.wallet, redeemer, script, REDEEMED).await?;
        Ok(format!("a redemption of {REDEEMED} is requested, to {}", request.script))
    }
}

/// The next block's time. There is none if blocks come by command alone.
async fn next(blocks: &mut Option<Interval>) {
    match blocks {
        Some(blocks) => {
            blocks.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// A second way to the chain, as if there were two servers. Of one server alone the nodes would have nothing but its word, and blame
/// nobody by it.
async fn relay(ports: Ports) -> std::io::Result<Forwarder> {
    Forwarder::open(
        (Ipv4Addr::LOCALHOST, ports.relay()),
        format!("{}:{}", Ipv4Addr::LOCALHOST, ports.ethereum()),
    )
    .await
}

async fn electrum(chain: &Regtest, ports: Ports) -> std::io::Result<BitcoinServer> {
    let serving = Serving { estimate: Some(ESTIMATE), port: ports.electrum(), ..Serving::default() };
    BitcoinServer::electrum(chain, serving, |_, _| Reply::Forward).await
}

async fn core(chain: &Regtest, ports: Ports) -> std::io::Result<BitcoinServer> {
    let serving = Serving { estimate: Some(ESTIMATE), port: ports.core(), ..Serving::default() };
    BitcoinServer::core(chain, serving, |_, _| Reply::Forward).await
}
