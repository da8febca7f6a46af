//! What another machine does to the archive while a qube is restored: a reader takes no lock, and what is given away meanwhile is no damage.

use std::fs;

use nacre_tests::desk::{Desk, end};
use nacre_tests::qubes_world::write_script;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

/// Commands of `nacre` as another machine runs them, as a program that leaves what was said in the file `said`.
fn elsewhere(desk: &Desk, machine: &Machine, commands: &[&str]) -> std::path::PathBuf {
    let program = machine.tool("elsewhere");
    let line = |arguments: &&str| {
        format!(
            "'{}' {arguments} --dest='file:{}' --meta-dir='{}' --key-file='{}' --config=/dev/null --unattended >> '{}' 2>&1\n",
            desk.path("nacre").display(),
            desk.path("store/archive").display(),
            desk.path("second").display(),
            desk.path("key").display(),
            desk.path("said").display(),
        )
    };
    let lines: String = commands.iter().map(line).collect();
    write_script(&program, &format!("#!/bin/sh\n{lines}")).unwrap();
    program
}

/// Two sessions of the qubes, of which the second changed a little of each.
fn past() -> Past {
    let mut past = Past::new(Release::R43);
    for content in past.contents.values_mut() {
        content[10] ^= 1;
    }
    past.store();
    past
}

#[test]
fn what_another_machine_put_together_during_a_restore_is_read_where_it_is_now() {
    for option in [None, Some("--skip-corrupt-chunks")] {
        let past = past();
        let machine = Machine::new(World::new(Release::R43));
        let prune = elsewhere(&past.desk, &machine, &["prune --all --keep-last=1"]);
        let call = "internal.vm.volume.ImportBegin build".to_owned();
        machine.qubesd.world().meanwhile.insert(call, prune);
        let arguments: Vec<&str> = ["restore", "build", "win"]
            .into_iter()
            .chain(option)
            .collect();
        let ended = machine.run(&past.desk, &arguments);
        let said = fs::read_to_string(past.desk.path("said")).unwrap();
        assert_eq!(ended.code, 0, "{ended:?}\n{said}");
        assert!(ended.err.contains("trying again"), "{ended:?}\n{said}");
        assert!(!ended.err.contains("lost"), "{ended:?}");
        for (qube, volume) in [
            ("build", "root"),
            ("build", "private"),
            ("win", "root"),
            ("win", "private"),
        ] {
            let whole = machine.content(qube, volume) == past.content(qube, volume);
            assert!(whole, "{qube} {volume}");
        }
    }
}

#[test]
fn a_session_that_another_machine_gave_away_during_a_restore_is_said_to_be_gone() {
    let past = past();
    let machine = Machine::new(World::new(Release::R43));
    let delete = "delete vm-build-private --force";
    let delete = elsewhere(&past.desk, &machine, &[delete]);
    let call = "internal.vm.volume.ImportBegin build".to_owned();
    machine.qubesd.world().meanwhile.insert(call, delete);
    let ended = end(&mut machine.nacre(&past.desk, &["restore", "build"]));
    let said = fs::read_to_string(past.desk.path("said")).unwrap();
    assert_eq!(ended.code, 1, "{ended:?}\n{said}");
    let gone = "volume vm-build-private was renamed or deleted meanwhile";
    assert!(ended.err.contains(gone), "{ended:?}\n{said}");
    assert!(!ended.err.contains("arch-check"), "{ended:?}");
}

/// The plan names volumes as they were called when it was made; by then another one may have the name, and the session too.
#[test]
fn a_volume_whose_name_another_machine_gave_away_during_a_restore_is_not_exchanged() {
    let past = past();
    let machine = Machine::new(World::new(Release::R43));
    let commands = [
        "prune --all --keep-last=1",
        "rename vm-build-private x",
        "rename vm-win-private vm-build-private",
        "rename x vm-win-private",
    ];
    let exchange = elsewhere(&past.desk, &machine, &commands);
    let call = "internal.vm.volume.ImportBegin build".to_owned();
    machine.qubesd.world().meanwhile.insert(call, exchange);
    let ended = machine.run(&past.desk, &["restore", "build"]);
    let said = fs::read_to_string(past.desk.path("said")).unwrap();
    assert_eq!(ended.code, 1, "{ended:?}\n{said}");
    let why = "volume vm-build-private was renamed or deleted meanwhile";
    assert!(ended.err.contains(why), "{ended:?}\n{said}");
    // Begun anew, it is found by its name of that time.
    let ended = machine.run(&past.desk, &["restore", "build"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for volume in ["root", "private"] {
        let whole = machine.content("build", volume) == past.content("build", volume);
        assert!(whole, "{volume}");
    }
}
