//! A restore that is cut short anywhere leaves a qube that cannot be started, and the same command goes on.

use nacre::joints::qubes::QubeRegistry;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

/// The double stops answering these; what was done before stays, as after a crash.
const CUTS: &[&str] = &[
    "admin.vm.tag.Set",
    "internal.vm.volume.ImportEnd",
    "admin.vm.tag.Remove",
];

#[test]
fn the_same_command_again_goes_on_wherever_it_was_cut() {
    let past = Past::new(Release::R43);
    for cut in CUTS {
        let mut world = World::new(Release::R43);
        world.add("debian-13", "TemplateVM", None, "black");
        world.refused.insert((*cut).to_owned());
        let machine = Machine::new(world);
        let ended = machine.run(&past.desk, &["restore", "vault"]);
        assert_eq!(ended.code, 1, "{cut}: {ended:?}");
        let api = machine.api();
        let marked = *cut != "admin.vm.tag.Set";
        if marked {
            assert!(api.start("vault").is_err(), "{cut}");
            assert!(ended.err.contains("goes on"), "{}", ended.err);
        }
        machine.qubesd.world().refused.clear();
        // Also where it was made and not yet marked: that it would be was written down before.
        let again = machine.run(&past.desk, &["restore", "vault"]);
        assert_eq!(again.code, 0, "{cut}: {again:?}");
        assert!(again.out.contains("go on"), "{}", again.out);
        assert!(machine.content("vault", "private") == past.content("vault", "private"));
        api.start("vault").unwrap();
    }
}

#[test]
fn a_qube_that_somebody_used_is_not_taken_for_one_that_was_just_made() {
    let past = Past::new(Release::R43);
    let mut world = World::new(Release::R43);
    world.add("debian-13", "TemplateVM", None, "black");
    world.refused.insert("admin.vm.tag.Set".to_owned());
    let machine = Machine::new(world);
    assert_eq!(machine.run(&past.desk, &["restore", "vault"]).code, 1);
    machine.qubesd.world().refused.clear();
    let use_it = |machine: &Machine| {
        let file = machine.tool("used");
        std::fs::write(&file, "somebody's work").unwrap();
        let mut world = machine.qubesd.world();
        let vault = world.qubes.get_mut("vault").unwrap();
        vault.volumes.get_mut("private").unwrap().file = Some(file);
    };
    use_it(&machine);
    let again = machine.run(&past.desk, &["restore", "vault"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert_eq!(machine.content("vault", "private"), b"somebody's work");
    // Nor one with a tag; and once it was restored, what was written down is forgotten.
    let mut world = machine.qubesd.world();
    let vault = world.qubes.get_mut("vault").unwrap();
    vault.volumes.get_mut("private").unwrap().file = None;
    vault.tags.insert("mine".to_owned());
    drop(world);
    assert_eq!(machine.run(&past.desk, &["restore", "vault"]).code, 1);
    let done = machine.run(&past.desk, &["restore", "vault", "--force"]);
    assert_eq!(done.code, 0, "{done:?}");
    let mut world = machine.qubesd.world();
    let vault = world.qubes.get_mut("vault").unwrap();
    vault.volumes.get_mut("private").unwrap().file = None;
    drop(world);
    assert_eq!(machine.run(&past.desk, &["restore", "vault"]).code, 1);
}

#[test]
fn a_killed_restore_is_gone_on_with() {
    use std::os::unix::process::ExitStatusExt;
    let past = Past::new(Release::R43);
    let mut world = World::new(Release::R43);
    world.add("debian-13", "TemplateVM", None, "black");
    let machine = Machine::new(world);
    // The content takes a pipe that nobody empties: the restore stands still in the middle of it.
    machine
        .qubesd
        .world()
        .refused
        .insert("internal.vm.volume.ImportBegin".to_owned());
    let service = machine.tool("service");
    nacre_tests::qubes_world::write_script(&service, "#!/bin/sh\nexec sleep 60\n").unwrap();
    let mut command = machine.nacre(&past.desk, &["restore", "vault"]);
    command.env("NACRE_IMPORT_SERVICE", &service);
    let mut child = command.spawn().unwrap();
    while !machine
        .qubesd
        .world()
        .calls
        .iter()
        .any(|call| call.contains("ImportBegin"))
    {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let api = machine.api();
    assert!(api.start("vault").is_err());
    machine.qubesd.world().refused.clear();
    // As after a kill between the two calls of an import in a thin pool.
    api.import_begin("vault", "private", 4096).unwrap();
    let again = machine.run(&past.desk, &["restore", "vault"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(machine.content("vault", "private") == past.content("vault", "private"));
    api.start("vault").unwrap();
}
