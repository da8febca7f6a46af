//! What the store lost is healed from local storage: from the volumes as they are, and from the snapshots kept of them.

use std::fs;
use std::path::PathBuf;

use nacre_tests::mounts::FileSystem;

use super::{Bench, CHUNK, files, noise};

/// The largest object of the store: a data pack.
fn data_pack(bench: &Bench) -> PathBuf {
    let mut found = Vec::new();
    files(&bench.desk.path("store/archive/pack"), &mut found);
    let by_size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    found.into_iter().max_by_key(by_size).unwrap()
}

fn each(name: &str, test: impl Fn(&Bench)) {
    for kind in [FileSystem::Btrfs, FileSystem::Xfs] {
        match Bench::new(kind) {
            Ok(bench) => test(&bench),
            Err(why) => nacre_tests::skip(name, &format!("{kind:?}: {why}")),
        }
    }
}

#[test]
fn a_lost_pack_is_healed_from_a_volume_and_its_snapshot() {
    const NAME: &str = "a_lost_pack_is_healed_from_a_volume_and_its_snapshot";
    each(NAME, |bench| {
        bench.write("vol.img", 0, &noise(1, 9 * CHUNK + 100));
        bench.write("whole.img", 0, &noise(2, CHUNK));
        bench.done(&["send", "vol.img"]);
        bench.done(&["send", "whole.img"]);
        let sent = fs::read(bench.file("vol.img")).unwrap();
        // Since then two chunks have changed, and the volume became smaller than the last of them.
        bench.write("vol.img", 3 * CHUNK, &noise(3, CHUNK));
        let file = fs::File::options()
            .write(true)
            .open(bench.file("vol.img"))
            .unwrap();
        file.set_len(8 * CHUNK as u64).unwrap();
        let now = fs::read(bench.file("vol.img")).unwrap();
        fs::remove_file(data_pack(bench)).unwrap();
        assert_eq!(bench.desk.run(&["arch-check"]).code, 4);

        // A dry run says the same and leaves everything as it is, also in local storage.
        let before = bench.snapshots();
        let dry = bench.run(&["arch-check", "--repair", "--dry-run"]);
        assert!(
            dry.err.contains("10 chunks would be healed") && !dry.err.contains("marked"),
            "{dry:?}"
        );
        assert_eq!(bench.snapshots(), before);

        let repaired = bench.done(&["arch-check", "--repair", "--json"]);
        assert!(
            repaired.out.contains(r#""chunks_healed":10"#)
                && repaired.out.contains(r#""chunks_marked":0"#),
            "{repaired:?}"
        );
        assert_eq!(bench.snapshots(), before);
        bench.desk.done(&["arch-check", "--data"]);
        assert!(bench.fetched("vol.img", "newest") == sent);
        bench.done(&["send", "vol.img"]);
        assert!(bench.fetched("vol.img", "newest") == now);
    });
}

#[test]
fn what_has_changed_everywhere_is_marked_and_the_rest_healed() {
    const NAME: &str = "what_has_changed_everywhere_is_marked_and_the_rest_healed";
    each(NAME, |bench| {
        bench.write("vol.img", 0, &noise(1, 5 * CHUNK));
        bench.done(&["send", "vol.img"]);
        let sent = fs::read(bench.file("vol.img")).unwrap();
        bench.write("vol.img", 2 * CHUNK, &noise(3, CHUNK));
        bench.done(&["delete", "--clean", "--all", "--force"]);
        fs::remove_file(data_pack(bench)).unwrap();
        let repaired = bench.run(&["arch-check", "--repair", "--json"]);
        assert_eq!(repaired.code, 4, "{repaired:?}");
        assert!(
            repaired.out.contains(r#""chunks_healed":4"#)
                && repaired.out.contains(r#""chunks_marked":1"#),
            "{repaired:?}"
        );
        let goal = bench.desk.path("goal.img");
        let to = format!("--save-to={}", goal.display());
        let ended = bench
            .desk
            .run(&["receive", "vol.img", &to, "--skip-corrupt-chunks"]);
        assert_eq!(ended.code, 4, "{ended:?}");
        let back = fs::read(goal).unwrap();
        for (at, (a, b)) in back.chunks(CHUNK).zip(sent.chunks(CHUNK)).enumerate() {
            assert_eq!(a == b, at != 2, "chunk {at}");
        }
    });
}
