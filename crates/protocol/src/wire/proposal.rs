//! The payloads: one message for each kind of action.

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid, hashes::Hash};
use coxswain_rules::{
    Action, DepositSweepProposal, HeartbeatProposal, KeyHash, MovedFundsSweepProposal, MovingFundsProposal,
    Proposal, RedemptionProposal, RevealedDeposit, units::BlockNumber,
};

use super::{
    DecodeError, MAX_FEE_BYTES, MAX_SCRIPT_BYTES, cap, encode, exactly, push,
    read::{Fields, Value, packed},
    uint32,
};

pub(super) fn decode(action: Action, payload: &[u8]) -> Result<Proposal, DecodeError> {
    Ok(match action {
        Action::Heartbeat => Proposal::Heartbeat(heartbeat(payload)?),
        Action::DepositSweep => Proposal::DepositSweep(deposit_sweep(payload)?),
        Action::Redemption => Proposal::Redemption(redemption(payload)?),
        Action::MovingFunds => Proposal::MovingFunds(moving_funds(payload)?),
        Action::MovedFundsSweep => Proposal::MovedFundsSweep(moved_funds_sweep(payload)?),
    })
}

pub(super) fn encode(proposal: &Proposal) -> Vec<u8> {
    let mut out = Vec::new();
    match proposal {
        Proposal::Heartbeat(HeartbeatProposal { message }) => encode::bytes(&mut out, 1, message),
        Proposal::DepositSweep(DepositSweepProposal { deposits, fee }) => {
            for deposit in deposits {
                encode::item(&mut out, 1, &encode_outpoint(&deposit.outpoint));
            }
            encode_fee(&mut out, 2, *fee);
            encode::packed(&mut out, 3, deposits.iter().map(|deposit| deposit.reveal_block.0));
        }
        Proposal::Redemption(RedemptionProposal { scripts, fee }) => {
            for script in scripts {
                encode::item(&mut out, 1, script.as_bytes());
            }
            encode_fee(&mut out, 2, *fee);
        }
        Proposal::MovingFunds(MovingFundsProposal { targets, fee }) => {
            for target in targets {
                encode::item(&mut out, 1, &target.0);
            }
            encode_fee(&mut out, 2, *fee);
        }
        Proposal::MovedFundsSweep(MovedFundsSweepProposal { outpoint, fee }) => {
            out = encode_outpoint(outpoint);
            encode_fee(&mut out, 3, *fee);
        }
    }
    out
}

fn heartbeat(payload: &[u8]) -> Result<HeartbeatProposal, DecodeError> {
    let mut message: &[u8] = &[];
    for field in Fields::new("heartbeat proposal", payload) {
        if let (1, Value::Bytes(bytes)) = field? {
            message = bytes;
        }
    }
    let message: [u8; 16] = exactly("heartbeat message", message)?;
    Ok(HeartbeatProposal { message: message.to_vec() })
}

fn deposit_sweep(payload: &[u8]) -> Result<DepositSweepProposal, DecodeError> {
    const NAME: &str = "deposit sweep proposal";
    let (mut outpoints, mut fee, mut reveal_blocks) = (Vec::new(), Amount::ZERO, Vec::new());
    for field in Fields::new(NAME, payload) {
        match field? {
            (1, Value::Bytes(deposit)) => push(&mut outpoints, "deposits", deposit_key(deposit)?)?,
            (2, Value::Bytes(bytes)) => fee = decode_fee("sweep tx fee", bytes)?,
            (3, Value::Varint(block)) => push(&mut reveal_blocks, "reveal blocks", BlockNumber(block))?,
            (3, Value::Bytes(blocks)) => {
                for block in packed(NAME, blocks) {
                    push(&mut reveal_blocks, "reveal blocks", BlockNumber(block?))?;
                }
            }
            _ => {}
        }
    }
    if outpoints.len() != reveal_blocks.len() {
        return Err(DecodeError::RevealBlockCount {
            deposits: outpoints.len(),
            reveal_blocks: reveal_blocks.len(),
        });
    }
    let deposits = outpoints.into_iter().zip(reveal_blocks);
    let deposits =
        deposits.map(|(outpoint, reveal_block)| RevealedDeposit { outpoint, reveal_block }).collect();
    Ok(DepositSweepProposal { deposits, fee })
}

fn deposit_key(bytes: &[u8]) -> Result<OutPoint, DecodeError> {
    let (mut hash, mut vout): (&[u8], _) = (&[], 0);
    for field in Fields::new("deposit", bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => hash = bytes,
            (2, Value::Varint(index)) => vout = uint32(index),
            _ => {}
        }
    }
    Ok(OutPoint { txid: Txid::from_byte_array(exactly("funding tx hash", hash)?), vout })
}

fn redemption(payload: &[u8]) -> Result<RedemptionProposal, DecodeError> {
    let (mut scripts, mut fee) = (Vec::new(), Amount::ZERO);
    for field in Fields::new("redemption proposal", payload) {
        match field? {
            (1, Value::Bytes(script)) => {
                cap("output script", script, MAX_SCRIPT_BYTES)?;
                push(&mut scripts, "output scripts", ScriptBuf::from_bytes(script.to_vec()))?;
            }
            (2, Value::Bytes(bytes)) => fee = decode_fee("redemption tx fee", bytes)?,
            _ => {}
        }
    }
    Ok(RedemptionProposal { scripts, fee })
}

fn moving_funds(payload: &[u8]) -> Result<MovingFundsProposal, DecodeError> {
    let (mut targets, mut fee) = (Vec::new(), Amount::ZERO);
    for field in Fields::new("moving funds proposal", payload) {
        match field? {
            (1, Value::Bytes(target)) => {
                push(&mut targets, "target wallets", KeyHash(exactly("target wallet", target)?))?;
            }
            (2, Value::Bytes(bytes)) => fee = decode_fee("moving funds tx fee", bytes)?,
            _ => {}
        }
    }
    Ok(MovingFundsProposal { targets, fee })
}

fn moved_funds_sweep(payload: &[u8]) -> Result<MovedFundsSweepProposal, DecodeError> {
    let (mut hash, mut vout, mut fee): (&[u8], _, _) = (&[], 0, Amount::ZERO);
    for field in Fields::new("moved funds sweep proposal", payload) {
        match field? {
            (1, Value::Bytes(bytes)) => hash = bytes,
            (2, Value::Varint(index)) => vout = uint32(index),
            (3, Value::Bytes(bytes)) => fee = decode_fee("sweep tx fee", bytes)?,
            _ => {}
        }
    }
    let txid = Txid::from_byte_array(exactly("moving funds tx hash", hash)?);
    Ok(MovedFundsSweepProposal { outpoint: OutPoint { txid, vout }, fee })
}

fn encode_outpoint(outpoint: &OutPoint) -> Vec<u8> {
    let mut out = Vec::new();
    encode::bytes(&mut out, 1, &outpoint.txid.to_byte_array());
    encode::uint(&mut out, 2, u64::from(outpoint.vout));
    out
}

fn decode_fee(field: &'static str, bytes: &[u8]) -> Result<Amount, DecodeError> {
    cap(field, bytes, MAX_FEE_BYTES)?;
    Ok(Amount::from_sat(bytes.iter().fold(0, |fee, byte| fee << 8 | u64::from(*byte))))
}

fn encode_fee(out: &mut Vec<u8>, number: u64, fee: Amount) {
    let zeros = (fee.to_sat().leading_zeros() / 8) as usize;
    encode::bytes(out, number, fee.to_sat().to_be_bytes().get(zeros..).unwrap_or_default());
}
