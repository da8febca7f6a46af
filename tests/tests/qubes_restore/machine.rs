//! A dom0: the double of qubesd, the programs of the desktop, and `nacre` among them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nacre::admin::AdminApi;
use nacre::qubes::{System, inventory};
use nacre_core::settings::Settings;
use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::qubes_world::write_script;
use nacre_tests::qubesd::{Qubesd, World};

/// A machine with qubes.
pub struct Machine {
    pub qubesd: Qubesd,
    tools: tempfile::TempDir,
}

impl Machine {
    pub fn new(mut world: World) -> Self {
        let tools = tempfile::tempdir().unwrap();
        world.volumes_at = Some(tools.path().to_owned());
        let said = tools.path().join("said");
        let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\n", said.display());
        write_script(&tools.path().join("runuser"), &script).unwrap();
        Self {
            qubesd: Qubesd::start(world),
            tools,
        }
    }

    pub fn api(&self) -> AdminApi {
        AdminApi::at(&self.qubesd.external(), &self.qubesd.internal())
    }

    pub fn system(&self) -> System {
        inventory(&self.api(), "4").unwrap()
    }

    /// Calls of programs of the desktop.
    pub fn said(&self) -> String {
        fs::read_to_string(self.tools.path().join("said")).unwrap_or_default()
    }

    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools.path().join(name)
    }

    /// A command of `nacre` on this machine.
    pub fn nacre(&self, desk: &Desk, arguments: &[&str]) -> Command {
        let mut command = desk.nacre(arguments);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("NACRE_QUBESD", self.qubesd.folder())
            .env("SUDO_USER", "user")
            .env("PATH", format!("{}:{path}", self.tools.path().display()));
        command
    }

    pub fn run(&self, desk: &Desk, arguments: &[&str]) -> Ended {
        end(&mut self.nacre(desk, arguments))
    }

    /// A volume's content, as far as it was ever written.
    pub fn content(&self, qube: &str, volume: &str) -> Vec<u8> {
        let world = self.qubesd.world();
        let file = world.qubes[qube].volumes[volume].file.clone();
        drop(world);
        fs::read(file.expect("content")).unwrap()
    }
}

/// Stores the settings and the content of volumes as one session: what a backup stores, made without one.
pub fn store(desk: &Desk, settings: &Settings, volumes: &[(String, PathBuf)]) {
    let arguments = sending(desk, settings, volumes);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    desk.done(&arguments);
}

/// The command for that.
pub fn sending(desk: &Desk, settings: &Settings, volumes: &[(String, PathBuf)]) -> Vec<String> {
    fs::write(desk.path("settings"), settings.encode()).unwrap();
    let mut arguments = vec![
        "send".to_owned(),
        "--send-unchanged".to_owned(),
        desk.import("qubes:settings", "settings"),
    ];
    for (name, path) in volumes {
        arguments.push(format!("--import-other-from={name}:|:{}", path.display()));
    }
    arguments
}
