//! The guide, walked: whatever it tells people to type in dom0 is typed there, at a terminal, in its order, and does what the page says.
//! Qubes, the backup qube, its USB disk and the ssh host are the doubles of the other tests; names and places of the pages become theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nacre_tests::desk::Ended;
use nacre_tests::mounts::{FileSystem, ext4_image};
use nacre_tests::qubes_machine::Machine;
use nacre_tests::qubes_world::{QubesWorld, write_script};
use nacre_tests::qubesd::{Qubesd, Release, World};
use nacre_tests::skip;
use nacre_tests::sshd::{Offers, Sshd};
use nacre_tests::terminal::{CODE, code_on, missing, typed};

use crate::pages::{blocks, pages, words};

const UUID: &str = "6c1d7a52-0f3e-4b1c-9d55-77e0a1b2c3d4";
const PASSPHRASE: &str = "correct horse battery";

/// dom0 with two qubes that are worth a backup, a backup qube, a USB qube with two disks, and a NAS.
struct Walk {
    machine: Machine,
    backup: QubesWorld,
    /// Lives as long as this does.
    _nas: Sshd,
    /// A dom0 that was newly installed, once the page says so.
    new: Option<Qubesd>,
    /// The code on the sheet of each place.
    codes: BTreeMap<String, String>,
    /// A session of the archive on the NAS.
    session: String,
    /// What the pages say is not in a page's own words for this machine.
    places: Vec<(String, String)>,
}

fn fill(world: &mut World) {
    world.add("debian-13", "TemplateVM", None, "black");
    world.add("work", "AppVM", Some("debian-13"), "blue");
    world.add("mail", "AppVM", Some("debian-13"), "yellow");
    backup_qubes(world);
}

/// The qubes by which an archive is reached.
fn backup_qubes(world: &mut World) {
    let vault = world.add("vault", "AppVM", Some("debian-13"), "gray");
    let marked = vault.properties.get_mut("include_in_backups").unwrap();
    marked.set = Some("False".to_owned());
    let usb = world.add("sys-usb", "AppVM", Some("debian-13"), "red");
    usb.running = true;
    let marked = usb.properties.get_mut("include_in_backups").unwrap();
    marked.set = Some("False".to_owned());
    for (port, what) in [("sda1", "Stick"), ("sdb1", "Camera")] {
        let line = format!(
            "device_id='0951:1666:{what}' port_id='{port}' devclass='block' backend_domain='sys-usb' product='{what}' _size='314572800'"
        );
        usb.offers.insert(format!("{port}:0951:1666:{what}"), line);
    }
}

impl Walk {
    fn new() -> Result<Self, String> {
        if let Some(why) = missing() {
            return Err(why.into());
        }
        if PathBuf::from("/usr/lib/qubes/qrexec-client").exists() {
            return Err("this is dom0".into());
        }
        let machine = Machine::new(Release::R43, FileSystem::Btrfs, fill)?;
        let (backup, nas) = (QubesWorld::new()?, Sshd::start(Offers::Sftp)?);
        let desk = &machine.desk;
        for folder in ["tools", "etc", "imports"] {
            fs::create_dir(desk.path(folder)).unwrap();
        }
        write_script(
            &desk.path("tools/runuser"),
            &format!(
                "#!/bin/sh\necho \"$@\" >> '{}'\n",
                desk.path("said").display()
            ),
        )
        .unwrap();
        let asked = desk.path("asked");
        let systemctl = format!("#!/bin/sh\necho \"$*\" >> '{}'\n", asked.display());
        write_script(&desk.path("tools/systemctl"), &systemctl).unwrap();
        fs::write(desk.path("etc/nacre.ini"), "").unwrap();
        backup.log_in_at(&nas).unwrap();
        let image = desk.path("stick");
        ext4_image(&image, UUID)?;
        let root = backup.qube().parent().map(PathBuf::from);
        {
            let mut world = machine.qubesd.world();
            world.machines = root;
            world.volumes_at = Some(desk.path("imports"));
            world.images.insert("sys-usb+sda1".to_owned(), image);
            world.settle();
        }
        let text = |path: PathBuf| path.display().to_string();
        let places = [
            (
                "backup@nas.lan/srv/backup",
                format!("{}{}", nas.host(), nas.folder().display()),
            ),
            ("/mnt/disk", text(nas.folder())),
            ("/home/user/nacre", text(backup.qube().join("home/nacre"))),
            ("sys-backup", "vault".to_owned()),
            ("1234-ABCD", UUID.to_owned()),
            ("qubes_dom0/vm-pool", text(machine.pool())),
            ("vm-work-private", private("work")),
            ("vm-mail-private", private("mail")),
            ("/var/tmp", text(machine.desk.path(""))),
            ("/etc/nacre", text(machine.desk.path("etc"))),
        ];
        let places =
            places.map(|(page, here)| (page.to_owned(), here.trim_end_matches('/').to_owned()));
        Ok(Self {
            machine,
            backup,
            _nas: nas,
            new: None,
            codes: BTreeMap::new(),
            session: String::new(),
            places: places.into(),
        })
    }

    /// A page's words as they are on this machine.
    fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (page, here) in &self.places {
            text = text.replace(page, here);
        }
        if !self.session.is_empty() {
            text = text.replace("20261101-083000", &self.session);
        }
        text
    }

    fn command(&self, line: &str) -> Command {
        let (desk, folder) = (
            &self.machine.desk,
            self.backup.qube().parent().map(PathBuf::from).unwrap(),
        );
        let mut command = Command::new(desk.path("nacre"));
        let path = std::env::var("PATH").unwrap_or_default();
        let state = match &self.new {
            None => "state",
            Some(_) => "state of the new machine",
        };
        let words = words(line);
        command.args(&words[1..]);
        if words[1] != "version" {
            command
                .arg(format!("--config={}", desk.path("etc/nacre.ini").display()))
                .arg(format!("--meta-dir={}", desk.path(state).display()));
        }
        command
            .env(
                "PATH",
                format!(
                    "{}:{}:{path}",
                    desk.path("tools").display(),
                    folder.display()
                ),
            )
            .env("NACRE_QUBESD", self.qubesd().folder())
            .env("SUDO_USER", "user")
            .env("TZ", "UTC")
            .env_remove("RUST_BACKTRACE")
            .current_dir(desk.path(""));
        command
    }

    /// Types a line as the page has it.
    fn line(&mut self, line: &str) -> Ended {
        let line = self.here(line);
        // Where a code is asked for, it is that of the place, which the line names.
        let mut codes = self.codes.iter();
        let code = codes.find_map(|(place, code)| line.contains(place).then(|| code.clone()));
        let code = code.unwrap_or_default();
        let recovery = format!(
            "Recovery code of {}:",
            line.split("--dest=")
                .nth(1)
                .and_then(|rest| rest.split(' ').next())
                .unwrap_or_default()
        );
        let answers = [
            (recovery.as_str(), code.as_str()),
            ("empty to drop it:", code.as_str()),
            ("(at least 10 bytes):", PASSPHRASE),
            ("The same again:", PASSPHRASE),
            ("laptop:", PASSPHRASE),
            ("usb:", PASSPHRASE),
            ("nas:", PASSPHRASE),
            ("nacre:", PASSPHRASE),
            ("(an empty line gives up):", CODE),
            ("[y/N]", "y"),
        ];
        println!("\n$ {line}");
        let ended = if words(&line).get(1).is_some_and(|verb| verb == "browse") {
            self.browsed(&line, &answers)
        } else {
            typed(&self.command(&line), &answers)
        };
        println!("{}", ended.out.replace('\r', ""));
        let place = ended
            .out
            .lines()
            .find_map(|line| line.strip_prefix("Place "));
        if let Some(place) = place {
            let code = code_on(&ended.out);
            self.codes.insert(place.trim().to_owned(), code);
        }
        ended
    }

    fn qubesd(&self) -> &Qubesd {
        self.new.as_ref().unwrap_or(&self.machine.qubesd)
    }

    /// What a restored qube has in its private volume.
    fn private(&self, qube: &str) -> Vec<u8> {
        let file = self.qubesd().world().qubes[qube].volumes["private"]
            .file
            .clone();
        fs::read(file.unwrap()).unwrap()
    }

    /// As somebody does it who shuts the qube down as soon as the file manager is there.
    fn browsed(&self, line: &str, answers: &[(&str, &str)]) -> Ended {
        let command = self.command(line);
        std::thread::scope(|scope| {
            let ended = scope.spawn(|| typed(&command, answers));
            while !ended.is_finished() {
                let said = fs::read_to_string(self.machine.desk.path("said")).unwrap_or_default();
                let mut world = self.machine.qubesd.world();
                let found = world
                    .qubes
                    .iter_mut()
                    .find(|(name, qube)| name.starts_with("work-2") && qube.running);
                if let Some((_, qube)) = found.filter(|_| said.contains("qvm-run")) {
                    qube.running = false;
                }
                drop(world);
                std::thread::sleep(Duration::from_millis(50));
            }
            ended.join().unwrap()
        })
    }

    fn newest_session(&mut self) -> String {
        let ended = self.line("nacre list --dest=nas");
        let is_session = |word: &&str| {
            word.len() == 15
                && word.as_bytes()[8] == b'-'
                && word.bytes().filter(u8::is_ascii_digit).count() == 14
        };
        ended
            .out
            .split_whitespace()
            .rfind(is_session)
            .unwrap()
            .to_owned()
    }

    /// A new disk in the old machine, or a new machine: nothing is left but the qubes by which the archive is reached.
    fn install_anew(&mut self) {
        let mut world = World::new(Release::R43);
        world.add("debian-13", "TemplateVM", None, "black");
        backup_qubes(&mut world);
        let usb = world.qubes.get_mut("sys-usb").unwrap();
        usb.offers.retain(|_, what| what.contains("Stick"));
        {
            let mut old = self.machine.qubesd.world();
            world.machines = old.machines.take();
            world.volumes_at.clone_from(&old.volumes_at);
            world.images = std::mem::take(&mut old.images);
            old.settle();
        }
        fs::write(self.machine.desk.path("etc/nacre.ini"), "").unwrap();
        self.new = Some(Qubesd::start(world));
    }

    /// Types all lines of a page; what was on the screen, line by line. `ends` says which lines (by what is in them) end with another code than 0.
    fn page(&mut self, name: &str, ends: &[(&str, i32)]) -> BTreeMap<String, String> {
        let pages = pages();
        let (_, text) = pages.iter().find(|(page, _)| page == name).unwrap();
        println!("\n==== {name}");
        let inis = self.here(&blocks(text, "ini").concat());
        let path = self.machine.desk.path("etc/nacre.ini");
        let mut seen = BTreeMap::new();
        for block in blocks(text, "sh") {
            for line in block.lines() {
                let line = line.strip_prefix("sudo ").unwrap_or(line);
                if !line.starts_with("nacre ") {
                    continue;
                }
                // Settings are written before the first command that needs them.
                if words(line)
                    .iter()
                    .any(|word| !word.contains("://") && word.starts_with("--dest="))
                    || !line.contains("--dest")
                {
                    let ini = fs::read_to_string(&path).unwrap();
                    if !ini.contains(&inis) {
                        fs::write(&path, format!("{ini}\n{inis}")).unwrap();
                    }
                }
                let ended = self.line(line);
                let wanted = ends.iter().find(|(part, _)| line == *part);
                assert_eq!(
                    ended.code,
                    wanted.map_or(0, |(_, code)| *code),
                    "{name}: {line}\n{}",
                    ended.out
                );
                assert!(
                    seen.insert(line.to_owned(), ended.out.replace('\r', ""))
                        .is_none(),
                    "{name} says twice: {line}"
                );
            }
        }
        seen
    }
}

/// What a reflink pool calls a qube's private volume.
fn private(qube: &str) -> String {
    format!("appvms/{qube}/private.img")
}

#[test]
fn the_guide_is_walked() {
    let mut walk = match Walk::new() {
        Ok(walk) => walk,
        Err(why) => skip!("the_guide_is_walked", "{why}"),
    };
    let work = fs::read(walk.machine.image(&private("work"))).unwrap();
    // Two disks are there: which is the right one must be said once.
    let unsaid = "nacre arch-init --dest=qubes-usb://sys-backup/1234-ABCD/laptop";
    let seen = walk.page("usb-disk.md", &[(unsaid, 1)]);
    assert!(seen[unsaid].contains("sys-usb:sda1") && seen[unsaid].contains("sys-usb:sdb1"));
    assert!(seen["nacre status"].contains("work"));
    walk.page("nas.md", &[]);
    walk.session = walk.newest_session();
    walk.page("one-file.md", &[]);
    assert!(fs::read(walk.machine.desk.path("work.img")).unwrap() == work);
    fs::remove_file(walk.machine.desk.path("work.img")).unwrap();
    walk.page("one-qube.md", &[]);
    assert!(fs::read(walk.machine.desk.path("work.img")).unwrap() == work);
    for qube in ["work-old", "work"] {
        assert!(walk.private(qube) == work, "{qube}");
    }
    walk.page("hostile-qube.md", &[]);
    // An old state, as Wyng's archive has it.
    let old = walk.machine.desk.path("old.img");
    fs::write(&old, [vec![7; 100_000], work[100_000..].to_vec()].concat()).unwrap();
    walk.page("from-wyng.md", &[]);
    walk.page("install.md", &[]);
    let asked = fs::read_to_string(walk.machine.desk.path("asked")).unwrap();
    assert_eq!(asked, "enable --now nacre-backup.timer\n");
    walk.install_anew();
    let seen = walk.page("new-hardware.md", &[]);
    assert!(walk.private("work") == work);
    let rotated = &seen["nacre key rotate-master --dest=qubes-usb://sys-backup/1234-ABCD/laptop"];
    // The passphrase was typed to open it, and is not asked for again; the code is.
    assert!(
        rotated.contains("keys that open the archive: 2")
            && rotated.matches("Passphrase of").count() == 1,
        "{rotated}"
    );
    let world = walk.qubesd().world();
    assert!(world.torn_off.is_empty() && !world.qubes["vault"].running);
    assert!(
        world.qubes.keys().all(|name| !name.starts_with("work-2")),
        "what was browsed is gone"
    );
}
