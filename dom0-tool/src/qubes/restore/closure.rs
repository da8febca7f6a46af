//! Which qubes are restored, with those that they need, and in which order they are made.

use std::collections::{BTreeMap, BTreeSet};

use super::what::{Present, Saved, SavedQube, What, Why, Wish};
use crate::joints::qubes::QubeClass;

/// Properties by which one qube needs another. Without its template a qube cannot be made; without the others it is less than it was.
const NEEDS: &[&str] = &["template", "netvm", "default_dispvm", "management_dispvm"];

/// The qubes to restore, templates before what is made from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// By the names that the archive has, in the order in which they are made.
    pub order: Vec<(String, Why)>,
    /// Named, and not in the archive.
    pub unknown: Vec<String>,
    /// With `all`: in the archive by their settings only, and therefore not taken.
    pub without_content: Vec<String>,
    /// Made from each other in a circle.
    pub circle: Vec<String>,
}

/// Chooses.
pub fn choose(saved: &Saved, present: &Present, wish: &Wish) -> Chosen {
    let mut chosen = Chosen::default();
    let mut taken: BTreeMap<String, Why> = BTreeMap::new();
    for name in &wish.named {
        if saved.qubes.contains_key(name) {
            taken.insert(name.clone(), Why::Asked);
        } else {
            chosen.unknown.push(name.clone());
        }
    }
    if wish.all {
        for (name, qube) in &saved.qubes {
            if is_taken(qube, wish.what) {
                taken.insert(name.clone(), Why::Asked);
            }
        }
        add_needed(saved, present, &mut taken);
        let left = saved.qubes.keys().filter(|name| !taken.contains_key(*name));
        chosen.without_content = left.cloned().collect();
    }
    sort(saved, taken, &mut chosen);
    chosen
}

/// Whether `all` takes the qube: there is something of it to restore.
fn is_taken(qube: &SavedQube, what: What) -> bool {
    let lasting = QubeClass::of(&qube.settings.class) != QubeClass::Template;
    // What cannot be told apart any more is named, not passed over.
    let stored = !qube.contents.is_empty() || !qube.unknown.is_empty();
    match what {
        What::Data => stored,
        What::Both => stored || is_disposable(qube),
        What::Settings => lasting || stored,
    }
}

/// A disposable has no content of its own.
fn is_disposable(qube: &SavedQube) -> bool {
    QubeClass::of(&qube.settings.class) == QubeClass::Disposable
}

/// Adds what those that are taken need, and what these need, unless it is here.
fn add_needed(saved: &Saved, present: &Present, taken: &mut BTreeMap<String, Why>) {
    let mut open: Vec<String> = taken.keys().cloned().collect();
    while let Some(name) = open.pop() {
        let Some(qube) = saved.qubes.get(&name) else {
            continue;
        };
        for needed in NEEDS {
            let Some(other) = qube.settings.properties.get(*needed) else {
                continue;
            };
            let known = saved.qubes.contains_key(other) && !present.has(other);
            if known && !taken.contains_key(other) {
                taken.insert(other.clone(), Why::NeededBy(name.clone()));
                open.push(other.clone());
            }
        }
    }
}

/// Puts templates before what is made from them, else by name.
fn sort(saved: &Saved, mut taken: BTreeMap<String, Why>, chosen: &mut Chosen) {
    let template = |name: &str| {
        let qube = saved.qubes.get(name)?;
        qube.settings.properties.get("template").cloned()
    };
    while !taken.is_empty() {
        let waiting: BTreeSet<&String> = taken.keys().collect();
        let is_ready = |name: &&String| template(name).is_none_or(|it| !waiting.contains(&it));
        let ready: Vec<String> = waiting.iter().copied().filter(is_ready).cloned().collect();
        if ready.is_empty() {
            chosen.circle = taken.into_keys().collect();
            return;
        }
        for name in ready {
            if let Some(why) = taken.remove(&name) {
                chosen.order.push((name, why));
            }
        }
    }
}
