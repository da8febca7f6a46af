//! What dom0 reads of its own links between snapshots. The hash at the end of a file is put right, so that what lies before is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre::source::check_links_file;
use nacre_core::ids::HeaderHash;

fuzz_target!(|bytes: &[u8]| {
    let _ = check_links_file("v", bytes);
    let mut file = bytes.to_vec();
    let hash = HeaderHash::of(&file);
    file.extend_from_slice(&hash.0);
    let _ = check_links_file("v", &file);
});
