//! The plan for a look into a qube's past: a fresh qube without network and without a past, with one volume.

use std::collections::{BTreeMap, BTreeSet};

use super::check;
use super::decide::is_untouched;
use super::plan::{Plan, QubePlan};
use super::settle::{Steps, marks, unmarks};
use super::steps::Step;
use super::what::{How, MARK, OURS, Present, Saved, Why};
use crate::joints::qubes::{NewQube, QubeClass};

/// Says that the qube is only there to be looked into.
pub const TAG: &str = "nacre-browse";
/// Longest name that a qube may have.
const LONGEST: usize = 31;

/// Plans, or says why it cannot be.
pub fn browsing(
    saved: &Saved,
    present: &Present,
    qube: &str,
    pool: Option<&str>,
) -> Result<Plan, String> {
    let there = saved.qubes.get(qube);
    let there = there.ok_or("the archive has no settings of a qube of this name")?;
    let content = there.contents.get("private");
    let content = content.ok_or_else(|| match there.why_unknown("private") {
        Some(why) => format!("its private volume: {why}"),
        None => "the archive does not have its private volume".to_owned(),
    })?;
    let name = name(qube, &content.session);
    if present.has(&name) || !check::is_qube_name(&name) {
        return Err(format!(
            "there is a qube {name} already; stop it, or remove it with `qvm-remove {name}`"
        ));
    }
    let wanted = there.settings.properties.get("template");
    // A template or standalone qube is no template for its own files: these may be what is wrong with it.
    let wanted = wanted.filter(|name| is_template(present, name));
    let default = present.globals.get("default_template");
    let default = default.filter(|name| is_template(present, name));
    let template = wanted.or(default).ok_or(
        "neither its template nor a default template is here, with which it could be shown",
    )?;
    let labels = &present.system.settings.labels;
    let label = if labels.contains_key("red") {
        Some("red")
    } else {
        labels.keys().next().map(String::as_str)
    };
    let new = NewQube {
        name: name.clone(),
        class: QubeClass::App,
        template: Some(template.clone()),
        label: label.unwrap_or("red").to_owned(),
        pools: pool
            .map(|pool| ("private".to_owned(), pool.to_owned()))
            .into_iter()
            .collect(),
    };
    let set = |name: &str, value: &str| Step::SetProperty(name.to_owned(), value.to_owned());
    let mut begin = vec![Step::Create(new.clone())];
    begin.extend(marks());
    begin.push(set("netvm", ""));
    // Or a file that is opened in a disposable would have its network.
    begin.push(set("default_dispvm", ""));
    begin.push(set("include_in_backups", "False"));
    begin.push(Step::AddTag(TAG.to_owned()));
    let plan = QubePlan {
        name,
        there: qube.to_owned(),
        class: QubeClass::App,
        why: Why::Asked,
        how: How::Create(new),
        session: content.session.clone(),
        steps: Steps {
            begin,
            links: Vec::new(),
            end: unmarks().into(),
        },
        contents: BTreeMap::from([("private".to_owned(), content.clone())]),
        left_out: Vec::new(),
        remarks: Vec::new(),
        tags_of_qubesd: BTreeSet::new(),
    };
    Ok(Plan {
        qubes: vec![plan],
        ..Plan::default()
    })
}

/// What the qube will be called, if the archive has what is wanted.
pub fn temporary_name(saved: &Saved, qube: &str) -> Option<String> {
    let content = saved.qubes.get(qube)?.contents.get("private")?;
    Some(name(qube, &content.session))
}

/// Whether a qube is as a look that was cut short before its qube could be started leaves it: still marked, or with nothing ever written to it.
pub fn is_half_made(present: &Present, name: &str) -> bool {
    let here = present.system.qubes.get(name);
    here.is_some_and(|here| {
        let tags = &here.settings.tags;
        let is_marked = tags.contains(MARK) && tags.contains(OURS);
        here.row.halted && (is_marked || is_untouched(here))
    })
}

/// The qube's name as far as there is room, and the session's.
fn name(qube: &str, session: &str) -> String {
    let room = LONGEST.saturating_sub(session.len() + 1);
    let short: String = qube.chars().take(room).collect();
    format!("{short}-{session}")
}

fn is_template(present: &Present, name: &str) -> bool {
    let qube = present.system.qubes.get(name);
    qube.is_some_and(|qube| qube.row.class == QubeClass::Template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_which_session_and_is_never_too_long() {
        assert_eq!(name("work", "20261121-083000"), "work-20261121-083000");
        let long = name(&"x".repeat(31), "20261121-083000");
        assert_eq!(long.len(), 31);
        assert!(long.ends_with("-20261121-083000") && check::is_qube_name(&long));
    }
}
