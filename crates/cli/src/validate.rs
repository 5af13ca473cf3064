//! `coxswain validate`: a proposal document in, the contract's verdict out.

use coxswain_bitcoin::EndpointError;
use coxswain_ethereum::{
    Block, BlockSelector, ConnectError, Endpoint, Judgement, Network, ProposalValidator, Verdict,
};
use coxswain_rules::Case;

use crate::{
    arguments::{BitcoinArguments, EthereumArguments},
    completion::{Site, complete},
    document::{Document, DocumentError, Missing},
    report::Report,
};

/// Whom to ask, and at which block.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to ask.
    pub ethereum: EthereumArguments,
    /// Where to ask for what a document leaves out.
    pub bitcoin: BitcoinArguments,
    /// The block to judge at.
    pub block: BlockSelector,
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
    #[error("no validator is known for chain {chain_id}: give its address with --validator")]
    UnknownValidator {
        /// The chain that the endpoint serves.
        chain_id: u64,
    },
}

impl From<ConnectError> for ValidateError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

/// Asks the contract for its verdict on a document's proposal.
///
/// # Errors
/// When the document or the target makes no sense. What fails on the way is an undecided verdict, not an error.
pub async fn validate(document: Document, target: &Target) -> Result<Report, ValidateError> {
    judge(document, target).await.map(|(report, _)| report)
}

/// A proposal as it was put before the contract.
pub(crate) struct Hearing {
    pub(crate) endpoint: Endpoint,
    pub(crate) chain_id: u64,
    pub(crate) validator: ProposalValidator,
    pub(crate) block: Block,
    pub(crate) case: Case,
}

/// The verdict, and how it came about; no hearing when it didn't come to one.
pub(crate) async fn judge(
    mut document: Document,
    target: &Target,
) -> Result<(Report, Option<Hearing>), ValidateError> {
    // What can be said without the chain is said first.
    let missing = document.missing()?;
    let endpoint = target.ethereum.endpoint()?;
    let no_bitcoin = target.bitcoin.backends(None)?.is_none();
    if let Some(path) = missing.of_bitcoin().filter(|_| no_bitcoin) {
        return Err(ValidateError::NoBitcoin { path });
    }
    let (action, wallet) = (document.action(), document.wallet());
    let report = |chain_id, validator, judgement| Report { action, wallet, chain_id, validator, judgement };
    let undecided = |block, undecided| Judgement { block, verdict: Verdict::Undecided(undecided) };

    let chain_id = match endpoint.chain_id().await {
        Ok(chain_id) => chain_id,
        Err(error) => return Ok((report(None, None, undecided(None, error.into())), None)),
    };
    if let Some(network) = target.ethereum.network()
        && let Err(wrong) = endpoint.require_network(chain_id, network)
    {
        return Ok((report(Some(chain_id), None, undecided(None, wrong)), None));
    }
    let contracts = target.ethereum.contracts(chain_id);
    let address = contracts.validator.ok_or(ValidateError::UnknownValidator { chain_id })?;
    let validator = ProposalValidator::new(endpoint.clone(), chain_id, address);
    let report = |judgement| report(Some(chain_id), Some(address), judgement);

    let block = match validator.block(target.block).await {
        Ok(block) => block,
        Err(error) => return Ok((report(undecided(None, error)), None)),
    };
    let bitcoin = target.bitcoin.backends(Network::of_chain(chain_id))?;
    let completed = async {
        if missing == Missing::default() && contracts.bridge.is_none() {
            return Ok(());
        }
        let bridge = validator.require_bridge(contracts.bridge, block).await?;
        let site = Site { endpoint: &endpoint, chain_id, bridge, validator: &validator, block };
        complete(&mut document, &missing, &site, bitcoin).await
    };
    if let Err(error) = completed.await {
        return Ok((report(undecided(Some(block), error)), None));
    }
    let case = document.into_case()?;
    let verdict = validator.validate_at(&case, block).await;
    let hearing = Hearing { endpoint, chain_id, validator, block, case };
    Ok((report(Judgement { block: Some(block), verdict }), Some(hearing)))
}
