//! A machine with qubesd, a backup qube that is halted, a USB qube, and a user with an archive.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nacre_tests::desk::{Desk, Ended, end, ended};
use nacre_tests::qubes_world::{QubesWorld, write_script};
use nacre_tests::qubesd::{Qubesd, Release, World};

pub const BOTH: [Release; 2] = [Release::R42, Release::R43];

/// All of it.
pub struct Scene {
    pub desk: Desk,
    pub qubes: QubesWorld,
    pub qubesd: Qubesd,
    options: Vec<String>,
    /// The service's script as it is installed.
    service: String,
}

impl Scene {
    pub fn new(release: Release, dest: &str) -> Result<Self, String> {
        if std::path::Path::new("/usr/lib/qubes/qrexec-client").exists() {
            return Err("this is dom0".into());
        }
        let qubes = QubesWorld::new()?;
        let mut world = World::new(release);
        world.machines = qubes.qube().parent().map(PathBuf::from);
        world.add("debian-13", "TemplateVM", None, "black");
        world
            .add("work", "AppVM", Some("debian-13"), "blue")
            .running = true;
        world.add("vault", "AppVM", Some("debian-13"), "gray");
        world
            .add("sys-usb", "AppVM", Some("debian-13"), "red")
            .running = true;
        let desk = Desk::new();
        let content: Vec<u8> = (0..700_000_u32)
            .map(|number| u8::try_from(number.wrapping_mul(number) % 251).unwrap())
            .collect();
        fs::write(desk.path("image"), content).unwrap();
        Ok(Self {
            desk,
            service: fs::read_to_string(qubes.service()).map_err(|error| error.to_string())?,
            qubes,
            qubesd: Qubesd::start(world),
            options: vec![format!("--dest={dest}")],
        })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let folder = self.qubes.qube().parent().map(PathBuf::from).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(self.desk.path("nacre"));
        command
            .args(arguments)
            .args(&self.options)
            .arg(format!("--key-file={}", self.desk.path("key").display()))
            .arg(format!("--meta-dir={}", self.desk.path("state").display()))
            .args(["--config=/dev/null", "--unattended"])
            .env("PATH", format!("{}:{path}", folder.display()))
            .env("NACRE_QUBESD", self.qubesd.folder())
            .env_remove("RUST_BACKTRACE");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        end(&mut self.command(arguments))
    }

    pub fn done(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended
    }

    pub fn send(&self) -> Ended {
        self.run(&["send", &self.desk.import("vm", "image")])
    }

    /// Starts a command and leaves it running.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::null());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Makes the qube's service run shell commands before and after the helper, in place of those that it ran so far.
    pub fn wrap_service(&self, before: &str, after: &str) {
        let (first, rest) = self.service.split_once('\n').unwrap();
        let rest = rest.replace(" exec ", " ");
        let script = format!("{first}\n{before}\n{rest}\nrc=$?\n{after}\nexit $rc\n");
        write_script(&self.qubes.service(), &script).unwrap();
    }

    /// Calls of a method so far.
    pub fn calls(&self, wanted: &str) -> usize {
        let calls = &self.qubesd.world().calls;
        calls.iter().filter(|call| *call == wanted).count()
    }

    pub fn is_running(&self, qube: &str) -> bool {
        self.qubesd.world().qubes[qube].running
    }

    pub fn set_running(&self, qube: &str, running: bool) {
        let mut world = self.qubesd.world();
        let qube = world.qubes.get_mut(qube).unwrap();
        qube.starts += u32::from(running && !qube.running);
        qube.running = running;
        world.settle();
    }

    /// What is attached to a qube: `sys-usb:sda1`.
    pub fn attached(&self, qube: &str) -> Vec<String> {
        let world = self.qubesd.world();
        let devices = world.qubes[qube].devices.iter();
        devices
            .map(|device| format!("{}:{}", device.backend, device.port))
            .collect()
    }

    /// Makes calls of a method and target fail.
    pub fn fail(&self, call: &str, class: &'static str, message: &str) {
        let mut world = self.qubesd.world();
        world
            .failing
            .insert(call.to_owned(), (class, message.to_owned()));
    }
}

/// Waits until something is so; the machine may be slow.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The end of a command that was left running.
pub fn wait(child: Child) -> Ended {
    ended(&child.wait_with_output().unwrap())
}
