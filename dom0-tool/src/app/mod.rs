//! From an understood command line to its effect: the only place that knows all parts.

mod arch_check;
mod autoprune;
mod backup;
mod browse;
mod change;
mod cleaning;
mod compare;
mod deduplicate;
mod domains;
mod end;
mod forgetting;
mod freezing;
mod hazards;
mod healing;
mod initiate;
mod keys;
mod listing;
mod monitor;
mod opening;
mod patience;
mod prune;
mod qube_listing;
mod qubesd;
mod reached;
mod reaching;
mod receive;
mod repair;
mod restore;
mod restorer;
mod retrying;
mod room;
mod selection;
mod send;
mod session;
mod settings;
mod setup;
mod several;
pub mod status;
mod storages;
mod verify;
mod world;

use crate::archive::Result;
use crate::cli::{Exit, Invocation, Request};
use crate::entry;

use end::Told;
use freezing::Taken;
use world::World;

/// Carries out a command and says how it ended.
pub fn run(invocation: &Invocation) -> Exit {
    if invocation.request == Request::Version {
        return entry::show(&format!("nacre {}\n", crate::cli::VERSION_LINE));
    }
    let world = match World::new(&invocation.common) {
        Ok(world) => world,
        Err(error) => return Told::failed(&error).print_plain(),
    };
    for notice in &invocation.notices {
        world.monitor().note(notice);
    }
    if !invocation.others.is_empty() {
        let others = invocation.others.iter();
        let others: Vec<several::Job<'_>> = others
            .map(|(common, request)| (world.beside(common), request))
            .collect();
        let mut jobs = vec![(world, &invocation.request)];
        jobs.extend(others);
        return several::run(&jobs);
    }
    let beside = invocation.beside.iter();
    let beside: Vec<World<'_>> = beside.map(|common| world.beside(common)).collect();
    let done = carry_out(&world, &beside, &invocation.request);
    let exit = match done.map_err(|error| world.ended(error)) {
        Ok(exit) => exit,
        Err(error) => {
            let told = Told::failed(&error);
            world.monitor().error(&told.text);
            told.exit
        }
    };
    let all = std::iter::once(&world).chain(&beside);
    all.fold(exit, |exit, world| reached::let_go(world, exit))
}

/// `beside`: other targets that may be read from.
fn carry_out(world: &World<'_>, beside: &[World<'_>], request: &Request) -> Result<Exit> {
    match request {
        Request::ArchInit(init) => initiate::run(world, init),
        Request::Backup(backup) => backup::run(world, backup, &mut Taken::default()),
        Request::Send(send) => send::run(world, send, &mut Taken::default()),
        Request::Receive(receive) => receive::run(world, receive),
        Request::Restore(wanted) => restore::run(world, wanted),
        Request::RestoreDom0(wanted) => restore::dom0::run(world, wanted),
        Request::Browse(wanted) => browse::run(world, wanted),
        Request::Verify(verify) => verify::run(world, verify),
        Request::Monitor(wanted) => monitor::run(world, wanted),
        Request::Diff(diff) => compare::run(world, diff),
        Request::ArchCheck(check) => arch_check::run(world, beside, check),
        Request::List(list) => listing::run(world, list),
        Request::Add(add) => change::add(world, add),
        Request::Prune(wanted) => prune::run(world, wanted),
        Request::Delete(delete) => change::delete(world, delete),
        Request::Rename(rename) => change::rename(world, rename),
        Request::Key(key) => keys::run(world, key),
        Request::Deduplicate(wanted) => deduplicate::run(world, wanted),
        Request::Session(change) => session::run(world, change),
        Request::Setup(wanted) => setup::run(world, wanted),
        Request::Status(wanted) => status::run(&[world], wanted),
        Request::Version => Ok(Exit::Done),
    }
}
