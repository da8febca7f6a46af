//! What the backup could not read, and what qubesd does not take or does not answer: nothing is opened wider because of it, and nothing waited
//! for twice.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nacre::admin::{AdminApi, Socket};
use nacre::joints::qubes::ImportPlace;
use nacre::qubes::restore::{
    Content, Contents, Ended, Present, Saved, SavedQube, Wish, carry_out, plan,
};
use nacre_tests::qubesd::Release::R43;
use nacre_tests::qubesd::{Device, World};

use super::machine::Machine;
use super::past::Past;

fn fresh() -> World {
    let mut world = World::new(R43);
    world.add("debian-13", "TemplateVM", None, "black");
    world.add("sys-firewall", "AppVM", Some("debian-13"), "green");
    world
}

fn firewall(machine: &Machine, qube: &str) -> String {
    machine.qubesd.world().qubes[qube].firewall.clone()
}

#[test]
fn a_firewall_that_the_backup_could_not_read_does_not_come_back_open() {
    let mut past = Past::new(R43);
    let work = past.settings.qubes.get_mut("work").unwrap();
    work.firewall.clear();
    work.unread.insert("firewall".to_owned());
    past.store();
    let machine = Machine::new(fresh());
    let ended = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "work: the firewall's rules: the backup could not read them; nothing passes until you give it some (qvm-firewall work)";
    assert!(ended.err.contains(line), "{}", ended.err);
    assert_eq!(firewall(&machine, "work"), "action=drop\n");
    // One that is here keeps its own.
    let own = "action=accept dsthost=example.org\naction=drop\n";
    own.clone_into(
        &mut machine
            .qubesd
            .world()
            .qubes
            .get_mut("work")
            .unwrap()
            .firewall,
    );
    let ended = machine.run(&past.desk, &["restore", "work", "--force"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("it keeps those it has"), "{}", ended.err);
    assert_eq!(firewall(&machine, "work"), own);
}

#[test]
fn no_rules_at_all_are_a_setting_too() {
    let mut past = Past::new(R43);
    past.settings
        .qubes
        .get_mut("work")
        .unwrap()
        .firewall
        .clear();
    past.store();
    let machine = Machine::new(fresh());
    machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(firewall(&machine, "work"), "");
}

#[test]
fn properties_that_the_backup_could_not_read_give_no_network() {
    let mut past = Past::new(R43);
    let work = past.settings.qubes.get_mut("work").unwrap();
    work.properties.retain(|name, _| name == "template");
    work.unread.insert("properties".to_owned());
    past.store();
    let machine = Machine::new(fresh());
    let ended = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = "work: property netvm: the backup could not read it. It has no network until you give it one";
    assert!(ended.err.contains(line), "{}", ended.err);
    let netvm = machine.qubesd.world().qubes["work"].properties["netvm"]
        .set
        .clone();
    assert_eq!(netvm.as_deref(), Some(""));
    // Whoever says which, gets it.
    let ended = machine.run(
        &past.desk,
        &["restore", "work", "--as=work2", "--pref=netvm=sys-firewall"],
    );
    assert_eq!(ended.code, 3, "{ended:?}");
    let netvm = machine.qubesd.world().qubes["work2"].properties["netvm"]
        .set
        .clone();
    assert_eq!(netvm.as_deref(), Some("sys-firewall"));
}

#[test]
fn a_new_qube_whose_rules_are_refused_reaches_nothing() {
    let past = Past::new(R43);
    let machine = Machine::new(fresh());
    let failing = ("QubesException", "not today".to_owned());
    let call = "admin.vm.firewall.Set work".to_owned();
    machine.qubesd.world().failing.insert(call, failing);
    let ended = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended
            .err
            .contains("not today; so it has no network until you give it both"),
        "{}",
        ended.err
    );
    let netvm = machine.qubesd.world().qubes["work"].properties["netvm"]
        .set
        .clone();
    assert_eq!(netvm.as_deref(), Some(""));
}

#[test]
fn what_is_left_as_it_is_here_is_named() {
    let mut past = Past::new(R43);
    let globals = &mut past.settings.system.properties;
    globals.insert("default_netvm".to_owned(), "sys-firewall".to_owned());
    past.store();
    let mut world = fresh();
    let work = world.add("work", "AppVM", Some("debian-13"), "blue");
    work.devices.push(Device {
        class: "block".to_owned(),
        backend: "sys-firewall".to_owned(),
        port: "sda9".to_owned(),
        id: String::new(),
        mode: "required".to_owned(),
        options: BTreeMap::new(),
    });
    let netvm = world.globals.get_mut("default_netvm").unwrap();
    netvm.set = Some("sys-net".to_owned());
    let machine = Machine::new(world);
    let ended = machine.run(&past.desk, &["restore", "work", "--force"]);
    let line =
        "work: it keeps device block sys-firewall:sda9, which it does not have in the archive";
    assert!(ended.err.contains(line), "{}", ended.err);
    assert_eq!(machine.qubesd.world().qubes["work"].devices.len(), 1);
    let ended = machine.run(&past.desk, &["restore", "--all", "--force"]);
    let line =
        "the system's default_netvm is sys-net here and was sys-firewall there; it is left alone";
    assert!(ended.err.contains(line), "{}", ended.err);
}

#[test]
fn a_device_that_is_assigned_here_in_another_way_is_named() {
    let past = Past::new(R43);
    let mut world = fresh();
    world.add("fedora-42", "TemplateVM", None, "black");
    world.add("sys-usb", "AppVM", Some("debian-13"), "red");
    let saved = past.settings.qubes["mail"].devices[0].clone();
    let here = Device {
        class: saved.class,
        backend: saved.backend,
        port: saved.port,
        id: saved.id,
        mode: saved.mode,
        options: saved.options,
    };
    let mail = world.add("mail", "AppVM", Some("fedora-42"), "red");
    mail.devices.push(here.clone());
    let machine = Machine::new(world);
    let restore = || {
        let arguments = ["restore", "mail", "--settings-only", "--force"];
        let ended = machine.run(&past.desk, &arguments);
        let line =
            "mail: device block sys-usb:sda1: it is assigned here in another way, and stays so";
        (ended.err.contains(line), ended)
    };
    let (named, ended) = restore();
    assert!(!named, "{ended:?}");
    let writable = BTreeMap::from([("read-only".to_owned(), "False".to_owned())]);
    let others = [
        Device {
            options: writable,
            ..here.clone()
        },
        Device {
            mode: "ask-to-attach".to_owned(),
            ..here.clone()
        },
        Device {
            id: "0x8086:0x2".to_owned(),
            ..here
        },
    ];
    for other in others {
        let change = |world: &mut World| {
            world.qubes.get_mut("mail").unwrap().devices = vec![other.clone()];
        };
        change(&mut machine.qubesd.world());
        let (named, ended) = restore();
        assert!(named && ended.code == 3, "{ended:?}");
        assert_eq!(machine.qubesd.world().qubes["mail"].devices, [other]);
    }
}

struct Nothing;

impl Contents for Nothing {
    fn write(&mut self, _: &str, _: &str, _: &Content, _: &ImportPlace) -> Result<(), String> {
        Ok(())
    }

    fn import(&mut self, _: &str, _: &str, _: &Content) -> Result<(), String> {
        Ok(())
    }

    fn stopped(&self) -> bool {
        false
    }
}

#[test]
fn a_qubesd_that_does_not_answer_is_waited_for_once() {
    let past = Past::new(R43);
    let machine = Machine::new(fresh());
    let qubes = past.settings.qubes.iter().map(|(name, settings)| {
        let qube = SavedQube {
            settings: settings.clone(),
            session: "20261121-083000".to_owned(),
            ..SavedQube::default()
        };
        (name.clone(), qube)
    });
    let saved = Saved {
        qubes: qubes.collect(),
        system: past.settings.system.clone(),
    };
    let named = ["work", "vault", "default-dvm"].map(str::to_owned);
    let wish = Wish {
        named: named.into(),
        ..Wish::default()
    };
    let plan = plan(&saved, &Present::read(&machine.api()).unwrap(), &wish);
    assert_eq!(plan.qubes.len(), 3, "{:?}", plan.refused);
    // It takes every call and answers none.
    let path = machine.tool("silent");
    let listener = UnixListener::bind(&path).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            open.push(stream);
        }
    });
    let socket = Socket::new(&path).with_patience(Duration::from_millis(300));
    let silent = AdminApi::over(socket.clone(), socket);
    let ends = carry_out(&silent, &plan, &mut Nothing);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let why: Vec<&Ended> = ends.iter().map(|end| &end.ended).collect();
    let Ended::Failed(first) = why[0] else {
        panic!("{why:?}");
    };
    assert!(first.contains("no answer from qubesd in time"), "{first}");
    for other in &why[1..] {
        let said = Ended::Failed("qubesd does not answer any more".to_owned());
        assert_eq!(**other, said);
    }
}
