//! Parts of a qube: what an earlier restore left unfinished is not called whole by one of less.

use nacre::joints::qubes::QubeRegistry;
use nacre_tests::qubesd::{Release, World};

use super::machine::Machine;
use super::past::Past;

const REFUSAL: &str =
    "an earlier restore left it unfinished; finish that one first: nacre restore vault";

fn with_template() -> World {
    let mut world = World::new(Release::R43);
    world.add("debian-13", "TemplateVM", None, "black");
    world
}

/// The restore of `vault`, which ends there.
fn cut_at(past: &Past, machine: &Machine, call: &str, more: &[&str]) {
    machine.qubesd.world().refused.insert(call.to_owned());
    let arguments = [&["restore", "vault"], more].concat();
    let ended = machine.run(&past.desk, &arguments);
    assert_eq!(ended.code, 1, "{ended:?}");
    machine.qubesd.world().refused.clear();
}

#[test]
fn a_qube_that_is_not_whole_is_not_called_whole_after_a_part_of_it() {
    let past = Past::new(Release::R43);
    // Marked; made and not yet marked.
    for cut in ["internal.vm.volume.ImportEnd", "admin.vm.tag.Set"] {
        let machine = Machine::new(with_template());
        cut_at(&past, &machine, cut, &[]);
        for part in ["--data-only", "--settings-only"] {
            let ended = machine.run(&past.desk, &["restore", "vault", part, "--force"]);
            assert_eq!(ended.code, 1, "{cut}: {ended:?}");
            assert!(ended.err.contains(REFUSAL), "{cut}: {}", ended.err);
            if cut != "admin.vm.tag.Set" {
                assert!(machine.api().start("vault").is_err(), "{cut}");
            }
        }
        let ended = machine.run(&past.desk, &["restore", "vault"]);
        assert_eq!(ended.code, 0, "{cut}: {ended:?}");
        assert!(machine.content("vault", "private") == past.content("vault", "private"));
        // It is whole: each part can be had again.
        let ended = machine.run(&past.desk, &["restore", "vault", "--data-only", "--force"]);
        assert_eq!(ended.code, 0, "{cut}: {ended:?}");
    }
}

#[test]
fn a_part_that_was_cut_short_is_gone_on_with_by_the_same_part_or_the_whole() {
    let past = Past::new(Release::R43);
    let mut world = with_template();
    world.add("vault", "AppVM", Some("debian-13"), "red");
    let machine = Machine::new(world);
    let cut = "internal.vm.volume.ImportEnd";
    cut_at(&past, &machine, cut, &["--data-only", "--force"]);
    let other = machine.run(&past.desk, &["restore", "vault", "--settings-only"]);
    assert_eq!(other.code, 1, "{other:?}");
    let first = format!("{REFUSAL} --data-only");
    assert!(other.err.contains(&first), "{}", other.err);
    let again = machine.run(&past.desk, &["restore", "vault", "--data-only"]);
    assert_eq!(again.code, 0, "{again:?}");
    machine.api().start("vault").unwrap();
    machine.api().shutdown("vault").unwrap();
    cut_at(&past, &machine, cut, &["--data-only", "--force"]);
    let whole = machine.run(&past.desk, &["restore", "vault"]);
    assert_eq!(whole.code, 0, "{whole:?}");
}

#[test]
fn a_qube_that_got_the_first_of_its_two_marks_is_gone_on_with() {
    let past = Past::new(Release::R43);
    let machine = Machine::new(with_template());
    let call = "admin.vm.tag.Set+nacre-restore vault".to_owned();
    let why = ("QubesException", "not today".to_owned());
    machine.qubesd.world().failing.insert(call, why);
    let ended = machine.run(&past.desk, &["restore", "vault"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    machine.qubesd.world().failing.clear();
    let again = machine.run(&past.desk, &["restore", "vault"]);
    assert_eq!(again.code, 0, "{again:?}");
}
