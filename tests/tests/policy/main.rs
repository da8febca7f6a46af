//! The qrexec policy that is installed in dom0: well-formed, and nobody but dom0 and a named admin qube gets through.
//!
//! One line that qrexec's parser refuses makes it refuse every call of the whole system, so what is accepted here is stricter
//! than the grammar, which is that of qrexec's policy format 5.0 (Qubes R4.1 and later).

#![allow(clippy::expect_used)] // Failing loudly is what these are for.

mod grammar;

use std::path::Path;

use grammar::{Action, Call, Rule, decide, parse};

const NAME: &str = "80-nacre.policy";

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy")
}

fn shipped() -> Vec<Rule> {
    let text = std::fs::read_to_string(folder().join(NAME)).expect("the policy is there");
    parse(&text).expect("the policy is well-formed")
}

fn call<'a>(service: &'a str, argument: &'a str, source: &'a str, target: &'a str) -> Call<'a> {
    Call {
        service,
        argument,
        source,
        target,
    }
}

#[test]
fn every_file_has_a_name_that_qrexec_reads() {
    let files = std::fs::read_dir(folder()).expect("a folder").flatten();
    let names: Vec<String> = files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains(&NAME.to_owned()), "{names:?}");
    for name in names {
        assert!(grammar::is_file_name(&name), "{name}");
    }
}

#[test]
fn the_policy_is_ascii_and_each_of_its_lines_is_explained() {
    let text = std::fs::read_to_string(folder().join(NAME)).expect("the policy is there");
    assert!(text.is_ascii() && text.ends_with('\n') && !text.contains(['\t', '\r']));
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        if !pair[1].is_empty() && !pair[1].starts_with('#') {
            assert!(pair[0].starts_with("## "), "no comment above: {}", pair[1]);
        }
    }
}

#[test]
fn no_qube_gets_through_whatever_it_asks() {
    let rules = shipped();
    let qubes = ["work", "backupvm", "sys-usb", "sys-admin", "disp1234"];
    let arguments = ["+", "+v1", "+2f686f6d65"];
    for source in qubes {
        for argument in arguments {
            for target in ["backupvm", "work", "disp1234", "@adminvm"] {
                let decided = decide(&rules, &call("nacre.Store", argument, source, target));
                assert_eq!(
                    decided,
                    Some(Action::Deny),
                    "{source} -> {target} {argument}"
                );
            }
            // Without a target and for a new disposable no line fits: then qrexec denies too, unless somebody's later file allows it.
            for target in ["@default", "@dispvm"] {
                let decided = decide(&rules, &call("nacre.Store", argument, source, target));
                assert_ne!(
                    decided,
                    Some(Action::Allow),
                    "{source} -> {target} {argument}"
                );
            }
        }
    }
}

#[test]
fn other_services_are_none_of_its_business() {
    let rules = shipped();
    for service in [
        "qubes.Filecopy",
        "nacre.Stor",
        "nacre.Store2",
        "admin.vm.List",
    ] {
        assert_eq!(decide(&rules, &call(service, "+", "work", "vault")), None);
    }
}

#[test]
fn a_named_admin_qube_is_let_through_by_the_line_that_the_policy_shows() {
    let text = std::fs::read_to_string(folder().join(NAME)).expect("the policy is there");
    let shown = text.lines().find_map(|line| line.strip_prefix("##   "));
    let mut rules = parse(shown.expect("an example")).expect("the example is well-formed");
    // 30-user.policy is read first, and the first line that fits decides.
    rules.extend(shipped());
    let admin = |source, target| decide(&rules, &call("nacre.Store", "+", source, target));
    assert_eq!(admin("sys-admin", "backupvm"), Some(Action::Allow));
    assert_eq!(admin("sys-admin", "vault"), Some(Action::Deny));
    assert_eq!(admin("work", "backupvm"), Some(Action::Deny));
}

#[test]
fn what_would_break_every_call_of_the_system_is_noticed() {
    for bad in [
        "nacre.Store * @anyvm @anyvm",
        "nacre.* * @anyvm @anyvm deny",
        "nacre.Store +ok* @anyvm @anyvm deny",
        "nacre.Store v1 @anyvm @anyvm deny",
        "nacre.Store * @anyvm @anyvm refuse",
        "nacre.Store * @anyvm @anyvm deny notify=maybe",
        "nacre.Store * @anyvm @anyvm deny target=work",
        "nacre.Store * @anyvm @anyvm allow default_target=work",
        "nacre.Store * @anyvm @anyvm deny # why",
        "nacre.Store * @everyvm @anyvm deny",
        "nacre.Store * @default @anyvm deny",
        "nacre.Store * @anyvm @type:Qube deny",
        "!include",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
