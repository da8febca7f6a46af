//! What a broken connection and a second one may make of a commit.

use std::fs;

use nacre_tests::desk::{copy_folder, end};
use nacre_tests::mounts::{FileSystem, Mounted};
use nacre_tests::skip;

use crate::scene::{Scene, Strike};
use crate::verbs::VERBS;

/// The connection broke between a head and the answer to its barrier. That the head is found by the next connection does not mean that it survives a power cut:
/// the helper that put it may have died before it synced the folder, and the next one knows nothing of that.
#[test]
fn a_head_that_is_found_after_a_broken_connection_is_made_durable_before_success_is_told() {
    let scene = Scene::new(90);
    let mut done = Vec::new();
    // Those that commit a head of their own: the heads of a change of keys are looked after by itself, and a header's second copy can be lost again.
    let names = ["send", "prune", "delete", "rename", "add", "session tag"];
    for verb in VERBS.iter().filter(|verb| names.contains(&verb.name)) {
        let run = |nth: usize| {
            scene.reset();
            (verb.prepare)(&scene);
            scene.arm(&Strike {
                attack: "unanswered",
                kinds: "Barrier",
                nth,
            });
            let mut arguments = (verb.arguments)(&scene);
            arguments.push("--retry=1".to_owned());
            let ended = scene.run(&arguments, false).ended;
            (ended, scene.requests())
        };
        let (_, requests) = run(0);
        let barriers = requests.iter().filter(|kind| *kind == "Barrier").count();
        for nth in barriers.saturating_sub(1).max(1)..=barriers {
            let (ended, requests) = run(nth);
            if !ended.err.contains("trying again") || ended.code != 0 {
                // The second connection was struck, too.
                continue;
            }
            // The requests are those of the second one: nothing is put, removed or found behind which there is no barrier.
            let changes = ["PutFinish", "PutCopy", "Delete", "Punch"];
            let last = requests
                .iter()
                .rposition(|kind| changes.contains(&kind.as_str()));
            let barrier = requests.iter().rposition(|kind| kind == "Barrier");
            let place = format!("{}, barrier {nth} of {barriers}: {requests:?}", verb.name);
            assert!(!ended.err.contains("no new session"), "{place}: {ended:?}");
            assert!(last.is_some() && last < barrier, "{place}");
            scene.disarm();
            (verb.done)(&scene, None).unwrap_or_else(|why| panic!("{place}: {why}"));
            done.push(format!("{} at {nth} of {barriers}", verb.name));
        }
    }
    println!("{}", done.join("\n"));
    assert!(done.len() > 5, "{done:?}");
}

/// The same where the command had ended, and is given again: it finds that nothing is left to send. Commands that only look or plan in between do
/// not make it forget.
#[test]
fn a_send_that_finds_all_done_by_one_that_was_cut_off_makes_it_durable_first() {
    let scene = Scene::new(91);
    let send = VERBS.iter().find(|verb| verb.name == "send").unwrap();
    let arguments = (send.arguments)(&scene);
    let strike = |attack, nth| Strike {
        attack,
        kinds: "Barrier",
        nth,
    };
    let planned = [arguments.clone(), vec!["--dry-run".to_owned()]].concat();
    for between in [None, Some(vec!["list".to_owned()]), Some(planned)] {
        scene.reset();
        scene.arm(&strike("unanswered", 2));
        let ended = scene.run(&arguments, false).ended;
        assert_eq!(ended.code, 1, "{ended:?}");
        if let Some(between) = &between {
            scene.disarm();
            let ended = scene.run(between, false).ended;
            assert_eq!(ended.code, 0, "{ended:?}");
        }
        let again = || {
            scene.arm(&strike("none", 0));
            let ended = scene.run(&arguments, false).ended;
            assert_eq!(ended.code, 0, "{ended:?}");
            scene.requests()
        };
        let requests = again();
        let put = requests.iter().rposition(|kind| kind == "PutFinish");
        let barrier = requests.iter().rposition(|kind| kind == "Barrier");
        assert!(put.is_some() && put < barrier, "{between:?}: {requests:?}");
        // Once is enough.
        let requests = again();
        assert!(
            !requests.iter().any(|kind| kind.starts_with("Put")),
            "{requests:?}"
        );
    }
}

/// What only shows a plan puts nothing, not even what is there; the store may be read-only.
#[test]
fn a_dry_run_on_a_machine_that_knows_nothing_of_the_archive_puts_nothing() {
    let scene = Scene::new(92);
    scene.reset();
    std::fs::remove_dir_all(scene.desk.path("state")).unwrap();
    scene.arm(&Strike {
        attack: "none",
        kinds: "*",
        nth: 0,
    });
    let send = VERBS.iter().find(|verb| verb.name == "send").unwrap();
    let mut arguments = (send.arguments)(&scene);
    arguments.push("--dry-run".to_owned());
    let ended = scene.run(&arguments, false).ended;
    assert_eq!(ended.code, 0, "{ended:?}");
    let requests = scene.requests();
    assert!(
        !requests.iter().any(|kind| kind.starts_with("Put")),
        "{requests:?}"
    );
}

/// Sessions that go one after another are so many commits: that the one before was made does not mean that this one was.
#[test]
fn each_session_that_autoprune_says_it_forgot_is_gone_although_the_connection_broke() {
    let test = "each_session_that_autoprune_says_it_forgot_is_gone_although_the_connection_broke";
    // There is never room enough here for a send.
    let disk = match Mounted::new(FileSystem::Tmpfs, 72) {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    let scene = Scene::new(93);
    let import = scene.desk.import("a", "next.img");
    let archive = disk.path().join("archive");
    let mut arguments = vec!["send", &import, "--tag=four", "--retry=1"];
    arguments.extend(["--autoprune=on", "--apdays=0:0:1:1"]);
    let mut broken = 0;
    for nth in 1..30 {
        scene.reset();
        let _ = fs::remove_dir_all(&archive);
        copy_folder(&scene.desk.path("store/archive"), &archive);
        scene.arm(&Strike {
            attack: "once-unanswered",
            kinds: "PutFinish",
            nth,
        });
        let mut command = scene.desk.nacre_at(archive.to_str().unwrap(), &arguments);
        // It is the day after by the clock on the wall.
        let ended = end(command.env("TZ", "AAA-24"));
        if !ended.err.contains("trying again") {
            break;
        }
        broken += 1;
        let place = format!("put {nth}: {ended:?}");
        assert_eq!(ended.code, 0, "{place}");
        assert!(ended.err.contains("forgot 2 old sessions"), "{place}");
        assert!(!ended.err.contains("no new session"), "{place}");
        scene.disarm();
        let list = ["list", "a", "--tag"];
        let listed = end(&mut scene.desk.nacre_at(archive.to_str().unwrap(), &list));
        for (tag, is_there) in [
            ("one", false),
            ("two", false),
            ("three", true),
            ("four", true),
        ] {
            assert_eq!(
                listed.out.contains(tag),
                is_there,
                "{tag}: {listed:?}, {place}"
            );
        }
    }
    assert!(broken > 10, "only {broken} connections broke");
}

/// Behind its own head a change of keys that meets a sick disk must not take that head for another writer's: it would begin anew, with the old key.
#[test]
fn a_disk_error_behind_a_new_head_is_not_taken_for_another_writer() {
    let scene = Scene::new(94);
    let rotate = VERBS.iter().find(|verb| verb.name == "key rotate-master");
    let rotate = rotate.unwrap();
    let arguments = (rotate.arguments)(&scene);
    let mut failed = 0;
    for nth in 1..20 {
        scene.reset();
        scene.arm(&Strike {
            attack: "once-error-99",
            kinds: "List",
            nth,
        });
        let ended = scene.run(&arguments, false).ended;
        if scene.struck().is_none() {
            break;
        }
        failed += usize::from(ended.code != 0);
        assert!([0, 1].contains(&ended.code), "listing {nth}: {ended:?}");
        assert!(
            !ended.err.contains("another writer"),
            "listing {nth}: {ended:?}"
        );
    }
    assert!(failed > 2, "{failed} listings failed");
}
