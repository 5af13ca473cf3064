//! Logs, mutated: nothing panics, and what is read are events in the blocks that were asked for, in order and each once. The
//! corpus is what the real Bridge has emitted, a line for each kind of event.

use alloy::rpc::types::Log;
use coxswain_rules::units::BlockNumber;
use coxswain_testkit::Mutator;

use super::{
    BridgeEvent,
    event::{decode, in_order},
};

#[test]
fn logs() {
    let corpus: Vec<_> = include_str!("../../vectors/fuzz/logs.txt").lines().collect();
    let recorded: Vec<Log> =
        corpus.iter().flat_map(|line| serde_json::from_str::<Vec<Log>>(line).unwrap()).collect();
    let bridge = recorded.first().unwrap().address();
    let numbers = || recorded.iter().filter_map(|log| log.block_number.map(BlockNumber));
    let blocks = numbers().min().unwrap()..=numbers().max().unwrap();
    let whole = decode(bridge, in_order(bridge, recorded.clone(), &blocks).unwrap()).unwrap();
    assert_eq!(whole.len(), 8, "one of each kind");

    let mut mutator = Mutator::new(corpus.iter().map(|line| line.as_bytes().to_vec()).collect());
    let (mut read, mut changed) = (0_u64, 0_u64);
    while let Some(input) = mutator.next_input() {
        let Ok(logs) = serde_json::from_slice::<Vec<Log>>(&input) else { continue };
        let events = in_order(bridge, logs, &blocks).and_then(|logs| {
            assert!(logs.keys().all(|at| blocks.contains(&at.block)));
            let count = logs.len();
            let events = decode(bridge, logs)?;
            assert!(events.len() <= count);
            Ok(events)
        });
        match events {
            Ok(events) => {
                assert!(events.iter().map(BridgeEvent::at).is_sorted_by(|one, next| one < next));
                read += 1;
                changed += u64::from(!events.is_empty() && events.iter().any(|event| !whole.contains(event)));
            }
            Err(error) => {
                let shown = error.to_string();
                assert!(shown.chars().count() < 1_000 && !shown.chars().any(char::is_control), "{shown}");
            }
        }
    }
    println!("{read} of them were read, {changed} as other events");
    assert!(read > 0);
}
