//! Files of shares, mutated: nothing panics, nothing is allocated by a length that a file states, and nothing opens but what was
//! written. Runs for `COXSWAIN_FUZZ_SECONDS` (a second, unless told otherwise) from `COXSWAIN_FUZZ_SEED`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    crypt, format,
    tests::{CHEAP, passphrase, shares},
};

#[test]
fn files() {
    let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
    let length = Duration::from_secs(number("COXSWAIN_FUZZ_SECONDS").unwrap_or(1));
    let mut random = ChaCha8Rng::seed_from_u64(number("COXSWAIN_FUZZ_SEED").unwrap_or(1));
    let mut below =
        |bound: usize| usize::try_from(random.next_u64() % u64::try_from(bound.max(1)).unwrap()).unwrap();
    let path = Path::new("fuzzed");
    let good = crypt::seal(&shares(7), &passphrase(), CHEAP).unwrap();
    let started = Instant::now();
    let mut runs = 0_u64;
    let mut parsed = 0_u64;
    while !runs.is_multiple_of(64) || started.elapsed() < length {
        runs += 1;
        let mut bytes = good.clone();
        for _ in 0..=below(4) {
            match below(6) {
                0 => bytes.truncate(below(bytes.len() + 1)),
                1 => bytes.extend((0..below(40)).map(|_| 0xff)),
                2 if !bytes.is_empty() => {
                    let at = below(bytes.len());
                    bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)];
                }
                3 if !bytes.is_empty() => {
                    let (from, to) = (below(bytes.len()), below(bytes.len()));
                    bytes[to] = bytes[from];
                }
                4 if !bytes.is_empty() => {
                    let at = below(bytes.len().min(160));
                    bytes[at] ^= 1 << below(8);
                }
                _ if !bytes.is_empty() => {
                    let at = below(bytes.len());
                    bytes.remove(at);
                }
                _ => {}
            }
        }
        // Half of them with the right checksum, so that what is behind it is reached.
        if below(2) == 0 && bytes.len() > 32 {
            bytes.truncate(bytes.len() - 32);
            format::finish(&mut bytes);
        }
        if let Ok(parts) = format::parse(&bytes, path) {
            parsed += 1;
            assert!(format::check_info(&parts.header.info).is_ok());
            assert_eq!(parts.header.to_bytes(), parts.header_bytes, "one header, one encoding");
            // What would take long to try is tried by the tests.
            if parts.header.cost == CHEAP {
                let opened = crypt::open(&parts, &passphrase(), path).is_ok();
                assert_eq!(opened, bytes == good);
            }
        }
    }
    println!("{runs} inputs, {parsed} with a header and a checksum that hold");
}
