//! What people read before and after: golden files of the plans, the lists and the status. `SNAPSHOTS=overwrite` writes them anew.

use std::path::Path;

use nacre_tests::mounts::FileSystem;
use nacre_tests::qubes_machine::Machine;
use nacre_tests::qubesd::Release;
use nacre_tests::skip;
use snapbox::assert::DEFAULT_ACTION_ENV;
use snapbox::{Assert, Data};

use crate::machine;

/// A text in which nothing depends on when and where it was said: session names and ages are always the same, folders have names, and columns
/// stand two blanks apart.
fn settled(machine: &Machine, text: &str) -> String {
    let mut out = String::new();
    let pool = machine.pool().display().to_string();
    let desk = machine.desk.path("").display().to_string();
    let text = text.replace(&pool, "POOL").replace(&desk, "DESK/");
    // How fast it was is not what people read it for.
    for line in text.lines().filter(|line| !line.contains(": done: ")) {
        let line = match (line.split_once(" looked at in "), line.split_once("), ")) {
            (Some((looked, _)), Some((_, rest))) => format!("{looked} looked at in 1 s, {rest}"),
            _ => line.to_owned(),
        };
        let columns = line.split("  ").filter(|column| !column.trim().is_empty());
        let columns: Vec<String> = columns.map(|column| column_of(column.trim())).collect();
        let indent = if line.starts_with("  ") { "  " } else { "" };
        out.push_str(indent);
        out.push_str(&columns.join("  "));
        out.push('\n');
    }
    out
}

fn column_of(column: &str) -> String {
    let is_name = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        word.len() == 15 && digits == 14 && word.as_bytes()[8] == b'-'
    };
    let words: Vec<&str> = column.split(' ').collect();
    let mut settled: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_time = |unit: &&str| matches!(unit.trim_end_matches(','), "s" | "min");
        let is_number = |word: &str| word.parse::<u64>().is_ok();
        let name = word.trim_end_matches([',', ')', ';']);
        if is_name(name) {
            settled.push(word.replace(name, "20261121-083000"));
        } else if is_number(word) && words.get(at + 1).is_some_and(is_time) {
            settled.push("1".to_owned());
        } else if *word == "min" && at.checked_sub(1).is_some_and(|at| is_number(words[at])) {
            settled.push("s".to_owned());
        } else {
            settled.push((*word).to_owned());
        }
    }
    settled.join(" ")
}

fn check(machine: &Machine, name: &str, arguments: &[&str]) {
    let ended = machine.run(arguments);
    let text = format!(
        "$ nacre {}\nexit {}\n--- stdout\n{}--- stderr\n{}",
        arguments.join(" "),
        ended.code,
        settled(machine, &ended.out),
        settled(machine, &ended.err),
    );
    let file = format!("tests/qubes_backup/golden/{name}.txt");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    Assert::new()
        .action_env(DEFAULT_ACTION_ENV)
        .eq(text, Data::read_from(&path, None).raw());
}

#[test]
fn plans_lists_and_status_are_as_people_know_them() {
    let test = "plans_lists_and_status_are_as_people_know_them";
    let machine = match machine(Release::R43, FileSystem::Btrfs) {
        Ok(machine) => machine,
        Err(why) => skip!(test, "{why}"),
    };
    let mut world = machine.qubesd.world();
    // One that is in a pool of which there are no snapshots.
    let odd = world.add("odd", "AppVM", Some("debian-13"), "red");
    odd.volumes.get_mut("private").unwrap().pool = "linux-kernel".to_owned();
    drop(world);
    check(&machine, "backup_plan", &["backup", "-i", "--dry-run"]);
    check(
        &machine,
        "backup_live_plan",
        &["backup", "mail", "win", "--live", "--dry-run"],
    );
    assert_eq!(machine.run(&["backup", "-i"]).code, 3);
    check(&machine, "list_qubes", &["list", "--qubes"]);
    check(&machine, "list_qube", &["list", "win"]);
    check(&machine, "status", &["status"]);
    check(
        &machine,
        "restore_plan",
        &["restore", "mail", "win", "scratch", "nosuch", "--dry-run"],
    );
    check(
        &machine,
        "restore_steps",
        &["restore", "win", "--as=win-old", "--dry-run", "--verbose"],
    );
    let mut world = machine.qubesd.world();
    world.qubes.remove("mail");
    world.qubes.remove("default-dvm");
    drop(world);
    check(
        &machine,
        "restore_all_plan",
        &["restore", "--all", "--dry-run"],
    );
    check(
        &machine,
        "restore_paranoid_plan",
        &["restore", "mail", "--paranoid", "--dry-run"],
    );
}
