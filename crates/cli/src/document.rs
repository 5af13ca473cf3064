//! The JSON document that a proposal is written in: one schema for all five actions (see docs/proposals.md).
//!
//! Txids are in Bitcoin's display order without 0x, all other bytes 0x-prefixed hex, amounts whole satoshis as
//! integers or decimal strings. Reading is strict: what is unknown, repeated or of a wrong length is an error that names
//! the field.

use std::{fmt, marker::PhantomData, str::FromStr};

use alloy_primitives::hex;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid, consensus::encode, hashes::Hash as _};
use coxswain_ethereum::Revealed;
use coxswain_rules::{
    Action, Case, DepositExtraInfo, DepositSweepProposal, FundingTransaction, HeartbeatProposal, KeyHash,
    MovedFundsSweepProposal, MovingFundsProposal, RedemptionProposal, RevealedDeposit, Subject, Utxo,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value as Json, json, value::RawValue};

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
    deposits: Vec<Object<DepositDocument>>,
}

/// A deposit of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DepositDocument {
    txid: TxidText,
    output_index: u32,
    reveal_block: Option<u64>,
    funding_transaction: Option<RawTransaction>,
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
    redeemer_output_scripts: Vec<Bytes>,
}

/// Moving funds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MovingFundsDocument {
    action: ActionName,
    wallet: Fixed<20>,
    fee: Satoshis,
    target_wallets: Vec<Fixed<20>>,
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
    /// The field that only Bitcoin can supply; none when the document holds all of those.
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

    /// What it names, as far as the Bridge may know it.
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

/// The document of a case: what reads back as it.
pub fn write(case: &Case) -> Json {
    let mut document = json!({ "action": case.action().name(), "wallet": case.wallet.to_string() });
    let fields = match &case.subject {
        Subject::Heartbeat(proposal) => json!({ "message": prefixed(&proposal.message) }),
        Subject::DepositSweep { proposal, extra_info } => json!({
            "fee": proposal.fee.to_sat(),
            "deposits": proposal.deposits.iter().zip(extra_info).map(deposit).collect::<Vec<_>>(),
        }),
        Subject::Redemption(proposal) => json!({
            "fee": proposal.fee.to_sat(),
            "redeemerOutputScripts": proposal.scripts.iter().map(|script| prefixed(script.as_bytes())).collect::<Vec<_>>(),
        }),
        Subject::MovingFunds { proposal, main_utxo } => json!({
            "fee": proposal.fee.to_sat(),
            "targetWallets": proposal.targets.iter().map(KeyHash::to_string).collect::<Vec<_>>(),
            "mainUtxo": utxo(main_utxo),
        }),
        Subject::MovedFundsSweep(proposal) => json!({
            "fee": proposal.fee.to_sat(),
            "movingFundsTxid": proposal.outpoint.txid.to_string(),
            "movingFundsOutputIndex": proposal.outpoint.vout,
        }),
    };
    if let (Json::Object(document), Json::Object(mut fields)) = (&mut document, fields) {
        document.append(&mut fields);
    }
    document
}

/// A main UTXO as documents write it.
pub(crate) fn utxo(utxo: &Utxo) -> Json {
    let Utxo { outpoint, value } = utxo;
    json!({ "txid": outpoint.txid.to_string(), "outputIndex": outpoint.vout, "value": value.to_sat() })
}

fn deposit((deposit, info): (&RevealedDeposit, &DepositExtraInfo)) -> Json {
    let FundingTransaction { version, input_vector, output_vector, locktime } = &info.funding_transaction;
    json!({
        "txid": deposit.outpoint.txid.to_string(),
        "outputIndex": deposit.outpoint.vout,
        "revealBlock": deposit.reveal_block,
        "fundingTransaction": prefixed(&[&version[..], input_vector, output_vector, locktime].concat()),
        "script": {
            "blindingFactor": prefixed(&info.blinding_factor),
            "walletPublicKeyHash": info.wallet.to_string(),
            "refundPublicKeyHash": info.refund_key_hash.to_string(),
            "refundLocktime": prefixed(&info.refund_locktime),
        },
    })
}

fn prefixed(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}

/// What is written as an object. On its own, serde would also take an array of the fields' values, in an order that no document
/// promises.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with named fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// An [`Action`] by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ActionName(Action);

impl<'de> Deserialize<'de> for ActionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Action::ALL.into_iter().find(|action| action.name() == text).map(Self).ok_or_else(|| {
            let names = Action::ALL.map(Action::name).join(", ");
            D::Error::custom(format_args!("`{text}` is no action: expected one of {names}"))
        })
    }
}

/// Reads the bytes behind `0x`.
fn hex_bytes<E: serde::de::Error>(text: &str) -> Result<Vec<u8>, E> {
    let digits = text.strip_prefix("0x").ok_or_else(|| E::custom("expected hex with a 0x prefix"))?;
    raw_hex(digits)
}

fn raw_hex<E: serde::de::Error>(digits: &str) -> Result<Vec<u8>, E> {
    if let Some((position, digit)) = digits.char_indices().find(|(_, digit)| !digit.is_ascii_hexdigit()) {
        return Err(E::custom(format_args!("`{digit}` at position {position} is no hex digit")));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(E::custom(format_args!("an odd number of hex digits ({})", digits.len())));
    }
    hex::decode(digits).map_err(E::custom)
}

/// A byte string of a fixed length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fixed<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = hex_bytes(&String::deserialize(deserializer)?)?;
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| {
            D::Error::custom(format_args!("expected {N} bytes ({} hex digits), got {length}", 2 * N))
        })?;
        Ok(Self(bytes))
    }
}

/// A byte string of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex_bytes(&String::deserialize(deserializer)?).map(Self)
    }
}

/// A transaction id, in Bitcoin's display order, without a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TxidText(Txid);

impl<'de> Deserialize<'de> for TxidText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with("0x") {
            return Err(D::Error::custom("a txid is in Bitcoin's display order, without a 0x prefix"));
        }
        let mut bytes: Vec<u8> = raw_hex(&text)?;
        bytes.reverse();
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| {
            D::Error::custom(format_args!("expected a txid of 32 bytes (64 hex digits), got {length}"))
        })?;
        Ok(Self(Txid::from_byte_array(bytes)))
    }
}

/// A raw transaction, with or without witness. The 0x prefix may be left out, as Bitcoin programs do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RawTransaction(Transaction);

impl<'de> Deserialize<'de> for RawTransaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Vec<u8> = raw_hex(text.strip_prefix("0x").unwrap_or(&text))?;
        match encode::deserialize_partial(&bytes) {
            Ok((transaction, length)) if length == bytes.len() => Ok(Self(transaction)),
            Ok((_, length)) => Err(D::Error::custom(format_args!(
                "not a Bitcoin transaction: {} bytes follow after its end",
                bytes.len().saturating_sub(length)
            ))),
            Err(encode::Error::Io(_)) => Err(D::Error::custom(format_args!(
                "not a Bitcoin transaction: it breaks off after {} bytes",
                bytes.len()
            ))),
            Err(error) => Err(D::Error::custom(format_args!("not a Bitcoin transaction: {error}"))),
        }
    }
}

/// An amount in satoshis: an integer, or a decimal string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Satoshis(Amount);

impl<'de> Deserialize<'de> for Satoshis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SatoshisVisitor;

        impl Visitor<'_> for SatoshisVisitor {
            type Value = Satoshis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "whole satoshis from 0 to {}, as an integer or a decimal string", u64::MAX)
            }

            fn visit_u64<E: serde::de::Error>(self, satoshis: u64) -> Result<Satoshis, E> {
                Ok(Satoshis(Amount::from_sat(satoshis)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Satoshis, E> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let satoshis = digits.then(|| text.parse().ok()).flatten();
                satoshis
                    .map(|satoshis| Satoshis(Amount::from_sat(satoshis)))
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(SatoshisVisitor)
    }
}
