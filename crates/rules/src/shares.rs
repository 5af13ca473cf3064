//! Who bears how much of a transaction's fee.

use bitcoin::Amount;

/// The largest share of a sweep's fee: deposits bear equal shares, and one of them what doesn't divide. None without
/// deposits.
pub(crate) fn largest_deposit_share(fee: Amount, deposits: usize) -> Option<Amount> {
    redemption_share(fee, deposits, deposits.checked_sub(1)?)
}

/// What request `index` of `requests` bears of a redemption's fee: equal shares, and the last one what doesn't
/// divide too. None for an index out of range.
pub fn redemption_share(fee: Amount, requests: usize, index: usize) -> Option<Amount> {
    let last = requests.checked_sub(1)?;
    let count = u64::try_from(requests).ok()?;
    let (share, remainder) = (fee.to_sat() / count, fee.to_sat() % count);
    match index.cmp(&last) {
        std::cmp::Ordering::Less => Some(Amount::from_sat(share)),
        std::cmp::Ordering::Equal => share.checked_add(remainder).map(Amount::from_sat),
        std::cmp::Ordering::Greater => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn sat(amount: u64) -> Amount {
        Amount::from_sat(amount)
    }

    #[test]
    fn the_last_request_bears_the_remainder_and_so_does_one_deposit() {
        let shares: Vec<_> = (0..4).map(|index| redemption_share(sat(11), 3, index)).collect();
        assert_eq!(shares, [Some(sat(3)), Some(sat(3)), Some(sat(5)), None]);
        assert_eq!(largest_deposit_share(sat(11), 3), Some(sat(5)));
        assert_eq!(largest_deposit_share(sat(11), 0), None);
        assert_eq!(largest_deposit_share(Amount::MAX, 1), Some(Amount::MAX));
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_fee(fee: u64, requests in 1_usize..100) {
            let shares = (0..requests).map(|index| redemption_share(sat(fee), requests, index).unwrap());
            prop_assert_eq!(shares.map(Amount::to_sat).sum::<u64>(), fee);
        }
    }
}
