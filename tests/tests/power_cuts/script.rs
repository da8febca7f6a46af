//! What is done to the store while the disk is recorded, and what of it must be there after a cut.

use std::collections::BTreeMap;
use std::path::Path;

use nacre::joints::{ByteRange, CopyPiece, PutOutcome, Store};
use nacre_core::ids::Epoch;
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_tests::conformance::{listed, pack};
use nacre_tests::lab_image::Random;
use nacre_tests::open_helper;

use super::disk::{Disk, Kind};
use super::log::Cut;

/// Barriers of a script.
const STEPS: usize = 14;
/// So large that the helper writes it past the page cache.
const LARGE: usize = 1 << 20;

/// An object, with the numbers of the barriers that came after its put and its deletion were answered.
struct Object {
    content: Vec<u8>,
    put: usize,
    deleted: usize,
}

/// What was done.
pub struct Script {
    objects: BTreeMap<ObjectName, Object>,
}

/// What was seen after cuts.
#[derive(Default)]
pub struct Told {
    /// Acknowledged objects that were there and whole.
    pub whole: u64,
    /// Objects that were not acknowledged, and absent.
    pub absent: u64,
    /// There without their content. Never acknowledged ones.
    pub empty: u64,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} times an acknowledged object was there and whole, {} times one that was not acknowledged was absent, {} times incomplete",
            self.whole, self.absent, self.empty
        )
    }
}

impl Script {
    /// Puts, copies and deletes through a real helper.
    pub fn run(disk: &Disk, random: &mut Random) -> Self {
        let store = open_helper(&disk.path().join("archive"), true).unwrap();
        // Linux gives names atomically on all of these, FAT included.
        assert!(!store.capabilities().single_writer);
        let mut script = Self {
            objects: BTreeMap::new(),
        };
        for step in 0..STEPS {
            script.step(store.as_ref(), step, random);
            disk.mark(&format!("barrier-{step}"));
        }
        // The power goes while something is on its way.
        for number in 0..3 {
            let content = some_content(random);
            let name = pack(0xee, number);
            let mut put = store.put_new(name).unwrap();
            put.write(&content).unwrap();
            drop(put.finish().unwrap());
            // No barrier came after it. (The log has a mark of its own at its end, when the helper may still be at it.)
            script.note(name, content, usize::MAX);
        }
        script
    }

    fn note(&mut self, name: ObjectName, content: Vec<u8>, put: usize) {
        let deleted = usize::MAX;
        let object = Object {
            content,
            put,
            deleted,
        };
        self.objects.insert(name, object);
    }

    /// Some puts, of which some may still be without an answer when the barrier is asked for.
    fn step(&mut self, store: &dyn Store, step: usize, random: &mut Random) {
        let mut pending = Vec::new();
        for number in 0..=random.below(4) {
            let shard = u8::try_from(random.below(12)).unwrap();
            let name = pack(shard, (step as u64) << 8 | number);
            let content = some_content(random);
            let mut put = store.put_new(name).unwrap();
            put.write(&content).unwrap();
            pending.push((name, content, put.finish().unwrap()));
        }
        self.delete(store, step, random);
        self.copy(store, step, random);
        let late = pending.split_off(random.index(pending.len() + 1));
        for (name, content, answer) in pending {
            assert_eq!(answer.wait().unwrap(), PutOutcome::Created);
            self.note(name, content, step);
        }
        let head = ObjectName::Head(Epoch(step as u64));
        let content = vec![7; 300 + random.index(5000)];
        store.put_whole(head, &content).unwrap();
        self.note(head, content, step);
        store.barrier().unwrap();
        for (name, content, answer) in late {
            assert_eq!(answer.wait().unwrap(), PutOutcome::Created);
            self.note(name, content, step + 1);
        }
    }

    fn delete(&mut self, store: &dyn Store, step: usize, random: &mut Random) {
        let living = |object: &Object| object.put < step && object.deleted == usize::MAX;
        let living = self.objects.iter_mut().filter(|(_, object)| living(object));
        let mut names = Vec::new();
        for (name, object) in living {
            if random.below(6) == 0 {
                object.deleted = step;
                names.push(*name);
            }
        }
        store.delete(&names).unwrap();
    }

    /// One object of pieces of others.
    fn copy(&mut self, store: &dyn Store, step: usize, random: &mut Random) {
        let usable = |object: &Object| object.put < step && object.deleted == usize::MAX;
        let (mut pieces, mut content) = (Vec::new(), Vec::new());
        for (name, object) in self.objects.iter().filter(|(_, object)| usable(object)) {
            let blocks = object.content.len() / 4096;
            if blocks > 0 && random.below(2) == 0 {
                let (from, count) = (random.index(blocks), 1 + random.index(blocks));
                let count = count.min(blocks - from);
                let range = ByteRange {
                    offset: (from * 4096) as u64,
                    length: u32::try_from(count * 4096).unwrap(),
                };
                pieces.push(CopyPiece::Range(*name, range));
                content.extend_from_slice(&object.content[from * 4096..(from + count) * 4096]);
            }
        }
        if pieces.is_empty() || content.len() > LARGE {
            return;
        }
        pieces.push(CopyPiece::Inline(b"the end".to_vec()));
        content.extend_from_slice(b"the end");
        let name = pack(0xcc, step as u64);
        assert_eq!(store.copy(name, &pieces).unwrap(), PutOutcome::Created);
        self.note(name, content, step);
    }

    /// Looks at what a cut left of the archive, as files.
    pub fn check(&self, archive: &Path, cut: &Cut, kind: &Kind, told: &mut Told) {
        for (name, object) in &self.objects {
            let found = std::fs::read(archive.join(name.to_string())).ok();
            let whole = found.as_ref().map(|found| *found == object.content);
            let length = found.map(|found| found.len());
            let what = format!(
                "{}, {cut}: {name}, put before barrier {}, deleted before {}: {length:?} bytes of {}",
                kind.name,
                object.put,
                object.deleted,
                object.content.len()
            );
            if object.deleted < cut.marks {
                assert_eq!(whole, None, "it is there again: {what}");
            } else if object.put < cut.marks {
                // While its deletion is not acknowledged it may be gone or not.
                let may_be_gone = object.deleted == cut.marks;
                assert!(
                    whole == Some(true) || (whole.is_none() && may_be_gone),
                    "it is lost: {what}"
                );
                told.whole += u64::from(whole.is_some());
            } else {
                told.absent += u64::from(whole.is_none());
                told.empty += u64::from(whole == Some(false));
                assert!(
                    whole != Some(false) || !kind.atomic,
                    "it is there but not whole: {what}"
                );
            }
        }
    }

    /// The next helper works with it, and sees what it should.
    pub fn go_on(&self, archive: &Path) {
        let store = open_helper(archive, false).unwrap();
        let name = pack(0xff, 1);
        assert_eq!(
            store.put_whole(name, b"after it").unwrap(),
            PutOutcome::Created
        );
        store.barrier().unwrap();
        let packs = listed(store.as_ref(), ObjectClass::Pack);
        let known = |found: &ObjectName| *found == name || self.objects.contains_key(found);
        assert!(packs.iter().all(|(found, _)| known(found)));
        assert!(packs.iter().any(|(found, _)| *found == name));
        let leftover = |entry: std::fs::DirEntry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with(".put")
        };
        for shard in std::fs::read_dir(archive.join("pack")).unwrap().flatten() {
            let mut files = std::fs::read_dir(shard.path()).unwrap().flatten();
            assert!(!files.any(leftover), "a leftover was not swept up");
        }
    }
}

fn some_content(random: &mut Random) -> Vec<u8> {
    let length = match random.below(8) {
        0 => 0,
        1 => random.index(5000),
        2 => LARGE,
        _ => random.index(200_000),
    };
    let mut content = vec![0; length];
    random.fill(&mut content);
    content
}
