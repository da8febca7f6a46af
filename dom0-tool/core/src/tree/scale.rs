//! What a commit costs in a large archive: 200 volumes, 500 sessions of all of them.

use std::collections::BTreeMap;

use super::memory::{Shelf, digest_key};
use super::*;
use crate::head::{Compression, Head};
use crate::ids::{
    Alias, ArchiveId, ChunkId, DomainNumber, Generation, HeaderHash, KeyGeneration, PackName,
};
use crate::node::ChunkEntry;
use crate::pack::{PackKind, PackRecord};
use crate::place::Root;
use crate::session::{Session, SessionTime, SessionVolume};
use crate::session_name::SessionName;

const VOLUMES: u32 = 200;
const SESSIONS: u64 = 500;
/// Chunks of a volume of 10 GiB.
const CHUNKS: u64 = 10 << 13;

struct Archive {
    shelf: Shelf,
    head: Head,
    packs: BTreeMap<Alias, PackRecord>,
    name: SessionName,
}

/// Bytes that one commit wrote.
struct Cost {
    leaves: usize,
    index: usize,
    head: usize,
}

fn pack(kind: PackKind, alias: Alias, size: u64) -> PackRecord {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&alias.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    PackRecord::new(kind, PackName(name), KeyGeneration(0), size, 1000)
}

impl Archive {
    fn new() -> Self {
        let header = (Generation(1), HeaderHash([1; 32]));
        let mut head = Head::first(ArchiveId([1; 16]), header, Compression::default());
        for number in 0..VOLUMES {
            let name = format!("vm-some-qube-{number:03}-private");
            head.add_volume(&name, DomainNumber(1)).unwrap();
        }
        Self {
            shelf: Shelf::default(),
            head,
            packs: BTreeMap::new(),
            name: "20260101-000000".parse().unwrap(),
        }
    }

    /// Writes a few chunks to one volume.
    fn write(&mut self, fresh: &mut Shelf, volume: usize, chunks: &[u64]) -> usize {
        let key = digest_key();
        let volume = &mut self.head.volumes[volume];
        let target = EditTarget {
            tree: TreeKind::Chunks,
            volume: volume.id,
            session: self.head.next.session,
            key: &key,
        };
        let entry = |chunk: u64| ChunkEntry::Chunk {
            id: ChunkId([chunk.to_le_bytes()[0]; 32]),
            place: Place {
                alias: Alias(self.head.next.session.0 * 2),
                offset: chunk % 500 * 70_000,
                length: 70_000,
            },
        };
        let mut source = self.shelf.read();
        let mut edit = Edit::new(target, &volume.root, None);
        for chunk in chunks {
            edit.push(&mut source, fresh, *chunk, Some(entry(*chunk)))
                .unwrap();
        }
        edit.end_leaves(&mut source, fresh).unwrap();
        let leaves = fresh.bytes_written;
        while edit.raise(&mut source, fresh).unwrap() {}
        volume.root = edit.finish(&mut source).unwrap().root;
        leaves
    }

    fn records(
        &mut self,
        fresh: &mut Shelf,
        tree: TreeKind,
        root: Root,
        changes: Vec<(u64, Option<Vec<u8>>)>,
    ) -> Edited {
        let key = digest_key();
        let staged = RecordTree::stage(tree, &key, changes, fresh).unwrap();
        let tree = RecordTree { tree, root };
        tree.apply(&key, staged, &mut self.shelf.read(), fresh)
            .unwrap()
    }

    fn commit(&mut self, volume: usize, chunks: &[u64]) -> Cost {
        let mut fresh = self.shelf.fresh();
        let leaves = self.write(&mut fresh, volume, chunks);
        let number = self.head.next.session;
        self.name = self.name.plus_one_second();
        let mut session = Session::new(self.name, SessionTime::default(), Vec::new());
        let volumes = self.head.volumes.iter().map(|volume| SessionVolume {
            volume: volume.id,
            size: CHUNKS << 17,
            stored: 123_456,
            root: volume.root,
        });
        session.set_volumes(volumes.collect());
        let record = vec![(number.0, Some(session.encode()))];
        let sessions = self.records(&mut fresh, TreeKind::Sessions, self.head.sessions, record);
        let hash = vec![(number.0, Some(vec![7; 32]))];
        let history = self.records(&mut fresh, TreeKind::Heads, self.head.history, hash);
        (self.head.sessions, self.head.history) = (sessions.root, history.root);
        // The data pack of this commit, and what died in older packs.
        let data = Alias(fresh.alias + 2);
        self.packs.insert(data, pack(PackKind::Data, data, 1 << 20));
        let mut touched = vec![data, Alias(fresh.alias.saturating_sub(1))];
        for place in sessions.dropped.iter().chain(&history.dropped) {
            self.packs.get_mut(&place.alias).unwrap().kill(place);
            touched.push(place.alias);
        }
        touched.sort_unstable();
        touched.dedup();
        let known = touched
            .iter()
            .filter_map(|alias| Some((alias.0, self.packs.get(alias)?)));
        let changes = known
            .map(|(alias, pack)| (alias, Some(pack.encode())))
            .collect();
        let packs = self.records(&mut fresh, TreeKind::Packs, self.head.packs, changes);
        self.head.packs = packs.root;
        // The index pack of this commit enters the tree with the next head.
        let index = Alias(fresh.alias + 1);
        let size = fresh.bytes_written;
        self.packs
            .insert(index, pack(PackKind::Index, index, size as u64 + 1000));
        self.head.next.session = SessionSeq(number.0 + 1);
        self.shelf.absorb(fresh);
        self.shelf.alias = data.0 - 1;
        Cost {
            leaves,
            index: size - leaves,
            head: self.head.encode().len(),
        }
    }
}

#[test]
fn a_small_session_in_a_large_archive_commits_under_128_kib_and_is_listed_in_few_round_trips() {
    let mut archive = Archive::new();
    for volume in 0..VOLUMES as usize {
        let mut fresh = archive.shelf.fresh();
        let some: Vec<u64> = (0..CHUNKS)
            .step_by(if volume == 0 { 1 } else { 4096 })
            .collect();
        archive.write(&mut fresh, volume, &some);
        archive.shelf.absorb(fresh);
    }
    for (number, volume) in (0..SESSIONS - 1).zip((0..7).cycle()) {
        archive.commit(volume, &[number * 150, number * 150 + 1]);
    }
    let cost = archive.commit(0, &[77, 40_000]);
    println!(
        "{} bytes of leaves, {} of other nodes and records, {} of head",
        cost.leaves, cost.index, cost.head
    );
    assert!(cost.index + cost.head < 128 << 10);

    let mut source = archive.shelf.read();
    let packs = RecordTree {
        tree: TreeKind::Packs,
        root: archive.head.packs,
    };
    let sessions = RecordTree {
        tree: TreeKind::Sessions,
        root: archive.head.sessions,
    };
    assert!(packs.range(&mut source, 0..u64::MAX).unwrap().len() > 900);
    let all = sessions.range(&mut source, 0..u64::MAX).unwrap();
    assert_eq!(all.len() as u64, SESSIONS);
    // Before these: hello, header, the list of heads, the head itself.
    println!("{} batches", source.batches);
    assert!(4 + source.batches < 20);
}
