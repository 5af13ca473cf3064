//! What calls rest on, kept so that they can be run again without a server: a block's header, the trie nodes that prove what was
//! touched, and the hashes of the code that ran.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use alloy::{
    consensus::Header,
    primitives::{Address, B256, Bytes, U256},
    rlp::{self, Decodable},
};
use serde::{Deserialize, Serialize};

use super::{
    run::{Call, ExecutionError, Run, run},
    state::{AccountProof, AccountProofError, Codes, Proofs, State, StorageProof},
};
use crate::rpc::{Block, Called, HashedHeader};

/// What calls at one block rest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The chain.
    pub chain_id: u64,
    /// The block's header, encoded.
    header: Bytes,
    /// The nodes of all proofs, each once.
    nodes: Vec<Bytes>,
    accounts: BTreeMap<Address, Paths>,
    calls: Vec<Recorded>,
    /// The hashes of the code that is needed.
    pub codes: BTreeSet<B256>,
}

/// An account's proofs, as places among the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Paths {
    account: Vec<usize>,
    slots: BTreeMap<U256, Vec<usize>>,
}

/// A call, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    to: Option<Address>,
    input: Bytes,
    reverted: bool,
    answer: Bytes,
}

/// Why a witness doesn't hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// Its header is none.
    #[error("the header can't be read")]
    Header,
    /// A proof names a node that isn't there.
    #[error("a proof names a node that isn't kept")]
    Node,
    /// A proof doesn't hold.
    #[error(transparent)]
    Proof(#[from] AccountProofError),
    /// Code is not kept.
    #[error("the code {0} isn't kept")]
    Code(B256),
    /// The call can't be run.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// State that the call touches is not kept.
    #[error("the call touches state that isn't kept")]
    Lacks,
    /// The call ends otherwise than it did.
    #[error("call {0} ends otherwise than is recorded")]
    Differs(usize),
}

/// State that was proven, and on which all recorded calls have ended as they had.
#[derive(Clone, Debug)]
pub struct Replayed {
    header: HashedHeader,
    chain_id: u64,
    state: State,
    codes: Codes,
}

impl Replayed {
    /// The block.
    pub const fn block(&self) -> Block {
        self.header.block()
    }

    /// How a call ends on this state. `None` if it touches more than is kept, or can't be run.
    pub fn answer(&self, to: Option<Address>, input: &Bytes) -> Option<Called> {
        let call = Call { to, input: input.clone() };
        match run(&call, &self.header, self.chain_id, &self.state, &self.codes) {
            Ok(Run::Ended(called)) => Some(called),
            Ok(Run::Lacks(_)) | Err(_) => None,
        }
    }
}

impl Witness {
    /// Checks all proofs, and runs all calls again.
    ///
    /// # Errors
    /// If a proof doesn't hold, something isn't kept, or a call ends otherwise.
    pub fn replay(&self, code: impl Fn(B256) -> Option<Bytes>) -> Result<Replayed, WitnessError> {
        let fields = Header::decode(&mut &self.header[..]).map_err(|_| WitnessError::Header)?;
        let hash = fields.hash_slow();
        let header = HashedHeader::new(fields, hash).ok_or(WitnessError::Header)?;
        let path = |places: &[usize]| -> Result<Vec<Bytes>, WitnessError> {
            let node = |place: &usize| self.nodes.get(*place).cloned().ok_or(WitnessError::Node);
            places.iter().map(node).collect()
        };
        let mut state = State::under(header.fields().state_root);
        let mut codes = Codes::default();
        for (address, Paths { account, slots }) in &self.accounts {
            let storage =
                slots.iter().map(|(slot, places)| Ok(StorageProof { key: *slot, proof: path(places)? }));
            let proof = AccountProof {
                account_proof: path(account)?,
                storage_proof: storage.collect::<Result<_, WitnessError>>()?,
            };
            state.admit(*address, &slots.keys().copied().collect(), &proof)?;
            if let Some(hash) = state.code_hash(*address).filter(|hash| self.codes.contains(hash)) {
                let code = code(hash).ok_or(WitnessError::Code(hash))?;
                codes.admit(hash, *address, code)?;
            }
        }
        for (number, Recorded { to, input, reverted, answer }) in self.calls.iter().enumerate() {
            let call = Call { to: *to, input: input.clone() };
            let recorded =
                if *reverted { Called::Reverted(answer.clone()) } else { Called::Returned(answer.clone()) };
            match run(&call, &header, self.chain_id, &state, &codes)? {
                Run::Ended(called) if called == recorded => {}
                Run::Ended(_) => return Err(WitnessError::Differs(number)),
                Run::Lacks(_) => return Err(WitnessError::Lacks),
            }
        }
        Ok(Replayed { header, chain_id: self.chain_id, state, codes })
    }
}

/// Takes down what proven calls rest on. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Recording>>);

#[derive(Debug, Default)]
struct Recording {
    header: Option<HashedHeader>,
    chain_id: u64,
    proofs: BTreeMap<Address, Proofs>,
    calls: Vec<Recorded>,
    codes: BTreeMap<B256, Bytes>,
}

impl Recorder {
    /// Takes a call down, with what it touched. Calls at another block than the first are left out.
    pub(super) fn take(
        &self,
        call: &Call,
        called: &Called,
        chain_id: u64,
        header: &HashedHeader,
        touched: (BTreeMap<Address, Proofs>, BTreeMap<B256, Bytes>),
    ) {
        let mut recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recording.header.get_or_insert_with(|| header.clone()).hash() != header.hash() {
            return;
        }
        recording.chain_id = chain_id;
        let (reverted, answer) = match called {
            Called::Returned(answer) => (false, answer.clone()),
            Called::Reverted(answer) => (true, answer.clone()),
        };
        let recorded = Recorded { to: call.to, input: call.input.clone(), reverted, answer };
        if !recording.calls.contains(&recorded) {
            recording.calls.push(recorded);
        }
        let (proofs, codes) = touched;
        for (address, proofs) in proofs {
            let kept = recording.proofs.entry(address).or_default();
            kept.account = proofs.account;
            kept.slots.extend(proofs.slots);
        }
        recording.codes.extend(codes);
    }

    /// What all calls rest on, and the code that ran. `None` if none was proven.
    pub fn finish(&self) -> Option<(Witness, Vec<Bytes>)> {
        let recording = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Recording { header, chain_id, proofs, calls, codes } = recording;
        let header = header?;
        let (mut nodes, mut places) = (Vec::new(), BTreeMap::<Bytes, usize>::new());
        let mut place = |node: Bytes| {
            *places.entry(node).or_insert_with_key(|node| {
                nodes.push(node.clone());
                nodes.len() - 1
            })
        };
        let mut path = |proof: Vec<Bytes>| proof.into_iter().map(&mut place).collect::<Vec<_>>();
        let mut accounts = BTreeMap::new();
        for (address, Proofs { account, slots }) in proofs {
            let account = path(account);
            let slots = slots.into_iter().map(|(slot, proof)| (slot, path(proof))).collect();
            accounts.insert(address, Paths { account, slots });
        }
        let header = rlp::encode(header.fields()).into();
        let hashes = codes.keys().copied().collect();
        let witness = Witness { chain_id, header, nodes, accounts, calls, codes: hashes };
        Some((witness, codes.into_values().collect()))
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{address, keccak256};
    use alloy_trie::{HashBuilder, Nibbles, TrieAccount, proof::ProofRetainer};
    use coxswain_rules::units::BlockNumber;

    use super::*;

    const CONTRACT: Address = address!("00000000000000000000000000000000000000c0");

    /// Returns what stands in slot 0.
    const CODE: [u8; 11] = [0x5f, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3, 0, 0, 0];

    fn proofs(leaves: &BTreeMap<B256, Vec<u8>>, keys: &[B256]) -> (B256, Vec<Vec<Bytes>>) {
        let mut all = Vec::new();
        let mut root = B256::ZERO;
        for key in keys {
            let retainer = <ProofRetainer>::new(vec![Nibbles::unpack(key)]);
            let mut builder = HashBuilder::default().with_proof_retainer(retainer);
            for (key, value) in leaves {
                builder.add_leaf(Nibbles::unpack(key), value);
            }
            root = builder.root();
            let nodes = builder.take_proof_nodes().into_nodes_sorted();
            all.push(nodes.into_iter().map(|(_, node)| node).collect());
        }
        (root, all)
    }

    fn recorded() -> (Witness, Vec<Bytes>) {
        let code = Bytes::from_static(&CODE);
        let slot = keccak256(U256::ZERO.to_be_bytes::<32>());
        let stored = BTreeMap::from([(slot, rlp::encode(U256::from(7)))]);
        let (storage_root, mut slots) = proofs(&stored, &[slot]);
        let account = TrieAccount { storage_root, code_hash: keccak256(&code), ..TrieAccount::default() };
        let accounts = BTreeMap::from([(keccak256(CONTRACT), rlp::encode(account))]);
        let beneficiary = Address::repeat_byte(0xfe);
        let touched = [CONTRACT, Call::FROM, beneficiary];
        let (state_root, all) = proofs(&accounts, &touched.map(keccak256));
        let fields = Header {
            number: 9,
            state_root,
            beneficiary,
            gas_limit: 60_000_000,
            base_fee_per_gas: Some(1),
            ..Header::default()
        };
        let hash = fields.hash_slow();
        let header = HashedHeader::new(fields, hash).unwrap();
        let kept = touched.into_iter().zip(all).map(|(address, account)| {
            let slots = if address == CONTRACT {
                BTreeMap::from([(U256::ZERO, slots.pop().unwrap())])
            } else {
                BTreeMap::new()
            };
            (address, Proofs { account, slots })
        });
        let called = Called::Returned(U256::from(7).to_be_bytes::<32>().into());
        let call = Call { to: Some(CONTRACT), input: Bytes::new() };
        let recorder = Recorder::default();
        let touched = (kept.collect(), BTreeMap::from([(keccak256(&code), code)]));
        recorder.take(&call, &called, 31_337, &header, touched);
        recorder.finish().unwrap()
    }

    #[test]
    fn of_an_answer_only_what_proves_is_kept() {
        let slot = keccak256(U256::ZERO.to_be_bytes::<32>());
        let (storage_root, mut slots) =
            proofs(&BTreeMap::from([(slot, rlp::encode(U256::from(7)))]), &[slot]);
        let account = TrieAccount { storage_root, ..TrieAccount::default() };
        let accounts = BTreeMap::from([(keccak256(CONTRACT), rlp::encode(account))]);
        let nobody = Address::repeat_byte(1);
        let (root, mut all) = proofs(&accounts, &[CONTRACT, nobody].map(keccak256));
        let (of_nobody, of_contract) = (all.pop().unwrap(), all.pop().unwrap());
        let good = StorageProof { key: U256::ZERO, proof: slots.pop().unwrap() };
        let junk = StorageProof { key: U256::ZERO, proof: vec![Bytes::from_static(b"junk")] };
        let mut state = State::under(root);
        for (address, account_proof, storage_proof, kept) in [
            (CONTRACT, of_contract, vec![good.clone(), junk.clone()], good.proof),
            (nobody, of_nobody, vec![junk], Vec::new()),
        ] {
            let answer = AccountProof { account_proof, storage_proof };
            state.admit(address, &BTreeSet::from([U256::ZERO]), &answer).unwrap();
            let proofs = state.proofs(address, std::iter::once(U256::ZERO));
            assert_eq!(proofs.slots, BTreeMap::from([(U256::ZERO, kept)]));
        }
    }

    fn replay(witness: &Witness, codes: &[Bytes]) -> Result<Replayed, WitnessError> {
        witness.replay(|hash| codes.iter().find(|code| keccak256(code) == hash).cloned())
    }

    #[test]
    fn what_is_kept_is_run_again_also_after_it_was_written_down() {
        let (witness, codes) = recorded();
        let text = serde_json::to_string(&witness).unwrap();
        let read: Witness = serde_json::from_str(&text).unwrap();
        assert_eq!(read, witness);
        let replayed = replay(&read, &codes).unwrap();
        assert_eq!(replayed.block().number, BlockNumber(9));
        let seven = Called::Returned(U256::from(7).to_be_bytes::<32>().into());
        assert_eq!(replayed.answer(Some(CONTRACT), &Bytes::new()), Some(seven));
        assert_eq!(replayed.answer(Some(Address::repeat_byte(1)), &Bytes::new()), None, "it isn't kept");
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let (witness, codes) = recorded();
        assert_eq!(replay(&witness, &[]).unwrap_err(), WitnessError::Code(keccak256(CODE)));
        let mut changed = witness.clone();
        changed.calls[0].answer = U256::from(8).to_be_bytes::<32>().into();
        assert_eq!(replay(&changed, &codes).unwrap_err(), WitnessError::Differs(0));
        for node in 0..witness.nodes.len() {
            let mut changed = witness.clone();
            let mut bytes = changed.nodes[node].to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            changed.nodes[node] = bytes.into();
            assert!(matches!(replay(&changed, &codes), Err(WitnessError::Proof(_))), "node {node}");
        }
        let mut changed = witness.clone();
        changed.nodes.pop();
        assert_eq!(replay(&changed, &codes).unwrap_err(), WitnessError::Node);
    }
}
