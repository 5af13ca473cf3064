//! Peer addresses: multiaddrs as operators write them in their configurations.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use coxswain_protocol::wire::OperatorKey;
use libp2p_core::{Multiaddr, multiaddr::Protocol};
use libp2p_identity::PeerId;

use crate::identity::operator_of;

/// The port that operators listen on unless they say otherwise.
pub const DEFAULT_PORT: u16 = 3919;
/// The longest multiaddr that is read, in bytes: a DNS name has at most 253.
const MAX_BYTES: usize = 512;

/// A peer's host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, of any family.
    Dns(String),
    /// A name, IPv4 only.
    Dns4(String),
    /// A name, IPv6 only.
    Dns6(String),
}

/// Where a peer is, and who it must be: `/ip4/…/tcp/3919/p2p/16Uiu2HA…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    host: Host,
    port: u16,
    peer: PeerId,
    operator: OperatorKey,
}

/// Why a text is no peer's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not a multiaddr.
    #[error("not a multiaddr: expected /ip4/1.2.3.4/tcp/3919/p2p/16Uiu2HA…")]
    Malformed,
    /// A multiaddr of another shape.
    #[error("not a host, a TCP port and a peer id: expected /ip4|ip6|dns4|dns6/…/tcp/3919/p2p/16Uiu2HA…")]
    Shape,
    /// The peer id does not hold an operator's key.
    #[error("the peer id holds no secp256k1 key, so it is no operator's (those begin with 16Uiu2HA)")]
    PeerId,
}

impl PeerAddress {
    /// The peer's host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The peer's TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Who it must be.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Who it must be, as an operator.
    pub const fn operator(&self) -> &OperatorKey {
        &self.operator
    }

    /// The addresses that the host has now, with the port. A name's are asked for, and those of its family kept.
    ///
    /// # Errors
    ///
    /// When the name can't be resolved.
    pub async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        /// How many addresses of one name are tried.
        const MAX_ADDRESSES: usize = 8;
        let (name, wanted): (_, fn(&SocketAddr) -> bool) = match &self.host {
            Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, self.port)]),
            Host::Dns(name) => (name, |_| true),
            Host::Dns4(name) => (name, SocketAddr::is_ipv4),
            Host::Dns6(name) => (name, SocketAddr::is_ipv6),
        };
        let found = tokio::net::lookup_host((name.as_str(), self.port)).await?;
        Ok(found.filter(wanted).take(MAX_ADDRESSES).collect())
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_BYTES {
            return Err(AddressError::Malformed);
        }
        // The Go client writes `ipfs`, the name that `p2p` had.
        let multiaddr: Multiaddr =
            text.replacen("/ipfs/", "/p2p/", 1).parse().map_err(|_| AddressError::Malformed)?;
        let mut parts = multiaddr.iter();
        let (Some(host), Some(Protocol::Tcp(port)), Some(Protocol::P2p(peer)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AddressError::Shape);
        };
        let host = match host {
            Protocol::Ip4(ip) => Host::Ip(ip.into()),
            Protocol::Ip6(ip) => Host::Ip(ip.into()),
            Protocol::Dns(name) => Host::Dns(name.into_owned()),
            Protocol::Dns4(name) => Host::Dns4(name.into_owned()),
            Protocol::Dns6(name) => Host::Dns6(name.into_owned()),
            _ => return Err(AddressError::Shape),
        };
        let operator = operator_of(&peer).ok_or(AddressError::PeerId)?;
        Ok(Self { host, port, peer, operator })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, peer, .. } = self;
        match host {
            Host::Ip(IpAddr::V4(ip)) => write!(f, "/ip4/{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "/ip6/{ip}"),
            Host::Dns(name) => write!(f, "/dns/{name}"),
            Host::Dns4(name) => write!(f, "/dns4/{name}"),
            Host::Dns6(name) => write!(f, "/dns6/{name}"),
        }?;
        write!(f, "/tcp/{port}/p2p/{peer}")
    }
}

/// The multiaddr of a socket.
pub(crate) fn multiaddr_of(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()))
}

/// The socket that a multiaddr begins with, if it is one of TCP.
pub(crate) fn socket_of(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    Some(SocketAddr::new(ip, port))
}

/// Returns whether an address is globally reachable, that is, not in a private, local, shared or reserved network.
pub(crate) fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(a == 0
                || a >= 224
                || ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || (a, b & 0xc0) == (100, 64)
                || (a, b, c) == (192, 0, 0)
                || (a, b & 0xfe) == (198, 18))
        }
        // 2000::/3 is what has been given out, less documentation and what only wraps an IPv4 address.
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            a & 0xe000 == 0x2000 && a != 0x2002 && (a, b) != (0x2001, 0xdb8) && (a, b) != (0x2001, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "16Uiu2HAmHzBkRq62mG95vsjKMuYQBezZCtjPXYWUoyVxMxi71aB3";

    #[test]
    fn both_names_of_the_peer_id_are_read() {
        for (text, shown) in [
            ("/ip4/10.0.0.1/tcp/3919/ipfs/ID", "/ip4/10.0.0.1/tcp/3919/p2p/ID"),
            ("/ip4/10.0.0.1/tcp/3919/p2p/ID", "/ip4/10.0.0.1/tcp/3919/p2p/ID"),
            ("/ip6/2001:db8::1/tcp/1/p2p/ID", "/ip6/2001:db8::1/tcp/1/p2p/ID"),
            ("/dns4/node.example.org/tcp/3919/ipfs/ID", "/dns4/node.example.org/tcp/3919/p2p/ID"),
            ("/dns6/node.example.org/tcp/3919/ipfs/ID", "/dns6/node.example.org/tcp/3919/p2p/ID"),
            ("/dns/ipfs/tcp/3919/p2p/ID", "/dns/p2p/tcp/3919/p2p/ID"),
        ] {
            let address: PeerAddress = text.replace("ID", PEER).parse().unwrap();
            if !text.starts_with("/dns/") {
                assert_eq!(address.to_string(), shown.replace("ID", PEER));
            }
            assert_eq!(address.peer().to_base58(), PEER);
        }
    }

    #[test]
    fn what_is_no_peers_address_is_said() {
        for (text, error) in [
            ("", AddressError::Shape),
            ("10.0.0.1:3919", AddressError::Malformed),
            ("/ip4/10.0.0.1/tcp/3919", AddressError::Shape),
            ("/ip4/10.0.0.1/udp/3919/quic-v1/p2p/ID", AddressError::Shape),
            ("/ip4/10.0.0.1/tcp/3919/ws/p2p/ID", AddressError::Shape),
            ("/ip4/10.0.0.1/tcp/3919/p2p/ID/p2p-circuit", AddressError::Shape),
            (
                "/ip4/10.0.0.1/tcp/3919/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV",
                AddressError::PeerId,
            ),
        ] {
            assert_eq!(text.replace("ID", PEER).parse::<PeerAddress>(), Err(error), "{text}");
        }
        let long = format!("/dns4/{}/tcp/1/p2p/{PEER}", "a".repeat(512));
        assert_eq!(long.parse::<PeerAddress>(), Err(AddressError::Malformed));
    }

    #[test]
    fn only_addresses_that_anybody_could_have_are_global() {
        for ip in ["8.8.8.8", "100.63.255.255", "100.128.0.0", "198.17.0.1", "2a01:4f8::1", "::ffff:8.8.8.8"]
        {
            assert!(is_global(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "2001:db8::1",
            "2002::1",
            "ff02::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_global(ip.parse().unwrap()), "{ip}");
        }
    }
}
