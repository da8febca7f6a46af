//! Thinning out by age, as users of Wyng know it: `--apdays=A:B:C:D`.

use std::collections::BTreeMap;
use std::str::FromStr;

use thiserror::Error;

use super::calendar::day;
use super::{Forgotten, Kept, Verdict};
use crate::session_name::SessionName;

/// Everything older than `all_after` days goes; of what is older than `after` days, each window of `window` days of the calendar keeps its
/// newest `stay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinning {
    all_after: u32,
    after: u32,
    window: u32,
    stay: u32,
}

/// Not a thinning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ThinningError {
    /// Not four numbers.
    #[error("--apdays takes four numbers of days and sessions, A:B:C:D, as in 0:62:1:2")]
    NotFourNumbers,
    /// A window of no days.
    #[error("the third number of --apdays is the length of a window in days, at least 1")]
    EmptyWindow,
}

impl Thinning {
    /// The four numbers A, B, C, D; A = 0: nothing is too old.
    pub fn new(all_after: u32, after: u32, window: u32, stay: u32) -> Result<Self, ThinningError> {
        if window == 0 {
            return Err(ThinningError::EmptyWindow);
        }
        Ok(Self {
            all_after,
            after,
            window,
            stay,
        })
    }

    /// What becomes of each session that is old enough; `names` newest first.
    pub(super) fn thinned(
        self,
        names: &[SessionName],
        now: SessionName,
    ) -> BTreeMap<SessionName, Verdict> {
        let mut verdicts = BTreeMap::new();
        let (mut current, mut stay) = (None, self.stay);
        for name in names {
            let age = day(now).saturating_sub(day(*name));
            if self.all_after > 0 && age > i64::from(self.all_after) {
                verdicts.insert(*name, Verdict::Forget(Forgotten::TooOld));
                continue;
            }
            if age <= i64::from(self.after) {
                continue;
            }
            // Windows lie still in the calendar: what stays today is not cut otherwise tomorrow.
            let window = Some(day(*name).div_euclid(i64::from(self.window)));
            if window != current {
                (current, stay) = (window, self.stay);
            }
            let verdict = match stay.checked_sub(1) {
                Some(left) => {
                    stay = left;
                    Verdict::Keep(Kept::InWindow)
                }
                None => Verdict::Forget(Forgotten::ThinnedOut),
            };
            verdicts.insert(*name, verdict);
        }
        verdicts
    }
}

impl Default for Thinning {
    /// `0:62:1:2`
    fn default() -> Self {
        Self {
            all_after: 0,
            after: 62,
            window: 1,
            stay: 2,
        }
    }
}

impl FromStr for Thinning {
    type Err = ThinningError;

    fn from_str(text: &str) -> Result<Self, ThinningError> {
        let mut numbers = text.split(':').map(str::parse::<u32>);
        let mut next = || {
            let number = numbers.next().ok_or(ThinningError::NotFourNumbers)?;
            number.map_err(|_| ThinningError::NotFourNumbers)
        };
        let (all_after, after, window, stay) = (next()?, next()?, next()?, next()?);
        if numbers.next().is_some() {
            return Err(ThinningError::NotFourNumbers);
        }
        Self::new(all_after, after, window, stay)
    }
}
