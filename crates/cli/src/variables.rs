//! Environment variables, `COXSWAIN_SECTION__KEY`, for what the command line leaves out: where to ask, so that it isn't typed each
//! time, and keys show in no process list. What decides a verdict, the contracts and the block, is on the command line only.

use std::ffi::OsString;

use clap::{Parser, ValueEnum, error::ErrorKind};
use url::Url;

use crate::{
    arguments::{Arguments, BitcoinArguments, Command, EthereumArguments, NetworkName},
    values,
};

const ETHEREUM_URLS: &str = "COXSWAIN_ETHEREUM__URLS";
const ETHEREUM_NETWORK: &str = "COXSWAIN_ETHEREUM__NETWORK";
const BITCOIN_URLS: &str = "COXSWAIN_BITCOIN__URLS";
const BITCOIN_NETWORK: &str = "COXSWAIN_BITCOIN__NETWORK";

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
            }
            Command::Leader(asked) => {
                if asked.safe_block_hash.is_none() {
                    variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                }
                variables.network(&mut asked.network)?;
            }
            Command::Group(asked) => {
                variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                variables.network(&mut asked.network)?;
                needed(&asked.rpc_url)?;
            }
            #[cfg(feature = "node")]
            Command::Ping(asked) => {
                variables.urls(&mut asked.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
                variables.network(&mut asked.network)?;
            }
            #[cfg(feature = "node")]
            Command::Identity(_) => {}
            Command::Simulate(_) | Command::Completions(_) => {}
        }
        Ok(arguments)
    }
}

impl<Look: Fn(&str) -> Option<OsString>> Variables<Look> {
    fn ethereum(&self, arguments: &mut EthereumArguments) -> Result<(), clap::Error> {
        self.urls(&mut arguments.rpc_url, ETHEREUM_URLS, values::ethereum_url)?;
        self.network(&mut arguments.network)?;
        needed(&arguments.rpc_url)
    }

    fn bitcoin(&self, arguments: &mut BitcoinArguments) -> Result<(), clap::Error> {
        self.urls(&mut arguments.bitcoin_url, BITCOIN_URLS, values::bitcoin_url)?;
        if arguments.bitcoin_network.is_none()
            && let Some(text) = self.text(BITCOIN_NETWORK)?
        {
            let network =
                text.parse().map_err(|_| invalid(BITCOIN_NETWORK, "it names no network of Bitcoin"))?;
            arguments.bitcoin_network = Some(network);
        }
        Ok(())
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

    /// URLs between white space. An error doesn't repeat them, as there may be a key in one.
    fn urls(
        &self,
        urls: &mut Vec<Url>,
        name: &str,
        read: impl Fn(&str) -> Result<Url, String>,
    ) -> Result<(), clap::Error> {
        if urls.is_empty()
            && let Some(text) = self.text(name)?
        {
            let url = |(number, word)| {
                read(word).map_err(|problem| invalid(name, &format!("URL {number}: {problem}")))
            };
            *urls = (1..).zip(text.split_whitespace()).map(url).collect::<Result<_, _>>()?;
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
        return Err(error(ErrorKind::MissingRequiredArgument, &problem));
    }
    Ok(())
}

fn invalid(name: &str, problem: &str) -> clap::Error {
    error(ErrorKind::InvalidValue, &format!("{name}: {problem}"))
}

fn error(kind: ErrorKind, problem: &str) -> clap::Error {
    clap::Error::raw(kind, format!("{problem}\n\nFor more information, try '--help'.\n"))
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
