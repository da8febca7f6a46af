//! Everything on new hardware: an archive, a passphrase, and a Qubes system without qubes.

use nacre_core::settings;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

use Release::{R42, R43};

/// A qube as it should be here; what a release cannot tell is taken out on both sides.
fn comparable(mut qube: settings::Qube) -> settings::Qube {
    qube.uuid = None;
    for volume in qube.volumes.values_mut() {
        volume.stored_as.clear();
    }
    qube
}

#[test]
fn every_setting_and_every_byte_of_twelve_qubes_comes_back() {
    for release in [R42, R43] {
        let mut world = super::past::world(release);
        if release == R42 {
            // Of a PCI device R4.2 tells a place only; such a one is not restored, which has a test of its own.
            world.qubes.get_mut("sys-net").unwrap().devices.clear();
        }
        let past = Past::of(world);
        let machine = Machine::new(World::new(release));
        let ended = machine.run(&past.desk, &["restore", "--all"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let now = machine.system();
        assert_eq!(now.qubes.len(), 12);
        for (name, before) in &past.settings.qubes {
            let now = comparable(now.qubes[name].settings.clone());
            assert_eq!(now, comparable(before.clone()), "{name} {release:?}");
        }
        assert_eq!(now.settings.labels, past.settings.system.labels);
        for ((qube, volume), content) in &past.contents {
            assert!(machine.content(qube, volume) == *content, "{qube} {volume}");
        }
        let said = machine.said();
        assert!(
            said.contains("-u user -- qvm-appmenus --init --update"),
            "{said}"
        );
        assert!(said.contains(" work"), "{said}");
        // Nothing is left that would keep a qube from starting.
        let api = machine.api();
        nacre::joints::qubes::QubeRegistry::start(&api, "work").unwrap();
    }
}

#[test]
fn what_the_other_release_does_not_know_is_named_and_the_rest_comes_back() {
    let mut world = super::past::world(R43);
    let work = world.qubes.get_mut("work").unwrap();
    super::past::set(work, "bootmode", "safe");
    work.volumes.get_mut("private").unwrap().revisions_to_keep = -1;
    let past = Past::of(world);
    let mut older = World::new(R42);
    older.add("there", "TemplateVM", None, "black");
    let machine = Machine::new(older);
    let ended = machine.run(&past.desk, &["restore", "--all"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let named = [
        "work: property bootmode: this release of Qubes has no such setting.",
        "work: the notes: this release has none.",
        "work: revisions_to_keep of volume private: this release cannot write to volumes in place.",
    ];
    for line in named {
        assert!(ended.err.contains(line), "{line}\n{}", ended.err);
    }
    let warnings = ended
        .err
        .lines()
        .filter(|line| line.starts_with("warning:"));
    assert_eq!(warnings.count(), named.len(), "{}", ended.err);
    let now = machine.system();
    for (name, before) in &past.settings.qubes {
        let mut before = comparable(before.clone());
        let mut now = comparable(now.qubes[name].settings.clone());
        before.properties.remove("bootmode");
        before.notes.clear();
        for qube in [&mut before, &mut now] {
            for device in &mut qube.devices {
                // R4.2 does not tell it.
                device.id.clear();
            }
            for volume in qube.volumes.values_mut().filter(|_| name == "work") {
                volume.revisions = 1;
            }
        }
        assert_eq!(now, before, "{name}");
    }
}

#[test]
fn the_newer_release_takes_over_all_that_the_older_one_had() {
    let past = Past::new(R42);
    let machine = Machine::new(World::new(R43));
    let ended = machine.run(&past.desk, &["restore", "--all"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "sys-net: device pci dom0:00_1a.0: only a place is known";
    assert!(ended.err.contains(line), "{}", ended.err);
    let warnings = ended
        .err
        .lines()
        .filter(|line| line.starts_with("warning:"));
    assert_eq!(warnings.count(), 1, "{}", ended.err);
    let now = machine.system();
    assert_eq!(now.qubes["mail"].settings.devices.len(), 1);
    assert_eq!(now.qubes["work"].settings.properties["memory"], "800");
    assert!(machine.content("win", "root") == past.content("win", "root"));
}

#[test]
fn templates_come_first_and_the_plan_says_what_is_needed() {
    let mut past = Past::new(R43);
    // Its content was never stored, but others go through it.
    past.contents
        .remove(&("sys-firewall".to_owned(), "private".to_owned()));
    let firewall = past.settings.qubes.get_mut("sys-firewall").unwrap();
    firewall.volumes.get_mut("private").unwrap().stored_as = String::new();
    past.store();
    let machine = Machine::new(World::new(R43));
    let ended = machine.run(&past.desk, &["restore", "--all", "--dry-run"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    let at = |name: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(name))
            .unwrap()
    };
    assert!(at("debian-13") < at("work") && at("default-dvm") < at("sys-usb"));
    assert!(
        lines[at("sys-firewall")].ends_with("needed by work"),
        "{}",
        ended.out
    );
    let empty =
        "sys-firewall: volume private: the archive does not have its content; it begins empty";
    assert!(ended.err.contains(empty), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("label salmon (0xfa8072) is not here and is made")
    );
    assert!(
        machine.system().qubes.is_empty(),
        "a dry run changes nothing"
    );
    let verbose = machine.run(
        &past.desk,
        &["restore", "work", "debian-13", "--dry-run", "-v"],
    );
    let create = "would qvm-create --class AppVM --template debian-13 --label blue work";
    assert!(verbose.err.contains(create), "{}", verbose.err);
    assert!(
        verbose
            .err
            .contains("would qvm-prefs work kernelopts 'nopat quiet=1'")
    );
}
