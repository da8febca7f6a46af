//! Sent, changed, sent again, monitored, compared, and received in every way.

use std::fs;

use nacre_tests::mounts::FileSystem;
use nacre_tests::skip;

use super::{Bench, CHUNK, figure, noise};

const WORK: &str = "appvms/mail/private.img";

/// A bench with two volumes that have been sent once.
fn sent(kind: FileSystem) -> Result<Bench, String> {
    let bench = Bench::new(kind)?;
    bench.write(WORK, 0, &noise(1, 40 * CHUNK + 4096));
    bench.write("other.img", CHUNK, &noise(2, 3 * CHUNK));
    bench.done(&["send", WORK, "other.img"]);
    Ok(bench)
}

fn each(name: &str, test: impl Fn(&Bench)) {
    for kind in [FileSystem::Btrfs, FileSystem::Xfs] {
        match sent(kind) {
            Ok(bench) => test(&bench),
            Err(why) => nacre_tests::skip(name, &format!("{kind:?}: {why}")),
        }
    }
}

#[test]
fn only_changes_are_read_and_every_session_comes_back() {
    each(
        "only_changes_are_read_and_every_session_comes_back",
        |bench| {
            let first = fs::read(bench.file(WORK)).unwrap();
            bench.write(WORK, 7 * CHUNK + 8192, &noise(3, 100));
            let dry = bench.done(&["send", "--all", "--dry-run", "--json"]);
            assert!(figure(&dry, "changed") <= 64 << 10, "{dry:?}");
            let ended = bench.done(&["send", "--all", "--json"]);
            assert_eq!(figure(&ended, "scanned"), CHUNK as u64, "{ended:?}");
            assert!(figure(&ended, "sent") < 6000, "{ended:?}");
            let second = fs::read(bench.file(WORK)).unwrap();
            let sessions = bench.sessions(WORK);
            assert_eq!(sessions.len(), 2);
            assert!(bench.fetched(WORK, &sessions[0]) == first);
            assert!(bench.fetched(WORK, &sessions[1]) == second);
            assert_eq!(bench.sessions("other.img").len(), 1, "it had not changed");
            assert_eq!(bench.snapshots().len(), 2, "one for each volume");

            // The same after monitor, which needs neither the store nor the key.
            bench.write(WORK, 9 * CHUNK, &noise(4, CHUNK));
            let store = bench.desk.path("store/archive");
            let away = bench.desk.path("store/away");
            fs::rename(&store, &away).unwrap();
            let monitored = bench.monitor(&[]);
            assert_eq!(monitored.code, 0, "{monitored:?}");
            assert!(monitored.err.contains("128.0 KiB changed"), "{monitored:?}");
            fs::rename(&away, &store).unwrap();
            bench.write(WORK, 11 * CHUNK, &noise(5, CHUNK));
            let ended = bench.done(&["send", "--all", "--json"]);
            assert_eq!(figure(&ended, "scanned"), 2 * CHUNK as u64, "{ended:?}");
            let newest = bench.fetched(WORK, "newest");
            assert!(newest == fs::read(bench.file(WORK)).unwrap());
            let remapped = bench.done(&["send", "--all", "--json", "--remap"]);
            assert!(
                figure(&remapped, "scanned") > 40 * CHUNK as u64,
                "{remapped:?}"
            );
        },
    );
}

#[test]
fn a_session_is_received_in_every_way() {
    each("a_session_is_received_in_every_way", |bench| {
        let first = fs::read(bench.file(WORK)).unwrap();
        bench.write(WORK, 7 * CHUNK, &noise(3, 2 * CHUNK));
        fs::File::options()
            .write(true)
            .open(bench.file(WORK))
            .unwrap()
            .set_len(45 * CHUNK as u64 + 5)
            .unwrap();
        bench.done(&["send", WORK]);
        let second = fs::read(bench.file(WORK)).unwrap();
        let old = format!("--session={}", bench.sessions(WORK)[0]);
        let clone: &[&str] = &["--use-snapshot", "--req-snapshot"];
        let difference: &[&str] = &["--use-snapshot-diff", "--req-snapshot", &old];
        let ways: [(&[&str], &Vec<u8>, u64); 6] = [
            (clone, &second, 0),
            (difference, &first, 3 * CHUNK as u64),
            (&["--sparse"], &second, 7 * CHUNK as u64),
            (&["--sparse-write", &old], &first, u64::MAX),
            (&[], &second, u64::MAX),
            (&["--use-snapshot", &old], &first, u64::MAX),
        ];
        for (way, content, most) in ways {
            bench.write(WORK, 20 * CHUNK, &noise(9, 2 * CHUNK));
            let arguments = [&["receive", WORK, "--json"], way].concat();
            let ended = bench.done(&arguments);
            assert!(fs::read(bench.file(WORK)).unwrap() == *content, "{way:?}");
            assert!(figure(&ended, "fetched") <= most, "{way:?}: {ended:?}");
        }
        let refused = bench.run(&["receive", WORK, "--use-snapshot", "--req-snapshot", &old]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("no local snapshot of"), "{refused:?}");
        // What was received counts as a change of the volume, not of what is known of it.
        bench.done(&["send", WORK]);
        assert!(bench.fetched(WORK, "newest") == first);
    });
}

#[test]
fn names_may_differ_and_what_is_missing_is_named() {
    each("names_may_differ_and_what_is_missing_is_named", |bench| {
        let pool = bench.pool();
        let list = bench.desk.path("volumes.json");
        let text = format!("{{{pool:?}: [[\"other.img\", \"renamed\"], [{WORK:?}, null]]}}");
        fs::write(&list, text).unwrap();
        let from = format!("--vols-from={}", list.display());
        bench.desk.done(&["send", &from]);
        assert_eq!(bench.sessions("renamed").len(), 1);

        let text = format!("{{{pool:?}: [[\"renamed\", \"appvms/new/private.img\"]]}}");
        fs::write(&list, text).unwrap();
        bench.desk.done(&["receive", &from]);
        let made = fs::read(bench.file("appvms/new/private.img")).unwrap();
        assert!(made == fs::read(bench.file("other.img")).unwrap());

        let ended = bench.run(&["send", WORK, "typo"]);
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(
            ended.err.contains("There is no volume typo, neither in"),
            "{ended:?}"
        );
        let ended = bench.run(&["send", "--all"]);
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.err.contains("Volume renamed is not in"), "{ended:?}");
        bench.done(&["send", "--all", "--volex=renamed"]);
        assert_eq!(bench.run(&["send", "typo"]).code, 1);

        // An import beside the file: what of the two is left out is said.
        let text = format!("{{{pool:?}: [[\"other.img\", \"renamed\"]]}}");
        fs::write(&list, text).unwrap();
        let import = format!("--import-other-from=imported:|:{}", list.display());
        let ended = bench.desk.run(&["send", &from, &import, "renamed"]);
        let word = "Volume imported is not sent";
        assert!(ended.code == 0 && ended.err.contains(word), "{ended:?}");
        let ended = bench.desk.run(&["send", &from, &import]);
        let word = "volumes.json lists is not sent";
        assert!(ended.code == 0 && ended.err.contains(word), "{ended:?}");
        assert_eq!(bench.sessions("imported").len(), 1);
        let ended = bench.desk.run(&["send", &from, &import, "--all"]);
        assert!(!ended.err.contains("is not sent"), "{ended:?}");
    });
}

#[test]
fn snapshots_go_with_their_volume_and_when_nothing_needs_them() {
    each(
        "snapshots_go_with_their_volume_and_when_nothing_needs_them",
        |bench| {
            assert_eq!(bench.snapshots().len(), 2);
            bench.done(&["delete", WORK, "--force", "--dry-run"]);
            assert_eq!(bench.snapshots().len(), 2);
            bench.done(&["delete", WORK, "--force"]);
            assert_eq!(bench.snapshots().len(), 1);
            bench.desk.done(&["delete", "other.img", "--force"]);
            assert_eq!(bench.snapshots().len(), 1);
            bench.done(&["delete", "--clean", "--dry-run"]);
            assert_eq!(bench.snapshots().len(), 1);
            let ended = bench.done(&["delete", "--clean"]);
            assert!(
                ended.err.contains("1 snapshot of other.img in"),
                "{ended:?}"
            );
            assert_eq!(bench.snapshots().len(), 0);
        },
    );
}

#[test]
fn differences_to_the_newest_session_are_found_by_the_change_map() {
    each(
        "differences_to_the_newest_session_are_found_by_the_change_map",
        |bench| {
            bench.done(&["diff", WORK]);
            bench.done(&["diff", "--all", "--quick"]);
            bench.write(WORK, 5 * CHUNK + 4096, &noise(8, 4096));
            let ended = bench.run(&["diff", WORK]);
            assert_eq!(ended.code, 3, "{ended:?}");
            let range = format!("{}..{} differ", 5 * CHUNK + 4096, 5 * CHUNK + 8192);
            assert!(ended.err.contains(&range), "{ended:?}");
            let quick = bench.run(&["diff", WORK, "--quick", "--json"]);
            assert_eq!(quick.code, 3, "{quick:?}");
            assert_eq!(figure(&quick, "scanned"), CHUNK as u64, "{quick:?}");
            assert_eq!(figure(&quick, "fetched"), 0);
            assert_eq!(bench.snapshots().len(), 2, "comparing keeps no snapshot");
        },
    );
}

#[test]
fn a_lost_snapshot_costs_time_and_nothing_else() {
    if let Err(why) = sent(FileSystem::Btrfs) {
        skip!("a_lost_snapshot_costs_time_and_nothing_else", "{why}");
    }
    each("a_lost_snapshot_costs_time_and_nothing_else", |bench| {
        for path in bench.snapshots() {
            fs::remove_file(path).unwrap();
        }
        bench.write(WORK, CHUNK, &noise(8, 4096));
        let ended = bench.done(&["send", WORK]);
        assert!(ended.err.contains("comparing everything"), "{ended:?}");
        assert!(bench.fetched(WORK, "newest") == fs::read(bench.file(WORK)).unwrap());
        let again = bench.done(&["send", WORK, "--json"]);
        assert_eq!(figure(&again, "scanned"), 0, "{again:?}");
    });
}

#[test]
fn a_forgotten_archive_keeps_no_snapshots() {
    each("a_forgotten_archive_keeps_no_snapshots", |bench| {
        let before = fs::read(bench.file(WORK)).unwrap();
        assert_eq!(bench.snapshots().len(), 2);
        // Where its volumes were read from is remembered.
        let dry = bench.desk.run(&["delete", "--forget", "--dry-run"]);
        assert_eq!(dry.code, 0, "{dry:?}");
        let told = "would remove the snapshots of other.img in";
        assert!(dry.err.contains(told), "{dry:?}");
        assert_eq!(bench.snapshots().len(), 2);
        bench.desk.done(&["delete", "--forget", "--force"]);
        assert_eq!(bench.snapshots().len(), 0);
        // The archive is as it was, and goes on.
        bench.write(WORK, 0, &noise(9, 100));
        bench.done(&["send", "--all"]);
        let sessions = bench.sessions(WORK);
        assert_eq!(sessions.len(), 2);
        assert!(bench.fetched(WORK, &sessions[0]) == before);
        assert!(bench.fetched(WORK, "newest") == fs::read(bench.file(WORK)).unwrap());
    });
}
