//! The plan as people read it.

use super::super::listing::{Cell, Rows};
use super::super::world::World;
use crate::cli::Verbosity;
use crate::entry;
use crate::joints::qubes::NewQube;
use crate::qubes::restore::{How, Plan, QubePlan, Reason, Why};
use crate::report::Align;
use crate::restore;

const COLUMNS: &[(&str, Align)] = &[
    ("QUBE", Align::Left),
    ("CLASS", Align::Left),
    ("WHAT", Align::Left),
    ("TEMPLATE", Align::Left),
    ("SESSION", Align::Left),
    ("SIZE", Align::Right),
    ("WHY", Align::Left),
];

/// Shows the plan, and beneath it what is worth a word.
pub fn show(world: &World<'_>, plan: &Plan) {
    let mut rows = Rows::new(COLUMNS, "There is nothing to restore.".to_owned());
    rows.lines = plan.qubes.iter().map(row).collect();
    let text = if world.common.json {
        rows.json()
    } else {
        rows.text()
    };
    entry::show(&text);
    let monitor = world.monitor();
    for (label, colour) in &plan.labels {
        monitor.note(&format!("label {label} ({colour}) is not here and is made"));
    }
    for qube in &plan.qubes {
        for remark in &qube.remarks {
            monitor.note(&format!("{}: {remark}", qube.name));
        }
    }
    for (name, there, here) in &plan.system {
        let or_none = |value: &str| {
            if value.is_empty() {
                "none".to_owned()
            } else {
                value.to_owned()
            }
        };
        monitor.note(&format!(
            "the system's {name} is {} here and was {} there; it is left alone (qubes-prefs {name} …)",
            or_none(here),
            or_none(there)
        ));
    }
    if !plan.without_content.is_empty() {
        monitor.note(&format!(
            "of these the archive has settings only, and they are left out: {}",
            plan.without_content.join(", ")
        ));
    }
    if world.common.dry_run {
        for refused in &plan.refused {
            monitor.error(&format!(
                "{} would not be restored: {}.",
                refused.qube, refused.why
            ));
        }
        left_out(world, plan);
        steps(world, plan);
    } else {
        cut_short(world, plan);
    }
}

/// Before anything is overwritten: what the archive has in part only.
fn cut_short(world: &World<'_>, plan: &Plan) {
    for qube in &plan.qubes {
        for (volume, content) in qube.contents.iter().filter(|(_, it)| it.unfinished) {
            let why = restore::cut_short(&content.session);
            let line = format!("{}: volume {volume}: {why}.", qube.name);
            world.monitor().warning(&line);
        }
    }
}

fn row(qube: &QubePlan) -> Vec<Cell> {
    let what = match (&qube.how, qube.contents.is_empty()) {
        (How::Create(_), _) => "create",
        (How::Overwrite, true) => "overwrite settings",
        (How::Overwrite, false) => "overwrite",
        (How::GoOn, _) => "go on",
    };
    let template = match &qube.how {
        How::Create(NewQube { template, .. }) => template.clone(),
        _ => None,
    };
    let why = match &qube.why {
        Why::Asked if qube.name == qube.there => String::new(),
        Why::Asked => format!("is {} in the archive", qube.there),
        Why::NeededBy(other) => format!("needed by {other}"),
    };
    vec![
        Cell::Text(qube.name.clone()),
        Cell::Text(qube.class.word().to_owned()),
        Cell::Text(what.to_owned()),
        Cell::Text(template.unwrap_or_else(|| "-".to_owned())),
        Cell::Text(qube.session.clone()),
        Cell::Bytes(qube.size()),
        Cell::Text(why),
    ]
}

fn left_out(world: &World<'_>, plan: &Plan) {
    for qube in &plan.qubes {
        for out in &qube.left_out {
            let line = format!("{}: {}: {}.", qube.name, out.what, out.why);
            match out.reason {
                Reason::Cannot => world.monitor().warning(&line),
                Reason::Asked => world.monitor().note(&line),
            }
        }
    }
}

/// Each step as a person would do it, with `--verbose`.
fn steps(world: &World<'_>, plan: &Plan) {
    if world.common.verbosity < Verbosity::Verbose {
        return;
    }
    let monitor = world.monitor();
    for qube in &plan.qubes {
        let of_settings = [&qube.steps.begin, &qube.steps.links];
        for step in of_settings.into_iter().flatten() {
            monitor.note(&format!("would {}", step.command(&qube.name)));
        }
        for (volume, content) in &qube.contents {
            monitor.note(&format!(
                "would import volume {} of session {} into {}:{volume}",
                content.volume, content.session, qube.name
            ));
        }
        for step in &qube.steps.end {
            monitor.note(&format!("would {}", step.command(&qube.name)));
        }
    }
}
