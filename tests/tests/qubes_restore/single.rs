//! One qube: missing references, another name, parts, and what is already here.

use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::{Past, set};

use Release::R43;

/// A system with a template of its own.
fn newer() -> World {
    let mut world = World::new(R43);
    world.add("fedora-42", "TemplateVM", None, "black");
    world.add("debian-13", "TemplateVM", None, "black");
    world
}

#[test]
fn what_it_referred_to_and_is_not_here_is_named() {
    let past = Past::new(R43);
    let mut world = newer();
    world.qubes.remove("debian-13");
    let machine = Machine::new(world);
    let ended = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for line in [
        "work: property template: its template debian-13 is not here; it gets fedora-42, the default.",
        "work: property netvm: sys-firewall is not here. It has no network until you give it one",
    ] {
        assert!(ended.err.contains(line), "{}", ended.err);
    }
    let work = machine.system().qubes["work"].settings.clone();
    assert_eq!(work.properties["template"], "fedora-42");
    // It went through sys-firewall: nothing else may take that place by itself.
    assert_eq!(work.properties["netvm"], "");
    assert!(machine.content("work", "private") == past.content("work", "private"));
}

#[test]
fn a_preference_takes_the_place_of_what_the_archive_has() {
    let past = Past::new(R43);
    let mut world = newer();
    let net = world.add("my-net", "AppVM", Some("fedora-42"), "red");
    set(net, "provides_network", "True");
    let machine = Machine::new(world);
    let preferences = [
        "restore",
        "work",
        "--as=work2",
        "--pref=netvm=my-net",
        "--pref=template=fedora-42",
        "--pref=memory",
        "--pref=label=green",
        "--pool=varlibqubes",
    ];
    let ended = machine.run(&past.desk, &preferences);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("is work in the archive"),
        "{}",
        ended.out
    );
    let system = machine.system();
    let work = &system.qubes["work2"].settings;
    assert_eq!(work.properties["netvm"], "my-net");
    assert_eq!(work.properties["template"], "fedora-42");
    assert_eq!(work.properties["label"], "green");
    assert!(!work.properties.contains_key("memory"));
    assert_eq!(work.volumes["private"].pool, "varlibqubes");
    assert!(!system.qubes.contains_key("work"));
}

#[test]
fn a_qube_that_is_here_is_overwritten_after_a_yes_only_and_then_is_as_it_was() {
    let past = Past::new(R43);
    let mut world = newer();
    let work = world.add("work", "AppVM", Some("fedora-42"), "red");
    set(work, "vcpus", "7");
    work.tags.insert("new-tag".to_owned());
    work.features.insert("new".to_owned(), "1".to_owned());
    work.notes = "newer".into();
    let machine = Machine::new(world);
    let net = machine.run(&past.desk, &["restore", "sys-firewall", "sys-net"]);
    assert_eq!(net.code, 0, "{net:?}");
    let before = machine.system().qubes["work"].settings.clone();
    let refused = machine.run(&past.desk, &["restore", "work"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("add --force"), "{}", refused.err);
    assert_eq!(machine.system().qubes["work"].settings, before);

    // What is there before stays as a revision.
    let plan = machine.run(&past.desk, &["restore", "work", "--dry-run"]);
    let stays = "work: what its private volume holds now stays as a revision (qvm-volume revert work:private)";
    assert!(plan.err.contains(stays), "{}", plan.err);
    let first = machine.run(&past.desk, &["restore", "work", "--data-only", "--force"]);
    assert_eq!(first.code, 0, "{first:?}");
    let kept = machine.system().qubes["work"].settings.clone();
    assert_eq!(
        (&kept.properties, &kept.tags),
        (&before.properties, &before.tags)
    );
    let ended = machine.run(&past.desk, &["restore", "work", "--force"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut wanted = past.settings.qubes["work"].clone();
    let mut now = machine.system().qubes["work"].settings.clone();
    for qube in [&mut wanted, &mut now] {
        qube.uuid = None;
        qube.volumes.clear();
    }
    assert_eq!(now, wanted);
    let world = machine.qubesd.world();
    assert_eq!(world.qubes["work"].volumes["private"].revisions.len(), 1);
}

#[test]
fn settings_alone_leave_the_volumes_alone() {
    let past = Past::new(R43);
    let mut world = newer();
    world.add("vault", "AppVM", Some("fedora-42"), "red");
    let machine = Machine::new(world);
    let ended = machine.run(
        &past.desk,
        &["restore", "vault", "--settings-only", "--force"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        machine.system().qubes["vault"].settings.properties["netvm"],
        ""
    );
    assert!(
        machine.qubesd.world().qubes["vault"].volumes["private"]
            .file
            .is_none()
    );
}

#[test]
fn paranoid_takes_nothing_that_widens_access_and_says_so() {
    let past = Past::new(R43);
    let machine = Machine::new(newer());
    let ended = machine.run(
        &past.desk,
        &["restore", "sys-net", "work", "mail", "--paranoid"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    let system = machine.system();
    for name in ["sys-net", "work", "mail"] {
        let qube = &system.qubes[name].settings;
        assert_eq!(qube.properties["netvm"], "", "{name}");
        assert!(qube.devices.is_empty() && !qube.tags.contains("mine"));
        assert!(!qube.properties.contains_key("provides_network"));
        assert!(!qube.properties.contains_key("kernelopts"));
    }
    // What only says how it looks or narrows it stays.
    let work = &system.qubes["work"].settings;
    assert_eq!(work.features["menu-items"], "a.desktop b.desktop");
    assert_eq!(work.properties["memory"], "800");
    assert_eq!(work.firewall, past.settings.qubes["work"].firewall);
    for line in [
        "work: property netvm: --paranoid gives it no network; it had sys-firewall.",
        "work: tag mine: --paranoid restores no tags",
        "mail: device block sys-usb:sda1: --paranoid assigns no devices.",
        "sys-net: property provides_network: --paranoid leaves it to the system.",
    ] {
        assert!(ended.err.contains(line), "{line}\n{}", ended.err);
    }
}

#[test]
fn an_older_session_and_a_qube_that_was_removed_since_can_be_had() {
    let mut past = Past::new(R43);
    let old = past.content("work", "private").to_vec();
    let list = past.desk.done(&["list", "qubes:settings"]);
    let first = list
        .lines()
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let key = ("work".to_owned(), "private".to_owned());
    past.contents.get_mut(&key).unwrap()[10] ^= 1;
    past.settings.qubes.remove("vault");
    past.contents
        .remove(&("vault".to_owned(), "private".to_owned()));
    past.store();
    let machine = Machine::new(newer());
    let session = format!("--session={first}");
    let ended = machine.run(&past.desk, &["restore", "work", &session]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(machine.content("work", "private") == old);
    let ended = machine.run(&past.desk, &["restore", "work", "vault", "--force"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(machine.content("work", "private") == past.content("work", "private"));
    assert_eq!(
        machine.system().qubes["vault"].settings.properties["netvm"],
        ""
    );
}
