//! Go's `math/rand` generator, draw for draw: all members must draw what the Go client draws.

mod cooked;

use cooked::COOKED;

const LENGTH: usize = 607;
const TAP: usize = 273;
const MODULUS: i64 = (1 << 31) - 1;

/// The generator behind Go's `rand.New(rand.NewSource(seed))`: additive lagged Fibonacci on 64-bit words.
#[derive(Clone)]
pub struct GoRand {
    words: [u64; LENGTH],
    tap: usize,
    feed: usize,
}

impl GoRand {
    /// Seeds a generator.
    pub fn new(seed: i64) -> Self {
        let mut x = match seed.rem_euclid(MODULUS) {
            0 => 89_482_311,
            x => x,
        };
        let mut step = || {
            x = 48_271 * x % MODULUS;
            x
        };
        for _ in 0..20 {
            step();
        }
        let words = COOKED.map(|cooked| {
            let word = (step() << 40) ^ (step() << 20) ^ step() ^ cooked;
            word.cast_unsigned()
        });
        Self { words, tap: 0, feed: LENGTH - TAP }
    }

    #[expect(clippy::indexing_slicing, reason = "both positions stay below LENGTH")]
    fn draw(&mut self) -> u64 {
        let down = |at: usize| at.checked_sub(1).unwrap_or(LENGTH - 1);
        (self.tap, self.feed) = (down(self.tap), down(self.feed));
        self.words[self.feed] = self.words[self.feed].wrapping_add(self.words[self.tap]);
        self.words[self.feed]
    }

    /// Go's `Int63`: the low 63 bits of a draw.
    pub fn int63(&mut self) -> u64 {
        self.draw() & (u64::MAX >> 1)
    }

    /// Go's `Uint32`: the high 32 of those bits.
    #[expect(clippy::cast_possible_truncation, reason = "63 bits less 31 are 32")]
    pub fn uint32(&mut self) -> u32 {
        (self.int63() >> 31) as u32
    }

    /// Go's `Float64`: uniform in [0, 1).
    pub fn float64(&mut self) -> f64 {
        loop {
            // Rounds to nearest, as Go's conversion does; dividing by a power of two is exact.
            let float = self.int63() as f64 / (1_u64 << 63) as f64;
            if float < 1.0 {
                return float;
            }
        }
    }

    /// A number below `bound`, by Go's `int31n`: the high half of a 64-bit product, drawn again where that is biased.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a product are meant")]
    fn below(&mut self, bound: u32) -> u32 {
        let mut product = u64::from(self.uint32()) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = u64::from(self.uint32()) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// Go's `Shuffle`, of fewer than 2³¹ items.
    #[expect(clippy::cast_possible_truncation, reason = "operators are counted by the hundred")]
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
}
