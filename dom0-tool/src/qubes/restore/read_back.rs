//! Reads a restored qube's settings back: what was set and is not there is named, whatever qubesd had answered.

use nacre_core::settings;

use super::decide::shown;
use super::plan::QubePlan;
use super::steps::{Step, device_name};
use super::what::LeftOut;
use crate::joints::qubes::QubeRegistry;
use crate::qubes::inventory::describe;

/// What is not as it was set.
pub fn read_back(registry: &dyn QubeRegistry, plan: &QubePlan, done: &[&Step]) -> Vec<LeftOut> {
    let row = match registry.list() {
        Ok(rows) => rows.into_iter().find(|row| row.name == plan.name),
        Err(error) => return vec![unread(&error.to_string())],
    };
    let Some(row) = row else {
        return vec![unread("it is gone")];
    };
    let now = match describe(registry, row) {
        Ok(now) => now.settings,
        Err(error) => return vec![unread(&error.to_string())],
    };
    let steps = done.iter().filter(|step| !now.unread.contains(part(step)));
    let steps = steps.filter_map(|step| difference(step, &now));
    let unread = now.unread.iter();
    let unread = unread.map(|part| LeftOut::cannot(part, "they were set, and cannot be read back"));
    let tags = plan.tags_of_qubesd.iter();
    let tags = tags.filter(|_| !now.unread.contains("tags"));
    let tags = tags.filter(|tag| !now.tags.contains(*tag)).map(|tag| {
        let why = "qubesd alone gives tags of this kind, and gave it another";
        LeftOut::cannot(format!("tag {tag}"), why)
    });
    unread.chain(steps).chain(tags).collect()
}

fn unread(why: &str) -> LeftOut {
    LeftOut::cannot("settings", format!("they cannot be read back: {why}"))
}

/// The part of the settings that a step changes, as the inventory names it.
fn part(step: &Step) -> &'static str {
    match step {
        Step::Create(_) => "",
        Step::AddTag(_) | Step::RemoveTag(_) => "tags",
        Step::SetProperty(..) | Step::ResetProperty(_) => "properties",
        Step::SetFeature(..) | Step::RemoveFeature(_) => "features",
        Step::SetFirewall(_) => "firewall",
        Step::SetNotes(_) => "notes",
        Step::SetRevisions(..) => "volumes",
        Step::Assign(_) => "devices",
    }
}

fn difference(step: &Step, now: &settings::Qube) -> Option<LeftOut> {
    let is = match step {
        Step::SetProperty(name, value) => {
            let is = now.properties.get(name);
            (is != Some(value)).then(|| is.map_or("the default", String::as_str))
        }
        Step::SetFeature(name, value) => {
            let is = now.features.get(name);
            (is != Some(value)).then(|| is.map_or("not set", String::as_str))
        }
        Step::AddTag(tag) if super::check::is_mark(tag) => None,
        Step::AddTag(tag) => (!now.tags.contains(tag)).then_some("not set"),
        Step::SetFirewall(rules) => (!same_rules(rules, &now.firewall)).then_some("other rules"),
        Step::SetNotes(notes) => (now.notes != *notes).then_some("other text"),
        Step::SetRevisions(volume, count) => {
            let is = now.volumes.get(volume).map(|volume| volume.revisions);
            (is != Some(*count)).then_some("another number")
        }
        Step::Assign(device) => {
            let mut all = now.devices.iter();
            let there = all.any(|it| {
                (&it.class, &it.backend, &it.port) == (&device.class, &device.backend, &device.port)
                    && it.mode == device.mode
                    && it.options == device.options
            });
            return (!there).then(|| {
                let why = "it was assigned, and is not there, or with other options";
                LeftOut::cannot(device_name(device), why)
            });
        }
        Step::Create(_) | Step::RemoveTag(_) | Step::ResetProperty(_) | Step::RemoveFeature(_) => {
            None
        }
    };
    is.map(|is| {
        let why = format!("it was set, and reads back as {}", shown(is));
        LeftOut::cannot(step.what(), why)
    })
}

/// Line by line; that the last one is ended says nothing.
fn same_rules(one: &str, other: &str) -> bool {
    one.lines().eq(other.lines())
}
