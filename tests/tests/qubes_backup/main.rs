//! `backup` through the real program: qubesd's double over its socket, volumes in a reflink pool on Btrfs and XFS, an archive in a folder.

#![allow(clippy::unwrap_used, reason = "failing loudly is what these are for")]

mod dom0;
mod faults;
mod golden;
mod names;
mod sessions;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nacre_core::settings::Settings;
use nacre_tests::mounts::FileSystem;
use nacre_tests::qubes_machine::Machine;
use nacre_tests::qubesd::{Qube, Release, World};

/// Qubes of every class; `mail` runs, `scratch` is not marked.
fn qubes(world: &mut World) {
    world.add("debian-13", "TemplateVM", None, "black");
    world
        .add("mail", "AppVM", Some("debian-13"), "blue")
        .running = true;
    world.add("win", "StandaloneVM", None, "red");
    let dvm = world.add("default-dvm", "AppVM", Some("debian-13"), "red");
    set(dvm, "template_for_dispvms", "True");
    world.add("sys-usb", "DispVM", Some("default-dvm"), "red");
    let scratch = world.add("scratch", "AppVM", Some("debian-13"), "red");
    set(scratch, "include_in_backups", "False");
    world.add("far", "RemoteVM", None, "red").volumes.clear();
}

fn set(qube: &mut Qube, property: &str, value: &str) {
    let property = qube.properties.get_mut(property).unwrap();
    property.set = Some(value.to_owned());
}

/// A machine with them, where `mail` has written since its start; and an archive.
fn machine(release: Release, kind: FileSystem) -> Result<Machine, String> {
    let machine = Machine::new(release, kind, qubes)?;
    let live = machine.image("appvms/mail/private-dirty.img");
    fs::copy(machine.image("appvms/mail/private.img"), &live).unwrap();
    write(
        &machine,
        "appvms/mail/private-dirty.img",
        7,
        b"written while it runs",
    );
    machine.done(&["arch-init", "--compression=zstd:1"]);
    Ok(machine)
}

fn write(machine: &Machine, image: &str, at: u64, bytes: &[u8]) {
    let file = File::options()
        .write(true)
        .open(machine.image(image))
        .unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// The settings in the newest session that has some.
fn settings(machine: &Machine) -> Settings {
    Settings::parse(&machine.restored("qubes:settings", "newest")).unwrap()
}
