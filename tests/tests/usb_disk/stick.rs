//! A removable disk of `scsi_debug`, whose contents stay when it is pulled out.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is on it.
#[derive(Clone, Copy, Debug)]
pub enum Partition {
    Ext4 = 1,
    Fat = 2,
    Exfat = 3,
}

/// The disk in its port.
pub struct Stick {
    /// `sda`; another one each time it is plugged in.
    name: String,
}

/// Runs a command; its output.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {complaint}"
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Stick {
    /// A disk with three empty partitions.
    pub fn plug_in() -> Self {
        run("modprobe", &["-a", "sd_mod", "fuse", "vfat"]);
        if names().is_empty() {
            run(
                "modprobe",
                &["scsi_debug", "removable=1", "dev_size_mb=240", "num_tgts=1"],
            );
        }
        let stick = Self { name: appeared() };
        let table = "label: dos\n2048,80M,83\n,70M,c\n,,7\n";
        let script = format!(
            "printf '{table}' | sfdisk -q --wipe always {}",
            stick.device(None)
        );
        run("sh", &["-c", &script.replace('\n', "\\n")]);
        stick
    }

    fn device(&self, partition: Option<Partition>) -> String {
        let number = partition.map(|partition| (partition as u8).to_string());
        format!("/dev/{}{}", self.name, number.unwrap_or_default())
    }

    /// Makes a file system; its UUID.
    pub fn format(&self, partition: Partition) -> String {
        let device = self.device(Some(partition));
        let begun = Instant::now();
        while !PathBuf::from(&device).exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{device}");
            std::thread::sleep(Duration::from_millis(100));
        }
        match partition {
            Partition::Ext4 => run("mkfs.ext4", &["-q", "-F", &device]),
            Partition::Fat => run("mkfs.vfat", &["-n", "FAT", &device]),
            Partition::Exfat => run("mkfs.exfat", &[&device]),
        };
        run("blkid", &["-p", "-o", "value", "-s", "UUID", &device])
    }

    /// Sectors of 512 bytes that were written so far.
    pub fn written(&self) -> u64 {
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.name)).unwrap();
        let field = stat.split_ascii_whitespace().nth(6).unwrap();
        field.parse().unwrap()
    }

    /// Without asking anybody.
    pub fn pull_out(&mut self) {
        fs::write(format!("/sys/block/{}/device/delete", self.name), "1").unwrap();
    }

    /// Into the same port, with what was on it.
    pub fn plug_in_again(&mut self) {
        let hosts = fs::read_dir("/sys/class/scsi_host").unwrap().flatten();
        for host in hosts {
            fs::write(host.path().join("scan"), "- - -").unwrap();
        }
        self.name = appeared();
    }
}

/// Disks of scsi_debug that are there.
fn names() -> Vec<String> {
    let all = fs::read_dir("/sys/block").unwrap().flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("sd")).collect()
}

fn appeared() -> String {
    let begun = Instant::now();
    loop {
        if let Some(name) = names().pop() {
            return name;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no disk");
        std::thread::sleep(Duration::from_millis(100));
    }
}
