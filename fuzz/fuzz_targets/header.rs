//! Headers: what a hostile store says before any key is known, and what unlocking makes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_core::header::{Candidates, Credential, Header};
use nacre_core::keys::Secret;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::parse(bytes) else {
        return;
    };
    assert_eq!(header.bytes(), bytes);
    assert!(header.passphrase_memory() <= 1 << 30);
    let generation = header.description().generation;
    let line = format!("nacre-key-1:{}", "07".repeat(32));
    let secret = Secret::from_key_file(line.as_bytes()).expect("a key file");
    for credential in [
        Credential::Published,
        Credential::KeyFile(&secret),
        Credential::Recovery(&secret),
        Credential::Master(&secret),
    ] {
        let objects = [(generation, bytes), (generation, &bytes[1..])];
        let candidates = Candidates::choose(objects, Some(generation)).expect("one is well-formed");
        if let Ok(unlocked) = candidates.unlock(&credential) {
            let hash = unlocked.hash();
            assert_eq!(unlocked.check_named(generation, hash), Ok(()));
            let _ = unlocked.keys();
        }
    }
});
