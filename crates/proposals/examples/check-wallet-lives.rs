//! Two wallets' lives on real peers: the real Bridge, btcd, and ElectrumX. Deposits are mined, revealed, proposed, swept, and
//! proven; redemptions likewise; then one wallet's funds are moved to the other, and swept there. Every transaction is the one
//! that the generator builds, signed with a test key, and accepted by the node. `make test-peers` runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails, fails the check")]

use std::collections::BTreeMap;

use bitcoin::{FeeRate, Network, Transaction};
use coxswain_bitcoin::{Backend, Backends, Endpoint, Expected, Known, Limits};
use coxswain_ethereum::{BlockSelector, Chain, Endpoints, EventLog, EventReader, ProposalValidator};
use coxswain_proposals::{ChecklistOutcome, Item, Memory, Session, Sources, Why};
use coxswain_rules::{
    Action, Amount, Assured, KeyHash, OutPoint, main_utxo_hash,
    network::Parameters,
    units::{BlockNumber, Confirmations},
};
use coxswain_testkit::{
    Btcd, Deposit, DepositOutput, DepositSpec, ElectrumX, Funding, Wallet, World, standard_scripts,
};

/// anvil's.
const CHAIN: u64 = 31337;
const NETWORK: Parameters = Parameters::LOCAL;
const HOUR: u64 = 3600;
/// Paid where the node makes no estimate.
const FALLBACK: Option<FeeRate> = Some(FeeRate::from_sat_per_vb_u32(5));

struct Peers {
    world: World,
    server: ElectrumX,
    validator: ProposalValidator,
    events: EventReader,
    memories: BTreeMap<KeyHash, Memory>,
}

impl Peers {
    async fn start() -> Self {
        let node = Btcd::start().await.unwrap();
        let server = ElectrumX::start(&node).await.unwrap();
        let world = World::start().await.unwrap().with_node(node).await.unwrap();
        let address = world.validator;
        let ethereum = Endpoints::new(world.chain.url()).unwrap();
        let validator = ProposalValidator::new(ethereum.clone(), CHAIN, address);
        let events = EventReader::new(
            ethereum,
            EventLog::new(world.bridge.address(), BlockNumber(0)),
            NETWORK.final_depth,
        );
        Self { world, server, validator, events, memories: BTreeMap::new() }
    }

    /// The Electrum server first, then the node. They are one: the server says what the node does.
    fn bitcoin(&self) -> Backends {
        let node = self.world.node.as_ref().unwrap();
        let endpoints =
            [self.server.url(), node.url()].map(|url| Endpoint::new(url, Limits::default()).unwrap());
        Backends::new(endpoints.into(), Expected { loopback_is_one: true, ..Expected::on(Network::Regtest) })
    }

    /// What is due now, by the action.
    async fn generate(&mut self, wallet: &Wallet, action: Action) -> ChecklistOutcome {
        self.server.follow(&self.world.bitcoin).await.unwrap();
        let (events, validator) = (self.events.clone(), self.validator.clone());
        let (_, named) = Chain::new(CHAIN).named(events.endpoints(), BlockSelector::Latest).await.unwrap();
        events.follow(named.header.block()).await.unwrap();
        let sources = Sources::new(events, CHAIN, validator, self.bitcoin(), NETWORK, FALLBACK);
        let memory = self.memories.entry(wallet.key_hash()).or_default();
        let mut session = Session::new(&sources, wallet.key_hash(), named, memory);
        session.generate_first([action]).await
    }

    /// Proposes the action, signs its transaction, has it accepted by the node, mined, and proven to the Bridge.
    async fn act(&mut self, wallet: &Wallet, action: Action) -> (Transaction, ChecklistOutcome) {
        let generation = self.generate(wallet, action).await;
        let proposed = generation.proposed().unwrap_or_else(|| panic!("{action}: {:?}", generation.attempts));
        let transaction = wallet.sign(&proposed.transaction.as_ref().unwrap().unsigned).unwrap();
        let bitcoin = self.bitcoin();
        bitcoin.broadcast(&transaction).await.unwrap();
        let outpoint = OutPoint::new(transaction.compute_txid(), 0);
        let waiting = bitcoin.transactions(&[outpoint]).await.unwrap();
        let known = |confirmations| Some(Known { transaction: transaction.clone(), confirmations });
        let [Ok(Assured { fact, .. })] = &waiting[..] else { panic!("{action}: {waiting:?}") };
        assert_eq!(*fact, known(Confirmations::NONE), "{action}: the node has accepted it");

        let subject = proposed.case.subject.clone();
        let carried_out = self.world.carry_out(wallet, &subject).await.unwrap().unwrap();
        assert_eq!(carried_out, transaction, "{action}: every member builds the same");
        self.server.follow(&self.world.bitcoin).await.unwrap();
        let mined = bitcoin.transactions(&[outpoint]).await.unwrap();
        let [Ok(Assured { fact, .. })] = &mined[..] else { panic!("{action}: {mined:?}") };
        assert_eq!(*fact, known(Confirmations(1)), "{action}: the node has taken its block");
        println!(
            "{action}: {} inputs, {} outputs, {} vB",
            transaction.input.len(),
            transaction.output.len(),
            transaction.vsize()
        );
        (transaction, generation)
    }

    /// Lets this many seconds pass, and blocks enough for events to be deep.
    async fn pass(&self, seconds: u64) {
        self.world.chain.mine(NETWORK.event_depth.0).await.unwrap();
        self.world.chain.advance(seconds).await.unwrap();
    }

    async fn deposit(&mut self, wallet: &Wallet, spec: DepositSpec) -> Deposit {
        self.world.reveal(wallet, spec).await.unwrap()
    }

    /// That the Bridge knows the wallet's main UTXO, and Bitcoin has it unspent.
    async fn assert_main_utxo(&self, wallet: &Wallet) {
        let main_utxo = self.world.main_utxo(wallet);
        let record = self.world.record(wallet.key_hash()).await.unwrap();
        assert_eq!(record.mainUtxoHash, main_utxo.as_ref().map(main_utxo_hash).unwrap_or_default());
    }
}

#[tokio::main]
async fn main() {
    let mut peers = Peers::start().await;
    let (first, second) = (peers.world.wallet(1).await.unwrap(), peers.world.wallet(2).await.unwrap());

    // Deposits of every sound kind, and three that can't be swept.
    let mut deposits = Vec::new();
    for output in [DepositOutput::P2wsh, DepositOutput::P2sh] {
        for extra_data in [[0; 32], [7; 32]] {
            let spec = DepositSpec { output, extra_data: extra_data.into(), ..DepositSpec::default() };
            deposits.push(peers.deposit(&first, spec).await);
        }
    }
    let with = |funding| DepositSpec { funding, ..DepositSpec::default() };
    let young = peers.deposit(&first, with(Funding::Mined { confirmations: Confirmations(5) })).await;
    let waiting = peers.deposit(&first, with(Funding::Waiting)).await;
    let absent = peers.deposit(&first, with(Funding::Absent)).await;
    peers.pass(3 * HOUR).await;
    let (sweep, generation) = peers.act(&first, Action::DepositSweep).await;
    assert_eq!(sweep.input.len(), deposits.len());
    let excluded: Vec<_> = generation
        .attempts
        .iter()
        .flat_map(|attempt| &attempt.excluded)
        .map(|exclusion| (exclusion.item.clone(), exclusion.why.clone()))
        .collect();
    for (deposit, why) in [
        (&young, Why::Unconfirmed { confirmations: Confirmations(5), least: Confirmations(6) }),
        (&waiting, Why::Unconfirmed { confirmations: Confirmations(0), least: Confirmations(6) }),
        (&absent, Why::NotFound),
    ] {
        assert!(excluded.contains(&(Item::Deposit(deposit.outpoint), why)), "{excluded:?}");
    }
    peers.assert_main_utxo(&first).await;

    // Redemptions to every kind of script.
    let depositor = peers.world.depositor;
    for script in standard_scripts(1) {
        let amount = Amount::from_sat(2_000_000);
        peers.world.request_redemption(&first, depositor, script, amount).await.unwrap();
    }
    peers.pass(3 * HOUR).await;
    let (redemption, _) = peers.act(&first, Action::Redemption).await;
    assert_eq!(redemption.output.len(), 5, "change, and one output a request");
    peers.assert_main_utxo(&first).await;

    // By now the young deposit is deep enough: its sweep spends the main UTXO too.
    let (sweep, _) = peers.act(&first, Action::DepositSweep).await;
    assert_eq!(sweep.input.len(), 2);
    assert_eq!(sweep.input[1].previous_output, young.outpoint);
    peers.assert_main_utxo(&first).await;

    // The second wallet gets funds of its own; then the first one's are moved to it.
    peers.deposit(&second, DepositSpec::default()).await;
    peers.pass(3 * HOUR).await;
    peers.act(&second, Action::DepositSweep).await;
    peers.world.retire(&first).await.unwrap();
    peers.pass(25 * HOUR).await;
    let targets = peers
        .generate(&first, Action::MovingFunds)
        .await
        .commitment()
        .expect("a commitment is due")
        .targets
        .clone();
    assert_eq!(targets, [second.key_hash()]);
    peers.world.commit_targets(&first, &targets).await.unwrap();
    peers.pass(0).await;
    let (moving, _) = peers.act(&first, Action::MovingFunds).await;
    assert_eq!((moving.input.len(), moving.output.len()), (1, 1));
    peers.assert_main_utxo(&first).await;
    peers.pass(0).await;
    let (merged, _) = peers.act(&second, Action::MovedFundsSweep).await;
    assert_eq!((merged.input.len(), merged.output.len()), (2, 1));
    peers.assert_main_utxo(&second).await;
    println!("test result: ok. 6 passed; 0 failed: transactions of two wallets on real peers");
}
