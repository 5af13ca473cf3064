//! How many servers are enough to go by, and which addresses are one server.

use std::net::IpAddr;

/// A quorum that can't be met, or no servers at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quorum of {quorum} of {servers} servers can't be met")]
pub struct QuorumError {
    quorum: usize,
    servers: usize,
}

/// How many of a number of servers must say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    servers: usize,
    at_least: usize,
}

impl Quorum {
    /// The quorum of one server alone.
    pub const ONE: Self = Self { servers: 1, at_least: 0 };

    /// The quorum among this many servers, raised to `at_least` by a setting.
    ///
    /// # Errors
    /// If there is no server, or there are fewer than the setting asks for.
    pub const fn new(servers: usize, at_least: usize) -> Result<Self, QuorumError> {
        if servers == 0 || at_least > servers {
            return Err(QuorumError { quorum: at_least, servers });
        }
        Ok(Self { servers, at_least })
    }

    /// How many servers there are.
    pub const fn servers(self) -> usize {
        self.servers
    }

    /// How many must say the same, where this many have given an answer to anything that was understood.
    ///
    /// Of two servers both must, unless one is silent: then the other is believed at its word.
    pub const fn required(self, answering: usize) -> usize {
        let required = match (self.servers, answering) {
            (2, 0 | 1) => 1,
            (servers, _) => servers / 2 + 1,
        };
        if required < self.at_least { self.at_least } else { required }
    }
}

/// What a server says that enough others, or a proof, contradict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dissent {
    /// Its host and port.
    pub endpoint: String,
    /// What it says.
    pub said: String,
}

/// Who was outvoted, or refuted: of each server the first time, and a bounded number in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dissents(Vec<Dissent>);

impl Dissents {
    /// How many are kept.
    pub const MOST: usize = 32;

    /// Notes what a server says, unless something is known of it.
    pub fn note(&mut self, endpoint: &str, said: impl FnOnce() -> String) {
        if self.0.len() < Self::MOST && !self.0.iter().any(|dissent| dissent.endpoint == endpoint) {
            self.0.push(Dissent { endpoint: endpoint.to_owned(), said: said() });
        }
    }

    /// All that were noted, in their order.
    pub fn all(&self) -> &[Dissent] {
        &self.0
    }
}

/// Which server each address is of, a host and a port, counted from 0: addresses of one host are one server, except that on
/// this machine each port is one, unless a setting says otherwise.
pub fn servers<'a>(
    addresses: impl IntoIterator<Item = (&'a str, Option<u16>)>,
    loopback_is_one: bool,
) -> Vec<usize> {
    let mut known = Vec::new();
    let server = |(host, port): (&str, Option<u16>)| {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let port = port.filter(|_| is_loopback(&host) && !loopback_is_one);
        let name = (host, port);
        known.iter().position(|known| *known == name).unwrap_or_else(|| {
            known.push(name);
            known.len() - 1
        })
    };
    addresses.into_iter().map(server).collect()
}

/// Whether the host, in lower case, is this machine. URLs have IPv6 addresses in brackets.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_more_than_half_and_of_two_both_or_the_one_that_answers() {
        let required = |servers, answering| Quorum::new(servers, 0).unwrap().required(answering);
        assert_eq!([required(1, 0), required(1, 1)], [1, 1]);
        assert_eq!([required(2, 0), required(2, 1), required(2, 2)], [1, 1, 2]);
        for (servers, enough) in [(3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            for answering in 0..=servers {
                assert_eq!(required(servers, answering), enough, "whoever answers");
            }
        }
    }

    #[test]
    fn a_setting_raises_the_quorum_and_never_lowers_it() {
        assert_eq!(Quorum::new(2, 2).unwrap().required(1), 2);
        assert_eq!(Quorum::new(5, 4).unwrap().required(5), 4);
        assert_eq!(Quorum::new(5, 1).unwrap().required(5), 3);
        assert!(Quorum::new(2, 3).is_err() && Quorum::new(0, 0).is_err());
        assert!(Quorum::new(3, 3).is_ok());
    }

    #[test]
    fn of_each_server_the_first_dissent_is_kept_and_of_all_a_bounded_number() {
        let mut dissents = Dissents::default();
        for number in 0..100 {
            dissents.note(&format!("a:{number}"), || format!("{number}"));
            dissents.note("a:0", || panic!("it is known"));
        }
        assert_eq!(dissents.all().len(), Dissents::MOST);
        assert_eq!(dissents.all()[1], Dissent { endpoint: "a:1".to_owned(), said: "1".to_owned() });
    }

    #[test]
    fn addresses_of_one_host_are_one_server() {
        let https = Some(443);
        let public =
            [("a.example", https), ("A.example.", Some(8545)), ("b.example", https), ("eth.a.example", None)];
        assert_eq!(servers(public, false), [0, 0, 1, 2]);
        let local = [
            ("127.0.0.1", Some(8545)),
            ("127.0.0.1", Some(8546)),
            ("localhost", Some(8545)),
            ("[::1]", Some(1)),
            ("127.0.0.1", Some(8545)),
        ];
        assert_eq!(servers(local, false), [0, 1, 2, 3, 0]);
        assert_eq!(servers(local, true), [0, 0, 1, 2, 0]);
        let unbracketed = [("::1", Some(1)), ("::1", Some(2))];
        assert_eq!(servers(unbracketed, false), [0, 1]);
    }
}
