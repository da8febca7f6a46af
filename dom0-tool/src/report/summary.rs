//! What a command did, in lines that a person reads.

use super::table::{Align, Table};
use super::text::{count, duration, percent, rate, ratio, size};
use crate::joints::sanitise::sanitise;
use crate::joints::{Activity, Counts, Outcome, Summary, VolumeSummary};

/// The summary as text of several lines.
pub fn text(summary: &Summary) -> String {
    let mut text = volumes(&summary.volumes, summary.activity);
    text.push_str(&total(summary));
    text.push('\n');
    text
}

fn volumes(volumes: &[VolumeSummary], activity: Activity) -> String {
    let heads: [&str; 4] = match activity {
        Activity::Send => ["SIZE", "CHANGED", "DEDUPLICATED", "SENT"],
        Activity::Receive => ["SIZE", "DIFFERENT", "WRITTEN", "FETCHED"],
        Activity::Verify | Activity::Diff | Activity::Check => {
            ["SIZE", "DIFFERENT", "COMPARED", "FETCHED"]
        }
    };
    let mut columns = vec![("VOLUME", Align::Left)];
    columns.extend(heads.map(|head| (head, Align::Right)));
    columns.push(("RESULT", Align::Left));
    let mut table = Table::new(&columns);
    for volume in volumes {
        let Counts {
            changed,
            deduplicated,
            sent,
            fetched,
            written,
            scanned,
        } = volume.counts;
        let (third, fourth) = match activity {
            Activity::Send => (deduplicated, sent),
            Activity::Receive => (written, fetched),
            Activity::Verify | Activity::Diff | Activity::Check => (scanned, fetched),
        };
        table.row([
            volume.volume.clone(),
            size(volume.size),
            size(changed),
            size(third),
            size(fourth),
            outcome(&volume.outcome),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    table.render()
}

/// How it went, in a few words.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Unchanged => "unchanged".to_owned(),
        Outcome::Partly(what) => format!("PART: {what}"),
        Outcome::Failed(why) => format!("FAILED: {why}"),
    }
}

fn total(summary: &Summary) -> String {
    let counts = summary.counts();
    let volumes = count(summary.volumes.len(), "volume", "volumes");
    let what = match &summary.session {
        Some(name) => format!("session {}, {volumes}", sanitise(name.as_bytes(), 40)),
        None if summary.activity == Activity::Send => format!("no new session, {volumes}"),
        None => volumes,
    };
    let time = duration(summary.elapsed);
    let pace = rate(counts.scanned, summary.elapsed);
    let scanned = size(counts.scanned);
    // Where only changes are looked at, their share of that would say nothing.
    let sizes = summary.volumes.iter().map(|volume| volume.size);
    let all = sizes.fold(0, u64::saturating_add);
    match summary.activity {
        Activity::Send => {
            if summary.dry_run {
                return format!(
                    "Dry run, nothing was stored: {what}: {scanned} looked at in {time} ({pace}), {} changed ({}); \
                     that much would be sent before compression.",
                    size(counts.changed),
                    percent(counts.changed, all),
                );
            }
            let new = counts.changed.saturating_sub(counts.deduplicated);
            format!(
                "{what}: {scanned} looked at in {time} ({pace}), {} changed ({}), {} sent ({} of what was new).",
                size(counts.changed),
                percent(counts.changed, all),
                size(counts.sent),
                ratio(new, counts.sent),
            )
        }
        Activity::Receive => format!(
            "{}{what}: {scanned} in {time} ({pace}), {} fetched, {} written.",
            if summary.dry_run {
                "Dry run, nothing was written: "
            } else {
                ""
            },
            size(counts.fetched),
            size(counts.written),
        ),
        Activity::Diff => format!(
            "{what}: {scanned} compared in {time} ({pace}), {} different, {} fetched.",
            size(counts.changed),
            size(counts.fetched),
        ),
        Activity::Verify | Activity::Check => format!(
            "{what}: {scanned} verified in {time} ({pace}), {} fetched.",
            size(counts.fetched),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sent(volume: &str, changed: u64, outcome: Outcome) -> VolumeSummary {
        VolumeSummary {
            volume: volume.to_owned(),
            size: 2 << 30,
            outcome,
            counts: Counts {
                scanned: 2 << 30,
                changed,
                sent: changed / 2,
                ..Counts::default()
            },
        }
    }

    #[test]
    fn a_summary_names_every_volume_and_what_became_of_it() {
        let summary = Summary {
            activity: Activity::Send,
            session: Some("20240101-000000".to_owned()),
            dry_run: false,
            volumes: vec![
                sent("work", 100 << 20, Outcome::Done),
                sent("mail", 0, Outcome::Unchanged),
                sent(
                    "bad\u{1b}",
                    0,
                    Outcome::Failed("sector 7 cannot be read".to_owned()),
                ),
            ],
            elapsed: Duration::from_secs(2),
        };
        let text = text(&summary);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[1].starts_with("work") && lines[1].ends_with("50.0 MiB  done"));
        assert!(lines[2].ends_with("unchanged"));
        assert!(lines[3].ends_with("FAILED: sector 7 cannot be read"));
        assert_eq!(
            lines[4],
            "session 20240101-000000, 3 volumes: 6.0 GiB looked at in 2.0 s (3.0 GiB/s), 100.0 MiB changed (1 %), 50.0 MiB sent (2.0:1 of what was new)."
        );
    }
    #[test]
    fn a_summary_speaks_of_sessions_only_where_there_is_one_to_speak_of() {
        let summary = |activity| Summary {
            activity,
            session: None,
            dry_run: false,
            volumes: vec![sent("a", 0, Outcome::Done), sent("b", 0, Outcome::Done)],
            elapsed: Duration::from_secs(2),
        };
        let last = |activity| text(&summary(activity)).lines().last().map(str::to_owned);
        assert_eq!(
            last(Activity::Verify).as_deref(),
            Some("2 volumes: 4.0 GiB verified in 2.0 s (2.0 GiB/s), 0 B fetched.")
        );
        let sent = last(Activity::Send).unwrap_or_default();
        assert!(sent.starts_with("no new session, 2 volumes: "), "{sent}");
    }
}
