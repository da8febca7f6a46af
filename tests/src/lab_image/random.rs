//! Numbers that look random and are the same for ever: tests and figures must be repeatable by seed.

/// xoshiro256** (Blackman and Vigna, <https://prng.di.unimi.it>): fast, small, and not for secrets.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A stream that depends on the seed and on what it is for.
    pub fn new(seed: u64, purpose: &str) -> Self {
        // FNV-1a of the purpose, then splitmix64 to fill the state.
        let mut mixed = purpose
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let state = std::array::from_fn(|_| {
            mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        b.wrapping_mul(5).rotate_left(7).wrapping_mul(9)
    }

    /// A number from 0 to `bound` - 1 (0 if `bound` is 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the multiplication is under 2^-30 for the bounds used here.
        let wide = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// An index below `length`.
    pub fn index(&mut self, length: usize) -> usize {
        super::index(self.below(length as u64))
    }

    /// One of the choices; there must be one.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// Fills the buffer with bytes that do not compress.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            let bytes = self.bits().to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_stream_depends_on_seed_and_purpose_only() {
        let first = |seed, purpose| Random::new(seed, purpose).bits();
        assert_eq!(first(1, "logs"), first(1, "logs"));
        assert_ne!(first(1, "logs"), first(2, "logs"));
        assert_ne!(first(1, "logs"), first(1, "mail"));
    }

    #[test]
    fn the_stream_is_xoshiro256starstar() {
        // Reference: the authors' C code with state 1, 2, 3, 4.
        let mut random = Random {
            state: [1, 2, 3, 4],
        };
        assert_eq!(
            [random.bits(), random.bits(), random.bits()],
            [11520, 0, 1_509_978_240]
        );
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut random = Random::new(3, "below");
        let drawn: Vec<u64> = (0..1000).map(|_| random.below(7)).collect();
        assert_eq!(
            (drawn.iter().min(), drawn.iter().max()),
            (Some(&0), Some(&6))
        );
    }
}
