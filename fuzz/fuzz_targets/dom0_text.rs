//! What dom0 reads of its own files and of what people type. The first byte chooses which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_core::freshness::Anchor;
use nacre_core::keys::Secret;
use nacre_core::object_name::ObjectName;
use nacre_core::retention::Thinning;
use nacre_core::session_name::SessionName;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    if kind % 6 == 0 {
        if let Ok(anchor) = Anchor::parse(bytes) {
            assert_eq!(anchor.encode(), bytes);
        }
        return;
    }
    if kind % 6 == 1 {
        if let Ok(secret) = Secret::from_key_file(bytes) {
            let code = secret.to_recovery_code();
            let again = Secret::from_recovery_code(&code).expect("a code that was just made");
            assert_eq!(*again.to_key_file(), *secret.to_key_file());
        }
        return;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match kind % 6 {
        2 => {
            let _ = Secret::from_recovery_code(text);
        }
        3 => {
            if let Ok(name) = text.parse::<SessionName>() {
                assert_eq!(name.to_string(), text);
                assert!(name.plus_one_second() > name || name.date().0 == 9999);
            }
        }
        4 => {
            let _ = text.parse::<Thinning>();
        }
        _ => {
            if let Some(name) = ObjectName::parse(text) {
                assert_eq!(name.to_string(), text);
            }
        }
    }
});
