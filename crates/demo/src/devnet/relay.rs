//! A second way to the chain: a port that hands all on to the chain's own, as if there were two servers. Of one server alone the
//! nodes would have nothing but its word, and blame nobody by it.

use std::{io, net::Ipv4Addr};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A port that hands on. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub(super) struct Relay(JoinHandle<()>);

impl Relay {
    /// Hands on from the one port of this machine to the other.
    pub(super) async fn open(from: u16, to: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, from)).await?;
        Ok(Self(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((mut near, _)) = listener.accept() => {
                        connections.spawn(async move {
                            let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
                            tokio::io::copy_bidirectional(&mut near, &mut far).await
                        });
                    }
                    // Who goes away ends a connection, nothing more.
                    Some(_) = connections.join_next() => {}
                }
            }
        })))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}
