//! A node of an index tree. The first byte chooses the chunk size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_core::node::{ChunkFormat, Node};

fuzz_target!(|bytes: &[u8]| {
    let Some((bits, bytes)) = bytes.split_first() else {
        return;
    };
    let format = ChunkFormat::new(16 + bits % 6).expect("from 16 to 21");
    if let Ok(node) = Node::parse(format, bytes) {
        assert_eq!(node.encode(), bytes);
    }
});
