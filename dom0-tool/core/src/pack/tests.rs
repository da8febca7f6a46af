#![allow(
    clippy::cast_possible_truncation,
    reason = "short tests; the numbers are small"
)]

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::*;
use crate::aead::AeadKey;
use crate::entropy::Entropy;
use crate::head::Compression;
use crate::ids::{
    Alias, ChunkId, ChunkNumber, KeyGeneration, OriginId, PackName, SessionSeq, VolumeId,
};
use crate::mutation::{Random, rounds};
use crate::node::ChunkEntry;
use crate::place::{Place, Root, TreeKind};
use crate::seal::{
    Decoder, Encoder, ItemAddress, ItemBuffer, ItemKind, OVERHEAD, Opener, OpeningKeys, Sealer,
};
use crate::tree::memory::Shelf;
use crate::tree::{Edit, EditTarget};

impl Entropy for Random {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.next() as u8;
        }
    }
}

/// Packs as a store would keep them, their records, and what every item should open to.
struct Depot {
    random: Random,
    objects: BTreeMap<PackName, Vec<u8>>,
    records: BTreeMap<Alias, PackRecord>,
    /// First written where; content.
    items: BTreeMap<Place, (ItemAddress, Vec<u8>)>,
    next: u64,
}

fn key(byte: u8) -> AeadKey {
    AeadKey::new(Zeroizing::new([byte; 32]))
}

fn sealer(generation: u32) -> Sealer {
    let byte = generation as u8 * 2;
    Sealer::new(
        OriginId([9; 16]),
        KeyGeneration(generation),
        key(byte),
        key(byte + 1),
        Zeroizing::new([5; 32]),
    )
}

fn open(at: &ItemAddress, bytes: &[u8], length: usize) -> Vec<u8> {
    let keys = [(0, 1), (2, 3)].map(|(data, index)| OpeningKeys {
        data: key(data),
        index: key(index),
    });
    let (mut out, mut sealed) = (Vec::new(), bytes.to_vec());
    Opener::new(OriginId([9; 16]), keys.into())
        .open(at, &mut sealed, length, &mut Decoder::new(), &mut out)
        .unwrap();
    out
}

impl Depot {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            objects: BTreeMap::new(),
            records: BTreeMap::new(),
            items: BTreeMap::new(),
            next: 0,
        }
    }

    fn writer(&mut self, generation: u32) -> PackWriter {
        self.next += 1;
        let name = PackName([self.next as u8; 16]);
        PackWriter::new(
            Alias(self.next),
            name,
            PackKind::Data,
            KeyGeneration(generation),
        )
    }

    fn write_pack(&mut self) {
        let generation = self.random.below(2) as u32;
        let mut writer = self.writer(generation);
        let sealer = sealer(generation);
        let mut object = Vec::new();
        for number in 0..=self.random.below(6) {
            let content = vec![self.random.next() as u8; 100 + self.random.below(3000)];
            let mut item = ItemBuffer::default();
            item.encode(&mut Encoder::new(Compression::default()), &content);
            let entry = DirectoryEntry::Chunk {
                volume: VolumeId(1),
                chunk: ChunkNumber(number as u64),
                session: SessionSeq(writer.alias().0),
                id: ChunkId([content[0]; 32]),
            };
            let length = item.sealed_length();
            let place = Place {
                alias: writer.alias(),
                offset: writer.reserve(entry, length),
                length,
            };
            let at = ItemAddress {
                key_generation: KeyGeneration(generation),
                kind: ItemKind::Chunk,
                pack: writer.name(),
                offset: place.offset,
            };
            sealer.seal(&mut item, at.kind, at.pack, at.offset, &mut self.random);
            object.extend_from_slice(item.as_bytes());
            self.items.insert(place, (at, content));
        }
        let (alias, name) = (writer.alias(), writer.name());
        let mut encoder = Encoder::new(Compression::default());
        let end = writer.finish(&sealer, &mut encoder, &mut self.random);
        object.extend_from_slice(&end.bytes);
        self.objects.insert(name, object);
        self.records.insert(alias, end.record);
    }

    fn kill(&mut self, places: &[Place]) {
        self.items.retain(|place, _| !places.contains(place));
        let mut touched = kill(&mut self.records, places).unwrap();
        let retired = retire(&mut self.records, &mut touched, &BTreeSet::new());
        for alias in retired.void {
            let record = self.records.remove(&alias).unwrap();
            assert!(self.objects.remove(&record.name).is_some());
        }
        assert!(
            retired
                .gone
                .iter()
                .all(|alias| !self.records.contains_key(alias))
        );
    }

    fn directory(&self, record: &PackRecord) -> Directory {
        let object = &self.objects[&record.name];
        assert_eq!(object.len() as u64, record.size);
        let at = |kind, offset| ItemAddress {
            key_generation: record.key_generation,
            kind,
            pack: record.name,
            offset,
        };
        let trailer = object.len() - OVERHEAD - TRAILER_BODY;
        let body = open(
            &at(ItemKind::Trailer, trailer as u64),
            &object[trailer..],
            TRAILER_BODY,
        );
        let found = Trailer::parse(&body).unwrap();
        let start = found.directory_offset as usize;
        let sealed = &object[start..start + found.directory_length as usize];
        let at = at(ItemKind::Directory, found.directory_offset);
        Directory::parse(&open(&at, sealed, found.directory_raw as usize)).unwrap()
    }

    fn relocate(&mut self, group: &[Alias]) {
        let mut relocation = Relocation::new(self.writer(1));
        for alias in group {
            let record = &self.records[alias];
            let moved = record.sources.iter().map(|m| (*m, self.records[m].clone()));
            let directory = self.directory(record);
            relocation
                .add(*alias, record, &directory, moved.collect::<Vec<_>>())
                .unwrap();
        }
        let mut encoder = Encoder::new(Compression::default());
        let made = relocation.finish(&sealer(1), &mut encoder, &mut self.random);
        let mut object = Vec::new();
        for range in &made.ranges {
            let from = range.offset as usize;
            object
                .extend_from_slice(&self.objects[&range.pack][from..from + range.length as usize]);
        }
        object.extend_from_slice(&made.end);
        self.objects.insert(made.name, object);
        for (alias, record) in made.records {
            match record {
                Some(record) => {
                    assert_eq!(PackRecord::parse(&record.encode()).as_ref(), Ok(&record));
                    self.records.insert(alias, record)
                }
                None => self.records.remove(&alias),
            };
        }
        for (alias, name) in made.freed {
            self.objects.remove(&name);
            // Void packs leave the tree once they are deleted.
            if self.records[&alias].state == PackState::Void {
                self.records.remove(&alias);
            }
        }
    }

    fn check(&self) {
        for (place, (at, content)) in &self.items {
            let (holder, offset) = self.records[&place.alias].resolve(*place).unwrap();
            let holder = &self.records[&holder];
            assert_eq!(holder.state, PackState::Live);
            let from = offset as usize;
            let bytes = &self.objects[&holder.name][from..from + place.length as usize];
            assert_eq!(&open(at, bytes, content.len()), content);
        }
        // Nothing is kept for nobody.
        let names: BTreeSet<Alias> = self.items.keys().map(|place| place.alias).collect();
        for (alias, record) in &self.records {
            assert!(names.contains(alias) || !record.sources.is_empty());
        }
        let live: u64 = self.items.keys().map(|place| u64::from(place.length)).sum();
        let records = self.records.values().filter(|r| r.state == PackState::Live);
        assert_eq!(records.map(PackRecord::live).sum::<u64>(), live);
    }

    fn found(&self) -> Vec<FoundPack> {
        let live = self.records.values().filter(|r| r.state == PackState::Live);
        live.map(|record| FoundPack {
            name: record.name,
            key_generation: record.key_generation,
            size: record.size,
            kind: record.kind,
            directory: self.directory(record),
        })
        .collect()
    }
}

#[test]
fn moved_items_are_found_and_open_however_often_they_move() {
    for seed in 0..rounds(60) {
        let mut depot = Depot::new(seed);
        for _ in 0..20 {
            match depot.random.below(4) {
                0 | 1 => depot.write_pack(),
                2 => {
                    let places: Vec<Place> = depot.items.keys().copied().collect();
                    let some = places.into_iter().filter(|_| depot.random.below(3) == 0);
                    let some: Vec<Place> = some.collect();
                    depot.kill(&some);
                }
                _ => {
                    let policy = MovePolicy {
                        small: 5000,
                        small_packs: depot.random.below(4),
                        target: 8000,
                        ..MovePolicy::default()
                    };
                    let packs = depot.records.iter().map(|(alias, record)| (*alias, record));
                    for group in choose_moves(packs, &BTreeSet::new(), &policy) {
                        depot.relocate(&group);
                    }
                }
            }
            depot.check();
        }
    }
}

#[test]
fn a_lost_pack_table_is_rebuilt_from_the_directories() {
    for seed in 0..rounds(30) {
        let mut depot = Depot::new(seed);
        (0..6).for_each(|_| depot.write_pack());
        for _ in 0..3 {
            let live = depot
                .records
                .iter()
                .filter(|(_, r)| r.state == PackState::Live);
            let group: Vec<Alias> = live.map(|(alias, _)| *alias).take(2).collect();
            depot.relocate(&group);
        }
        let found = depot.found();
        let salvaged = salvage_volume(
            crate::node::ChunkFormat::new(17).unwrap(),
            &found,
            VolumeId(1),
            SessionSeq(u64::MAX),
        );
        for (chunk, entry) in salvaged {
            let newest = found.iter().flat_map(|pack| &pack.directory.items);
            let newest = newest.filter_map(|item| match &item.entry {
                DirectoryEntry::Chunk {
                    chunk: c,
                    session,
                    id,
                    ..
                } if c.0 == chunk => Some((*session, *id)),
                _ => None,
            });
            assert_eq!(Some(*entry.id()), newest.max().map(|(_, id)| id));
        }
        depot.records = rebuild_packs(&found);
        depot.check();
    }
}

#[test]
fn mutated_directories_are_refused_or_read_in_their_only_form() {
    let mut depot = Depot::new(1);
    (0..3).for_each(|_| depot.write_pack());
    depot.relocate(&[Alias(1), Alias(2)]);
    let found = depot.found();
    let samples: Vec<Vec<u8>> = found.iter().map(|pack| pack.directory.encode()).collect();
    crate::mutation::write_seeds("pack_directory", None, &samples);
    crate::mutation::each_mutation(&samples, |bytes| {
        if let Ok(directory) = Directory::parse(bytes) {
            assert_eq!(directory.encode(), bytes);
        }
    });
    let samples: Vec<Vec<u8>> = depot.records.values().map(PackRecord::encode).collect();
    crate::mutation::write_seeds("records", Some(0), &samples);
    crate::mutation::each_mutation(&samples, |bytes| {
        if let Ok(record) = PackRecord::parse(bytes) {
            assert_eq!(record.encode(), bytes);
        }
    });
}

#[test]
fn only_whole_blocks_of_data_packs_are_punched() {
    let record = |kind| {
        let mut record = PackRecord::new(kind, PackName([1; 16]), KeyGeneration(0), 100_000, 100);
        record.dead.insert(1, 4096);
        record.dead.insert(5000, 20_000);
        record.dead.insert(40_960, 45_056);
        record
    };
    let ranges: Vec<_> = record(PackKind::Data).punchable().collect();
    assert_eq!(ranges, [(8192, 16_384), (40_960, 45_056)]);
    assert_eq!(record(PackKind::Index).punchable().count(), 0);
}

#[test]
fn an_index_pack_holds_leaves_before_inner_nodes_and_its_roots_are_found_without_a_head() {
    let key = crate::tree::memory::digest_key();
    let target = |volume| EditTarget {
        tree: TreeKind::Chunks,
        volume: VolumeId(volume),
        session: SessionSeq(9),
        key: &key,
    };
    let (alias, name) = (Alias(5), PackName([5; 16]));
    let encoder = Encoder::new(Compression::default());
    let mut pack = IndexPack::new(alias, name, sealer(1).into(), encoder, Box::new(Random(1)));
    let shelf = Shelf::default();
    let mut source = shelf.read();
    let mut edits = [1, 2].map(|volume| Edit::new(target(volume), &Root::Empty, None));
    for edit in &mut edits {
        for chunk in [3, 70, 5000, 300_000] {
            let id = ChunkId([1; 32]);
            edit.push(&mut source, &mut pack, chunk, Some(ChunkEntry::Lost { id }))
                .unwrap();
        }
        edit.end_leaves(&mut source, &mut pack).unwrap();
    }
    loop {
        let mut more = false;
        for edit in &mut edits {
            more |= edit.raise(&mut source, &mut pack).unwrap();
        }
        if !more {
            break;
        }
    }
    let roots = edits.map(|edit| edit.finish(&mut source).unwrap().root);
    let finished = pack.finish();
    let mut depot = Depot::new(1);
    depot.objects.insert(name, finished.bytes);
    depot.records.insert(alias, finished.record);
    let found = depot.found();
    let levels = found[0]
        .directory
        .items
        .iter()
        .map(|item| match item.entry {
            DirectoryEntry::Node { level, .. } => level,
            _ => unreachable!(),
        });
    assert!(levels.is_sorted());
    let made = find_roots(&found);
    for (volume, root) in (1..).zip(roots) {
        let key = (TreeKind::Chunks, VolumeId(volume), SessionSeq(9));
        assert_eq!(made[&key], root);
    }
}
