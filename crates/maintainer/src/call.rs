//! The call that proves a transaction.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};
use bitcoin::hashes::Hash;
use coxswain_bindings::bridge;
use coxswain_bitcoin::spv::SpvProof;
use coxswain_ethereum::submit::Call;
use coxswain_rules::{FundingTransaction, KeyHash, Utxo};

use crate::Kind;

/// Where proofs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    /// To the proxy at this address, which refunds their gas.
    Proxy(Address),
    /// To the Bridge at this address itself.
    Bridge(Address),
}

impl Venue {
    /// The contract's address. Both take the same calls.
    pub const fn address(&self) -> Address {
        match self {
            Self::Proxy(address) | Self::Bridge(address) => *address,
        }
    }
}

/// The call that proves this wallet's transaction, which is of this kind; `main_utxo` is the wallet's before it, if it spends
/// that.
pub fn proof_call(
    venue: Venue,
    kind: Kind,
    wallet: KeyHash,
    main_utxo: Option<Utxo>,
    proof: &SpvProof,
) -> Call {
    let (tx, proof, main_utxo) = (info(proof), spv(proof), utxo(main_utxo));
    let wallet = wallet.into();
    // The proxy's functions are the Bridge's, by name and arguments, and so by selector.
    let input = match kind {
        Kind::DepositSweep { vault } => bridge::Bridge::submitDepositSweepProofCall {
            sweepTx: tx,
            sweepProof: proof,
            mainUtxo: main_utxo,
            vault,
        }
        .abi_encode(),
        Kind::Redemption => bridge::Bridge::submitRedemptionProofCall {
            redemptionTx: tx,
            redemptionProof: proof,
            mainUtxo: main_utxo,
            walletPubKeyHash: wallet,
        }
        .abi_encode(),
        Kind::MovingFunds => bridge::Bridge::submitMovingFundsProofCall {
            movingFundsTx: tx,
            movingFundsProof: proof,
            mainUtxo: main_utxo,
            walletPubKeyHash: wallet,
        }
        .abi_encode(),
        Kind::MovedFundsSweep => bridge::Bridge::submitMovedFundsSweepProofCall {
            sweepTx: tx,
            sweepProof: proof,
            mainUtxo: main_utxo,
        }
        .abi_encode(),
    };
    Call { to: venue.address(), input: input.into() }
}

fn info(proof: &SpvProof) -> bridge::Info {
    let transaction = FundingTransaction::from(&proof.transaction);
    bridge::Info {
        version: transaction.version.into(),
        inputVector: transaction.input_vector.into(),
        outputVector: transaction.output_vector.into(),
        locktime: transaction.locktime.into(),
    }
}

fn spv(proof: &SpvProof) -> bridge::Proof {
    bridge::Proof {
        merkleProof: Bytes::from(proof.merkle_proof()),
        txIndexInBlock: U256::from(proof.branch.position),
        bitcoinHeaders: Bytes::from(proof.header_bytes()),
        coinbasePreimage: B256::new(proof.coinbase_preimage()),
        coinbaseProof: Bytes::from(proof.coinbase_proof()),
    }
}

/// The Bridge takes zeros for no main UTXO.
fn utxo(utxo: Option<Utxo>) -> bridge::UTXO {
    utxo.map_or_else(bridge::UTXO::default, |utxo| bridge::UTXO {
        txHash: utxo.outpoint.txid.to_byte_array().into(),
        txOutputIndex: utxo.outpoint.vout,
        txOutputValue: utxo.value.to_sat(),
    })
}

#[cfg(test)]
mod tests {
    use coxswain_bindings::maintainer_proxy;

    use super::*;

    #[test]
    fn the_proxy_takes_the_same_calls_as_the_bridge() {
        use bridge::Bridge as direct;
        use maintainer_proxy::MaintainerProxy as proxy;
        assert_eq!(
            direct::submitDepositSweepProofCall::SELECTOR,
            proxy::submitDepositSweepProofCall::SELECTOR
        );
        assert_eq!(direct::submitRedemptionProofCall::SELECTOR, proxy::submitRedemptionProofCall::SELECTOR);
        assert_eq!(direct::submitMovingFundsProofCall::SELECTOR, proxy::submitMovingFundsProofCall::SELECTOR);
        assert_eq!(
            direct::submitMovedFundsSweepProofCall::SELECTOR,
            proxy::submitMovedFundsSweepProofCall::SELECTOR
        );
    }
}
