//! `list`.

use nacre_core::head::Volume;
use nacre_core::session::Session;

use super::opening::open_archive;
use super::selection::{volume, wish};
use super::world::World;
use crate::archive::{Archive, Error, Result, Sessions, Wish};
use crate::cli::{Exit, List, Listing, SessionPoint, Verbosity};
use crate::entry;
use crate::joints::sanitise::sanitise;
use crate::report::{Align, Table, text};

/// Shows what there is.
pub fn run(world: &World<'_>, wanted: &List) -> Result<Exit> {
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    let rows = match &wanted.what {
        Listing::Volumes => volumes(world, &archive, &sessions),
        Listing::Sessions(name) => {
            let volume = volume(&archive, name.as_str())?;
            of_volume(volume, &sessions, wanted)
        }
        Listing::Content(point) => content(&archive, &sessions, point, None)?,
        Listing::VolumeIn(name, point) => {
            let volume = volume(&archive, name.as_str())?;
            content(&archive, &sessions, point, Some(volume))?
        }
    };
    Ok(if world.common.json {
        entry::show(&rows.json())
    } else {
        entry::show(&rows.text())
    })
}

/// A table whose rows can be printed for people or for programs.
pub(super) struct Rows {
    columns: Vec<(&'static str, Align)>,
    pub(super) lines: Vec<Vec<Cell>>,
    nothing: String,
}

pub(super) enum Cell {
    Text(String),
    Bytes(u64),
    Number(u64),
    List(Vec<String>),
}

impl Rows {
    pub(super) fn new(columns: &[(&'static str, Align)], nothing: String) -> Self {
        Self {
            columns: columns.to_vec(),
            lines: Vec::new(),
            nothing,
        }
    }

    pub(super) fn text(&self) -> String {
        if self.lines.is_empty() {
            return format!("{}\n", self.nothing);
        }
        let mut table = Table::new(&self.columns);
        for row in &self.lines {
            table.row(row.iter().map(Cell::text));
        }
        table.render()
    }

    /// One object a line.
    pub(super) fn json(&self) -> String {
        let mut lines = String::new();
        for row in &self.lines {
            let fields = self.columns.iter().zip(row);
            let object: serde_json::Map<String, serde_json::Value> = fields
                .map(|((name, _), cell)| (name.to_lowercase(), cell.json()))
                .collect();
            lines.push_str(&crate::report::ascii_line(&object));
        }
        lines
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => sanitise(text.as_bytes(), 512),
            Self::Bytes(bytes) => text::size(*bytes),
            Self::Number(number) => number.to_string(),
            Self::List(list) => sanitise(list.join(" ").as_bytes(), 512),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Bytes(number) | Self::Number(number) => (*number).into(),
            Self::List(list) => list.clone().into(),
        }
    }
}

fn volumes(world: &World<'_>, archive: &Archive, sessions: &Sessions) -> Rows {
    // The number is for scripts, and for `delete --vid`.
    let numbers = world.common.json || world.common.verbosity >= Verbosity::Verbose;
    let mut columns = vec![
        ("VOLUME", Align::Left),
        ("SIZE", Align::Right),
        ("SESSIONS", Align::Right),
        ("NEWEST", Align::Left),
        ("DESCRIPTION", Align::Left),
    ];
    if numbers {
        columns.push(("NUMBER", Align::Right));
    }
    let mut rows = Rows::new(&columns, "The archive has no volumes yet.".to_owned());
    for volume in &archive.head().volumes {
        let count = sessions.of_volume(volume.id).count() as u64;
        let newest = sessions.of_volume(volume.id).next_back();
        let newest = newest.map_or_else(|| "-".to_owned(), |(_, session, _)| name_of(session));
        let mut row = vec![
            Cell::Text(volume.name.clone()),
            Cell::Bytes(volume.size),
            Cell::Number(count),
            Cell::Text(newest),
            Cell::Text(volume.description.clone()),
        ];
        row.extend(numbers.then(|| Cell::Number(u64::from(volume.id.0))));
        rows.lines.push(row);
    }
    rows
}

fn of_volume(volume: &Volume, sessions: &Sessions, wanted: &List) -> Rows {
    let mut columns = vec![
        ("SESSION", Align::Left),
        ("SIZE", Align::Right),
        ("STORED", Align::Right),
    ];
    if wanted.tags {
        columns.push(("TAGS", Align::Left));
    }
    let mut rows = Rows::new(
        &columns,
        format!("Volume {} has no such session.", volume.name),
    );
    for (_, session, at) in sessions.of_volume(volume.id) {
        let tagged = wanted.tagged.as_ref();
        if tagged.is_some_and(|tag| !session.has_tag(tag.as_str())) {
            continue;
        }
        let mut row = vec![
            Cell::Text(name_of(session)),
            Cell::Bytes(at.size),
            Cell::Bytes(at.stored),
        ];
        if wanted.tags {
            row.push(Cell::List(tags_of(session)));
        }
        rows.lines.push(row);
    }
    rows
}

/// The volumes of one session, or one of them.
fn content(
    archive: &Archive,
    sessions: &Sessions,
    point: &SessionPoint,
    only: Option<&Volume>,
) -> Result<Rows> {
    let wish = wish(point)?;
    let found = sessions.iter().rfind(|(_, session)| match &wish {
        Wish::Newest => true,
        Wish::Named(name) => session.name == *name,
        Wish::Tagged(tag) => session.has_tag(tag),
    });
    let (_, session) = found.ok_or_else(|| {
        Error::refused(
            "the archive has no such session",
            "See `nacre list VOLUME` for the sessions of a volume.",
        )
    })?;
    let mut rows = Rows::new(
        &[
            ("VOLUME", Align::Left),
            ("SESSION", Align::Left),
            ("SIZE", Align::Right),
            ("STORED", Align::Right),
            ("TAGS", Align::Left),
        ],
        format!("Session {} does not have this volume.", session.name),
    );
    for at in &session.volumes {
        if only.is_some_and(|volume| volume.id != at.volume) {
            continue;
        }
        let volume = archive.head().volume_by_id(at.volume);
        let name = volume.map_or_else(|| format!("volume {}", at.volume), |v| v.name.clone());
        rows.lines.push(vec![
            Cell::Text(name),
            Cell::Text(name_of(session)),
            Cell::Bytes(at.size),
            Cell::Bytes(at.stored),
            Cell::List(tags_of(session)),
        ]);
    }
    Ok(rows)
}

fn name_of(session: &Session) -> String {
    let mut name = session.name.to_string();
    for (_, mark) in [
        (session.unfinished, " (unfinished)"),
        (session.protected, " (protected)"),
    ]
    .iter()
    .filter(|(is, _)| *is)
    {
        name.push_str(mark);
    }
    name
}

fn tags_of(session: &Session) -> Vec<String> {
    let tag = |tag: &nacre_core::session::Tag| {
        if tag.description.is_empty() {
            tag.id.clone()
        } else {
            format!("{},{}", tag.id, tag.description)
        }
    };
    session.tags.iter().map(tag).collect()
}
