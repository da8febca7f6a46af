//! Local storage as it is named: on the command line, or in a file with the volumes of several storages.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::error::BadValue;
use super::volume::{VolumeName, is_printable};

/// Longest name of a storage, in bytes.
const LONGEST: usize = 4096;
/// Largest file of `--vols-from`, in bytes.
pub const LARGEST_FILE: u64 = 4 << 20;

/// `--local`: a thin pool, or a folder on a file system that clones files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPlace(String);

impl LocalPlace {
    /// `vg/pool` or `/path`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LocalPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LocalPlace {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refused = || {
            Err(BadValue::new(
                "give a thin pool as VG/POOL, or a folder that begins with '/'",
            ))
        };
        if text.len() > LONGEST || !is_printable(text) {
            return refused();
        }
        if text.starts_with('/') {
            let trimmed = text.trim_end_matches('/');
            return Ok(Self(
                if trimmed.is_empty() { "/" } else { trimmed }.to_owned(),
            ));
        }
        // Names as lvm(8) allows them; a leading hyphen would be an option of its commands.
        let is_name = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
            !matches!(part, "" | "." | "..") && !part.starts_with('-') && part.chars().all(allowed)
        };
        match text.split_once('/') {
            Some((group, pool)) if is_name(group) && is_name(pool) => Ok(Self(text.to_owned())),
            _ => refused(),
        }
    }
}

/// Which local storage a command works with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Local {
    /// None.
    #[default]
    None,
    /// One; volumes have the same name there as in the archive.
    Place(LocalPlace),
    /// A file says which volumes lie where: `--vols-from`.
    File(PathBuf),
}

/// A volume of a storage as a file names it. Which name is whose depends on the direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The volume: the local one when it is sent, the archive's when it is received.
    pub volume: VolumeName,
    /// What it is called on the other side, if not the same.
    pub alias: Option<VolumeName>,
}

/// Storages and what is meant of each, in the order of the file.
pub type ListedStorages = Vec<(LocalPlace, Vec<Listed>)>;

/// Reads `{"PLACE": [["VOLUME", "ALIAS" or null], …], …}`. A storage or a volume named twice is an error: a later mention must not hide an
/// earlier one.
pub fn parse_volumes(bytes: &[u8]) -> Result<ListedStorages, BadValue> {
    let bad = |error: &dyn fmt::Display| BadValue::new(format!("it is not right: {error}"));
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(BadValue::new("it is larger than 4 MiB"));
    }
    let raw: InOrder = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
    let mut storages: ListedStorages = Vec::with_capacity(raw.0.len());
    let (mut volumes, mut others) = (BTreeSet::new(), BTreeSet::new());
    for (place, listed) in raw.0 {
        let in_place = |error: BadValue| BadValue::new(format!("{place:?}: {error}"));
        let known: LocalPlace = place.parse().map_err(in_place)?;
        if storages.iter().any(|(other, _)| *other == known) {
            return Err(BadValue::new(format!("it names {known} twice")));
        }
        let mut members = Vec::with_capacity(listed.len());
        for (volume, alias) in listed {
            let name = |text: String| {
                let named = |error: BadValue| BadValue::new(format!("{text:?}: {error}"));
                text.parse::<VolumeName>().map_err(named)
            };
            let volume = name(volume)?;
            let alias = alias.map(name).transpose()?;
            let other = alias.clone().unwrap_or_else(|| volume.clone());
            let twice = |name: &VolumeName| BadValue::new(format!("it names {name} twice"));
            // The same local name may stand in two storages, but then the other names must tell them apart.
            if !volumes.insert((known.clone(), volume.clone())) {
                return Err(twice(&volume));
            }
            if !others.insert(other.clone()) {
                return Err(twice(&other));
            }
            members.push(Listed { volume, alias });
        }
        storages.push((known, members));
    }
    Ok(storages)
}

/// A JSON object whose members keep their order, and of which none hides another.
struct InOrder(Vec<(String, Vec<Pair>)>);

/// A volume and its alias.
type Pair = (String, Option<String>);

impl<'de> serde::Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = InOrder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"PLACE\": [[\"VOLUME\", \"ALIAS\" or null], ...], ...}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(InOrder(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_file_says_no_volume_is_meant_twice(
            places in prop::collection::vec(("(/[ab]|[ab]/p)/?", prop::collection::vec(("[a-c]", prop::option::of("[a-c/.]{1,2}")), 0..3)), 0..3),
            cut in 0..200_usize,
        ) {
            let members = places.iter().map(|(place, listed)| format!("{place:?}: {}", serde_json::to_string(listed).unwrap()));
            let text = format!("{{{}}}", members.collect::<Vec<_>>().join(", "));
            if let Ok(storages) = parse_volumes(text.as_bytes()) {
                let mut seen = BTreeSet::new();
                let all = storages.iter().flat_map(|(_, listed)| listed);
                for one in all {
                    prop_assert!(seen.insert(one.alias.as_ref().unwrap_or(&one.volume)));
                }
                prop_assert_eq!(storages.len(), places.len());
            }
            let front = &text.as_bytes()[..cut.min(text.len().saturating_sub(1))];
            prop_assert!(parse_volumes(front).is_err());
        }
    }

    #[test]
    fn storages_are_pools_or_absolute_folders() {
        for (text, wanted) in [
            ("qubes_dom0/vm-pool", "qubes_dom0/vm-pool"),
            ("/var/lib/qubes/", "/var/lib/qubes"),
            ("/", "/"),
        ] {
            assert_eq!(text.parse::<LocalPlace>().unwrap().as_str(), wanted);
        }
        for bad in [
            "", "pool", "a/b/c", "a/", "/x\n", "-a/b", "a/-b", "a b/c", "../x",
        ] {
            assert!(bad.parse::<LocalPlace>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_names_volumes_of_several_storages_in_order() {
        let text =
            br#"{"vg/pool": [["vm-b", null], ["vm-a", "other"]], "/srv/x": [["vm-a", null]]}"#;
        let read = parse_volumes(text).unwrap();
        let places: Vec<&str> = read.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["vg/pool", "/srv/x"]);
        assert_eq!(read[0].1[0].volume.as_str(), "vm-b");
        assert_eq!(read[0].1[1].alias.as_ref().unwrap().as_str(), "other");
    }

    #[test]
    fn what_could_hide_a_volume_is_refused() {
        for bad in [
            "",
            "[]",
            "{\"vg/p\": {}}",
            "{\"vg/p\": [[\"a\"]]}",
            "{\"vg/p\": [[\"a\", null, null]]}",
            "{\"vg/p\": [[\"a\", null]], \"vg/p\": []}",
            "{\"/x\": [[\"a\", null]], \"/x/\": []}",
            "{\"vg/p\": [[\"a\", null], [\"a\", \"b\"]]}",
            "{\"vg/p\": [[\"a\", \"b\"], [\"b\", null]]}",
            "{\"vg/p\": [[\"a\", null]], \"vg/q\": [[\"a\", null]]}",
            "{\"vg/p\": [[\"../a\", null]]}",
            "{\"pool\": []}",
            "{} x",
        ] {
            assert!(parse_volumes(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse_volumes(format!("{{\"vg/p\": {deep}").as_bytes()).is_err());
    }
}
