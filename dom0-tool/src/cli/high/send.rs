//! What `send` means.

use std::collections::BTreeSet;

use super::local::local;
use super::{Meaning, common, no_volumes_left, once};
use crate::cli::error::UsageError;
use crate::cli::local::Local;
use crate::cli::low;
use crate::cli::request::{Common, Request, Selection, Send};
use crate::cli::session::TagWish;
use crate::cli::volume::Import;

pub fn send(low: low::Send) -> Meaning {
    let common = Common {
        dry_run: low.dry_run,
        threads: low.sending.threads,
        ..common(low.place, low.unlock)?
    };
    let local = local(low.storage)?;
    let left_out = left_out(&low.import_other_from, &low.select, &local);
    let imports = imports(low.import_other_from, &low.select, &local)?;
    let selection = volumes(low.select, &imports, &local)?;
    let request = Send {
        imports,
        left_out,
        local,
        selection,
        send_unchanged: low.send_unchanged,
        ..sending(low.sending, &common)?
    };
    Ok((common, Request::Send(request)))
}

/// What `send` and `backup` have in common: a `send` of nothing.
pub fn sending(low: low::Sending, common: &Common) -> Result<Send, UsageError> {
    if common.unattended && low.tag.contains(&TagWish::Ask) {
        return Err(UsageError::new(
            "--unattended allows no question, and an empty --tag is one",
            "give the tag",
        ));
    }
    Ok(Send {
        imports: Vec::new(),
        left_out: Vec::new(),
        local: Local::None,
        selection: Selection {
            volumes: Vec::new(),
            all: false,
            excluded: Vec::new(),
        },
        tags: low.tag,
        dedup: low.dedup,
        domains: low.dedup_domain,
        send_unchanged: false,
        remap: low.remap,
        autoprune: low.autoprune.unwrap_or_default(),
        apdays: low.apdays.unwrap_or_default(),
        retention: low.retention,
    })
}

/// What is said of imports that are not among the names, and of a file whose volumes are not meant because there are imports and no names. Both may
/// stand in the ini, so that they are no mistake.
fn left_out(imports: &[Import], select: &low::Select, local: &Local) -> Vec<String> {
    if select.all || imports.is_empty() {
        return Vec::new();
    }
    if select.volumes.is_empty() {
        let Local::File(file) = local else {
            return Vec::new();
        };
        let file = file.display();
        return vec![format!(
            "What {file} lists is not sent, only what --import-other-from names; --all sends both."
        )];
    }
    let unnamed = imports.iter().map(|import| &import.volume);
    let unnamed =
        unnamed.filter(|name| !select.volumes.contains(name) && !select.volex.contains(name));
    unnamed
        .map(|name| {
            format!(
                "Volume {name} is not sent: it has --import-other-from, but only others are named."
            )
        })
        .collect()
}

/// Which of the imports are meant: those named, or all. Each volume may have one only.
fn imports(
    imports: Vec<Import>,
    select: &low::Select,
    local: &Local,
) -> Result<Vec<Import>, UsageError> {
    if imports.is_empty() && *local == Local::None {
        return Err(UsageError::new(
            "it is not said what to read",
            "give --local=VG/POOL, --local=/FOLDER or --import-other-from='VOLUME:|:/PATH'",
        ));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = imports.iter().find(|import| !seen.insert(&import.volume)) {
        return Err(UsageError::new(
            format!("the volume {} has two sources", twice.volume),
            "give --import-other-from once for each volume",
        ));
    }
    let mut named = select.volumes.iter();
    if let Some(without) = named.find(|name| *local == Local::None && !seen.contains(name)) {
        return Err(UsageError::new(
            format!("the volume {without} has no source"),
            format!("give --local, or --import-other-from='{without}:|:/PATH' too"),
        ));
    }
    let is_meant = |import: &Import| {
        let named =
            select.all || select.volumes.is_empty() || select.volumes.contains(&import.volume);
        named && !select.volex.contains(&import.volume)
    };
    let chosen: Vec<Import> = imports.into_iter().filter(is_meant).collect();
    if chosen.is_empty() && *local == Local::None {
        return Err(no_volumes_left());
    }
    Ok(chosen)
}

/// Which volumes are read from local storage. Without names: all that the file lists; none if there are imports.
fn volumes(
    select: low::Select,
    imports: &[Import],
    local: &Local,
) -> Result<Selection, UsageError> {
    let mut volumes = once(select.volumes);
    volumes.retain(|name| !imports.iter().any(|import| import.volume == *name));
    let listed = matches!(local, Local::File(_)) && volumes.is_empty() && imports.is_empty();
    let all = (select.all || listed) && *local != Local::None;
    if volumes.is_empty() && imports.is_empty() && !all {
        return Err(UsageError::new(
            "no volume is named",
            "name some, or give --all for those that the archive has",
        ));
    }
    let left = |name| !select.volex.contains(name);
    if !all && imports.is_empty() && !volumes.iter().any(left) {
        return Err(no_volumes_left());
    }
    Ok(Selection {
        volumes,
        all,
        excluded: select.volex,
    })
}
