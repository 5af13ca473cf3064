//! Fees, as pools count them.

use super::{Fees, Market};

const GWEI: u128 = 1_000_000_000;
const CAP: u128 = 500 * GWEI;

fn market(base: u128, tip: u128) -> Market {
    Market { base_fee: base * GWEI, tip: Some(tip * GWEI) }
}

#[test]
fn an_offer_bears_a_doubled_base_fee_up_to_the_cap() {
    assert_eq!(Fees::of(market(20, 2), CAP), Fees { tip: 2 * GWEI, max: 42 * GWEI });
    assert_eq!(Fees::of(market(249, 2), CAP).max, CAP);
    assert_eq!(Fees::of(market(300, 2), CAP), Fees { tip: 2 * GWEI, max: CAP });
    assert_eq!(Fees::of(market(0, 600), CAP), Fees { tip: CAP, max: CAP });
    let silent = Market { base_fee: 7, tip: None };
    assert_eq!(Fees::of(silent, CAP), Fees { tip: GWEI, max: 14 + GWEI });
    let free = Market { base_fee: 0, tip: Some(0) };
    assert_eq!(Fees::of(free, CAP), Fees { tip: 1, max: 1 });
}

#[test]
fn a_replacement_offers_what_pools_want_or_is_none() {
    let first = Fees::of(market(20, 2), CAP);
    let second = first.raised(market(20, 2), CAP).unwrap();
    assert_eq!(second, Fees { tip: 2_400_000_000, max: 47_250_000_000 });
    // The market may want more.
    let raised = first.raised(market(60, 5), CAP).unwrap();
    assert_eq!(raised, Fees { tip: 5 * GWEI, max: 125 * GWEI });
    // The last that can be replaced is a tenth under the cap.
    let [below, above] = [1, 0].map(|less| Fees { tip: GWEI, max: 454_545_454_545 + 1 - less });
    assert_eq!(below.raised(market(300, 1), CAP).map(|fees| fees.max), Some(CAP));
    assert_eq!(above.raised(market(300, 1), CAP), None);
    // Tiny ones rise, too.
    let tiny = Fees { tip: 1, max: 1 };
    assert_eq!(tiny.raised(Market { base_fee: 0, tip: Some(0) }, CAP), Some(Fees { tip: 2, max: 2 }));
}

#[test]
fn raised_again_and_again_an_offer_ends_at_the_cap() {
    let mut fees = Fees::of(market(20, 2), CAP);
    let mut times = 0;
    while let Some(raised) = fees.raised(market(20, 2), CAP) {
        assert!(
            raised.max * 10 >= fees.max * 11 && raised.tip * 10 >= fees.tip * 11,
            "{fees:?} to {raised:?}"
        );
        assert!(raised.max <= CAP && raised.tip <= raised.max);
        fees = raised;
        times += 1;
    }
    assert!((15..40).contains(&times), "{times} times");
}
