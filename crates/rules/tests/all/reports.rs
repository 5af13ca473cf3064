//! What is true of every report, whatever the proposal and the state.

#![allow(clippy::indexing_slicing, reason = "only tests here")]

use crate::common::{World, changes::changed_world};
use alloy_primitives::U256;
use coxswain_rules::{Finding, RuleId, RuleReport, Ruling, evaluate};
use proptest::prelude::*;

fn check(report: &RuleReport, world: &World) -> Result<(), TestCaseError> {
    let action = world.case.action();
    let findings = report.findings();
    let mut broken: Vec<&Finding> = Vec::new();
    for finding in findings {
        match &finding.outcome {
            Ruling::Holds => {}
            Ruling::NotEvaluable(needs) => {
                // A value that is lacking is the item's own, the first deposit's, or the whole proposal's.
                prop_assert!(broken.iter().any(|earlier| earlier.rule == *needs
                    && (earlier.item == finding.item || earlier.item.is_none_or(|item| item == 0))));
                prop_assert_eq!((finding.actual, finding.bound), (None, None));
            }
            Ruling::Broken(reason) => {
                prop_assert_eq!(reason.rule(action), Some(finding.rule));
                prop_assert_eq!(reason.item(), finding.item.map(U256::from));
                if let Some(actual) = reason.actual() {
                    prop_assert_eq!(finding.actual, Some(actual));
                }
                if let Some(bound) = reason.bound() {
                    prop_assert_eq!(finding.bound, Some(bound));
                }
                broken.push(finding);
            }
        }
    }
    let first = report.first();
    prop_assert_eq!(first.as_ref().and_then(|first| first.rule), broken.first().map(|finding| finding.rule));
    prop_assert_eq!(first.is_none(), findings.iter().all(|finding| finding.outcome == Ruling::Holds));

    // The contract's order, and every rule once per item.
    let order: Vec<_> = findings.iter().map(|finding| (finding.item, finding.rule)).collect();
    prop_assert!(order.is_sorted() && order.windows(2).all(|pair| pair[0] != pair[1]));
    let rules = RuleId::ALL.iter().filter(|rule| rule.action() == action);
    for rule in rules {
        prop_assert!(findings.iter().any(|finding| finding.rule == *rule));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn every_report_is_complete_ordered_and_explains_itself(world in changed_world()) {
        let report = evaluate(&world.case, &world.snapshot).expect("nothing was taken from the snapshot");
        check(&report, &world)?;
    }
}
