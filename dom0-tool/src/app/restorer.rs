//! The script that restores without this program, and its copy beside every archive.
//!
//! The copy is a convenience and no more: who keeps the archive can put another script in its place. The recovery sheet, which they never see,
//! says which one is the right one.

use std::fmt::Write;

use nacre_core::hash::sha256;

use super::world::World;
use crate::joints::Store;

/// The script itself.
const TEXT: &[u8] = include_bytes!("../../../tests/emergency_restore.py");

/// Where the package for dom0 has it.
pub const INSTALLED: &str = "/usr/share/nacre/emergency_restore.py";

/// SHA-256 of the script, as `sha256sum` prints it.
pub fn digest() -> String {
    let mut text = String::new();
    for byte in sha256(TEXT) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What the copy is called (doc/PROTOCOL.md): another version of the script has another name.
pub fn file_name() -> String {
    format!("emergency_restore.{:08x}.py", mark())
}

fn mark() -> u32 {
    let [a, b, c, d, ..] = sha256(TEXT);
    u32::from_be_bytes([a, b, c, d])
}

/// Puts the copy there. An archive is as good without it, so what fails is said and nothing more. Whether it is there now.
pub fn leave(world: &World<'_>, store: &dyn Store) -> bool {
    let left = store
        .leave_restorer(mark(), TEXT)
        .and_then(|()| store.barrier());
    let file = file_name();
    match left {
        Ok(()) => {
            let text =
                format!("{file} lies beside the archive now: a script that restores without nacre");
            world.monitor().note(&text);
            true
        }
        Err(error) => {
            let text = format!(
                "the script that restores without nacre could not be put beside the archive ({error}). The backups need it not; to have it \
                 there, copy {INSTALLED} to it."
            );
            world.monitor().warning(&text);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_begins_with_the_digest_and_the_script_fits_into_a_request() {
        let start = digest().get(..8).unwrap().to_owned();
        assert_eq!(file_name(), format!("emergency_restore.{start}.py"));
        assert!(TEXT.starts_with(b"#!/usr/bin/env python3"));
        assert!(TEXT.len() <= nacre_wire::limits::MAX_RESTORER);
    }
}
