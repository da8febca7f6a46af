//! A whole conversation with the helper, after a proper hello. Its archive lies in a temporary folder and stays for the run.
#![no_main]

use std::io::Cursor;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use nacre_helper::{Options, serve};
use nacre_wire::{HelloRequest, Kind, Locator, encode_frame};

static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let place = PLACE.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
    let path = place.path().join("archive");
    let hello = HelloRequest {
        lowest: 1,
        highest: 1,
        create: true,
        locator: Locator::Directory {
            path: path.as_os_str().as_encoded_bytes().to_vec(),
        },
    };
    let hello = hello.encode().expect("a short path");
    let mut input = encode_frame(Kind::Hello, 1, &hello).expect("a short body");
    input.extend_from_slice(bytes);
    let options = Options {
        bases: vec![place.path().to_owned()],
        ..Options::default()
    };
    serve(Cursor::new(input), std::io::sink(), None, &options);
    let entries = std::fs::read_dir(place.path()).expect("the folder");
    assert_eq!(entries.count(), 1, "nothing beside the archive");
});
