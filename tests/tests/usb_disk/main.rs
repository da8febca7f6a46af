//! A removable disk with real partitions that is pulled out at any instant of a send, in a kernel of its own.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

mod stick;

use std::fs;
use std::process::{Child, Command, Stdio};

use nacre_tests::LabKernel;
use nacre_tests::desk::{Desk, Ended, end, ended};
use nacre_tests::lab_image::Random;

use stick::{Partition, Stick};

const VOLUMES: [&str; 3] = ["one", "two", "three"];
/// Of each volume; nothing of it compresses.
const SIZE: usize = 2 << 20;

#[test]
fn a_removable_disk_is_pulled_out_in_a_real_kernel() {
    LabKernel::new()
        .needs("mkfs.vfat")
        .needs("mkfs.exfat")
        .needs("mount.exfat-fuse")
        .needs("sfdisk")
        .seconds(1200)
        .run_ignored_tests("a_removable_disk_is_pulled_out_in_a_real_kernel");
}

#[test]
#[ignore = "started by a_removable_disk_is_pulled_out_in_a_real_kernel"]
fn what_was_acknowledged_is_kept_and_the_next_run_goes_on() {
    let rounds = std::env::var("NACRE_ROUNDS").ok();
    let rounds: u64 = rounds.and_then(|text| text.parse().ok()).unwrap_or(1);
    for round in 0..rounds.max(1) {
        for partition in [Partition::Ext4, Partition::Fat, Partition::Exfat] {
            let seed = 7 * round + partition as u64;
            println!("seed {seed}: {partition:?}");
            pull(seed, partition);
        }
    }
}

/// A user with three images, and an archive on a disk.
struct Scene {
    desk: Desk,
    dest: String,
}

impl Scene {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.desk.path("nacre"));
        command
            .args(arguments)
            .arg(&self.dest)
            .arg(format!("--key-file={}", self.desk.path("key").display()))
            .arg(format!("--meta-dir={}", self.desk.path("state").display()))
            .args(["--config=/dev/null", "--unattended"])
            .env_remove("RUST_BACKTRACE");
        command
    }

    fn done(&self, arguments: &[&str]) -> Ended {
        let ended = end(&mut self.command(arguments));
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended
    }

    fn send(&self) -> Command {
        let imports: Vec<String> = VOLUMES
            .iter()
            .map(|name| self.desk.import(name, name))
            .collect();
        let imports = imports.iter().map(String::as_str);
        let arguments: Vec<&str> = ["send"].into_iter().chain(imports).collect();
        self.command(&arguments)
    }

    fn begin_send(&self) -> Child {
        let mut command = self.send();
        let command = command.stdin(Stdio::null());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Restores the newest session of a volume.
    fn receive(&self, volume: &str) -> Vec<u8> {
        let saved = self.desk.path("saved");
        let _ = fs::remove_file(&saved);
        let to = format!("--save-to={}", saved.display());
        self.done(&["receive", volume, &to]);
        fs::read(saved).unwrap()
    }
}

/// One disk, one archive, pulled out in the first send and in the second.
fn pull(seed: u64, partition: Partition) {
    let mut random = Random::new(seed, "a disk that is pulled out");
    let mut stick = Stick::plug_in();
    let uuid = stick.format(partition);
    let scene = Scene {
        desk: Desk::new(),
        dest: format!("--dest=usb:{uuid}/backup"),
    };
    scene.done(&["arch-init"]);
    let mut contents = Vec::new();
    for name in VOLUMES {
        let mut content = vec![0; SIZE];
        random.fill(&mut content);
        fs::write(scene.desk.path(name), &content).unwrap();
        contents.push(content);
    }
    // Behind the first volume's checkpoint as often as before it.
    let point = random.below(3 * SIZE as u64 / 512);
    let first = pull_in_send(&scene, &mut stick, point);
    println!(
        "pulled out after {point} sectors: exit {}: {}",
        first.code,
        first.err.trim()
    );
    stick.plug_in_again();
    // This machine's anchor names the last commit that was acknowledged: a disk without it would be refused with exit code 5. All that the
    // commit names is read.
    println!("{}", scene.done(&["list"]).out);
    scene.done(&["verify", "--all"]);
    let sent = end(&mut scene.send());
    assert_eq!(sent.code, 0, "{sent:?}");
    // A second session, cut short again: the first one stays.
    for (name, content) in VOLUMES.iter().zip(&mut contents) {
        random.fill(&mut content[..SIZE / 2]);
        fs::write(scene.desk.path(name), content).unwrap();
    }
    let point = random.below(3 * SIZE as u64 / 1024);
    let second = pull_in_send(&scene, &mut stick, point);
    println!(
        "pulled out after {point} sectors: exit {}: {}",
        second.code,
        second.err.trim()
    );
    stick.plug_in_again();
    scene.done(&["verify", "--all"]);
    let sent = end(&mut scene.send());
    assert_eq!(sent.code, 0, "{sent:?}");
    for (name, content) in VOLUMES.iter().zip(&contents) {
        assert!(scene.receive(name) == *content, "{name}");
    }
    scene.done(&["arch-check", "--data"]);
}

fn pull_in_send(scene: &Scene, stick: &mut Stick, point: u64) -> Ended {
    let before = stick.written();
    let mut child = scene.begin_send();
    let ended_early = loop {
        if stick.written() >= before + point {
            break false;
        }
        if child.try_wait().unwrap().is_some() {
            break true;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    stick.pull_out();
    let ended = ended(&child.wait_with_output().unwrap());
    if ended_early {
        assert_eq!(ended.code, 0, "{ended:?}");
    } else {
        // It may have been just done.
        assert!(matches!(ended.code, 0 | 1 | 3), "{ended:?}");
    }
    let told = ended.err.lines().any(|line| line.starts_with("error: "));
    assert!(ended.code == 0 || told, "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    ended
}
