//! Damaged copies of good bytes, the same ones in every run: what each parser of foreign bytes is tried with.

/// `NACRE_ROUNDS` times as many rounds as usual.
pub(crate) fn rounds(usual: u64) -> u64 {
    let times = std::env::var("NACRE_ROUNDS").ok();
    usual * times.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Calls `check` with 100 000 mutations of the samples, or `NACRE_ROUNDS` times as many.
pub(crate) fn each_mutation(samples: &[Vec<u8>], mut check: impl FnMut(&[u8])) {
    let mut random = Random(0x6e61_6372);
    for _ in 0..rounds(100_000) {
        let mut bytes = samples[random.below(samples.len())].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut bytes, &mut random);
        }
        check(&bytes);
    }
}

/// With `NACRE_SEEDS` set to a folder, writes the samples there as seeds for a fuzz target, each behind the byte that the target takes
/// as its choice, if it takes one.
pub(crate) fn write_seeds(target: &str, choice: Option<u8>, samples: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("NACRE_SEEDS") else {
        return;
    };
    let folder = std::path::Path::new(&folder).join(target);
    std::fs::create_dir_all(&folder).unwrap();
    for (number, sample) in samples.iter().enumerate() {
        let seed = choice.iter().chain(sample).copied().collect::<Vec<u8>>();
        let kind = choice.unwrap_or(0);
        std::fs::write(folder.join(format!("{kind}-{number:02}")), seed).unwrap();
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(0);
    }
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => bytes[at] = random.next().to_le_bytes()[0],
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, random.next().to_le_bytes()[0]),
        4 => {
            bytes.remove(at);
        }
        _ => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)],
    }
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
