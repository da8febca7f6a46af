//! Keys come and go, and what a key opens comes back with every one of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nacre_tests::desk::{Desk, Ended, end};
use nacre_tests::skip;
use serde_json::Value;

use super::{assert_says, desk_with_session, make_image, receive, send};

/// A passphrase as the output of a command, and nothing remembered from before.
fn by(passphrase: &str) -> [String; 2] {
    [
        format!("--passcmd=echo {passphrase}"),
        "--authmin=-1".to_owned(),
    ]
}

fn run_by(desk: &Desk, passphrase: &str, command: &[&str]) -> Ended {
    let by = by(passphrase);
    desk.run_without_key(&[command, &[by[0].as_str(), &by[1]]].concat())
}

/// What `key list --json` says: kind and name of every key.
fn keys(desk: &Desk) -> Vec<(String, String)> {
    let listed = desk.done(&["key", "list", "--json"]);
    let lines = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    lines
        .filter(|row: &Value| row["kind"].is_string())
        .map(|row| (word(&row, "kind"), word(&row, "name")))
        .collect()
}

/// Adds a recovery code and returns it.
pub fn recovery_code(desk: &Desk) -> String {
    let said = desk.done(&["key", "recovery", "--untested", "--json"]);
    let line = said.lines().find(|line| line.contains("\"code\"")).unwrap();
    let sheet: Value = serde_json::from_str(line).unwrap();
    sheet["code"].as_str().unwrap().to_owned()
}

#[test]
fn passphrases_are_added_changed_and_removed_and_the_last_key_stays() {
    let (desk, _) = desk_with_session();
    desk.done(&["key", "add", "--new-passcmd=echo first words"]);
    assert_eq!(run_by(&desk, "first words", &["list"]).code, 0);
    let short = desk.run(&["key", "add", "--new-passcmd=echo short"]);
    assert_says(&short, 1, &["too short"]);
    let mine = by("first words");
    let change = ["key", "passphrase", "--new-passcmd=echo second words"];
    let ended = desk.run_without_key(&[&change[..], &[&mine[0], &mine[1]]].concat());
    assert_says(&ended, 0, &["copies", "rotate-master"]);
    assert_says(
        &run_by(&desk, "first words", &["list"]),
        1,
        &["does not open"],
    );
    assert_eq!(run_by(&desk, "second words", &["list"]).code, 0);

    let asked = desk.run(&["key", "remove", "1"]);
    assert_says(&asked, 2, &["--force"]);
    desk.done(&["key", "remove", "key file", "--dry-run"]);
    desk.done(&["list"]);
    desk.done(&["key", "remove", "key file", "--force"]);
    assert_says(&desk.run(&["list"]), 1, &["no key file"]);
    let last = run_by(&desk, "second words", &["key", "remove", "1", "--force"]);
    assert_says(&last, 1, &["at least one key"]);
    assert_eq!(run_by(&desk, "second words", &["verify", "vol"]).code, 0);
}

#[test]
fn key_files_are_made_named_and_found_by_number_or_name() {
    let (desk, content) = desk_with_session();
    let second = format!("--new-key-file={}", desk.path("second").display());
    desk.done(&["key", "add", &second, "--label=usb stick"]);
    let expected = [("key file", "key file"), ("key file", "usb stick")];
    assert_eq!(
        keys(&desk),
        expected.map(|(k, n)| (k.to_owned(), n.to_owned()))
    );
    let ended = desk.run(&["key", "remove", "paper", "--force"]);
    assert_says(&ended, 1, &["no key \"paper\"", "key list"]);
    desk.done(&["key", "remove", "1", "--force"]);
    fs::rename(desk.path("second"), desk.path("key")).unwrap();
    assert!(receive(&desk, None) == content);
}

#[test]
fn the_recovery_code_opens_the_archive_wherever_a_key_is_asked_for() {
    let (desk, _) = desk_with_session();
    let sheet = desk.done(&["key", "recovery", "--untested"]);
    for word in ["RECOVERY SHEET", "file:", "--recovery", "\u{2588}"] {
        assert!(sheet.contains(word), "{word} in {sheet}");
    }
    let code = recovery_code(&desk);
    let sloppy = code.to_lowercase().replace('-', " ");
    // Where a passphrase is asked for, too.
    for option in ["--recovery", "--verbose"] {
        assert_eq!(run_by(&desk, &sloppy, &["verify", "vol", option]).code, 0);
    }
    let slip = format!(
        "{}{}",
        &code[..code.len() - 1],
        if code.ends_with('0') { '1' } else { '0' }
    );
    let ended = run_by(&desk, &slip, &["list", "--recovery"]);
    assert_says(&ended, 1, &["has a slip"]);
    let asked = desk.run(&["key", "recovery"]);
    assert_says(&asked, 2, &["--untested"]);
}

#[test]
fn a_recovery_sheet_is_tested_by_typing_it_back() {
    let Some(terminal) = terminal() else {
        skip!(
            "a_recovery_sheet_is_tested_by_typing_it_back",
            "no script(1)"
        );
    };
    let (desk, _) = desk_with_session();
    let sheet = desk.path("sheet");
    // On a terminal of its own: the answer comes when the sheet is printed.
    let run = |answer: &str| {
        let mut nacre = desk.nacre(&["key", "recovery"]);
        let words = std::iter::once(nacre.get_program())
            .chain(nacre.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .filter(|word| word != "'--unattended'")
            .collect::<Vec<_>>()
            .join(" ");
        let answer = answer.replace("SHEET", sheet.to_str().unwrap());
        let script = format!(
            "( {answer} ) | {} -qec \"{words} | tee {}\" /dev/null",
            terminal,
            sheet.display()
        );
        let _ = fs::remove_file(&sheet);
        nacre = Command::new("bash");
        let shell = nacre.args(["-c", &script]).stdin(Stdio::null());
        end(shell)
    };
    let wait = "for n in $(seq 100); do grep -q 'Keep it where' SHEET && break; sleep 0.1; done; sleep 0.3";
    let typed = "grep -A1 -E '^ {4}([0-9A-Z]{4}-){6}' SHEET | tr -d ' \\r\\n'; echo";
    let ended = run(&format!("{wait}; echo; sleep 1"));
    assert!(ended.out.contains("opens nothing"), "{ended:?}");
    assert_eq!(keys(&desk).len(), 1);
    let ended = run(&format!("{wait}; echo nonsense; {typed}; sleep 3"));
    assert!(
        ended.out.contains("opens the archive from now on"),
        "{ended:?}"
    );
    assert_eq!(keys(&desk).len(), 2);
}

/// script(1) of util-linux, which gives a program a terminal.
fn terminal() -> Option<&'static str> {
    ["/usr/bin/script"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
}

#[test]
fn a_new_master_drops_keys_only_when_told_to_and_old_and_new_data_come_back() {
    let (desk, first) = desk_with_session();
    let old_key = fs::read(desk.path("key")).unwrap();
    recovery_code(&desk);
    desk.done(&[
        "key",
        "add",
        "--new-passcmd=echo ten bytes at least",
        "--label=mine",
    ]);
    let rotate = ["key", "rotate-master"];
    let refused = desk.run(&rotate);
    assert_says(
        &refused,
        1,
        &["recovery", "mine", "--force", "--keep-passcmd"],
    );
    assert_eq!(keys(&desk).len(), 3);
    let keep = "--keep-passcmd=echo ten bytes at least";
    desk.done(&["key", "rotate-master", keep, "--force", "--dry-run"]);
    assert_eq!(keys(&desk).len(), 3);
    let done = desk.run(&["key", "rotate-master", keep, "--force"]);
    assert_eq!(done.code, 0, "{done:?}");
    let said = format!("{}{}", done.out, done.err);
    assert!(said.contains("recovery") && said.contains("goes"), "{said}");
    let left: Vec<String> = keys(&desk).into_iter().map(|(_, name)| name).collect();
    assert_eq!(left, ["key file", "mine"]);
    let second = make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    assert!(receive(&desk, Some("one")) == first);
    assert!(receive(&desk, Some("two")) == second);
    assert_eq!(
        run_by(&desk, "ten bytes at least", &["verify", "vol"]).code,
        0
    );
    // The same file wraps the new master now.
    assert_eq!(fs::read(desk.path("key")).unwrap(), old_key);
    desk.done(&["key", "rotate-master", "--force"]);
    assert!(receive(&desk, Some("one")) == first);
    assert!(receive(&desk, Some("two")) == second);
}

#[test]
fn an_archive_without_encryption_has_no_keys() {
    let desk = Desk::new();
    desk.done_without_key(&["arch-init", "--encrypt=off"]);
    let listed = desk.done_without_key(&["key", "list"]);
    assert!(listed.contains("no keys"), "{listed}");
    for action in [
        &["key", "rotate-master"][..],
        &["key", "recovery", "--untested"],
    ] {
        let ended = desk.run_without_key(action);
        assert_says(&ended, 1, &["--encrypt=off"]);
    }
}
