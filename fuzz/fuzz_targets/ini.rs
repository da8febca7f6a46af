//! What dom0 reads of its ini, and of the targets and other values that stand there.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nacre::cli::{RetentionWish, SessionSelector, Target};
use nacre::config::read;

fuzz_target!(|bytes: &[u8]| {
    let Ok(sections) = read(Path::new("nacre.ini"), bytes) else {
        return;
    };
    for section in &sections {
        assert!(!section.name.contains('\n'));
        for entry in &section.entries {
            assert!(entry.line > section.line && !entry.values.is_empty());
            for value in &entry.values {
                let _ = value.parse::<Target>();
                let _ = value.parse::<SessionSelector>();
                let _ = value.parse::<RetentionWish>();
            }
        }
    }
});
