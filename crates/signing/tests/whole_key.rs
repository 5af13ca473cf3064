//! What the signer with the whole key signs, and what no signer may.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{fs, sync::Arc};

use alloy_primitives::{Address, B256, hex};
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    absolute::LockTime, hashes::Hash as _, secp256k1::Secp256k1, sighash::SighashCache, transaction::Version,
};
use coxswain_protocol::SigningGroup;
use coxswain_rules::{
    Amount as Sat, HeartbeatProposal, KeyHash, Proposal, RedemptionProposal,
    units::{BlockNumber, Blocks},
};
use coxswain_signing::{
    ActionId, Claim, ClaimError, Job, KeyFileError, MemoryRecord, Outcome, PreimageError, Preimages, Refusal,
    SigningRecord, TestChain, WalletSigner, WholeKey, WholeKeySigner,
};
use serde_json::Value;
use tokio::sync::watch;

const CHAIN: u64 = 31337;
const SECRET: [u8; 32] = [7; 32];

fn signer<R: SigningRecord>(record: R) -> WholeKeySigner<R> {
    let key = WholeKey::from_bytes(&SECRET).unwrap();
    WholeKeySigner::new(TestChain::new(CHAIN, &[]).unwrap(), key, record, Blocks(0))
}

fn wallet() -> KeyHash {
    signer(MemoryRecord::default()).wallet()
}

fn group() -> SigningGroup {
    SigningGroup::new((1..=5).map(Address::repeat_byte).collect()).unwrap()
}

fn id(byte: u8) -> ActionId {
    ActionId(B256::repeat_byte(byte))
}

fn job(preimages: Preimages) -> Job {
    let (start_block, last_block, coordination_block) = (BlockNumber(90), BlockNumber(139), BlockNumber(60));
    let (wallet, action_id) = (wallet(), id(1));
    let has_main_utxo = true;
    Job {
        chain_id: CHAIN,
        wallet,
        coordination_block,
        action_id,
        has_main_utxo,
        preimages,
        start_block,
        last_block,
    }
}

fn heartbeat() -> Preimages {
    Preimages::Heartbeat(hex!("ffffffffffffffff0102030405060708"))
}

fn transaction() -> Transaction {
    let input = |byte: u8| TxIn {
        previous_output: OutPoint::new(bitcoin::Txid::from_byte_array([byte; 32]), u32::from(byte)),
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let output = TxOut { value: Amount::from_sat(5_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51]) };
    Transaction {
        version: Version::ONE,
        lock_time: LockTime::ZERO,
        input: vec![input(1), input(2), input(3)],
        output: vec![output],
    }
}

/// The first and the last input as BIP-143 says, the one between in the way of old.
fn preimages(transaction: &Transaction, kind: EcdsaSighashType) -> Vec<Vec<u8>> {
    let code = ScriptBuf::from_bytes(vec![0x76, 0xa9, 0x51, 0xac]);
    let mut cache = SighashCache::new(transaction);
    (0..transaction.input.len())
        .map(|index| {
            let mut out = Vec::new();
            if index == 1 {
                let written = cache.legacy_encode_signing_data_to(&mut out, index, &code, kind.to_u32());
                written.is_sighash_single_bug().unwrap();
            } else {
                let value = Amount::from_sat(10_000);
                cache.segwit_v0_encode_signing_data_to(&mut out, index, &code, value, kind).unwrap();
            }
            out
        })
        .collect()
}

fn all(transaction: &Transaction) -> Vec<Vec<u8>> {
    preimages(transaction, EcdsaSighashType::All)
}

fn at(block: u64) -> watch::Receiver<BlockNumber> {
    watch::channel(BlockNumber(block)).1
}

async fn outcome(signer: &impl WalletSigner, job: &Job, block: u64) -> Outcome {
    let report = signer.sign(job, &group(), at(block)).await;
    assert!(report.blames.is_empty());
    report.outcome
}

#[test]
fn action_ids_are_as_in_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/action-ids.json")).unwrap();
    let heartbeat = hex::decode(vectors["heartbeat"].as_str().unwrap()).unwrap();
    let script = hex::decode(vectors["redemption"]["script"].as_str().unwrap()).unwrap();
    let fee = Sat::from_sat(vectors["redemption"]["fee"].as_u64().unwrap());
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let proposal = match case["proposal"].as_str().unwrap() {
            "heartbeat" => Proposal::Heartbeat(HeartbeatProposal { message: heartbeat.clone() }),
            _ => Proposal::Redemption(RedemptionProposal { scripts: vec![script.clone().into()], fee }),
        };
        let canonical = coxswain_protocol::wire::canonical(&proposal);
        assert_eq!(hex::encode_prefixed(canonical), case["canonical"].as_str().unwrap());
        let wallet = KeyHash(case["wallet"].as_str().unwrap().parse::<Address>().unwrap().into());
        let [chain, block] = ["chain_id", "coordination_block"].map(|name| case[name].as_u64().unwrap());
        let id = ActionId::of(chain, wallet, BlockNumber(block), &proposal);
        assert_eq!(id.to_string(), case["action_id"].as_str().unwrap());
    }
}

#[tokio::test]
async fn all_processes_with_the_key_make_the_same_low_signatures() {
    let job = job(Preimages::Transaction(all(&transaction())));
    let [one, two] = [signer(MemoryRecord::default()), signer(MemoryRecord::default())];
    let Outcome::Signed(first) = outcome(&one, &job, 90).await else { panic!("not signed") };
    let Outcome::Signed(second) = outcome(&two, &job, 120).await else { panic!("not signed") };
    assert_eq!(first, second);
    assert_eq!((first.signatures.len(), first.seats.len()), (3, 5));
    let (secp, messages) = (Secp256k1::new(), job.preimages.messages().unwrap());
    let key = bitcoin::secp256k1::SecretKey::from_slice(&SECRET).unwrap().public_key(&secp);
    for (message, signature) in messages.iter().zip(&first.signatures) {
        let mut normal = *signature;
        normal.normalize_s();
        assert_eq!(normal, *signature, "S is low");
        secp.verify_ecdsa(message, signature, &key).unwrap();
    }
    // What is signed is what Bitcoin asks for.
    let transaction = transaction();
    let sighash = SighashCache::new(&transaction)
        .legacy_signature_hash(1, &ScriptBuf::from_bytes(vec![0x76, 0xa9, 0x51, 0xac]), 1)
        .unwrap();
    assert_eq!(messages[1].as_ref(), sighash.as_byte_array());
}

#[tokio::test]
async fn inc_49_of_a_window_one_action_is_signed_and_one_set_of_bytes() {
    let record = MemoryRecord::default();
    let signer = signer(&record);
    let first = job(heartbeat());
    assert!(matches!(outcome(&signer, &first, 90).await, Outcome::Signed(_)));
    assert!(matches!(outcome(&signer, &first, 100).await, Outcome::Signed(_)), "the same again");
    let other = Job { action_id: id(2), ..first.clone() };
    let refused = Outcome::Refused(Refusal::Other { recorded: id(1) });
    assert_eq!(outcome(&signer, &other, 100).await, refused);
    let bytes = Preimages::Heartbeat(hex!("ffffffffffffffff0102030405060709"));
    assert_eq!(outcome(&signer, &Job { preimages: bytes, ..first.clone() }, 100).await, refused);
    // The next window is another matter.
    let next = Job { coordination_block: BlockNumber(120), ..other };
    assert!(matches!(outcome(&signer, &next, 100).await, Outcome::Signed(_)));
}

struct Full;

impl SigningRecord for Full {
    async fn claim(&self, _: Claim) -> Result<(), ClaimError> {
        Err(ClaimError::Unrecorded("the disk is full".to_owned()))
    }
}

#[tokio::test]
async fn inc_46_what_can_not_be_recorded_is_not_signed() {
    let refused = Outcome::Refused(Refusal::Unrecorded("the disk is full".to_owned()));
    assert_eq!(outcome(&signer(Full), &job(heartbeat()), 90).await, refused);
}

#[tokio::test]
async fn nothing_is_signed_for_another_chain_or_wallet() {
    let signer = signer(MemoryRecord::default());
    let other = Job { chain_id: 1337, ..job(heartbeat()) };
    let refused = Refusal::OtherChain { job: 1337, signer: CHAIN };
    assert_eq!(outcome(&signer, &other, 90).await, Outcome::Refused(refused));
    let other = Job { wallet: KeyHash([9; 20]), ..job(heartbeat()) };
    assert_eq!(outcome(&signer, &other, 90).await, Outcome::Refused(Refusal::OtherWallet));
}

#[tokio::test]
async fn signing_begins_at_its_start_and_ends_with_its_last_block() {
    let job = job(heartbeat());
    let (chain, key) = (TestChain::new(CHAIN, &[]).unwrap(), WholeKey::from_bytes(&SECRET).unwrap());
    let waits = WholeKeySigner::new(chain, key, MemoryRecord::default(), Blocks(3));
    let signer = Arc::new(signer(MemoryRecord::default()));
    let (clock, heights) = watch::channel(BlockNumber(89));
    let signing = tokio::spawn({
        let (signer, job) = (Arc::clone(&signer), job.clone());
        async move { signer.sign(&job, &group(), heights).await.outcome }
    });
    while clock.receiver_count() < 1 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    assert!(!signing.is_finished());
    clock.send_replace(BlockNumber(90));
    assert!(matches!(signing.await.unwrap(), Outcome::Signed(_)));
    assert!(matches!(outcome(&signer, &job, 139).await, Outcome::Signed(_)), "the last block");
    assert_eq!(outcome(&signer, &job, 140).await, Outcome::Deadline);
    // Announcements come first.
    let (clock, heights) = watch::channel(BlockNumber(92));
    let (job_, group) = (job.clone(), group());
    let mut signing = std::pin::pin!(waits.sign(&job_, &group, heights));
    let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut signing).await;
    assert!(early.is_err(), "before its block");
    clock.send_replace(BlockNumber(93));
    assert!(matches!(signing.await.outcome, Outcome::Signed(_)));
    let (clock, heights) = watch::channel(BlockNumber(0));
    drop(clock);
    assert_eq!(signer.sign(&job, &group, heights).await.outcome, Outcome::Deadline, "no clock");
}

/// What becomes of the transaction's preimages once this is changed.
fn changed(change: impl FnOnce(&mut Transaction)) -> Result<usize, PreimageError> {
    let mut transaction = transaction();
    change(&mut transaction);
    Preimages::Transaction(all(&transaction)).messages().map(|messages| messages.len())
}

#[test]
fn preimages_are_those_of_one_final_transaction_of_version_1() {
    assert_eq!(changed(|_| {}), Ok(3));
    assert_eq!(changed(|tx| tx.version = Version::TWO), Err(PreimageError::Version { input: 0, version: 2 }));
    let height = LockTime::from_height(1).unwrap();
    assert_eq!(changed(|tx| tx.lock_time = height), Err(PreimageError::NotFinal { input: 0 }));
    let replaceable = |tx: &mut Transaction| tx.input[2].sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;
    // The input of old shows all sequence numbers, but the first's hash differs from nothing yet.
    assert!(matches!(changed(replaceable), Err(PreimageError::NotFinal { .. })));
    for (kind, found) in [(EcdsaSighashType::None, 2), (EcdsaSighashType::AllPlusAnyoneCanPay, 0x81)] {
        let other = Preimages::Transaction(preimages(&transaction(), kind)).messages();
        assert_eq!(other, Err(PreimageError::SighashType { input: 0, found }));
    }
}

#[test]
fn preimages_are_those_of_all_inputs_in_order() {
    let of = |preimages| Preimages::Transaction(preimages).messages().map(|messages| messages.len());
    let three = all(&transaction());
    assert_eq!(of(Vec::new()), Err(PreimageError::InputCount(0)));
    assert_eq!(of(vec![three[0].clone(); 257]), Err(PreimageError::InputCount(257)));
    assert_eq!(of(three[..2].to_vec()), Err(PreimageError::NotAllInputs));
    let swapped = vec![three[2].clone(), three[1].clone(), three[0].clone()];
    assert_eq!(of(swapped), Err(PreimageError::NotAllInputs));
    assert_eq!(
        of(vec![three[1].clone(), three[0].clone(), three[2].clone()]),
        Err(PreimageError::NotAllInputs)
    );
    let mut other = transaction();
    other.output[0].value += Amount::from_sat(1);
    let mixed = vec![three[0].clone(), all(&other)[1].clone(), three[2].clone()];
    assert_eq!(of(mixed), Err(PreimageError::OtherTransaction { input: 1 }));
    assert_eq!(of(vec![vec![1, 0, 0, 0]; 3]), Err(PreimageError::Unreadable { input: 0 }));
    assert_eq!(of(vec![vec![0xff; 16]]), Err(PreimageError::SighashType { input: 0, found: u32::MAX }));
    let mut longer = three.clone();
    longer[0].insert(4, 0);
    assert!(matches!(of(longer), Err(PreimageError::Unreadable { input: 0 })));
    // Any cut of a preimage is none.
    for cut in 0..three[1].len() {
        let mut three = three.clone();
        three[1].remove(cut);
        assert!(of(three).is_err(), "byte {cut}");
    }
}

#[test]
fn a_heartbeat_begins_with_eight_bytes_of_ff() {
    let of = |bytes| Preimages::Heartbeat(bytes).messages().map(|messages| messages.len());
    assert_eq!(of(hex!("ffffffffffffffff0102030405060708")), Ok(1));
    assert_eq!(of(hex!("ffffffffffffff000102030405060708")), Err(PreimageError::NoHeartbeat));
    assert_eq!(of(hex!("00ffffffffffffffff02030405060708")), Err(PreimageError::NoHeartbeat));
}

#[test]
fn a_keys_file_is_plain_and_nobody_elses_to_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let write = |text: &str, mode| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        WholeKey::from_file(&path)
    };
    let digits = hex::encode(SECRET);
    for text in [digits.clone(), format!("0x{digits}\n")] {
        let key = write(&text, 0o600).unwrap();
        assert_eq!(format!("{key:?}"), "WholeKey(..)");
        let chain = TestChain::new(CHAIN, &[]).unwrap();
        assert_eq!(WholeKeySigner::new(chain, key, MemoryRecord::default(), Blocks(0)).wallet(), wallet());
    }
    for mode in [0o640, 0o604, 0o610] {
        assert!(matches!(write(&digits, mode), Err(KeyFileError::Open)), "{mode:o}");
    }
    for text in ["", "00", &"00".repeat(32), &digits[1..]] {
        assert!(matches!(write(text, 0o600), Err(KeyFileError::NoKey)), "{text}");
    }
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(WholeKey::from_file(&link), Err(KeyFileError::NotPlain)));
    assert!(matches!(WholeKey::from_file(folder.path()), Err(KeyFileError::NotPlain)));
    assert!(matches!(WholeKey::from_file(&folder.path().join("none")), Err(KeyFileError::Read(_))));
}
