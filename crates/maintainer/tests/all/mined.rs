//! Proofs over a change of difficulty, on the real Bridge, which asks for twice the work: real work, mined once.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolCall,
};
use bitcoin::{Block, OutPoint, Transaction, block::Header, consensus::encode};
use coxswain_bindings::{bridge::Bridge::submitDepositSweepProofCall, relay::LightRelay as relay};
use coxswain_bitcoin::{
    Answers, Backend, BackendError, Coinbase, Cursor, Fees, Known, MerkleBranch, Mined, Output, Search,
    Spender, Tip, chain::HeaderRules, spv::NotProvable,
};
use coxswain_ethereum::{
    Account, Endpoints, SnapshotReader,
    submit::{Submitter, Terms},
};
use coxswain_maintainer::{ItemState, Maintainer, Pass, RelayKeeper, Settings, Step, Venue};
use coxswain_rules::{
    Assurance, Assured,
    units::{BlockNumber, Blocks, Height},
};
use coxswain_testkit::{MinedBlocks, MinedSweep, TestChain, World};

sol! {
    /// tBTC's relay of tests.
    interface TestRelay {
        /// Says what the newest epoch's difficulty is.
        function setCurrentEpochDifficulty(uint256 difficulty) external;
        /// Says what the difficulty of the one before is.
        function setPrevEpochDifficulty(uint256 difficulty) external;
    }
}

/// The first block of an epoch.
const BOUNDARY: u32 = 2016;
/// Where deposits were funded.
const FUNDED: Height = Height(2000);

/// Bitcoin, of which some blocks are known: the first is the last of its epoch.
#[derive(Clone)]
struct MinedChain {
    first: Header,
    blocks: Vec<Block>,
    sweeps: Vec<MinedSweep>,
}

impl MinedChain {
    fn new(mined: &MinedBlocks, from: usize, count: usize) -> Self {
        Self {
            first: mined.first,
            blocks: mined.blocks[from..from + count].to_vec(),
            sweeps: vec![mined.sweeps[from].clone()],
        }
    }

    fn heights(&self) -> impl Iterator<Item = (Height, &Block)> {
        (BOUNDARY - 1..).map(Height).zip(&self.blocks)
    }

    fn at(&self, height: Height) -> &Block {
        self.heights().find(|(at, _)| *at == height).unwrap().1
    }
}

fn unknown(method: &'static str) -> BackendError {
    BackendError::Unreachable { method, endpoint: "nowhere:1".to_owned(), cause: "unknown".to_owned() }
}

fn word<T>(fact: T) -> Assured<T> {
    Assured { fact, assurance: Assurance::Word }
}

impl Backend for MinedChain {
    async fn tip(&self) -> Result<Tip, BackendError> {
        let (height, block) = self.heights().last().unwrap();
        Ok(Tip { height, header: block.header })
    }

    async fn fees(&self) -> Result<Assured<Fees>, BackendError> {
        Err(unknown("fees"))
    }

    async fn headers(&self, start: Height, count: u32) -> Result<Vec<Header>, BackendError> {
        if start == Height(0) {
            return Ok(vec![self.first]);
        }
        let asked = start..start.saturating_add(count);
        Ok(self.heights().filter(|(at, _)| asked.contains(at)).map(|(_, block)| block.header).collect())
    }

    async fn transactions(
        &self,
        outpoints: &[OutPoint],
    ) -> Result<Answers<Assured<Option<Known>>>, BackendError> {
        let confirmations = FUNDED.confirmations(self.tip().await?.height).unwrap();
        let known = |outpoint: &OutPoint| {
            let mut funding = self.sweeps.iter().map(|swept| &swept.funding);
            let transaction = funding.find(|funding| funding.compute_txid() == outpoint.txid)?.clone();
            Some(Known { transaction, confirmations })
        };
        Ok(outpoints.iter().map(|outpoint| Ok(word(known(outpoint)))).collect())
    }

    async fn unspent(&self, outputs: &[Output]) -> Result<Answers<Assured<bool>>, BackendError> {
        Ok(outputs.iter().map(|_| Ok(word(false))).collect())
    }

    async fn branches(&self, mined: &[Mined]) -> Result<Answers<MerkleBranch>, BackendError> {
        let branch = |mined: &Mined| {
            let txids: Vec<_> = self.at(mined.height).txdata.iter().map(Transaction::compute_txid).collect();
            Ok(MerkleBranch::within(&txids, 1).unwrap())
        };
        Ok(mined.iter().map(branch).collect())
    }

    async fn coinbase(&self, height: Height) -> Result<Coinbase, BackendError> {
        let block = self.at(height);
        let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
        let branch = MerkleBranch::within(&txids, 0).unwrap();
        Ok(Coinbase { transaction: block.txdata[0].clone(), branch })
    }

    async fn spender(&self, spent: &Output, _: Cursor) -> Result<Search, BackendError> {
        let of = |swept: &&MinedSweep| swept.sweep.input[0].previous_output == spent.outpoint;
        let transaction = self.sweeps.iter().find(of).unwrap().sweep.clone();
        Ok(Search::Found(Box::new(Spender { transaction, height: Some(Height(BOUNDARY - 1)) })))
    }

    async fn broadcast(&self, _: &Transaction) -> Result<(), BackendError> {
        Err(unknown("broadcast"))
    }
}

/// A Bridge that asks for twice the work, and an account that may prove.
struct TwiceTheWork {
    world: World,
    proxy: Address,
    submitter: Arc<Submitter<()>>,
}

impl TwiceTheWork {
    async fn new(chain: TestChain, relay: Address) -> Self {
        let world = World::going_by(chain, relay, 2).await.unwrap();
        let proxy = world.deploy_maintainer_proxy().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        coxswain_testkit::write_private(&file, include_str!("../keystores/first.json")).unwrap();
        let account = Account::from_keystore(&file, "correct horse").unwrap();
        world.chain.fund(account.address()).await.unwrap();
        let authorise = coxswain_bindings::maintainer_proxy::MaintainerProxy::authorizeSpvMaintainerCall {
            maintainer: account.address(),
        };
        world.chain.send(world.governance, proxy, &authorise).await.unwrap();
        let terms = Terms { depth: Blocks(0), poll: Duration::from_millis(50), ..Terms::default() };
        let endpoints = Endpoints::new(world.chain.url()).unwrap();
        let submitter = Arc::new(Submitter::new(endpoints, account, 31_337, terms, (), &[]));
        Self { world, proxy, submitter }
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.world.chain.url()).unwrap()
    }

    async fn pass(&self, bitcoin: MinedChain, sends: bool) -> Pass {
        let reader = SnapshotReader::new(self.endpoints(), 31_337, self.world.bridge.address());
        let settings = Settings {
            venue: Venue::Proxy(self.proxy),
            first_block: BlockNumber(0),
            final_depth: Blocks(96),
            without_work: false,
        };
        let submitter = sends.then(|| Arc::clone(&self.submitter));
        let mut maintainer = Maintainer::new(self.endpoints(), reader, bitcoin, submitter, settings);
        maintainer.pass(Duration::ZERO).await.unwrap()
    }

    /// That the sweep in the first block is proven by all of these, and by no fewer.
    async fn proves(&self, mined: &MinedBlocks, from: usize, count: usize) {
        self.world.reveal_mined(&mined.sweeps[from]).await.unwrap();
        let early = self.pass(MinedChain::new(mined, from, count - 1), false).await;
        let [item] = &early.items[..] else { panic!("{early:?}") };
        assert!(
            matches!(item.state, ItemState::NotProvable(NotProvable::WaitingForBlocks { .. })),
            "{item:?}"
        );
        let ready = self.pass(MinedChain::new(mined, from, count), false).await;
        let [item] = &ready.items[..] else { panic!("{ready:?}") };
        let ItemState::Ready(call) = &item.state else { panic!("{item:?}") };
        let call_of = submitDepositSweepProofCall::abi_decode(&call.input).unwrap();
        assert_eq!(call_of.sweepProof.bitcoinHeaders.len(), 80 * count);
        // The Bridge asks for all of them, too.
        let mut shorter = call_of;
        let cut = shorter.sweepProof.bitcoinHeaders.slice(..80 * (count - 1));
        shorter.sweepProof.bitcoinHeaders = cut;
        let call = coxswain_ethereum::submit::Call { to: call.to, input: shorter.abi_encode().into() };
        let refused = self.submitter.rehearse(&call).await.unwrap_err().to_string();
        assert!(refused.contains("Insufficient accumulated difficulty"), "{refused}");

        let pass = self.pass(MinedChain::new(mined, from, count), true).await;
        let [item] = &pass.items[..] else { panic!("{pass:?}") };
        assert!(matches!(item.state, ItemState::Sent(_)), "{item:?}");
        let wallet = mined.sweeps[from].wallet.key_hash();
        let record = self.world.record(wallet).await.unwrap();
        assert!(!record.mainUtxoHash.is_zero());
    }
}

#[tokio::test]
async fn from_difficulty_1_to_2_the_relay_is_told_and_a_sweep_is_proven_by_2_headers() {
    let mined = MinedBlocks::read().unwrap();
    let chain = TestChain::start().unwrap();
    let (address, _) = chain.deploy_light_relay().await.unwrap();
    let genesis = relay::genesisCall {
        genesisHeader: encode::serialize(&mined.first).into(),
        genesisHeight: U256::ZERO,
        genesisProofLength: 1,
    };
    chain.send(chain.account(0).unwrap(), address, &genesis).await.unwrap();
    let bridge = TwiceTheWork::new(chain, address).await;
    let bitcoin = MinedChain::new(&mined, 0, 2);
    let submitter = Some(Arc::clone(&bridge.submitter));
    let keeper =
        RelayKeeper::new(bridge.endpoints(), address, None, bitcoin, HeaderRules::MAINNET, submitter);
    let told = keeper.step().await.unwrap();
    assert!(matches!(told, Step::Told { epoch: 1, .. }), "{told:?}");
    bridge.proves(&mined, 0, 2).await;
}

#[tokio::test]
async fn from_difficulty_2_to_1_a_sweep_is_proven_by_3_headers() {
    let mined = MinedBlocks::read().unwrap();
    let chain = TestChain::start().unwrap();
    let relay = chain.deploy_test_relay().await.unwrap();
    let bridge = TwiceTheWork::new(chain, relay).await;
    let (chain, owner) = (&bridge.world.chain, bridge.world.governance);
    let current = TestRelay::setCurrentEpochDifficultyCall { difficulty: U256::from(1) };
    chain.send(owner, relay, &current).await.unwrap();
    let previous = TestRelay::setPrevEpochDifficultyCall { difficulty: U256::from(2) };
    chain.send(owner, relay, &previous).await.unwrap();
    bridge.proves(&mined, 1, 3).await;
}
