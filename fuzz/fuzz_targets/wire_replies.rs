//! What dom0 reads: the first byte is the kind, the rest the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_wire::{ErrorCode, Kind, Reply};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    if let Ok(reply) = Reply::decode(Kind::from_byte(*kind), body) {
        assert_eq!(reply.kind().to_byte(), *kind);
        // An error code of a later version is read as the general one.
        if !matches!(reply, Reply::Error(ErrorCode::Io, _)) {
            assert_eq!(reply.encode_body(), body);
        }
    }
});
