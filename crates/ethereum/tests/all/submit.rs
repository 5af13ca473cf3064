//! Transactions of an account, on a chain that drops them, keeps them waiting, or changes its mind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, Bytes, U256, hex},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionReceipt,
};
use coxswain_ethereum::{
    Account, Endpoints,
    submit::{Call, Sent, SentLog, SubmitError, Submitter, Terms, Unrecorded},
};
use coxswain_rules::units::Blocks;
use coxswain_testkit::TestChain;
use tokio::sync::watch;

/// Private key 0x11…11.
const FILE: &str = include_str!("../keystore.json");
const TARGET: Address = Address::repeat_byte(0x77);
/// Code that reverts with nothing.
const REVERTS: &[u8] = &hex!("5f5ffd");

/// Keeps what is sent, and may fail.
#[derive(Debug, Default)]
struct Log {
    sent: watch::Sender<Vec<Sent>>,
    full: bool,
}

impl SentLog for Log {
    async fn record(&self, sent: &Sent) -> Result<(), Unrecorded> {
        if self.full {
            return Err(Unrecorded("no space".to_owned()));
        }
        self.sent.send_modify(|all| all.push(sent.clone()));
        Ok(())
    }
}

impl Log {
    fn sent(&self) -> Vec<Sent> {
        self.sent.borrow().clone()
    }

    /// Waits until what was sent is so.
    async fn until(&self, holds: impl Fn(&[Sent]) -> bool) -> Vec<Sent> {
        self.sent.subscribe().wait_for(|sent| holds(sent)).await.unwrap().clone()
    }
}

struct Bench {
    chain: TestChain,
    account: Account,
    log: Log,
    terms: Terms,
}

impl Bench {
    /// A chain that mines when it is told to, and an account with money.
    async fn new() -> Self {
        let chain = TestChain::start().unwrap();
        chain.provider().anvil_set_auto_mine(false).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        coxswain_testkit::write_private(&file, FILE).unwrap();
        let account = Account::from_keystore(&file, "correct horse").unwrap();
        chain.fund(account.address()).await.unwrap();
        let terms = Terms {
            bump_after: Duration::from_millis(300),
            patience: Duration::from_secs(30),
            poll: Duration::from_millis(30),
            depth: Blocks(1),
            ..Terms::default()
        };
        Self { chain, account, log: Log::default(), terms }
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.chain.endpoint().parse().unwrap()).unwrap()
    }

    fn submitter(&self, terms: Terms) -> Submitter<&Log> {
        let recorded = self.log.sent();
        Submitter::new(self.endpoints(), self.account.clone(), 31_337, terms, &self.log, &recorded)
    }

    /// Waits until so many were signed.
    async fn signed(&self, count: usize) -> Vec<Sent> {
        self.log.until(|sent| sent.len() >= count).await
    }

    async fn mine(&self, blocks: u64) {
        self.chain.mine(blocks).await.unwrap();
    }

    /// Mines from now on, a block every second.
    async fn mine_on(&self) {
        self.chain.provider().anvil_set_interval_mining(1).await.unwrap();
    }

    async fn receipt(&self, hash: B256) -> Option<TransactionReceipt> {
        self.chain.provider().get_transaction_receipt(hash).await.unwrap()
    }

    async fn nonce(&self) -> u64 {
        self.chain.provider().get_transaction_count(self.account.address()).await.unwrap()
    }
}

fn call(number: u8) -> Call {
    Call { to: TARGET, input: Bytes::from(vec![number]) }
}

#[tokio::test]
async fn a_call_is_recorded_sent_mined_and_waited_for_until_it_is_deep() {
    let bench = Bench::new().await;
    let submitter = bench.submitter(Terms { bump_after: Duration::from_secs(20), ..bench.terms });
    let work = async {
        let sent = bench.signed(1).await;
        while bench.receipt(sent[0].hash).await.is_none() {
            bench.mine(1).await;
        }
        bench.mine(1).await;
    };
    let call = call(1);
    let (mined, ()) = tokio::join!(submitter.send(&call), work);
    let mined = mined.unwrap();
    let [sent] = bench.log.sent().try_into().unwrap();
    assert_eq!((sent.nonce, sent.hash), (0, mined.hash));
    let transaction = bench.chain.provider().get_transaction_by_hash(mined.hash).await.unwrap().unwrap();
    assert_eq!(transaction.inner.signer(), bench.account.address());
    assert!(mined.gas_used > 21_000 && mined.gas_price > 0);
}

#[tokio::test]
async fn inc_42_what_would_revert_is_not_sent_and_what_reverts_is_told() {
    let bench = Bench::new().await;
    let submitter = bench.submitter(bench.terms);
    bench.chain.provider().anvil_set_code(TARGET, Bytes::from(REVERTS)).await.unwrap();
    let refused = submitter.send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::WouldRevert(_)), "{refused}");
    assert_eq!(bench.log.sent(), []);

    // It changes its mind in the block that takes the call in.
    bench.chain.provider().anvil_set_code(TARGET, Bytes::new()).await.unwrap();
    let submitter = bench.submitter(Terms { bump_after: Duration::from_secs(20), ..bench.terms });
    let work = async {
        let sent = bench.signed(1).await;
        while bench.chain.provider().get_transaction_by_hash(sent[0].hash).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bench.chain.provider().anvil_set_code(TARGET, Bytes::from(REVERTS)).await.unwrap();
        bench.mine(1).await;
    };
    let call = call(2);
    let (outcome, ()) = tokio::join!(submitter.send(&call), work);
    assert!(matches!(outcome, Err(SubmitError::Reverted(_))), "{outcome:?}");
    // The nonce is used up, and the next call follows.
    bench.chain.provider().anvil_set_code(TARGET, Bytes::new()).await.unwrap();
    bench.mine_on().await;
    submitter.send(&call).await.unwrap();
    assert_eq!(bench.nonce().await, 2);
}

#[tokio::test]
async fn inc_42_what_is_dropped_or_waits_is_replaced_with_a_higher_fee() {
    let bench = Bench::new().await;
    let submitter = bench.submitter(bench.terms);
    let work = async {
        let sent = bench.signed(1).await;
        bench.chain.provider().anvil_drop_transaction(sent[0].hash).await.unwrap();
        bench.signed(3).await;
        bench.mine_on().await;
    };
    let call = call(1);
    let (mined, ()) = tokio::join!(submitter.send(&call), work);
    let mined = mined.unwrap();
    let sent = bench.log.sent();
    assert!(sent.iter().all(|sent| sent.nonce == 0) && sent.len() >= 3);
    assert!(sent.is_sorted_by(|a, b| a.max_fee * 11 <= b.max_fee * 10 && a.tip * 11 <= b.tip * 10));
    assert!(sent[1..].iter().any(|sent| sent.hash == mined.hash));
    assert_eq!(bench.nonce().await, 1, "once, however often it was sent");
}

#[tokio::test]
async fn inc_42_what_would_revert_by_now_is_replaced_by_an_empty_transfer() {
    let bench = Bench::new().await;
    let submitter = bench.submitter(bench.terms);
    let work = async {
        bench.signed(1).await;
        bench.chain.provider().anvil_set_code(TARGET, Bytes::from(REVERTS)).await.unwrap();
        let sent = bench.log.until(|sent| sent.last().is_some_and(|sent| sent.call.is_none())).await;
        bench.mine_on().await;
        sent
    };
    let call = call(1);
    let (outcome, sent) = tokio::join!(submitter.send(&call), work);
    assert!(matches!(outcome, Err(SubmitError::WouldRevert(_))), "{outcome:?}");
    assert_eq!(bench.nonce().await, 1);
    // No transaction of the account reverted.
    for sent in sent {
        assert!(bench.receipt(sent.hash).await.is_none_or(|receipt| receipt.status()));
    }
}

#[tokio::test]
async fn inc_42_a_nonce_that_is_given_up_never_blocks_what_follows() {
    let bench = Bench::new().await;
    let impatient = Terms { patience: Duration::from_millis(500), ..bench.terms };
    let submitter = bench.submitter(impatient);
    let stuck = submitter.send(&call(1)).await.unwrap_err();
    assert!(matches!(stuck, SubmitError::NotMined(_)), "{stuck}");
    let before = bench.log.sent();
    bench.mine_on().await;
    // The nonce goes to the next, or the first is mined after all and the next has the nonce behind it.
    let submitter = bench.submitter(bench.terms);
    let mined = submitter.send(&call(2)).await.unwrap();
    let sent = bench.log.sent();
    assert!(!before.iter().any(|sent| sent.hash == mined.hash));
    let same_nonce = sent.iter().find(|sent| sent.hash == mined.hash).unwrap().nonce == 0;
    let first_mined = {
        let mut mined = false;
        for sent in &before {
            mined |= bench.receipt(sent.hash).await.is_some();
        }
        mined
    };
    assert_ne!(same_nonce, first_mined);
    assert_eq!(bench.nonce().await, if same_nonce { 1 } else { 2 });
}

#[tokio::test]
async fn inc_42_a_program_that_was_killed_replaces_what_it_may_have_sent() {
    let bench = Bench::new().await;
    // Signed and recorded, and killed before it was sent; or after. No two proofs come of it.
    for round in 0..2 {
        let nonce = bench.nonce().await;
        let submitter = bench.submitter(Terms { patience: Duration::from_millis(100), ..bench.terms });
        let stuck = submitter.send(&call(round)).await.unwrap_err();
        assert!(matches!(stuck, SubmitError::NotMined(_)), "{stuck}");
        if round == 0 {
            for sent in bench.log.sent() {
                bench.chain.provider().anvil_drop_transaction(sent.hash).await.unwrap();
            }
        }
        drop(submitter);
        let submitter = bench.submitter(bench.terms);
        bench.mine_on().await;
        submitter.send(&call(round)).await.unwrap();
        bench.chain.provider().anvil_set_interval_mining(0).await.unwrap();
        assert_eq!(bench.nonce().await, nonce + 1, "round {round}: one transaction, not two");
    }
}

#[tokio::test]
async fn inc_46_what_cannot_be_recorded_is_not_sent() {
    let mut bench = Bench::new().await;
    bench.log.full = true;
    let refused = bench.submitter(bench.terms).send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Unrecorded(_)), "{refused}");
    let waiting = bench.chain.provider().get_transaction_count(bench.account.address()).pending();
    assert_eq!(waiting.await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_sent_without_money_for_three_or_over_the_gas_cap() {
    let bench = Bench::new().await;
    let submitter = bench.submitter(bench.terms);
    bench.chain.provider().anvil_set_balance(bench.account.address(), U256::from(1)).await.unwrap();
    let refused = submitter.send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::NoGasMoney { .. }), "{refused}");
    bench.chain.fund(bench.account.address()).await.unwrap();
    let capped = bench.submitter(Terms { gas_cap: 20_999, ..bench.terms });
    let refused = capped.send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::TooMuchGas { cap: 20_999, .. }), "{refused}");
    assert_eq!(bench.log.sent(), []);
}

#[tokio::test]
async fn a_nonce_that_a_stranger_took_is_noticed() {
    let bench = Bench::new().await;
    let submitter = bench.submitter(Terms { bump_after: Duration::from_secs(20), ..bench.terms });
    let work = async {
        bench.signed(1).await;
        // Another program with the same key.
        bench.chain.provider().anvil_set_nonce(bench.account.address(), 1).await.unwrap();
        bench.signed(2).await;
        bench.mine_on().await;
    };
    let call = call(1);
    let (mined, ()) = tokio::join!(submitter.send(&call), work);
    let sent = bench.log.sent();
    assert_eq!(mined.unwrap().hash, sent.last().unwrap().hash);
    assert_eq!(sent.iter().map(|sent| sent.nonce).collect::<Vec<_>>(), [0, 1]);
}
