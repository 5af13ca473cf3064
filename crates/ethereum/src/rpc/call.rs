//! A contract's answer to a call at one block, named by its hash.

use alloy::{
    primitives::{Address, Bytes},
    rpc::types::{BlockId, TransactionRequest},
};

use super::{Block, BlockSelector, Endpoints, RequestError, UnfitError, revert_of};

/// How a contract call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// It returned this.
    Returned(Bytes),
    /// It reverted with this: nothing, if it gave no reason, or the endpoint doesn't show it.
    Reverted(Bytes),
}

impl Endpoints {
    /// Calls a contract, or runs creation code, at this block. Sends one `eth_call`, to the next endpoint too if one answers
    /// nothing: some do for a block that they don't have.
    pub(crate) async fn call(
        &self,
        transaction: TransactionRequest,
        block: Block,
    ) -> Result<Called, RequestError> {
        let at = BlockId::hash_canonical(block.hash);
        match self.request_useful("eth_call", (transaction, at), |answer: &Bytes| !answer.is_empty()).await {
            Ok(bytes) => Ok(Called::Returned(bytes)),
            Err(RequestError::Rpc { method, endpoint, code, message, data }) => {
                match revert_of(code, &message, data.as_deref()) {
                    Some(bytes) => Ok(Called::Reverted(bytes)),
                    None => Err(RequestError::Rpc { method, endpoint, code, message, data }),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The code at an address, at this block. That there is none is said only of a block that is known to be there.
    pub(crate) async fn code(&self, address: Address, block: Block) -> Result<Bytes, RequestError> {
        let at = BlockId::hash_canonical(block.hash);
        let code = self.request_useful("eth_getCode", (address, at), |code: &Bytes| !code.is_empty()).await?;
        if code.is_empty() && self.block(BlockSelector::Hash(block.hash)).await?.is_none() {
            let endpoint = self.name().to_owned();
            return Err(RequestError::NoneFit(vec![UnfitError::NoBlock { endpoint, block }]));
        }
        Ok(code)
    }
}
