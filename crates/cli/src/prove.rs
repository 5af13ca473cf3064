//! `coxswain prove` and `coxswain maintain`: what wallets did on Bitcoin, proven to the Bridge.

use std::{fmt, sync::Arc, time::Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use anstyle::AnsiColor;
use bitcoin::{Network, OutPoint, Transaction, Txid};
use coxswain_bitcoin::{Backend, BackendError, Backends, Known};
use coxswain_ethereum::{
    Chain, ChainError, Expected, SnapshotReader,
    submit::{Submitter, Terms},
};
use coxswain_maintainer::{
    Deadline, FindError, Item, ItemError, ItemState, Maintainer, PassError, Settings, Venue,
};
use coxswain_rules::{
    KeyHash,
    network::Preset,
    units::{BlockNumber, Height},
};
use serde::{Serialize, Serializer};

use crate::{
    arguments::{KeystoreArguments, MaintainArguments, MaintainerArguments, ProveArguments},
    network::{NetworkError, account},
    report::{EXIT_OK, EXIT_UNDECIDED, Report, Text, strong},
};

/// No.
const EXIT_NO: u8 = 1;
/// How many passes follow one another at most, while each proves something: as many as a wallet has unproven transactions.
const MOST_PASSES: usize = 50;

/// Why nothing could be asked, or told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// There is no key.
    #[error(transparent)]
    Key(#[from] NetworkError),
    /// The chain gave no usable answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Bitcoin gave no usable answer.
    #[error(transparent)]
    Bitcoin(#[from] BackendError),
    /// Nothing can be proven now, whatever it is.
    #[error(transparent)]
    Pass(#[from] PassError),
}

impl ProveError {
    /// The kind of failure that leaves the question open, if it is open.
    pub fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Usage(_) | Self::Key(_) => None,
            Self::Chain(error) | Self::Pass(PassError::Chain(error)) => Some(error.kind()),
            Self::Bitcoin(error) => Some(error.kind()),
            Self::Pass(PassError::Unauthorised(_)) => Some("unauthorised"),
            Self::Pass(_) => Some("not-provable"),
        }
    }
}

type Parts = (Maintainer<Backends, ()>, Backends);

async fn maintainer(arguments: &MaintainerArguments) -> Result<Parts, ProveError> {
    let usage = |error: &dyn fmt::Display| ProveError::Usage(error.to_string());
    let network: Option<Preset> = arguments.network.map(Into::into);
    let expected = Expected { network, ..Expected::default() };
    let endpoints = arguments.asking.endpoints(&arguments.rpc_url, expected);
    let endpoints = endpoints.map_err(|error| ProveError::Usage(format!("--rpc-url: {error}")))?;
    let chain = Chain::served(&endpoints, network).await?;
    let contracts = chain.network.and_then(|network| network.contracts);
    let bridge = arguments.bridge.or(contracts.map(|contracts| contracts.bridge));
    let bridge = bridge.ok_or_else(|| {
        ProveError::Usage("--bridge is needed on a chain whose contracts aren't known".to_owned())
    })?;
    let known = contracts.filter(|contracts| contracts.bridge == bridge);
    let proxy = arguments.maintainer_proxy.or(known.map(|contracts| contracts.maintainer_proxy));
    let venue = match proxy.filter(|_| !arguments.direct) {
        Some(proxy) => Venue::Proxy(proxy),
        None => Venue::Bridge(bridge),
    };
    let backends =
        arguments.bitcoin.backends(&arguments.asking, chain.network).map_err(|error| usage(&error))?;
    let backends = backends.ok_or_else(|| {
        ProveError::Usage("a Bitcoin endpoint is needed: give --bitcoin-url <URL>".to_owned())
    })?;
    let bitcoin = chain.network.map_or(Network::Bitcoin, |network| network.bitcoin);
    let settings = Settings {
        venue,
        first_block: known.map_or(BlockNumber(0), |contracts| contracts.bridge_from),
        final_depth: chain.parameters().final_depth,
        without_work: arguments.bitcoin.bitcoin_network.unwrap_or(bitcoin) == Network::Regtest,
    };
    let submitter = match &arguments.keystore {
        None => None,
        Some(keystore) => {
            let password_file = arguments.password_file.clone();
            let account = account(&KeystoreArguments { keystore: keystore.clone(), password_file })?;
            let terms = Terms::default();
            Some(Arc::new(Submitter::new(endpoints.clone(), account, chain.id, terms, (), &[])))
        }
    };
    let reader = SnapshotReader::new(endpoints.clone(), chain.id, bridge);
    Ok((Maintainer::new(endpoints, reader, backends.clone(), submitter, settings), backends))
}

/// What became of one transaction.
#[derive(Debug)]
pub struct ProveReport {
    txid: Txid,
    /// `None`: it is no wallet's, or nowhere.
    item: Option<Item>,
}

/// Looks at one transaction, and proves it if that is asked for.
///
/// # Errors
/// If it could not be looked at.
pub async fn prove(arguments: &ProveArguments) -> Result<ProveReport, ProveError> {
    let (mut maintainer, bitcoin) = maintainer(&arguments.maintainer).await?;
    let txid = arguments.tx;
    let Some((transaction, height)) = look_up(&bitcoin, txid).await? else {
        return Ok(ProveReport { txid, item: None });
    };
    let item = maintainer.prove(transaction, height, arguments.send).await?;
    Ok(ProveReport { txid, item })
}

/// The transaction, and the height of its block, if it is in one.
async fn look_up(
    bitcoin: &Backends,
    txid: Txid,
) -> Result<Option<(Transaction, Option<Height>)>, BackendError> {
    let tip = bitcoin.tip().await?.height;
    let answer = bitcoin.transactions(&[OutPoint::new(txid, 0)]).await?.pop().transpose()?;
    let answer = answer.and_then(|assured| assured.fact);
    Ok(answer.map(|Known { transaction, confirmations }| (transaction, tip.confirmed(confirmations))))
}

/// What became of all transactions that are not proven.
#[derive(Debug, Default)]
pub struct MaintainReport {
    wallets: usize,
    items: Vec<Item>,
    unknown: Vec<(KeyHash, FindError)>,
}

/// Proves all that can be proven, once: without a key it says what could be.
///
/// # Errors
/// If nothing could be looked at.
pub async fn maintain(arguments: &MaintainArguments) -> Result<MaintainReport, ProveError> {
    let (mut maintainer, _) = maintainer(&arguments.maintainer).await?;
    let start = Instant::now();
    let mut report = MaintainReport::default();
    for _ in 0..MOST_PASSES {
        let pass = maintainer.pass(start.elapsed()).await?;
        // What is proven stays in the report; all else is as the last pass found it.
        report.items.retain(|item| is_sent(&item.state));
        report.wallets = pass.wallets;
        report.unknown = pass.unknown;
        let proves = pass.items.iter().any(|item| is_sent(&item.state));
        report.items.extend(pass.items);
        if !proves {
            break;
        }
    }
    Ok(report)
}

const fn is_sent(state: &ItemState) -> bool {
    matches!(state, ItemState::Sent(_))
}

/// An item's exit code: 0 if it is proven or can be, 1 if not, 3 if that can't be told.
const fn exit_code(state: &ItemState) -> u8 {
    match state {
        ItemState::Ready(_)
        | ItemState::Sent(_)
        | ItemState::Proven
        | ItemState::Overtaken(_)
        | ItemState::OthersCall => EXIT_OK,
        ItemState::Failed(ItemError::Submit(error)) if error.is_of_call() => EXIT_NO,
        ItemState::Failed(_) => EXIT_UNDECIDED,
        _ => EXIT_NO,
    }
}

impl Report for ProveReport {
    fn exit_code(&self) -> u8 {
        self.item.as_ref().map_or(EXIT_NO, |item| exit_code(&item.state))
    }
}

impl Report for MaintainReport {
    fn exit_code(&self) -> u8 {
        let worst = self.items.iter().map(|item| exit_code(&item.state)).max().unwrap_or(EXIT_OK);
        if self.unknown.is_empty() { worst } else { EXIT_UNDECIDED }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallFields<'a> {
    to: Text<Address>,
    data: &'a Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentFields {
    transaction: B256,
    block: BlockNumber,
    gas_used: u64,
    cost: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFields<'a> {
    transaction: Txid,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<Text<KeyHash>>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs_left: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<SentFields>,
}

impl<'a> From<&'a Item> for ItemFields<'a> {
    fn from(item: &'a Item) -> Self {
        let Item { wallet, txid, kind, deadline, state, height: _ } = item;
        let Deadline { redemption, epochs_left, .. } = *deadline;
        let call = match state {
            ItemState::Ready(call) => Some(CallFields { to: Text(call.to), data: &call.input }),
            _ => None,
        };
        let sent = match state {
            ItemState::Sent(mined) => Some(SentFields {
                transaction: mined.hash,
                block: mined.block,
                gas_used: mined.gas_used,
                cost: cost(mined.gas_used, mined.gas_price),
            }),
            _ => None,
        };
        Self {
            transaction: *txid,
            wallet: Some(Text(*wallet)),
            state: state.name(),
            action: kind.as_ref().map(|kind| kind.action().name()),
            epochs_left,
            seconds_to_timeout: redemption,
            reason: state.reason(),
            call,
            sent,
        }
    }
}

/// In wei.
fn cost(gas: u64, price: u128) -> String {
    U256::from(gas).saturating_mul(U256::from(price)).to_string()
}

impl Serialize for ProveReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nothing = || ItemFields {
            transaction: self.txid,
            wallet: None,
            state: "no_wallets",
            action: None,
            epochs_left: None,
            seconds_to_timeout: None,
            reason: None,
            call: None,
            sent: None,
        };
        self.item.as_ref().map_or_else(nothing, ItemFields::from).serialize(serializer)
    }
}

impl Serialize for MaintainReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Unknown {
            wallet: Text<KeyHash>,
            reason: String,
        }
        #[derive(Serialize)]
        struct Fields<'a> {
            wallets: usize,
            items: Vec<ItemFields<'a>>,
            unknown: Vec<Unknown>,
        }
        let unknown = |(wallet, error): &(KeyHash, FindError)| Unknown {
            wallet: Text(*wallet),
            reason: error.to_string(),
        };
        let fields = Fields {
            wallets: self.wallets,
            items: self.items.iter().map(ItemFields::from).collect(),
            unknown: self.unknown.iter().map(unknown).collect(),
        };
        fields.serialize(serializer)
    }
}

fn write_item(f: &mut fmt::Formatter<'_>, item: &Item) -> fmt::Result {
    let colour = match exit_code(&item.state) {
        EXIT_OK => AnsiColor::Green,
        EXIT_NO => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let style = strong(colour);
    let word = item.state.name().replace('_', " ").to_uppercase();
    write!(f, "{style}{word}{style:#}  ")?;
    match &item.kind {
        Some(kind) => write!(f, "{} of wallet {}: {}", kind.action().name(), item.wallet, item.txid)?,
        None => write!(f, "{}", item.txid)?,
    }
    if let Some(reason) = item.state.reason() {
        write!(f, "\n  reason    {reason}")?;
    }
    if let Some(left) = item.deadline.epochs_left {
        write!(f, "\n  provable  until the relay has learnt {left} more epochs")?;
    }
    if let Some(left) = item.deadline.redemption {
        write!(f, "\n  timeout   in {left} s")?;
    }
    match &item.state {
        ItemState::Ready(call) => write!(f, "\n  to        {}\n  calldata  {}", call.to, call.input),
        ItemState::Sent(mined) => write!(
            f,
            "\n  sent      {} in block {}, {} gas, {} wei",
            mined.hash,
            mined.block,
            mined.gas_used,
            cost(mined.gas_used, mined.gas_price)
        ),
        _ => Ok(()),
    }
}

impl fmt::Display for ProveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            Some(item) => write_item(f, item),
            None => write!(f, "no wallet's transaction is {}", self.txid),
        }
    }
}

impl fmt::Display for MaintainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wallets looked at", self.wallets)?;
        for item in &self.items {
            writeln!(f)?;
            write_item(f, item)?;
        }
        for (wallet, error) in &self.unknown {
            let yellow = strong(AnsiColor::Yellow);
            write!(f, "\n{yellow}UNDECIDED{yellow:#}  wallet {wallet}\n  reason    {error}")?;
        }
        Ok(())
    }
}
