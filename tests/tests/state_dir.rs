//! What every `StateDir` promises, kept by the real one and by the double; and what the double's power cuts leave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a test fails by panicking"
)]

use nacre::joints::{StateDir, StateErrorKind};
use nacre::state::Directory;
use nacre_tests::{LastWrite, MemoryState};

fn keeps_its_promises(state: &dyn StateDir) {
    assert_eq!(state.read("anchor", 10).unwrap(), None);
    state.replace("anchor", b"one").unwrap();
    state.replace("anchor", b"three").unwrap();
    state.replace("head", b"").unwrap();
    assert_eq!(state.read("anchor", 5).unwrap().unwrap(), b"three");
    let too_large = state.read("anchor", 4).unwrap_err();
    assert_eq!(too_large.kind, StateErrorKind::TooLarge);
    assert_eq!(state.list().unwrap(), ["anchor", "head"]);
    for name in ["", "lock", "a/b", "..", "Anchor", ".x"] {
        let kind = state.replace(name, b"").unwrap_err().kind;
        assert_eq!(kind, StateErrorKind::BadName, "{name}");
    }
    let lock = state.lock("send").unwrap();
    let busy = state.lock("prune").err().unwrap();
    assert_eq!(busy.kind, StateErrorKind::Busy);
    assert!(busy.to_string().contains("send"), "{busy}");
    drop(lock);
    drop(state.lock("prune").unwrap());
    state.remove("anchor").unwrap();
    state.remove("anchor").unwrap();
    assert_eq!(state.list().unwrap(), ["head"]);
}

#[test]
fn a_real_directory_keeps_the_promises_of_a_state_dir() {
    let dir = tempfile::tempdir().unwrap();
    keeps_its_promises(&Directory::create(&dir.path().join("state")).unwrap());
}

#[test]
fn the_double_keeps_the_promises_of_a_state_dir() {
    keeps_its_promises(&MemoryState::new());
}

#[test]
fn a_power_cut_leaves_the_old_content_or_the_new_and_never_less_than_was_acknowledged() {
    let mut outcomes = Vec::new();
    for cut in 0..=4 {
        for last in [LastWrite::Lost, LastWrite::Kept] {
            let state = MemoryState::new();
            state.cut_after(cut);
            let acknowledged = [b"one", b"two"]
                .iter()
                .take_while(|content| state.replace("anchor", **content).is_ok())
                .count();
            let found = state.reopened(last).read("anchor", 9).unwrap();
            let found = match found.as_deref() {
                None => 0,
                Some(b"one") => 1,
                Some(b"two") => 2,
                Some(other) => panic!("a mixture: {other:?}"),
            };
            assert!(found >= acknowledged, "{found} < {acknowledged} at {cut}");
            outcomes.push((acknowledged, found));
        }
    }
    // Both outcomes of an open write were seen.
    assert!(outcomes.contains(&(0, 1)) && outcomes.contains(&(1, 1)));
    assert!(outcomes.contains(&(1, 2)) && outcomes.contains(&(2, 2)));
}
