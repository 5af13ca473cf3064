//! A JSON-RPC endpoint that fails on order, in front of a real one: for faults that no real node makes when asked.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::http;

/// The method as which a batch is met.
const BATCH: &str = "batch";

/// What is done to a result on its way.
#[derive(Clone)]
pub struct Change(Arc<dyn Fn(&mut Value) + Send + Sync>);

impl Change {
    /// This is done.
    pub fn new(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }

    pub(crate) fn make(&self, result: &mut Value) {
        (self.0)(result);
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change")
    }
}

/// How the endpoint meets a request. It is asked how to meet a whole batch, as method `batch`, before each of its requests.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With the real endpoint's answer.
    Forward,
    /// With the real endpoint's answer to these parameters.
    Instead(Value),
    /// With the real endpoint's answer, its result changed.
    Changed(Change),
    /// With this result.
    Result(Value),
    /// With this JSON-RPC error.
    Error(Value),
    /// With this body, whatever it is.
    Body(String),
    /// With this HTTP status, and an empty body.
    Status(u16),
    /// With a body that doesn't end, as fast as it is read.
    Endless,
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
    requests: Arc<AtomicUsize>,
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
        let (methods, requests) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let shared = Arc::new((upstream, Client::new(), Arc::clone(&methods), meet));
        let counted = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let (upstream, client, methods, meet) = &*shared;
                    // A client that goes away ends its connection, nothing more.
                    let _ = serve(stream, upstream, client, methods, meet).await;
                });
            }
        });
        Ok(Self { url, methods, requests, task })
    }

    /// Where it is reached.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// How many HTTP requests came so far. A batch is one.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The methods asked for so far, in order, those of a batch each.
    pub fn methods(&self) -> Vec<String> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FaultyEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a body is answered with.
enum Served {
    Body(u16, String),
    Endless,
    Cut,
}

/// Serves one request, or one batch of them, then closes.
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
    let asked = match &request {
        Value::Array(requests) => requests.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut answers = Vec::new();
    if request.is_array() {
        let whole = json!({ "method": BATCH, "id": null });
        match meet(BATCH, &Value::Null) {
            Reply::Forward => {}
            reply => return send(&mut stream, answer(&whole, reply, upstream, client).await?).await,
        }
    }
    for request in asked {
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        methods.lock().unwrap_or_else(PoisonError::into_inner).push(method.to_owned());
        let reply = meet(method, request.get("params").unwrap_or(&Value::Null));
        match answer(request, reply, upstream, client).await? {
            Served::Body(200, body) => answers.push(body),
            served => return send(&mut stream, served).await,
        }
    }
    let body = if request.is_array() { format!("[{}]", answers.join(",")) } else { answers.concat() };
    http::respond(&mut stream, 200, &body).await
}

async fn send(stream: &mut BufReader<TcpStream>, served: Served) -> io::Result<()> {
    match served {
        Served::Body(status, body) => http::respond(stream, status, &body).await,
        Served::Endless => http::respond_endlessly(stream).await,
        Served::Cut => Ok(()),
    }
}

async fn answer(request: &Value, reply: Reply, upstream: &Url, client: &Client) -> io::Result<Served> {
    let id = request.get("id").cloned().unwrap_or_default();
    let forward = async |request: &Value| {
        let forwarded = client
            .post(upstream.clone())
            .header("content-type", "application/json")
            .body(request.to_string());
        forwarded.send().await.map_err(io::Error::other)?.text().await.map_err(io::Error::other)
    };
    Ok(match reply {
        Reply::Forward => Served::Body(200, forward(request).await?),
        Reply::Instead(params) => {
            let method = request.get("method");
            let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
            Served::Body(200, forward(&request).await?)
        }
        Reply::Changed(change) => {
            let mut answer: Value = serde_json::from_str(&forward(request).await?)?;
            if let Some(result) = answer.get_mut("result") {
                change.make(result);
            }
            Served::Body(200, answer.to_string())
        }
        Reply::Result(result) => {
            Served::Body(200, json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string())
        }
        Reply::Error(error) => {
            Served::Body(200, json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string())
        }
        Reply::Body(body) => Served::Body(200, body),
        Reply::Status(status) => Served::Body(status, String::new()),
        Reply::Endless => Served::Endless,
        Reply::Cut => Served::Cut,
        Reply::Stall => std::future::pending().await,
    })
}
