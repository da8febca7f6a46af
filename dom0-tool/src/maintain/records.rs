//! Records of the archive itself that are lost: what takes their place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use nacre_core::ids::{Alias, PackName, SessionSeq, VolumeId};
use nacre_core::node::{RecordEntry, child};
use nacre_core::pack::{DirectoryEntry, PackKind, PackRecord, rebuild_packs};
use nacre_core::place::{Place, Pointer, Root, TreeKind};
use nacre_core::session::{Session, SessionTime, SessionVolume};
use nacre_core::tree::{Compare, Diff, LostNode, NodeSource, RecordTree};

use super::claims;
use super::objects::Objects;
use super::rebuild::places;
use crate::archive::{Archive, Error, Nodes, Result, Sessions};

/// What of the archive's own records is lost, and what can be put in its place.
#[derive(Debug, Default)]
pub struct LostIndex {
    /// Nodes that cannot be read, with their levels.
    pub nodes: Vec<(Place, u8)>,
    /// Records that are lost or cannot be parsed: tree and keys.
    pub records: Vec<(TreeKind, Range<u64>)>,
    /// Records of packs, put together from the packs' own directories.
    pub packs: BTreeMap<Alias, PackRecord>,
    /// Sessions that the head knows as the newest of volumes, under new names.
    pub sessions: BTreeMap<SessionSeq, Session>,
}

impl LostIndex {
    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.records.is_empty()
    }
}

/// Calls `visit` for every record of a pack that can be read.
pub fn each_pack(archive: &Archive, visit: &mut dyn FnMut(Alias, PackRecord)) -> Result<()> {
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    let packs = RecordTree {
        tree: TreeKind::Packs,
        root: archive.head().packs,
    };
    let mut lost = Vec::new();
    packs.each_tolerant(&mut source, 0..u64::MAX, &mut lost, |key, bytes| {
        if let Ok(record) = PackRecord::parse(&bytes) {
            visit(Alias(key), record);
        }
    });
    match lost.into_iter().find(|(_, error)| !error.is_damage()) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// Looks for what is lost.
pub fn find(archive: &Archive, objects: &Objects, sessions: &Sessions) -> Result<LostIndex> {
    let head = archive.head();
    let mut found = LostIndex::default();
    let trees = [
        (TreeKind::Packs, head.packs),
        (TreeKind::Sessions, head.sessions),
        (TreeKind::Counters, head.counters),
        (TreeKind::Heads, head.history),
    ];
    for (tree, root) in trees {
        find_in(archive, tree, root, &mut found)?;
    }
    let keys = |tree| {
        let mine = found.records.iter().filter(move |(one, _)| *one == tree);
        mine.map(|(_, keys)| keys.clone()).collect::<Vec<_>>()
    };
    let (packs, lost_sessions) = (keys(TreeKind::Packs), keys(TreeKind::Sessions));
    if !packs.is_empty() {
        found.packs = rebuild_lost_packs(archive, objects, &packs)?;
        let nodes = archive.nodes();
        for (alias, record) in &found.packs {
            // What follows is to be found through them already.
            nodes.packs().loaded(*alias, Some(record.clone()));
        }
    }
    if !lost_sessions.is_empty() {
        found.sessions = older_sessions(archive, objects, &lost_sessions)?;
    }
    for range in &lost_sessions {
        rebuild_sessions(archive, sessions, range, &mut found.sessions);
    }
    Ok(found)
}

fn find_in(archive: &Archive, tree: TreeKind, root: Root, found: &mut LostIndex) -> Result<()> {
    let nodes = archive.nodes();
    let mut source: &Nodes = &nodes;
    let mut lost: Vec<LostNode<Error>> = Vec::new();
    let mut diff = Diff::<RecordEntry>::new(tree, &Root::Empty, &root, Compare::Places);
    while diff.next_tolerant(&mut source, &mut lost).is_some() {}
    for node in lost {
        if !node.error.is_damage() {
            return Err(node.error);
        }
        found.nodes.push((node.pointer.place, node.level));
        found.records.push((tree, node.keys));
    }
    // Large records lie beside the nodes and may be lost alone; others may be there and be no records.
    let mut broken = Vec::new();
    let mut single = Vec::new();
    let records = RecordTree { tree, root };
    records.each_tolerant(&mut source, 0..u64::MAX, &mut broken, |key, bytes| {
        let parses = match tree {
            TreeKind::Packs => PackRecord::parse(&bytes).is_ok(),
            TreeKind::Sessions => Session::parse(&bytes).is_ok(),
            TreeKind::Counters => nacre_core::counters::Counters::parse(&bytes).is_ok(),
            _ => bytes.len() == 32,
        };
        if !parses {
            single.push((tree, key..key.saturating_add(1)));
        }
    });
    found.records.append(&mut single);
    for (keys, error) in broken {
        if !error.is_damage() {
            return Err(error);
        }
        if keys.end == keys.start.saturating_add(1) {
            found.records.push((tree, keys));
        }
    }
    Ok(())
}

/// The records of packs whose aliases lie in lost ranges, from the directories of all packs.
fn rebuild_lost_packs(
    archive: &Archive,
    objects: &Objects,
    lost: &[Range<u64>],
) -> Result<BTreeMap<Alias, PackRecord>> {
    let next = archive.head().next.alias;
    let is_lost = |alias: Alias| alias < next && lost.iter().any(|keys| keys.contains(&alias.0));
    let nodes = archive.nodes();
    let homes = archive.head().homes.iter();
    let mut named: BTreeSet<PackName> = BTreeSet::new();
    let home_names: BTreeSet<PackName> = homes.map(|home| home.name).collect();
    each_pack(archive, &mut |_, record| {
        named.insert(record.name);
    })?;
    let mut found = Vec::new();
    for (name, size) in objects.iter() {
        match nodes.directory(name, size) {
            Ok(pack) => {
                let origins = pack.directory.origins.iter();
                let holds = origins.map(|origin| origin.alias).any(is_lost);
                let known = named.contains(&name) || home_names.contains(&name);
                // One that is not known under an alias that is: an interrupted run left it, and the alias means another pack.
                if is_lost(pack.directory.alias) && !named.contains(&name) || holds && known {
                    found.push(pack);
                }
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    let found = claims::settle(archive, found, &is_lost)?;
    let mut packs = rebuild_packs(&found);
    let homes: BTreeSet<Alias> = archive.head().homes.iter().map(|home| home.alias).collect();
    packs.retain(|alias, _| is_lost(*alias));
    // The newest index pack enters the tree by itself.
    packs.retain(|alias, _| homes.last() != Some(alias));
    Ok(packs)
}

/// Sessions of the lost numbers, from the newest older version of each lost leaf: nodes that no tree needs any more stay in their packs for a while. It
/// is the state of one commit before, so what has been pruned by then does not come back.
fn older_sessions(
    archive: &Archive,
    objects: &Objects,
    lost: &[Range<u64>],
) -> Result<BTreeMap<SessionSeq, Session>> {
    let nodes = archive.nodes();
    let mut leaves: BTreeMap<u64, Vec<Pointer>> = BTreeMap::new();
    for (name, size) in objects.iter() {
        let found = match nodes.directory(name, size) {
            Ok(found) if found.kind == PackKind::Index => found,
            Err(error) if !error.is_damage() => return Err(error),
            _ => continue,
        };
        for (place, entry) in places(&found) {
            if let DirectoryEntry::Node {
                tree: TreeKind::Sessions,
                level: 0,
                prefix,
                raw_length,
                digest,
                ..
            } = entry
            {
                leaves.entry(*prefix).or_default().push(Pointer {
                    place,
                    raw_length: *raw_length,
                    digest: *digest,
                });
            }
        }
    }
    let mut sessions = BTreeMap::new();
    for (prefix, versions) in &mut leaves {
        versions.sort_by_key(|pointer| std::cmp::Reverse(pointer.place));
        for pointer in versions.iter() {
            let mut source: &Nodes = &nodes;
            match source.nodes(TreeKind::Sessions, std::slice::from_ref(pointer)) {
                Ok(found) => {
                    let entries = found.iter().flat_map(|leaf| leaf.entries::<RecordEntry>());
                    for (slot, entry) in entries {
                        let seq = child(*prefix, *slot);
                        if lost.iter().any(|keys| keys.contains(&seq))
                            && let Some(session) = session_of(&nodes, entry)?
                        {
                            sessions.insert(SessionSeq(seq), session);
                        }
                    }
                    break;
                }
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(sessions)
}

fn session_of(nodes: &Nodes, entry: &RecordEntry) -> Result<Option<Session>> {
    let mut source = nodes;
    let bytes = match entry {
        RecordEntry::Inline(bytes) => bytes.clone(),
        RecordEntry::Record(pointer) => match source.records(TreeKind::Sessions, &[*pointer]) {
            Ok(mut records) => records.pop().unwrap_or_default(),
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    Ok(Session::parse(&bytes).ok())
}

/// The head knows each volume's newest tree and size. A session that is known from nowhere else gets a new name, no tags, and counts as unfinished.
fn rebuild_sessions(
    archive: &Archive,
    sessions: &Sessions,
    lost: &Range<u64>,
    rebuilt: &mut BTreeMap<SessionSeq, Session>,
) {
    let head = archive.head();
    let mut newest: BTreeMap<SessionSeq, Vec<VolumeId>> = BTreeMap::new();
    for volume in &head.volumes {
        if let Some(seq) = volume.newest.filter(|seq| lost.contains(&seq.0)) {
            newest.entry(seq).or_default().push(volume.id);
        }
    }
    for (seq, volumes) in newest {
        if let Some(known) = rebuilt.get_mut(&seq) {
            // Of the commit before: what the head says of the volumes is newer.
            let mut members = known.volumes.clone();
            members.retain(|member| !volumes.contains(&member.volume));
            let before = members.len();
            members.extend(session(archive, known.name, &volumes).volumes);
            if members.len() > before && members != known.volumes {
                known.set_volumes(members);
            }
            continue;
        }
        let before = sessions.iter().rfind(|(known, _)| *known < seq);
        let mine = rebuilt.range(..seq).next_back();
        let names = [
            before.map(|(_, session)| session.name),
            mine.map(|(_, session)| session.name),
        ];
        let Some(name) = names.into_iter().flatten().max() else {
            let first = "19700101-000001".parse();
            if let Ok(name) = first {
                rebuilt.insert(seq, session(archive, name, &volumes));
            }
            continue;
        };
        rebuilt.insert(seq, session(archive, name.plus_one_second(), &volumes));
    }
}

fn session(
    archive: &Archive,
    name: nacre_core::session_name::SessionName,
    volumes: &[VolumeId],
) -> Session {
    let time = SessionTime {
        seconds: archive.head().time,
        utc_offset: 0,
        zone: String::new(),
    };
    let mut session = Session::new(name, time, Vec::new());
    // Nobody knows whether the run came to its end.
    session.unfinished = true;
    let volumes = volumes.iter().filter_map(|id| {
        let volume = archive.head().volume_by_id(*id)?;
        Some(SessionVolume {
            volume: *id,
            size: volume.size,
            stored: 0,
            root: volume.root,
        })
    });
    session.set_volumes(volumes.collect());
    session
}
