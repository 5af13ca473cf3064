//! Mutates what is good, again and again, for `COXSWAIN_FUZZ_SECONDS` (a second, unless told otherwise) from
//! `COXSWAIN_FUZZ_SEED`.

use std::{
    env,
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// The inputs, one after the other.
pub(crate) struct Mutator {
    random: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
    start: Instant,
    until: Instant,
    runs: u64,
}

impl Mutator {
    pub(crate) fn new(corpus: Vec<Vec<u8>>) -> Self {
        let number = |name| env::var(name).ok().and_then(|number| number.parse().ok());
        let seconds = number("COXSWAIN_FUZZ_SECONDS").unwrap_or(1);
        let random = ChaCha8Rng::seed_from_u64(number("COXSWAIN_FUZZ_SEED").unwrap_or(1));
        assert!(!corpus.is_empty());
        let start = Instant::now();
        Self { random, corpus, start, until: start + Duration::from_secs(seconds), runs: 0 }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next_u64() % bound.max(1) as u64).unwrap()
    }

    /// The next input; `None` when the time is over.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        if self.runs.is_multiple_of(64) && Instant::now() >= self.until {
            let seconds = self.start.elapsed().as_secs().max(1);
            println!("{} inputs, {} a second", self.runs, self.runs / seconds);
            return None;
        }
        self.runs += 1;
        let at = self.below(self.corpus.len());
        let mut input = self.corpus[at].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            match self.below(7) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => input.truncate(at),
                3 => {
                    let byte = self.random.next_u32().to_le_bytes()[0];
                    input.insert(at, byte);
                }
                4 => {
                    let other = self.below(self.corpus.len());
                    let from = self.below(self.corpus[other].len());
                    let piece = self.corpus[other][from..].to_vec();
                    input.truncate(at);
                    input.extend_from_slice(&piece);
                }
                5 if at < input.len() => drop(input.remove(at)),
                _ => {
                    let piece = input[at..].to_vec();
                    input.extend_from_slice(&piece[..piece.len().min(64)]);
                }
            }
        }
        Some(input)
    }
}
