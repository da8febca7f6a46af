//! Pools that are nearly full: refused with what to do, before any snapshot is made.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;

use nacre::joints::{VolumeNames, VolumeSource};
use nacre::source::LvmPool;
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;

use crate::lab::{GROUP, device, make_pool, names, run};

/// A small pool of its own, with a volume.
struct Tight {
    name: String,
    volume: String,
}

impl Tight {
    fn new(word: &str) -> Self {
        make_pool();
        let (name, volume) = (format!("vm-{word}-pool"), format!("vm-{word}-private"));
        run(&format!(
            "lvcreate -q -y -T -L 64M --chunksize 64k --poolmetadatasize 2M {GROUP}/{name}"
        ));
        run(&format!(
            "lvcreate -q -y -V 128M -T {GROUP}/{name} -n {volume}"
        ));
        Self { name, volume }
    }

    fn device_mapper_name(&self) -> String {
        format!("{GROUP}-{}-tpool", self.name.replace('-', "--"))
    }

    fn status(&self) -> String {
        run(&format!("dmsetup status {}", self.device_mapper_name()))
    }

    /// Blocks of metadata: used, and all.
    fn metadata(&self) -> (u64, u64) {
        let status = self.status();
        let (used, all) = status
            .split_whitespace()
            .nth(4)
            .unwrap()
            .split_once('/')
            .unwrap();
        (used.parse().unwrap(), all.parse().unwrap())
    }

    /// Fills the metadata with volumes that LVM does not know, until more than so many percent are used.
    fn fill_metadata(&self, percent: u64) {
        let pool = self.device_mapper_name();
        for id in 10_000_u64.. {
            // Every status is a process.
            if id % 10 == 0 {
                let (used, all) = self.metadata();
                if used * 100 > all * percent {
                    return;
                }
            }
            let message = format!("create_thin {id}");
            let made = Command::new("dmsetup")
                .args(["message", &pool, "0", &message])
                .status();
            assert!(made.unwrap().success(), "{message}");
        }
    }

    /// What a snapshot of its volume is refused with; nothing if it is made.
    fn refusal(&self) -> Option<String> {
        let pool = format!("{GROUP}/{}", self.name);
        let state = Arc::new(MemoryState::new());
        let refused = LvmPool::open(&pool, ArchiveId([0x77; 16]), state).and_then(|pool| {
            let frozen = pool.freeze(&[VolumeNames::same(&self.volume)])?;
            frozen.into_iter().next().unwrap().map(drop)
        });
        let left = format!("{}.nacre", self.volume);
        assert_eq!(names(&left), [""; 0], "no snapshot is left");
        refused.err().map(|error| error.to_string())
    }
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_pool_whose_metadata_is_nearly_full_is_refused_until_it_is_extended() {
    let tight = Tight::new("metafull");
    assert_eq!(tight.refusal(), None);
    tight.fill_metadata(90);
    let (used, all) = tight.metadata();
    assert!(used * 100 > all * 90 && used < all, "{used} of {all}");
    let refusal = tight.refusal().expect("a refusal");
    println!("{refusal}");
    let remedy = format!("lvextend --poolmetadatasize +64M {GROUP}/{}", tight.name);
    assert!(refusal.contains(&remedy), "{refusal}");
    run(&remedy);
    assert_eq!(tight.refusal(), None);
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_pool_whose_data_is_nearly_full_is_refused_until_it_is_extended() {
    let tight = Tight::new("datafull");
    let file = File::options()
        .write(true)
        .open(device(&tight.volume))
        .unwrap();
    for mib in 0..62 {
        file.write_all_at(&[7; 1 << 20], mib << 20).unwrap();
    }
    file.sync_all().unwrap();
    let refusal = tight.refusal().expect("a refusal");
    println!("{refusal}");
    assert!(refusal.contains("lvextend"), "{refusal}");
    run(&format!("lvextend -q -L +64M {GROUP}/{}", tight.name));
    assert_eq!(tight.refusal(), None);
}
