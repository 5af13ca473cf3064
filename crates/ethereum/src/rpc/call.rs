//! A contract's answer to a call at one block, named by its hash.

use alloy::{
    primitives::{Address, Bytes},
    rpc::types::{BlockId, TransactionRequest},
};

use super::{Block, Endpoint, RequestError, revert_of};

/// How a contract call ended, as far as the endpoint tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Returned(Bytes),
    Reverted(Bytes),
}

impl Endpoint {
    /// Calls a contract, or runs creation code, at this block. Sends one `eth_call`.
    pub(crate) async fn call(
        &self,
        transaction: TransactionRequest,
        block: Block,
    ) -> Result<Called, RequestError> {
        let at = BlockId::hash_canonical(block.hash);
        match self.request("eth_call", (transaction, at)).await {
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

    /// The code at an address, at this block.
    pub(crate) async fn code(&self, address: Address, block: Block) -> Result<Bytes, RequestError> {
        self.request("eth_getCode", (address, BlockId::hash_canonical(block.hash))).await
    }
}
