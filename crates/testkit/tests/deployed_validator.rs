//! The validator that runs on mainnet, on this Bridge: it accepts a sound proposal of each kind, and what it accepts
//! can be carried out.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

use alloy::primitives::U256;
use bitcoin::hashes::Hash;
use coxswain_bindings::{
    WalletProposalValidator,
    validator::{
        BitcoinTransaction, BitcoinUtxo, DepositExtraInfo, DepositKey, DepositSweepProposal,
        HeartbeatProposal, MovedFundsSweepProposal, MovingFundsProposal, RedemptionProposal,
    },
};
use coxswain_rules::{Amount, OutPoint, ScriptBuf, Utxo};
use coxswain_testkit::{
    Deposit, DepositOutput, DepositSpec, Error, Wallet, World, deployed_validator, standard_scripts,
};

const HOUR: u64 = 3600;
const FEE: Amount = Amount::from_sat(10_000);

fn fee() -> U256 {
    U256::from(FEE.to_sat())
}

fn sweep_arguments(wallet: &Wallet, deposits: &[Deposit]) -> (DepositSweepProposal, Vec<DepositExtraInfo>) {
    let keys = deposits.iter().map(|deposit| DepositKey {
        fundingTxHash: deposit.outpoint.txid.to_byte_array().into(),
        fundingOutputIndex: deposit.outpoint.vout,
    });
    let extra_info = deposits.iter().map(|deposit| {
        let info = deposit.extra_info.clone();
        DepositExtraInfo {
            fundingTx: BitcoinTransaction {
                version: info.funding_transaction.version.into(),
                inputVector: info.funding_transaction.input_vector.into(),
                outputVector: info.funding_transaction.output_vector.into(),
                locktime: info.funding_transaction.locktime.into(),
            },
            blindingFactor: info.blinding_factor.into(),
            walletPubKeyHash: info.wallet.into(),
            refundPubKeyHash: info.refund_key_hash.into(),
            refundLocktime: info.refund_locktime.into(),
        }
    });
    let proposal = DepositSweepProposal {
        walletPubKeyHash: wallet.key_hash().into(),
        depositsKeys: keys.collect(),
        sweepTxFee: fee(),
        depositsRevealBlocks: deposits.iter().map(|deposit| U256::from(deposit.reveal_block)).collect(),
    };
    (proposal, extra_info.collect())
}

fn prefixed(script: &ScriptBuf) -> Vec<u8> {
    bitcoin::consensus::encode::serialize(script)
}

#[tokio::test]
async fn it_accepts_one_proposal_of_each_kind_and_each_can_be_carried_out() -> Result<(), Error> {
    let mut world = World::start().await?;
    let address = world.deploy_validator(&deployed_validator()?).await?;
    let validator = WalletProposalValidator::new(address, world.chain.provider().clone());
    assert_eq!(validator.bridge().call().await?, *world.bridge.address());

    let (first, second) = (world.wallet(1).await?, world.wallet(2).await?);

    let mut message = vec![0xff; 8];
    message.extend([0x11; 8]);
    let heartbeat = HeartbeatProposal { walletPubKeyHash: first.key_hash().into(), message: message.into() };
    assert!(validator.validateHeartbeatProposal(heartbeat).call().await?);

    for wallet in [&first, &second] {
        let mut deposits = Vec::new();
        for output in [DepositOutput::P2sh, DepositOutput::P2wsh] {
            deposits.push(world.reveal(wallet, DepositSpec { output, ..Default::default() }).await?);
        }
        world.chain.advance(2 * HOUR + 1).await?;
        let (proposal, extra_info) = sweep_arguments(wallet, &deposits);
        assert!(validator.validateDepositSweepProposal(proposal, extra_info).call().await?);
        world.sweep(wallet, &deposits, FEE).await?;
    }

    let mut requests = Vec::new();
    for script in standard_scripts(1) {
        let amount = Amount::from_sat(2_000_000);
        requests.push(world.request_redemption(&first, world.depositor, script, amount).await?);
    }
    world.chain.advance(601).await?;
    let redemption = RedemptionProposal {
        walletPubKeyHash: first.key_hash().into(),
        redeemersOutputScripts: requests.iter().map(|request| prefixed(&request.script).into()).collect(),
        redemptionTxFee: fee(),
    };
    assert!(validator.validateRedemptionProposal(redemption).call().await?);
    world.redeem(&first, &requests, FEE).await?;

    world.retire(&first).await?;
    let targets = [second.key_hash()];
    world.commit_targets(&first, &targets).await?;
    let moving = MovingFundsProposal {
        walletPubKeyHash: first.key_hash().into(),
        targetWallets: vec![second.key_hash().into()],
        movingFundsTxFee: fee(),
    };
    let Utxo { outpoint, value } = world.main_utxo(&first).unwrap();
    let main_utxo = BitcoinUtxo {
        txHash: outpoint.txid.to_byte_array().into(),
        txOutputIndex: outpoint.vout,
        txOutputValue: value.to_sat(),
    };
    assert!(validator.validateMovingFundsProposal(moving, main_utxo).call().await?);
    let moved = world.move_funds(&first, &targets, FEE).await?;

    let outpoint = OutPoint::new(moved.compute_txid(), 0);
    let sweep = MovedFundsSweepProposal {
        walletPubKeyHash: second.key_hash().into(),
        movingFundsTxHash: outpoint.txid.to_byte_array().into(),
        movingFundsTxOutputIndex: outpoint.vout,
        movedFundsSweepTxFee: fee(),
    };
    assert!(validator.validateMovedFundsSweepProposal(sweep).call().await?);
    world.sweep_moved_funds(&second, outpoint, FEE).await?;
    Ok(())
}

#[tokio::test]
async fn inc1_it_accepts_deposits_that_nobody_can_spend() -> Result<(), Error> {
    let mut world = World::start().await?;
    let address = world.deploy_validator(&deployed_validator()?).await?;
    let validator = WalletProposalValidator::new(address, world.chain.provider().clone());
    let wallet = world.wallet(1).await?;
    let mut deposits = Vec::new();
    for output in [DepositOutput::P2pkh, DepositOutput::P2wpkh] {
        deposits.push(world.reveal(&wallet, DepositSpec { output, ..Default::default() }).await?);
    }
    world.chain.advance(2 * HOUR + 1).await?;
    let (proposal, extra_info) = sweep_arguments(&wallet, &deposits);
    assert!(validator.validateDepositSweepProposal(proposal, extra_info).call().await?);
    Ok(())
}
