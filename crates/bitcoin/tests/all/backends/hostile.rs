//! One liar among servers: what is believed is what honest ones say, or nothing.

use std::{
    slice,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use bitcoin::{Amount, Network, OutPoint, Transaction, TxOut, Txid};
use coxswain_bitcoin::{
    Backend, BackendError, Backends, Endpoint, Expected, HeaderFile, Known, Limits, Output, chain::Start,
};
use coxswain_rules::{
    Assurance, Assured, MovingFundsProposal, Snapshot, UnsignedTransaction, WalletRecord,
    units::{Confirmations, Height},
    wallet_script,
};
use coxswain_testkit::{BitcoinLie, BitcoinServer, Regtest, Reply, Serving, Wallet};
use serde_json::json;

use crate::backends::conformance::{coin, first_output, mined, spend};

/// The height of the header that our chain starts from.
const START: Height = Height(150);

/// Regtest's, which never retargets: all of mainnet's checks but for that.
const RULES: coxswain_bitcoin::chain::HeaderRules = coxswain_bitcoin::chain::HeaderRules {
    limit: bitcoin::Target::MAX_ATTAINABLE_REGTEST,
    interval: std::num::NonZeroU32::MAX,
    spacing: coxswain_bitcoin::chain::HeaderRules::MAINNET.spacing,
};

/// When the chains' newest blocks have just been mined.
fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 250 * 60)
}

/// What is expected where headers have work: a chain of our own, from a block of this one.
pub(crate) fn with_chain(chain: &Regtest) -> Expected {
    let header = chain.blocks_from(START)[0].header;
    Expected {
        chain: Some((Start { height: START, header }, RULES)),
        clock,
        ..Expected::on(Network::Regtest)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Electrum,
    Core,
}

impl Kind {
    pub(super) async fn start(
        self,
        chain: &Regtest,
        serving: Serving,
        meet: impl Fn(&str, &serde_json::Value) -> Reply + Send + Sync + 'static,
    ) -> BitcoinServer {
        match self {
            Self::Electrum => BitcoinServer::electrum(chain, serving, meet).await.unwrap(),
            Self::Core => BitcoinServer::core(chain, serving, meet).await.unwrap(),
        }
    }
}

pub(super) fn serving() -> Serving {
    Serving { estimate: Some(0.000_1), ..Serving::default() }
}

/// Impatient, and with little room.
pub(super) fn endpoint(server: &BitcoinServer) -> Endpoint {
    let limits = Limits { answer: Duration::from_millis(1_500), bytes: 1 << 17, ..Limits::default() };
    Endpoint::new(server.url(), limits).unwrap()
}

/// A chain, and what is asked about it.
pub(super) struct Ground {
    pub(super) chain: Regtest,
    /// Deep, and unspent.
    deposit: Transaction,
    /// Spent by another transaction in a block.
    pub(super) spent: Transaction,
    /// Nobody has it.
    absent: Output,
}

impl Ground {
    pub(super) fn new() -> Self {
        let chain = Regtest::new();
        let [deposit, spent] = [1, 2].map(|number| mined(&chain, number, 50_000));
        chain.mine(&[spend(&spent, 2, coin(3, 40_000))]).unwrap();
        chain.mine_empty(10).unwrap();
        let mut absent = first_output(&deposit);
        absent.outpoint.txid = Txid::from_raw_hash(bitcoin::hashes::Hash::hash(b"nobody"));
        Self { chain, deposit, spent, absent }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![first_output(&self.deposit), first_output(&self.spent), self.absent.clone()]
    }

    pub(super) async fn honest(&self, kind: Kind) -> BitcoinServer {
        kind.start(&self.chain, serving(), |_, _| Reply::Forward).await
    }

    /// All that judging asks, but how it is known.
    async fn ask(&self, backends: &Backends) -> Facts {
        let outputs = self.outputs();
        let outpoints: Vec<_> = outputs.iter().map(|output| output.outpoint).collect();
        let known = |answer: Result<Assured<Option<Known>>, BackendError>| {
            let Assured { fact, assurance } = answer.ok()?;
            Some((fact.map(|known| known.confirmations), assurance))
        };
        let unspent = |answer: Result<Assured<bool>, BackendError>| {
            answer.ok().map(|Assured { fact, assurance }| (fact, assurance))
        };
        let mut facts = Facts::default();
        if let Ok(tip) = backends.tip().await {
            facts.tip = Some(tip.height);
        }
        if let Ok(answers) = backends.transactions(&outpoints).await {
            facts.known = answers.into_iter().map(known).collect();
        }
        if let Ok(answers) = backends.unspent(&outputs).await {
            facts.unspent = answers.into_iter().map(unspent).collect();
        }
        if let Ok(Assured { fact, assurance }) = backends.fees().await {
            let estimate = fact.next_block.map(|rate| rate.to_sat_per_kwu());
            facts.fees = Some((fact.relay_minimum.low.to_sat_per_kwu(), estimate, assurance));
        }
        facts
    }
}

/// What was told; `None` where it could not be.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    tip: Option<Height>,
    known: Vec<Option<(Option<Confirmations>, Assurance)>>,
    unspent: Vec<Option<(bool, Assurance)>>,
    fees: Option<(u64, Option<u64>, Assurance)>,
}

impl Facts {
    /// Whether all of it is what the other says, or could not be told. How it is known may differ.
    fn is_of(&self, honest: &Self) -> bool {
        let same = |told: &Option<(Option<Confirmations>, Assurance)>,
                    honest: &Option<(Option<Confirmations>, Assurance)>| {
            told.is_none_or(|(told, _)| Some(told) == honest.map(|(fact, _)| fact))
        };
        let spent = |told: &Option<(bool, Assurance)>, honest: &Option<(bool, Assurance)>| {
            told.is_none_or(|(told, _)| Some(told) == honest.map(|(fact, _)| fact))
        };
        self.tip.is_none_or(|tip| Some(tip) == honest.tip)
            && self.known.iter().zip(&honest.known).all(|(told, honest)| same(told, honest))
            && self.unspent.iter().zip(&honest.unspent).all(|(told, honest)| spent(told, honest))
            && self.fees.is_none_or(|(minimum, estimate, _)| {
                honest.fees.is_some_and(|honest| (minimum, estimate) == (honest.0, honest.1))
            })
    }

    /// Whether all could be told.
    fn is_whole(&self) -> bool {
        self.tip.is_some()
            && self.known.iter().all(Option::is_some)
            && self.unspent.iter().all(Option::is_some)
            && (self.known.len(), self.unspent.len()) == (3, 3)
            && self.fees.is_some()
    }

    fn weakest(&self) -> Option<Assurance> {
        let known = self.known.iter().flatten().map(|(_, assurance)| *assurance);
        let unspent = self.unspent.iter().flatten().map(|(_, assurance)| *assurance);
        known.chain(unspent).chain(self.fees.map(|(.., assurance)| assurance)).min()
    }
}

fn lies(ground: &Ground) -> Vec<BitcoinLie> {
    let spent = first_output(&ground.spent);
    vec![
        BitcoinLie::EasyChain,
        BitcoinLie::Absent,
        BitcoinLie::Unspent(spent.outpoint, spent.script),
        BitcoinLie::Spent,
        BitcoinLie::Fees(0.09),
        BitcoinLie::Fees(0.000_000_04),
        BitcoinLie::Huge(1 << 18),
        BitcoinLie::OneHeader,
        BitcoinLie::Garbage,
    ]
}

/// Where the honest answers are proven or agreed.
fn proven(facts: &Facts) -> [Option<Assurance>; 4] {
    let known = |item: usize| facts.known[item].map(|(_, assurance)| assurance);
    [known(0), known(2), facts.unspent[0].map(|(_, a)| a), facts.fees.map(|(.., a)| a)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_one_liar_of_three_changes_nothing_wherever_it_stands() {
    use Assurance::{Agreed, Proven};
    let ground = Ground::new();
    let honest = [
        ground.honest(Kind::Electrum).await,
        ground.honest(Kind::Core).await,
        ground.honest(Kind::Electrum).await,
    ];
    for expected in [with_chain(&ground.chain), Expected::on(Network::Regtest)] {
        let backends = Backends::new(honest.iter().map(endpoint).collect(), expected);
        let truth = ground.ask(&backends).await;
        assert!(truth.is_whole(), "{truth:?}");
        let best = if expected.chain.is_some() { Proven } else { Agreed };
        assert_eq!(proven(&truth), [Some(best), Some(Agreed), Some(Agreed), Some(Agreed)]);

        for (number, lie) in lies(&ground).into_iter().enumerate() {
            for kind in [Kind::Electrum, Kind::Core] {
                // Each lie at two places, so that each place has each kind of liar.
                let place = (number + usize::from(kind == Kind::Core)) % 3;
                let liar = kind.start(&ground.chain, serving(), lie.clone().meet(&ground.chain)).await;
                let mut endpoints: Vec<_> = honest.iter().take(2).map(endpoint).collect();
                endpoints.insert(place, endpoint(&liar));
                let backends = Backends::new(endpoints, expected);
                let told = ground.ask(&backends).await;
                assert!(told.is_of(&truth) && told.is_whole(), "{lie:?} by {kind:?}: {told:?}");
                assert_eq!(proven(&told), proven(&truth), "{lie:?} by {kind:?}");
                // Who says what isn't so is named, and nobody else.
                let name = format!("127.0.0.1:{}", liar.url().port().unwrap());
                let named: Vec<_> = backends.dissents().into_iter().map(|dissent| dissent.endpoint).collect();
                let is_silent = matches!(lie, BitcoinLie::Huge(_) | BitcoinLie::OneHeader);
                // Without work, a height that nobody else has is no fault that shows; and from a node, headers that don't stand on
                // each other may be of two moments.
                let is_easy = lie == BitcoinLie::EasyChain;
                let may_hide = is_easy && (expected.chain.is_none() || kind == Kind::Core);
                assert!(named.iter().all(|named| *named == name), "{lie:?} by {kind:?}: {named:?}");
                assert!(is_silent || may_hide || named.len() == 1, "{lie:?} by {kind:?}: {named:?}");
                // Who shows what no honest server does is named.
                if let BitcoinLie::EasyChain | BitcoinLie::Huge(_) | BitcoinLie::Garbage = lie {
                    let of_liar = |health: &coxswain_bitcoin::Health| health.endpoint == name;
                    for health in backends.health().await {
                        let is_sound = health.problem.is_none();
                        let may_hide = is_easy && expected.chain.is_none();
                        assert!(is_sound != of_liar(&health) || may_hide, "{lie:?} by {kind:?}: {health:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inc_47_a_liar_of_two_makes_it_undecided_and_one_alone_is_a_word() {
    let ground = Ground::new();
    let honest = ground.honest(Kind::Core).await;
    let expected = with_chain(&ground.chain);
    let alone = ground.ask(&Backends::new(vec![endpoint(&honest)], expected)).await;
    assert!(alone.is_whole() && alone.weakest() == Some(Assurance::Word), "{alone:?}");
    assert_eq!(proven(&alone)[0], Some(Assurance::Proven), "a branch is a branch, whoever shows it");
    for lie in lies(&ground) {
        let liar = Kind::Electrum.start(&ground.chain, serving(), lie.clone().meet(&ground.chain)).await;
        for turned in [false, true] {
            let mut endpoints = vec![endpoint(&liar), endpoint(&honest)];
            if turned {
                endpoints.reverse();
            }
            let told = ground.ask(&Backends::new(endpoints, expected)).await;
            assert!(told.is_of(&alone), "{lie:?}: {told:?}");
        }
        let told = ground.ask(&Backends::new(vec![endpoint(&liar)], expected)).await;
        // What one says alone is never called more than its word, unless it is proven, and then it is true.
        for (told, honest) in told.known.iter().zip(&alone.known) {
            if let Some((fact, Assurance::Agreed | Assurance::Proven)) = told {
                assert_eq!(Some(*fact), honest.map(|(fact, _)| fact), "{lie:?}");
            }
        }
        assert!(told.unspent.iter().flatten().all(|(_, assurance)| *assurance == Assurance::Word), "{lie:?}");
    }
}

#[tokio::test]
async fn inc_47_a_server_that_never_answers_costs_its_time_limit_and_nothing_else() {
    let ground = Ground::new();
    let honest = [ground.honest(Kind::Electrum).await, ground.honest(Kind::Core).await];
    let slow = Kind::Electrum.start(&ground.chain, serving(), BitcoinLie::Slow.meet(&ground.chain)).await;
    let endpoints = vec![endpoint(&slow), endpoint(&honest[0]), endpoint(&honest[1])];
    let backends = Backends::new(endpoints, with_chain(&ground.chain));
    assert!(ground.ask(&backends).await.is_whole());
    // It was asked once, and once more: then it rests.
    let twice = ["server.version", "blockchain.block.header"].repeat(2);
    assert_eq!(slow.methods(), twice);
    let problem = backends.health().await[0].problem.clone();
    assert_eq!(problem.map(|problem| problem.kind()), Some("timed-out"));
}

#[tokio::test]
async fn inc_47_a_server_on_a_branch_or_behind_has_no_vote() {
    let ground = Ground::new();
    let deep = ground.chain.fork();
    // It leaves two blocks down, and has less work than what the chain comes to.
    deep.reorganize(2, &[]).unwrap();
    let shallow = ground.chain.fork();
    ground.chain.mine_empty(3).unwrap();
    let honest = [ground.honest(Kind::Electrum).await, ground.honest(Kind::Core).await];
    for (chain, kind) in [(&deep, "forked"), (&shallow, "behind")] {
        let liar = Kind::Electrum.start(chain, serving(), |_, _| Reply::Forward).await;
        let endpoints = vec![endpoint(&liar), endpoint(&honest[0]), endpoint(&honest[1])];
        let backends = Backends::new(endpoints, with_chain(&ground.chain));
        assert_eq!(backends.tip().await.unwrap().height, ground.chain.height());
        let problem = backends.health().await[0].problem.clone();
        assert_eq!(problem.map(|problem| problem.kind()), Some(kind));
    }
    // One that leaves two blocks down, and one that is two blocks behind, are as good as any.
    let near =
        Kind::Electrum.start(&ground.chain, Serving { behind: 2, ..serving() }, |_, _| Reply::Forward).await;
    let endpoints = vec![endpoint(&near), endpoint(&honest[0])];
    let backends = Backends::new(endpoints, with_chain(&ground.chain));
    assert!(ground.ask(&backends).await.is_whole());
}

/// One honest server that has seen the spender outweighs two that haven't.
#[tokio::test]
async fn inc_47_a_spender_in_a_block_wins_over_those_that_say_unspent() {
    let ground = Ground::new();
    let spent = first_output(&ground.spent);
    let lie = BitcoinLie::Unspent(spent.outpoint, spent.script.clone());
    for kind in [Kind::Electrum, Kind::Core] {
        let honest = ground.honest(kind).await;
        let liars = [
            Kind::Electrum.start(&ground.chain, serving(), lie.clone().meet(&ground.chain)).await,
            Kind::Core.start(&ground.chain, serving(), lie.clone().meet(&ground.chain)).await,
        ];
        let endpoints = vec![endpoint(&liars[0]), endpoint(&liars[1]), endpoint(&honest)];
        let backends = Backends::new(endpoints, with_chain(&ground.chain));
        let answers = backends.unspent(slice::from_ref(&spent)).await.unwrap();
        assert_eq!(answers, [Ok(Assured { fact: false, assurance: Assurance::Proven })], "{kind:?}");
    }
}

/// A wallet's main UTXO, mined, and a transaction of the wallet that spends it.
pub(super) fn wallets_own(chain: &Regtest) -> (Output, Transaction) {
    let wallet = Wallet::from_seed(1);
    let script = wallet_script(wallet.key_hash());
    let paid = TxOut { value: Amount::from_sat(1_000_000), script_pubkey: script.clone() };
    let funding = chain.pay(&[paid]).unwrap();
    chain.mine(slice::from_ref(&funding)).unwrap();
    let outpoint = OutPoint::new(funding.compute_txid(), 0);
    let utxo = coxswain_rules::Utxo { outpoint, value: Amount::from_sat(1_000_000) };
    let (key_hash, target) = (wallet.key_hash(), Wallet::from_seed(2).key_hash());
    let record = WalletRecord {
        main_utxo_hash: coxswain_rules::main_utxo_hash(&utxo),
        pending_redemptions_value: Amount::ZERO,
        moving_funds_requested_at: 0,
        pending_moved_funds_sweep_requests_count: 0,
        state: coxswain_rules::WalletState::MovingFunds,
        moving_funds_target_wallets_commitment_hash: Default::default(),
    };
    let snapshot = Snapshot { wallets: [(key_hash, record)].into(), ..Snapshot::default() };
    let proposal = MovingFundsProposal { targets: vec![target], fee: Amount::from_sat(2_000) };
    let unsigned = UnsignedTransaction::moving_funds(&snapshot, key_hash, &proposal, utxo).unwrap();
    (Output { outpoint, script }, wallet.sign(&unsigned).unwrap())
}

/// One honest server that has seen the spender in its mempool outweighs two that haven't: the wallet's own signature proves it.
#[tokio::test]
async fn inc_47_a_spender_in_a_mempool_wins_if_its_owner_has_signed_it() {
    for kind in [Kind::Electrum, Kind::Core] {
        let ground = Ground::new();
        let (output, spender) = wallets_own(&ground.chain);
        let behind = ground.chain.fork();
        ground.chain.broadcast(&spender).unwrap();
        let honest = ground.honest(kind).await;
        let others = [
            Kind::Electrum.start(&behind, serving(), |_, _| Reply::Forward).await,
            Kind::Core.start(&behind, serving(), |_, _| Reply::Forward).await,
        ];
        for expected in [with_chain(&ground.chain), Expected::on(Network::Regtest)] {
            for place in 0..3 {
                let mut endpoints: Vec<_> = others.iter().map(endpoint).collect();
                endpoints.insert(place, endpoint(&honest));
                let backends = Backends::new(endpoints, expected);
                let answers = backends.unspent(slice::from_ref(&output)).await.unwrap();
                let proven = Assured { fact: false, assurance: Assurance::Proven };
                assert_eq!(answers, [Ok(proven)], "{kind:?} at {place}");
            }
        }
    }
}

/// What a liar shows for a spender decides nothing, unless the output's owner has signed it away.
#[tokio::test]
async fn inc_47_a_spender_that_is_made_up_decides_nothing() {
    let ground = Ground::new();
    let (output, spender) = wallets_own(&ground.chain);
    let mut unsigned = spender.clone();
    unsigned.input[0].witness.clear();
    let mut changed = spender.clone();
    changed.output[0].value = Amount::from_sat(1);
    let mut elsewhere = spender.clone();
    elsewhere.input[0].previous_output.vout = 1;
    let mut waiting = spender;
    waiting.lock_time = bitcoin::absolute::LockTime::from_height(ground.chain.height().0 + 100).unwrap();
    waiting.input[0].sequence = bitcoin::Sequence::ENABLE_RBF_NO_LOCKTIME;
    let honest = [ground.honest(Kind::Electrum).await, ground.honest(Kind::Core).await];
    for made_up in [unsigned, changed, elsewhere, waiting] {
        for kind in [Kind::Electrum, Kind::Core] {
            let lie = BitcoinLie::Spender(output.outpoint, output.script.clone(), made_up.clone());
            let liar = kind.start(&ground.chain, serving(), lie.meet(&ground.chain)).await;
            for expected in [with_chain(&ground.chain), Expected::on(Network::Regtest)] {
                for place in 0..3 {
                    let mut endpoints: Vec<_> = honest.iter().map(endpoint).collect();
                    endpoints.insert(place, endpoint(&liar));
                    let backends = Backends::new(endpoints, expected);
                    let answers = backends.unspent(slice::from_ref(&output)).await.unwrap();
                    let agreed = Assured { fact: true, assurance: Assurance::Agreed };
                    assert_eq!(answers, [Ok(agreed)], "{kind:?} at {place}");
                }
            }
            // The liar was asked for its proof, and showed what it had.
            let methods = liar.methods();
            let shown = ["blockchain.scripthash.get_history", "getrawtransaction"];
            assert!(methods.iter().any(|method| shown.contains(&method.as_str())), "{methods:?}");
        }
    }
}

/// Servers of one host are one voice.
#[tokio::test]
async fn inc_47_a_liar_with_many_ports_of_one_host_is_one_server() {
    let ground = Ground::new();
    let honest = ground.honest(Kind::Core).await;
    let spent = BitcoinLie::Spent;
    let liars = [
        Kind::Electrum.start(&ground.chain, serving(), spent.clone().meet(&ground.chain)).await,
        Kind::Electrum.start(&ground.chain, serving(), spent.meet(&ground.chain)).await,
    ];
    let output = first_output(&ground.deposit);
    let endpoints = || vec![endpoint(&liars[0]), endpoint(&liars[1]), endpoint(&honest)];
    let by_port = Backends::new(endpoints(), with_chain(&ground.chain));
    assert_eq!(by_port.quorum(), Some((3, 2)));
    let one = Expected { loopback_is_one: true, ..with_chain(&ground.chain) };
    let by_host = Backends::new(endpoints(), one);
    assert_eq!(by_host.quorum(), Some((1, 1)));
    let lie = by_port.unspent(slice::from_ref(&output)).await.unwrap();
    assert_eq!(lie, [Ok(Assured { fact: false, assurance: Assurance::Agreed })], "two of three are too many");
    let lie = by_host.unspent(&[output]).await.unwrap();
    assert_eq!(lie, [Ok(Assured { fact: false, assurance: Assurance::Word })]);
}

static NOW: AtomicU64 = AtomicU64::new(0);

fn moving_clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::Relaxed))
}

#[tokio::test]
async fn inc_24_a_chain_that_is_old_or_slow_decides_nothing() {
    let ground = Ground::new();
    let honest = ground.honest(Kind::Core).await;
    let tip = ground.chain.blocks_from(ground.chain.height())[0].header.time;
    let expected = Expected { clock: moving_clock, ..with_chain(&ground.chain) };
    let backends = Backends::new(vec![endpoint(&honest)], expected);
    for (age, is_fresh) in [(3 * 3600, true), (3 * 3600 + 1, false)] {
        NOW.store(u64::from(tip) + age, Ordering::Relaxed);
        let outcome = backends.fees().await;
        assert_eq!(
            outcome.as_ref().err().map(BackendError::kind),
            (!is_fresh).then_some("stale"),
            "{outcome:?}"
        );
    }
}

/// What is kept is not asked for again, and what somebody has written into it is not believed.
#[tokio::test]
async fn headers_are_kept_in_a_file_that_is_checked_when_it_is_read() {
    let ground = Ground::new();
    ground.chain.mine_empty(30).unwrap();
    let honest = ground.honest(Kind::Electrum).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coxswain").join("headers");
    let open = || {
        let file = Box::new(HeaderFile::new(path.clone()));
        Backends::keeping(vec![endpoint(&honest)], with_chain(&ground.chain), file)
    };
    let first_asked = || {
        let params = honest.asked();
        params
            .into_iter()
            .find(|(method, _)| method == "blockchain.block.headers")
            .map(|(_, params)| params[0].clone())
    };
    let tip = open().tip().await.unwrap();
    assert_eq!((tip.height, first_asked()), (ground.chain.height(), Some(json!(START))));
    let kept = std::fs::read(&path).unwrap();
    // All but the newest six.
    assert_eq!(kept.len(), 80 * usize::try_from(ground.chain.height().0 - START.0 - 6).unwrap());

    let asked_before = honest.asked().len();
    assert_eq!(open().tip().await.unwrap(), tip);
    let later = honest.asked().into_iter().skip(asked_before);
    let starts: Vec<_> =
        later.filter(|(method, _)| method == "blockchain.block.headers").map(|(_, p)| p[0].clone()).collect();
    assert_eq!(starts, [json!(ground.chain.height().0 - 6)]);

    // Torn off, turned over, of another chain, or not there: the chain is the same, and the file is right again.
    let mut flipped = kept.clone();
    flipped[80 * 20] ^= 1;
    let mut torn = kept.clone();
    torn.truncate(80 * 30 + 13);
    for bytes in [flipped, torn, vec![7; 1_000], Vec::new()] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(open().tip().await.unwrap(), tip);
        assert_eq!(std::fs::read(&path).unwrap(), kept);
    }
}
