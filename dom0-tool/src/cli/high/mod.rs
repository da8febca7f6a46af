//! From what was typed to what it means: defaults, and what does not go together.

mod arch_check;
mod backup;
mod deduplicate;
mod key;
mod local;
mod prune;
mod receive;
mod restore;
mod send;
mod session;
mod setup;
mod status;

use std::collections::BTreeSet;

use crate::cli::error::UsageError;
use crate::cli::low::{self, LowCommand, Place, Unlock};
use crate::cli::request::{
    Add, ArchInit, Common, List, Listing, Rename, Request, Selection, Verbosity, Verify,
};
use crate::cli::session::{SessionPoint, SessionSelector};
use crate::cli::values::Remember;
use crate::cli::volume::VolumeName;

type Meaning = Result<(Common, Request), UsageError>;

/// What a command line means.
pub fn meaning(command: LowCommand) -> Meaning {
    match command {
        LowCommand::ArchInit(low) => arch_init(low),
        LowCommand::Backup(low) => backup::backup(low),
        LowCommand::Send(low) => send::send(low),
        LowCommand::Receive(low) => receive::receive(low),
        LowCommand::Restore(low) => restore::restore(low),
        LowCommand::Browse(low) => restore::browse(low),
        LowCommand::Monitor(low) => local::monitor(low),
        LowCommand::Diff(low) => local::diff(low),
        LowCommand::List(low) => list(low),
        LowCommand::Verify(low) => verify(low),
        LowCommand::ArchCheck(low) => arch_check::arch_check(low),
        LowCommand::Add(low) => add(low),
        LowCommand::Delete(low) => local::delete(low),
        LowCommand::Prune(low) => prune::prune(low),
        LowCommand::Rename(low) => rename(low),
        LowCommand::Key(low) => key::meaning(low),
        LowCommand::ArchDeduplicate(low) => deduplicate::deduplicate(low),
        LowCommand::Session(low) => session::session(low),
        LowCommand::Setup(low) => setup::setup(low),
        LowCommand::Status(low) => status::status(low),
        LowCommand::Version => Ok((nowhere(), Request::Version)),
    }
}

/// What `version` needs of the common options: nothing.
fn nowhere() -> Common {
    Common {
        targets: Vec::new(),
        name: None,
        ssh_options: Vec::new(),
        qubes_options: Vec::new(),
        usb_device: None,
        limit: None,
        retry: 0,
        meta_dir: None,
        passcmd: None,
        key_file: None,
        recovery: false,
        remember: Remember::default(),
        unattended: false,
        allow_rollback: false,
        verbosity: Verbosity::Normal,
        json: false,
        threads: None,
        dry_run: false,
    }
}

fn common(place: Place, unlock: Unlock) -> Result<Common, UsageError> {
    if place.dest.is_empty() {
        return Err(UsageError::new(
            "it is not said where the archive is",
            "give --dest=file:/PATH, or put dest into /etc/nacre/nacre.ini",
        ));
    }
    common_anywhere(place, unlock)
}

/// The same for what need not be told where an archive is. Names are looked up, and several targets told apart, when it is known what is to be
/// done.
fn common_anywhere(place: Place, unlock: Unlock) -> Result<Common, UsageError> {
    let verbosity = match (place.quiet, place.verbose, place.debug) {
        (true, false, false) => Verbosity::Quiet,
        (true, ..) => {
            return Err(UsageError::new(
                "--quiet goes neither with --verbose nor with --debug",
                "give one of them",
            ));
        }
        (_, _, true) => Verbosity::Debug,
        (_, true, _) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    Ok(Common {
        targets: place.dest,
        name: None,
        ssh_options: place.opt_ssh,
        qubes_options: place.opt_qubes,
        usb_device: place.usb_device,
        limit: place.limit.map(|rate| rate.0),
        retry: place.retry.unwrap_or(0),
        meta_dir: place.meta_dir,
        passcmd: unlock.passcmd,
        key_file: unlock.key_file,
        recovery: unlock.recovery,
        remember: unlock.authmin.unwrap_or_default(),
        unattended: place.unattended,
        allow_rollback: unlock.force_allow_rollback,
        verbosity,
        json: place.json,
        threads: None,
        dry_run: false,
    })
}

fn arch_init(low: low::ArchInit) -> Meaning {
    let unlock = Unlock {
        passcmd: low.passcmd,
        key_file: low.key_file,
        recovery: false,
        authmin: low.authmin,
        force_allow_rollback: false,
    };
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, unlock)?
    };
    let request = ArchInit {
        encryption: low.encrypt.unwrap_or_default(),
        compression: low.compression.unwrap_or_default(),
        hash_type: low.hashtype.unwrap_or_default(),
        chunk_factor: low.chunk_factor.unwrap_or_default(),
    };
    if request.encryption == crate::cli::values::Encryption::Off
        && (common.key_file.is_some() || common.passcmd.is_some())
    {
        return Err(UsageError::new(
            "an archive with --encrypt=off has no key",
            "leave --key-file and --passcmd out, or encrypt",
        ));
    }
    Ok((common, Request::ArchInit(request)))
}

fn no_volumes_left() -> UsageError {
    UsageError::new("--volex leaves no volume", "leave out fewer")
}

fn verify(low: low::Verify) -> Meaning {
    let common = Common {
        threads: low.threads,
        ..common(low.place, low.unlock)?
    };
    let request = Verify {
        selection: selection(low.select)?,
        session: one_session(low.past.session)?,
        strict: low.past.session_strict.is_none_or(|switch| switch.0),
    };
    Ok((common, Request::Verify(request)))
}

fn list(low: low::List) -> Meaning {
    let common = common(low.place, low.unlock)?;
    let volumes = once(low.volumes);
    let session = match low.session {
        None => None,
        some => Some(one_session(some)?),
    };
    let what = match (volumes.as_slice(), session) {
        ([], None) if low.qubes => Listing::Qubes,
        _ if low.qubes => {
            return Err(UsageError::new(
                "--qubes shows all qubes, and nothing else",
                "leave out the names and the session, or --qubes",
            ));
        }
        ([], None) => Listing::Volumes,
        ([], Some(session)) => Listing::Content(session),
        ([volume], None) => Listing::Sessions(volume.clone()),
        ([volume], Some(session)) => Listing::VolumeIn(volume.clone(), session),
        _ => {
            return Err(UsageError::new(
                "list shows one volume at a time",
                "name one, or none for all of them",
            ));
        }
    };
    let request = List {
        what,
        tags: low.tag.is_some(),
        tagged: low.tag.flatten(),
    };
    Ok((common, Request::List(request)))
}

fn add(low: low::Add) -> Meaning {
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let volumes = once(low.volumes);
    if volumes.is_empty() {
        return Err(UsageError::new(
            "add needs a volume's name",
            "give at least one",
        ));
    }
    if volumes.len() > 1 && low.volume_desc.is_some() {
        return Err(UsageError::new(
            "--volume-desc describes one volume",
            "add the volumes one by one",
        ));
    }
    let request = Add {
        volumes,
        description: low.volume_desc,
        domains: low.dedup_domain,
    };
    Ok((common, Request::Add(request)))
}

fn rename(low: low::Rename) -> Meaning {
    let common = Common {
        dry_run: low.dry_run,
        ..common(low.place, low.unlock)?
    };
    let (old, new) = (low.old, low.new);
    if old == new {
        return Err(UsageError::new(
            "the two names are the same",
            "give another new name",
        ));
    }
    Ok((common, Request::Rename(Rename { old, new })))
}

fn selection(select: low::Select) -> Result<Selection, UsageError> {
    let volumes = once(select.volumes);
    if volumes.is_empty() && !select.all {
        return Err(UsageError::new(
            "no volume is named",
            "name some, or give --all",
        ));
    }
    if !select.all && volumes.iter().all(|name| select.volex.contains(name)) {
        return Err(no_volumes_left());
    }
    Ok(Selection {
        volumes,
        all: select.all,
        excluded: select.volex,
    })
}

fn one_session(selector: Option<SessionSelector>) -> Result<SessionPoint, UsageError> {
    match selector {
        None => Ok(SessionPoint::Newest),
        Some(SessionSelector::One(point)) => Ok(point),
        Some(SessionSelector::Range(..)) => Err(UsageError::new(
            "this command takes one session, not a range",
            "give --session=YYYYMMDD-HHMMSS, ^TAG or newest",
        )),
    }
}

/// Each name once, in the order of its first mention.
fn once(names: Vec<VolumeName>) -> Vec<VolumeName> {
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect()
}
