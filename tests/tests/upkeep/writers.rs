//! Two machines that change one archive at the same time (DESIGN 4.4), as their users see it. Each has its own memory; the store is shared.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nacre::archive::Forgotten;
use nacre_tests::SimulatedClock;
use nacre_tests::desk::{Desk, Ended, end, ended};
use nacre_tests::lab_image::Random;
use nacre_tests::skip;
use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, CHUNK};

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

/// Halts a `send` once it reads the volume and `ready` holds, does something else, and lets it go on to its end.
fn halted(desk: &Desk, ready: impl Fn() -> bool, meanwhile: impl FnOnce()) -> Ended {
    let import = desk.import("v", "image");
    halted_in(desk, &["send", &import], ready, meanwhile)
}

/// The same for another command, which is halted once it is at a volume.
fn halted_in(
    desk: &Desk,
    arguments: &[&str],
    ready: impl Fn() -> bool,
    meanwhile: impl FnOnce(),
) -> Ended {
    let mut command = desk.nacre(arguments);
    command
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
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
            assert!(cleaned.err.contains("removed"), "{cleaned:?}");
            assert!(!pack.exists());
        },
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("trying again"), "{ended:?}");
    assert_whole(&desk);
}

/// A reader takes no lock and asks for what the head named that it began with. What has been given away since is gone, which looked like damage.
#[test]
fn what_is_deleted_while_it_is_read_is_no_damage() {
    for reading in ["verify", "receive", "diff"] {
        let desk = desk(140);
        desk.done(&["send", &desk.import("v", "image")]);
        let to = desk.path("came");
        let save = format!("--save-to={}", to.display());
        let image = desk.import("v", "image");
        let arguments: &[&str] = match reading {
            "verify" => &["verify", "v"],
            "diff" => &["diff", &image],
            _ => &["receive", "v", &save],
        };
        let ended = halted_in(
            &desk,
            arguments,
            || true,
            || {
                done_elsewhere(&desk, "second", &["delete", "v", "--force"]);
                assert!(packs(&desk).iter().all(|(_, size)| *size < 1 << 20));
            },
        );
        assert_eq!(ended.code, 1, "{reading}: {ended:?}");
        let said = format!("{}{}", ended.out, ended.err);
        assert!(
            said.contains("another writer has changed the archive meanwhile"),
            "{reading}: {ended:?}"
        );
        assert!(!said.contains("arch-check"), "{reading}: {ended:?}");
        assert!(!to.exists(), "{reading}");
    }
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

/// A command as a shell is told it.
fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap()));
    quoted.collect::<Vec<_>>().join(" ")
}

/// `key add` with a passphrase that comes from a command, which does something else before it answers: the archive is open then, and the change
/// not yet made.
fn key_add(desk: &Desk, meanwhile: &Command) -> Ended {
    let command = format!(
        "--new-passcmd={} >/dev/null 2>&1 && echo many words",
        words(meanwhile)
    );
    desk.run(&["key", "add", &command])
}

/// The objects of headers that the store has.
fn headers(desk: &Desk) -> usize {
    fs::read_dir(desk.path("store/archive/header"))
        .unwrap()
        .count()
}

const BY_PASSPHRASE: [&str; 2] = ["--passcmd=echo many words", "--authmin=-1"];

#[test]
fn a_change_of_keys_that_another_writer_outran_is_made_all_the_same() {
    let desk = desk(0);
    let ended = key_add(&desk, &elsewhere(&desk, "second", &["add", "w"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("trying again"), "{ended:?}");
    let listed = desk.run_without_key(&[&["list"], &BY_PASSPHRASE[..]].concat());
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.out.contains('w'), "{listed:?}");
    assert_eq!(headers(&desk), 2);
    desk.done(&["arch-check"]);
}

#[test]
fn of_two_changes_of_keys_at_once_the_second_changes_nothing_and_says_so() {
    let desk = desk(0);
    let other = format!("--new-key-file={}", desk.path("other").display());
    let ended = key_add(&desk, &elsewhere(&desk, "second", &["key", "add", &other]));
    assert_eq!(ended.code, 1, "{ended:?}");
    let told = "somebody else has changed the keys of this archive meanwhile";
    assert!(ended.err.contains(told), "{ended:?}");
    let listed = desk.run_without_key(&[&["list"], &BY_PASSPHRASE[..]].concat());
    assert_eq!(listed.code, 1, "{listed:?}");
    assert_eq!(headers(&desk), 2);
    // The other one's key is there, and the command works when it is given again.
    fs::rename(desk.path("other"), desk.path("key")).unwrap();
    desk.done(&["key", "add", "--new-passcmd=echo many words"]);
    desk.done(&["arch-check"]);
}

#[test]
fn several_volumes_leave_the_archive_with_one_commit() {
    let mut bench = Bench::new();
    let content = vec![7; 3 * CHUNK];
    for _ in 0..2 {
        bench.send(&[("one", &content), ("two", &content), ("other", &content)]);
        bench.send(&[("one", &content[CHUNK..]), ("other", &content)]);
    }
    let mut archive = bench.try_open().unwrap();
    let before = archive.head().epoch.0;
    // Another writer may come between any two commits; between these two nobody can.
    let clock = SimulatedClock::at(2_000_000_000);
    archive
        .delete_volumes(&["one", "two"], &Forgotten::new(), &clock)
        .unwrap();
    assert_eq!(archive.head().epoch.0, before + 1);
    archive.free().unwrap();
    let archive = bench.try_open().unwrap();
    let names = archive.head().volumes.iter();
    let names: Vec<&str> = names.map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["other"]);
    let sessions = archive.sessions().unwrap();
    assert!(
        sessions
            .iter()
            .all(|(_, session)| session.volumes.len() == 1)
    );
    let found = bench.check(true).unwrap();
    assert!(
        !found.is_damaged() && found.books.unwrap().are_right(),
        "deleted too much or too little"
    );
}

#[test]
fn who_has_said_yes_is_not_asked_again_because_of_another_writer() {
    const TEST: &str = "who_has_said_yes_is_not_asked_again_because_of_another_writer";
    if !Path::new("/usr/bin/script").is_file() {
        skip!(TEST, "no script(1), which gives a program a terminal");
    }
    let desk = desk(1);
    for volume in ["vm-work-private", "vm-work-root"] {
        desk.done(&["send", &desk.import(volume, "image")]);
    }
    let nacre = desk.nacre(&["delete", "work"]);
    let typed = words(&nacre).replace("'--unattended'", "");
    let other = words(&elsewhere(&desk, "second", &["add", "w"]));
    let said = desk.path("said");
    // One yes is all there is: a second question would be answered by the end of the input.
    let script = format!(
        "( until grep -q 'brought back' {said}; do sleep 0.1; done; {other} >&2; echo yes; \
           until grep -q 'COMMAND_EXIT_CODE' {said}; do sleep 0.1; done ) | \
         timeout 300 script -qfec \"{typed}\" {said}",
        said = said.display()
    );
    fs::write(&said, "").unwrap();
    let ended = end(Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::null()));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("trying again"), "{ended:?}");
    assert!(
        ended.out.contains("deleted vm-work-private with 1 session"),
        "{ended:?}"
    );
    let listed = desk.done(&["list"]);
    assert!(listed.contains('w') && !listed.contains("work"), "{listed}");
}
