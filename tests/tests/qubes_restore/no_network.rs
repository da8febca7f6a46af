//! A qube whose network cannot be given to it has none: the system's may lead where it must not go.

use nacre::joints::qubes::QubeRegistry;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

/// An archive in which `work` has this network.
fn past(netvm: &str) -> Past {
    let mut past = Past::new(Release::R43);
    let work = past.settings.qubes.get_mut("work").unwrap();
    work.properties.insert("netvm".to_owned(), netvm.to_owned());
    past.store();
    past
}

fn fresh() -> Machine {
    let mut world = World::new(Release::R43);
    world.add("debian-13", "TemplateVM", None, "black");
    world.add("sys-firewall", "AppVM", Some("debian-13"), "green");
    Machine::new(world)
}

fn netvm(machine: &Machine) -> Option<String> {
    let world = machine.qubesd.world();
    world.qubes["work"].properties["netvm"].set.clone()
}

fn fail(machine: &Machine, call: &str) {
    let why = ("QubesException", "not today".to_owned());
    machine.qubesd.world().failing.insert(call.to_owned(), why);
}

#[test]
fn a_new_qube_whose_network_is_refused_has_none() {
    let past = past("sys-usb");
    let machine = fresh();
    // It was to be made, and cannot be.
    fail(&machine, "admin.vm.Create.DispVM dom0");
    let ended = machine.run(&past.desk, &["restore", "work", "sys-usb", "default-dvm"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line =
        "Can't set netvm to non-existing qube sys-usb; so it has no network until you give it one";
    assert!(ended.err.contains(line), "{}", ended.err);
    assert_eq!(netvm(&machine).as_deref(), Some(""));
}

#[test]
fn a_new_qube_that_cannot_be_kept_from_the_network_cannot_be_started() {
    for wanted in ["sys-firewall", ""] {
        let past = past(wanted);
        let machine = fresh();
        fail(&machine, "admin.vm.property.Set work");
        let ended = machine.run(&past.desk, &["restore", "work"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let line = "It cannot be started until it is restored whole";
        assert!(ended.err.contains(line), "{}", ended.err);
        assert!(machine.api().start("work").is_err());
    }
}

#[test]
fn a_network_that_no_qube_can_have_is_none() {
    let past = past("sys net\n");
    let machine = fresh();
    let ended = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "work: property netvm: its name or value is none that a property may have. It has no network until you give it one: qvm-prefs work netvm NAME";
    assert!(ended.err.contains(line), "{}", ended.err);
    assert_eq!(netvm(&machine).as_deref(), Some(""));
}
