//! A volume whose content is made here: the settings.

use crate::joints::{Changes, FrozenVolume, SourceError};

/// Some bytes as a volume.
#[derive(Clone, Debug)]
pub struct TextVolume {
    name: String,
    content: Vec<u8>,
}

impl TextVolume {
    /// A volume of that name in the archive.
    pub fn new(name: &str, content: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            content,
        }
    }
}

impl FrozenVolume for TextVolume {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn changes_since(&self, _identity: &[u8]) -> Result<Changes, SourceError> {
        Ok(Changes::Everything("it is made anew each time".to_owned()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.content.get(from..).unwrap_or_default();
        let there = rest.len().min(buffer.len());
        let (filled, behind) = buffer.split_at_mut(there);
        filled.copy_from_slice(rest.get(..there).unwrap_or_default());
        behind.fill(0);
        Ok(())
    }
}
