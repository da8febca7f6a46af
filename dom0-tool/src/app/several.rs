//! A command that does its work with several targets, one after the other.

use super::end::Told;
use super::freezing::Taken;
use super::world::World;
use super::{backup, monitor, prune, send, status};
use super::{reached, reaching};
use crate::archive::{Error, Result};
use crate::cli::{Exit, Request};

/// One target's part of the work.
pub type Job<'a> = (World<'a>, &'a Request);

/// Does it with each target in turn. One that fails does not hold up the others; only a wish to stop does.
///
/// One target at a time is reached: a connection that waits for hours while another is used breaks, and a disk need not be attached for longer
/// than it is used. What was frozen for the first is frozen again for the others, so that all get the same point in time.
pub fn run(jobs: &[Job<'_>]) -> Exit {
    if let Some((world, Request::Status(wanted))) = jobs.first() {
        let worlds: Vec<&World<'_>> = jobs.iter().map(|(world, _)| world).collect();
        return status::run(&worlds, wanted).unwrap_or_else(|error| tell_error(world, &error));
    }
    let mut taken = Taken::default();
    let mut ends: Vec<(String, Exit)> = Vec::new();
    for (world, request) in jobs {
        let name = reaching::title(world);
        world.monitor().target(&name);
        let exit = one(world, request, &mut taken)
            .unwrap_or_else(|error| tell_error(world, &world.ended(error)));
        let exit = reached::let_go(world, exit);
        ends.push((name, exit));
        if exit == Exit::Interrupted {
            return exit;
        }
    }
    if let Some((world, _)) = jobs.last() {
        tell(world, &ends);
    }
    sum(ends.iter().map(|(_, exit)| *exit))
}

fn tell_error(world: &World<'_>, error: &Error) -> Exit {
    let told = Told::failed(error);
    world.monitor().error(&told.text);
    told.exit
}

fn one(world: &World<'_>, request: &Request, taken: &mut Taken) -> Result<Exit> {
    match request {
        Request::Send(wanted) => send::run(world, wanted, taken),
        Request::Backup(wanted) => backup::run(world, wanted, taken),
        Request::Prune(wanted) => prune::run(world, wanted),
        Request::Monitor(wanted) => monitor::run(world, wanted),
        // The command line gives several targets to no other.
        _ => Err(Error::internal()),
    }
}

fn tell(world: &World<'_>, ends: &[(String, Exit)]) {
    let failed = ends.iter().filter(|(_, exit)| *exit != Exit::Done);
    let failed: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
    world.monitor().target("all targets");
    let count = ends.len();
    if failed.is_empty() {
        world.monitor().note(&format!("all {count} are done"));
    } else {
        let done = count - failed.len();
        let failed = failed.join(", ");
        let text = format!(
            "{done} of {count} are done; not, or not wholly: {failed}. The next run catches up there."
        );
        world.monitor().error(&text);
    }
}

/// The exit code of all: where none came to anything, the gravest of theirs.
fn sum(exits: impl Iterator<Item = Exit> + Clone) -> Exit {
    let any = |wanted: Exit| exits.clone().any(|exit| exit == wanted);
    if exits.clone().all(|exit| exit == Exit::Done) {
        Exit::Done
    } else if any(Exit::Done) || any(Exit::Part) {
        Exit::Part
    } else if any(Exit::Freshness) {
        Exit::Freshness
    } else if any(Exit::Integrity) {
        Exit::Integrity
    } else {
        Exit::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_the_targets_is_part_of_the_work() {
        use Exit::{Done, Freshness, Integrity, Nothing, Part};
        for (exits, whole) in [
            (&[Done, Done][..], Done),
            (&[Done, Nothing], Part),
            (&[Integrity, Done], Part),
            (&[Part, Nothing], Part),
            (&[Nothing, Nothing], Nothing),
            (&[Nothing, Freshness], Freshness),
            (&[Integrity, Nothing], Integrity),
        ] {
            assert_eq!(sum(exits.iter().copied()), whole, "{exits:?}");
        }
    }
}
