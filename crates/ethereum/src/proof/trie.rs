//! Verifies Merkle proofs: the value that a root holds at a key, or that it holds none.
//!
//! `alloy-trie` judges proofs, but it must be told the value that is expected, and it panics if the paths of nodes add up to
//! more than a key's length. So a walk of our own goes ahead: it finds the value that the nodes lead to, and refuses paths
//! that are too long. Both must agree, or nothing is proven.

use std::sync::Arc;

use alloy::primitives::{B256, Bytes};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    nodes::{BranchNode, CHILD_INDEX_RANGE, RlpNode, TrieNode},
    proof::{ProofVerificationError, verify_proof},
};

/// The length of a key's path: keys are hashes.
const PATH: usize = 64;
/// The nodes of the longest proof: one for each nibble of the key, and the leaf.
const MAX_NODES: usize = PATH + 1;

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrieError {
    /// It has more nodes than any key needs.
    #[error("it has {0} nodes")]
    TooManyNodes(usize),
    /// A node is none.
    #[error("node {index} is malformed: {cause}")]
    Malformed {
        /// Which node.
        index: usize,
        /// Why it is none.
        cause: alloy::rlp::Error,
    },
    /// The paths of its nodes add up to more than a key's.
    #[error("its path is longer than a key")]
    PathTooLong,
    /// Its last node refers to another one.
    #[error("it is cut short")]
    CutShort,
    /// Nodes follow after the one that settles the matter.
    #[error("nodes are left over")]
    LeftOver,
    /// It doesn't lead from the root to the value.
    #[error("it doesn't lead to the root: {0}")]
    Unproven(Arc<ProofVerificationError>),
    /// The value is not what such a trie holds.
    #[error("the value is malformed")]
    MalformedValue,
}

/// The value at a key, which is hashed already, under this root; `None` if the root is proven to hold none.
///
/// An empty root holds none, and needs no proof.
///
/// # Errors
/// If the nodes prove neither.
pub(crate) fn value_at(root: B256, key: B256, nodes: &[Bytes]) -> Result<Option<Vec<u8>>, TrieError> {
    if root == EMPTY_ROOT_HASH {
        return Ok(None);
    }
    let key = Nibbles::unpack(key);
    let value = lead(&key, nodes)?;
    verify_proof(root, key, value.clone(), nodes).map_err(|error| TrieError::Unproven(Arc::new(error)))?;
    Ok(value)
}

/// Where the nodes lead on the way to the key, their hashes aside.
fn lead(key: &Nibbles, nodes: &[Bytes]) -> Result<Option<Vec<u8>>, TrieError> {
    if nodes.len() > MAX_NODES {
        return Err(TrieError::TooManyNodes(nodes.len()));
    }
    let mut walk = Walk { key, walked: 0, astray: false };
    let mut nodes = nodes.iter().enumerate();
    while let Some((index, node)) = nodes.next() {
        let malformed = |cause| TrieError::Malformed { index, cause };
        let end = match walk.enter(node, &malformed)? {
            // Once the path has left the key, no later node can bring it back.
            Step::Next if walk.astray => None,
            Step::Next => continue,
            Step::Nothing => None,
            Step::Value(_) if walk.astray || walk.walked != PATH => None,
            Step::Value(value) => Some(value),
        };
        return if nodes.next().is_none() { Ok(end) } else { Err(TrieError::LeftOver) };
    }
    Err(TrieError::CutShort)
}

/// What a trie node holds for the key.
enum Step {
    /// Another node has to say more.
    Next,
    /// There is nothing at the key.
    Nothing,
    /// A leaf's value, which is the key's if the path is.
    Value(Vec<u8>),
}

struct Walk<'a> {
    key: &'a Nibbles,
    /// How many nibbles of the path were walked.
    walked: usize,
    /// Whether the path has left the key.
    astray: bool,
}

impl Walk<'_> {
    /// Enters a node, and those that are encoded within it: they are smaller, so this ends.
    fn enter(
        &mut self,
        node: &[u8],
        malformed: &impl Fn(alloy::rlp::Error) -> TrieError,
    ) -> Result<Step, TrieError> {
        let mut rest = node;
        let decoded = <TrieNode as alloy::rlp::Decodable>::decode(&mut rest).map_err(malformed)?;
        if !rest.is_empty() {
            return Err(malformed(alloy::rlp::Error::UnexpectedLength));
        }
        let child = match decoded {
            TrieNode::EmptyRoot => return Err(malformed(alloy::rlp::Error::UnexpectedString)),
            TrieNode::Leaf(leaf) => {
                self.walk(&leaf.key)?;
                return Ok(Step::Value(leaf.value));
            }
            TrieNode::Extension(extension) => {
                self.walk(&extension.key)?;
                extension.child
            }
            TrieNode::Branch(branch) => {
                let Some(nibble) = self.key.get(self.walked) else { return Ok(Step::Nothing) };
                let Some(child) = child_of(&branch, nibble) else { return Ok(Step::Nothing) };
                self.walked += 1;
                child.clone()
            }
        };
        if child.is_hash() { Ok(Step::Next) } else { self.enter(&child, malformed) }
    }

    fn walk(&mut self, path: &Nibbles) -> Result<(), TrieError> {
        let end = self.walked + path.len();
        if end > PATH {
            return Err(TrieError::PathTooLong);
        }
        self.astray |= self.key.slice(self.walked..end) != *path;
        self.walked = end;
        Ok(())
    }
}

fn child_of(branch: &BranchNode, nibble: u8) -> Option<&RlpNode> {
    let present = CHILD_INDEX_RANGE.filter(|index| branch.state_mask.is_bit_set(*index));
    present.zip(&branch.stack).find_map(|(index, child)| (index == nibble).then_some(child))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, panic::catch_unwind};

    use alloy::{
        primitives::keccak256,
        rlp::{self, Encodable},
    };
    use alloy_trie::{
        HashBuilder,
        nodes::{ExtensionNode, LeafNode},
        proof::ProofRetainer,
    };
    use proptest::prelude::*;

    use super::*;

    /// A trie of this many values, and what proves or disproves each of these keys.
    fn trie(values: u64, keys: &[B256]) -> (B256, BTreeMap<B256, Vec<u8>>, Vec<Vec<Bytes>>) {
        let values: BTreeMap<_, _> =
            (0..values).map(|i| (hashed(i), rlp::encode(keccak256(i.to_le_bytes())))).collect();
        let targets = keys.iter().map(Nibbles::unpack).collect();
        let mut builder = HashBuilder::default().with_proof_retainer(<ProofRetainer>::new(targets));
        for (key, value) in &values {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes();
        let proof = |key| {
            let nodes = nodes.matching_nodes_sorted(&Nibbles::unpack(key));
            nodes.into_iter().map(|(_, node)| node).collect()
        };
        (root, values, keys.iter().map(proof).collect())
    }

    fn hashed(key: u64) -> B256 {
        keccak256(key.to_be_bytes())
    }

    #[test]
    fn what_is_there_is_proven_and_so_is_what_is_not() {
        for size in [1, 2, 3, 17, 300, 3000] {
            let keys: Vec<_> = (0..size + 40).map(hashed).collect();
            let (root, values, proofs) = trie(size, &keys);
            for (key, proof) in keys.iter().zip(&proofs) {
                assert_eq!(value_at(root, *key, proof), Ok(values.get(key).cloned()), "{size}");
            }
        }
    }

    #[test]
    fn an_empty_root_holds_nothing_and_needs_no_proof() {
        assert_eq!(value_at(EMPTY_ROOT_HASH, hashed(1), &[]), Ok(None));
        assert_eq!(value_at(EMPTY_ROOT_HASH, hashed(1), &[Bytes::from([0x80])]), Ok(None));
        let (root, ..) = trie(9, &[]);
        for nodes in [vec![], vec![Bytes::from([0x80])], vec![Bytes::new()]] {
            assert!(value_at(root, hashed(1), &nodes).is_err(), "absence needs a whole proof");
        }
    }

    #[test]
    fn inc_47_a_proof_cut_at_every_node_and_every_byte_proves_nothing() {
        let keys: Vec<_> = [3, 77, 1000, 1001, 1002].map(hashed).into();
        let (root, _, proofs) = trie(300, &keys);
        for (key, proof) in keys.iter().zip(&proofs) {
            for length in 0..proof.len() {
                value_at(root, *key, &proof[..length]).unwrap_err();
                value_at(root, *key, &proof[length + 1..]).unwrap_err();
            }
            for (index, node) in proof.iter().enumerate() {
                for length in 0..node.len() {
                    let mut cut = proof.clone();
                    cut[index] = node.slice(..length);
                    value_at(root, *key, &cut).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn inc_47_a_proof_with_nodes_appended_repeated_or_swapped_proves_nothing() {
        let keys: Vec<_> = [3, 77, 1000, 1001, 1002].map(hashed).into();
        let (root, _, proofs) = trie(300, &keys);
        for (key, proof) in keys.iter().zip(&proofs) {
            for node in proofs.iter().flatten().chain([&Bytes::from([0x80]), &Bytes::new()]) {
                for at in 0..=proof.len() {
                    let mut longer = proof.clone();
                    longer.insert(at, node.clone());
                    value_at(root, *key, &longer).unwrap_err();
                }
            }
            for at in 1..proof.len() {
                let mut swapped = proof.clone();
                swapped.swap(at - 1, at);
                value_at(root, *key, &swapped).unwrap_err();
            }
        }
        let many = vec![Bytes::from([0xc0]); MAX_NODES + 1];
        assert_eq!(value_at(root, hashed(3), &many), Err(TrieError::TooManyNodes(66)));
    }

    #[test]
    fn inc_47_a_proof_of_another_key_or_root_proves_nothing() {
        let keys: Vec<_> = [3, 77, 1000, 1001].map(hashed).into();
        let (root, values, proofs) = trie(300, &keys);
        let (other_root, _, other_proofs) = trie(301, &keys);
        for (key, other) in keys.iter().zip(&other_proofs) {
            value_at(root, *key, other).unwrap_err();
            for proof in &proofs {
                value_at(other_root, *key, proof).unwrap_err();
                // Where the paths part at once, the proof of one is a proof that the other is absent; never of a value.
                let judged = value_at(root, *key, proof);
                assert!(judged.is_err() || judged == Ok(values.get(key).cloned()), "{judged:?}");
            }
        }
    }

    #[test]
    fn inc_47_over_long_paths_are_refused_where_the_library_panics() {
        let key = Nibbles::unpack(B256::ZERO);
        let leaf = LeafNode::new(key.slice(..40), vec![1; 40]);
        let child = TrieNode::Leaf(leaf).rlp(&mut Vec::new());
        let mut leaf_rlp = Vec::new();
        LeafNode::new(key.slice(..40), vec![1; 40]).encode(&mut leaf_rlp);
        for at in [24, 25, 64] {
            let mut extension = Vec::new();
            ExtensionNode::new(key.slice(..at), child.clone()).encode(&mut extension);
            let nodes = [Bytes::from(extension), Bytes::from(leaf_rlp.clone())];
            let root = keccak256(&nodes[0]);
            let judged = value_at(root, B256::ZERO, &nodes);
            if at == 24 {
                assert_eq!(judged, Ok(Some(vec![1; 40])), "64 nibbles are a key");
            } else {
                assert_eq!(judged, Err(TrieError::PathTooLong), "{at}");
                let unguarded = catch_unwind(|| verify_proof(root, key, None, &nodes));
                assert!(unguarded.is_err(), "the guard is not needed any more: {unguarded:?}");
            }
        }
    }

    proptest! {
        /// Whatever is done to a proof's bytes, it proves what is so, or nothing.
        #[test]
        fn inc_47_a_changed_byte_never_proves_another_value(
            size in 1_u64..400, key in 0_u64..440, node in any::<prop::sample::Index>(),
            byte in any::<prop::sample::Index>(), flip in 1_u8..,
        ) {
            let key = hashed(key);
            let (root, _, proofs) = trie(size, &[key]);
            let mut proof = proofs.into_iter().next().unwrap();
            let node = node.index(proof.len());
            let mut bytes = proof[node].to_vec();
            let byte = byte.index(bytes.len());
            bytes[byte] ^= flip;
            proof[node] = bytes.into();
            prop_assert!(value_at(root, key, &proof).is_err());
        }

        /// The walk ahead takes any nodes without a panic, and lets none through at which the library panics.
        #[test]
        fn inc_47_no_nodes_make_it_panic(
            nodes in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                (0_usize..=64, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(path, leaf, value)| {
                    let path = Nibbles::unpack(B256::ZERO).slice(..path);
                    let mut node = Vec::new();
                    if leaf {
                        LeafNode::new(path, value).encode(&mut node);
                    } else {
                        ExtensionNode::new(path, RlpNode::from_rlp(&value)).encode(&mut node);
                    }
                    node
                }),
            ], 0..5),
        ) {
            let nodes: Vec<_> = nodes.into_iter().map(Bytes::from).collect();
            let root = nodes.first().map_or(B256::ZERO, keccak256);
            let _ = value_at(root, B256::ZERO, &nodes);
        }
    }
}
