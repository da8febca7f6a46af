//! Which qubes and volumes a backup takes, from what qubesd tells.

#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use nacre::admin::AdminApi;
use nacre::qubes::{System, Wanted, choose, inventory};
use nacre_core::settings::Settings;
use nacre_tests::qubesd::{Qube, Qubesd, Release, World};

fn set(qube: &mut Qube, property: &str, value: &str) {
    let property = qube.properties.get_mut(property).unwrap();
    property.set = Some(value.to_owned());
}

fn world(release: Release) -> World {
    let mut world = World::new(release);
    world.add("debian-13", "TemplateVM", None, "black");
    world.add("work", "AppVM", Some("debian-13"), "blue");
    world.add("win", "StandaloneVM", None, "red");
    world.add("backupvm", "AppVM", Some("debian-13"), "gray");
    let dvm = world.add("default-dvm", "AppVM", Some("debian-13"), "red");
    set(dvm, "template_for_dispvms", "True");
    world.add("sys-usb", "DispVM", Some("default-dvm"), "red");
    let scratch = world.add("scratch", "AppVM", Some("debian-13"), "red");
    set(scratch, "include_in_backups", "False");
    world.add("far", "RemoteVM", None, "red").volumes.clear();
    world
}

fn system(world: World) -> System {
    let qubesd = Qubesd::start(world);
    let api = AdminApi::at(&qubesd.external(), &qubesd.internal());
    inventory(&api, "4.3").unwrap()
}

fn wanted(named: &[&str], included: bool) -> Wanted {
    Wanted {
        named: named.iter().map(|name| (*name).to_owned()).collect(),
        included,
        excluded: Vec::new(),
        carriers: vec!["backupvm".to_owned()],
    }
}

/// `qube: volume volume` for each.
fn chosen(system: &System, wanted: &Wanted) -> Vec<String> {
    let choice = choose(system, wanted);
    let line = |(qube, volumes): &(&nacre::qubes::Inventory, Vec<_>)| {
        let volumes: Vec<&str> = volumes
            .iter()
            .map(|volume: &&nacre::joints::qubes::QubeVolume| volume.name.as_str())
            .collect();
        format!("{}: {}", qube.row.name, volumes.join(" "))
    };
    choice.chosen.iter().map(line).collect()
}

#[test]
fn all_that_is_marked_is_taken_but_for_the_qube_that_carries_the_backup() {
    for release in [Release::R42, Release::R43] {
        let system = system(world(release));
        assert_eq!(
            chosen(&system, &wanted(&[], true)),
            [
                "debian-13: private root",
                "default-dvm: private",
                "win: private root",
                "work: private",
            ]
        );
        let choice = choose(&system, &wanted(&[], true));
        let left_out: Vec<&str> = choice
            .left_out
            .iter()
            .map(|out| out.qube.as_str())
            .collect();
        assert_eq!(left_out, ["backupvm", "far"]);
        assert!(choice.left_out.iter().all(|out| !out.asked_for));
    }
}

#[test]
fn what_is_named_is_taken_whether_it_is_marked_or_not() {
    let system = system(world(Release::R43));
    let named = wanted(&["scratch", "backupvm", "sys-usb", "nosuch"], false);
    assert_eq!(
        chosen(&system, &named),
        ["backupvm: private", "scratch: private", "sys-usb: "]
    );
    let choice = choose(&system, &named);
    assert_eq!(choice.left_out.len(), 1);
    assert!(choice.left_out[0].asked_for, "{:?}", choice.left_out);
    let mut excluded = wanted(&["scratch"], true);
    excluded.excluded = vec!["scratch".to_owned(), "win".to_owned()];
    let names = chosen(&system, &excluded);
    assert!(
        names
            .iter()
            .all(|line| !line.starts_with("scratch") && !line.starts_with("win"))
    );
    assert_eq!(names.len(), 3);
}

#[test]
fn only_what_somebody_set_is_written_down() {
    let system = system(world(Release::R43));
    let work = &system.qubes["work"].settings;
    let names: Vec<&str> = work.properties.keys().map(String::as_str).collect();
    assert_eq!(names, ["label", "template"]);
    assert_eq!(work.volumes["private"].size, 2 << 30);
    assert!(work.uuid.is_some());
    let all = Settings {
        system: system.settings.clone(),
        qubes: system
            .qubes
            .iter()
            .map(|(name, qube)| (name.clone(), qube.settings.clone()))
            .collect(),
    };
    assert_eq!(Settings::parse(&all.encode()), Ok(all.clone()));
    assert_eq!(all.system.labels.len(), 8);
}
