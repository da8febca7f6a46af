//! A hostile helper through the real command line: each attack during each command, at its first, a middle, its last or any request.
//!
//! Whatever is done to a command: it never takes wrong data for right, never says that something was done that was not, ends soon with a clear error
//! and the exit code for it; and afterwards, with an honest helper, everything acknowledged is there and the command can be given again.
//!
//! The seed is printed; `NACRE_SEED` takes another one. Ordinarily two of three pairs of command and attack are tried, each once. `NACRE_ROUNDS=n` tries all,
//! each on n requests: 4 are the first, one in the middle, the last and any; more are more of any. `NACRE_HOSTILE=COMMAND/ATTACK` tries these alone (parts of the names will do).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is how a surprise is reported"
)]

mod attacks;
mod cases;
mod dom0;
mod judge;
mod qube_verbs;
mod retried;
mod scene;
mod table;
mod verbs;

use std::sync::Mutex;

use nacre_tests::lab_image::Random;
use nacre_tests::skip;

use cases::{Case, all_cases};
use qube_verbs::QUBE_VERBS;
use scene::Scene;
use table::Table;
use verbs::{VERBS, Verb};

/// Commands that are attacked side by side. Many of them wait for a deadline.
const LANES: u64 = 6;

fn number(variable: &str, usual: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn no_attack_during_any_command_goes_unnoticed_or_does_harm() {
    let scene = |lane| Ok(Scene::new(lane));
    attack("attacks", VERBS, &scene).unwrap();
}

/// What a command makes of dom0 itself is judged, too: qubes that were there are as they were unless the command was to overwrite them and says that it has;
/// none has content that is not its own; one that is half made is marked, and cannot be started.
#[test]
fn no_attack_during_a_command_about_qubes_harms_dom0() {
    let test = "no_attack_during_a_command_about_qubes_harms_dom0";
    if let Err(why) = attack("qubes", QUBE_VERBS, &Scene::with_qubes) {
        skip!(test, "{why}");
    }
}

/// Tries them all, or says why there can be no scene.
fn attack(
    name: &str,
    verbs: &'static [Verb],
    scene: &(dyn Fn(u64) -> Result<Scene, String> + Sync),
) -> Result<(), String> {
    let seed = number("NACRE_SEED", 1);
    println!("NACRE_SEED={seed}");
    let mut random = Random::new(seed, name);
    let first = scene(0)?;
    let rounds = number("NACRE_ROUNDS", 1);
    let mut cases = all_cases(&first, verbs, rounds, &mut random);
    cases.reverse();
    let left = Mutex::new(cases);
    let table = Mutex::new(Table::default());
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (left, table) = (&left, &table);
            scope.spawn(move || {
                let scene = scene(1 + lane).unwrap();
                while let Some(case) = take(left) {
                    let met = judge::meet(&scene, &case);
                    table.lock().unwrap().add(&case, met);
                }
            });
        }
    });
    let table = table.into_inner().unwrap();
    println!("{table}");
    assert!(table.wrong.is_empty(), "{}", table.wrong.join("\n"));
    Ok(())
}

fn take(left: &Mutex<Vec<Case>>) -> Option<Case> {
    left.lock().unwrap().pop()
}
