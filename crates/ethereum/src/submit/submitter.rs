//! The one queue of an account's transactions.

use std::{fmt, future::Future, time::Duration};

use alloy::{
    consensus::TxEip1559,
    primitives::{Address, B256, Bytes, TxKind, U64, U256, keccak256},
    rpc::types::{Header, TransactionInput, TransactionReceipt, TransactionRequest},
    sol_types::{Revert, SolError},
};
use coxswain_rules::units::{BlockNumber, Blocks};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::fees::{Fees, Market};
use crate::{
    Account, AccountError,
    rpc::{Endpoints, RequestError, revert_of},
};

/// The gas of a transfer without data.
const TRANSFER_GAS: u64 = 21_000;
/// How many nonces are tried if others' transactions take them.
const NONCES: usize = 3;
/// How often in a row a nonce must be seen used without a receipt of ours: servers behind one name are not of one moment.
const USED_LOOKS: usize = 5;
/// How many proofs must be payable for one to be sent.
const PAYABLE: u64 = 3;
/// What pools say of a transaction that offers too little, or too little more than the one that it replaces.
const UNDERPRICED: &str = "underpriced";

/// On what terms transactions are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most that is paid for a unit of gas, in wei.
    pub fee_cap: u128,
    /// The most gas of a transaction: the chain's own limit.
    pub gas_cap: u64,
    /// How long a transaction may wait before it is replaced.
    pub bump_after: Duration,
    /// How long to wait for it to be mined, or to become deep. Then it is given up, not forgotten: the next takes its nonce.
    pub patience: Duration,
    /// How often to look.
    pub poll: Duration,
    /// How many blocks on its own a transaction needs to be taken for final.
    pub depth: Blocks,
}

impl Default for Terms {
    /// For mainnet: 500 gwei, 2²⁴ gas, a higher fee each minute, ten minutes' patience, three blocks.
    fn default() -> Self {
        Self {
            fee_cap: 500_000_000_000,
            gas_cap: 1 << 24,
            bump_after: Duration::from_secs(60),
            patience: Duration::from_secs(600),
            poll: Duration::from_secs(3),
            depth: Blocks(3),
        }
    }
}

/// A contract call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which contract.
    pub to: Address,
    /// With what.
    pub input: Bytes,
}

impl Call {
    /// Returns the hash that identifies the call.
    fn id(&self) -> B256 {
        keccak256([self.to.as_slice(), &self.input].concat())
    }
}

/// A transaction that was signed. It was recorded before it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its nonce.
    pub nonce: u64,
    /// Its hash.
    pub hash: B256,
    /// What it offers over the base fee for a unit of gas, in wei.
    pub tip: u128,
    /// What it offers in all, in wei.
    pub max_fee: u128,
    /// Which call it makes, as a hash. `None` for an empty transfer to ourselves.
    pub call: Option<B256>,
    /// Its bytes, as they are sent.
    pub raw: Bytes,
}

/// Why a transaction could not be recorded. It was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the transaction can't be recorded, so that it was not sent: {0}")]
pub struct Unrecorded(pub String);

/// Where transactions are recorded before they are sent: a program that was killed finds there what it may have sent.
pub trait SentLog: Send + Sync {
    /// Returns when the record is durable.
    fn record(&self, sent: &Sent) -> impl Future<Output = Result<(), Unrecorded>> + Send;
}

/// Keeps nothing: for a program that sends once and waits.
impl SentLog for () {
    async fn record(&self, _: &Sent) -> Result<(), Unrecorded> {
        Ok(())
    }
}

impl<L: SentLog> SentLog for &L {
    async fn record(&self, sent: &Sent) -> Result<(), Unrecorded> {
        L::record(self, sent).await
    }
}

/// A transaction that is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Its hash.
    pub hash: B256,
    /// The block's number.
    pub block: BlockNumber,
    /// The block's hash.
    pub block_hash: B256,
    /// The gas that it took.
    pub gas_used: u64,
    /// The price of a unit of gas, in wei.
    pub gas_price: u128,
}

impl Mined {
    /// Returns the cost of the gas, in wei.
    pub fn cost(&self) -> U256 {
        U256::from(self.gas_used).saturating_mul(U256::from(self.gas_price))
    }
}

/// Why a call was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The endpoint gave no usable answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It would revert. Nothing was sent, or what was sent was replaced by an empty transfer.
    #[error("the call would revert{}", shown(.0))]
    WouldRevert(Bytes),
    /// It takes more gas than a transaction may.
    #[error("the call takes {needed} gas, at most {cap} allowed")]
    TooMuchGas {
        /// The gas it needs.
        needed: u64,
        /// The gas limit.
        cap: u64,
    },
    /// The account has too little to pay for gas. Nothing was sent.
    #[error("account {account} has {balance} wei, and {needed} are needed before anything is sent")]
    NoGasMoney {
        /// The account.
        account: Address,
        /// Its balance, in wei.
        balance: U256,
        /// The balance it needs, in wei.
        needed: U256,
    },
    /// It reverted, in a block.
    #[error("transaction {0} reverted")]
    Reverted(B256),
    /// It was not mined in time.
    #[error("transaction {0} was not mined in time")]
    NotMined(B256),
    /// It was mined, and its block was replaced or did not become deep in time.
    #[error("transaction {0} did not stay in the chain, or did not become deep in time")]
    NotDeep(B256),
    /// Other transactions of the account keep taking the nonces: two programs have the same key.
    #[error("account {0} sends other transactions: its key must not be used elsewhere")]
    NotAlone(Address),
    /// It could not be recorded.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// It could not be signed.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl SubmitError {
    /// Whether the call itself is at fault: it, or one like it, fails again.
    pub const fn is_of_call(&self) -> bool {
        match self {
            Self::WouldRevert(_)
            | Self::TooMuchGas { .. }
            | Self::Reverted(_)
            | Self::NotMined(_)
            | Self::NotDeep(_) => true,
            Self::Request(_)
            | Self::NoGasMoney { .. }
            | Self::NotAlone(_)
            | Self::Unrecorded(_)
            | Self::Account(_) => false,
        }
    }
}

/// The reason in revert data, for people.
fn shown(data: &Bytes) -> String {
    match Revert::abi_decode_validate(data) {
        Ok(Revert { reason }) => format!(": {}", reason.chars().take(200).collect::<String>().escape_debug()),
        Err(_) if data.is_empty() => String::new(),
        Err(_) => format!(" with {}", data.slice(..data.len().min(68))),
    }
}

/// What was signed under one nonce, and may yet be mined.
#[derive(Clone, Debug)]
struct Pending {
    nonce: u64,
    fees: Fees,
    /// The newest one's bytes.
    raw: Bytes,
    /// All of them, with what each calls.
    all: Vec<(B256, Option<B256>)>,
}

/// Sends an account's transactions, one after another.
///
/// ```text
/// rehearse ──► nonce, fees ──► sign ──► record ──► broadcast ──► wait ──► mined ──► settle ──► Mined
///  ▲  │                         ▲                                 │         │         │
///  │  └► WouldRevert,           └──── its time is up: more is ◄───┤         │         └► NotDeep
///  │     TooMuchGas                   offered; if the call would  │         └► Reverted, WouldRevert
///  │                                  revert by now, an empty     │            (the empty transfer is mined)
///  │                                  transfer in its stead       └► NotMined: patience is at its end, and the
///  └── the nonce was taken: three times, then NotAlone               next call takes the nonce
/// ```
///
/// What is signed and not mined is `pending`, also after a restart: whatever is sent next goes under its nonce, for more.
pub struct Submitter<L> {
    endpoints: Endpoints,
    account: Account,
    chain_id: u64,
    terms: Terms,
    log: L,
    /// What holds the next nonce, if anything does. Whoever sends holds the lock.
    pending: Mutex<Option<Pending>>,
}

impl<L> fmt::Debug for Submitter<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter").field("account", &self.account).finish_non_exhaustive()
    }
}

/// How a wait ended.
enum Waited {
    /// With this one of ours mined, which made this call.
    Mined(Box<TransactionReceipt>, Option<B256>),
    /// The nonce was used up by a transaction that isn't ours.
    Taken,
    /// It is time to offer more.
    Bump,
}

impl<L: SentLog> Submitter<L> {
    /// For this account on this chain. What an earlier run recorded tells which nonce may be in use; nothing is sent yet.
    pub fn new(
        endpoints: Endpoints,
        account: Account,
        chain_id: u64,
        terms: Terms,
        log: L,
        recorded: &[Sent],
    ) -> Self {
        let newest = recorded.iter().max_by_key(|sent| (sent.nonce, sent.max_fee));
        let pending = newest.map(|newest| Pending {
            nonce: newest.nonce,
            fees: Fees { tip: newest.tip, max: newest.max_fee },
            raw: newest.raw.clone(),
            all: recorded
                .iter()
                .filter(|sent| sent.nonce == newest.nonce)
                .map(|sent| (sent.hash, sent.call))
                .collect(),
        });
        Self { endpoints, account, chain_id, terms, log, pending: Mutex::new(pending) }
    }

    /// The account's address.
    pub const fn address(&self) -> Address {
        self.account.address()
    }

    /// Returns the account's balance, in wei.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer.
    pub async fn balance(&self) -> Result<U256, RequestError> {
        self.endpoints.request("eth_getBalance", (self.address(), "latest")).await
    }

    /// Returns the most that would be offered for a unit of gas now, in wei.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer.
    pub async fn price(&self) -> Result<u128, RequestError> {
        Ok(Fees::of(self.market().await?, self.terms.fee_cap).max)
    }

    /// What the account got back in the transaction, in wei: what it has after the block over what it had before it, less what
    /// the gas cost. Other transfers of that block count as well.
    ///
    /// # Errors
    /// If the endpoint gives no usable answer.
    pub async fn refund(&self, mined: &Mined) -> Result<U256, RequestError> {
        let number = mined.block;
        let at = |number: u64| (self.address(), U64::from(number));
        let (after, before) = tokio::try_join!(
            self.endpoints.request::<_, U256>("eth_getBalance", at(number.0)),
            self.endpoints.request::<_, U256>("eth_getBalance", at(number.saturating_sub(Blocks(1)).0)),
        )?;
        Ok(after.saturating_add(mined.cost()).saturating_sub(before))
    }

    /// Tries the call on the newest block, as if it were sent, and says how much gas it takes.
    ///
    /// # Errors
    /// If it would revert, or the endpoint gives no usable answer.
    pub async fn rehearse(&self, call: &Call) -> Result<u64, SubmitError> {
        let request = TransactionRequest::default()
            .from(self.address())
            .to(call.to)
            .input(TransactionInput::new(call.input.clone()));
        let _: Bytes =
            self.endpoints.request("eth_call", (request.clone(), "latest")).await.map_err(reverted)?;
        let gas: U64 = self.endpoints.request("eth_estimateGas", (request,)).await.map_err(reverted)?;
        Ok(gas.to())
    }

    /// Makes the call: returns when it is mined and deep.
    ///
    /// # Errors
    /// If it wasn't made. The same call may be sent again: it takes the nonce that this one left.
    pub async fn send(&self, call: &Call) -> Result<Mined, SubmitError> {
        let mined = {
            let mut pending = self.pending.lock().await;
            self.mine(&mut pending, call).await?
        };
        self.settle(mined).await
    }

    /// Sends it under one nonce after another until it is mined.
    async fn mine(&self, pending: &mut Option<Pending>, call: &Call) -> Result<Mined, SubmitError> {
        for _ in 0..NONCES {
            let estimate = self.rehearse(call).await?;
            let cap = self.terms.gas_cap;
            if estimate > cap {
                return Err(SubmitError::TooMuchGas { needed: estimate, cap });
            }
            // Refunds make plain estimates run out.
            let gas = estimate.saturating_add(estimate / 5).min(cap);
            if let Some(mined) = self.mine_at_next_nonce(pending, call, gas).await? {
                return Ok(mined);
            }
        }
        Err(SubmitError::NotAlone(self.address()))
    }

    /// `None` if another transaction took the nonce: another of ours, or a stranger's.
    async fn mine_at_next_nonce(
        &self,
        pending: &mut Option<Pending>,
        call: &Call,
        gas: u64,
    ) -> Result<Option<Mined>, SubmitError> {
        let id = call.id();
        let (nonce, market) = tokio::try_join!(self.nonce(), self.market())?;
        let cap = self.terms.fee_cap;
        let now = Fees::of(market, cap);
        let (mut current, mut fees) = match pending.as_ref().filter(|pending| pending.nonce == nonce) {
            Some(held) => (held.clone(), held.fees.raised(market, cap)),
            None => (Pending { nonce, fees: now, raw: Bytes::new(), all: Vec::new() }, Some(now)),
        };
        let deadline = Instant::now() + self.terms.patience;
        // What is to be sent in its stead once it would revert.
        let mut useless = None;
        loop {
            if let Some(fees) = fees {
                self.require_balance(gas, fees).await?;
                self.sign(&mut current, useless.is_none().then_some((call, gas)), fees).await?;
            }
            *pending = Some(current.clone());
            let underpriced = self.broadcast(&current.raw).await;
            match self.wait(&current, underpriced).await {
                Waited::Mined(receipt, made) => {
                    *pending = None;
                    return match made {
                        Some(made) if made == id && receipt.status() => mined(&receipt).map(Some),
                        Some(made) if made == id => Err(SubmitError::Reverted(receipt.transaction_hash)),
                        Some(_) => Ok(None),
                        None => Err(SubmitError::WouldRevert(useless.unwrap_or_default())),
                    };
                }
                Waited::Taken => {
                    *pending = None;
                    return Ok(None);
                }
                Waited::Bump => {}
            }
            if Instant::now() >= deadline {
                let newest = current.all.last().map(|(hash, _)| *hash).unwrap_or_default();
                return Err(SubmitError::NotMined(newest));
            }
            if useless.is_none()
                && let Err(SubmitError::WouldRevert(reason)) = self.rehearse(call).await
            {
                useless = Some(reason);
            }
            fees = current.fees.raised(self.market().await?, cap);
        }
    }

    /// Signs the call, or an empty transfer to ourselves, and records it.
    async fn sign(
        &self,
        pending: &mut Pending,
        call: Option<(&Call, u64)>,
        fees: Fees,
    ) -> Result<(), SubmitError> {
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: pending.nonce,
            gas_limit: call.map_or(TRANSFER_GAS, |(_, gas)| gas),
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            to: TxKind::Call(call.map_or(self.address(), |(call, _)| call.to)),
            input: call.map(|(call, _)| call.input.clone()).unwrap_or_default(),
            ..TxEip1559::default()
        };
        let (hash, raw) = self.account.sign(transaction)?;
        let id = call.map(|(call, _)| call.id());
        let sent =
            Sent { nonce: pending.nonce, hash, tip: fees.tip, max_fee: fees.max, call: id, raw: raw.clone() };
        self.log.record(&sent).await?;
        pending.fees = fees;
        pending.raw = raw;
        pending.all.push((hash, id));
        Ok(())
    }

    /// Hands it to every endpoint, and says whether it offers too little for all of them. No other answer counts: what one
    /// refuses may have reached another, so that only the chain tells.
    async fn broadcast(&self, raw: &Bytes) -> bool {
        let endpoints = self.endpoints.each();
        let send = |endpoint: &Endpoints| {
            let (endpoint, raw) = (endpoint.clone(), raw.clone());
            async move { endpoint.request::<_, B256>("eth_sendRawTransaction", (raw,)).await }
        };
        let answers = join_all(endpoints.iter().map(send)).await;
        let underpriced = |answer: &Result<B256, RequestError>| match answer {
            Err(RequestError::Rpc { message, .. }) => message.to_ascii_lowercase().contains(UNDERPRICED),
            _ => false,
        };
        !answers.is_empty() && answers.iter().all(underpriced)
    }

    /// Looks for one of them in a block, until it is time for a higher fee: after one look if it `offers_too_little`.
    async fn wait(&self, pending: &Pending, offers_too_little: bool) -> Waited {
        let until = Instant::now() + self.terms.bump_after;
        let mut used_looks = 0;
        loop {
            // The nonce first: a receipt that comes in between is seen in the next turn.
            let used = matches!(self.nonce().await, Ok(nonce) if nonce > pending.nonce);
            let mut answered = true;
            for (hash, call) in pending.all.iter().rev() {
                match self.receipt(*hash).await {
                    Ok(Some(receipt)) => return Waited::Mined(Box::new(receipt), *call),
                    Ok(None) => {}
                    Err(_) => answered = false,
                }
            }
            used_looks = if used && answered { used_looks + 1 } else { 0 };
            if used_looks >= USED_LOOKS {
                return Waited::Taken;
            }
            if !used && (offers_too_little || Instant::now() >= until) {
                return Waited::Bump;
            }
            sleep(self.terms.poll).await;
        }
    }

    /// Waits until it is deep, and looks whether it is there still.
    async fn settle(&self, mined: Mined) -> Result<Mined, SubmitError> {
        let deadline = Instant::now() + self.terms.patience;
        let lost = SubmitError::NotDeep(mined.hash);
        loop {
            let head = self.head().await;
            if head.is_ok_and(|head| {
                BlockNumber(head.inner.number) >= mined.block.saturating_add(self.terms.depth)
            }) {
                return match self.receipt(mined.hash).await? {
                    Some(receipt) if receipt.block_hash == Some(mined.block_hash) => Ok(mined),
                    _ => Err(lost),
                };
            }
            if Instant::now() >= deadline {
                return Err(lost);
            }
            sleep(self.terms.poll).await;
        }
    }

    async fn require_balance(&self, gas: u64, fees: Fees) -> Result<(), SubmitError> {
        let balance = self.balance().await?;
        let needed = U256::from(gas).saturating_mul(U256::from(fees.max)).saturating_mul(U256::from(PAYABLE));
        if balance < needed {
            return Err(SubmitError::NoGasMoney { account: self.address(), balance, needed });
        }
        Ok(())
    }

    /// How many of the account's transactions are mined.
    async fn nonce(&self) -> Result<u64, RequestError> {
        let count: U64 =
            self.endpoints.request("eth_getTransactionCount", (self.address(), "latest")).await?;
        Ok(count.to())
    }

    async fn head(&self) -> Result<Header, RequestError> {
        self.endpoints.request("eth_getBlockByNumber", ("latest", false)).await
    }

    async fn market(&self) -> Result<Market, RequestError> {
        let (head, tip) = tokio::join!(
            self.head(),
            self.endpoints.request::<_, alloy::primitives::U128>("eth_maxPriorityFeePerGas", ()),
        );
        let base_fee = head?.inner.base_fee_per_gas.unwrap_or_default().into();
        Ok(Market { base_fee, tip: tip.ok().map(|tip| tip.to()) })
    }

    async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, RequestError> {
        self.endpoints.request("eth_getTransactionReceipt", (hash,)).await
    }
}

/// A revert is an answer of the contract's.
fn reverted(error: RequestError) -> SubmitError {
    match &error {
        RequestError::Rpc { code, message, data, .. } => match revert_of(*code, message, data.as_deref()) {
            Some(reason) => SubmitError::WouldRevert(reason),
            None => error.into(),
        },
        _ => error.into(),
    }
}

fn mined(receipt: &TransactionReceipt) -> Result<Mined, SubmitError> {
    let hash = receipt.transaction_hash;
    let (block, block_hash) =
        receipt.block_number.zip(receipt.block_hash).ok_or(SubmitError::NotDeep(hash))?;
    Ok(Mined {
        hash,
        block: BlockNumber(block),
        block_hash,
        gas_used: receipt.gas_used,
        gas_price: receipt.effective_gas_price,
    })
}
