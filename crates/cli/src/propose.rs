//! `coxswain propose`: what a wallet would do now, and what was left out and why.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use alloy_primitives::{Address, U256, hex};
use anstyle::AnsiColor;
use bitcoin::{FeeRate, Psbt, consensus::encode};
use coxswain_bitcoin::EndpointError;
use coxswain_ethereum::{
    ChainError, ConnectError, EventLog, EventReader, ResolveError, Tbtc, UnresolvedError,
};
use coxswain_proposals::{
    ActionOutcome, Assurances, Attempt, ChecklistOutcome, EVENT_LOOK_BACK, Exclusion, Item, Memory, Nothing,
    PreparedProposal, Session, Sources, Why,
};
use coxswain_protocol::Checklist;
use coxswain_rules::{
    Amount, Assurance, Case, Dissent, HeartbeatProposal, KeyHash, OutPoint, RuleId, Subject, Txid,
    UnsignedTransaction, Value, WalletState, units::UnixTime, wallet_script,
};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::{
    arguments::ProposeArguments,
    document,
    judging::Asked,
    page,
    report::{
        self, AssuranceFields, BlockFields, DissentFields, EXIT_OK, EXIT_UNDECIDED, Report, Text, strong,
    },
};

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
    /// The contracts, and the result; or why there is none.
    result: Result<Answered, ChainError>,
    /// Which servers say otherwise than enough others, or than what is proven.
    dissents: Vec<Dissent>,
    now: SystemTime,
}

#[derive(Clone, Debug)]
struct Answered {
    chain_id: u64,
    bridge: Address,
    validator: Address,
    generation: ChecklistOutcome,
    assurances: Assurances,
    /// How well it must be known.
    require: Option<Assurance>,
}

/// Finds out what the wallet would do now.
///
/// # Errors
/// When what is asked makes no sense. What fails on the way leaves it undecided, which is no error.
pub async fn propose(arguments: &ProposeArguments, now: SystemTime) -> Result<Proposing, ProposeError> {
    let wallet = arguments.wallet;
    let endpoint = arguments.ethereum.endpoint()?;
    // A URL that can't be used is told before anything is asked.
    if arguments.bitcoin.backends(&arguments.ethereum.asking, None)?.is_none() {
        return Err(ProposeError::NoBitcoin);
    }
    let mut asked = Asked { ethereum: Some(endpoint.clone()), bitcoin: None };
    let undecided = |undecided: ChainError, asked: &Asked| {
        Ok(Proposing { wallet, result: Err(undecided), dissents: asked.dissents(), now })
    };

    let tbtc = match Tbtc::resolve(&endpoint, &arguments.ethereum.wanted(), arguments.block).await {
        Ok(tbtc) => tbtc,
        Err(UnresolvedError { error: ResolveError::Undecided(error), .. }) => {
            return undecided(error, &asked);
        }
        Err(UnresolvedError { error, .. }) => return Err(error.into()),
    };
    let Tbtc { chain, bridge, validator, .. } = tbtc;
    let block = tbtc.block();
    let bitcoin = arguments
        .bitcoin
        .backends(&arguments.ethereum.asking, chain.network)?
        .ok_or(ProposeError::NoBitcoin)?;
    asked.bitcoin = Some(bitcoin.clone());
    let since = arguments.since.unwrap_or(block.number.saturating_sub(EVENT_LOOK_BACK));
    let log = EventLog::new(bridge, since);
    let events = EventReader::new(endpoint, log, chain.parameters().final_depth);
    if let Err(error) = events.follow(block).await {
        return undecided(error, &asked);
    }

    let fallback = arguments.fees.fallback(chain.network);
    let sources =
        Sources::new(events, chain.id, tbtc.proposal_validator(), bitcoin, chain.parameters(), fallback)
            .through(tbtc.panel.clone(), tbtc.assurance);
    let checklist = match &*arguments.action {
        [] => Checklist::PRIORITY.to_vec(),
        actions => actions.to_vec(),
    };
    let mut memory = Memory::default();
    let mut session = Session::new(&sources, wallet, tbtc.named.clone(), &mut memory);
    let generation = session.generate_first(checklist).await;
    let assurances = session.assurances();
    let require = arguments.require;
    let result = Ok(Answered { chain_id: chain.id, bridge, validator, generation, assurances, require });
    Ok(Proposing { wallet, result, dissents: asked.dissents(), now })
}

/// The result in short.
enum Summary<'a> {
    Proposal(&'a PreparedProposal),
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
        if let Ok(Answered { assurances, require: Some(required), .. }) = &self.result
            && !assurances.meets(*required)
            && generation.undecided().is_none()
        {
            let answer = match generation.proposed() {
                Some(proposed) => format!("{} is proposed", proposed.case.action()),
                None => "nothing is proposed".to_owned(),
            };
            let actual = assurances.weakest();
            let error = ChainError::TooWeak { actual, required: *required, answer };
            return Summary::Undecided { cause: error.kind(), reason: error.to_string() };
        }
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

    /// Whether an action ahead of the one proposed could not be decided.
    fn is_doubtful(&self) -> bool {
        self.attempts().iter().any(|attempt| matches!(attempt.outcome, ActionOutcome::Undecided(_)))
    }

    fn attempts(&self) -> &[Attempt] {
        self.result.as_ref().map(|answered| &*answered.generation.attempts).unwrap_or_default()
    }
}

impl Report for Proposing {
    /// 0 a proposal, 1 nothing to propose yet, 3 undecided, or an action ahead of the one proposed is.
    fn exit_code(&self) -> u8 {
        match self.summary() {
            // An action ahead of it may be possible: who can tell may propose that.
            Summary::Proposal(_) if self.is_doubtful() => EXIT_UNDECIDED,
            Summary::Proposal(_) => EXIT_OK,
            Summary::Commitment(_) | Summary::Nothing => 1,
            Summary::Undecided { .. } => EXIT_UNDECIDED,
        }
    }
}

/// Fields that don't apply are left out; docs/proposals.md describes them.
impl Serialize for Proposing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            #[serde(flatten)]
            outcome: OutcomeFields,
            wallet: Text<KeyHash>,
            #[serde(flatten)]
            answered: Option<AnsweredFields>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            dissents: Vec<DissentFields>,
        }
        let dissents = self.dissents.iter().map(Into::into).collect();
        let answered = self.result.as_ref().ok().map(|answered| AnsweredFields {
            chain_id: answered.chain_id,
            bridge: Text(answered.bridge),
            validator: Text(answered.validator),
            block: BlockFields::new(answered.generation.block, self.now),
            assurance: (&answered.assurances).into(),
            attempts: answered.generation.attempts.iter().map(AttemptFields::new).collect(),
        });
        let (outcome, wallet) = (self.summary().into(), Text(self.wallet));
        Fields { outcome, wallet, answered, dissents }.serialize(serializer)
    }
}

/// The result in short, as fields.
#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum OutcomeFields {
    Proposal(Box<ProposalFields>),
    Commitment { commitment: CommitmentFields },
    Nothing,
    Undecided { cause: &'static str, reason: String },
}

impl From<Summary<'_>> for OutcomeFields {
    fn from(summary: Summary<'_>) -> Self {
        match summary {
            Summary::Proposal(prepared) => Self::Proposal(Box::new(ProposalFields::new(prepared))),
            Summary::Commitment(due) => Self::Commitment {
                commitment: CommitmentFields {
                    target_wallets: due.targets.iter().copied().map(Text).collect(),
                    main_utxo: document::utxo(&due.main_utxo),
                },
            },
            Summary::Nothing => Self::Nothing,
            Summary::Undecided { cause, reason } => Self::Undecided { cause, reason },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProposalFields {
    action: &'static str,
    /// The document, as `validate` reads it.
    proposal: Json,
    #[serde(flatten)]
    transaction: Option<TransactionFields>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TransactionFields {
    fee: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_floor: Option<u64>,
    fee_rate: f64,
    vsize: u64,
    transaction: String,
    psbt: Text<Psbt>,
}

impl ProposalFields {
    fn new(prepared: &PreparedProposal) -> Self {
        let transaction = prepared.transaction.as_ref().map(|transaction| TransactionFields {
            fee: transaction.unsigned.fee().to_sat(),
            fee_floor: transaction.fee.is_capped().then(|| transaction.fee.floor.to_sat()),
            fee_rate: sat_per_vb(transaction.fee_rate()),
            vsize: transaction.unsigned.vsize(),
            transaction: encode::serialize_hex(transaction.unsigned.transaction()),
            psbt: Text(transaction.psbt()),
        });
        Self { action: prepared.case.action().name(), proposal: document::write(&prepared.case), transaction }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitmentFields {
    target_wallets: Vec<Text<KeyHash>>,
    main_utxo: Json,
}

/// The contracts and the block, and the result of each action.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredFields {
    chain_id: u64,
    bridge: Text<Address>,
    validator: Text<Address>,
    block: BlockFields,
    assurance: AssuranceFields,
    attempts: Vec<AttemptFields>,
}

#[derive(Serialize)]
struct AttemptFields {
    action: &'static str,
    #[serde(flatten)]
    outcome: AttemptOutcome,
    excluded: Vec<ExclusionFields>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum AttemptOutcome {
    Proposal,
    Commitment,
    Nothing { reason: String },
    Undecided { cause: &'static str, reason: String },
}

impl AttemptFields {
    fn new(attempt: &Attempt) -> Self {
        let outcome = match &attempt.outcome {
            ActionOutcome::Proposal(_) => AttemptOutcome::Proposal,
            ActionOutcome::Commitment(_) => AttemptOutcome::Commitment,
            ActionOutcome::Nothing(nothing) => AttemptOutcome::Nothing { reason: nothing.to_string() },
            ActionOutcome::Undecided(error) => {
                AttemptOutcome::Undecided { cause: error.kind(), reason: error.to_string() }
            }
        };
        let excluded = attempt.excluded.iter().map(ExclusionFields::new).collect();
        Self { action: attempt.action.name(), outcome, excluded }
    }
}

#[derive(Serialize)]
struct ExclusionFields {
    #[serde(flatten)]
    item: ItemFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    why: &'static str,
    reason: String,
}

#[derive(Serialize)]
#[serde(tag = "item", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum ItemFields {
    Deposit { txid: Txid, output_index: u32 },
    Redemption { script: String },
    MovedFunds { txid: Txid, output_index: u32 },
}

impl ExclusionFields {
    fn new(Exclusion { item, why }: &Exclusion) -> Self {
        let item = match item {
            Item::Deposit(OutPoint { txid, vout }) => {
                ItemFields::Deposit { txid: *txid, output_index: *vout }
            }
            Item::Redemption(script) => ItemFields::Redemption { script: format!("0x{script:x}") },
            Item::MovedFunds(OutPoint { txid, vout }) => {
                ItemFields::MovedFunds { txid: *txid, output_index: *vout }
            }
        };
        let rule = why.rule().map(RuleId::id);
        Self { item, rule, why: why.kind(), reason: why.to_string() }
    }
}

/// A rate in sat/vB with two decimals, rounded down.
fn sat_per_vb(rate: FeeRate) -> f64 {
    // 1 sat/vB is 250 sat/kwu.
    let hundredths = u32::try_from(rate.to_sat_per_kwu().saturating_mul(2) / 5).unwrap_or(u32::MAX);
    f64::from(hundredths) / 100.0
}

impl fmt::Display for Proposing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (green, yellow) = (strong(AnsiColor::Green), strong(AnsiColor::Yellow));
        let wallet = self.wallet;
        let summary = self.summary();
        match &summary {
            Summary::Proposal(PreparedProposal { case, transaction }) => {
                write!(f, "{green}PROPOSAL {green:#}  {} of wallet {wallet}", case.action())?;
                if let Subject::Heartbeat(HeartbeatProposal { message }) = &case.subject {
                    write!(f, "\n           message {}", hex::encode_prefixed(message))?;
                }
                if let Some(transaction) = transaction {
                    let (fee, vsize) = (transaction.unsigned.fee().to_sat(), transaction.unsigned.vsize());
                    let rate = sat_per_vb(transaction.fee_rate());
                    let items = items(case);
                    write!(f, "\n           {items}, fee {fee} sat ({rate} sat/vB, {vsize} vbytes)")?;
                    if transaction.fee.is_capped() {
                        let floor = transaction.fee.floor.to_sat();
                        write!(f, "\n           the Bridge allows no higher fee: it should be {floor} sat")?;
                    }
                }
            }
            Summary::Commitment(due) => {
                write!(f, "{yellow}COMMIT FIRST{yellow:#}  moving-funds of wallet {wallet}")?;
                write!(f, "\n           the wallet must commit to its target wallets, in this order:")?;
                for target in &due.targets {
                    write!(f, "\n             {target}")?;
                }
            }
            Summary::Nothing => write!(f, "{yellow}NOTHING  {yellow:#}  to propose for wallet {wallet}")?,
            Summary::Undecided { reason, .. } => {
                report::undecided(f, format_args!("what to propose for wallet {wallet}"), reason)?;
            }
        }
        if self.is_unknown() {
            write!(
                f,
                "\n           hint: the Bridge knows no such wallet: it may be mistyped, or of another chain"
            )?;
        }
        if let Ok(Answered { chain_id, bridge, validator, generation, assurances, .. }) = &self.result {
            write!(f, "\n           the Bridge {bridge} on chain {chain_id}")?;
            write!(f, "\n           at {}", page::block(&generation.block, self.now))?;
            if generation.proposed().is_some() {
                write!(f, "\n           accepted by {validator}")?;
            }
            write!(f, "\n           {assurances}")?;
        }
        report::dissents(f, &self.dissents)?;
        for (outcome, actions) in self.why_not(&summary) {
            write!(f, "\n           {}: {outcome}", actions.join(", "))?;
        }
        if let Summary::Proposal(PreparedProposal { case, transaction: Some(transaction) }) = &summary {
            write_transaction(f, case, &transaction.unsigned)?;
        }
        let excluded: Vec<_> = self.attempts().iter().flat_map(|attempt| &attempt.excluded).collect();
        if let Ok(Answered { generation, .. }) = &self.result {
            write_excluded(f, &excluded, generation.block.timestamp)?;
        }
        if let Summary::Proposal(PreparedProposal { transaction: Some(transaction), .. }) = &summary {
            let unsigned = encode::serialize_hex(transaction.unsigned.transaction());
            write!(f, "\n\ntransaction  {unsigned}\n\npsbt         {}", transaction.psbt())?;
        }
        Ok(())
    }
}

impl Proposing {
    /// Whether the Bridge doesn't know the wallet.
    fn is_unknown(&self) -> bool {
        let unknown = Nothing::WalletState(WalletState::Unknown);
        self.attempts()
            .iter()
            .any(|attempt| matches!(&attempt.outcome, ActionOutcome::Nothing(why) if *why == unknown))
    }

    /// Why other actions were not proposed: each reason once, with the actions that it holds for.
    fn why_not(&self, summary: &Summary<'_>) -> Vec<(String, Vec<&'static str>)> {
        let said = match summary {
            Summary::Undecided { reason, .. } => Some(reason),
            Summary::Proposal(_) | Summary::Commitment(_) | Summary::Nothing => None,
        };
        let mut reasons: Vec<(String, Vec<_>)> = Vec::new();
        for attempt in self.attempts() {
            let reason = match &attempt.outcome {
                ActionOutcome::Proposal(_) | ActionOutcome::Commitment(_) => continue,
                outcome => outcome.to_string(),
            };
            let action = attempt.action.name();
            if said == Some(&reason) {
                continue;
            }
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, actions)) => actions.push(action),
                None => reasons.push((reason, vec![action])),
            }
        }
        reasons
    }
}

/// What the transaction spends and pays, an amount a line.
fn write_transaction(f: &mut fmt::Formatter<'_>, case: &Case, unsigned: &UnsignedTransaction) -> fmt::Result {
    let own = wallet_script(case.wallet);
    write!(f, "\n\nspends")?;
    for (input, prevout) in unsigned.transaction().input.iter().zip(unsigned.prevouts()) {
        let (amount, outpoint) = (bitcoins(prevout.value), input.previous_output);
        let what = if prevout.script_pubkey == own { "the wallet's own" } else { "a deposit" };
        write!(f, "\n  {amount:>17} BTC  {what}, {outpoint}")?;
    }
    write!(f, "\npays")?;
    for output in &unsigned.transaction().output {
        let (amount, script) = (bitcoins(output.value), &output.script_pubkey);
        let target = match &case.subject {
            Subject::MovingFunds { proposal, .. } => {
                proposal.targets.iter().find(|target| *script == wallet_script(**target))
            }
            _ => None,
        };
        write!(f, "\n  {amount:>17} BTC  ")?;
        match target {
            Some(target) => write!(f, "wallet {target}")?,
            None if *script == own => write!(f, "the wallet itself")?,
            None => write!(f, "0x{script:x}")?,
        }
    }
    Ok(())
}

/// An amount with all its decimals.
fn bitcoins(amount: Amount) -> String {
    let satoshis = amount.to_sat();
    format!("{}.{:08}", satoshis / 100_000_000, satoshis % 100_000_000)
}

/// How much the proposal is about.
fn items(case: &Case) -> String {
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

/// Writes a row for each item left out. Items that only wait for their turn share a row for each reason.
fn write_excluded(f: &mut fmt::Formatter<'_>, excluded: &[&Exclusion], now: UnixTime) -> fmt::Result {
    if excluded.is_empty() {
        return Ok(());
    }
    write!(f, "\n\nleft out, and why")?;
    let mut row = |item: &str, why: &Why| {
        let rule = why.rule().map_or(why.kind(), RuleId::id);
        write!(f, "\n  {rule:13}  {item}\n{:17}{}", "", reason(why, now))
    };
    let mut waiting = BTreeMap::<_, Vec<_>>::new();
    for exclusion in excluded {
        if exclusion.why.waits() {
            waiting.entry(exclusion.why.kind()).or_default().push(exclusion);
        } else {
            row(&exclusion.item.to_string(), &exclusion.why)?;
        }
    }
    for of_kind in waiting.into_values() {
        let Some(Exclusion { item, why }) = of_kind.first() else { continue };
        match of_kind.len().saturating_sub(1) {
            0 => row(&item.to_string(), why)?,
            others => row(&format!("{item} and {others} more"), why)?,
        }
    }
    Ok(())
}

/// Why, with times as seen from the block.
fn reason(why: &Why, now: UnixTime) -> String {
    let (finding, says) = match why {
        Why::Rule(finding) => (finding, "not so"),
        Why::Expiring { finding, .. } => (finding, "not until the proposal is signed"),
        Why::Postponed { until, last } => {
            let until = report::time(U256::from(until.0), now);
            return format!("{}; not asked again before {until}", reason(last, now));
        }
        _ => return why.to_string(),
    };
    let statement = finding.rule.statement();
    match (finding.actual, finding.bound) {
        (_, Some(Value::Time(bound))) => {
            format!("{says}: {statement} (bound: {})", report::time(bound, now))
        }
        (Some(actual), Some(bound)) => format!("{says}: {statement} ({actual}, bound {bound})"),
        _ => format!("{says}: {statement}"),
    }
}
