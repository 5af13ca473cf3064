//! The networks that are known by name, and all that is known of each before a chain is asked.

use std::time::Duration;

use alloy_primitives::{Address, address};
use bitcoin::FeeRate;

use super::Parameters;
use crate::units::BlockNumber;

/// A network that is known by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    /// The name, as on the command line.
    pub name: &'static str,
    /// The ids of the Ethereum chains that are this network's.
    pub chain_ids: &'static [u64],
    /// The contracts in use. `None` where each user deploys their own.
    pub contracts: Option<Contracts>,
    /// The Bitcoin network that its wallets hold coins on.
    pub bitcoin: bitcoin::Network,
    /// How its Ethereum blocks follow on the clock. `None` where time is not the clock's.
    pub block_times: Option<BlockTimes>,
    /// The rate that stands for the estimate where nobody makes one. `None`: a person must say.
    pub fallback_fee_rate: Option<FeeRate>,
    /// What all members of a wallet must agree on.
    pub parameters: Parameters,
}

/// How the blocks of a chain follow on the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTimes {
    /// From one block to the next, at least.
    pub slot: Duration,
    /// How old a server's newest block may be.
    pub max_head_age: Duration,
    /// How far a server's newest block may be ahead of our clock.
    pub max_head_ahead: Duration,
    /// How old the block of a decision may be: a forged head would otherwise have all name an old one.
    pub max_decision_age: Duration,
}

/// The contracts of one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracts {
    /// The tBTC Bridge.
    pub bridge: Address,
    /// The `WalletProposalValidator` that reads it.
    pub validator: Address,
    /// The `WalletRegistry`, which knows each wallet's signing group.
    pub wallet_registry: Address,
    /// The `MaintainerProxy`, which refunds the gas of proofs.
    pub maintainer_proxy: Address,
    /// The `LightRelayMaintainerProxy`, which refunds the gas of telling the light relay Bitcoin's difficulty.
    pub relay_proxy: Address,
    /// The block that the Bridge was deployed in: it has no event before.
    pub bridge_from: BlockNumber,
}

impl Preset {
    /// Ethereum and Bitcoin mainnet. A head is three minutes old at most, where a block comes every 12 s.
    pub const MAINNET: Self = Self {
        name: "mainnet",
        chain_ids: &[1],
        contracts: Some(Contracts {
            bridge: address!("0x5e4861a80B55f035D899f66772117F00FA0E8e7B"),
            validator: address!("0x30019D85a86ABD3cDA1167F4C052690c32FBDEc2"),
            wallet_registry: address!("0x46d52E41C2F300BC82217Ce22b920c34995204eb"),
            maintainer_proxy: address!("0x535E01F948458E0b64F9dB2A01Da6F32E240140f"),
            relay_proxy: address!("0x4ca2f6206Da1A7Cb8155FEA68797EFDf25EFa3C8"),
            bridge_from: BlockNumber(16_399_102),
        }),
        bitcoin: bitcoin::Network::Bitcoin,
        block_times: Some(BlockTimes {
            slot: Duration::from_secs(12),
            max_head_age: Duration::from_secs(180),
            max_head_ahead: Duration::from_secs(30),
            max_decision_age: Duration::from_secs(300),
        }),
        fallback_fee_rate: None,
        parameters: Parameters::MAINNET,
    };

    /// A chain on one's own machine: anvil (chain id 31337) or geth's developer mode (1337), and Bitcoin's regtest.
    pub const LOCAL: Self = Self {
        name: "local",
        chain_ids: &[31337, 1337],
        contracts: None,
        bitcoin: bitcoin::Network::Regtest,
        block_times: None,
        fallback_fee_rate: Some(FeeRate::from_sat_per_vb_u32(5)),
        parameters: Parameters::LOCAL,
    };

    /// All presets.
    pub const ALL: [Self; 2] = [Self::MAINNET, Self::LOCAL];

    /// The network of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }

    /// The network of this chain.
    pub fn of_chain(chain_id: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.chain_ids.contains(&chain_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_go_by_their_names_and_their_chains() {
        assert_eq!(Preset::named("mainnet"), Some(Preset::MAINNET));
        assert_eq!(Preset::named("local"), Some(Preset::LOCAL));
        assert_eq!(Preset::named("Mainnet"), None);
        assert_eq!(Preset::of_chain(1), Some(Preset::MAINNET));
        assert_eq!([31337, 1337].map(Preset::of_chain), [Some(Preset::LOCAL); 2]);
        assert_eq!(Preset::of_chain(11_155_111), None);
    }
}
