//! The status, for programs: one object a line (doc/STATUS.md).

use serde_json::{Value, json};

use super::collect::{Status, TargetStatus, VolumeStatus};
use super::outstanding::Outstanding;
use super::qubes::QubeStatus;
use super::record::Failure;
use crate::report::ascii_line;

/// A line for each target, and behind it one for each of its volumes; then one for each qube.
pub fn lines(status: &Status) -> String {
    let mut lines = String::new();
    for target in &status.targets {
        lines.push_str(&ascii_line(&of_target(status.now, target)));
        for volume in &target.volumes {
            lines.push_str(&ascii_line(&of_volume(status.now, target, volume)));
        }
    }
    for qube in &status.qubes {
        lines.push_str(&ascii_line(&of_qube(status.now, qube)));
    }
    lines
}

fn of_target(now: i64, target: &TargetStatus) -> Value {
    json!({
        "kind": "target",
        "target": target.title,
        "place": target.place,
        "now": now,
        "seen": target.seen,
        "warnings": target.warnings,
        "failure": target.failure.as_ref().map(failure),
    })
}

fn of_volume(now: i64, target: &TargetStatus, volume: &VolumeStatus) -> Value {
    let (bytes, exact) = match volume.outstanding {
        Outstanding::Unknown | Outstanding::All => (None, false),
        Outstanding::Monitored(bytes) => (Some(bytes), false),
        Outstanding::Measured(bytes) => (Some(bytes), true),
    };
    json!({
        "kind": "volume",
        "target": target.title,
        "volume": volume.volume,
        "size": volume.size,
        "session": volume.session,
        "current": volume.current,
        "age": volume.current.map(|at| now.saturating_sub(at)),
        "outstanding": bytes,
        "outstanding_exact": exact,
        "unfinished": volume.unfinished,
        "failure": volume.failure.as_ref().map(failure),
    })
}

fn of_qube(now: i64, qube: &QubeStatus) -> Value {
    json!({
        "kind": "qube",
        "qube": qube.qube,
        "current": qube.current,
        "age": qube.current.map(|at| now.saturating_sub(at)),
        "target": qube.target,
    })
}

fn failure(failure: &Failure) -> Value {
    json!({"time": failure.time, "command": failure.command, "text": failure.text})
}
