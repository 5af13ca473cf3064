//! JSON-RPC over HTTP to servers of a world's own, which are believed.

use alloy::{
    primitives::{Address, Bytes, U64},
    sol_types::SolCall,
};
use reqwest::{Client, Url, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::Error;

/// A server that is asked one question at a time.
#[derive(Clone, Debug)]
pub struct Rpc {
    client: Client,
    url: Url,
}

impl Rpc {
    /// The server at this URL. Nothing is sent yet.
    pub fn new(url: Url) -> Self {
        Self { client: Client::new(), url }
    }

    /// What the server answers: `null` is an answer too.
    ///
    /// # Errors
    /// When it doesn't, or its answer is none of this type.
    pub async fn ask<T: DeserializeOwned>(&self, method: &str, params: impl Serialize) -> Result<T, Error> {
        let answer = self.answer(method, json!(params)).await?;
        serde_json::from_value(answer).map_err(|error| Error::Unanswered {
            method: method.to_owned(),
            what: format!("what it answers can't be read: {error}"),
        })
    }

    /// Likewise, where the answer says nothing.
    ///
    /// # Errors
    /// When the server doesn't answer.
    pub async fn tell(&self, method: &str, params: impl Serialize) -> Result<(), Error> {
        self.answer(method, json!(params)).await.map(drop)
    }

    /// Likewise, where the answer is a number.
    ///
    /// # Errors
    /// When there is none.
    pub async fn number(&self, method: &str, params: impl Serialize) -> Result<u64, Error> {
        Ok(self.ask::<U64>(method, params).await?.to())
    }

    /// What a contract returns at the newest block.
    ///
    /// # Errors
    /// When it reverts, or returns something else.
    pub async fn call<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return, Error> {
        let params = json!([{ "to": to, "input": Bytes::from(call.abi_encode()) }, "latest"]);
        let returned: Bytes = self.ask("eth_call", params).await?;
        C::abi_decode_returns(&returned).map_err(|error| Error::Unanswered {
            method: C::SIGNATURE.to_owned(),
            what: format!("what it returns can't be read: {error}"),
        })
    }

    async fn answer(&self, method: &str, params: Value) -> Result<Value, Error> {
        let failed = |what| Error::Unanswered { method: method.to_owned(), what };
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let request = request.body(question.to_string());
        let response = request.send().await.map_err(|error| failed(error.to_string()))?;
        let body = response.bytes().await.map_err(|error| failed(error.to_string()))?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
        match answer.get("error").filter(|error| !error.is_null()) {
            Some(error) => Err(failed(error.to_string())),
            None => Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()),
        }
    }
}

/// A contract on a chain of a world's own.
#[derive(Clone, Debug)]
pub struct Contract {
    rpc: Rpc,
    address: Address,
}

impl Contract {
    pub(crate) const fn new(rpc: Rpc, address: Address) -> Self {
        Self { rpc, address }
    }

    /// Where it is.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// What it returns at the newest block.
    ///
    /// # Errors
    /// When it reverts, or returns something else.
    pub async fn ask<C: SolCall>(&self, call: &C) -> Result<C::Return, Error> {
        self.rpc.call(self.address, call).await
    }
}
