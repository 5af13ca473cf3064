//! Tells the light relay each new difficulty of Bitcoin: one epoch a step, the oldest that it doesn't know first.

use std::{fmt, sync::Arc, time::Duration};

use alloy::{primitives::Address, sol_types::SolCall};
use bitcoin::block::Header;
use coxswain_bindings::relay::LightRelay::retargetCall;
use coxswain_bitcoin::{
    Backend, BackendError,
    chain::HeaderRules,
    spv::{EPOCH, RetargetError, RetargetProof},
};
use coxswain_ethereum::{
    BlockSelector, ChainError, Endpoints, Relay, RelayProxy, RelayTerms,
    submit::{Call, Mined, SentLog, SubmitError, Submitter},
};
use coxswain_rules::units::Height;
use tokio::time::timeout;

/// How long Bitcoin may take to show the headers of one step.
const READING: Duration = Duration::from_secs(120);

/// What became of a step.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// The relay knows the newest epoch.
    UpToDate,
    /// An epoch has begun that it doesn't know, and Bitcoin needs so many more blocks to prove that.
    WaitingForBlocks(u32),
    /// The relay's clock is behind the epoch's end.
    WaitingForClock(RetargetError),
    /// The relay was told no first epoch yet, or it counts none: a chain without retargets.
    NotApplicable,
    /// It could be told: this call passes.
    Ready(Call),
    /// It was told this epoch's difficulty. There may be more.
    Told {
        /// The epoch.
        epoch: u32,
        /// The transaction.
        mined: Mined,
    },
    /// Another has told it in the meantime. There may be more.
    ToldByOthers,
}

/// Why the relay was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DifficultyError {
    /// The chain gave no usable answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Bitcoin gave no usable answer.
    #[error(transparent)]
    Bitcoin(#[from] BackendError),
    /// Bitcoin took too long.
    #[error("the headers did not come within {} s", READING.as_secs())]
    TimedOut,
    /// There is no newest block.
    #[error("there is no newest block")]
    NoBlock,
    /// The account, or the proxy, may not tell the relay.
    #[error("{0} is not authorised to tell the relay")]
    Unauthorised(Address),
    /// The proxy is of another relay.
    #[error("the relay's proxy is of the relay at {0}")]
    OtherRelay(Address),
    /// The headers prove nothing.
    #[error("what the Bitcoin backend says does not hold together: {0}")]
    Proof(#[from] RetargetError),
    /// It was not sent, or not mined.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The relay's numbers are beyond any epoch.
    #[error("the relay counts epochs, or headers, that there are none of")]
    OutOfRange,
}

/// Tells a relay.
pub struct RelayKeeper<B, L> {
    endpoints: Endpoints,
    relay: Relay,
    /// What it is told through, which refunds the gas. `None`: it is told directly.
    proxy: Option<RelayProxy>,
    bitcoin: B,
    rules: HeaderRules,
    /// `None`: nothing is sent.
    submitter: Option<Arc<Submitter<L>>>,
}

impl<B, L> fmt::Debug for RelayKeeper<B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayKeeper")
            .field("relay", &self.relay)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

impl<B: Backend, L: SentLog> RelayKeeper<B, L> {
    /// Of the relay at this address, by the rules that Bitcoin's headers keep; through its proxy, if one is named. Nothing is
    /// asked yet.
    pub fn new(
        endpoints: Endpoints,
        relay: Address,
        proxy: Option<Address>,
        bitcoin: B,
        rules: HeaderRules,
        submitter: Option<Arc<Submitter<L>>>,
    ) -> Self {
        let proxy = proxy.map(|proxy| RelayProxy::new(endpoints.clone(), proxy));
        Self { relay: Relay::new(endpoints.clone(), relay), endpoints, proxy, bitcoin, rules, submitter }
    }

    /// Tells the relay the next epoch's difficulty, if there is one to tell.
    ///
    /// # Errors
    /// If it could not be told. It is tried again with the next step.
    pub async fn step(&self) -> Result<Step, DifficultyError> {
        let block = self.endpoints.block(BlockSelector::Latest).await.map_err(ChainError::from)?;
        let block = block.ok_or(DifficultyError::NoBlock)?;
        let Some(terms) = self.relay.terms(block).await? else { return Ok(Step::NotApplicable) };
        let RelayTerms { ready, epoch, proof_length, authorization_required } = terms;
        if !ready {
            return Ok(Step::NotApplicable);
        }
        let range = |number: u64| u32::try_from(number).map_err(|_| DifficultyError::OutOfRange);
        let (epoch, length) = (range(epoch)?.saturating_add(1), range(proof_length)?);
        let height = Height(epoch.checked_mul(EPOCH).ok_or(DifficultyError::OutOfRange)?);
        let last = height.saturating_add(length).saturating_sub(1);
        let tip = self.bitcoin.tip().await?.height;
        match last.since(tip) {
            _ if tip < height => return Ok(Step::UpToDate),
            None | Some(0) => {}
            Some(missing) => return Ok(Step::WaitingForBlocks(missing)),
        }
        self.require_authority(authorization_required, block).await?;

        let (epoch_start, headers) =
            timeout(READING, self.headers(height, length)).await.map_err(|_| DifficultyError::TimedOut)??;
        let proof = RetargetProof { height, headers };
        match proof.check(length, &epoch_start, &self.rules, block.timestamp.0) {
            Ok(()) => {}
            Err(error @ RetargetError::EndsInFuture { .. }) => return Ok(Step::WaitingForClock(error)),
            Err(error) => return Err(error.into()),
        }
        let to = self.proxy.as_ref().map_or(self.relay.address(), RelayProxy::address);
        // The proxy's function is the relay's, by name and arguments, and so by selector.
        let call = Call { to, input: retargetCall { headers: proof.to_bytes().into() }.abi_encode().into() };
        let Some(submitter) = &self.submitter else { return Ok(Step::Ready(call)) };
        match submitter.send(&call).await {
            Ok(mined) => Ok(Step::Told { epoch, mined }),
            // The state tells, not the words of a revert.
            Err(_) if self.knows(epoch).await => Ok(Step::ToldByOthers),
            Err(error) => Err(error.into()),
        }
    }

    /// The old epoch's first header, and those on both sides of its end.
    async fn headers(&self, height: Height, length: u32) -> Result<(Header, Vec<Header>), DifficultyError> {
        let (start, first) = (height.saturating_sub(EPOCH), height.saturating_sub(length));
        let (start, headers) = tokio::try_join!(
            self.bitcoin.headers(start, 1),
            self.bitcoin.headers(first, length.saturating_mul(2)),
        )?;
        let start = start.first().copied().ok_or(RetargetError::EpochStart(height.saturating_sub(EPOCH)))?;
        Ok((start, headers))
    }

    async fn require_authority(
        &self,
        required: bool,
        block: coxswain_ethereum::Block,
    ) -> Result<(), DifficultyError> {
        let account = self.submitter.as_ref().map(|submitter| submitter.address());
        let unless = |is_authorised, address| {
            if is_authorised { Ok(()) } else { Err(DifficultyError::Unauthorised(address)) }
        };
        let teller = match &self.proxy {
            None => account,
            Some(proxy) => {
                let relay = proxy.relay(block).await?;
                if relay != self.relay.address() {
                    return Err(DifficultyError::OtherRelay(relay));
                }
                if let Some(account) = account {
                    unless(proxy.includes(account, block).await?, account)?;
                }
                Some(proxy.address())
            }
        };
        match teller.filter(|_| required) {
            Some(teller) => unless(self.relay.authorises(teller, block).await?, teller),
            None => Ok(()),
        }
    }

    /// The newest epoch that the relay knows. `None` if it counts none, or that can't be told.
    pub async fn epoch(&self) -> Option<u32> {
        let block = self.endpoints.block(BlockSelector::Latest).await.ok()??;
        let terms = self.relay.terms(block).await.ok()?.filter(|terms| terms.ready)?;
        u32::try_from(terms.epoch).ok()
    }

    /// Whether the relay knows the epoch by now. `false` if that can't be told.
    async fn knows(&self, epoch: u32) -> bool {
        self.epoch().await.is_some_and(|known| known >= epoch)
    }
}
