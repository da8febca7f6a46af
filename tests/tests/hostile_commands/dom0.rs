//! A dom0 with qubes for the commands that need one: qubesd's double over a reflink pool, put back to its beginning for every case.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::mounts::FileSystem;
use nacre_tests::qubes_machine::Machine;
use nacre_tests::qubes_world::write_script;
use nacre_tests::qubesd::{Qube, Release, World};

/// Both keep a qube from starting, or say whose it is.
const MARKS: [&str; 2] = ["backup-restore-in-progress", "nacre-restore"];
/// Where the pool keeps snapshots.
const SNAPSHOTS: &str = ".nacre-snapshots";

/// The machine, what it was when the session tagged `past` was made, and what it is since.
pub struct Dom0 {
    machine: Machine,
    /// A folder for programs of the desktop, new volumes, dom0's own files and copies of the pool.
    folder: PathBuf,
    past: BTreeMap<String, Qube>,
    /// Contents then, by `QUBE:VOLUME`.
    contents: BTreeMap<String, Vec<u8>>,
    present: World,
    /// The images since: number, size, and when they were changed last.
    images: BTreeMap<String, Identity>,
    /// What a qube that was started held.
    shown: Mutex<Vec<Vec<u8>>>,
}

fn fill(world: &mut World) {
    world.add("debian-13", "TemplateVM", None, "black");
    for (name, memory) in [("work", "800"), ("vault", "700"), ("mail", "600")] {
        let qube = world.add(name, "AppVM", Some("debian-13"), "blue");
        set(qube, "memory", memory);
        set(qube, "netvm", "");
        qube.tags.insert("mine".to_owned());
        qube.firewall = "action=drop\n".into();
    }
}

fn set(qube: &mut Qube, property: &str, value: &str) {
    qube.properties.get_mut(property).unwrap().set = Some(value.to_owned());
}

impl Dom0 {
    /// Makes it, and the session in the archive of the desk. Why not, where there can be no pool.
    pub fn new(desk: &Desk) -> Result<Self, String> {
        let machine = Machine::new(Release::R43, FileSystem::Btrfs, fill)?;
        let folder = desk.path("dom0");
        for part in ["files/home/user", "files/etc/qubes", "volumes"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(folder.join("files/home/user/notes"), vec![b'n'; 150_000]).unwrap();
        fs::write(folder.join("files/etc/qubes/policy"), "deny\n").unwrap();
        write_script(&folder.join("runuser"), "#!/bin/sh\n").unwrap();
        machine.qubesd.world().volumes_at = Some(folder.join("volumes"));
        let world = machine.qubesd.world().clone();
        let mut dom0 = Self {
            past: world.qubes.clone(),
            contents: BTreeMap::new(),
            present: world,
            images: BTreeMap::new(),
            shown: Mutex::default(),
            machine,
            folder,
        };
        let mut backup = desk.nacre(&["backup", "--dom0", "-i", "--tag=past"]);
        let ended = end(dom0.reach(&mut backup));
        assert_eq!(ended.code, 0, "{ended:?}");
        dom0.contents = dom0.images();
        dom0.go_on();
        let images = dom0.images().into_keys();
        let images = images.map(|key| {
            let now = identity(&dom0.image(&dom0.present, &key)).unwrap();
            (key, now)
        });
        dom0.images = images.collect();
        Ok(dom0)
    }

    /// Since that session one qube was removed, one is new, and one has other settings and other content.
    fn go_on(&mut self) {
        fs::remove_dir_all(self.machine.pool().join(SNAPSHOTS)).unwrap();
        let mut world = self.machine.qubesd.world();
        let mut other = world.qubes.remove("work").unwrap();
        let from = other.volumes["private"].vid.clone();
        let private = other.volumes.get_mut("private").unwrap();
        "appvms/other/private".clone_into(&mut private.vid);
        let pool = self.machine.pool();
        fs::create_dir(pool.join("appvms/other")).unwrap();
        let image = |vid: &str| pool.join(format!("{vid}.img"));
        fs::copy(image(&from), image(&private.vid)).unwrap();
        fs::remove_dir_all(pool.join("appvms/work")).unwrap();
        world.qubes.insert("other".to_owned(), other);
        let vault = world.qubes.get_mut("vault").unwrap();
        set(vault, "memory", "4000");
        vault.tags.insert("newer".to_owned());
        let image = image(&vault.volumes["private"].vid);
        let mut content = fs::read(&image).unwrap();
        // Two of its five chunks.
        content[(1 << 20) + 70_000..(1 << 20) + 190_000].fill(0x77);
        fs::write(image, content).unwrap();
        world.calls.clear();
        self.present = world.clone();
    }

    /// All is as it was at the beginning.
    pub fn reset(&self) {
        *self.machine.qubesd.world() = self.present.clone();
        self.shown.lock().unwrap().clear();
        let _ = fs::remove_dir_all(self.machine.pool().join(SNAPSHOTS));
        fs::remove_dir_all(self.folder.join("volumes")).unwrap();
        fs::create_dir(self.folder.join("volumes")).unwrap();
        for folder in [self.files_back(), self.unfinished()] {
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// The command is one of this machine.
    pub fn reach<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("NACRE_QUBESD", self.machine.qubesd.folder())
            .env("NACRE_DOM0_ROOT", self.folder.join("files"))
            .env("SUDO_USER", "user")
            .env("PATH", format!("{}:{path}", self.folder.display()))
    }

    /// Stops every qube that is started as soon as it runs, and notes what it held, until it is told to end.
    pub fn stop_what_starts(&self, end: &AtomicBool) {
        while !end.load(Ordering::Relaxed) {
            for (name, qube) in &mut self.machine.qubesd.world().qubes {
                if qube.running {
                    assert!(name.starts_with("vault-2"), "{name} was started");
                    let file = qube.volumes["private"].file.as_ref();
                    let content = file.map(|file| fs::read(file).unwrap());
                    self.shown.lock().unwrap().push(content.unwrap_or_default());
                    qube.running = false;
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether dom0 is none the worse for what a command met, and has what the command said.
    pub fn is_unharmed(&self, verb: &str, ended: &Ended) -> Result<(), String> {
        let backup = verb.starts_with("backup");
        let goals: &[&str] = match verb {
            "restore" => &["work"],
            "restore --force" => &["vault"],
            "restore --all" => &["debian-13", "mail", "vault", "work"],
            _ => &[],
        };
        let world = self.machine.qubesd.world().clone();
        for (name, was) in &self.present.qubes {
            let Some(is) = world.qubes.get(name) else {
                return Err(format!("qube {name} is gone"));
            };
            let mut is = is.clone();
            if backup && matches!(ended.code, 0 | 3) {
                is.properties.insert(
                    "backup_timestamp".to_owned(),
                    was.properties["backup_timestamp"].clone(),
                );
            }
            if is != *was && !goals.contains(&name.as_str()) {
                return Err(format!("qube {name} is {is:?}, and was {was:?}"));
            }
        }
        for (name, is) in &world.qubes {
            let was = self.present.qubes.get(name);
            if was == Some(is) || backup {
                continue;
            }
            if was.is_none() && !goals.contains(&name.as_str()) {
                return Err(format!("qube {name} is left behind"));
            }
            self.holds_nothing_false(name, is)?;
            let marked = MARKS.iter().all(|mark| is.tags.contains(*mark));
            if !marked {
                self.is_whole(name)
                    .map_err(|why| format!("{why}, and it is not marked"))?;
            }
        }
        if ended.code == 0 {
            goals.iter().try_for_each(|name| self.is_whole(name))?;
        }
        for (key, was) in &self.images {
            if identity(&self.image(&self.present, key)).as_ref() != Some(was) {
                return Err(format!("the image of {key} is another"));
            }
        }
        let back = self.files_back();
        if back.exists() && !same(&self.folder.join("files"), &back) {
            return Err("dom0's files came back as others".to_owned());
        }
        let shown = self.shown.lock().unwrap();
        if shown.iter().any(|it| *it != self.contents["vault:private"]) {
            return Err("a qube was started with OTHER BYTES".to_owned());
        }
        Ok(())
    }

    /// No volume has other content than what it had before, or had in the past.
    fn holds_nothing_false(&self, name: &str, qube: &Qube) -> Result<(), String> {
        for (volume, state) in &qube.volumes {
            let Some(file) = &state.file else { continue };
            let key = format!("{name}:{volume}");
            if fs::read(file).ok().as_ref() != self.contents.get(&key) {
                return Err(format!("{key} has OTHER BYTES"));
            }
        }
        Ok(())
    }

    /// Whether a qube is as it was in the past, with content and settings.
    pub fn is_whole(&self, name: &str) -> Result<(), String> {
        let world = self.machine.qubesd.world().clone();
        let Some(is) = world.qubes.get(name) else {
            return Err(format!("qube {name} is not there"));
        };
        let was = &self.past[name];
        let differs = |what: &str| Err(format!("qube {name} has other {what}: {is:?}"));
        for (property, value) in &was.properties {
            let lasting = value.settable && property != "backup_timestamp";
            if lasting && is.properties[property].value() != value.value() {
                return differs(property);
            }
        }
        if (&is.tags, &is.features, &is.firewall) != (&was.tags, &was.features, &was.firewall) {
            return differs("tags, features or rules");
        }
        for (volume, state) in &is.volumes {
            let there = state.file.as_ref().map(|file| fs::read(file).unwrap());
            let wanted = self.contents.get(&format!("{name}:{volume}"));
            if there.as_ref() != wanted {
                return differs(&format!("content of {volume}"));
            }
        }
        Ok(())
    }

    /// Whether a qube was started, with the right content, and is gone.
    pub fn has_shown(&self) -> Result<(), String> {
        let shown = self.shown.lock().unwrap();
        let right = |it: &Vec<u8>| *it == self.contents["vault:private"];
        if shown.is_empty() || !shown.iter().all(right) {
            return Err("the files were not shown".to_owned());
        }
        Ok(())
    }

    /// Where `restore dom0` puts the files, and where until they are all there.
    pub fn files_back(&self) -> PathBuf {
        self.folder.join("back")
    }

    pub fn unfinished(&self) -> PathBuf {
        self.folder.join("back.unfinished")
    }

    pub fn has_files_back(&self) -> Result<(), String> {
        if same(&self.folder.join("files"), &self.files_back()) {
            return Ok(());
        }
        Err("dom0's files are not there".to_owned())
    }

    /// The images of the pool by `QUBE:VOLUME`.
    pub fn images(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.machine.qubesd.world();
        let mut images = BTreeMap::new();
        for (name, qube) in &world.qubes {
            let kept = qube
                .volumes
                .iter()
                .filter(|(_, it)| it.save_on_stop && it.rw);
            for (volume, _) in kept {
                let key = format!("{name}:{volume}");
                let image = fs::read(self.image(&world, &key)).unwrap();
                images.insert(key, image);
            }
        }
        images
    }

    /// What a volume of a qube is called in the archive.
    pub fn name_in_archive(&self, key: &str) -> String {
        let (qube, volume) = key.split_once(':').unwrap();
        format!("{}.img", self.present.qubes[qube].volumes[volume].vid)
    }

    fn image(&self, world: &World, key: &str) -> PathBuf {
        let (qube, volume) = key.split_once(':').unwrap();
        let vid = &world.qubes[qube].volumes[volume].vid;
        self.machine.image(&format!("{vid}.img"))
    }
}

type Identity = (u64, u64, i64, i64);

/// No write to a file leaves it as it was.
fn identity(file: &Path) -> Option<Identity> {
    let meta = fs::metadata(file).ok()?;
    Some((meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
}

fn same(one: &Path, other: &Path) -> bool {
    let compared = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([one, other])
        .output();
    compared.unwrap().status.success()
}
