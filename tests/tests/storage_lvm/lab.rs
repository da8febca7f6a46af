//! A thin pool to test with, and what other programs do to it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::{Arc, Once};
use std::time::Duration;

use nacre::joints::{Changes, FrozenVolume, Pool, StateDir, VolumeNames, VolumeSource};
use nacre::source::LvmPool;
use nacre_core::ids::ArchiveId;
use nacre_tests::MemoryState;

/// Of the size that Qubes has.
pub const DATA_BLOCK: u64 = 64 << 10;
/// Names as Qubes has them, with dashes, which device-mapper doubles.
pub const POOL: &str = "qubes_dom0/vm-pool";
pub const GROUP: &str = "qubes_dom0";

static MADE: Once = Once::new();

/// Runs a command; its output.
pub fn run(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the pool, once for all tests.
pub fn make_pool() {
    MADE.call_once(|| {
        run("vgcreate -q -y qubes_dom0 /dev/ubda");
        run("lvcreate -q -y -T -L 2G --chunksize 64k --poolmetadatasize 32M qubes_dom0/vm-pool");
    });
}

/// A volume of some MiB.
pub fn make_volume(name: &str, mib: u64) {
    make_pool();
    run(&format!("lvcreate -q -y -V {mib}M -T {POOL} -n {name}"));
}

/// An archive's view of the pool.
pub struct Seen {
    pub pool: LvmPool,
}

pub fn seen_by(archive: u8) -> Seen {
    make_pool();
    seen(archive, &MemoryState::new())
}

pub fn seen(archive: u8, state: &MemoryState) -> Seen {
    let dyn_state: Arc<dyn StateDir> = Arc::new(state.clone());
    let pool = LvmPool::open(POOL, ArchiveId([archive; 16]), dyn_state).unwrap();
    let pool = pool.with_patience(Duration::from_secs(1));
    Seen { pool }
}

impl Seen {
    pub fn freeze(&self, name: &str) -> Box<dyn FrozenVolume> {
        let frozen = self.pool.freeze(&[VolumeNames::same(name)]).unwrap();
        frozen.into_iter().next().unwrap().unwrap()
    }

    /// A session: what it remembers of the volume.
    pub fn session(&self, name: &str) -> Vec<u8> {
        let mut frozen = self.freeze(name);
        frozen.committed().unwrap();
        frozen.identity()
    }

    pub fn monitor(&self, name: &str) -> nacre::joints::Harvest {
        self.pool.monitor(name).unwrap()
    }
}

pub fn device(name: &str) -> String {
    format!("/dev/mapper/{GROUP}-{}", name.replace('-', "--"))
}

/// Writes to a volume and waits until it is there.
pub fn write(name: &str, offset: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(device(name)).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.sync_all().unwrap();
}

pub fn discard(name: &str, offset: u64, length: u64) {
    let file = File::options().write(true).open(device(name)).unwrap();
    nacre_sys::discard(&file, offset, length).unwrap();
}

/// All bytes of a volume.
pub fn content(name: &str) -> Vec<u8> {
    std::fs::read(device(name)).unwrap()
}

/// All bytes of a frozen volume: what holds data is read, everything else is zero.
pub fn read_data(volume: &dyn FrozenVolume) -> Vec<u8> {
    let size = usize::try_from(volume.size()).unwrap();
    let mut bytes = vec![0; size];
    let mut at = 0;
    while let Some(data) = volume.next_data(at).unwrap() {
        assert!(data.start >= at && data.end > data.start && data.end <= volume.size());
        let range = usize::try_from(data.start).unwrap()..usize::try_from(data.end).unwrap();
        volume.read_at(data.start, &mut bytes[range]).unwrap();
        at = data.end;
    }
    bytes
}

/// The reason for a full comparison.
pub fn why_everything(changes: Changes) -> String {
    match changes {
        Changes::Everything(why) => why,
        Changes::Ranges(ranges) => panic!("it trusted {} ranges", ranges.len()),
    }
}

pub fn ranges(changes: Changes) -> Vec<(u64, u64)> {
    match changes {
        Changes::Ranges(ranges) => ranges.iter().map(|r| (r.start, r.end)).collect(),
        Changes::Everything(why) => panic!("{why}"),
    }
}

/// One field of `lvs` for a volume.
pub fn lvs(name: &str, field: &str) -> String {
    run(&format!(
        "lvs --noheadings --units b --nosuffix -o {field} {GROUP}/{name}"
    ))
    .trim()
    .to_owned()
}

/// Names of all volumes that begin so.
pub fn names(start: &str) -> Vec<String> {
    let all = run(&format!("lvs --noheadings -o lv_name {GROUP}"));
    let names = all.lines().map(|line| line.trim().to_owned());
    names.filter(|name| name.starts_with(start)).collect()
}

/// The block of the reserved metadata snapshot; `-` if there is none.
pub fn held_root() -> String {
    let status = run("dmsetup status qubes_dom0-vm--pool-tpool");
    status.split_whitespace().nth(6).unwrap().to_owned()
}
