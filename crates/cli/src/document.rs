//! The JSON document that a proposal is written in: one schema for all five actions (see docs/proposals.md).
//!
//! Txids are in Bitcoin's display order without 0x, all other bytes 0x-prefixed hex, amounts whole satoshis as
//! integers or decimal strings. Reading is strict: what is unknown, repeated or of a wrong length is an error that names
//! the field.

mod fields;
mod write;

use std::str::FromStr;

use bitcoin::{OutPoint, ScriptBuf, Transaction};
use coxswain_ethereum::Revealed;
use coxswain_rules::{
    Action, Case, DepositExtraInfo, DepositSweepProposal, FundingTransaction, HeartbeatProposal, KeyHash,
    MovedFundsSweepProposal, MovingFundsProposal, RedemptionProposal, RevealedDeposit, Subject, Utxo,
    units::BlockNumber,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use self::fields::{ActionName, Bytes, Fixed, Object, RawTransaction, Satoshis, TxidText, few, given};
pub(crate) use self::write::utxo;
pub use self::write::write;
use crate::hints::Names;

/// A text that is no proposal document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The text is not JSON, or breaks off.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// A field is missing, unknown or of the wrong form.
    #[error("{path}: {problem}")]
    Field {
        /// Where: as in `deposits[0].txid`; `.` for the document itself.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// It is what `coxswain propose --json` prints if there is nothing to propose.
    #[error("there is no proposal in it: what coxswain propose came to is `{outcome}`")]
    NoProposal {
        /// What it came to.
        outcome: String,
    },
}

impl DocumentError {
    /// That a field is needed which is neither given nor looked up.
    pub(crate) fn not_supplied(path: String) -> Self {
        Self::Field { path, problem: "neither given nor looked up".to_owned() }
    }
}

/// A proposal document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// `"action": "heartbeat"`
    Heartbeat(HeartbeatDocument),
    /// `"action": "deposit-sweep"`
    DepositSweep(DepositSweepDocument),
    /// `"action": "redemption"`
    Redemption(RedemptionDocument),
    /// `"action": "moving-funds"`
    MovingFunds(MovingFundsDocument),
    /// `"action": "moved-funds-sweep"`
    MovedFundsSweep(MovedFundsSweepDocument),
}

/// A heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HeartbeatDocument {
    action: ActionName,
    wallet: Fixed<20>,
    message: Bytes,
}

/// A deposit sweep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DepositSweepDocument {
    action: ActionName,
    wallet: Fixed<20>,
    fee: Satoshis,
    #[serde(deserialize_with = "few")]
    deposits: Vec<Object<DepositDocument>>,
}

/// A deposit of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DepositDocument {
    txid: TxidText,
    output_index: u32,
    #[serde(default, deserialize_with = "given")]
    reveal_block: Option<BlockNumber>,
    #[serde(default, deserialize_with = "given")]
    funding_transaction: Option<RawTransaction>,
    #[serde(default, deserialize_with = "given")]
    script: Option<Object<ScriptDocument>>,
}

/// The parts of a deposit's script that its revealer chose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScriptDocument {
    blinding_factor: Fixed<8>,
    wallet_public_key_hash: Fixed<20>,
    refund_public_key_hash: Fixed<20>,
    refund_locktime: Fixed<4>,
}

/// A redemption.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RedemptionDocument {
    action: ActionName,
    wallet: Fixed<20>,
    fee: Satoshis,
    #[serde(deserialize_with = "few")]
    redeemer_output_scripts: Vec<Bytes>,
}

/// Moving funds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MovingFundsDocument {
    action: ActionName,
    wallet: Fixed<20>,
    fee: Satoshis,
    #[serde(deserialize_with = "few")]
    target_wallets: Vec<Fixed<20>>,
    #[serde(default, deserialize_with = "given")]
    main_utxo: Option<Object<UtxoDocument>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UtxoDocument {
    txid: TxidText,
    output_index: u32,
    value: Satoshis,
}

/// A moved funds sweep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MovedFundsSweepDocument {
    action: ActionName,
    wallet: Fixed<20>,
    fee: Satoshis,
    moving_funds_txid: TxidText,
    moving_funds_output_index: u32,
}

impl FromStr for Document {
    type Err = DocumentError;

    fn from_str(text: &str) -> Result<Self, DocumentError> {
        /// What every document has; the rest is read once it is known which.
        #[derive(Deserialize)]
        struct Head {
            action: ActionName,
        }
        /// What `coxswain propose --json` prints holds a document, and what no document has: its outcome.
        #[derive(Deserialize)]
        struct Proposing<'a> {
            outcome: String,
            #[serde(borrow)]
            proposal: Option<&'a RawValue>,
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if let Ok(Proposing { outcome, proposal }) = serde_json::from_str(text) {
            return match proposal {
                Some(proposal) => proposal.get().parse(),
                None => Err(DocumentError::NoProposal { outcome: excerpt(&outcome) }),
            };
        }
        let Head { action: ActionName(action) } = read(text)?;
        Ok(match action {
            Action::Heartbeat => Self::Heartbeat(read(text)?),
            Action::DepositSweep => Self::DepositSweep(read(text)?),
            Action::Redemption => Self::Redemption(read(text)?),
            Action::MovingFunds => Self::MovingFunds(read(text)?),
            Action::MovedFundsSweep => Self::MovedFundsSweep(read(text)?),
        })
    }
}

/// What editors on Windows put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The most of a document's own text that an error repeats, in characters.
const EXCERPT: usize = 200;

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let Object(document) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            DocumentError::Field { path: excerpt(&path), problem: excerpt(&inner.to_string()) }
        } else {
            DocumentError::Syntax(inner.to_string())
        }
    })?;
    json.end().map_err(|error| DocumentError::Syntax(error.to_string()))?;
    Ok(document)
}

/// What a document leaves to be looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookUps {
    /// The deposits, with their positions, whose script parts the event of their reveal tells.
    pub scripts: Vec<(usize, RevealedDeposit)>,
    /// The deposits, with their positions, whose funding transactions Bitcoin knows.
    pub funding: Vec<(usize, OutPoint)>,
    /// Whether the wallet's main UTXO is to be found.
    pub main_utxo: bool,
}

impl LookUps {
    /// The field that only Bitcoin can supply. `None` if the document holds all of those.
    pub fn of_bitcoin(&self) -> Option<String> {
        match self.funding.first() {
            Some((index, _)) => Some(format!("deposits[{index}].fundingTransaction")),
            None => self.main_utxo.then(|| "mainUtxo".to_owned()),
        }
    }
}

impl Document {
    /// The kind of action proposed.
    pub const fn action(&self) -> Action {
        match self {
            Self::Heartbeat(_) => Action::Heartbeat,
            Self::DepositSweep(_) => Action::DepositSweep,
            Self::Redemption(_) => Action::Redemption,
            Self::MovingFunds(_) => Action::MovingFunds,
            Self::MovedFundsSweep(_) => Action::MovedFundsSweep,
        }
    }

    /// The wallet that would act.
    pub const fn wallet(&self) -> KeyHash {
        KeyHash(match self {
            Self::Heartbeat(document) => document.wallet.0,
            Self::DepositSweep(document) => document.wallet.0,
            Self::Redemption(document) => document.wallet.0,
            Self::MovingFunds(document) => document.wallet.0,
            Self::MovedFundsSweep(document) => document.wallet.0,
        })
    }

    /// The names in the document that the Bridge may know.
    pub(crate) fn names(&self) -> Names {
        let wallets = vec![self.wallet()];
        match self {
            Self::Heartbeat(_) => Names { wallets, ..Names::default() },
            Self::DepositSweep(document) => {
                let deposits = document.deposits.iter().map(|Object(deposit)| deposit.revealed()).collect();
                Names { wallets, deposits, ..Names::default() }
            }
            Self::Redemption(document) => {
                let scripts = &document.redeemer_output_scripts;
                let scripts = scripts.iter().map(|script| ScriptBuf::from_bytes(script.0.clone())).collect();
                Names { wallets, scripts, ..Names::default() }
            }
            Self::MovingFunds(document) => {
                let targets = document.target_wallets.iter().map(|target| KeyHash(target.0));
                Names { wallets: wallets.into_iter().chain(targets).collect(), ..Names::default() }
            }
            Self::MovedFundsSweep(document) => {
                let moved = OutPoint::new(document.moving_funds_txid.0, document.moving_funds_output_index);
                Names { wallets, moved: Some(moved), ..Names::default() }
            }
        }
    }

    /// What must be looked up before the proposal can be judged.
    ///
    /// # Errors
    /// When a deposit without script parts doesn't say in which block it was revealed.
    pub fn missing(&self) -> Result<LookUps, DocumentError> {
        let mut missing = LookUps::default();
        match self {
            Self::DepositSweep(document) => {
                for (index, Object(deposit)) in document.deposits.iter().enumerate() {
                    if deposit.funding_transaction.is_none() {
                        missing.funding.push((index, deposit.outpoint()));
                    }
                    if deposit.script.is_some() {
                        continue;
                    }
                    if deposit.reveal_block.is_none() {
                        return Err(DocumentError::Field {
                            path: format!("deposits[{index}].revealBlock"),
                            problem: "needed to find the deposit's reveal, as `script` is not given"
                                .to_owned(),
                        });
                    }
                    missing.scripts.push((index, deposit.revealed()));
                }
            }
            Self::MovingFunds(document) => missing.main_utxo = document.main_utxo.is_none(),
            Self::Heartbeat(_) | Self::Redemption(_) | Self::MovedFundsSweep(_) => {}
        }
        Ok(missing)
    }

    /// Gives a deposit the transaction that funds it.
    pub fn supply_funding(&mut self, index: usize, transaction: Transaction) {
        if let Self::DepositSweep(document) = self
            && let Some(Object(deposit)) = document.deposits.get_mut(index)
        {
            deposit.funding_transaction = Some(RawTransaction(transaction));
        }
    }

    /// Gives the document the wallet's main UTXO.
    pub fn supply_main_utxo(&mut self, Utxo { outpoint, value }: Utxo) {
        if let Self::MovingFunds(document) = self {
            document.main_utxo = Some(Object(UtxoDocument {
                txid: TxidText(outpoint.txid),
                output_index: outpoint.vout,
                value: Satoshis(value),
            }));
        }
    }

    /// Gives a deposit the script parts that its reveal holds.
    pub fn supply_script(&mut self, index: usize, revealed: &Revealed) {
        if let Self::DepositSweep(document) = self
            && let Some(Object(deposit)) = document.deposits.get_mut(index)
        {
            deposit.script = Some(Object(ScriptDocument {
                blinding_factor: Fixed(revealed.blinding_factor),
                wallet_public_key_hash: Fixed(revealed.wallet.0),
                refund_public_key_hash: Fixed(revealed.refund_key_hash.0),
                refund_locktime: Fixed(revealed.refund_locktime),
            }));
        }
    }

    /// The case that the document puts before the validator.
    ///
    /// # Errors
    /// When something is still missing.
    pub fn into_case(self) -> Result<Case, DocumentError> {
        let wallet = self.wallet();
        let subject = match self {
            Self::Heartbeat(document) => {
                Subject::Heartbeat(HeartbeatProposal { message: document.message.0 })
            }
            Self::DepositSweep(document) => Subject::DepositSweep {
                proposal: DepositSweepProposal {
                    deposits: document.deposits.iter().map(|Object(deposit)| deposit.revealed()).collect(),
                    fee: document.fee.0,
                },
                extra_info: document
                    .deposits
                    .into_iter()
                    .enumerate()
                    .map(|(index, Object(deposit))| deposit.into_extra_info(index))
                    .collect::<Result<_, _>>()?,
            },
            Self::Redemption(document) => Subject::Redemption(RedemptionProposal {
                scripts: document
                    .redeemer_output_scripts
                    .into_iter()
                    .map(|script| ScriptBuf::from_bytes(script.0))
                    .collect(),
                fee: document.fee.0,
            }),
            Self::MovingFunds(document) => Subject::MovingFunds {
                proposal: MovingFundsProposal {
                    targets: document.target_wallets.into_iter().map(|target| KeyHash(target.0)).collect(),
                    fee: document.fee.0,
                },
                main_utxo: document
                    .main_utxo
                    .map(|Object(utxo)| Utxo {
                        outpoint: OutPoint::new(utxo.txid.0, utxo.output_index),
                        value: utxo.value.0,
                    })
                    .ok_or_else(|| DocumentError::not_supplied("mainUtxo".to_owned()))?,
            },
            Self::MovedFundsSweep(document) => Subject::MovedFundsSweep(MovedFundsSweepProposal {
                outpoint: OutPoint::new(document.moving_funds_txid.0, document.moving_funds_output_index),
                fee: document.fee.0,
            }),
        };
        Ok(Case { wallet, subject })
    }
}

impl DepositDocument {
    const fn outpoint(&self) -> OutPoint {
        OutPoint::new(self.txid.0, self.output_index)
    }

    /// The deposit as a proposal names it. The contract doesn't check the block, so that 0 may stand for an unknown one.
    fn revealed(&self) -> RevealedDeposit {
        RevealedDeposit { outpoint: self.outpoint(), reveal_block: self.reveal_block.unwrap_or_default() }
    }

    fn into_extra_info(self, index: usize) -> Result<DepositExtraInfo, DocumentError> {
        let not_supplied = |field| move || DocumentError::not_supplied(format!("deposits[{index}].{field}"));
        let Object(script) = self.script.ok_or_else(not_supplied("script"))?;
        let RawTransaction(funding) =
            self.funding_transaction.ok_or_else(not_supplied("fundingTransaction"))?;
        Ok(DepositExtraInfo {
            funding_transaction: FundingTransaction::from(&funding),
            blinding_factor: script.blinding_factor.0,
            wallet: KeyHash(script.wallet_public_key_hash.0),
            refund_key_hash: KeyHash(script.refund_public_key_hash.0),
            refund_locktime: script.refund_locktime.0,
        })
    }
}
