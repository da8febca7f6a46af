//! Words with the frequencies of a language, for text that compresses as text does.

use super::Random;

const SYLLABLES: [&str; 32] = [
    "an", "ber", "con", "da", "el", "fo", "ger", "hin", "in", "jo", "ka", "lo", "men", "ne", "or",
    "per", "qua", "re", "sti", "tion", "un", "ver", "wal", "xi", "ya", "zu", "th", "ing", "ed",
    "ly", "er", "s",
];

/// A made-up vocabulary, the most frequent words first.
pub struct Words {
    words: Vec<String>,
}

impl Words {
    /// The vocabulary of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "vocabulary");
        let word = |_| {
            let count = 1 + random.index(4);
            (0..count).map(|_| random.pick(&SYLLABLES)).collect()
        };
        Self {
            words: (0..6000).map(word).collect(),
        }
    }

    /// A word; frequent ones come often, as in a language.
    pub fn word(&self, random: &mut Random) -> &str {
        // The product of two even draws leans to the small as word frequencies do.
        let bound = self.words.len() as u64;
        let rank = random.below(bound) * random.below(bound) / bound;
        &self.words[super::index(rank)]
    }

    /// Appends text of `length` bytes or a little more.
    pub fn write(&self, random: &mut Random, length: usize, out: &mut Vec<u8>) {
        let end = out.len() + length;
        let mut column = 0;
        while out.len() < end {
            let word = self.word(random);
            out.extend_from_slice(word.as_bytes());
            column += word.len() + 1;
            out.push(if column > 72 { b'\n' } else { b' ' });
            if column > 72 {
                column = 0;
            }
        }
    }
}
