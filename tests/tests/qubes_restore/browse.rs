//! A look into a past session.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use nacre_tests::desk::{Ended, ended};
use nacre_tests::qubes_world::write_script;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

fn machine() -> Machine {
    let mut world = World::new(Release::R43);
    world.add("fedora-42", "TemplateVM", None, "black");
    Machine::new(world)
}

/// The qube that is there for a while.
fn temporary(machine: &Machine) -> Option<String> {
    let world = machine.qubesd.world();
    let found = world
        .qubes
        .iter()
        .find(|(name, qube)| name.starts_with("work-2") && qube.running);
    found.map(|(name, _)| name.clone())
}

/// Waits until there is something.
fn soon<T>(look: impl Fn() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts the command, and waits for its qube.
fn started(machine: &Machine, past: &Past, arguments: &[&str]) -> (Child, String) {
    let mut command = machine.nacre(&past.desk, arguments);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (child, soon(|| temporary(machine)))
}

/// Stops the qube, with which the command ends well.
fn stopped(machine: &Machine, (child, name): (Child, &str)) -> Ended {
    machine.qubesd.world().qubes.get_mut(name).unwrap().running = false;
    let ended = ended_of(child);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

fn ended_of(child: Child) -> Ended {
    ended(&child.wait_with_output().unwrap())
}

#[test]
fn the_files_are_in_a_fresh_qube_without_network_that_goes_when_it_stops() {
    let past = Past::new(Release::R43);
    let machine = machine();
    let (child, name) = started(&machine, &past, &["browse", "work"]);
    soon(|| machine.said().contains("qvm-run").then_some(()));
    let qube = machine.system().qubes[&name].settings.clone();
    assert_eq!(qube.properties["netvm"], "");
    assert_eq!(qube.properties["default_dispvm"], "");
    assert_eq!(qube.properties["template"], "fedora-42");
    assert!(
        !qube.tags.contains("mine"),
        "nothing of its settings comes along"
    );
    assert!(machine.content(&name, "private") == past.content("work", "private"));
    assert!(machine.said().contains(&format!(
        "-u user -- qvm-run --quiet {name} xdg-open /home/user"
    )));
    stopped(&machine, (child, &name));
    assert!(
        !machine.qubesd.world().qubes.contains_key(&name),
        "it is gone"
    );
}

#[test]
fn what_cannot_be_browsed_leaves_no_qube_behind() {
    let past = Past::new(Release::R43);
    let machine = machine();
    let ended = machine.run(&past.desk, &["browse", "sys-usb"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("does not have its private volume"),
        "{}",
        ended.err
    );
    let ended = machine.run(&past.desk, &["browse", "work", "--dry-run"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    machine
        .qubesd
        .world()
        .refused
        .insert("internal.vm.volume.ImportEnd".to_owned());
    let ended = machine.run(&past.desk, &["browse", "work"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    // A qube that could not be cut off from the network is not started either.
    machine.qubesd.world().refused.clear();
    machine
        .qubesd
        .world()
        .refused
        .insert("admin.vm.property.Set".to_owned());
    let ended = machine.run(&past.desk, &["browse", "work"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let world = machine.qubesd.world();
    assert_eq!(world.qubes.len(), 1);
    assert!(
        !world
            .calls
            .iter()
            .any(|call| call.contains("admin.vm.Start"))
    );
}

/// What a qube is called in the message that it is in the way.
fn in_the_way(ended: &Ended) {
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("already; stop it"), "{}", ended.err);
}

#[test]
fn what_a_killed_browse_left_half_made_is_removed_by_the_next_and_nothing_else_is() {
    let past = Past::new(Release::R43);
    let machine = machine();
    // The content takes a pipe that nobody empties: the command stands still in the middle of it.
    let refused = "internal.vm.volume.ImportBegin".to_owned();
    machine.qubesd.world().refused.insert(refused);
    let service = machine.tool("service");
    write_script(&service, "#!/bin/sh\nexec sleep 60\n").unwrap();
    let mut command = machine.nacre(&past.desk, &["browse", "work"]);
    command.env("NACRE_IMPORT_SERVICE", &service);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let name = soon(|| {
        let world = machine.qubesd.world();
        let asked = world.calls.iter().any(|call| call.contains("ImportBegin"));
        let name = world.qubes.keys().find(|name| name.starts_with("work-2"));
        name.filter(|_| asked).cloned()
    });
    // As long as it lives, it is nobody else's.
    in_the_way(&machine.run(&past.desk, &["browse", "work"]));
    child.kill().unwrap();
    child.wait().unwrap();
    machine.qubesd.world().refused.clear();
    let left = machine.qubesd.world().qubes[&name].clone();
    assert!(left.tags.contains("backup-restore-in-progress"));
    let plan = machine.run(&past.desk, &["browse", "work", "--dry-run"]);
    let said = format!("would: qube {name}, which was half made");
    assert!(plan.code == 0 && plan.err.contains(&said), "{plan:?}");
    assert!(machine.qubesd.world().qubes.contains_key(&name));
    let (child, again) = started(&machine, &past, &["browse", "work"]);
    assert_eq!(again, name);
    assert!(machine.content(&name, "private") == past.content("work", "private"));
    // Nor is one that is open.
    in_the_way(&machine.run(&past.desk, &["browse", "work"]));
    stopped(&machine, (child, &name));
    // One that is not marked yet is known by what was written down, and one in which somebody has written is not taken for it.
    let lease = past.desk.path("state/browsing").join(&name);
    let add = |used: bool| {
        let mut world = machine.qubesd.world();
        let qube = world.add(&name, "AppVM", Some("fedora-42"), "red");
        let file = used.then(|| machine.tool("said"));
        qube.volumes.get_mut("private").unwrap().file = file;
    };
    add(false);
    in_the_way(&machine.run(&past.desk, &["browse", "work"]));
    fs::write(&lease, "begun").unwrap();
    let (child, _) = started(&machine, &past, &["browse", "work"]);
    stopped(&machine, (child, &name));
    add(true);
    fs::write(&lease, "begun").unwrap();
    in_the_way(&machine.run(&past.desk, &["browse", "work"]));
    assert!(machine.qubesd.world().qubes.contains_key(&name));
}

/// All packs, and their sizes.
fn packs(past: &Past) -> BTreeMap<PathBuf, u64> {
    let folders = fs::read_dir(past.desk.path("store/archive/pack")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let size = |file: PathBuf| (file.clone(), fs::metadata(file).unwrap().len());
    files.map(|file| size(file.unwrap().path())).collect()
}

#[test]
fn damage_is_told_as_integrity_and_what_is_whole_can_be_seen_all_the_same() {
    let mut past = Past::new(Release::R43);
    let before = packs(&past);
    let key = ("work".to_owned(), "private".to_owned());
    past.contents.get_mut(&key).unwrap()[10] ^= 1;
    past.store();
    // The larger of the two packs of that session holds the one chunk that changed.
    let new = packs(&past).into_iter();
    let new = new.filter(|(file, _)| !before.contains_key(file));
    let (largest, _) = new.max_by_key(|(_, size)| *size).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let machine = machine();
    let ended = machine.run(&past.desk, &["browse", "work"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let advice = "--skip-corrupt-chunks restores everything else";
    assert!(ended.err.contains(advice), "{}", ended.err);
    assert_eq!(machine.qubesd.world().qubes.len(), 1);
    let anyway = ["browse", "work", "--skip-corrupt-chunks"];
    let (child, name) = started(&machine, &past, &anyway);
    let content = machine.content(&name, "private");
    let mut wanted = past.content("work", "private").to_vec();
    wanted[..128 << 10].fill(0);
    assert!(content == wanted);
    machine.qubesd.world().qubes.get_mut(&name).unwrap().running = false;
    let ended = ended_of(child);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.err.contains("bytes 0..131072 are lost"), "{ended:?}");
    assert_eq!(machine.qubesd.world().qubes.len(), 1);
}

#[test]
fn a_viewer_that_hangs_holds_nothing_up() {
    let past = Past::new(Release::R43);
    let machine = machine();
    let said = machine.tool("said");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> '{}'\nexec sleep 600\n",
        said.display()
    );
    nacre_tests::qubes_world::write_script(&machine.tool("runuser"), &script).unwrap();
    let (child, name) = started(&machine, &past, &["browse", "work"]);
    soon(|| machine.said().contains("qvm-run").then_some(()));
    stopped(&machine, (child, &name));
}

/// Bytes that `browse` fetches for the volume, and what the qube then holds.
fn fetched(machine: &Machine, past: &Past) -> (u64, Vec<u8>) {
    let (child, name) = started(machine, past, &["browse", "work", "--json"]);
    let content = machine.content(&name, "private");
    let ended = stopped(machine, (child, &name));
    let said = format!("{}{}", ended.out, ended.err);
    let counts = said.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line.to_string().contains("vm-work-private").then_some(())?;
        line["fetched"]
            .as_u64()
            .or_else(|| line["counts"]["fetched"].as_u64())
    });
    (counts.max().unwrap_or_else(|| panic!("{said}")), content)
}

#[test]
fn what_the_qube_still_holds_is_not_fetched() {
    let past = Past::new(Release::R43);
    let wanted = past.content("work", "private").to_vec();
    let (all, content) = fetched(&machine(), &past);
    assert!(content == wanted);
    assert!(all > 70_000, "{all}");
    // The qube is here, with some of it written over, in zeros and in data.
    let pool = tempfile::tempdir().unwrap();
    let mut world = World::new(Release::R43);
    world.add("fedora-42", "TemplateVM", None, "black");
    let work = world.add("work", "AppVM", Some("fedora-42"), "blue");
    let private = work.volumes.get_mut("private").unwrap();
    "varlibqubes".clone_into(&mut private.pool);
    "appvms/this/private".clone_into(&mut private.vid);
    let values = &mut world.pools.get_mut("varlibqubes").unwrap().values;
    values.insert("dir_path".to_owned(), pool.path().display().to_string());
    let image = pool.path().join("appvms/this/private.img");
    std::fs::create_dir_all(image.parent().unwrap()).unwrap();
    let mut now = wanted.clone();
    now[405_000] ^= 1;
    now[200_000] = 1;
    std::fs::write(&image, &now).unwrap();
    let here = Machine::new(world);
    let (some, content) = fetched(&here, &past);
    assert!(content == wanted);
    assert!(some > 0 && some < all / 3, "{some} of {all}");
    // Shorter than it was, and altered to nothing: all is fetched.
    std::fs::write(&image, &now[..1000]).unwrap();
    let (most, content) = fetched(&here, &past);
    assert!(content == wanted);
    assert_eq!(most, all);
    assert_eq!(
        std::fs::read(&image).unwrap(),
        &now[..1000],
        "it is only read"
    );
}

#[test]
fn a_qube_that_could_be_neither_opened_nor_removed_is_named_as_left() {
    let past = Past::new(Release::R43);
    let machine = machine();
    let planned = machine.run(&past.desk, &["browse", "work", "--dry-run"]);
    let said = format!("{}{}", planned.out, planned.err);
    let name = said.split(' ').find(|word| word.starts_with("work-2"));
    let name = name.unwrap().to_owned();
    for (method, why) in [("Start", "no memory"), ("Remove", "it is in use")] {
        let failing = ("QubesException", why.to_owned());
        let call = format!("admin.vm.{method} {name}");
        machine.qubesd.world().failing.insert(call, failing);
    }
    let ended = machine.run(&past.desk, &["browse", "work"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("no memory"), "{}", ended.err);
    let left = format!("qube {name} is still there: ");
    assert!(ended.err.contains(&left), "{}", ended.err);
    assert!(ended.err.contains("it is in use"), "{}", ended.err);
}
