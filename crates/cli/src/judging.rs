//! Puts a document's proposal before the contract, and before the rules if they are wanted: what `validate` and `explain` share.

use std::time::SystemTime;

use alloy_primitives::Address;
use coxswain_bitcoin::{Backend, Backends, EndpointError};
use coxswain_ethereum::{
    Block, BlockSelector, ChainError, ConnectError, ContractVerdict, Endpoints, EventLog, EventReader,
    Judgement, ResolveError, Tbtc, UnresolvedError,
};
use coxswain_proposals::{Assurances, Concurrence, Memory, Opinion, Session, Sources};
use coxswain_rules::{Assurance, Case, Dissent, Subject};

use crate::{
    arguments::{BitcoinArguments, EthereumArguments, FeeArguments},
    completion::{complete, incomplete},
    document::{Document, DocumentError},
    hints::hints,
    verdict::VerdictReport,
};

/// Whom to ask, and at which block.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to ask.
    pub ethereum: EthereumArguments,
    /// Where to ask for what a document leaves out.
    pub bitcoin: BitcoinArguments,
    /// What fees are judged by.
    pub fees: FeeArguments,
    /// The block to judge at.
    pub block: BlockSelector,
    /// How well the verdict must be known.
    pub require: Option<Assurance>,
    /// What time it is.
    pub now: SystemTime,
}

/// Why there is not even an undecided verdict: what was asked makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidateError {
    /// The document is malformed.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The endpoint's URL can't be used.
    #[error("--rpc-url: {0}")]
    Connect(ConnectError),
    /// A Bitcoin endpoint's URL can't be used.
    #[error("--bitcoin-url: {0}")]
    Bitcoin(#[from] EndpointError),
    /// Only Bitcoin can supply what the document leaves out.
    #[error("{path}: neither given, nor a Bitcoin endpoint to look it up (--bitcoin-url)")]
    NoBitcoin {
        /// The field.
        path: String,
    },
    /// Nothing says where the validator is.
    #[error("{0}: give its address with --validator")]
    UnknownValidator(#[from] ResolveError),
}

impl From<ConnectError> for ValidateError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Contract,
    ContractAndRules,
}

/// What the rules say.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The Bridge read: the one that the validator reads.
    pub bridge: Address,
    /// What they say.
    pub opinion: Opinion,
    /// Whether the contract says the same. `None` if it is undecided.
    pub concurrence: Option<Concurrence>,
    /// What names each item of the proposal.
    pub(crate) items: Vec<String>,
}

/// What the contract says, and the rules if they were asked.
pub(crate) struct Judged {
    pub(crate) report: VerdictReport,
    /// What the rules say, if they were asked.
    pub(crate) rules: Option<Result<Rules, ChainError>>,
}

/// Puts a document's proposal before the contract, and asks what else is wanted. If it isn't valid, looks for what may be mistyped.
pub(crate) async fn judge(
    document: Document,
    target: &Target,
    extent: Extent,
) -> Result<Judged, ValidateError> {
    let names = document.names();
    let mut site = None;
    let mut asked = Asked::default();
    let mut judged = ask(document, target, extent, &mut site, &mut asked).await?;
    judged.report.dissents = asked.dissents();
    if let Some(Site { endpoint, chain_id, bridge, block }) = site
        && judged.report.judgement.verdict != ContractVerdict::Valid
    {
        judged.report.hints = hints(&names, &endpoint, chain_id, bridge, block).await;
    }
    Ok(judged)
}

/// Who was asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) ethereum: Option<Endpoints>,
    pub(crate) bitcoin: Option<Backends>,
}

impl Asked {
    /// Which of them say otherwise than enough others, or than what is proven.
    pub(crate) fn dissents(&self) -> Vec<Dissent> {
        let ethereum = self.ethereum.iter().flat_map(Endpoints::dissents);
        ethereum.chain(self.bitcoin.iter().flat_map(Backends::dissents)).collect()
    }
}

/// Where the proposal is judged.
struct Site {
    endpoint: Endpoints,
    chain_id: u64,
    bridge: Address,
    block: Block,
}

async fn ask(
    mut document: Document,
    target: &Target,
    extent: Extent,
    site: &mut Option<Site>,
    asked: &mut Asked,
) -> Result<Judged, ValidateError> {
    // What can be said without the chain is said first.
    let missing = document.missing()?;
    let endpoint = target.ethereum.endpoint()?;
    asked.ethereum = Some(endpoint.clone());
    let no_bitcoin = target.bitcoin.backends(&target.ethereum.asking, None)?.is_none();
    if let Some(path) = missing.of_bitcoin().filter(|_| no_bitcoin) {
        return Err(ValidateError::NoBitcoin { path });
    }
    let (action, wallet) = (document.action(), document.wallet());
    let report = |chain_id, validator, block, verdict| {
        let judgement = Judgement { block, verdict };
        let report = VerdictReport {
            action,
            wallet,
            chain_id,
            validator,
            judgement,
            assurances: None,
            assessment: None,
            dissents: Vec::new(),
            hints: Vec::new(),
            now: target.now,
        };
        Judged { report, rules: None }
    };

    let tbtc = match Tbtc::resolve(&endpoint, &target.ethereum.wanted(), target.block).await {
        Ok(tbtc) => tbtc,
        Err(UnresolvedError { error: ResolveError::Undecided(error), chain, validator, block }) => {
            let chain_id = chain.map(|chain| chain.id);
            return Ok(report(chain_id, validator, block, ContractVerdict::Undecided(error)));
        }
        Err(UnresolvedError { error, .. }) => return Err(error.into()),
    };
    let Tbtc { chain, bridge, .. } = tbtc;
    let block = tbtc.block();
    *site = Some(Site { endpoint: endpoint.clone(), chain_id: chain.id, bridge, block });
    let report = |verdict| report(Some(chain.id), Some(tbtc.validator), Some(block), verdict);
    let bitcoin = target.bitcoin.backends(&target.ethereum.asking, chain.network)?;
    asked.bitcoin.clone_from(&bitcoin);
    let takes_steps = bitcoin.is_some();
    let bitcoin = bitcoin.unwrap_or_else(|| {
        // It is not asked.
        Backends::new(Vec::new(), coxswain_bitcoin::Expected::on(bitcoin::Network::Bitcoin))
    });
    let fallback = target.fees.fallback(chain.network);
    let validator = tbtc.proposal_validator();
    let log = EventLog::new(bridge, block.number.next());
    let events = EventReader::new(endpoint, log, chain.parameters().final_depth);
    let sources = Sources::new(events, chain.id, validator, bitcoin, chain.parameters(), fallback)
        .through(tbtc.panel.clone(), tbtc.assurance);
    let mut memory = Memory::default();
    let mut session = Session::new(&sources, wallet, tbtc.named.clone(), &mut memory);
    if let Err(error) = Box::pin(complete(&mut document, &missing, &mut session, bridge)).await {
        return Ok(report(ContractVerdict::Undecided(error)));
    }
    let case = document.into_case()?;
    let verdict = session.contract(&case).await;
    let rules = match extent {
        Extent::Contract => None,
        Extent::ContractAndRules => Some(rules(&mut session, &case, &verdict, bridge).await),
    };
    // What the contract says is known by what was read so far.
    let assurances = session.assurances();
    let assessment = if takes_steps { Some(session.judge(&case).await) } else { None };
    let Judged { report, .. } = report(known_well(verdict, &assurances, target.require));
    Ok(Judged { report: VerdictReport { assurances: Some(assurances), assessment, ..report }, rules })
}

/// The verdict, unless it is known less well than required.
fn known_well(
    verdict: ContractVerdict,
    assurances: &Assurances,
    required: Option<Assurance>,
) -> ContractVerdict {
    let Some(required) = required.filter(|required| !assurances.meets(*required)) else { return verdict };
    let answer = match verdict {
        ContractVerdict::Valid => "valid".to_owned(),
        ContractVerdict::Rejected(rejection) => format!("rejected ({rejection})"),
        ContractVerdict::Undecided(_) => return verdict,
    };
    ContractVerdict::Undecided(ChainError::TooWeak { actual: assurances.weakest(), required, answer })
}

/// What the rules say of a case, and whether the contract's verdict is the same.
async fn rules<B: Backend>(
    session: &mut Session<'_, B>,
    case: &Case,
    verdict: &ContractVerdict,
    bridge: Address,
) -> Result<Rules, ChainError> {
    let opinion = session.opinion(case).await.map_err(incomplete)?;
    let concurrence = session.concurrence(&opinion, verdict).await;
    Ok(Rules { bridge, opinion, concurrence, items: items(case) })
}

/// What names each item of the proposal.
fn items(case: &Case) -> Vec<String> {
    match &case.subject {
        Subject::DepositSweep { proposal, .. } => {
            proposal.deposits.iter().map(|deposit| format!("output {}", deposit.outpoint)).collect()
        }
        Subject::Redemption(proposal) => {
            proposal.scripts.iter().map(|script| format!("to script 0x{script:x}")).collect()
        }
        Subject::Heartbeat(_) | Subject::MovingFunds { .. } | Subject::MovedFundsSweep(_) => Vec::new(),
    }
}
