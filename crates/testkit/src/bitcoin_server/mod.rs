//! A Bitcoin node, and an Electrum server, within the test's own process: real sockets before a [`Regtest`] chain, and faults
//! on order that no real one makes when asked.

mod core;
mod electrum;
mod lies;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use bitcoin::{
    Network, Txid,
    block::Header,
    blockdata::constants::genesis_block,
    consensus::encode,
    hashes::{Hash, sha256},
};
use coxswain_rules::units::{Confirmations, Height};
use reqwest::Url;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Regtest, Reply,
    regtest::{Found, Ledger},
};

pub use lies::BitcoinLie;

/// How many coins a server lists of a script, unless told otherwise: ElectrumX's answers hold about as many.
const MOST_LISTED: usize = 7_500;
/// In bitcoins per 1,000 virtual bytes.
const RELAY_FEE: f64 = 0.000_01;

/// What a server serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// Whether transactions in blocks are found by their txid, spent or not (Bitcoin Core's `txindex`).
    pub index: bool,
    /// Whether an Electrum server describes transactions (`verbose`).
    pub verbose: bool,
    /// The estimate for the next block, in bitcoins per 1,000 virtual bytes. `None` if none is made.
    pub estimate: Option<f64>,
    /// How many coins of one script an Electrum server lists; it refuses to list more.
    pub most_listed: usize,
    /// How many of the newest blocks it doesn't know.
    pub behind: u32,
    /// The network whose genesis block it says it has.
    pub network: Network,
    /// The port that it listens on; 0 is a free one.
    pub port: u16,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            index: true,
            verbose: true,
            estimate: None,
            most_listed: MOST_LISTED,
            behind: 0,
            network: Network::Regtest,
            port: 0,
        }
    }
}

/// What a server answers with when it refuses: a code and a message.
type Refused = (i64, String);

/// How a request ends without an answer.
enum Unanswered {
    /// With this HTTP status, whatever else is in the batch.
    Status(u16),
    /// With the connection.
    Cut,
}

/// How a server meets a request, given its method and its parameters.
type Meet = Box<dyn Fn(&str, &Value) -> Reply + Send + Sync>;

/// What all connections of a server share.
struct Shared {
    chain: Regtest,
    serving: Serving,
    asked: Mutex<Vec<(String, Value)>>,
    meet: Meet,
}

/// A server. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct BitcoinServer {
    url: Url,
    shared: Arc<Shared>,
    connections: Arc<Mutex<JoinSet<io::Result<()>>>>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("serving", &self.serving).finish_non_exhaustive()
    }
}

impl BitcoinServer {
    /// An Electrum server of the chain, over TCP, that meets a request as `meet` says.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn electrum(
        chain: &Regtest,
        serving: Serving,
        meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Shared::new(chain, serving, meet);
        Self::listen(
            shared,
            |address| format!("tcp://{address}"),
            |shared, stream| async move { electrum::serve(&shared, stream).await },
        )
        .await
    }

    /// An Electrum server over TLS, whose certificate is new and its own; the URL names it.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn electrum_over_tls(chain: &Regtest, serving: Serving) -> io::Result<Self> {
        let shared = Shared::new(chain, serving, |_, _| Reply::Forward);
        let (config, fingerprint) = certificate()?;
        let url = move |address| format!("ssl://{address}#{fingerprint}");
        Self::listen(shared, url, move |shared, stream| {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            async move { electrum::serve(&shared, acceptor.accept(stream).await?).await }
        })
        .await
    }

    /// A Bitcoin Core node of the chain, that meets each request of a batch as `meet` says.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn core(
        chain: &Regtest,
        serving: Serving,
        meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Shared::new(chain, serving, meet);
        let url = |address| format!("http://{}@{address}", core::USER_AND_PASSWORD);
        Self::listen(shared, url, |shared, stream| async move { core::serve(&shared, stream).await }).await
    }

    async fn listen<Serve>(
        shared: Shared,
        url: impl Fn(SocketAddr) -> String,
        serve: impl Fn(Arc<Shared>, TcpStream) -> Serve + Send + 'static,
    ) -> io::Result<Self>
    where
        Serve: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, shared.serving.port)).await?;
        let url = url(listener.local_addr()?).parse().map_err(io::Error::other)?;
        let shared = Arc::new(shared);
        let handed = Arc::clone(&shared);
        let connections = Arc::<Mutex<JoinSet<_>>>::default();
        let opened = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes away ends its connection, nothing more.
                let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
                opened.spawn(serve(Arc::clone(&handed), stream));
            }
        });
        Ok(Self { url, shared, connections, task })
    }

    /// Where it is reached.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Closes every connection there is, as servers do with those that were idle for long.
    pub fn hang_up(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// The methods asked for so far, in order.
    pub fn methods(&self) -> Vec<String> {
        self.asked().into_iter().map(|(method, _)| method).collect()
    }

    /// What was asked so far, in order: methods and parameters.
    pub fn asked(&self) -> Vec<(String, Value)> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for BitcoinServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn new(
        chain: &Regtest,
        serving: Serving,
        meet: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self { chain: chain.clone(), serving, asked: Mutex::default(), meet: Box::new(meet) }
    }

    /// Meets a request: the answer as JSON text, or how it ends without one.
    async fn meet(
        &self,
        request: &Value,
        honestly: impl FnOnce(&str, &Value) -> Result<Value, Refused>,
    ) -> Result<String, Unanswered> {
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        let params = request.get("params").unwrap_or(&Value::Null);
        let asked = (method.to_owned(), params.clone());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let outcome = match (self.meet)(method, params) {
            Reply::Forward => honestly(method, params),
            Reply::Instead(params) => honestly(method, &params),
            Reply::Changed(change) => honestly(method, params).map(|mut result| {
                change.make(&mut result);
                result
            }),
            Reply::Result(result) => Ok(result),
            Reply::Error(error) => return Ok(reply(request, &Value::Null, &error)),
            Reply::Body(body) => return Ok(body),
            // More than anybody reads.
            Reply::Endless => return Ok(" ".repeat(64 << 20)),
            Reply::Status(status) => return Err(Unanswered::Status(status)),
            Reply::Cut => return Err(Unanswered::Cut),
            Reply::Stall => std::future::pending().await,
        };
        Ok(match outcome {
            Ok(result) => reply(request, &result, &Value::Null),
            Err((code, message)) => {
                reply(request, &Value::Null, &json!({ "code": code, "message": message }))
            }
        })
    }

    /// The height of the newest block that is served.
    fn height(&self, ledger: &Ledger) -> Height {
        ledger.height().saturating_sub(self.serving.behind)
    }

    fn header(&self, ledger: &Ledger, height: Height) -> Option<Header> {
        if height == Height(0) {
            return Some(genesis_block(self.serving.network).header);
        }
        ledger.block(height).filter(|_| height <= self.height(ledger)).map(|block| block.header)
    }

    /// The transaction, unless a block that isn't served has it.
    fn find<'a>(&self, ledger: &'a Ledger, txid: Txid) -> Option<Found<'a>> {
        let served = |found: &Found<'_>| !matches!(found, Found::Mined { height, .. } if *height > self.height(ledger));
        ledger.find(txid).filter(served)
    }

    /// What a node says of the transaction when asked for all of it.
    fn describe(&self, ledger: &Ledger, found: Found<'_>) -> Value {
        let (transaction, block, confirmations) = match found {
            Found::Mempool(transaction) => (transaction, None, None),
            Found::Mined { transaction, height, .. } => {
                let block = ledger.block(height).map(bitcoin::Block::block_hash);
                (transaction, block, height.confirmations(self.height(ledger)))
            }
            // An index of transactions remembers those of blocks that were replaced.
            Found::Stale { transaction, block } => (transaction, Some(block), Some(Confirmations::NONE)),
        };
        let mut described = json!({
            "txid": transaction.compute_txid(),
            "hex": encode::serialize_hex(transaction),
            "blockhash": block,
            "confirmations": confirmations,
        });
        if let Some(fields) = described.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        described
    }
}

fn reply(request: &Value, result: &Value, error: &Value) -> String {
    let id = request.get("id").unwrap_or(&Value::Null);
    // Bitcoin Core always has both, Electrum servers have one.
    if error.is_null() {
        json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string()
    } else {
        json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()
    }
}

/// Parameter `index`, as what it should be.
fn param<T: serde::de::DeserializeOwned>(params: &Value, index: usize) -> Result<T, Refused> {
    let param = params.get(index).cloned().unwrap_or_default();
    serde_json::from_value(param).map_err(|error| (-32602, format!("parameter {index}: {error}")))
}

/// A certificate that the server signs itself, and its SHA-256.
fn certificate() -> io::Result<(Arc<ServerConfig>, sha256::Hash)> {
    let own =
        rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()]).map_err(io::Error::other)?;
    let certificate = own.cert.der().clone();
    let fingerprint = sha256::Hash::hash(&certificate);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key_pair.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    Ok((Arc::new(config), fingerprint))
}
