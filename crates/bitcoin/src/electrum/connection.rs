//! A connection to an Electrum server: one JSON object a line, many requests under way at a time.
//!
//! A batch is written as lines in one go, not as a JSON-RPC array: that takes one round trip as well, each answer keeps its own
//! size limit at the server, and there are servers that know no arrays.

use std::{io, sync::Arc};

use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    Address, HELLO, Security,
    tls::{self, Refused},
};
use crate::{
    BackendError, Limits,
    jsonrpc::{Answer, Call, Reply},
    limits::place_in_flight,
};

/// The client name that is sent.
const CLIENT: &str = concat!("coxswain ", env!("CARGO_PKG_VERSION"));
/// The oldest and the newest version of the protocol that are spoken.
const PROTOCOL: [&str; 2] = ["1.4", "1.4.5"];

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open connection, whose versions are agreed on.
pub(super) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    next: u64,
    /// The name that the server gives itself.
    pub(super) server: String,
}

impl Connection {
    /// Connects, and agrees on the protocol's version.
    pub(super) async fn open(address: &Address, limits: &Limits) -> Result<Self, BackendError> {
        let unreachable = |cause: String| BackendError::Unreachable {
            method: HELLO,
            endpoint: address.name.clone(),
            cause,
        };
        let stream = timeout(limits.connect, connect(address))
            .await
            .map_err(|_| unreachable(format!("not within {} s", limits.connect.as_secs_f32())))?
            .map_err(|error| match tls::refused(&error) {
                Some(Refused { fingerprint, pinned, problem }) => BackendError::Untrusted {
                    method: HELLO,
                    endpoint: address.name.clone(),
                    fingerprint: *fingerprint,
                    pinned: *pinned,
                    problem: problem.clone(),
                },
                None => unreachable(error.to_string()),
            })?;
        let mut connection = Self { stream: BufReader::new(stream), next: 0, server: String::new() };
        let hello = [Call::new(HELLO, json!([CLIENT, PROTOCOL]))];
        for answer in connection.batch(&hello, address, limits).await? {
            let (server, version): (String, String) = answer.read()?;
            connection.server = crate::jsonrpc::excerpt(&server);
            if !is_understood(&version) {
                return Err(BackendError::OtherVersion {
                    endpoint: address.name.clone(),
                    version: crate::jsonrpc::excerpt(&version),
                    understood: PROTOCOL,
                });
            }
        }
        Ok(connection)
    }

    /// Asks all, in one round trip. After an error the connection is of no use.
    pub(super) async fn batch(
        &mut self,
        calls: &[Call],
        address: &Address,
        limits: &Limits,
    ) -> Result<Vec<Answer>, BackendError> {
        let method = calls.first().map_or(HELLO, |call| call.method);
        timeout(limits.answer, self.exchange(calls, method, address, limits)).await.unwrap_or_else(|_| {
            Err(BackendError::TimedOut { method, endpoint: address.name.clone(), deadline: limits.answer })
        })
    }

    async fn exchange(
        &mut self,
        calls: &[Call],
        method: &'static str,
        address: &Address,
        limits: &Limits,
    ) -> Result<Vec<Answer>, BackendError> {
        let endpoint = &address.name;
        let interrupted = |error: io::Error| BackendError::Interrupted {
            method,
            endpoint: endpoint.clone(),
            cause: error.to_string(),
        };
        let garbage = |cause: String| BackendError::Garbage { method, endpoint: endpoint.clone(), cause };
        let first = self.next;
        let mut lines = Vec::new();
        for call in calls {
            serde_json::to_writer(&mut lines, &call.numbered(self.next))
                .map_err(|error| garbage(error.to_string()))?;
            lines.push(b'\n');
            self.next = self.next.wrapping_add(1);
        }
        self.stream.write_all(&lines).await.map_err(interrupted)?;
        self.stream.flush().await.map_err(interrupted)?;

        // What has not begun to come takes no room.
        self.stream.fill_buf().await.map_err(interrupted)?;
        let _place = place_in_flight().await;
        let mut answers: Vec<Option<Answer>> = calls.iter().map(|_| None).collect();
        let mut missing = calls.len();
        let mut room = limits.bytes;
        while missing > 0 {
            let line = self.line(room).await.map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => {
                    BackendError::TooLarge { method, endpoint: endpoint.clone(), limit: limits.bytes }
                }
                _ => interrupted(error),
            })?;
            room = room.saturating_sub(line.len());
            let reply: Reply = serde_json::from_slice(&line).map_err(|error| garbage(error.to_string()))?;
            // What is not an answer is news of what was once subscribed to.
            let Some(place) = reply.place(first) else { continue };
            let (Some(call), Some(answer)) = (calls.get(place), answers.get_mut(place)) else {
                return Err(garbage("it answers what was not asked".to_owned()));
            };
            if answer.replace(Answer::new(call, endpoint, reply)).is_some() {
                return Err(garbage("it answers a request twice".to_owned()));
            }
            missing = missing.saturating_sub(1);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn line(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        (&mut self.stream).take(most).read_until(b'\n', &mut line).await?;
        if line.ends_with(b"\n") {
            Ok(line)
        } else if line.len() >= limit {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server"))
        }
    }
}

/// Whether this version of the protocol is between the two that are spoken: its parts are numbers.
fn is_understood(version: &str) -> bool {
    let parts = |version: &str| version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok();
    let [oldest, newest] = PROTOCOL.map(parts);
    parts(version).is_some_and(|version| oldest <= Some(version.clone()) && Some(version) <= newest)
}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    Ok(match &address.security {
        Security::None => Box::new(stream),
        Security::Tls(config) => {
            let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::is_understood;

    #[test]
    fn versions_are_numbers_and_between_two() {
        for understood in ["1.4", "1.4.0", "1.4.1", "1.4.5"] {
            assert!(is_understood(understood), "{understood}");
        }
        for other in ["1.3", "1.3.9", "1.2", "1.4.6", "1.5", "1.6", "1.40", "2", "", "1.4.x", "v1.4"] {
            assert!(!is_understood(other), "{other}");
        }
    }
}
