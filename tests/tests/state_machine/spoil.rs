//! What a machine keeps rots.

use std::sync::Arc;

use nacre::archive::Memory;
use nacre::joints::{StateDir, Store};
use nacre_tests::lab_image::Random;
use nacre_tests::{LastWrite, MemoryState};

use super::damage::{HOWS, How, altered};
use super::world::{Verdict, World};

impl World {
    /// A file that can be made again rots: nobody notices.
    pub fn spoil_cache(&mut self, by: usize, salt: u64) -> Verdict {
        let random = &mut Random::new(salt, "cache");
        let memory = self.machines[by].memory.clone();
        let files = memory.files();
        let bare = memory.reopened(LastWrite::Kept);
        let removed = Memory::new(Arc::new(bare.clone())).remove_caches();
        removed.map_err(|error| error.to_string())?;
        let precious = bare.files();
        let caches: Vec<_> = files
            .iter()
            .filter(|(name, _)| !precious.contains_key(*name))
            .collect();
        let Some((name, bytes)) = caches.get(random.index(caches.len().max(1))) else {
            return Ok(());
        };
        let how = random.pick(&HOWS);
        let other = caches[random.index(caches.len())];
        let spoiled = match how {
            How::Swap => other.1.clone(),
            How::Deletion => Vec::new(),
            how => altered(bytes, how, random.index(bytes.len().max(1)), random),
        };
        memory
            .replace(name, &spoiled)
            .map_err(|error| error.to_string())?;
        self.count(format!("a cache is spoiled: {how:?}"));
        self.look(by, false)
    }

    /// What is precious rots: whoever opens the archive says so, or finds what must be there all the same.
    pub fn spoil_memory(&mut self, by: usize, salt: u64) -> Verdict {
        let random = &mut Random::new(salt, "memory");
        let mut files = self.machines[by].memory.files();
        let name = random.pick(&["anchor", "head"]);
        let Some(bytes) = files.get(name).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let how = random.pick(&[How::BitFlip, How::Truncation, How::Zeros]);
        let spoiled = altered(bytes, how, random.index(bytes.len()), random);
        if spoiled == *bytes {
            return Ok(());
        }
        files.insert(name.to_owned(), spoiled);
        let stale = self.is_stale(by);
        let machine = self.machines[by].with_memory(MemoryState::holding(files));
        let store: Arc<dyn Store> = Arc::new(self.store.live().fork());
        let opened = machine.open(store, self.openers[0], false);
        let done = if opened.is_ok() { "unharmed" } else { "named" };
        self.count(format!("{name} in dom0 rots: {done}"));
        match opened {
            Ok(_) if stale => Err(format!("{name} rots, and an older store is accepted")),
            Ok(archive) if archive.head_hash() != self.tip => {
                Err("it finds another head".to_owned())
            }
            _ => Ok(()),
        }
    }
}
