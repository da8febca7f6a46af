//! Volumes have names; they can be listed, renamed and removed.

use serde_json::Value;

use super::{assert_says, desk_with_archive, desk_with_session, make_image, send};

/// Session names in the output of `list VOLUME --json`, wherever they stand in it.
pub fn session_names(json: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in json.lines().filter(|line| !line.trim().is_empty()) {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        collect(&value, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if is_session_name(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn is_session_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit_or_hyphen = |(i, b): (usize, &u8)| {
        if i == 8 {
            *b == b'-'
        } else {
            b.is_ascii_digit()
        }
    };
    bytes.len() == 15 && bytes.iter().enumerate().all(digit_or_hyphen)
}

#[test]
fn list_names_volumes_sessions_and_tags() {
    let (desk, _) = desk_with_session();
    assert!(desk.done(&["list"]).contains("vol"));
    assert_eq!(
        session_names(&desk.done(&["list", "vol", "--json"])).len(),
        1
    );
    make_image(&desk, "vol.img", 2);
    send(&desk, "two");
    let names = session_names(&desk.done(&["list", "vol", "--json"]));
    assert_eq!(names.len(), 2);
    assert!(names[0] < names[1]);
}

#[test]
fn a_renamed_volume_keeps_its_sessions() {
    let (desk, content) = desk_with_session();
    desk.done(&["rename", "vol", "new"]);
    let to = format!("--save-to={}", desk.path("out.img").display());
    desk.done(&["receive", "new", &to]);
    assert!(std::fs::read(desk.path("out.img")).unwrap() == content);
    assert_says(&desk.run(&["verify", "vol"]), 1, &["vol"]);
}

#[test]
fn a_deleted_volume_is_gone_and_needs_force() {
    let (desk, _) = desk_with_session();
    assert_says(&desk.run(&["delete", "vol"]), 2, &["--force"]);
    desk.done(&["verify", "vol"]);
    desk.done(&["delete", "vol", "--force"]);
    assert_says(&desk.run(&["verify", "vol"]), 1, &["vol"]);
}

#[test]
fn an_added_volume_is_listed_before_it_has_data() {
    let desk = desk_with_archive();
    desk.done(&["add", "later"]);
    assert!(desk.done(&["list"]).contains("later"));
}

#[test]
fn a_volume_can_be_named_by_its_number() {
    let (desk, _) = desk_with_session();
    desk.done(&["add", "second"]);
    let listed = desk.done(&["list", "--json"]);
    let rows = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut rows = rows.filter(|row: &Value| row["volume"] == "vol");
    let number = rows.next().unwrap()["number"].as_u64().unwrap();
    let option = format!("--vid={number}");
    assert!(desk.done(&["list", "-v"]).contains("NUMBER"));
    assert_says(
        &desk.run(&["delete", "--vid=77", "--force"]),
        1,
        &["number 77"],
    );
    desk.done(&["delete", &option, "--force"]);
    let left = desk.done(&["list"]);
    assert!(left.contains("second") && !left.contains("vol "), "{left}");
}
