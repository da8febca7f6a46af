//! What cannot be had is named, and does not hold up the rest.

use std::fs;

use nacre_tests::desk::end;
use nacre_tests::mounts::FileSystem;
use nacre_tests::qubesd::{PoolState, Release};
use nacre_tests::skip;

use crate::{machine, settings};

/// A refused question costs the settings that it asked for, which are named, in the archive too; everything else is saved.
#[test]
fn settings_that_cannot_be_read_are_named_and_the_rest_is_saved() {
    let test = "settings_that_cannot_be_read_are_named_and_the_rest_is_saved";
    for release in [Release::R42, Release::R43] {
        let machine = match machine(release, FileSystem::Btrfs) {
            Ok(machine) => machine,
            Err(why) => skip!(test, "{why}"),
        };
        machine.qubesd.world().refused = ["admin.vm.firewall.Get".to_owned()].into();
        let ended = machine.run(&["backup", "-i"]);
        assert_eq!(ended.code, 3, "{ended:?}");
        for qube in ["mail", "win", "scratch"] {
            let named = format!(
                "Qube {qube}: settings are missing in this session: admin.vm.firewall.Get of {qube}"
            );
            assert!(ended.err.contains(&named), "{ended:?}");
        }
        let settings = settings(&machine);
        let mail = &settings.qubes["mail"];
        assert!(mail.unread.contains("firewall") && mail.firewall.is_empty());
        assert_eq!(mail.volumes["private"].stored_as, "appvms/mail/private.img");
        // Not whole, so Qubes is not told.
        let world = machine.qubesd.world();
        assert_eq!(world.qubes["mail"].properties["backup_timestamp"].set, None);
    }
}

/// Between the look at a qube and its snapshot anything may happen to it.
#[test]
fn a_volume_that_is_gone_or_cannot_be_saved_is_named_and_the_others_are_saved() {
    let test = "a_volume_that_is_gone_or_cannot_be_saved_is_named_and_the_others_are_saved";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    {
        let mut world = machine.qubesd.world();
        let zfs = PoolState {
            driver: "zfs".to_owned(),
            values: [("container".to_owned(), "rpool/vm".to_owned())].into(),
        };
        let lost = PoolState {
            driver: "file-reflink".to_owned(),
            values: [("dir_path".to_owned(), "/nowhere/at/all".to_owned())].into(),
        };
        world.pools.insert("zfs".to_owned(), zfs);
        world.pools.insert("lost".to_owned(), lost);
        let mut pool = |qube: &str, pool: &str| {
            let qube = world.qubes.get_mut(qube).unwrap();
            qube.volumes.get_mut("private").unwrap().pool = pool.to_owned();
        };
        pool("default-dvm", "zfs");
        pool("debian-13", "lost");
        pool("win", "no-such-pool");
    }
    // As if the qube had been removed a moment ago.
    fs::remove_file(machine.image("appvms/mail/private.img")).unwrap();
    let ended = machine.run(&["backup", "-i"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for what in [
        "Qube default-dvm: volume private is not saved: its pool zfs is of the kind zfs",
        "Qube win: volume private is not saved: its pool no-such-pool is not there",
        "Qube debian-13: volume private is not saved: /nowhere/at/all not found",
        "Qube mail: volume private is not saved:",
    ] {
        assert!(ended.err.contains(what), "{what}: {ended:?}");
    }
    let listed = machine.done(&["list", "--session=newest"]).out;
    let rows: Vec<&str> = listed
        .lines()
        .skip(1)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        rows,
        [
            "qubes:settings",
            "vm-templates/debian-13/root.img",
            "appvms/win/root.img"
        ]
    );
    let world = machine.qubesd.world();
    let told = world.qubes.values().filter(|qube| {
        let told = qube.properties.get("backup_timestamp");
        told.is_some_and(|told| told.set.is_some())
    });
    assert_eq!(told.count(), 0);
}

/// Names that no qube has are errors; what can be done is done.
#[test]
fn a_name_that_no_qube_has_is_an_error_and_the_others_are_saved() {
    let test = "a_name_that_no_qube_has_is_an_error_and_the_others_are_saved";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let ended = machine.run(&["backup", "nosuch"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended
            .err
            .contains("nosuch is left out: there is no qube of this name")
    );
    let ended = machine.run(&["backup", "nosuch", "scratch", "sys-usb"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("settings only"), "{ended:?}");
    let settings = settings(&machine);
    assert_eq!(
        settings.qubes["scratch"].volumes["private"].stored_as,
        "appvms/scratch/private.img"
    );
    let world = machine.qubesd.world();
    assert!(
        world.qubes["scratch"].properties["backup_timestamp"]
            .set
            .is_some()
    );
}

/// Without qubesd nothing is asked and nothing is done.
#[test]
fn without_qubesd_there_is_a_clear_sentence_before_any_question() {
    let test = "without_qubesd_there_is_a_clear_sentence_before_any_question";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let ended = end(machine
        .nacre(&["backup", "-i"])
        .env("NACRE_QUBESD", "/nowhere"));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended
            .err
            .contains("qubesd cannot be reached (/nowhere/qubesd.sock"),
        "{ended:?}"
    );
    // A socket behind which nobody is.
    let dead = machine.desk.path("qubesd.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let ended = end(machine
        .nacre(&["backup", "-i"])
        .env("NACRE_QUBESD", dead.parent().unwrap()));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("qubesd cannot be reached"), "{ended:?}");
}
