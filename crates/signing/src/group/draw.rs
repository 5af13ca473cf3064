//! Whose turn it is: one permutation of the wallet's operators for each window, and from it the conveners of each attempt.

use alloy_primitives::Address;
use coxswain_protocol::{Seat, Seed, SigningGroup};
use coxswain_rules::KeyHash;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::hash::Hasher;

/// How many operators may convene an attempt, in the order of their rank.
pub const RANKS: usize = 3;

/// The draw of a window. It doesn't depend on the action, which its leader could try out until a draw suits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    operators: Vec<Address>,
    seats: Vec<Seat>,
}

impl Draw {
    /// Draws: the operators, then the seats.
    pub fn new(seed: Seed, wallet: KeyHash, group: &SigningGroup) -> Self {
        let key = Hasher::new("coxswain/signing/1/draw").fixed(&seed.0.0).fixed(&wallet.0).finish();
        let mut stream = ChaCha20Rng::from_seed(key.0);
        let mut operators = group.operators().to_vec();
        operators.sort_unstable();
        shuffle(&mut stream, &mut operators);
        let count = u64::try_from(group.holders().len()).expect("it is at most 255");
        let mut seats: Vec<Seat> = (1..=count).filter_map(|number| Seat::try_from(number).ok()).collect();
        shuffle(&mut stream, &mut seats);
        Self { operators, seats }
    }

    /// The operators, as drawn.
    pub fn operators(&self) -> &[Address] {
        &self.operators
    }

    /// The seats, as drawn.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Who convenes an attempt, counted from 1: the highest rank first. Fewer than three if the group has fewer operators.
    pub fn conveners(&self, attempt: u8) -> Vec<Address> {
        let first = usize::from(attempt.saturating_sub(1));
        let count = self.operators.len().min(RANKS);
        self.operators.iter().cycle().skip(first % self.operators.len().max(1)).take(count).copied().collect()
    }
}

/// Fisher and Yates, from the end.
fn shuffle<T>(stream: &mut ChaCha20Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let bound = u64::try_from(last + 1).expect("there are at most 255");
        items.swap(last, usize::try_from(below(stream, bound)).expect("it is below 256"));
    }
}

/// A number below the bound, each as likely as the next.
fn below(stream: &mut ChaCha20Rng, bound: u64) -> u64 {
    // What is above the last multiple of the bound would favour the small ones.
    let most = u64::MAX - u64::MAX % bound;
    loop {
        let number = stream.next_u64();
        if number < most {
            return number % bound;
        }
    }
}
