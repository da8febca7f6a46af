//! Random damage of random objects: the check names exactly what no longer comes back, and after a repair everything else goes on.

use std::collections::{BTreeMap, BTreeSet};

use nacre::joints::VolumeRange;
use nacre::maintain::CheckReport;
use nacre_core::ids::PackName;
use nacre_core::object_name::ObjectName;
use nacre_tests::lab_image::Random;

use super::bench::{Bench, CHUNK, Key};

const VOLUMES: [&str; 3] = ["one", "two", "three"];

/// Some sessions of three volumes of which the last has more chunks than a leaf.
fn archive(seed: u64) -> Bench {
    let mut random = Random::new(seed, "volumes");
    let mut bench = Bench::new();
    let sizes = [5 * CHUNK + 77, 20 * CHUNK, 90 * CHUNK + 1];
    let mut contents: Vec<Vec<u8>> = sizes.iter().map(|size| vec![0; *size]).collect();
    for session in 0..5 {
        let mut sent = Vec::new();
        for (name, content) in VOLUMES.iter().zip(&mut contents) {
            if session > 0 && random.below(3) == 0 {
                continue;
            }
            let changes = if session == 0 {
                30
            } else {
                1 + random.index(6)
            };
            for _ in 0..changes {
                let at = random.index(content.len().div_ceil(CHUNK)) * CHUNK;
                let end = (at + CHUNK).min(content.len());
                if random.below(5) == 0 {
                    content[at..end].fill(0);
                } else {
                    random.fill(&mut content[at..(at + 600).min(end)]);
                }
            }
            sent.push((*name, content.as_slice()));
        }
        bench.send(&sent);
    }
    bench
}

/// Damages some packs, and says how.
fn damage(bench: &Bench, random: &mut Random) -> Vec<String> {
    let mut done = Vec::new();
    let packs: Vec<ObjectName> = bench
        .names()
        .into_iter()
        .filter(|name| matches!(name, ObjectName::Pack(_)))
        .collect();
    for _ in 0..=random.below(3) {
        let name = packs[random.index(packs.len())];
        let Some(mut bytes) = bench.store.objects().remove(&name) else {
            continue;
        };
        let how = random.below(4);
        done.push(format!("{name} {how}"));
        match how {
            0 => bench.set(name, None),
            1 => {
                let half = random.index(bytes.len());
                bench.set(name, Some(&bytes[..half]));
            }
            2 => {
                let at = random.index(bytes.len());
                bytes[at] ^= 1 << random.below(8);
                bench.set(name, Some(&bytes));
            }
            _ => {
                let at = random.index(bytes.len());
                let end = (at + 4096).min(bytes.len());
                bytes[at..end].fill(0);
                bench.set(name, Some(&bytes));
            }
        }
    }
    done
}

/// The ranges that a report names, for each version; neighbours put together.
fn named(
    bench: &Bench,
    report: &CheckReport,
    known: bool,
    renamed: bool,
) -> BTreeMap<Key, Vec<VolumeRange>> {
    let mut all: BTreeMap<Key, Vec<VolumeRange>> = BTreeMap::new();
    for lost in report.lost.iter().filter(|lost| lost.known == known) {
        let (oldest, newest) = (lost.oldest.to_string(), lost.newest.to_string());
        let hit = bench.model.keys().filter(|(volume, session)| {
            *volume == lost.volume && *session >= oldest && *session <= newest
        });
        let hit: Vec<&Key> = hit.collect();
        // A session that was put together anew has another name.
        assert!(hit.len() == lost.sessions || renamed, "{lost:?}");
        for key in hit {
            all.entry(key.clone()).or_default().push(lost.range);
        }
    }
    for ranges in all.values_mut() {
        ranges.sort();
        let mut merged: Vec<VolumeRange> = Vec::new();
        for range in ranges.drain(..) {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        *ranges = merged;
    }
    all
}

/// Whether a version is what was sent, but for these ranges.
fn is_right(came: &[u8], sent: &[u8], lost: &[VolumeRange]) -> bool {
    let mut expected = sent.to_vec();
    for range in lost {
        let (start, end) = (
            usize::try_from(range.start).unwrap(),
            usize::try_from(range.end).unwrap(),
        );
        expected[start..end].fill(0);
    }
    expected == came
}

fn one(whole: &Bench, seed: u64) {
    let mut bench = whole.fork();
    let mut random = Random::new(seed, "damage");
    let how = damage(&bench, &mut random);
    let what = format!("seed {seed}: {how:?}");
    let report = bench.check(true).unwrap();
    // What reading every version says, chunk by chunk and without any sharing.
    if let Ok(versions) = bench.versions() {
        let hit: BTreeMap<Key, Vec<VolumeRange>> = versions
            .iter()
            .filter(|(_, (_, lost))| !lost.is_empty())
            .map(|(key, (_, lost))| (key.clone(), lost.clone()))
            .collect();
        assert_eq!(named(&bench, &report, false, false), hit, "{what}");
        for (key, (came, lost)) in &versions {
            assert!(is_right(came, &bench.model[key], lost), "{what}: {key:?}");
        }
    } else {
        assert!(!report.index.is_empty(), "{what}");
    }
    // A flipped bit in what nothing needs is no damage; everything else is.
    let sessions_lost = report.index.iter().any(|text| text.starts_with("sessions"));
    let planned = bench.repair(&[], true).unwrap();
    let unchanged = bench.check(true).unwrap();
    assert_eq!(
        unchanged.lost, report.lost,
        "{what}: a dry run changes nothing"
    );
    let repaired = bench.repair(&[], false).unwrap();
    if report.index.is_empty() {
        assert_eq!(planned.done.marked, repaired.done.marked, "{what}");
    }
    let again = bench.check(true).unwrap();
    assert!(!again.is_damaged(), "{what}: {again:?}");
    let versions = bench.versions().unwrap();
    let quarantined: BTreeSet<Key> = named(&bench, &again, true, sessions_lost)
        .into_keys()
        .collect();
    for (key, (came, lost)) in &versions {
        let Some(sent) = bench.model.get(key) else {
            // A session whose record was lost has another name now.
            assert!(sessions_lost, "{what}: {key:?}");
            let newest = bench
                .model
                .iter()
                .rfind(|((volume, _), _)| *volume == key.0);
            assert!(is_right(came, newest.unwrap().1, lost), "{what}: {key:?}");
            continue;
        };
        assert!(is_right(came, sent, lost), "{what}: {key:?}");
        assert_eq!(
            lost.is_empty(),
            !quarantined.contains(key),
            "{what}: {key:?}"
        );
    }
    if !sessions_lost {
        assert_eq!(versions.len(), bench.model.len(), "{what}");
    }
    life_goes_on(&mut bench, &what, &again);
}

/// What must still work after a repair.
fn life_goes_on(bench: &mut Bench, what: &str, again: &CheckReport) {
    // Life goes on: the same content heals the newest version, new content is stored.
    let contents: Vec<(String, Vec<u8>)> = VOLUMES
        .iter()
        .map(|name| {
            let newest = bench.model.iter().rfind(|((volume, _), _)| volume == name);
            let mut content = newest.unwrap().1.clone();
            content[CHUNK..CHUNK + 5].copy_from_slice(b"again");
            ((*name).to_owned(), content)
        })
        .collect();
    let sent: Vec<(&str, &[u8])> = contents
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    bench
        .try_send(&sent)
        .unwrap_or_else(|error| panic!("{what}: {error}: {again:?}"));
    let versions = bench.versions().unwrap();
    for (name, content) in &contents {
        let newest = versions
            .iter()
            .rfind(|((volume, _), _)| volume == name)
            .unwrap();
        assert!(
            newest.1.1.is_empty() && newest.1.0 == *content,
            "{what}: {name}"
        );
    }
    // And it can be pruned; what else was whole is whole.
    let whole: Vec<Key> = versions
        .iter()
        .filter(|(_, (_, lost))| lost.is_empty())
        .map(|(key, _)| key.clone())
        .collect();
    let pruned = bench.try_prune_oldest("three").unwrap().unwrap();
    let versions = bench.versions().unwrap();
    for key in whole
        .iter()
        .filter(|key| **key != ("three".to_owned(), pruned.clone()))
    {
        let (came, lost) = &versions[key];
        assert!(lost.is_empty(), "{what}: {key:?}");
        if let Some(sent) = bench.model.get(key) {
            assert!(came == sent, "{what}: {key:?}");
        }
    }
    let last = bench.check(true).unwrap();
    assert!(!last.is_damaged(), "{what}: {last:?}");
}

#[test]
fn damage_is_named_exactly_and_repaired() {
    let rounds: u64 = std::env::var("NACRE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(40);
    let begin: u64 = std::env::var("NACRE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut whole = archive(0);
    for seed in begin..begin + rounds {
        if seed % 20 == 0 {
            whole = archive(seed);
            assert!(!whole.check(true).unwrap().is_damaged());
        }
        one(&whole, seed);
    }
}

#[test]
fn lost_content_is_healed_from_local_storage() {
    let bench = archive(7);
    let data = bench.store.objects();
    let largest = data.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    bench.set(*largest.0, None);
    let report = bench.check(false).unwrap();
    assert!(report.is_damaged());
    let newest = |name: &str| {
        bench
            .model
            .iter()
            .rfind(|((volume, _), _)| volume == name)
            .unwrap()
            .1
            .clone()
    };
    let contents: Vec<(&str, Vec<u8>)> = VOLUMES.iter().map(|name| (*name, newest(name))).collect();
    let sources: Vec<(&str, &[u8])> = contents
        .iter()
        .map(|(name, content)| (*name, content.as_slice()))
        .collect();
    let report = bench.repair(&sources, false).unwrap();
    assert!(report.done.healed > 0, "{report:?}");
    let versions = bench.versions().unwrap();
    for (name, content) in &contents {
        let (_, (came, lost)) = versions
            .iter()
            .rfind(|((volume, _), _)| volume == name)
            .unwrap();
        assert!(lost.is_empty() && came == content, "{name}");
    }
    assert!(!bench.check(true).unwrap().is_damaged());
}

/// A pack into which others were moved was given up as lost; their records then pointed at nothing, in a way that no reader of records takes.
#[test]
fn a_lost_pack_is_given_up_with_the_records_of_what_was_moved_there() {
    let mut bench = Bench::with_small_packs();
    let before = bench.names();
    let done = bench.compact().unwrap();
    assert!(done.packs > 0, "{done:?}");
    let objects = bench.store.objects().into_iter();
    let new = objects.filter(|(name, _)| !before.contains(name));
    let moved = new.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    bench.set(moved.0, None);
    assert!(bench.check(true).unwrap().is_damaged());
    let repaired = bench.repair(&[], false).unwrap();
    assert!(repaired.done.marked > 0, "{repaired:?}");
    let mut packs = 0;
    let archive = bench.try_open().unwrap();
    let counted = archive.each_pack(|_, record| {
        packs += 1;
        assert!(record.name != name_of(moved.0) || record.live() == 0);
        Ok(())
    });
    counted.unwrap();
    assert!(packs > 0);
    let again = bench.check(true).unwrap();
    assert!(!again.is_damaged(), "{again:?}");
    let content = vec![7; 4 * CHUNK];
    bench.send(&[("v", &content)]);
    bench.try_prune_oldest("v").unwrap().unwrap();
    let versions = bench.versions().unwrap();
    let (came, lost) = versions.values().next_back().unwrap();
    assert!(lost.is_empty() && *came == content);
}

fn name_of(object: ObjectName) -> PackName {
    match object {
        ObjectName::Pack(name) => name,
        other => panic!("{other} is no pack"),
    }
}
