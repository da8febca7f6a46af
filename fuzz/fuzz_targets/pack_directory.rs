//! The directory at the end of a pack.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_core::pack::Directory;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(directory) = Directory::parse(bytes) {
        assert_eq!(directory.encode(), bytes);
    }
});
