//! Four blocks with Bitcoin's own work on them, of the difficulties 1, 2, 1 and 1: what the real Bridge and the real relay make of a
//! difficulty that changes can't be tried with regtest's headers, which every other hash meets.
//!
//! The first two are the end of an epoch that began with Bitcoin's genesis block, and took half of the time that it should, and the
//! beginning of the next. Each of them has a deposit's sweep in it. To be expected were 5 · 2³² hashes, computed once;
//! `examples/mine.rs` is their generator, and `vectors/mined.txt` has the result.

use alloy::primitives::{Address, B256};
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Witness, absolute, block, block::Header, blockdata::constants::genesis_block, consensus::encode,
    hashes::Hash, hex::FromHex, script::Builder, transaction,
};
use coxswain_bindings::{Bridge, bridge::DepositRevealInfo};
use coxswain_rules::{DepositExtraInfo, DepositOutputType, DepositScript};

use crate::{
    Error, Wallet, World, convert,
    wallet::{digest, key_hash},
};

/// The headers, in hex, one a line.
const HEADERS: &str = include_str!("../vectors/mined.txt");
const ONE: u32 = 0x1d00_ffff;
const TWO: u32 = 0x1c7f_ff80;
/// What an epoch takes as long as the difficulty stays, in seconds.
const TWO_WEEKS: u32 = 1_209_600;
const SPACING: u32 = 600;
const DEPOSITED: Amount = Amount::from_sat(5000_0000);
const FEE: Amount = Amount::from_sat(10_000);
/// Later than any test's clock.
const REFUND_LOCKTIME: u32 = 0xf000_0000;
/// The seed of the first sweep's wallet; the others' follow.
const WALLETS: u64 = 9_001;

/// What is in the blocks, and how hard each is. How they come to their work is another matter.
#[derive(Clone, Debug)]
pub struct MinedBlocks {
    /// The header of the old epoch's beginning: that of Bitcoin's genesis block.
    pub first: Header,
    /// The blocks in order.
    pub blocks: Vec<Block>,
    /// The sweeps in the first two blocks, one in each.
    pub sweeps: Vec<MinedSweep>,
}

/// A deposit and its sweep, which is in a block.
#[derive(Clone, Debug)]
pub struct MinedSweep {
    /// The wallet.
    pub wallet: Wallet,
    /// Who reveals the deposit.
    pub depositor: Address,
    /// The deposit's funding transaction. It is nowhere.
    pub funding: Transaction,
    /// The sweep.
    pub sweep: Transaction,
    extra_info: DepositExtraInfo,
}

impl MinedBlocks {
    /// Reads the blocks that were mined.
    ///
    /// # Errors
    /// If the headers are not those of these blocks.
    pub fn read() -> Result<Self, Error> {
        let mut mined = Self::unmined();
        let mut parent = mined.first.block_hash();
        let mut lines = HEADERS.lines();
        for block in &mut mined.blocks {
            let line = lines.next().ok_or(Error::Absent("mined header"))?;
            let bytes = Vec::from_hex(line).map_err(|_| Error::Absent("mined header in hex"))?;
            let header: Header =
                encode::deserialize(&bytes).map_err(|_| Error::Absent("mined header of 80 bytes"))?;
            let expected = Header {
                version: header.version,
                nonce: header.nonce,
                prev_blockhash: parent,
                ..block.header
            };
            if header != expected || header.validate_pow(header.target()).is_err() {
                return Err(Error::Absent("mined header of the block"));
            }
            block.header = header;
            parent = header.block_hash();
        }
        Ok(mined)
    }

    /// The blocks, each but for its parent, the low half of its version, and its nonce.
    pub fn unmined() -> Self {
        let first = genesis_block(bitcoin::Network::Bitcoin).header;
        let sweeps: Vec<_> = (0..2).map(MinedSweep::new).collect();
        let end = first.time + TWO_WEEKS / 2;
        let plan = [(ONE, end), (TWO, end + SPACING), (ONE, end + 2 * SPACING), (ONE, end + 3 * SPACING)];
        let block = |(number, (bits, time)): (u32, (u32, u32))| {
            let sweep = sweeps.get(usize::try_from(number).unwrap_or(usize::MAX));
            let sweep = sweep.map(|swept: &MinedSweep| swept.sweep.clone());
            let header = Header {
                version: block::Version::from_consensus(0x2000_0000),
                prev_blockhash: BlockHash::all_zeros(),
                merkle_root: TxMerkleNode::all_zeros(),
                time,
                bits: CompactTarget::from_consensus(bits),
                nonce: 0,
            };
            let mut block = Block { header, txdata: [coinbase(number)].into_iter().chain(sweep).collect() };
            block.header.merkle_root = block.compute_merkle_root().expect("there is a coinbase");
            block
        };
        let blocks = (0..).zip(plan).map(block).collect();
        Self { first, blocks, sweeps }
    }
}

impl MinedSweep {
    fn new(number: u64) -> Self {
        let wallet = Wallet::from_seed(WALLETS + number);
        let depositor = Address::repeat_byte(0xd5);
        let mut extra_info = DepositExtraInfo {
            funding_transaction: (&paying(OutPoint::null(), ScriptBuf::new(), DEPOSITED)).into(),
            blinding_factor: number.to_be_bytes(),
            wallet: wallet.key_hash(),
            refund_key_hash: key_hash(b"mined", number),
            refund_locktime: REFUND_LOCKTIME.to_le_bytes(),
        };
        let script = DepositScript::new(depositor, B256::ZERO, &extra_info);
        let locked = script.output_script(DepositOutputType::P2wsh);
        let source = OutPoint::new(bitcoin::Txid::from_byte_array(digest(b"mined", number)), 0);
        let funding = paying(source, locked, DEPOSITED);
        extra_info.funding_transaction = (&funding).into();
        let key = wallet.public_key();
        let to_wallet = ScriptBuf::new_p2wpkh(&key.wpubkey_hash());
        let mut sweep = paying(OutPoint::new(funding.compute_txid(), 0), to_wallet, DEPOSITED - FEE);
        // Nobody here asks for a signature.
        let witness = [&[0x30; 71][..], &key.to_bytes(), script.as_script().as_bytes()];
        sweep.input.iter_mut().for_each(|input| input.witness = Witness::from_slice(&witness));
        Self { wallet, depositor, funding, sweep, extra_info }
    }
}

impl World {
    /// Creates the sweep's wallet, and reveals its deposit.
    ///
    /// # Errors
    /// If the Bridge refuses either.
    pub async fn reveal_mined(&self, mined: &MinedSweep) -> Result<(), Error> {
        let (wallet, extra_info) = (&mined.wallet, &mined.extra_info);
        let (x, y) = wallet.coordinates();
        let created = Bridge::__ecdsaWalletCreatedCallbackCall {
            ecdsaWalletID: wallet.id(),
            publicKeyX: x,
            publicKeyY: y,
        };
        let bridge = self.bridge.address();
        self.chain.send(self.wallet_registry, bridge, &created).await?;
        self.chain.fund(mined.depositor).await?;
        let reveal = DepositRevealInfo {
            fundingOutputIndex: 0,
            blindingFactor: extra_info.blinding_factor.into(),
            walletPubKeyHash: extra_info.wallet.into(),
            refundPubKeyHash: extra_info.refund_key_hash.into(),
            refundLocktime: extra_info.refund_locktime.into(),
            vault: Address::ZERO,
        };
        let info = convert::info(extra_info.funding_transaction.clone());
        let call = Bridge::revealDepositCall { fundingTx: info, reveal };
        self.chain.send(mined.depositor, bridge, &call).await?;
        Ok(())
    }
}

fn coinbase(number: u32) -> Transaction {
    let mut coinbase = paying(OutPoint::null(), ScriptBuf::new(), Amount::from_sat(50_0000_0000));
    let script = Builder::new().push_slice(*b"coxswain").push_slice(number.to_be_bytes()).into_script();
    coinbase.input.iter_mut().for_each(|input| input.script_sig = script.clone());
    coinbase
}

/// A transaction that spends one output, and pays one.
fn paying(previous_output: OutPoint, script_pubkey: ScriptBuf, value: Amount) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value, script_pubkey }],
    }
}
