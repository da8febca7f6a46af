//! `--retry` and `--limit`.

use std::fs;
use std::time::{Duration, Instant};

use nacre_tests::desk::{Desk, Ended};
use nacre_tests::lab_image::Random;
use nacre_tests::sshd::{Offers, Sshd};
use nacre_tests::{helper_program, skip};

const MIB: usize = 1 << 20;

/// A desk with an archive and five images of a MiB that do not compress; the contents, and the command that sends them.
fn five() -> (Desk, Vec<Vec<u8>>, Vec<String>) {
    let desk = Desk::new();
    desk.done(&["arch-init"]);
    let mut random = Random::new(7, "several targets");
    let mut command = vec!["send".to_owned()];
    let mut contents = Vec::new();
    for name in ["v0", "v1", "v2", "v3", "v4"] {
        let mut content = vec![0; MIB];
        random.fill(&mut content);
        fs::write(desk.path(name), &content).unwrap();
        command.push(desk.import(name, name));
        contents.push(content);
    }
    (desk, contents, command)
}

fn run(desk: &Desk, command: &[String], rest: &[&str]) -> Ended {
    let words: Vec<&str> = command
        .iter()
        .map(String::as_str)
        .chain(rest.iter().copied())
        .collect();
    desk.run(&words)
}

fn tried(ended: &Ended) -> usize {
    ended.err.matches("trying again").count()
}

/// Bytes of all packs.
fn stored(desk: &Desk) -> u64 {
    let folders = fs::read_dir(desk.path("store/archive/pack")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn a_link_that_breaks_again_and_again_is_made_anew_in_the_same_run() {
    let (desk, contents, command) = five();
    // Every connection carries two volumes and a half.
    desk.link("up 2700000 close", "as-is", &helper_program(), &[]);
    // Once in a row is enough, because each time something was committed.
    let ended = run(&desk, &command, &["--retry=1"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(tried(&ended), 2, "{ended:?}");
    let bytes = stored(&desk);
    assert!(
        bytes < 6 * MIB as u64,
        "what was committed was sent again: {bytes}"
    );
    desk.link("never", "as-is", &helper_program(), &[]);
    for (number, content) in contents.iter().enumerate() {
        let saved = format!("--save-to={}", desk.path("saved").display());
        desk.done(&["receive", &format!("v{number}"), &saved, "--force"]);
        assert!(
            fs::read(desk.path("saved")).unwrap() == *content,
            "v{number}"
        );
    }
    // One session with all of them, and no unfinished one.
    let listed = desk.done(&["list", "v4"]);
    assert!(!listed.contains("unfinished"), "{listed}");
}

#[test]
fn without_retry_the_first_break_ends_the_run_and_a_dead_link_ends_every_one() {
    let (desk, _, command) = five();
    desk.link("up 2700000 close", "as-is", &helper_program(), &[]);
    let ended = run(&desk, &command, &[]);
    assert_eq!((ended.code, tried(&ended)), (1, 0), "{ended:?}");
    desk.link("down 0 close", "as-is", &helper_program(), &[]);
    let ended = run(&desk, &command, &["--retry=1"]);
    assert_eq!((ended.code, tried(&ended)), (1, 1), "{ended:?}");
    assert!(
        ended.err.contains("trying again in 1 s (0 tries left)"),
        "{ended:?}"
    );
}

#[test]
fn who_is_not_let_in_does_not_knock_again() {
    let test = "who_is_not_let_in_does_not_knock_again";
    let server = match Sshd::start(Offers::Helper) {
        Ok(server) => server,
        Err(why) => skip!(test, "{why}"),
    };
    let desk = Desk::new();
    let mut arguments = vec!["serve".to_owned(), "--ssh".to_owned()];
    // ssh takes the first value it finds: the key is not shown.
    let options = server.options().into_iter();
    let options = options.map(|option| option.to_str().unwrap().to_owned());
    for option in std::iter::once("-oPubkeyAuthentication=no".to_owned()).chain(options) {
        arguments.extend(["--ssh-option".to_owned(), option]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let locator = format!(
        "ssh {} {}/archive",
        server.host(),
        server.folder().display()
    );
    desk.link("never", &locator, &helper_program(), &arguments);
    fs::write(desk.path("image"), b"x").unwrap();
    let ended = desk.run(&["send", &desk.import("vm", "image"), "--retry=5"]);
    assert_eq!((ended.code, tried(&ended)), (1, 0), "{ended:?}");
    assert!(ended.err.contains("Permission denied"), "{ended:?}");
}

#[test]
fn the_limit_holds() {
    let (desk, ..) = five();
    let began = Instant::now();
    desk.done(&["send", &desk.import("v0", "v0"), "--limit=400K"]);
    // A MiB at 400 KiB a second, less what the bucket held and the last piece.
    let took = began.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
}
