//! A call, run on proven state in the environment of a hashed header: its outcome, or what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy_trie::KECCAK_EMPTY;
use revm::{
    Context, Database, InspectEvm, Inspector, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::result::{EVMError, ExecutionResult},
    database_interface::DBErrorMarker,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, InstructionResult, InterpreterTypes,
    },
    primitives::TxKind,
    state::AccountInfo,
};

use super::{
    schedule::{Fork, fork_of},
    state::{Codes, Shortfall, State},
};
use crate::rpc::{Called, HashedHeader};

/// How much gas a call may burn: as much as nodes allow an `eth_call`.
pub const GAS_LIMIT: u64 = 50_000_000;
/// How many accounts a call may touch.
pub(crate) const MAX_ACCOUNTS: usize = 64;
/// How many storage slots a call may touch.
pub const MAX_SLOTS: usize = 4096;

/// A contract call, from the zero address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The contract; `None` to run the input as creation code.
    pub to: Option<Address>,
    /// Call data, or creation code.
    pub input: Bytes,
}

impl Call {
    /// The caller.
    pub const FROM: Address = Address::ZERO;
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// With the contract's answer.
    Ended(Called),
    /// It is worth nothing: this was not proven yet.
    Lacks(Shortfall),
}

/// Why a call can't be proven, whatever the endpoints prove.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The block is under rules that are not known here.
    #[error("the block is under rules that are not known here")]
    UnknownFork,
    /// It reads the hash of an earlier block.
    #[error("the call reads the hash of block {0}")]
    BlockHash(u64),
    /// It touches more than is proven for one call.
    #[error("the call touches more than {MAX_ACCOUNTS} accounts or {MAX_SLOTS} slots")]
    TooMuch,
    /// It asks for more again and again.
    #[error("the call is still short of state after {0} rounds")]
    TooManyRounds(usize),
    /// It, or a call within it, ended as no contract ends on purpose: out of gas, or by an invalid opcode.
    #[error("the call, or one within it, was stopped: {0}")]
    Stopped(String),
    /// It can't be run.
    #[error("the call can't be run: {0}")]
    Refused(String),
}

impl DBErrorMarker for ExecutionError {}

/// Runs a call on the state after a block.
///
/// What is not proven yet is taken for empty, and the run goes on, so that it finds as much as it can of what is missing;
/// then it is worth nothing else.
///
/// # Errors
/// If the call can't be proven.
pub fn run(
    call: &Call,
    header: &HashedHeader,
    chain_id: u64,
    state: &State,
    codes: &Codes,
) -> Result<Run, ExecutionError> {
    run_noting(call, header, chain_id, state, codes).map(|(run, _)| run)
}

/// What a run has touched.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    pub(super) accounts: BTreeSet<Address>,
    pub(super) slots: BTreeSet<(Address, U256)>,
    pub(super) codes: BTreeSet<B256>,
}

/// Runs a call likewise, and notes what it touches.
pub(super) fn run_noting(
    call: &Call,
    header: &HashedHeader,
    chain_id: u64,
    state: &State,
    codes: &Codes,
) -> Result<(Run, Touched), ExecutionError> {
    let fork = fork_of(chain_id, header.fields()).ok_or(ExecutionError::UnknownFork)?;
    let mut database = Proven {
        state,
        codes,
        accounts: BTreeSet::new(),
        slots: BTreeSet::new(),
        wanted: Shortfall::default(),
        analysed: BTreeMap::new(),
    };
    let ended = execute(call, header, chain_id, fork, &mut database);
    let touched = Touched {
        accounts: database.accounts,
        slots: database.slots,
        codes: database.analysed.into_keys().collect(),
    };
    let run = if database.wanted.is_empty() { Run::Ended(ended?) } else { Run::Lacks(database.wanted) };
    Ok((run, touched))
}

fn execute(
    call: &Call,
    header: &HashedHeader,
    chain_id: u64,
    fork: Fork,
    database: &mut Proven<'_>,
) -> Result<Called, ExecutionError> {
    let fields = header.fields();
    let mut evm = Context::mainnet()
        .with_db(database)
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(fork.rules);
            cfg.chain_id = chain_id;
            // As for an `eth_call`: nobody pays, and no sender is checked.
            cfg.tx_chain_id_check = false;
            cfg.tx_gas_limit_cap = Some(u64::MAX);
            cfg.disable_nonce_check = true;
            cfg.disable_balance_check = true;
            cfg.disable_base_fee = true;
            cfg.disable_block_gas_limit = true;
            cfg.disable_eip3607 = true;
        })
        .modify_block_chained(|block| {
            block.number = U256::from(fields.number);
            block.timestamp = U256::from(fields.timestamp);
            block.beneficiary = fields.beneficiary;
            block.prevrandao = Some(fields.mix_hash);
            block.difficulty = U256::ZERO;
            block.gas_limit = fields.gas_limit;
            block.basefee = fields.base_fee_per_gas.unwrap_or_default();
            block.set_blob_excess_gas_and_price(
                fields.excess_blob_gas.unwrap_or_default(),
                fork.blob_fraction,
            );
        })
        .build_mainnet_with_inspector(Stops::default());
    let transaction = TxEnv::builder()
        .caller(Call::FROM)
        .kind(call.to.map_or(TxKind::Create, TxKind::Call))
        .data(call.input.clone())
        .gas_limit(GAS_LIMIT)
        .gas_price(0)
        .build()
        .map_err(|error| ExecutionError::Refused(error.to_string()))?;
    let result = evm.inspect_one_tx(transaction).map_err(|error| match error {
        EVMError::Database(error) => error,
        other => ExecutionError::Refused(other.to_string()),
    })?;
    if let Some(stop) = evm.inspector.0 {
        return Err(ExecutionError::Stopped(format!("{stop:?}")));
    }
    match result {
        ExecutionResult::Success { output, .. } => Ok(Called::Returned(output.into_data())),
        ExecutionResult::Revert { output, .. } => Ok(Called::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(ExecutionError::Stopped(reason.to_string())),
    }
}

/// The first call, at whatever depth, that was stopped. A contract may catch that, and go on differently by how much gas it
/// was given.
#[derive(Debug, Default)]
struct Stops(Option<InstructionResult>);

impl Stops {
    fn note(&mut self, result: InstructionResult) {
        if !result.is_ok_or_revert() {
            self.0.get_or_insert(result);
        }
    }
}

impl<CTX, INTR: InterpreterTypes> Inspector<CTX, INTR> for Stops {
    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.note(outcome.result.result);
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.note(outcome.result.result);
    }
}

/// Proven state, as the EVM reads it.
#[derive(Debug)]
struct Proven<'a> {
    state: &'a State,
    codes: &'a Codes,
    /// What the run has touched.
    accounts: BTreeSet<Address>,
    slots: BTreeSet<(Address, U256)>,
    wanted: Shortfall,
    analysed: BTreeMap<B256, Bytecode>,
}

impl Database for Proven<'_> {
    type Error = ExecutionError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ExecutionError> {
        self.accounts.insert(address);
        if self.accounts.len() > MAX_ACCOUNTS {
            return Err(ExecutionError::TooMuch);
        }
        let Some(account) = self.state.account(address) else {
            self.wanted.accounts.entry(address).or_default();
            return Ok(None);
        };
        Ok(account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ExecutionError> {
        if hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.analysed.get(&hash) {
            return Ok(code.clone());
        }
        let Some(code) = self.codes.get(hash) else {
            let address = self
                .state
                .with_code(hash)
                .ok_or_else(|| ExecutionError::Refused(format!("no account has the code {hash}")))?;
            self.wanted.codes.insert(hash, address);
            return Ok(Bytecode::default());
        };
        let code = Bytecode::new_raw_checked(code.clone())
            .map_err(|error| ExecutionError::Refused(error.to_string()))?;
        self.analysed.insert(hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ExecutionError> {
        self.slots.insert((address, slot));
        if self.slots.len() > MAX_SLOTS {
            return Err(ExecutionError::TooMuch);
        }
        if let Some(value) = self.state.slot(address, slot) {
            return Ok(value);
        }
        self.wanted.accounts.entry(address).or_default().insert(slot);
        Ok(U256::ZERO)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ExecutionError> {
        Err(ExecutionError::BlockHash(number))
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::Header,
        primitives::{address, hex, keccak256},
        rlp,
    };
    use alloy_trie::{HashBuilder, Nibbles, TrieAccount, proof::ProofRetainer};

    use super::*;
    use crate::proof::state::{AccountProof, StorageProof};

    const CONTRACT: Address = address!("00000000000000000000000000000000000000c0");
    const OTHER: Address = address!("00000000000000000000000000000000000000c1");
    const BENEFICIARY: Address = address!("00000000000000000000000000000000000000fe");

    /// A whole state, which knows its root and proves all of itself.
    #[derive(Default)]
    struct World {
        codes: BTreeMap<Address, Bytes>,
        storage: BTreeMap<Address, BTreeMap<U256, U256>>,
    }

    fn prove(leaves: &BTreeMap<B256, Vec<u8>>, key: B256) -> (B256, Vec<Bytes>) {
        let retainer = <ProofRetainer>::new(vec![Nibbles::unpack(key)]);
        let mut builder = HashBuilder::default().with_proof_retainer(retainer);
        for (key, value) in leaves {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted();
        (root, nodes.into_iter().map(|(_, node)| node).collect())
    }

    impl World {
        fn slots(&self, address: Address) -> BTreeMap<B256, Vec<u8>> {
            let slots = self.storage.get(&address).into_iter().flatten();
            slots.map(|(slot, value)| (keccak256(slot.to_be_bytes::<32>()), rlp::encode(value))).collect()
        }

        fn accounts(&self) -> BTreeMap<B256, Vec<u8>> {
            let account = |(address, code): (&Address, &Bytes)| {
                let (storage_root, _) = prove(&self.slots(*address), B256::ZERO);
                let code_hash = keccak256(code);
                let account = TrieAccount { nonce: 1, balance: U256::from(7), storage_root, code_hash };
                (keccak256(address), rlp::encode(account))
            };
            self.codes.iter().map(account).collect()
        }

        fn header(&self) -> HashedHeader {
            let (state_root, _) = prove(&self.accounts(), B256::ZERO);
            let header = Header {
                state_root,
                number: 1000,
                timestamp: 1_700_000_000,
                gas_limit: 60_000_000,
                base_fee_per_gas: Some(9),
                beneficiary: BENEFICIARY,
                mix_hash: B256::repeat_byte(5),
                ..Header::default()
            };
            let hash = header.hash_slow();
            HashedHeader::new(header, hash).unwrap()
        }

        fn proof(&self, address: Address, slots: &BTreeSet<U256>) -> AccountProof {
            let storage = |slot: &U256| {
                let (_, proof) = prove(&self.slots(address), keccak256(slot.to_be_bytes::<32>()));
                StorageProof { key: *slot, proof }
            };
            AccountProof {
                account_proof: prove(&self.accounts(), keccak256(address)).1,
                storage_proof: slots.iter().map(storage).collect(),
            }
        }

        /// Proves what the call wants until it ends; the rounds that it took.
        fn answer(&self, call: &Call) -> (Result<Called, ExecutionError>, usize) {
            let header = self.header();
            let (mut state, mut codes) = (State::under(header.fields().state_root), Codes::default());
            for round in 0.. {
                match run(call, &header, 31337, &state, &codes) {
                    Err(error) => return (Err(error), round),
                    Ok(Run::Ended(answer)) => return (Ok(answer), round),
                    Ok(Run::Lacks(wanted)) => {
                        assert!(round < 20, "{wanted:?}");
                        for (address, slots) in &wanted.accounts {
                            state.admit(*address, slots, &self.proof(*address, slots)).unwrap();
                        }
                        for (hash, address) in &wanted.codes {
                            codes.admit(*hash, *address, self.codes[address].clone()).unwrap();
                        }
                    }
                }
            }
            unreachable!("it returns")
        }
    }

    fn world(code: impl Into<Bytes>) -> World {
        World { codes: [(CONTRACT, code.into())].into(), ..World::default() }
    }

    fn call() -> Call {
        Call { to: Some(CONTRACT), input: Bytes::new() }
    }

    /// Runs the code of a contract that leaves one word on the stack, and returns that.
    fn word(code: &str) -> Result<U256, ExecutionError> {
        let code = [hex::decode(code).unwrap(), hex!("5f5260205ff3").to_vec()].concat();
        let answer = world(code).answer(&call()).0?;
        let Called::Returned(bytes) = answer else { panic!("{answer:?}") };
        Ok(U256::from_be_slice(&bytes))
    }

    #[test]
    fn the_environment_is_the_headers() {
        for (opcode, expected) in [
            ("43", U256::from(1000)),
            ("42", U256::from(1_700_000_000)),
            ("41", U256::from_be_slice(BENEFICIARY.as_slice())),
            ("44", U256::from_be_bytes([5; 32])),
            ("45", U256::from(60_000_000)),
            ("48", U256::from(9)),
            ("46", U256::from(31337)),
            ("3a", U256::ZERO),
            ("32", U256::ZERO),
            ("47", U256::from(7)),
            // An account that is proven to be absent has no balance.
            ("73000000000000000000000000000000000000dead31", U256::ZERO),
        ] {
            assert_eq!(word(opcode), Ok(expected), "{opcode}");
        }
    }

    #[test]
    fn storage_is_read_as_it_is_proven_and_absent_slots_are_zero_only_then() {
        let mut world = world(hex!("5f35545f5260205ff3"));
        world
            .storage
            .insert(CONTRACT, (1_u64..50).map(|slot| (U256::from(slot), U256::from(slot + 7))).collect());
        for (slot, value) in [(1, 8), (49, 56), (50, 0), (0, 0)] {
            let input = U256::from(slot).to_be_bytes::<32>().into();
            let (answer, rounds) = world.answer(&Call { input, ..call() });
            let expected = U256::from(value).to_be_bytes::<32>().into();
            assert_eq!(answer, Ok(Called::Returned(expected)));
            assert_eq!(rounds, 3, "the accounts, the code, the slot");
        }
    }

    #[test]
    fn one_round_finds_all_that_a_run_can_find() {
        // sload(1) to sload(5), whose sum it returns.
        let code = hex!("600154600254016003540160045401600554015f5260205ff3");
        let mut world = world(code);
        world.storage.insert(CONTRACT, (1_u64..6).map(|slot| (U256::from(slot), U256::from(slot))).collect());
        let (answer, rounds) = world.answer(&call());
        assert_eq!(answer, Ok(Called::Returned(U256::from(15).to_be_bytes::<32>().into())));
        assert_eq!(rounds, 3);
    }

    #[test]
    fn a_revert_is_an_answer() {
        let (answer, _) = world(hex!("60aa5f5260206000fd")).answer(&call());
        assert_eq!(answer, Ok(Called::Reverted(U256::from(0xaa).to_be_bytes::<32>().into())));
        let (answer, _) = world(hex!("5f5ffd")).answer(&call());
        assert_eq!(answer, Ok(Called::Reverted(Bytes::new())));
    }

    #[test]
    fn creation_code_runs_and_a_delegate_is_one_more_account() {
        // Returns the balance of the contract.
        let input = hex!("7300000000000000000000000000000000000000c0315f5260205ff3").into();
        let (answer, _) = world(hex!("00")).answer(&Call { to: None, input });
        assert_eq!(answer, Ok(Called::Returned(U256::from(7).to_be_bytes::<32>().into())));

        let mut delegating = world([&hex!("ef0100")[..], OTHER.as_slice()].concat());
        delegating.codes.insert(OTHER, hex!("602a5f5260205ff3").into());
        let (answer, rounds) = delegating.answer(&call());
        assert_eq!(answer, Ok(Called::Returned(U256::from(42).to_be_bytes::<32>().into())));
        assert!(rounds >= 3);
        let malformed = world(hex!("ef0100c0"));
        assert!(matches!(malformed.answer(&call()).0, Err(ExecutionError::Refused(_))));
    }

    #[test]
    fn what_ends_as_no_contract_ends_on_purpose_is_not_provable() {
        // Endless; invalid; an opcode of no fork; an empty stack.
        for code in [&hex!("5b5f56")[..], &hex!("fe"), &hex!("0c"), &hex!("50")] {
            let (answer, _) = world(code.to_vec()).answer(&call());
            assert!(matches!(answer, Err(ExecutionError::Stopped(_))), "{answer:?}");
            // Nor if the caller catches it: it calls the other one, and returns 1 whatever came of that.
            let catching = hex!("5f5f5f5f5f60c15af15060015f5260205ff3");
            let mut world = world(catching);
            world.codes.insert(OTHER, code.to_vec().into());
            let (answer, _) = world.answer(&call());
            assert!(matches!(answer, Err(ExecutionError::Stopped(_))), "{answer:?}");
        }
        // A call that reverts is caught on purpose.
        let mut world = world(hex!("5f5f5f5f5f60c15af15060015f5260205ff3"));
        world.codes.insert(OTHER, hex!("5f5ffd").into());
        assert_eq!(world.answer(&call()).0, Ok(Called::Returned(U256::ONE.to_be_bytes::<32>().into())));
    }

    #[test]
    fn the_hash_of_an_earlier_block_is_not_provable() {
        assert_eq!(word("6103e740"), Err(ExecutionError::BlockHash(999)));
        assert_eq!(word("6102e840"), Err(ExecutionError::BlockHash(744)));
        // Too early, and not yet: zero on each chain.
        assert_eq!(word("6102e740"), Ok(U256::ZERO));
        assert_eq!(word("6103e840"), Ok(U256::ZERO));
    }

    #[test]
    fn more_accounts_or_slots_than_the_limit_are_not_provable() {
        // Reads the slots, or the balances, from the number in the call data down to 1.
        let asked = |opcode: u8, count: usize| {
            let mut code = hex!("5f355b80005060019003806002570000").to_vec();
            code[4] = opcode;
            let input = U256::from(count).to_be_bytes::<32>().into();
            let mut world = world(code);
            world.storage.insert(CONTRACT, [(U256::from(9000), U256::ONE)].into());
            world.answer(&Call { input, ..call() }).0
        };
        assert!(asked(0x54, MAX_SLOTS).is_ok());
        assert_eq!(asked(0x54, MAX_SLOTS + 1), Err(ExecutionError::TooMuch));
        // The contract, the caller and the beneficiary are three accounts.
        assert!(asked(0x31, MAX_ACCOUNTS - 3).is_ok());
        assert_eq!(asked(0x31, MAX_ACCOUNTS - 2), Err(ExecutionError::TooMuch));
    }
}
