//! Which chain an endpoint serves.

use crate::{network::Network, rpc::Endpoint, undecided::Undecided};

impl Endpoint {
    /// Whether a chain id is one of the network's.
    ///
    /// # Errors
    /// [`Undecided::WrongNetwork`], naming this endpoint.
    pub fn require_network(&self, chain_id: u64, network: Network) -> Result<(), Undecided> {
        if network.chain_ids().contains(&chain_id) {
            return Ok(());
        }
        Err(Undecided::WrongNetwork {
            endpoint: self.name().to_owned(),
            network: network.name(),
            actual: chain_id,
        })
    }
}
