//! What dom0 remembers of an archive: the anchor and the last head (DESIGN 4.4 and 4.6).

use std::sync::Arc;

use nacre_core::freshness::Anchor;
use nacre_core::head::{MAX_HEAD, Witness};
use nacre_core::header::Description;
use nacre_core::ids::{ArchiveId, Epoch, HeadHash};
use nacre_core::keys::PIN;

use super::{Error, Result};
use crate::joints::StateDir;

const ANCHOR: &str = "anchor";
const LAST_HEAD: &str = "head";
const ANCHOR_LIMIT: usize = 4096;

const FORMER_PINS: &str = "former-pins";
/// Checks of masters that were changed: 16 bytes for each.
const FORMER_PINS_LIMIT: usize = 32 << 10;

/// What another archive's head says of this one: archive id, epoch, hash.
const WITNESS: &str = "witness";
/// What it said when the user accepted an older state.
const OVERRULED: &str = "overruled-witness";
const WITNESS_LIMIT: usize = 64;

/// How the names of files begin that can be made anew from the archive.
const CACHES: &[&str] = &["cache", "dedup"];

/// The hash of a head that was found, and of which nobody knows yet whether it survives a power cut at the store.
const UNCONFIRMED: &str = "unconfirmed";
const UNCONFIRMED_LIMIT: usize = 64;

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

    /// Removes what can be made anew from the archive, and says how many files went. What is precious - anchor, head, links - stays.
    pub fn remove_caches(&self) -> Result<usize> {
        let mut names = self.dir.list()?;
        names.retain(|name| CACHES.iter().any(|cache| name.starts_with(cache)));
        for name in &names {
            self.dir.remove(name)?;
        }
        Ok(names.len())
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

    /// Whether a master with this check was the archive's newest once, before another one took its place.
    pub fn knew_pin(&self, pin: &[u8; PIN]) -> Result<bool> {
        let pins = self.dir.read(FORMER_PINS, FORMER_PINS_LIMIT)?;
        let pins = pins.unwrap_or_default();
        Ok(pins.chunks_exact(PIN).any(|former| former == pin))
    }

    /// Before the anchor has the check of another master: the former one shows a store that went back to it for what it is.
    fn keep_former_pin(&self, next: &[u8; PIN]) -> Result<()> {
        let Some(anchor) = self.anchor()? else {
            return Ok(());
        };
        if anchor.pin == *next {
            return Ok(());
        }
        self.keep_former_pins(&[anchor.pin])
    }

    /// Keeps the checks of masters that the archive had before, also if they were changed while this machine did not look.
    pub fn keep_former_pins(&self, former: &[[u8; PIN]]) -> Result<()> {
        let pins = self.dir.read(FORMER_PINS, FORMER_PINS_LIMIT)?;
        let known = pins.unwrap_or_default();
        let mut pins = known.clone();
        for pin in former {
            if !pins.chunks_exact(PIN).any(|known| known == pin) {
                pins.extend_from_slice(pin);
            }
        }
        if pins == known {
            return Ok(());
        }
        Ok(self.dir.replace(FORMER_PINS, &pins)?)
    }

    /// What another archive says of this one, unless the user has overruled that.
    pub fn witness(&self) -> Result<Option<Witness>> {
        let said = self.read_witness(WITNESS)?;
        let overruled = self.read_witness(OVERRULED)?;
        Ok(said.filter(|said| Some(*said) != overruled))
    }

    /// Keeps what another archive says of this one, if it is news.
    pub fn note_witness(&self, witness: &Witness) -> Result<()> {
        let known = self.anchor()?.map(|anchor| anchor.epoch);
        let said = self.read_witness(WITNESS)?.map(|said| said.epoch);
        if known.max(said) >= Some(witness.epoch) {
            return Ok(());
        }
        self.write_witness(WITNESS, witness)
    }

    /// The user accepts an older state than the witness saw.
    pub fn overrule_witness(&self, witness: &Witness) -> Result<()> {
        self.write_witness(OVERRULED, witness)
    }

    fn write_witness(&self, name: &str, witness: &Witness) -> Result<()> {
        let (archive, epoch) = (witness.archive.0, witness.epoch.0.to_le_bytes());
        let bytes = [&archive[..], &epoch, &witness.head.0].concat();
        Ok(self.dir.replace(name, &bytes)?)
    }

    /// One that cannot be read is none: it is only a second opinion.
    fn read_witness(&self, name: &str) -> Result<Option<Witness>> {
        let bytes = self.dir.read(name, WITNESS_LIMIT)?.unwrap_or_default();
        let fields = bytes.split_first_chunk().and_then(|(archive, rest)| {
            let (epoch, head) = rest.split_first_chunk()?;
            Some(Witness {
                archive: ArchiveId(*archive),
                epoch: Epoch(u64::from_le_bytes(*epoch)),
                head: HeadHash(head.try_into().ok()?),
            })
        });
        Ok(fields)
    }

    /// Remembers a head that was found in the store, unless another command of this machine has remembered something else than `seen` meanwhile: the answer
    /// is `false` then. Who put the head may have been cut off before its barrier was answered: that is written down first, so that a command that
    /// only looks does not hide it from one that changes something.
    pub fn remember_found(
        &self,
        seen: Option<&Anchor>,
        anchor: &Anchor,
        object: &[u8],
    ) -> Result<bool> {
        let _turn = self.dir.turn()?;
        if self.anchor()?.as_ref() != seen {
            return Ok(false);
        }
        self.dir.replace(UNCONFIRMED, &anchor.head.0)?;
        self.write(anchor, object)?;
        Ok(true)
    }

    /// Whether a head was found here and not confirmed since.
    pub fn doubts(&self, head: HeadHash) -> Result<bool> {
        let doubted = self.dir.read(UNCONFIRMED, UNCONFIRMED_LIMIT)?;
        Ok(doubted.as_deref() == Some(&head.0))
    }

    /// That head is behind a barrier now.
    pub fn confirmed(&self, head: HeadHash) -> Result<()> {
        let _turn = self.dir.turn()?;
        if self.doubts(head)? {
            self.dir.remove(UNCONFIRMED)?;
        }
        Ok(())
    }

    /// Remembers a head that is behind a barrier in the store; not if another command of this machine has seen a newer one already.
    pub fn remember(&self, anchor: &Anchor, head: &[u8]) -> Result<()> {
        let _turn = self.dir.turn()?;
        if self
            .anchor()?
            .is_some_and(|known| known.archive == anchor.archive && known.epoch > anchor.epoch)
        {
            return Ok(());
        }
        self.write(anchor, head)
    }

    /// The head's bytes first: with the old anchor they are merely unused, while a new anchor without them could not bring a lost head back.
    fn write(&self, anchor: &Anchor, head: &[u8]) -> Result<()> {
        self.keep_former_pin(&anchor.pin)?;
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
    /// The identity that a running `--change-uuid` gives it: one of the two is the archive's, whenever the power goes.
    pub successor: Option<ArchiveId>,
}

impl Pin {
    /// Refuses a header of another archive, or one that is suddenly not encrypted.
    pub fn check(&self, header: &Description) -> Result<()> {
        if header.archive != self.archive && Some(header.archive) != self.successor {
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
        let successor = self.successor.map(|id| format!(" {id}"));
        let successor = successor.unwrap_or_default();
        format!("{} {sealed}{successor}\n", self.archive).into_bytes()
    }

    /// Reads the line.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut words = text.split(' ');
        let pin = Self {
            archive: parse_id(words.next()?)?,
            encrypted: match words.next()? {
                "encrypted" => true,
                "plain" => false,
                _ => return None,
            },
            successor: match words.next() {
                Some(id) => Some(parse_id(id)?),
                None => None,
            },
        };
        words.next().is_none().then_some(pin)
    }
}

/// Reads an archive's id as it is written.
pub fn parse_id(text: &str) -> Option<ArchiveId> {
    if text.len() != 32 {
        return None;
    }
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(ArchiveId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_precious_is_no_cache() {
        for precious in [ANCHOR, LAST_HEAD, HIGHEST, UNCONFIRMED, "links-00", "lock"] {
            assert!(!CACHES.iter().any(|cache| precious.starts_with(cache)));
        }
    }

    #[test]
    fn a_pin_is_read_back() {
        let next = Some(ArchiveId([0x1b; 16]));
        for (encrypted, successor) in [(true, None), (false, None), (true, next), (false, next)] {
            let pin = Pin {
                archive: ArchiveId([0xa7; 16]),
                encrypted,
                successor,
            };
            assert_eq!(Pin::parse(&pin.encode()), Some(pin));
        }
        for bad in [
            "",
            "a7 plain\n",
            "zz plain",
            "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7 x\n",
            "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7 plain a7\n",
        ] {
            assert_eq!(Pin::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
