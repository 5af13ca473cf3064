//! The accounts, slots and code that have been proven under one block's state root.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    rlp::Decodable,
};
use alloy_trie::{KECCAK_EMPTY, TrieAccount};
use serde::{Deserialize, Deserializer};

use super::trie::{TrieError, value_at};

/// How many accounts and slots under one root are kept for later calls: those of several of the largest.
const MOST_KEPT: usize = 16_384;

/// An answer to `eth_getProof`, without what it claims: only the nodes are read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountProof {
    /// From the state root to the account.
    #[serde(default, deserialize_with = "nodes")]
    pub account_proof: Vec<Bytes>,
    /// From the account's storage root to each slot.
    #[serde(default, deserialize_with = "storage_proofs")]
    pub storage_proof: Vec<StorageProof>,
}

/// A slot's part of an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct StorageProof {
    /// The slot, in the width that the client writes it in.
    #[serde(deserialize_with = "slot")]
    pub key: U256,
    /// From the account's storage root to the slot.
    #[serde(default, deserialize_with = "nodes")]
    pub proof: Vec<Bytes>,
}

/// An empty list, where some clients write `null`.
fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn storage_proofs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StorageProof>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// `0x0` and the whole 32 bytes are the same slot.
fn slot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    use serde::de::Error;
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Error::custom("a slot is a hex number"));
    }
    U256::from_str_radix(digits, 16).map_err(Error::custom)
}

/// The parts of an account that are not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountProofError {
    /// The account itself.
    #[error("the proof of account {address} doesn't hold: {error}")]
    Account {
        /// The account.
        address: Address,
        /// Why not.
        error: TrieError,
    },
    /// One of its slots.
    #[error("the proof of slot {slot:#x} of {address} doesn't hold: {error}")]
    Slot {
        /// The account.
        address: Address,
        /// The slot.
        slot: U256,
        /// Why not.
        error: TrieError,
    },
    /// One of its slots is left out.
    #[error("there is no proof of slot {slot:#x} of {address}")]
    NoSlot {
        /// The account.
        address: Address,
        /// The slot.
        slot: U256,
    },
    /// Code that doesn't have the hash of the account.
    #[error("the code of {address} doesn't hash to {hash}")]
    Code {
        /// The account.
        address: Address,
        /// The hash that is proven.
        hash: B256,
    },
}

/// The state that a run needed and that was not proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// Accounts, each with slots of its storage.
    pub accounts: BTreeMap<Address, BTreeSet<U256>>,
    /// Code by its hash, each with an account that has it.
    pub codes: BTreeMap<B256, Address>,
}

impl Shortfall {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.codes.is_empty()
    }
}

/// An account's proofs.
#[derive(Clone, Debug, Default)]
pub(super) struct Proofs {
    pub(super) account: Vec<Bytes>,
    pub(super) slots: BTreeMap<U256, Vec<Bytes>>,
}

/// The state that is proven under one state root.
#[derive(Clone, Debug)]
pub struct State {
    root: B256,
    accounts: BTreeMap<Address, Option<TrieAccount>>,
    slots: BTreeMap<(Address, U256), U256>,
    /// What proves them.
    proofs: BTreeMap<Address, Proofs>,
}

impl State {
    /// Nothing yet, under this root, which must come from a header that was hashed.
    pub const fn under(root: B256) -> Self {
        Self { root, accounts: BTreeMap::new(), slots: BTreeMap::new(), proofs: BTreeMap::new() }
    }

    /// The root.
    pub(crate) const fn root(&self) -> B256 {
        self.root
    }

    /// Whether nothing is proven yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Whether it is too much to be built on: then the next call begins anew.
    pub(crate) fn is_full(&self) -> bool {
        self.accounts.len() + self.slots.len() > MOST_KEPT
    }

    /// Takes in what was proven elsewhere. What is full, or under another root, is replaced.
    pub(crate) fn join(&mut self, mut other: Self) {
        if self.root != other.root || self.is_full() {
            *self = other;
            return;
        }
        self.accounts.append(&mut other.accounts);
        self.slots.append(&mut other.slots);
        for (address, proofs) in other.proofs {
            let kept = self.proofs.entry(address).or_default();
            kept.account = proofs.account;
            kept.slots.extend(proofs.slots);
        }
    }

    /// The account, `None` inside if it is proven to be absent; `None` if it is not proven.
    pub fn account(&self, address: Address) -> Option<Option<TrieAccount>> {
        self.accounts.get(&address).copied()
    }

    /// The slot's value, if it is proven.
    pub fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        self.slots.get(&(address, slot)).copied()
    }

    /// Whether there is code at the address, if that is proven.
    pub(crate) fn has_code(&self, address: Address) -> Option<bool> {
        self.account(address).map(|account| account.is_some_and(|account| account.code_hash != KECCAK_EMPTY))
    }

    /// The hash of the account's code, if the account is proven and has any.
    pub(crate) fn code_hash(&self, address: Address) -> Option<B256> {
        self.account(address)?.map(|account| account.code_hash).filter(|hash| *hash != KECCAK_EMPTY)
    }

    /// An account that is proven to have code with this hash.
    pub(crate) fn with_code(&self, hash: B256) -> Option<Address> {
        let mut accounts = self.accounts.iter();
        accounts.find_map(|(address, account)| {
            account.is_some_and(|account| account.code_hash == hash).then_some(*address)
        })
    }

    /// What proves an account, and these of its slots. Where a slot needs no proof, there is none.
    pub(super) fn proofs(&self, address: Address, slots: impl Iterator<Item = U256>) -> Proofs {
        let Some(kept) = self.proofs.get(&address) else { return Proofs::default() };
        let slot = |slot| (slot, kept.slots.get(&slot).cloned().unwrap_or_default());
        Proofs { account: kept.account.clone(), slots: slots.map(slot).collect() }
    }

    /// Takes in what an answer proves of an account, and of those of its slots that were asked for.
    ///
    /// # Errors
    /// If it doesn't prove all of that. Then none of it is taken in.
    pub fn admit(
        &mut self,
        address: Address,
        slots: &BTreeSet<U256>,
        answer: &AccountProof,
    ) -> Result<(), AccountProofError> {
        let account = value_at(self.root, keccak256(address), &answer.account_proof)
            .and_then(|value| value.as_deref().map(whole::<TrieAccount>).transpose())
            .map_err(|error| AccountProofError::Account { address, error })?;
        let mut proven = Vec::new();
        for &slot in slots {
            let (value, proof) = match account {
                // What isn't there has no storage.
                None => (U256::ZERO, Vec::new()),
                // Nor has it, where nothing was ever stored.
                Some(account) if account.storage_root == alloy_trie::EMPTY_ROOT_HASH => {
                    (U256::ZERO, Vec::new())
                }
                Some(account) => {
                    let proof = answer
                        .storage_proof
                        .iter()
                        .find(|proof| proof.key == slot)
                        .ok_or(AccountProofError::NoSlot { address, slot })?;
                    let value = slot_value(account.storage_root, slot, &proof.proof)
                        .map_err(|error| AccountProofError::Slot { address, slot, error })?;
                    (value, proof.proof.clone())
                }
            };
            proven.push((slot, value, proof));
        }
        self.accounts.insert(address, account);
        let proofs = self.proofs.entry(address).or_default();
        proofs.account.clone_from(&answer.account_proof);
        // What else an answer holds proves nothing, and is not kept.
        for (slot, value, proof) in proven {
            self.slots.insert((address, slot), value);
            proofs.slots.insert(slot, proof);
        }
        Ok(())
    }
}

/// A slot's value under a storage root: zero if the root is proven to hold none. (anvil's roots hold zeros, too.)
fn slot_value(root: B256, slot: U256, proof: &[Bytes]) -> Result<U256, TrieError> {
    let value = value_at(root, keccak256(slot.to_be_bytes::<32>()), proof)?;
    value.as_deref().map_or(Ok(U256::ZERO), whole)
}

/// Decodes exactly one value from these bytes. Trailing bytes are an error.
fn whole<T: Decodable>(mut bytes: &[u8]) -> Result<T, TrieError> {
    match T::decode(&mut bytes) {
        Ok(value) if bytes.is_empty() => Ok(value),
        _ => Err(TrieError::MalformedValue),
    }
}

/// Code by its hash: the same on whichever block.
#[derive(Clone, Debug, Default)]
pub struct Codes(BTreeMap<B256, Bytes>);

impl Codes {
    /// The code with this hash.
    pub fn get(&self, hash: B256) -> Option<&Bytes> {
        self.0.get(&hash)
    }

    /// Takes in code of an account that is proven to have this hash.
    ///
    /// # Errors
    /// If the code has another hash.
    pub fn admit(&mut self, hash: B256, address: Address, code: Bytes) -> Result<(), AccountProofError> {
        if keccak256(&code) != hash {
            return Err(AccountProofError::Code { address, hash });
        }
        self.0.insert(hash, code);
        Ok(())
    }
}
