//! The emergency exit reads patches too, and patches over patches.

use std::fs;

use nacre_tests::emergency::{python, restorer};
use nacre_tests::mounts::FileSystem;
use nacre_tests::skip;

use super::{Bench, CHUNK, figure, noise};

#[test]
fn patches_are_restored_without_nacre() {
    const NAME: &str = "patches_are_restored_without_nacre";
    let Some(python) = python() else {
        skip!(NAME, "no Python with pynacl, zstandard and blake3");
    };
    let bench = match Bench::new(FileSystem::Btrfs) {
        Ok(bench) => bench,
        Err(why) => skip!(NAME, "{why}"),
    };
    let mut kept = Vec::new();
    bench.write("vol.img", 0, &noise(1, 10 * CHUNK + 100));
    for round in 0..4 {
        let ended = bench.done(&["send", "vol.img", "--json"]);
        if round > 0 {
            assert!(figure(&ended, "sent") < 30_000, "patches: {ended:?}");
        }
        kept.push(fs::read(bench.file("vol.img")).unwrap());
        bench.write(
            "vol.img",
            3 * CHUNK + round * 8192,
            &noise(round as u64, 10),
        );
        bench.write("vol.img", 10 * CHUNK + round, &noise(round as u64, 1));
    }
    let goal = bench.desk.path("emergency.img");
    for (session, content) in bench.sessions("vol.img").iter().zip(kept) {
        let session = format!("--session={session}");
        let arguments = ["restore", "vol.img", goal.to_str().unwrap(), &session];
        let output = restorer(&bench.desk, &python, &arguments).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        assert!(fs::read(&goal).unwrap() == content, "{session}");
    }
}
