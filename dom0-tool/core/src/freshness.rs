//! Whether the head that a store shows is at least as new as what this machine remembers (DESIGN 4.4).

use std::collections::BTreeMap;

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::head::Witness;
use crate::ids::{ArchiveId, Epoch, Generation, HeadHash};

const WHAT: &str = "an anchor";
const MAGIC: &[u8; 8] = b"nacreanc";
const VERSION: u16 = 1;

/// What a machine remembers of the newest head it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The archive.
    pub archive: ArchiveId,
    /// The head's number.
    pub epoch: Epoch,
    /// Its hash.
    pub head: HeadHash,
    /// The header that it named: an older one is refused.
    pub header_generation: Generation,
    /// Check of the master key: an archive with another one is another archive, whatever it says.
    pub pin: [u8; 16],
    /// Whether the archive is encrypted: one that suddenly is not is refused.
    pub encrypted: bool,
}

/// How a head relates to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The very head that is remembered.
    Same,
    /// A later one, which descends from it.
    Newer,
    /// The store has gone back by so many epochs.
    Older {
        /// What this machine remembers.
        remembered: Epoch,
        /// What the store shows.
        found: Epoch,
    },
    /// The head does not descend from the one that is remembered: two copies of the archive have been written to.
    Forked {
        /// The last epoch that this machine remembers.
        remembered: Epoch,
    },
    /// Another archive.
    Foreign,
}

impl Anchor {
    /// Compares a head with the anchor. `history`: the hash that the head's history holds for the anchor's epoch; only looked at when the head is newer.
    pub fn compare(
        &self,
        archive: ArchiveId,
        epoch: Epoch,
        head: HeadHash,
        history: Option<HeadHash>,
    ) -> Freshness {
        self.witness().compare(archive, epoch, head, history)
    }

    /// What the heads of other archives are to say of this one.
    pub fn witness(&self) -> Witness {
        Witness {
            archive: self.archive,
            epoch: self.epoch,
            head: self.head,
        }
    }

    /// Writes the anchor.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(MAGIC);
        writer.u16(VERSION);
        writer.raw(&self.archive.0);
        writer.u64(self.epoch.0);
        writer.raw(&self.head.0);
        writer.u64(self.header_generation.0);
        writer.raw(&self.pin);
        writer.u8(u8::from(self.encrypted));
        // dom0's disk is trusted but not infallible.
        let check = blake3::hash(writer.as_bytes());
        writer.raw(check.as_bytes().get(..8).unwrap_or_default());
        writer.into_bytes()
    }

    /// Reads an anchor.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array::<8>()? != *MAGIC {
            return Err(FormatError::NotThis("an anchor of Nacre"));
        }
        let version = reader.u16()?;
        if version != VERSION {
            let found = format!("version {version}");
            return Err(FormatError::TooNew { what: WHAT, found });
        }
        let anchor = Self {
            archive: ArchiveId(reader.array()?),
            epoch: Epoch(reader.u64()?),
            head: HeadHash(reader.array()?),
            header_generation: Generation(reader.u64()?),
            pin: reader.array()?,
            encrypted: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return Err(FormatError::OutOfRange(WHAT)),
            },
        };
        let _check = reader.take(8)?;
        reader.finish()?;
        if anchor.encode() == bytes {
            Ok(anchor)
        } else {
            Err(FormatError::Mismatch(WHAT))
        }
    }
}

impl Witness {
    /// Compares a head of the archive that this witness speaks of with what it says; as [`Anchor::compare`]. For a machine that has
    /// lost its anchor, a witness in another archive is the only defence against rollback.
    pub fn compare(
        &self,
        archive: ArchiveId,
        epoch: Epoch,
        head: HeadHash,
        history: Option<HeadHash>,
    ) -> Freshness {
        let forked = Freshness::Forked {
            remembered: self.epoch,
        };
        if archive != self.archive {
            Freshness::Foreign
        } else if epoch < self.epoch {
            Freshness::Older {
                remembered: self.epoch,
                found: epoch,
            }
        } else if epoch == self.epoch {
            if head == self.head {
                Freshness::Same
            } else {
                forked
            }
        } else if history == Some(self.head) {
            Freshness::Newer
        } else {
            forked
        }
    }
}

/// The witnesses of the next head of `own`: what the head before it carried and what this machine remembers, of each other archive the
/// newest, in rising order. An archive that was forgotten is to be taken out of `carried` by the caller.
pub fn next_witnesses(own: ArchiveId, carried: &[Witness], anchors: &[Anchor]) -> Vec<Witness> {
    let mut newest: BTreeMap<ArchiveId, Witness> = BTreeMap::new();
    let remembered = anchors.iter().map(Anchor::witness);
    // The machine's own memory comes last: at equal epochs it counts more than what lay in a store.
    for witness in carried.iter().copied().chain(remembered) {
        let known = newest.entry(witness.archive).or_insert(witness);
        if known.epoch <= witness.epoch {
            *known = witness;
        }
    }
    newest.remove(&own);
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor() -> Anchor {
        Anchor {
            archive: ArchiveId([1; 16]),
            epoch: Epoch(10),
            head: HeadHash([2; 32]),
            header_generation: Generation(3),
            pin: [4; 16],
            encrypted: true,
        }
    }

    #[test]
    fn a_head_is_fresh_only_if_it_descends_from_the_anchor() {
        let (ours, other) = (HeadHash([2; 32]), HeadHash([9; 32]));
        let compare = |epoch, head, history| {
            anchor().compare(ArchiveId([1; 16]), Epoch(epoch), head, history)
        };
        assert_eq!(compare(10, ours, None), Freshness::Same);
        assert_eq!(compare(12, other, Some(ours)), Freshness::Newer);
        let forked = Freshness::Forked {
            remembered: Epoch(10),
        };
        assert_eq!(compare(10, other, Some(ours)), forked);
        assert_eq!(compare(12, other, Some(other)), forked);
        assert_eq!(compare(12, ours, None), forked);
        let older = Freshness::Older {
            remembered: Epoch(10),
            found: Epoch(9),
        };
        assert_eq!(compare(9, ours, Some(ours)), older);
        let foreign = anchor().compare(ArchiveId([0; 16]), Epoch(10), ours, Some(ours));
        assert_eq!(foreign, Freshness::Foreign);
    }

    #[test]
    fn an_anchor_is_read_back_and_every_damage_noticed() {
        let bytes = anchor().encode();
        assert_eq!(Anchor::parse(&bytes), Ok(anchor()));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Anchor::parse(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Anchor::parse(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn the_next_head_witnesses_the_newest_of_every_other_archive() {
        let witness = |archive, epoch, head| Witness {
            archive: ArchiveId([archive; 16]),
            epoch: Epoch(epoch),
            head: HeadHash([head; 32]),
        };
        let remembered = |archive, epoch, head| Anchor {
            archive: ArchiveId([archive; 16]),
            epoch: Epoch(epoch),
            head: HeadHash([head; 32]),
            ..anchor()
        };
        let carried = [witness(2, 5, 1), witness(3, 9, 1), witness(4, 7, 1)];
        let anchors = [
            remembered(1, 10, 2),
            remembered(3, 8, 2),
            remembered(4, 7, 2),
            remembered(5, 1, 2),
        ];
        let next = next_witnesses(ArchiveId([1; 16]), &carried, &anchors);
        // Of 3 the store's witness is newer than this machine's memory: another machine has written since.
        let expected = [
            witness(2, 5, 1),
            witness(3, 9, 1),
            witness(4, 7, 2),
            witness(5, 1, 2),
        ];
        assert_eq!(next, expected);
    }

    #[test]
    fn mutated_anchors_are_refused() {
        let good = anchor().encode();
        let samples = [good.clone()];
        crate::mutation::write_seeds("dom0_text", Some(0), &samples);
        crate::mutation::each_mutation(&samples, |bytes| {
            assert!(Anchor::parse(bytes).is_err() || bytes == good);
        });
    }
}
