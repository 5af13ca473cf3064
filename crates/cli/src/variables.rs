//! Environment variables, `COXSWAIN_SECTION__KEY`, for what the command line leaves out: where to ask, so that it isn't typed each
//! time, and keys show in no process list. What decides a verdict, the contracts and the block, is on the command line only.

#[cfg(feature = "node")]
use std::path::PathBuf;
use std::{ffi::OsString, time::Duration};

use clap::{Parser, ValueEnum, error::ErrorKind};
use url::Url;

#[cfg(feature = "node")]
use crate::arguments::{KeystoreArguments, MaintainArguments, MaintainerArguments, ProveArguments};
use crate::{
    arguments::{Arguments, AskingArguments, BitcoinArguments, Command, EthereumArguments, NetworkName},
    values,
};

// The names are those of a configuration's sections and keys. README.md lists them: a test says so.
const ETHEREUM_URLS: &str = "COXSWAIN_ETHEREUM__URLS";
const ETHEREUM_NETWORK: &str = "COXSWAIN_ETHEREUM__NETWORK";
const TIMEOUT: &str = "COXSWAIN_TIMEOUT";
const ETHEREUM_QUORUM: &str = "COXSWAIN_ETHEREUM__QUORUM";
const LOOPBACK_IS_ONE: &str = "COXSWAIN_ETHEREUM__LOOPBACK_IS_ONE";
const ETHEREUM_PROXY: &str = "COXSWAIN_ETHEREUM__PROXY";
const ETHEREUM_TIMEOUT: &str = "COXSWAIN_ETHEREUM__REQUEST_TIMEOUT";
#[cfg(feature = "node")]
pub(crate) const PASSWORD_FILE: &str = "COXSWAIN_ETHEREUM__PASSWORD_FILE";
const BITCOIN_URLS: &str = "COXSWAIN_BITCOIN__URLS";
const BITCOIN_NETWORK: &str = "COXSWAIN_BITCOIN__NETWORK";
const BITCOIN_TIMEOUT: &str = "COXSWAIN_BITCOIN__REQUEST_TIMEOUT";
const BITCOIN_QUORUM: &str = "COXSWAIN_BITCOIN__QUORUM";
#[cfg(feature = "node")]
const NETWORK_PEERS: &str = "COXSWAIN_NETWORK__PEERS";

/// Looks a variable up by its name.
struct Variables<Look>(Look);

impl Arguments {
    /// Reads the command line, then the variables for what it leaves out. A variable that is empty isn't there.
    ///
    /// # Errors
    /// If the two make no sense, or help or the version was asked for.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, clap::Error> {
        let mut arguments = Self::try_parse_from(arguments)?;
        let variables = Variables(variable);
        match &mut arguments.command {
            Command::Validate(asked) | Command::Explain(asked) => {
                variables.ethereum(&mut asked.ethereum)?;
                variables.bitcoin(&mut asked.bitcoin)?;
            }
            Command::Propose(asked) => {
                variables.ethereum(&mut asked.ethereum)?;
                variables.bitcoin(&mut asked.bitcoin)?;
            }
            // They are read with the file.
            #[cfg(feature = "node")]
            Command::Doctor(asked) if asked.config.is_some() => {}
            Command::Doctor(asked) => {
                variables.ethereum(&mut asked.ethereum)?;
                variables.bitcoin(&mut asked.bitcoin)?;
            }
            // A block that is given is no question to an endpoint.
            Command::Window(asked) => {
                if asked.block.is_none() {
                    variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                }
                variables.network(&mut asked.network)?;
                variables.asking(&mut asked.asking)?;
            }
            Command::Leader(asked) => {
                if asked.safe_block_hash.is_none() {
                    variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                }
                variables.network(&mut asked.network)?;
                variables.asking(&mut asked.asking)?;
            }
            Command::Group(asked) => {
                variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                variables.network(&mut asked.network)?;
                variables.asking(&mut asked.asking)?;
                needed(&asked.rpc_url)?;
            }
            Command::Watch(asked) => {
                variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                variables.network(&mut asked.network)?;
                variables.asking(&mut asked.asking)?;
                needed(&asked.rpc_url)?;
                variables.bitcoin(&mut asked.bitcoin)?;
            }
            #[cfg(feature = "node")]
            Command::Ping(asked) => {
                variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                variables.network(&mut asked.network)?;
                variables.asking(&mut asked.asking)?;
                variables.keystore(&mut asked.keystore);
                variables.list(&mut asked.configured, NETWORK_PEERS, "peer", |word| {
                    word.parse().map_err(|error: coxswain_network::AddressError| error.to_string())
                })?;
            }
            // It reads them with its file.
            #[cfg(feature = "node")]
            Command::Start(_) | Command::Maintain(MaintainArguments { config: Some(_), .. }) => {}
            #[cfg(feature = "node")]
            Command::Prove(ProveArguments { maintainer, .. })
            | Command::Maintain(MaintainArguments { maintainer, .. }) => variables.maintainer(maintainer)?,
            #[cfg(feature = "node")]
            Command::Identity(asked) => variables.keystore(&mut asked.keystore),
            #[cfg(all(feature = "node", feature = "proven"))]
            Command::Replay(_) => {}
            #[cfg(feature = "node")]
            Command::Config(_)
            | Command::History(_)
            | Command::Faults(_)
            | Command::Why(_)
            | Command::Init(_) => {}
            #[cfg(unix)]
            Command::Share(_) => {}
            Command::Simulate(_) | Command::Completions(_) => {}
        }
        Ok(arguments)
    }
}

impl<Look: Fn(&str) -> Option<OsString>> Variables<Look> {
    fn ethereum(&self, arguments: &mut EthereumArguments) -> Result<(), clap::Error> {
        self.urls(&mut arguments.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
        self.network(&mut arguments.network)?;
        self.asking(&mut arguments.asking)?;
        needed(&arguments.rpc_url)
    }

    fn bitcoin(&self, arguments: &mut BitcoinArguments) -> Result<(), clap::Error> {
        self.urls(&mut arguments.bitcoin_url, BITCOIN_URLS, values::bitcoin_url)?;
        self.timeout(&mut arguments.bitcoin_timeout, BITCOIN_TIMEOUT)?;
        self.quorum(&mut arguments.bitcoin_quorum, BITCOIN_QUORUM)?;
        if arguments.bitcoin_network.is_none()
            && let Some(text) = self.text(BITCOIN_NETWORK)?
        {
            let network =
                text.parse().map_err(|_| invalid(BITCOIN_NETWORK, "it names no network of Bitcoin"))?;
            arguments.bitcoin_network = Some(network);
        }
        Ok(())
    }

    #[cfg(feature = "node")]
    fn maintainer(&self, arguments: &mut MaintainerArguments) -> Result<(), clap::Error> {
        self.urls(&mut arguments.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
        self.network(&mut arguments.network)?;
        self.asking(&mut arguments.asking)?;
        self.bitcoin(&mut arguments.bitcoin)?;
        self.password_file(&mut arguments.password_file);
        needed(&arguments.rpc_url)
    }

    fn network(&self, network: &mut Option<NetworkName>) -> Result<(), clap::Error> {
        if network.is_none()
            && let Some(text) = self.text(ETHEREUM_NETWORK)?
        {
            let named = NetworkName::from_str(&text, false);
            *network = Some(named.map_err(|_| invalid(ETHEREUM_NETWORK, "it is neither mainnet nor local"))?);
        }
        Ok(())
    }

    fn timeout(&self, timeout: &mut Option<Duration>, name: &str) -> Result<(), clap::Error> {
        if timeout.is_none()
            && let Some(text) = self.text(name)?
        {
            *timeout = Some(values::duration(&text).map_err(|problem| invalid(name, &problem))?);
        }
        Ok(())
    }

    /// A path is no text: it need not be Unicode.
    #[cfg(feature = "node")]
    fn keystore(&self, arguments: &mut KeystoreArguments) {
        self.password_file(&mut arguments.password_file);
    }

    #[cfg(feature = "node")]
    fn password_file(&self, password_file: &mut Option<PathBuf>) {
        if password_file.is_none() {
            let file = (self.0)(PASSWORD_FILE).filter(|file| !file.is_empty());
            *password_file = file.map(Into::into);
        }
    }

    fn quorum(&self, quorum: &mut Option<usize>, name: &str) -> Result<(), clap::Error> {
        if quorum.is_none()
            && let Some(text) = self.text(name)?
        {
            *quorum = Some(text.parse().map_err(|_| invalid(name, "it is no number"))?);
        }
        Ok(())
    }

    fn asking(&self, arguments: &mut AskingArguments) -> Result<(), clap::Error> {
        self.timeout(&mut arguments.rpc_timeout, ETHEREUM_TIMEOUT)?;
        self.timeout(&mut arguments.timeout, TIMEOUT)?;
        self.quorum(&mut arguments.quorum, ETHEREUM_QUORUM)?;
        if let Some(text) = self.text(LOOPBACK_IS_ONE)? {
            let is_one = text.parse::<bool>();
            arguments.loopback_is_one |=
                is_one.map_err(|_| invalid(LOOPBACK_IS_ONE, "it is neither true nor false"))?;
        }
        if arguments.rpc_proxy.is_none()
            && let Some(text) = self.text(ETHEREUM_PROXY)?
        {
            let proxy = values::ethereum_url(&text).map_err(|problem| invalid(ETHEREUM_PROXY, &problem))?;
            arguments.rpc_proxy = Some(proxy);
        }
        Ok(())
    }

    /// URLs between white space. An error doesn't repeat them, as there may be a key in one.
    fn urls(
        &self,
        urls: &mut Vec<Url>,
        name: &str,
        read: impl Fn(&str) -> Result<Url, String>,
    ) -> Result<(), clap::Error> {
        self.list(urls, name, "URL", read)
    }

    /// A list between white space.
    fn list<T>(
        &self,
        items: &mut Vec<T>,
        name: &str,
        item: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), clap::Error> {
        if items.is_empty()
            && let Some(text) = self.text(name)?
        {
            let read = |(number, word)| {
                read(word).map_err(|problem| invalid(name, &format!("{item} {number}: {problem}")))
            };
            *items = (1..).zip(text.split_whitespace()).map(read).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn text(&self, name: &str) -> Result<Option<String>, clap::Error> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        let text = value.into_string().map_err(|_| invalid(name, "it is not Unicode"))?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    }
}

/// That there is an Ethereum endpoint.
fn needed(urls: &[Url]) -> Result<(), clap::Error> {
    if urls.is_empty() {
        let problem = format!("an Ethereum endpoint is needed: give --rpc-url <URL>, or set {ETHEREUM_URLS}");
        return Err(values::usage(ErrorKind::MissingRequiredArgument, &problem));
    }
    Ok(())
}

fn invalid(name: &str, problem: &str) -> clap::Error {
    values::usage(ErrorKind::InvalidValue, &format!("{name}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, variables: &[(&str, &str)]) -> Result<Command, String> {
        let words = line.split(' ').map(OsString::from);
        let look =
            |name: &str| variables.iter().find(|(named, _)| *named == name).map(|(_, value)| value.into());
        Arguments::read(words, look).map(|arguments| arguments.command).map_err(|error| error.to_string())
    }

    fn doctor(line: &str, variables: &[(&str, &str)]) -> Result<crate::arguments::DoctorArguments, String> {
        match read(line, variables)? {
            Command::Doctor(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    fn texts(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn variables_say_what_the_command_line_leaves_out() {
        let variables = [
            (ETHEREUM_URLS, " http://one:1\n\thttp://two:2/key "),
            (BITCOIN_URLS, "tcp://three:3 http://u:p@four:4"),
            (ETHEREUM_NETWORK, "mainnet"),
            (BITCOIN_NETWORK, "signet"),
        ];
        let asked = doctor("coxswain doctor", &variables).unwrap();
        assert_eq!(texts(&asked.ethereum.rpc_url), ["http://one:1/", "http://two:2/key"]);
        assert_eq!(texts(&asked.bitcoin.bitcoin_url), ["tcp://three:3", "http://u:p@four:4/"]);
        assert_eq!(asked.ethereum.network, Some(NetworkName::Mainnet));
        assert_eq!(asked.bitcoin.bitcoin_network, Some(bitcoin::Network::Signet));

        let line = "coxswain doctor --rpc-url http://flag:9 --network local --bitcoin-url tcp://flag:9 --bitcoin-network regtest";
        let asked = doctor(line, &variables).unwrap();
        assert_eq!(texts(&asked.ethereum.rpc_url), ["http://flag:9/"]);
        assert_eq!(texts(&asked.bitcoin.bitcoin_url), ["tcp://flag:9"]);
        assert_eq!(asked.ethereum.network, Some(NetworkName::Local));
        assert_eq!(asked.bitcoin.bitcoin_network, Some(bitcoin::Network::Regtest));
    }

    #[test]
    fn each_chain_has_a_quorum_of_its_own() {
        let variables = [(ETHEREUM_URLS, "http://one:1"), (ETHEREUM_QUORUM, "2"), (BITCOIN_QUORUM, "3")];
        let quorums = |line: &str| {
            let asked = doctor(line, &variables).unwrap();
            (asked.ethereum.asking.quorum, asked.bitcoin.bitcoin_quorum)
        };
        assert_eq!(quorums("coxswain doctor"), (Some(2), Some(3)));
        assert_eq!(quorums("coxswain doctor --quorum 4 --bitcoin-quorum 5"), (Some(4), Some(5)));
        let problem = doctor("coxswain doctor", &[variables[0], (BITCOIN_QUORUM, "x")]).unwrap_err();
        assert!(problem.contains("COXSWAIN_BITCOIN__QUORUM: it is no number"), "{problem}");
    }

    #[test]
    fn variables_say_how_long_to_wait() {
        let url = (ETHEREUM_URLS, "http://one:1");
        let variables = [url, (ETHEREUM_TIMEOUT, " 2s "), (BITCOIN_TIMEOUT, "500ms")];
        let asked = doctor("coxswain doctor", &variables).unwrap();
        let waits = |asked: &crate::arguments::DoctorArguments| {
            (asked.ethereum.asking.rpc_timeout, asked.bitcoin.bitcoin_timeout)
        };
        assert_eq!(waits(&asked), (Some(Duration::from_secs(2)), Some(Duration::from_millis(500))));
        let asked = doctor("coxswain doctor --rpc-timeout 1m --bitcoin-timeout 7s", &variables).unwrap();
        assert_eq!(waits(&asked), (Some(Duration::from_secs(60)), Some(Duration::from_secs(7))));
        let asked = doctor("coxswain doctor", &[url]).unwrap();
        assert_eq!(waits(&asked), (None, None));
        let error = doctor("coxswain doctor", &[url, (ETHEREUM_TIMEOUT, "30")]).unwrap_err();
        assert!(error.contains(ETHEREUM_TIMEOUT) && error.contains("has no unit"), "{error}");
        for line in [
            "window",
            "leader --wallet 0x1212121212121212121212121212121212121212 --block 60",
            "group --wallet 0x1212121212121212121212121212121212121212",
        ] {
            let timeout = match read(&format!("coxswain {line}"), &variables).unwrap() {
                Command::Window(asked) => asked.asking,
                Command::Leader(asked) => asked.asking,
                Command::Group(asked) => asked.asking,
                other => panic!("{other:?}"),
            };
            assert_eq!(timeout.rpc_timeout, Some(Duration::from_secs(2)), "{line}");
        }
    }

    #[cfg(feature = "node")]
    #[test]
    fn variables_name_the_passwords_file_and_the_nodes_peers() {
        const PEER: &str = "/ip4/10.0.0.1/tcp/3919/p2p/16Uiu2HAmHzBkRq62mG95vsjKMuYQBezZCtjPXYWUoyVxMxi71aB3";
        let peers = format!("{PEER}\n {PEER}");
        let variables = [(PASSWORD_FILE, "/run/a secret"), (NETWORK_PEERS, peers.as_str())];
        let line = format!("coxswain ping --keystore key {PEER}");
        let Ok(Command::Ping(asked)) = read(&line, &variables) else { panic!() };
        assert_eq!(asked.keystore.password_file.as_deref(), Some("/run/a secret".as_ref()));
        assert_eq!(asked.configured.len(), 2);
        let given = format!("{line} --password-file other --configured {PEER}");
        let Ok(Command::Ping(asked)) = read(&given, &variables) else { panic!() };
        assert_eq!(asked.keystore.password_file.as_deref(), Some("other".as_ref()));
        assert_eq!(asked.configured.len(), 1);
        let Ok(Command::Identity(asked)) = read("coxswain identity --keystore key", &variables) else {
            panic!()
        };
        assert_eq!(asked.keystore.password_file.as_deref(), Some("/run/a secret".as_ref()));
        let Ok(Command::Identity(asked)) = read("coxswain identity --keystore key", &[(PASSWORD_FILE, "")])
        else {
            panic!()
        };
        assert_eq!(asked.keystore.password_file, None);
        let error = read(&line, &[(NETWORK_PEERS, "nowhere")]).unwrap_err();
        assert!(error.contains(NETWORK_PEERS) && error.contains("peer 1: not a multiaddr"), "{error}");
    }

    #[test]
    fn the_readme_lists_every_variable() {
        let readme = include_str!("../../../README.md");
        let here = include_str!("variables.rs");
        let names = here.split('"').filter(|word| word.starts_with("COXSWAIN_") && !word.contains(' '));
        let names: std::collections::BTreeSet<_> = names.filter(|name| *name != "COXSWAIN_").collect();
        assert!(names.len() >= 8, "{names:?}");
        for name in names {
            assert!(readme.contains(&format!("| `{name}` |")), "{name}");
        }
    }

    #[test]
    fn a_variable_says_how_many_servers_must_agree() {
        let url = (ETHEREUM_URLS, "http://one:1 http://two:2");
        let asking = |line, variables: &[(&str, &str)]| {
            doctor(line, &[&[url][..], variables].concat()).map(|asked| asked.ethereum.asking)
        };
        let asked = asking(
            "coxswain doctor",
            &[(ETHEREUM_QUORUM, "2"), (LOOPBACK_IS_ONE, "true"), (ETHEREUM_PROXY, "http://proxy:3")],
        )
        .unwrap();
        assert_eq!((asked.quorum, asked.loopback_is_one), (Some(2), true));
        assert_eq!(asked.rpc_proxy.unwrap().as_str(), "http://proxy:3/");
        let asked = asking("coxswain doctor --quorum 1", &[(ETHEREUM_QUORUM, "2")]).unwrap();
        assert_eq!((asked.quorum, asked.loopback_is_one, asked.rpc_proxy), (Some(1), false, None));
        for (name, value) in [(ETHEREUM_QUORUM, "two"), (LOOPBACK_IS_ONE, "yes"), (ETHEREUM_PROXY, "x")] {
            let error = asking("coxswain doctor", &[(name, value)]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn without_an_endpoint_both_ways_to_name_one_are_named() {
        for variables in [&[][..], &[(ETHEREUM_URLS, "")], &[(ETHEREUM_URLS, " \n")]] {
            let error = doctor("coxswain doctor", variables).unwrap_err();
            assert!(error.contains("--rpc-url") && error.contains(ETHEREUM_URLS), "{error}");
        }
    }

    #[test]
    fn an_error_names_the_variable_and_not_what_may_be_secret_in_it() {
        let error = doctor("coxswain doctor", &[(ETHEREUM_URLS, "http://one:1 two:2/secret")]).unwrap_err();
        assert!(error.contains(ETHEREUM_URLS) && error.contains("URL 2: the URL has no scheme"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        let url = (ETHEREUM_URLS, "http://one:1");
        for (name, value) in [(ETHEREUM_NETWORK, "moon"), (BITCOIN_NETWORK, "moon"), (BITCOIN_URLS, "x")] {
            let error = doctor("coxswain doctor", &[url, (name, value)]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_block_or_a_hash_on_the_command_line_asks_no_endpoint_of_a_variable() {
        let url = [(ETHEREUM_URLS, "http://one:1")];
        let Ok(Command::Window(asked)) = read("coxswain window --block 900", &url) else { panic!() };
        assert!(asked.rpc_url.is_empty());
        let Ok(Command::Window(asked)) = read("coxswain window", &url) else { panic!() };
        assert_eq!(texts(&asked.rpc_url), ["http://one:1/"]);
        let wallet = format!("--wallet 0x{} --operators x", "ab".repeat(20));
        let line = format!("coxswain leader {wallet} --safe-block-hash 0x{}", "11".repeat(32));
        let Ok(Command::Leader(asked)) = read(&line, &url) else { panic!() };
        assert!(asked.rpc_url.is_empty());
        let Ok(Command::Leader(asked)) = read(&format!("coxswain leader {wallet} --block 900"), &url) else {
            panic!()
        };
        assert_eq!(texts(&asked.rpc_url), ["http://one:1/"]);
        let both = "coxswain window --block 900 --rpc-url http://one:1";
        assert!(read(both, &[]).unwrap_err().contains("cannot be used with"));
    }
}
