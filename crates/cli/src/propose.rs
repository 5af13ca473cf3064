//! `coxswain propose`: what a wallet would do now, and what was left out and why.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::Address;
use anstyle::{AnsiColor, Style};
use bitcoin::{FeeRate, consensus::encode};
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use coxswain_bitcoin::EndpointError;
use coxswain_ethereum::{BridgeEvents, ConnectError, ResolveError, Tbtc, Undecided, Unresolved};
use coxswain_proposals::{
    Attempt, Exclusion, Generation, Item, Memory, Outcome, Proposed, Session, Sources, Why,
    moving_funds::COMMITMENT_LOOK_BACK,
};
use coxswain_protocol::Checklist;
use coxswain_rules::{KeyHash, LeaderFee, RuleId, Value};
use serde_json::{Map, Value as Json, json};

use crate::{
    arguments::ProposeArguments,
    document,
    report::{self, fields},
};

/// As wide as a table may be, in characters.
const WIDTH: u16 = 120;

/// Why there is not even an undecided answer: what was asked makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// An Ethereum endpoint's URL can't be used.
    #[error("--rpc-url: {0}")]
    Ethereum(#[from] ConnectError),
    /// A Bitcoin endpoint's URL can't be used.
    #[error("--bitcoin-url: {0}")]
    Bitcoin(#[from] EndpointError),
    /// No Bitcoin endpoint was given.
    #[error("give a Bitcoin endpoint with --bitcoin-url")]
    NoBitcoin,
    /// Nothing says where the validator is.
    #[error("{0}: give its address with --validator")]
    UnknownValidator(#[from] ResolveError),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Proposing {
    wallet: KeyHash,
    /// What was read and asked, and what it came to; or why it didn't come to that.
    result: Result<Answered, Undecided>,
}

#[derive(Clone, Debug)]
struct Answered {
    chain_id: u64,
    bridge: Address,
    validator: Address,
    generation: Generation,
}

/// Finds out what the wallet would do now.
///
/// # Errors
/// When what is asked makes no sense. What fails on the way leaves it undecided, which is no error.
pub async fn propose(arguments: &ProposeArguments) -> Result<Proposing, ProposeError> {
    let wallet = arguments.wallet;
    let endpoint = arguments.ethereum.endpoint()?;
    // A URL that can't be used is told before anything is asked.
    if arguments.bitcoin.backends(None)?.is_none() {
        return Err(ProposeError::NoBitcoin);
    }
    let undecided = |undecided: Undecided| Ok(Proposing { wallet, result: Err(undecided) });

    let tbtc = match Tbtc::resolve(&endpoint, &arguments.ethereum.wanted(), arguments.block).await {
        Ok(tbtc) => tbtc,
        Err(Unresolved { error: ResolveError::Undecided(error), .. }) => return undecided(error),
        Err(Unresolved { error, .. }) => return Err(error.into()),
    };
    let Tbtc { chain, bridge, validator, block, .. } = tbtc;
    let bitcoin = arguments.bitcoin.backends(chain.network)?.ok_or(ProposeError::NoBitcoin)?;
    let since = arguments.since.unwrap_or(block.number.saturating_sub(COMMITMENT_LOOK_BACK));
    let mut events = BridgeEvents::new(bridge, since);
    if let Err(error) = events.update(&endpoint, block).await {
        return undecided(error);
    }

    let fallback = arguments.fees.fallback(chain.network);
    let sources = Sources::new(
        endpoint,
        chain.id,
        bridge,
        tbtc.proposal_validator(),
        bitcoin,
        chain.parameters(),
        fallback,
    );
    let checklist = match &*arguments.action {
        [] => Checklist::PRIORITY.to_vec(),
        actions => actions.to_vec(),
    };
    let mut memory = Memory::default();
    let mut session = Session::new(&sources, wallet, block, &mut events, &mut memory);
    let generation = session.generate_first(checklist).await;
    Ok(Proposing { wallet, result: Ok(Answered { chain_id: chain.id, bridge, validator, generation }) })
}

/// What it all came to.
enum Summary<'a> {
    Proposal(&'a Proposed),
    Commitment(&'a coxswain_proposals::CommitmentDue),
    Nothing,
    Undecided { cause: &'static str, reason: String },
}

impl Proposing {
    fn summary(&self) -> Summary<'_> {
        let generation = match &self.result {
            Ok(answered) => &answered.generation,
            Err(undecided) => {
                return Summary::Undecided { cause: undecided.kind(), reason: undecided.to_string() };
            }
        };
        if let Some(proposed) = generation.proposed() {
            Summary::Proposal(proposed)
        } else if let Some(commitment) = generation.commitment() {
            Summary::Commitment(commitment)
        } else if let Some(undecided) = generation.undecided() {
            Summary::Undecided { cause: undecided.kind(), reason: undecided.to_string() }
        } else {
            Summary::Nothing
        }
    }

    fn attempts(&self) -> &[Attempt] {
        self.result.as_ref().map(|answered| &*answered.generation.attempts).unwrap_or_default()
    }

    /// The process's exit code: 0 a proposal, 1 nothing to propose yet, 3 undecided.
    pub fn exit_code(&self) -> u8 {
        match self.summary() {
            Summary::Proposal(_) => 0,
            Summary::Commitment(_) | Summary::Nothing => 1,
            Summary::Undecided { .. } => 3,
        }
    }

    /// The answer for programs. Fields that don't apply are left out; docs/proposals.md describes them.
    pub fn to_json(&self) -> Json {
        let mut json = match self.summary() {
            Summary::Proposal(proposed) => proposal_fields(proposed),
            Summary::Commitment(due) => {
                let targets: Vec<_> = due.targets.iter().map(KeyHash::to_string).collect();
                let commitment =
                    json!({ "targetWallets": targets, "mainUtxo": document::utxo(&due.main_utxo) });
                fields([("outcome", Some("commitment".into())), ("commitment", Some(commitment))])
            }
            Summary::Nothing => fields([("outcome", Some("nothing".into()))]),
            Summary::Undecided { cause, reason } => fields([
                ("outcome", Some("undecided".into())),
                ("cause", Some(cause.into())),
                ("reason", Some(reason.into())),
            ]),
        };
        json.append(&mut fields([("wallet", Some(self.wallet.to_string().into()))]));
        if let Ok(answered) = &self.result {
            json.append(&mut fields([
                ("chainId", Some(answered.chain_id.into())),
                ("bridge", Some(answered.bridge.to_string().into())),
                ("validator", Some(answered.validator.to_string().into())),
                ("block", Some(report::block(answered.generation.block))),
                ("attempts", Some(self.attempts().iter().map(attempt_json).collect())),
            ]));
        }
        Json::Object(json)
    }
}

fn proposal_fields(proposed: &Proposed) -> Map<String, Json> {
    let transaction = proposed.transaction.as_ref();
    let capped = transaction.map(|transaction| transaction.fee).filter(LeaderFee::is_capped);
    fields([
        ("outcome", Some("proposal".into())),
        ("action", Some(proposed.case.action().name().into())),
        ("proposal", Some(document::write(&proposed.case))),
        ("fee", transaction.map(|transaction| transaction.unsigned.fee().to_sat().into())),
        ("feeFloor", capped.map(|fee| fee.floor.to_sat().into())),
        ("feeRate", transaction.map(|transaction| sat_per_vb(transaction.fee_rate()).into())),
        ("vsize", transaction.map(|transaction| transaction.unsigned.vsize().into())),
        (
            "transaction",
            transaction.map(|transaction| encode::serialize_hex(transaction.unsigned.transaction()).into()),
        ),
        ("psbt", transaction.map(|transaction| transaction.psbt().to_string().into())),
    ])
}

fn attempt_json(attempt: &Attempt) -> Json {
    let (outcome, cause, reason) = match &attempt.outcome {
        Outcome::Proposal(_) => ("proposal", None, None),
        Outcome::Commitment(_) => ("commitment", None, None),
        Outcome::Nothing(nothing) => ("nothing", None, Some(nothing.to_string().into())),
        Outcome::Undecided(undecided) => {
            ("undecided", Some(undecided.kind().into()), Some(undecided.to_string().into()))
        }
    };
    Json::Object(fields([
        ("action", Some(attempt.action.name().into())),
        ("outcome", Some(outcome.into())),
        ("cause", cause),
        ("reason", reason),
        ("excluded", Some(attempt.excluded.iter().map(exclusion_json).collect())),
    ]))
}

fn exclusion_json(Exclusion { item, why }: &Exclusion) -> Json {
    let (kind, outpoint, script) = match item {
        Item::Deposit(outpoint) => ("deposit", Some(outpoint), None),
        Item::Redemption(script) => ("redemption", None, Some(script)),
        Item::MovedFunds(outpoint) => ("moved-funds", Some(outpoint), None),
    };
    Json::Object(fields([
        ("item", Some(kind.into())),
        ("txid", outpoint.map(|outpoint| outpoint.txid.to_string().into())),
        ("outputIndex", outpoint.map(|outpoint| outpoint.vout.into())),
        ("script", script.map(|script| format!("0x{script:x}").into())),
        ("rule", why.rule().map(|rule| rule.id().into())),
        ("why", Some(why.kind().into())),
        ("reason", Some(why.to_string().into())),
    ]))
}

/// A rate in sat/vB with two decimals, rounded down.
fn sat_per_vb(rate: FeeRate) -> f64 {
    // 1 sat/vB is 250 sat/kwu.
    let hundredths = u32::try_from(rate.to_sat_per_kwu().saturating_mul(2) / 5).unwrap_or(u32::MAX);
    f64::from(hundredths) / 100.0
}

/// An answer for people, in colour; the stream that prints it takes the colour out where it isn't wanted.
impl fmt::Display for Proposing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strong = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        let (colour, word, what) = match self.summary() {
            Summary::Proposal(proposed) => {
                (AnsiColor::Green, "PROPOSAL", format!("{} of", proposed.case.action()))
            }
            Summary::Commitment(_) => (AnsiColor::Yellow, "COMMIT FIRST", "moving-funds of".to_owned()),
            Summary::Nothing => (AnsiColor::Yellow, "NOTHING", "to propose for".to_owned()),
            Summary::Undecided { .. } => (AnsiColor::Red, "UNDECIDED", "what to propose for".to_owned()),
        };
        let colour = strong(colour);
        write!(f, "{colour}{word:9}{colour:#}  {what} wallet {}", self.wallet)?;
        match self.summary() {
            Summary::Proposal(Proposed { case, transaction: Some(transaction) }) => {
                let (fee, vsize) = (transaction.unsigned.fee().to_sat(), transaction.unsigned.vsize());
                let rate = sat_per_vb(transaction.fee_rate());
                let items = items(case);
                write!(f, "\n           {items}, fee {fee} sat ({rate} sat/vB, {vsize} vbytes)")?;
                if transaction.fee.is_capped() {
                    let floor = transaction.fee.floor.to_sat();
                    write!(f, "\n           the Bridge allows no higher fee: it should be {floor} sat")?;
                }
            }
            Summary::Commitment(due) => {
                write!(f, "\n           the wallet must commit to its target wallets, in this order:")?;
                for target in &due.targets {
                    write!(f, "\n             {target}")?;
                }
            }
            Summary::Undecided { reason, .. } => write!(f, "\n           {reason}")?,
            Summary::Proposal(_) | Summary::Nothing => {}
        }
        if let Ok(Answered { chain_id, bridge, validator, generation }) = &self.result {
            write!(f, "\n           the Bridge {bridge} on chain {chain_id} at {}", generation.block)?;
            if generation.proposed().is_some() {
                write!(f, "\n           accepted by {validator}")?;
            }
        }
        for attempt in self.attempts() {
            match &attempt.outcome {
                Outcome::Proposal(_) | Outcome::Commitment(_) => {}
                outcome => write!(f, "\n           {}: {outcome}", attempt.action)?,
            }
        }
        let excluded: Vec<_> = self.attempts().iter().flat_map(|attempt| &attempt.excluded).collect();
        if let Ok(Answered { generation, .. }) = &self.result
            && !excluded.is_empty()
        {
            let now = generation.block.timestamp;
            write!(f, "\n\n{}", table(&excluded, now))?;
        }
        if let Summary::Proposal(Proposed { transaction: Some(transaction), .. }) = self.summary() {
            let unsigned = encode::serialize_hex(transaction.unsigned.transaction());
            write!(f, "\n\ntransaction  {unsigned}\n\npsbt         {}", transaction.psbt())?;
        }
        Ok(())
    }
}

/// How much the proposal is about.
fn items(case: &coxswain_rules::Case) -> String {
    use coxswain_rules::Subject;
    let counted = |count: usize, one: &str| {
        if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
    };
    match &case.subject {
        Subject::Heartbeat(_) => "a heartbeat".to_owned(),
        Subject::DepositSweep { proposal, .. } => counted(proposal.deposits.len(), "deposit"),
        Subject::Redemption(proposal) => counted(proposal.scripts.len(), "request"),
        Subject::MovingFunds { proposal, .. } => counted(proposal.targets.len(), "target wallet"),
        Subject::MovedFundsSweep(_) => "1 output".to_owned(),
    }
}

/// A row for each item left out; those that only wait for their turn in one for each reason.
fn table(excluded: &[&Exclusion], now: u64) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(["rule", "left out, and why"]);
    let mut row = |item: &str, why: &Why| {
        let rule = why.rule().map_or(why.kind(), RuleId::id);
        table.add_row([rule, &format!("{item}\n{}", reason(why, now))]);
    };
    let mut waiting = BTreeMap::<_, Vec<_>>::new();
    for exclusion in excluded {
        if exclusion.why.waits() {
            waiting.entry(exclusion.why.kind()).or_default().push(exclusion);
        } else {
            row(&exclusion.item.to_string(), &exclusion.why);
        }
    }
    for of_kind in waiting.into_values() {
        let Some(Exclusion { item, why }) = of_kind.first() else { continue };
        match of_kind.len().saturating_sub(1) {
            0 => row(&item.to_string(), why),
            others => row(&format!("{item} and {others} more"), why),
        }
    }
    table
}

/// Why, with times as seen from the block.
fn reason(why: &Why, now: u64) -> String {
    let (finding, says) = match why {
        Why::Rule(finding) => (finding, "not so"),
        Why::Expiring(finding) => (finding, "not until the proposal is signed"),
        _ => return why.to_string(),
    };
    let statement = finding.rule.statement();
    match (finding.actual, finding.bound) {
        (_, Some(Value::Time(bound))) => {
            format!("{says}: {statement} (bound: {})", report::relative(bound, now))
        }
        (Some(actual), Some(bound)) => format!("{says}: {statement} ({actual}, bound {bound})"),
        _ => format!("{says}: {statement}"),
    }
}
