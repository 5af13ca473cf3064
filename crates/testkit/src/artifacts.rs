//! The contracts' creation code: tBTC's from its npm package, ours from forge's output.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, Bytes, hex};
use serde::Deserialize;

use crate::Error;

/// The validator that runs on mainnet today, as its compiler left it: deploy it with
/// [`World::deploy_validator`](crate::World::deploy_validator).
pub fn deployed_validator() -> Result<Bytes, Error> {
    tbtc("bridge/WalletProposalValidator.sol/WalletProposalValidator")?.creation_code()
}

/// Our validator, as forge built it: deploy it with
/// [`World::deploy_validator`](crate::World::deploy_validator).
pub fn our_validator() -> Result<Bytes, Error> {
    forged("WalletProposalValidator")
}

/// The creation code of a contract of this project's.
pub(crate) fn forged(name: &str) -> Result<Bytes, Error> {
    #[derive(Deserialize)]
    struct Forged {
        bytecode: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        object: String,
    }
    let path = root().join(format!("out/{name}.sol/{name}.json"));
    let Forged { bytecode } = parse(&path, "npx forge build")?;
    decode(&path, &bytecode.object)
}

/// The project's root, where `node_modules` is.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is two folders down")
}

/// One of tBTC's contracts, named by its path in the npm package's `build/contracts`, without the extension.
pub(crate) fn tbtc(name: &str) -> Result<Artifact, Error> {
    let path = root().join("node_modules/@keep-network/tbtc-v2/build/contracts").join(format!("{name}.json"));
    let contents = parse(&path, "npm install")?;
    Ok(Artifact { path, contents })
}

/// A contract's compiled form.
pub(crate) struct Artifact {
    path: PathBuf,
    contents: Contents,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contents {
    bytecode: String,
    /// Source file → library → the places of its address.
    link_references: BTreeMap<String, BTreeMap<String, Vec<Place>>>,
}

/// 20 bytes of the creation code, counted without the leading `0x`.
#[derive(Deserialize)]
struct Place {
    start: usize,
}

impl Artifact {
    /// The creation code, complete only for a contract without external libraries.
    pub(crate) fn creation_code(&self) -> Result<Bytes, Error> {
        decode(&self.path, &self.contents.bytecode)
    }

    /// The names of the external libraries that the contract needs.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = &str> {
        self.contents.link_references.values().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// Writes a library's address wherever the creation code has a place for it.
    pub(crate) fn link(&mut self, library: &str, address: Address) -> Result<(), Error> {
        let hex = hex::encode(address);
        for libraries in self.contents.link_references.values() {
            for place in libraries.get(library).into_iter().flatten() {
                let start = 2 + 2 * place.start;
                let end = start + hex.len();
                if self.contents.bytecode.get(start..end).is_none() {
                    return Err(malformed(&self.path, format!("{library} is beyond the code's end")));
                }
                self.contents.bytecode.replace_range(start..end, &hex);
            }
        }
        Ok(())
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, command: &'static str) -> Result<T, Error> {
    let text = fs::read(path).map_err(|source| Error::Missing { path: path.into(), command, source })?;
    serde_json::from_slice(&text).map_err(|error| malformed(path, error.to_string()))
}

fn decode(path: &Path, code: &str) -> Result<Bytes, Error> {
    hex::decode(code).map(Bytes::from).map_err(|error| malformed(path, error.to_string()))
}

fn malformed(path: &Path, what: String) -> Error {
    Error::Artifact { path: path.into(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_artifact_says_what_brings_it() {
        let Err(error) = tbtc("bridge/Nothing.sol/Nothing") else { panic!("there is no such contract") };
        let error = error.to_string();
        assert!(error.ends_with("Nothing.json is missing: run `npm install`"), "{error}");
    }

    #[test]
    fn code_with_a_library_left_out_is_no_code() {
        let mut bridge = tbtc("bridge/Bridge.sol/Bridge").unwrap();
        let libraries: Vec<_> = bridge.libraries().map(str::to_owned).collect();
        assert_eq!(libraries, ["Deposit", "DepositSweep", "Fraud", "MovingFunds", "Redemption", "Wallets"]);
        for library in libraries {
            assert!(matches!(bridge.creation_code(), Err(Error::Artifact { .. })), "{library} is missing");
            bridge.link(&library, Address::ZERO).unwrap();
        }
        assert!(bridge.creation_code().is_ok());
    }
}
