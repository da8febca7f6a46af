//! What dom0 reads of its own files in an archive: a tar that whoever has the key may have made. The first byte says in which pieces it comes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre::qubes::dom0_files::{Entry, Files, Kind, Reader};

/// Checks that the content is as long as was said.
#[derive(Default)]
struct Count {
    left: u64,
}

impl Files for Count {
    fn begin(&mut self, entry: Entry) -> Result<(), String> {
        assert_eq!(self.left, 0);
        if let Kind::File(size) = entry.kind {
            self.left = size;
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        assert_eq!(self.left, 0);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else {
        return;
    };
    let mut reader = Reader::default();
    let mut count = Count::default();
    for piece in bytes.chunks(usize::from(*piece) * 16 + 1) {
        if reader.feed(piece, &mut count).is_err() {
            return;
        }
    }
    let _ = reader.finish();
});
