//! The relay keeper on real light relays: mainnet's own retargets, and relays that are left alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::primitives::Address;
use bitcoin::{block::Header, consensus::encode};
use coxswain_bindings::{LightRelay, LightRelayMaintainerProxy, relay::LightRelay as relay};
use coxswain_bitcoin::{
    chain::HeaderRules,
    spv::{EPOCH, RetargetError},
};
use coxswain_ethereum::{
    Account, Endpoints,
    submit::{SubmitError, Submitter, Terms},
};
use coxswain_maintainer::{DifficultyError, RelayKeeper, Step};
use coxswain_rules::units::{Blocks, Height};
use coxswain_testkit::{FaultyEndpoint, RecordedRetarget, Reply, TestChain};

use crate::easy::{EASY, Headers, easy_epochs};

/// Mainnet's retargets: the old epoch's first header with its height, and the headers that are recorded.
fn retargets() -> Vec<(Height, Headers)> {
    let read = |RecordedRetarget { first_of_old_epoch, headers }: RecordedRetarget| {
        let (start, _) = first_of_old_epoch;
        (start, Headers(headers.into_iter().chain([first_of_old_epoch]).collect()))
    };
    RecordedRetarget::all().into_iter().map(read).collect()
}

/// A relay, and an account that tells it.
struct Kept {
    chain: TestChain,
    relay: Address,
    proxy: Address,
    account: Account,
}

impl Kept {
    /// A relay whose first epoch begins with this header.
    async fn new(start: Height, first: &Header, proof_length: u64) -> Self {
        let chain = TestChain::start().unwrap();
        let (relay, proxy) = chain.deploy_light_relay().await.unwrap();
        let genesis = relay::genesisCall {
            genesisHeader: encode::serialize(first).into(),
            genesisHeight: alloy::primitives::U256::from(start.0),
            genesisProofLength: proof_length,
        };
        chain.send(chain.account(0).unwrap(), relay, &genesis).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        coxswain_testkit::write_private(&file, include_str!("../keystores/first.json")).unwrap();
        let account = Account::from_keystore(&file, "correct horse").unwrap();
        chain.fund(account.address()).await.unwrap();
        Self { chain, relay, proxy, account }
    }

    fn keeper(
        &self,
        bitcoin: Headers,
        rules: HeaderRules,
        proxy: Option<Address>,
    ) -> RelayKeeper<Headers, ()> {
        let endpoints = Endpoints::new(self.chain.url()).unwrap();
        let terms = Terms { depth: Blocks(0), poll: Duration::from_millis(50), ..Terms::default() };
        let submitter = Submitter::new(endpoints.clone(), self.account.clone(), 31_337, terms, (), &[]);
        RelayKeeper::new(endpoints, self.relay, proxy, bitcoin, rules, Some(submitter.into()))
    }

    async fn epoch(&self) -> u32 {
        let epoch = self.chain.rpc().call(self.relay, &LightRelay::currentEpochCall).await.unwrap();
        epoch.try_into().unwrap()
    }

    async fn transactions(&self) -> u64 {
        self.chain.rpc().number("eth_getTransactionCount", (self.account.address(), "latest")).await.unwrap()
    }

    async fn as_owner(&self, to: Address, call: &impl alloy::sol_types::SolCall) {
        self.chain.send(self.chain.account(0).unwrap(), to, call).await.unwrap();
    }
}

#[tokio::test]
async fn mainnets_retargets_are_told_to_a_real_relay_directly_and_by_its_proxy() {
    for ((start, bitcoin), (length, by_proxy)) in retargets().into_iter().zip([(9, false), (6, true)]) {
        let kept = Kept::new(start, &bitcoin.0[&start], length.into()).await;
        let boundary = start.saturating_add(EPOCH);
        // The tip is where the recorded headers end: all that is asked for is there.
        assert!(bitcoin.0.last_key_value().unwrap().0 >= &boundary.saturating_add(length - 1));
        let proxy = by_proxy.then_some(kept.proxy);
        let keeper = |bitcoin| kept.keeper(bitcoin, HeaderRules::MAINNET, proxy);
        if by_proxy {
            let account = kept.account.address();
            let refused = keeper(bitcoin.clone()).step().await.unwrap_err();
            assert!(matches!(refused, DifficultyError::Unauthorised(who) if who == account), "{refused}");
            let call = LightRelayMaintainerProxy::authorizeCall { maintainer: account };
            kept.as_owner(kept.proxy, &call).await;
            // The relay may want the proxy itself to be authorised, too.
            kept.as_owner(kept.relay, &relay::setAuthorizationStatusCall { status: true }).await;
            let refused = keeper(bitcoin.clone()).step().await.unwrap_err();
            assert!(matches!(refused, DifficultyError::Unauthorised(who) if who == kept.proxy), "{refused}");
            kept.as_owner(kept.relay, &relay::authorizeCall { submitter: kept.proxy }).await;
        }
        // With any header changed by one bit nothing is sent. (Each of the bits: where the check itself is tested.)
        for index in 0..2 * length {
            let height = boundary.saturating_sub(length).saturating_add(index);
            let mut changed = bitcoin.clone();
            changed.0.get_mut(&height).unwrap().nonce ^= 1 << (index % 32);
            let refused = keeper(changed).step().await.unwrap_err();
            assert!(matches!(refused, DifficultyError::Proof(RetargetError::Headers(_))), "{refused}");
        }
        // Nor before the last header is there.
        let mut early = bitcoin.clone();
        early.0.retain(|height, _| *height < boundary.saturating_add(length - 1));
        let waiting = keeper(early).step().await.unwrap();
        assert!(matches!(waiting, Step::WaitingForBlocks(1)), "{waiting:?}");
        assert_eq!((kept.epoch().await, kept.transactions().await), (start.0 / EPOCH, 0));

        let told = keeper(bitcoin.clone()).step().await.unwrap();
        assert!(matches!(told, Step::Told { epoch, .. } if epoch == boundary.0 / EPOCH), "{told:?}");
        assert_eq!((kept.epoch().await, kept.transactions().await), (boundary.0 / EPOCH, 1));
        let idle = keeper(bitcoin).step().await.unwrap();
        assert!(matches!(idle, Step::UpToDate), "{idle:?}");
    }
}

#[tokio::test]
async fn a_relay_that_counts_no_epochs_or_has_none_yet_is_left_alone() {
    let bitcoin = easy_epochs(10, 1, 1);
    let kept = Kept::new(Height(10 * EPOCH), &bitcoin.0[&Height(10 * EPOCH)], 1).await;
    let (other, _) = kept.chain.deploy_light_relay().await.unwrap();
    let endpoints = Endpoints::new(kept.chain.url()).unwrap();
    for relay in [other, kept.chain.deploy_test_relay().await.unwrap()] {
        let keeper: RelayKeeper<_, ()> =
            RelayKeeper::new(endpoints.clone(), relay, None, bitcoin.clone(), EASY, None);
        assert!(matches!(keeper.step().await.unwrap(), Step::NotApplicable));
    }
    // Without a key it says what it would send.
    let keeper: RelayKeeper<_, ()> = RelayKeeper::new(endpoints, kept.relay, None, bitcoin, EASY, None);
    assert!(matches!(keeper.step().await.unwrap(), Step::Ready(_)));
}

#[tokio::test]
async fn inc_42_a_relay_three_epochs_behind_is_caught_up_and_one_that_is_told_by_others_is_no_failure() {
    let bitcoin = easy_epochs(10, 3, 2);
    let kept = Kept::new(Height(10 * EPOCH), &bitcoin.0[&Height(10 * EPOCH)], 2).await;
    let relay = kept.chain.deploy_easy_relay(10, 2).await.unwrap();
    let kept = Kept { relay, ..kept };
    let keeper = kept.keeper(bitcoin.clone(), EASY, None);
    for expected in 11..=13 {
        let told = keeper.step().await.unwrap();
        assert!(matches!(told, Step::Told { epoch, .. } if epoch == expected), "{told:?}");
        assert_eq!((kept.epoch().await, keeper.epoch().await), (expected, Some(expected)));
    }
    assert!(matches!(keeper.step().await.unwrap(), Step::UpToDate));
    assert_eq!(kept.transactions().await, 3);

    // Headers of which one is changed are not even tried.
    let kept = Kept { relay: kept.chain.deploy_easy_relay(10, 2).await.unwrap(), ..kept };
    let mut changed = bitcoin;
    changed.0.get_mut(&Height(11 * EPOCH)).unwrap().time += 1;
    let refused = kept.keeper(changed, EASY, None).step().await.unwrap_err();
    assert!(matches!(refused, DifficultyError::Proof(_)), "{refused}");
    assert_eq!((kept.epoch().await, kept.transactions().await), (10, 3));
}

#[tokio::test]
async fn inc_42_a_retarget_that_is_swallowed_is_noticed_and_another_that_was_faster_is_no_failure() {
    let bitcoin = easy_epochs(10, 2, 2);
    let kept = Kept::new(Height(10 * EPOCH), &bitcoin.0[&Height(10 * EPOCH)], 2).await;
    let relay = kept.chain.deploy_easy_relay(10, 2).await.unwrap();
    let kept = Kept { relay, ..kept };
    // A server that says that it takes transactions, and drops them.
    let swallows = Arc::new(AtomicBool::new(true));
    let (swallowing, upstream) = (Arc::clone(&swallows), kept.chain.url());
    let faulty = FaultyEndpoint::start(upstream, move |method| match method {
        "eth_sendRawTransaction" if swallowing.load(Ordering::SeqCst) => {
            Reply::Result(serde_json::json!(alloy::primitives::B256::ZERO))
        }
        _ => Reply::Forward,
    });
    let faulty = faulty.await.unwrap();
    let endpoints = Endpoints::new(faulty.url().clone()).unwrap();
    let terms = Terms {
        depth: Blocks(0),
        poll: Duration::from_millis(20),
        bump_after: Duration::from_millis(200),
        patience: Duration::from_secs(2),
        ..Terms::default()
    };
    let account = kept.account.clone();
    let submitter = Arc::new(Submitter::new(endpoints.clone(), account, 31_337, terms, (), &[]));
    let keeper =
        RelayKeeper::new(endpoints, relay, None, bitcoin.clone(), EASY, Some(Arc::clone(&submitter)));
    let lost = keeper.step().await.unwrap_err();
    assert!(matches!(lost, DifficultyError::Submit(SubmitError::NotMined(_))), "{lost}");
    assert_eq!((kept.epoch().await, kept.transactions().await), (10, 0));

    // The nonce is free for what follows, be it the same.
    swallows.store(false, Ordering::SeqCst);
    assert!(matches!(keeper.step().await.unwrap(), Step::Told { epoch: 11, .. }));
    assert_eq!((kept.epoch().await, kept.transactions().await), (11, 1));

    // While it waits, another tells the epoch: then it is told, and ours is replaced.
    swallows.store(true, Ordering::SeqCst);
    let other = async {
        let retarget = relay::retargetCall { headers: vec![0; 320].into() };
        kept.as_owner(relay, &retarget).await;
    };
    let (step, ()) = tokio::join!(keeper.step(), other);
    // Ours comes to nothing, which is noticed in time.
    assert!(
        matches!(
            step,
            Ok(Step::ToldByOthers | Step::UpToDate) | Err(DifficultyError::Submit(SubmitError::NotMined(_)))
        ),
        "{step:?}"
    );
    swallows.store(false, Ordering::SeqCst);
    assert!(matches!(keeper.step().await.unwrap(), Step::UpToDate));
}
