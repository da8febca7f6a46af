//! One case: the command under attack, and then with an honest helper again.

use std::time::Duration;

use nacre::joints::sanitise::is_harmless;
use nacre_tests::desk::Ended;

use crate::attacks::After;
use crate::cases::Case;
use crate::scene::Scene;

/// MiB that no command may take, whatever it is told.
const MOST_MEMORY: u64 = 256;

/// How it went.
pub struct Met {
    /// What was struck; `None`: it never came to that.
    pub struck: Option<String>,
    pub ended: Ended,
    pub took: Duration,
    /// The most memory that was seen, in MiB.
    pub memory: u64,
    /// What should not have been.
    pub wrong: Option<String>,
}

/// Tries it.
pub fn meet(scene: &Scene, case: &Case) -> Met {
    scene.reset();
    (case.verb.prepare)(scene);
    let before = scene.objects();
    scene.arm(&case.strike());
    let arguments = (case.verb.arguments)(scene);
    let run = scene.run(&arguments, case.attack.waits);
    let struck = scene.struck();
    scene.disarm();
    let wrong = check(run.memory < MOST_MEMORY, "it takes too much memory")
        .and_then(|()| told(case, &run.ended, struck.as_deref()))
        .and_then(|()| {
            let unchanged = case.verb.changes || scene.objects() == before;
            check(unchanged, "a command that only reads has changed the store")
        })
        .and_then(|()| unharmed(scene, case, &run.ended))
        .and_then(|()| afterwards(scene, case, &run.ended));
    let wrong = wrong
        .err()
        .map(|why| format!("{case} ({struck:?}): {why}; it ended with {:?}", run.ended));
    Met {
        struck,
        ended: run.ended,
        took: run.took,
        memory: run.memory,
        wrong,
    }
}

fn check(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

/// What the command said, and its exit code.
fn told(case: &Case, ended: &Ended, struck: Option<&str>) -> Result<(), String> {
    let text = format!("{}{}", ended.out, ended.err);
    let harmful = text.chars().find(|one| *one != '\n' && !is_harmless(*one));
    check(
        harmful.is_none(),
        &format!("{harmful:?} reached the terminal"),
    )?;
    check(!text.contains("panicked"), "it panicked")?;
    check(!text.contains("this is a bug"), "it speaks of a bug")?;
    if ended.code == 0 {
        let may = case.attack.may_pass || struck.is_none();
        return check(may, "it went on as if nothing had been");
    }
    let Some(struck) = struck else {
        return Err("it failed without an attack".to_owned());
    };
    // The wrapped key in an altered header looks like that of another archive.
    let no_key = struck.contains(" header/") && ended.err.contains("does not open this archive");
    // What was under way for a copy is answered behind the error, and nobody waits for that.
    let crossed = struck.starts_with("PutCopy") && matches!(ended.code, 1 | 3);
    let fits = case.attack.codes.contains(&ended.code) || ended.code == 1 && no_key || crossed;
    check(fits, "a wrong exit code")?;
    let errors: Vec<&str> = ended
        .err
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    check(!errors.is_empty(), "no error is told")?;
    let longest = errors.iter().map(|line| line.chars().count()).max();
    check(
        longest.is_some_and(|longest| longest < 1000),
        "an endless error",
    )
}

/// Nor has dom0 lost or got anything that it should not.
fn unharmed(scene: &Scene, case: &Case, ended: &Ended) -> Result<(), String> {
    match &scene.dom0 {
        Some(dom0) => dom0.is_unharmed(case.verb.name, ended),
        None => Ok(()),
    }
}

/// With an honest helper.
fn afterwards(scene: &Scene, case: &Case, ended: &Ended) -> Result<(), String> {
    let verb = case.verb;
    if case.attack.after == After::Robbed {
        return robbed(scene, case, ended);
    }
    if ended.code == 4 && verb.name.contains("--repair") && case.attack.name.ends_with("-always") {
        return given_up(scene);
    }
    if ended.code == 0 && verb.name.ends_with("--clean") && case.attack.name.ends_with("listed") {
        // What the store does not show cannot be cleaned away.
        return nothing_lost(scene);
    }
    if ended.code == 0 {
        (verb.done)(scene, Some(ended))
            .map_err(|why| format!("it said that it was done: {why}"))?;
    } else if (verb.done)(scene, None).is_err() || !verb.changes {
        let arguments = (verb.arguments)(scene);
        let again = scene.run(&arguments, false).ended;
        check(
            again.code == 0,
            &format!("it cannot be repeated: {again:?}"),
        )?;
        (verb.done)(scene, Some(&again)).map_err(|why| format!("repeated, but {why}"))?;
        unharmed(scene, case, &again).map_err(|why| format!("repeated, but {why}"))?;
    }
    if !verb.changes {
        return Ok(());
    }
    nothing_lost(scene)
}

/// All of the archive is sound, and what was in it before comes back.
fn nothing_lost(scene: &Scene) -> Result<(), String> {
    let checked = scene.quiet(&["arch-check", "--data"]);
    check(
        checked.code == 0,
        &format!("the archive is damaged: {checked:?}"),
    )?;
    match scene.receive("a", "^three") {
        Ok(back) => check(back == scene.versions[2], "OTHER BYTES came back"),
        Err(ended) => Err(format!("session three is lost: {ended:?}")),
    }
}

/// What the store has thrown away is noticed, and what it gives is right.
fn robbed(scene: &Scene, case: &Case, ended: &Ended) -> Result<(), String> {
    let checked = scene.quiet(&["arch-check", "--data"]);
    let noticed = matches!(checked.code, 0 | 1 | 4 | 5);
    check(noticed, &format!("the check ends with {checked:?}"))?;
    if ended.code == 0 && checked.code == 0 {
        (case.verb.done)(scene, None).map_err(|why| {
            format!("it said that it was done, and the check finds nothing: {why}")
        })?;
    }
    for (tag, content) in ["^one", "^two", "^three"].iter().zip(&scene.versions) {
        match scene.receive("a", tag) {
            Ok(back) => check(back == *content, "OTHER BYTES came back")?,
            Err(ended) => {
                let pruned = case.verb.name == "prune" && ended.err.contains("no session");
                check(
                    pruned || checked.code != 0,
                    &format!("{tag} is lost, and the check does not see it: {ended:?}"),
                )?;
            }
        }
    }
    Ok(())
}

/// A repair that finds something lost, each time it looks, gives it up and says so. Nothing else is given up, and nothing is wrong.
fn given_up(scene: &Scene) -> Result<(), String> {
    let listed = scene.quiet(&["list"]);
    check(
        listed.code == 0,
        &format!("it cannot be listed: {listed:?}"),
    )?;
    for (tag, content) in ["^one", "^two", "^three"].iter().zip(&scene.versions) {
        match scene.receive("a", tag) {
            Ok(back) => check(back == *content, "OTHER BYTES came back")?,
            Err(ended) => check(matches!(ended.code, 1 | 4), &format!("{tag}: {ended:?}"))?,
        }
    }
    Ok(())
}
