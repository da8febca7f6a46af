//! Reads what packs say of themselves: trailer and directory (doc/FORMAT.md, section 5).

use nacre_core::error::FormatError;
use nacre_core::ids::{KeyGeneration, PackName};
use nacre_core::object_name::ObjectName;
use nacre_core::pack::{Directory, FoundPack, TRAILER, TRAILER_BODY, Trailer};
use nacre_core::seal::{Decoder, ItemAddress, ItemKind};

use super::fetch::Wanted;
use super::nodes::Nodes;
use super::{Error, Result};

/// A directory decodes to this at most: a pack of 64 MiB has a few thousand items of 150 bytes.
const MAX_DIRECTORY: u32 = 64 << 20;

impl Nodes {
    /// The directory of a pack, of which nothing but name and size need be known.
    pub fn directory(&self, name: PackName, size: u64) -> Result<FoundPack> {
        let object = ObjectName::Pack(name);
        let damaged = |error| Error::damaged(object)(error);
        let trailer_offset = size
            .checked_sub(TRAILER)
            .ok_or_else(|| damaged(FormatError::Truncated("a pack")))?;
        let sealed = self.one(
            name,
            trailer_offset,
            u32::try_from(TRAILER).unwrap_or(u32::MAX),
        )?;
        let mut decoder = Decoder::new();
        let mut body = Vec::new();
        let mut last = FormatError::Mismatch("a pack trailer");
        // The newest keys first: most packs are young.
        for generation in (0..self.opener().generations()).rev() {
            let Ok(generation) = u32::try_from(generation) else {
                continue;
            };
            let address = ItemAddress {
                key_generation: KeyGeneration(generation),
                kind: ItemKind::Trailer,
                pack: name,
                offset: trailer_offset,
            };
            let mut bytes = sealed.clone();
            let opened =
                self.opener()
                    .open(&address, &mut bytes, TRAILER_BODY, &mut decoder, &mut body);
            match opened {
                Ok(()) => {
                    let trailer = Trailer::parse(&body).map_err(damaged)?;
                    return self.directory_behind(name, size, address.key_generation, &trailer);
                }
                Err(error) => last = error,
            }
        }
        Err(damaged(last))
    }

    fn directory_behind(
        &self,
        name: PackName,
        size: u64,
        key_generation: KeyGeneration,
        trailer: &Trailer,
    ) -> Result<FoundPack> {
        let damaged = |error| Error::damaged(ObjectName::Pack(name))(error);
        let end = trailer
            .directory_offset
            .checked_add(u64::from(trailer.directory_length));
        if end.is_none_or(|end| end > size) || trailer.directory_raw > MAX_DIRECTORY {
            return Err(damaged(FormatError::OutOfRange("a pack trailer")));
        }
        let mut sealed = self.one(name, trailer.directory_offset, trailer.directory_length)?;
        let address = ItemAddress {
            key_generation,
            kind: ItemKind::Directory,
            pack: name,
            offset: trailer.directory_offset,
        };
        let mut body = Vec::new();
        let raw = trailer.directory_raw as usize;
        self.opener()
            .open(&address, &mut sealed, raw, &mut Decoder::new(), &mut body)
            .map_err(damaged)?;
        Ok(FoundPack {
            name,
            key_generation,
            size,
            kind: trailer.kind,
            directory: Directory::parse(&body).map_err(damaged)?,
        })
    }

    fn one(&self, pack: PackName, offset: u64, length: u32) -> Result<Vec<u8>> {
        let wanted = Wanted {
            pack,
            offset,
            length,
        };
        let mut answers = self.fetcher().items(&[wanted]);
        answers.pop().unwrap_or_else(|| Err(Error::internal()))
    }
}
