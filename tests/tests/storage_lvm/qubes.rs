//! `backup` and `restore` of qubes through the program, from a real thin pool into a real thin pool: qubesd's double tells where volumes are,
//! and imports as qubesd does.

use std::fs;

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::qubesd::{Qubesd, Release, World};

use super::lab::{GROUP, content, lvs, make_pool, make_volume, names, run, write};

/// MiB of each volume.
const MIB: u64 = 24;

struct Dom0 {
    desk: Desk,
    qubesd: Qubesd,
}

impl Dom0 {
    fn new(fill: impl FnOnce(&mut World)) -> Self {
        make_pool();
        let mut world = World::new(Release::R43);
        world.real_pools = true;
        fill(&mut world);
        Self {
            desk: Desk::new(),
            qubesd: Qubesd::start(world),
        }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.desk.nacre(arguments);
        end(command.env("NACRE_QUBESD", self.qubesd.folder()))
    }

    fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "nacre {arguments:?}: {ended:?}");
        format!("{}{}", ended.out, ended.err)
    }

    /// Bytes that the newest session stored of a volume.
    fn stored(&self, volume: &str) -> u64 {
        let listed = self.done(&["list", "--session=newest", "--json"]);
        let line = listed.lines().find(|line| line.contains(volume)).unwrap();
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["stored"].as_u64().unwrap()
    }

    fn restored(&self, volume: &str) -> Vec<u8> {
        let path = self.desk.path("restored");
        let goal = format!("--save-to={}", path.display());
        self.done(&["receive", volume, &goal, "--force"]);
        fs::read(path).unwrap()
    }
}

fn random(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed.as_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// A volume with some content, which ends within a block of the pool.
fn volume(name: &str) -> String {
    let lv = format!("vm-{name}");
    make_volume(&lv, MIB);
    write(&lv, 1 << 20, &random(name, 700_000));
    write(&lv, 20 << 20, &random(name, 5000));
    lv
}

/// What `qvm-start` does: the qube writes to a snapshot of its last committed state.
fn start(lv: &str) -> String {
    let snap = format!("{lv}-snap");
    run(&format!("lvcreate -q -y -s -kn -ay -n {snap} {GROUP}/{lv}"));
    snap
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn qubes_are_saved_from_a_thin_pool_as_they_are_and_restored_into_it() {
    let size = MIB << 20;
    let dom0 = Dom0::new(|world| {
        world.add("q-debian", "TemplateVM", None, "black");
        for (name, running) in [("q-mail", true), ("q-work", false), ("q-place", true)] {
            world.add(name, "AppVM", Some("q-debian"), "blue").running = running;
        }
        for qube in world.qubes.values_mut() {
            for volume in qube.volumes.values_mut() {
                volume.size = size;
            }
        }
        let place = world.qubes.get_mut("q-place").unwrap();
        place.volumes.get_mut("private").unwrap().revisions_to_keep = -1;
    });
    for name in [
        "q-debian-root",
        "q-debian-private",
        "q-mail-private",
        "q-work-private",
    ] {
        volume(name);
    }
    volume("q-place-private");
    let committed = content("vm-q-mail-private");
    let live = start("vm-q-mail-private");
    write(&live, 3, b"written while it runs");
    write("vm-q-place-private", 9, b"written in place");

    dom0.done(&["arch-init", "--compression=zstd:1"]);
    let plan = dom0.done(&["backup", "-i", "--dry-run"]);
    for line in [
        "running: state before its start",
        "running: written in place, as after a power cut",
        "qubes_dom0/vm-pool",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert_eq!(
        names("vm-q-")
            .iter()
            .filter(|name| name.contains("nacre"))
            .count(),
        0
    );
    dom0.done(&["backup", "-i", "--check-after-send"]);
    for name in [
        "q-debian-root",
        "q-debian-private",
        "q-work-private",
        "q-place-private",
    ] {
        let lv = format!("vm-{name}");
        assert!(dom0.restored(&lv) == content(&lv), "{lv}");
    }
    assert!(dom0.restored("vm-q-mail-private") == committed);
    // Ours are read-only, not active, and named so that nobody takes them for the qube's.
    let ours: Vec<String> = names("vm-q-mail-private.nacre");
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert!(
        lvs(&ours[0], "lv_attr").starts_with("Vri-"),
        "{}",
        lvs(&ours[0], "lv_attr")
    );

    // The running state; then the committed one again; each time only what differs is read and sent.
    dom0.done(&["backup", "q-mail", "--live"]);
    assert!(dom0.restored("vm-q-mail-private") == content(&live));
    let stored = dom0.stored("vm-q-mail-private");
    assert!(stored > 0 && stored < 20_000, "{stored}");
    let ended = dom0.done(&["backup", "q-mail"]);
    assert!(!ended.contains("comparing everything"), "{ended}");
    assert!(dom0.restored("vm-q-mail-private") == committed);

    // The qube stops: what was its live state takes the name. Nothing that Qubes does to names costs a full comparison.
    run(&format!(
        "lvrename -q {GROUP} vm-q-mail-private vm-q-mail-private-1700000000-back"
    ));
    run(&format!("lvrename -q {GROUP} {live} vm-q-mail-private"));
    dom0.qubesd.world().qubes.get_mut("q-mail").unwrap().running = false;
    write("vm-q-place-private", 12 << 20, b"more in place");
    let ended = dom0.done(&["backup", "-i"]);
    assert!(!ended.contains("comparing everything"), "{ended}");
    for lv in ["vm-q-mail-private", "vm-q-place-private"] {
        assert!(dom0.restored(lv) == content(lv), "{lv}");
        let stored = dom0.stored(lv);
        assert!(stored > 0 && stored < 20_000, "{lv}: {stored}");
    }
    assert_eq!(dom0.stored("vm-q-work-private"), 0);

    // A live backup of a qube that stopped since it was looked at.
    dom0.qubesd.world().qubes.get_mut("q-mail").unwrap().running = true;
    let ended = dom0.done(&["backup", "q-mail", "--live"]);
    assert!(ended.contains("has stopped meanwhile"), "{ended}");
    dom0.qubesd.world().qubes.get_mut("q-mail").unwrap().running = false;

    comes_back_over_what_is_here_and_beside_it(&dom0);
}

fn comes_back_over_what_is_here_and_beside_it(dom0: &Dom0) {
    // What it held stays as a revision.
    let mail = content("vm-q-mail-private");
    write("vm-q-mail-private", 1 << 20, &[1; 4096]);
    let spoiled = content("vm-q-mail-private");
    dom0.done(&["restore", "q-mail", "--force"]);
    assert!(content("vm-q-mail-private") == mail);
    let revisions: Vec<String> = names("vm-q-mail-private-")
        .into_iter()
        .filter(|name| name.ends_with("-back"))
        .collect();
    assert_eq!(revisions.len(), 2, "{revisions:?}");
    let newest = revisions.iter().max().unwrap();
    run(&format!("lvchange -q -ay -K {GROUP}/{newest}"));
    assert!(content(newest) == spoiled);
    dom0.done(&["restore", "q-mail", "--as=q-mail2"]);
    assert!(content("vm-q-mail2-private") == mail);
    // Nothing that is zero was written: the new volume has what the old one has.
    let used = |name: &str| lvs(name, "data_percent");
    assert_eq!(used("vm-q-mail2-private"), used("vm-q-mail-private"));
    assert!(names("vm-q-").iter().all(|name| !name.ends_with("-import")));
}
