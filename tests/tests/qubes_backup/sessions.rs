//! What a session of qubes holds.

use std::fs;

use nacre_tests::desk::end;
use nacre_tests::lab_image::Random;
use nacre_tests::mounts::FileSystem;
use nacre_tests::qubesd::Release;
use nacre_tests::skip;

use crate::{machine, qubes, settings, write};

/// Every marked qube's volumes are in one session with the settings of all qubes, and Qubes is told.
#[test]
fn all_marked_qubes_are_saved_with_their_settings_as_one_session() {
    let test = "all_marked_qubes_are_saved_with_their_settings_as_one_session";
    for (release, kind) in [
        (Release::R42, FileSystem::Btrfs),
        (Release::R43, FileSystem::Xfs),
    ] {
        let machine = match machine(release, kind) {
            Ok(machine) => machine,
            Err(why) => skip!(test, "{why}"),
        };
        let ended = machine.done(&["backup", "-i"]);
        let pool = machine.pool().display().to_string();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines = ended.out.replace(&pool, "POOL");
        let plan: Vec<String> = lines.lines().map(words).take(7).collect();
        assert_eq!(
            plan,
            [
                "QUBE CLASS VOLUME STORAGE SIZE STATE",
                "debian-13 TemplateVM private POOL 3.0 MiB halted",
                "debian-13 TemplateVM root POOL 3.0 MiB halted",
                "default-dvm AppVM private POOL 3.0 MiB halted",
                "mail AppVM private POOL 3.0 MiB running: state before its start",
                "win StandaloneVM private POOL 3.0 MiB halted",
                "win StandaloneVM root POOL 3.0 MiB halted",
            ]
        );
        assert!(
            lines.contains("qube far is left out: this release of nacre does not know its class")
                || ended.err.contains(
                    "qube far is left out: this release of nacre does not know its class"
                ),
            "{ended:?}"
        );
        let listed = machine.done(&["list", "--session=newest"]).out;
        for volume in [
            "appvms/default-dvm/private.img",
            "appvms/win/private.img",
            "appvms/win/root.img",
            "appvms/mail/private.img",
            "vm-templates/debian-13/private.img",
            "vm-templates/debian-13/root.img",
        ] {
            assert!(listed.contains(volume), "{listed}");
            let image = fs::read(machine.image(volume)).unwrap();
            assert!(machine.restored(volume, "newest") == image, "{volume}");
        }
        let settings = settings(&machine);
        // Also of those that are not saved themselves.
        let names: Vec<&str> = settings.qubes.keys().map(String::as_str).collect();
        let all: Vec<String> = machine.qubesd.world().qubes.keys().cloned().collect();
        assert_eq!(names, all);
        let stored = |qube: &str, volume: &str| {
            let volumes = &settings.qubes[qube].volumes;
            volumes[volume].stored_as.clone()
        };
        assert_eq!(stored("mail", "private"), "appvms/mail/private.img");
        assert_eq!(stored("mail", "root"), "");
        assert_eq!(stored("scratch", "private"), "");
        let world = machine.qubesd.world();
        let told = |qube: &str| {
            world.qubes[qube].properties["backup_timestamp"]
                .set
                .is_some()
        };
        assert!(told("mail") && told("win") && told("debian-13"));
        assert!(!told("scratch") && !told("sys-usb"));
    }
}

/// A second run stores no bytes of what did not change, and yet its session has everything.
#[test]
fn a_second_run_sends_what_changed_and_its_session_has_all() {
    let test = "a_second_run_sends_what_changed_and_its_session_has_all";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    machine.done(&["backup", "-i", "--exclude=win"]);
    write(&machine, "appvms/win/private.img", 5, b"new");
    write(&machine, "vm-templates/debian-13/root.img", 5, b"new");
    let ended = machine.done(&["backup", "-i", "--exclude=win", "--check-after-send"]);
    assert!(
        ended.err.contains("read back and checked: 128.0 KiB")
            || ended.out.contains("read back and checked: 128.0 KiB"),
        "{ended:?}"
    );
    let listed = machine.done(&["list", "--session=newest", "--json"]).out;
    let stored = |volume: &str| {
        let line = listed.lines().find(|line| line.contains(volume)).unwrap();
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["stored"].as_u64().unwrap()
    };
    assert!(stored("vm-templates/debian-13/root.img") > 0);
    for volume in ["appvms/mail/private.img", "qubes:settings"] {
        assert_eq!(stored(volume), 0, "{volume}: {listed}");
    }
    assert!(!listed.contains("appvms/win"), "{listed}");
}

/// What a run that was cut short sent, nobody has read back: the next one takes it over, and does.
#[test]
fn a_check_after_send_reads_back_what_an_unfinished_session_had_sent() {
    let test = "a_check_after_send_reads_back_what_an_unfinished_session_had_sent";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let volume = "appvms/default-dvm/private.img";
    let mut content = vec![0; 64 << 20];
    Random::new(3, "large").fill(&mut content);
    fs::write(machine.image(volume), &content).unwrap();
    let mut world = machine.qubesd.world();
    let qube = world.qubes.get_mut("default-dvm").unwrap();
    qube.volumes.get_mut("private").unwrap().size = content.len() as u64;
    drop(world);
    let mut command = machine.nacre(&["backup", "default-dvm", "--limit=8M"]);
    let stopped = machine.desk.interrupted(&mut command, 12 << 20);
    assert_eq!(stopped.code, 130, "{stopped:?}");
    let packs = fs::read_dir(machine.desk.path("store/archive/pack")).unwrap();
    let packs = packs.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let packs = packs.map(|pack| pack.unwrap().path());
    let largest = packs.max_by_key(|pack| fs::metadata(pack).unwrap().len());
    let largest = largest.unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let ended = machine.run(&["backup", "default-dvm", "--check-after-send"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let lost = format!("volume {volume}, session ");
    assert!(ended.err.contains(&lost), "{ended:?}");
    assert!(ended.err.contains(" are lost"), "{ended:?}");
}

/// `--live` takes what the running qube has now; the next run without it takes the committed state again, and each compares with the other.
#[test]
fn a_running_qube_is_saved_as_of_its_last_stop_or_live() {
    let test = "a_running_qube_is_saved_as_of_its_last_stop_or_live";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let volume = "appvms/mail/private.img";
    let committed = fs::read(machine.image(volume)).unwrap();
    let live = fs::read(machine.image("appvms/mail/private-dirty.img")).unwrap();
    assert!(committed != live);
    let ended = machine.done(&["backup", "mail", "--live"]);
    assert!(
        ended
            .out
            .contains("running: present state, as after a power cut")
    );
    assert!(machine.restored(volume, "newest") == live);
    let ended = machine.done(&["backup", "mail"]);
    assert!(
        !ended.err.contains("comparing everything: the snapshot"),
        "{ended:?}"
    );
    assert!(machine.restored(volume, "newest") == committed);
    // Stopped between the look and the snapshot: what it left is taken.
    fs::remove_file(machine.image("appvms/mail/private-dirty.img")).unwrap();
    let ended = machine.done(&["backup", "mail", "--live"]);
    assert!(
        ended.err.contains("has stopped meanwhile") || ended.out.contains("has stopped meanwhile"),
        "{ended:?}"
    );
    // One snapshot is kept, whatever it was made of.
    let shelf = fs::read_dir(machine.pool().join(".nacre-snapshots")).unwrap();
    let folder = shelf.flatten().next().unwrap().path();
    let kept: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
}

/// Without a copy for the running qube, its volume is read as it is, and that is said.
#[test]
fn a_volume_that_is_written_in_place_is_saved_and_told_as_such() {
    let test = "a_volume_that_is_written_in_place_is_saved_and_told_as_such";
    let machine = match machine(Release::R43, FileSystem::Xfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let volume = |world: &mut nacre_tests::qubesd::World| {
        let mail = world.qubes.get_mut("mail").unwrap();
        mail.volumes.get_mut("private").unwrap().revisions_to_keep = -1;
    };
    volume(&mut machine.qubesd.world());
    let ended = machine.done(&["backup", "mail"]);
    assert!(
        ended
            .out
            .contains("running: written in place, as after a power cut"),
        "{ended:?}"
    );
    assert_eq!(
        settings(&machine).qubes["mail"].volumes["private"].revisions,
        -1
    );
}

/// The same qube under the other spelling is the same volume.
#[test]
fn a_qube_that_was_moved_to_other_storage_goes_on_in_its_volume() {
    let test = "a_qube_that_was_moved_to_other_storage_goes_on_in_its_volume";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let image = machine.image("appvms/mail/private.img");
    let import = format!("--import-other-from=vm-mail-private:|:{}", image.display());
    machine.done(&["send", &import]);
    machine.done(&["backup", "mail"]);
    let listed = machine.done(&["list"]).out;
    assert!(!listed.contains("appvms/mail"), "{listed}");
    assert_eq!(
        settings(&machine).qubes["mail"].volumes["private"].stored_as,
        "vm-mail-private"
    );
}

/// The plan is shown, nothing is stored, and Qubes is told nothing.
#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let test = "a_dry_run_shows_the_plan_and_changes_nothing";
    let machine = match machine(Release::R42, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let before = format!("{:?}", {
        let mut world = machine.qubesd.world().clone();
        world.calls.clear();
        world
    });
    let ended = machine.done(&["backup", "-i", "--dry-run"]);
    assert!(ended.out.contains("debian-13"), "{ended:?}");
    assert!(machine.done(&["list"]).out.contains("no volumes yet"));
    assert!(!machine.pool().join(".nacre-snapshots").exists());
    let mut world = machine.qubesd.world().clone();
    world.calls.clear();
    assert_eq!(format!("{world:?}"), before);
    let mut other = nacre_tests::qubesd::World::new(Release::R42);
    qubes(&mut other);
    assert_eq!(world.qubes.len(), other.qubes.len());
}

/// Two targets get the same point in time, and each has the settings.
#[test]
fn two_targets_get_the_same_state_and_one_that_fails_does_not_hold_up_the_other() {
    let test = "two_targets_get_the_same_state_and_one_that_fails_does_not_hold_up_the_other";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let ended = end(&mut machine.desk.nacre_at("second", &["arch-init"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    let dest = |name: &str| {
        format!(
            "--dest=file:{}",
            machine.desk.path("store").join(name).display()
        )
    };
    machine.done(&["backup", "mail", "win", &dest("second")]);
    for archive in ["archive", "second"] {
        let ended = end(&mut machine
            .desk
            .nacre_at(archive, &["list", "--session=newest"]));
        for volume in [
            "qubes:settings",
            "appvms/mail/private.img",
            "appvms/win/root.img",
        ] {
            assert!(ended.out.contains(volume), "{archive}: {ended:?}");
        }
    }
    let ended = machine.run(&["backup", "mail", &dest("nowhere")]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("nowhere"), "{ended:?}");
}
