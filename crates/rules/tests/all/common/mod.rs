//! Valid worlds, one per action, for tests to break in one place.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "only tests use this module")]

pub mod changes;

use std::sync::LazyLock;

use alloy_primitives::{Address, B256};
use bitcoin::{
    Amount, CompressedPublicKey, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute,
    consensus::encode,
    hashes::{Hash, hash160, sha256d},
    secp256k1::{Secp256k1, SecretKey},
    transaction::Version,
};
use coxswain_rules::{
    Case, DepositExtraInfo, DepositKey, DepositOutputType, DepositParameters, DepositRecord, DepositScript,
    DepositSweepProposal, FundingTransaction, HeartbeatProposal, KeyHash, MovedFundsSweepProposal,
    MovingFundsParameters, MovingFundsProposal, RedemptionKey, RedemptionParameters, RedemptionProposal,
    RedemptionRecord, RevealedDeposit, Snapshot, Subject, SweepRequestKey, SweepRequestRecord,
    SweepRequestState, Utxo, WalletRecord, WalletState, main_utxo_hash, target_wallets_commitment,
    units::BlockNumber,
};

/// The snapshot's time.
pub const NOW: u32 = 1_700_000_000;
/// Seconds.
pub const DAY: u32 = 86_400;
/// The Bridge's maximum of every kind of fee.
pub const MAX_FEE: Amount = Amount::from_sat(100_000);

/// A proposal that keeps every rule, and the state that it is judged by.
#[derive(Clone, Debug)]
pub struct World {
    pub snapshot: Snapshot,
    pub case: Case,
    pub main_utxo: Utxo,
}

/// The wallet's private key.
pub fn wallet_key() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).unwrap()
}

/// The wallet's public key.
pub fn wallet_public_key() -> CompressedPublicKey {
    CompressedPublicKey(wallet_key().public_key(&Secp256k1::new()))
}

/// The wallet.
pub fn wallet() -> KeyHash {
    static WALLET: LazyLock<KeyHash> =
        LazyLock::new(|| KeyHash(wallet_public_key().wpubkey_hash().to_byte_array()));
    *WALLET
}

/// The refund key's private key.
pub fn refund_key() -> SecretKey {
    SecretKey::from_slice(&[8; 32]).unwrap()
}

/// What a deposit script names the refund key by.
fn refund_key_hash() -> KeyHash {
    static HASH: LazyLock<KeyHash> = LazyLock::new(|| {
        let key = refund_key().public_key(&Secp256k1::new());
        KeyHash(hash160::Hash::hash(&key.serialize()).to_byte_array())
    });
    *HASH
}

/// A deposit to make up: how its output commits to its script, and whether it has extra data.
pub type DepositKind = (DepositOutputType, bool);

/// All four.
pub const DEPOSIT_KINDS: [DepositKind; 4] = [
    (DepositOutputType::P2sh, false),
    (DepositOutputType::P2sh, true),
    (DepositOutputType::P2wsh, false),
    (DepositOutputType::P2wsh, true),
];

/// A sweep of such deposits; every funding transaction has three outputs, the middle one being the deposit's.
pub fn deposit_sweep(kinds: &[DepositKind]) -> World {
    let mut world = World::new(Subject::DepositSweep {
        proposal: DepositSweepProposal { deposits: Vec::new(), fee: Amount::from_sat(10_000) },
        extra_info: Vec::new(),
    });
    for (index, &(output_type, with_extra_data)) in kinds.iter().enumerate() {
        let number = u8::try_from(index).unwrap();
        let record = DepositRecord {
            depositor: Address::repeat_byte(0xd0),
            amount: Amount::from_sat(1_000_000 + u64::from(number)),
            revealed_at: NOW - DAY,
            vault: Address::repeat_byte(0xaa),
            treasury_fee: Amount::from_sat(500),
            swept_at: 0,
            extra_data: if with_extra_data { B256::repeat_byte(0xed) } else { B256::ZERO },
        };
        let mut info = DepositExtraInfo {
            funding_transaction: FundingTransaction::from(&funding_transaction(number, &[])),
            blinding_factor: [number; 8],
            wallet: wallet(),
            refund_key_hash: refund_key_hash(),
            refund_locktime: (NOW + 30 * DAY).to_le_bytes(),
        };
        let script = DepositScript::new(record.depositor, record.extra_data, &info);
        let others =
            TxOut { value: Amount::from_sat(1), script_pubkey: ScriptBuf::from_bytes(vec![0x51; 300]) };
        let deposit = TxOut { value: record.amount, script_pubkey: script.output_script(output_type) };
        let funding = funding_transaction(number, &[others.clone(), deposit, others]);
        info.funding_transaction = FundingTransaction::from(&funding);
        let outpoint = OutPoint { txid: funding.compute_txid(), vout: 1 };
        world.snapshot.deposits.insert(DepositKey::new(outpoint), record);
        let (proposal, extra_info) = world.sweep();
        proposal.deposits.push(RevealedDeposit { outpoint, reveal_block: BlockNumber(18_000_000) });
        extra_info.push(info);
    }
    world
}

fn funding_transaction(number: u8, outputs: &[TxOut]) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: absolute::LockTime::from_consensus(800_000),
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 5 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&[[1; 64]]),
        }],
        output: outputs.to_vec(),
    }
}

/// A redemption of this many requests, to scripts of all usual lengths in turn.
pub fn redemption(requests: u8) -> World {
    let mut world = World::new(Subject::Redemption(RedemptionProposal {
        scripts: Vec::new(),
        fee: Amount::from_sat(10_000),
    }));
    for number in 0..requests {
        let script = redeemer_script(number);
        let key = RedemptionKey::new(wallet(), &script);
        world.snapshot.redemptions.insert(
            key,
            RedemptionRecord {
                requested_amount: Amount::from_sat(2_000_000),
                treasury_fee: Amount::from_sat(1_000),
                tx_max_fee: MAX_FEE,
                requested_at: NOW - DAY,
            },
        );
        world.snapshot.watchtower_delays.as_mut().unwrap().insert(key, 7_200);
        world.redemption().scripts.push(script);
    }
    world
}

/// P2PKH, P2SH, P2WPKH, P2WSH in turn.
pub fn redeemer_script(number: u8) -> ScriptBuf {
    let (head, length, tail): (&[u8], usize, &[u8]) = match number % 4 {
        0 => (&[0x76, 0xa9, 20], 20, &[0x88, 0xac]),
        1 => (&[0xa9, 20], 20, &[0x87]),
        2 => (&[0, 20], 20, &[]),
        _ => (&[0, 32], 32, &[]),
    };
    ScriptBuf::from_bytes([head, &vec![number; length], tail].concat())
}

/// A heartbeat.
pub fn heartbeat() -> World {
    let message = [[0xff; 8], [0x11; 8]].concat();
    World::new(Subject::Heartbeat(HeartbeatProposal { message }))
}

/// A move of all funds to this many wallets.
pub fn moving_funds(targets: u8) -> World {
    let targets: Vec<_> = (1..=targets).map(|number| KeyHash([number; 20])).collect();
    let mut world = World::new(Subject::Heartbeat(HeartbeatProposal { message: Vec::new() }));
    let record = world.wallet();
    record.state = WalletState::MovingFunds;
    record.moving_funds_target_wallets_commitment_hash = target_wallets_commitment(&targets);
    world.case.subject = Subject::MovingFunds {
        proposal: MovingFundsProposal { targets, fee: Amount::from_sat(10_001) },
        main_utxo: world.main_utxo,
    };
    world
}

/// A merge of funds that another wallet moved.
pub fn moved_funds_sweep() -> World {
    let outpoint = OutPoint { txid: Txid::from_byte_array([0x3f; 32]), vout: 2 };
    let mut world = World::new(Subject::MovedFundsSweep(MovedFundsSweepProposal {
        outpoint,
        fee: Amount::from_sat(10_000),
    }));
    world.snapshot.sweep_requests.insert(
        SweepRequestKey::new(outpoint),
        SweepRequestRecord {
            wallet: wallet(),
            value: Amount::from_sat(7_000_000),
            state: SweepRequestState::Pending,
        },
    );
    world
}

/// One of each action.
pub fn one_of_each() -> [World; 5] {
    [heartbeat(), deposit_sweep(&DEPOSIT_KINDS), redemption(4), moving_funds(3), moved_funds_sweep()]
}

impl World {
    fn new(subject: Subject) -> Self {
        let main_utxo = Utxo {
            outpoint: OutPoint { txid: Txid::from_byte_array([0xab; 32]), vout: 258 },
            value: Amount::from_sat(123_456_789),
        };
        let record = WalletRecord {
            main_utxo_hash: main_utxo_hash(&main_utxo),
            pending_redemptions_value: Amount::ZERO,
            moving_funds_requested_at: 0,
            pending_moved_funds_sweep_requests_count: 0,
            state: WalletState::Live,
            moving_funds_target_wallets_commitment_hash: B256::ZERO,
        };
        let snapshot = Snapshot {
            timestamp: NOW.into(),
            wallets: [(wallet(), record)].into(),
            watchtower_delays: Some([].into()),
            deposit_parameters: DepositParameters { deposit_tx_max_fee: MAX_FEE },
            redemption_parameters: RedemptionParameters {
                redemption_tx_max_total_fee: MAX_FEE,
                redemption_timeout: 5 * DAY,
            },
            moving_funds_parameters: MovingFundsParameters {
                moving_funds_tx_max_total_fee: MAX_FEE,
                moving_funds_dust_threshold: Amount::from_sat(200_000),
                moving_funds_timeout: 49 * DAY,
                moved_funds_sweep_tx_max_total_fee: MAX_FEE,
            },
            ..Snapshot::default()
        };
        Self { snapshot, case: Case { wallet: wallet(), subject }, main_utxo }
    }

    /// The wallet's record.
    pub fn wallet(&mut self) -> &mut WalletRecord {
        self.snapshot.wallets.get_mut(&self.case.wallet).unwrap()
    }

    /// Takes the wallet's main UTXO away.
    pub fn without_main_utxo(mut self) -> Self {
        self.wallet().main_utxo_hash = B256::ZERO;
        self
    }

    /// The main UTXO, when the wallet has one.
    pub fn main_utxo(&self) -> Option<Utxo> {
        let known = self.snapshot.wallets[&self.case.wallet].main_utxo_hash;
        (!known.is_zero()).then_some(self.main_utxo)
    }

    /// The deposit sweep proposed, with its extra infos.
    pub fn sweep(&mut self) -> (&mut DepositSweepProposal, &mut Vec<DepositExtraInfo>) {
        match &mut self.case.subject {
            Subject::DepositSweep { proposal, extra_info } => (proposal, extra_info),
            other => panic!("not a deposit sweep: {other:?}"),
        }
    }

    /// The Bridge's record of a deposit.
    pub fn deposit(&mut self, index: usize) -> &mut DepositRecord {
        let key = DepositKey::new(self.sweep().0.deposits[index].outpoint);
        self.snapshot.deposits.get_mut(&key).unwrap()
    }

    /// Builds a deposit's script again.
    pub fn deposit_script(&mut self, index: usize) -> DepositScript {
        let record = self.deposit(index).clone();
        DepositScript::new(record.depositor, record.extra_data, &self.sweep().1[index])
    }

    /// Gives a deposit another output vector, as if it had been funded like that from the start.
    pub fn fund(&mut self, index: usize, output_vector: Vec<u8>, vout: u32) {
        let record = self.deposit(index).clone();
        let (proposal, extra_info) = self.sweep();
        let funding = &mut extra_info[index].funding_transaction;
        funding.output_vector = output_vector;
        let bytes =
            [&funding.version[..], &funding.input_vector, &funding.output_vector, &funding.locktime].concat();
        let outpoint = OutPoint { txid: sha256d::Hash::hash(&bytes).into(), vout };
        proposal.deposits[index].outpoint = outpoint;
        self.snapshot.deposits.insert(DepositKey::new(outpoint), record);
    }

    /// Gives a deposit another output script.
    pub fn fund_by_script(&mut self, index: usize, script_pubkey: ScriptBuf) {
        let value = self.deposit(index).amount;
        self.fund(index, encode::serialize(&vec![TxOut { value, script_pubkey }]), 0);
    }

    /// Changes a deposit's extra info and funds its script again.
    pub fn remake_deposit(&mut self, index: usize, change: impl FnOnce(&mut DepositExtraInfo)) {
        change(&mut self.sweep().1[index]);
        let script = self.deposit_script(index).output_script(DepositOutputType::P2wsh);
        self.fund_by_script(index, script);
    }

    /// The redemption proposed.
    pub fn redemption(&mut self) -> &mut RedemptionProposal {
        match &mut self.case.subject {
            Subject::Redemption(proposal) => proposal,
            other => panic!("not a redemption: {other:?}"),
        }
    }

    fn redemption_key(&mut self, index: usize) -> RedemptionKey {
        RedemptionKey::new(self.case.wallet, &self.redemption().scripts[index].clone())
    }

    /// The Bridge's record of a redemption request.
    pub fn request(&mut self, index: usize) -> &mut RedemptionRecord {
        let key = self.redemption_key(index);
        self.snapshot.redemptions.get_mut(&key).unwrap()
    }

    /// The watchtower's delay of a redemption request.
    pub fn delay(&mut self, index: usize) -> &mut u32 {
        let key = self.redemption_key(index);
        self.snapshot.watchtower_delays.as_mut().unwrap().get_mut(&key).unwrap()
    }

    /// The move of funds proposed, with the main UTXO named.
    pub fn moving_funds(&mut self) -> (&mut MovingFundsProposal, &mut Utxo) {
        match &mut self.case.subject {
            Subject::MovingFunds { proposal, main_utxo } => (proposal, main_utxo),
            other => panic!("not moving funds: {other:?}"),
        }
    }

    /// The moved funds sweep proposed.
    pub fn moved_funds_sweep(&mut self) -> &mut MovedFundsSweepProposal {
        match &mut self.case.subject {
            Subject::MovedFundsSweep(proposal) => proposal,
            other => panic!("not a moved funds sweep: {other:?}"),
        }
    }

    /// The Bridge's record of the moved funds sweep request.
    pub fn sweep_request(&mut self) -> &mut SweepRequestRecord {
        let key = SweepRequestKey::new(self.moved_funds_sweep().outpoint);
        self.snapshot.sweep_requests.get_mut(&key).unwrap()
    }
}
