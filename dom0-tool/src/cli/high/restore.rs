//! What `restore` and `browse` mean.

use super::{Meaning, common, one_session};
use crate::cli::error::UsageError;
use crate::cli::low;
use crate::cli::pref::Pref;
use crate::cli::request::{Browse, Common, Request, Restore, RestoreDom0, RestorePart};
use crate::cli::target::QubeName;

pub fn restore(mut low: low::Restore) -> Meaning {
    let qubes = once(std::mem::take(&mut low.qubes));
    if low.save_to.is_some() || qubes.iter().any(is_dom0) {
        return dom0(low, &qubes);
    }
    let common = Common {
        dry_run: low.dry_run,
        threads: low.threads,
        ..common(low.place, low.unlock)?
    };
    match (qubes.is_empty(), low.all) {
        (true, false) => {
            return Err(UsageError::new(
                "no qube is named",
                "name some, or give --all for every qube that the archive has",
            ));
        }
        (false, true) => {
            return Err(UsageError::new(
                "--all and qubes' names do not go together",
                "give one of them",
            ));
        }
        _ => {}
    }
    if low.rename.is_some() && qubes.len() != 1 {
        return Err(UsageError::new(
            "--as gives one qube another name",
            "name exactly one",
        ));
    }
    let part = match (low.settings_only, low.data_only) {
        (false, false) => RestorePart::Both,
        (true, false) => RestorePart::Settings,
        (false, true) => RestorePart::Data,
        (true, true) => {
            return Err(UsageError::new(
                "--settings-only and --data-only leave nothing",
                "give one of them, or neither for both",
            ));
        }
    };
    if part == RestorePart::Data && (low.paranoid || !low.pref.is_empty()) {
        return Err(UsageError::new(
            "--data-only restores no settings, of which --pref and --paranoid say something",
            "leave these out",
        ));
    }
    check_pool(low.pool.as_deref())?;
    let request = Restore {
        qubes,
        all: low.all,
        session: one_session(low.session)?,
        pool: low.pool,
        rename: low.rename,
        part,
        prefs: prefs(low.pref)?,
        paranoid: low.paranoid,
        skip_corrupt: low.skip_corrupt_chunks,
        force: low.force,
    };
    Ok((common, Request::Restore(request)))
}

fn is_dom0(name: &QubeName) -> bool {
    name.0 == "dom0"
}

/// dom0's own files, which go to a folder of their own, never over the live ones.
fn dom0(low: low::Restore, named: &[QubeName]) -> Meaning {
    let others = [
        (low.all, "--all"),
        (low.pool.is_some(), "--pool"),
        (low.rename.is_some(), "--as"),
        (low.settings_only, "--settings-only"),
        (low.data_only, "--data-only"),
        (!low.pref.is_empty(), "--pref"),
        (low.paranoid, "--paranoid"),
        (low.skip_corrupt_chunks, "--skip-corrupt-chunks"),
        (low.force, "--force"),
    ];
    if let Some((_, other)) = others.iter().find(|(given, _)| *given) {
        return Err(UsageError::new(
            format!("{other} says something of qubes, and dom0 is none"),
            "leave it out",
        ));
    }
    if !matches!(named, [name] if is_dom0(name)) {
        return Err(UsageError::new(
            "dom0's own files are restored by themselves",
            "write `nacre restore dom0 --save-to=FOLDER`, and restore qubes with a command of their own",
        ));
    }
    let Some(folder) = low.save_to else {
        return Err(UsageError::new(
            "dom0's own files are restored into a new folder, never over those that are there",
            "say into which with --save-to=FOLDER",
        ));
    };
    let common = Common {
        dry_run: low.dry_run,
        threads: low.threads,
        ..common(low.place, low.unlock)?
    };
    let request = RestoreDom0 {
        folder,
        session: one_session(low.session)?,
    };
    Ok((common, Request::RestoreDom0(request)))
}

pub fn browse(low: low::Browse) -> Meaning {
    let common = Common {
        dry_run: low.dry_run,
        threads: low.threads,
        ..common(low.place, low.unlock)?
    };
    check_pool(low.pool.as_deref())?;
    let request = Browse {
        qube: low.qube,
        session: one_session(low.session)?,
        pool: low.pool,
        skip_corrupt: low.skip_corrupt_chunks,
    };
    Ok((common, Request::Browse(request)))
}

/// A pool's name becomes a word of a call.
fn check_pool(pool: Option<&str>) -> Result<(), UsageError> {
    let well = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    match pool {
        Some(name) if name.is_empty() || !name.bytes().all(well) => Err(UsageError::new(
            "that is not the name of a pool",
            "`qvm-pool` shows those there are",
        )),
        _ => Ok(()),
    }
}

fn prefs(prefs: Vec<Pref>) -> Result<Vec<Pref>, UsageError> {
    let mut each: Vec<Pref> = Vec::new();
    for pref in prefs {
        if each.iter().any(|known| known.name == pref.name) {
            let what = format!("--pref gives the property {} twice", pref.name);
            return Err(UsageError::new(what, "give it once"));
        }
        each.push(pref);
    }
    Ok(each)
}

/// Each name once, in the order of its first mention.
fn once(names: Vec<QubeName>) -> Vec<QubeName> {
    let mut seen: Vec<QubeName> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
