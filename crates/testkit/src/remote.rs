//! A world that another process holds, moved through its endpoints: anvil, and a Bitcoin Core node of a
//! [`Regtest`](crate::Regtest) chain.

use alloy::primitives::U64;
use reqwest::Url;
use serde_json::{Value, json};

use crate::{Error, Rpc};

/// Seconds between two blocks of Ethereum, and of Bitcoin.
const ETHEREUM_BLOCK: u64 = 12;
const BITCOIN_BLOCK: u64 = 600;
/// How many blocks of Ethereum follow a leap in time: events have to be 8 deep on a local chain.
const AFTER_A_LEAP: u64 = 10;
/// The most blocks of Bitcoin mined for a leap in time: a day's.
const MOST_FOR_A_LEAP: u64 = 144;

/// Both chains of a world.
#[derive(Debug)]
pub struct Remote {
    ethereum: Rpc,
    bitcoin: Rpc,
}

impl Remote {
    /// The world with these endpoints. Nothing is sent yet.
    pub fn new(ethereum: Url, bitcoin: Url) -> Self {
        Self { ethereum: Rpc::new(ethereum), bitcoin: Rpc::new(bitcoin) }
    }

    /// Mines this many blocks on each chain, what waits on Bitcoin in the first. Returns both heights.
    ///
    /// # Errors
    /// When an endpoint doesn't answer.
    pub async fn mine(&self, blocks: u32) -> Result<(u64, u64), Error> {
        self.mine_ethereum(blocks.into(), ETHEREUM_BLOCK).await?;
        self.generate(blocks.into()).await?;
        self.heights().await
    }

    /// Lets time pass: on Ethereum a leap and a few blocks, on Bitcoin a block for every ten minutes. Returns both heights.
    ///
    /// # Errors
    /// When an endpoint doesn't answer.
    pub async fn advance(&self, seconds: u64) -> Result<(u64, u64), Error> {
        self.ethereum.tell("evm_increaseTime", (U64::from(seconds),)).await?;
        self.mine_ethereum(AFTER_A_LEAP, 1).await?;
        self.generate((seconds / BITCOIN_BLOCK).min(MOST_FOR_A_LEAP)).await?;
        self.heights().await
    }

    /// Mines blocks that are so many seconds apart.
    async fn mine_ethereum(&self, blocks: u64, seconds: u64) -> Result<(), Error> {
        self.ethereum.tell("anvil_mine", [blocks, seconds].map(U64::from)).await
    }

    async fn generate(&self, blocks: u64) -> Result<(), Error> {
        if blocks > 0 {
            self.bitcoin.tell("generate", [blocks]).await?;
        }
        Ok(())
    }

    async fn heights(&self) -> Result<(u64, u64), Error> {
        let information: Value = self.bitcoin.ask("getblockchaininfo", json!([])).await?;
        let height = information.get("blocks").and_then(Value::as_u64);
        let ethereum = self.ethereum.number("eth_blockNumber", json!([])).await?;
        Ok((ethereum, height.ok_or(Error::Absent("height of Bitcoin"))?))
    }
}
