//! The chain that `monitor` leaves: what changed between snapshots of which the older ones are gone (DESIGN 5).
//!
//! One file for each volume in dom0's own folder, replaced as a whole, with a hash at its end: one that is damaged counts as no file, which
//! costs a full comparison. All numbers are little-endian:
//!
//! ```text
//! magic          16 bytes
//! name           u16 length, bytes
//! links          u16 count, each:
//!   old          u16 length, bytes: identity of the snapshot that went
//!   new          u16 length, bytes: identity of the one that came
//!   ranges       u32 count, each: bytes since the end of the range before, length (variable: 7 bits a byte, low ones first)
//! hash           32 bytes, BLAKE3 of all before
//! ```

use std::sync::Arc;

use nacre_core::ids::HeaderHash;

use crate::joints::{
    Ranges, SourceError, SourceErrorKind, StateDir, StateError, StateErrorKind, VolumeRange,
};

const MAGIC: &[u8; 16] = b"nacre links v1\n\0";
const HASH: usize = 32;
/// Bytes of a file, at most.
const LARGEST: usize = 32 << 20;
/// Ranges of all links of a volume, at most; with more, close ones become one. At 20 bytes each, they fit into [`LARGEST`].
const MOST_RANGES: usize = 1 << 20;
/// Links of a volume, at most; with more, two that follow each other become one.
const MOST_LINKS: usize = 32;
/// Bytes of an identity or a name, at most.
const LONGEST: usize = 4096;

/// The links of all volumes of one archive.
#[derive(Clone)]
pub struct Links {
    state: Arc<dyn StateDir>,
}

/// What changed from one snapshot to another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    old: Vec<u8>,
    new: Vec<u8>,
    ranges: Ranges,
}

impl Links {
    /// Links in dom0's folder of an archive.
    pub fn new(state: Arc<dyn StateDir>) -> Self {
        Self { state }
    }

    /// Records that exactly `ranges` may have changed between the snapshots `old` and `new`. When it returns, the link survives a power cut,
    /// and the old snapshot may go.
    pub fn record(
        &self,
        local: &str,
        old: &[u8],
        new: &[u8],
        ranges: &[VolumeRange],
    ) -> Result<(), SourceError> {
        let too_long = |bytes: &[u8]| bytes.is_empty() || bytes.len() > LONGEST;
        if too_long(old) || too_long(new) || too_long(local.as_bytes()) {
            let detail = "its name or identity is too long to be remembered";
            return Err(SourceError::new(SourceErrorKind::Io, local, detail));
        }
        let mut links = self.load(local)?;
        links.retain(|link| link.old != old || link.new != new);
        links.push(Link {
            old: old.to_vec(),
            new: new.to_vec(),
            ranges: Ranges::of(ranges),
        });
        shorten(&mut links);
        let bytes = encode(local, &links);
        let stored = self.state.replace(&file_of(local), &bytes);
        stored.map_err(|error| in_words(&error))
    }

    /// What may have changed between two snapshots, by an unbroken chain of links; `None` if there is none. From a snapshot to itself
    /// nothing changed.
    pub fn between(
        &self,
        local: &str,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<Vec<VolumeRange>>, SourceError> {
        if from == to {
            return Ok(Some(Vec::new()));
        }
        let links = self.load(local)?;
        Ok(walk(&links, from, to).map(Ranges::into_vec))
    }

    /// How many bytes may have changed since the snapshot `from`, as far as links lead on from it; `None` if none does.
    pub fn since(&self, local: &str, from: &[u8]) -> Option<u64> {
        let links = self.load(local).ok()?;
        let any = links.iter().any(|link| link.old == from);
        any.then(|| {
            let ends = links
                .iter()
                .filter_map(|link| walk(&links, from, &link.new));
            ends.map(|ranges| ranges.total()).max().unwrap_or(0)
        })
    }

    /// Drops all links of a volume. None is no error.
    pub fn forget(&self, local: &str) -> Result<(), SourceError> {
        let name = file_of(local);
        let there = self.state.read(&name, LARGEST);
        match there {
            Ok(None) => Ok(()),
            // Also one that is too large or damaged.
            _ => self.state.remove(&name).map_err(|error| in_words(&error)),
        }
    }

    /// The links that can be read. What is not a file of ours, or that of another volume, holds none.
    fn load(&self, local: &str) -> Result<Vec<Link>, SourceError> {
        match self.state.read(&file_of(local), LARGEST) {
            Ok(bytes) => Ok(bytes
                .and_then(|bytes| parse(local, &bytes))
                .unwrap_or_default()),
            Err(error) if error.kind == StateErrorKind::TooLarge => Ok(Vec::new()),
            Err(error) => Err(in_words(&error)),
        }
    }
}

/// Number of links in a file of the volume; `None` for bytes that are no such file. For fuzzing.
pub fn check_file(local: &str, bytes: &[u8]) -> Option<usize> {
    let links = parse(local, bytes)?;
    Some(links.len())
}

fn file_of(local: &str) -> String {
    let hash = HeaderHash::of(local.as_bytes()).to_string();
    format!("links-{}", hash.get(..32).unwrap_or(&hash))
}

fn in_words(error: &StateError) -> SourceError {
    let kind = match error.kind {
        StateErrorKind::NoSpace => SourceErrorKind::NoSpace,
        _ => SourceErrorKind::Io,
    };
    SourceError::new(
        kind,
        "what nacre remembers of local snapshots",
        error.to_string(),
    )
}

/// The union of all links on a way from one snapshot to another. Each link is gone along once at most, so that it ends.
fn walk(links: &[Link], from: &[u8], to: &[u8]) -> Option<Ranges> {
    let mut reached: Vec<(&[u8], Ranges)> = vec![(from, Ranges::new())];
    let mut at = 0;
    while let Some((here, so_far)) = reached.get(at).cloned() {
        for link in links.iter().filter(|link| link.old == here) {
            let ranges = so_far.union(&link.ranges);
            if link.new == to {
                return Some(ranges);
            }
            if reached.iter().all(|(seen, _)| *seen != link.new) {
                reached.push((&link.new, ranges));
            }
        }
        at += 1;
    }
    None
}

/// Keeps the file bounded: joins links that follow each other, makes ranges coarser, and as the last resort drops the oldest link.
fn shorten(links: &mut Vec<Link>) {
    while links.len() > MOST_LINKS {
        let follower = |at: usize| (0..links.len()).find(|b| links[*b].old == links[at].new);
        let pair = (0..links.len()).find_map(|a| follower(a).map(|b| (a, b)));
        match pair {
            Some((a, b)) if a != b => {
                let second = links.remove(b);
                let first = &mut links[if b < a { a - 1 } else { a }];
                first.new = second.new;
                first.ranges = first.ranges.union(&second.ranges);
            }
            _ => {
                links.remove(0);
            }
        }
    }
    let total: usize = links.iter().map(|link| link.ranges.as_slice().len()).sum();
    if total > MOST_RANGES {
        let each = MOST_RANGES / links.len().max(1);
        for link in links {
            link.ranges.coarsen(each);
        }
    }
}

fn encode(local: &str, links: &[Link]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_bytes(&mut out, local.as_bytes());
    out.extend_from_slice(&u16::try_from(links.len()).unwrap_or(0).to_le_bytes());
    for link in links {
        put_bytes(&mut out, &link.old);
        put_bytes(&mut out, &link.new);
        let ranges = link.ranges.as_slice();
        out.extend_from_slice(&u32::try_from(ranges.len()).unwrap_or(0).to_le_bytes());
        let mut at = 0;
        for range in ranges {
            put_varint(&mut out, range.start - at);
            put_varint(&mut out, range.end - range.start);
            at = range.end;
        }
    }
    let hash = HeaderHash::of(&out);
    out.extend_from_slice(&hash.0);
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn parse(local: &str, bytes: &[u8]) -> Option<Vec<Link>> {
    let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
    if HeaderHash::of(body).0 != hash {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    if take_bytes(&mut rest)? != local.as_bytes() {
        return None;
    }
    let count = u16::from_le_bytes(take(&mut rest, 2)?.try_into().ok()?);
    if usize::from(count) > MOST_LINKS {
        return None;
    }
    let mut links = Vec::new();
    for _ in 0..count {
        let old = take_bytes(&mut rest)?.to_vec();
        let new = take_bytes(&mut rest)?.to_vec();
        let ranges = parse_ranges(&mut rest)?;
        links.push(Link { old, new, ranges });
    }
    rest.is_empty().then_some(links)
}

fn parse_ranges(rest: &mut &[u8]) -> Option<Ranges> {
    let count = u32::from_le_bytes(take(rest, 4)?.try_into().ok()?);
    let mut ranges = Ranges::new();
    let mut at = 0_u64;
    // Each range takes two bytes at least, so the count needs no limit of its own.
    for _ in 0..count {
        let start = at.checked_add(take_varint(rest)?)?;
        at = start.checked_add(take_varint(rest)?)?;
        ranges.push(VolumeRange { start, end: at });
    }
    Some(ranges)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (front, back) = rest.split_at_checked(length)?;
    *rest = back;
    Some(front)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_le_bytes(take(rest, 2)?.try_into().ok()?);
    take(rest, usize::from(length)).filter(|bytes| bytes.len() <= LONGEST)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for at in 0..10 {
        let byte = take(rest, 1)?[0];
        let part = u64::from(byte & 0x7f);
        if at == 9 && byte > 1 {
            return None;
        }
        value |= part << (7 * at);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[a-z/.]{1,40}", pairs: Vec<(u64, u64)>, old: [u8; 9]) {
            let ranges: Vec<_> = pairs.into_iter().map(|(start, length)| VolumeRange {
                start, end: start.saturating_add(length),
            }).collect();
            let link = Link { old: old.to_vec(), new: vec![1], ranges: Ranges::of(&ranges) };
            let bytes = encode(&name, std::slice::from_ref(&link));
            prop_assert_eq!(parse(&name, &bytes), Some(vec![link]));
        }

        #[test]
        fn nothing_that_is_read_makes_it_panic(mut bytes: Vec<u8>, front in 0_usize..20) {
            let mut file = MAGIC[..front.min(16)].to_vec();
            file.append(&mut bytes);
            let hash = HeaderHash::of(&file).0;
            file.extend_from_slice(&hash);
            let _ = parse("v", &file);
        }
    }
}
