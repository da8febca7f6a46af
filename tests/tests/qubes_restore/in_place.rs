//! Several volumes of a qube: none is put in place before all of them are whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use nacre::joints::qubes::ImportPlace;
use nacre::qubes::restore::{
    Content, Contents, Ended, Present, Saved, SavedQube, Wish, carry_out, plan,
};
use nacre_tests::qubesd::{Release, Volume, World};

use super::machine::Machine;
use super::past::Past;

/// Writes "restored"; of this volume nothing can be had.
struct Without(Option<&'static str>);

impl Contents for Without {
    fn write(
        &mut self,
        _: &str,
        volume: &str,
        _: &Content,
        to: &ImportPlace,
    ) -> Result<(), String> {
        if self.0 == Some(volume) {
            return Err("it is lost".to_owned());
        }
        fs::write(&to.path, "restored").map_err(|error| error.to_string())
    }

    fn import(&mut self, _: &str, _: &str, _: &Content) -> Result<(), String> {
        Err("nobody asks for this".to_owned())
    }

    fn stopped(&self) -> bool {
        false
    }
}

/// What the archive has of `win`, which has two volumes of its own.
fn saved(past: &Past) -> Saved {
    let session = "20261121-083000".to_owned();
    let content = |volume: &str| {
        let content = Content {
            volume: format!("vm-win-{volume}"),
            session: session.clone(),
            size: 8,
            unfinished: false,
        };
        (volume.to_owned(), content)
    };
    let qube = SavedQube {
        settings: past.settings.qubes["win"].clone(),
        session: session.clone(),
        contents: ["private", "root"].map(content).into(),
        unknown: BTreeSet::new(),
    };
    Saved {
        qubes: BTreeMap::from([("win".to_owned(), qube)]),
        system: past.settings.system.clone(),
    }
}

fn restore(machine: &Machine, saved: &Saved, without: Option<&'static str>) -> Ended {
    let wish = Wish {
        named: vec!["win".to_owned()],
        ..Wish::default()
    };
    let present = Present::read(&machine.api()).unwrap();
    let plan = plan(saved, &present, &wish);
    let ends = carry_out(&machine.api(), &plan, &mut Without(without));
    ends[0].ended.clone()
}

fn volume(machine: &Machine, name: &str) -> Volume {
    machine.qubesd.world().qubes["win"].volumes[name].clone()
}

fn read(file: Option<&PathBuf>) -> String {
    fs::read_to_string(file.unwrap()).unwrap()
}

#[test]
fn what_a_qube_held_is_its_revision_also_when_the_first_attempt_failed() {
    let past = Past::unsaved(super::past::world(Release::R43));
    let saved = saved(&past);
    for lost in ["private", "root"] {
        let mut world = World::new(Release::R43);
        world.add("win", "StandaloneVM", None, "red");
        let machine = Machine::new(world);
        let volumes = ["private", "root"];
        for name in volumes {
            let file = machine.tool(name);
            fs::write(&file, "original").unwrap();
            let mut world = machine.qubesd.world();
            let win = world.qubes.get_mut("win").unwrap();
            win.volumes.get_mut(name).unwrap().file = Some(file);
        }
        let failed = restore(&machine, &saved, Some(lost));
        let why = format!("volume {lost}: it is lost");
        assert_eq!(failed, Ended::Failed(why));
        for name in volumes {
            let volume = volume(&machine, name);
            assert_eq!(
                read(volume.file.as_ref()),
                "original",
                "{name} without {lost}"
            );
            assert!(volume.revisions.is_empty() && volume.importing.is_none());
        }
        // The same again goes on, and there is one state of before: what it held.
        assert_eq!(restore(&machine, &saved, None), Ended::Done);
        for name in volumes {
            let volume = volume(&machine, name);
            assert_eq!(read(volume.file.as_ref()), "restored", "{name}");
            assert_eq!(volume.revisions.len(), 1, "{name}");
            assert_eq!(read(volume.revisions.last()), "original");
        }
    }
}
