//! The plan on the screen.

use std::collections::BTreeSet;

use crate::app::listing::{Cell, Rows};
use crate::app::world::World;
use crate::cli::Verbosity;
use crate::entry;
use crate::joints::qubes::QubeClass;
use crate::qubes::dom0_files::FOLDERS;
use crate::qubes::{Plan, System};
use crate::report::Align;

/// Shows what will be saved, and in what state.
pub fn plan(world: &World<'_>, plan: &Plan<'_>, dom0: bool) {
    if world.common.verbosity == Verbosity::Quiet {
        return;
    }
    let rows = rows(plan, dom0);
    entry::show(&if world.common.json {
        rows.json()
    } else {
        rows.text()
    });
}

fn rows(plan: &Plan<'_>, dom0: bool) -> Rows {
    let columns = [
        ("QUBE", Align::Left),
        ("CLASS", Align::Left),
        ("VOLUME", Align::Left),
        ("STORAGE", Align::Left),
        ("SIZE", Align::Right),
        ("STATE", Align::Left),
    ];
    let mut rows = Rows::new(&columns, "No qube is saved.".to_owned());
    let mut lines: Vec<(&str, Vec<Cell>)> = Vec::new();
    let text = |text: &str| Cell::Text(text.to_owned());
    for line in &plan.lines {
        let row = &line.qube.row;
        let cells = vec![
            text(&row.name),
            text(row.class.word()),
            text(&line.volume.name),
            text(line.place.storage.as_local()),
            Cell::Bytes(line.volume.size),
            text(line.state.words()),
        ];
        lines.push((&row.name, cells));
    }
    for qube in &plan.bare {
        let row = &qube.row;
        let cells = vec![
            text(&row.name),
            text(row.class.word()),
            text("none"),
            text("-"),
            Cell::Bytes(0),
            text("settings only"),
        ];
        lines.push((&row.name, cells));
    }
    // Stable: a qube's volumes stay in their order.
    lines.sort_by_key(|(qube, _)| *qube);
    rows.lines = lines.into_iter().map(|(_, cells)| cells).collect();
    if dom0 {
        let folders = FOLDERS.map(|folder| format!("/{folder}")).join(" ");
        rows.lines.push(vec![
            text("dom0"),
            text(QubeClass::Admin.word()),
            text("files"),
            Cell::Text(folders),
            text("-"),
            text("as they are while they are read"),
        ]);
    }
    rows
}

/// Names what is left out and what cannot be saved. Returns the qubes with which something is wrong; an empty name stands for the system
/// itself and for names that no qube has.
pub fn problems<'a>(world: &World<'_>, system: &'a System, plan: &Plan<'a>) -> BTreeSet<&'a str> {
    let mut troubled = BTreeSet::new();
    let name = |name: &str| {
        let known = system.qubes.get_key_value(name);
        known.map_or("", |(name, _)| name.as_str())
    };
    for out in &plan.left_out {
        let text = format!("qube {} is left out: {}", out.qube, out.why);
        if out.asked_for {
            world.monitor().error(&format!("{text}."));
            troubled.insert(name(&out.qube));
        } else {
            world.monitor().note(&text);
        }
    }
    for problem in &plan.problems {
        let text = format!("Qube {}: {}.", problem.qube, problem.what);
        world.monitor().error(&text);
        troubled.insert(name(&problem.qube));
    }
    for (qube, what) in unread(system) {
        world.monitor().error(&what);
        troubled.insert(qube);
    }
    troubled
}

/// Settings that are missing: all qubes' settings are saved, also those of qubes that are not.
fn unread(system: &System) -> Vec<(&str, String)> {
    let of_system = system.unread.iter();
    let of_system = of_system.map(|why| {
        let what = format!("Settings of the system are missing in this session: {why}.");
        ("", what)
    });
    let of_qubes = system.qubes.iter().flat_map(|(name, qube)| {
        let unread = qube.unread.iter();
        unread.map(move |why| {
            let what = format!("Qube {name}: settings are missing in this session: {why}.");
            (name.as_str(), what)
        })
    });
    of_system.chain(of_qubes).collect()
}
