//! The damage matrix: every kind of damage to every kind of object, met by every command. A cell is "unharmed" or "noticed and named"; anything else
//! fails the test. The table is printed.

use std::collections::BTreeMap;

use nacre::archive::{Error, Severity};
use nacre::joints::StateDir;
use nacre_core::ids::{Epoch, PackName};
use nacre_core::object_name::ObjectName;
use nacre_tests::lab_image::Random;

use super::bench::{Bench, CHUNK};

/// Which objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Header,
    Headers,
    Head,
    IndexNewest,
    IndexOlder,
    Data,
    Anchor,
    LastHead,
    Cache,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    BitFlip,
    Truncation,
    ZeroedBlock,
    Deletion,
    Duplication,
    Swap,
    OldVersion,
}

/// What meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    List,
    Verify,
    Check,
    Receive,
    Send,
    Prune,
    Repair,
}

const OBJECTS: [Object; 9] = [
    Object::Header,
    Object::Headers,
    Object::Head,
    Object::IndexNewest,
    Object::IndexOlder,
    Object::Data,
    Object::Anchor,
    Object::LastHead,
    Object::Cache,
];
const DAMAGES: [Damage; 7] = [
    Damage::BitFlip,
    Damage::Truncation,
    Damage::ZeroedBlock,
    Damage::Deletion,
    Damage::Duplication,
    Damage::Swap,
    Damage::OldVersion,
];
const COMMANDS: [Command; 7] = [
    Command::List,
    Command::Verify,
    Command::Check,
    Command::Receive,
    Command::Send,
    Command::Prune,
    Command::Repair,
];

/// The archive before its last session, and after it. Volume `hit` is in both sessions, `other` in the first and untouched by what is done.
struct Stage {
    bench: Bench,
    before: BTreeMap<ObjectName, Vec<u8>>,
    anchor_before: Option<Vec<u8>>,
    last_before: Option<Vec<u8>>,
    cache_before: Option<Vec<u8>>,
}

/// The file in which this machine keeps what it has read of the sessions.
fn cache(bench: &Bench) -> Option<(String, Vec<u8>)> {
    let archive = bench.try_open().unwrap();
    archive.sessions().unwrap();
    let names = bench.state.list().unwrap();
    let name = names.into_iter().find(|name| name.starts_with("cache-"))?;
    let bytes = bench.state.read(&name, 1 << 24).unwrap()?;
    Some((name, bytes))
}

fn stage() -> Stage {
    let mut random = Random::new(3, "matrix");
    let mut bench = Bench::new();
    let mut content = vec![0; 6 * CHUNK];
    random.fill(&mut content);
    let other = content.iter().rev().copied().collect::<Vec<u8>>();
    bench.send(&[("other", &other)]);
    bench.send(&[("hit", &content)]);
    let before = bench.store.objects();
    let anchor_before = bench.state.read("anchor", 1 << 20).unwrap();
    let last_before = bench.state.read("head", 1 << 24).unwrap();
    let cache_before = cache(&bench).map(|(_, bytes)| bytes);
    random.fill(&mut content[2 * CHUNK..3 * CHUNK]);
    bench.send(&[("hit", &content)]);
    Stage {
        bench,
        before,
        anchor_before,
        last_before,
        cache_before,
    }
}

impl Stage {
    /// The packs of the last session, the index first.
    fn new_packs(&self) -> Vec<(ObjectName, Vec<u8>)> {
        let new = self.bench.store.objects().into_iter();
        let mut new: Vec<_> = new
            .filter(|(name, _)| {
                matches!(name, ObjectName::Pack(_)) && !self.before.contains_key(name)
            })
            .collect();
        new.sort_by_key(|(_, bytes)| bytes.len());
        new
    }

    fn objects(&self, object: Object) -> Vec<ObjectName> {
        let names = self.bench.names().into_iter();
        match object {
            Object::Header => names
                .filter(|name| matches!(name, ObjectName::Header(..)))
                .take(1)
                .collect(),
            Object::Headers => names
                .filter(|name| matches!(name, ObjectName::Header(..)))
                .collect(),
            Object::Head => names
                .filter(|name| matches!(name, ObjectName::Head(_)))
                .max()
                .into_iter()
                .collect(),
            Object::IndexNewest => self
                .new_packs()
                .first()
                .map(|(name, _)| *name)
                .into_iter()
                .collect(),
            Object::Data => self
                .new_packs()
                .last()
                .map(|(name, _)| *name)
                .into_iter()
                .collect(),
            Object::IndexOlder => {
                // The smaller of the two packs of the session before.
                let mut old: Vec<_> = self
                    .before
                    .iter()
                    .filter(|(name, _)| matches!(name, ObjectName::Pack(_)))
                    .collect();
                old.sort_by_key(|(_, bytes)| bytes.len());
                old.first().map(|(name, _)| **name).into_iter().collect()
            }
            Object::Anchor | Object::LastHead | Object::Cache => Vec::new(),
        }
    }

    /// The archive with one kind of damage; `None` where that cannot be done.
    fn damaged(&self, object: Object, damage: Damage) -> Option<Bench> {
        let mut bench = self.bench.fork();
        bench.from_caches = object == Object::Cache;
        let cache = match object {
            Object::Cache => cache(&bench)?.0,
            _ => String::new(),
        };
        let (file, older) = match object {
            Object::Anchor => ("anchor", &self.anchor_before),
            Object::LastHead => ("head", &self.last_before),
            Object::Cache => (cache.as_str(), &self.cache_before),
            _ => ("", &None),
        };
        if !file.is_empty() {
            let bytes = bench.state.read(file, 1 << 24).unwrap()?;
            match damage {
                Damage::Deletion => bench.state.remove(file).unwrap(),
                Damage::OldVersion => bench.state.replace(file, older.as_ref()?).unwrap(),
                // As if it were of another leaf of the tree, too.
                Damage::Duplication if object == Object::Cache => {
                    let copy = format!("{}0", &file[..file.len() - 1]);
                    bench.state.replace(&copy, &bytes).unwrap();
                }
                Damage::Duplication | Damage::Swap => return None,
                _ => bench.state.replace(file, &altered(damage, &bytes)).unwrap(),
            }
            return Some(bench);
        }
        let all = bench.store.objects();
        for name in self.objects(object) {
            let bytes = &all[&name];
            match damage {
                Damage::Deletion => bench.set(name, None),
                Damage::Duplication => {
                    let copy = match name {
                        ObjectName::Pack(_) => ObjectName::Pack(PackName([0xab; 16])),
                        ObjectName::Head(epoch) => ObjectName::Head(Epoch(epoch.0 + 1)),
                        ObjectName::Header(..) => return None,
                    };
                    bench.set(copy, Some(bytes));
                }
                Damage::Swap => {
                    let class = name.class();
                    let other = all.iter().find(|(one, other)| {
                        one.class() == class && **one != name && *other != bytes
                    })?;
                    bench.set(name, Some(other.1));
                    bench.set(*other.0, Some(bytes));
                }
                Damage::OldVersion => {
                    // Objects are written once; the older version of a head is the head before, under the newer name.
                    let ObjectName::Head(_) = name else {
                        return None;
                    };
                    let before = self
                        .before
                        .iter()
                        .rfind(|(name, _)| matches!(name, ObjectName::Head(_)))?;
                    bench.set(name, Some(before.1));
                }
                _ => bench.set(name, Some(&altered(damage, bytes))),
            }
        }
        Some(bench)
    }
}

fn altered(damage: Damage, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    match damage {
        Damage::BitFlip => bytes[middle] ^= 0x10,
        Damage::Truncation => bytes.truncate(middle),
        _ => {
            let end = (middle + 512).min(bytes.len());
            bytes[middle..end].fill(0);
        }
    }
    bytes
}

/// What a command made of it. An error counts as named: it says what is wrong and ends with an exit code of its own.
fn meet(bench: &mut Bench, command: Command, untouched: bool) -> Result<&'static str, String> {
    let noticed = |error: Error| match error.severity() {
        _ if error.to_string().is_empty() => Err("an error without words".to_owned()),
        Severity::Interrupted => Err("interrupted".to_owned()),
        Severity::Failed if error.to_string().contains("bug") => Err(error.to_string()),
        _ => Ok("named"),
    };
    match command {
        Command::List => match bench.try_open().and_then(|archive| archive.sessions()) {
            Ok(sessions) if sessions.iter().count() == bench.model.len() => Ok("unharmed"),
            Ok(_) => Err("sessions are missing, and nobody says so".to_owned()),
            Err(error) => noticed(error),
        },
        Command::Verify | Command::Receive => match bench.versions() {
            Ok(versions) => {
                let mut named = false;
                for (key, sent) in &bench.model {
                    let Some((came, lost)) = versions.get(key) else {
                        return Err(format!("{key:?} is missing, and nobody says so"));
                    };
                    if lost.is_empty() && came != sent {
                        return Err(format!("{key:?} is wrong, and nobody says so"));
                    }
                    if untouched && key.0 == "other" && !lost.is_empty() {
                        return Err(format!("{key:?} was not touched, and is lost"));
                    }
                    named |= !lost.is_empty();
                }
                Ok(if named { "named" } else { "unharmed" })
            }
            Err(error) => noticed(error),
        },
        Command::Check => match bench.check(true) {
            Ok(report) if report.is_damaged() => Ok("named"),
            Ok(_) => match bench.versions() {
                Ok(versions) if versions.values().all(|(_, lost)| lost.is_empty()) => {
                    Ok("unharmed")
                }
                _ => Err("damaged, and the check does not say so".to_owned()),
            },
            Err(error) => noticed(error),
        },
        Command::Send => {
            let newest = bench.model.iter().rfind(|((volume, _), _)| volume == "hit");
            let mut content = newest
                .map(|(_, content)| content.clone())
                .unwrap_or_default();
            content[..4].copy_from_slice(b"next");
            match bench.try_send(&[("hit", &content)]) {
                Ok(_) => match bench.versions() {
                    Ok(versions) => match versions.iter().rfind(|((volume, _), _)| volume == "hit")
                    {
                        Some((_, (came, lost))) if lost.is_empty() && *came == content => {
                            Ok("unharmed")
                        }
                        Some((_, (_, lost))) if !lost.is_empty() => Ok("named"),
                        _ => Err("sent, and not there".to_owned()),
                    },
                    Err(error) => noticed(error),
                },
                Err(error) => noticed(error),
            }
        }
        Command::Prune => prune(bench).unwrap_or_else(noticed),
        Command::Repair => match bench.repair(&[], false) {
            Ok(report) => {
                let again = bench.check(true).map_err(|error| error.to_string())?;
                if again.is_damaged() {
                    return Err(format!("still damaged after the repair: {again:?}"));
                }
                let versions = bench.versions().map_err(|error| error.to_string())?;
                let wrong = versions.iter().find(|(key, (came, lost))| {
                    bench
                        .model
                        .get(*key)
                        .is_some_and(|sent| lost.is_empty() && sent != came)
                });
                match wrong {
                    Some((key, _)) => Err(format!("{key:?} is wrong after the repair")),
                    None if report.done.is_nothing() => Ok("unharmed"),
                    None => Ok("mended"),
                }
            }
            Err(error) => noticed(error),
        },
    }
}

fn prune(bench: &mut Bench) -> Result<Result<&'static str, String>, Error> {
    let pruned = bench.try_prune_oldest("hit")?;
    let versions = bench.versions()?;
    let wrong = versions.iter().find(|(key, (came, lost))| {
        lost.is_empty() && bench.model.get(*key).is_some_and(|sent| sent != came)
    });
    Ok(match wrong {
        Some((key, _)) => Err(format!("{key:?} is wrong after a prune")),
        None if pruned.is_none() => Err("nothing to prune".to_owned()),
        None if versions.values().any(|(_, lost)| !lost.is_empty()) => Ok("named"),
        None => Ok("unharmed"),
    })
}

#[test]
fn every_damage_of_every_object_is_unharmful_or_named() {
    let stage = stage();
    let mut wrong = Vec::new();
    print!("{:12} {:12}", "object", "damage");
    for command in COMMANDS {
        print!(" {:>9}", format!("{command:?}"));
    }
    println!();
    assert!(cache(&stage.bench).is_some(), "no cache to damage");
    for object in OBJECTS {
        for damage in DAMAGES {
            if stage.damaged(object, damage).is_none() {
                continue;
            }
            print!("{:12} {:12}", format!("{object:?}"), format!("{damage:?}"));
            for command in COMMANDS {
                let mut bench = stage.damaged(object, damage).unwrap();
                // The table of packs lies in index packs: only a data pack can cost one volume alone.
                let untouched = object == Object::Data && command == Command::Receive;
                match meet(&mut bench, command, untouched) {
                    Ok(word) => print!(" {word:>9}"),
                    Err(why) => {
                        print!(" {:>9}", "WRONG");
                        wrong.push(format!("{object:?} {damage:?} {command:?}: {why}"));
                    }
                }
            }
            println!();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
