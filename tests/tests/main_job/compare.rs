//! `diff`: where a volume differs from a session.

use std::fs;

use super::{CHUNK, desk_with_session, write_sparse};

#[test]
fn every_difference_is_told_also_where_a_session_has_zeros() {
    let (desk, content) = desk_with_session();
    let import = desk.import("vol", "vol.img");
    for quick in [None, Some("--quick")] {
        let equal: Vec<&str> = ["diff", &import].into_iter().chain(quick).collect();
        assert_eq!(desk.run(&equal).code, 0);
    }
    let mut changed = content.clone();
    changed[5000] ^= 1;
    changed[2 * CHUNK + 4096..2 * CHUNK + 8192].fill(9);
    changed[30 * CHUNK..31 * CHUNK].fill(0);
    changed.truncate(content.len() - 100);
    write_sparse(&desk.path("vol.img"), &changed);
    let end = content.len();
    let whole = desk.run(&["diff", &import]);
    assert_eq!(whole.code, 3, "{whole:?}");
    let told = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(" differ"));
        let ranges = lines.filter_map(|line| line.split("bytes ").nth(1));
        ranges
            .map(|range| range.trim_end_matches('.').to_owned())
            .collect()
    };
    let last = end - end % 4096;
    let ranges = told(&whole.err);
    assert!(
        ranges.contains(&"4096..8192 differ".to_owned()),
        "{whole:?}"
    );
    let second = format!("{}..{} differ", 2 * CHUNK + 4096, 2 * CHUNK + 8192);
    assert!(ranges.contains(&second), "{whole:?}");
    assert!(
        ranges.contains(&format!("{}..{} differ", 30 * CHUNK, 31 * CHUNK)),
        "{whole:?}"
    );
    assert!(whole.err.contains(&format!(
        "{} bytes long here, {end} in the session",
        end - 100
    )));
    // The session has a hole at its end: what is missing there is no difference in content.
    assert!(
        ranges.len() == 3 || ranges[3].starts_with(&last.to_string()),
        "{whole:?}"
    );

    let quick = desk.run(&["diff", &import, "--quick", "--json"]);
    assert_eq!(quick.code, 3, "{quick:?}");
    let fetched = quick.out.lines().chain(quick.err.lines());
    let fetched: Vec<&str> = fetched
        .filter(|line| line.contains("\"summary\""))
        .collect();
    assert!(
        fetched.iter().all(|line| line.contains("\"fetched\":0")),
        "{quick:?}"
    );
    let by_chunks = told(&desk.run(&["diff", &import, "--quick"]).err);
    assert!(
        by_chunks.contains(&format!("0..{CHUNK} differ")),
        "{by_chunks:?}"
    );
    assert!(by_chunks.contains(&format!("{}..{} differ", 30 * CHUNK, 31 * CHUNK)));
}

#[test]
fn what_cannot_be_compared_is_named() {
    let (desk, _) = desk_with_session();
    let import = desk.import("vol", "vol.img");
    let ended = desk.run(&["diff", "other", &import]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("The archive has no volume other"),
        "{ended:?}"
    );
    fs::remove_file(desk.path("vol.img")).unwrap();
    let ended = desk.run(&["diff", &import]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("not found"), "{ended:?}");
}

#[test]
fn local_storage_that_is_none_is_refused_and_nothing_is_sent() {
    let (desk, _) = desk_with_session();
    let sessions = desk.done(&["list", "vol"]);
    let missing = format!("--local={}", desk.path("nowhere").display());
    for arguments in [
        ["send", "vol"],
        ["receive", "vol"],
        ["diff", "vol"],
        ["monitor", "vol"],
    ] {
        let all = [arguments[0], arguments[1], &missing];
        let ended = desk.run(&all);
        assert_eq!(ended.code, 1, "{arguments:?}: {ended:?}");
        assert!(ended.err.contains("nowhere"), "{arguments:?}: {ended:?}");
    }
    let file = format!("--vols-from={}", desk.path("vols.json").display());
    fs::write(desk.path("vols.json"), "{\"/nowhere\": [[\"vol\"]]}").unwrap();
    let ended = desk.run(&["send", &file]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.err.contains("vols.json") && ended.err.contains("ALIAS"),
        "{ended:?}"
    );
    assert_eq!(desk.done(&["list", "vol"]), sessions);
}
