//! What dom0 remembers of an archive: the anchor and the last head (DESIGN 4.4 and 4.6).

use std::sync::Arc;

use nacre_core::freshness::Anchor;
use nacre_core::head::MAX_HEAD;
use nacre_core::header::Description;
use nacre_core::ids::{ArchiveId, Epoch};

use super::{Error, Result};
use crate::joints::StateDir;

const ANCHOR: &str = "anchor";
const LAST_HEAD: &str = "head";
const ANCHOR_LIMIT: usize = 4096;

const HIGHEST: &str = "highest";
const HIGHEST_LIMIT: usize = 32;

/// dom0's memory of one archive.
#[derive(Clone)]
pub struct Memory {
    dir: Arc<dyn StateDir>,
}

impl Memory {
    /// Memory in a directory of its own.
    pub fn new(dir: Arc<dyn StateDir>) -> Self {
        Self { dir }
    }

    /// The directory.
    pub fn dir(&self) -> &dyn StateDir {
        self.dir.as_ref()
    }

    /// What is remembered; `None` on a machine that never saw the archive.
    pub fn anchor(&self) -> Result<Option<Anchor>> {
        let Some(bytes) = self.dir.read(ANCHOR, ANCHOR_LIMIT)? else {
            return Ok(None);
        };
        Anchor::parse(&bytes)
            .map(Some)
            .map_err(Error::damaged("the anchor in this machine's own memory"))
    }

    /// The head object that was written or seen last.
    pub fn last_head(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.dir.read(LAST_HEAD, MAX_HEAD as usize)?)
    }

    /// The highest epoch that was remembered before an older state of the store was accepted: no epoch may be used twice.
    pub fn highest(&self) -> Result<Epoch> {
        let bytes = self.dir.read(HIGHEST, HIGHEST_LIMIT)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let epoch = text.and_then(|text| text.trim_end().parse().ok());
        Ok(Epoch(epoch.unwrap_or(0)))
    }

    /// Remembers an epoch that the store has lost.
    pub fn remember_highest(&self, epoch: Epoch) -> Result<()> {
        if epoch <= self.highest()? {
            return Ok(());
        }
        Ok(self.dir.replace(HIGHEST, format!("{epoch}\n").as_bytes())?)
    }

    /// Remembers a head that is behind a barrier in the store. The head's bytes first: with the old anchor they are merely unused, while a new
    /// anchor without them could not bring a lost head back.
    pub fn remember(&self, anchor: &Anchor, head: &[u8]) -> Result<()> {
        self.dir.replace(LAST_HEAD, head)?;
        Ok(self.dir.replace(ANCHOR, &anchor.encode())?)
    }
}

/// What this machine remembers of a target: which archive is there, so that another one is refused before anything of it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The archive.
    pub archive: ArchiveId,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

impl Pin {
    /// Refuses a header of another archive, or one that is suddenly not encrypted.
    pub fn check(&self, header: &Description) -> Result<()> {
        if header.archive != self.archive {
            return Err(Error::foreign("its identity is another one", None));
        }
        if self.encrypted && !header.encrypted {
            return Err(Error::foreign("it is not encrypted", Some(self.archive)));
        }
        Ok(())
    }

    /// Writes the pin as a line of text.
    pub fn encode(&self) -> Vec<u8> {
        let sealed = if self.encrypted { "encrypted" } else { "plain" };
        format!("{} {sealed}\n", self.archive).into_bytes()
    }

    /// Reads the line.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let (id, sealed) = text.split_once(' ')?;
        if id.len() != 32 {
            return None;
        }
        let mut archive = [0; 16];
        for (at, byte) in archive.iter_mut().enumerate() {
            *byte = u8::from_str_radix(id.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        let encrypted = match sealed {
            "encrypted" => true,
            "plain" => false,
            _ => return None,
        };
        Some(Self {
            archive: ArchiveId(archive),
            encrypted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_back() {
        for encrypted in [true, false] {
            let pin = Pin {
                archive: ArchiveId([0xa7; 16]),
                encrypted,
            };
            assert_eq!(Pin::parse(&pin.encode()), Some(pin));
        }
        for bad in [
            "",
            "a7 plain\n",
            "zz plain",
            "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7 x\n",
        ] {
            assert_eq!(Pin::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
