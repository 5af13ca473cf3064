//! A world that another process holds, moved through its endpoints: anvil, and a Bitcoin Core node of a
//! [`Regtest`](crate::Regtest) chain.

use alloy::{
    providers::{DynProvider, Provider, ProviderBuilder, ext::AnvilApi},
    transports::http::reqwest::{Client, Url},
};
use serde_json::{Value, json};

use crate::Error;

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
    ethereum: DynProvider,
    bitcoin: Url,
}

impl Remote {
    /// The world with these endpoints. Nothing is sent yet.
    pub fn new(ethereum: Url, bitcoin: Url) -> Self {
        let ethereum = ProviderBuilder::new().disable_recommended_fillers().connect_http(ethereum).erased();
        Self { ethereum, bitcoin }
    }

    /// Mines this many blocks on each chain, what waits on Bitcoin in the first. Returns both heights.
    ///
    /// # Errors
    /// When an endpoint doesn't answer.
    pub async fn mine(&self, blocks: u32) -> Result<(u64, u64), Error> {
        self.ethereum.anvil_mine(Some(blocks.into()), Some(ETHEREUM_BLOCK)).await?;
        self.generate(blocks.into()).await?;
        self.heights().await
    }

    /// Lets time pass: on Ethereum a leap and a few blocks, on Bitcoin a block for every ten minutes. Returns both heights.
    ///
    /// # Errors
    /// When an endpoint doesn't answer.
    pub async fn advance(&self, seconds: u64) -> Result<(u64, u64), Error> {
        self.ethereum.anvil_increase_time(seconds).await?;
        self.ethereum.anvil_mine(Some(AFTER_A_LEAP), Some(1)).await?;
        self.generate((seconds / BITCOIN_BLOCK).min(MOST_FOR_A_LEAP)).await?;
        self.heights().await
    }

    async fn generate(&self, blocks: u64) -> Result<(), Error> {
        if blocks > 0 {
            self.ask("generate", json!([blocks])).await?;
        }
        Ok(())
    }

    async fn heights(&self) -> Result<(u64, u64), Error> {
        let information = self.ask("getblockchaininfo", json!([])).await?;
        let height = information.get("blocks").and_then(Value::as_u64);
        let ethereum = self.ethereum.get_block_number().await?;
        Ok((ethereum, height.ok_or(Error::Absent("height of Bitcoin"))?))
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Value, Error> {
        let http = |error| Error::Io(std::io::Error::other(error));
        let request = json!({ "jsonrpc": "1.0", "id": 1, "method": method, "params": params });
        let response = Client::new().post(self.bitcoin.clone()).body(request.to_string()).send().await;
        let body = response.map_err(http)?.text().await.map_err(http)?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| Error::Io(error.into()))?;
        match answer.get("error").filter(|error| !error.is_null()) {
            Some(error) => Err(Error::PeerRefused { peer: "Bitcoin", what: format!("{method}: {error}") }),
            None => Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()),
        }
    }
}
