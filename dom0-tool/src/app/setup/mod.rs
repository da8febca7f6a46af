//! `setup`: the guided first run. It carries out commands that the person could have typed, shows them first, and does nothing else.

mod ini;
mod plan;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::world::World;
use crate::archive::{Error, Result};
use crate::cli::{Common, Exit, Setup, Target};
use crate::entry;
use crate::joints::KeyPrompt;

use super::opening::{known_archive, unanswered};
use plan::{Plan, Wishes};

/// Asks what was not said, shows the plan, asks once, and carries it out.
pub fn run(world: &World<'_>, wanted: &Setup) -> Result<Exit> {
    let target = match world.common.targets.first() {
        Some(target) => target.clone(),
        None => ask_target(world)?,
    };
    // What is written down is read from anywhere.
    let target = match target {
        Target::File(path) => Target::File(absolute(&path)?),
        other => other,
    };
    let wanted = &Setup {
        key_file: wanted.key_file.as_deref().map(absolute).transpose()?,
        ..wanted.clone()
    };
    let common = Common {
        targets: vec![target.clone()],
        ..world.common.clone()
    };
    let plan = Plan::make(&Wishes {
        target: &target,
        // A target that the ini names already keeps its name.
        name: world.common.name.as_deref().unwrap_or(&wanted.name),
        is_known: known_archive(&world.beside(&common)).is_ok(),
        has_person: world.prompt.has_person(),
        common: &common,
        setup: wanted,
    })?;
    let shown = entry::show(&plan.text());
    if shown != Exit::Done || common.dry_run || plan.steps.is_empty() {
        return Ok(shown);
    }
    let question = "Shall it be done?";
    if !wanted.force && !world.prompt.confirm(question).map_err(unanswered)? {
        return Err(Error::refused("nothing was done", ""));
    }
    carry_out(world, &plan)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Error::State(format!("{} is no path ({error})", path.display())))
}

fn ask_target(world: &World<'_>) -> Result<Target> {
    let question = "Where is the archive to be? (file:/PATH, usb:UUID/PATH, qubes://QUBE/PATH, qubes-usb://QUBE/UUID/PATH, qubes-ssh://QUBE:HOST/PATH)";
    let answer = world.prompt.line(question).map_err(unanswered)?;
    let Some(answer) = answer else {
        return Err(Error::refused("nothing was done", ""));
    };
    match answer.parse::<Target>() {
        Ok(Target::Named(name)) => Err(Error::refused(
            format!("{name} is not a place"),
            "Give one of the forms that the question names.",
        )),
        Ok(target) => Ok(target),
        Err(error) => Err(Error::refused(error.to_string(), "")),
    }
}

/// Step by step. What comes behind a step that failed is not done, and said.
fn carry_out(world: &World<'_>, plan: &Plan) -> Result<Exit> {
    let total = plan.steps.len();
    for (done, step) in plan.steps.iter().enumerate() {
        world
            .monitor()
            .note(&format!("step {} of {total}: {}", done + 1, step.purpose));
        // The step may write to the same terminal.
        drop(std::io::stdout().lock().flush());
        let Err(why) = step.carry_out() else {
            continue;
        };
        let left: Vec<String> = (done + 1..=total).map(|n| n.to_string()).collect();
        let sentence = format!("step {} failed: {why}", done + 1);
        let remedy = format!(
            "Not done: step {}. Mend it and run `nacre setup` again, or type the commands that are left.",
            left.join(", ")
        );
        if done == 0 {
            return Err(Error::refused(sentence, remedy));
        }
        world.monitor().error(&format!("{sentence}. {remedy}"));
        return Ok(Exit::Part);
    }
    world.monitor().note(&format!("done; {}", plan.next));
    Ok(Exit::Done)
}
