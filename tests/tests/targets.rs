//! The whole program with every kind of target: what is sent there comes back, and errors name the place.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::fs;
use std::path::Path;
use std::process::Command;

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::qubes_world::QubesWorld;
use nacre_tests::skip;
use nacre_tests::sshd::{EXTENSIONS, Offers, Sshd};

/// How a user reaches an archive: options of every command.
struct Way {
    desk: Desk,
    options: Vec<String>,
    path: String,
}

impl Way {
    fn new(options: Vec<String>) -> Self {
        let desk = Desk::new();
        let mut image = vec![0; 700_000];
        for (number, byte) in image.iter_mut().enumerate().skip(100_000) {
            *byte = u8::try_from(number * number % 251).unwrap();
        }
        fs::write(desk.path("image"), image).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        Self {
            desk,
            options,
            path,
        }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(self.desk.path("nacre"));
        command
            .args(arguments)
            .args(&self.options)
            .arg(format!("--key-file={}", self.desk.path("key").display()))
            .arg(format!("--meta-dir={}", self.desk.path("state").display()))
            .args(["--config=/dev/null", "--unattended"])
            .env("PATH", &self.path)
            .env_remove("RUST_BACKTRACE");
        end(&mut command)
    }

    fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{:?} {arguments:?}: {ended:?}", self.options);
        ended.out
    }

    /// Commands that make, fill, read, change and check an archive.
    fn works(&self) {
        let made = self.run(&["arch-init"]);
        assert!(
            made.code == 0
                && format!("{}{}", made.out, made.err).contains(".py lies beside the archive now"),
            "{:?}: {made:?}",
            self.options
        );
        self.done(&["send", &self.desk.import("vm", "image")]);
        let saved = self.desk.path("saved");
        let save_to = format!("--save-to={}", saved.display());
        self.done(&["receive", "vm", &save_to, "--sparse"]);
        assert!(fs::read(&saved).unwrap() == fs::read(self.desk.path("image")).unwrap());
        let mut image = fs::read(self.desk.path("image")).unwrap();
        image[300_000] ^= 1;
        fs::write(self.desk.path("image"), image).unwrap();
        self.done(&["send", &self.desk.import("vm", "image")]);
        self.done(&["rename", "vm", "other"]);
        self.done(&["verify", "--all"]);
        self.done(&["arch-check"]);
        assert!(self.done(&["list"]).contains("other"));
        // One pin: every command knew the place as the same one.
        let pins = fs::read_dir(self.desk.path("state/targets")).unwrap();
        assert_eq!(pins.count(), 1);
    }
}

fn ssh_options(server: &Sshd) -> Vec<String> {
    let options = server.options().into_iter();
    options
        .map(|option| format!("--opt-ssh={}", option.display()))
        .collect()
}

#[test]
fn every_command_works_over_ssh_by_the_helper_and_by_sftp() {
    let test = "every_command_works_over_ssh_by_the_helper_and_by_sftp";
    for offers in [Offers::Helper, Offers::Sftp] {
        let server = match Sshd::start(offers) {
            Ok(server) => server,
            Err(why) => skip!(test, "{why}"),
        };
        let archive = server.folder().join("the 'archive' $(id)");
        let dest = format!("--dest=ssh://{}{}", server.host(), archive.display());
        let way = Way::new([vec![dest], ssh_options(&server)].concat());
        way.works();
        assert!(archive.join("header").is_dir(), "{offers:?}");
    }
}

#[test]
fn a_store_that_cannot_force_its_disk_is_told_of_to_who_writes() {
    let test = "a_store_that_cannot_force_its_disk_is_told_of_to_who_writes";
    for (offers, told) in [
        (Offers::SftpWithout(EXTENSIONS), true),
        (Offers::Sftp, false),
    ] {
        let server = match Sshd::start(offers) {
            Ok(server) => server,
            Err(why) => skip!(test, "{why}"),
        };
        let dest = format!(
            "--dest=ssh://{}{}/a",
            server.host(),
            server.folder().display()
        );
        let way = Way::new([vec![dest], ssh_options(&server)].concat());
        let send = ["send", &way.desk.import("vm", "image")];
        for (arguments, writes) in [
            (&["arch-init"][..], true),
            (&send[..], true),
            (&["list"][..], false),
        ] {
            let ended = way.run(arguments);
            assert_eq!(ended.code, 0, "{ended:?}");
            let all = [ended.out, ended.err].concat();
            // Once, not again for each time that the archive is opened.
            let said = ["cannot force", "at the same time"].map(|word| all.matches(word).count());
            let times = usize::from(told && writes);
            assert_eq!(said, [times; 2], "{offers:?} {arguments:?}: {all}");
        }
    }
}

/// A machine with the qube `vault`, whose `qrexec-client` is found in PATH; `None` on a real one.
fn qubes(dest: &str) -> Result<(QubesWorld, Way), String> {
    if Path::new("/usr/lib/qubes/qrexec-client").exists() {
        return Err("this is dom0".into());
    }
    let world = QubesWorld::new()?;
    let folder = world.qube().parent().map(Path::to_owned).unwrap();
    let mut way = Way::new(vec![format!("--dest={dest}")]);
    way.path = format!("{}:{}", folder.display(), way.path);
    Ok((world, way))
}

#[test]
fn every_command_works_with_a_qube() {
    let (world, way) = match qubes("qubes://vault") {
        Ok(both) => both,
        Err(why) => skip!("every_command_works_with_a_qube", "{why}"),
    };
    way.works();
    assert!(world.qube().join("home/nacre/header").is_dir());
    // In place of the usual options; this stand-in knows no such one.
    let ended = way.run(&["list", "--opt-qubes=--nonsense"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("qubes://vault: "), "{ended:?}");
}

#[test]
fn every_command_works_with_an_ssh_host_behind_a_qube() {
    let test = "every_command_works_with_an_ssh_host_behind_a_qube";
    let server = match Sshd::start(Offers::Helper) {
        Ok(server) => server,
        Err(why) => skip!(test, "{why}"),
    };
    let archive = server.folder().join("archive");
    let dest = format!("qubes-ssh://vault:{}{}", server.host(), archive.display());
    let (world, way) = match qubes(&dest) {
        Ok(both) => both,
        Err(why) => skip!(test, "{why}"),
    };
    world.log_in_at(&server).unwrap();
    way.works();
    assert!(archive.join("header").is_dir());
}

#[test]
fn errors_name_the_target() {
    let (_world, way) = match qubes("qubes://halted") {
        Ok(both) => both,
        Err(why) => skip!("errors_name_the_target", "{why}"),
    };
    let ended = way.run(&["list"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("qubes://halted: "), "{ended:?}");
    // Nobody listens there, and nothing waits for an answer.
    let way = Way::new(vec!["--dest=ssh://root@127.0.0.1:1/srv/b".into()]);
    let ended = way.run(&["list"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("ssh://root@127.0.0.1:1/srv/b: "),
        "{ended:?}"
    );
    let way = Way::new(vec![
        "--dest=usb:01234567-89ab-cdef-0123-456789abcdef".into(),
    ]);
    let ended = way.run(&["list"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("usb:01234567"), "{ended:?}");
}

/// A loop device with ext4; detached when dropped.
struct Disk {
    place: tempfile::TempDir,
    device: String,
    uuid: String,
}

fn said(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

impl Disk {
    fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("loop devices need root".into());
        }
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        let image = place.path().join("image");
        let file = fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(300 << 20).map_err(|error| error.to_string())?;
        let image = image.to_str().unwrap_or_default();
        said("mkfs.ext4", &["-q", "-F", image])?;
        let uuid = said("blkid", &["-p", "-o", "value", "-s", "UUID", image])?;
        let device = said("losetup", &["--find", "--show", image])?;
        Ok(Self {
            place,
            device,
            uuid,
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = said("losetup", &["-d", &self.device]);
    }
}

#[test]
fn every_command_works_with_a_disk_and_lets_go_of_it() {
    let test = "every_command_works_with_a_disk_and_lets_go_of_it";
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    let way = Way::new(vec![format!("--dest=usb:{}/backup", disk.uuid)]);
    way.works();
    // Whoever has nacre's exit may pull the disk out: it is mounted nowhere any more, and what is on it is whole.
    let checked = said("e2fsck", &["-fn", &disk.device]);
    assert!(checked.is_ok(), "{checked:?}");
    let folder = disk.place.path().join("look");
    fs::create_dir(&folder).unwrap();
    let folder_text = folder.to_str().unwrap();
    said("mount", &["-o", "ro", &disk.device, folder_text]).unwrap();
    let there = folder.join("backup/header").is_dir();
    said("umount", &[folder_text]).unwrap();
    assert!(there);
}
