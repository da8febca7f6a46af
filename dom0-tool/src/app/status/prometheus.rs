//! The status as a file for the textfile collector of Prometheus' node exporter.

use std::fmt::Write;

use super::collect::{Status, TargetStatus, VolumeStatus};
use super::outstanding::Outstanding;
use super::qubes::QubeStatus;

/// A gauge: its name, what it means, and its samples.
struct Gauge {
    name: &'static str,
    help: &'static str,
    samples: Vec<(String, i64)>,
}

/// The whole file. Gauges without samples are left out.
pub fn text(status: &Status) -> String {
    let gauges = [
        of_volumes(
            status,
            "nacre_last_success_timestamp_seconds",
            "Begin of the last run that stored the volume or found it unchanged; 0: never.",
            |volume| Some(volume.current.unwrap_or(0)),
        ),
        of_volumes(
            status,
            "nacre_outstanding_bytes",
            "Bytes that changed since, at least; absent where that is not known.",
            |volume| match volume.outstanding {
                Outstanding::Monitored(bytes) | Outstanding::Measured(bytes) => {
                    Some(i64::try_from(bytes).unwrap_or(i64::MAX))
                }
                Outstanding::Unknown | Outstanding::All => None,
            },
        ),
        of_volumes(
            status,
            "nacre_unfinished",
            "1 where the last run did not come to its end.",
            |volume| Some(i64::from(volume.unfinished.is_some())),
        ),
        of_volumes(
            status,
            "nacre_volume_failed",
            "1 where the last run could not read the volume.",
            |volume| Some(i64::from(volume.failure.is_some())),
        ),
        of_targets(
            status,
            "nacre_target_seen_timestamp_seconds",
            "When the target was last opened; 0: never.",
            |target| Some(target.seen.unwrap_or(0)),
        ),
        of_targets(
            status,
            "nacre_target_failed",
            "1 where the last command failed with the target as a whole.",
            |target| Some(i64::from(target.failure.is_some())),
        ),
        of_targets(
            status,
            "nacre_target_failure_timestamp_seconds",
            "When it failed.",
            |target| target.failure.as_ref().map(|failure| failure.time),
        ),
        of_qubes(status),
        Gauge {
            name: "nacre_status_timestamp_seconds",
            help: "When this file was written.",
            samples: vec![(String::new(), status.now)],
        },
    ];
    gauges.iter().map(Gauge::text).collect()
}

impl Gauge {
    fn text(&self) -> String {
        let Self {
            name,
            help,
            samples,
        } = self;
        if samples.is_empty() {
            return String::new();
        }
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}{labels} {value}");
        }
        text
    }
}

fn of_volumes(
    status: &Status,
    name: &'static str,
    help: &'static str,
    value: impl Fn(&VolumeStatus) -> Option<i64>,
) -> Gauge {
    let mut samples = Vec::new();
    for target in &status.targets {
        for volume in &target.volumes {
            let (title, volume_name) = (escape(&target.title), escape(&volume.volume));
            let labels = format!("{{target=\"{title}\",volume=\"{volume_name}\"}}");
            samples.extend(value(volume).map(|value| (labels, value)));
        }
    }
    Gauge {
        name,
        help,
        samples,
    }
}

fn of_qubes(status: &Status) -> Gauge {
    let qubes = status.qubes.iter();
    let sample = |qube: &QubeStatus| {
        let labels = format!("{{qube=\"{}\"}}", escape(&qube.qube));
        (labels, qube.current.unwrap_or(0))
    };
    Gauge {
        name: "nacre_qube_last_success_timestamp_seconds",
        help: "Up to when some target has all of the qube's volumes; 0: never.",
        samples: qubes.map(sample).collect(),
    }
}

fn of_targets(
    status: &Status,
    name: &'static str,
    help: &'static str,
    value: impl Fn(&TargetStatus) -> Option<i64>,
) -> Gauge {
    let one = |target: &TargetStatus| {
        let labels = format!("{{target=\"{}\"}}", escape(&target.title));
        value(target).map(|value| (labels, value))
    };
    Gauge {
        name,
        help,
        samples: status.targets.iter().filter_map(one).collect(),
    }
}

/// A value between quotes, as the format wants it. Control characters, which no name should have, become `?`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            control if control.is_control() => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        let volume = VolumeStatus {
            volume: "a\"b\\c\nd\u{1b}".to_owned(),
            size: 1,
            session: None,
            current: None,
            unfinished: None,
            outstanding: Outstanding::Measured(7),
            failure: None,
        };
        let status = Status {
            now: 9,
            targets: vec![TargetStatus {
                title: "nas".to_owned(),
                volumes: vec![volume],
                ..TargetStatus::default()
            }],
            qubes: Vec::new(),
        };
        let text = text(&status);
        let labels = r#"{target="nas",volume="a\"b\\c\nd?"}"#;
        assert!(
            text.contains(&format!("\nnacre_outstanding_bytes{labels} 7\n")),
            "{text}"
        );
        assert!(text.contains(&format!(
            "\nnacre_last_success_timestamp_seconds{labels} 0\n"
        )));
        assert!(text.contains("\nnacre_target_failed{target=\"nas\"} 0\n"));
        assert!(text.contains("\nnacre_status_timestamp_seconds 9\n"));
        assert!(!text.contains("failure_timestamp"));
        // Every line is a comment or a sample.
        for line in text.lines() {
            assert!(
                line.starts_with("# ") || line.starts_with("nacre_"),
                "{line}"
            );
        }
    }
}
