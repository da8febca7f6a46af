//! `list` by qubes: which volumes are whose is told by their names.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::head::Volume;
use nacre_core::ids::{SessionSeq, VolumeId};

use super::listing::{Cell, Rows, name_of, tags_of};
use super::selection::of_qube;
use super::world::World;
use crate::archive::{Archive, Sessions};
use crate::cli::List;
use crate::qubes::qube_of;
use crate::report::Align;

/// All qubes of which the archive has a volume.
pub fn qubes(world: &World<'_>, archive: &Archive, sessions: &Sessions) -> Rows {
    let columns = [
        ("QUBE", Align::Left),
        ("VOLUMES", Align::Left),
        ("SIZE", Align::Right),
        ("SESSIONS", Align::Right),
        ("NEWEST", Align::Left),
        ("AGE", Align::Right),
    ];
    let mut rows = Rows::new(
        &columns,
        "The archive has no volumes of qubes yet.".to_owned(),
    );
    let mut all: BTreeMap<&str, Vec<(&str, &Volume)>> = BTreeMap::new();
    for volume in &archive.head().volumes {
        if let Some((qube, name)) = qube_of(&volume.name) {
            all.entry(qube).or_default().push((name, volume));
        }
    }
    let now = world.clock().now().seconds;
    for (qube, mut volumes) in all {
        volumes.sort_by_key(|(name, _)| *name);
        let ids = ids(volumes.iter().map(|(_, volume)| *volume));
        let of_qube = in_sessions(sessions, &ids);
        let newest = of_qube.last().and_then(|seq| sessions.get(*seq));
        rows.lines.push(vec![
            Cell::Text(qube.to_owned()),
            Cell::List(volumes.iter().map(|(name, _)| (*name).to_owned()).collect()),
            Cell::Bytes(volumes.iter().map(|(_, volume)| volume.size).sum()),
            Cell::Number(of_qube.len() as u64),
            Cell::Text(newest.map_or_else(|| "-".to_owned(), name_of)),
            Cell::Age(newest.map(|session| now.saturating_sub(session.time.seconds).max(0))),
        ]);
    }
    rows
}

/// The sessions of one qube.
pub fn sessions(archive: &Archive, sessions: &Sessions, qube: &str, wanted: &List) -> Rows {
    let mut columns = vec![
        ("SESSION", Align::Left),
        ("VOLUMES", Align::Left),
        ("SIZE", Align::Right),
        ("STORED", Align::Right),
    ];
    if wanted.tags {
        columns.push(("TAGS", Align::Left));
    }
    let mut rows = Rows::new(&columns, format!("Qube {qube} has no such session."));
    let volumes = of_qube(archive, qube);
    let ids = ids(volumes.iter().copied());
    for seq in in_sessions(sessions, &ids) {
        let Some(session) = sessions.get(seq) else {
            continue;
        };
        let tagged = wanted.tagged.as_ref();
        if tagged.is_some_and(|tag| !session.has_tag(tag.as_str())) {
            continue;
        }
        let inside = session.volumes.iter().filter(|at| ids.contains(&at.volume));
        let name = |id: VolumeId| {
            let volume = volumes.iter().find(|volume| volume.id == id);
            let name = volume.and_then(|volume| qube_of(&volume.name));
            name.map_or_else(String::new, |(_, name)| name.to_owned())
        };
        let mut names: Vec<String> = inside.clone().map(|at| name(at.volume)).collect();
        names.sort();
        let mut row = vec![
            Cell::Text(name_of(session)),
            Cell::List(names),
            Cell::Bytes(inside.clone().map(|at| at.size).sum()),
            Cell::Bytes(inside.map(|at| at.stored).sum()),
        ];
        if wanted.tags {
            row.push(Cell::List(tags_of(session)));
        }
        rows.lines.push(row);
    }
    rows
}

fn ids<'a>(volumes: impl Iterator<Item = &'a Volume>) -> BTreeSet<VolumeId> {
    volumes.map(|volume| volume.id).collect()
}

/// Sessions that have any of these volumes, oldest first.
fn in_sessions(sessions: &Sessions, ids: &BTreeSet<VolumeId>) -> Vec<SessionSeq> {
    let any = sessions
        .iter()
        .filter(|(_, session)| session.volumes.iter().any(|at| ids.contains(&at.volume)));
    any.map(|(seq, _)| seq).collect()
}
