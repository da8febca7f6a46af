//! What dom0 reads of a thin pool: its metadata, and what LVM and device-mapper report. The first byte chooses which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre::source::{check_lvm_metadata, check_lvm_reports};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    if kind % 2 == 0 {
        let _ = check_lvm_metadata(bytes);
    } else {
        check_lvm_reports(bytes);
    }
});
