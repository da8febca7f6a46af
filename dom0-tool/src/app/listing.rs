//! `list`.

use nacre_core::head::Volume;
use nacre_core::session::{Session, SessionVolume};

use super::opening::open_archive;
use super::qube_listing;
use super::selection::{is_qube, named, volume, wish};
use super::status::record::{self, Run};
use super::world::{World, civil};
use crate::archive::{Archive, Error, Result, Sessions, VerifiedVersions, Wish};
use crate::cli::{Exit, List, Listing, SessionPoint, Verbosity};
use crate::entry;
use crate::joints::sanitise::sanitise;
use crate::report::{Align, Table, text};

/// Shows what there is.
pub fn run(world: &World<'_>, wanted: &List) -> Result<Exit> {
    let archive = open_archive(world)?;
    let sessions = archive.sessions()?;
    record::seen(world, &archive, &Run::default());
    let verified = Verified::of(world, &archive)?;
    let rows = match &wanted.what {
        Listing::Volumes => volumes(&archive, &sessions, &verified),
        Listing::Qubes => qube_listing::qubes(world, &archive, &sessions),
        Listing::Sessions(name) if is_qube(&archive, name.as_str()) => {
            qube_listing::sessions(&archive, &sessions, name.as_str(), wanted)
        }
        Listing::Sessions(name) => {
            let volume = volume(&archive, name.as_str())?;
            of_volume(volume, &sessions, wanted, &verified)
        }
        Listing::Content(point) => content(&archive, &sessions, point, None, &verified)?,
        Listing::VolumeIn(name, point) => {
            let volumes = named(&archive, name.as_str())?;
            content(&archive, &sessions, point, Some(&volumes), &verified)?
        }
    };
    Ok(if world.common.json {
        entry::show(&rows.json())
    } else {
        entry::show(&rows.text())
    })
}

/// When versions were last read whole, in a column that is there for programs and with `--verbose`.
struct Verified<'a> {
    world: &'a World<'a>,
    /// `None` without the column.
    versions: Option<VerifiedVersions>,
}

impl<'a> Verified<'a> {
    fn of(world: &'a World<'a>, archive: &Archive) -> Result<Self> {
        let shown = world.common.json || world.common.verbosity >= Verbosity::Verbose;
        let versions = shown.then(|| VerifiedVersions::load(archive.memory()));
        let versions = versions.transpose()?;
        Ok(Self { world, versions })
    }

    fn column(&self) -> Option<(&'static str, Align)> {
        self.versions.as_ref().map(|_| ("VERIFIED", Align::Left))
    }

    /// The column's cell for a version, or for the lack of one.
    fn cell(&self, at: Option<&SessionVolume>) -> Option<Cell> {
        let versions = self.versions.as_ref()?;
        let time = at.and_then(|at| versions.when(at.volume, &at.root, at.size));
        Some(Cell::Time(time.map(|time| civil(self.world, time))))
    }
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
    /// Local time in the form of session names; `None` for never.
    Time(Option<String>),
    /// How many seconds ago; `None` for never.
    Age(Option<i64>),
}

impl Rows {
    /// No rows yet; `nothing` is said in their place.
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
            Self::Time(time) => time.clone().unwrap_or_else(|| "-".to_owned()),
            Self::Age(age) => age.map_or_else(|| "-".to_owned(), |age| text::age(age, 0)),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Bytes(number) | Self::Number(number) => (*number).into(),
            Self::List(list) => list.clone().into(),
            Self::Time(time) => time.clone().into(),
            Self::Age(age) => (*age).into(),
        }
    }
}

fn volumes(archive: &Archive, sessions: &Sessions, verified: &Verified<'_>) -> Rows {
    // The number is for scripts, and for `delete --vid`.
    let numbers = verified.versions.is_some();
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
    columns.extend(verified.column());
    let mut rows = Rows::new(&columns, "The archive has no volumes yet.".to_owned());
    for volume in &archive.head().volumes {
        let count = sessions.of_volume(volume.id).count() as u64;
        let newest = sessions.of_volume(volume.id).next_back();
        let read = verified.cell(newest.map(|(_, _, at)| at));
        let newest = newest.map_or_else(|| "-".to_owned(), |(_, session, _)| name_of(session));
        let mut row = vec![
            Cell::Text(volume.name.clone()),
            Cell::Bytes(volume.size),
            Cell::Number(count),
            Cell::Text(newest),
            Cell::Text(volume.description.clone()),
        ];
        row.extend(numbers.then(|| Cell::Number(u64::from(volume.id.0))));
        row.extend(read);
        rows.lines.push(row);
    }
    rows
}

fn of_volume(volume: &Volume, sessions: &Sessions, wanted: &List, verified: &Verified<'_>) -> Rows {
    let mut columns = vec![
        ("SESSION", Align::Left),
        ("SIZE", Align::Right),
        ("STORED", Align::Right),
    ];
    if wanted.tags {
        columns.push(("TAGS", Align::Left));
    }
    columns.extend(verified.column());
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
        row.extend(verified.cell(Some(at)));
        rows.lines.push(row);
    }
    rows
}

/// The volumes of one session, or some of them.
fn content(
    archive: &Archive,
    sessions: &Sessions,
    point: &SessionPoint,
    only: Option<&[&Volume]>,
    verified: &Verified<'_>,
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
    let mut columns = vec![
        ("VOLUME", Align::Left),
        ("SESSION", Align::Left),
        ("SIZE", Align::Right),
        ("STORED", Align::Right),
        ("TAGS", Align::Left),
    ];
    columns.extend(verified.column());
    let mut rows = Rows::new(
        &columns,
        format!("Session {} does not have this volume.", session.name),
    );
    for at in &session.volumes {
        if only.is_some_and(|only| only.iter().all(|volume| volume.id != at.volume)) {
            continue;
        }
        let volume = archive.head().volume_by_id(at.volume);
        let name = volume.map_or_else(|| format!("volume {}", at.volume), |v| v.name.clone());
        let mut row = vec![
            Cell::Text(name),
            Cell::Text(name_of(session)),
            Cell::Bytes(at.size),
            Cell::Bytes(at.stored),
            Cell::List(tags_of(session)),
        ];
        row.extend(verified.cell(Some(at)));
        rows.lines.push(row);
    }
    Ok(rows)
}

pub(super) fn name_of(session: &Session) -> String {
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

pub(super) fn tags_of(session: &Session) -> Vec<String> {
    let tag = |tag: &nacre_core::session::Tag| {
        if tag.description.is_empty() {
            tag.id.clone()
        } else {
            format!("{},{}", tag.id, tag.description)
        }
    };
    session.tags.iter().map(tag).collect()
}
