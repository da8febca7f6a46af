//! The records of the trees, pack trailers and roots. The first byte chooses which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_core::bytes::{Reader, Writer};
use nacre_core::counters::Counters;
use nacre_core::pack::{PackRecord, Trailer};
use nacre_core::place::Root;
use nacre_core::session::Session;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let again = match kind % 5 {
        0 => PackRecord::parse(bytes).ok().map(|record| record.encode()),
        1 => Session::parse(bytes).ok().map(|record| record.encode()),
        2 => Counters::parse(bytes).ok().map(|record| record.encode()),
        3 => Trailer::parse(bytes)
            .ok()
            .map(|trailer| trailer.encode().to_vec()),
        _ => {
            let mut reader = Reader::new("root", bytes);
            let root = Root::parse(&mut reader).ok();
            root.filter(|_| reader.finish().is_ok()).map(|root| {
                let mut writer = Writer::new();
                root.encode(&mut writer);
                writer.into_bytes()
            })
        }
    };
    if let Some(again) = again {
        assert_eq!(again, bytes);
    }
});
