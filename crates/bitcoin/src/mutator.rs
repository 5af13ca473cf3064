//! Mutates what is good, again and again: for tests of what reads strangers' answers. Each target runs for
//! `COXSWAIN_FUZZ_SECONDS` (a second, unless told otherwise) from `COXSWAIN_FUZZ_SEED`.

use std::{
    env,
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// What JSON is made of, and numbers that are too large, or none.
const PIECES: [&str; 16] = [
    "null",
    "true",
    "-1",
    "1e400",
    "18446744073709551616",
    "4294967296",
    "\"\"",
    "[]",
    "{}",
    ",",
    ":",
    "\"id\"",
    "\"result\"",
    "\"error\"",
    "00",
    "ff",
];

pub(crate) struct Mutator {
    random: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
    started: Instant,
    length: Duration,
    runs: u64,
}

impl Mutator {
    pub(crate) fn new(corpus: Vec<Vec<u8>>) -> Self {
        let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
        let length = Duration::from_secs(number("COXSWAIN_FUZZ_SECONDS").unwrap_or(1));
        let random = ChaCha8Rng::seed_from_u64(number("COXSWAIN_FUZZ_SEED").unwrap_or(1));
        assert!(!corpus.is_empty(), "there is a corpus");
        Self { random, corpus, started: Instant::now(), length, runs: 0 }
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from(self.random.next_u64() % bound).unwrap()
    }

    /// The next input; `None` when the time is over.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let elapsed = self.started.elapsed();
        if self.runs.is_multiple_of(64) && elapsed >= self.length {
            println!("{} inputs, {:.0} a second", self.runs, self.runs as f64 / elapsed.as_secs_f64());
            return None;
        }
        self.runs += 1;
        let chosen = self.below(self.corpus.len());
        let mut input = self.corpus[chosen].clone();
        for _ in 0..self.below(5) {
            let at = self.below(input.len() + 1);
            match self.below(7) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => input.truncate(at),
                3 => {
                    let other = self.below(self.corpus.len());
                    let from = self.below(self.corpus[other].len());
                    let piece = self.corpus[other][from..].to_vec();
                    input.truncate(at);
                    input.extend_from_slice(&piece);
                }
                4 => {
                    let piece = input[at..].to_vec();
                    input.extend_from_slice(&piece[..piece.len().min(160)]);
                }
                _ => {
                    let piece = PIECES[self.below(PIECES.len())].as_bytes();
                    input.splice(at..at, piece.iter().copied());
                }
            }
        }
        Some(input)
    }
}
