//! The Bridge's state at one block, for the rules: read by a contract of ours that is run without being deployed.
//!
//! An `eth_call` without `to` carries the creation code of `BridgeSnapshot`, whose constructor reads the Bridge and
//! returns what it read. One call reads up to 250 items, so that the round trips don't grow with them one by one.

use std::{collections::BTreeSet, fmt::Display};

use alloy::{
    primitives::{Address, Bytes},
    rpc::types::{TransactionInput, TransactionRequest},
    sol_types::{SolConstructor, SolValue},
};
use coxswain_bindings::BridgeSnapshot;
use coxswain_rules::{
    Amount, Assurance, Assured, Case, DepositKey, DepositParameters, DepositRecord, KeyHash,
    MovingFundsParameters, RedemptionKey, RedemptionParameters, RedemptionRecord, Snapshot, Subject,
    SweepRequestKey, SweepRequestRecord, WalletRecord,
    units::{BlockNumber, UnixTime},
};

#[cfg(feature = "proven")]
use crate::proof::{Call, Prover};
use crate::{
    error::{ChainError, excerpt},
    panel::Panel,
    rpc::{Block, Called, Endpoints, HashedHeader},
};

/// How many items one call reads at most. The answer, 11 words and up to three for an item, is then within the 24,576
/// bytes that nodes allow it, as it stands where code would, and the call takes under 10 of the 50 million gas that they
/// allow it (7.6 for deposits, most of it the price of code).
const ITEMS_PER_CALL: usize = 250;

/// The items to read from the Bridge, in addition to its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotKeys {
    /// Wallets.
    pub wallets: BTreeSet<KeyHash>,
    /// Deposits.
    pub deposits: BTreeSet<DepositKey>,
    /// Redemption requests, with the watchtower's delays.
    pub redemptions: BTreeSet<RedemptionKey>,
    /// Moved funds sweep requests.
    pub sweep_requests: BTreeSet<SweepRequestKey>,
}

/// The items that the rules read to judge the case.
impl From<&Case> for SnapshotKeys {
    fn from(case: &Case) -> Self {
        let mut keys = Self { wallets: [case.wallet].into(), ..Self::default() };
        match &case.subject {
            Subject::Heartbeat(_) => keys.wallets.clear(),
            Subject::DepositSweep { proposal, .. } => {
                keys.deposits =
                    proposal.deposits.iter().map(|deposit| DepositKey::new(deposit.outpoint)).collect();
            }
            Subject::Redemption(proposal) => {
                keys.redemptions =
                    proposal.scripts.iter().map(|script| RedemptionKey::new(case.wallet, script)).collect();
            }
            Subject::MovingFunds { .. } => {}
            Subject::MovedFundsSweep(proposal) => {
                keys.sweep_requests = [SweepRequestKey::new(proposal.outpoint)].into();
            }
        }
        keys
    }
}

impl SnapshotKeys {
    /// All keys, in the order of an answer.
    fn in_order(&self) -> Vec<Key> {
        let wallets = self.wallets.iter().copied().map(Key::Wallet);
        let deposits = self.deposits.iter().copied().map(Key::Deposit);
        let redemptions = self.redemptions.iter().copied().map(Key::Redemption);
        let sweep_requests = self.sweep_requests.iter().copied().map(Key::SweepRequest);
        wallets.chain(deposits).chain(redemptions).chain(sweep_requests).collect()
    }
}

/// One item to read.
#[derive(Clone, Copy, Debug)]
enum Key {
    Wallet(KeyHash),
    Deposit(DepositKey),
    Redemption(RedemptionKey),
    SweepRequest(SweepRequestKey),
}

/// Reads the Bridge of one chain.
#[derive(Clone, Debug)]
pub struct SnapshotReader {
    endpoint: Endpoints,
    chain_id: u64,
    bridge: Address,
}

impl SnapshotReader {
    /// A reader of the Bridge at `bridge` on chain `chain_id`, through `endpoint`. Nothing is sent yet.
    pub const fn new(endpoint: Endpoints, chain_id: u64, bridge: Address) -> Self {
        Self { endpoint, chain_id, bridge }
    }

    /// Returns the Bridge's address.
    pub const fn bridge(&self) -> Address {
        self.bridge
    }

    pub(crate) const fn endpoint(&self) -> &Endpoints {
        &self.endpoint
    }

    /// The Bridge's parameters, and the items that these keys name, as they were at this block.
    ///
    /// Sends one `eth_call`, by the block's hash, for every 250 keys or part of them.
    ///
    /// # Errors
    /// When any of it has no usable answer: a snapshot is whole, or it isn't.
    pub async fn snapshot(&self, block: Block, keys: &SnapshotKeys) -> Result<Snapshot, ChainError> {
        let mut snapshot = Snapshot::default();
        let keys = keys.in_order();
        for keys in parts(&keys) {
            let answer = self.call(keys, block).await?;
            self.read(&mut snapshot, keys, block, &answer)?;
        }
        Ok(snapshot)
    }

    /// As [`snapshot`](Self::snapshot), but run here, on state that is proven against the block's header.
    ///
    /// # Errors
    /// When any of it can't be proven, or is not what the Bridge's state can be.
    #[cfg(feature = "proven")]
    pub async fn proven_snapshot(
        &self,
        prover: &Prover,
        header: &HashedHeader,
        keys: &SnapshotKeys,
    ) -> Result<Snapshot, ChainError> {
        let (bridge, block) = (self.bridge, header.block());
        let mut snapshot = Snapshot::default();
        let keys = keys.in_order();
        for keys in parts(&keys) {
            let call = Call { to: None, input: self.creation_code(keys) };
            match prover.call(&call, header).await?.called {
                Called::Returned(answer) => self.read(&mut snapshot, keys, block, &answer)?,
                Called::Reverted(_) if prover.has_code(bridge, header).await? => {
                    return Err(ChainError::UnreadableBridge { bridge, block });
                }
                Called::Reverted(_) => return Err(ChainError::NoCode { address: bridge, block }),
            }
        }
        Ok(snapshot)
    }

    /// As [`snapshot`](Self::snapshot), as all servers are to be believed.
    ///
    /// # Errors
    /// When any of it is neither proven nor agreed on, or is not what the Bridge's state can be.
    pub async fn assured_snapshot(
        &self,
        panel: &Panel,
        at: &HashedHeader,
        keys: &SnapshotKeys,
    ) -> Result<Assured<Snapshot>, ChainError> {
        let (bridge, block) = (self.bridge, at.block());
        let mut snapshot = Snapshot::default();
        let mut assurance = Assurance::Proven;
        let keys = keys.in_order();
        for keys in parts(&keys) {
            let called = panel.call(None, self.creation_code(keys), at).await;
            assurance = assurance.min(called.as_ref().map_or(assurance, |called| called.assurance));
            match called {
                Ok(Assured { fact: Called::Returned(answer), .. }) => {
                    self.read(&mut snapshot, keys, block, &answer)?;
                }
                Ok(Assured { fact: Called::Reverted(_), .. }) => {
                    return Err(match panel.code(bridge, at).await {
                        Some(code) if code.is_empty() => ChainError::NoCode { address: bridge, block },
                        _ => ChainError::UnreadableBridge { bridge, block },
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Assured { fact: snapshot, assurance })
    }

    /// The snapshot as answers have it that were given before. `None` if one that is needed isn't among them.
    ///
    /// # Errors
    /// When an answer is not what the Bridge's state can be.
    pub fn recorded_snapshot(
        &self,
        block: Block,
        keys: &SnapshotKeys,
        answer: impl Fn(&Bytes) -> Option<Called>,
    ) -> Option<Result<Snapshot, ChainError>> {
        let mut snapshot = Snapshot::default();
        let keys = keys.in_order();
        for keys in parts(&keys) {
            let read = match answer(&self.creation_code(keys))? {
                Called::Returned(answer) => self.read(&mut snapshot, keys, block, &answer),
                Called::Reverted(_) => Err(ChainError::UnreadableBridge { bridge: self.bridge, block }),
            };
            if let Err(error) = read {
                return Some(Err(error));
            }
        }
        Some(Ok(snapshot))
    }

    /// Returns the creation code that reads the items that these keys name.
    fn creation_code(&self, keys: &[Key]) -> Bytes {
        let mut arguments = BridgeSnapshot::constructorCall {
            bridge: self.bridge,
            wallets: Vec::new(),
            deposits: Vec::new(),
            redemptions: Vec::new(),
            sweepRequests: Vec::new(),
        };
        for key in keys {
            match key {
                Key::Wallet(key) => arguments.wallets.push((*key).into()),
                Key::Deposit(key) => arguments.deposits.push(key.to_u256()),
                Key::Redemption(key) => arguments.redemptions.push(key.to_u256()),
                Key::SweepRequest(key) => arguments.sweepRequests.push(key.to_u256()),
            }
        }
        [&BridgeSnapshot::BYTECODE[..], &arguments.abi_encode()].concat().into()
    }

    async fn call(&self, keys: &[Key], block: Block) -> Result<Bytes, ChainError> {
        let code = self.creation_code(keys);
        let transaction = TransactionRequest::default().input(TransactionInput::new(code));
        let bridge = self.bridge;
        match self.endpoint.call(transaction, block).await? {
            Called::Returned(answer) => Ok(answer),
            Called::Reverted(_) if self.endpoint.code(bridge, block).await?.is_empty() => {
                Err(ChainError::NoCode { address: bridge, block })
            }
            Called::Reverted(_) => Err(ChainError::UnreadableBridge { bridge, block }),
        }
    }

    /// Adds to the snapshot what an answer holds.
    fn read(
        &self,
        snapshot: &mut Snapshot,
        keys: &[Key],
        block: Block,
        answer: &Bytes,
    ) -> Result<(), ChainError> {
        let malformed = || ChainError::UnknownSnapshot {
            bridge: self.bridge,
            answer: excerpt(answer),
            length: answer.len(),
        };
        let (head, items) = answer.split_at_checked(Head::LENGTH).ok_or_else(malformed)?;
        let head = Head::read(head).ok_or_else(malformed)?;
        let Head { chain_id, number, timestamp, .. } = head;
        if (chain_id, number, timestamp) != (self.chain_id, block.number, block.timestamp) {
            let endpoint = self.endpoint.name().to_owned();
            return Err(ChainError::OtherBlock { endpoint, expected: block, chain_id, number, timestamp });
        }
        snapshot.timestamp = block.timestamp;
        snapshot.deposit_parameters = head.deposit_parameters;
        snapshot.redemption_parameters = head.redemption_parameters;
        snapshot.moving_funds_parameters = head.moving_funds_parameters;
        let mut delays = snapshot.watchtower_delays.take();
        if !head.watchtower.is_zero() {
            delays.get_or_insert_default();
        }
        let mut fields = Fields(items);
        for key in keys {
            match *key {
                Key::Wallet(key) => {
                    let record = fields.wallet().ok_or_else(malformed)?;
                    snapshot.wallets.insert(key, record.map_err(unknown_state("wallet", &key))?);
                }
                Key::Deposit(key) => {
                    snapshot.deposits.insert(key, fields.deposit().ok_or_else(malformed)?);
                }
                Key::Redemption(key) => {
                    let (record, delay) = fields.redemption().ok_or_else(malformed)?;
                    snapshot.redemptions.insert(key, record);
                    if let Some(delays) = &mut delays {
                        delays.insert(key, delay);
                    }
                }
                Key::SweepRequest(key) => {
                    let record = fields.sweep_request().ok_or_else(malformed)?;
                    let record = record.map_err(unknown_state("moved funds sweep request", &key))?;
                    snapshot.sweep_requests.insert(key, record);
                }
            }
        }
        snapshot.watchtower_delays = delays;
        if fields.0.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

/// As many keys as one call reads, each time. Without keys too, there is one call: for the parameters.
fn parts(keys: &[Key]) -> impl Iterator<Item = &[Key]> {
    let (first, rest) = keys.split_at(keys.len().min(ITEMS_PER_CALL));
    std::iter::once(first).chain(rest.chunks(ITEMS_PER_CALL))
}

fn unknown_state(kind: &str, key: &impl Display) -> impl FnOnce(u8) -> ChainError {
    move |state| ChainError::UnknownState { item: format!("{kind} {key}"), state }
}

/// The part of an answer that doesn't depend on the question.
struct Head {
    chain_id: u64,
    number: BlockNumber,
    timestamp: UnixTime,
    watchtower: Address,
    deposit_parameters: DepositParameters,
    redemption_parameters: RedemptionParameters,
    moving_funds_parameters: MovingFundsParameters,
}

impl Head {
    /// Bytes: 11 words.
    const LENGTH: usize = 11 * 32;

    fn read(bytes: &[u8]) -> Option<Self> {
        type Words = (u64, u64, u64, Address, u64, u64, u32, u64, u64, u32, u64);
        let (
            chain_id,
            number,
            timestamp,
            watchtower,
            deposit_tx_max_fee,
            redemption_tx_max_total_fee,
            redemption_timeout,
            moving_funds_tx_max_total_fee,
            moving_funds_dust_threshold,
            moving_funds_timeout,
            moved_funds_sweep_tx_max_total_fee,
        ) = Words::abi_decode_params_validate(bytes).ok()?;
        Some(Self {
            chain_id,
            number: BlockNumber(number),
            timestamp: UnixTime(timestamp),
            watchtower,
            deposit_parameters: DepositParameters {
                deposit_tx_max_fee: Amount::from_sat(deposit_tx_max_fee),
            },
            redemption_parameters: RedemptionParameters {
                redemption_tx_max_total_fee: Amount::from_sat(redemption_tx_max_total_fee),
                redemption_timeout,
            },
            moving_funds_parameters: MovingFundsParameters {
                moving_funds_tx_max_total_fee: Amount::from_sat(moving_funds_tx_max_total_fee),
                moving_funds_dust_threshold: Amount::from_sat(moving_funds_dust_threshold),
                moving_funds_timeout,
                moved_funds_sweep_tx_max_total_fee: Amount::from_sat(moved_funds_sweep_tx_max_total_fee),
            },
        })
    }
}

/// The packed items of an answer, which are read off its beginning. `None`: it is too short, or has something where
/// nothing may be.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn amount(&mut self) -> Option<Amount> {
        self.take().map(u64::from_be_bytes).map(Amount::from_sat)
    }

    fn seconds(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Reads the zeros that fill up a word.
    fn padding<const N: usize>(&mut self) -> Option<()> {
        (self.take()? == [0; N]).then_some(())
    }

    /// A wallet, or its state's number when that is unknown.
    fn wallet(&mut self) -> Option<Result<WalletRecord, u8>> {
        let [main_utxo_hash, moving_funds_target_wallets_commitment_hash] =
            [self.take()?.into(), self.take()?.into()];
        let pending_redemptions_value = self.amount()?;
        let moving_funds_requested_at = self.seconds()?;
        let pending_moved_funds_sweep_requests_count = self.take().map(u32::from_be_bytes)?;
        let [state] = self.take()?;
        self.padding::<15>()?;
        Some(state.try_into().map(|state| WalletRecord {
            main_utxo_hash,
            pending_redemptions_value,
            moving_funds_requested_at,
            pending_moved_funds_sweep_requests_count,
            state,
            moving_funds_target_wallets_commitment_hash,
        }))
    }

    fn deposit(&mut self) -> Option<DepositRecord> {
        Some(DepositRecord {
            depositor: self.take()?.into(),
            amount: self.amount()?,
            revealed_at: self.seconds()?,
            vault: self.take()?.into(),
            treasury_fee: self.amount()?,
            swept_at: self.seconds()?,
            extra_data: self.take()?.into(),
        })
    }

    /// A redemption request, and the watchtower's delay of it.
    fn redemption(&mut self) -> Option<(RedemptionRecord, u32)> {
        let record = RedemptionRecord {
            requested_amount: self.amount()?,
            treasury_fee: self.amount()?,
            tx_max_fee: self.amount()?,
            requested_at: self.seconds()?,
        };
        Some((record, self.seconds()?))
    }

    /// A moved funds sweep request, or its state's number when that is unknown.
    fn sweep_request(&mut self) -> Option<Result<SweepRequestRecord, u8>> {
        let wallet = KeyHash(self.take()?);
        let value = self.amount()?;
        let [state] = self.take()?;
        self.padding::<3>()?;
        Some(state.try_into().map(|state| SweepRequestRecord { wallet, value, state }))
    }
}
