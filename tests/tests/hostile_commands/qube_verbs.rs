//! The commands that deal with qubes, for which there is a dom0.

use std::fs;

use nacre_core::settings::{Settings, VOLUME};
use nacre_tests::desk::Ended;

use crate::dom0::Dom0;
use crate::scene::Scene;
use crate::verbs::{Verb, changing, expect, reading, words};

/// All of them.
pub const QUBE_VERBS: &[Verb] = &[
    changing(
        "backup --dom0",
        |_| words("backup --dom0 -i --tag=four"),
        backed_up,
    ),
    reading(
        "restore",
        |_| words("restore work"),
        |scene, _| dom0(scene).is_whole("work"),
    ),
    reading(
        "restore --force",
        |_| words("restore vault --force --session=^past"),
        |scene, _| dom0(scene).is_whole("vault"),
    ),
    reading(
        "restore --all",
        |_| words("restore --all --force --session=^past"),
        |scene, _| {
            let all = ["debian-13", "mail", "vault", "work"];
            all.iter().try_for_each(|name| dom0(scene).is_whole(name))
        },
    ),
    reading("restore dom0", restore_files, |scene, _| {
        dom0(scene).has_files_back()
    }),
    reading(
        "browse",
        |_| words("browse vault --session=^past"),
        |scene, _| dom0(scene).has_shown(),
    ),
];

fn dom0(scene: &Scene) -> &Dom0 {
    scene.dom0.as_ref().unwrap()
}

/// After a failure the user removes what came so far, as the command says.
fn restore_files(scene: &Scene) -> Vec<String> {
    let _ = fs::remove_dir_all(dom0(scene).unfinished());
    let to = dom0(scene).files_back();
    let mut arguments = words("restore dom0");
    arguments.push(format!("--save-to={}", to.display()));
    arguments
}

/// The session has the settings, and every volume as it is now.
fn backed_up(scene: &Scene, _: Option<&Ended>) -> Result<(), String> {
    let read = |volume: &str| {
        let back = scene.receive(volume, "^four");
        back.map_err(|ended| format!("{volume}: {ended:?}"))
    };
    let settings = Settings::parse(&read(VOLUME)?).map_err(|error| error.to_string())?;
    let memory = &settings.qubes["vault"].properties["memory"];
    expect(memory == "4000", "other settings were stored")?;
    for (key, content) in dom0(scene).images() {
        let name = dom0(scene).name_in_archive(&key);
        expect(read(&name)? == content, "OTHER BYTES were stored")?;
    }
    read("qubes:dom0").map(drop)
}
