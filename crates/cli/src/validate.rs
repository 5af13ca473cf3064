//! `coxswain validate`: a proposal document in, the contract's verdict out.

use alloy_primitives::Address;
use coxswain_ethereum::{
    Block, BlockSelector, ConnectError, Endpoint, Judgement, Network, ProposalValidator, Revealed, Undecided,
    Verdict,
};
use coxswain_rules::Case;

use crate::{
    arguments::EthereumArguments,
    document::{Document, DocumentError, MissingScript},
    report::Report,
};

/// Whom to ask, and at which block.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to ask.
    pub ethereum: EthereumArguments,
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
    let missing = document.missing_scripts()?;
    let endpoint = target.ethereum.endpoint()?;
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
    let deployment = Network::of_chain(chain_id).and_then(Network::deployment);
    let address = target
        .ethereum
        .validator
        .or(deployment.map(|deployment| deployment.validator))
        .ok_or(ValidateError::UnknownValidator { chain_id })?;
    let expected_bridge = target.ethereum.bridge.or(deployment.map(|deployment| deployment.bridge));
    let validator = ProposalValidator::new(endpoint.clone(), chain_id, address);
    let report = |judgement| report(Some(chain_id), Some(address), judgement);

    let block = match validator.block(target.block).await {
        Ok(block) => block,
        Err(error) => return Ok((report(undecided(None, error)), None)),
    };
    match looked_up(&endpoint, &validator, block, expected_bridge, &missing).await {
        Ok(revealed) => {
            for (deposit, revealed) in missing.iter().zip(&revealed) {
                document.supply_script(deposit.index, revealed);
            }
        }
        Err(error) => return Ok((report(undecided(Some(block), error)), None)),
    }
    let case = document.into_case()?;
    let verdict = validator.validate_at(&case, block).await;
    let hearing = Hearing { endpoint, chain_id, validator, block, case };
    Ok((report(Judgement { block: Some(block), verdict }), Some(hearing)))
}

/// Checks that the validator reads the Bridge it should, and finds the missing deposits' reveals there.
async fn looked_up(
    endpoint: &Endpoint,
    validator: &ProposalValidator,
    block: Block,
    expected_bridge: Option<Address>,
    missing: &[MissingScript],
) -> Result<Vec<Revealed>, Undecided> {
    if expected_bridge.is_none() && missing.is_empty() {
        return Ok(Vec::new());
    }
    let bridge = validator.bridge(block).await?;
    if let Some(expected) = expected_bridge
        && expected != bridge
    {
        return Err(Undecided::OtherBridge { validator: validator.address(), expected, actual: bridge });
    }
    let mut revealed = Vec::with_capacity(missing.len());
    for deposit in missing {
        revealed.push(endpoint.reveal(bridge, deposit.reveal_block, deposit.outpoint).await?);
    }
    Ok(revealed)
}
