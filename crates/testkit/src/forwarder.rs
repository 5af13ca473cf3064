//! A port that hands all on to a server's, until it is closed: a second way to that server, or one that can be cut.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// How long it waits if it can take no connection, and has none that could end.
const PAUSE: Duration = Duration::from_millis(50);

/// A port that hands on. It ends, with its connections, when it is closed or dropped, and not before.
#[derive(Debug)]
pub struct Forwarder {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Hands on from this port, any that is free if it is 0, to that server.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn open(at: impl ToSocketAddrs, to: impl Into<String>) -> io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        Ok(Self { at: listener.local_addr()?, task: tokio::spawn(hand_on(listener, to.into())) })
    }

    /// Where it is reached.
    pub const fn at(&self) -> SocketAddr {
        self.at
    }

    /// Closes it, and all its connections. Nobody listens there any more then.
    pub async fn close(mut self) {
        self.task.abort();
        // It is told to end, and has.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(listener: TcpListener, to: String) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((mut near, _)) = listener.accept() => {
                let to = to.clone();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(to).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
            // Who goes away ends a connection, nothing more.
            Some(_) = connections.join_next() => {}
            else => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn it_hands_on_until_it_is_closed_and_can_be_opened_again_there() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = server.local_addr().unwrap().to_string();
        let forwarder = Forwarder::open("127.0.0.1:0", &to).await.unwrap();
        let at = forwarder.at();
        let mut near = TcpStream::connect(at).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        near.write_all(b"question").await.unwrap();
        let mut heard = [0; 8];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"question");
        forwarder.close().await;
        assert!(TcpStream::connect(at).await.is_err());
        // Closed by either a reset or an end.
        assert_eq!(near.read(&mut heard).await.unwrap_or_default(), 0);
        drop(Forwarder::open(at, to).await.unwrap());
    }
}
