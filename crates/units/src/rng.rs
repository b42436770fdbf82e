//! A random stream: SplitMix64, eight bytes of state, the same on every machine.
//!
//! A match's decides serves, power-ups and the direction of a split; a bot has one of its own. It is no secret: whoever
//! knows the seed knows the stream, which is what replays need. Seeds themselves are drawn outside.
//!
//! Source: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.

/// The stream, as far as it has been drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// A stream from its beginning.
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The whole state, for [`Rng::from_seed`] to go on from.
    pub const fn state(self) -> u64 {
        self.0
    }

    /// Uniform in all of `u64`.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`. The high half of the product is off by less than n / 2^64, which no player will see.
    pub const fn below(&mut self, n: u32) -> u32 {
        ((self.next_u64() as u128 * n as u128) >> 64) as u32
    }

    /// Uniform in `low..high`, in steps of 2^-53 of the range.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
        low + (high - low) * unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_stream() {
        // The first numbers of SplitMix64 from seed 1234567, as its author's C code prints them.
        let mut rng = Rng::from_seed(1_234_567);
        let drawn = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn ranges_are_kept_and_filled() {
        let mut rng = Rng::from_seed(7);
        let mut counts = [0_u32; 3];
        for _ in 0..30_000 {
            counts[rng.below(3) as usize] += 1;
            let x = rng.between(150.0, 1770.0);
            assert!((150.0..1770.0).contains(&x), "{x}");
        }
        assert!(counts.iter().all(|c| (9_500..10_500).contains(c)), "{counts:?}");
    }
}
