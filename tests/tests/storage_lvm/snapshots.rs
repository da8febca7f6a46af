//! Snapshots: how they are made, kept and removed.

use nacre::joints::{FrozenVolume, Pool, SourceErrorKind, VolumeNames, VolumeSource};

use crate::lab::{GROUP, lvs, make_volume, names, read_data, run, seen, seen_by, write};

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn snapshots_are_read_only_inactive_and_gone_without_a_commit() {
    make_volume("vm-snap-private", 16);
    make_volume("vm-snap-root", 16);
    write("vm-snap-private", 70_000, b"hello");
    let seen = seen_by(0x11);
    let both = ["vm-snap-private", "vm-snap-root"].map(VolumeNames::same);
    let missing = VolumeNames::same("vm-missing-private");
    let mut frozen = seen
        .pool
        .freeze(&[both[0].clone(), missing, both[1].clone()])
        .unwrap();
    let error = frozen.remove(1).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::NotFound);
    let frozen: Vec<Box<dyn FrozenVolume>> = frozen.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        frozen[0].snapshot(),
        "qubes_dom0/vm-snap-private.nacre_11111111_1"
    );
    let snapshot = "vm-snap-private.nacre_11111111_1";
    // Virtual, read-only, not active, skipped at activation: lvs(8).
    assert_eq!(lvs(snapshot, "lv_attr"), "Vri---tz-k");
    assert!(lvs(snapshot, "lv_tags").starts_with("nacre,nacre_"));
    write("vm-snap-private", 70_000, b"HELLO");
    assert_eq!(&read_data(&*frozen[0])[70_000..70_005], b"hello");
    assert!(
        lvs(snapshot, "lv_attr").starts_with("Vri-a"),
        "active while it is read"
    );
    drop(frozen);
    assert_eq!(names("vm-snap-").len(), 2, "{:?}", names("vm-snap-"));
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_commit_keeps_the_snapshot_and_removes_older_ones() {
    make_volume("vm-keep-private", 16);
    let seen = seen_by(0x22);
    let first = seen.session("vm-keep-private");
    assert!(seen.pool.holds("vm-keep-private", &first).unwrap());
    // A run that did not come to its commit.
    drop(seen.freeze("vm-keep-private"));
    assert!(seen.pool.holds("vm-keep-private", &first).unwrap());
    // A crash after the freezing: the snapshot stays, and goes with the next commit.
    run("lvcreate -q -y -s -pr qubes_dom0/vm-keep-private -n vm-keep-private.nacre_22222222_2");
    assert_eq!(names("vm-keep-private.nacre").len(), 2);
    let next = seen.session("vm-keep-private");
    assert!(!seen.pool.holds("vm-keep-private", &first).unwrap());
    assert!(seen.pool.holds("vm-keep-private", &next).unwrap());
    assert_eq!(
        names("vm-keep-private.nacre"),
        ["vm-keep-private.nacre_22222222_3"]
    );
    assert!(lvs("vm-keep-private.nacre_22222222_3", "lv_attr").starts_with("Vri---"));
    // What another command still reads stays for now (`diff` takes no lock on the archive).
    let reader = seen.freeze("vm-keep-private");
    let last = seen.session("vm-keep-private");
    assert_eq!(names("vm-keep-private.nacre").len(), 3);
    assert_eq!(read_data(&*reader).len(), 16 << 20);
    drop(reader);
    assert!(seen.pool.holds("vm-keep-private", &last).unwrap());
    seen.session("vm-keep-private");
    assert_eq!(names("vm-keep-private.nacre").len(), 1);
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn every_archive_has_snapshots_of_its_own_and_sees_the_pool_alike() {
    make_volume("vm-two-private", 16);
    run(&format!(
        "lvcreate -q -y -kn -s {GROUP}/vm-two-private -n vm-two-private.tick"
    ));
    let (one, two) = (seen_by(0x33), seen_by(0x44));
    write("vm-two-private", 0, &[1; 100]);
    let first = one.freeze("vm-two-private");
    write("vm-two-private", 0, &[2; 100]);
    let again = two.pool.freeze_again(&[&*first]).unwrap();
    let mut again = again.into_iter().next().unwrap().unwrap();
    assert_eq!(again.name(), "vm-two-private");
    assert_eq!(read_data(&*again)[..100], [1; 100], "the same content");
    again.committed().unwrap();
    let identity = again.identity();
    drop((first, again));
    assert!(two.pool.holds("vm-two-private", &identity).unwrap());
    assert_eq!(two.pool.snapshots().unwrap(), ["vm-two-private"]);
    assert!(one.pool.snapshots().unwrap().is_empty());
    let listed = one.pool.list().unwrap();
    assert!(listed.contains(&"vm-two-private".to_owned()));
    assert!(
        !listed
            .iter()
            .any(|name| name.contains("nacre") || name.ends_with("tick")),
        "{listed:?}"
    );
    assert!(
        one.pool
            .foreign_snapshots()
            .unwrap()
            .contains(&"vm-two-private.tick".to_owned())
    );
    // The qube goes, its snapshot stays and can still be found.
    run("lvremove -q -y qubes_dom0/vm-two-private");
    assert_eq!(two.pool.remove_snapshots("vm-two-private").unwrap(), 1);
    assert_eq!(two.pool.remove_snapshots("vm-two-private").unwrap(), 0);
    assert_eq!(names("vm-two-private"), ["vm-two-private.tick"]);
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_pool_too_full_for_snapshots_is_refused_with_what_to_do() {
    make_volume("vm-some-private", 16);
    run(
        "lvcreate -q -y -T -L 16M --chunksize 64k --poolmetadatasize 4M --errorwhenfull y qubes_dom0/small",
    );
    run("lvcreate -q -y -V 64M -T qubes_dom0/small -n vm-full-private");
    let state = std::sync::Arc::new(nacre_tests::MemoryState::new());
    let archive = nacre_core::ids::ArchiveId([0x55; 16]);
    let pool = nacre::source::LvmPool::open("qubes_dom0/small", archive, state).unwrap();
    let names = [VolumeNames::same("vm-full-private")];
    write("vm-full-private", 0, &vec![7; 15 << 20]);
    drop(pool.freeze(&names).unwrap().remove(0).unwrap());
    write("vm-full-private", 15 << 20, &vec![7; 512 << 10]);
    let refusal = pool.freeze(&names).map(|_| ()).unwrap_err();
    assert_eq!(refusal.kind, SourceErrorKind::NoSpace);
    assert!(refusal.detail.contains("lvextend -L"), "{refusal}");
    assert_eq!(crate::lab::names("vm-full-private.nacre").len(), 0);
    // Writes beyond its end: the pool itself reports it now.
    let file = std::fs::File::options()
        .write(true)
        .open(crate::lab::device("vm-full-private"))
        .unwrap();
    let _ = std::os::unix::fs::FileExt::write_all_at(&file, &vec![8; 4 << 20], 15 << 20);
    let _ = file.sync_all();
    drop(file);
    let refusal = pool.freeze(&names).map(|_| ()).unwrap_err();
    assert!(refusal.detail.contains("data space"), "{refusal}");
    run("lvremove -q -y qubes_dom0/small");
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn a_volume_with_an_origin_outside_of_the_pool_is_refused() {
    crate::lab::make_pool();
    run("lvcreate -q -y -an -pr -L 4M qubes_dom0 -n vm-outside-root");
    run(
        "lvcreate -q -y --type thin --thinpool vm-pool qubes_dom0/vm-outside-root -n vm-inside-root -kn",
    );
    let seen = seen_by(0x66);
    let frozen = seen
        .pool
        .freeze(&[VolumeNames::same("vm-inside-root")])
        .unwrap()
        .remove(0);
    let refusal = frozen.map(|_| ()).unwrap_err();
    assert_eq!(refusal.kind, SourceErrorKind::NoSnapshots, "{refusal}");
}

#[test]
#[ignore = "started by thin_pools_in_a_real_kernel"]
fn what_is_no_thin_pool_is_refused() {
    make_volume("vm-nopool-private", 16);
    let open = |place: &str| {
        let state = std::sync::Arc::new(nacre_tests::MemoryState::new());
        let archive = nacre_core::ids::ArchiveId([1; 16]);
        nacre::source::LvmPool::open(place, archive, state)
            .map(|_| ())
            .unwrap_err()
    };
    for place in [
        "qubes_dom0/vm-nopool-private",
        "qubes_dom0/nothing",
        "nothing/vm-pool",
        "x",
        "a b/c",
    ] {
        let error = open(place);
        assert!(!error.detail.is_empty(), "{place}: {error}");
    }
    let state = nacre_tests::MemoryState::new();
    let again = seen(0x77, &state);
    assert!(again.pool.exists("vm-nopool-private").unwrap());
    assert!(!again.pool.exists("vm-nothing").unwrap());
}
