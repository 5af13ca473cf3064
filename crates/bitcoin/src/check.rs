//! What an endpoint says, held against what it must be.

use bitcoin::{Amount, FeeRate, Transaction, Txid, block::Header, consensus::encode};

/// The transaction of these bytes, when they are the one asked for.
pub(crate) fn transaction(hex: &str, txid: Txid) -> Result<Transaction, String> {
    let transaction: Transaction =
        encode::deserialize_hex(hex).map_err(|error| format!("not a transaction: {error}"))?;
    let actual = transaction.compute_txid();
    if actual == txid { Ok(transaction) } else { Err(format!("it is transaction {actual}, not {txid}")) }
}

/// The header of these bytes, when its hash meets the target that it names.
pub(crate) fn header(hex: &str) -> Result<Header, String> {
    let header: Header = encode::deserialize_hex(hex).map_err(|error| format!("not a header: {error}"))?;
    proven(&header)?;
    Ok(header)
}

/// The headers of these bytes, when each hash meets its target.
pub(crate) fn headers(hex: &str) -> Result<Vec<Header>, String> {
    const HEX_LENGTH: usize = 160;
    let mut headers = Vec::new();
    let mut rest = hex;
    while !rest.is_empty() {
        let (first, others) = rest.split_at_checked(HEX_LENGTH).ok_or("not a whole number of headers")?;
        headers.push(header(first)?);
        rest = others;
    }
    Ok(headers)
}

fn proven(header: &Header) -> Result<(), String> {
    header
        .validate_pow(header.target())
        .map(drop)
        .map_err(|error| format!("header {}: {error}", header.block_hash()))
}

/// That each header stands on the one before.
pub(crate) fn chained(headers: &[Header]) -> Result<(), String> {
    for (parent, child) in headers.iter().zip(headers.iter().skip(1)) {
        if child.prev_blockhash != parent.block_hash() {
            return Err(format!("block {} does not stand on {}", child.block_hash(), parent.block_hash()));
        }
    }
    Ok(())
}

/// A fee rate given in bitcoins per 1,000 virtual bytes, rounded up to a satoshi per 1,000 weight units. `None` for what isn't one, such as −1.
pub(crate) fn fee_rate(bitcoins: f64) -> Option<FeeRate> {
    const SATOSHIS: f64 = 1e8;
    const WEIGHT_PER_VIRTUAL_BYTE: u64 = 4;
    // Some nodes give more digits than a satoshi has.
    let per_thousand = Amount::from_btc((bitcoins * SATOSHIS).round() / SATOSHIS).ok()?;
    let rate = FeeRate::from_sat_per_kwu(per_thousand.to_sat().div_ceil(WEIGHT_PER_VIRTUAL_BYTE));
    (rate > FeeRate::ZERO).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fee_rates_are_rounded_up_and_never_negative() {
        for (bitcoins, expected) in [
            (0.00001, Some(250)),
            (0.00001001, Some(251)),
            (0.00001004, Some(251)),
            (0.00001005, Some(252)),
            (0.000_000_01, Some(1)),
            (0.000_010_000_000_1, Some(250)),
            (0.0, None),
            (-1.0, None),
            (f64::NAN, None),
            (1e300, None),
        ] {
            assert_eq!(fee_rate(bitcoins).map(FeeRate::to_sat_per_kwu), expected, "{bitcoins}");
        }
    }
}
