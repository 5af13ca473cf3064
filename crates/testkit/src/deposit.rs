//! Deposits of every kind that can be revealed, those that can't be swept included.

use alloy::primitives::{Address, B256};
use bitcoin::{OutPoint, PubkeyHash, ScriptBuf, Transaction, TxOut, WPubkeyHash, hashes::Hash};
use coxswain_bindings::{Bridge, bridge::DepositRevealInfo};
use coxswain_rules::{
    Amount, DepositExtraInfo, DepositOutputType, DepositScript, RevealedDeposit,
    units::{BlockNumber, Confirmations},
};

use crate::{Error, Wallet, World, convert, wallet::key_hash};

/// Seconds from a reveal to the refund lock time, unless another is asked for: 270 days.
const REFUND_AFTER: u64 = 270 * 24 * 3600;

/// The kind of a deposit's funding output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DepositOutput {
    /// P2SH of the deposit script.
    P2sh,
    /// P2WSH of the deposit script.
    P2wsh,
    /// P2PKH over the deposit script's HASH160: nobody can spend it, yet this Bridge takes it.
    P2pkh,
    /// P2WPKH over the deposit script's HASH160: likewise.
    P2wpkh,
}

impl DepositOutput {
    fn script(self, script: &DepositScript) -> ScriptBuf {
        let hash = script.as_script().script_hash().to_byte_array();
        match self {
            Self::P2sh => script.output_script(DepositOutputType::P2sh),
            Self::P2wsh => script.output_script(DepositOutputType::P2wsh),
            Self::P2pkh => ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(hash)),
            Self::P2wpkh => ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(hash)),
        }
    }
}

/// Where a deposit's funding transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Funding {
    /// In a block, buried under so many, its own included; at least 1.
    Mined {
        /// How many.
        confirmations: Confirmations,
    },
    /// Waiting for a block.
    Waiting,
    /// Nowhere.
    Absent,
}

/// What a deposit should be like. By default half a bitcoin in a P2WSH, six blocks deep, for nobody but the depositor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositSpec {
    /// The kind of output.
    pub output: DepositOutput,
    /// The output's value.
    pub amount: Amount,
    /// Who reveals it; [`World::depositor`] when none.
    pub depositor: Option<Address>,
    /// What is attached; zero for nothing.
    pub extra_data: B256,
    /// The vault that gets the deposit; zero for none.
    pub vault: Address,
    /// When it can be refunded, in Unix seconds; 270 days from now when none.
    pub refund_locktime: Option<u32>,
    /// How many outputs of its funding transaction stand before it.
    pub outputs_before: u32,
    /// Where its funding transaction is.
    pub funding: Funding,
}

impl Default for DepositSpec {
    fn default() -> Self {
        Self {
            output: DepositOutput::P2wsh,
            amount: Amount::from_sat(5000_0000),
            depositor: None,
            extra_data: B256::ZERO,
            vault: Address::ZERO,
            refund_locktime: None,
            outputs_before: 1,
            funding: Funding::Mined { confirmations: Confirmations(6) },
        }
    }
}

/// A revealed deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// The transaction that funds it, with its witness.
    pub funding: Transaction,
    /// The output that holds it.
    pub outpoint: OutPoint,
    /// What a sweep proposal must say of it.
    pub extra_info: DepositExtraInfo,
    /// Its script.
    pub script: DepositScript,
    /// Who revealed it.
    pub depositor: Address,
    /// Its vault; zero for none.
    pub vault: Address,
    /// The block that holds its `DepositRevealed` event.
    pub reveal_block: BlockNumber,
}

impl Deposit {
    /// The deposit as a proposal names it.
    pub fn revealed(&self) -> RevealedDeposit {
        RevealedDeposit { outpoint: self.outpoint, reveal_block: self.reveal_block }
    }
}

impl World {
    /// Funds a deposit to the wallet and reveals it to the Bridge.
    pub async fn reveal(&mut self, wallet: &Wallet, spec: DepositSpec) -> Result<Deposit, Error> {
        let number = self.deposits;
        self.deposits = number.wrapping_add(1);
        let depositor = spec.depositor.unwrap_or(self.depositor);
        let refund_locktime = match spec.refund_locktime {
            Some(locktime) => locktime,
            None => u32::try_from(self.chain.now().await?.saturating_add(REFUND_AFTER))
                .map_err(|_| Error::Overflow { what: "the refund lock time" })?,
        };
        let mut extra_info = DepositExtraInfo {
            // The script doesn't depend on it, but it on the script.
            funding_transaction: (&self.bitcoin.pay(&[])?).into(),
            blinding_factor: number.to_be_bytes(),
            wallet: wallet.key_hash(),
            refund_key_hash: key_hash(b"refund", number),
            refund_locktime: refund_locktime.to_le_bytes(),
        };
        let script = DepositScript::new(depositor, spec.extra_data, &extra_info);
        let output = TxOut { value: spec.amount, script_pubkey: spec.output.script(&script) };
        let before = (0..spec.outputs_before).map(|position| other_output(number, position));
        let funding = self.bitcoin.pay(&before.chain([output]).collect::<Vec<_>>())?;
        match spec.funding {
            Funding::Mined { confirmations } => {
                self.bitcoin.mine(std::slice::from_ref(&funding))?;
                self.bitcoin.mine_empty(confirmations.0.saturating_sub(1))?;
            }
            Funding::Waiting => self.bitcoin.broadcast(&funding)?,
            Funding::Absent => {}
        }
        self.settle().await?;
        extra_info.funding_transaction = (&funding).into();

        let info = convert::info(extra_info.funding_transaction.clone());
        let reveal = DepositRevealInfo {
            fundingOutputIndex: spec.outputs_before,
            blindingFactor: extra_info.blinding_factor.into(),
            walletPubKeyHash: extra_info.wallet.into(),
            refundPubKeyHash: extra_info.refund_key_hash.into(),
            refundLocktime: extra_info.refund_locktime.into(),
            vault: spec.vault,
        };
        let bridge = self.bridge.address();
        let receipt = if spec.extra_data.is_zero() {
            let call = Bridge::revealDepositCall { fundingTx: info, reveal };
            self.chain.send(depositor, bridge, &call).await?
        } else {
            let call = Bridge::revealDepositWithExtraDataCall {
                fundingTx: info,
                reveal,
                extraData: spec.extra_data,
            };
            self.chain.send(depositor, bridge, &call).await?
        };
        Ok(Deposit {
            outpoint: OutPoint::new(funding.compute_txid(), spec.outputs_before),
            funding,
            extra_info,
            script,
            depositor,
            vault: spec.vault,
            reveal_block: BlockNumber(receipt.block_number.ok_or(Error::Absent("block of a receipt"))?),
        })
    }
}

/// An output that has nothing to do with the deposit.
fn other_output(deposit: u64, position: u32) -> TxOut {
    let key = key_hash(b"other", deposit ^ u64::from(position).rotate_right(32));
    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(key.0));
    TxOut { value: Amount::from_sat(12_3456), script_pubkey }
}
