//! The head's body to bytes and back.

use super::{
    Compression, Domain, Head, Home, MAX_NAME, NextNumbers, Volume, Witness, is_volume_name,
};
use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::ids::{
    Alias, ArchiveId, DomainId, DomainNumber, Epoch, Generation, HeadHash, HeaderHash,
    KeyGeneration, PackName, SessionSeq, VolumeId,
};
use crate::lists::{Extensions, encode_aliases, parse_aliases};
use crate::place::Root;
use crate::session::MAX_VOLUME;

const WHAT: &str = "the head";
/// Longest description of a volume and longest name of a domain, in bytes.
const MAX_TEXT: usize = 1024;

impl Head {
    /// Writes the body, which is then sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let w = &mut writer;
        w.raw(&self.archive.0);
        w.u64(self.epoch.0);
        w.raw(&self.previous.0);
        w.raw(&self.writer_nonce);
        w.varint(self.header_generation.0);
        w.raw(&self.header_hash.0);
        w.zigzag(self.time);
        let (kind, level) = match self.compression {
            Compression::None => (0, 0),
            Compression::Zstd(level) => (1, level),
        };
        w.u8(kind);
        w.zigzag(i64::from(level));
        w.varint(self.next.alias.0);
        w.varint(self.next.session.0);
        w.varint(u64::from(self.next.volume.0));
        w.varint(u64::from(self.next.domain.0));
        w.count(self.domains.len());
        for domain in &self.domains {
            w.varint(u64::from(domain.number.0));
            w.raw(&domain.id.0);
            w.text(&domain.name);
        }
        w.count(self.volumes.len());
        for volume in &self.volumes {
            write_volume(volume, w);
        }
        for root in [&self.sessions, &self.packs, &self.counters, &self.history] {
            root.encode(w);
        }
        w.count(self.homes.len());
        for home in &self.homes {
            w.varint(home.alias.0);
            w.raw(&home.name.0);
            w.varint(u64::from(home.key_generation.0));
            w.varint(home.size);
            w.varint(home.own);
            w.varint(home.nodes);
        }
        encode_aliases(&self.freeing, w);
        w.count(self.witnesses.len());
        for witness in &self.witnesses {
            w.raw(&witness.archive.0);
            w.varint(witness.epoch.0);
            w.raw(&witness.head.0);
        }
        self.extensions.encode(w);
        writer.into_bytes()
    }

    /// Reads a body that was opened.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, bytes);
        let r = &mut reader;
        let head = Self {
            archive: ArchiveId(r.array()?),
            epoch: Epoch(r.u64()?),
            previous: HeadHash(r.array()?),
            writer_nonce: r.array()?,
            header_generation: Generation(r.varint()?),
            header_hash: HeaderHash(r.array()?),
            time: r.zigzag()?,
            compression: parse_compression(r)?,
            next: NextNumbers {
                alias: Alias(r.varint()?),
                session: SessionSeq(r.varint()?),
                volume: VolumeId(r.narrow()?),
                domain: DomainNumber(r.narrow()?),
            },
            domains: parse_domains(r)?,
            volumes: parse_volumes(r)?,
            sessions: Root::parse(r)?,
            packs: Root::parse(r)?,
            counters: Root::parse(r)?,
            history: Root::parse(r)?,
            homes: parse_homes(r)?,
            freeing: parse_aliases(r, usize::MAX)?,
            witnesses: parse_witnesses(r)?,
            extensions: Extensions::parse(r)?,
        };
        reader.finish()?;
        let domain_known = |volume: &Volume| head.domain(volume.domain).is_some();
        if !head.volumes.iter().all(domain_known) {
            return Err(FormatError::OutOfRange(WHAT));
        }
        Ok(head)
    }
}

fn write_volume(volume: &Volume, w: &mut Writer) {
    w.text(&volume.name);
    w.varint(u64::from(volume.id.0));
    w.varint(u64::from(volume.domain.0));
    w.text(&volume.description);
    w.varint(volume.newest.map_or(0, |seq| seq.0));
    w.varint(volume.size);
    volume.root.encode(w);
    volume.extensions.encode(w);
}

fn parse_compression(r: &mut Reader<'_>) -> Result<Compression> {
    let (kind, level) = (r.u8()?, r.zigzag()?);
    match (kind, i32::try_from(level)) {
        (0, Ok(0)) => Ok(Compression::None),
        (1, Ok(level)) => Ok(Compression::Zstd(level)),
        _ => Err(FormatError::OutOfRange(WHAT)),
    }
}

/// Reads `count` members, each greater than the one before by `key`.
fn rising<T, K: Ord>(
    r: &mut Reader<'_>,
    each: usize,
    parse: impl Fn(&mut Reader<'_>) -> Result<T>,
    key: impl Fn(&T) -> K,
) -> Result<Vec<T>> {
    let mut list: Vec<T> = Vec::new();
    for _ in 0..r.count(each)? {
        let member = parse(r)?;
        if list.last().is_some_and(|last| key(last) >= key(&member)) {
            return Err(FormatError::OutOfOrder(WHAT));
        }
        list.push(member);
    }
    Ok(list)
}

fn parse_domains(r: &mut Reader<'_>) -> Result<Vec<Domain>> {
    let parse = |r: &mut Reader<'_>| {
        Ok(Domain {
            number: DomainNumber(r.narrow()?),
            id: DomainId(r.array()?),
            name: r.text(MAX_TEXT)?.to_owned(),
        })
    };
    rising(r, 18, parse, |domain| domain.number)
}

fn parse_volumes(r: &mut Reader<'_>) -> Result<Vec<Volume>> {
    let mut volumes: Vec<Volume> = Vec::new();
    for _ in 0..r.count(8)? {
        let volume = parse_volume(r)?;
        if volumes.last().is_some_and(|last| last.name >= volume.name) {
            return Err(FormatError::OutOfOrder(WHAT));
        }
        volumes.push(volume);
    }
    Ok(volumes)
}

fn parse_volume(r: &mut Reader<'_>) -> Result<Volume> {
    let name = r.text(MAX_NAME)?.to_owned();
    let volume = Volume {
        id: VolumeId(r.narrow()?),
        domain: DomainNumber(r.narrow()?),
        description: r.text(MAX_TEXT)?.to_owned(),
        newest: Some(SessionSeq(r.varint()?)).filter(|seq| seq.0 != 0),
        size: r.varint()?,
        root: Root::parse(r)?,
        extensions: Extensions::parse(r)?,
        name,
    };
    if !is_volume_name(&volume.name) || volume.size > MAX_VOLUME {
        return Err(FormatError::OutOfRange(WHAT));
    }
    Ok(volume)
}

fn parse_homes(r: &mut Reader<'_>) -> Result<Vec<Home>> {
    let parse = |r: &mut Reader<'_>| {
        Ok(Home {
            alias: Alias(r.varint()?),
            name: PackName(r.array()?),
            key_generation: KeyGeneration(r.narrow()?),
            size: r.varint()?,
            own: r.varint()?,
            nodes: r.varint()?,
        })
    };
    rising(r, 21, parse, |home| home.alias)
}

fn parse_witnesses(r: &mut Reader<'_>) -> Result<Vec<Witness>> {
    let parse = |r: &mut Reader<'_>| {
        Ok(Witness {
            archive: ArchiveId(r.array()?),
            epoch: Epoch(r.varint()?),
            head: HeadHash(r.array()?),
        })
    };
    rising(r, 49, parse, |witness| witness.archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Head {
        let header = (Generation(2), HeaderHash([3; 32]));
        let mut head = Head::first(ArchiveId([1; 16]), header, Compression::Zstd(-5));
        let domain = head.domain_named("default", DomainId([4; 16]));
        for name in ["vm-work-private", "appvms/x/private.img", "vm-a-root"] {
            let id = head.add_volume(name, domain).unwrap();
            let volume = head.volume_by_id_mut(id).unwrap();
            volume.set_snapshot(b"uuid and so on");
            volume.newest = (id.0 > 1).then_some(SessionSeq(7));
        }
        head.homes.push(Home {
            alias: Alias(4),
            name: PackName([5; 16]),
            key_generation: KeyGeneration(0),
            size: 9000,
            own: 400,
            nodes: 2,
        });
        head.freeing = vec![Alias(1), Alias(3)];
        head.witnesses.push(Witness {
            archive: ArchiveId([9; 16]),
            epoch: Epoch(12),
            head: HeadHash([8; 32]),
        });
        head
    }

    #[test]
    fn a_head_is_read_back() {
        let head = sample();
        assert_eq!(Head::parse(&head.encode()), Ok(head));
    }

    #[test]
    fn names_of_volumes_stay_sorted_and_sound() {
        let mut head = sample();
        assert!(head.add_volume("vm-a-root", DomainNumber(1)).is_err());
        for bad in [
            "",
            "/x",
            "x/",
            "a//b",
            "../x",
            "a/./b",
            "a\nb",
            &"x".repeat(256),
        ] {
            assert!(head.add_volume(bad, DomainNumber(1)).is_err(), "{bad}");
        }
        head.rename_volume("vm-a-root", "zz").unwrap();
        assert!(head.rename_volume("zz", "vm-work-private").is_err());
        let names: Vec<&str> = head.volumes.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["appvms/x/private.img", "vm-work-private", "zz"]);
        assert_eq!(Head::parse(&head.encode()), Ok(head));
    }

    #[test]
    fn a_volume_of_no_domain_is_refused() {
        let mut head = sample();
        head.domains.clear();
        assert!(Head::parse(&head.encode()).is_err());
    }

    #[test]
    fn mutated_heads_are_refused_or_read_in_their_only_form() {
        let empty = Head::first(
            ArchiveId([1; 16]),
            (Generation(1), HeaderHash([2; 32])),
            Compression::None,
        );
        let samples = [sample().encode(), empty.encode()];
        crate::mutation::write_seeds("head", Some(0), &samples);
        crate::mutation::each_mutation(&samples, |bytes| {
            if let Ok(head) = Head::parse(bytes) {
                assert_eq!(head.encode(), bytes);
            }
        });
    }
}
