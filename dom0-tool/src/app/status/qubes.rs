//! How things stand with each qube: a qube is as old as the oldest of its volumes, at the target that has the youngest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::collect::TargetStatus;
use crate::admin;
use crate::joints::qubes::{QubeClass, QubeRegistry};
use crate::qubes::qube_of;

/// How things stand with a qube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QubeStatus {
    /// Its name.
    pub qube: String,
    /// Up to when an archive has all of its volumes; none: it was never backed up whole.
    pub current: Option<i64>,
    /// The target that has it.
    pub target: Option<String>,
}

/// Each qube of which a target has a volume, and each that is marked for backup: those never backed up first, then the oldest.
pub fn qubes(targets: &[TargetStatus], marked: &BTreeSet<String>) -> Vec<QubeStatus> {
    let mut best: BTreeMap<&str, Option<(i64, &str)>> = BTreeMap::new();
    for qube in marked {
        best.insert(qube, None);
    }
    for target in targets {
        let mut here: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        for volume in &target.volumes {
            if let Some((qube, _)) = qube_of(&volume.volume) {
                let oldest = here.entry(qube).or_insert(volume.current);
                // None, which is never, is before every time.
                *oldest = (*oldest).min(volume.current);
            }
        }
        for (qube, current) in here {
            let found = current.map(|current| (current, target.title.as_str()));
            let best = best.entry(qube).or_default();
            let is_younger = |found: &(i64, &str)| best.is_none_or(|best| best.0 < found.0);
            if let Some(found) = found.filter(is_younger) {
                *best = Some(found);
            }
        }
    }
    let status = |(qube, best): (&str, Option<(i64, &str)>)| QubeStatus {
        qube: qube.to_owned(),
        current: best.map(|(current, _)| current),
        target: best.map(|(_, target)| target.to_owned()),
    };
    let mut all: Vec<QubeStatus> = best.into_iter().map(status).collect();
    all.sort_by_key(|qube| qube.current);
    all.sort_by_key(|qube| Reverse(qube.current.is_none()));
    all
}

/// Qubes that are marked for backup; none where there is no qubesd, and without those of which it does not answer.
pub fn marked() -> BTreeSet<String> {
    use crate::joints::qubes::RegistryErrorKind::{TimedOut, Unreachable};
    let registry = admin::here();
    let rows = registry.list().unwrap_or_default().into_iter();
    let lasting = rows.filter(|row| {
        matches!(
            row.class,
            QubeClass::App | QubeClass::Template | QubeClass::Standalone
        )
    });
    let mut all = BTreeSet::new();
    for row in lasting {
        let properties = match registry.properties(&row.name) {
            Ok(properties) => properties,
            // Each of the others would be waited for, too.
            Err(error) if matches!(error.kind, TimedOut | Unreachable) => break,
            Err(_) => continue,
        };
        let marked = properties.get("include_in_backups");
        if marked.is_some_and(|marked| marked.value == "True") {
            all.insert(row.name);
        }
    }
    all
}
