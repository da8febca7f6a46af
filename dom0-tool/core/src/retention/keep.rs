//! Keep rules: the newest session of each of the last so many hours, days, weeks, months and years that have one.

use std::collections::BTreeMap;

use super::calendar::{day, seconds, week};
use crate::session_name::SessionName;

/// One kind of keep rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepRule {
    /// `--keep-last=N`: the last N.
    Last,
    /// `--keep-hourly=N`
    Hourly,
    /// `--keep-daily=N`
    Daily,
    /// `--keep-weekly=N`; weeks begin on Monday.
    Weekly,
    /// `--keep-monthly=N`
    Monthly,
    /// `--keep-yearly=N`
    Yearly,
    /// `--keep-within=DUR`
    Within,
}

impl KeepRule {
    /// What it counts: sessions of the same period have the same number.
    fn period(self, name: SessionName) -> i64 {
        let (year, month, _) = name.date();
        match self {
            Self::Last | Self::Within => seconds(name),
            Self::Hourly => seconds(name).div_euclid(3600),
            Self::Daily => day(name),
            Self::Weekly => week(name),
            Self::Monthly => i64::from(year)
                .saturating_mul(12)
                .saturating_add(i64::from(month)),
            Self::Yearly => i64::from(year),
        }
    }
}

/// All keep rules; 0 and `None` mean that there is no such rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// So many sessions.
    pub last: u32,
    /// So many hours.
    pub hourly: u32,
    /// So many days.
    pub daily: u32,
    /// So many weeks.
    pub weekly: u32,
    /// So many months.
    pub monthly: u32,
    /// So many years.
    pub yearly: u32,
    /// Everything that is at most so many seconds old.
    pub within: Option<u64>,
}

impl KeepRules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is wanted and by which rule first; `names` newest first.
    pub(super) fn wanted(
        &self,
        names: &[SessionName],
        now: SessionName,
    ) -> BTreeMap<SessionName, KeepRule> {
        let counted = [
            (KeepRule::Last, self.last),
            (KeepRule::Hourly, self.hourly),
            (KeepRule::Daily, self.daily),
            (KeepRule::Weekly, self.weekly),
            (KeepRule::Monthly, self.monthly),
            (KeepRule::Yearly, self.yearly),
        ];
        let mut wanted = BTreeMap::new();
        for (rule, count) in counted {
            let mut left = count;
            let mut previous = None;
            for name in names {
                let period = Some(rule.period(*name));
                if left == 0 {
                    break;
                }
                if period != previous {
                    previous = period;
                    left = left.saturating_sub(1);
                    wanted.entry(*name).or_insert(rule);
                }
            }
        }
        if let Some(within) = self.within {
            let oldest = i64::try_from(within)
                .ok()
                .and_then(|within| seconds(now).checked_sub(within));
            for name in names {
                if oldest.is_none_or(|oldest| seconds(*name) >= oldest) {
                    wanted.entry(*name).or_insert(KeepRule::Within);
                }
            }
        }
        wanted
    }
}
