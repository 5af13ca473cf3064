//! Judging on real peers: the real Bridge, and btcd. For each objection a poisoned proposal is refused for that very reason, and
//! its sound sibling is not. `make test-peers` runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails, fails the check")]

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use bitcoin::{FeeRate, Network, Transaction};
use coxswain_bitcoin::{Backend, Backends, Endpoint, Expected, Limits};
use coxswain_ethereum::{
    BlockSelector, Chain, Endpoints, EventLog, EventReader, ProposalValidator, SnapshotKeys,
};
use coxswain_proposals::{Assessment, Memory, Session, Sources, Step};
use coxswain_rules::{
    Amount, Assurance, DepositKey, DepositSweepProposal, FeeObjection, MovedFundsSweepProposal,
    MovingFundsProposal, Objection, OutPoint, Proposal, RedemptionProposal, RuleId, ScriptBuf,
    UnsignedTransaction,
    network::Parameters,
    units::{BlockNumber, Blocks, Confirmations, UnixTime},
};
use coxswain_testkit::{
    Btcd, Deposit, DepositOutput, DepositSpec, Funding, Wallet, World, deployed_validator, standard_scripts,
};

/// anvil's.
const CHAIN: u64 = 31337;
const HOUR: u64 = 3600;
const NETWORK: Parameters = Parameters::LOCAL;
const EVENT_DEPTH: u64 = NETWORK.event_depth.0;
/// Stands for the estimate, which the node doesn't make.
const FALLBACK: Option<FeeRate> = Some(FeeRate::from_sat_per_vb_u32(5));
/// A fee of small transactions that a leader pays.
const FAIR: Amount = Amount::from_sat(3_000);

struct Peers {
    world: World,
    validator: Address,
    events: EventReader,
    /// The kinds of objections raised so far.
    raised: BTreeSet<&'static str>,
}

impl Peers {
    async fn start() -> Self {
        let node = Btcd::start().await.unwrap();
        let world = World::start().await.unwrap().with_node(node).await.unwrap();
        let validator = world.validator;
        let ethereum = Endpoints::new(world.chain.url()).unwrap();
        let log = EventLog::new(world.bridge.address(), BlockNumber(0));
        let events = EventReader::new(ethereum, log, NETWORK.final_depth);
        Self { world, validator, events, raised: BTreeSet::new() }
    }

    fn bitcoin(&self) -> Backends {
        let node = Endpoint::new(self.world.node.as_ref().unwrap().url(), Limits::default()).unwrap();
        Backends::new(vec![node], Expected::on(Network::Regtest))
    }

    /// What a follower says of the proposal now that knows nothing but what is on the wire.
    async fn judge(&mut self, wallet: &Wallet, proposal: &Proposal) -> Assessment {
        let events = self.events.clone();
        let validator = ProposalValidator::new(events.endpoints().clone(), CHAIN, self.validator);
        let (_, named) = Chain::new(CHAIN).named(events.endpoints(), BlockSelector::Latest).await.unwrap();
        events.follow(named.header.block()).await.unwrap();
        let sources = Sources::new(events, CHAIN, validator, self.bitcoin(), NETWORK, FALLBACK);
        let mut memory = Memory::default();
        let mut session = Session::new(&sources, wallet.key_hash(), named, &mut memory);
        session.judge_proposal(proposal).await.1
    }

    async fn assert_valid(&mut self, wallet: &Wallet, proposal: &Proposal) {
        let assessment = self.judge(wallet, proposal).await;
        assert!(matches!(assessment, Assessment::Valid { .. }), "{assessment:?}");
    }

    async fn assert_refused(&mut self, wallet: &Wallet, proposal: &Proposal, step: Step, why: Objection) {
        let assessment = self.judge(wallet, proposal).await;
        let refused =
            Assessment::Rejected { step, objection: why.clone().into(), assurance: Assurance::Word };
        assert_eq!(assessment, refused);
        self.raised.insert(why.kind());
        println!("{step:9}  {why}");
    }

    /// Lets this many seconds pass, and blocks enough for events to be deep.
    async fn pass(&self, seconds: u64) {
        self.world.chain.mine(EVENT_DEPTH).await.unwrap();
        self.world.chain.advance(seconds).await.unwrap();
    }

    async fn deposit(&mut self, wallet: &Wallet, spec: DepositSpec) -> Deposit {
        self.world.reveal(wallet, spec).await.unwrap()
    }

    async fn funded_wallet(&mut self, seed: u64) -> Wallet {
        let wallet = self.world.wallet(seed).await.unwrap();
        let deposit = self.deposit(&wallet, DepositSpec::default()).await;
        self.world.sweep(&wallet, &[deposit], FAIR).await.unwrap();
        wallet
    }

    async fn request(&self, wallet: &Wallet, seed: u64) -> ScriptBuf {
        let [_, script, ..] = standard_scripts(seed);
        let (redeemer, amount) = (self.world.depositor, Amount::from_sat(2_000_000));
        self.world.request_redemption(wallet, redeemer, script.clone(), amount).await.unwrap();
        script
    }

    /// Has the wallet sweep the deposit, into its main UTXO or not, and the node take that. The Bridge isn't told.
    async fn sweep_unproven(&mut self, wallet: &Wallet, deposit: &Deposit, main_utxo: bool) {
        let keys = SnapshotKeys {
            wallets: [wallet.key_hash()].into(),
            deposits: [DepositKey::new(deposit.outpoint)].into(),
            ..SnapshotKeys::default()
        };
        let mut snapshot = self.world.snapshot(&keys).await.unwrap();
        let main_utxo = self.world.main_utxo(wallet).filter(|_| main_utxo);
        if main_utxo.is_none() {
            snapshot.wallets.get_mut(&wallet.key_hash()).unwrap().main_utxo_hash = B256::ZERO;
        }
        let proposal = DepositSweepProposal { deposits: vec![deposit.revealed()], fee: FAIR };
        let extra_info = [deposit.extra_info.clone()];
        let unsigned = UnsignedTransaction::deposit_sweep(
            &snapshot,
            wallet.key_hash(),
            &proposal,
            &extra_info,
            main_utxo,
        );
        let transaction: Transaction = wallet.sign(&unsigned.unwrap()).unwrap();
        self.bitcoin().broadcast(&transaction).await.unwrap();
    }

    /// Wallets may sweep moved funds at any fee.
    async fn allow_any_fee(&self) {
        self.world.change_moving_funds(|call| call.movedFundsSweepTxMaxTotalFee = 1 << 40).await.unwrap();
    }

    /// The treasury takes all of the requests to come.
    async fn take_all(&self) {
        self.world.change_redemptions(|call| call.redemptionTreasuryFeeDivisor = 1).await.unwrap();
    }
}

fn sweep<'a>(deposits: impl IntoIterator<Item = &'a Deposit>, fee: Amount) -> Proposal {
    let deposits = deposits.into_iter().map(Deposit::revealed).collect();
    Proposal::DepositSweep(DepositSweepProposal { deposits, fee })
}

fn redemption(script: &ScriptBuf) -> Proposal {
    Proposal::Redemption(RedemptionProposal { scripts: vec![script.clone()], fee: FAIR })
}

fn moved_funds_sweep(outpoint: OutPoint, fee: Amount) -> Proposal {
    Proposal::MovedFundsSweep(MovedFundsSweepProposal { outpoint, fee })
}

#[tokio::main]
async fn main() {
    let mut peers = Peers::start().await;
    let working = peers.funded_wallet(1).await;
    deposits(&mut peers, &working).await;
    redemptions(&mut peers, &working).await;
    moves(&mut peers, &working).await;
    own_transactions(&mut peers, &working).await;
    let raised = peers.raised.len();
    assert_eq!(raised, 16, "{:?}", peers.raised);
    println!("test result: ok. {raised} passed; 0 failed: objections raised on the real Bridge and btcd");
}

/// Deposits of a wallet with a main UTXO.
async fn deposits(peers: &mut Peers, wallet: &Wallet) {
    let with = |funding| DepositSpec { funding, ..DepositSpec::default() };
    let sound = peers.deposit(wallet, DepositSpec::default()).await;
    let young = peers.deposit(wallet, with(Funding::Mined { confirmations: Confirmations(4) })).await;
    let waiting = peers.deposit(wallet, with(Funding::Waiting)).await;
    let absent = peers.deposit(wallet, with(Funding::Absent)).await;
    let spec = DepositSpec { output: DepositOutput::P2wpkh, ..DepositSpec::default() };
    let unspendable = peers.deposit(wallet, spec).await;
    peers.pass(3 * HOUR).await;
    let valid = sweep([&sound], FAIR);
    peers.assert_valid(wallet, &valid).await;

    let Proposal::DepositSweep(mut elsewhere) = valid.clone() else { unreachable!() };
    elsewhere.deposits[0].reveal_block = sound.reveal_block.next();
    let (outpoint, block) = (sound.outpoint, sound.reveal_block.next());
    let why = Objection::RevealNotInBlock { outpoint, block };
    peers.assert_refused(wallet, &Proposal::DepositSweep(elsewhere), Step::Evidence, why).await;
    let why = Objection::OutputMissing(absent.outpoint);
    peers.assert_refused(wallet, &sweep([&sound, &absent], FAIR), Step::Evidence, why).await;

    // The unspendable one's funding has buried the young one's deeper: 4 + 6 confirmations.
    peers.assert_valid(wallet, &sweep([&sound, &young], FAIR)).await;
    let why = Objection::OutputUnconfirmed {
        outpoint: waiting.outpoint,
        confirmations: Confirmations(0),
        least: Confirmations(6),
    };
    peers.assert_refused(wallet, &sweep([&sound, &waiting], FAIR), Step::Funding, why).await;
    peers.world.bitcoin.mine_mempool().unwrap();
    peers.world.bitcoin.mine_empty(4).unwrap();
    peers.world.settle().await.unwrap();
    let why = Objection::OutputUnconfirmed {
        outpoint: waiting.outpoint,
        confirmations: Confirmations(5),
        least: Confirmations(6),
    };
    peers.assert_refused(wallet, &sweep([&sound, &waiting], FAIR), Step::Funding, why).await;
    peers.world.bitcoin.mine_empty(1).unwrap();
    peers.world.settle().await.unwrap();
    peers.assert_valid(wallet, &sweep([&sound, &waiting], FAIR)).await;

    let assessment = peers.judge(wallet, &sweep([&sound, &unspendable], FAIR)).await;
    let Some(Objection::Contract(rejection)) = assessment.objection() else { panic!("{assessment:?}") };
    assert_eq!(rejection.rule, Some(RuleId::Ds11));
    let why = Objection::Contract(rejection.clone());
    peers.assert_refused(wallet, &sweep([&sound, &unspendable], FAIR), Step::Contract, why).await;
    let why = Objection::Unspendable(rejection.clone());
    let deployed = peers.world.deploy_validator(&deployed_validator().unwrap()).await.unwrap();
    let ours = std::mem::replace(&mut peers.validator, deployed);
    peers.assert_refused(wallet, &sweep([&sound, &unspendable], FAIR), Step::Contract, why).await;
    peers.assert_valid(wallet, &valid).await;
    peers.validator = ours;

    // The node relays nothing under 1 sat/vB.
    let one = Amount::from_sat(1);
    let assessment = peers.judge(wallet, &sweep([&sound], one)).await;
    let Some(Objection::Fee(FeeObjection::TooLow { least, .. })) = assessment.objection() else {
        panic!("{assessment:?}")
    };
    let (fee, least) = (*least - one, *least);
    let why = Objection::Fee(FeeObjection::TooLow { fee, least });
    peers.assert_refused(wallet, &sweep([&sound], fee), Step::Fee, why).await;
    peers.assert_valid(wallet, &sweep([&sound], least)).await;

    let shallow = peers.deposit(wallet, DepositSpec::default()).await;
    peers.world.chain.mine(EVENT_DEPTH - 1).await.unwrap();
    let (outpoint, least) = (shallow.outpoint, EVENT_DEPTH);
    let why = Objection::RevealTooShallow { outpoint, depth: Blocks(EVENT_DEPTH - 1), least: Blocks(least) };
    peers.assert_refused(wallet, &sweep([&shallow], FAIR), Step::Evidence, why).await;
    peers.world.chain.advance(3 * HOUR).await.unwrap();
    peers.assert_valid(wallet, &sweep([&shallow], FAIR)).await;

    // A deposit that the node has seen spent, though not with the main UTXO.
    peers.sweep_unproven(wallet, &shallow, false).await;
    let why = Objection::OutputSpent(shallow.outpoint);
    peers.assert_refused(wallet, &sweep([&sound, &shallow], FAIR), Step::Funding, why).await;
}

/// Redemptions, of a wallet with a main UTXO and of one without.
async fn redemptions(peers: &mut Peers, wallet: &Wallet) {
    let script = peers.request(wallet, 1).await;
    let assessment = peers.judge(wallet, &redemption(&script)).await;
    let Some(why @ Objection::RequestTooShallow { .. }) = assessment.objection().cloned() else {
        panic!("{assessment:?}")
    };
    peers.assert_refused(wallet, &redemption(&script), Step::Evidence, why).await;
    peers.pass(HOUR).await;
    peers.assert_valid(wallet, &redemption(&script)).await;

    peers.take_all().await;
    let unpayable = peers.request(wallet, 2).await;
    peers.pass(HOUR).await;
    let assessment = peers.judge(wallet, &redemption(&unpayable)).await;
    let Some(why @ Objection::Transaction(_)) = assessment.objection().cloned() else {
        panic!("{assessment:?}")
    };
    peers.assert_refused(wallet, &redemption(&unpayable), Step::Outputs, why).await;

    let without = peers.world.wallet(2).await.unwrap();
    let why = Objection::MainUtxoMissing(without.key_hash());
    peers.assert_refused(&without, &redemption(&script), Step::Evidence, why).await;
}

/// Funds moved to a wallet without a main UTXO, and such as may not be moved yet.
async fn moves(peers: &mut Peers, working: &Wallet) {
    let (source, target) = (peers.funded_wallet(3).await, peers.world.wallet(4).await.unwrap());
    peers.world.retire(&source).await.unwrap();
    let from = peers.world.chain.now().await.unwrap() + 24 * HOUR;
    peers.world.commit_targets(&source, &[target.key_hash()]).await.unwrap();
    peers.pass(HOUR).await;
    let targets = vec![target.key_hash()];
    let moving = Proposal::MovingFunds(MovingFundsProposal { targets: targets.clone(), fee: FAIR });
    let now = peers.world.chain.now().await.unwrap();
    let why = Objection::MovingFundsTooEarly { from: UnixTime(from), now: UnixTime(now) };
    peers.assert_refused(&source, &moving, Step::Margin, why).await;
    peers.world.chain.advance(from - now).await.unwrap();
    peers.assert_valid(&source, &moving).await;

    let moved = peers.world.move_funds(&source, &targets, FAIR).await.unwrap();
    let (outpoint, value) = (OutPoint::new(moved.compute_txid(), 0), moved.output[0].value);
    peers.allow_any_fee().await;
    peers.pass(0).await;
    peers.assert_valid(&target, &moved_funds_sweep(outpoint, FAIR)).await;
    let one = Amount::from_sat(1);
    let why = Objection::InputsTooSmall { inputs: value, needed: value + one };
    peers.assert_refused(&target, &moved_funds_sweep(outpoint, value + one), Step::Outputs, why).await;
    let least = Amount::from_sat(294);
    let dust = least - one;
    let why = Objection::DustOutput { index: 0, value: dust, least };
    peers.assert_refused(&target, &moved_funds_sweep(outpoint, value - dust), Step::Outputs, why).await;
    peers
        .assert_valid(
            working,
            &Proposal::Heartbeat(coxswain_proposals::heartbeat(working.key_hash(), BlockNumber(1))),
        )
        .await;
}

/// Transactions of wallets that wait for their proof.
async fn own_transactions(peers: &mut Peers, working: &Wallet) {
    let fresh = peers.world.wallet(5).await.unwrap();
    let swept = peers.deposit(&fresh, DepositSpec::default()).await;
    let next = peers.deposit(&fresh, DepositSpec::default()).await;
    let of_working = peers.deposit(working, DepositSpec::default()).await;
    let next_of_working = peers.deposit(working, DepositSpec::default()).await;
    peers.pass(3 * HOUR).await;
    peers.assert_valid(&fresh, &sweep([&next], FAIR)).await;
    peers.sweep_unproven(&fresh, &swept, false).await;
    let why = Objection::OwnTransactionWaiting(swept.outpoint);
    peers.assert_refused(&fresh, &sweep([&next], FAIR), Step::MainUtxo, why).await;

    peers.assert_valid(working, &sweep([&next_of_working], FAIR)).await;
    let main_utxo = peers.world.main_utxo(working).unwrap().outpoint;
    peers.sweep_unproven(working, &of_working, true).await;
    let why = Objection::MainUtxoSpent(main_utxo);
    peers.assert_refused(working, &sweep([&next_of_working], FAIR), Step::MainUtxo, why).await;
}
