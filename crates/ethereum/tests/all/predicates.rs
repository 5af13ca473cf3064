//! The predicates of `rules` against the contract: on random proposals and random states, the same verdict, and the
//! contract's error is the first rule that the predicates report, argument by argument.
//!
//! The contract runs in an EVM of its own, on a Bridge that answers what the snapshot says. `DIFFERENTIAL_CASES` sets
//! how many proposals are tried; 100,000 take half a minute in a release build.

#![allow(clippy::unwrap_used, reason = "only tests here")]

#[path = "../../../rules/tests/all/common/mod.rs"]
mod common;

use std::{cell::RefCell, collections::BTreeMap};

use alloy::{
    primitives::{Address, Bytes, U256, address, hex, keccak256},
    sol,
    sol_types::{SolCall, SolValue},
};
use common::changes::changed_world;
use coxswain_bindings::bridge::{
    Bridge::{
        depositParametersCall, depositParametersReturn, depositsCall, getRedemptionWatchtowerCall,
        movedFundsSweepRequestsCall, movingFundsParametersCall, movingFundsParametersReturn,
        pendingRedemptionsCall, redemptionParametersCall, redemptionParametersReturn, walletsCall,
    },
    DepositRequest, MovedFundsSweepRequest, RedemptionRequest, Wallet,
};
use coxswain_ethereum::{calldata, reason};
use coxswain_rules::{Action, Cause, Rejection, RuleId, Snapshot, evaluate};
use coxswain_testkit::our_validator;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::result::{ExecutionResult, Output},
    database::InMemoryDB,
    primitives::{TxKind, hardfork::SpecId},
    state::AccountInfo,
};

const CALLER: Address = address!("00000000000000000000000000000000000ca11e");
const BRIDGE: Address = address!("000000000000000000000000000000000000b21d");
const WATCHTOWER: Address = address!("00000000000000000000000000000000000070e2");
const VALIDATOR: Address = address!("00000000000000000000000000000000000dec1d");

sol! {
    function getRedemptionDelay(uint256 redemptionKey) external view returns (uint32);
}

/// A contract that answers every call with what its storage holds under the call data's hash: at that slot the number
/// of words, in the slots after it the words.
///
/// ```text
/// calldatasize 0 0 calldatacopy   calldatasize 0 keccak256   dup1 sload   0          hash, words, i
/// loop:  i < words, else end      mstore(32 i, sload(hash + i + 1))       i + 1      repeat
/// end:   return(0, 32 i)
/// ```
const ANSWERING: [u8; 42] =
    hex!("365f5f37365f2080545f5b81811015602457828101600101548160051b52600101600a565b60051b5ff3");

/// Runs the contract in an EVM on the state of a snapshot.
struct Contract {
    code: Bytecode,
}

impl Contract {
    fn new() -> Self {
        let creation = [our_validator().unwrap().to_vec(), BRIDGE.abi_encode()].concat();
        let result = transact(InMemoryDB::default(), 0, TxKind::Create, creation.into());
        let ExecutionResult::Success { output: Output::Create(code, _), .. } = result else {
            panic!("the constructor fails: {result:?}")
        };
        Self { code: Bytecode::new_legacy(code) }
    }

    /// What the contract says: nothing, or its revert data.
    fn judge(&self, snapshot: &Snapshot, call: Bytes) -> Option<Bytes> {
        let mut state = InMemoryDB::default();
        let code = |code| AccountInfo::default().with_code(code);
        state.insert_account_info(VALIDATOR, code(self.code.clone()));
        state.insert_account_info(BRIDGE, code(Bytecode::new_legacy(ANSWERING.into())));
        state.insert_account_info(WATCHTOWER, code(Bytecode::new_legacy(ANSWERING.into())));
        answer_for(snapshot, |contract, call, words| {
            let slot = U256::from_be_bytes(keccak256(call).0);
            state.insert_account_storage(contract, slot, U256::from(words.len() / 32)).unwrap();
            for (index, word) in words.chunks(32).enumerate() {
                let slot = slot.wrapping_add(U256::from(index + 1));
                state.insert_account_storage(contract, slot, U256::from_be_slice(word)).unwrap();
            }
        });
        match transact(state, snapshot.timestamp.0, TxKind::Call(VALIDATOR), call) {
            ExecutionResult::Success { output, .. } => {
                assert_eq!(output.into_data(), Bytes::from(true.abi_encode()));
                None
            }
            ExecutionResult::Revert { output, .. } => Some(output),
            halted @ ExecutionResult::Halt { .. } => panic!("{halted:?}"),
        }
    }
}

fn transact(state: InMemoryDB, timestamp: u64, kind: TxKind, data: Bytes) -> ExecutionResult {
    const GAS: u64 = 1_000_000_000;
    let mut evm = Context::mainnet()
        .with_db(state)
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SpecId::CANCUN);
            cfg.tx_gas_limit_cap = Some(GAS);
        })
        .modify_block_chained(|block| {
            block.timestamp = U256::from(timestamp);
            block.gas_limit = GAS;
        })
        .build_mainnet();
    let transaction =
        TxEnv::builder().caller(CALLER).kind(kind).data(data).gas_limit(GAS).gas_price(0).build().unwrap();
    evm.transact(transaction).unwrap().result
}

/// Hands over all that the snapshot holds, as contract, call data and answer.
fn answer_for(snapshot: &Snapshot, mut answer: impl FnMut(Address, Vec<u8>, Vec<u8>)) {
    for (wallet, record) in &snapshot.wallets {
        let call = walletsCall { walletPubKeyHash: (*wallet).into() };
        let record = Wallet {
            mainUtxoHash: record.main_utxo_hash,
            pendingRedemptionsValue: record.pending_redemptions_value.to_sat(),
            movingFundsRequestedAt: record.moving_funds_requested_at,
            pendingMovedFundsSweepRequestsCount: record.pending_moved_funds_sweep_requests_count,
            state: record.state as u8,
            movingFundsTargetWalletsCommitmentHash: record.moving_funds_target_wallets_commitment_hash,
            ..Wallet::default()
        };
        answer(BRIDGE, call.abi_encode(), walletsCall::abi_encode_returns(&record));
    }
    for (key, record) in &snapshot.deposits {
        let call = depositsCall { depositKey: key.to_u256() };
        let record = DepositRequest {
            depositor: record.depositor,
            amount: record.amount.to_sat(),
            revealedAt: record.revealed_at,
            vault: record.vault,
            treasuryFee: record.treasury_fee.to_sat(),
            sweptAt: record.swept_at,
            extraData: record.extra_data,
        };
        answer(BRIDGE, call.abi_encode(), depositsCall::abi_encode_returns(&record));
    }
    for (key, record) in &snapshot.redemptions {
        let call = pendingRedemptionsCall { redemptionKey: key.to_u256() };
        let record = RedemptionRequest {
            redeemer: Address::ZERO,
            requestedAmount: record.requested_amount.to_sat(),
            treasuryFee: record.treasury_fee.to_sat(),
            txMaxFee: record.tx_max_fee.to_sat(),
            requestedAt: record.requested_at,
        };
        answer(BRIDGE, call.abi_encode(), pendingRedemptionsCall::abi_encode_returns(&record));
    }
    let watchtower = if snapshot.watchtower_delays.is_some() { WATCHTOWER } else { Address::ZERO };
    answer(
        BRIDGE,
        getRedemptionWatchtowerCall {}.abi_encode(),
        getRedemptionWatchtowerCall::abi_encode_returns(&watchtower),
    );
    for (key, delay) in snapshot.watchtower_delays.iter().flatten() {
        let call = getRedemptionDelayCall { redemptionKey: key.to_u256() };
        answer(WATCHTOWER, call.abi_encode(), getRedemptionDelayCall::abi_encode_returns(delay));
    }
    for (key, record) in &snapshot.sweep_requests {
        let call = movedFundsSweepRequestsCall { requestKey: key.to_u256() };
        let record = MovedFundsSweepRequest {
            walletPubKeyHash: record.wallet.into(),
            value: record.value.to_sat(),
            createdAt: 0,
            state: record.state as u8,
        };
        answer(BRIDGE, call.abi_encode(), movedFundsSweepRequestsCall::abi_encode_returns(&record));
    }
    let parameters = depositParametersReturn {
        depositDustThreshold: 0,
        depositTreasuryFeeDivisor: 0,
        depositTxMaxFee: snapshot.deposit_parameters.deposit_tx_max_fee.to_sat(),
        depositRevealAheadPeriod: 0,
    };
    answer(
        BRIDGE,
        depositParametersCall {}.abi_encode(),
        depositParametersCall::abi_encode_returns(&parameters),
    );
    let parameters = redemptionParametersReturn {
        redemptionDustThreshold: 0,
        redemptionTreasuryFeeDivisor: 0,
        redemptionTxMaxFee: 0,
        redemptionTxMaxTotalFee: snapshot.redemption_parameters.redemption_tx_max_total_fee.to_sat(),
        redemptionTimeout: snapshot.redemption_parameters.redemption_timeout,
        redemptionTimeoutSlashingAmount: Default::default(),
        redemptionTimeoutNotifierRewardMultiplier: 0,
    };
    answer(
        BRIDGE,
        redemptionParametersCall {}.abi_encode(),
        redemptionParametersCall::abi_encode_returns(&parameters),
    );
    let of = &snapshot.moving_funds_parameters;
    let parameters = movingFundsParametersReturn {
        movingFundsTxMaxTotalFee: of.moving_funds_tx_max_total_fee.to_sat(),
        movingFundsDustThreshold: of.moving_funds_dust_threshold.to_sat(),
        movingFundsTimeoutResetDelay: 0,
        movingFundsTimeout: of.moving_funds_timeout,
        movingFundsTimeoutSlashingAmount: Default::default(),
        movingFundsTimeoutNotifierRewardMultiplier: 0,
        movingFundsCommitmentGasOffset: 0,
        movedFundsSweepTxMaxTotalFee: of.moved_funds_sweep_tx_max_total_fee.to_sat(),
        movedFundsSweepTimeout: 0,
        movedFundsSweepTimeoutSlashingAmount: Default::default(),
        movedFundsSweepTimeoutNotifierRewardMultiplier: 0,
    };
    answer(
        BRIDGE,
        movingFundsParametersCall {}.abi_encode(),
        movingFundsParametersCall::abi_encode_returns(&parameters),
    );
}

#[test]
fn the_contracts_error_is_the_first_rule_that_the_predicates_report() {
    let cases = std::env::var("DIFFERENTIAL_CASES").map_or(2_000, |cases| cases.parse().unwrap());
    let contract = Contract::new();
    let seen: RefCell<BTreeMap<(Action, Option<RuleId>), u32>> = RefCell::default();
    // The same proposals each time: a run either fails or doesn't.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(ProptestConfig { cases, failure_persistence: None, ..Default::default() }, rng)
        .run(&changed_world(), |world| {
            let predicted = evaluate(&world.case, &world.snapshot).unwrap().first();
            let said = contract.judge(&world.snapshot, calldata(&world.case)).map(|revert| {
                let cause = Cause::Reason(reason(&revert).expect("one of the contract's errors"));
                let rule = match &cause {
                    Cause::Reason(reason) => reason.rule(world.case.action()),
                    Cause::Text(_) | Cause::Panic(_) => None,
                };
                Rejection { rule, cause }
            });
            let rule = said.as_ref().and_then(|rejection| rejection.rule);
            *seen.borrow_mut().entry((world.case.action(), rule)).or_default() += 1;
            prop_assert_eq!(said, predicted);
            Ok(())
        })
        .unwrap();

    // Every rule was broken first, and every action was allowed, some time.
    let seen = seen.into_inner();
    for ((action, rule), count) in &seen {
        println!("{action:18} {:8} {count:6}", rule.map_or("valid", RuleId::id));
    }
    println!("{} proposals judged alike by predicates and contract", seen.values().sum::<u32>());
    for action in Action::ALL {
        assert!(seen.contains_key(&(action, None)), "no valid {action}");
    }
    for rule in RuleId::ALL {
        assert!(seen.contains_key(&(rule.action(), Some(*rule))), "{rule} never came first");
    }
}
