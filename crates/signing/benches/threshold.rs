//! What one seat spends on signatures of its group: processor time, bytes sent, memory. All seats in one process, one after
//! another, so that the time is the processor's and nothing waits. Prints one line a group.

#![allow(clippy::unwrap_used, reason = "a measurement may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{Address, B256};
use bitcoin::secp256k1::Message;
use coxswain_protocol::{Seat, SigningGroup};
use coxswain_signing::{
    TestChain,
    threshold::{Outgoing, Round1, SeatKey, Setup, deal, seat_keys},
};
use rustix::time::{ClockId, clock_gettime};

/// The threshold, the seats, and how many inputs at most are signed at once.
const GROUPS: [(u8, u8, usize); 4] = [(3, 5, 21), (6, 10, 21), (11, 20, 21), (51, 100, 1)];

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// The most memory that the process has had, in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// What each seat is to get.
fn inboxes(out: BTreeMap<Seat, Outgoing>, bytes: &mut usize) -> BTreeMap<Seat, BTreeMap<Seat, Vec<u8>>> {
    let mut inboxes: BTreeMap<Seat, BTreeMap<Seat, Vec<u8>>> = BTreeMap::new();
    for (from, messages) in out {
        for (to, message) in messages {
            *bytes += message.len();
            inboxes.entry(to).or_default().insert(from, message);
        }
    }
    inboxes
}

fn sign(keys: &[Arc<SeatKey>], setup: &Setup) -> (Duration, usize) {
    let begun = cpu();
    let mut bytes = 0;
    let mut out = BTreeMap::new();
    let mut one = Vec::new();
    for key in keys {
        let (state, sent) =
            Round1::begin(key.clone(), setup, 0..setup.digests.len(), &BTreeSet::new()).ok().unwrap();
        one.push((key.seat(), state));
        out.insert(key.seat(), sent);
    }
    let mut received = inboxes(std::mem::take(&mut out), &mut bytes);
    let mut two = Vec::new();
    for (seat, state) in one {
        let (state, sent) = state.finish(&received.remove(&seat).unwrap()).ok().unwrap();
        two.push((seat, state));
        out.insert(seat, sent);
    }
    let mut received = inboxes(std::mem::take(&mut out), &mut bytes);
    let mut three = Vec::new();
    for (seat, state) in two {
        let state = state.finish(&received.remove(&seat).unwrap()).ok().unwrap();
        out.insert(seat, state.messages());
        three.push((seat, state));
    }
    let mut received = inboxes(out, &mut bytes);
    for (seat, state) in three {
        let signatures = state.finish(&received.remove(&seat).unwrap()).ok().unwrap();
        assert_eq!(signatures.len(), setup.digests.len());
    }
    (cpu() - begun, bytes)
}

fn main() {
    println!("group      inputs   CPU a seat    sent a seat   peak memory of all seats");
    for (threshold, seats, most) in GROUPS {
        let group = SigningGroup::new((1..=seats).map(Address::repeat_byte).collect()).unwrap();
        let chain = TestChain::new(31337, &[]).unwrap();
        let files = deal(chain, &group, threshold).unwrap();
        let keys: Vec<Arc<SeatKey>> = files
            .values()
            .take(usize::from(threshold))
            .flat_map(|shares| seat_keys(shares).unwrap())
            .map(Arc::new)
            .collect();
        drop(files);
        for inputs in BTreeSet::from([1, most]) {
            let digests = (1..=u8::try_from(inputs).unwrap()).map(|input| Message::from_digest([input; 32]));
            let setup = Setup {
                context: B256::repeat_byte(1),
                seats: keys.iter().map(|key| key.seat()).collect(),
                digests: digests.collect(),
            };
            let (spent, bytes) = sign(&keys, &setup);
            let of_one = u32::from(threshold);
            println!(
                "{threshold:>3}-of-{seats:<4} {inputs:>5} {:>10.1} ms {:>11} KB {:>12} MiB",
                (spent / of_one).as_secs_f64() * 1000.0,
                bytes / usize::from(threshold) / 1000,
                peak(),
            );
        }
    }
}
