//! A JSON-RPC endpoint that fails on order, in front of a real one: for faults that no real node makes when asked.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::transports::http::reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::http;

/// How the endpoint meets a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// With the real endpoint's answer.
    Forward,
    /// With this result.
    Result(Value),
    /// With this JSON-RPC error.
    Error(Value),
    /// With this body, whatever it is.
    Body(String),
    /// With this HTTP status, and an empty body.
    Status(u16),
    /// By closing the connection, the request having been read.
    Cut,
    /// Never, the connection staying open.
    Stall,
}

/// The endpoint. It ends when it is dropped.
#[derive(Debug)]
pub struct FaultyEndpoint {
    url: Url,
    methods: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl FaultyEndpoint {
    /// Starts an endpoint before `upstream`, which meets a request as `meet` says, given its method.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(
        upstream: Url,
        meet: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_inspecting(upstream, move |method, _| meet(method)).await
    }

    /// As [`start`](Self::start), but `meet` is given the request's parameters too.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start_inspecting(
        upstream: Url,
        meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let url = url.parse().map_err(|error| io::Error::other(format!("{url}: {error}")))?;
        let methods = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::new((upstream, Client::new(), Arc::clone(&methods), meet));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let (upstream, client, methods, meet) = &*shared;
                    // A client that goes away ends its connection, nothing more.
                    let _ = serve(stream, upstream, client, methods, meet).await;
                });
            }
        });
        Ok(Self { url, methods, task })
    }

    /// Where it is reached.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The methods asked for so far, in order.
    pub fn methods(&self) -> Vec<String> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FaultyEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one request, then closes.
async fn serve(
    stream: TcpStream,
    upstream: &Url,
    client: &Client,
    methods: &Mutex<Vec<String>>,
    meet: &impl Fn(&str, &Value) -> Reply,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(http::Request { body, .. }) = http::receive(&mut stream).await? else { return Ok(()) };
    let request: Value = serde_json::from_slice(&body)?;
    let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
    methods.lock().unwrap_or_else(PoisonError::into_inner).push(method.to_owned());
    let id = request.get("id").cloned().unwrap_or_default();

    let (status, body) = match meet(method, request.get("params").unwrap_or(&Value::Null)) {
        Reply::Forward => {
            let forwarded =
                client.post(upstream.clone()).header("content-type", "application/json").body(body);
            let answer = forwarded.send().await.map_err(io::Error::other)?;
            (200, answer.text().await.map_err(io::Error::other)?)
        }
        Reply::Result(result) => (200, json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string()),
        Reply::Error(error) => (200, json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()),
        Reply::Body(body) => (200, body),
        Reply::Status(status) => (status, String::new()),
        Reply::Cut => return Ok(()),
        Reply::Stall => return std::future::pending().await,
    };
    http::respond(&mut stream, status, &body).await
}
