//! Qubes' names in the commands on archives.

use nacre_tests::mounts::FileSystem;
use nacre_tests::qubesd::Release;
use nacre_tests::skip;

use crate::{machine, write};

fn words(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect()
}

/// Names of the sessions in a listing, which are its first words.
fn sessions(text: &str) -> Vec<String> {
    let firsts = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next());
    firsts.map(str::to_owned).collect()
}

#[test]
fn qubes_and_their_sessions_are_listed_and_read_back_by_name() {
    let test = "qubes_and_their_sessions_are_listed_and_read_back_by_name";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    assert!(
        machine
            .done(&["list", "--qubes"])
            .out
            .contains("no volumes of qubes yet")
    );
    machine.done(&["backup", "mail", "win"]);
    machine.done(&["backup", "mail", "--tag=daily"]);
    let listed = words(&machine.done(&["list", "--qubes"]).out);
    let rows: Vec<&str> = listed
        .iter()
        .filter_map(|line| line.split(" 202").next())
        .collect();
    assert_eq!(
        rows,
        [
            "QUBE VOLUMES SIZE SESSIONS NEWEST AGE",
            "mail private 3.0 MiB 2",
            "win private root 6.0 MiB 1"
        ]
    );
    let json = machine.done(&["list", "--qubes", "--json"]).out;
    let row: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(row["qube"], "mail");
    assert!(row["age"].as_i64().unwrap() < 3600, "{row}");
    let mail = machine.done(&["list", "mail", "--tag"]).out;
    let of_mail = words(&mail);
    assert_eq!(of_mail.len(), 3);
    assert!(
        of_mail[2].contains("private 3.0 MiB 0 B daily"),
        "{of_mail:?}"
    );
    let one = machine
        .done(&["list", "win", &format!("--session={}", sessions(&mail)[0])])
        .out;
    assert!(
        one.contains("appvms/win/root.img") && !one.contains("mail"),
        "{one}"
    );
    // A qube is its volumes and the settings.
    let verified = machine.done(&["verify", "win"]);
    for volume in [
        "appvms/win/private.img",
        "appvms/win/root.img",
        "qubes:settings",
    ] {
        assert!(verified.out.contains(volume), "{verified:?}");
    }
    assert!(!verified.out.contains("mail"));
    assert_eq!(machine.run(&["verify", "nosuch"]).code, 1);
    // A volume of that very name comes first.
    let image = machine.image("appvms/win/root.img");
    machine.done(&[
        "send",
        &format!("--import-other-from=win:|:{}", image.display()),
    ]);
    let verified = machine.done(&["verify", "win"]);
    assert!(!verified.out.contains("appvms/win"), "{verified:?}");
}

#[test]
fn settings_stay_as_long_as_a_volume_of_their_session_and_go_with_the_last() {
    let test = "settings_stay_as_long_as_a_volume_of_their_session_and_go_with_the_last";
    let machine = match machine(Release::R43, FileSystem::Xfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    for round in 0..3 {
        write(&machine, "appvms/win/root.img", round, b"changed");
        machine.done(&["backup", "mail", "win"]);
    }
    let all = sessions(&machine.done(&["list", "mail"]).out);
    assert_eq!(all.len(), 3);
    let first = format!("--session={}", all[0]);
    let of_settings = || sessions(&machine.done(&["list", "qubes:settings"]).out);
    // One qube goes; the settings are still those of the other, whoever asks for them to go.
    machine.done(&["prune", "mail", &first]);
    assert_eq!(of_settings(), all);
    let ended = machine.done(&["prune", "qubes:settings", &first]);
    assert!(
        ended.out.contains("volumes of its session stay"),
        "{ended:?}"
    );
    assert_eq!(of_settings(), all);
    assert_eq!(sessions(&machine.done(&["list", "mail"]).out), all[1..]);
    // The last volumes of the session go, and the settings with them.
    let ended = machine.done(&["prune", "win", &first]);
    assert!(
        ended.out.contains("no volume of its session is left"),
        "{ended:?}"
    );
    assert_eq!(of_settings(), all[1..]);
    // All of one qube, then all of the other: only the newest settings stay.
    machine.done(&["delete", "win", "--force"]);
    assert_eq!(of_settings(), all[1..]);
    machine.done(&["delete", "mail", "--force"]);
    assert_eq!(of_settings(), all[2..]);
    assert!(
        machine
            .done(&["list", "--qubes"])
            .out
            .contains("no volumes of qubes yet")
    );
    machine.done(&["arch-check"]);
}

#[test]
fn status_shows_qubes_that_were_never_backed_up_first() {
    let test = "status_shows_qubes_that_were_never_backed_up_first";
    let machine = match machine(Release::R42, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    machine.done(&["backup", "mail"]);
    let status = machine.done(&["status", "--json"]).out;
    let rows = status
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let qubes: Vec<(String, bool)> = rows
        .filter(|row| row["kind"] == "qube")
        .map(|row| {
            (
                row["qube"].as_str().unwrap().to_owned(),
                row["age"].is_i64(),
            )
        })
        .collect();
    let never = ["debian-13", "default-dvm", "win"].map(|qube| (qube.to_owned(), false));
    // Not `scratch`, which is not marked.
    assert_eq!(qubes, [&never[..], &[("mail".to_owned(), true)]].concat());
    let text = words(&machine.done(&["status"]).out);
    let head = text.iter().position(|line| line == "QUBE AGE AT").unwrap();
    assert_eq!(text[head + 1], "debian-13 never -");
    assert!(text[head + 4].starts_with("mail "), "{text:?}");
}
