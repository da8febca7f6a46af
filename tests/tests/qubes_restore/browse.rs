//! A look into a past session.

use std::process::Stdio;
use std::time::Duration;

use nacre_tests::desk::ended;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

fn machine() -> Machine {
    let mut world = World::new(Release::R43);
    world.add("fedora-42", "TemplateVM", None, "black");
    Machine::new(world)
}

/// The qube that is there for a while.
fn temporary(machine: &Machine) -> Option<String> {
    let world = machine.qubesd.world();
    let found = world
        .qubes
        .iter()
        .find(|(name, qube)| name.starts_with("work-2") && qube.running);
    found.map(|(name, _)| name.clone())
}

#[test]
fn the_files_are_in_a_fresh_qube_without_network_that_goes_when_it_stops() {
    let past = Past::new(Release::R43);
    let machine = machine();
    let mut command = machine.nacre(&past.desk, &["browse", "work"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let name = loop {
        if let Some(name) = temporary(&machine)
            && machine.said().contains("qvm-run")
        {
            break name;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let qube = machine.system().qubes[&name].settings.clone();
    assert_eq!(qube.properties["netvm"], "");
    assert_eq!(qube.properties["default_dispvm"], "");
    assert_eq!(qube.properties["template"], "fedora-42");
    assert!(
        !qube.tags.contains("mine"),
        "nothing of its settings comes along"
    );
    assert!(machine.content(&name, "private") == past.content("work", "private"));
    assert!(machine.said().contains(&format!(
        "-u user -- qvm-run --quiet {name} xdg-open /home/user"
    )));
    machine.qubesd.world().qubes.get_mut(&name).unwrap().running = false;
    let ended = ended(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        !machine.qubesd.world().qubes.contains_key(&name),
        "it is gone"
    );
}

#[test]
fn what_cannot_be_browsed_leaves_no_qube_behind() {
    let past = Past::new(Release::R43);
    let machine = machine();
    let ended = machine.run(&past.desk, &["browse", "sys-usb"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("does not have its private volume"),
        "{}",
        ended.err
    );
    let ended = machine.run(&past.desk, &["browse", "work", "--dry-run"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    machine
        .qubesd
        .world()
        .refused
        .insert("internal.vm.volume.ImportEnd".to_owned());
    let ended = machine.run(&past.desk, &["browse", "work"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    // A qube that could not be cut off from the network is not started either.
    machine.qubesd.world().refused.clear();
    machine
        .qubesd
        .world()
        .refused
        .insert("admin.vm.property.Set".to_owned());
    let ended = machine.run(&past.desk, &["browse", "work"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let world = machine.qubesd.world();
    assert_eq!(world.qubes.len(), 1);
    assert!(
        !world
            .calls
            .iter()
            .any(|call| call.contains("admin.vm.Start"))
    );
}
