//! The status, for people.

use super::collect::{Status, TargetStatus, VolumeStatus};
use super::outstanding::Outstanding;
use super::qubes::QubeStatus;
use super::record::{Failure, SINGLE_WRITER, UNSYNCED};
use crate::app::world::{World, civil};
use crate::joints::sanitise::sanitise;
use crate::report::{Align, Table, text};

/// A table for each target, with what matters most above it.
pub fn text(world: &World<'_>, status: &Status) -> String {
    if status.targets.is_empty() && status.qubes.is_empty() {
        return "This machine has not backed anything up yet.\n".to_owned();
    }
    let targets = status.targets.iter();
    let targets = targets.map(|target| of_target(world, status.now, target));
    let mut all: Vec<String> = targets.collect();
    all.extend((!status.qubes.is_empty()).then(|| of_qubes(status.now, &status.qubes)));
    all.join("\n")
}

/// What people ask first, so it stands last, where it is seen.
fn of_qubes(now: i64, qubes: &[QubeStatus]) -> String {
    let mut table = Table::new(&[
        ("QUBE", Align::Left),
        ("AGE", Align::Right),
        ("AT", Align::Left),
    ]);
    for qube in qubes {
        table.row([
            clean(&qube.qube),
            qube.current
                .map_or_else(|| "never".to_owned(), |at| text::age(now, at)),
            qube.target.as_deref().map_or_else(|| "-".to_owned(), clean),
        ]);
    }
    table.render()
}

fn of_target(world: &World<'_>, now: i64, target: &TargetStatus) -> String {
    let mut lines = vec![head(now, target)];
    if let Some(failure) = &target.failure {
        lines.push(format!("  FAILED {}", told(world, now, failure)));
    }
    let warnings = target.warnings.iter();
    lines.extend(warnings.map(|warning| format!("  {}", in_words(warning))));
    for volume in &target.volumes {
        if let Some(failure) = &volume.failure {
            let why = told(world, now, failure);
            lines.push(format!("  {} FAILED {why}", clean(&volume.volume)));
        }
    }
    let mut text = lines.join("\n") + "\n";
    if target.volumes.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("VOLUME", Align::Left),
        ("SIZE", Align::Right),
        ("NEWEST", Align::Left),
        ("AGE", Align::Right),
        ("OUTSTANDING", Align::Right),
        ("REMARK", Align::Left),
    ]);
    for volume in &target.volumes {
        table.row(row(now, volume));
    }
    text.push_str(&table.render());
    text
}

fn head(now: i64, target: &TargetStatus) -> String {
    let known = match target.seen {
        Some(seen) => format!("seen {} ago", text::age(now, seen)),
        None => "not seen by this machine yet".to_owned(),
    };
    let place = if target.title == target.place {
        String::new()
    } else {
        format!(" ({})", clean(&target.place))
    };
    format!("{}{place}: {known}", clean(&target.title))
}

fn in_words(warning: &str) -> String {
    match warning {
        UNSYNCED => "a power cut over there may take what was stored last".to_owned(),
        SINGLE_WRITER => "only one machine at a time may write to it".to_owned(),
        other => clean(other),
    }
}

fn told(world: &World<'_>, now: i64, failure: &Failure) -> String {
    let (time, age) = (civil(world, failure.time), text::age(now, failure.time));
    let why = sanitise(failure.text.as_bytes(), 1000);
    format!("{age} ago ({time}, {}): {why}", clean(&failure.command))
}

fn row(now: i64, volume: &VolumeStatus) -> [String; 6] {
    let never = || "never".to_owned();
    [
        clean(&volume.volume),
        text::size(volume.size),
        volume.session.as_deref().map_or_else(never, clean),
        volume
            .current
            .map_or_else(|| "-".to_owned(), |at| text::age(now, at)),
        match volume.outstanding {
            Outstanding::Unknown => "unknown".to_owned(),
            Outstanding::Monitored(bytes) => format!(">= {}", text::size(bytes)),
            Outstanding::Measured(bytes) => text::size(bytes),
            Outstanding::All => "all".to_owned(),
        },
        volume
            .unfinished
            .as_deref()
            .map_or_else(String::new, |name| {
                format!("session {} is unfinished", clean(name))
            }),
    ]
}

fn clean(text: &str) -> String {
    sanitise(text.as_bytes(), 512)
}
