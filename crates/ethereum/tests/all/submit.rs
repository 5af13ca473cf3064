//! Transactions of an account, on a chain that drops them, keeps them waiting, or changes its mind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like the test itself"
)]

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256, hex},
    rpc::types::TransactionReceipt,
};
use coxswain_ethereum::{
    Account, Endpoints,
    submit::{Call, Sent, SentLog, SubmitError, Submitter, Terms, Unrecorded},
};
use coxswain_rules::units::Blocks;
use coxswain_testkit::TestChain;
use serde_json::{Value, json};
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

struct Sending {
    chain: TestChain,
    account: Account,
    log: Log,
    terms: Terms,
}

impl Sending {
    /// A chain that mines when it is told to, and an account with money.
    async fn new() -> Self {
        let chain = TestChain::start().unwrap();
        chain.rpc().tell("anvil_setAutomine", (false,)).await.unwrap();
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
        Endpoints::new(self.chain.url()).unwrap()
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
        self.chain.mine_every(1).await.unwrap();
    }

    async fn receipt(&self, hash: B256) -> Option<TransactionReceipt> {
        self.chain.rpc().ask("eth_getTransactionReceipt", (hash,)).await.unwrap()
    }

    async fn transaction(&self, hash: B256) -> Option<Value> {
        self.chain.rpc().ask("eth_getTransactionByHash", (hash,)).await.unwrap()
    }

    async fn nonce(&self) -> u64 {
        self.chain.rpc().number("eth_getTransactionCount", (self.account.address(), "latest")).await.unwrap()
    }
}

fn call(number: u8) -> Call {
    Call { to: TARGET, input: Bytes::from(vec![number]) }
}

#[tokio::test]
async fn a_call_is_recorded_sent_mined_and_waited_for_until_it_is_deep() {
    let sending = Sending::new().await;
    let submitter = sending.submitter(Terms { bump_after: Duration::from_secs(20), ..sending.terms });
    let work = async {
        let sent = sending.signed(1).await;
        while sending.receipt(sent[0].hash).await.is_none() {
            sending.mine(1).await;
        }
        sending.mine(1).await;
    };
    let call = call(1);
    let (mined, ()) = tokio::join!(submitter.send(&call), work);
    let mined = mined.unwrap();
    let [sent] = sending.log.sent().try_into().unwrap();
    assert_eq!((sent.nonce, sent.hash), (0, mined.hash));
    let transaction = sending.transaction(mined.hash).await.unwrap();
    assert_eq!(transaction["from"], json!(sending.account.address()));
    assert!(mined.gas_used > 21_000 && mined.gas_price > 0);
}

#[tokio::test]
async fn inc_42_what_would_revert_is_not_sent_and_what_reverts_is_told() {
    let sending = Sending::new().await;
    let submitter = sending.submitter(sending.terms);
    sending.chain.rpc().tell("anvil_setCode", (TARGET, Bytes::from(REVERTS))).await.unwrap();
    let refused = submitter.send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::WouldRevert(_)), "{refused}");
    assert_eq!(sending.log.sent(), []);

    // It changes its mind in the block that takes the call in.
    sending.chain.rpc().tell("anvil_setCode", (TARGET, Bytes::new())).await.unwrap();
    let submitter = sending.submitter(Terms { bump_after: Duration::from_secs(20), ..sending.terms });
    let work = async {
        let sent = sending.signed(1).await;
        while sending.transaction(sent[0].hash).await.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sending.chain.rpc().tell("anvil_setCode", (TARGET, Bytes::from(REVERTS))).await.unwrap();
        sending.mine(1).await;
    };
    let call = call(2);
    let (outcome, ()) = tokio::join!(submitter.send(&call), work);
    assert!(matches!(outcome, Err(SubmitError::Reverted(_))), "{outcome:?}");
    // The nonce is used up, and the next call follows.
    sending.chain.rpc().tell("anvil_setCode", (TARGET, Bytes::new())).await.unwrap();
    sending.mine_on().await;
    submitter.send(&call).await.unwrap();
    assert_eq!(sending.nonce().await, 2);
}

#[tokio::test]
async fn inc_42_what_is_dropped_or_waits_is_replaced_with_a_higher_fee() {
    let sending = Sending::new().await;
    let submitter = sending.submitter(sending.terms);
    let work = async {
        let sent = sending.signed(1).await;
        sending.chain.rpc().tell("anvil_dropTransaction", (sent[0].hash,)).await.unwrap();
        sending.signed(3).await;
        sending.mine_on().await;
    };
    let call = call(1);
    let (mined, ()) = tokio::join!(submitter.send(&call), work);
    let mined = mined.unwrap();
    let sent = sending.log.sent();
    assert!(sent.iter().all(|sent| sent.nonce == 0) && sent.len() >= 3);
    assert!(sent.is_sorted_by(|a, b| a.max_fee * 11 <= b.max_fee * 10 && a.tip * 11 <= b.tip * 10));
    assert!(sent[1..].iter().any(|sent| sent.hash == mined.hash));
    assert_eq!(sending.nonce().await, 1, "once, however often it was sent");
}

#[tokio::test]
async fn inc_42_what_would_revert_by_now_is_replaced_by_an_empty_transfer() {
    let sending = Sending::new().await;
    let submitter = sending.submitter(sending.terms);
    let work = async {
        sending.signed(1).await;
        sending.chain.rpc().tell("anvil_setCode", (TARGET, Bytes::from(REVERTS))).await.unwrap();
        let sent = sending.log.until(|sent| sent.last().is_some_and(|sent| sent.call.is_none())).await;
        sending.mine_on().await;
        sent
    };
    let call = call(1);
    let (outcome, sent) = tokio::join!(submitter.send(&call), work);
    assert!(matches!(outcome, Err(SubmitError::WouldRevert(_))), "{outcome:?}");
    assert_eq!(sending.nonce().await, 1);
    // No transaction of the account reverted.
    for sent in sent {
        assert!(sending.receipt(sent.hash).await.is_none_or(|receipt| receipt.status()));
    }
}

#[tokio::test]
async fn inc_42_a_nonce_that_is_given_up_never_blocks_what_follows() {
    let sending = Sending::new().await;
    let impatient = Terms { patience: Duration::from_millis(500), ..sending.terms };
    let submitter = sending.submitter(impatient);
    let stuck = submitter.send(&call(1)).await.unwrap_err();
    assert!(matches!(stuck, SubmitError::NotMined(_)), "{stuck}");
    let before = sending.log.sent();
    sending.mine_on().await;
    // The nonce goes to the next, or the first is mined after all and the next has the nonce behind it.
    let submitter = sending.submitter(sending.terms);
    let mined = submitter.send(&call(2)).await.unwrap();
    let sent = sending.log.sent();
    assert!(!before.iter().any(|sent| sent.hash == mined.hash));
    let same_nonce = sent.iter().find(|sent| sent.hash == mined.hash).unwrap().nonce == 0;
    let first_mined = {
        let mut mined = false;
        for sent in &before {
            mined |= sending.receipt(sent.hash).await.is_some();
        }
        mined
    };
    assert_ne!(same_nonce, first_mined);
    assert_eq!(sending.nonce().await, if same_nonce { 1 } else { 2 });
}

#[tokio::test]
async fn inc_42_a_program_that_was_killed_replaces_what_it_may_have_sent() {
    let sending = Sending::new().await;
    // Signed and recorded, and killed before it was sent; or after. No two proofs come of it.
    for round in 0..2 {
        let nonce = sending.nonce().await;
        let submitter = sending.submitter(Terms { patience: Duration::from_millis(100), ..sending.terms });
        let stuck = submitter.send(&call(round)).await.unwrap_err();
        assert!(matches!(stuck, SubmitError::NotMined(_)), "{stuck}");
        if round == 0 {
            for sent in sending.log.sent() {
                sending.chain.rpc().tell("anvil_dropTransaction", (sent.hash,)).await.unwrap();
            }
        }
        drop(submitter);
        let submitter = sending.submitter(sending.terms);
        sending.mine_on().await;
        submitter.send(&call(round)).await.unwrap();
        sending.chain.mine_every(0).await.unwrap();
        assert_eq!(sending.nonce().await, nonce + 1, "round {round}: one transaction, not two");
    }
}

#[tokio::test]
async fn inc_46_what_cannot_be_recorded_is_not_sent() {
    let mut sending = Sending::new().await;
    sending.log.full = true;
    let refused = sending.submitter(sending.terms).send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Unrecorded(_)), "{refused}");
    let waiting =
        sending.chain.rpc().number("eth_getTransactionCount", (sending.account.address(), "pending"));
    assert_eq!(waiting.await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_sent_without_money_for_three_or_over_the_gas_cap() {
    let sending = Sending::new().await;
    let submitter = sending.submitter(sending.terms);
    sending.chain.endow(sending.account.address(), U256::from(1)).await.unwrap();
    let refused = submitter.send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::NoGasMoney { .. }), "{refused}");
    sending.chain.fund(sending.account.address()).await.unwrap();
    let capped = sending.submitter(Terms { gas_cap: 20_999, ..sending.terms });
    let refused = capped.send(&call(1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::TooMuchGas { cap: 20_999, .. }), "{refused}");
    assert_eq!(sending.log.sent(), []);
}

#[tokio::test]
async fn a_nonce_that_a_stranger_took_is_noticed() {
    let sending = Sending::new().await;
    let submitter = sending.submitter(Terms { bump_after: Duration::from_secs(20), ..sending.terms });
    let work = async {
        sending.signed(1).await;
        // Another program with the same key.
        sending.chain.rpc().tell("anvil_setNonce", (sending.account.address(), U64::from(1))).await.unwrap();
        sending.signed(2).await;
        sending.mine_on().await;
    };
    let call = call(1);
    let (mined, ()) = tokio::join!(submitter.send(&call), work);
    let sent = sending.log.sent();
    assert_eq!(mined.unwrap().hash, sent.last().unwrap().hash);
    assert_eq!(sent.iter().map(|sent| sent.nonce).collect::<Vec<_>>(), [0, 1]);
}
