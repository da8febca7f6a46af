//! The first frame of either side.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_wire::limits::HEADER_LEN;
use nacre_wire::{FrameHeader, HelloReply, HelloRequest};

fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = bytes.first_chunk::<HEADER_LEN>()
        && let Ok(header) = FrameHeader::decode(header)
    {
        assert!(header.length <= header.kind.max_body());
    }
    if let Ok(hello) = HelloRequest::decode(bytes) {
        assert!(bytes.starts_with(&hello.encode().expect("what was read can be written")));
    }
    if let Ok(reply) = HelloReply::decode(bytes) {
        assert_eq!(HelloReply::decode(&reply.encode()), Ok(reply));
    }
});
