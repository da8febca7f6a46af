//! What dom0 reads of the settings of qubes in an archive: text that whoever has the key may have written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre_core::settings::Settings;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(settings) = Settings::parse(bytes) {
        assert_eq!(Settings::parse(&settings.encode()), Ok(settings));
    }
});
