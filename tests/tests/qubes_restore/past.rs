//! The system that was backed up: twelve assorted qubes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use nacre_core::settings::Settings;
use nacre_tests::desk::Desk;
use nacre_tests::lab_image::Random;
use nacre_tests::qubesd::{Device, Qube, Release, World};

use super::machine::{Machine, store};

/// Contents by qube and volume.
pub type Contents = BTreeMap<(String, String), Vec<u8>>;

pub fn set(qube: &mut Qube, property: &str, value: &str) {
    let property = qube.properties.get_mut(property).unwrap();
    property.set = Some(value.to_owned());
}

fn device(class: &str, backend: &str, port: &str, mode: &str) -> Device {
    Device {
        class: class.to_owned(),
        backend: backend.to_owned(),
        port: port.to_owned(),
        id: "0x8086:0x1".to_owned(),
        mode: mode.to_owned(),
        options: [("read-only".to_owned(), "True".to_owned())].into(),
    }
}

/// All classes, and something of everything that can be set.
pub fn world(release: Release) -> World {
    let mut world = World::new(release);
    world
        .labels
        .insert("salmon".to_owned(), "0xfa8072".to_owned());
    world.add("debian-13", "TemplateVM", None, "black");
    let fedora = world.add("fedora-42", "TemplateVM", None, "black");
    fedora.features.insert("os".to_owned(), "Linux".to_owned());
    fedora
        .features
        .insert("service.cups".to_owned(), String::new());
    let net = world.add("sys-net", "AppVM", Some("fedora-42"), "red");
    set(net, "provides_network", "True");
    set(net, "netvm", "");
    set(net, "virt_mode", "hvm");
    net.devices
        .push(device("pci", "dom0", "00_1a.0", "required"));
    let firewall = world.add("sys-firewall", "AppVM", Some("debian-13"), "green");
    set(firewall, "provides_network", "True");
    set(firewall, "netvm", "sys-net");
    set(firewall, "autostart", "True");
    let work = world.add("work", "AppVM", Some("debian-13"), "blue");
    set(work, "memory", "800");
    set(work, "netvm", "sys-firewall");
    set(work, "kernelopts", "nopat quiet=1");
    work.tags.insert("mine".to_owned());
    work.features
        .insert("menu-items".to_owned(), "a.desktop b.desktop".to_owned());
    work.firewall =
        "action=accept proto=tcp dstports=443-443\naction=drop comment=no more\n".into();
    work.notes = "two\nlines".into();
    work.volumes.get_mut("private").unwrap().revisions_to_keep = 5;
    let mail = world.add("mail", "AppVM", Some("fedora-42"), "salmon");
    set(mail, "default_dispvm", "");
    mail.devices
        .push(device("block", "sys-usb", "sda1", "required"));
    let vault = world.add("vault", "AppVM", Some("debian-13"), "gray");
    set(vault, "netvm", "");
    set(vault, "include_in_backups", "True");
    let dvm = world.add("default-dvm", "AppVM", Some("debian-13"), "red");
    set(dvm, "template_for_dispvms", "True");
    set(dvm, "default_dispvm", "default-dvm");
    let usb = world.add("sys-usb", "DispVM", Some("default-dvm"), "red");
    set(usb, "netvm", "");
    usb.features
        .insert("service.usb".to_owned(), "1".to_owned());
    world.add("disp-web", "DispVM", Some("default-dvm"), "orange");
    let win = world.add("win", "StandaloneVM", None, "purple");
    set(win, "virt_mode", "hvm");
    set(win, "kernel", "");
    win.volumes.get_mut("root").unwrap().revisions_to_keep = 0;
    let build = world.add("build", "StandaloneVM", None, "yellow");
    for volume in ["root", "private"] {
        build.volumes.get_mut(volume).unwrap().pool = "varlibqubes".into();
    }
    if release == Release::R42 {
        world.qubes.get_mut("work").unwrap().notes.clear();
    }
    world
}

/// The volumes with content of their own, each small and like no other.
fn contents(world: &mut World) -> Contents {
    let mut contents = Contents::new();
    let mut random = Random::new(7, "qubes");
    for (name, qube) in &mut world.qubes {
        for (volume, state) in &mut qube.volumes {
            if state.save_on_stop && state.rw {
                let mut content = vec![0; 500_000 + 4096 * (contents.len() + 1)];
                random.fill(&mut content[..70_000]);
                random.fill(&mut content[400_000..410_000]);
                state.size = content.len() as u64;
                contents.insert((name.clone(), volume.clone()), content);
            }
        }
    }
    contents
}

/// The name of a volume in the archive.
pub fn stored_as(qube: &str, volume: &str) -> String {
    format!("vm-{qube}-{volume}")
}

/// What a backup would write down.
pub fn settings(machine: &Machine, contents: &Contents) -> Settings {
    let system = machine.system();
    let mut settings = Settings {
        system: system.settings.clone(),
        qubes: BTreeMap::new(),
    };
    for (name, qube) in &system.qubes {
        let mut qube = qube.settings.clone();
        for (volume, saved) in &mut qube.volumes {
            if contents.contains_key(&(name.clone(), volume.clone())) {
                saved.stored_as = stored_as(name, volume);
            }
        }
        settings.qubes.insert(name.clone(), qube);
    }
    settings
}

/// A desk with an archive of one session of the twelve qubes, what they were set to, and what they held.
pub struct Past {
    pub desk: Desk,
    pub settings: Settings,
    pub contents: Contents,
}

impl Past {
    pub fn new(release: Release) -> Self {
        Self::of(world(release))
    }

    pub fn of(world: World) -> Self {
        let past = Self::unsaved(world);
        past.store();
        past
    }

    /// The same before the first backup.
    pub fn unsaved(mut world: World) -> Self {
        let contents = contents(&mut world);
        let machine = Machine::new(world);
        let settings = settings(&machine, &contents);
        let past = Self {
            desk: Desk::new(),
            settings,
            contents,
        };
        past.desk.done(&["arch-init"]);
        past
    }

    /// Adds a session with everything as it is now.
    pub fn store(&self) {
        store(&self.desk, &self.settings, &self.files());
    }

    /// The contents as files.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        self.contents
            .iter()
            .map(|((qube, volume), content)| {
                let name = stored_as(qube, volume);
                let path = self.desk.path(&name);
                fs::write(&path, content).unwrap();
                (name, path)
            })
            .collect()
    }

    pub fn content(&self, qube: &str, volume: &str) -> &[u8] {
        &self.contents[&(qube.to_owned(), volume.to_owned())]
    }
}
