//! A wire between a node and a server, which can be cut.

use std::net::SocketAddr;

use coxswain_testkit::Forwarder;

/// Stands between the node and a server, until it is cut.
pub(crate) struct Wire {
    pub(crate) at: SocketAddr,
    to: String,
    forwarder: Option<Forwarder>,
}

impl Wire {
    pub(crate) async fn to(server: &str) -> Self {
        let url: url::Url = server.parse().unwrap();
        let to = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let forwarder = Forwarder::open("127.0.0.1:0", &to).await.unwrap();
        Self { at: forwarder.at(), to, forwarder: Some(forwarder) }
    }

    /// Nobody answers there any more, and what was connected is closed.
    pub(crate) async fn cut(&mut self) {
        self.forwarder.take().unwrap().close().await;
    }

    pub(crate) async fn mend(&mut self) {
        self.forwarder = Some(Forwarder::open(self.at, &self.to).await.unwrap());
    }
}
