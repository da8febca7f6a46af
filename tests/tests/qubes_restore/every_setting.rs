//! Whatever settings an archive has: each becomes a step or is named, and no step holds what qubesd must not be told.

use std::collections::{BTreeMap, BTreeSet};

use nacre::qubes::restore::{Plan, Present, QubePlan, Saved, SavedQube, Step, What, Wish, plan};
use nacre_core::settings::{Device, Qube, Volume};
use nacre_tests::lab_image::Random;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;

const WORDS: &[&str] = &[
    "netvm",
    "template",
    "label",
    "default_dispvm",
    "provides_network",
    "installed_by_rpm",
    "memory",
    "ip",
    "work",
    "mail",
    "debian-13",
    "True",
    "",
    "red",
    "a b",
    "../x",
    "a\nb",
    "\u{1b}[2J",
    "\u{202e}",
    "created-by-x",
    "backup-restore-in-progress",
    "*",
    "pci",
    "00_1a.0",
    "required",
    "ask-to-attach",
    "dom0",
];

fn text(random: &mut Random) -> String {
    random.pick(WORDS).to_owned()
}

fn pairs(random: &mut Random) -> BTreeMap<String, String> {
    let count = random.below(6);
    (0..count).map(|_| (text(random), text(random))).collect()
}

fn qube(random: &mut Random) -> Qube {
    let classes = ["AppVM", "TemplateVM", "StandaloneVM", "DispVM", "RemoteVM"];
    let device = |random: &mut Random| Device {
        class: text(random),
        backend: text(random),
        port: text(random),
        id: text(random),
        mode: text(random),
        options: pairs(random),
    };
    let devices = random.below(3);
    Qube {
        class: random.pick(&classes).to_owned(),
        properties: pairs(random),
        features: pairs(random),
        tags: pairs(random).into_keys().collect(),
        firewall: text(random),
        notes: text(random),
        volumes: [("private".to_owned(), Volume::default())].into(),
        devices: (0..devices).map(|_| device(random)).collect(),
        ..Qube::default()
    }
}

fn saved(random: &mut Random) -> Saved {
    let mut saved = Saved::default();
    for _ in 0..=random.below(4) {
        let qube = SavedQube {
            settings: qube(random),
            ..SavedQube::default()
        };
        saved.qubes.insert(text(random), qube);
    }
    saved
}

fn steps(qube: &QubePlan) -> Vec<&Step> {
    let stages = [&qube.steps.begin, &qube.steps.links, &qube.steps.end];
    stages.into_iter().flatten().collect()
}

/// Everything that is told of the qube: names of settings that steps set, and those that are left out.
fn told(qube: &QubePlan) -> BTreeSet<String> {
    let steps = steps(qube).into_iter().map(Step::what);
    let named = qube.left_out.iter().map(|out| out.what.clone());
    steps.chain(named).collect()
}

/// As it is shown: one line, nothing hidden.
fn shown(text: &str) -> String {
    nacre::joints::sanitise::sanitise(text.as_bytes(), 100)
}

fn check(saved: &Saved, plan: &Plan) {
    for qube in &plan.qubes {
        let settings = &saved.qubes[&qube.there].settings;
        let told = told(qube);
        let own = ["template", "label", "installed_by_rpm"];
        for name in settings.properties.keys() {
            let what = format!("property {}", shown(name));
            assert!(
                told.contains(&what) || own.contains(&name.as_str()),
                "{what}: {qube:?}"
            );
        }
        for name in settings.features.keys() {
            let what = format!("feature {}", shown(name));
            assert!(told.contains(&what), "{what}: {qube:?}");
        }
        for name in &settings.tags {
            let what = format!("tag {}", shown(name));
            let by_qubesd = qube.tags_of_qubesd.contains(name);
            assert!(told.contains(&what) || by_qubesd, "{what}: {qube:?}");
        }
        if !settings.firewall.is_empty() {
            assert!(told.contains("the firewall's rules"), "{qube:?}");
        }
        if !settings.notes.is_empty() {
            assert!(told.contains("the notes"), "{qube:?}");
        }
        let devices = told.iter().filter(|what| what.starts_with("device "));
        assert!(
            settings.devices.is_empty() || devices.count() > 0,
            "{qube:?}"
        );
        for step in steps(qube) {
            let text = format!("{step:?}");
            let harmless = !text.contains("\\u{1b}") && !text.contains("\\u{202e}");
            let drop = Step::SetFirewall("action=drop\n".to_owned());
            let may = matches!(step, Step::SetNotes(_)) || *step == drop;
            let one_line = !text.contains("\\n") || may;
            assert!(harmless && one_line, "{text}");
        }
    }
}

#[test]
fn each_becomes_a_step_or_is_named() {
    let mut world = World::new(Release::R43);
    world.add("debian-13", "TemplateVM", None, "black");
    world.add("work", "AppVM", Some("debian-13"), "red");
    let present = Present::read(&Machine::new(world).api()).unwrap();
    let rounds = std::env::var("NACRE_ROUNDS").ok();
    let rounds: u64 = rounds.map_or(1, |rounds| rounds.parse().unwrap());
    for seed in 0..rounds * 3000 {
        let mut random = Random::new(seed, "settings");
        let saved = saved(&mut random);
        for paranoid in [false, true] {
            let wish = Wish {
                named: saved.qubes.keys().cloned().collect(),
                what: What::Settings,
                paranoid,
                ..Wish::default()
            };
            println!("seed {seed}, paranoid {paranoid}");
            let plan = plan(&saved, &present, &wish);
            let count = plan.qubes.len() + plan.refused.len();
            assert_eq!(count, saved.qubes.len(), "each is planned or refused");
            check(&saved, &plan);
        }
    }
}
