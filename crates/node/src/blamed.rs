//! Whom the last windows blame, or raise an alarm about: an entry of the status for each operator.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use coxswain_protocol::{Alarm, WindowResult};
use coxswain_service::status::Condition;

/// How many of a wallet's windows are looked at.
pub(crate) const WINDOWS: usize = 10;

const REMEDY: &str = "tell the operator: coxswain faults shows the evidence";

/// What is said of each operator whom these windows blame, or raise an alarm about; the newest comes first.
pub(crate) fn blamed<'a>(
    windows: impl IntoIterator<Item = &'a WindowResult>,
) -> BTreeMap<Address, Condition> {
    let mut said = BTreeMap::<Address, (String, u32)>::new();
    for result in windows {
        let (window, wallet) = (result.window.index(), result.wallet);
        let mut say = |operator, what: String| {
            let newest = || (format!("{what}, window {window} of wallet {wallet}"), 0);
            let (_, times) = said.entry(operator).or_insert_with(newest);
            *times = times.saturating_add(1);
        };
        for fault in &result.faults {
            say(fault.culprit, fault.kind.to_string());
        }
        for alarm in &result.alarms {
            match alarm {
                Alarm::Failures { leader, of_last_five } => {
                    say(*leader, format!("{of_last_five} of its last five windows came to nothing"));
                }
                Alarm::HashRule { authors } => {
                    for author in authors {
                        say(*author, "hashes the safe block by the other rule".to_owned());
                    }
                }
            }
        }
    }
    let entry = |(operator, (newest, times))| {
        let says = format!("{newest}; {times} in the last {WINDOWS} windows");
        (operator, Condition::warning(says, REMEDY))
    };
    said.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use coxswain_protocol::{Agreement, Fault, FaultKind, Mistake, Window, WindowParameters};
    use coxswain_rules::KeyHash;

    use super::*;

    const WALLET: KeyHash = KeyHash([7; 20]);

    fn window(index: u64, culprits: &[u8], alarms: Vec<Alarm>) -> WindowResult {
        let window = Window::numbered(&WindowParameters::LOCAL, index).unwrap();
        let fault = |&culprit| Fault {
            wallet: WALLET,
            window,
            culprit: Address::repeat_byte(culprit),
            kind: FaultKind::LeaderMistake(Mistake::NoSuchAction(9)),
            signed: None,
        };
        WindowResult {
            wallet: WALLET,
            window,
            basis: None,
            agreement: Agreement::NoOp,
            faults: culprits.iter().map(fault).collect(),
            notes: Vec::new(),
            alarms,
        }
    }

    #[test]
    fn an_operator_is_named_with_the_newest_that_is_said_of_it_and_how_often() {
        let failing = Alarm::Failures { leader: Address::repeat_byte(2), of_last_five: 3 };
        let other = Alarm::HashRule { authors: vec![Address::repeat_byte(3), Address::repeat_byte(1)] };
        let windows = [window(9, &[1], vec![failing]), window(8, &[1], vec![]), window(7, &[], vec![other])];
        let said = blamed(&windows);
        let of = |operator| said.get(&Address::repeat_byte(operator)).cloned();
        let warning = |says: &str| {
            let says = says.replace("WALLET", &WALLET.to_string());
            Some(Condition::warning(says, REMEDY))
        };
        assert_eq!(
            of(1),
            warning(
                "leader mistake: there is no action 9, window 9 of wallet WALLET; 3 in the last 10 windows"
            )
        );
        let came_to =
            "3 of its last five windows came to nothing, window 9 of wallet WALLET; 1 in the last 10 windows";
        assert_eq!(of(2), warning(came_to));
        let hashes =
            "hashes the safe block by the other rule, window 7 of wallet WALLET; 1 in the last 10 windows";
        assert_eq!(of(3), warning(hashes));
        assert_eq!(said.len(), 3);
    }
}
