//! What the helper reads: the first byte is the kind, the rest the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_wire::{Kind, Request};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    if let Ok(Some(request)) = Request::decode(Kind::from_byte(*kind), body) {
        assert_eq!(request.kind().to_byte(), *kind);
        assert_eq!(request.encode_body(), body);
    }
});
