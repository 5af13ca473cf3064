//! The real Bridge on a local chain, a Bitcoin that is told what there is, and a generator between them.

mod bitcoin;

pub(crate) use self::bitcoin::FakeBitcoin;

use coxswain_bitcoin::Backend;
use coxswain_ethereum::{BlockSelector, Chain, Endpoints, EventLog, EventReader, Named, ProposalValidator};
use coxswain_proposals::{
    ActionOutcome, ChecklistOutcome, Exclusion, Item, Memory, PreparedProposal, Session, Sources, Why,
};
use coxswain_rules::{
    Action, Amount, HeartbeatProposal, KeyHash, Proposal, Subject,
    network::Parameters,
    units::{BlockNumber, Blocks, Confirmations},
};
use coxswain_testkit::{Deposit, DepositSpec, Wallet, World};

pub(crate) const CHAIN: u64 = 31337;
const FINAL_DEPTH: u64 = Parameters::MAINNET.final_depth.0;
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const FEE: Amount = Amount::from_sat(10_000);

/// A wallet's stage.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) bitcoin: FakeBitcoin,
    pub(crate) validator: alloy_primitives::Address,
    pub(crate) memory: Memory,
    pub(crate) events: EventReader,
    pub(crate) network: Parameters,
    pub(crate) fallback: Option<::bitcoin::FeeRate>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let world = World::start().await.unwrap();
        let validator = world.validator;
        let endpoint = Endpoints::new(world.chain.url()).unwrap();
        let events = EventReader::new(
            endpoint,
            EventLog::new(world.bridge.address(), BlockNumber(0)),
            Blocks(FINAL_DEPTH),
        );
        let fallback = Some(::bitcoin::FeeRate::from_sat_per_vb_u32(5));
        let (bitcoin, memory) = (FakeBitcoin::new(), Memory::default());
        Self { world, bitcoin, validator, memory, events, network: Parameters::MAINNET, fallback }
    }

    /// A wallet that has swept one deposit.
    pub(crate) async fn funded_wallet(&mut self, seed: u64) -> Wallet {
        let wallet = self.world.wallet(seed).await.unwrap();
        let spec = DepositSpec { amount: Amount::from_sat(5_0000_0000), ..DepositSpec::default() };
        let deposit = self.world.reveal(&wallet, spec).await.unwrap();
        self.bitcoin.funds([&deposit]);
        let sweep = self.world.sweep(&wallet, &[deposit], FEE).await.unwrap();
        self.bitcoin.buries(&sweep, Confirmations(6));
        wallet
    }

    /// A revealed deposit that Bitcoin bears out.
    pub(crate) async fn deposit(&mut self, wallet: &Wallet, spec: DepositSpec) -> Deposit {
        let deposit = self.world.reveal(wallet, spec).await.unwrap();
        self.bitcoin.funds([&deposit]);
        deposit
    }

    /// Lets this many seconds pass, and blocks enough for events to be deep.
    pub(crate) async fn pass(&self, seconds: u64) {
        self.world.chain.mine(self.network.event_depth.0).await.unwrap();
        self.world.chain.advance(seconds).await.unwrap();
    }

    pub(crate) async fn height(&self) -> u64 {
        self.world.chain.height().await.unwrap()
    }

    pub(crate) fn endpoint(&self) -> Endpoints {
        Endpoints::new(self.world.chain.url()).unwrap()
    }

    pub(crate) async fn generate(&mut self, wallet: KeyHash, checklist: &[Action]) -> ChecklistOutcome {
        self.generate_through(self.endpoint(), self.bitcoin.clone(), wallet, checklist).await
    }

    pub(crate) async fn generate_through(
        &mut self,
        endpoint: Endpoints,
        bitcoin: impl Backend,
        wallet: KeyHash,
        checklist: &[Action],
    ) -> ChecklistOutcome {
        let (sources, block) = self.sources(endpoint, bitcoin).await;
        let mut session = Session::new(&sources, wallet, block, &mut self.memory);
        session.generate_first(checklist.iter().copied()).await
    }

    /// Whom sessions at the newest block ask, up to which the events are brought.
    pub(crate) async fn sources<B: Backend>(
        &mut self,
        endpoint: Endpoints,
        bitcoin: B,
    ) -> (Sources<B>, Named) {
        let validator = ProposalValidator::new(endpoint.clone(), CHAIN, self.validator);
        let (_, named) = Chain::new(CHAIN).named(&endpoint, BlockSelector::Latest).await.unwrap();
        // The same log, through this endpoint.
        self.events = EventReader::new(endpoint, EventLog::clone(&self.events.log()), Blocks(FINAL_DEPTH));
        self.events.follow(named.header.block()).await.unwrap();
        let events = self.events.clone();
        (Sources::new(events, CHAIN, validator, bitcoin, self.network, self.fallback), named)
    }

    /// No events yet, of which those from this block on are wanted.
    pub(crate) fn events_from(&self, block: u64) -> EventReader {
        EventReader::new(
            self.endpoint(),
            EventLog::new(self.world.bridge.address(), BlockNumber(block)),
            Blocks(FINAL_DEPTH),
        )
    }

    /// Forgets all events up to the newest block.
    pub(crate) async fn forget_events(&mut self) {
        self.events = self.events_from(self.height().await);
    }

    /// One action, which must come to a proposal.
    pub(crate) async fn propose(
        &mut self,
        wallet: &Wallet,
        action: Action,
    ) -> (PreparedProposal, Vec<Exclusion>) {
        let generation = self.generate(wallet.key_hash(), &[action]).await;
        let attempt = generation.attempts.into_iter().next_back().unwrap();
        match attempt.outcome {
            ActionOutcome::Proposal(proposed) => (*proposed, attempt.excluded),
            other => panic!("{action}: {other}, left out: {:?}", attempt.excluded),
        }
    }
}

/// A valid heartbeat.
pub(crate) fn heartbeat() -> Proposal {
    let message = [[0xff; 8], [0x11; 8]].concat();
    Proposal::Heartbeat(HeartbeatProposal { message })
}

/// The deposits proposed, by name.
pub(crate) fn swept(proposed: &PreparedProposal) -> Vec<coxswain_rules::OutPoint> {
    match &proposed.case.subject {
        Subject::DepositSweep { proposal, .. } => {
            proposal.deposits.iter().map(|deposit| deposit.outpoint).collect()
        }
        other => panic!("not a deposit sweep: {other:?}"),
    }
}

/// The scripts proposed to be paid.
pub(crate) fn paid(proposed: &PreparedProposal) -> Vec<coxswain_rules::ScriptBuf> {
    match &proposed.case.subject {
        Subject::Redemption(proposal) => proposal.scripts.clone(),
        other => panic!("not a redemption: {other:?}"),
    }
}

pub(crate) fn outpoints<'a>(
    deposits: impl IntoIterator<Item = &'a Deposit>,
) -> Vec<coxswain_rules::OutPoint> {
    deposits.into_iter().map(|deposit| deposit.outpoint).collect()
}

/// Why this one was left out.
pub(crate) fn why<'a>(excluded: &'a [Exclusion], item: &Item) -> &'a Why {
    let of_item: Vec<_> = excluded.iter().filter(|exclusion| exclusion.item == *item).collect();
    match &*of_item {
        [exclusion] => &exclusion.why,
        other => panic!("{item} has {} reasons: {other:?}", other.len()),
    }
}
