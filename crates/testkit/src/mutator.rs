//! Mutates what is good, again and again, for tests of what reads strangers' bytes: for `COXSWAIN_FUZZ_SECONDS` (a second,
//! unless told otherwise) from `COXSWAIN_FUZZ_SEED`.

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
/// Bytes at the ends of what numbers can be.
const EDGES: [u8; 5] = [0, 1, 0x7f, 0x80, 0xff];
/// How much is repeated at most.
const REPEATED: usize = 160;

/// The inputs, one after the other.
#[derive(Debug)]
pub struct Mutator {
    random: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
    start: Instant,
    length: Duration,
    runs: u64,
}

impl Mutator {
    /// From these good inputs.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(corpus: Vec<Vec<u8>>) -> Self {
        let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
        let length = Duration::from_secs(number("COXSWAIN_FUZZ_SECONDS").unwrap_or(1));
        let random = ChaCha8Rng::seed_from_u64(number("COXSWAIN_FUZZ_SEED").unwrap_or(1));
        assert!(!corpus.is_empty(), "there is a corpus");
        Self { random, corpus, start: Instant::now(), length, runs: 0 }
    }

    /// A number under this bound; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.random.next_u64() % bound).unwrap_or_default()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let at = self.below(all.len());
        all.get(at).copied()
    }

    /// The next input; `None` when the time is over.
    pub fn next_input(&mut self) -> Option<Vec<u8>> {
        let elapsed = self.start.elapsed();
        if self.runs.is_multiple_of(64) && elapsed >= self.length {
            println!("{} inputs, {} a second", self.runs, self.runs / elapsed.as_secs().max(1));
            return None;
        }
        self.runs += 1;
        let chosen = self.below(self.corpus.len());
        let mut input = self.corpus.get(chosen)?.clone();
        for _ in 0..self.below(5) {
            let at = self.below(input.len() + 1);
            match self.below(8) {
                0 => {
                    let bit = self.below(8);
                    input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
                }
                1 => {
                    let edge = self.one_of(&EDGES)?;
                    input.get_mut(at).into_iter().for_each(|byte| *byte = edge);
                }
                2 => input.truncate(at),
                3 => {
                    let [byte, ..] = self.random.next_u32().to_le_bytes();
                    input.insert(at, byte);
                }
                4 => {
                    let other = self.below(self.corpus.len());
                    let from = self.below(self.corpus.get(other)?.len());
                    input.truncate(at);
                    input.extend_from_slice(self.corpus.get(other)?.get(from..)?);
                }
                5 if at < input.len() => drop(input.remove(at)),
                6 => {
                    let piece = self.one_of(&PIECES)?;
                    input.splice(at..at, piece.bytes());
                }
                _ => {
                    let piece: Vec<u8> = input.iter().skip(at).take(REPEATED).copied().collect();
                    input.extend(piece);
                }
            }
        }
        Some(input)
    }
}
