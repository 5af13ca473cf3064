//! Where the contracts are: the networks known by name, and what their chain ids tell.

use alloy::primitives::{Address, address};

/// A network that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Ethereum mainnet.
    Mainnet,
    /// A chain on this machine: anvil (chain id 31337) or geth's developer mode (1337).
    Local,
}

/// The contracts of one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The tBTC Bridge.
    pub bridge: Address,
    /// The `WalletProposalValidator` that reads it.
    pub validator: Address,
}

impl Network {
    /// The network of a chain id, where it is a known one.
    pub const fn of_chain(chain_id: u64) -> Option<Self> {
        match chain_id {
            1 => Some(Self::Mainnet),
            31337 | 1337 => Some(Self::Local),
            _ => None,
        }
    }

    /// The chain ids that are this network's.
    pub const fn chain_ids(self) -> &'static [u64] {
        match self {
            Self::Mainnet => &[1],
            Self::Local => &[31337, 1337],
        }
    }

    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Local => "local",
        }
    }

    /// How old the newest block may be, in seconds: ten minutes on mainnet, where one comes every 12 s; none where time
    /// is not the clock's.
    pub const fn max_head_age(self) -> Option<u64> {
        match self {
            Self::Mainnet => Some(600),
            Self::Local => None,
        }
    }

    /// The contracts in use on the network; none where each user deploys their own.
    pub const fn deployment(self) -> Option<Deployment> {
        match self {
            Self::Mainnet => Some(Deployment {
                bridge: address!("0x5e4861a80B55f035D899f66772117F00FA0E8e7B"),
                validator: address!("0x30019D85a86ABD3cDA1167F4C052690c32FBDEc2"),
            }),
            Self::Local => None,
        }
    }
}
