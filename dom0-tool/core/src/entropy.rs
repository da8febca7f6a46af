//! Randomness is handed in, so that the core stays reproducible in tests.

/// A source of bytes that nobody can predict: the kernel's in the program, a seeded one in tests.
pub trait Entropy: Send {
    /// Fills `buffer` whole. A source that cannot do so must not return.
    fn fill(&mut self, buffer: &mut [u8]);
}

/// Draws a fixed number of bytes.
pub fn draw<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
