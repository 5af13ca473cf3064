//! Which chains a key may be used on that one process holds whole, or that one person has dealt.

/// The chains of anvil and of geth's developer mode.
const LOCAL: [u64; 2] = [31337, 1337];
/// Where there is real money.
const MAINNET: u64 = 1;

/// A chain on which nothing is at stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestChain(u64);

/// A chain on which keys that are not the group's own are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainRefused {
    /// It is on no list.
    #[error("chain {0} is no test chain: 31337, 1337 and those that are configured are")]
    NotListed(u64),
    /// Mainnet is configured as a test chain.
    #[error("chain 1 is Ethereum's mainnet, and is never a test chain")]
    Mainnet,
}

impl TestChain {
    /// The chain of this id: anvil's, geth's, or one of those that are configured as test chains. Never mainnet.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn new(chain_id: u64, configured: &[u64]) -> Result<Self, ChainRefused> {
        if chain_id == MAINNET || configured.contains(&MAINNET) {
            return Err(ChainRefused::Mainnet);
        }
        if LOCAL.contains(&chain_id) || configured.contains(&chain_id) {
            Ok(Self(chain_id))
        } else {
            Err(ChainRefused::NotListed(chain_id))
        }
    }

    /// The chain's id.
    pub const fn id(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_chain_is_anvils_geths_or_configured_and_never_mainnet() {
        for id in [31337, 1337] {
            assert_eq!(TestChain::new(id, &[]).map(TestChain::id), Ok(id));
        }
        assert_eq!(TestChain::new(11_155_111, &[]), Err(ChainRefused::NotListed(11_155_111)));
        assert_eq!(TestChain::new(11_155_111, &[11_155_111]).map(TestChain::id), Ok(11_155_111));
        assert_eq!(TestChain::new(0, &[]), Err(ChainRefused::NotListed(0)));
        assert_eq!(TestChain::new(1, &[]), Err(ChainRefused::Mainnet));
        assert_eq!(TestChain::new(1, &[1]), Err(ChainRefused::Mainnet));
        assert_eq!(TestChain::new(31337, &[5, 1]), Err(ChainRefused::Mainnet), "nor is it configured");
    }
}
