//! Two machines that change one archive at the same time (DESIGN 4.4), as their users see it. Each has its own memory; the store is shared.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nacre_tests::desk::{Desk, Ended, end, ended};
use nacre_tests::lab_image::Random;
use rustix::process::{Pid, Signal, kill_process};

/// An archive without a session, and an image that takes a moment to send.
fn desk(mib: usize) -> Desk {
    let desk = Desk::new();
    desk.done(&["arch-init"]);
    image(&desk, 1, mib);
    desk
}

fn image(desk: &Desk, seed: u64, mib: usize) {
    let mut bytes = vec![0; mib << 20];
    Random::new(seed, "writers").fill(&mut bytes);
    fs::write(desk.path("image"), &bytes).unwrap();
}

/// The same command on another machine.
fn elsewhere(desk: &Desk, machine: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(desk.path("nacre"));
    command
        .args(arguments)
        .arg(format!(
            "--dest=file:{}",
            desk.path("store/archive").display()
        ))
        .arg(format!("--meta-dir={}", desk.path(machine).display()))
        .arg(format!("--key-file={}", desk.path("key").display()))
        .args(["--config=/dev/null", "--unattended"]);
    command
}

fn done_elsewhere(desk: &Desk, machine: &str, arguments: &[&str]) -> Ended {
    let ended = end(&mut elsewhere(desk, machine, arguments));
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    ended
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Starts `send --json`, halts it once it reads the volume and `ready` holds, does something else, and lets it go on to its end.
fn halted(desk: &Desk, ready: impl Fn() -> bool, meanwhile: impl FnOnce()) -> Ended {
    let mut command = desk.nacre(&["send", "--json", &desk.import("v", "image")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("\"begin\"") {
        assert!(
            out.read_line(&mut said).unwrap() > 0,
            "it ended early: {said}"
        );
    }
    while !ready() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&child, Signal::STOP);
    meanwhile();
    signal(&child, Signal::CONT);
    out.read_to_string(&mut said).unwrap();
    let mut ended = ended(&child.wait_with_output().unwrap());
    ended.out = said;
    ended
}

fn packs(desk: &Desk) -> Vec<(PathBuf, u64)> {
    let folders = fs::read_dir(desk.path("store/archive/pack"))
        .into_iter()
        .flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let files = files.map(|file| file.unwrap());
    let whole = files.filter(|file| file.file_name().len() == 32);
    whole
        .map(|file| (file.path(), file.metadata().unwrap().len()))
        .collect()
}

/// The volume reads back as the image, on a machine that has never seen the archive.
fn assert_whole(desk: &Desk) {
    let to = desk.path("came");
    done_elsewhere(
        desk,
        "third",
        &["receive", "v", &format!("--save-to={}", to.display())],
    );
    assert!(fs::read(to).unwrap() == fs::read(desk.path("image")).unwrap());
    done_elsewhere(desk, "third", &["arch-check", "--data"]);
}

#[test]
fn a_send_that_another_writer_outran_goes_on_by_itself() {
    let desk = desk(48);
    let ended = halted(
        &desk,
        || true,
        || {
            done_elsewhere(&desk, "second", &["add", "w"]);
        },
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended
            .out
            .contains("another writer has changed the archive meanwhile; trying again"),
        "{ended:?}"
    );
    assert!(desk.done(&["list"]).contains('w'));
    assert_whole(&desk);
}

#[test]
fn what_a_cleaner_takes_from_a_running_send_is_sent_again() {
    let desk = desk(140);
    let sent = || {
        packs(&desk)
            .iter()
            .find(|(_, size)| *size > 60 << 20)
            .cloned()
    };
    let ended = halted(
        &desk,
        || sent().is_some(),
        || {
            let (pack, _) = sent().unwrap();
            let cleaned = done_elsewhere(&desk, "second", &["arch-check", "--clean"]);
            assert!(cleaned.err.contains("1 pack of"), "{cleaned:?}");
            assert!(!pack.exists());
        },
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("trying again"), "{ended:?}");
    assert_whole(&desk);
}

#[test]
fn many_writers_at_once_all_get_their_turn() {
    let desk = desk(0);
    let name = |at: usize| format!("v{at}");
    let writers: Vec<Child> = (0..6)
        .map(|at| {
            let mut command = elsewhere(&desk, &format!("machine-{at}"), &["add", &name(at)]);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for writer in writers {
        let ended = ended(&writer.wait_with_output().unwrap());
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let listed = desk.done(&["list"]);
    assert!((0..6).all(|at| listed.contains(&name(at))), "{listed}");
    desk.done(&["arch-check"]);
}
