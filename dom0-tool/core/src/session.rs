//! A session: one point in time of one or more volumes (doc/FORMAT.md, 7.1).

use crate::bytes::{Reader, Writer, is_text};
use crate::error::{FormatError, Result};
use crate::ids::VolumeId;
use crate::lists::Extensions;
use crate::place::Root;
use crate::session_name::{NAME_LENGTH, SessionName};

const WHAT: &str = "a session record";
/// Largest volume, in bytes.
pub const MAX_VOLUME: u64 = 1 << 50;
/// Longest tag, in bytes.
pub const MAX_TAG: usize = 128;
/// Longest description of a tag, in bytes.
pub const MAX_DESCRIPTION: usize = 1024;
const MAX_ZONE: usize = 64;
const PROTECTED: u64 = 1;
const UNFINISHED: u64 = 2;
/// Extension: how far an unfinished session got.
const PROGRESS: u64 = 2;

/// A mark that the user gave a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// What it is found by.
    pub id: String,
    /// What it says; may be empty.
    pub description: String,
}

impl Tag {
    /// A tag, if the id is printable, not empty, and without space, `,`, `=` and `^`.
    pub fn new(id: &str, description: &str) -> Option<Self> {
        let valid = !id.is_empty()
            && id.len() <= MAX_TAG
            && is_text(id)
            && !id.contains([' ', ',', '=', '^'])
            && description.len() <= MAX_DESCRIPTION
            && is_text(description);
        valid.then(|| Self {
            id: id.to_owned(),
            description: description.to_owned(),
        })
    }
}

/// A volume in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionVolume {
    /// The volume.
    pub volume: VolumeId,
    /// Its size in bytes.
    pub size: u64,
    /// Sealed bytes that were stored for it.
    pub stored: u64,
    /// Its tree.
    pub root: Root,
}

/// When a session was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionTime {
    /// Seconds since 1970 UTC.
    pub seconds: i64,
    /// What was added to UTC, in seconds.
    pub utc_offset: i64,
    /// Name of the zone; may be empty.
    pub zone: String,
}

/// One point in time of one or more volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Local time at creation; unique in the archive.
    pub name: SessionName,
    /// The same as UTC.
    pub time: SessionTime,
    /// Never pruned by a rule.
    pub protected: bool,
    /// Made by a run that has not come to its end.
    pub unfinished: bool,
    /// Marks, in rising order of id.
    pub tags: Vec<Tag>,
    /// Volumes, in rising order.
    pub volumes: Vec<SessionVolume>,
    /// Values beyond these.
    pub extensions: Extensions,
}

impl Session {
    /// A session without volumes.
    pub fn new(name: SessionName, time: SessionTime, mut tags: Vec<Tag>) -> Self {
        tags.sort();
        tags.dedup_by(|b, a| a.id == b.id);
        Self {
            name,
            time,
            protected: false,
            unfinished: true,
            tags,
            volumes: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    /// A volume of the session.
    pub fn volume(&self, id: VolumeId) -> Option<&SessionVolume> {
        let at = self.volumes.binary_search_by_key(&id, |v| v.volume).ok()?;
        self.volumes.get(at)
    }

    /// Points a volume at another tree with the same content.
    pub fn set_root(&mut self, id: VolumeId, root: Root) {
        if let Ok(at) = self.volumes.binary_search_by_key(&id, |v| v.volume)
            && let Some(volume) = self.volumes.get_mut(at)
        {
            volume.root = root;
        }
    }

    /// Whether the session has a tag.
    pub fn has_tag(&self, id: &str) -> bool {
        self.tags.iter().any(|tag| tag.id == id)
    }

    /// Takes over volumes in any order.
    pub fn set_volumes(&mut self, mut volumes: Vec<SessionVolume>) {
        volumes.sort_by_key(|volume| volume.volume);
        self.volumes = volumes;
    }

    /// Says how far each volume of an unfinished session was read: chunk numbers below it are of this session.
    pub fn set_progress(&mut self, mut progress: Vec<(VolumeId, u64)>) {
        progress.sort_unstable();
        let mut writer = Writer::new();
        for (volume, chunk) in progress {
            writer.varint(u64::from(volume.0));
            writer.varint(chunk);
        }
        self.extensions.set(PROGRESS, writer.into_bytes());
    }

    /// How far each volume of an unfinished session was read.
    pub fn progress(&self) -> Vec<(VolumeId, u64)> {
        let bytes = self.extensions.get(PROGRESS).unwrap_or_default();
        let mut reader = Reader::new(WHAT, bytes);
        let mut next = || Some((VolumeId(reader.narrow().ok()?), reader.varint().ok()?));
        std::iter::from_fn(&mut next).collect()
    }

    /// Writes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(self.name.to_string().as_bytes());
        writer.zigzag(self.time.seconds);
        writer.zigzag(self.time.utc_offset);
        writer.text(&self.time.zone);
        let protected = if self.protected { PROTECTED } else { 0 };
        let unfinished = if self.unfinished { UNFINISHED } else { 0 };
        writer.varint(protected | unfinished);
        writer.count(self.tags.len());
        for tag in &self.tags {
            writer.text(&tag.id);
            writer.text(&tag.description);
        }
        writer.count(self.volumes.len());
        for volume in &self.volumes {
            writer.varint(u64::from(volume.volume.0));
            writer.varint(volume.size);
            writer.varint(volume.stored);
            volume.root.encode(&mut writer);
        }
        self.extensions.encode(&mut writer);
        writer.into_bytes()
    }

    /// Reads a record.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, bytes);
        let name = std::str::from_utf8(reader.take(NAME_LENGTH)?)
            .map_err(|_| FormatError::OutOfRange(WHAT))?
            .parse()?;
        let time = SessionTime {
            seconds: reader.zigzag()?,
            utc_offset: reader.zigzag()?,
            zone: reader.text(MAX_ZONE)?.to_owned(),
        };
        let flags = reader.varint()?;
        if flags & !(PROTECTED | UNFINISHED) != 0 {
            return Err(FormatError::OutOfRange(WHAT));
        }
        let session = Self {
            name,
            time,
            protected: flags & PROTECTED != 0,
            unfinished: flags & UNFINISHED != 0,
            tags: parse_tags(&mut reader)?,
            volumes: parse_volumes(&mut reader)?,
            extensions: Extensions::parse(&mut reader)?,
        };
        reader.finish()?;
        Ok(session)
    }
}

fn parse_tags(reader: &mut Reader<'_>) -> Result<Vec<Tag>> {
    let mut tags: Vec<Tag> = Vec::new();
    for _ in 0..reader.count(2)? {
        let id = reader.text(MAX_TAG)?;
        let tag =
            Tag::new(id, reader.text(MAX_DESCRIPTION)?).ok_or(FormatError::OutOfRange(WHAT))?;
        if tags.last().is_some_and(|last| last.id >= tag.id) {
            return Err(FormatError::OutOfOrder(WHAT));
        }
        tags.push(tag);
    }
    Ok(tags)
}

fn parse_volumes(reader: &mut Reader<'_>) -> Result<Vec<SessionVolume>> {
    let mut volumes: Vec<SessionVolume> = Vec::new();
    for _ in 0..reader.count(4)? {
        let volume = SessionVolume {
            volume: VolumeId(reader.narrow()?),
            size: reader.varint()?,
            stored: reader.varint()?,
            root: Root::parse(reader)?,
        };
        if volume.size > MAX_VOLUME {
            return Err(FormatError::OutOfRange(WHAT));
        }
        if volumes
            .last()
            .is_some_and(|last| last.volume >= volume.volume)
        {
            return Err(FormatError::OutOfOrder(WHAT));
        }
        volumes.push(volume);
    }
    Ok(volumes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Session {
        let time = SessionTime {
            seconds: 1_800_000_000,
            utc_offset: -3600,
            zone: "Europe/Berlin".to_owned(),
        };
        let tags = ["b", "a", "b"].map(|id| Tag::new(id, "why").unwrap());
        let mut session = Session::new("20261121-080000".parse().unwrap(), time, tags.to_vec());
        session.protected = true;
        session.set_volumes(
            [3, 1, 2]
                .map(|id| SessionVolume {
                    volume: VolumeId(id),
                    size: 1 << 30,
                    stored: 12,
                    root: Root::Empty,
                })
                .to_vec(),
        );
        session.set_progress(vec![(VolumeId(3), 17), (VolumeId(1), 4)]);
        session
    }

    #[test]
    fn a_session_is_read_back() {
        let session = sample();
        assert_eq!(session.tags.len(), 2);
        assert_eq!(Session::parse(&session.encode()), Ok(session.clone()));
        assert_eq!(session.progress(), [(VolumeId(1), 4), (VolumeId(3), 17)]);
        assert!(session.volume(VolumeId(2)).is_some() && session.volume(VolumeId(4)).is_none());
    }

    #[test]
    fn tags_keep_to_their_alphabet() {
        for id in ["", "a b", "a,b", "a=b", "^a", "a\u{7f}", &"x".repeat(129)] {
            assert_eq!(Tag::new(id, ""), None, "{id}");
        }
        assert!(Tag::new("vor-umbau", "größer").is_some());
    }

    #[test]
    fn mutated_sessions_are_refused_or_read_in_their_only_form() {
        crate::mutation::write_seeds("records", Some(1), &[sample().encode()]);
        crate::mutation::each_mutation(&[sample().encode()], |bytes| {
            if let Ok(session) = Session::parse(bytes) {
                assert_eq!(session.encode(), bytes);
            }
        });
    }

    proptest! {
        #[test]
        fn altered_sessions_are_read_or_refused_but_never_panic(at: prop::sample::Index, to: u8) {
            let mut bytes = sample().encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(session) = Session::parse(&bytes) {
                prop_assert_eq!(session.encode(), bytes);
            }
        }
    }
}
