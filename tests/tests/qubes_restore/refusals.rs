//! What is not done, and how it is said; and settings of an archive that nobody should take on trust.

use std::fs;

use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

use Release::R43;

fn newer() -> World {
    let mut world = World::new(R43);
    world.add("debian-13", "TemplateVM", None, "black");
    world
}

#[test]
fn a_running_qube_and_one_of_another_class_are_left_alone() {
    let past = Past::new(R43);
    let mut world = newer();
    world.add("work", "AppVM", Some("debian-13"), "red").running = true;
    world.add("mail", "StandaloneVM", None, "red");
    let machine = Machine::new(world);
    let ended = machine.run(
        &past.desk,
        &["restore", "work", "mail", "nosuch", "--force"],
    );
    assert_eq!(ended.code, 1, "{ended:?}");
    for line in [
        "work is not restored: it is running; stop it with `qvm-shutdown --wait work`",
        "mail is not restored: the qube of this name here is of the class StandaloneVM",
        "nosuch is not restored: the archive has no settings of a qube of this name",
    ] {
        assert!(ended.err.contains(line), "{}", ended.err);
    }
    let changes = ["Set", "Create", "Remove", "Import", "Reset"];
    let world = machine.qubesd.world();
    let changed = |call: &&String| changes.iter().any(|word| call.contains(word));
    assert_eq!(world.calls.iter().find(changed), None);
}

#[test]
fn without_qubesd_or_settings_it_is_said_what_to_do() {
    let past = Past::new(R43);
    let machine = Machine::new(newer());
    let mut command = machine.nacre(&past.desk, &["restore", "work"]);
    command.env("NACRE_QUBESD", "/nonexistent");
    let ended = nacre_tests::desk::end(&mut command);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("run this as root in dom0"),
        "{}",
        ended.err
    );

    let bare = nacre_tests::desk::Desk::new();
    bare.done(&["arch-init"]);
    let ended = machine.run(&bare, &["restore", "--all"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("`nacre receive` restores its volumes"),
        "{}",
        ended.err
    );
    let ended = machine.run(&past.desk, &["restore", "work", "--pool=nosuch"]);
    assert!(
        ended.err.contains("there is no pool nosuch"),
        "{}",
        ended.err
    );
}

#[test]
fn settings_of_an_archive_are_data_and_not_orders() {
    let mut past = Past::new(R43);
    let work = past.settings.qubes.get_mut("work").unwrap();
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    work.properties.extend([
        property("memory", "1\nname=evil"),
        property("Weird", "1"),
        property("default_user", "\u{1b}[2J"),
        property("management_dispvm", "nosuch"),
        property("installed_by_rpm", "True"),
        property("qid", "4"),
    ]);
    work.features
        .extend([property("a b", "1"), property("x", "\u{e9}")]);
    work.tags.insert("a tag".to_owned());
    work.tags.insert("created-by-sys-gui".to_owned());
    work.tags.insert("backup-restore-mgmt".to_owned());
    work.firewall = "action=accept\n; rm -rf /\n".into();
    let evil = past.settings.qubes["vault"].clone();
    past.settings
        .qubes
        .insert("../evil".to_owned(), evil.clone());
    past.settings.qubes.insert("dom0".to_owned(), evil);
    past.store();
    let machine = Machine::new(newer());
    let ended = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for what in [
        "property memory:",
        "property Weird:",
        "property default_user:",
        "property management_dispvm:",
        "property installed_by_rpm:",
        "feature a b:",
        "feature x:",
        "tag a tag:",
        "tag created-by-sys-gui:",
        "the firewall's rules:",
    ] {
        assert!(
            ended.err.contains(&format!("work: {what}")),
            "{what}\n{}",
            ended.err
        );
    }
    assert!(!ended.err.contains('\u{1b}') && !ended.err.contains("qid"));
    let work = &machine.system().qubes["work"].settings.clone();
    // A new qube would let everything through, which is not what was set either.
    assert_eq!(work.firewall, "action=drop\n");
    assert!(!work.tags.contains("backup-restore-mgmt"));
    let all = machine.run(&past.desk, &["restore", "--all", "--force"]);
    assert!(
        all.err.contains("../evil is not restored: this is no name"),
        "{}",
        all.err
    );
    assert!(
        all.err.contains("dom0 is not restored: this is no name"),
        "{}",
        all.err
    );
}

#[test]
fn a_call_that_is_refused_is_named_and_stops_nothing_else() {
    let past = Past::new(R43);
    let machine = Machine::new(World::new(R43));
    let mut world = machine.qubesd.world();
    world.refused.insert("admin.vm.tag.List".to_owned());
    world.refused.insert("admin.vm.firewall.Set".to_owned());
    drop(world);
    let ended = machine.run(&past.desk, &["restore", "--all"]);
    assert!(matches!(ended.code, 1 | 3), "{ended:?}");
    machine.qubesd.world().refused.remove("admin.vm.tag.List");
    let ended = machine.run(&past.desk, &["restore", "--all", "--force"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "work: the firewall's rules: admin.vm.firewall.Set of work: qubesd refused";
    assert!(ended.err.contains(line), "{}", ended.err);
    assert_eq!(machine.system().qubes.len(), 12);
    assert!(machine.content("work", "private") == past.content("work", "private"));
}

#[test]
fn damage_keeps_a_qube_from_starting_and_is_told_as_integrity() {
    let past = Past::new(R43);
    let machine = Machine::new(World::new(R43));
    // The largest pack holds data; what the settings need is small.
    let packs = past.desk.path("store/archive/pack");
    let mut files: Vec<_> = fs::read_dir(packs)
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort_by_key(|file| fs::metadata(file).unwrap().len());
    let largest = files.last().unwrap();
    let mut bytes = fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(largest, bytes).unwrap();
    let ended = machine.run(&past.desk, &["restore", "--all"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended
            .err
            .contains("It cannot be started until it is restored whole"),
        "{}",
        ended.err
    );
    let world = machine.qubesd.world();
    let marked = world
        .qubes
        .values()
        .filter(|qube| qube.tags.contains("backup-restore-in-progress"));
    let not_restored = ended.err.matches(" is not restored: volume ").count();
    assert!(
        not_restored > 0 && marked.count() == not_restored,
        "{}",
        ended.err
    );
}

#[test]
fn where_qubesd_is_not_asked_directly_its_import_service_takes_the_content() {
    let past = Past::new(R43);
    let machine = Machine::new(newer());
    machine
        .qubesd
        .world()
        .refused
        .insert("internal.vm.volume.ImportBegin".to_owned());
    let taken = machine.tool("taken");
    let script = format!(
        "#!/bin/sh\necho \"$1 $QREXEC_REMOTE_DOMAIN $QREXEC_REQUESTED_TARGET\" >&2\ncat > '{}'-$QREXEC_REQUESTED_TARGET-$1\nprintf '0\\0'\n",
        taken.display()
    );
    let service = machine.tool("service");
    nacre_tests::qubes_world::write_script(&service, &script).unwrap();
    let mut command = machine.nacre(&past.desk, &["restore", "win"]);
    command.env("NACRE_IMPORT_SERVICE", &service);
    let ended = nacre_tests::desk::end(&mut command);
    assert_eq!(ended.code, 0, "{ended:?}");
    for volume in ["root", "private"] {
        let bytes = fs::read(machine.tool(&format!("taken-win-{volume}"))).unwrap();
        let content = past.content("win", volume);
        let wanted = [format!("{}\n", content.len()).as_bytes(), content].concat();
        assert!(bytes == wanted, "{volume}");
    }
    let script =
        "#!/bin/sh\nhead -c 100 >/dev/null\nprintf '2\\0QubesException\\0\\0too much data\\0'\n";
    nacre_tests::qubes_world::write_script(&service, script).unwrap();
    let again = ["restore", "win", "--force", "--skip-corrupt-chunks"];
    let mut command = machine.nacre(&past.desk, &again);
    command.env("NACRE_IMPORT_SERVICE", &service);
    let ended = nacre_tests::desk::end(&mut command);
    assert_eq!(ended.code, 1, "{ended:?}");
    let nothing = "--skip-corrupt-chunks does nothing for it";
    assert!(ended.err.contains(nothing), "{}", ended.err);
    assert!(
        ended.err.contains("qubesd did not take it: too much data"),
        "{}",
        ended.err
    );
}

#[test]
fn what_the_backup_could_not_read_is_named_and_nothing_here_is_taken_away_for_it() {
    let mut past = Past::new(R43);
    let vault = past.settings.qubes.get_mut("vault").unwrap();
    vault.tags.clear();
    vault.unread.insert("tags".to_owned());
    past.store();
    let mut world = newer();
    let here = world.add("vault", "AppVM", Some("debian-13"), "red");
    here.tags.insert("of-mine".to_owned());
    here.volumes.get_mut("private").unwrap().revisions_to_keep = 0;
    let machine = Machine::new(world);
    let ended = machine.run(&past.desk, &["restore", "vault", "--force"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "vault: tags: the backup could not read them.";
    assert!(ended.err.contains(line), "{}", ended.err);
    let gone = "vault: its private volume keeps no revisions (revisions_to_keep 0)";
    assert!(ended.err.contains(gone), "{}", ended.err);
    assert!(
        machine.system().qubes["vault"]
            .settings
            .tags
            .contains("of-mine")
    );
}
