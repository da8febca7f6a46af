//! The zero test.

/// Whether every byte is zero. Compares blocks with themselves shifted by one, which the compiler turns into wide loads.
pub fn is_zero(bytes: &[u8]) -> bool {
    const LANES: usize = 64;
    let (blocks, rest) = bytes.as_chunks::<LANES>();
    // Most data differs early, so look at a few bytes before the whole.
    bytes.iter().take(LANES).all(|byte| *byte == 0)
        && rest.iter().all(|byte| *byte == 0)
        && blocks
            .chunks(16)
            .all(|group| group.iter().flatten().fold(0, |seen, byte| seen | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_is_seen() {
        for length in [0, 1, 63, 64, 65, 4096, 5000] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes));
            for place in [0, length / 2, length.saturating_sub(1)] {
                if place < length {
                    bytes[place] = 1;
                    assert!(!is_zero(&bytes), "{length} {place}");
                    bytes[place] = 0;
                }
            }
        }
    }
}
