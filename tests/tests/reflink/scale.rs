//! The cost of a comparison: a large volume in very many pieces.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use nacre::joints::Ranges;

use super::{BLOCK, on_both_of, ranges};

/// Pieces of the volume; as many thousand as `NACRE_PIECES` says, if it is set.
const PIECES: u64 = 10;

/// What this process holds in memory, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

#[test]
fn a_terabyte_in_many_pieces_is_compared_in_bounded_memory() {
    let pieces = std::env::var("NACRE_PIECES").ok();
    let pieces = pieces.and_then(|pieces| pieces.parse().ok());
    let pieces = pieces.unwrap_or(PIECES) * 1000;
    on_both_of(
        512 + pieces / 150,
        "a_terabyte_in_many_pieces_is_compared_in_bounded_memory",
        |desk| {
            let file = desk.image("v.img");
            file.set_len(1 << 40).unwrap();
            // Every other block, so that no two pieces are one; far apart in the file.
            let apart = (1_u64 << 40) / pieces / BLOCK * BLOCK;
            for piece in 0..pieces {
                file.write_all_at(&[piece as u8 | 1; 512], piece * apart)
                    .unwrap();
            }
            file.sync_all().unwrap();
            let first = desk.session("v.img");
            let mut wanted = Ranges::new();
            for piece in (0..pieces).step_by(1000) {
                file.write_all_at(&[0xee; 512], piece * apart).unwrap();
                wanted = wanted.union(&Ranges::one(piece * apart, piece * apart + BLOCK));
            }
            let frozen = desk.freeze("v.img");
            let (before, began) = (memory(), Instant::now());
            let found = ranges(frozen.changes_since(&first).unwrap());
            let (took, grew) = (began.elapsed(), memory().saturating_sub(before));
            println!("{pieces} pieces: {took:?}, {grew} KiB");
            assert_eq!(found, wanted);
            assert!(grew < 32 << 10, "{grew} KiB");
        },
    );
}
