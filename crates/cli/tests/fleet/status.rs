//! What a node says at its status: asked by the wire, and waited for.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use coxswain_testkit::free_port;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::PATIENCE;

/// Asks a node how it is.
pub(crate) async fn asked(at: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.ok()?;
    let (head, body) = said.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Waits until the node says that it is so: the answer's code, and the states of entries.
pub(crate) async fn until(at: SocketAddr, code: u16, wanted: &[(&str, &str)]) -> Value {
    let mut last = None;
    let waiting = async {
        loop {
            if let Some((got, body)) = asked(at, "/health").await {
                let health: Value = serde_json::from_str(&body).unwrap();
                let state = |name: &str| {
                    let entries = health["entries"].as_array().unwrap().iter();
                    let mut of = entries.filter(|entry| entry["name"] == name).map(|entry| &entry["state"]);
                    // The worst of several subjects.
                    of.clone().find(|state| **state != "ok").or(of.next()).cloned()
                };
                if got == code
                    && wanted.iter().all(|(name, is)| state(name).is_some_and(|state| state == *is))
                {
                    return health;
                }
                last = Some((got, health));
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    match timeout(PATIENCE, waiting).await {
        Ok(health) => health,
        Err(_) => panic!("never {code} with {wanted:?}: {last:#?}"),
    }
}

/// Where a node may say how it is: an address of this machine that is free.
pub(crate) fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port().unwrap()).into()
}
