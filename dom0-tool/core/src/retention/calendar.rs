//! Days, weeks and seconds of local time.

use crate::session_name::SessionName;

/// Number of the day, 0 being 1 March of the year 0 of the Gregorian calendar.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a year of four digits, a month and a day stay far below 2^63"
)]
pub(super) fn day(name: SessionName) -> i64 {
    let (year, month, day) = name.date();
    // Years that begin in March: the leap day is their last, and the months before it follow one pattern.
    let month = (i64::from(month) + 9) % 12;
    let year = i64::from(year) - i64::from(month >= 10);
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + i64::from(day) - 1
}

/// Number of the week; weeks begin on Monday. 1 March of the year 0 was a Wednesday.
pub(super) fn week(name: SessionName) -> i64 {
    day(name).saturating_add(2).div_euclid(7)
}

/// Seconds since the day 0, as if every day had 86 400.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a day number of seven digits times 86 400 stays far below 2^63"
)]
pub(super) fn seconds(name: SessionName) -> i64 {
    let (hour, minute, second) = name.time();
    day(name) * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SessionName {
        text.parse().unwrap()
    }

    #[test]
    fn days_and_weeks_are_those_of_the_calendar() {
        let mut date = name("18991225-000000");
        let monday = day(date);
        for count in 0..80_000 {
            assert_eq!(day(date) - monday, count, "{date}");
            // 25 December 1899 was a Monday.
            assert_eq!(
                week(date) - week(name("18991225-000000")),
                count / 7,
                "{date}"
            );
            let (year, month, day) = date.date();
            let evening = format!("{year:04}{month:02}{day:02}-235959");
            date = name(&evening).plus_one_second();
        }
        // A week, and a century of 365 days a year and 24 leap days: 1900 had none.
        assert_eq!(day(name("20000101-000000")) - monday, 36_531);
        assert_eq!(
            seconds(name("20000102-000001")) - seconds(name("20000101-000000")),
            86_401
        );
    }
}
