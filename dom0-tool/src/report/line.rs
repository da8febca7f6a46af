//! One line about one running task.

use std::time::Duration;

use super::text::{duration, percent, rate, size, time_left};
use crate::joints::{Activity, Counts};

/// `45 %, 4 min 05 s left, 100.0 MiB changed, 50.0 MiB sent, 300.0 MiB/s, of 2.0 GiB`: what matters most comes first,
/// because a narrow terminal cuts the end.
pub fn line(activity: Activity, counts: Counts, total: Option<u64>, time: Duration) -> String {
    let mut parts = vec![match total {
        Some(total) => percent(counts.scanned, total),
        None => format!("{} scanned", size(counts.scanned)),
    }];
    let left = total
        .and_then(|total| total.checked_sub(counts.scanned))
        .filter(|left| *left > 0)
        .and_then(|left| time_left(left, counts.scanned, time));
    parts.extend(left.map(|left| format!("{} left", duration(left))));
    parts.extend(details(activity, counts));
    parts.push(rate(counts.scanned, time));
    parts.extend(total.map(|total| format!("of {}", size(total))));
    parts.join(", ")
}

/// The counts that matter for this activity.
fn details(activity: Activity, counts: Counts) -> Vec<String> {
    match activity {
        Activity::Send => vec![
            format!("{} changed", size(counts.changed)),
            format!("{} sent", size(counts.sent)),
        ],
        Activity::Receive => vec![
            format!("{} fetched", size(counts.fetched)),
            format!("{} written", size(counts.written)),
        ],
        Activity::Verify | Activity::Diff | Activity::Check => {
            vec![format!("{} fetched", size(counts.fetched))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let counts = Counts {
            scanned: 1 << 30,
            changed: 100 << 20,
            sent: 50 << 20,
            ..Counts::default()
        };
        let time = Duration::from_secs(2);
        assert_eq!(
            line(Activity::Send, counts, Some(4 << 30), time),
            "25 %, 6.0 s left, 100.0 MiB changed, 50.0 MiB sent, 512.0 MiB/s, of 4.0 GiB"
        );
        assert_eq!(
            line(Activity::Verify, Counts::default(), None, Duration::ZERO),
            "0 B scanned, 0 B fetched, -"
        );
    }
}
