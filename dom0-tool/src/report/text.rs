//! Numbers as people read them.

use std::time::Duration;

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `0 B`, `1023 B`, `1.0 KiB`, `128.0 MiB`: binary units, one decimal, rounded to the nearest.
pub fn size(bytes: u64) -> String {
    let mut unit = 1_u128;
    for (index, name) in UNITS.iter().enumerate() {
        if index == 0 && bytes < 1024 {
            return format!("{bytes} {name}");
        }
        let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
        if tenths < 10_240 && index > 0 || index + 1 == UNITS.len() {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit *= 1024;
    }
    format!("{bytes} B")
}

/// `0.2 s`, `59.9 s`, `4 min 05 s`, `2 h 05 min`, `3 d 04 h`.
pub fn duration(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = tenths / 10;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if hours == 0 {
        format!("{minutes} min {:02} s", seconds % 60)
    } else if days == 0 {
        format!("{hours} h {:02} min", minutes % 60)
    } else {
        format!("{days} d {:02} h", hours % 24)
    }
}

/// How long ago: `40 s`, `12 min`, `5 h`, `3 d`; a time to come, of a clock that was set back, is now.
pub fn age(now: i64, then: i64) -> String {
    let seconds = now.saturating_sub(then).max(0);
    match (seconds / 60, seconds / 3600, seconds / 86_400) {
        (0, ..) => format!("{seconds} s"),
        (minutes, 0, _) => format!("{minutes} min"),
        (_, hours, 0..2) => format!("{hours} h"),
        (.., days) => format!("{days} d"),
    }
}

/// Bytes in a second: `12.0 MiB/s`; `-` before there is anything to divide by.
pub fn rate(bytes: u64, time: Duration) -> String {
    match per_second(bytes, time) {
        Some(bytes) => format!("{}/s", size(bytes)),
        None => "-".to_owned(),
    }
}

/// How long `left` bytes take at the pace of `done` bytes in `time`; `None` while there is no pace.
pub fn time_left(left: u64, done: u64, time: Duration) -> Option<Duration> {
    if done == 0 {
        return None;
    }
    let millis = time.as_millis().saturating_mul(u128::from(left)) / u128::from(done);
    Some(Duration::from_millis(
        u64::try_from(millis).unwrap_or(u64::MAX),
    ))
}

/// Part of a whole: `0 %`, `45 %`, `100 %` only when it is all; `-` of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    // Rounded down, so that 100 % is never said too early.
    format!("{} %", u128::from(part) * 100 / u128::from(whole))
}

/// How many times smaller: `3.4:1`; `-` where nothing is left to compare with.
pub fn ratio(before: u64, after: u64) -> String {
    if after == 0 {
        return "-".to_owned();
    }
    let after = u128::from(after);
    let tenths = (u128::from(before) * 10 + after / 2) / after;
    format!("{}.{}:1", tenths / 10, tenths % 10)
}

/// `1 volume`, `2 volumes`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn per_second(bytes: u64, time: Duration) -> Option<u64> {
    let millis = time.as_millis();
    if millis == 0 {
        return None;
    }
    u64::try_from(u128::from(bytes) * 1000 / millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_and_never_say_1024_of_a_unit() {
        for (bytes, wanted) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (304 << 20, "304.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), wanted);
        }
    }

    #[test]
    fn durations_use_the_two_units_that_matter() {
        for (millis, wanted) in [
            (0, "0.0 s"),
            (240, "0.2 s"),
            (59_940, "59.9 s"),
            (59_960, "1 min 00 s"),
            (245_000, "4 min 05 s"),
            (7_500_000, "2 h 05 min"),
            (273_600_000, "3 d 04 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), wanted);
        }
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(rate(5, Duration::ZERO), "-");
        assert_eq!(rate(2048, Duration::from_secs(2)), "1.0 KiB/s");
        assert_eq!(time_left(5, 0, Duration::from_secs(1)), None);
        let left = time_left(300, 100, Duration::from_secs(1));
        assert_eq!(left, Some(Duration::from_secs(3)));
        assert!(time_left(u64::MAX, 1, Duration::MAX).is_some());
        assert_eq!(
            (percent(999, 1000), percent(1, 0)),
            ("99 %".into(), "-".into())
        );
        assert_eq!((ratio(34, 10), ratio(1, 0)), ("3.4:1".into(), "-".into()));
    }
}
