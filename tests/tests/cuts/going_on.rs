//! `--retry`: commands that read, and commands that change an archive without sending, go on in the same run when their connection breaks.

use std::fs;

use nacre_tests::desk::{Desk, Ended};
use nacre_tests::helper_program;
use nacre_tests::lab_image::Random;

use super::{CHUNK, assert_calm, changed, receive, rounds, sessions};

/// Chunks of a volume.
const CHUNKS: usize = 64;

/// A desk whose archive has one volume, with so many sessions, tagged `s0` and so on; the contents.
fn desk_with_sessions(random: &mut Random, count: usize) -> (Desk, Vec<Vec<u8>>) {
    let desk = super::desk_with_archive();
    let mut contents = Vec::new();
    let mut content = vec![0; CHUNKS * CHUNK];
    random.fill(&mut content);
    for number in 0..count {
        fs::write(desk.path("image"), &content).unwrap();
        let tag = format!("--tag=s{number}");
        desk.done(&["send", &desk.import("vm", "image"), &tag]);
        contents.push(content.clone());
        content = changed(random, &content, CHUNKS);
    }
    (desk, contents)
}

/// The desk's commands go over a link that breaks so.
fn cut(desk: &Desk, cut: &str) {
    desk.link(cut, "as-is", &helper_program(), &[]);
}

fn tried(ended: &Ended) -> usize {
    ended.err.matches("trying again").count()
}

#[test]
fn reading_goes_on_over_a_link_that_breaks_again_and_again() {
    let mut random = Random::new(1, "reading goes on");
    let (desk, contents) = desk_with_sessions(&mut random, 2);
    let saved = desk.path("saved");
    let save_to = format!("--save-to={}", saved.display());
    let receive = ["receive", "vm", &save_to, "--force", "--retry=1"];
    let verify = ["verify", "vm", "--retry=1"];
    let check = ["arch-check", "--data", "--retry=1"];
    // Every connection carries some 3 of the session's 8 MiB: one try in a row is enough, because each brings something.
    for how in ["close", "kill"] {
        cut(&desk, &format!("down 3000000 {how}"));
        for command in [&receive[..], &verify, &check] {
            let ended = desk.run(command);
            assert_eq!(ended.code, 0, "{command:?} {how}: {ended:?}");
            // What had come is not fetched again: only what was under way at each break.
            let times = tried(&ended);
            println!("{command:?} {how}: {times} breaks");
            let most = if command[0] == "arch-check" { 10 } else { 6 };
            assert!((2..=most).contains(&times), "{command:?}: {ended:?}");
        }
        assert!(fs::read(&saved).unwrap() == contents[1]);
    }
    // Without it the first break is the end, and what was there stays as it was.
    for command in [&receive[..], &verify, &check] {
        let ended = desk.run(&command[..command.len() - 1]);
        assert_calm(&ended, &[1]);
        assert_eq!(tried(&ended), 0, "{ended:?}");
    }
    assert!(fs::read(&saved).unwrap() == contents[1]);
}

#[test]
fn what_is_done_with_an_archive_is_done_with_tries_too() {
    let desk = Desk::new();
    desk.done(&["arch-init", "--retry=1"]);
    let names = fs::read_dir(desk.path("store/archive")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let scripts = names
        .filter(|name| name.starts_with("emergency_restore."))
        .count();
    assert_eq!(scripts, 1, "the script that restores without nacre");
}

#[test]
fn a_link_that_stays_dead_is_given_up_after_so_many_tries() {
    let mut random = Random::new(1, "a dead link");
    let (desk, _) = desk_with_sessions(&mut random, 1);
    let save_to = format!("--save-to={}", desk.path("saved").display());
    cut(&desk, "down 1000000 close; down 0 close");
    let ended = desk.run(&["receive", "vm", &save_to, "--retry=2"]);
    assert_eq!((ended.code, tried(&ended)), (1, 2), "{ended:?}");
    assert!(
        ended.err.contains("trying again in 2 s (0 tries left)"),
        "{ended:?}"
    );
    assert!(!desk.path("saved").exists(), "a part was left");
    // Several volumes: what cannot be read is named once for each, and no further tries are made for the others.
    cut(&desk, "down 1000000 close; down 0 close");
    let ended = desk.run(&["verify", "--all", "--retry=1"]);
    assert_eq!((ended.code, tried(&ended)), (1, 1), "{ended:?}");
}

/// A change: the command, and whether the sessions with these tags are there after it.
type Change = (&'static [&'static str], [bool; 4]);

/// Changes of an archive with the volume `vm` and its sessions `s0` to `s3`.
const CHANGES: &[Change] = &[
    (&["prune", "vm", "--session=^s1"], [true, false, true, true]),
    (
        &["prune", "vm", "--keep-last=1", "--force"],
        [false, false, false, true],
    ),
    (&["delete", "vm", "--force"], [false; 4]),
    (&["add", "another"], [true; 4]),
    (&["rename", "vm", "other"], [true; 4]),
    (&["session", "protect", "^s2"], [true; 4]),
    (&["arch-check", "--clean"], [true; 4]),
    (&["arch-check", "--repair"], [true; 4]),
    (&["arch-deduplicate"], [true; 4]),
];

#[test]
fn a_change_whose_link_breaks_once_is_made_whole_in_the_same_run() {
    let mut random = Random::new(1, "a change goes on");
    let (mut broken, rounds) = (0, rounds(9));
    for round in 0..rounds {
        let at = usize::try_from(round).unwrap() % CHANGES.len();
        let (command, there) = CHANGES[at];
        let (desk, contents) = desk_with_sessions(&mut random, 4);
        let how = random.pick(&["close", "kill"]);
        let plan = match random.below(2) {
            0 => format!("up {} {how}; never", random.below(9_000)),
            _ => format!("down {} {how}; never", random.below(9_000)),
        };
        println!("{round}: {command:?} {plan}");
        cut(&desk, &plan);
        let ended = desk.run(&[command, &["--retry=1"]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(tried(&ended) <= 1, "{ended:?}");
        broken += tried(&ended);
        let volume = if command[0] == "rename" {
            "other"
        } else {
            "vm"
        };
        let found = sessions(&desk, volume);
        for (number, there) in there.into_iter().enumerate() {
            let tag = format!("\"s{number}\"");
            let known = found.values().any(|tags| tags.contains(&tag));
            assert_eq!(known, there, "s{number}: {found:?}\n{ended:?}");
            if there {
                let content = receive(&desk, volume, &format!("s{number}"));
                assert!(content == contents[number], "s{number}");
            }
        }
        let listed = desk.done(&["list"]);
        assert_eq!(listed.contains("another"), command[0] == "add", "{listed}");
        desk.done(&["arch-check", "--data"]);
    }
    println!("{broken} of {rounds} links broke");
    assert!(broken as u64 * 3 >= rounds, "only {broken} links broke");
}
