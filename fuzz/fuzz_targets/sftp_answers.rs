#![no_main]
//! The helper's reader of what an SFTP server says: any bytes are an answer or an error, and no panic.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = nacre_helper::decode_sftp(bytes);
    let _ = nacre_helper::decode_sftp_version(bytes);
});
