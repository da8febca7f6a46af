//! Heads. The first byte chooses the body (even), which is read after opening, or the sealed object (odd).
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use nacre_core::entropy::Entropy;
use nacre_core::hash::HashType;
use nacre_core::head::{Head, HeadKeys};
use nacre_core::header::{NewHeader, Unlocked};
use nacre_core::ids::{ArchiveId, Epoch, OriginId};
use nacre_core::node::ChunkFormat;

struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// The published keys: the fuzzer cannot forge under them either.
static KEYS: LazyLock<Arc<HeadKeys>> = LazyLock::new(|| {
    let new = NewHeader {
        archive: ArchiveId([1; 16]),
        origin: OriginId([2; 16]),
        hash: HashType::Blake3,
        format: ChunkFormat::new(17).expect("a chunk size"),
        encrypted: false,
    };
    let header = Unlocked::create(&new, &[], &mut Zeros).expect("a header");
    header.keys().head_keys()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    if kind % 2 == 1 {
        assert!(KEYS.open(Epoch(1), bytes).is_err());
    } else if let Ok(head) = Head::parse(bytes) {
        assert_eq!(head.encode(), bytes);
        let object = KEYS.seal(&head, &mut Zeros).expect("small enough");
        assert_eq!(KEYS.open(head.epoch, &object), Ok(head));
    }
});
